"""Comparisons and logic: elementwise operators with a boolean result, and the choice between tensors.

In: tensors that broadcast. Out: booleans; for `Where` the dtype of what is chosen from.
A comparison with NaN is false.

>>> import numpy as np
>>> Less()(np.array([1.0, np.nan]), np.array(2.0))
array([ True, False])
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicc.ops.base import Array, Draw, Example, Kind, like, operator
from minicc.ops.elementwise import ANY, Binary, Elementwise, widened
from minicc.tensor.expr import Expr, binary, call, select
from minicc.types import DType, TensorType, boolean


class Comparison(Binary):
    """Base of the operators that compare two tensors of one dtype."""

    __slots__ = ()

    def result_dtype(self, *dtypes: DType) -> DType:
        return boolean


@operator
class Equal(Comparison):
    """a == b."""

    accepts: ClassVar[tuple[str, ...]] = ANY
    reference = staticmethod(np.equal)

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a.equal(b)

    def form(self, R: Any, a: Any, b: Any) -> Any:
        """TVM makes a comparison of floats of one of booleans, which LLVM refuses."""
        return R.logical_not(R.logical_xor(a, b)) if a.dtype is boolean else R.equal(a, b)


@operator
class Greater(Comparison):
    """a > b."""

    reference = staticmethod(np.greater)
    tvm_name: ClassVar[str] = "greater"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a > b


@operator
class GreaterOrEqual(Comparison):
    """a >= b."""

    reference = staticmethod(np.greater_equal)
    tvm_name: ClassVar[str] = "greater_equal"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a >= b


@operator
class Less(Comparison):
    """a < b."""

    reference = staticmethod(np.less)
    tvm_name: ClassVar[str] = "less"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a < b


@operator
class LessOrEqual(Comparison):
    """a <= b."""

    reference = staticmethod(np.less_equal)
    tvm_name: ClassVar[str] = "less_equal"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a <= b


@operator
class And(Binary):
    """Both are true."""

    accepts: ClassVar[tuple[str, ...]] = ("bool",)
    reference = staticmethod(np.logical_and)
    tvm_name: ClassVar[str] = "logical_and"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a & b


@operator
class Or(Binary):
    """Either is true."""

    accepts: ClassVar[tuple[str, ...]] = ("bool",)
    reference = staticmethod(np.logical_or)
    tvm_name: ClassVar[str] = "logical_or"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a | b


@operator
class Xor(Binary):
    """One of the two is true."""

    accepts: ClassVar[tuple[str, ...]] = ("bool",)
    reference = staticmethod(np.logical_xor)
    tvm_name: ClassVar[str] = "logical_xor"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return binary("ne", a, b)


@operator
class Not(Elementwise):
    """The contrary."""

    accepts: ClassVar[tuple[str, ...]] = ("bool",)
    reference = staticmethod(np.logical_not)
    tvm_name: ClassVar[str] = "logical_not"

    def scalar(self, x: Expr) -> Expr:
        return ~x


@operator
class IsNaN(Elementwise):
    """Whether x is not a number."""

    accepts: ClassVar[tuple[str, ...]] = ("float",)
    reference = staticmethod(np.isnan)

    def result_dtype(self, *dtypes: DType) -> DType:
        return boolean

    def scalar(self, x: Expr) -> Expr:
        return x.not_equal(x)

    def form(self, R: Any, x: Any) -> Any:
        return R.isnan(widened(x))


@operator
class IsInf(Elementwise):
    """Whether x is one of the infinities asked for."""

    accepts: ClassVar[tuple[str, ...]] = ("float",)

    detect_negative: bool = True
    detect_positive: bool = True

    def result_dtype(self, *dtypes: DType) -> DType:
        return boolean

    def reference(self, x: Array) -> Any:
        return (np.isneginf(x) & self.detect_negative) | (np.isposinf(x) & self.detect_positive)

    def scalar(self, x: Expr) -> Expr:
        match self.detect_negative, self.detect_positive:
            case True, True:
                return call("isinf", x, dtype=boolean)
            case True, False:
                return x.equal(-np.inf)
            case False, True:
                return x.equal(np.inf)
        return x.not_equal(x) & x.equal(x)  # false, as an expression of x

    def form(self, R: Any, x: Any) -> Any:
        match self.detect_negative, self.detect_positive:
            case True, True:
                return R.isinf(widened(x))
            case True, False:
                return R.equal(x, like(x, -np.inf))
            case False, True:
                return R.equal(x, like(x, np.inf))
        return R.less(x, x)  # false

    @classmethod
    def attributes(cls, draw: Draw) -> dict[str, Any]:
        return {"detect_negative": draw.boolean(), "detect_positive": draw.boolean()}


@operator
class Where(Elementwise):
    """`a` where `condition` holds, else `b`."""

    kind: ClassVar[Kind] = Kind.BROADCAST
    arity: ClassVar[int] = 3
    accepts: ClassVar[tuple[str, ...]] = ANY
    tvm_name: ClassVar[str] = "where"

    def result_dtype(self, *dtypes: DType) -> DType:
        return dtypes[1]

    def check(self, *types: TensorType) -> None:
        condition, a, b = types
        if condition.dtype is not boolean or a.dtype is not b.dtype:
            raise self.error(
                f"expected a bool and two of one dtype, got {condition.dtype}, {a.dtype} and {b.dtype}",
                *types,
                hint="insert a Cast",
            )

    def reference(self, condition: Array, a: Array, b: Array) -> Any:
        return np.where(condition, a, b)

    def scalar(self, condition: Expr, a: Expr, b: Expr) -> Expr:
        return select(condition, a, b)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        a = draw.type(ANY)
        shapes = [draw.broadcastable(a.shape) for _ in range(2)]
        return cls(), [TensorType(boolean, shapes[0]), a, TensorType(a.dtype, shapes[1])]


__all__ = [
    "And", "Comparison", "Equal", "Greater", "GreaterOrEqual", "IsInf", "IsNaN", "Less", "LessOrEqual", "Not", "Or",
    "Where", "Xor",
]  # fmt: skip
