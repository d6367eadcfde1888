"""Softmax, its logarithm, and the maximum as a one-hot vector, along one axis.

In: a tensor of floats. Out: the same type. The maximum is subtracted first, so that no
exponential overflows; float16 and bfloat16 are computed in float32.

>>> import numpy as np
>>> Softmax()(np.array([0.0, 0.0]))
array([0.5, 0.5])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ir.node import node, replace
from minicc.ops.argreduce import ArgMax
from minicc.ops.base import FLOAT, Array, Draw, Example, Kind, axis_of, operator, type_of
from minicc.ops.elementwise import Widening
from minicc.ops.order import Order, Permuted
from minicc.ops.reduction import reduce
from minicc.ops.scalar import widened
from minicc.tensor.expr import Expr, call, cast, const, select
from minicc.types import TensorType


@node
class AlongAxis(Widening):
    """Base of the operators that map each vector along `axis` to a vector."""

    kind = Kind.REDUCTION
    accepts = FLOAT

    axis: int = -1

    def infer(self, x: TensorType) -> TensorType:
        self.accept(x, expected="floats")
        axis_of(self, self.axis, x)
        return x

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        return Permuted.first(replace(self, axis=order.index(axis_of(self, self.axis, x))), [x], order)

    def form(self, R: Any, x: Any) -> Any:
        """A scalar is a vector of one."""
        return self.vectors(R, x, self.axis) if x.type.rank else R.reshape(self.vectors(R, R.reshape(x, (1,)), 0), ())

    def vectors(self, R: Any, x: Any, axis: int) -> Any:
        """The form in TVM on a tensor with axes."""
        return R[self.tvm_name](x, axis)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(FLOAT)
        return cls(draw.integer(-x.rank, x.rank - 1) if x.rank else 0), [x]


largest = te.comm_reducer(  # one instruction: it may pass over a NaN, as the exponential of a NaN is none the less NaN
    lambda a, b: select(a < b, b, a), lambda dtype: const(-np.inf, dtype), name="largest"
)


def _axes(op: AlongAxis, x: Any) -> tuple[int, ...]:
    return (axis_of(op, op.axis, type_of(x)),) if len(x.shape) else ()


def _shifted(x: te.Tensor, axes: Sequence[int]) -> tuple[Any, Any]:
    """Functions of a point: the element less the maximum along the axis, and the point of that maximum."""

    def base(point: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(0 if d in axes else i for d, i in enumerate(point))

    greatest = reduce(largest, x.shape, axes, lambda p: x[tuple(p)], "max")
    return lambda point: widened(x[tuple(point)]) - widened(greatest[base(point)]), base


@operator
class Softmax(AlongAxis):
    """exp(x) / sum(exp(x))."""

    tvm_name = "nn.softmax"

    def numpy(self, x: Array) -> Array:
        if not x.size:
            return x
        axes, wide = _axes(self, x), widened(x)
        with np.errstate(all="ignore"):
            powers = np.exp(wide - np.max(wide, axis=axes, keepdims=True))
            return np.asarray((powers / np.sum(powers, axis=axes, keepdims=True)).astype(x.dtype))

    def compute(self, x: te.Tensor) -> te.Tensor:
        axes = _axes(self, x)
        shifted, base = _shifted(x, axes)
        powers = te.compute(x.shape, lambda *i: call("exp", shifted(i)), name="exp")
        total = reduce(te.sum, x.shape, axes, lambda p: powers[tuple(p)], "sum")
        factor = te.compute(total.shape, lambda *i: 1.0 / total[i], name="factor")
        return te.compute(x.shape, lambda *i: cast(powers[i] * factor[base(i)], x.dtype), name="softmax")


@operator
class LogSoftmax(AlongAxis):
    """x - log(sum(exp(x)))."""

    tvm_name = "nn.log_softmax"

    def numpy(self, x: Array) -> Array:
        if not x.size:
            return x
        axes, wide = _axes(self, x), widened(x)
        with np.errstate(all="ignore"):
            shifted = wide - np.max(wide, axis=axes, keepdims=True)
            return np.asarray((shifted - np.log(np.sum(np.exp(shifted), axis=axes, keepdims=True))).astype(x.dtype))

    def compute(self, x: te.Tensor) -> te.Tensor:
        axes = _axes(self, x)
        shifted, base = _shifted(x, axes)
        total = reduce(te.sum, x.shape, axes, lambda p: call("exp", shifted(p)), "sum")
        logarithm = te.compute(total.shape, lambda *i: call("log", total[i]), name="log")
        return te.compute(x.shape, lambda *i: cast(shifted(i) - logarithm[base(i)], x.dtype), name="logsoftmax")


@operator
class Hardmax(AlongAxis):
    """1 at the first greatest element, 0 elsewhere."""

    def numpy(self, x: Array) -> Array:
        result = np.zeros_like(x)
        if x.ndim == 0:
            result[()] = 1
        elif x.size:
            np.put_along_axis(result, ArgMax(self.axis).numpy(x), 1, axis=self.axis)
        return result

    def compute(self, x: te.Tensor) -> te.Tensor:
        axis = axis_of(self, self.axis, type_of(x))
        found = ArgMax(axis).compute(x)

        def element(*indices: Expr) -> Expr:
            if not indices:
                return const(1, x.dtype)
            best = found[tuple(0 if d == axis else i for d, i in enumerate(indices))]
            return select(indices[axis].equal(best), 1.0, const(0, x.dtype))

        return te.compute(x.shape, element, name="hardmax")

    def vectors(self, R: Any, x: Any, axis: int) -> Any:
        places = np.arange(x.shape[axis]).reshape([-1 if d == axis % x.type.rank else 1 for d in range(x.type.rank)])
        return R.equal(ArgMax(axis)(x), x.constant(places)).astype(x.dtype) if x.type.size else x
