"""Shapes that a graph computes from the shapes of its images, whose batch is open.

In: a node of integers, such as TensorFlow's converter writes before a Reshape: the shape of an image, parts of it, these
joined with numbers. Out: its elements, each a number or a symbol; None of what depends on anything else. So the types of
what follows are known when the file is loaded.

>>> from minicc.graph.ir import input
>>> from minicc.types import Symbol, TensorType, float32
>>> x = input("x", TensorType(float32, (Symbol("batch"), 4)))
>>> dims_of(ops.Concat(0)(ops.Shape()(x), np.int64([7])), {}).tolist()
[batch, 4, 7]
"""

from __future__ import annotations

import numpy as np

from minicc import ops
from minicc.graph.ir import Constant, Node
from minicc.ops.base import Array

MOST = 64  # elements, more than any shape has
DEEPEST = 50  # operators from a shape to where it is read
MOVING = (ops.Concat, ops.Gather, ops.Reshape, ops.Slice, ops.Squeeze, ops.Unsqueeze)


def dims_of(x: Node, known: dict[Node, Array | None], depth: int = 0) -> Array | None:
    """The elements of `x`, numbers and symbols; `known` are those of other nodes, which grow."""
    if x not in known:
        known[x] = None if depth > DEEPEST else _dims_of(x, known, depth + 1)
    return known[x]


def _dims_of(x: Node, known: dict[Node, Array | None], depth: int) -> Array | None:
    if isinstance(x.op, Constant):
        small = x.type.size <= MOST and x.dtype.is_integer
        return x.array.astype(object) if small else None
    if isinstance(x.op, ops.Shape):
        of = x.inputs[0].inferred
        return np.array(of.shape, object)[x.op.start : x.op.end] if of is not None else None
    if not isinstance(x.op, (ops.Cast, *MOVING)) or x.op.pending or x.inferred is None or not x.dtype.is_integer:
        return None
    if not x.type.is_bound or x.type.size > MOST:
        return None
    count = 1 if isinstance(x.op, (ops.Cast, ops.Gather)) else len(x.inputs)
    values = [dims_of(i, known, depth) for i in x.inputs[:count]]
    if any(v is None for v in values) or (count < len(x.inputs) and not isinstance(x.inputs[-1].op, Constant)):
        return None
    held = [v for v in values if v is not None]
    if isinstance(x.op, ops.Cast):
        return held[0]
    table = np.concatenate([v.reshape(-1) for v in held])  # operators move the positions of elements in it
    ends = np.cumsum([v.size for v in held])
    places = [np.arange(end - v.size, end).reshape(v.shape) for v, end in zip(held, ends, strict=True)]
    moved = x.op.numpy(*places, *[i.array for i in x.inputs[count:]])
    return np.asarray(table[moved], object)
