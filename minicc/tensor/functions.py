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
        return call(name, cast(e, floating(e.dtype)), dtype=dtype)

    apply.__name__ = apply.__qualname__ = name
    apply.__doc__ = f"`{name}` of a float; see `te.intrinsics`."
    return apply


exp, expm1, log, log1p, sqrt, erf = map(_function, ("exp", "expm1", "log", "log1p", "sqrt", "erf"))
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
    e = wrap(x)
    return binary("div", 1, binary("add", 1, exp(unary("neg", cast(e, floating(e.dtype))))))


def power(x: Any, y: Any) -> Expr:
    """`x` to the power of `y`; of integers, `integer_power`. Raises TeError for booleans, and an integer to a number below 0."""
    base, exponent = together("power", x, y)
    of_booleans = any(getattr(v, "dtype", None) is boolean for v in (x, y, base))
    if base.dtype.is_float and not of_booleans:
        return call("pow", base, exponent)
    if of_booleans or (isinstance(exponent, Const) and exponent.value < 0):
        raise refusal(
            f"power({shown(x)}, {shown(y)})",
            f"expected a float, or an integer to a power that is not negative, got {shown(y)}",
            'convert one: x.astype("float64")',
            base,
            exponent,
        )
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
        x, y = (cast(v, floating(wrap(v).dtype)) for v in (x, y))
    a, b = together("copysign", x, y)
    kind = floating(a.dtype)
    return call("copysign", cast(a, kind), cast(b, kind))


def _whole(name: str, x: Any) -> Expr:
    """The int64 that Python's `round`, `math.floor` and the like give."""
    return cast(BUILDERS[name](x), int64)


def _truth(x: Any) -> Expr:
    x = wrap(x)
    return x if x.dtype is boolean else binary("ne", x, 0)


def _sign(x: Any) -> Expr:
    x = wrap(x)
    if x.dtype is boolean:
        raise refusal(f"sign({x})", "expected a number, got bool", "te.if_then_else(x, 1, 0)", x)
    below = x if x.dtype.kind == "uint" else select(x < 0, const(-1, x.dtype), x * 0)  # NaN stays NaN
    return select(x > 0, const(1, x.dtype), below)


def _reciprocal(x: Any) -> Expr:
    x = wrap(x)
    if not x.dtype.is_float:
        raise refusal(f"reciprocal({x})", f"expected a float, got {x.dtype}", "1 / x is a float64", x)
    return binary("div", 1, x)


def _clip(x: Any, low: Any, high: Any) -> Expr:
    return minimum(maximum(x, low), high)


def _matmul(a: Any, b: Any) -> Expr:
    raise refusal(
        f"{shown(a)} @ {shown(b)}",
        "expected operators of elements, got a product of matrices",
        "k = te.reduce_axis((0, n)); te.sum(A[i, k] * B[k, j], axis=k)",
        a,
        b,
    )


def max_value(dtype: DType | str) -> Const:
    """The greatest value of `dtype`: the identity of a minimum."""
    kind = DType.of(dtype)
    return const(kind.range[1], kind)


def min_value(dtype: DType | str) -> Const:
    """The least value of `dtype`: the identity of a maximum."""
    kind = DType.of(dtype)
    return const(kind.range[0], kind)


_NAMED = (exp, expm1, log, log1p, sqrt, erf, sin, cos, tan, tanh, sinh, cosh, asin, acos, atan, asinh, acosh, atanh,
          floor, ceil, trunc, round, isnan, isinf, copysign, fmod)  # fmt: skip
BUILDERS.update(
    {f.__name__: f for f in _NAMED},
    pow=power,
    whole=_whole,
    sign=_sign,
    reciprocal=_reciprocal,
    clip=_clip,
    matmul=_matmul,
    pos=lambda x: wrap(x),
    rint=lambda x: round(cast(x, floating(wrap(x).dtype))),
    square=lambda x: binary("mul", x, x),
    fabs=lambda x: unary("abs", cast(x, floating(wrap(x).dtype))),
    isfinite=lambda x: all_of(~isnan(x), ~isinf(x)),
    logical_not=lambda x: unary("not", _truth(x)),
    **{f"logical_{op}": lambda a, b, op=op: binary(op, _truth(a), _truth(b)) for op in ("and", "or")},
    logical_xor=lambda a, b: binary("ne", _truth(a), _truth(b)),
)

__all__ = [
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "exp", "floor", "fmod",
    "isinf", "isnan", "log", "log1p", "max_value", "min_value", "power", "round", "rsqrt", "sigmoid", "sin", "sinh",
    "sqrt", "tan", "tanh", "trunc",
]  # fmt: skip
