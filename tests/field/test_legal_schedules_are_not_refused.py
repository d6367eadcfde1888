"""Splits, fusions and reorderings that a primitive accepts keep every rule, and the values."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc import te
from minicc.errors import LoopError
from minicc.loop import Buffer, Program, run_python
from minicc.loop.ir import For, If, Store, loops
from minicc.loop.lower import lower
from minicc.loop.verify import verify
from minicc.schedule import STEPS, Schedule, Step
from minicc.schedule.reorder import ReorderStep
from minicc.schedule.split import TAILS, SplitStep
from minicc.schedule.step import Illegal
from minicc.schedule.tidy import tidy
from minicc.tensor.expr import Expr, Var
from minicc.tensor.simplify import simplify
from minicc.types import float32

FACTORS = (2, 3, 4, 5, 6, 7, 8, 12, 16, 32)


def elementwise(*shape: int) -> Program:
    a = te.placeholder(shape, name="A")
    b = te.compute(shape, lambda *i: a[i] * 2.0, name="B")
    return lower([b], [a, b], "f").program


def pooling(c: int, h: int, w: int, size: int, stride: int) -> Program:
    a = te.placeholder((c, (h - 1) * stride + size, (w - 1) * stride + size), name="A")
    k, m = te.reduce_axis((0, size), "k"), te.reduce_axis((0, size), "m")
    b = te.compute((c, h, w), lambda ch, i, j: te.max(a[ch, i * stride + k, j * stride + m], axis=[k, m]), name="B")
    return lower([b], [a, b], "f").program


def test_fuse_split_split_fuse() -> None:
    s = Schedule(elementwise(5, 4))
    outer, inner = s.split(s.fuse("i0", "i1"), factor=32)
    middle, inner = s.split(inner, factor=16)
    last = s.fuse(s.fuse(outer, middle), inner)
    verify(s.program)
    assert f"B[{last}//4, {last}%4]" in str(s.program)
    a, b = np.arange(20, dtype=np.float32).reshape(5, 4), np.empty((5, 4), np.float32)
    run_python(s.program, a, b)
    assert np.array_equal(b, a * 2)


@pytest.mark.parametrize("factor", [4, 7, 12])
def test_ragged_tiles_of_fused_pooling_loops(factor: int) -> None:
    s = Schedule(pooling(4, 3, 6, 3, 2))
    inner = s.split(s.fuse("i", "j"), factor=factor)[1]
    s.split(inner, factor=5)
    verify(s.program)


f, i, j = Var("f"), Var("i"), Var("j")


@pytest.mark.parametrize(("long", "short"), [
    (f // 16 * 4 + f // 4 % 4, "f//4"), (f // 16 % 2 * 4 + f // 4 % 4, "f//4%8"), (f // 64 * 16 + f // 16 % 4 * 4 + f // 4 % 4, "f//4"),
    (f // 16 * 12 + (f % 16 * 12 + i) // 16, "(f*12 + i)//16"), (f // 3 * 7 + (f % 3 * 7 + i) // 3, "(f*7 + i)//3"),
    (f // 16 * 8 + f // 4 % 4 * 2 + i, "f//4*2 + i"), ((f * 12 + i) // 16 * 16 + (f % 16 * 12 + i) % 16, "f*12 + i"),
], ids=str)  # fmt: skip
def test_digits_are_put_together(long: Expr, short: str) -> None:
    ranges = {f: (0, 99), i: (0, 11)}
    assert str(simplify(long, ranges)) == short
    for x, y in ((0, 0), (17, 3), (99, 11), (48, 5)):
        assert eval(str(long), {"f": x, "i": y}) == eval(short, {"f": x, "i": y})


def digits(n: int, m: int, rng: random.Random) -> Program:
    """A flat tensor transposed twice, in two ways, one of them a guard: the input has just the rows that are read."""
    total = n * m
    by, other = (rng.choice([c for c in range(1, total + 1) if total % c == 0]) for _ in range(2))
    columns, limit = rng.randint(1, total), rng.randint(1, total)
    row = lambda p: (p % by * (total // by) + p // by) // columns  # noqa: E731
    taken = lambda p: p % other * (total // other) + p // other  # noqa: E731
    a = te.placeholder((1 + max(row(p) for p in range(total) if taken(p) < limit), 2), name="A")
    b = te.compute((n, m), lambda i, j: te.if_then_else(taken(i * m + j) < limit, a[row(i * m + j), 0], 1.0), name="B")
    return lower([b], [a, b], "f").program


def program(rng: random.Random, kind: str) -> Program:
    """A small program of a kind."""
    n, m, k = (rng.randint(1, 7) for _ in range(3))
    match kind:
        case "elementwise":
            return elementwise(*(n + 5, m + 5, k)[: rng.randint(1, 3)])
        case "pooling":
            return pooling(min(n, 4), m, k, rng.randint(1, 3), rng.randint(1, 2))
        case "digits":
            return digits(n + k, m + k, rng)
    a, b = te.placeholder((n, m), name="A"), te.placeholder((k, m), name="B")
    r, t = te.reduce_axis((0, 3), "r"), te.reduce_axis((0, 3), "t")
    padded = te.compute(
        (n + 2, m + k + 1), lambda i, j: te.if_then_else(te.all(i >= 1, i <= n, j < m), a[i - 1, j], 0.0), name="P"
    )
    columns = rng.choice([c for c in range(1, n * m + 1) if n * m % c == 0])
    made = {
        "padding": lambda: padded,
        "windows": lambda: te.compute((n, m + k - 1), lambda i, j: te.sum(padded[i + r, j + t], axis=[r, t])),
        "transpose": lambda: te.compute((m, n), lambda i, j: a[j, i] * 2.0),
        "swap": lambda: te.compute((m, 2, n), lambda i, j, k: a[k, i] * (j + 1.0)),
        "reshape": lambda: te.compute(
            (n * m // columns, columns), lambda i, j: a[(i * columns + j) // m, (i * columns + j) % m]
        ),
        "concat": lambda: te.compute((n + k, m), lambda i, j: te.if_then_else(i < n, a[i, j], b[i - n, j])),
    }[kind]()
    return lower([made], [a, *([b] if kind == "concat" else []), made], "f").program


KINDS = ("elementwise", "pooling", "padding", "windows", "transpose", "swap", "reshape", "concat", "digits")


def step(program: Program, rng: random.Random) -> Step | None:
    """Splits and fusions most of the time, so that digits of digits come up."""
    names, draw = list(loops(program.body)), rng.random()
    if draw < 0.35:
        return SplitStep(rng.choice(names), rng.choice(FACTORS), tail=rng.choice(TAILS))
    if draw < 0.5:
        return ReorderStep(tuple(rng.sample(names, min(rng.randint(2, 3), len(names)))))
    kind = (
        "fuse"
        if draw < 0.75
        else rng.choice(["parallel", "vectorize", "unroll"])
        if draw < 0.97
        else rng.choice(sorted(STEPS))
    )
    return rng.choice(list(STEPS[kind].moves(program)) or [None])


def walk(start: Program, rng: random.Random) -> tuple[Program, list[Step]]:
    """Up to nine steps; the verifier is asked after each."""
    program, steps = start, list[Step]()
    for _ in range(rng.randint(2, 9)):
        if (chosen := step(program, rng)) is None:
            continue
        try:
            program = tidy(chosen.transform(program))
        except Illegal:
            continue
        steps.append(chosen)
        verify(program)
    return program, steps


def values(program: Program) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(-9, 9, b.shape).astype(np.float32) for b in program.params]
    outputs = [np.full(b.shape, np.nan, np.float32) for b in program.outputs]
    run_python(program, *arrays, *outputs)
    return outputs


@pytest.mark.parametrize("kind", KINDS)
@given(st.integers(0, 1 << 32))
def test_what_a_primitive_accepts_the_verifier_accepts(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    start = program(rng, kind)
    made, steps = walk(start, rng)
    if seed % 4 == 0:
        assert all(np.array_equal(x, y) for x, y in zip(values(start), values(made), strict=True)), steps


def test_digits_in_two_mixed_radices() -> None:
    """An index and a guard by way of different factors: no interval proves it, the points do."""
    f, a, b = Var("f"), Buffer("A", float32, (8,)), Buffer("B", float32, (60,))
    digits = If(f % 8 * 8 + f // 24 < 55, Store(b, (f,), a[(f % 8 * 24 + f // 8) // 20]))
    verify(Program("f", (a,), (b,), For(f, 60, digits)))
    with pytest.raises(LoopError, match=", 8 where f = 7"):
        verify(Program("f", (a,), (b,), For(f, 60, Store(b, (f,), a[(f % 8 * 24 + f // 8) // 20]))))


def test_lanes_of_ragged_tiles_of_a_transposed_tensor() -> None:
    """Elements whose digits are reached by way of sevens and threes are still written once each."""
    a = te.placeholder((2, 3, 8), name="A")
    s = Schedule(
        lower([made := te.compute((8, 2, 3), lambda i, j, k: a[j, k, i] * 2.0, name="B")], [a, made], "f").program
    )
    outer, inner = s.split(s.fuse(s.fuse("i", "j"), "k"), factor=7, tail="mask")
    s.vectorize(outer)
    s.split(inner, factor=3, tail="mask")
    verify(s.program)
