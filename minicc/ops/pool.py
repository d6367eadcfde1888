"""Pooling: the greatest element, the mean or the norm of each window.

In: `[N, C, spatial...]`. Out: the same with one element per window. Padding never takes part in a
maximum; AveragePool counts it when `count_include_pad`. With `ceil_mode` a last window that is
only partly on the data counts, unless it starts in the end padding. A window that is larger than
the padded data is clipped to it. NaN wins every maximum.

>>> import numpy as np
>>> MaxPool(kernel=(2,), strides=(2,), ceil_mode=True)(np.array([[[1.0, 3.0, 2.0]]]))
array([[[3., 2.]]])
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Array, Draw, Example, Kind, Operator, like, operator, type_of
from minicc.ops.conv import draw_sliding, tvm_attributes, rounded
from minicc.ops.generate import filled
from minicc.ops.reduction import ReduceMax, ReduceMean
from minicc.ops.scalar import accumulator
from minicc.ops.window import LETTERS, Sliding, Window, Windowed, longest, views
from minicc.tensor.expr import Expr, all_of, call, cast, const, select
from minicc.types import TensorType, float64, int64


def _windows(op: Any, x: TensorType) -> tuple[Window, ...]:
    """The windows of a pooling operator; raises when its attributes do not fit `x`."""
    sliding = Sliding(op.strides, op.padding, op.dilation, op.auto_pad, op.ceil_mode, clip=True)
    if problem := sliding.problem(x.rank - 2, op.kernel):
        raise op.error(problem, x)
    windows = sliding.windows(x.shape[2:], op.kernel)
    if problem := longest(windows):
        raise op.error(problem, x, hint="pad by less")
    return windows


def _pooled(op: Any, x: TensorType) -> TensorType:
    """The type of a pooled `x`."""
    if x.dtype.kind == "bool":
        raise op.error("expected numbers, got bool", x, hint="cast it to float32")
    return TensorType(x.dtype, (*x.shape[:2], *[w.count for w in _windows(op, x)]))


def _tvm_pool(R: Any, name: str, op: Any, x: Any, **options: Any) -> Any:
    """The pooling operator `name` of TVM, with a kernel that is too large clipped to the padded data."""
    windows, result = _windows(op, x.type), op.infer(x.type)
    strides, padding, dilation = tvm_attributes(windows)
    if any(w.cut().far for w in windows):
        raise R.refuse(op, "TVM stores the padding")
    kernel = [w.kernel for w in windows]
    pool = R[f"nn.{name}_pool{len(windows)}d"]
    wide = x.astype(accumulator(x.dtype))
    pooled = pool(wide, kernel, strides, padding, dilation, op.ceil_mode, **options).astype(x.dtype)
    if pooled.shape == result.shape:
        return pooled
    rank = len(result.shape)  # what is left of a clipped kernel may fit more than once
    return R.strided_slice(pooled, list(range(rank)), [0] * rank, list(result.shape))


def _names(rank: int) -> list[str]:
    return ["n", "c", *[f"o{letter}" for letter in LETTERS[rank]]]


def _cut(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    return tuple(w.cut(own=True) for w in windows)


class _Taps:
    """The taps of a window in te, cut to the data: reduction axes, and the elements under them."""

    def __init__(self, windows: tuple[Window, ...]) -> None:
        letters = LETTERS[len(windows)]
        self.windows = _cut(windows)
        self.axes = [te.reduce_axis((0, w.kernel), name=f"k{n}") for w, n in zip(self.windows, letters, strict=True)]

    def places(self, o: tuple[Expr, ...]) -> list[Expr]:
        return [w.place(i, k.var) for w, i, k in zip(self.windows, o, self.axes, strict=True)]

    def inside(self, o: tuple[Expr, ...]) -> Expr:
        """Whether the element under the tap exists."""
        triples = zip(self.windows, o, self.places(o), strict=True)
        return all_of(*[cond for w, i, place in triples for cond in w.inside(i, place)])

    def element(self, x: Any, n: Expr, c: Expr, o: tuple[Expr, ...], fill: Any) -> Expr:
        return select(self.inside(o), x[(n, c, *self.places(o))], const(fill, x.dtype))

    def position(self) -> Expr:
        """The number of the tap in its window, row by row."""
        flat: Expr = const(0)
        for w, k in zip(self.windows, self.axes, strict=True):
            flat = flat * w.kernel + k.var
        return flat


def _lowest(dtype: Any) -> Any:
    return dtype.range[0]


def _maximum(x: Any, shape: tuple[int, ...], taps: _Taps) -> Any:
    return te.compute(
        shape,
        lambda n, c, *o: te.max(taps.element(x, n, c, o, _lowest(x.dtype)), axis=taps.axes),
        name="max_pool",
        names=_names(len(taps.windows)),
    )


def _draw_pool(draw: Draw) -> tuple[dict[str, Any], TensorType]:
    rank = draw.integer(1, 2)
    strides, padding, dilation, auto_pad = draw_sliding(draw, rank)
    kernel = tuple(draw.integer(2, 3) for _ in range(rank))
    padding = tuple(min(p, kernel[a % rank] - 1) for a, p in enumerate(padding))
    x = TensorType(draw.dtype(("float",)), (draw.integer(0, 2), draw.integer(0, 2), *draw.shape(rank, 1, 9)))
    fields = {"strides": strides, "padding": padding, "dilation": dilation, "auto_pad": auto_pad}
    return {"kernel": kernel, "ceil_mode": draw.boolean(), **fields}, x


@operator
class MaxPool(Windowed):
    """The greatest element of each window."""

    kind: ClassVar[Kind] = Kind.ANCHOR

    kernel: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    ceil_mode: bool = False
    auto_pad: str = "NOTSET"

    def infer(self, x: TensorType) -> TensorType:
        return _pooled(self, x)

    def numpy(self, x: Array) -> Array:
        result = self.infer(type_of(x))
        if 0 in result.shape:
            return np.zeros(result.shape, x.dtype)
        seen = views(x, _cut(_windows(self, type_of(x))), _lowest(result.dtype))
        with np.errstate(invalid="ignore"):
            return np.asarray(np.max(seen, axis=tuple(range(x.ndim, seen.ndim))))

    def compute(self, x: Any) -> Any:
        result = self.infer(type_of(x))
        if 0 in result.shape:
            return filled(result.shape, 0, x.dtype, "max_pool")
        return _maximum(x, result.shape, _Taps(_windows(self, type_of(x))))

    def tvm(self, R: Any, x: Any) -> Any:
        return _tvm_pool(R, "max", self, x)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        fields, x = _draw_pool(draw)
        return cls(**fields), (TensorType(draw.dtype(("float", "int")), x.shape),)


@operator
class MaxPoolIndices(Windowed):
    """Where in the whole tensor the greatest element of each window is: the first of equal ones.

    The index is that of the flattened tensor; with `storage_order` 1 the spatial axes are
    flattened column by column. A window with no element gives -1.
    """

    kind: ClassVar[Kind] = Kind.OPAQUE

    kernel: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    ceil_mode: bool = False
    auto_pad: str = "NOTSET"
    storage_order: int = 0

    def infer(self, x: TensorType) -> TensorType:
        if self.storage_order not in (0, 1):
            raise self.error(
                f"storage_order must be 0, row by row, or 1, column by column, got {self.storage_order}",
                x,
                hint="storage_order=0",
            )
        return TensorType(int64, _pooled(self, x).shape)

    def _flat(self, shape: tuple[int, ...], n: Any, c: Any, places: Any) -> Any:
        """The flat index of `x[n, c, places]`, of expressions or of arrays."""
        flat, spatial = n * shape[1] + c, list(zip(shape[2:], places, strict=True))
        flat = flat * math.prod(shape[2:])
        inner: Any = 0
        for extent, place in spatial if self.storage_order == 0 else reversed(spatial):
            inner = inner * extent + place
        return flat + inner

    def numpy(self, x: Array) -> Array:
        windows, result = _cut(_windows(self, type_of(x))), self.infer(type_of(x))
        kernel = tuple(w.kernel for w in windows)
        if 0 in result.shape:
            return np.zeros(result.shape, np.int64)
        taps = (*result.shape, -1)
        seen = views(x, windows, 0).reshape(taps)
        inside = np.broadcast_to(views(np.ones((1, 1, *x.shape[2:]), bool), windows, False),
                                 (*result.shape, *kernel)).reshape(taps)  # fmt: skip
        with np.errstate(invalid="ignore"):
            greatest = np.max(seen, axis=-1, keepdims=True, where=inside, initial=_lowest(type_of(x).dtype))
        hit = inside & ((seen == greatest) | ((seen != seen) & (greatest != greatest)))
        first = np.unravel_index(np.argmax(hit, axis=-1), kernel)
        n, c, *o = np.indices(result.shape, sparse=True)
        places = [w.place(i, k) for w, i, k in zip(windows, o, first, strict=True)]
        flat: Array = np.where(hit.any(-1), self._flat(x.shape, n, c, places), -1)
        return flat

    def compute(self, x: Any) -> Any:
        result, windows = self.infer(type_of(x)), _windows(self, type_of(x))
        if 0 in result.shape:
            return filled(result.shape, 0, int64, "max_pool_indices")
        greatest = _maximum(x, result.shape, _Taps(windows))
        taps, names = _Taps(windows), _names(len(windows))
        windows, none = taps.windows, math.prod(w.kernel for w in taps.windows)

        def first(n: Expr, c: Expr, *o: Expr) -> Expr:
            # nested selects, as a tap outside of the tensor must not be loaded
            here, best = x[(n, c, *taps.places(o))], greatest[(n, c, *o)]
            hit = here.equal(best)
            if x.dtype.is_float:
                hit = hit | (here.not_equal(here) & best.not_equal(best))
            return te.min(
                select(taps.inside(o), select(hit, taps.position(), const(none)), const(none)), axis=taps.axes
            )

        position = te.compute(result.shape, first, name="position", names=names)

        def index(n: Expr, c: Expr, *o: Expr) -> Expr:
            flat, taken = position[(n, c, *o)], []
            for w in reversed(windows):
                taken.append(flat % w.kernel)
                flat = flat // w.kernel
            places = [w.place(i, k) for w, i, k in zip(windows, o, reversed(taken), strict=True)]
            return select(position[(n, c, *o)] < none, self._flat(x.shape, n, c, places), const(-1))

        return te.compute(result.shape, index, name="max_pool_indices", names=names)

    def tvm(self, R: Any, x: Any) -> Any:
        """TVM's pooling gives no indices: the elements of each window, their ArgMax, and where that lies."""
        result, spatial = self.infer(x.type), x.shape[2:]
        size, rank = math.prod(spatial), len(spatial)
        # [windows, taps]: which element; outside of the tensor the first of the window again, of a window with none -1
        under = views(np.arange(size).reshape(1, 1, *spatial), _cut(_windows(self, x.type)), -1).reshape(
            math.prod(result.shape[2:]), -1
        )
        first = np.take_along_axis(under, np.argmax(under >= 0, axis=1, keepdims=True), axis=1)
        under = np.where(under < 0, first, under)
        seen = R.take(
            R.reshape(x.astype(accumulator(x.dtype)), (*x.shape[:2], size)), np.maximum(under, 0), axis=2, mode="clip"
        )
        best = R.maximum(R.argmax(seen, axis=3), np.int64(0))  # TVM finds none, -1, among nothing but -inf
        axes = list(range(rank)) if self.storage_order == 0 else list(reversed(range(rank)))
        stored = np.arange(size).reshape([spatial[a] for a in axes]).transpose(axes).reshape(-1)
        places = np.where(under < 0, -1, stored[under]).reshape(-1)
        place = R.take(R.constant(places), R.add(best, np.arange(len(under)) * under.shape[1]), axis=0, mode="clip")
        begin = np.arange(math.prod(x.shape[:2])).reshape(*x.shape[:2], 1) * size
        return R.reshape(R.where(R.less(place, np.int64(0)), place, R.add(place, begin)), result.shape)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        fields, x = _draw_pool(draw)
        return cls(**fields, storage_order=draw.integer(0, 1)), (x,)


@operator
class AveragePool(Windowed):
    """The mean of each window: over its elements, or over padding too when `count_include_pad`.

    It is summed in float64 and rounded once, as that of ReduceMean.
    """

    kind: ClassVar[Kind] = Kind.ANCHOR

    kernel: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    ceil_mode: bool = False
    count_include_pad: bool = False
    auto_pad: str = "NOTSET"

    def infer(self, x: TensorType) -> TensorType:
        if not x.dtype.is_float:
            raise self.error(f"expected floats, got {x.dtype}", x, hint="cast it to float32")
        return _pooled(self, x)

    def _range(self, w: Window) -> tuple[int, int]:
        """The places that count, from the first to behind the last."""
        return (-w.begin, w.size + w.end) if self.count_include_pad else (0, w.size)

    def numpy(self, x: Array) -> Array:
        result, windows = self.infer(type_of(x)), _windows(self, type_of(x))
        if 0 in result.shape:
            return np.zeros(result.shape, x.dtype)
        wide = np.float64
        seen = views(x.astype(wide), _cut(windows), 0)
        count = np.ones((), wide)
        for axis, w in enumerate(windows):
            here = w.taps(np.arange(w.count), *self._range(w))
            count = count * here.reshape((-1,) + (1,) * (len(windows) - 1 - axis)).astype(wide)
        with np.errstate(all="ignore"):
            mean: Array = (seen.sum(axis=tuple(range(x.ndim, seen.ndim)), dtype=wide) / count).astype(x.dtype)
        return mean

    def _count(self, w: Window, i: Expr) -> Expr:
        """How many taps of window `i` count, in closed form."""
        low, high = self._range(w)
        if w.begin + low <= 0 and (w.count - 1) * w.stride + w.reach - w.begin <= high:
            return const(w.kernel)
        taps: Expr = w.taps(i, low, high)
        return taps

    def compute(self, x: Any) -> Any:
        result, windows = self.infer(type_of(x)), _windows(self, type_of(x))
        if 0 in result.shape:
            return filled(result.shape, 0, x.dtype, "average_pool")
        taps, names, wide = _Taps(windows), _names(len(windows)), float64
        total = te.compute(
            result.shape,
            lambda n, c, *o: te.sum(cast(taps.element(x, n, c, o, 0), wide), axis=taps.axes),
            name="pool_sum",
            names=names,
        )

        def mean(n: Expr, c: Expr, *o: Expr) -> Expr:
            count: Expr = const(1, wide)
            for w, i in zip(windows, o, strict=True):
                count = count * cast(self._count(w, i), wide)  # as an integer the product might not fit
            return total[(n, c, *o)] / count

        return rounded(te.compute(result.shape, mean, name="average_pool", names=names), x.dtype)

    def tvm(self, R: Any, x: Any) -> Any:
        return _tvm_pool(R, "avg", self, x, count_include_pad=self.count_include_pad)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        fields, x = _draw_pool(draw)
        return cls(**fields, count_include_pad=draw.boolean()), (x,)


@operator
class LpPool(Windowed):
    """The p-norm of each window: the root of the sum of |element| ** p. Padding adds nothing."""

    kind: ClassVar[Kind] = Kind.ANCHOR

    kernel: tuple[int, ...]
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    ceil_mode: bool = False
    auto_pad: str = "NOTSET"
    p: int = 2

    def infer(self, x: TensorType) -> TensorType:
        if not x.dtype.is_float or self.p < 1:
            raise self.error(
                f"expected floats and a p of at least 1, got {x.dtype} and {self.p}",
                x,
                hint="cast it to float32; p=2 is the Euclidean length",
            )
        return _pooled(self, x)

    def numpy(self, x: Array) -> Array:
        result = self.infer(type_of(x))
        if 0 in result.shape:
            return np.zeros(result.shape, x.dtype)
        seen = views(np.abs(x.astype(accumulator(result.dtype).numpy)), _cut(_windows(self, type_of(x))), 0)
        with np.errstate(all="ignore"):
            total = np.sum(seen**self.p, axis=tuple(range(x.ndim, seen.ndim)))
            return np.asarray(total ** (1 / self.p)).astype(x.dtype)

    def _raised(self, value: Any, power: float, room: Any) -> Any:
        """`value ** power`, by what the power stands for where there is such a thing; `room(name, *values)` applies a function."""
        if power == 1:
            return value
        if power == 2:
            return value * value
        return room("sqrt", value) if power == 0.5 else room("pow", value, power)

    def compute(self, x: Any) -> Any:
        result = self.infer(type_of(x))
        if 0 in result.shape:
            return filled(result.shape, 0, x.dtype, "lp_pool")
        taps, wide = _Taps(_windows(self, type_of(x))), accumulator(x.dtype)

        def room(name: str, value: Expr, *powers: float) -> Expr:
            return call(name, value, *[const(power, wide) for power in powers])

        total = te.compute(
            result.shape,
            lambda n, c, *o: te.sum(
                self._raised(abs(cast(taps.element(x, n, c, o, 0), wide)), self.p, room), axis=taps.axes
            ),
            name="pool_sum",
            names=_names(len(taps.windows)),
        )
        root = te.compute(
            result.shape,
            lambda *i: self._raised(total[i], 1 / self.p, room),
            name="lp_pool",
            names=_names(len(taps.windows)),
        )
        return rounded(root, x.dtype)

    def tvm(self, R: Any, x: Any) -> Any:
        """TVM has means: a sum is the mean times the number of elements."""
        windows, wide = _windows(self, x.type), accumulator(x.dtype)

        def room(name: str, value: Any, *powers: float) -> Any:
            return R[{"pow": "power"}.get(name, name)](value, *[like(value, power) for power in powers])

        mean = AveragePool(self.kernel, self.strides, self.padding, self.dilation, self.ceil_mode, False, self.auto_pad)
        count = math.prod(
            np.meshgrid(*[w.taps(np.arange(w.count), 0, w.size) for w in windows], indexing="ij"),
            start=np.ones((), np.int64),
        )
        total = mean.tvm(R, self._raised(R.abs(x.astype(wide)), self.p, room)) * count.astype(wide.numpy)
        return self._raised(total, 1 / self.p, room).astype(x.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        fields, x = _draw_pool(draw)
        return cls(**fields, p=draw.integer(1, 4)), (x,)


def _spatial(op: Operator, x: Any) -> tuple[int, ...]:
    if len(x.shape) < 3:
        raise op.error(
            f"expected spatial axes after N and C, got rank {len(x.shape)}",
            type_of(x),
            hint="add axes before: Unsqueeze",
        )
    return tuple(range(2, len(x.shape)))


@operator
class GlobalAveragePool(Operator):
    """The mean over all spatial axes, kept with extent 1."""

    kind: ClassVar[Kind] = Kind.REDUCTION
    composite: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        return ReduceMean(_spatial(self, x)).infer(x)

    def expand(self, x: Any) -> Any:
        return ReduceMean(_spatial(self, x))(x)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(), (TensorType(draw.dtype(("float",)), draw.shape(2) + draw.shape((1, 2), 1, 5)),)


@operator
class GlobalMaxPool(Operator):
    """The greatest over all spatial axes, kept with extent 1."""

    kind: ClassVar[Kind] = Kind.REDUCTION
    composite: ClassVar[bool] = True

    def infer(self, x: TensorType) -> TensorType:
        return ReduceMax(_spatial(self, x)).infer(x)

    def expand(self, x: Any) -> Any:
        return ReduceMax(_spatial(self, x))(x)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(), (TensorType(draw.dtype(("float",)), draw.shape(2) + draw.shape((1, 2), 1, 5)),)


__all__ = ["AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool", "MaxPoolIndices"]
