"""Where a student stands: what is solved, what is open, and the next step.

In: folders that hand-outs were started in. Out: rows for each task. What the visible tests said last is kept in the folder, in
`.progress.json`, so that `minicc course status` needs no tests; a task whose hole is still there is open whatever was said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from minicc.course.assignment import AssignedTask, Assignment, assignment, assignments
from minicc.course.visible import TaskTests
from minicc.errors import ConfigError
from minicc.runtime.files import write_file

RECORD = ".progress.json"


@dataclass(frozen=True)
class OpenPlace:
    """Where in the files of a hand-out a task is to be written."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}"


@dataclass(frozen=True)
class Standing:
    """One task of a hand-out: what its tests said last, None if they never ran, and its hole, or that which they met, if that is still there."""

    task: AssignedTask
    tests: TaskTests | None
    hole: OpenPlace | None

    @property
    def state(self) -> str:
        """open, untested, solved, or what its tests said else."""
        said = self.tests.state if self.tests else "untested"
        if self.hole and said != "solved":
            return "open"
        return "untested" if said == "open" else said  # written since its tests ran


@dataclass(frozen=True)
class Started:
    """A hand-out that was started in a folder."""

    assignment: Assignment
    folder: Path

    @property
    def standings(self) -> list[Standing]:
        """Every task, in order."""
        tests, holes = remembered(self.folder), self._holes()
        met = {name: said.met for name, said in tests.items() if said.open}
        return [
            Standing(task, tests.get(task.name), holes.get(task.name) or holes.get(met.get(task.name, "")))
            for task in self.assignment.tasks
        ]

    @property
    def solved(self) -> bool:
        """Whether the visible tests of every task passed when they ran last."""
        return all(standing.state == "solved" for standing in self.standings)

    @property
    def next(self) -> str:
        """What to do next, as a line."""
        if missing := [name for name in self.assignment.files if not (self.folder / name).is_file()]:
            return f"{missing[0]} is missing in {self.folder}: minicc course start {self.assignment.name} {self.folder} writes it anew"
        for standing in self.standings:
            task = standing.task
            if standing.state == "untested":
                return f"minicc course test {self.folder}: the tests of task {task.name} have not run"
            if standing.state != "solved":
                why = f": {standing.tests.problem}" if standing.tests and standing.tests.problem else ""
                at = f" in {self.folder / standing.hole.file}, line {standing.hole.line}" if standing.hole else ""
                return f"task {task.name}, {task.title}{at}{why}"
        return f"hand {', '.join(self.assignment.files)} in: hidden tests decide about points"

    def _holes(self) -> dict[str, OpenPlace]:
        found: dict[str, OpenPlace] = {}
        for name in self.assignment.files:
            path = self.folder / name
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
            if all(line.startswith("#") for line in lines):  # a file of steps that has none yet
                found |= dict.fromkeys(re.findall(r"\d+\.\d+", " ".join(lines)), OpenPlace(name, len(lines) + 1))
            for number, line in enumerate(lines, 1):
                if hole := re.search(r'raise Task\("([\d.]+)"', line):
                    found.setdefault(hole[1], OpenPlace(name, number))
        return found


def started(folder: Path) -> Started:
    """The hand-out in a folder. Raises ConfigError where there is none."""
    tests = sorted(folder.glob("test_a[0-9]*.py"))
    if not tests:
        problem = f"expected a folder that a hand-out was started in, got {folder}"
        hint = "minicc course start a1 starts one"
        raise ConfigError("course", problem, ", ".join(assignments()), hint)
    return Started(assignment(tests[0].stem.removeprefix("test_")), folder)


def all_started(folder: Path) -> list[Started]:
    """Every hand-out in a folder and in those right below it, by the names of their assignments. Raises ConfigError where it is none."""
    if not folder.is_dir():
        problem = f"expected a folder, got {'a file' if folder.exists() else 'none'}"
        raise ConfigError(f"course status {folder}", problem, hint="give the folder in which assignments were started")
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    known = assignments()
    found = [started(p) for p in places if any(t.stem[5:] in known for t in p.glob("test_a[0-9]*.py"))]
    return sorted(found, key=lambda s: s.assignment.name)


def remembered(folder: Path) -> dict[str, TaskTests]:
    """What the visible tests in a folder said last, by the names of tasks; nothing where the record is none."""
    try:
        data = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return {name: TaskTests(**counts) for name, counts in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def remember(folder: Path, tests: Mapping[str, TaskTests]) -> None:
    """Keep what visible tests said, beside what those of other tasks said before."""
    both = {**remembered(folder), **tests}
    write_file(folder / RECORD, json.dumps({name: asdict(counts) for name, counts in both.items()}, indent=1).encode())
