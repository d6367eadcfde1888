"""Intervals: tight where index arithmetic needs it, sound where integers wrap around."""

import pytest

from minicc.loop.ir import Buffer
from minicc.tensor.bounds import assume, bounds
from minicc.tensor.expr import Var, binary, cast, const, maximum, minimum, select
from minicc.types import float32, int8, int32, int64, uint8, uint64

i, j, n = Var("i"), Var("j"), Var("n")
RANGES = {i: (0, 7), j: (0, 3)}
WHOLE = int64.range


@pytest.mark.parametrize(
    ("e", "expected"),
    [
        (i * 4 + j, (0, 31)),
        (i - j, (-3, 7)),
        (i * 4 + j - i * 4, (0, 3)),
        ((i * 4 + j) // 4, (0, 7)),
        (i % 4, (0, 3)),
        (j % 4, (0, 3)),
        ((i + 8) % 16, (8, 15)),
        (n % 4, (0, 3)),
        (n % -4, (-3, 0)),
        (n, WHOLE),
        (n + 1, WHOLE),  # it may wrap around
        (n + 1 - n, (1, 1)),
        (binary("floordiv", i, j), (0, 7)),  # by zero gives 0
        (binary("truncdiv", i - 7, const(2)), (-3, 0)),
        (binary("truncmod", i - 7, const(4)), (-3, 0)),
        (binary("floordiv", i - 7, const(-2)), (0, 3)),
        (i * j, (0, 21)),
        (-i, (-7, 0)),
        (abs(i - 3), (0, 4)),
        (minimum(i, 3), (0, 3)),
        (maximum(i - 3, 0), (0, 4)),
        (minimum(maximum(n, 0), 9), (0, 9)),
        (select(i < 4, i, 0), (0, 3)),
        (select(n < 0, n + 9, n), (WHOLE[0] + 9, WHOLE[1])),
        (select((n >= 0) & (n < 9), n, 0), (0, 8)),
        (select(i < j, i + 1, 0), (0, 3)),
        (i < 8, (1, 1)),
        (i.equal(9), (0, 0)),
        (i < j, (0, 1)),
        ((i < 8) & (i < j), (0, 1)),
        (~(i < 8), (0, 0)),
        (i & 3, (0, 3)),
        ((i < j).astype(int64), (0, 1)),
        (Var("a", uint8).astype(int64) * 2, (0, 510)),
        (Var("a", uint8) * 2, (0, 255)),  # it may wrap around
        (i.astype(int8), (0, 7)),
        ((i * 100).astype(int8), (-128, 127)),
        (Buffer("A", int32, (4,))[i], int32.range),
        (Var("x", float32), (float("-inf"), float("inf"))),
        (Var("x", float32).astype(int8), int8.range),
        (binary("shl", i, const(2)), (0, 28)),
        (binary("shr", i, const(1)), (0, 3)),
        (binary("bitxor", i, j), (0, 7)),
    ],
    ids=str,
)
def test_intervals(e, expected):
    assert bounds(e, RANGES) == expected


@pytest.mark.parametrize(
    ("cond", "e", "expected"),
    [
        (i < 3, i, (0, 2)),
        (i <= 3, i, (0, 3)),
        (i * 3 < 10, i, (0, 3)),
        (i.equal(3), i, (3, 3)),
        (i > 3, i, (4, 7)),
        (~(i > 3), i, (0, 3)),
        ((i > 3) & (j < 2), i * 4 + j, (16, 29)),
        (~((i < 3) | (j < 2)), i * 4 + j, (14, 31)),
        (i * 4 + j < 10, i * 4 + j, (0, 9)),
        (i * 4 + j < 10, i * 8 + j * 2 + 1, (1, 19)),
        (i < j, i - j, (-3, -1)),
        (i < j, j - i, (1, 3)),
        (Buffer("A", int32, (4,))[i] < 5, cast(Buffer("A", int32, (4,))[i], int64), (-(1 << 31), 4)),
        (Buffer("A", uint8, (4,))[i] > 5, cast(Buffer("A", uint8, (4,))[i], int64), (6, 255)),
        (Buffer("A", uint64, (4,))[i] > 5, cast(Buffer("A", uint64, (4,))[i], int64), WHOLE),  # it may wrap around
        (Buffer("A", int64, (4,))[i] < 5, maximum(Buffer("A", int64, (4,))[i], 0), (0, 4)),
    ],
    ids=str,
)
def test_what_a_guard_says(cond, e, expected):
    assert bounds(e, assume(cond, RANGES)) == expected


def test_an_impossible_guard_is_harmless():
    known = assume((i < 3) & (i > 5), RANGES)
    low, high = bounds(i * 2 + 1, known)
    assert low <= high


def test_deep_selects_are_quick():
    e = const(0)
    for k in range(300):
        e = select(n < k, const(k), e)
    assert bounds(e, {n: (0, 1000)}) == (0, 299)
