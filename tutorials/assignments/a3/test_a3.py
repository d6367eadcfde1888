"""The visible tests: `pytest -m task3_1`. The grader has other programs, loops and factors."""

import numpy as np
import pytest

import primitives
from minicc import te
from minicc.errors import ScheduleError
from minicc.loop.accesses import accesses
from minicc.loop.ir import If, loops, walk
from minicc.loop.python import run_python
from minicc.schedule import Schedule
from minicc.schedule.examples import doubled, product, row_sums, smoothed
from minicc.schedule.fuse import FuseStep
from minicc.schedule.replaced import replaced
from minicc.schedule.split import SplitStep


def apply(program, step):
    return (primitives.split if isinstance(step, SplitStep) else primitives.fuse)(program, step)


def check(program, step, loops_after, guards=0):
    """The loops by name and extent; the same accesses in the same order; the same values."""
    made = apply(program, step)
    found = [(loop.name, loop.extent) for loop in loops(made.body).values()]
    assert found == loops_after, f"expected the loops {loops_after}, got {found}"
    found = sum(isinstance(s, If) for s in walk(made.body))
    assert found == guards, f"expected {guards} guards, got {found}\n{made}"
    before, after = accesses(program), accesses(made)
    for part in ("buffer", "element", "kind"):
        got, right = getattr(after, part).tolist(), getattr(before, part).tolist()
        assert got == right, f"expected the same loads and stores in the same order, got others\n{made}"
    inputs = [np.arange(np.prod(b.shape)).reshape(b.shape).astype(b.dtype.numpy) for b in program.params]
    results = []
    for each in (program, made):
        results.append(np.full(each.outputs[0].shape, 77, np.float32))
        run_python(each, *inputs, results[-1])
    np.testing.assert_array_equal(*results)
    return made


@pytest.mark.task3_1
def test_a_factor_that_divides():
    check(doubled(12).program, SplitStep("i", 4), [("i_o", 3), ("i_i", 4)])
    check(doubled(4, 6).program, SplitStep("j", 6), [("i", 4), ("j_o", 1), ("j_i", 6)])


@pytest.mark.task3_1
def test_an_axis_of_a_reduction():
    check(product(3, 8).program, SplitStep("k", 2), [("i", 3), ("k_o", 4), ("k_i", 2)])


@pytest.mark.task3_2
def test_a_factor_that_does_not_divide():
    check(doubled(10).program, SplitStep("i", 4), [("i_o", 3), ("i_i", 4)], guards=1)
    check(row_sums(3, 5).program, SplitStep("k", 3), [("i", 3), ("k_o", 2), ("k_i", 3)], guards=1)


@pytest.mark.task3_2
def test_a_factor_that_is_larger_than_the_extent():
    check(doubled(3).program, SplitStep("i", 8), [("i_o", 1), ("i_i", 8)], guards=1)


@pytest.mark.task3_3
def test_two_loops_become_one():
    check(doubled(3, 5).program, FuseStep("i", "j"), [("i_j_f", 15)])


@pytest.mark.task3_3
def test_fuse_takes_a_split_back():
    program = Schedule(doubled(12).program)
    made = apply(program.program, SplitStep("i", 4))
    check(made, FuseStep("i_o", "i_i"), [("i_o_i_i_f", 12)])


def refusals():
    vectors = doubled(4, 8)
    vectors.vectorize("j")
    yield vectors.program, SplitStep("j", 2)
    yield vectors.program, FuseStep("i", "j")
    yield doubled(8).program, SplitStep("x", 2)
    yield doubled(8).program, SplitStep("i", 0)
    yield doubled(4, 8).program, FuseStep("j", "i")
    yield product(4, 8).program, FuseStep("i", "k")


@pytest.mark.task3_4
@pytest.mark.parametrize(("program", "step"), [pytest.param(*each, id=str(each[1])) for each in refusals()])
def test_what_is_not_legal_is_refused_in_four_parts(program, step):
    with pytest.raises(ScheduleError) as caught:
        (primitives.check_split if isinstance(step, SplitStep) else primitives.check_fuse)(program, step)
    error = caught.value
    assert error.call == str(step).removeprefix("s.")
    assert error.problem and error.where and error.hint


@pytest.mark.task3_5
def test_all_moves():
    found = primitives.moves(smoothed(4).program)
    assert isinstance(found, (list, tuple)), "expected a list of steps"
    assert sorted(map(str, found)) == ['s.split("i", factor=2)', 's.split("i", factor=3)', 's.split("k", factor=2)']
    found = primitives.moves(doubled(2, 5).program)
    assert sorted(map(str, found)) == [
        's.fuse("i", "j")', 's.split("j", factor=2)', 's.split("j", factor=3)', 's.split("j", factor=4)'
    ]  # fmt: skip


@pytest.mark.task3_5
def test_a_tile_is_made_of_your_splits():
    """A tile by hand is two splits and a reorder: two of these are yours."""
    A = te.placeholder((8, 9), name="A")
    B = te.compute((8, 9), lambda i, j: A[i, j] + 1.0, name="B")
    s = te.create_schedule(B.op)
    with replaced(primitives.PRIMITIVES):
        s[B].tile(*B.op.axis, 4, 4)
    assert list(loops(s.program.body)) == ["i_o", "j_o", "i_i", "j_i"]
