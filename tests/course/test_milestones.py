"""Milestones: real models on what students wrote, right whatever is open, and never right by chance."""

import pytest
from typer.testing import CliRunner

from minicc.cli import app
from minicc.course.assignment import assignment
from minicc.course.handout import handout, solution
from minicc.course.milestones import MILESTONES
from minicc.errors import OpenTaskWarning, ScheduleError
from minicc.testing.oracle import Disagreement

pytestmark = pytest.mark.course


def put(files, folder):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", MILESTONES)
def test_solutions_reach_it(name, tmp_path):
    put({**handout(assignment(name)), **solution(assignment(name))}, tmp_path)
    shown = CliRunner().invoke(app, ["course", "milestone", str(tmp_path)])
    assert shown.exit_code == 0, shown.exception
    assert (tmp_path / "milestone.svg").read_text(encoding="utf-8").startswith("<svg")
    assert MILESTONES[name].title in shown.output


def test_open_tasks_are_stood_in_for(tmp_path):
    put(handout(assignment("a3")), tmp_path)
    with pytest.warns(OpenTaskWarning, match=r"3\.[1-5]"):
        reached = MILESTONES["a3"].reach(tmp_path)
    assert "99.72%" in reached.lines[1]


FAULTS = {
    "a split that forgets the tile": (b"outer * factor + inner})", b"inner})"),
    "a fuse that stays in the first row": (b"variable // inner.extent", b"variable // inner.extent * 0"),
    "a guard that stops too early": (b"If(value < loop.extent,", b"If(value < loop.extent - 1,"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_wrong_parts_do_not_reach_it(fault, tmp_path):
    files = solution(assignment("a3"))
    assert fault[0] in files["primitives.py"]
    files["primitives.py"] = files["primitives.py"].replace(*fault)
    put(files, tmp_path)
    with pytest.raises((Disagreement, ScheduleError)):
        MILESTONES["a3"].reach(tmp_path)


def test_own_rules_and_own_fusion_are_seen(tmp_path):
    said = []
    for rules, fusion in ((handout, handout), (handout, solution), (solution, solution)):
        for name, files in (("a4", rules), ("a5", fusion)):
            (tmp_path / name).mkdir(exist_ok=True)
            put({**handout(assignment(name)), **files(assignment(name))}, tmp_path / name)
        said.append(MILESTONES["a5"].reach(tmp_path / "a5").lines)
    assert ["2 of these" in lines[0] for lines in said] == [True, True, False]
    assert [lines[1].partition(" by")[0] for lines in said] == ["7 kernels", "2 kernels", "2 kernels"]
    assert said[-1][1].endswith(": conv_add_relu, conv_add_add_relu")


def test_a_wrong_rule_does_not_reach_it(tmp_path):
    for name in ("a4", "a5"):
        (tmp_path / name).mkdir()
        put({**handout(assignment(name)), **solution(assignment(name))}, tmp_path / name)
    rules = tmp_path / "a4" / "rules.py"
    right = rules.read_text(encoding="utf-8")
    assert "bias - mean * a" in right
    rules.write_text(right.replace("bias - mean * a", "bias + mean * a"), encoding="utf-8")
    with pytest.raises(Disagreement):
        MILESTONES["a5"].reach(tmp_path / "a5")
