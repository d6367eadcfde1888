"""Activation functions, and the clipping of values.

In: one tensor of floats (and a slope, or limits). Out: the same type. Definitions are those of
ONNX; `alpha` and the like are attributes.

>>> import numpy as np
>>> LeakyRelu(alpha=0.5)(np.array([-2.0, 3.0]))
array([-1.,  3.])
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicc.ops.base import FLOAT, NUMERIC, SIGNED, Array, Draw, Example, Kind, like, operator
from minicc.ops.elementwise import BinaryOperator, Elementwise
from minicc.ops.scalar import by_tvm, widened
from minicc.tensor.expr import Expr, call, cast, maximum, minimum, select
from minicc.tensor.intrinsics import INTRINSICS
from minicc.types import TensorType, broadcast, float64


class Activation(Elementwise):
    """Base of the functions of one tensor of floats."""

    __slots__ = ()
    accepts = FLOAT
    widens = True


FLOAT32_SELU = 1.67326319217681884765625, 1.05070102214813232421875  # alpha and gamma, rounded as ONNX has them


def _softplus(x: Expr) -> Expr:
    """log(1 + exp(x)) without overflow."""
    return maximum(x, 0.0) + call("log1p", call("exp", -abs(x)))


def _softplus_reference(x: Array) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.absolute(x)))


def _expm1(x: Expr) -> Expr:
    """exp(x) - 1 for the negative side: 0 above, where the value is not used and must not overflow."""
    return call("expm1", minimum(x, 0.0))


@operator
class Relu(Elementwise):
    """max(x, 0); NaN stays."""

    accepts = SIGNED
    tvm_name = "nn.relu"

    def reference(self, x: Array) -> Any:
        return np.maximum(x, 0)

    def scalar(self, x: Expr) -> Expr:
        return maximum(x, 0)


@operator
class Sigmoid(Activation):
    """1 / (1 + exp(-x))."""

    tvm_name = "sigmoid"

    def reference(self, x: Array) -> Any:
        return INTRINSICS["sigmoid"].numpy(x)

    def scalar(self, x: Expr) -> Expr:
        return call("sigmoid", x)


@operator
class Softplus(Activation):
    """log(1 + exp(x))."""

    def reference(self, x: Array) -> Any:
        return _softplus_reference(x)

    def scalar(self, x: Expr) -> Expr:
        return _softplus(x)

    def form(self, R: Any, x: Any) -> Any:
        return R.nn.softplus(x, threshold=40.0)  # x above, where float64 has no digit of exp(-x) left


@operator
class Softsign(Activation):
    """x / (1 + |x|)."""

    def reference(self, x: Array) -> Any:
        return x / (1 + np.absolute(x))

    def scalar(self, x: Expr) -> Expr:
        return x / (1.0 + abs(x))


@operator
class Mish(Activation):
    """x * tanh(softplus(x))."""

    def reference(self, x: Array) -> Any:
        return x * np.tanh(_softplus_reference(x))

    def scalar(self, x: Expr) -> Expr:
        return x * call("tanh", _softplus(x))

    def form(self, R: Any, x: Any) -> Any:
        power = R.exp(R.minimum(x, like(x, 20)))  # of x as it is above, where the quotient is 1
        raised = power * (power + 2)  # tanh(log(1 + p)) is ((1 + p)**2 - 1) / ((1 + p)**2 + 1)
        return x * (raised / (raised + 2))


@operator
class HardSigmoid(Activation):
    """max(0, min(1, alpha * x + beta))."""

    drawn = {"alpha": (0.0, 1.0), "beta": (0.0, 1.0)}

    alpha: float = 0.2
    beta: float = 0.5

    def reference(self, x: Array) -> Any:
        return np.maximum(np.minimum(x * self.alpha + self.beta, 1), 0)

    def scalar(self, x: Expr) -> Expr:
        return maximum(minimum(x * self.alpha + self.beta, 1.0), 0.0)


@operator
class HardSwish(Activation):
    """x * max(0, min(1, x / 6 + 1 / 2))."""

    def reference(self, x: Array) -> Any:
        return x * np.maximum(np.minimum(x * (1 / 6) + 0.5, 1), 0)

    def scalar(self, x: Expr) -> Expr:
        return x * maximum(minimum(x * (1 / 6) + 0.5, 1.0), 0.0)


def _tanh_argument(x: Any) -> Any:
    """What the approximate Gelu takes the tanh of."""
    return math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)


@operator
class Gelu(Activation):
    """x times the normal distribution function at x; approximate="tanh" for the formula with tanh."""

    drawn = {"approximate": ("none", "tanh")}
    tvm_name = "nn.gelu"

    approximate: str = "none"

    def check(self, *types: TensorType) -> None:
        Elementwise.check(self, *types)
        if self.approximate not in ("none", "tanh"):
            problem = f'approximate must be "none" or "tanh", got {self.approximate!r}'
            raise self.error(problem, *types, hint='approximate="none"')

    def reference(self, x: Array) -> Any:
        if self.approximate == "tanh":
            return x * Sigmoid().reference(_tanh_argument(x) * 2)
        return 0.5 * x * (1 + INTRINSICS["erf"].numpy(x * math.sqrt(0.5)))

    def scalar(self, x: Expr) -> Expr:
        if self.approximate == "tanh":
            return x / (1.0 + call("exp", _tanh_argument(x) * -2.0))  # (1 + tanh(u)) / 2, of which nothing cancels
        return 0.5 * x * (1.0 + call("erf", x * math.sqrt(0.5)))

    def form(self, R: Any, x: Any) -> Any:
        return R.nn.gelu_tanh(x) if self.approximate == "tanh" else R.nn.gelu(x)


@operator
class LeakyRelu(Activation):
    """x, or alpha * x below 0."""

    drawn = {"alpha": (-2.0, 2.0)}

    alpha: float = 0.01

    def reference(self, x: Array) -> Any:
        return np.where(x < 0, x * self.alpha, x)

    def scalar(self, x: Expr) -> Expr:
        return select(x < 0.0, x * self.alpha, x)

    def form(self, R: Any, x: Any) -> Any:
        return R.nn.leakyrelu(x, self.alpha)


@operator
class Elu(Activation):
    """x, or alpha * (exp(x) - 1) at 0 and below."""

    drawn = {"alpha": (0.0, 2.0)}

    alpha: float = 1.0

    def reference(self, x: Array) -> Any:
        return np.where(x > 0, x, self.alpha * np.expm1(x))

    def scalar(self, x: Expr) -> Expr:
        return select(x > 0.0, x, self.alpha * _expm1(x))


@operator
class Selu(Activation):
    """gamma * x, or gamma * alpha * (exp(x) - 1) at 0 and below."""

    drawn = {"alpha": (0.0, 2.0), "gamma": (0.0, 2.0)}
    tvm_name = "nn.selu"

    alpha: float = 1.67326319217681884765625
    gamma: float = 1.05070102214813232421875

    def reference(self, x: Array) -> Any:
        return self.gamma * np.where(x > 0, x, self.alpha * np.expm1(x))

    def scalar(self, x: Expr) -> Expr:
        return self.gamma * select(x > 0.0, x, self.alpha * _expm1(x))

    def form(self, R: Any, x: Any) -> Any:
        own = (self.alpha, self.gamma) == FLOAT32_SELU and x.dtype is not float64
        return R.nn.selu(x) if own else by_tvm(R, self.scalar, [x])


@operator
class Celu(Activation):
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1))."""

    drawn = {"alpha": (0.25, 2.0)}

    alpha: float = 1.0

    def reference(self, x: Array) -> Any:
        return np.maximum(x, 0) + np.minimum(self.alpha * np.expm1(x / self.alpha), 0)

    def scalar(self, x: Expr) -> Expr:
        return maximum(x, 0.0) + minimum(self.alpha * call("expm1", x / self.alpha), 0.0)


@operator
class ThresholdedRelu(Activation):
    """x above alpha, else 0."""

    drawn = {"alpha": (-2.0, 2.0)}

    alpha: float = 1.0

    def reference(self, x: Array) -> Any:
        return np.where(x > self.alpha, x, 0)

    def scalar(self, x: Expr) -> Expr:
        return select(x > self.alpha, x, 0.0)


@operator
class Shrink(Elementwise):
    """x + bias below -lambd, x - bias above lambd, 0 between. Integers are computed in float64."""

    widens = True

    bias: float = 0.0
    lambd: float = 0.5

    def reference(self, x: Array) -> Any:
        wide = x if x.dtype.kind == "f" else x.astype(np.float64)
        return np.where(wide < -self.lambd, wide + self.bias, np.where(wide > self.lambd, wide - self.bias, 0))

    def scalar(self, x: Expr) -> Expr:
        wide = x if x.dtype.is_float else cast(x, float64)
        above = select(wide > self.lambd, wide - self.bias, 0.0)
        return select(wide < -self.lambd, wide + self.bias, above)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(NUMERIC)
        bias = draw.number(-2.0, 2.0) if x.dtype.is_float else 0.0  # a sum out of an integer's range is undefined
        return cls(bias, draw.number(0.0, 2.0)), [x]


@operator
class PRelu(BinaryOperator):
    """x, or slope * x at 0 and below. The slope broadcasts to the shape of x."""

    def check(self, x: TensorType, slope: TensorType) -> None:
        Elementwise.check(self, x, slope)
        if broadcast(str(self), x.shape, slope.shape) != x.shape:
            problem = f"slope must broadcast to {x.shape}, got {slope.shape}"
            hint = "one slope for all, or one for each channel: reshape it to (C, 1, 1)"
            raise self.error(problem, x, slope, hint=hint)

    def reference(self, x: Array, slope: Array) -> Any:
        return np.where(x > 0, x, x * slope)

    def scalar(self, x: Expr, slope: Expr) -> Expr:
        return select(x > 0, x, x * slope)

    def form(self, R: Any, x: Any, slope: Any) -> Any:
        """TVM's own takes floats, and a slope for each index of one axis."""
        axes = [d - slope.type.rank for d, n in enumerate(slope.shape) if n != 1]
        if len(axes) == 1 and x.dtype.is_float:
            return R.nn.prelu(widened(x), R.reshape(widened(slope), (slope.shape[axes[0]],)), axes[0] + x.type.rank)
        return by_tvm(R, self.scalar, [x, slope])

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(NUMERIC)
        return cls(), [x, TensorType(x.dtype, draw.broadcastable(x.shape))]


@operator
class Clip(Elementwise):
    """min(max(x, low), high), with scalar limits: `high` where they cross, NaN stays."""

    kind = Kind.BROADCAST
    arity = 3

    def check(self, x: TensorType, low: TensorType, high: TensorType) -> None:
        Elementwise.check(self, x, low, high)
        if low.shape or high.shape:
            problem = f"limits must be scalars, got shapes {low.shape} and {high.shape}"
            raise self.error(problem, x, low, high, hint="give numbers, or arrays of shape ()")

    def reference(self, x: Array, low: Array, high: Array) -> Any:
        return np.minimum(np.maximum(x, low), high)

    def scalar(self, x: Expr, low: Expr, high: Expr) -> Expr:
        return minimum(maximum(x, low), high)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(NUMERIC)
        return cls(), [x, TensorType(x.dtype, ()), TensorType(x.dtype, ())]
