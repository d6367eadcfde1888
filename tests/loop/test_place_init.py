"""Initialisation is placed where the first step of each reduction would have done it."""

from functools import partial

import numpy as np
import pytest
from loop_cases import CASES, check, draw, run

import minicc
from minicc import te
from minicc.errors import LoopError
from minicc.loop import Buffer, Program
from minicc.loop.ir import Alloc, For, If, Stmt, Store, Update, seq, walk
from minicc.loop.place_init import place_init
from minicc.loop.python import run_python
from minicc.tensor.expr import Var, const
from minicc.types import float32

A, B, C = Buffer("A", float32, (8, 6)), Buffer("B", float32, (6, 8)), Buffer("C", float32, (8, 8))
D = Buffer("D", float32, (8,))
i, j, k, ko, ki, jo, ji = (Var(n) for n in ["i", "j", "k", "ko", "ki", "jo", "ji"])
n = te.var("n")
ZERO = (const(0.0, float32),)


def product(a: object, b: object, c: object, *axes: Var) -> Update:
    return Update((C,), (a, b), (C[a, b] + A[a, c] * B[c, b],), ZERO, axes)  # type: ignore[arg-type]


def nest(*loops: tuple, body: Stmt) -> Stmt:
    for var, extent, *kind in reversed(loops):
        body = For(var, extent, body, *kind)
    return body


def same(program: Program) -> Program:
    """The program with its initialisations placed, after checking that both compute the same."""
    placed = place_init(program)
    assert not any(isinstance(s, Update) for s in walk(placed.body))
    arrays = draw(program)
    for before, after in zip(run(program, arrays), run(placed, arrays), strict=True):
        np.testing.assert_array_equal(before, after)
    assert place_init(placed) is placed
    return placed


@pytest.mark.parametrize("name", CASES)
def test_cases(name: str) -> None:
    check(place_init(CASES[name].program), CASES[name], n=4)


def test_golden_loops_in_between() -> None:
    tiled = nest(
        (i, 8, "parallel"),
        (ko, 2),
        (jo, 2),
        (ki, 3),
        (ji, 4, "vectorize"),
        body=product(i, jo * 4 + ji, ko * 3 + ki, ko, ki),
    )
    assert (
        str(same(Program("matmul", (A, B), (C,), tiled)))
        == """\
from minicc.loop.prelude import parallel, vectorize

def matmul(A, B, C):
    # A: float32[8,6], B: float32[6,8] -> C: float32[8,8]
    for i in parallel(8):
        for jo_init in range(2):
            for ji_init in vectorize(4):
                C[i, jo_init*4 + ji_init] = 0.0
        for ko in range(2):
            for jo in range(2):
                for ki in range(3):
                    for ji in vectorize(4):
                        C[i, jo*4 + ji] = C[i, jo*4 + ji] + A[i, ko*3 + ki]*B[ko*3 + ki, jo*4 + ji]
"""
    )


def test_golden_guards() -> None:
    body = If(jo * 3 + ji < 8, If((ko * 4 + ki < 6) & (ji < 3), product(i, jo * 3 + ji, ko * 4 + ki, ko, ki)))
    placed = same(Program("matmul", (A, B), (C,), nest((ko, 2), (i, 8), (jo, 3), (ji, 3), (ki, 4), body=body)))
    assert (
        str(placed).split("    for ko")[0]
        == """\
def matmul(A, B, C):
    # A: float32[8,6], B: float32[6,8] -> C: float32[8,8]
    for i_init in range(8):
        for jo_init in range(3):
            for ji_init in range(3):
                if jo_init*3 + ji_init < 8:
                    if ji_init < 3:
                        C[i_init, jo_init*3 + ji_init] = 0.0
"""
    )


@pytest.mark.parametrize("order", ["ijk", "ikj", "jik", "jki", "kij", "kji"])
def test_every_order(order: str) -> None:
    loops = {"i": (i, 8), "j": (j, 8), "k": (k, 6)}
    same(Program("matmul", (A, B), (C,), nest(*[loops[name] for name in order], body=product(i, j, k, k))))


def test_several_updates_and_stores_in_one_nest() -> None:
    row = Update((D,), (i,), (D[i] + A[i, k],), ZERO, (k,))
    body = For(k, 6, seq(For(i, 8, row), For(Var("i_1"), 8, For(j, 8, product(Var("i_1"), j, k, k)))))
    after = For(Var("n"), 8, Store(D, (Var("n"),), D[Var("n")] * 2.0))
    placed = same(Program("two", (A, B), (C, D), seq(body, after)))
    assert "i_init" in str(placed) and "i_1_init" in str(placed)


def test_reduction_without_a_loop_left() -> None:
    one = Update((D,), (i,), (D[i] + A[i, 0],), ZERO, ())
    placed = same(Program("one", (A,), (D,), For(i, 8, one)))
    assert isinstance(placed.body, For)
    assert placed.body.body == seq(Store(D, (i,), ZERO[0]), Store(D, (i,), D[i] + A[i, 0]))


def test_local_accumulator() -> None:
    acc = Buffer("acc", float32, (), "local")
    body = For(
        i, 8, Alloc(acc, seq(For(k, 6, Update((acc,), (), (acc[()] + A[i, k],), ZERO, (k,))), Store(D, (i,), acc[()])))
    )
    same(Program("rows", (A,), (D,), body))


def test_components_that_read_each_other_use_a_temporary() -> None:
    placed = place_init(CASES["swap"].program)
    assert "P_v0_next = empty((), float32)  # local" in str(placed)
    assert "_next" not in str(place_init(CASES["two sums"].program))


def test_fresh_names() -> None:
    taken = For(Var("i_init"), 8, Store(D, (Var("i_init"),), const(1.0, float32)))
    rows = For(k, 6, For(i, 8, Update((D,), (i,), (D[i] + A[i, k],), ZERO, (k,))))
    assert "i_init_1" in str(same(Program("rows", (A,), (D,), seq(taken, rows))))


EMPTY_AXIS = {  # steps on s[C], whose axes are i and k, or on the stage that a step has made
    "as it is": lambda s, c, i, k: None,
    "split": lambda s, c, i, k: s[c].split(k, factor=4),
    "split twice": lambda s, c, i, k: s[c].split(s[c].split(k, factor=3)[0], factor=2),
    "split, outside": lambda s, c, i, k: s[c].reorder(*s[c].split(k, factor=4), i),
    "cache": lambda s, c, i, k: s.cache_write(c, "local"),
    "split cache": lambda s, c, i, k: (local := s.cache_write(c, "local")).split(local.op.reduce_axis[0], factor=4),
    "split both": lambda s, c, i, k: (s[c].split(k, factor=4), s[c].split(i, factor=2)),
    "partial": lambda s, c, i, k: s.rfactor(c, s[c].split(k, factor=4)[1]),
}


@pytest.mark.parametrize("shape", [(3, 0), (3, 1), (3, 7), (0, 0), (0, 3)])
@pytest.mark.parametrize("steps", EMPTY_AXIS)
def test_reduction_over_an_empty_axis(steps: str, shape: tuple[int, int]) -> None:
    a = te.placeholder((n, te.var("m")), name="A")
    axis = te.reduce_axis((0, a.shape[1]), name="k")
    c = te.compute((n,), lambda i: te.sum(a[i, axis], axis=axis), name="C")
    s = te.create_schedule(c.op)
    EMPTY_AXIS[steps](s, c, s[c].op.axis[0], s[c].op.reduce_axis[0])
    program = minicc.lower(s, [a, c])
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    for call in (minicc.build(s, [a, c]), *[partial(run_python, p) for p in (program, place_init(program))]):
        out = np.full(shape[0], 7, np.float32)
        call(values, out)
        np.testing.assert_array_equal(out, values.sum(1))


def test_guards_of_elements_stay_and_guards_of_steps_go() -> None:
    body = If((jo * 3 + ji < 8) & (ko * 4 + ki < n), If(i + ki < n, product(i, jo * 3 + ji, ko * 4 + ki, ko, ki)))
    placed = place_init(
        Program("matmul", (A, B), (C,), nest((i, 8), (jo, 3), (ko, (n + 3) // 4), (ji, 3), (ki, 4), body=body))
    )
    assert (
        str(placed).split("            for ko")[0].split("for jo")[1]
        == """\
 in range(3):
            for ji_init in range(3):
                if jo*3 + ji_init < 8:
                    if i < n:
                        C[i, jo*3 + ji_init] = 0.0
"""
    )


def test_accumulator_that_moves_with_the_reduction() -> None:
    program = Program("bad", (A,), (D,), For(k, 6, Update((D,), (k,), (D[k] + A[0, k],), ZERO, (k,))))
    with pytest.raises(LoopError, match=r"expected an accumulator that stays over loop k, got D\[k\]"):
        place_init(program)


def test_accumulator_allocated_inside_the_reduction() -> None:
    acc = Buffer("acc", float32, (), "local")
    body = For(k, 6, Alloc(acc, seq(Update((acc,), (), (acc[()] + A[0, k],), ZERO, (k,)), Store(D, (k,), acc[()]))))
    with pytest.raises(LoopError, match="expected acc to live through the loops k"):
        place_init(Program("bad", (A,), (D,), body))
