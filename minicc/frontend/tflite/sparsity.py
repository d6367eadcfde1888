"""Weights that are stored without their zeros: DENSIFY puts the zeros back.

In: the values that are stored and the `SparsityParameters` of their tensor. Out: a dense array. The format is that of
`schema.fbs`: the axes of a tensor, those of its blocks behind them, are walked in an order of their own, and along each
one either all places are stored (dense) or those that a list names (compressed rows).

The places are kept as flat positions and grow level by level, so work is in proportion to what is stored.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicc.frontend.tflite.file import TfliteFile
from minicc.ops.base import Array

LARGEST_DENSE = 2**30  # bytes of a tensor with its zeros, which the file need not hold
_SPARSE = 1  # the format of an axis of which a list names the places
_VECTORS = {1: ("Int32Vector", 4), 2: ("Uint16Vector", 2), 3: ("Uint8Vector", 1)}  # and the bytes of an element


def densified(file: TfliteFile, params: Any, values: Array, shape: tuple[int, ...], what: str) -> Array:
    """The values of a tensor of `shape`, with zeros where the file has none."""
    order, blocks = file.numbers(params, "TraversalOrder"), file.numbers(params, "BlockMap")
    levels = list(file.tables(params, "DimMetadata"))
    rank = len(shape)
    if sorted(order) != list(range(rank + len(blocks))) or len(levels) != len(order) or len(set(blocks)) < len(blocks):
        raise file.damaged(f"{what} must say how each of its axes and blocks is stored, got the order {order}", what)
    if any(not 0 <= axis < rank for axis in blocks) or math.prod(shape) * values.itemsize > LARGEST_DENSE:
        problem = f"{what} must have blocks of its axes and at most {LARGEST_DENSE} bytes with its zeros"
        raise file.damaged(f"{problem}, got blocks of {blocks} in shape {list(shape)}", what)
    inner = {axis: int(levels[order.index(rank + n)].DenseSize()) for n, axis in enumerate(blocks)}
    if any(size < 1 or shape[axis] % size for axis, size in inner.items()):
        raise file.damaged(f"{what} of shape {list(shape)} must have blocks that divide it, got {inner}", what)
    extents = [shape[a] // inner.get(a, 1) for a in range(rank)] + [inner[a] for a in blocks]
    apart = [math.prod(shape[a + 1 :]) for a in range(rank)]
    steps = [apart[a] * inner.get(a, 1) for a in range(rank)] + [apart[a] for a in blocks]
    places = np.zeros(1, np.int64)
    for axis, level in zip(order, levels, strict=True):
        places = _next(file, level, places, extents[axis], steps[axis], what)
    if places.size != values.size:
        raise file.damaged(f"{what} must have a value for each place, got {values.size} for {places.size}", what)
    result = np.zeros(math.prod(shape), values.dtype)
    result[places] = values
    return result.reshape(shape)


def _next(file: TfliteFile, level: Any, places: Array, extent: int, step: int, what: str) -> Array:
    """The places after one more axis."""
    if level.Format() != _SPARSE:
        if level.DenseSize() != extent or places.size * extent > len(file.content):  # for each place there is a byte
            raise file.damaged(f"{what} must have an axis of {extent}, got one of {level.DenseSize()}", what)
        return np.asarray((places[:, None] + np.arange(extent, dtype=np.int64) * step).reshape(-1))
    segments, indices = _vector(file, level, "ArraySegments", what), _vector(file, level, "ArrayIndices", what)
    counts = np.diff(segments)
    sound = segments.size == places.size + 1 and segments[0] == 0 and (counts >= 0).all()
    if not sound or segments[-1] != indices.size or np.any((indices < 0) | (indices >= extent)):
        problem = f"{what} must have, for each of {places.size} rows, a list of indices below {extent}"
        raise file.damaged(f"{problem}, got {segments.size} ends and {indices.size} indices", what)
    return np.asarray(np.repeat(places, counts) + indices * step)


def _vector(file: TfliteFile, level: Any, name: str, what: str) -> Array:
    """The numbers of a list, which may be of three types."""
    import tflite

    kind, size = _VECTORS.get(getattr(level, f"{name}Type")(), ("", 0))
    union = getattr(level, name)()
    if not kind or union is None:
        raise file.damaged(f"{what} must have {name} of 8, 16 or 32 bits, got none", what)
    table = getattr(tflite, kind)()
    table.Init(union.Bytes, union.Pos)
    return file.array(table, "Values", size).astype(np.int64)
