"""split(tail="mask"): the guard of a ragged tile stands around the stores, in machine code as well."""

import numpy as np
import schedule_cases as cases

import minicc
from minicc import te
from minicc.loop.ir import Buffer, For, If, Store, loops
from minicc.loop.program import Program
from minicc.schedule import Schedule
from minicc.schedule.split import SplitStep
from minicc.tensor.expr import Var
from minicc.types import float32

i, j = Var("i"), Var("j")


def test_the_guard_is_innermost():
    text = cases.unchanged(cases.copied(10, 5), lambda s: s.split("i", factor=4, tail="mask"))
    assert (
        text
        == """\
for i_o in range(3):
    for i_i in range(4):
        for j in range(5):
            if i_o*4 + i_i < 10:
                B[i_o*4 + i_i, j] = A[j, i_o*4 + i_i]*2.0"""
    )


def test_a_tile_that_divides_has_no_guard():
    assert "if" not in cases.unchanged(cases.copied(8, 5), lambda s: s.split("i", factor=4, tail="mask"))


def test_allocations_and_sequences_are_not_guarded():
    def steps(s):
        s.compute_at("C", "i_1")
        s.split("i_1", factor=4, tail="mask")

    text = cases.unchanged(cases.relu_of_matmul(6), steps)
    assert text.count("if i_1_o*4 + i_1_i < 6:") == 2 and "for k" in text


def test_reductions_are_masked():
    def steps(s):
        s.split("k", factor=3, tail="mask")
        s.split("j", factor=3, tail="mask")
        s.split("i", factor=4, tail="mask")
        s.reorder("k_o", "k_i", "i_o", "j_o", "i_i", "j_i")
        s.vectorize("j_i")

    text = cases.unchanged(cases.matmul(6, 4, 8), steps)
    inner = text[text.index("for j_i in vectorize(3):") :].splitlines()
    assert inner[1].strip().startswith("if")


def test_a_guard_of_the_body_is_left_alone():
    A, B = Buffer("A", float32, (10,)), Buffer("B", float32, (10,))
    guarded = For(i, 10, If(A[i] < 0.0, Store(B, (i,), A[i])))
    text = SplitStep("i", 4, tail="mask").apply(Program("f", (A,), (B,), guarded))
    assert "if i_o*4 + i_i < 10:\n                if A[i_o*4 + i_i] < 0.0:" in str(text)


def test_moves_have_it_where_it_differs():
    assert any(step.tail == "mask" for step in SplitStep.moves(cases.copied(10, 5).program))
    assert not any(step.tail == "mask" for step in SplitStep.moves(cases.chain(10).program))


def test_it_refuses_a_triangle():
    A, B = Buffer("A", float32, (10,)), Buffer("B", float32, (10, 10))
    s = Schedule(Program("f", (A,), (B,), For(i, 10, For(j, i + 1, Store(B, (i, j), A[j])))))
    assert (
        cases.message(lambda: s.split("i", factor=4, tail="mask"))
        == """\
ScheduleError: split("i", factor=4, tail="mask"): the extent of loop j depends on it
    for i in range(10):
        for j in range(i + 1):
            ^ here
            B[i, j] = A[j]
hint: use tail="guard\""""
    )


def test_machine_code_of_a_masked_tail():
    n = 37
    A, B = te.placeholder((n, 5), name="A"), te.placeholder((5, n), name="B")
    k = te.reduce_axis((0, 5), name="k")
    C = te.compute((n, n), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    s = te.create_schedule(C.op)
    inner = s.schedule.split("j", factor=16, tail="mask")[1]
    s.schedule.reorder("k", inner)
    s.schedule.vectorize(inner)
    assert loops(s.program.body)[inner].extent == 16
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((n, 5), np.float32), rng.standard_normal((5, n), np.float32)
    c = np.zeros((n, n), np.float32)
    minicc.build(s, [A, B, C], name="f")(a, b, c)
    np.testing.assert_allclose(c, a @ b, rtol=1e-5, atol=1e-5)
