"""Compute what depends on constants alone: the NumPy reference, executed at compile time.

In: a graph. Out: the graph with such nodes replaced by constants, as far as they are not larger
than what they were computed from: weights may be transposed and scaled here, but a small
constant is not blown up into a large one, though it may be on the way to a small one.

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

import math
from functools import partial

from minicc.graph.interpret import compute
from minicc.graph.ir import Constant, Graph, Node, Span, constant, spanned
from minicc.graph.transform import same
from minicc.ops.base import Array

ALWAYS = 1 << 20  # bytes: a result of up to so many is always kept
NEVER = 1 << 28  # bytes: a result of more than so many must not be larger than its inputs
STEP = 1 << 24  # bytes: a result that is not kept is computed nevertheless, as what is computed from it may be
GROWTH = 5  # between the two, how many times larger than its inputs a result may be


class Folded:
    """A value that depends on constants alone. It becomes a node when something else reads it: a step on the way to
    packed weights may be a view of an array, and is neither copied nor compared with other constants. `stored` is what
    keeping it takes: its bytes, or of a value that is too large those of what it is computed from."""

    def __init__(self, stored: int, array: Array | None = None, node: Node | None = None) -> None:
        self.stored, self._array, self.node = stored, array, node

    @property
    def array(self) -> Array:
        """The elements, computed when they are first asked for."""
        if self._array is not None:
            return self._array
        assert self.node is not None
        return self.node.array


def fold_constants(graph: Graph) -> Graph:
    """The graph with constant sub-graphs computed; the same graph when there are none."""
    spans: dict[Node, Span] = {}
    given: list[Node | Folded] = [*graph.inputs]
    outputs = [_node(value) for value in graph.interpret(given, partial(_fold, graph, spans))]
    return graph.rebuild(dict(zip(graph.outputs, outputs, strict=True)), spans)


def _fold(graph: Graph, spans: dict[Node, Span], n: Node, inputs: list[Node | Folded]) -> Node | Folded:
    if isinstance(n.op, Constant):
        return Folded(n.type.bytes, node=n)
    known, array = [i for i in inputs if isinstance(i, Folded)], None
    source, size = sum(i.stored for i in known), n.inferred.bytes if n.inferred and n.inferred.is_bound else math.inf
    kept = size <= ALWAYS or size <= source or (size <= NEVER and size <= GROWTH * source)
    if len(known) == len(inputs) and (kept or size <= STEP):
        array = _computed(n, known)
    if array is not None and kept:
        return Folded(array.nbytes, array)
    with spanned(spans, graph.spans.get(n)):
        made = same(n, tuple([_node(i) for i in inputs]))
    return made if array is None else Folded(source, array, made)


def _node(value: Node | Folded) -> Node:
    if not isinstance(value, Folded):
        return value
    value.node = value.node or constant(value.array)
    return value.node


def _computed(n: Node, values: list[Folded]) -> Array | None:
    """The value of a node; None if its reference cannot compute it: the error belongs to running it."""
    try:
        array: Array = compute(n.op, [value.array for value in values])
        return array
    except (ArithmeticError, LookupError, MemoryError, NotImplementedError, TypeError, ValueError):
        return None
