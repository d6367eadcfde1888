"""Compute what depends on constants alone: the NumPy reference, executed at compile time.

In: a graph. Out: the graph with such nodes replaced by constants, as far as they are not larger
than what they were computed from: weights may be transposed and scaled here, but a small
constant is not blown up into a large one.

Needs: nothing. Ensures: a node that reads only constants is large, or its reference fails.

>>> import numpy as np
>>> from minicc.graph.ir import Graph, constant
>>> from minicc.ops import Neg
>>> print(fold_constants(Graph("main", (), (Neg()(constant(np.float32([1, 2]))),), ("y",))))
graph main() {
  %0 = Constant[float32[2] [-1.0, -2.0]]() : float32[2]
  return y=%0
}
"""

from __future__ import annotations

from minicc.graph.interpret import compute
from minicc.graph.ir import Constant, Graph, Input, Node, constant
from minicc.graph.transform import same, transform

ALWAYS = 1 << 20  # bytes: a result of up to so many is always kept
NEVER = 1 << 28  # bytes: a result of more than so many must not be larger than its inputs
GROWTH = 5  # between the two, how many times larger than its inputs a result may be


def fold_constants(graph: Graph) -> Graph:
    """The graph with constant sub-graphs computed; the same graph when there are none."""
    return transform(graph, _fold)


def _fold(n: Node, inputs: tuple[Node, ...]) -> Node:
    n = same(n, inputs)
    if isinstance(n.op, (Input, Constant)) or not all(isinstance(i.op, Constant) for i in inputs):
        return n
    if n.inferred is None or not n.inferred.is_bound or n.op.pending or not _worth_keeping(n):
        return n
    try:
        return constant(compute(n.op, [i.array for i in inputs]))
    except (ArithmeticError, LookupError, MemoryError, NotImplementedError, TypeError, ValueError):
        return n  # the reference cannot compute it here; the error belongs to running it


def _worth_keeping(n: Node) -> bool:
    size, source = n.type.bytes, sum(i.type.bytes for i in n.inputs)
    return size <= ALWAYS or size <= source or (size <= NEVER and size <= GROWTH * source)
