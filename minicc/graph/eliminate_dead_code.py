"""Drop what no output needs. A graph holds only nodes that its outputs reach, so what is left to
drop are the inputs of kernels that their bodies do not read.

In: a graph, fused or not. Out: the same graph with such kernel inputs gone; the inputs of the
graph itself are its interface and stay.

Needs: nothing. Ensures: every input of a kernel is read in its body.

>>> from minicc.graph.ir import Graph, Kernel, input
>>> from minicc.ops import Relu
>>> from minicc.types import TensorType, float32
>>> x, y = (input(name, TensorType(float32, (2,))) for name in "xy")
>>> kernel = Kernel("relu", Graph("relu", (x, y), (Relu()(y),), ("out",)))
>>> eliminate_dead_code(Graph("main", (x, y), (kernel(x, y),), ("z",))).outputs[0].inputs == (y,)
True
"""

from __future__ import annotations

from minicc.graph.ir import Graph, Kernel, Node, make
from minicc.graph.transform import same, transform


def eliminate_dead_code(graph: Graph) -> Graph:
    """The graph without unread kernel inputs; the same graph when all are read."""
    return transform(graph, _eliminate)


def _eliminate(n: Node, inputs: tuple[Node, ...]) -> Node:
    if not isinstance(n.op, Kernel):
        return same(n, inputs)
    body = n.op.body
    read = {i for b in body.nodes for i in b.inputs}.union(body.outputs)
    kept = [k for k, p in enumerate(body.inputs) if p in read]
    if len(kept) == len(inputs):
        return same(n, inputs)
    smaller = Graph(body.name, tuple(body.inputs[k] for k in kept), body.outputs, body.output_names)
    return make(Kernel(n.op.label, smaller), [inputs[k] for k in kept])
