"""Windows, movement, indexing and resizing through TVM, against definitions written out here.

One module holds the graphs of all instances, so TVM compiles once.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from minicc import ops
from minicc.bridge.relax import build_relax, call_relax, relax_operators, to_relax
from minicc.errors import BridgeError
from minicc.graph.ir import Graph, input, make
from minicc.types import DType, Symbol, TensorType, bfloat16, float16, float32

RANDOM = np.random.default_rng(4)


def some(*shape, dtype="float32"):
    """Distinct values, so that every misplaced element shows; small whole numbers, exact in every dtype."""
    size = int(np.prod(shape))
    return (RANDOM.permutation(size) - size // 2).reshape(shape).astype(DType.of(dtype).numpy)


# ---- definitions --------------------------------------------------------------------------------


def strided(position, strides, dilation, kernel):
    """The slices of the taps of a window."""
    return tuple(
        slice(p * s, p * s + (k - 1) * d + 1, d) for p, s, d, k in zip(position, strides, dilation, kernel, strict=True)
    )


def convolution(x, w, strides, begin, end, dilation, groups=1):
    """ONNX's Conv, window by window in float64."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    padded = np.pad(x, [(0, 0), (0, 0), *zip(begin, end, strict=True)])
    counts = [
        (n - (k - 1) * d - 1) // s + 1
        for n, k, d, s in zip(padded.shape[2:], w.shape[2:], dilation, strides, strict=True)
    ]
    result = np.zeros((x.shape[0], w.shape[0], *counts))
    inner, outer = w.shape[1], w.shape[0] // groups
    for position in itertools.product(*map(range, counts)):
        window = padded[(..., *strided(position, strides, dilation, w.shape[2:]))]
        for g in range(groups):
            of = slice(g * outer, (g + 1) * outer)
            result[(slice(None), of, *position)] = np.tensordot(
                window[:, g * inner : (g + 1) * inner], w[of], (range(1, x.ndim), range(1, x.ndim))
            )
    return result


def transposed(x, w, strides, begin, end, dilation, groups=1):
    """ONNX's ConvTranspose: every element spreads the weights."""
    x, w = x.astype(np.float64), w.astype(np.float64)
    shape = [
        (n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(x.shape[2:], strides, w.shape[2:], dilation, strict=True)
    ]
    full = np.zeros((x.shape[0], w.shape[1] * groups, *[n + max(-e, 0) for n, e in zip(shape, end, strict=True)]))
    inner, outer = x.shape[1] // groups, w.shape[1]
    for position in itertools.product(*map(range, x.shape[2:])):
        for g in range(groups):
            of = slice(g * inner, (g + 1) * inner)
            where = strided(position, strides, dilation, w.shape[2:])
            full[(slice(None), slice(g * outer, (g + 1) * outer), *where)] += np.tensordot(
                x[(slice(None), of, *position)], w[of], 1
            )
    return full[(..., *[slice(b, n - max(e, 0)) for b, e, n in zip(begin, end, full.shape[2:], strict=True)])]


def pooled(x, kernel, strides, begin, counts, dilation, function):
    """`function` of the elements under each window, as a list per row and channel, and of its taps' places."""
    result = np.zeros((*x.shape[:2], *counts))
    for n, c, *position in itertools.product(*map(range, result.shape)):
        places = [
            [p * s + t * d - b for t in range(k)]
            for p, s, d, b, k in zip(position, strides, dilation, begin, kernel, strict=True)
        ]
        taps = list(itertools.product(*places))
        inside = [t for t in taps if all(0 <= i < size for i, size in zip(t, x.shape[2:], strict=True))]
        result[(n, c, *position)] = function(x[n, c].astype(np.float64), inside, taps, (n, c))
    return result


def greatest(x, inside, taps, row):
    return max(x[t] for t in inside)


def mean(x, inside, taps, row):
    return sum(x[t] for t in inside) / len(inside)


def where_greatest(shape, order="C"):
    """The flat index of the greatest; columns first for order F."""

    def found(x, inside, taps, row):
        best = max(inside, key=lambda t: x[t])
        flat = np.ravel_multi_index(best, x.shape, order=order)
        return (row[0] * shape[1] + row[1]) * x.size + flat

    return found


def wrapped(indices, extent):
    return np.where(indices < 0, indices + extent, indices)


def scattered(x, places, updates, combine):
    """The updates combined in, one by one."""
    result = x.copy()
    for place, update in zip(places, updates, strict=True):
        result[place] = combine(result[place], update)
    return result


def samples(x, counts, coordinate, weights):
    """The last two axes sampled: `weights(place)` gives (element, weight) pairs, clamped to the axis."""
    for axis, count in zip((-2, -1), counts, strict=True):
        size = x.shape[axis]
        rows = []
        for n in range(count):
            pairs = weights(coordinate(n, size, count))
            rows.append(sum(np.take(x, min(max(i, 0), size - 1), axis).astype(np.float64) * w for i, w in pairs))
        x = np.stack(rows, axis)
    return x


def half_pixel(n, size, count):
    return (n + 0.5) * size / count - 0.5


def asymmetric(n, size, count):
    return n * size / count


def align_corners(n, size, count):
    return n * (size - 1) / (count - 1)


def linear(place):
    low = int(np.floor(place))
    return [(low, 1 - (place - low)), (low + 1, place - low)]


def cubic(place, a=-0.75):
    low = int(np.floor(place))
    pairs = []
    for i in range(low - 1, low + 3):
        t = abs(place - i)
        near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
        pairs.append((i, near if t <= 1 else far))
    return pairs


# ---- instances: (operator, arrays, expected) -----------------------------------------------------


def windows():
    x1, x2, x3 = some(2, 4, 9), some(1, 4, 7, 6), some(1, 2, 4, 5, 3)
    w1, w2, w3 = some(6, 2, 3), some(2, 4, 3, 2), some(3, 2, 2, 3, 2)
    yield ops.Conv((2,), (1, 2), (2,), 2), (x1, w1), convolution(x1, w1, (2,), (1,), (2,), (2,), 2)
    yield ops.Conv(), (x2, w2), convolution(x2, w2, (1, 1), (0, 0), (0, 0), (1, 1))
    yield ops.Conv((2, 3), (2, 0, 1, 1)), (x2, w2), convolution(x2, w2, (2, 3), (2, 0), (1, 1), (1, 1))
    yield ops.Conv((2, 2), auto_pad="SAME_UPPER"), (x2, w2), convolution(x2, w2, (2, 2), (1, 0), (1, 0), (1, 1))
    yield (
        ops.Conv((2, 2), auto_pad="SAME_LOWER", dilation=(2, 3)),
        (x2, w2),
        convolution(x2, w2, (2, 2), (2, 1), (2, 1), (2, 3)),
    )
    yield ops.Conv(groups=4), (x2, some(4, 1, 2, 2)), None
    yield (
        ops.Conv((1, 2, 1), (1, 0, 1, 0, 1, 0)),
        (x3, w3),
        convolution(x3, w3, (1, 2, 1), (1, 0, 1), (0, 1, 0), (1, 1, 1)),
    )
    t1, t2, t3 = some(4, 2, 3), some(4, 3, 3, 2), some(2, 1, 2, 3, 2)
    yield ops.ConvTranspose((3,), (1, 2), (2,), 2), (x1, t1), transposed(x1, t1, (3,), (1,), (2,), (2,), 2)
    yield ops.ConvTranspose((2, 2), (1, 0, 0, 1)), (x2, t2), transposed(x2, t2, (2, 2), (1, 0), (0, 1), (1, 1))
    yield (
        ops.ConvTranspose((2, 2), output_padding=(1, 1)),
        (x2, t2),
        transposed(x2, t2, (2, 2), (0, 0), (-1, -1), (1, 1)),
    )
    yield (
        ops.ConvTranspose((2, 2), output_shape=(17, 14)),
        (x2, t2),
        transposed(x2, t2, (2, 2), (0, 0), (-2, -2), (1, 1)),
    )
    yield ops.ConvTranspose((2, 2), auto_pad="SAME_UPPER"), (x2, t2), transposed(x2, t2, (2, 2), (0, 0), (1, 0), (1, 1))
    yield ops.ConvTranspose((2, 1, 2)), (x3, t3), transposed(x3, t3, (2, 1, 2), (0, 0, 0), (0, 0, 0), (1, 1, 1))
    for dtype in ("float16", "bfloat16"):
        x, w = some(1, 2, 5, dtype=dtype), some(2, 2, 3, dtype=dtype)
        yield ops.Conv(), (x, w), convolution(x, w, (1,), (0,), (0,), (1,))
    x = np.full((1, 512, 1), 64, np.float16)  # a 16-bit sum would overflow
    yield ops.Conv(), (x, np.full((1, 512, 1), 0.5, np.float16)), [[[16384.0]]]


def pools():
    x1, x2, x3 = some(1, 2, 8), some(2, 1, 6, 5), some(1, 1, 4, 3, 5)
    one, two = (1,), (1, 1)
    yield ops.MaxPool((3,), (2,), (1, 0), (2,)), (x1,), pooled(x1, (3,), (2,), one, (3,), (2,), greatest)
    yield ops.MaxPool((2, 3), (2, 2), ceil_mode=True), (x2,), pooled(x2, (2, 3), (2, 2), (0, 0), (3, 2), two, greatest)
    yield (
        ops.MaxPool((2, 2), (3, 3), (1, 1, 1, 1), (), True),
        (x2,),
        pooled(x2, (2, 2), (3, 3), (1, 1), (3, 2), two, greatest),
    )
    yield (
        ops.MaxPool((3, 3), auto_pad="SAME_LOWER", strides=(2, 2)),
        (x2,),
        pooled(x2, (3, 3), (2, 2), (1, 1), (3, 3), two, greatest),
    )
    yield ops.MaxPool((2, 2, 2)), (x3,), pooled(x3, (2, 2, 2), (1, 1, 1), (0, 0, 0), (3, 2, 4), (1, 1, 1), greatest)
    yield ops.MaxPool((9, 2)), (x2,), pooled(x2, (9, 2), (1, 1), (0, 0), (1, 4), two, greatest)  # clipped to the data
    for dtype in ("int8", "uint8", "int64", "bfloat16", "float64"):
        x = some(1, 1, 6, dtype=dtype)
        yield ops.MaxPool((2,), (1,), (1, 1)), (x,), pooled(x, (2,), one, one, (7,), one, greatest)
    yield ops.AveragePool((3,), (2,), (1, 1), (2,)), (x1,), pooled(x1, (3,), (2,), one, (3,), (2,), mean)
    yield ops.AveragePool((2, 3), (2, 2), ceil_mode=True), (x2,), pooled(x2, (2, 3), (2, 2), (0, 0), (3, 2), two, mean)
    yield ops.AveragePool((2, 2, 2)), (x3,), pooled(x3, (2, 2, 2), (1, 1, 1), (0, 0, 0), (3, 2, 4), (1, 1, 1), mean)
    padded = pooled(x2, (3, 3), (1, 1), (1, 1), (6, 5), two, lambda x, inside, taps, row: sum(x[t] for t in inside) / 9)
    yield ops.AveragePool((3, 3), padding=(1, 1, 1, 1), count_include_pad=True), (x2,), padded
    last = [[[0.5, 2.5, 2.0]]]  # the last window has one element, one of padding, and one that is neither
    yield (
        ops.AveragePool((3,), (2,), (1, 1), (), True, count_include_pad=True),
        (np.float32([[[0.5, 1, 2, 4.5, 1, 3]]]),),
        None,
    )
    yield ops.AveragePool((2,), (2,), (0, 0), (), True), (np.float32([[[0, 1, 2, 3, 2]]]),), last
    yield (
        ops.MaxPoolIndices((2, 2), (2, 1), (1, 0, 0, 1)),
        (x2,),
        pooled(x2, (2, 2), (2, 1), (1, 0), (3, 5), two, where_greatest((2, 1))),
    )
    yield (
        ops.MaxPoolIndices((2, 3), storage_order=1),
        (x2,),
        pooled(x2, (2, 3), two, (0, 0), (5, 3), two, where_greatest((2, 1), "F")),
    )
    yield (
        ops.MaxPoolIndices((2,), (1,), (1, 1)),
        (np.zeros((1, 2, 2), np.uint8),),
        [[[0, 0, 1], [2, 2, 3]]],
    )  # padding is never it
    yield ops.MaxPoolIndices((2,), (), (1, 0), (2,)), (some(1, 1, 1),), [[[-1]]]
    yield ops.GlobalMaxPool(), (x3,), x3.max((2, 3, 4), keepdims=True)
    yield ops.GlobalAveragePool(), (x3,), x3.mean((2, 3, 4), keepdims=True, dtype=np.float64)


def shapes():
    x, scalar, empty = some(2, 1, 3), np.float32(7), np.zeros((2, 0, 3), np.float32)
    yield ops.Reshape((0, -1)), (x,), x.reshape(2, 3)
    yield ops.Reshape((1, 1)), (scalar,), [[7]]
    yield ops.Reshape((3, 0), True), (empty,), np.zeros((3, 0))
    yield ops.Flatten(-1), (x,), x.reshape(2, 3)
    yield ops.Flatten(0), (scalar,), [[7]]
    yield ops.Squeeze((-2,)), (x,), x[:, 0]
    yield ops.Squeeze(), (empty[:1],), np.zeros((0, 3))
    yield ops.Unsqueeze((0, -1)), (x,), x[None, ..., None]
    yield ops.Unsqueeze((0,)), (scalar,), [7]
    yield ops.Expand((4, 1, 2, 1)), (x,), np.broadcast_to(x, (4, 2, 2, 3))
    yield ops.Expand((2, 0)), (scalar,), np.zeros((2, 0))
    yield ops.Shape(1), (x,), [1, 3]
    yield ops.Shape(3), (x,), []
    yield ops.Size(), (empty,), 0
    yield ops.Transpose(), (x,), x.T
    yield ops.Transpose((1, 2, 0)), (x,), x.transpose(1, 2, 0)
    yield ops.Transpose(), (scalar,), scalar
    yield ops.Concat(-2), (x, empty, x), np.concatenate([x, x], 1)
    yield ops.Split(2, (1, 0, 2), 3, 2), (x,), x[..., 1:]
    yield ops.Split(2, None, 2, 1), (x,), x[..., 2:]
    yield ops.Split(0, (2,), 1, 0), (x,), x
    yield ops.Tile((2, 1, 2)), (x,), np.tile(x, (2, 1, 2))
    yield ops.Tile(()), (scalar,), scalar
    y = some(5, 6, dtype="int64")
    yield ops.Slice((1,), (2**63 - 1,), (-1,), (2,)), (y,), y[:, 1::2]
    yield ops.Slice((-1, 4), (-(2**63), 0), (0, 1), (-2, -1)), (y,), y[::-2, 4:0:-1]
    yield ops.Slice((3,), (1,)), (y,), y[:0]
    yield ops.Slice((0,), (2**31 - 1,)), (y,), y
    yield ops.Trilu(1), (y,), np.triu(y, 1)
    yield ops.Trilu(-2, False), (y,), np.tril(y, -2)
    d = some(1, 8, 2, 3)
    dcr = d.reshape(1, 2, 2, 2, 2, 3).transpose(0, 3, 4, 1, 5, 2).reshape(1, 2, 4, 6)
    yield ops.DepthToSpace(2), (d,), dcr
    yield ops.DepthToSpace(2, "CRD"), (d,), d.reshape(1, 2, 2, 2, 2, 3).transpose(0, 1, 4, 2, 5, 3).reshape(1, 2, 4, 6)
    yield ops.SpaceToDepth(2), (dcr,), d


def pads():
    x = some(3, 4)
    for mode in ("constant", "reflect", "edge", "wrap"):
        yield ops.Pad((1, 2, 2, 0), mode=mode), (x,), np.pad(x, ((1, 2), (2, 0)), mode)
        yield ops.Pad((-1, 1), mode=mode, axes=(-1,)), (x,), np.pad(x[:, 1:], ((0, 0), (0, 1)), mode)
    yield ops.Pad((9, 5), axes=(0,), mode="wrap"), (x,), np.pad(x, ((9, 5), (0, 0)), "wrap")
    yield ops.Pad((7, 5), axes=(0,), mode="edge"), (x,), np.pad(x, ((7, 5), (0, 0)), "edge")
    yield ops.Pad((0, 1), -np.inf, (1,)), (x,), np.pad(x, ((0, 0), (0, 1)), constant_values=-np.inf)
    yield ops.Pad((0, 1), np.nan, (1,)), (x,), np.pad(x, ((0, 0), (0, 1)), constant_values=np.nan)
    yield ops.Pad((1, 1), -7), (np.int8([3]),), [-7, 3, -7]
    yield ops.Pad((1, 1), True), (np.array([False]),), [True, False, True]
    yield ops.Pad((1, 0, 1, 2), 5), (np.zeros((0, 1), np.float32),), np.full((2, 3), 5)
    yield ops.Pad((-4, 1), 5, (1,)), (x,), np.full((3, 1), 5)
    yield ops.Pad(()), (np.float32(2),), 2


def gathers():
    x, i8 = some(4, 5, 3), np.int8([[0, -1], [-5, 4]])
    yield ops.Gather(1), (x, i8), x[:, i8]
    yield ops.Gather(-1), (x, np.int64(-3)), x[..., 0]
    yield ops.Gather(0), (some(300), np.int8([100, -100])), None
    yield ops.Gather(0), (x, np.int64([4, -5])), x[[3, 0]]  # out of range: clamped
    i = np.int32([[[0, -1, 2], [-5, 4, 1]]])
    yield ops.GatherElements(1), (x, i), np.take_along_axis(x[:1], wrapped(i, 5), 1)
    yield ops.GatherElements(-2), (x[:, :, :1], np.int64([[[-1]]])), x[:1, -1:, :1]
    n = np.int64([[0, -1], [-4, 4]])
    yield ops.GatherND(), (x, n), np.stack([x[0, -1], x[-4, 4]])
    yield ops.GatherND(1), (x, np.int64([[-1], [0], [1], [-5]])), x[range(4), [-1, 0, 1, -5]]
    yield ops.GatherND(), (x, np.int64([1, -1, 1])), x[1, -1, 1]
    values = np.float32([2, 9])
    yield ops.OneHot(-1, 3), (np.int64([0, -1, 3, -4]), values), [[9, 2, 2], [2, 2, 9], [2, 2, 2], [2, 2, 2]]
    yield ops.OneHot(0, 2), (np.float32([1.5, -2]), values), [[2, 9], [9, 2]]
    yield ops.OneHot(-2, 2), (np.uint8([1]), np.int32([5, 6])), [[5], [6]]
    yield ops.OneHot(0, 2), (np.int64(1), values), [2, 9]


COMBINE = {"none": lambda a, b: b, "add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def scatters():
    x, i, u = some(3, 4), np.int64([[1, -1, 1, 0], [1, 2, -3, 5]]), some(2, 4)  # 5 is out of range: passed over
    places = [(wrapped(i[p], 3), p[1]) for p in np.ndindex(2, 4)]
    for reduction, combine in COMBINE.items():
        kept = [(p, v) for p, v in zip(places, u.ravel(), strict=True) if p[0] < 3]
        yield ops.ScatterElements(0, reduction), (x, i, u), scattered(x, *zip(*kept, strict=True), combine)
        n, v = np.int32([[-1], [0], [-1], [-4]]), some(4, 4)
        yield ops.ScatterND(reduction), (x, n, v), scattered(x, (2, 0, 2), v[:3], combine)
    few, w = np.int64([[-1], [1]]), some(2, 1)  # fewer than the data along the other axis, too
    yield ops.ScatterElements(-1, "add"), (x, few, w), scattered(x, [(0, 3), (1, 1)], w.ravel(), np.add)
    yield ops.ScatterElements(0), (x, few, w), scattered(x, [(2, 0), (1, 0)], w.ravel(), COMBINE["none"])
    yield ops.ScatterElements(0), (x, np.zeros((0, 4), np.int64), np.zeros((0, 4), np.float32)), x
    yield (
        ops.ScatterND(),
        (x, np.int64([[0, -1], [3, 0], [-3, -4]]), np.float32([90, 80, 70])),
        scattered(x, [(0, 3), (0, 0)], [90, 70], COMBINE["none"]),
    )
    yield ops.ScatterND(), (x, np.zeros((0, 1), np.int64), np.zeros((0, 4), np.float32)), x


def orders():
    for dtype in ("float32", "int32", "float16", "bfloat16", "float64", "int64", "uint8", "int16", "uint32"):
        x = np.array([[3, 1, 3, 2, 1], [0, 5, 4, 5, 5]]).astype(DType.of(dtype).numpy)
        yield ops.TopK(3), (x,), [[3, 3, 2], [5, 5, 5]]
        yield ops.TopKIndices(3), (x,), [[0, 2, 3], [1, 3, 4]]  # of equal ones the first
        yield ops.TopKIndices(4, largest=False), (x,), [[1, 4, 3, 0], [0, 2, 1, 3]]
    yield ops.TopK(1, 0, False), (x,), [[0, 1, 3, 2, 1]]
    yield ops.TopKIndices(0), (x,), np.zeros((2, 0))
    y = np.arange(6, dtype=np.float32).reshape(2, 3)
    yield ops.ReverseSequence(0, 1), (y, np.array([2, 3])), [[1, 0, 2], [5, 4, 3]]
    yield ops.ReverseSequence(1, 0), (y, np.array([2, 1, 0])), [[3, 1, 2], [0, 4, 5]]


def resizes():
    x = some(1, 2, 3, 4)
    doubled = x.repeat(2, 2).repeat(3, 3)
    yield (
        ops.Resize(scales=(1.0, 1.0, 2.0, 3.0), coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
        (x,),
        doubled,
    )
    for name, coordinate in (("half_pixel", half_pixel), ("asymmetric", asymmetric), ("align_corners", align_corners)):
        for mode, weights in (("linear", linear), ("cubic", cubic)):
            op = ops.Resize(sizes=(1, 2, 5, 7), mode=mode, coordinate_transformation_mode=name)
            yield op, (x,), samples(x, (5, 7), coordinate, weights)
    yield ops.Resize(sizes=(8,), mode="linear", axes=(-1,)), (x,), samples(x, (3, 8), half_pixel, linear)
    yield ops.Resize(sizes=(5,), mode="linear"), (x[0, 0, 0],), samples(x[0, 0, :1], (1, 5), half_pixel, linear)[0]
    # by definition: a scale that is no quotient of sizes, antialiasing, another axis
    yield ops.Resize(scales=(1.3,), mode="linear", axes=(2,), coordinate_transformation_mode="asymmetric"), (x,), None
    yield ops.Resize(sizes=(2,), mode="linear", axes=(3,), antialias=True), (x,), None
    yield ops.Resize(sizes=(4,), axes=(1,)), (x,), x.repeat(2, 1)
    yield ops.Resize(sizes=(0,), axes=(1,)), (x,), x[:, :0]


FAMILIES = (windows, pools, shapes, pads, gathers, scatters, orders, resizes)
CASES = [(family.__name__, n, *case) for family in FAMILIES for n, case in enumerate(family())]


def graph_of(op, types):
    inputs = tuple(input(f"x{k}", t) for k, t in enumerate(types))
    return Graph("g", inputs, (make(op, inputs),), ("y",))


@pytest.fixture(scope="module")
def results():
    """The result of every case, by TVM."""
    graphs = [graph_of(op, map(TensorType.of, arrays)) for _, _, op, arrays, _ in CASES]
    machine = build_relax(to_relax(*graphs))
    return [
        call_relax(machine, k, g, dict(zip(g.input_names, case[3], strict=True)))["y"]
        for k, (g, case) in enumerate(zip(graphs, CASES, strict=True))
    ]


# without a definition it is the reference's word, which is compared with ONNX's elsewhere
@pytest.mark.parametrize("k", range(len(CASES)), ids=[f"{family}{n}-{op.name}" for family, n, op, _, _ in CASES])
def test_tvm_and_the_reference_give_what_the_definition_says(results, k):
    _, _, op, arrays, expected = CASES[k]
    kind, reference = op.infer(*map(TensorType.of, arrays)), np.asarray(op(*arrays))
    for got in (results[k], reference):
        assert_same(got, kind, np.asarray(reference if expected is None else expected))


def assert_same(got, kind, expected):
    assert (DType.of(got.dtype), got.shape) == (kind.dtype, kind.shape) == (kind.dtype, expected.shape)
    if not kind.dtype.is_float:
        np.testing.assert_array_equal(got, expected)
    else:
        epsilon = {float16: 1e-3, bfloat16: 1e-2}.get(kind.dtype, 1e-5)
        np.testing.assert_allclose(got.astype(np.float64), expected.astype(np.float64), rtol=epsilon, atol=epsilon)


# ---- which form --------------------------------------------------------------------------------


@pytest.mark.parametrize(("op", "shapes", "used"), [
    (ops.Conv(), ((1, 1, 4, 4), (1, 1, 2, 2)), "nn.conv2d"),
    (ops.ConvTranspose(), ((1, 1, 4), (1, 1, 2)), "nn.conv1d_transpose"),
    (ops.MaxPool((2, 2, 2)), ((1, 1, 4, 4, 4),), "nn.max_pool3d"),
    (ops.AveragePool((2,)), ((1, 1, 4),), "nn.avg_pool1d"),
    (ops.Resize(sizes=(7,), mode="cubic", axes=(0,)), ((3, 4),), "image.resize2d"),
    (ops.Split(0, None, 2, 0), ((4,),), "split"),
    (ops.TopK(1), ((4,),), "topk"),
])  # fmt: skip
def test_tvms_own_operator_is_taken_where_it_means_the_same(op, shapes, used):
    assert used in relax_operators(op, [TensorType(float32, s) for s in shapes])


def test_symbols_pass_through():
    n = TensorType(float32, (Symbol("n"), 3))
    for op in (ops.Transpose(), ops.Unsqueeze((0,)), ops.Slice((1,), (2,), (1,)), ops.Concat(0), ops.Trilu()):
        to_relax(graph_of(op, [n]))


# ---- what TVM cannot express ----------------------------------------------------------------------


@pytest.mark.parametrize("op", [ops.Shape(), ops.Size()])
def test_an_unknown_shape_is_refused(op):
    with pytest.raises(BridgeError, match=r"shape of float32\[n\] is not known") as caught:
        to_relax(graph_of(op, [TensorType(float32, (Symbol("n"),))]))
    assert "fixed shapes" in caught.value.hint


@pytest.mark.parametrize("op", [ops.TopK(1), ops.TopKIndices(1)])
def test_a_dtype_that_tvm_cannot_sort_is_refused(op):
    with pytest.raises(BridgeError, match="its sorts have no uint64"):
        to_relax(graph_of(op, [TensorType(DType.of("uint64"), (2,))]))


def test_a_value_that_no_float64_holds_is_refused():
    with pytest.raises(BridgeError, match="float64, which 9007199254740993 does not fit"):
        to_relax(graph_of(ops.Pad((1, 1), 2**53 + 1), [TensorType(DType.of("int64"), (2,))]))
