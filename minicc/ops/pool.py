"""Pooling: the greatest element, the mean or the norm of each window.

In: `[N, C, spatial...]`, or `[N, spatial..., C]` with `channels_last`, which no ONNX file says. Out: the same with one
element per window. Padding never takes part in a
maximum; AveragePool counts it when `count_include_pad`. With `ceil_mode` a last window that is
only partly on the data counts, unless it starts in the end padding. A window that is larger than
the padded data is clipped to it. NaN wins every maximum.

>>> import numpy as np
>>> MaxPool(kernel=(2,), strides=(2,), ceil_mode=True)(np.array([[[1.0, 3.0, 2.0]]]))
array([[[3., 2.]]])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ir.node import node
from minicc.ir.node import replace as node_replace
from minicc.ops.arithmetic import Pow
from minicc.ops.base import FLOAT, NUMERIC, Array, Draw, Example, Kind, Operator, like, operator, type_of
from minicc.ops.conv import rounded
from minicc.ops.elementwise import Sqrt
from minicc.ops.generate import filled
from minicc.ops.order import Order, Permuted, channels_last
from minicc.ops.reduction import ReduceMax, ReduceMean
from minicc.ops.scalar import accumulator
from minicc.ops.view import in_words
from minicc.ops.window import Taps, Window, Windowed, draw_windows, first, last, names, spatial, tvm_attributes, views
from minicc.tensor.expr import Expr, call, cast, const, select
from minicc.types import TensorType, float64, int64


APART = 4  # taps that one costs whose neighbours in memory are not those of the next result


@node
class Pooling(Windowed):
    """Base of the pools: a subclass gives `pooled` of arrays and of `te` tensors, for results that are not empty."""

    kind = Kind.ANCHOR
    accepts = NUMERIC

    kernel: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    ceil_mode: bool = False
    auto_pad: str = "NOTSET"
    channels_last: bool = False

    def windows(self, spatial: Sequence[Any], kernel: Sequence[int]) -> tuple[Window, ...]:
        """The windows, with a kernel that is larger than the padded axis clipped to that."""
        return tuple(map(_clipped, Windowed.windows(self, spatial, kernel)))

    def count(self, size: int, stride: int, reach: int, begin: int, end: int) -> int:
        free = size + begin + end - reach
        if size > 0:
            free = max(free, 0)
        count = (-(-free // stride) if self.ceil_mode else free // stride) + 1
        # the last window must start before the end padding
        return count - (self.ceil_mode and (count - 1) * stride >= size + begin)

    def cut(self, x: Any) -> tuple[Window, ...]:
        """The windows without the taps that meet no data."""
        return tuple(w.cut(own=True) for w in self.windows(spatial(x.shape, self.channels_last), self.kernel))

    def infer(self, x: TensorType) -> TensorType:
        self.accept(x, expected="floats" if self.accepts is FLOAT else "numbers")
        counts = [w.count for w in self.fitted(self.kernel, x, channels_last=self.channels_last)]
        channels = x.shape[-1 if self.channels_last else 1]
        return TensorType(
            x.dtype, (x.shape[0], *counts, channels) if self.channels_last else (x.shape[0], channels, *counts)
        )

    def expand(self, x: Any) -> Any:
        """Of channels that are last: with them as axis 1, as NumPy and TVM take it."""
        return last(node_replace(self, channels_last=False)(first(x)))

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted | None:
        """Of channels first, that they are last now."""
        last = not self.channels_last and order == channels_last(x.rank)
        return Permuted.first(node_replace(self, channels_last=True), [x], order) if last else None

    def numpy(self, x: Array) -> Array:
        result = self.infer(type_of(x))
        if self.channels_last:
            return np.asarray(self.expand(x))
        if 0 in result.shape:
            return np.zeros(result.shape, result.dtype.numpy)
        with np.errstate(all="ignore"):
            return np.asarray(self.pooled_array(x, result)).astype(result.dtype.numpy, copy=False)

    def compute(self, x: Any) -> Any:
        result = self.infer(type_of(x))
        if 0 in result.shape:
            return filled(result.shape, 0, result.dtype, in_words(self))
        return self.pooled(x, result.shape, Taps(self.cut(x), self.channels_last))

    def pooled_array(self, x: Array, result: TensorType) -> Any:
        """The result on an array."""
        raise NotImplementedError(self.name)

    def pooled(self, x: Any, shape: tuple[int, ...], taps: Taps) -> Any:
        """The result of a `te` tensor."""
        raise NotImplementedError(self.name)

    def tvm_pool(self, R: Any, name: str, x: Any, **options: Any) -> Any:
        """The pooling operator `name` of TVM, with a kernel that is too large clipped to the padded data."""
        if self.channels_last:
            return self.expand(x)
        windows, result = self.windows(x.shape[2:], self.kernel), self.infer(x.type)
        strides, padding, dilation = tvm_attributes(windows)
        if any(w.cut().far for w in windows):
            raise R.refuse(self, "TVM stores the padding")
        pool, kernel = R[f"nn.{name}_pool{len(windows)}d"], [w.kernel for w in windows]
        wide = x.astype(accumulator(x.dtype))
        pooled = pool(wide, kernel, strides, padding, dilation, self.ceil_mode, **options).astype(x.dtype)
        if pooled.shape == result.shape:
            return pooled
        rank = len(result.shape)  # what is left of a clipped kernel may fit more than once
        return R.strided_slice(pooled, list(range(rank)), [0] * rank, list(result.shape))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank = draw.integer(1, 2)
        fields = draw_windows(draw, rank)
        kernel = tuple(draw.integer(2, 3) for _ in range(rank))
        fields["padding"] = tuple(min(p, kernel[a % rank] - 1) for a, p in enumerate(fields["padding"]))
        x = TensorType(draw.dtype(("float",)), (draw.integer(0, 2), draw.integer(0, 2), *draw.shape(rank, 1, 9)))
        fields |= {"kernel": kernel, "ceil_mode": draw.boolean(), **cls.more(draw)}
        if cls is not MaxPoolIndices and draw.boolean():
            fields, x = fields | {"channels_last": True}, TensorType(x.dtype, (x.shape[0], *x.shape[2:], x.shape[1]))
        return cls(**fields), (TensorType(draw.dtype(("float", "int")), x.shape) if cls is MaxPool else x,)

    @classmethod
    def more(cls, draw: Draw) -> dict[str, Any]:
        """Values of the fields that not every pool has."""
        return {}


def _clipped(w: Window) -> Window:
    padded = w.size + w.begin + w.end
    if padded <= 0:
        return w
    apart = min(w.dilation, padded)  # what is behind the end padding never counts
    return replace(w, kernel=min(w.kernel, (padded - 1) // apart + 1), dilation=apart)


def _taps_of(seen: Array) -> tuple[int, ...]:
    """The axes of windows `[N, C, window..., tap...]` that are taps."""
    return tuple(range(seen.ndim // 2 + 1, seen.ndim))


def _reduced(x: Any, taps: Taps, name: str, term: Callable[[Any], Any]) -> Any:
    """The greatest element of each window (max_pool), or the sum over each window of `term` of the elements."""
    combine, fill = (te.max, x.dtype.range[0]) if name == "max_pool" else (te.sum, 0)

    def along(x: Any, taps: Taps, name: str, term: Callable[[Any], Any]) -> Any:
        def element(*point: Expr) -> Any:
            return combine(term(taps.element(x, point, fill)), axis=taps.axes)

        counts, axes = [w.count for w in taps.windows], names(len(taps.axes), channels_last=taps.channels_last)
        shape = (x.shape[0], *counts, x.shape[-1]) if taps.channels_last else (*x.shape[:2], *counts)
        return te.compute(shape, element, name=name, names=axes)

    *parts, last = _by_axes(taps.windows, taps.channels_last)
    for part in parts:
        x, term = along(x, Taps(part, taps.channels_last), f"{name}_rows", term), lambda element: element
    return along(x, Taps(last, taps.channels_last), name, term)


def _by_axes(windows: Sequence[Window], channels_last: bool) -> list[Sequence[Window]]:
    """The same windows along one axis after the other, where that is less work: `k + k` taps instead of `k * k`.

    The last axis is last: of the others a row is all that its windows need, which stays in the cache.
    """
    axes = [axis for axis, w in enumerate(windows) if w != _plain(w.size)]
    costs = [w.kernel * (APART if w.stride > 1 and not channels_last and w is windows[-1] else 1) for w in windows]
    alone, points = 0.0, 1.0  # of a result: its share of the elements whose last axes are still whole
    for axis in reversed(axes):
        alone += points * (costs[axis] + (axis is not axes[-1]))
        points *= windows[axis].size / windows[axis].count
    if len(axes) < 2 or alone >= math.prod(costs):
        return [windows]
    done = [_plain(w.count) for w in windows]
    return [[*done[:axis], windows[axis], *[_plain(w.size) for w in windows[axis + 1 :]]] for axis in axes]


def _plain(size: int) -> Window:
    """Windows of one element, each of an axis."""
    return Window(size, 1, 1, 1, 0, 0, size)


@operator
class MaxPool(Pooling):
    """The greatest element of each window."""

    def pooled_array(self, x: Array, result: TensorType) -> Any:
        seen = views(x, self.cut(x), result.dtype.range[0])
        return np.max(seen, axis=_taps_of(seen))

    def pooled(self, x: Any, shape: tuple[int, ...], taps: Taps) -> Any:
        return _reduced(x, taps, "max_pool", lambda element: element)

    def tvm(self, R: Any, x: Any) -> Any:
        return self.tvm_pool(R, "max", x)


@operator
class MaxPoolIndices(Pooling):
    """Where in the whole tensor the greatest element of each window is: the first of equal ones.

    The index is that of the flattened tensor; with `storage_order` 1 the spatial axes are
    flattened column by column. A window with no element gives -1.
    """

    kind = Kind.OPAQUE
    storage_order: int = 0

    def infer(self, x: TensorType) -> TensorType:
        if self.storage_order not in (0, 1):
            problem = f"storage_order must be 0, row by row, or 1, column by column, got {self.storage_order}"
            raise self.error(problem, x, hint="storage_order=0")
        if self.channels_last:
            raise self.error("expected channels as axis 1, by which elements are numbered", x, hint="transpose first")
        return TensorType(int64, Pooling.infer(self, x).shape)

    def permuted(self, at: int, order: Order, x: TensorType) -> None:
        """It numbers the elements as they lie in memory."""

    def _flat(self, shape: tuple[int, ...], n: Any, c: Any, places: Any) -> Any:
        """The flat index of `x[n, c, places]`, of expressions or of arrays."""
        flat, spatial = n * shape[1] + c, list(zip(shape[2:], places, strict=True))
        flat = flat * math.prod(shape[2:])
        inner: Any = 0
        for extent, place in spatial if self.storage_order == 0 else reversed(spatial):
            inner = inner * extent + place
        return flat + inner

    def pooled_array(self, x: Array, result: TensorType) -> Any:
        windows, lowest = self.cut(x), type_of(x).dtype.range[0]
        kernel, taps = tuple(w.kernel for w in windows), (*result.shape, -1)
        seen = views(x, windows, 0).reshape(taps)
        inside = views(np.ones((1, 1, *x.shape[2:]), bool), windows, False)
        inside = np.broadcast_to(inside, (*result.shape, *kernel)).reshape(taps)
        greatest = np.max(seen, axis=-1, keepdims=True, where=inside, initial=lowest)
        hit = inside & ((seen == greatest) | ((seen != seen) & (greatest != greatest)))
        first = np.unravel_index(np.argmax(hit, axis=-1), kernel)
        n, c, *o = np.indices(result.shape, sparse=True)
        places = [w.place(i, k) for w, i, k in zip(windows, o, first, strict=True)]
        return np.where(hit.any(-1), self._flat(x.shape, n, c, places), -1)

    def pooled(self, x: Any, shape: tuple[int, ...], taps: Taps) -> Any:
        greatest = _reduced(x, Taps(taps.windows), "max_pool", lambda element: element)
        axes = names(len(taps.axes))
        none = math.prod(w.kernel for w in taps.windows)

        def first(n: Expr, c: Expr, *o: Expr) -> Expr:
            # nested selects, as a tap outside of the tensor must not be loaded
            here, best = x[(n, c, *taps.places(o))], greatest[(n, c, *o)]
            hit = here.equal(best)
            if x.dtype.is_float:
                hit = hit | (here.not_equal(here) & best.not_equal(best))
            number: Expr = const(0)  # of the tap in its window, row by row
            for w, k in zip(taps.windows, taps.axes, strict=True):
                number = number * w.kernel + k.var
            return te.min(select(taps.inside(o), select(hit, number, const(none)), const(none)), axis=taps.axes)

        position = te.compute(shape, first, name="position", names=axes)

        def index(n: Expr, c: Expr, *o: Expr) -> Expr:
            flat, places = position[(n, c, *o)], list[Expr]()
            for w, i in zip(reversed(taps.windows), reversed(o), strict=True):
                places.insert(0, w.place(i, flat % w.kernel))
                flat = flat // w.kernel
            return select(position[(n, c, *o)] < none, self._flat(x.shape, n, c, places), const(-1))

        return te.compute(shape, index, name="max_pool_indices", names=axes)

    def tvm(self, R: Any, x: Any) -> Any:
        """TVM's pooling gives no indices: the elements of each window, their ArgMax, and where that lies."""
        result, spatial = self.infer(x.type), x.shape[2:]
        size, rank = math.prod(spatial), len(spatial)
        # [windows, taps]: which element; outside of the tensor the first of the window again, of a window with none -1
        under = views(np.arange(size).reshape(1, 1, *spatial), self.cut(x), -1).reshape(math.prod(result.shape[2:]), -1)
        first = np.take_along_axis(under, np.argmax(under >= 0, axis=1, keepdims=True), axis=1)
        under = np.where(under < 0, first, under)
        images = R.reshape(x.astype(accumulator(x.dtype)), (*x.shape[:2], size))
        seen = R.take(images, np.maximum(under, 0), axis=2, mode="clip")
        best = R.maximum(R.argmax(seen, axis=3), np.int64(0))  # TVM finds none, -1, among nothing but -inf
        axes = list(range(rank)) if self.storage_order == 0 else list(reversed(range(rank)))
        stored = np.arange(size).reshape([spatial[a] for a in axes]).transpose(axes).reshape(-1)
        places = np.where(under < 0, -1, stored[under]).reshape(-1)
        place = R.take(R.constant(places), R.add(best, np.arange(len(under)) * under.shape[1]), axis=0, mode="clip")
        begin = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], 1) * size
        return R.reshape(R.where(R.less(place, np.int64(0)), place, R.add(place, begin)), result.shape)

    @classmethod
    def more(cls, draw: Draw) -> dict[str, Any]:
        return {"storage_order": draw.integer(0, 1)}


@operator
class AveragePool(Pooling):
    """The mean of each window: over its elements, or over padding too when `count_include_pad`.

    It is summed in float64 and rounded once, as that of ReduceMean. Of other floats it is the product with the inverse
    of the count, which is near enough in float64 for the same float, and no division for each result.
    """

    accepts = FLOAT
    count_include_pad: bool = False

    def _range(self, w: Window) -> tuple[int, int]:
        """The places that count, from the first to behind the last."""
        return (-w.begin, w.size + w.end) if self.count_include_pad else (0, w.size)

    def pooled_array(self, x: Array, result: TensorType) -> Any:
        windows = self.windows(x.shape[2:], self.kernel)
        seen = views(x.astype(np.float64), self.cut(x), 0)
        count = counted([w.taps(np.arange(w.count), *self._range(w)) for w in windows], np.float64)
        return seen.sum(axis=_taps_of(seen), dtype=np.float64) / count

    def _count(self, w: Window, i: Expr) -> Any:
        """How many taps of window `i` count, in closed form."""
        low, high = self._range(w)
        whole = w.begin + low <= 0 and (w.count - 1) * w.stride + w.reach - w.begin <= high
        return const(w.kernel) if whole else w.taps(i, low, high)

    def pooled(self, x: Any, shape: tuple[int, ...], taps: Taps) -> Any:
        axes = names(len(taps.windows), channels_last=self.channels_last)
        windows = self.windows(spatial(x.shape, self.channels_last), self.kernel)
        total = _reduced(x, taps, "pool_sum", lambda element: cast(element, float64))

        def mean(*point: Expr) -> Any:
            one: Expr = const(1, float64)
            pairs = zip(windows, taps.window(point), strict=True)
            counts = [cast(self._count(w, i), float64) for w, i in pairs]  # of integers the product might not fit
            if x.dtype is float64:
                return total[point] / math.prod(counts, start=one)
            return total[point] * math.prod([one / count for count in counts], start=one)

        return rounded(te.compute(shape, mean, name="average_pool", names=axes), x.dtype)

    def tvm(self, R: Any, x: Any) -> Any:
        return self.tvm_pool(R, "avg", x, count_include_pad=self.count_include_pad)

    @classmethod
    def more(cls, draw: Draw) -> dict[str, Any]:
        return {"count_include_pad": draw.boolean()}


def counted(taps: Sequence[Array], dtype: Any = np.int64) -> Array:
    """How many taps each window has that has so many along each axis."""
    return np.asarray(math.prod(np.meshgrid(*[t.astype(dtype) for t in taps], indexing="ij"), start=np.ones((), dtype)))


def _raised(value: Any, power: float) -> Any:
    """`value ** power`, by what the power stands for where there is such a thing; of expressions or of TVM's values."""
    if power in (1, 2):
        return value if power == 1 else value * value
    if isinstance(value, Expr):
        return call("sqrt", value) if power == 0.5 else call("pow", value, const(power, value.dtype))
    return Sqrt()(value) if power == 0.5 else Pow()(value, like(value, power))


@operator
class LpPool(Pooling):
    """The p-norm of each window: the root of the sum of |element| ** p. Padding adds nothing."""

    accepts = FLOAT
    p: int = 2

    def infer(self, x: TensorType) -> TensorType:
        if self.p < 1:
            raise self.error(f"expected a p of at least 1, got {self.p}", x, hint="p=2 is the Euclidean length")
        return Pooling.infer(self, x)

    def pooled_array(self, x: Array, result: TensorType) -> Any:
        seen = views(np.abs(x.astype(accumulator(result.dtype).numpy)), self.cut(x), 0)
        return np.sum(seen**self.p, axis=_taps_of(seen)) ** (1 / self.p)

    def pooled(self, x: Any, shape: tuple[int, ...], taps: Taps) -> Any:
        wide = accumulator(x.dtype)
        total = _reduced(x, taps, "pool_sum", lambda element: _raised(abs(cast(element, wide)), self.p))
        axes = names(len(taps.axes), channels_last=self.channels_last)
        root = te.compute(shape, lambda *i: _raised(total[i], 1 / self.p), name="lp_pool", names=axes)
        return rounded(root, x.dtype)

    def tvm(self, R: Any, x: Any) -> Any:
        """TVM has means: a sum is the mean times the number of elements."""
        if self.channels_last:
            return self.expand(x)
        wide = accumulator(x.dtype)
        mean = AveragePool(self.kernel, self.strides, self.padding, self.dilation, self.ceil_mode, self.auto_pad)
        count = counted([w.taps(np.arange(w.count), 0, w.size) for w in self.windows(x.shape[2:], self.kernel)])
        total = mean.tvm(R, _raised(R.abs(x.astype(wide)), self.p)) * count.astype(wide.numpy)
        return _raised(total, 1 / self.p).astype(x.dtype)

    @classmethod
    def more(cls, draw: Draw) -> dict[str, Any]:
        return {"p": draw.integer(1, 4)}


class GlobalPool(Operator):
    """Base of the reductions over all spatial axes, which are kept with extent 1."""

    __slots__ = ()
    kind = Kind.REDUCTION
    composite = True
    reduction: ClassVar[type[ReduceMean | ReduceMax]]

    def over(self, x: Any) -> Operator:
        """The reduction that it is of `x`."""
        if len(x.shape) < 3:
            problem = f"expected spatial axes after N and C, got rank {len(x.shape)}"
            raise self.error(problem, type_of(x), hint="add axes before: Unsqueeze")
        return self.reduction(tuple(range(2, len(x.shape))))

    def infer(self, x: TensorType) -> TensorType:
        return self.over(x).infer(x)

    def expand(self, x: Any) -> Any:
        return self.over(x)(x)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(), (TensorType(draw.dtype(("float",)), draw.shape(2) + draw.shape((1, 2), 1, 5)),)


@operator
class GlobalAveragePool(GlobalPool):
    """The mean over all spatial axes, kept with extent 1."""

    reduction: ClassVar[type[ReduceMean | ReduceMax]] = ReduceMean


@operator
class GlobalMaxPool(GlobalPool):
    """The greatest over all spatial axes, kept with extent 1."""

    reduction: ClassVar[type[ReduceMean | ReduceMax]] = ReduceMax
