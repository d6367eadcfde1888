"""ATen operators that look elements up, or write them, at indices: gathers, scatters, embeddings.

In: an `AtenCall`, and its arguments in the order of the schema. Out: the graph node of the result. Writing gives another tensor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc import ops
from minicc.frontend.torch.call import AtenCall, Result, Translation, AtenValue
from minicc.frontend.torch.dims import Size
from minicc.frontend.torch.movement import MOST, places_of, take
from minicc.graph.ir import Node
from minicc.types import DType, boolean, int64, uint8

# Into another tensor


def slice_scatter(
    call: AtenCall, x: AtenValue, source: AtenValue, axis: int = 0, start: Any = None, end: Any = None, step: Any = 1
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


def select_scatter(call: AtenCall, x: AtenValue, source: AtenValue, axis: int, index: int) -> Node:
    axis = x.axis(axis)
    index %= call.number(x.shape[axis], "the axis of a selection")
    row = call.of(call(ops.Unsqueeze, source, axes=(axis,)), source)
    return slice_scatter(call, x, row, axis, index, index + 1)


# Indices


def gather(call: AtenCall, x: AtenValue, axis: int, index: AtenValue) -> Node:
    if not x.rank or not index.rank:
        row = call(ops.GatherElements, call.reshape(x, (-1,)), call.reshape(index, (-1,)), axis=0)
        return call.reshape(row, call.shape)
    for a in range(x.rank):  # the index may be shorter than the tensor, on other axes
        if a != x.axis(axis) and index.shape[a] != x.shape[a]:
            x = call.of(take(call, x, a, 0, index.shape[a]), x, (*x.shape[:a], index.shape[a], *x.shape[a + 1 :]))
    return call(ops.GatherElements, x, index, axis=x.axis(axis))


def embedding(call: AtenCall, table: AtenValue, index: AtenValue, *_: Any) -> Node:
    return call(ops.Gather, table, index, axis=0)


def index_select(call: AtenCall, x: AtenValue, axis: int, index: AtenValue) -> Node:
    row, places = (call.reshape(v, (-1,)) if not v.rank else v for v in (x, index))
    return call.reshape(call(ops.Gather, row, places, axis=x.axis(axis)), call.shape)


def _masks_resolved(call: AtenCall, indices: Sequence[AtenValue | None]) -> None:
    if any(i is not None and i.dtype in (boolean, uint8) for i in indices):
        raise call.error("a mask as an index gives a result of a size that only a call knows", "write torch.where")


def index(call: AtenCall, x: AtenValue, indices: Sequence[AtenValue | None]) -> Node:
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


def _tuples(call: AtenCall, indices: Sequence[AtenValue]) -> Node:
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


def index_put(
    call: AtenCall, x: AtenValue, indices: Sequence[AtenValue | None], values: AtenValue, accumulate: bool = False
) -> Node:
    """AtenValues written at indices; a mask that covers the tensor chooses between it and a value."""
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
    call: AtenCall,
    x: AtenValue,
    axis: int,
    index: AtenValue,
    source: Any,
    reduce: str = "none",
    include_self: bool = True,
) -> Node:
    """Written at places along an axis: a number, or of the source as much as the index has."""
    reduction = _REDUCTIONS.get(reduce, "none")
    if reduce == "mean":
        return _scatter_mean(call, x, axis, index, source, include_self)
    if not include_self:
        x = call.of(scatter(call, x, axis, index, _identity(reduction, x.dtype)), x)
    updates: Any = call.cast(source, x.dtype)
    shape = index.shape or (1,)
    if isinstance(source, AtenValue) and source.rank:
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


def _scatter_mean(
    call: AtenCall, x: AtenValue, axis: int, index: AtenValue, source: AtenValue, include_self: bool
) -> Node:
    """Sums over how many were summed; of integers rounded down."""
    total = scatter(call, x, axis, index, source, "sum", include_self)
    ones = call.of(call(ops.Expand, call.constant(1, x.dtype), shape=x.shape), x)
    count = scatter(call, ones, axis, index, call.of(call(ops.Expand, call.constant(1, x.dtype), shape=source.shape), source),
                    "sum", include_self)  # fmt: skip
    if x.dtype.is_float:
        return call(ops.Div, total, count)
    return call(ops.Div, call(ops.Sub, total, call(ops.Mod, total, count)), count)


def at_places(call: AtenCall, x: AtenValue, source: AtenValue, places: np.ndarray[Any, Any]) -> Node:
    """The source written at places in memory order."""
    flat, row = call.reshape(x, (-1,)), call.reshape(call.cast(source, x.dtype), (-1,))
    made = call(ops.ScatterElements, flat, call.constant(places.reshape(-1), int64), row, axis=0)
    return call.reshape(made, x.shape)


def diagonal_scatter(call: AtenCall, x: AtenValue, source: AtenValue, offset: int = 0, a: int = 0, b: int = 1) -> Node:
    sizes = [call.number(n, "an axis of a diagonal") for n in x.shape]
    return at_places(call, x, source, np.arange(math.prod(sizes)).reshape(sizes).diagonal(offset, a, b))


def as_strided_scatter(
    call: AtenCall, x: AtenValue, source: AtenValue, sizes: Any, strides: Any, offset: Size | None = None
) -> Node:
    return at_places(call, x, source, places_of(call, x, sizes, strides, offset))


def masked_scatter(call: AtenCall, x: AtenValue, mask: AtenValue, source: AtenValue) -> Node:
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


def embedding_bag(call: AtenCall, table: AtenValue, index: AtenValue, offsets: AtenValue, _: Any = False, mode: int = 0, sparse: Any = False,
                  weights: AtenValue | None = None, include_last: bool = False, padding: int = -1) -> Result:  # fmt: skip
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


def scatter_add(call: AtenCall, x: AtenValue, axis: int, index: AtenValue, source: AtenValue) -> Node:
    return scatter(call, x, axis, index, source, "add")


def index_add(call: AtenCall, x: AtenValue, axis: int, index: AtenValue, source: AtenValue, alpha: Any = 1) -> Node:
    scaled = source if alpha == 1 else call.of(call(ops.Mul, source, call.cast(alpha, x.dtype)), source)
    before: list[AtenValue | None] = [None] * x.axis(axis)
    flat = call.of(call.reshape(index, (-1,)), index, index.shape or (1,))
    return index_put(call, x, [*before, flat], scaled, accumulate=True) if x.rank else call(ops.Add, x, scaled)


TRANSLATIONS: dict[str, Translation] = {
    "_unsafe_index": index,
    "_embedding_bag": embedding_bag,
    "_embedding_bag_forward_only": embedding_bag,
    "as_strided_scatter": as_strided_scatter,
    "diagonal_scatter": diagonal_scatter,
    "embedding": embedding,
    "gather": gather,
    "index": index,
    "index_add": index_add,
    "index_put": index_put,
    "index_select": index_select,
    "masked_scatter": masked_scatter,
    "scatter": scatter,
    "scatter_add": scatter_add,
    "scatter_reduce": scatter,
    "select_scatter": select_scatter,
    "slice_scatter": slice_scatter,
}
