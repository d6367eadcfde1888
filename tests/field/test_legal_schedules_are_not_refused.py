"""Splits, fusions and reorderings that a primitive accepts keep every rule, and the values."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc import te
from minicc.loop import Program, run_python
from minicc.loop.ir import loops
from minicc.loop.lower import lower
from minicc.loop.verify import verify
from minicc.schedule import STEPS, Schedule, Step
from minicc.schedule.fuse import Fuse
from minicc.schedule.parallel import Parallel
from minicc.schedule.reorder import Reorder
from minicc.schedule.split import TAILS, Split
from minicc.schedule.step import Illegal
from minicc.schedule.tidy import tidy
from minicc.te.expr import Expr, Var
from minicc.te.simplify import simplify

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


def walk(program: Program, rng: random.Random) -> tuple[Program, list[Step]]:
    """Up to eight steps; the verifier is asked after each."""
    steps: list[Step] = []
    for _ in range(rng.randint(2, 8)):
        names = list(loops(program.body))
        fusions: list[Step] = list(Fuse.candidates(program))
        step: Step = rng.choice([
            Split(rng.choice(names), rng.choice(FACTORS), tail=rng.choice(TAILS)), Parallel(rng.choice(names)),
            Reorder(tuple(rng.sample(names, min(2, len(names))))), *fusions[:2],
        ])  # fmt: skip
        try:
            program = tidy(step.transform(program))
        except Illegal:
            continue
        steps.append(step)
        verify(program)
    return program, steps


@given(st.integers(0, 1 << 32))
def test_what_a_primitive_accepts_the_verifier_accepts(seed: int) -> None:
    rng = random.Random(seed)
    shape = [rng.randint(1, 12) for _ in range(rng.randint(1, 3))]
    program, steps = walk(elementwise(*shape), rng)
    assert all(type(step) in STEPS.values() for step in steps)
    a, b = np.arange(np.prod(shape), dtype=np.float32).reshape(shape), np.full(shape, np.nan, np.float32)
    run_python(program, a, b)
    assert np.array_equal(b, a * 2)


@given(st.integers(0, 1 << 32))
def test_pooling_loops_too(seed: int) -> None:
    rng = random.Random(seed)
    walk(pooling(rng.randint(1, 4), rng.randint(1, 7), rng.randint(1, 7), rng.randint(1, 3), rng.randint(1, 2)), rng)
