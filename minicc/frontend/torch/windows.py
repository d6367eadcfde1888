"""ATen operators of networks proper: products, attention, convolutions, pooling, resizing, distances.

In: an `AtenCall`, and its arguments in the order of the schema. Out: the graph node of the result, or one for each result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from minicc import ops
from minicc.frontend.torch.call import AtenCall, Result, Translation, AtenValue
from minicc.frontend.torch.reductions import log_sum_exp, norm
from minicc.graph.ir import Node
from minicc.ops.base import Operator
from minicc.types import boolean, int64

# Products


def product(call: AtenCall, a: AtenValue, b: AtenValue) -> Node:
    return call(ops.MatMul, a, b)


def scaled(call: AtenCall, x: Any, factor: Any) -> Any:
    return x if factor == 1 else call(ops.Mul, x, call.constant(factor, call.dtype))


def add_product(call: AtenCall, x: AtenValue, a: AtenValue, b: AtenValue, beta: Any = 1, alpha: Any = 1) -> Node:
    """beta * x + alpha * a @ b; with a beta of 0, whatever x holds."""
    made = scaled(call, product(call, a, b), alpha)
    return made if beta == 0 else call(ops.Add, scaled(call, x, beta), made)


def linear(call: AtenCall, x: AtenValue, weight: AtenValue, bias: AtenValue | None = None) -> Node:
    """x @ weight^T + bias. A weight may be a vector."""
    right = call(ops.Transpose, weight, perm=(1, 0)) if weight.rank == 2 else weight
    found = call(ops.MatMul, x, right)
    return found if bias is None else call(ops.Add, found, bias)


def trilinear(call: AtenCall, a: AtenValue, b: AtenValue, c: AtenValue, of_a: Sequence[int], of_b: Sequence[int], of_c: Sequence[int],
              axes: Sequence[int], _: int = 1) -> Node:  # fmt: skip
    """The product of three tensors with axes put in, summed over axes."""
    wide = [call(ops.Unsqueeze, v, axes=tuple(new)) if new else v for v, new in ((a, of_a), (b, of_b), (c, of_c))]
    return call(
        ops.ReduceSum, call(ops.Mul, call(ops.Mul, wide[0], wide[1]), wide[2]), axes=tuple(axes), keepdims=False
    )


def add_products(call: AtenCall, x: AtenValue, a: AtenValue, b: AtenValue, beta: Any = 1, alpha: Any = 1) -> Node:
    """As `add_product`, with the products of a batch summed."""
    total = call(ops.ReduceSum, product(call, a, b), axes=(0,), keepdims=False)
    return (
        call.rounded(scaled(call, total, alpha), call.dtype, call.dtype)
        if beta == 0
        else call(ops.Add, scaled(call, x, beta), scaled(call, total, alpha))
    )


def einsum(call: AtenCall, equation: str, values: Sequence[AtenValue], path: Any = None) -> Node:
    return call(ops.Einsum, *[call.cast(v, call.dtype) for v in values], equation=equation.replace(" ", ""))


# Attention


def attention(call: AtenCall, q: AtenValue, k: AtenValue, v: AtenValue, mask: AtenValue | None = None, dropout: float = 0.0, causal: bool = False,
              scale: float | None = None, enable_gqa: bool = False) -> Node:  # fmt: skip
    """softmax(q k^T * scale + mask) v; a query for which everything is masked gives zeros."""
    if dropout:
        raise call.error("dropout is for training", "put the module into inference: module.eval()")
    return call(ops.MatMul, _weights(call, q, _repeated(call, k, q, enable_gqa), mask, causal, scale),
                _repeated(call, v, q, enable_gqa))  # fmt: skip


def flash_attention(call: AtenCall, q: AtenValue, k: AtenValue, v: AtenValue, dropout: float = 0.0, causal: bool = False,
                    attn_mask: AtenValue | None = None, scale: float | None = None) -> Result:  # fmt: skip
    """Attention and, where it is asked for, the logarithm of the sum of the weights."""
    found = attention(call, q, k, v, attn_mask, dropout, causal, scale)
    if not call.wanted(1):
        return found, None
    scores = AtenValue(_scores(call, q, k, attn_mask, causal, scale), q.dtype, (*q.shape[:-1], k.shape[-2]))
    return found, call.rounded(log_sum_exp(call, scores, (-1,)), call.dtype_of(call.results[1].dtype), q.dtype)


def _repeated(call: AtenCall, x: AtenValue, q: AtenValue, grouped: bool) -> AtenValue:
    """Heads of keys and values that several heads of queries share, once for each."""
    if not grouped or x.shape[-3] == q.shape[-3]:
        return x
    heads = call.number(q.shape[-3], "the number of heads") // call.number(x.shape[-3], "the number of heads")
    *batch, kept, length, depth = x.shape
    row = call.reshape(x, (*batch, kept, 1, length, depth))
    wide = call(ops.Expand, row, shape=(*batch, kept, heads, length, depth))
    shape = (*batch, kept * heads, length, depth)
    return call.of(call.reshape(wide, shape), x, shape)


def _scores(
    call: AtenCall, q: AtenValue, k: AtenValue, mask: AtenValue | None, causal: bool, scale: float | None
) -> Node:
    depth = q.shape[-1]
    factor = 1 / math.sqrt(call.number(depth, "the depth of a head")) if scale is None else scale
    order = (*range(k.rank - 2), k.rank - 1, k.rank - 2)
    found = call(ops.MatMul, q, call(ops.Transpose, k, perm=order))
    found = call(ops.Mul, found, call.constant(factor, q.dtype))
    if causal:
        rows, columns = (call(ops.Range, start=0, limit=n, delta=1, dtype=int64) for n in (q.shape[-2], k.shape[-2]))
        seen = call(ops.GreaterOrEqual, call(ops.Unsqueeze, rows, axes=(1,)), columns)
        found = call(ops.Add, found, _hidden(call, seen, q))
    if mask is not None:
        hidden = _hidden(call, mask, q) if mask.dtype is boolean else call.cast(mask, q.dtype)
        found = call(ops.Add, found, hidden)
    return found


def _hidden(call: AtenCall, seen: Any, q: AtenValue) -> Node:
    return call(ops.Where, seen, call.constant(0, q.dtype), call.constant(-math.inf, q.dtype))


def _weights(
    call: AtenCall, q: AtenValue, k: AtenValue, mask: AtenValue | None, causal: bool, scale: float | None
) -> Node:
    weights = call(ops.Softmax, _scores(call, q, k, mask, causal, scale), axis=-1)
    if mask is None:
        return weights
    return call(ops.Where, call(ops.IsNaN, weights), call.constant(0, q.dtype), weights)


def safe_softmax(call: AtenCall, x: AtenValue, axis: int, *_: Any) -> Node:
    weights = call(ops.Softmax, call.cast(x, call.dtype), axis=axis)
    return call(ops.Where, call(ops.IsNaN, weights), call.constant(0, call.dtype), weights)


# Convolutions


def convolution(call: AtenCall, x: AtenValue, weight: AtenValue, bias: AtenValue | None, strides: Sequence[int], padding: Sequence[int],
                dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int) -> Node:  # fmt: skip
    rank = weight.rank - 2
    strides, padding, dilation = (_per_axis(call, v, rank) for v in (strides, padding, dilation))
    fields: dict[str, Any] = {"strides": strides, "padding": padding * 2, "dilation": dilation, "groups": groups}
    batched = _batched(call, x, rank)
    if transposed:
        fields["output_padding"] = _per_axis(call, output_padding, rank)
        found = call(ops.ConvTranspose, batched, weight, **fields)
    else:
        found = call(ops.Conv, batched, weight, **fields)
    if bias is not None:
        found = call(ops.Add, found, call.reshape(bias, (-1, *[1] * rank)))
    return found if batched is x else call.reshape(found, call.shape)


def _per_axis(call: AtenCall, values: Sequence[Any], rank: int) -> tuple[int, ...]:
    """One number for each spatial axis, of which a list of one is for all."""
    known = tuple(call.number(v, "strides, padding and dilation") for v in values)
    return known * rank if len(known) == 1 else known


def _batched(call: AtenCall, x: AtenValue, rank: int) -> AtenValue:
    """One image as a batch of one."""
    return x if x.rank == rank + 2 else call.of(call.reshape(x, (1, *x.shape)), x, (1, *x.shape))


# Pooling


def _pooled(operator: type[Operator], rank: int, call: AtenCall, x: AtenValue, kernel: Sequence[int], strides: Sequence[int] = (),
            padding: Sequence[int] = (0,), dilation: Sequence[int] = (1,), ceil_mode: bool = False, **fields: Any) -> Node:  # fmt: skip
    sizes = _per_axis(call, kernel, rank)
    found = call(
        operator,
        _batched(call, x, rank),
        kernel=sizes,
        strides=_per_axis(call, strides, rank) or sizes,
        padding=_per_axis(call, padding, rank) * 2,
        dilation=_per_axis(call, dilation, rank),
        ceil_mode=ceil_mode,
        **fields,
    )
    return found if x.rank == rank + 2 else call.reshape(found, call.shape)


def max_pool(rank: int, call: AtenCall, x: AtenValue, *window: Any) -> Node:
    return _pooled(ops.MaxPool, rank, call, x, *window)


def max_pool_indices(rank: int, call: AtenCall, x: AtenValue, *window: Any) -> Result:
    """The maxima, and their places in the image of one channel."""
    found = _pooled(ops.MaxPool, rank, call, x, *window)
    if not call.wanted(1):
        return found, None
    plane = math.prod(call.number(size, "an axis of a pooling with indices") for size in x.shape[-rank:])
    places = _pooled(ops.MaxPoolIndices, rank, call, x, *window)
    return found, call(ops.Mod, places, call.constant(plane, int64))


def average_pool(rank: int, call: AtenCall, x: AtenValue, kernel: Sequence[int], strides: Sequence[int] = (),
                 padding: Sequence[int] = (0,), ceil_mode: bool = False, include: bool = True, divisor: int | None = None) -> Node:  # fmt: skip
    """The mean of each window, with or without its padding; by a divisor of its own it is that of the whole window, scaled."""
    window = (kernel, strides, padding, (1,))
    if divisor is None:
        return _pooled(ops.AveragePool, rank, call, x, *window, ceil_mode, count_include_pad=include)
    wide = math.prod(_per_axis(call, kernel, rank))
    sizes, steps = _per_axis(call, kernel, rank), _per_axis(call, strides, rank) or _per_axis(call, kernel, rank)
    pads = _per_axis(call, padding, rank)
    after = []  # so much more than the padding that the last window is whole, whatever rounds up
    for axis, (size, step, pad) in enumerate(zip(sizes, steps, pads, strict=True)):
        count = call.number(call.shape[axis - rank], "an axis of a pooling")
        extent = call.number(x.shape[axis - rank], "an axis of a pooling")
        after.append(max((count - 1) * step + size - extent - pad, 0))
    padded = call(ops.Pad, x, pads=(*pads, *after), value=0.0, axes=tuple(range(x.rank - rank, x.rank)))
    mean = _pooled(ops.AveragePool, rank, call, call.of(padded, x), sizes, steps)
    return call(ops.Mul, mean, call.constant(wide / divisor, x.dtype))


def adaptive_average(rank: int, call: AtenCall, x: AtenValue, sizes: Sequence[Any]) -> Node:
    """Means over as many windows as asked for: the whole, equal windows, or unequal ones as products with their weights."""
    axes = tuple(range(x.rank - rank, x.rank))
    extents = [x.shape[a] for a in axes]
    if all(size == 1 for size in sizes):
        return call(ops.ReduceMean, x, axes=axes, keepdims=True)
    counts = [(call.number(n, "an axis of a pooling"), call.number(m, "a size of a pooling"))
              for n, m in zip(extents, sizes, strict=True)]  # fmt: skip
    if all(n % m == 0 for n, m in counts):
        return _pooled(ops.AveragePool, rank, call, x, [n // m for n, m in counts])
    tables = []
    for extent, count in counts:
        weights = np.zeros((extent, count))
        for k, (start, end) in enumerate(_bins(extent, count)):
            weights[start:end, k] = 1 / (end - start)
        tables.append(weights)
    return weighted(call, x, tables)


def weighted(call: AtenCall, x: AtenValue, tables: Sequence[np.ndarray[Any, Any]]) -> Node:
    """Sums along each of the last axes, by a table of weights `[extent, count]` for each."""
    if not x.dtype.is_float:
        raise call.error(
            f"expected floats, of which weights make means, got {x.dtype}", "x.float(), and round what comes out"
        )
    found: Any = x
    for axis, weights in enumerate(tables, x.rank - len(tables)):
        order = [*(a for a in range(x.rank) if a != axis), axis]
        turned = call(ops.MatMul, call(ops.Transpose, found, perm=tuple(order)), call.constant(weights, x.dtype))
        found = call(ops.Transpose, turned, perm=tuple(int(a) for a in np.argsort(order)))
    return call.rounded(found, x.dtype, x.dtype)


def _bins(extent: int, count: int) -> list[tuple[int, int]]:
    return [(k * extent // count, -(-(k + 1) * extent // count)) for k in range(count)]


def adaptive_max(rank: int, call: AtenCall, x: AtenValue, sizes: Sequence[Any]) -> Result:
    """Maxima over as many windows, of which a shorter one has its last element twice; and where they are, by position."""
    axes = range(x.rank - rank, x.rank)
    extents = [call.number(x.shape[a], "an axis of a pooling") for a in axes]
    places = np.arange(math.prod(extents)).reshape(extents)
    for axis, (extent, count) in enumerate(zip(extents, sizes, strict=True)):
        longest = max(end - start for start, end in _bins(extent, count))
        rows = [[min(start + j, end - 1) for j in range(longest)] for start, end in _bins(extent, count)]
        places = places.take(np.array(rows), axis=2 * axis)
    order = (*range(0, 2 * rank, 2), *range(1, 2 * rank, 2))
    windows = places.transpose(order).reshape(*sizes, -1)
    flat = call.reshape(x, (*x.shape[:-rank], -1))
    seen = call(ops.Gather, flat, call.constant(windows, int64), axis=x.rank - rank)
    values = call(ops.ReduceMax, seen, axes=(x.rank,), keepdims=False)
    if not call.wanted(1):
        return values, None
    first = call(ops.ArgMax, seen, axis=x.rank, keepdims=True)
    table = call(ops.Expand, call.constant(windows, int64), shape=(*x.shape[:-rank], *windows.shape))
    return values, call(ops.Squeeze, call(ops.GatherElements, table, first, axis=x.rank), axes=(x.rank,))


# Resizing


def resize(mode: str, call: AtenCall, x: AtenValue, sizes: Any, *rest: Any) -> Node:
    """To sizes, or by scales, which count where both are given: PyTorch samples by them."""
    aligned = next((v for v in rest if isinstance(v, bool)), False)
    given = [v for v in rest if not isinstance(v, bool)]
    scales = given[0] if given and isinstance(given[0], (list, tuple)) else given if None not in given else ()
    rank = x.rank - 2
    fields: dict[str, Any] = {"axes": tuple(range(2, x.rank)), "mode": mode.removesuffix(" exact")}
    if scales and len(scales) == rank and _by_scales(x.shape[2:], call.shape[2:], scales):
        fields["scales"] = tuple(map(float, scales))
    else:
        fields["sizes"] = tuple(call.shape[2:])
    fields["coordinate_transformation_mode"] = "align_corners" if aligned else "half_pixel"
    if mode == "nearest":
        fields |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if mode == "nearest exact":
        fields |= {"nearest_mode": "round_prefer_ceil"}
    return call(ops.Resize, x, **fields)


def smooth_resize(reach: int, call: AtenCall, x: AtenValue, sizes: Any, aligned: bool, *scales: Any) -> Node:
    """With antialiasing: each element is a mean of those around its place, as many as the scale makes of one.

    `reach` is 2 for a linear and 4 for a cubic filter. The weights are those of PyTorch's `_compute_indices_weights_aa`.
    """
    given = scales[0] if scales and isinstance(scales[0], (list, tuple)) else scales
    tables = []
    for axis in (2, 3):
        extent, count = (call.number(v.shape[axis], "an axis of a resize") for v in (x, call))
        factor = given[axis - 2] if len(given) == 2 else None
        scale = 1 / factor if factor else extent / count
        if aligned:
            scale = (extent - 1) / (count - 1) if count > 1 else 0.0
        wide = max(scale, 1.0)
        center = scale * (np.arange(count) + 0.5)
        first = np.trunc(center - reach / 2 * wide + 0.5).clip(0)
        last = np.trunc(center + reach / 2 * wide + 0.5).clip(max=extent)
        place = np.arange(extent)[:, None]
        weights = _filter(np.abs((place - center + 0.5) / wide), reach) * ((place >= first) & (place < last))
        tables.append(weights / weights.sum(0))
    return weighted(call, x, tables)


def _filter(x: np.ndarray[Any, Any], reach: int) -> np.ndarray[Any, Any]:
    """A triangle, or Keys' cubic with a = -1/2."""
    if reach == 2:
        return np.asarray(np.maximum(1 - x, 0))
    return np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((-0.5 * x + 2.5) * x - 4) * x + 2, 0))


def _by_scales(extents: Sequence[Any], sizes: Sequence[Any], scales: Sequence[float]) -> bool:
    """Whether the scales lead to these sizes; where these are not known yet, they do."""
    known = all(isinstance(v, int) for v in (*extents, *sizes))
    return not known or all(int(n * s) == m for n, m, s in zip(extents, sizes, scales, strict=True))


def pixel_shuffle(call: AtenCall, x: AtenValue, factor: int) -> Node:
    *batch, channels, height, width = x.shape
    blocks = call.number(channels, "the number of channels") // factor**2
    apart = call.reshape(x, (*batch, blocks, factor, factor, height, width))
    n = len(batch)
    turned = call(ops.Transpose, apart, perm=(*range(n), n, n + 3, n + 1, n + 4, n + 2))
    return call.reshape(turned, (*batch, blocks, height * factor, width * factor))


# Distances


def distances(call: AtenCall, a: AtenValue, b: AtenValue, p: float = 2.0, *_: Any) -> Node:
    """The p-norm of the difference of each row of `a` and each of `b`."""
    left, right = (call(ops.Unsqueeze, v, axes=(v.rank - at,)) for v, at in ((a, 1), (b, 2)))
    return norm(call, AtenValue(call(ops.Sub, left, right), a.dtype, (*call.shape, a.shape[-1])), p, (-1,))


def pair_distances(call: AtenCall, x: AtenValue, p: float = 2.0) -> Node:
    """Of each row and each later one."""
    first, second = np.triu_indices(call.number(x.shape[0], "the number of rows"), 1)
    rows = [call(ops.Gather, x, call.constant(v, int64), axis=0) for v in (first, second)]
    return norm(call, AtenValue(call(ops.Sub, *rows), x.dtype, (len(first), x.shape[1])), p, (-1,))


def native_dropout(call: AtenCall, x: AtenValue, p: float, train: bool | None) -> Result:
    if train:
        raise call.error("dropout is for training", "put the module into inference: module.eval()")
    return x, call(ops.Expand, call.constant(True, boolean), shape=x.shape)


_RESIZE = {"nearest": ("nearest", (1, 2, 3)), "linear": ("linear", (1,)), "bilinear": ("linear", (2,)), "bicubic": ("cubic", (2,)),
           "trilinear": ("linear", (3,))}  # fmt: skip

TRANSLATIONS: dict[str, Translation] = {
    **{f"upsample_{name}{n}d": partial(resize, mode) for name, (mode, ranks) in _RESIZE.items() for n in ranks},
    **{f"_upsample_nearest_exact{n}d": partial(resize, "nearest exact") for n in (1, 2, 3)},
    **{f"_upsample_{name}2d_aa": partial(smooth_resize, reach) for name, reach in (("bilinear", 2), ("bicubic", 4))},
    **{f"avg_pool{n}d": partial(average_pool, n) for n in (1, 2, 3)},
    **{f"max_pool{n}d": partial(max_pool, n) for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": partial(max_pool_indices, n) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": partial(adaptive_average, n) for n in (1, 2, 3)},
    **{f"_adaptive_avg_pool{n}d": partial(adaptive_average, n) for n in (2, 3)},
    **{f"adaptive_max_pool{n}d": partial(adaptive_max, n) for n in (1, 2, 3)},
    "_cdist_forward": distances,
    "_convolution": lambda call, *arguments: convolution(call, *arguments[:9]),
    "_pdist_forward": pair_distances,
    "_safe_softmax": safe_softmax,
    "_scaled_dot_product_flash_attention_for_cpu": flash_attention,
    "_trilinear": trilinear,
    "addbmm": add_products,
    "addmm": add_product,
    "addmv": add_product,
    "baddbmm": add_product,
    "bmm": product,
    "convolution": convolution,
    "dot": product,
    "einsum": einsum,
    "linear": linear,
    "matmul": product,
    "mm": product,
    "mv": product,
    "native_dropout": native_dropout,
    "pixel_shuffle": pixel_shuffle,
    "scaled_dot_product_attention": attention,
}
