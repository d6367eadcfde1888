"""Rebuild a graph bottom-up: what every graph pass is made of.

In: a graph, and a function from a node and its rebuilt inputs to a node. Out: the graph rebuilt,
or the same object when nothing changed. Iterative, so depth is no limit; inputs are kept.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Neg, Relu
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2,)))
>>> graph = Graph("main", (x,), (Neg()(Relu()(x)),), ("y",))
>>> print(transform(graph, lambda n, inputs: inputs[0] if isinstance(n.op, Relu) else same(n, inputs)))
graph main(x: float32[2]) {
  %0 = Neg(x) : float32[2]
  return y=%0
}
"""

from __future__ import annotations

from collections.abc import Callable

from minicc.graph.ir import Graph, Node, Span, make, spanned

Change = Callable[[Node, tuple[Node, ...]], Node]


def same(n: Node, inputs: tuple[Node, ...]) -> Node:
    """`n` on other inputs, its type inferred again; `n` itself when they are its own."""
    return n if inputs == n.inputs else make(n.op, inputs)


def transform(graph: Graph, change: Change) -> Graph:
    """The graph with each node, producers first, replaced by `change(node, rebuilt inputs)`.

    What `change` makes comes from where the node came from.
    """
    spans: dict[Node, Span] = {}

    def step(n: Node, inputs: list[Node]) -> Node:
        with spanned(spans, graph.spans.get(n)):
            return change(n, tuple(inputs))

    outputs = graph.interpret(graph.inputs, step)
    return graph.rebuild(dict(zip(graph.outputs, outputs, strict=True)), spans)
