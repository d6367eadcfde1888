"""Arithmetic on two tensors that broadcast.

In: tensors of one dtype (Pow takes two). Out: a tensor of that dtype and the broadcast shape.
Integers wrap around; divided by zero they are 0, and so is the remainder.

>>> import numpy as np
>>> Div()(np.array([-7, 7, 1]), np.array([2, 2, 0]))
array([-3,  3,  0])
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Array, Draw, Example, like, operator
from minicc.ops.elementwise import INTEGER, NUMERIC, Binary, Elementwise
from minicc.tensor.expr import Const, Expr, binary, call, cast, const, maximum, minimum, select
from minicc.tensor.functions import integer_power
from minicc.types import DType, TensorType, float64


@operator
class Add(Binary):
    """a + b."""

    reference = staticmethod(np.add)
    tvm_name: ClassVar[str] = "add"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a + b


@operator
class Sub(Binary):
    """a - b."""

    reference = staticmethod(np.subtract)
    tvm_name: ClassVar[str] = "subtract"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a - b


@operator
class Mul(Binary):
    """a * b."""

    reference = staticmethod(np.multiply)
    tvm_name: ClassVar[str] = "multiply"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a * b


@operator
class Div(Binary):
    """a / b. Integers truncate, and divided by zero are 0."""

    tvm_name: ClassVar[str] = "divide"

    def reference(self, a: Array, b: Array) -> Any:
        exact = a if a.dtype.kind == "f" else a - np.fmod(a, b)  # the multiple of b that truncation divides
        return exact / b if a.dtype.kind == "f" else exact // b

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a / b if a.dtype.is_float else binary("truncdiv", a, b)


@operator
class Pow(Binary):
    """x to the power y, in the dtype of x.

    An integer to an integer power is exact, and wraps around as products do. To a negative power it is
    1 / x**-y rounded towards zero, as Div rounds: 0, but for x = 1 and x = -1; and 0 for x = 0, as by Div. An
    integer to a power of floats is computed in float64 and cast, as onnxruntime does it.
    """

    widens: ClassVar[bool] = True

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

    def form(self, R: Any, x: Any, y: Any) -> Any:
        """TVM raises floats only: integers are products of squares, one for each bit of the exponent."""
        if x.dtype.is_integer and y.dtype.is_integer:
            return self.whole(R, x, y)
        wide = _power_dtype(x.dtype, y.dtype)
        return R.power(x.astype(wide), y.astype(wide)).astype(x.dtype)

    def whole(self, R: Any, x: Any, y: Any) -> Any:
        """The power of integers in TVM."""
        wide = x.dtype if x.dtype.bits >= y.dtype.bits else y.dtype
        square, exponent = x.astype(wide), y.astype(wide)
        zero, one = like(square, 0), like(square, 1)
        odd = R.equal(R.bitwise_and(exponent, one), one)
        result = R.where(odd, square, one)
        for _ in range(wide.bits - 1):
            square, exponent = square * square, R.right_shift(exponent, one)
            result = result * R.where(R.equal(R.bitwise_and(exponent, one), one), square, one)
        result = result.astype(x.dtype)
        if y.dtype.kind == "uint":
            return result
        zero, one = like(x, 0), like(x, 1)
        unit = R.equal(x if x.dtype.kind == "uint" else R.abs(x), one)
        return R.where(R.less(y, like(y, 0)), R.where(unit, R.where(odd, x, one), zero), result)

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
class Mod(Binary):
    """The remainder of a / b: with the sign of b, or with `fmod` that of a. Floats need `fmod`."""

    widens: ClassVar[bool] = True

    fmod: bool = False

    def check(self, *types: TensorType) -> None:
        Elementwise.check(self, *types)
        if types[0].dtype.is_float and not self.fmod:
            raise self.error(
                f"floats are only defined for fmod=True, got {types[0].dtype}", *types, hint="set fmod=True"
            )

    def reference(self, a: Array, b: Array) -> Any:
        return np.fmod(a, b) if self.fmod else np.mod(a, b)

    def scalar(self, a: Expr, b: Expr) -> Expr:
        if a.dtype.is_float:
            return call("fmod", a, b)
        return binary("truncmod" if self.fmod else "floormod", a, b)

    def form(self, R: Any, a: Any, b: Any) -> Any:
        return R.mod(a, b) if self.fmod else R.floor_mod(a, b)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        first = draw.type(NUMERIC)
        fmod = first.dtype.is_float or draw.boolean()
        return cls(fmod), [first, TensorType(first.dtype, draw.broadcastable(first.shape))]


@operator
class Min(Binary):
    """The lesser, NaN if either is."""

    reference = staticmethod(np.minimum)
    tvm_name: ClassVar[str] = "minimum"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return minimum(a, b)


@operator
class Max(Binary):
    """The greater, NaN if either is."""

    reference = staticmethod(np.maximum)
    tvm_name: ClassVar[str] = "maximum"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return maximum(a, b)


class Bitwise(Binary):
    """Base of the operators on the bits of integers."""

    __slots__ = ()
    accepts: ClassVar[tuple[str, ...]] = INTEGER

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return binary(self.name.lower().replace("bitwise", "bit"), a, b)


@operator
class BitwiseAnd(Bitwise):
    """Bits set in both."""

    reference = staticmethod(np.bitwise_and)
    tvm_name: ClassVar[str] = "bitwise_and"


@operator
class BitwiseOr(Bitwise):
    """Bits set in either."""

    reference = staticmethod(np.bitwise_or)
    tvm_name: ClassVar[str] = "bitwise_or"


@operator
class BitwiseXor(Bitwise):
    """Bits set in one of the two."""

    reference = staticmethod(np.bitwise_xor)
    tvm_name: ClassVar[str] = "bitwise_xor"


@operator
class BitShift(Binary):
    """`a` shifted by `b` bits, direction "LEFT" or "RIGHT"; by its width or more, every bit falls out."""

    accepts: ClassVar[tuple[str, ...]] = INTEGER

    direction: str

    def check(self, *types: TensorType) -> None:
        Elementwise.check(self, *types)
        if self.direction not in ("LEFT", "RIGHT"):
            raise self.error(
                f"direction must be LEFT or RIGHT, got {self.direction!r}", *types, hint='direction="LEFT"'
            )

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

    def form(self, R: Any, a: Any, b: Any) -> Any:
        """TVM leaves a shift by the width or more undefined."""
        zero = like(a, 0)
        inside = R.less(b, like(b, a.dtype.bits))
        if signed := a.dtype.kind == "int":
            inside = R.logical_and(R.greater_equal(b, zero), inside)
        shift = R.where(inside, b, zero)
        if self.direction == "LEFT":
            return R.where(inside, R.left_shift(a, shift), zero)
        emptied = R.where(R.less(a, zero), like(a, -1), zero) if signed else zero
        return R.where(inside, R.right_shift(a, shift), emptied)

    @classmethod
    def attributes(cls, draw: Draw) -> dict[str, Any]:
        return {"direction": draw.choice(("LEFT", "RIGHT"))}


__all__ = [
    "Add", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Max", "Min", "Mod", "Mul", "Pow", "Sub",
]  # fmt: skip
