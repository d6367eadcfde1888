"""double_buffer: two copies that alternate."""

from schedule_cases import chain, every_move_keeps_the_meaning, message, relu_of_matmul, the_example_holds, unchanged
from schedule_cases import windows

from minicc.schedule.compute_at import ComputeAtStep
from minicc.schedule.double_buffer import DoubleBufferStep


def test_the_example_of_the_docstring():
    the_example_holds("double_buffer")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(DoubleBufferStep, into_the_last_loop) > 2


def into_the_last_loop(s):
    if moves := ComputeAtStep.moves(s.program):
        s.apply(moves[-1])


def test_windows_alternate():
    def steps(s):
        outer, _ = s.split("i_1", factor=3)
        s.compute_at("T", outer)
        s.double_buffer("T")

    text = unchanged(windows(), steps)
    assert text.startswith("T = empty((2, 5), float32)  # local") and "T[i_1_o%2, i]" in text


def test_a_reduction_alternates():
    unchanged(relu_of_matmul(), lambda s: (s.compute_at("C", "i_1"), s.double_buffer("C")))


def test_in_no_loop():
    s = chain()
    assert (
        message(lambda: s.double_buffer("T"))
        == """\
ScheduleError: double_buffer("T"): T is computed once, in no loop
    T = empty((10,), float32)
    ^ here
    for i in range(10):
        T[i] = A[i]*2.0
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
hint: first compute_at("T", loop)"""
    )


def test_in_a_parallel_loop():
    s = chain()
    s.compute_at("T", "i_1")
    s.parallel("i_1")
    assert (
        message(lambda: s.double_buffer("T"))
        == """\
ScheduleError: double_buffer("T"): expected T in a serial loop, but loop i_1 is of kind parallel
    for i_1 in parallel(10):
        ^ here
        T = empty((1,), float32)  # local
        for i in range(1):
            T[0] = A[i_1]*2.0
        D[i_1] = T[0] + 1.0
hint: compute it in a serial loop: s.compute_at("T", loop)"""
    )
