"""Compute equal things once.

In: a graph. Out: the graph in which no two nodes compute the same. Interning shares nodes of
equal operator and inputs, and constants of equal content, by construction; this pass adds that
the order of two inputs of a commutative operator does not matter.

Needs: nothing. Ensures: no two nodes differ only in the order of commutative inputs.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import Add, Mul
>>> from minicc.types import TensorType, float32
>>> x, y = (input(name, TensorType(float32, (2,))) for name in "xy")
>>> print(merge_common_subexpressions(Graph("main", (x, y), (Mul()(Add()(x, y), Add()(y, x)),), ("z",))))
graph main(x: float32[2], y: float32[2]) {
  %0 = Add(x, y) : float32[2]
  %1 = Mul(%0, %0) : float32[2]
  return z=%1
}
"""

from __future__ import annotations

from minicc.graph.ir import Graph, Node
from minicc.graph.transform import same, transform
from minicc.ops.base import Operator


def merge_common_subexpressions(graph: Graph) -> Graph:
    """The graph with equal nodes merged into the first; the same graph when all differ."""
    first: dict[tuple[Operator, frozenset[Node]], Node] = {}

    def merge(n: Node, inputs: tuple[Node, ...]) -> Node:
        n = same(n, inputs)
        return first.setdefault((n.op, frozenset(inputs)), n) if n.op.commutative else n

    return transform(graph, merge)
