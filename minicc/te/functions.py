"""Scalar functions by the names that the literature gives them, and the limits of dtypes.

In: expressions, or numbers beside them. Out: an expression, of the dtype of the first operand.
What a name means to the machine is in `te.intrinsics`; reductions are in `te.tensor`.

>>> from minicc.te.expr import Var
>>> from minicc.types import float32
>>> x = Var("x", float32)
>>> power(tanh(x), 2)
pow(tanh(x), 2.0)
>>> min_value("int8"), max_value("float32")
(int8(-128), inf)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicc.te.expr import Const, Expr, binary, call, cast, const, select, unary, wrap
from minicc.types import DType, boolean


def _function(name: str, dtype: DType | None = None) -> Callable[[Any], Expr]:
    """The intrinsic `name` as a function of one operand; its value has `dtype`, or that of the operand."""

    def apply(x: Any) -> Expr:
        return call(name, x, dtype=dtype)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"`{name}` of a float; see `te.intrinsics`."
    return apply


exp, log, log1p, sqrt, erf = map(_function, ("exp", "log", "log1p", "sqrt", "erf"))
sin, cos, tan, tanh, sinh, cosh = map(_function, ("sin", "cos", "tan", "tanh", "sinh", "cosh"))
asin, acos, atan, asinh, acosh, atanh = map(_function, ("asin", "acos", "atan", "asinh", "acosh", "atanh"))
floor, ceil, trunc, round = map(_function, ("floor", "ceil", "trunc", "round"))
isnan, isinf = _function("isnan", boolean), _function("isinf", boolean)


def abs(x: Any) -> Expr:
    """The absolute value."""
    return unary("abs", x)


def rsqrt(x: Any) -> Expr:
    """`1 / sqrt(x)`."""
    return binary("div", 1, sqrt(x))


def sigmoid(x: Any) -> Expr:
    """`1 / (1 + exp(-x))`."""
    return binary("div", 1, binary("add", 1, exp(unary("neg", x))))


def power(x: Any, y: Any) -> Expr:
    """`x` to the power of `y`; a number becomes a literal of the other's dtype. Of integers, `integer_power`."""
    first = x if isinstance(x, Expr) else wrap(x, y.dtype if isinstance(y, Expr) else None)
    second = wrap(y, first.dtype)
    return integer_power(first, second) if first.dtype.is_integer and second.dtype.is_integer else call("pow", first, second)


def integer_power(x: Expr, y: Expr) -> Expr:
    """The integer `x` to the power of the integer `y`, in the dtype of `x`: exact, and wraps around as products do.

    To a negative power it is `1 / x**-y` rounded towards zero: 0 but for x = 1 and x = -1. 0 gives 0, too.
    """
    wide = x.dtype if x.dtype.bits >= y.dtype.bits else y.dtype
    raised = cast(call("int_pow", cast(x, wide), cast(y, wide)), x.dtype)
    if y.dtype.kind == "uint":
        return raised
    unit = binary("eq", unary("abs", x), 1)
    return select(binary("lt", y, 0), select(unit, select(binary("eq", binary("bitand", y, 1), 0), 1, x), 0), raised)


def fmod(x: Any, y: Any) -> Expr:
    """The remainder of `x / y` rounded towards zero."""
    return call("fmod", x, wrap(y, wrap(x).dtype))


def max_value(dtype: DType | str) -> Const:
    """The greatest value of `dtype`: the identity of a minimum."""
    kind = DType.of(dtype)
    return const(kind.range[1], kind)


def min_value(dtype: DType | str) -> Const:
    """The least value of `dtype`: the identity of a maximum."""
    kind = DType.of(dtype)
    return const(kind.range[0], kind)


__all__ = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "floor", "fmod",
    "isinf", "isnan", "log", "log1p", "max_value", "min_value", "power", "round", "rsqrt", "sigmoid", "sin", "sinh",
    "sqrt", "tan", "tanh", "trunc",
]  # fmt: skip
