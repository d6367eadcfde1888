"""Whatever data a submission answers with, a judge has a judgment: it never fails itself."""

from pathlib import Path

import pytest
from submitted import shares, submitted

from minicc.course.assignment import assignment
from minicc.course.grading import grade
from minicc.course.handout import solution

pytestmark = pytest.mark.course
ODD = ("None", "1", "'text'", "[]", "[[]]", "[[[]]]", "[1, [2]]", "{'a': 1}", "[['a', None, {}]]", "(float('nan'),)", "args[0]",
       "(_ for _ in ()).throw(type('ScheduleError', (Exception,), {})('odd'))")  # fmt: skip
ASKED = {"a3": ("primitives.py", ("split", "fuse", "moves")), "a4": ("rules.py", ("apply",)),
         "a5": ("fusion.py", ("kernels", "reasons")),
         "a7": ("checks.py", ("check_elements", "check_many", "check_graphs"))}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_odd_answers_earn_nothing(name, tmp_path):
    file, functions = ASKED[name]
    for odd in ODD:
        text = "".join(f"def {function}(*args):\n    return {odd}\n\n\n" for function in functions)
        folder = submitted(name, tmp_path, solution(assignment(name)) | {file: text.encode()})
        assert set(shares(name, folder).values()) == {0.0}, odd


def test_reasons_of_right_kernels_may_be_odd(tmp_path):
    for odd in ODD:
        text = solution(assignment("a5"))["fusion.py"] + f"\n\ndef reasons(*args):\n    return {odd}\n".encode()
        folder = submitted("a5", tmp_path, solution(assignment("a5")) | {"fusion.py": text})
        assert shares("a5", folder)["5.5"] == 0.0, odd


@pytest.mark.parametrize(("name", "file"), [("a3", "primitives.py"), ("a4", "rules.py"), ("a5", "fusion.py")])
def test_who_borrows_from_minicc_has_nothing_where_it_is_graded(name, file, tmp_path):
    """What an assignment is about is left out of the copy of minicc that a submission sees."""
    borrowed = (Path(__file__).parent / "data" / f"borrowed_{file}").read_bytes()
    folder = submitted(name, tmp_path, solution(assignment(name)) | {file: borrowed})
    assert grade(assignment(name), folder, "ada", b"of the teacher").total == 0
