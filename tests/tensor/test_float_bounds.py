"""Ranges of floats hold for every value of their variables, NaN and infinities included."""

from __future__ import annotations

import numpy as np
import pytest

from minicc.tensor.evaluate import evaluate_expr
from minicc.tensor.expr import Expr, Var, call, cast, const, select
from minicc.tensor.float_bounds import fits_int32, float_range
from minicc.types import float32, uint8

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
