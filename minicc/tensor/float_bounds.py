"""What values a float may have, as its expression shows: clamped ones need no check when they become integers.

In: an expression of floats. Out: its least and greatest value, or None where it may be NaN. A comparison with NaN is false,
so a selection that compares with a number, and gives that number then, is a number. Where a rounded number becomes a short
integer and a float again, as between two layers that are quantised, it may as well stay a float (`stays_float`).

>>> from minicc.tensor.expr import Var, call, select
>>> from minicc.types import float32
>>> x = Var("x", float32)
>>> least = select(x > 0.0, x, 0.0)
>>> float_range(x), float_range(least), float_range(call("round", select(least < 254.6, least, 254.6)))
(None, (0.0, inf), (0.0, 255.0))
"""

from __future__ import annotations

import math

import numpy as np

from minicc.tensor.expr import Binary, Call, Const, Convert, Expr, Select, const
from minicc.types import DType, float32

Range = tuple[float, float]
ANY: Range = (-math.inf, math.inf)
ROUNDINGS = {"round": np.rint, "floor": np.floor, "ceil": np.ceil, "trunc": np.trunc}
EXACT = 2**24  # whole numbers up to here, and their differences, are exact


def float_range(e: Expr) -> Range | None:
    """The least and the greatest value of `e`; None where it may be NaN."""
    match e:
        case Const(value, _):
            return None if math.isnan(value) else (float(value), float(value))
        case Convert(a, _) if a.dtype.is_integer:
            low, high = a.dtype.range
            return float(low), float(high)
        case Call(name, (a,), _) if name in ROUNDINGS and (found := float_range(a)):
            return float(ROUNDINGS[name](found[0])), float(ROUNDINGS[name](found[1]))
        case Binary("sub", a, b) if (x := float_range(a)) and (y := float_range(b)):
            known = all(v.is_integer() and abs(v) < EXACT for v in (*x, *y))
            return (x[0] - y[1], x[1] - y[0]) if known else None
        case Select(Binary("lt", a, b), then, other):
            return _selected(a, b, then, other)
    return None


def fits_int32(e: Expr) -> bool:
    """Whether the float `e` surely is a number whose whole part an int32 holds."""
    found = float_range(e)
    return found is not None and found[0] >= -(2.0**31) and found[1] < 2.0**31


def stays_float(e: Expr) -> Expr | None:
    """Whole numbers that become an integer, plus a constant, and a float again; and what is added to them then.

    float32(uint8(int32(x) + 3)) is x + 3.0, and (x + 3.0) + -3.0 is x + 0.0, which has no negative zero, like an integer.
    """
    match e:
        case Convert(Convert(Binary("add", Convert(x, inner), Const(c, _)), narrow), wide) if _fits(
            x, inner, wide, 0
        ) and _fits(x, narrow, wide, c):
            return Binary("add", x, const(c, wide))
        case Convert(Convert(Convert(x, inner), narrow), wide) if _fits(x, inner, wide, 0) and _fits(
            x, narrow, wide, 0
        ):
            return Binary("add", x, const(0, wide))
        case Binary("add", Binary("add", Call() as x, Const(c, _)), Const(d, dtype)) if _is_whole(x, c, d):
            return Binary("add", x, const(c + d, dtype))
    return None


def _is_whole(x: Expr, *others: float) -> bool:
    """Whether `x` is a rounded number, and with the others so small that all sums are exact."""
    found = float_range(x) if isinstance(x, Call) and x.name in ROUNDINGS else None
    return found is not None and all(abs(v) < EXACT // 4 and float(v).is_integer() for v in (*found, *others))


def _fits(x: Expr, narrow: DType, wide: DType, c: float) -> bool:
    """Whether x + c is a whole number that `narrow` holds, and x is of the dtype `wide`."""
    found = float_range(x) if x.dtype is wide is float32 and narrow.is_integer and _is_whole(x, c) else None
    return found is not None and narrow.range[0] <= found[0] + c and found[1] + c <= narrow.range[1]


def _selected(a: Expr, b: Expr, then: Expr, other: Expr) -> Range | None:
    """Of the lesser, or the greater, of two, where the one that stands for NaN is a number."""
    rest = float_range(other)
    if rest is None or {then, other} != {a, b}:
        return None
    best, pick = float_range(then) or ANY, min if then is a else max
    return pick(best[0], rest[0]), pick(best[1], rest[1])
