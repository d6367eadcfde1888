"""Files of steps are data: nothing is evaluated, nothing runs that is no primitive, and nothing grows without end."""

import json
from random import Random

import pytest

from minicc.course.assignments.a6.judge import kernel, worth
from minicc.course.assignments.a6.programs import KERNELS, scheduled
from minicc.course.judging import Failed, Unequal
from minicc.errors import ScheduleError

SIZES = (6, 16, 5)


def test_steps_as_text_and_as_json_make_the_same_program():
    text = 's.split("j", factor=8)\n\n  # a remark\nouter = s.reorder("k", "i")  # and another\ns.vectorize("j_i")'
    typed = scheduled("matmul", text.replace('s.reorder("k", "i")', 's.reorder("j_o", "k", "j_i")'), SIZES)
    read = scheduled("matmul", typed.trace.to_json(), SIZES)
    assert read.program is typed.program and len(typed.trace) == 3


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ('__import__("os").system("true")', ScheduleError, "expected a primitive"),
        ('s.split("i", factor=len("abc"))', ScheduleError, "expected a literal"),
        ('s.split("i", factor=[2 for _ in "ab"][0])', ScheduleError, "expected a literal"),
        ('s.tensorize("i", "dot")', (ScheduleError, Unequal), "tensorize"),
        ('s.parallel("i")', Unequal, "got parallel"),
        ('s.choose("n", [1, 2], 1)', Unequal, "got choose"),
        ('s.set_scope("C", "local")', (ScheduleError, Unequal), "set_scope"),
        (json.dumps([{"step": "parallel", "loop": "i"}]), Unequal, "got parallel"),
        ('[{"step": "extern"}]', ScheduleError, "expected a list of steps"),
        ("[1]", ScheduleError, "expected a list of steps"),
        ("\n".join(f's.split("i{"_i" * n}", factor=2)' for n in range(120)), Unequal, "at most 100 steps"),
        ('s.split("i", factor=6)\ns.unroll("i_i")\ns.unroll("j")\ns.unroll("k")\n', None, ""),
    ],
)
def test_what_is_no_step_that_is_allowed_is_refused(text, error, said):
    if error is None:
        assert scheduled("matmul", text, SIZES)
        with pytest.raises(Unequal, match="expected at most"):  # the same steps, and far too much code
            scheduled("matmul", text, (6, 400, 400))
        return
    with pytest.raises(error, match=said):
        scheduled("matmul", text, SIZES)


class SaidSteps:
    """A submission that is a text, or none."""

    def __init__(self, text):
        self.said = text

    def text(self, file):
        if self.said is None:
            raise Failed("no such file")
        return self.said


def never(*_):
    raise AssertionError


def test_a_file_that_is_missing_or_nested_without_end_earns_nothing():
    for text in (None, "[" * 100_000):
        (judgment,) = kernel("matmul", never, SaidSteps(text), Random(0))
        assert judgment.share == 0 and judgment.problem


def test_an_error_shows_the_program_as_it_is():
    (judgment,) = kernel("matmul", never, SaidSteps('s.split("j", factor=2)\ns.unroll("j_1")'), Random(0))
    lines = [line.strip() for line in judgment.problem.splitlines()]
    assert any(line.startswith("for j_o in range") for line in lines) and lines[-1].startswith("hint: ")


def test_points_fall_with_the_logarithm():
    assert [worth(ratio, 10.0) for ratio in (0.5, 1.2, 10.0, 99.0)] == [1, 1, 0, 0]
    assert worth((1.2 * 10) ** 0.5, 10.0) == pytest.approx(0.5)


@pytest.mark.parametrize("name", KERNELS)
def test_naive_programs_are_right_where_nothing_is_done(name):
    assert not scheduled(name, "# nothing yet\n", (3,) * len(KERNELS[name].timed)).trace.steps
