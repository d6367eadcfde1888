"""Comparisons and logic: elementwise operators with a boolean result, and the choice between tensors.

In: tensors that broadcast. Out: booleans; for `Where` the dtype of what is chosen from.
A comparison with NaN is false.

>>> import numpy as np
>>> Less()(np.array([1.0, np.nan]), np.array(2.0))
array([ True, False])
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicc.ops.base import ANY, BOOLEAN, FLOAT, NUMERIC, Array, Draw, Example, Kind, operator
from minicc.ops.elementwise import BinaryOperator, Elementwise, named
from minicc.tensor.expr import Expr, call
from minicc.types import DType, TensorType, boolean


class Relation(BinaryOperator):
    """Base of the operators that compare two tensors of one dtype."""

    __slots__ = ()

    def result_dtype(self, *dtypes: DType) -> DType:
        return boolean


Equal = named(
    Relation, "Equal", "a == b.", "eq", "equal", reference=np.equal, accepts=ANY, commutative=True,
    tvm_accepts=NUMERIC,  # TVM makes a comparison of floats of one of booleans, which LLVM refuses
)  # fmt: skip
Greater = named(Relation, "Greater", "a > b.", "gt", "greater", reference=np.greater)
GreaterOrEqual = named(Relation, "GreaterOrEqual", "a >= b.", "ge", "greater_equal", reference=np.greater_equal)
Less = named(Relation, "Less", "a < b.", "lt", "less", reference=np.less)
LessOrEqual = named(Relation, "LessOrEqual", "a <= b.", "le", "less_equal", reference=np.less_equal)

_logical = partial(named, BinaryOperator, accepts=BOOLEAN, commutative=True)
And = _logical("And", "Both are true.", "bitand", "logical_and", reference=np.logical_and)
Or = _logical("Or", "Either is true.", "bitor", "logical_or", reference=np.logical_or)
Xor = _logical("Xor", "One of the two is true.", "ne", "logical_xor", reference=np.logical_xor)
Not = named(Elementwise, "Not", "The contrary.", "not", "logical_not", reference=np.logical_not, accepts=BOOLEAN)


@operator
class IsNaN(Elementwise):
    """Whether x is not a number."""

    accepts = FLOAT
    reference, tvm_name, tvm_accepts = np.isnan, "isnan", ()  # TVM's own takes no 16-bit floats

    def result_dtype(self, *dtypes: DType) -> DType:
        return boolean

    def scalar(self, x: Expr) -> Expr:
        return x.not_equal(x)


@operator
class IsInf(Elementwise):
    """Whether x is one of the infinities asked for."""

    accepts = FLOAT
    tvm_name, tvm_accepts = "isinf", ()
    drawn = {"detect_negative": (False, True), "detect_positive": (False, True)}

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


@operator
class Where(Elementwise):
    """`a` where `condition` holds, else `b`."""

    kind = Kind.BROADCAST
    arity = 3
    accepts = ANY
    reference = staticmethod(np.where)
    scalar_name, tvm_name = "select", "where"

    def result_dtype(self, *dtypes: DType) -> DType:
        return dtypes[1]

    def check(self, *types: TensorType) -> None:
        condition, a, b = types
        if condition.dtype is not boolean or a.dtype is not b.dtype:
            problem = f"expected a bool and two of one dtype, got {condition.dtype}, {a.dtype} and {b.dtype}"
            raise self.error(problem, *types, hint="insert a Cast")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        a = draw.type(ANY)
        shapes = [draw.broadcastable(a.shape) for _ in range(2)]
        return cls(), [TensorType(boolean, shapes[0]), a, TensorType(a.dtype, shapes[1])]
