"""A student begins, writes, tests, and is told what comes next."""

import re

import pytest
from typer.testing import CliRunner

from minicc.cli import app
from minicc.course.assignment import assignment
from minicc.course.handout import handout, source
from minicc.course.progress import RECORD, all_started, remember, remembered, started
from minicc.course.visible import TaskTests
from minicc.errors import ConfigError, RunError

run = CliRunner().invoke


def solved_but(name, *open_tasks, **faults):
    """The solution of a file of A1, with some tasks open again, and texts replaced."""
    text = source(assignment("a1"), name)
    for task in open_tasks:
        text = re.sub(rf"    # solution {task}:.*?# end\n", f'    raise Task("{task}", "again")\n', text, flags=re.S)
    for old, new in faults.values():
        assert old in text
        text = text.replace(old, new)
    return text


def written(name, folder):
    """An assignment as it is started, without its page."""
    for file, content in handout(assignment(name)).items():
        (folder / file).write_bytes(content)


def test_nothing_begun(tmp_path):
    assert "course start a1" in run(app, ["course", "status", str(tmp_path)]).output
    with pytest.raises(ConfigError, match="that a hand-out was started in"):
        started(tmp_path)


def test_begun(tmp_path):
    shown = run(app, ["course", "start", "a1", str(tmp_path / "mine")])
    assert shown.exit_code == 0 and "next   task 1.1" in shown.output
    (begun,) = all_started(tmp_path)
    assert {s.state for s in begun.standings} == {"open"}
    assert all(s.hole and f'Task("{s.task.name}"' in _line(begun.folder, s.hole) for s in begun.standings)


def test_a_file_of_steps_without_steps_is_open(tmp_path):
    written("a6", tmp_path)
    assert {s.state for s in started(tmp_path).standings} == {"open"}
    with (tmp_path / "conv.trace").open("a") as file:
        file.write('s.unroll("dx")\n')
    assert {s.task.name for s in started(tmp_path).standings if s.state == "untested"} == {"6.3", "6.4"}


def test_a_task_without_a_hole_of_its_own_is_open_as_long_as_the_one_that_it_met(tmp_path):
    written("a8", tmp_path)
    remember(tmp_path, {"8.4": TaskTests(open=1, met="8.3")})
    last = started(tmp_path).standings[-1]
    assert last.state == "open" and 'Task("8.3"' in _line(tmp_path, last.hole)
    mine = tmp_path / "search.py"
    mine.write_text(mine.read_text().replace('raise Task("8.3"', 'return ("8.3"'))
    assert started(tmp_path).standings[-1].state == "untested"


def _line(folder, hole):
    return (folder / hole.file).read_text(encoding="utf-8").splitlines()[hole.line - 1]


@pytest.mark.course
def test_solved_wrong_and_open_tasks_are_told_apart(tmp_path):
    run(app, ["course", "start", "a1", str(tmp_path)])
    mine = tmp_path / "puzzles.py"
    fault = ('s.reorder("i", "j")\n', 's.reorder("j", "i")\n')
    mine.write_text(solved_but("puzzles.py", "1.2", fault=fault), encoding="utf-8")
    shown = run(app, ["course", "test", str(tmp_path)])
    assert shown.exit_code == 1
    states = {s.task.name: s.state for s in started(tmp_path).standings}
    assert states.pop("1.1") == "wrong" and states.pop("1.2") == "open" and set(states.values()) == {"solved"}
    assert "1.1: test_" in shown.output and "next   task 1.1" in shown.output

    mine.write_text(solved_but("puzzles.py"), encoding="utf-8")
    assert {s.task.name for s in started(tmp_path).standings if s.state == "untested"} == {"1.2"}
    assert run(app, ["course", "test", str(tmp_path), "--task", "1.2"]).exit_code == 0
    assert started(tmp_path).next.startswith("task 1.1"), "what other tests said is kept"
    assert run(app, ["course", "test", str(tmp_path)]).exit_code == 0
    assert started(tmp_path).next.startswith("hand puzzles.py in")


@pytest.mark.parametrize("text", ["", "[]", '{"1.1": 3}', '{"1.1": {"passed": 1, "more": 2}}'])
def test_a_record_that_is_none_is_no_record(tmp_path, text):
    (tmp_path / RECORD).write_text(text, encoding="utf-8")
    assert remembered(tmp_path) == {}


@pytest.mark.course
def test_files_that_do_not_import(tmp_path):
    run(app, ["course", "start", "a1", str(tmp_path)])
    (tmp_path / "puzzles.py").write_text("def along_rows(:", encoding="utf-8")
    shown = run(app, ["course", "test", str(tmp_path)])
    assert shown.exit_code != 0 and "tests that can be collected" in str(shown.exception)


def test_unknown_tasks(tmp_path):
    written("a1", tmp_path)
    assert "expected a task of a1" in str(run(app, ["course", "test", str(tmp_path), "--task", "9.9"]).exception)


def test_places_that_are_none(tmp_path):
    (tmp_path / "file").touch()
    for command in (["status", tmp_path / "none"], ["status", tmp_path / "file"], ["start", "a1", tmp_path / "file"]):
        shown = run(app, ["course", *map(str, command)])
        assert isinstance(shown.exception, ConfigError), shown.exception
    begun = tmp_path / "mine"
    run(app, ["course", "start", "a1", str(begun)])
    (begun / "puzzles.py").unlink()
    assert started(begun).next.startswith("puzzles.py is missing")


def test_parts_that_raise_end_a_milestone_with_their_line(tmp_path):
    run(app, ["course", "start", "a3", str(tmp_path)])
    (tmp_path / "primitives.py").write_text("x = 1\ny = x / 0\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"got ZeroDivisionError: division by zero\n    primitives.py:2: y = x / 0"):
        raise run(app, ["course", "milestone", str(tmp_path)]).exception
