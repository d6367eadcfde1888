"""Reductions: many elements of a tensor become one.

In: a tensor. Out: the tensor without `axes`, or with extent 1 there when `keepdims`. Without axes
(None, or empty) all are reduced, or none when `noop_with_empty_axes`. Over an empty axis a
reduction gives its identity. float16 and bfloat16 are accumulated in float32.

A subclass says what is done before, between and after: `before` on each element, the `combine`
of `te`, `after` on each result.

>>> import numpy as np
>>> ReduceSum(axes=(1,), keepdims=False)(np.ones((2, 3)))
array([3., 3.])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ir.node import node
from minicc.ops.base import NUMERIC, Array, Draw, Example, Kind, Operand, axis_of, dtype_of, like, operator, type_of
from minicc.ops.elementwise import Abs, Widening
from minicc.ops.scalar import accumulator, widened
from minicc.tensor.expr import Expr, binary, call, cast, const, select
from minicc.types import TensorType, boolean, float64, int64, uint8

Place = Callable[[Sequence[Any]], Expr]  # from the indices of a result to the element there


def reduced(shape: Sequence[Any], axes: Sequence[int], keepdims: bool) -> tuple[Any, ...]:
    """The shape after reducing `axes`."""
    return tuple(1 if d in axes else n for d, n in enumerate(shape) if keepdims or d not in axes)


def reduce(
    combine: Callable[..., Expr],
    shape: Sequence[Any],
    axes: Sequence[int],
    value: Place,
    name: str,
    keepdims: bool = True,
) -> te.Tensor:
    """The tensor `combine(value(point))` over `axes` of `range(shape)`."""
    loops = {d: te.reduce_axis((0, shape[d]), name=f"k{d}") for d in axes}
    kept = [d for d in range(len(shape)) if keepdims or d not in axes]

    def element(*indices: Expr) -> Expr:
        outer = dict(zip(kept, indices, strict=True))
        point = [loops[d].var if d in loops else outer[d] for d in range(len(shape))]
        return combine(value(point), axis=tuple(loops.values())) if loops else value(point)

    return te.compute(reduced(shape, axes, keepdims), element, name=name, names=[f"i{d}" for d in kept])


@node
class Reduction(Widening):
    """Base of the reductions."""

    kind: ClassVar[Kind] = Kind.REDUCTION
    operands: ClassVar[tuple[str, ...]] = ("axes",)
    accepts: ClassVar[tuple[str, ...]] = NUMERIC
    ufunc: ClassVar[np.ufunc] = np.add
    combine: ClassVar[str] = "sum"

    axes: tuple[int, ...] | Operand | None = None
    keepdims: bool = True
    noop_with_empty_axes: bool = False

    def before(self, x: Any) -> Any:
        """What is reduced, of one element (an array or an expression)."""
        return x

    def after(self, total: Any, count: int) -> Any:
        """The result, of the reduction of `count` elements."""
        return total

    def axes_of(self, x: TensorType) -> tuple[int, ...]:
        """The axes to reduce, counted from the front, in order."""
        assert not isinstance(self.axes, Operand), "bind the axes first"
        axes = (self.axes,) if isinstance(self.axes, int) else self.axes
        if not axes:
            return () if self.noop_with_empty_axes else tuple(range(x.rank))
        found = sorted(axis_of(self, axis, x) for axis in axes)
        if len(set(found)) < len(found):
            raise self.error(
                f"axes must be distinct, got {axes}", x, hint="name each axis once, counted from 0 or from -1"
            )
        return tuple(found) if x.rank else ()

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype.kind not in self.accepts:
            raise self.error(
                f"expected a dtype of kind {' or '.join(self.accepts)}, got {x.dtype}", x, hint="insert a Cast"
            )
        return TensorType(x.dtype, reduced(x.shape, self.axes_of(x), self.keepdims))

    def numpy(self, x: Array) -> Array:
        axes = self.axes_of(type_of(x))
        dtype = accumulator(dtype_of(x))
        count = math.prod(x.shape[d] for d in axes)
        with np.errstate(all="ignore"):
            inputs = np.asarray(self.before(widened(x)))
            start = {"initial": self._identity(dtype)} if self.combine in ("max", "min") else {}
            total = self.ufunc.reduce(inputs, axis=axes, keepdims=self.keepdims, dtype=inputs.dtype, **start)
            return np.asarray(np.asarray(self.after(total, count)).astype(x.dtype, copy=False))

    def _identity(self, dtype: Any) -> Any:
        low, high = dtype.range
        return low if self.combine == "max" else high

    def compute(self, x: te.Tensor) -> te.Tensor:
        axes = self.axes_of(type_of(x))
        count = math.prod(x.shape[d] for d in axes)
        plain = type(self).after is Reduction.after and accumulator(x.dtype) is x.dtype
        name = self.name.lower()

        def value(point: Sequence[Any]) -> Any:
            return self.before(widened(x[tuple(point)]))

        stage = name if plain else self.combine
        total = reduce(getattr(te, self.combine), x.shape, axes, value, stage, self.keepdims)
        if plain:
            return total
        return te.compute(total.shape, lambda *i: cast(self.after(total[i], count), x.dtype), name=name)

    def form(self, R: Any, x: Any) -> Any:
        return self.total(R, x)

    def total(self, R: Any, x: Any) -> Any:
        """TVM's reduction over the axes; its greatest and its least of nothing are not defined."""
        axes = self.axes_of(x.type)
        if self.combine in ("max", "min") and not all(x.shape[d] for d in axes):
            return R.broadcast_to(like(x, self._identity(x.dtype)), reduced(x.shape, axes, self.keepdims))
        return R[self.combine](x, list(axes), self.keepdims) if axes else x

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(cls.accepts)
        axes = tuple(d - (x.rank if draw.boolean() else 0) for d in range(x.rank) if draw.boolean())
        given = None if not axes and draw.boolean() else axes
        return cls(given, draw.boolean(), draw.boolean()), [cls.inputs(draw, x)]

    @classmethod
    def inputs(cls, draw: Draw, x: TensorType) -> Any:
        """Data of type `x`, on which the result is well defined."""
        return x


def _sqrt(x: Any) -> Any:
    """The square root of an array or an expression; of integers, truncated."""
    if not isinstance(x, Expr):
        return np.sqrt(x)
    return call("sqrt", x if x.dtype.is_float else cast(x, float64))


def _log(x: Any) -> Any:
    return call("log", x) if isinstance(x, Expr) else np.log(x)


def _exp(x: Any) -> Any:
    return call("exp", x) if isinstance(x, Expr) else np.exp(x)


def _abs(x: Any) -> Any:
    unsigned = dtype_of(x).kind == "uint"
    return x if unsigned else abs(x)


def _counted(x: Any) -> Any:
    """`x`, a 32-bit number or a shorter one, in 64 bits, where a sum fits that leaves the dtype of `x`."""
    dtype = dtype_of(x)
    wide = float64 if dtype.is_float else dtype if dtype.bits == 64 else int64
    return x if dtype is wide else cast(x, wide) if isinstance(x, Expr) else x.astype(wide.numpy)


@operator
class ReduceSum(Reduction):
    """The sum."""


@operator
class ReduceMean(Reduction):
    """The arithmetic mean, rounded once: the sum is one in 64 bits. Of integers truncated, and 0 over nothing.

    So the mean of equal numbers is that number, and E[x*x] - E[x]*E[x] of them is 0, not some rounding below.
    """

    def before(self, x: Any) -> Any:
        return _counted(x)

    def after(self, total: Any, count: int) -> Any:
        if dtype_of(total).is_float:
            return total / (const(count, total.dtype) if isinstance(total, Expr) else dtype_of(total).numpy.type(count))
        if isinstance(total, Expr):
            return binary("truncdiv", total, count)
        return (total - np.fmod(total, count)) // count if count else total

    def form(self, R: Any, x: Any) -> Any:
        """TVM's own gives integers the dtype int64, and refuses the mean of nothing."""
        axes = self.axes_of(x.type)
        count = math.prod(x.shape[d] for d in axes)
        if not count:
            return R.broadcast_to(like(x, np.nan if x.dtype.is_float else 0), reduced(x.shape, axes, self.keepdims))
        if x.dtype.is_float:
            return R.mean(x, list(axes), self.keepdims) if axes else x
        return (self.total(R, _counted(x)) / count).astype(x.dtype)


class Extreme(Reduction):
    """Base of the greatest and the least."""

    __slots__ = ()
    accepts: ClassVar[tuple[str, ...]] = (*NUMERIC, "bool")

    def form(self, R: Any, x: Any) -> Any:
        return self.total(R, x.astype(uint8)).astype(boolean) if x.dtype is boolean else self.total(R, x)


@operator
class ReduceMax(Extreme):
    """The greatest, NaN if any is; the least value of the dtype over nothing."""

    ufunc: ClassVar[np.ufunc] = np.maximum
    combine: ClassVar[str] = "max"


@operator
class ReduceMin(Extreme):
    """The least, NaN if any is; the greatest value of the dtype over nothing."""

    ufunc: ClassVar[np.ufunc] = np.minimum
    combine: ClassVar[str] = "min"


@operator
class ReduceProd(Reduction):
    """The product."""

    ufunc: ClassVar[np.ufunc] = np.multiply
    combine: ClassVar[str] = "prod"


@operator
class ReduceL1(Reduction):
    """The sum of absolute values."""

    def before(self, x: Any) -> Any:
        return _abs(x)

    def form(self, R: Any, x: Any) -> Any:
        return self.total(R, Abs()(x))


@operator
class ReduceL2(Reduction):
    """The square root of the sum of squares; of integers, which are summed in 64 bits, truncated."""

    def before(self, x: Any) -> Any:
        x = x if dtype_of(x).is_float else _counted(x)
        return x * x

    def after(self, total: Any, count: int) -> Any:
        return _sqrt(total)

    def form(self, R: Any, x: Any) -> Any:
        total = self.total(R, self.before(x))
        return R.sqrt(total) if x.dtype.is_float else R.sqrt(total.astype(float64)).astype(x.dtype)

    @classmethod
    def inputs(cls, draw: Draw, x: TensorType) -> Any:
        return x if x.dtype.is_float else draw.array(x, 0, 3)  # a sum that wraps has no root


@operator
class ReduceSumSquare(Reduction):
    """The sum of squares."""

    def before(self, x: Any) -> Any:
        return x * x

    def form(self, R: Any, x: Any) -> Any:
        return self.total(R, x * x)


@operator
class ReduceLogSum(Reduction):
    """The logarithm of the sum."""

    accepts: ClassVar[tuple[str, ...]] = ("float",)

    def after(self, total: Any, count: int) -> Any:
        return _log(total)

    def form(self, R: Any, x: Any) -> Any:
        return R.log(self.total(R, x))


@operator
class ReduceLogSumExp(Reduction):
    """The logarithm of the sum of exponentials, shifted by the maximum so that none overflows."""

    accepts: ClassVar[tuple[str, ...]] = ("float",)

    def numpy(self, x: Array) -> Array:
        axes = self.axes_of(type_of(x))
        wide = widened(x)
        with np.errstate(all="ignore"):
            greatest = np.maximum.reduce(wide, axis=axes, keepdims=True, initial=-np.inf)
            shift = np.where(np.isinf(greatest), 0, greatest)
            result = np.log(np.sum(np.exp(wide - shift), axis=axes, keepdims=True)) + shift
        shape = reduced(x.shape, axes, self.keepdims)
        return np.asarray(result.reshape(shape).astype(x.dtype))

    def compute(self, x: te.Tensor) -> te.Tensor:
        axes = self.axes_of(type_of(x))

        def place(point: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(0 if d in axes else i for d, i in enumerate(point))

        def shift(point: Sequence[Any]) -> Expr:
            return select(call("isinf", greatest[place(point)], dtype=boolean), 0.0, greatest[place(point)])

        greatest = reduce(te.max, x.shape, axes, lambda p: widened(x[tuple(p)]), "max")
        total = reduce(te.sum, x.shape, axes, lambda p: _exp(widened(x[tuple(p)]) - shift(p)), "sum")
        kept = [d for d in range(x.rank) if self.keepdims or d not in axes]

        def element(*indices: Expr) -> Expr:
            outer = dict(zip(kept, indices, strict=True))
            point = tuple(0 if d in axes else outer[d] for d in range(x.rank))
            return cast(_log(total[point]) + shift(point), x.dtype)

        shape = reduced(x.shape, axes, self.keepdims)
        return te.compute(shape, element, name=self.name.lower())

    def form(self, R: Any, x: Any) -> Any:
        axes = self.axes_of(x.type)
        greatest = ReduceMax(axes, noop_with_empty_axes=True)(x)
        shift = R.where(R.isinf(greatest), like(x, 0), greatest)
        total = ReduceSum(axes, noop_with_empty_axes=True)(R.exp(x - shift))
        return R.reshape(R.log(total) + shift, reduced(x.shape, axes, self.keepdims))
