"""decompose_reduction: initialisations in nests of their own."""

from schedule_cases import argmax, chain, every_move_keeps_the_meaning, matmul, message, relu_of_matmul
from schedule_cases import split_reductions, the_example_holds, total, unchanged

from minicc.loop.ir import Alloc, Buffer, For, Store, Update, seq
from minicc.loop.program import Program
from minicc.schedule import Schedule
from minicc.schedule.decompose_reduction import DecomposeReductionStep
from minicc.tensor.expr import Var, const
from minicc.types import float32


def test_the_example_of_the_docstring():
    the_example_holds("decompose_reduction")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(DecomposeReductionStep, split_reductions) > 8


def test_it_stands_before_the_loop():
    s = matmul()
    s.reorder("k", "j", "i")
    text = unchanged(s, lambda s: s.decompose_reduction("C", "k"))
    assert text.startswith(
        "for j_init in range(4):\n    for i_init in range(6):\n        C[i_init, j_init] = 0.0\nfor k in range(8):"
    )
    assert "first" not in text


def test_the_names_of_its_loops():
    s = matmul()
    assert s.decompose_reduction("C", "j") == ("j_init",)


def test_tails_and_pairs():
    unchanged(total(), lambda s: (s.split("k", factor=5), s.split("i", factor=2), s.decompose_reduction("C", "i_o")))
    unchanged(total(), lambda s: (s.split("k", factor=5, tail="peel"), s.decompose_reduction("C", "i")))
    unchanged(argmax(), lambda s: s.decompose_reduction(s.program.outputs[1].name, "k"))


def test_kinds_are_copied():
    s = matmul()
    s.reorder("k", "j")
    s.vectorize("j")
    s.parallel("i")
    text = unchanged(s, lambda s: s.decompose_reduction("C", "i"))
    assert "for i_init in parallel(6):\n    for j_init in vectorize(4):" in text


def test_no_reduction():
    s = chain()
    assert (
        message(lambda: s.decompose_reduction("D", "i_1"))
        == """\
ScheduleError: decompose_reduction("D", "i_1"): D must be filled by one reduction, but is not
    T = empty((10,), float32)
    for i in range(10):
        T[i] = A[i]*2.0
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
        ^ here
hint: no buffer here is; take this step before decomposing, peeling or tensorizing"""
    )


def test_inside_of_a_reducing_loop():
    s = matmul()
    s.reorder("k", "i")
    assert (
        message(lambda: s.decompose_reduction("C", "j"))
        == """\
ScheduleError: decompose_reduction("C", "j"): C is reduced over loop k, which is around it
    for k in range(8):
        for j in range(4):
            ^ here
            for i in range(6):
                if first(k):
                    C[i, j] = 0.0
                C[i, j] = C[i, j] + A[i, k]*B[k, j]
hint: choose k, or a loop around that"""
    )


def test_a_loop_elsewhere():
    s = relu_of_matmul()
    assert (
        message(lambda: s.decompose_reduction("C", "i_1"))
        == """\
ScheduleError: decompose_reduction("C", "i_1"): loop i_1 is not around the reduction of C
    C = empty((6, 4), float32)
    for i in range(6):
        for j in range(4):
            for k in range(5):
                if first(k):
                    C[i, j] = 0.0
                C[i, j] = C[i, j] + A[i, k]*B[k, j]
    for i_1 in range(6):
        ^ here
        for j_1 in range(4):
            D[i_1, j_1] = maximum(C[i_1, j_1], bias[j_1])
hint: choose one of i, j, k"""
    )


def test_a_buffer_of_the_iteration():
    s = relu_of_matmul()
    s.compute_at("C", "i_1")
    assert (
        message(lambda: s.decompose_reduction("C", "i_1"))
        == """\
ScheduleError: decompose_reduction("C", "i_1"): C is allocated in loop i_1
    for i_1 in range(6):
        ^ here
        C = empty((1, 4), float32)  # local
        for i in range(1):
            for j in range(4):
                for k in range(5):
                    if first(k):
                        C[0, j] = 0.0
                    C[0, j] = C[0, j] + A[i_1, k]*B[k, j]
        for j_1 in range(4):
            D[i_1, j_1] = maximum(C[0, j_1], bias[j_1])
hint: choose a loop inside of its scope"""
    )


A, B, C, T = (Buffer(name, float32, (4,)) for name in "ABCT")
i, j, k = Var("i"), Var("j"), Var("k")


def program(body, *inside, outputs=(B,)):
    """A program that reads A."""
    for buffer in inside:
        body = Alloc(buffer, body)
    return Schedule(Program("f", (A,), outputs, body))


def test_other_refusals():
    one = (const(0.0, float32),)
    shared = Update((T,), (const(0),), (T[0] + A[k],), one, (k,))
    s = program(For(i, 4, seq(For(k, 4, shared), Store(B, (i,), T[0]))), T)
    assert "T[0] is reduced anew in each iteration of i" in message(lambda: s.decompose_reduction("T", "i"))
    unchanged(s, lambda s: s.decompose_reduction("T", "k"))
    begun = Update((B,), (i,), (B[i] + A[k],), (C[i],), (k,))
    s = program(For(i, 4, seq(Store(C, (i,), A[i]), For(k, 4, begun))), outputs=(B, C))
    assert "the initialisation reads C, which is written in loop i" in message(lambda: s.decompose_reduction("B", "i"))
    unchanged(s, lambda s: s.decompose_reduction("B", "k"))
