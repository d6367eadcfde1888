"""compute_root: buffers leave the loops that they are computed in."""

from schedule_cases import chain, every_move_keeps_the_meaning, lowered, matmul, message, the_example_holds, unchanged
from schedule_cases import windows

from minicc import te
from minicc.loop.ir import Alloc, Buffer, For, Store, seq
from minicc.loop.program import Program
from minicc.schedule import Schedule
from minicc.schedule.compute_at import ComputeAtStep
from minicc.schedule.compute_root import ComputeRootStep
from minicc.tensor.expr import Var, const
from minicc.types import float32


def test_the_example_of_the_docstring():
    the_example_holds("compute_root")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(ComputeRootStep, into_the_last_loop) > 3


def into_the_last_loop(s):
    if moves := ComputeAtStep.moves(s.program):
        s.apply(moves[-1])


def test_it_undoes_compute_at():
    s = chain()
    s.compute_at("T", "i_1")
    text = unchanged(s, lambda s: s.compute_root("T"))
    assert text.startswith("T = empty((10, 1), float32)") and "D[i_1] = T[i_1, 0] + 1.0" in text


def test_tiles_that_overlap_stay_apart():
    def steps(s):
        outer, _ = s.split("i_1", factor=3)
        s.compute_at("T", outer)
        s.compute_root("T")
        s.parallel("i_1_o_root")

    assert "T = empty((3, 5), float32)" in unchanged(windows(), steps)


def test_a_packed_operand():
    def steps(s):
        s.tile("i", "j", 2, 2)
        s.compute_at(s.cache_read("B"), "j_o")
        s.compute_root("B_local")

    text = unchanged(matmul(), steps)
    assert "B_local = empty((2, 8, 2), float32)" in text and "i_o_root" not in text


def test_guards_and_kinds():
    def steps(s):
        s.split("i_1", factor=4)
        s.parallel("i_1_o")
        s.compute_at("T", "i_1_i")
        s.compute_root("T")

    unchanged(windows(), steps)


def test_at_the_root_it_stays():
    s = chain()
    before = s.program
    s.compute_root("T")
    assert s.program is before


def test_outputs_stay():
    s = chain()
    assert (
        message(lambda: s.compute_root("D"))
        == """\
ScheduleError: compute_root("D"): D is an output of the program
    T = empty((10,), float32)
    for i in range(10):
        T[i] = A[i]*2.0
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
        ^ here
hint: only a buffer inside of the program can be moved"""
    )


def test_an_input_of_the_iteration():
    A = te.placeholder((6,), name="A")
    T = te.compute((6,), lambda i: A[i] + 1.0, name="T")
    U = te.compute((6,), lambda i: T[i] * 2.0, name="U")
    s = lowered(A, te.compute((6,), lambda i: U[i] + 3.0, name="D"))
    s.compute_at("U", "i_2")
    s.compute_at("T", "i_2")
    assert (
        message(lambda: s.compute_root("U"))
        == """\
ScheduleError: compute_root("U"): it reads T, which is written in loop i_2
    for i_2 in range(6):
        T = empty((1,), float32)  # local
        for i in range(1):
            T[0] = A[i_2] + 1.0
        U = empty((1,), float32)  # local
        ^ here
        for i_1 in range(1):
            U[0] = T[0]*2.0
        D[i_2] = U[0] + 3.0
hint: first s.compute_root("T"), so that it is complete before"""
    )


A, B, C, T = (Buffer(name, float32, (4,)) for name in "ABCT")
i, j, k = Var("i"), Var("j"), Var("k")


def program(body, *inside, outputs=(B,)):
    """A program that reads A."""
    for buffer in inside:
        body = Alloc(buffer, body)
    return Schedule(Program("f", (A,), outputs, body))


def test_other_refusals():
    s = program(
        For(i, 4, Alloc(T, seq(Store(T, (const(0),), A[i]), Store(T, (const(1),), A[i]), Store(B, (i,), T[0] + T[1]))))
    )
    assert "one nest must fill T before it is read, but 2 do" in message(lambda: s.compute_root("T"))
    both = For(j, 4, seq(Store(T, (j,), A[i]), Store(C, (j,), A[i])))
    s = program(For(i, 4, Alloc(T, seq(both, Store(B, (i,), T[0] + C[1])))), C)
    assert "its nest also fills C" in message(lambda: s.compute_root("T"))
    triangle = For(j, i + 1, Alloc(T, seq(Store(T, (const(0),), A[j]), Store(B, (j,), T[0]))))
    assert "the extent of loop j depends on another loop" in message(
        lambda: program(For(i, 4, triangle)).compute_root("T")
    )
