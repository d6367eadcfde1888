"""ArgMax and ArgMin: where along an axis the greatest or the least element stands.

In: a numeric tensor. Out: int64 positions, the axis kept with extent 1 when `keepdims`. The first
position of several, or the last when `select_last_index`; a NaN counts as both the greatest and
the least, as in NumPy.

>>> import numpy as np
>>> ArgMax(axis=1, keepdims=False)(np.array([[1, 3, 3]]))
array([1])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ir.node import node, replace
from minicc.ops.base import NUMERIC, Array, Draw, Example, Operator, axis_of, operator, type_of
from minicc.ops.order import Order, Permuted, without
from minicc.ops.reduction import reduce, reduced
from minicc.ops.scalar import widened
from minicc.tensor.expr import Expr, select
from minicc.types import TensorType, int64


@node
class ArgReduce(Operator):
    """Base of both."""

    accepts = NUMERIC
    combine: ClassVar[str] = "max"

    axis: int = 0
    keepdims: bool = True
    select_last_index: bool = False

    def infer(self, x: TensorType) -> TensorType:
        self.accept(x, expected="a numeric dtype")
        axis = axis_of(self, self.axis, x)
        if x.rank and x.shape[axis] == 0:
            raise self.error(f"axis {self.axis} is empty", x, hint="there is no position in nothing")
        return TensorType(int64, reduced(x.shape, (axis,), self.keepdims))

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        axis = axis_of(self, self.axis, x)
        op = replace(self, axis=order.index(axis))
        return Permuted(op, (order,), order if self.keepdims else without(order, [axis]))

    def numpy(self, x: Array) -> Array:
        axis = axis_of(self, self.axis, type_of(x))
        wide = np.asarray(widened(x))
        find = getattr(np, f"arg{self.combine}")
        if not wide.ndim:
            return np.zeros((), np.int64)
        if self.select_last_index:
            found = wide.shape[axis] - 1 - find(np.flip(wide, axis), axis=axis, keepdims=self.keepdims)
        else:
            found = find(wide, axis=axis, keepdims=self.keepdims)
        return np.asarray(found, np.int64)

    def compute(self, x: te.Tensor) -> te.Tensor:
        """First the greatest value, then the first position that holds it or a NaN."""
        if not x.rank:
            return te.compute((), lambda: te.const(0, int64), name=self.name.lower())
        axis = axis_of(self, self.axis, type_of(x))
        extreme = reduce(getattr(te, self.combine), x.shape, (axis,), lambda p: x[tuple(p)], self.combine)

        def position(point: Sequence[Any]) -> Expr:
            value = x[tuple(point)]
            best = extreme[tuple(0 if d == axis else i for d, i in enumerate(point))]
            hit = value.equal(best)
            if x.dtype.is_float:
                hit = te.any(hit, value.not_equal(value))
            return select(hit, point[axis], te.const(-1 if self.select_last_index else x.shape[axis], int64))

        combine = te.max if self.select_last_index else te.min
        return reduce(combine, x.shape, (axis,), position, self.name.lower(), self.keepdims)

    def tvm(self, R: Any, x: Any) -> Any:
        if not x.type.rank:
            return x.constant(np.zeros((), np.int64))
        axis, find = axis_of(self, self.axis, x.type), R[f"arg{self.combine}"]
        if not self.select_last_index:
            return find(widened(x), axis, self.keepdims)
        return R.subtract(x.constant(np.int64(x.shape[axis] - 1)), find(R.flip(widened(x), axis), axis, self.keepdims))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = TensorType(draw.dtype(NUMERIC), draw.shape((0, 4), low=1))
        axis = draw.integer(-x.rank, x.rank - 1) if x.rank else 0
        return cls(axis, draw.boolean(), draw.boolean()), [draw.array(x, 0, 3) if draw.boolean() else x]


@operator
class ArgMax(ArgReduce):
    """The position of the greatest element."""


@operator
class ArgMin(ArgReduce):
    """The position of the least element."""

    combine = "min"
