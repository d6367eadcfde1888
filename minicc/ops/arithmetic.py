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

from minicc import te
from minicc.ops.base import Array, Draw, Example, like, operator
from minicc.ops.elementwise import INTEGER, NUMERIC, Binary, Elementwise
from minicc.te.expr import Const, Expr, binary, call, cast, const, maximum, minimum, select
from minicc.types import TensorType, float64


@operator
class Add(Binary):
    """a + b."""

    reference = staticmethod(np.add)
    relax_name: ClassVar[str] = "add"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a + b


@operator
class Sub(Binary):
    """a - b."""

    reference = staticmethod(np.subtract)
    relax_name: ClassVar[str] = "subtract"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a - b


@operator
class Mul(Binary):
    """a * b."""

    reference = staticmethod(np.multiply)
    relax_name: ClassVar[str] = "multiply"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a * b


@operator
class Div(Binary):
    """a / b. Integers truncate, and divided by zero are 0."""

    relax_name: ClassVar[str] = "divide"

    def reference(self, a: Array, b: Array) -> Any:
        exact = a if a.dtype.kind == "f" else a - np.fmod(a, b)  # the multiple of b that truncation divides
        return exact / b if a.dtype.kind == "f" else exact // b

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return a / b if a.dtype.is_float else binary("truncdiv", a, b)


@operator
class Pow(Binary):
    """x to the power y, in the dtype of x.

    An integer to an integer power wraps in the reference, as multiplication would. The expression
    goes through float64, so beyond 2**53 only literal exponents up to 4 are exact. 0 to a
    negative power is 0.
    """

    widens: ClassVar[bool] = True

    def check(self, *types: TensorType) -> None:
        self.accept(*types)

    def reference(self, x: Array, y: Array) -> Any:
        if x.dtype.kind == "f":
            return np.power(x, y)
        if y.dtype.kind == "f":
            return np.power(x.astype(np.float64), y)
        wrapped = np.power(x.astype(np.uint64), np.where(y < 0, 0, y).astype(np.uint64)).astype(x.dtype)
        return np.where(y < 0, np.where(np.absolute(x) == 1, np.power(x.astype(np.float64), y), 0).astype(x.dtype), wrapped)

    def scalar(self, x: Expr, y: Expr) -> Expr:
        if isinstance(y, Const) and y.value in (1, 2, 3, 4):
            return {1: x, 2: x * x, 3: x * x * x, 4: (x * x) * (x * x)}[int(y.value)]
        wide = float64 if not x.dtype.is_float or y.dtype is float64 else x.dtype
        power = call("pow", cast(x, wide), cast(y, wide))
        if x.dtype.is_float or y.dtype.is_float:
            return power
        whole = cast(call("round", power), x.dtype)  # an error of one unit in the last place must not truncate
        return select(te.all(x.equal(0), y < 0), 0, whole) if y.dtype.kind == "int" else whole

    def relaxed(self, R: Any, x: Any, y: Any) -> Any:
        """TVM raises floats only: integers are powers of float64, rounded; 0 to a negative power is 0."""
        wide = float64 if not x.dtype.is_float or y.dtype is float64 else x.dtype
        base, exponent = x.astype(wide), y.astype(wide)
        if x.dtype.is_float or y.dtype.is_float:
            return R.power(base, exponent).astype(x.dtype)
        endless = R.logical_and(R.equal(base, like(base, 0)), R.less(exponent, like(exponent, 0)))
        return R.where(endless, like(base, 0), R.round(R.power(base, exponent))).astype(x.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        shape = draw.shape()
        base = TensorType(draw.dtype(NUMERIC), shape)
        exponent = TensorType(draw.dtype(NUMERIC if base.dtype.is_float else INTEGER), draw.broadcastable(shape))
        low = 0 if base.dtype.kind == "uint" else -4
        x = draw.array(base) if base.dtype.is_float else draw.array(base, low, 3)
        return cls(), [x, draw.array(exponent, 0, 3)]


@operator
class Mod(Binary):
    """The remainder of a / b: with the sign of b, or with `fmod` that of a. Floats need `fmod`."""

    widens: ClassVar[bool] = True

    fmod: bool = False

    def check(self, *types: TensorType) -> None:
        Elementwise.check(self, *types)
        if types[0].dtype.is_float and not self.fmod:
            raise self.error(f"floats are only defined for fmod=True, got {types[0].dtype}", *types, hint="set fmod=True")

    def reference(self, a: Array, b: Array) -> Any:
        return np.fmod(a, b) if self.fmod else np.mod(a, b)

    def scalar(self, a: Expr, b: Expr) -> Expr:
        if a.dtype.is_float:
            return call("fmod", a, b)
        return binary("truncmod" if self.fmod else "floormod", a, b)

    def relaxed(self, R: Any, a: Any, b: Any) -> Any:
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
    relax_name: ClassVar[str] = "minimum"

    def scalar(self, a: Expr, b: Expr) -> Expr:
        return minimum(a, b)


@operator
class Max(Binary):
    """The greater, NaN if either is."""

    reference = staticmethod(np.maximum)
    relax_name: ClassVar[str] = "maximum"

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
    relax_name: ClassVar[str] = "bitwise_and"


@operator
class BitwiseOr(Bitwise):
    """Bits set in either."""

    reference = staticmethod(np.bitwise_or)
    relax_name: ClassVar[str] = "bitwise_or"


@operator
class BitwiseXor(Bitwise):
    """Bits set in one of the two."""

    reference = staticmethod(np.bitwise_xor)
    relax_name: ClassVar[str] = "bitwise_xor"


@operator
class BitShift(Binary):
    """`a` shifted by `b` bits, direction "LEFT" or "RIGHT"; by its width or more, every bit falls out."""

    accepts: ClassVar[tuple[str, ...]] = INTEGER

    direction: str

    def check(self, *types: TensorType) -> None:
        Elementwise.check(self, *types)
        if self.direction not in ("LEFT", "RIGHT"):
            raise self.error(f"direction must be LEFT or RIGHT, got {self.direction!r}", *types)

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

    def relaxed(self, R: Any, a: Any, b: Any) -> Any:
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
