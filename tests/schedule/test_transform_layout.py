"""transform_layout: what it makes, every move, and what it refuses."""

import numpy as np
import pytest
import schedule_cases as cases

from minicc import te
from minicc.loop.ir import Alloc, Buffer, For, Prefetch, Store, Update, seq
from minicc.loop.program import Program
from minicc.schedule import Schedule
from minicc.schedule.transform_layout import TransformLayoutStep
from minicc.tensor.expr import Var, const
from minicc.types import float32


def packed(n=8, m=40, depth=6):
    """A matmul whose right operand is read from a cache."""
    s = cases.matmul(n, m, depth)
    s.cache_read("B", "global")
    return s


def test_the_example_holds():
    cases.the_example_holds("transform_layout")


def test_every_move_keeps_the_meaning():
    def prepare(s):
        s.cache_read(s.program.params[0].name, "global")

    assert cases.every_move_keeps_the_meaning(TransformLayoutStep, prepare) > 10


def test_a_packed_operand_is_read_row_by_row():
    def steps(s):
        s.transform_layout("B_global", "1//16", "0", "1%16")
        j_o, j_i = s.split("j", factor=16)
        s.split("B_global_1", factor=16)
        s.reorder("i", j_o, "k", j_i)
        s.vectorize(j_i)

    text = cases.unchanged(packed(m=48), steps)
    assert "B_global = empty((3, 6, 16), float32)" in text
    assert "B_global[B_global_1_o, B_global_0, B_global_1_i] = B[B_global_0, B_global_1_o*16 + B_global_1_i]" in text
    assert "B_global[j_o, k, j_i]" in text


def test_a_ragged_tile_makes_the_buffer_larger():
    text = cases.unchanged(packed(), lambda s: s.transform_layout("B_global", "1//16", "0", "1%16"))
    assert "B_global = empty((3, 6, 16), float32)" in text
    assert "B_global[j//16, k, j%16]" in text


def test_tiles_in_tiles():
    text = cases.unchanged(packed(), lambda s: s.transform_layout("B_global", "1//8", "0", "1//2%4", "1%2"))
    assert "B_global = empty((5, 6, 4, 2), float32)" in text and "B_global[j//8, k, j//2%4, j%2]" in text


def test_reductions_and_hints_follow():
    A, T, B, i, k = (
        Buffer("A", float32, (6, 5)),
        Buffer("T", float32, (6,)),
        Buffer("B", float32, (6,)),
        Var("i"),
        Var("k"),
    )
    step = Update((T,), (i,), (T[i] + A[i, k],), (const(0.0, float32),), (k,))
    j = Var("j")
    last = For(j, 6, seq(Prefetch(T, (j + 1,)), Store(B, (j,), T[j])))
    s = Schedule(Program("f", (A,), (B,), Alloc(T, seq(For(i, 6, For(k, 5, step)), last))))
    text = cases.unchanged(s, lambda s: s.transform_layout("T", "0//4", "0%4"))
    assert "T = empty((2, 4), float32)" in text and "T[i//4, i%4] = T[i//4, i%4] + A[i, k]" in text
    assert "prefetch(T, (j + 1)//4, (j + 1)%4)" in text


def test_symbolic_extents():
    n = te.var("n")
    A = te.placeholder((n, 6), name="A")
    s = cases.lowered(A, te.compute((n, 6), lambda i, j: A[i, 5 - j], name="B"))
    s.cache_read("A", "global")
    s.transform_layout("A_global", "0//4", "1", "0%4")
    assert "A_global = empty(((n + 3)//4, 6, 4), float32)" in str(s.program)
    a, b = np.arange(42, dtype=np.float32).reshape(7, 6), np.zeros((7, 6), np.float32)
    cases.run_python(s.program, a, b)
    np.testing.assert_array_equal(b, a[:, ::-1])
    cases.verify(s.program)


def test_the_whole_message():
    s = cases.chain(4)
    assert (
        cases.message(lambda: s.transform_layout("T", "0//2", "0%4"))
        == """\
ScheduleError: transform_layout("T", "0//2", "0%4"): the pieces of axis 0 must make it up, got 0%4 and 0//2
    T = empty((4,), float32)
    ^ here
    for i in range(4):
        T[i] = A[i]*2.0
    for i_1 in range(4):
        D[i_1] = T[i_1] + 1.0
hint: a tile and the place in it: "0//16" and "0%16\""""
    )
    assert (
        cases.message(lambda: s.transform_layout("D", "0"))
        == """\
ScheduleError: transform_layout("D", "0"): D is an output of the program
    T = empty((4,), float32)
    for i in range(4):
        T[i] = A[i]*2.0
    for i_1 in range(4):
        D[i_1] = T[i_1] + 1.0
        ^ here
hint: only a buffer inside of the program can be moved"""
    )


@pytest.mark.parametrize(
    ("order", "problem"),
    [
        (("0",), "axis 1 of B_global is missing in order"),
        (("0", "1", "2"), "B_global has 2 axes, got axis 2"),
        (("0", "1//"), "expected a new axis such as '1', '1//16' or '1%16', got '1//'"),
        (("0", "1%0"), "got '1%0'"),
        (("0", "1//0", "1%4"), "got '1//0'"),
        (("0", 1), "got 1"),
        (("0", "1", "1"), "the pieces of axis 1 must make it up, got 1 and 1"),
        (("0", "1%4"), "the pieces of axis 1 must make it up, got 1%4"),
    ],
)
def test_refused_orders(order, problem):
    assert problem in cases.message(lambda: packed().transform_layout("B_global", *order))


def test_two_buffers_of_one_reduction_keep_their_layout():
    s = cases.argmax()
    s.cache_write("M_v0")
    assert "M_v0_local is reduced at the same indices as M_v1" in cases.message(
        lambda: s.transform_layout("M_v0_local", "0//2", "0%2")
    )
