"""cover: whole tiles only, every move, and what it refuses."""

import numpy as np
import pytest
import schedule_cases as cases

import minicc
from minicc import te
from minicc.errors import ScheduleError
from minicc.schedule.cover import CoverStep


def test_the_example_holds():
    cases.the_example_holds("cover")


def test_a_shifted_tile_is_whole():
    text = cases.unchanged(cases.copied(10, 5), lambda s: s.cover("i", factor=4))
    assert "if" not in text and text.count("minimum(i_o*4, 6)") == 2
    assert "minimum" not in cases.unchanged(cases.copied(8, 5), lambda s: s.cover("i", factor=4))


def test_a_shifted_vector_is_stored_whole():
    A = te.placeholder((3, 21), name="A")
    s = cases.lowered(A, te.compute((3, 21), lambda i, j: A[i, j] * 2.0, name="B"))
    _, inner = s.cover("j", factor=8)
    s.vectorize(inner)
    a, b = np.random.default_rng(0).random((3, 21), np.float32), np.zeros((3, 21), np.float32)
    call = minicc.build(s, target="haswell", name="doubled")
    call(a, b)
    np.testing.assert_array_equal(b, 2 * a)


def test_what_would_be_done_twice_is_refused():
    with pytest.raises(
        ScheduleError, match="expected a constant extent of loop i, of at least a factor of 1 or more, got 6"
    ):
        cases.copied(6, 5).cover("i", factor=8)
    with pytest.raises(ScheduleError, match="expected loop k around one store"):
        cases.total(5, 11).cover("k", factor=4)
    with pytest.raises(ScheduleError, match="iterations of loop i_o depend on each other"):
        s = cases.copied(10, 5)
        outer, _ = s.cover("i", factor=4)
        s.parallel(outer)
    assert CoverStep("i", 4) in CoverStep.moves(cases.copied(10, 5).program)
