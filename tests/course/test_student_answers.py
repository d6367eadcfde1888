"""Answers to A1 to A4 that are not ours: right ones in another form earn all points, mistakes that students make lose some, with a reason."""

import importlib
import re
import textwrap
from itertools import groupby
from pathlib import Path
from random import Random

import pytest
from submitted import submitted

from minicc.course.answers import LocalAnswers
from minicc.course.assignment import assignment
from minicc.course.handout import solution, source
from minicc.errors import ScheduleError
from minicc.schedule.examples import row_sums

pytestmark = pytest.mark.course
FILES = {"a1": "puzzles.py", "a2": "operators.py", "a3": "primitives.py", "a4": "rules.py"}
TEXT = (Path(__file__).parent / "data" / "answers_a1_a4.txt").read_text(encoding="utf-8")
ANSWERS = re.findall(r"^== ([\d.]+) (.*)\n((?:(?!== ).*\n)*)", TEXT, flags=re.M)  # task, what is said of it, body


def judged(task, body, folder, student="ada"):
    """What the judge of a task says of the solution with another body in it."""
    name = f"a{task.partition('.')[0]}"
    text, file = source(assignment(name), FILES[name]), FILES[name]
    pattern = rf"^( *)# solution {re.escape(task)}:.*?# end$"
    text, found = re.subn(pattern, lambda m: textwrap.indent(body, m[1]), text, count=1, flags=re.S | re.M)
    assert found == 1
    files = {**solution(assignment(name)), file: text.encode()}
    judge = importlib.import_module(f"minicc.course.assignments.{name}.judge")
    answers = LocalAnswers(submitted(name, folder, files))
    return list(getattr(judge, f"task{task.replace('.', '_')}")(answers, Random(f"{student} {task}")))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("task", [task for task, _ in groupby(ANSWERS, key=lambda answer: answer[0])])
def test_answers_of_students(task, tmp_path):
    for number, (_, said, body) in enumerate(answer for answer in ANSWERS if answer[0] == task):
        (folder := tmp_path / str(number)).mkdir()
        lost = [f"{j.name}: {j.problem}" for j in judged(task, body, folder) if j.share < 1]
        if said == "right":
            assert not lost, body
        else:
            assert lost, body
            assert any(said in problem for problem in lost), lost


def test_a_hint_names_the_loops_that_a_stage_may_move_into():
    """The first thing that goes wrong with a `cache_write`: its own loop is not that of the copy behind it."""
    s = row_sums(4, 8)
    total = s.cache_write("B", "local")
    with pytest.raises(ScheduleError, match=r"hint: choose a loop of a reader: i_copy$"):
        s.compute_at(total, "i")
