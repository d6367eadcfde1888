"""ATen operators that move elements, look them up or make them: views, slices, padding, indices, scatters, constants.

In: a `Call`, and its arguments in the order of the schema. Out: the graph node of the result, or one for each result. A view
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
from minicc.frontend.torch.call import Call, Result, Translation, Value
from minicc.frontend.torch.dims import Size
from minicc.graph.ir import Node
from minicc.types import DType, boolean, int64, uint8

MOST = 2**63 - 1  # an end that is none

# Views


def to_shape(call: Call, x: Value, *_: Any) -> Node:
    """Views, flattening, squeezing, unsqueezing: whatever only gives the elements another shape."""
    return call.reshape(x, call.shape)


def expand(call: Call, x: Value, sizes: Any, implicit: bool = False) -> Node:
    return call(ops.Expand, x, shape=call.shape)


def permute(call: Call, x: Value, axes: Sequence[int]) -> Node:
    return call(ops.Transpose, x, perm=tuple(x.axis(a) for a in axes)) if x.rank else x.node


def transpose(call: Call, x: Value, a: int = 0, b: int = 1) -> Node:
    """Two axes change places; of a vector, by `t`, none."""
    if x.rank < 2:
        return x.node
    perm = list(range(x.rank))
    perm[a], perm[b] = perm[b], perm[a]
    return call(ops.Transpose, x, perm=tuple(axis % x.rank for axis in perm))


def take(call: Call, x: Any, axis: int, start: Any, end: Any, step: Any = 1) -> Node:
    return call(ops.Slice, x, starts=(start,), ends=(end,), axes=(axis,), steps=(step,))


def slice_(call: Call, x: Value, axis: int = 0, start: Any = None, end: Any = None, step: Any = 1) -> Node:
    whole = start in (None, 0) and step == 1 and (end is None or (isinstance(end, int) and end >= MOST))
    return x.node if whole else take(call, x, x.axis(axis), start or 0, MOST if end is None else end, step)


def select(call: Call, x: Value, axis: int, index: Size) -> Node:
    return call(ops.Gather, x, call.dims.node(index), axis=x.axis(axis))


def split(call: Call, x: Value, sizes: Any, axis: int = 0) -> Result:
    """Parts of given sizes, or of one size with a smaller one last."""
    axis = x.axis(axis)
    sizes = [call.dims.value(part.shape[axis]) for part in call.results]
    starts: list[Size] = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    return [take(call, x, axis, a, b) for a, b in pairwise(starts)]


def unbind(call: Call, x: Value, axis: int = 0) -> Result:
    return [select(call, x, axis, k) for k in range(len(call.results))]


def concatenate(call: Call, values: Sequence[Value], axis: int = 0) -> Node:
    """An old form of nothing, an empty vector, may stand among tensors of more axes."""
    real = [v for v in values if v.shape != (0,)] or list(values[:1])
    return call(ops.Concat, *[call.cast(v, call.dtype) for v in real], axis=real[0].axis(axis))


def stack(call: Call, values: Sequence[Value], axis: int = 0) -> Node:
    axis %= len(call.shape)
    rows = [call(ops.Unsqueeze, call.cast(v, call.dtype), axes=(axis,)) for v in values]
    return call(ops.Concat, *rows, axis=axis)


def repeat(call: Call, x: Value, repeats: Sequence[Size]) -> Node:
    long = call.reshape(x, (*[1] * (len(repeats) - x.rank), *x.shape))
    return call(ops.Tile, long, repeats=tuple(repeats)) if repeats else x.node


def flip(call: Call, x: Value, axes: Sequence[int]) -> Node:
    where = tuple(x.axis(a) for a in axes)
    if not x.rank or not where:
        return x.node
    n = len(where)
    return call(ops.Slice, x, starts=(MOST,) * n, ends=(-MOST,) * n, axes=where, steps=(-1,) * n)


def at_offsets(call: Call, x: Any, offsets: np.ndarray[Any, Any]) -> Node:
    """The elements at places in memory order."""
    return call(ops.Gather, call.reshape(x, (-1,)), call.constant(offsets, int64), axis=0)


def diagonal(call: Call, x: Value, offset: int = 0, a: int = 0, b: int = 1) -> Node:
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
    call: Call, x: Value, sizes: Sequence[Size], strides: Sequence[Size], offset: Size | None = None
) -> Node:
    """Elements by their places in memory, in which this tensor must be the whole of its own."""
    return at_offsets(call, x, _places(call, x, sizes, strides, offset))


def _places(
    call: Call, x: Value, sizes: Sequence[Size], strides: Sequence[Size], offset: Size | None
) -> np.ndarray[Any, Any]:
    shape = [call.number(n, "a size of as_strided") for n in (*sizes, *strides, offset or 0, *x.shape)]
    sizes, strides, start = shape[: len(sizes)], shape[len(sizes) : 2 * len(sizes)], shape[2 * len(sizes)]
    places = np.full(tuple(sizes), start, np.int64)
    for axis, (size, stride) in enumerate(zip(sizes, strides, strict=True)):
        places += (np.arange(size) * stride).reshape(-1, *[1] * (len(sizes) - axis - 1))
    if places.size and places.max() >= math.prod(x.shape):
        raise call.error(f"expected places in a tensor of {math.prod(x.shape)} elements, got {places.max()}")
    return places


def unfold(call: Call, x: Value, axis: int, size: int, step: int) -> Node:
    """Windows along an axis, the elements of each along a last axis."""
    axis = x.axis(axis)
    extent = call.number(x.shape[axis] if x.rank else 1, "an axis of unfold")
    places = np.arange(0, extent - size + 1, step)[:, None] + np.arange(size)
    value = x if x.rank else call.reshape(x, (1,))
    found = call(ops.Gather, value, call.constant(places, int64), axis=axis)
    order = [a for a in range(x.rank + 1) if a != axis + 1]
    return call(ops.Transpose, found, perm=(*order, axis + 1)) if x.rank else call.reshape(found, call.shape)


def triangle(upper: bool, call: Call, x: Value, diagonal: int = 0) -> Node:
    value: Any = call.cast(x, uint8) if x.dtype is boolean else x
    return call.rounded(call(ops.Trilu, value, k=diagonal, upper=upper), x.dtype, uint8 if value is not x else x.dtype)


# Padding


def pad(mode: str, call: Call, x: Value, pads: Sequence[Size], value: Any = 0) -> Node:
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


def _clamped(call: Call, x: Any, axes: Sequence[int], before: Sequence[int], after: Sequence[int]) -> Node:
    """The nearest element at each place, of which some lie outside and others are left out."""
    for axis, first, last in zip(axes, before, after, strict=True):
        extent = call.number(x.shape[axis], "an axis of a padding")
        places = np.arange(-first, extent + last).clip(0, extent - 1)
        shape = (*x.shape[:axis], len(places), *x.shape[axis + 1 :])
        x = call.of(call(ops.Gather, x, call.constant(places, int64), axis=axis), x, shape)
    return call.rounded(x, x.dtype, x.dtype)


def _negative(size: Size) -> bool:
    return isinstance(size, int) and size < 0


# Into another tensor


def slice_scatter(
    call: Call, x: Value, source: Value, axis: int = 0, start: Any = None, end: Any = None, step: Any = 1
) -> Node:
    """The source in place of a slice: what lies before it, itself and what lies after, or for a step its rows one by one."""
    axis = x.axis(axis)
    extent = call.number(x.shape[axis], "the axis of a slice")
    places = np.arange(extent)[slice(start, end, step)]
    if not places.size:
        return x.node
    if step == 1:
        parts = [take(call, x, axis, 0, int(places[0])), source, take(call, x, axis, int(places[-1]) + 1, MOST)]
        shown = [p for p, size in zip(parts, (places[0], 1, extent - 1 - places[-1]), strict=True) if size]
        return call(ops.Concat, *shown, axis=axis) if len(shown) > 1 else source.node
    both = call(ops.Concat, x, source, axis=axis)
    order = np.arange(extent)
    order[places] = extent + np.arange(places.size)
    return call(ops.Gather, both, call.constant(order, int64), axis=axis)


def select_scatter(call: Call, x: Value, source: Value, axis: int, index: int) -> Node:
    axis = x.axis(axis)
    index %= call.number(x.shape[axis], "the axis of a selection")
    row = call.of(call(ops.Unsqueeze, source, axes=(axis,)), source)
    return slice_scatter(call, x, row, axis, index, index + 1)


# Indices


def gather(call: Call, x: Value, axis: int, index: Value) -> Node:
    if not x.rank or not index.rank:
        row = call(ops.GatherElements, call.reshape(x, (-1,)), call.reshape(index, (-1,)), axis=0)
        return call.reshape(row, call.shape)
    for a in range(x.rank):  # the index may be shorter than the tensor, on other axes
        if a != x.axis(axis) and index.shape[a] != x.shape[a]:
            x = call.of(take(call, x, a, 0, index.shape[a]), x, (*x.shape[:a], index.shape[a], *x.shape[a + 1 :]))
    return call(ops.GatherElements, x, index, axis=x.axis(axis))


def embedding(call: Call, table: Value, index: Value, *_: Any) -> Node:
    return call(ops.Gather, table, index, axis=0)


def index_select(call: Call, x: Value, axis: int, index: Value) -> Node:
    row, places = (call.reshape(v, (-1,)) if not v.rank else v for v in (x, index))
    return call.reshape(call(ops.Gather, row, places, axis=x.axis(axis)), call.shape)


def _masks_resolved(call: Call, indices: Sequence[Value | None]) -> None:
    if any(i is not None and i.dtype in (boolean, uint8) for i in indices):
        raise call.error("a mask as an index gives a result of a size that only a call knows", "write torch.where")


def index(call: Call, x: Value, indices: Sequence[Value | None]) -> Node:
    """As in NumPy: the indices broadcast, and their axes come first, unless they stand side by side."""
    _masks_resolved(call, indices)
    used = [axis for axis, i in enumerate(indices) if i is not None]
    given = [i for i in indices if i is not None]
    if len(used) == 1:
        return call(ops.Gather, x, given[0], axis=used[0])
    rest = [axis for axis in range(x.rank) if axis not in used]
    first = call(ops.Transpose, x, perm=(*used, *rest))
    found = call(ops.GatherND, first, _tuples(call, given))
    if used != list(range(used[0], used[0] + len(used))) or used[0] == 0:
        return found
    wide = len(call.shape) - len(rest)  # side by side: the axes of the indices stand where the first of them stood
    order = [*range(wide, wide + used[0]), *range(wide), *range(wide + used[0], len(call.shape))]
    return call(ops.Transpose, found, perm=tuple(order))


def _tuples(call: Call, indices: Sequence[Value]) -> Node:
    """Indices that broadcast as one tensor of index tuples."""
    shape = _broadcast([i.shape for i in indices])
    wide = [
        call(ops.Expand, call.cast(i, int64), shape=shape) if i.shape != shape else call.cast(i, int64) for i in indices
    ]
    return call(ops.Concat, *[call(ops.Unsqueeze, i, axes=(len(shape),)) for i in wide], axis=len(shape))


def _broadcast(shapes: Sequence[tuple[Size, ...]]) -> tuple[Size, ...]:
    rank = max(map(len, shapes))
    columns = zip(*[(1,) * (rank - len(s)) + tuple(s) for s in shapes], strict=True)
    return tuple(next((d for d in column if d != 1), 1) for column in columns)


def index_put(call: Call, x: Value, indices: Sequence[Value | None], values: Value, accumulate: bool = False) -> Node:
    """Values written at indices; a mask that covers the tensor chooses between it and a value."""
    given = [i for i in indices if i is not None]
    if len(given) == 1 and given[0].dtype is boolean and indices[0] is given[0] and not values.rank and not accumulate:
        mask = call.reshape(given[0], (*given[0].shape, *[1] * (x.rank - given[0].rank)))
        return call(ops.Where, mask, call.cast(values, x.dtype), x)
    _masks_resolved(call, indices)
    used = [axis for axis, i in enumerate(indices) if i is not None]
    rest = [axis for axis in range(x.rank) if axis not in used]
    order = (*used, *rest)
    shape = _broadcast([i.shape for i in given])
    wide = (*shape, *[x.shape[a] for a in rest])
    side_by_side = used == list(range(used[0], used[0] + len(used)))
    if side_by_side and used[0] and rest:  # the axes of the indices stand where the first of them stood
        middle = (*[x.shape[a] for a in rest[: used[0]]], *shape, *[x.shape[a] for a in rest[used[0] :]])
        full, n = call(ops.Expand, call.cast(values, x.dtype), shape=middle), used[0]
        back = (*range(n, n + len(shape)), *range(n), *range(n + len(shape), len(middle)))
        updates = call(ops.Transpose, full, perm=back)
    else:
        updates = call(ops.Expand, call.cast(values, x.dtype), shape=wide)
    moved = call(ops.Transpose, x, perm=order)
    made = call(ops.ScatterND, moved, _tuples(call, given), updates, reduction="add" if accumulate else "none")
    return call(ops.Transpose, made, perm=tuple(int(a) for a in np.argsort(order)))


_REDUCTIONS = {"sum": "add", "add": "add", "prod": "mul", "multiply": "mul", "amax": "max", "amin": "min"}


def scatter(
    call: Call, x: Value, axis: int, index: Value, source: Any, reduce: str = "none", include_self: bool = True
) -> Node:
    """Written at places along an axis: a number, or of the source as much as the index has."""
    reduction = _REDUCTIONS.get(reduce, "none")
    if reduce == "mean":
        return _scatter_mean(call, x, axis, index, source, include_self)
    if not include_self:
        x = call.of(scatter(call, x, axis, index, _identity(reduction, x.dtype)), x)
    updates: Any = call.cast(source, x.dtype)
    shape = index.shape or (1,)
    if isinstance(source, Value) and source.rank:
        for a in range(source.rank):
            if source.shape[a] != shape[a]:
                updates = take(call, updates, a, 0, shape[a])
    else:
        updates = call(ops.Expand, updates, shape=shape)
    row = x if x.rank else call.reshape(x, (1,))
    found = call(ops.ScatterElements, row, call.reshape(index, shape), updates, axis=x.axis(axis), reduction=reduction)
    return found if x.rank else call.reshape(found, ())


def _identity(reduction: str, dtype: DType) -> Any:
    """What changes nothing in a combination."""
    return {"add": 0, "mul": 1, "max": dtype.range[0], "min": dtype.range[1]}[reduction]


def _scatter_mean(call: Call, x: Value, axis: int, index: Value, source: Value, include_self: bool) -> Node:
    """Sums over how many were summed; of integers rounded down."""
    total = scatter(call, x, axis, index, source, "sum", include_self)
    ones = call.of(call(ops.Expand, call.constant(1, x.dtype), shape=x.shape), x)
    count = scatter(call, ones, axis, index, call.of(call(ops.Expand, call.constant(1, x.dtype), shape=source.shape), source),
                    "sum", include_self)  # fmt: skip
    if x.dtype.is_float:
        return call(ops.Div, total, count)
    return call(ops.Div, call(ops.Sub, total, call(ops.Mod, total, count)), count)


def at_places(call: Call, x: Value, source: Value, places: np.ndarray[Any, Any]) -> Node:
    """The source written at places in memory order."""
    flat, row = call.reshape(x, (-1,)), call.reshape(call.cast(source, x.dtype), (-1,))
    made = call(ops.ScatterElements, flat, call.constant(places.reshape(-1), int64), row, axis=0)
    return call.reshape(made, x.shape)


def diagonal_scatter(call: Call, x: Value, source: Value, offset: int = 0, a: int = 0, b: int = 1) -> Node:
    sizes = [call.number(n, "an axis of a diagonal") for n in x.shape]
    return at_places(call, x, source, np.arange(math.prod(sizes)).reshape(sizes).diagonal(offset, a, b))


def as_strided_scatter(
    call: Call, x: Value, source: Value, sizes: Any, strides: Any, offset: Size | None = None
) -> Node:
    return at_places(call, x, source, _places(call, x, sizes, strides, offset))


def masked_scatter(call: Call, x: Value, mask: Value, source: Value) -> Node:
    """Where the mask holds, the next element of the source."""
    shape = call.shape
    x = x if x.shape == shape else call.of(call(ops.Expand, x, shape=shape), x, shape)
    seen = call.reshape(call(ops.Expand, mask, shape=shape), (-1,))
    count = call(ops.CumSum, call(ops.Cast, seen, dtype=int64), axis=0)
    last = math.prod(call.number(n, "an axis of masked_scatter") for n in source.shape) - 1
    place = call(
        ops.Clip, call(ops.Sub, count, call.constant(1, int64)), call.constant(0, int64), call.constant(last, int64)
    )
    found = call(ops.Gather, call.reshape(source, (-1,)), place, axis=0)
    return call.reshape(call(ops.Where, seen, found, call.reshape(x, (-1,))), shape)


def embedding_bag(call: Call, table: Value, index: Value, offsets: Value, _: Any = False, mode: int = 0, sparse: Any = False,
                  weights: Value | None = None, include_last: bool = False, padding: int = -1) -> Result:  # fmt: skip
    """Sums, means or maxima of the rows of each bag, which begins at its offset: by the table of what is in which bag."""
    if any(map(call.wanted, (1, 2, 3))) or padding >= 0 or mode == 2:
        raise call.error("only sums and means of whole bags are supported", "write it by embedding, and sums")
    places = call.cast(index, int64)
    number = call.constant(np.arange(call.number(index.shape[0], "the number of indices")), int64)
    starts = call.cast(offsets, int64)
    first = starts if not include_last else call.of(take(call, starts, 0, 0, -1), starts)
    end = call.constant([index.shape[0]], int64)
    after = call(ops.Concat, take(call, starts, 0, 1, MOST), *[] if include_last else [end], axis=0)
    low, high = (call(ops.Unsqueeze, v, axes=(1,)) for v in (first, after))
    member = call(ops.And, call(ops.LessOrEqual, low, number), call(ops.Less, number, high))
    share = call(ops.Cast, member, dtype=table.dtype)
    if weights is not None:
        share = call(ops.Mul, share, weights)
    total = call(ops.MatMul, share, call(ops.Gather, table, places, axis=0))
    if mode == 1:
        count = call(ops.ReduceSum, share, axes=(1,), keepdims=True)
        total = call(ops.Div, total, call(ops.Max, count, call.constant(1, table.dtype)))
    return total, None, None, None


def scatter_add(call: Call, x: Value, axis: int, index: Value, source: Value) -> Node:
    return scatter(call, x, axis, index, source, "add")


def index_add(call: Call, x: Value, axis: int, index: Value, source: Value, alpha: Any = 1) -> Node:
    scaled = source if alpha == 1 else call.of(call(ops.Mul, source, call.cast(alpha, x.dtype)), source)
    before: list[Value | None] = [None] * x.axis(axis)
    flat = call.of(call.reshape(index, (-1,)), index, index.shape or (1,))
    return index_put(call, x, [*before, flat], scaled, accumulate=True) if x.rank else call(ops.Add, x, scaled)


# Constants


def full(call: Call, *arguments: Any) -> Node:
    """`full`, `full_like`, `zeros`, `new_ones`...: the value is a number among the arguments, or in the name."""
    name = call.node.target._schema.name
    value = 0 if "zeros" in name or "empty" in name else 1 if "ones" in name else arguments[-1]
    return call(ops.Expand, call.cast(value, call.dtype), shape=call.shape)


def scalar_tensor(call: Call, value: Any) -> Any:
    return call.rounded(call.cast(value, call.dtype), call.dtype, call.dtype)


def arange(call: Call, *bounds: Any) -> Node:
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


def linspace(call: Call, start: Any, end: Any, steps: int) -> Node:
    """From both ends to the middle, as PyTorch computes it: in the dtype itself, of integers in float64."""
    dtype = call.dtype.numpy if call.dtype.is_float else np.dtype(np.float64)
    start, end = (start, end) if call.dtype.is_float else (int(start), int(end))
    first, last, places = dtype.type(start), dtype.type(end), np.arange(steps)
    step = (last - first) / dtype.type(max(steps - 1, 1))
    up, down = (first + step * places).astype(dtype), (last - step * (steps - 1 - places)).astype(dtype)
    return call.constant(np.where(places < steps // 2, up, down) if steps != 1 else [start], call.dtype)


def eye(call: Call, *_: Any) -> Node:
    rows, columns = (call.number(size, "a size of eye") for size in call.shape)
    return call.constant(np.eye(rows, columns), call.dtype)


def triangle_indices(of: Any, call: Call, rows: int, columns: int, offset: int = 0) -> Node:
    return call.constant(of(rows, offset, columns), call.dtype)


_FULL = ("empty", "empty_like", "empty_strided", "full", "full_like", "new_empty", "new_empty_strided", "new_full", "new_ones",
         "new_zeros", "ones", "ones_like", "zeros", "zeros_like", "empty_permuted")  # fmt: skip
_SHAPES = ("_reshape_alias", "_unsafe_view", "flatten", "reshape", "squeeze", "unflatten", "unsqueeze", "view")

TRANSLATIONS: dict[str, Translation] = {
    **dict.fromkeys(_SHAPES, to_shape),
    **dict.fromkeys(_FULL, full),
    "_unsafe_index": index,
    "_embedding_bag": embedding_bag,
    "_embedding_bag_forward_only": embedding_bag,
    "arange": arange,
    "as_strided": as_strided,
    "as_strided_scatter": as_strided_scatter,
    "cat": concatenate,
    "constant_pad_nd": partial(pad, "constant"),
    "diagonal": diagonal,
    "diagonal_scatter": diagonal_scatter,
    "embedding": embedding,
    "expand": expand,
    "eye": eye,
    "flip": flip,
    "gather": gather,
    "index": index,
    "index_add": index_add,
    "index_put": index_put,
    "index_select": index_select,
    "linspace.default": linspace,
    "masked_scatter": masked_scatter,
    "permute": permute,
    "reflection_pad1d": partial(pad, "reflect"),
    "reflection_pad2d": partial(pad, "reflect"),
    "reflection_pad3d": partial(pad, "reflect"),
    "repeat": repeat,
    "replication_pad1d": partial(pad, "edge"),
    "replication_pad2d": partial(pad, "edge"),
    "replication_pad3d": partial(pad, "edge"),
    "scalar_tensor": scalar_tensor,
    "scatter": scatter,
    "scatter_add": scatter_add,
    "scatter_reduce": scatter,
    "select": select,
    "select_scatter": select_scatter,
    "slice": slice_,
    "slice_scatter": slice_scatter,
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
