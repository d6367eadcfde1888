"""ATen operators that compute over axes: sums and their kin, positions, order, softmax, normalisation.

In: an `AtenCall`, and its arguments in the order of the schema. Out: the graph node of the result, or one for each result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from minicc import ops
from minicc.frontend.torch.call import AtenCall, Result, Translation, AtenValue
from minicc.frontend.torch.pointwise import _wide
from minicc.graph.ir import Node
from minicc.ops.base import Operator
from minicc.types import boolean, float32, int64, uint8

Axes = Sequence[int] | int | None


def reduce(operator: type[Operator], call: AtenCall, x: AtenValue, axes: Axes = None, keepdim: bool = False) -> Node:
    """Over some axes, or all; a 16-bit float is summed as a float32 by the operators themselves."""
    value = call.cast(x, call.dtype)
    if not x.rank:  # the one element is what is reduced
        return call.reshape(call(operator, call.reshape(value, (1,)), axes=(0,), keepdims=False), ())
    return call(operator, value, axes=x.axes(axes), keepdims=keepdim)


def extreme(operator: type[Operator], call: AtenCall, x: AtenValue, axes: Axes = None, keepdim: bool = False) -> Node:
    """Truth values are ordered as 0 and 1."""
    if x.dtype is not boolean:
        return reduce(operator, call, x, axes, keepdim)
    number = call.cast(x, uint8)
    return call(ops.Cast, _over(operator, call, number, axes, keepdim), dtype=boolean)


def _over(operator: type[Operator], call: AtenCall, x: AtenValue, axes: Axes, keepdim: bool) -> Node:
    if not x.rank:
        return x.node
    return call(operator, x, axes=x.axes(axes), keepdims=keepdim)


def extreme_at(operator: type[Operator], position: type[Operator], call: AtenCall, x: AtenValue, *where: Any) -> Result:
    """`max.dim`: values and where they are; without an axis the value alone."""
    if not where or not isinstance(where[0], int):
        return extreme(operator, call, x)
    axis, keepdim = where[0], bool(where[1:] and where[1])
    return extreme(operator, call, x, axis, keepdim), position_of(position, call, x, axis, keepdim)


def position_of(
    operator: type[Operator], call: AtenCall, x: AtenValue, axis: int | None = None, keepdim: bool = False
) -> Node:
    """The first of equal ones; without an axis, in the flattened tensor."""
    value: Any = call.cast(x, uint8) if x.dtype is boolean else x
    if not x.rank:
        return call.constant(0, int64)
    if axis is not None:
        return call(operator, value, axis=x.axis(axis), keepdims=keepdim)
    found = call(operator, call.reshape(value, (-1,)), axis=0, keepdims=False)
    return call.reshape(found, (1,) * x.rank) if keepdim else found


def any_(call: AtenCall, x: AtenValue, axes: Axes = None, keepdim: bool = False) -> Node:
    found = _over(ops.ReduceMax, call, call.cast(call.cast(x, boolean), uint8), axes, keepdim)
    return call(ops.Cast, found, dtype=call.dtype)


def all_(call: AtenCall, x: AtenValue, axes: Axes = None, keepdim: bool = False) -> Node:
    found = _over(ops.ReduceMin, call, call.cast(call.cast(x, boolean), uint8), axes, keepdim)
    return call(ops.Cast, call(ops.Cast, found, dtype=boolean), dtype=call.dtype)


def variance(
    root: bool, call: AtenCall, x: AtenValue, axes: Axes = None, correction: Any = 1, keepdim: bool = False
) -> Node:
    """The mean square of what is left of the mean, over (elements - correction)."""
    wide, where = _wide(x.dtype), x.axes(axes)
    value = call.cast(x, wide)
    if not x.rank:
        value, where = call.of(call.reshape(value, (1,)), value, (1,)), (0,)
    count = math.prod(call.number(value.shape[a], "an axis of a variance") for a in where)
    apart = call(ops.Sub, value, call(ops.ReduceMean, value, axes=where, keepdims=True))
    total = call(ops.ReduceSum, call(ops.Mul, apart, apart), axes=where, keepdims=keepdim and bool(x.rank))
    least = max(count - (1 if correction is None else correction), 0)
    found = call(ops.Div, total, call.constant(least, wide))
    found = call(ops.Sqrt, found) if root else found
    found = call.reshape(found, ()) if not x.rank else found
    return call.rounded(found, x.dtype, wide)


def variance_whole(root: bool, call: AtenCall, x: AtenValue, unbiased: bool = True) -> Node:
    return variance(root, call, x, None, int(unbiased))


def variance_dim(
    root: bool, call: AtenCall, x: AtenValue, axes: Axes, unbiased: bool = True, keepdim: bool = False
) -> Node:
    return variance(root, call, x, axes, int(unbiased), keepdim)


def variance_mean(
    call: AtenCall, x: AtenValue, axes: Axes = None, correction: Any = 1, keepdim: bool = False
) -> Result:
    return variance(False, call, x, axes, correction, keepdim), reduce(ops.ReduceMean, call, x, axes, keepdim)


def cumulative(call: AtenCall, x: AtenValue, axis: int, *_: Any) -> Node:
    value = call.cast(x, call.dtype)
    return call(ops.CumSum, value, axis=x.axis(axis)) if x.rank else call.rounded(value, call.dtype, call.dtype)


def scan(operator: type[Operator], identity: float, call: AtenCall, x: AtenValue, axis: int) -> Node:
    """A running combination by doubling: after n steps each element covers 2**n."""
    if not x.rank:
        return call.rounded(call.cast(x, call.dtype), call.dtype, call.dtype)
    axis, found = x.axis(axis), call.cast(x, call.dtype)
    extent = call.number(x.shape[axis], "the axis of a running product")
    for step in (2**k for k in range(extent.bit_length()) if 2**k < extent):
        kept = call(ops.Slice, found, starts=(0,), ends=(-step,), axes=(axis,), steps=(1,))
        moved = call(ops.Pad, kept, pads=(step, 0), value=call.dtype.numpy.type(identity).item(), axes=(axis,))
        found = call(operator, found, moved)
    return call.rounded(found, call.dtype, call.dtype)


def log_sum_exp(call: AtenCall, x: AtenValue, axes: Axes = None, keepdim: bool = False) -> Node:
    return reduce(ops.ReduceLogSumExp, call, x, axes, keepdim)


# Order


def top_k(call: AtenCall, x: AtenValue, k: int, axis: int = -1, largest: bool = True, *_: Any) -> tuple[Node, Node]:
    if not x.rank:
        return x.node, call.constant(0, int64)
    fields = {"k": k, "axis": x.axis(axis), "largest": largest, "sorted": True}
    value: Any = call.cast(x, uint8) if x.dtype is boolean else x
    values = call(ops.TopK, value, **fields)
    return call(ops.Cast, values, dtype=x.dtype) if value is not x else values, call(ops.TopKIndices, value, **fields)


def sort(
    call: AtenCall, x: AtenValue, dim: int = -1, descending: bool = False, stable: Any = None
) -> tuple[Node, Node]:
    """All elements in order; equal ones keep theirs, as they do in TopK."""
    return top_k(call, x, x.shape[dim] if x.rank else 1, dim, descending)


def kth(call: AtenCall, x: AtenValue, k: int, axis: int = -1, keepdim: bool = False) -> tuple[Node, Node]:
    """The k-th least, counted from 1, and where it is."""
    if not x.rank:
        return x.node, call.constant(0, int64)
    found = top_k(call, x, k, axis, False)
    rows = [call(ops.Gather, node, call.constant([k - 1], int64), axis=x.axis(axis)) for node in found]
    values, places = rows if keepdim else [call(ops.Squeeze, row, axes=(x.axis(axis),)) for row in rows]
    return values, places


def median(call: AtenCall, x: AtenValue, axis: int | None = None, keepdim: bool = False) -> Result:
    """The lower of two in the middle; NaN, which is sorted last, if any is."""
    whole = axis is None
    row = call.of(call.reshape(x, (-1,)), x, (math.prod(x.shape),)) if whole else x
    at = 0 if axis is None else axis
    extent = call.number(row.shape[at] if row.rank else 1, "the axis of a median")
    values, places = kth(call, row, (extent + 1) // 2, at, keepdim)
    if x.dtype.is_float:
        last, where = kth(call, row, extent, at, keepdim)
        unknown = call(ops.IsNaN, last)
        values, places = call(ops.Where, unknown, last, values), call(ops.Where, unknown, where, places)
    return values if whole else (values, places)


def search(call: AtenCall, bounds: AtenValue, x: Any, right: bool = False, side: str | None = None) -> Node:
    """How many of the sorted `bounds`, along their last axis, are below each number, or also equal to it."""
    common = call.common(bounds, x)
    upper = right or side == "right"
    bounds, x = call.cast(bounds, common), call.cast(x, common)
    batched = bounds.rank > 1
    row = call(ops.Unsqueeze, bounds, axes=(bounds.rank - 1,)) if batched else bounds
    seen = call(ops.LessOrEqual if upper else ops.Less, row, call(ops.Unsqueeze, x, axes=(x.rank,)))
    return call(ops.ReduceSum, call(ops.Cast, seen, dtype=call.dtype), axes=(x.rank,), keepdims=False)


def bucketize(call: AtenCall, x: Any, bounds: AtenValue, right: bool = False, **_: Any) -> Node:
    return search(call, bounds, x, right)


def search_sorted(call: AtenCall, bounds: AtenValue, x: Any, right: bool = False, side: str | None = None,
                  sorter: AtenValue | None = None, **_: Any) -> Node:  # fmt: skip
    if sorter is not None:
        bounds = call.of(call(ops.GatherElements, bounds, sorter, axis=-1), bounds)
    return search(call, bounds, x, right, side)


def norm(call: AtenCall, x: AtenValue, p: float = 2.0, axes: Axes = None, keepdim: bool = False) -> Node:
    """The p-norm over axes: the root of the sum of |x|**p, of which 0 counts and infinities are limits."""
    made, wide = call.dtype, _wide(call.dtype)
    value = call.cast(x, wide)
    if not x.rank:
        value = call.of(call.reshape(value, (1,)), value, (1,))
    fields = {"axes": value.axes(axes), "keepdims": keepdim and bool(x.rank)}
    if p in (1, 2):
        found = call(ops.ReduceL1 if p == 1 else ops.ReduceL2, value, **fields)
    else:
        size = call(ops.Abs, value)
        if abs(p) == math.inf:
            found = call(ops.ReduceMax if p > 0 else ops.ReduceMin, size, **fields)
        elif p == 0:
            differs = call(ops.Not, call(ops.Equal, size, call.constant(0, wide)))
            found = call(ops.ReduceSum, call(ops.Cast, differs, dtype=wide), **fields)
        else:
            total = call(ops.ReduceSum, call(ops.Pow, size, call.constant(p, wide)), **fields)
            found = call(ops.Pow, total, call.constant(1 / p, wide))
    return call.rounded(found if x.rank else call.reshape(found, ()), made, wide)


# Softmax and normalisation


def softmax(operator: type[Operator], call: AtenCall, x: AtenValue, axis: int, *_: Any) -> Node:
    wide = _wide(call.dtype)
    value = call.cast(x, wide)
    if not x.rank:
        found = call.reshape(call(operator, call.reshape(value, (1,)), axis=0), ())
    else:
        found = call(operator, value, axis=x.axis(axis))
    return call.rounded(found, call.dtype, wide)


def statistics(call: AtenCall, x: AtenValue, axes: tuple[int, ...], epsilon: float) -> tuple[Node, Node]:
    """The mean over axes, and one over the root of the variance."""
    wide = _wide(x.dtype)
    value = call.cast(x, wide)
    mean = call(ops.ReduceMean, value, axes=axes)
    apart = call(ops.Sub, value, mean)
    square = call(ops.ReduceMean, call(ops.Mul, apart, apart), axes=axes)
    return mean, call(ops.Reciprocal, call(ops.Sqrt, call(ops.Add, square, call.constant(epsilon, wide))))


def layer_norm(
    call: AtenCall,
    x: AtenValue,
    shape: Sequence[Any],
    scale: Any = None,
    bias: Any = None,
    epsilon: float = 1e-5,
    *_: Any,
) -> Result:
    """The statistics, where they are asked for, are results, too."""
    first = x.rank - len(shape)
    scale = scale or AtenValue(call(ops.Expand, call.constant(1, x.dtype), shape=tuple(shape)), x.dtype, tuple(shape))
    given = [call.cast(v, x.dtype) for v in (scale, bias) if v is not None]
    y = call(ops.LayerNormalization, x, *given, axis=first, epsilon=epsilon)
    if len(call.results) == 1 or not (call.wanted(1) or call.wanted(2)):
        return (y, None, None)[: len(call.results)] if len(call.results) > 1 else y
    mean, inverse = statistics(call, x, tuple(range(first, x.rank)), epsilon)
    return [y, *[call.rounded(v, call.dtype_of(call.results[1].dtype), _wide(x.dtype)) for v in (mean, inverse)]]


def rms_norm(call: AtenCall, x: AtenValue, shape: Sequence[Any], scale: Any = None, epsilon: Any = None) -> Node:
    wide = _wide(x.dtype)
    epsilon = {"float64": 2.0**-52}.get(wide.name, 2.0**-23) if epsilon is None else epsilon
    shape = tuple(shape)
    scale = scale or AtenValue(call(ops.Expand, call.constant(1, x.dtype), shape=shape), x.dtype, shape)
    return call(ops.RMSNormalization, x, scale, axis=x.rank - len(shape), epsilon=epsilon)


def group_norm(
    call: AtenCall, x: AtenValue, groups: int, scale: Any = None, bias: Any = None, epsilon: float = 1e-5, *_: Any
) -> Node:
    channels = call.number(x.shape[1], "the number of channels")
    given = [call.cast(v, x.dtype) if v is not None else call(ops.Expand, call.constant(k, x.dtype), shape=(channels,))
             for k, v in ((1, scale), (0, bias))]  # fmt: skip
    return call(ops.GroupNormalization, x, *given, num_groups=groups, epsilon=epsilon)


def native_group_norm(
    call: AtenCall,
    x: AtenValue,
    scale: Any,
    bias: Any,
    batch: Any,
    channels: Any,
    size: Any,
    groups: int,
    epsilon: float,
) -> Result:
    y = group_norm(call, x, groups, scale, bias, epsilon)
    if not (call.wanted(1) or call.wanted(2)):
        return y, None, None
    rows = call.of(call.reshape(x, (batch, groups, channels * size // groups)), x)
    mean, inverse = statistics(call, rows, (2,), epsilon)
    return [y, *[call.rounded(call.reshape(v, (batch, groups)), x.dtype, _wide(x.dtype)) for v in (mean, inverse)]]


def batch_norm(
    call: AtenCall,
    x: AtenValue,
    scale: Any,
    bias: Any,
    mean: Any,
    variance: Any,
    training: bool,
    _: float,
    epsilon: float,
    *rest: Any,
) -> Node:
    """With the statistics that are given. Parameters may be float32 beside 16-bit data."""
    if training or mean is None or variance is None:
        raise call.error(
            "statistics of the batch itself are for training", "put the module into inference: module.eval()"
        )
    wide, channels = _wide(x.dtype), (x.shape[1],)
    given = [call.cast(v, wide) if v is not None else call(ops.Expand, call.constant(k, wide), shape=channels)
             for k, v in ((1, scale), (0, bias), (0, mean), (1, variance))]  # fmt: skip
    made = call(ops.BatchNormalization, call.cast(x, wide), *given, epsilon=epsilon)
    return call.rounded(made, x.dtype, wide)


def native_batch_norm(
    call: AtenCall, x: AtenValue, scale: Any, bias: Any, mean: Any, variance: Any, _: float, epsilon: float
) -> Result:
    """What is saved for gradients is empty in inference."""
    empty = call(ops.Expand, call.constant(0, float32), shape=(0,))
    return batch_norm(call, x, scale, bias, mean, variance, False, _, epsilon), empty, empty


def batch_norm_of_batch(
    call: AtenCall, x: AtenValue, scale: Any, bias: Any, training: bool, _: float, epsilon: float
) -> Result:
    """`_native_batch_norm_legit.no_stats`: by the statistics of each channel over the batch."""
    axes = (0, *range(2, x.rank))
    mean, inverse = statistics(call, x, axes, epsilon)
    wide, row = _wide(x.dtype), (1, -1, *[1] * (x.rank - 2))
    found = call(ops.Mul, call(ops.Sub, call.cast(x, wide), mean), inverse)
    for operator, v in ((ops.Mul, scale), (ops.Add, bias)):
        if v is not None:
            found = call(operator, found, call.reshape(call.cast(v, wide), row))
    flat = [call.reshape(v, (-1,)) for v in (mean, inverse)]
    return [call.rounded(found, x.dtype, wide), *flat]


TRANSLATIONS: dict[str, Translation] = {
    "_log_softmax": partial(softmax, ops.LogSoftmax),
    "_native_batch_norm_legit.no_stats": batch_norm_of_batch,
    "_native_batch_norm_legit_no_training": native_batch_norm,
    "_softmax": partial(softmax, ops.Softmax),
    "all": all_,
    "amax": partial(extreme, ops.ReduceMax),
    "amin": partial(extreme, ops.ReduceMin),
    "any": any_,
    "argmax": partial(position_of, ops.ArgMax),
    "argmin": partial(position_of, ops.ArgMin),
    "argsort": lambda call, x, dim=-1, descending=False, stable=None: sort(call, x, dim, descending)[1],
    "batch_norm": batch_norm,
    "cumsum": cumulative,
    "bucketize": bucketize,
    "cumprod": partial(scan, ops.Mul, 1),
    "group_norm": group_norm,
    "kthvalue": kth,
    "layer_norm": layer_norm,
    "log_softmax": partial(softmax, ops.LogSoftmax),
    "logsumexp": log_sum_exp,
    "linalg_vector_norm": norm,
    "max": partial(extreme_at, ops.ReduceMax, ops.ArgMax),
    "mean": partial(reduce, ops.ReduceMean),
    "median": median,
    "min": partial(extreme_at, ops.ReduceMin, ops.ArgMin),
    "native_group_norm": native_group_norm,
    "native_layer_norm": layer_norm,
    "prod": partial(reduce, ops.ReduceProd),
    "rms_norm": rms_norm,
    "searchsorted": search_sorted,
    "softmax": partial(softmax, ops.Softmax),
    "sort": sort,
    "std.correction": partial(variance, True),
    "std": partial(variance_whole, True),
    "std.dim": partial(variance_dim, True),
    "sum": partial(reduce, ops.ReduceSum),
    "topk": top_k,
    "var": partial(variance_whole, False),
    "var.dim": partial(variance_dim, False),
    "var.correction": partial(variance, False),
    "var_mean.correction": variance_mean,
}
