"""pad_einsum: whole tiles for ragged sizes, every move, and what it refuses."""

import numpy as np
import pytest
import schedule_cases as cases

import minicc
from minicc import te
from minicc.loop.verify import verify
from minicc.schedule import Schedule
from minicc.schedule.pad_einsum import PadEinsumStep
from minicc.schedule.tidy import tidy
from minicc.testing.schedules import start
from minicc.types import int8, int32


def test_the_example_holds():
    cases.the_example_holds("pad_einsum")


def test_tiles_are_whole():
    s = cases.matmul(6, 5, 7)
    s.reorder("k", "j")
    text = cases.unchanged(s, lambda s: s.pad_einsum("C", [4, 4, 4]))
    assert "C_pad = empty((8, 8), float32)" in text and "C[i_copy, j_copy] = C_pad[i_copy, j_copy]" in text
    s = cases.matmul(6, 5, 7)
    s.pad_einsum("C", [4, 4, 4])
    s.split("i", factor=4)
    s.split("j", factor=4)
    s.split("k", factor=4)
    text = cases.loops_text(s.program)
    nest = text[text.index("for i_o") : text.index("for i_copy")]
    assert nest.count("if") == 1 and "if first(" in nest
    cases.unchanged(cases.matmul(6, 5, 7), lambda s: s.pad_einsum("C", (4, 4, 1)))


def test_only_what_gets_longer_is_copied():
    text = cases.unchanged(cases.matmul(6, 8, 8), lambda s: s.pad_einsum("C", [4, 4, 4]))
    assert "A_pad" in text and "B_pad" not in text and "C_pad = empty((8, 8), float32)" in text
    text = cases.unchanged(cases.matmul(8, 8, 7), lambda s: s.pad_einsum("C", [1, 1, 8]))
    assert "A_pad" in text and "B_pad" in text and "C_pad" not in text


def test_one_operand_twice_and_names_that_are_taken():
    A = te.placeholder((5, 6), name="A")
    k = te.reduce_axis((0, 6), name="k")
    s = cases.lowered(A, te.compute((5, 5), lambda i, j: te.sum(A[i, k] * A[j, k], axis=k), name="C"))
    text = cases.unchanged(s, lambda s: s.pad_einsum("C", [4, 8, 4]))
    assert "A_pad = empty((8, 8), float32)" in text and "A_pad_1 = empty((8, 8), float32)" in text
    assert "C_pad[i, j] + A_pad[i, k]*A_pad_1[j, k]" in text


def test_integers_and_casts():
    A, B = te.placeholder((5, 6), int8, name="A"), te.placeholder((6,), int8, name="B")
    k = te.reduce_axis((0, 6), name="k")
    s = cases.lowered(
        A, B, te.compute((5,), lambda i: te.sum(A[i, k].astype(int32) * B[k].astype(int32), axis=k), name="C")
    )
    text = cases.unchanged(s, lambda s: s.pad_einsum("C", [4, 4]))
    assert "int32(A_pad[i, k])*int32(B_pad[k])" in text


def test_inside_of_a_program():
    text = cases.unchanged(cases.relu_of_matmul(), lambda s: s.pad_einsum("C", [4, 4, 4]))
    assert "C[i_copy, j_copy] = C_pad[i_copy, j_copy]" in text


def test_symbolic_extents():
    n = te.var("n")
    A, B = te.placeholder((n, 6), name="A"), te.placeholder((6, 3), name="B")
    k = te.reduce_axis((0, 6), name="k")
    s = cases.lowered(A, B, te.compute((n, 3), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C"))
    s.pad_einsum("C", [4, 4, 1])
    s.split("i", factor=4)
    verify(s.program)
    cases.round_trips(s)
    rng = np.random.default_rng(0)
    for size in (0, 1, 4, 7):
        a, b = rng.integers(-3, 4, (size, 6)).astype(np.float32), rng.integers(-3, 4, (6, 3)).astype(np.float32)
        c = np.zeros((size, 3), np.float32)
        cases.run_python(s.program, a, b, c)
        np.testing.assert_array_equal(c, a @ b)


def test_machine_code_on_operands_that_are_not_finite():
    A, B = te.placeholder((13, 7), name="A"), te.placeholder((7, 10), name="B")
    k = te.reduce_axis((0, 7), name="k")
    C = te.compute((13, 10), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    s = te.create_schedule(C.op)
    s.schedule.pad_einsum("C", [8, 8, 4])
    s.schedule.split("j", factor=8)
    s.schedule.reorder("k", "j_i")
    s.schedule.vectorize("j_i")
    rng = np.random.default_rng(0)
    a, b, c = (
        rng.standard_normal((13, 7), np.float32),
        rng.standard_normal((7, 10), np.float32),
        np.zeros((13, 10), np.float32),
    )
    a[12, 6], b[6, 9] = np.inf, np.inf
    minicc.build(s, [A, B, C], name="f")(a, b, c)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)


def test_every_move_keeps_the_meaning():
    assert cases.every_move_keeps_the_meaning(PadEinsumStep) >= 8


# ---- refused


def test_the_message_where_zeros_meet_what_is_not_zero():
    A, B = te.placeholder((4, 6), name="A"), te.placeholder((4,), name="B")
    k = te.reduce_axis((0, 6), name="k")
    s = cases.lowered(A, B, te.compute((4,), lambda i: te.sum(A[i, k] * B[i], axis=k), name="C"))
    assert (
        cases.message(lambda: s.pad_einsum("C", [1, 4]))
        == """\
ScheduleError: pad_einsum("C", padding=[1, 4]): zeros behind the end of loop k would meet elements of B, and 0 times \
an infinite one is NaN
    for i in range(4):
        for k in range(6):
            if first(k):
                C[i] = 0.0
            C[i] = C[i] + A[i, k]*B[i]
                                  ^ here
hint: do not pad loop k"""
    )


def test_the_message_where_there_is_nothing_to_do():
    s = cases.total(4, 8)
    assert (
        cases.message(lambda: s.pad_einsum("C", [4, 4]))
        == """\
ScheduleError: pad_einsum("C", padding=[4, 4]): every loop is a multiple of its padding already
    for i in range(4):
        for k in range(8):
            if first(k):
                C[i] = 0.0
                ^ here
            C[i] = C[i] + A[i, k]
hint: leave it out, or give larger numbers: the loops are i of 4, k of 8"""
    )


@pytest.mark.parametrize(
    ("make", "padding", "problem"),
    [
        (cases.matmul, [4, 4], "expected a padding for each of the loops i, j, k, got 2"),
        (cases.matmul, [4, 4, 0], "expected a positive number for loop k, got 0"),
        (cases.copied, [4, 4], "B must be filled by one reduction, but is not"),
        (cases.windows, [4], "must be filled by one reduction"),
    ],
)
def test_refused(make, padding, problem):
    s = make()
    assert problem in cases.message(lambda: s.pad_einsum(s.program.outputs[0].name, padding))


def test_other_reductions_and_indices_are_refused():
    A = te.placeholder((6, 7), name="A")
    k = te.reduce_axis((0, 7), name="k")
    largest = cases.lowered(A, te.compute((6,), lambda i: te.max(A[i, k], axis=k), name="C"))
    assert "expected a sum from 0 of products of elements, got C = maximum(C[i], A[i, k])" in cases.message(
        lambda: largest.pad_einsum("C", [4, 4])
    )
    shifted = cases.lowered(A, te.compute((5,), lambda i: te.sum(A[i + 1, k], axis=k), name="C"))
    assert "expected every index to be a loop of the nest, got i + 1" in cases.message(
        lambda: shifted.pad_einsum("C", [4, 4])
    )
    constant = cases.lowered(A, te.compute((6,), lambda i: te.sum(A[i, k] * 2.0, axis=k), name="C"))
    assert "expected a sum from 0 of products" in cases.message(lambda: constant.pad_einsum("C", [4, 4]))
    pairs = cases.argmax()
    assert "expected a sum from 0 of products" in cases.message(lambda: pairs.pad_einsum("M_v0", [4, 5]))
    B = te.extern((6, 7), [A], lambda a, out: out.__setitem__(..., a), name="B")
    foreign = cases.lowered(A, te.compute((6, 7), lambda i, j: B[i, j] + 1.0, name="C"))
    assert "B must be filled by one reduction, but is not" in cases.message(lambda: foreign.pad_einsum("B", [4, 4]))
    assert not PadEinsumStep.moves(foreign.program)
    s = cases.matmul()
    s.vectorize("j")
    assert "expected serial loops, got j of kind vectorize" in cases.message(lambda: s.pad_einsum("C", [4, 4, 4]))
    s = cases.total(5, 12)
    s.split("i", factor=3)
    s.split("k", factor=5)
    assert "no loop is right around the reduction into C" in cases.message(lambda: s.pad_einsum("C", [1]))


def test_a_loop_that_no_element_depends_on_is_refused():
    s = start("reductions", (3, 5))
    s.split("k", factor=4, tail="peel")
    assert "no element depends on loop k_o, so that a longer one adds the same elements again" in cases.message(
        lambda: s.pad_einsum("rows", [4, 4])
    )
    assert not PadEinsumStep.moves(s.program)


def test_a_result_that_is_added_to_further_out_is_not_padded():
    s = cases.matmul(6, 5, 8)
    s.split("k", factor=4)
    s.reorder("k_o", "i", "j", "k_i")
    s.compute_at(s.cache_read("A"), "k_o")
    assert (
        "the sum goes on from one iteration of loop k_o to the next, and a padded result starts anew"
        in cases.message(lambda: s.pad_einsum("C", [4, 1, 1]))
    )


def test_what_no_longer_loop_indexes_stays_as_it_is():
    A, B = te.placeholder((1, 48), name="A"), te.placeholder((1, 8, 13), name="B")
    k = te.reduce_axis((0, 8), name="k")
    C = te.compute((1, 6, 13), lambda b, i, j: te.sum(A[0, i * 8 + k] * B[0, k, j], axis=k), name="C")
    s = Schedule(tidy(cases.lowered(A, B, C).program))
    text = cases.unchanged(s, lambda s: s.pad_einsum("C", (1, 1, 16, 1)))
    assert "B_pad[0, B_pad_1, B_pad_2] = B[0, B_pad_1, B_pad_2] if B_pad_2 < 13" in text
    assert "A[0, i*8 + k]*B_pad[0, k, j]" in text
    longer = cases.lowered(A, B, C)
    assert "expected every index to be a loop of the nest, got i*8 + k" in cases.message(
        lambda: longer.pad_einsum("C", (1, 4, 1, 1))
    )
