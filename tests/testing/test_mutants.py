"""The mutator of the package: what it changes, that it draws from every room, and what it says of the tests."""

from __future__ import annotations

import ast

import pytest
import typer

from minicc.errors import ConfigError
from minicc.testing import mutants as module
from minicc.testing.mutants import Outcome, campaign, draw, judge, mutants, suites

SOURCE = '''"""A docstring of 3 words."""
from x import y

def f(a: int | None, b: int = 2) -> int | None:
    """Another, of 5."""
    if a > b and not b:
        raise ValueError("1 + 1", 7)
    c: list[int] | None = min(a, b - 1)
    return -c * g(b, a) if True else f"{a + 1}"
'''


def test_every_kind_of_change_is_made_once_and_nothing_else():
    changes = [str(m).split(" ", 1)[1] for m in mutants("f.py", SOURCE)]
    assert sorted(changes) == sorted([
        "2 -> 3", "a > b and not b -> a > b or not b", "a > b -> a >= b", "not b -> b", "min(a, b - 1) -> max(a, b - 1)",
        "b - 1 -> b + 1", "1 -> 2", '-c * g(b, a) if True else f"{a + 1}" -> f\'{a + 1}\' if True else -c * g(b, a)',
        "-c * g(b, a) -> -c + g(b, a)", "-c -> c", "g(b, a) -> g(a, b)", "True -> False"])  # fmt: skip
    for mutant in mutants("f.py", SOURCE):
        planted = mutant.planted(SOURCE)
        assert ast.dump(ast.parse(planted)) != ast.dump(ast.parse(SOURCE)) and planted.count("\n") == SOURCE.count("\n")


def test_draws_differ_and_come_from_every_room():
    drawn = draw(60, 3)
    assert len(set(drawn)) == len(drawn)
    rooms = {
        path.name.removesuffix(".py")
        for path in (module.ROOT / "minicc").iterdir()
        if path.suffix == ".py" or path.is_dir()
    }
    assert (
        {"graph", "te", "loop", "codegen", "ops", "schedule"}
        <= {m.path.split("/")[1].removesuffix(".py") for m in drawn}
        <= rooms
    )


@pytest.fixture
def project(tmp_path):
    """A project of one room, whose tests see one of its two functions."""
    for name, text in {
        "minicc/__init__.py": "",
        "minicc/room/__init__.py": "",
        "minicc/room/a.py": "def seen(a, b):\n    return a - b\n",
        "minicc/room/b.py": "def unseen(a, b):\n    return a - b\n",
        "tests/room/test_a.py": "from minicc.room.a import seen\n\n\ndef test_it():\n    assert seen(3, 1) == 2\n",
        "tests/test_rest.py": "def test_rest():\n    pass\n",
        "pyproject.toml": "[tool.pytest.ini_options]\npythonpath = ['.']\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_draws_are_repeatable(project):
    assert draw(4, 3, project) == draw(4, 3, project) and len({tuple(draw(1, seed, project)) for seed in range(9)}) > 1


def test_a_mutant_is_noticed_or_survives_and_the_copy_is_mended(project):
    outcomes = {m.path: judge(m, project, ["tests"]) for m in draw(10, 0, project)}
    assert outcomes["minicc/room/a.py"].test == "tests/room/test_a.py::test_it" and "noticed" in str(
        outcomes["minicc/room/a.py"]
    )
    assert outcomes["minicc/room/b.py"].test is None and "survives" in str(outcomes["minicc/room/b.py"])
    assert (project / "minicc/room/a.py").read_text() == "def seen(a, b):\n    return a - b\n"
    assert suites("minicc/room/a.py", project) == [["tests/room"], [], [], ["tests", "--ignore=tests/room"]]
    (project / "tests/field").mkdir()
    assert suites("minicc/other.py", project) == [[], [], ["tests/field"], ["tests", "--ignore=tests/field"]]
    (project / "tests/test_rest.py").write_text("from minicc import other\n\n\ndef test_rest():\n    pass\n")
    assert suites("minicc/other.py", project)[1:] == [
        ["tests/test_rest.py"],
        ["tests/field"],
        ["tests", "--ignore=tests/test_rest.py", "--ignore=tests/field"],
    ]


@pytest.mark.slow
def test_a_loop_without_end_is_noticed(project, monkeypatch):
    monkeypatch.setattr(module, "LIMIT", 3)
    (project / "minicc/room/a.py").write_text(
        "def seen(a, b):\n    while a < b + 1:\n        a += 0\n    return a - b\n"
    )
    slow = [
        m
        for m in mutants("minicc/room/a.py", (project / "minicc/room/a.py").read_text())
        if m.new == "b - 1" or m.old == "a < b + 1"
    ]
    (project / "tests/room/test_a.py").write_text(
        "from minicc.room.a import seen\n\n\ndef test_it():\n    assert seen(3, 0) == 3 and seen(0, 0) is None\n"
    )
    assert judge(slow[0], project, ["tests"]).test is not None


def test_without_tests_nothing_is_said_of_a_mutant(project):
    with pytest.raises(ConfigError, match="expected tests, got") as caught:
        judge(draw(1, 0, project)[0], project, ["no-such-folder"])
    assert caught.value.hint


def test_nothing_to_mutate(tmp_path):
    with pytest.raises(ConfigError, match="expected a checkout with the folder minicc") as caught:
        draw(1, 0, tmp_path)
    assert caught.value.hint


def test_the_command_lists_and_sums_up(project, monkeypatch, capsys):
    monkeypatch.setattr(module, "draw", lambda count, seed: draw(count, seed, project))
    module.main(count=2, seed=1, jobs=1, passed=False, listed=True)
    assert len(capsys.readouterr().out.splitlines()) == 2
    first, second = draw(2, 1, project)

    def fake(drawn, jobs, show, passed):
        show("own tests", 1, 2, Outcome(first, "tests/t.py::test", 3.0))
        show("own tests", 2, 2, Outcome(second, None, 90.0))
        return {first: "tests/t.py::test", second: None}

    monkeypatch.setattr(module, "campaign", fake)
    with pytest.raises(typer.Exit) as end:
        module.main(count=2, seed=1, jobs=1, passed=False, listed=False)
    out = capsys.readouterr().out
    assert end.value.exit_code == 1 and "2 mutants of 2: 1 noticed, 1 survive" in out and f"  {second}" in out
    assert "own tests 1/2  eta 0 min  noticed      3 s" in out


@pytest.mark.slow
def test_copies_of_the_project_work_side_by_side(project, monkeypatch):
    monkeypatch.setattr(module, "ROOT", project)
    shown = []
    noticed = campaign(draw(10, 0, project), 2, lambda *run: shown.append(run), passed=True)
    assert {(m.path, test is None) for m, test in noticed.items()} == {
        ("minicc/room/a.py", False),
        ("minicc/room/b.py", True),
    }
    assert [(what, done, total) for what, done, total, _ in shown] == [
        ("own tests", 1, 2),
        ("own tests", 2, 2),
        ("tests that name it", 1, 1),
        ("tests/field", 1, 1),
        ("all others", 1, 1),
    ]


def test_a_copy_has_the_environment_of_the_old_tvm_if_there_is_one(project, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "ROOT", project)
    monkeypatch.setattr(module, "relay_dir", lambda: project / "elsewhere")
    for there in (False, True):
        monkeypatch.setattr(module, "has_relay", lambda there=there: there)
        link = module._copied(tmp_path / f"copy-{there}") / ".venv-relay"
        assert link.is_symlink() == there
    assert link.readlink() == project / "elsewhere"


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_known(project, monkeypatch):
    monkeypatch.setattr(module, "ROOT", project)

    def interrupted(what, done, total, outcome):
        raise KeyboardInterrupt

    drawn = draw(10, 0, project)
    noticed = campaign(drawn, 1, interrupted, passed=True)
    assert set(noticed) <= {m for m in drawn if m.path == "minicc/room/a.py"}


@pytest.mark.slow
def test_tests_that_fail_anyway_tell_nothing(project, monkeypatch):
    monkeypatch.setattr(module, "ROOT", project)
    (project / "tests/test_rest.py").write_text("def test_rest():\n    assert False\n")
    with pytest.raises(
        ConfigError, match=r"expected tests that pass without a mutant, got a failure of tests/test_rest.py::test_rest"
    ) as caught:
        campaign(draw(1, 0, project), 1, lambda *_: None)
    assert caught.value.hint
