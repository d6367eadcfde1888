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
from minicc.ir.node import node, replace
from minicc.ops.base import FLOAT, NUMERIC, Array, Draw, Example, Kind, Operand, axis_of, dtype_of, like, operator
from minicc.ops.base import type_of
from minicc.ops.comparison import IsInf, Where
from minicc.ops.elementwise import Exp, Log, Widening
from minicc.ops.order import Order, Permuted, without
from minicc.ops.scalar import accumulator, by_numpy, by_tvm, widened
from minicc.ops.shape import Reshape
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

    kind = Kind.REDUCTION
    operands = ("axes",)
    accepts = NUMERIC
    ufunc: ClassVar[np.ufunc] = np.add
    combine: ClassVar[str] = "sum"

    axes: tuple[int, ...] | Operand | None = None
    keepdims: bool = True
    noop_with_empty_axes: bool = False

    def before(self, x: Expr) -> Expr:
        """What is reduced, of one element."""
        return x

    def after(self, total: Expr, count: int) -> Expr:
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
            hint = "name each axis once, counted from 0 or from -1"
            raise self.error(f"axes must be distinct, got {axes}", x, hint=hint)
        return tuple(found) if x.rank else ()

    def infer(self, x: TensorType) -> TensorType:
        self.accept(x)
        return TensorType(x.dtype, reduced(x.shape, self.axes_of(x), self.keepdims))

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        axes = self.axes_of(x)
        op = replace(self, axes=tuple(sorted(order.index(axis) for axis in axes)), noop_with_empty_axes=True)
        return Permuted(op, (order,), order if self.keepdims else without(order, axes))

    def _count(self, x: Any) -> int:
        return math.prod(x.shape[d] for d in self.axes_of(type_of(x)))

    def numpy(self, x: Array) -> Array:
        axes, count = self.axes_of(type_of(x)), self._count(x)
        with np.errstate(all="ignore"):
            inputs = by_numpy(self.before, [widened(x)])
            start = {"initial": self._identity(dtype_of(inputs))} if self.combine in ("max", "min") else {}
            total = self.ufunc.reduce(inputs, axis=axes, keepdims=self.keepdims, dtype=inputs.dtype, **start)
            return by_numpy(lambda t: self.after(t, count), [np.asarray(total)]).astype(x.dtype, copy=False)

    def _identity(self, dtype: Any) -> Any:
        low, high = dtype.range
        return low if self.combine == "max" else high

    def compute(self, x: te.Tensor) -> te.Tensor:
        axes = self.axes_of(type_of(x))
        count = self._count(x)
        plain = type(self).after is Reduction.after and accumulator(x.dtype) is x.dtype
        name = self.name.lower()
        stage = name if plain else self.combine
        combine = getattr(te, self.combine)
        total = reduce(combine, x.shape, axes, lambda p: self.before(widened(x[tuple(p)])), stage, self.keepdims)
        if plain:
            return total
        return te.compute(total.shape, lambda *i: cast(self.after(total[i], count), x.dtype), name=name)

    def form(self, R: Any, x: Any) -> Any:
        total, count = self.total(R, by_tvm(R, self.before, [x])), self._count(x)
        return by_tvm(R, lambda t: self.after(t, count), [total]).astype(x.dtype)

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


def _counted(x: Expr) -> Expr:
    """`x`, a 32-bit number or a shorter one, in 64 bits, where a sum fits that leaves the dtype of `x`."""
    wide = float64 if x.dtype.is_float else x.dtype if x.dtype.bits == 64 else int64
    return x if x.dtype is wide else cast(x, wide)


@operator
class ReduceSum(Reduction):
    """The sum."""


@operator
class ReduceMean(Reduction):
    """The arithmetic mean, rounded once: the sum is one in 64 bits. Of integers truncated, and 0 over nothing.

    So the mean of equal numbers is that number, and E[x*x] - E[x]*E[x] of them is 0, not some rounding below.
    """

    def before(self, x: Expr) -> Expr:
        return _counted(x)

    def after(self, total: Expr, count: int) -> Expr:
        return total / const(count, total.dtype) if total.dtype.is_float else binary("truncdiv", total, count)

    def form(self, R: Any, x: Any) -> Any:
        """TVM's own gives integers the dtype int64, and refuses the mean of nothing."""
        axes = self.axes_of(x.type)
        if not self._count(x):
            return R.broadcast_to(like(x, np.nan if x.dtype.is_float else 0), reduced(x.shape, axes, self.keepdims))
        if not x.dtype.is_float:
            return Reduction.form(self, R, x)
        return R.mean(x, list(axes), self.keepdims) if axes else x


class Extreme(Reduction):
    """Base of the greatest and the least."""

    __slots__ = ()
    accepts = (*NUMERIC, "bool")

    def form(self, R: Any, x: Any) -> Any:
        return self.total(R, x.astype(uint8)).astype(boolean) if x.dtype is boolean else self.total(R, x)


@operator
class ReduceMax(Extreme):
    """The greatest, NaN if any is; the least value of the dtype over nothing."""

    ufunc = np.maximum
    combine = "max"


@operator
class ReduceMin(Extreme):
    """The least, NaN if any is; the greatest value of the dtype over nothing."""

    ufunc = np.minimum
    combine = "min"


@operator
class ReduceProd(Reduction):
    """The product."""

    ufunc = np.multiply
    combine = "prod"


@operator
class ReduceL1(Reduction):
    """The sum of absolute values."""

    def before(self, x: Expr) -> Expr:
        return x if x.dtype.kind == "uint" else abs(x)


@operator
class ReduceL2(Reduction):
    """The square root of the sum of squares; of integers, which are summed in 64 bits, truncated."""

    def before(self, x: Expr) -> Expr:
        x = x if x.dtype.is_float else _counted(x)
        return x * x

    def after(self, total: Expr, count: int) -> Expr:
        return call("sqrt", total if total.dtype.is_float else cast(total, float64))

    @classmethod
    def inputs(cls, draw: Draw, x: TensorType) -> Any:
        return x if x.dtype.is_float else draw.array(x, 0, 3)  # a sum that wraps has no root


@operator
class ReduceSumSquare(Reduction):
    """The sum of squares."""

    def before(self, x: Expr) -> Expr:
        return x * x


@operator
class ReduceLogSum(Reduction):
    """The logarithm of the sum."""

    accepts = FLOAT

    def after(self, total: Expr, count: int) -> Expr:
        return call("log", total)


@operator
class ReduceLogSumExp(Reduction):
    """The logarithm of the sum of exponentials, shifted by the maximum so that none overflows."""

    accepts = FLOAT

    def definition(self, x: Any) -> Any:
        """The result on arrays or values of TVM."""
        axes = self.axes_of(type_of(x))
        greatest = ReduceMax(axes, noop_with_empty_axes=True)(x)
        shift = Where()(IsInf()(greatest), like(x, 0), greatest)
        total = ReduceSum(axes, noop_with_empty_axes=True)(Exp()(x - shift))
        return Reshape(reduced(x.shape, axes, self.keepdims), True)(Log()(total) + shift)

    def numpy(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.definition(widened(x)).astype(x.dtype))

    def form(self, R: Any, x: Any) -> Any:
        return self.definition(x)

    def compute(self, x: te.Tensor) -> te.Tensor:
        axes = self.axes_of(type_of(x))

        def place(point: Sequence[Any]) -> tuple[Any, ...]:
            return tuple(0 if d in axes else i for d, i in enumerate(point))

        def shift(point: Sequence[Any]) -> Expr:
            return select(call("isinf", greatest[place(point)], dtype=boolean), 0.0, greatest[place(point)])

        greatest = reduce(te.max, x.shape, axes, lambda p: widened(x[tuple(p)]), "max")
        total = reduce(te.sum, x.shape, axes, lambda p: call("exp", widened(x[tuple(p)]) - shift(p)), "sum")
        kept = [d for d in range(x.rank) if self.keepdims or d not in axes]

        def element(*indices: Expr) -> Expr:
            outer = dict(zip(kept, indices, strict=True))
            point = tuple(0 if d in axes else outer[d] for d in range(x.rank))
            return cast(call("log", total[point]) + shift(point), x.dtype)

        shape = reduced(x.shape, axes, self.keepdims)
        return te.compute(shape, element, name=self.name.lower())
