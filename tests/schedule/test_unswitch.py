"""unswitch: conditions asked once, every move, and what it refuses."""

import pytest
import schedule_cases as cases

from minicc import te
from minicc.errors import ScheduleError
from minicc.schedule.unswitch import UnswitchStep
from minicc.tensor.expr import select


def bordered(rows=5, columns=6):
    """B is A one row further down, and zeros above; or ones at the left."""
    A = te.placeholder((rows, columns), name="A")
    inside = lambda i, j: te.all(i >= 1, j >= 1)  # noqa: E731
    return cases.lowered(
        A, te.compute((rows, columns), lambda i, j: select(inside(i, j), A[i - 1, j - 1], 2.0), name="B")
    )


def test_the_example_holds():
    cases.the_example_holds("unswitch")


def test_a_condition_is_asked_once():
    text = cases.unchanged(bordered(), lambda s: s.unswitch("j"))
    assert (
        text
        == """\
for i in range(5):
    if 1 <= i:
        for j in range(6):
            B[i, j] = A[i - 1, j - 1] if 1 <= j else float32(2.0)
    if i < 1:
        for j_else in range(6):
            B[i, j_else] = 2.0"""
    )


def test_a_guard_is_asked_once():
    def steps(s):
        s.split("i", factor=3, tail="mask")
        s.unswitch("j")

    text = cases.unchanged(cases.copied(7, 5), steps)
    assert text.index("if i_o*3 + i_i < 7") < text.index("for j in")


def test_what_is_refused():
    s = bordered()
    with pytest.raises(ScheduleError, match="no condition inside is one that loop i leaves as it is"):
        s.unswitch("i")
    with pytest.raises(ScheduleError, match="C is reduced inside of loop k"):
        cases.total().unswitch("k")
    assert UnswitchStep.moves(s.program) == [UnswitchStep("j")]
