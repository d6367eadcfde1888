"""Scalar functions by the names that the literature gives them, and the limits of dtypes.

In: expressions, or numbers beside them. Out: an expression, of the dtype in which the operands meet (`te.promote`);
of an integer, most functions are computed in the float that NumPy takes. Operators and NumPy's functions come here,
too: `np.exp(x)` is `exp(x)`, `x**2` is `power(x, 2)`. What a name means to the machine is in `te.intrinsics`; reductions are in `te.tensor`.

>>> from minicc.tensor.expr import Var
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

from minicc.tensor.expr import Const, Expr, all_of, binary, call, cast, const, maximum, minimum, select, together, unary
from minicc.tensor.expr import wrap
from minicc.tensor.operators import BUILDERS, refusal, shown
from minicc.tensor.promote import WEAK, floating
from minicc.types import DType, boolean, int64

WHOLE = ("floor", "ceil", "trunc", "round")  # of an integer, the integer itself


def _function(name: str, dtype: DType | None = None) -> Callable[[Any], Expr]:
    """The intrinsic `name` as a function of one operand; its value has `dtype`, or that of the operand."""

    def apply(x: Any) -> Expr:
        e = wrap(x)
        if not e.dtype.is_float and name in WHOLE:
            return e
        if not e.dtype.is_float and dtype is boolean:  # no integer is NaN or infinite
            return const(False, boolean)
        return call(name, _float(e), dtype=dtype)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"`{name}` of a float; see `te.intrinsics`."
    BUILDERS[name] = apply
    return apply


exp, expm1, log, log1p, sqrt, erf = map(_function, ("exp", "expm1", "log", "log1p", "sqrt", "erf"))
sigmoid = _function("sigmoid")
sin, cos, tan, tanh, sinh, cosh = map(_function, ("sin", "cos", "tan", "tanh", "sinh", "cosh"))
asin, acos, atan, asinh, acosh, atanh = map(_function, ("asin", "acos", "atan", "asinh", "acosh", "atanh"))
floor, ceil, trunc, round = map(_function, WHOLE)
isnan, isinf = _function("isnan", boolean), _function("isinf", boolean)


def _float(x: Any) -> Expr:
    """`x`, or the float that NumPy makes of an integer."""
    e = wrap(x)
    return cast(e, floating(e.dtype))


def abs(x: Any) -> Expr:
    """The absolute value."""
    return unary("abs", x)


def rsqrt(x: Any) -> Expr:
    """`1 / sqrt(x)`."""
    return binary("div", 1, sqrt(x))


def power(x: Any, y: Any) -> Expr:
    """`x` to the power of `y`; of integers, `integer_power`. Raises TeError for booleans, and an integer to a number below 0."""
    base, exponent = together("power", x, y)
    of_booleans = any(getattr(v, "dtype", None) is boolean for v in (x, y, base))
    if base.dtype.is_float and not of_booleans:
        return call("pow", base, exponent)
    if of_booleans or (isinstance(exponent, Const) and exponent.value < 0):
        problem = f"expected a float, or an integer to a power that is not negative, got {shown(y)}"
        hint = 'convert one: x.astype("float64")'
        raise refusal(f"power({shown(x)}, {shown(y)})", problem, hint, base, exponent)
    return integer_power(base, exponent)


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
    a, b = together("fmod", x, y)
    return call("fmod", a, b) if a.dtype.is_float else binary("truncmod", a, b)


def copysign(x: Any, y: Any) -> Expr:
    """`x` with the sign of `y`."""
    if type(x) not in WEAK and type(y) not in WEAK:  # each becomes a float on its own
        x, y = _float(x), _float(y)
    a, b = together("copysign", x, y)
    return call("copysign", _float(a), _float(b))


def max_value(dtype: DType | str) -> Const:
    """The greatest value of `dtype`: the identity of a minimum."""
    return const(DType.of(dtype).range[1], dtype)


def min_value(dtype: DType | str) -> Const:
    """The least value of `dtype`: the identity of a maximum."""
    return const(DType.of(dtype).range[0], dtype)


def _truth(x: Any) -> Expr:
    e = wrap(x)
    return e if e.dtype is boolean else binary("ne", e, 0)


def _sign(x: Any) -> Expr:
    e = wrap(x)
    if e.dtype is boolean:
        raise refusal(f"sign({e})", "expected a number, got bool", "te.if_then_else(x, 1, 0)", e)
    below = e if e.dtype.kind == "uint" else select(e < 0, const(-1, e.dtype), e * 0)  # NaN stays NaN
    return select(e > 0, const(1, e.dtype), below)


def _reciprocal(x: Any) -> Expr:
    e = wrap(x)
    if not e.dtype.is_float:
        raise refusal(f"reciprocal({e})", f"expected a float, got {e.dtype}", "1 / x is a float64", e)
    return binary("div", 1, e)


def _matmul(a: Any, b: Any) -> Expr:
    problem = "expected operators of elements, got a product of matrices"
    hint = "k = te.reduce_axis((0, n)); te.sum(A[i, k] * B[k, j], axis=k)"
    raise refusal(f"{shown(a)} @ {shown(b)}", problem, hint, a, b)


BUILDERS.update(
    pow=power, fmod=fmod, copysign=copysign, sign=_sign, reciprocal=_reciprocal, matmul=_matmul, pos=wrap,
    whole=lambda name, x: cast(BUILDERS[name](x), int64),  # what Python's `round`, `math.floor` and the like give
    clip=lambda x, low, high: minimum(maximum(x, low), high),
    rint=lambda x: round(_float(x)),
    square=lambda x: binary("mul", x, x),
    fabs=lambda x: unary("abs", _float(x)),
    isfinite=lambda x: all_of(~isnan(x), ~isinf(x)),
    logical_not=lambda x: unary("not", _truth(x)),
    logical_and=lambda a, b: binary("and", _truth(a), _truth(b)),
    logical_or=lambda a, b: binary("or", _truth(a), _truth(b)),
    logical_xor=lambda a, b: binary("ne", _truth(a), _truth(b)),
)  # fmt: skip
