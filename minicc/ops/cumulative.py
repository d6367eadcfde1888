"""Sums and products of all elements up to each one.

In: a numeric tensor. Out: the same type. `exclusive` leaves the element itself out, `reverse`
goes from the end. float16 and bfloat16 are accumulated in float32.

>>> import numpy as np
>>> CumSum(axis=0)(np.array([1, 2, 3]))
array([1, 3, 6])
>>> CumSum(axis=0, exclusive=True, reverse=True)(np.array([1, 2, 3]))
array([5, 3, 0])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ir.node import node, replace
from minicc.ops.base import NUMERIC, Array, Draw, Example, Operand, axis_of, number, operator, type_of
from minicc.ops.elementwise import Widening
from minicc.ops.order import Order, Permuted
from minicc.ops.scalar import widened
from minicc.tensor.expr import Expr, cast, const, select
from minicc.types import TensorType


@node
class Cumulative(Widening):
    """Base of both. A subclass says what is accumulated, from which number on."""

    operands = ("axis",)
    accepts = NUMERIC
    neutral: ClassVar[int]
    combine: ClassVar[Any]  # a ufunc

    axis: int | Operand
    exclusive: bool = False
    reverse: bool = False

    def _axis(self, x: TensorType) -> int:
        return axis_of(self, number(self.axis), x)

    def infer(self, x: TensorType) -> TensorType:
        self.accept(x, expected="a numeric dtype")
        if not x.rank:
            raise self.error("expected at least one axis, got a scalar", x, hint="add an axis before: Unsqueeze")
        self._axis(x)
        return x

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        return Permuted.first(replace(self, axis=order.index(self._axis(x))), [x], order)

    def numpy(self, x: Array) -> Array:
        axis = self._axis(type_of(x))
        wide = np.flip(widened(x), axis) if self.reverse else widened(x)
        with np.errstate(all="ignore"):
            total = self.combine.accumulate(wide, axis=axis, dtype=wide.dtype)
        if self.exclusive:
            total = np.roll(total, 1, axis)
            total[(slice(None),) * axis + (slice(0, 1),)] = self.neutral
        total = np.flip(total, axis) if self.reverse else total
        return np.ascontiguousarray(total.astype(x.dtype, copy=False))

    def compute(self, x: te.Tensor) -> te.Tensor:
        """A scan along the axis, brought to the front; order and offset are put right on the way out."""
        axis = self._axis(type_of(x))
        extent = x.shape[axis]
        if not all(x.shape):
            return te.compute(x.shape, lambda *i: x[i], name=self.name.lower())
        rest = x.shape[:axis] + x.shape[axis + 1 :]
        names = ["t", *[f"i{d}" for d in range(len(rest))]]

        def turned(step: Expr) -> Expr:
            return extent - 1 - step if self.reverse else step

        def source(step: Expr, others: Sequence[Expr]) -> Expr:
            element: Expr = widened(x[(*others[:axis], turned(step), *others[axis:])])
            return element

        first = te.compute((1, *rest), lambda t, *i: source(t, i), name=f"{self.name.lower()}_first", names=names)
        state = te.placeholder((extent, *rest), first.dtype, name=f"{self.name.lower()}_state")

        def step(t: Expr, *i: Expr) -> Expr:
            before, element = state[(t - 1, *i)], source(t, i)
            return before * element if self.neutral else before + element

        update = te.compute(state.shape, step, name=f"{self.name.lower()}_step", names=names)
        total = te.scan(first, update, state, name=f"{self.name.lower()}_scan")

        def element(*indices: Expr) -> Expr:
            step = turned(indices[axis])
            others = indices[:axis] + indices[axis + 1 :]
            if not self.exclusive:
                return cast(total[(step, *others)], x.dtype)
            return select(step > 0, cast(total[(step - 1, *others)], x.dtype), const(self.neutral, x.dtype))

        return te.compute(x.shape, element, name=self.name.lower())

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x: Any = TensorType(draw.dtype(NUMERIC), draw.shape((1, 4)))
        return cls(draw.integer(-x.rank, x.rank - 1), draw.boolean(), draw.boolean()), [x]


@operator
class CumSum(Cumulative):
    """result[t] = x[0] + ... + x[t] along `axis`."""

    neutral = 0
    combine = np.add

    def form(self, R: Any, x: Any) -> Any:
        axis = self._axis(x.type)
        if self.reverse:
            return R.flip(R.cumsum(R.flip(x, axis), axis, x.dtype, self.exclusive), axis)
        return R.cumsum(x, axis, x.dtype, self.exclusive)


@operator
class CumProd(Cumulative):
    """result[t] = x[0] * ... * x[t] along `axis`."""

    neutral = 1
    combine = np.multiply

    def form(self, R: Any, x: Any) -> Any:
        raise R.refuse(self, "its product keeps another dtype")
