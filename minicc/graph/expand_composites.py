"""Replace composite operators by their definition, so that later passes see its parts.

In: a bound graph. Out: a graph in which no operator is `composite`; the others are untouched.
Before fusion, because a composite is several kernels, or parts of its neighbours' kernels.

Needs: the types of a composite's inputs. Ensures: no composite whose inputs have types.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Gemm
>>> from minicc.types import TensorType, float32
>>> a, b = (input(name, TensorType(float32, (2, 2))) for name in "ab")
>>> graph = expand_composites(Graph("main", (a, b), (Gemm()(a, b),), ("y",)))
>>> [n.op.name for n in graph.nodes]
['Input', 'Input', 'MatMul']
"""

from __future__ import annotations

from minicc.graph.ir import Graph, Node
from minicc.graph.transform import same, transform

DEEPEST = 8  # composites within composites


def expand_composites(graph: Graph) -> Graph:
    """The graph without composite operators; the same graph when it has none."""
    for _ in range(DEEPEST):
        before, graph = graph, transform(graph, _expand)
        if graph is before:
            break
    return graph


def _expand(n: Node, inputs: tuple[Node, ...]) -> Node:
    if not n.op.composite or n.op.pending or any(i.inferred is None for i in inputs):
        return same(n, inputs)
    expanded: Node = n.op.expand(*inputs)
    return expanded
