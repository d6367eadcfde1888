"""Arithmetic on two tensors that broadcast.

In: tensors of one dtype (Pow takes two). Out: a tensor of that dtype and the broadcast shape.
Integers wrap around; divided by zero they are 0, and so is the remainder.

>>> import numpy as np
>>> Div()(np.array([-7, 7, 1]), np.array([2, 2, 0]))
array([-3,  3,  0])
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ops.base import INTEGER, NUMERIC, Array, Draw, Example, operator
from minicc.ops.elementwise import BinaryOperator, Elementwise, named
from minicc.tensor.expr import Const, Expr, binary, call, cast, const, select
from minicc.tensor.functions import integer_power
from minicc.types import DType, TensorType, float64

Add = named(BinaryOperator, "Add", "a + b.", "add", "add", reference=np.add, commutative=True)
Sub = named(BinaryOperator, "Sub", "a - b.", "sub", "subtract", reference=np.subtract)
Mul = named(BinaryOperator, "Mul", "a * b.", "mul", "multiply", reference=np.multiply, commutative=True)
# not commutative: they tell -0.0 from 0.0 by order
Min = named(BinaryOperator, "Min", "The lesser, NaN if either is.", "min", "minimum", reference=np.minimum)
Max = named(BinaryOperator, "Max", "The greater, NaN if either is.", "max", "maximum", reference=np.maximum)

_bitwise = partial(named, BinaryOperator, accepts=INTEGER, commutative=True)
BitwiseAnd = _bitwise("BitwiseAnd", "Bits set in both.", "bitand", "bitwise_and", reference=np.bitwise_and)
BitwiseOr = _bitwise("BitwiseOr", "Bits set in either.", "bitor", "bitwise_or", reference=np.bitwise_or)
BitwiseXor = _bitwise("BitwiseXor", "Bits set in one of the two.", "bitxor", "bitwise_xor", reference=np.bitwise_xor)


@operator
class Div(BinaryOperator):
    """a / b. Integers truncate, and divided by zero are 0."""

    tvm_name = "divide"

    def reference(self, a: Array, b: Array) -> Any:
        exact = a if a.dtype.kind == "f" else a - np.fmod(a, b)  # the multiple of b that truncation divides
        return exact / b if a.dtype.kind == "f" else exact // b

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a / b if a.dtype.is_float else binary("truncdiv", a, b)


@operator
class Pow(BinaryOperator):
    """x to the power y, in the dtype of x.

    An integer to an integer power is exact, and wraps around as products do. To a negative power it is
    1 / x**-y rounded towards zero, as Div rounds: 0, but for x = 1 and x = -1; and 0 for x = 0, as by Div. An
    integer to a power of floats is computed in float64 and cast, as onnxruntime does it.
    """

    widens = True
    tvm_name, tvm_accepts = "power", ()  # TVM raises floats of one dtype only

    def check(self, *types: TensorType) -> None:
        self.accept(*types)

    def reference(self, x: Array, y: Array) -> Any:
        if x.dtype.kind == "f" or y.dtype.kind == "f":
            return np.power(x if x.dtype.kind == "f" else x.astype(np.float64), y)
        wrapped = np.power(x.astype(np.uint64), np.where(y < 0, 0, y).astype(np.uint64)).astype(x.dtype)
        unit = np.where(y % 2 == 0, np.ones_like(x), x)
        return np.where(y < 0, np.where(np.absolute(x) == 1, unit, np.zeros_like(x)), wrapped)

    def scalar(self, x: Expr, y: Expr) -> Expr:
        whole = x.dtype.is_integer and y.dtype.is_integer
        if isinstance(y, Const) and y.value in (1, 2, 3, 4) and (whole or x.dtype.is_float):
            return {1: x, 2: x * x, 3: x * x * x, 4: (x * x) * (x * x)}[int(y.value)]
        if whole:
            return integer_power(x, y)
        wide = _power_dtype(x.dtype, y.dtype)
        return call("pow", cast(x, wide), cast(y, wide))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        shape = draw.shape()
        base = TensorType(draw.dtype(NUMERIC), shape)
        exponent = TensorType(draw.dtype(NUMERIC if base.dtype.is_float else INTEGER), draw.broadcastable(shape))
        low = 0 if base.dtype.kind == "uint" else -4
        x = draw.array(base) if base.dtype.is_float else draw.array(base, low, 3)
        return cls(), [x, draw.array(exponent, 0, 3)]


def _power_dtype(base: DType, exponent: DType) -> DType:
    """The dtype in which a power with a float in it is computed: the base's if it holds every exponent, as in NumPy."""
    return base if base.is_float and (exponent.bits < base.bits or exponent is base) else float64


@operator
class Mod(BinaryOperator):
    """The remainder of a / b: with the sign of b, or with `fmod` that of a."""

    widens = True

    fmod: bool = False

    def reference(self, a: Array, b: Array) -> Any:
        return np.fmod(a, b) if self.fmod else np.mod(a, b)

    def scalar(self, a: Expr, b: Expr) -> Expr:
        if not a.dtype.is_float:
            return binary("truncmod" if self.fmod else "floormod", a, b)
        rest = call("fmod", a, b)
        if self.fmod:
            return rest
        moved = select((b < 0).not_equal(rest < 0), rest + b, rest)
        return select(rest.equal(0), call("copysign", const(0, rest.dtype), b), moved)

    def form(self, R: Any, a: Any, b: Any) -> Any:
        if a.dtype.is_float and not self.fmod:
            raise R.refuse(self, "its remainder of floats has the sign of a")
        return BinaryOperator.form(self, R, a, b)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        first = draw.type(NUMERIC)
        return cls(draw.boolean()), [first, TensorType(first.dtype, draw.broadcastable(first.shape))]


@operator
class BitShift(BinaryOperator):
    """`a` shifted by `b` bits, direction "LEFT" or "RIGHT"; by its width or more, every bit falls out."""

    accepts = INTEGER
    drawn = {"direction": ("LEFT", "RIGHT")}

    direction: str

    def check(self, *types: TensorType) -> None:
        Elementwise.check(self, *types)
        if self.direction not in ("LEFT", "RIGHT"):
            problem = f"direction must be LEFT or RIGHT, got {self.direction!r}"
            raise self.error(problem, *types, hint='direction="LEFT"')

    def reference(self, a: Array, b: Array) -> Any:
        inside = (b >= 0) & (b < 8 * a.dtype.itemsize)
        shift = np.where(inside, b, 0)
        if self.direction == "LEFT":
            return np.where(inside, np.left_shift(a, shift), 0)
        return np.where(inside, np.right_shift(a, shift), np.where(a < 0, -1, 0).astype(a.dtype))

    def scalar(self, a: Expr, b: Expr) -> Expr:
        signed = a.dtype.kind == "int"
        inside = te.all(b >= 0, b < a.dtype.bits) if signed else b < a.dtype.bits
        if self.direction == "LEFT":
            return select(inside, binary("shl", a, b), 0)
        emptied = select(a < 0, -1, const(0, a.dtype)) if signed else const(0, a.dtype)
        return select(inside, binary("shr", a, b), emptied)
