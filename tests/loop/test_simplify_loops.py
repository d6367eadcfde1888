"""Simplification keeps what a program computes."""

import numpy as np
import pytest
from loop_cases import CASES, check, draw, run

from minicc.loop import Buffer, Program
from minicc.loop.ir import Alloc, For, If, Store, Update, seq
from minicc.loop.place_init import place_init
from minicc.loop.simplify_loops import simplify_loops
from minicc.tensor.expr import Select, Var, const, minimum
from minicc.types import float32

A, B = Buffer("A", float32, (8,)), Buffer("B", float32, (8,))
i, j, k, io, ii = (Var(n) for n in ["i", "j", "k", "io", "ii"])


def same(program: Program) -> Program:
    made = simplify_loops(program)
    arrays = draw(program)
    for before, after in zip(run(program, arrays), run(made, arrays), strict=True):
        np.testing.assert_array_equal(before, after)
    assert simplify_loops(made) is made
    return made


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    made = simplify_loops(CASES[name].program)
    check(made, CASES[name], n=4)
    check(simplify_loops(place_init(made)), CASES[name], n=4)


def test_golden() -> None:
    junk, scratch = Buffer("junk", float32, (4,)), Buffer("scratch", float32, (8,))
    body = Alloc(junk, Alloc(scratch, seq(
        For(io, 2, For(ii, 4, For(j, 1, If(io * 4 + ii + j < 8, Store(scratch, ((io * 4 + ii) // 4 * 4 + ii,),
            Select(ii < 4, A[minimum(io * 4 + ii, 7)], const(0.0, float32)))), "parallel"))),
        For(Var("z"), 0, Store(B, (Var("z"),), const(0.0, float32))),
        For(i, 8, seq(If(i < 0, Store(B, (i,), const(0.0, float32))), If((i >= 0) & (i < 7), Store(B, (i,), scratch[i])),
                      If(i >= 7, Store(B, (i,), scratch[i])))),
    )))  # fmt: skip
    assert (
        str(same(Program("f", (A,), (B,), body)))
        == """\
from minicc.loop.prelude import empty, float32

def f(A, B):
    # A: float32[8] -> B: float32[8]
    scratch = empty((8,), float32)
    for io in range(2):
        for ii in range(4):
            scratch[io*4 + ii] = A[io*4 + ii]
    for i in range(8):
        if i < 7:
            B[i] = scratch[i]
        if 7 <= i:
            B[7] = scratch[7]
"""
    )


def test_a_guard_is_known_inside() -> None:
    body = For(io, 3, For(ii, 3, If(io * 3 + ii < 8, Store(B, (io * 3 + ii,), A[minimum(io * 3 + ii, 7)]))))
    assert "= A[io*3 + ii]" in str(same(Program("f", (A,), (B,), body)))


def test_symbolic_extents() -> None:
    n = Var("n")
    a, b = Buffer("A", float32, (n,)), Buffer("B", float32, (n,))
    body = For(i, n + 0 * 4, If(i < n, Store(b, (i,), a[minimum(i, n - 1)])))
    made = simplify_loops(Program("f", (a,), (b,), body))
    assert made.body == For(i, n, Store(b, (i,), a[i]))


def test_one_step_of_a_reduction() -> None:
    update = Update((B,), (i,), (B[i] + A[i + k],), (const(0.0, float32),), (k,))
    made = same(Program("f", (A,), (B,), For(i, 8, For(k, 1, update))))
    assert made.body == For(i, 8, Update((B,), (i,), (B[i] + A[i],), (const(0.0, float32),), ()))


def test_thread_axes_stay() -> None:
    program = Program("f", (A,), (B,), For(i, 1, Store(B, (i,), A[i]), "blockIdx.x"))
    assert "blockIdx.x(1)" in str(simplify_loops(program))


def test_empty_loops_go() -> None:
    program = Program("f", (A,), (B,), For(i, 8, For(j, 8, If(i + j < 0, Store(B, (i,), A[i])))))
    assert simplify_loops(program).body == seq()
