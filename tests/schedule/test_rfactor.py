"""rfactor: partial results of a reduction, combined later."""

import numpy as np
import pytest
from schedule_cases import argmax, every_move_keeps_the_meaning, lowered, matmul, message, round_trips, split_reductions
from schedule_cases import the_example_holds, total, unchanged

import minicc
from minicc import te
from minicc.loop.ir import Buffer, For, Update
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.schedule import Schedule
from minicc.schedule.rfactor import RfactorStep
from minicc.tensor.expr import Var, const
from minicc.types import float32


def test_the_example_of_the_docstring():
    the_example_holds("rfactor")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(RfactorStep, split_reductions) > 10


def test_a_row_sum_in_vectors():
    def steps(s):
        _, lane = s.split("k", factor=4)
        assert s.rfactor("C", lane, factor_axis=-1) == "C_rf"
        s.compute_at("C_rf", "i_combine")
        s.vectorize(lane)

    text = unchanged(total(), steps)
    assert "C_rf = empty((1, 4), float32)  # local" in text and "for k_i in vectorize(4):" in text


def test_every_place_of_the_new_axis():
    for axis, shape in ((0, "(4, 6, 4)"), (1, "(6, 4, 4)"), (2, "(6, 4, 4)"), (-1, "(6, 4, 4)")):
        text = unchanged(matmul(), lambda s, axis=axis: (s.split("k", factor=4), s.rfactor("C", "k_i", axis)))
        assert f"C_rf = empty({shape}, float32)" in text


def test_ragged_partial_results_are_all_filled():
    text = unchanged(total(), lambda s: (s.split("k", factor=5), s.rfactor("C", "k_i")))
    assert " if k_o*5 + k_i < 12 else C_rf[k_i, i]" in text
    unchanged(total(), lambda s: (s.split("i", factor=2), s.split("k", factor=5), s.rfactor("C", "k_o")))


def test_a_tree_of_halves():
    def steps(s):
        loop = "k"
        for half in (6, 3):
            _, inner = s.split(loop, factor=half)
            partial = s.rfactor("C", inner, factor_axis=-1)
            loop = s.reduce_loops_of("C")[-1]
            s.compute_at(partial, s.loops_of("C")[0])
            s.vectorize(inner)

    unchanged(total(), steps)


@pytest.mark.parametrize("make", [te.sum, te.max], ids=lambda f: f.__name__)
def test_fast_reductions_of_rows(make):
    """The contiguous axis in lanes: four vectors of partial results, added up to one, added up to a number."""
    A = te.placeholder((128, 768), name="A")
    k = te.reduce_axis((0, 768), name="k")
    s = lowered(A, te.compute((128,), lambda i: make(A[i, k], axis=k), name="C"))
    loop = "k"
    for lanes in (64, 16):
        steps, lane = s.split(loop, factor=lanes)
        partial = s.rfactor("C", lane, factor_axis=-1)
        s.compute_at(partial, s.loops_of("C")[0])
        s.vectorize(lane)
        if loop != "k":
            s.unroll(steps)
        loop = s.reduce_loops_of("C")[-1]
    s.unroll(loop)
    verify(s.program)
    round_trips(s)
    values = np.random.default_rng(0).random((128, 768), np.float32)
    (got,) = minicc.compile(s)(values)
    expected = values.astype(np.float64)
    np.testing.assert_allclose(got, expected.sum(1) if make is te.sum else expected.max(1), rtol=1e-6)


def test_pairs_are_factored_together():
    s = argmax()
    where, value = (b.name for b in s.program.outputs)
    text = unchanged(s, lambda s: (s.split("k", factor=4), s.rfactor(where, "k_o")))
    assert f"{where}_rf = empty((3, 3), int64)" in text and f"{value}_rf = empty((3, 3), float32)" in text


@pytest.mark.parametrize("make", [te.sum, te.max, te.min, te.prod], ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", ["float32", "int64", "int32"])
def test_combiners(make, dtype):
    A = te.placeholder((3, 8), dtype, name="A")
    k = te.reduce_axis((0, 8), name="k")
    s = lowered(
        A, te.compute((3,), lambda i: make(A[i, k] * 2 - 1 if dtype != "float32" else -A[i, k], axis=k), name="C")
    )
    unchanged(s, lambda s: s.rfactor("C", "k"))


def test_a_spatial_loop():
    s = total()
    assert (
        message(lambda: s.rfactor("C", "i"))
        == """\
ScheduleError: rfactor("C", "i"): C is not reduced over loop i
    for i in range(5):
        ^ here
        for k in range(12):
            if first(k):
                C[i] = 0.0
            C[i] = C[i] + A[i, k]
hint: one of k"""
    )


def test_a_place_beyond_the_axes():
    s = total()
    assert (
        message(lambda: s.rfactor("C", "k", 3))
        == """\
ScheduleError: rfactor("C", "k", factor_axis=3): expected a factor_axis from -2 to 1, got 3
    for i in range(5):
        for k in range(12):
            if first(k):
                C[i] = 0.0
                ^ here
            C[i] = C[i] + A[i, k]
hint: 0 is the outermost axis of the partial results, -1 the innermost"""
    )


def test_after_peeling():
    s = total()
    s.split("k", factor=5, tail="peel")
    assert (
        message(lambda: s.rfactor("C", "k_o"))
        == """\
ScheduleError: rfactor("C", "k_o"): other statements write C as well
    for i in range(5):
        for k_o in range(2):
            for k_i in range(5):
                if first(k_o, k_i):
                    C[i] = 0.0
                    ^ here
                C[i] = C[i] + A[i, k_o*5 + k_i]
        for k_tail in range(2):
            C[i] = C[i] + A[i, k_tail + 10]
hint: use rfactor before peeling"""
    )


def test_no_combiner():
    C, A, i, k = Buffer("C", float32, (4,)), Buffer("A", float32, (4, 8)), Var("i"), Var("k")
    step = Update((C,), (i,), (C[i] * 2.0 + A[i, k],), (const(0.0, float32),), (k,))
    s = Schedule(Program("f", (A,), (C,), For(i, 4, For(k, 8, step))))
    assert (
        message(lambda: s.rfactor("C", "k"))
        == """\
ScheduleError: rfactor("C", "k"): no combiner of partial results is seen in C[i]*2.0 + A[i, k]
    for i in range(4):
        for k in range(8):
            if first(k):
                C[i] = 0.0
                ^ here
            C[i] = C[i]*2.0 + A[i, k]
hint: it must be associative, and the initial values its identity"""
    )


def test_an_unrolled_loop():
    s = total()
    s.unroll("k")
    assert (
        message(lambda: s.rfactor("C", "k"))
        == """\
ScheduleError: rfactor("C", "k"): expected a serial loop of constant extent, got one of kind unroll and extent 12
    for i in range(5):
        for k in unroll(12):
            ^ here
            if first(k):
                C[i] = 0.0
            C[i] = C[i] + A[i, k]
hint: rfactor before unroll"""
    )


def test_a_reduction_in_a_recurrence():
    """Its partial results belong to a step of time, as what it reads is computed in the step before."""
    A, state = te.placeholder((12,), name="A"), te.placeholder((4,), name="state")
    k = te.reduce_axis((0, 12), name="k")
    first = te.compute((1,), lambda t: A[t], name="first")
    least = te.compute((4,), lambda t: te.min(A[k] + state[t - 1], axis=k), name="least")
    update = te.compute((4,), lambda t: least[t] * 2.0, name="update")
    result = te.scan(first, update, state, name="result")
    naive = lower([result], [A, result], "f").program
    s = Schedule(naive)
    _, inner = s.split("k", factor=4)
    s.rfactor("least", inner, factor_axis=-1)
    verify(s.program)
    assert s.loops_of("least_rf") == ("t_1", "k_o", "k_i")
    x, want, got = np.arange(12, dtype=np.float32) + 3, np.zeros(4, np.float32), np.zeros(4, np.float32)
    run_python(naive, x, want)
    run_python(s.program, x, got)
    assert want.tolist() == got.tolist() == [3.0, 12.0, 30.0, 66.0]
