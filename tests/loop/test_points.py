"""Where loops are short, the verifier decides: it accepts exactly what stays inside, and names a point that does not."""

import itertools
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc.errors import LoopError
from minicc.loop import Buffer, Program
from minicc.loop.ir import For, If, Stmt, Store, seq
from minicc.loop.points import MOST_POINTS, outside
from minicc.loop.verify import verify
from minicc.tensor.bounds import Bounds
from minicc.tensor.expr import (
    Binary,
    Const,
    Expr,
    Load,
    Select,
    Var,
    binary,
    const,
    maximum,
    minimum,
    select,
    substitute,
)
from minicc.types import float32, int64

i, j, k = (Var(x) for x in "ijk")
IDX = Buffer("idx", int64, (4,))


def number(rng: random.Random, depth: int, names: tuple[Var, ...]) -> Expr:
    """A random index."""
    if depth == 0:
        return rng.choice([*names, *names, const(rng.randint(-2, 9))])
    a, b = number(rng, depth - 1, names), number(rng, depth - 1, names)
    small = rng.randint(1, 9)
    return rng.choice([a + b, a - b, a * small, a // small, a % small, a // b, a % b, binary("truncdiv", a, b), binary("truncmod", a, b),
                       minimum(a, b), maximum(a, b), select(a < b, a, small), a // small * small + a % small])  # fmt: skip


def condition(rng: random.Random, depth: int, names: tuple[Var, ...]) -> Expr:
    """A random guard."""
    a, b = number(rng, 2, names), number(rng, 1, names)
    cond = rng.choice([a < b, a <= b, a < rng.randint(0, 20), a.equal(b), binary("ne", a, b), ~(a < b)])
    return (
        cond
        if depth == 0
        else rng.choice([cond & condition(rng, depth - 1, names), cond | condition(rng, depth - 1, names)])
    )


def value(e: Expr, at: dict[Var, int]) -> int:
    made = substitute(e, {v: const(x) for v, x in at.items()})
    assert isinstance(made, Const), made
    return int(made.value)


@given(st.integers(0, 1 << 32))
def test_exactly_what_leaves_is_refused(seed: int) -> None:
    rng = random.Random(seed)
    size = rng.randint(1, 12)
    A, B = Buffer("A", float32, (size,)), Buffer("B", float32, (6, 9))
    n, m = rng.randint(1, 6), rng.randint(1, 9)
    inner: int | Expr = rng.choice([m, minimum(m, i + 1)])  # the loop over j may be shorter than it is wide
    guard, choice = condition(rng, 1, (i, j)), condition(rng, 0, (i, j))
    x, y = number(rng, 3, (i, j)), number(rng, 2, (i, j))
    read = Select(choice, Load(A, (x,)), Load(A, (y,)))
    body: Stmt = For(i, n, For(j, inner, If(guard, Store(B, (i, j), read))))
    places = [
        {i: p, j: q}
        for p, q in itertools.product(range(n), range(m))
        if q < (inner if inner is m else value(inner, {i: p}))
    ]
    reads = [(at, value(x if value(choice, at) else y, at)) for at in places if value(guard, at)]
    try:
        verify(Program("f", (A,), (B,), seq(body, Store(B, (const(0), const(0)), const(0.0, float32)))))
    except LoopError as refused:
        assert any(not 0 <= index < size for _, index in reads)
        found = re.search(r"got (.*), which may be in .*], (-?\d+) where (.*)$", refused.problem)
        if found:  # a constant has no point
            at = dict(part.split(" = ") for part in found[3].split(", "))
            assert any(index == int(found[2]) and all(p[Var(v)] == int(n) for v, n in at.items()) for p, index in reads)
            assert not 0 <= int(found[2]) < size
    else:
        assert all(0 <= index < size for _, index in reads)


@given(st.integers(0, 1 << 32))
def test_exactly_the_races_are_refused(seed: int) -> None:
    rng = random.Random(seed)
    n, m, around = rng.randint(1, 6), rng.randint(1, 6), rng.randint(1, 3)
    B = Buffer("B", float32, (rng.randint(1, 3), rng.choice([8, 40])))
    index = (k % B.shape[0], (number(rng, 2, (i, j, k)) + rng.choice([i * 7 + j, j * 6 + i, i])) % B.shape[1])
    guard = condition(rng, 1, (i, j))
    body = For(
        k,
        around,
        For(i, n, For(j, m, If(guard, Store(B, index, const(0.0, float32)))), rng.choice(["parallel", "vectorize"])),
    )
    writers: dict[tuple[int, ...], set[int]] = {}
    for r, p, q in itertools.product(range(around), range(n), range(m)):
        at = {k: r, i: p, j: q}
        if value(guard, at):
            writers.setdefault((r, *[value(e, at) for e in index]), set()).add(p)
    racing = any(len(iterations) > 1 for iterations in writers.values())
    try:
        verify(Program("f", (), (B,), seq(body, Store(B, (const(0), const(0)), const(0.0, float32)))))
    except LoopError as refused:
        assert racing and "must be independent" in str(refused)
    else:
        assert not racing


def test_digits_in_two_mixed_radices() -> None:
    f = Var("f")
    index, known = (f % 8 * 24 + f // 8) // 20, Bounds({f: (0, 59)})
    assert outside(index, 8, known, [f % 8 * 8 + f // 24 < 55]) == []
    assert outside(index, 8, known, []) == [(8, {f: 7})]


def test_conditions_that_tie_variables_are_used() -> None:
    known = Bounds({i: (0, 9), j: (0, 9), k: (0, 9)})
    assert outside(i, 5, known, [Binary("le", i, j), Binary("lt", j * j, k + 8), k < 9]) == []
    assert outside(i, 5, known, [Binary("le", i, j), Binary("lt", j * j, k + 17)]) == [(5, {i: 5, j: 5, k: 9})]


def test_conditions_on_data_are_taken_to_hold() -> None:
    assert outside(i, 5, Bounds({i: (0, 5)}), [IDX[j] < 3]) == [(5, {i: 5})]


@pytest.mark.parametrize(
    ("index", "last"), [(IDX[i], 3), (i, MOST_POINTS), (i + j, 3)], ids=["data", "long", "unknown"]
)
def test_what_is_not_decided(index: Expr, last: int) -> None:
    assert outside(index, 4, Bounds({i: (0, last)}), []) is None


def test_where_all_points_are_too_many_those_of_the_index_decide() -> None:
    known = Bounds({i: (0, 9), j: (0, MOST_POINTS)})
    assert outside(i * i % 7, 5, known, [i < j]) == []
