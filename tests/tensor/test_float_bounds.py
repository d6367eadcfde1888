"""Ranges of floats hold for every value of their variables, NaN and infinities included."""

from __future__ import annotations

import numpy as np
import pytest

from minicc.tensor.evaluate import evaluate_expr
from minicc.tensor.expr import Expr, Var, call, cast, const, select, walk
from minicc.tensor.float_bounds import fits_int32, float_range
from minicc.tensor.simplify import simplify
from minicc.types import float16, float32, float64, int16, int32, uint8

X, Q = Var("x", float32), Var("q", uint8)
VALUES = np.float32([np.nan, -np.inf, -3e38, -255.5, -1, -0.0, 0, 0.5, 1.5, 254.5, 255, 300, 4e9, 3e38, np.inf])
LOW, HIGH = (const(bound, float32) - cast(Q, float32) for bound in (0, 255))


def clamped(low: Expr, high: Expr) -> Expr:
    least = select(low < X, X, low)
    return select(least < high, least, high)


KNOWN = {
    "numbers": clamped(const(-7.5, float32), const(250, float32)),
    "a zero point": clamped(LOW, HIGH),
    "rounded": call("round", clamped(LOW, HIGH)),
}
ROUNDED = call("round", clamped(const(-3, float32), const(252, float32)))
LINKS = {  # from an integer to a float again, and what stands instead
    "a zero point": cast(cast(cast(ROUNDED, int32) + 3, uint8), float32),
    "which is taken away": cast(cast(cast(ROUNDED, int32) + 3, uint8), float32) - 3.0,
    "and added": cast(cast(cast(ROUNDED, int32) + 3, uint8), float32) + -3.0,
    "none": cast(cast(cast(ROUNDED, int32), int16), float32),
    "what does not fit": cast(cast(cast(ROUNDED, int32) + 4, uint8), float32),
    "a sum that is not whole": cast(
        cast(cast(call("round", clamped(const(0, float32), const(252, float32))), float64) + 0.5, uint8), float32
    ),
    "what is not rounded": cast(cast(cast(clamped(LOW, HIGH), int32), int16), float32),
}
UNKNOWN = {
    "anything": X,
    "one side": select(X > LOW, X, LOW),
    "NaN stays": select(X < LOW, LOW, X),
    "other values": select(X > LOW, X, HIGH),
    "no whole number": const(0.5, float32) - X,
}


@pytest.mark.parametrize("e", KNOWN.values(), ids=KNOWN.keys())
def test_clamped_values_are_in_their_range(e: Expr) -> None:
    found = float_range(e)
    assert found is not None and fits_int32(e)
    x, q = np.meshgrid(VALUES, np.uint8([0, 3, 255]))
    with np.errstate(all="ignore"):
        values = evaluate_expr(e, {X: x, Q: q})
    assert np.all((values >= found[0]) & (values <= found[1]))


@pytest.mark.parametrize("e", UNKNOWN.values(), ids=UNKNOWN.keys())
def test_what_may_be_anything_is_checked(e: Expr) -> None:
    assert not fits_int32(e)


@pytest.mark.parametrize("name", LINKS)
def test_whole_numbers_stay_floats_where_that_changes_nothing(name: str) -> None:
    e, x = LINKS[name], np.float32([*VALUES, -3, -2.5, 2, 251.5, 252.5])
    found = simplify(e)
    assert any(c.dtype.is_integer for c in walk(found)) == ("not" in name)
    with np.errstate(all="ignore"):
        got, expected = (evaluate_expr(v, {X: x, Q: np.uint8(0)}) for v in (found, e))
    np.testing.assert_array_equal(got.view(np.int32), expected.view(np.int32))  # zeros have no sign


@pytest.mark.parametrize("c", [np.inf, -np.inf, np.nan, 0.5])
def test_what_becomes_no_integer_is_left_alone(c: float) -> None:
    e = cast(cast(cast(ROUNDED, float64) + const(c, float64), float16), float32)
    assert simplify(e) is e
