"""The visible tests of a hand-out, counted by task: a plugin of pytest, and who runs it.

In: a hand-out's folder. Out: for each task what became of its tests, `TaskTests`. They run in a process of their own, as
`python -m pytest` in the folder would, with this module as a plugin that writes what it saw as JSON.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from minicc.course.assignment import Assignment
from minicc.errors import ConfigError, RunError

MOST_LINES = 4  # of a comparison of arrays: how much differs, and where


@dataclass
class TaskTests:
    """The visible tests of one task: how many passed, how many met a `Task`, which the first of them met, and what the first that is wrong said."""

    passed: int = 0
    open: int = 0
    wrong: int = 0
    problem: str = ""
    met: str = ""

    @property
    def solved(self) -> bool:
        return bool(self.passed) and not self.open and not self.wrong

    @property
    def state(self) -> str:
        """One word: solved, wrong, open; or untested."""
        return "solved" if self.solved else "wrong" if self.wrong else "open" if self.open else "untested"


def in_a_line(said: str) -> str:
    """What an exception said, in a line: its first words, and its hint.

    >>> in_a_line("AssertionError: \\nNot equal\\n\\nMismatched elements: 1 / 3 (33%)\\n ACTUAL: array([1])")
    'AssertionError: Not equal; Mismatched elements: 1 / 3 (33%); ACTUAL: array([1])'
    >>> in_a_line("ScheduleError: no such loop\\n    for i\\nhint: take i")
    'ScheduleError: no such loop; hint: take i'
    """
    first, *more = [line.strip() for line in said.splitlines() if line.strip()] or [""]
    if first.endswith("Error:") and more:
        return f"{first} {'; '.join(more[:MOST_LINES])}"
    return "; ".join([first, *[line for line in more if line.startswith("hint: ")][:1]])


@dataclass
class Seen:
    """The plugin: the outcome of each test, by its marks."""

    path: Path
    tasks: dict[str, TaskTests] = field(default_factory=dict)

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called by pytest after each phase of each test."""
        if report.when != "call" and report.passed:
            return
        for mark in (m for m in report.keywords if m.startswith("task") and m[4:5].isdigit()):
            self._count(self.tasks.setdefault(mark, TaskTests()), report)

    def _count(self, task: TaskTests, report: Any) -> None:
        crash = getattr(report.longrepr, "reprcrash", None)
        said = str(getattr(crash, "message", report.longrepr or ""))
        if report.passed:
            task.passed += 1
        elif "errors.Task: " in said or said.startswith("Task: "):
            task.open += 1
            hole = re.search(r"task ([\d.]+)", said)
            task.met = task.met or (hole[1] if hole else "")
        else:
            task.wrong += 1
            task.problem = task.problem or f"{report.nodeid.partition('::')[2]}: {in_a_line(said)}"

    def pytest_sessionfinish(self) -> None:
        """Called by pytest at the end."""
        self.path.write_text(json.dumps({mark: vars(task) for mark, task in self.tasks.items()}), encoding="utf-8")


def pytest_addoption(parser: Any) -> None:
    """The file that the plugin writes."""
    parser.addoption("--seen", help="where to write the outcome of each task")


def pytest_configure(config: Any) -> None:
    """Watch, if asked to."""
    if config.getoption("--seen"):
        config.pluginmanager.register(Seen(Path(config.getoption("--seen"))))


def run_visible(folder: Path, assignment: Assignment, only: str = "", show: bool = False) -> Mapping[str, TaskTests]:
    """What the visible tests of a hand-out say, by the names of tasks; `only` one of them. With `show`, pytest's own report is seen.

    Raises ConfigError without pytest or for an unknown task, RunError when the tests cannot be collected.
    """
    if find_spec("pytest") is None:
        raise ConfigError("course test", "expected pytest, got none", hint='pip install "minicc[course]"')
    marks = {task.mark: task.name for task in assignment.tasks}
    chosen = ["-m", next(m for m, name in marks.items() if name == only)] if only else []
    with tempfile.TemporaryDirectory() as place:
        seen = Path(place) / "seen.json"
        plugin = ["-p", "minicc.course.visible", "--seen", str(seen), "-p", "no:cacheprovider"]
        command = [sys.executable, "-B", "-m", "pytest", "-q", *plugin, *chosen, f"test_{assignment.name}.py"]
        done = subprocess.run(command, cwd=folder, capture_output=not show, text=True)
        if done.returncode not in (0, 1, 5) or not seen.is_file():
            said = "" if show else (done.stdout + done.stderr)[-2000:]
            problem = f"expected tests that can be collected, got exit code {done.returncode} of pytest"
            raise RunError(f"course test {assignment.name}", problem, said, "does each file of yours still import?")
        found = json.loads(seen.read_text(encoding="utf-8"))
    return {marks[mark]: TaskTests(**counts) for mark, counts in found.items() if mark in marks}
