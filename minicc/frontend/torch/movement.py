"""ATen operators that move elements or make them: views, slices, padding, constants.

In: an `AtenCall`, and its arguments in the order of the schema. Out: the graph node of the result, or one for each result. A view
is a value of its own here: programs are functional, so nobody writes through it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from minicc import ops
from minicc.frontend.torch.call import AtenCall, Result, Translation, AtenValue
from minicc.frontend.torch.dims import Size
from minicc.graph.ir import Node
from minicc.types import boolean, int64, uint8

MOST = 2**63 - 1  # an end that is none

# Views


def to_shape(call: AtenCall, x: AtenValue, *_: Any) -> Node:
    """Views, flattening, squeezing, unsqueezing: whatever only gives the elements another shape."""
    return call.reshape(x, call.shape)


def expand(call: AtenCall, x: AtenValue, sizes: Any, implicit: bool = False) -> Node:
    return call(ops.Expand, x, shape=call.shape)


def permute(call: AtenCall, x: AtenValue, axes: Sequence[int]) -> Node:
    return call(ops.Transpose, x, perm=tuple(x.axis(a) for a in axes)) if x.rank else x.node


def transpose(call: AtenCall, x: AtenValue, a: int = 0, b: int = 1) -> Node:
    """Two axes change places; of a vector, by `t`, none."""
    if x.rank < 2:
        return x.node
    perm = list(range(x.rank))
    perm[a], perm[b] = perm[b], perm[a]
    return call(ops.Transpose, x, perm=tuple(axis % x.rank for axis in perm))


def take(call: AtenCall, x: Any, axis: int, start: Any, end: Any, step: Any = 1) -> Node:
    return call(ops.Slice, x, starts=(start,), ends=(end,), axes=(axis,), steps=(step,))


def slice_(call: AtenCall, x: AtenValue, axis: int = 0, start: Any = None, end: Any = None, step: Any = 1) -> Node:
    whole = start in (None, 0) and step == 1 and (end is None or (isinstance(end, int) and end >= MOST))
    return x.node if whole else take(call, x, x.axis(axis), start or 0, MOST if end is None else end, step)


def select(call: AtenCall, x: AtenValue, axis: int, index: Size) -> Node:
    return call(ops.Gather, x, call.dims.node(index), axis=x.axis(axis))


def split(call: AtenCall, x: AtenValue, sizes: Any, axis: int = 0) -> Result:
    """Parts of given sizes, or of one size with a smaller one last."""
    axis = x.axis(axis)
    sizes = [call.dims.value(part.shape[axis]) for part in call.results]
    starts: list[Size] = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    return [take(call, x, axis, a, b) for a, b in pairwise(starts)]


def unbind(call: AtenCall, x: AtenValue, axis: int = 0) -> Result:
    return [select(call, x, axis, k) for k in range(len(call.results))]


def concatenate(call: AtenCall, values: Sequence[AtenValue], axis: int = 0) -> Node:
    """An old form of nothing, an empty vector, may stand among tensors of more axes."""
    real = [v for v in values if v.shape != (0,)] or list(values[:1])
    return call(ops.Concat, *[call.cast(v, call.dtype) for v in real], axis=real[0].axis(axis))


def stack(call: AtenCall, values: Sequence[AtenValue], axis: int = 0) -> Node:
    axis %= len(call.shape)
    rows = [call(ops.Unsqueeze, call.cast(v, call.dtype), axes=(axis,)) for v in values]
    return call(ops.Concat, *rows, axis=axis)


def repeat(call: AtenCall, x: AtenValue, repeats: Sequence[Size]) -> Node:
    long = call.reshape(x, (*[1] * (len(repeats) - x.rank), *x.shape))
    return call(ops.Tile, long, repeats=tuple(repeats)) if repeats else x.node


def flip(call: AtenCall, x: AtenValue, axes: Sequence[int]) -> Node:
    where = tuple(x.axis(a) for a in axes)
    if not x.rank or not where:
        return x.node
    n = len(where)
    return call(ops.Slice, x, starts=(MOST,) * n, ends=(-MOST,) * n, axes=where, steps=(-1,) * n)


def at_offsets(call: AtenCall, x: Any, offsets: np.ndarray[Any, Any]) -> Node:
    """The elements at places in memory order."""
    return call(ops.Gather, call.reshape(x, (-1,)), call.constant(offsets, int64), axis=0)


def diagonal(call: AtenCall, x: AtenValue, offset: int = 0, a: int = 0, b: int = 1) -> Node:
    """Elements (k, k + offset) of two axes, along a last axis of their own."""
    a, b = x.axis(a), x.axis(b)
    rest = [axis for axis in range(x.rank) if axis not in (a, b)]
    rows, columns = (call.number(x.shape[axis], "an axis of a diagonal") for axis in (a, b))
    length = max(min(rows + min(offset, 0), columns - max(offset, 0)), 0)
    first = max(offset, 0) - min(offset, 0) * columns
    moved = call(ops.Transpose, x, perm=(*rest, a, b))
    flat = call.reshape(moved, (*[x.shape[axis] for axis in rest], rows * columns))
    places = first + np.arange(length) * (columns + 1)
    return call(ops.Gather, flat, call.constant(places, int64), axis=len(rest))


def as_strided(
    call: AtenCall, x: AtenValue, sizes: Sequence[Size], strides: Sequence[Size], offset: Size | None = None
) -> Node:
    """Elements by their places in memory, in which this tensor must be the whole of its own."""
    return at_offsets(call, x, places_of(call, x, sizes, strides, offset))


def places_of(
    call: AtenCall, x: AtenValue, sizes: Sequence[Size], strides: Sequence[Size], offset: Size | None
) -> np.ndarray[Any, Any]:
    shape = [call.number(n, "a size of as_strided") for n in (*sizes, *strides, offset or 0, *x.shape)]
    sizes, strides, start = shape[: len(sizes)], shape[len(sizes) : 2 * len(sizes)], shape[2 * len(sizes)]
    places = np.full(tuple(sizes), start, np.int64)
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        places += (np.arange(size) * stride).reshape(-1, *[1] * (len(sizes) - axis - 1))
    if places.size and places.max() >= math.prod(x.shape):
        raise call.error(f"expected places in a tensor of {math.prod(x.shape)} elements, got {places.max()}")
    return places


def unfold(call: AtenCall, x: AtenValue, axis: int, size: int, step: int) -> Node:
    """Windows along an axis, the elements of each along a last axis."""
    axis = x.axis(axis)
    extent = call.number(x.shape[axis] if x.rank else 1, "an axis of unfold")
    places = np.arange(0, extent - size + 1, step)[:, None] + np.arange(size)
    value = x if x.rank else call.reshape(x, (1,))
    found = call(ops.Gather, value, call.constant(places, int64), axis=axis)
    order = [a for a in range(x.rank + 1) if a != axis + 1]
    return call(ops.Transpose, found, perm=(*order, axis + 1)) if x.rank else call.reshape(found, call.shape)


def triangle(upper: bool, call: AtenCall, x: AtenValue, diagonal: int = 0) -> Node:
    value: Any = call.cast(x, uint8) if x.dtype is boolean else x
    return call.rounded(call(ops.Trilu, value, k=diagonal, upper=upper), x.dtype, uint8 if value is not x else x.dtype)


# Padding


def pad(mode: str, call: AtenCall, x: AtenValue, pads: Sequence[Size], value: Any = 0) -> Node:
    """`pads` has pairs, those of the last axis first. Negative ones crop."""
    axes = [x.rank - 1 - k for k in range(len(pads) // 2)]
    before, after = pads[::2], pads[1::2]
    if mode == "edge" and any(map(_negative, pads)):
        return _clamped(call, x, axes, before, after)
    found: Any = call.cast(x, uint8) if x.dtype is boolean else x
    if crop := [(a, p, q) for a, p, q in zip(axes, before, after, strict=True) if _negative(p) or _negative(q)]:
        starts = tuple(max(-p, 0) for _, p, _ in crop)
        ends = tuple(q if _negative(q) else MOST for _, _, q in crop)
        found = call(
            ops.Slice, found, starts=starts, ends=ends, axes=tuple(a for a, _, _ in crop), steps=(1,) * len(crop)
        )
    wide = tuple(0 if _negative(p) else p for p in (*before, *after))
    if all(p == 0 for p in wide):
        return call.rounded(found, x.dtype, uint8 if x.dtype is boolean else x.dtype)
    fill = float(value) if x.dtype.is_float else int(value)
    made = call(ops.Pad, found, pads=wide, value=fill, axes=tuple(axes), mode=mode)
    return call.rounded(made, x.dtype, uint8 if x.dtype is boolean else x.dtype)


def _clamped(call: AtenCall, x: Any, axes: Sequence[int], before: Sequence[int], after: Sequence[int]) -> Node:
    """The nearest element at each place, of which some lie outside and others are left out."""
    for axis, first, last in zip(axes, before, after, strict=True):
        extent = call.number(x.shape[axis], "an axis of a padding")
        places = np.arange(-first, extent + last).clip(0, extent - 1)
        shape = (*x.shape[:axis], len(places), *x.shape[axis + 1 :])
        x = call.of(call(ops.Gather, x, call.constant(places, int64), axis=axis), x, shape)
    return call.rounded(x, x.dtype, x.dtype)


def _negative(size: Size) -> bool:
    return isinstance(size, int) and size < 0


# Constants


def full(call: AtenCall, *arguments: Any) -> Node:
    """`full`, `full_like`, `zeros`, `new_ones`...: the value is a number among the arguments, or in the name."""
    name = call.node.target._schema.name
    value = 0 if "zeros" in name or "empty" in name else 1 if "ones" in name else arguments[-1]
    return call(ops.Expand, call.cast(value, call.dtype), shape=call.shape)


def scalar_tensor(call: AtenCall, value: Any) -> Any:
    return call.rounded(call.cast(value, call.dtype), call.dtype, call.dtype)


def arange(call: AtenCall, *bounds: Any) -> Node:
    """[start,] end[, step]. Known bounds give a constant, as PyTorch counts its elements."""
    start, step = (0, 1) if len(bounds) == 1 else (bounds[0], (*bounds, 1)[2])
    dtype, shape = call.dtype, call.shape
    if not dtype.is_float:
        start, step = (int(v) if isinstance(v, float) else v for v in (start, step))
    if all(isinstance(v, (int, float)) for v in (start, step, *shape)):
        places = np.arange(shape[0], dtype=np.float64 if dtype.is_float else np.int64)
        return call.constant(start + places * step, dtype)
    numbers = [call.cast(v, int64 if not dtype.is_float else dtype) for v in (start, step)]
    count = call.rounded(call(ops.Range, start=0, limit=shape[0], delta=1, dtype=int64), numbers[0].dtype, int64)
    return call.rounded(call(ops.Add, numbers[0], call(ops.Mul, count, numbers[1])), dtype, numbers[0].dtype)


def linspace(call: AtenCall, start: Any, end: Any, steps: int) -> Node:
    """From both ends to the middle, as PyTorch computes it: in the dtype itself, of integers in float64."""
    dtype = call.dtype.numpy if call.dtype.is_float else np.dtype(np.float64)
    start, end = (start, end) if call.dtype.is_float else (int(start), int(end))
    first, last, places = dtype.type(start), dtype.type(end), np.arange(steps)
    step = (last - first) / dtype.type(max(steps - 1, 1))
    up, down = (first + step * places).astype(dtype), (last - step * (steps - 1 - places)).astype(dtype)
    return call.constant(np.where(places < steps // 2, up, down) if steps != 1 else [start], call.dtype)


def eye(call: AtenCall, *_: Any) -> Node:
    rows, columns = (call.number(size, "a size of eye") for size in call.shape)
    return call.constant(np.eye(rows, columns), call.dtype)


def triangle_indices(of: Any, call: AtenCall, rows: int, columns: int, offset: int = 0) -> Node:
    return call.constant(of(rows, offset, columns), call.dtype)


_FULL = ("empty", "empty_like", "empty_strided", "full", "full_like", "new_empty", "new_empty_strided", "new_full", "new_ones",
         "new_zeros", "ones", "ones_like", "zeros", "zeros_like", "empty_permuted")  # fmt: skip
_SHAPES = ("_reshape_alias", "_unsafe_view", "flatten", "reshape", "squeeze", "unflatten", "unsqueeze", "view")

TRANSLATIONS: dict[str, Translation] = {
    **dict.fromkeys(_SHAPES, to_shape),
    **dict.fromkeys(_FULL, full),
    "arange": arange,
    "as_strided": as_strided,
    "cat": concatenate,
    "constant_pad_nd": partial(pad, "constant"),
    "diagonal": diagonal,
    "expand": expand,
    "eye": eye,
    "flip": flip,
    "linspace.default": linspace,
    "permute": permute,
    "reflection_pad1d": partial(pad, "reflect"),
    "reflection_pad2d": partial(pad, "reflect"),
    "reflection_pad3d": partial(pad, "reflect"),
    "repeat": repeat,
    "replication_pad1d": partial(pad, "edge"),
    "replication_pad2d": partial(pad, "edge"),
    "replication_pad3d": partial(pad, "edge"),
    "scalar_tensor": scalar_tensor,
    "select": select,
    "slice": slice_,
    "split": split,
    "split_with_sizes": split,
    "stack": stack,
    "t": transpose,
    "transpose": transpose,
    "tril": partial(triangle, False),
    "tril_indices": partial(triangle_indices, np.tril_indices),
    "triu": partial(triangle, True),
    "triu_indices": partial(triangle_indices, np.triu_indices),
    "unbind": unbind,
    "unfold": unfold,
}
