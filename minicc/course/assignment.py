"""Assignments: folders that hold a solution, from which the hand-out is made, and what judges an answer.

A folder `course/assignments/a3/` has

- `assignment.toml`: title, hours, the files that are handed in, the tasks with their points, and what of minicc is hollowed
  out while a submission runs (`hollow`, as `path:Class.method` or `path:function`);
- the files that are handed in, solved, and `given` ones, which the student reads and does not hand in; what stands between `# solution` and `# end` is left out of the hand-out
  (`course.handout`), where a `raise Task(...)` takes its place;
- `page.py`: the page of the hand-out, a lesson in percent format with pictures;
- `test_a3.py`: the visible tests, marked `task3_1` and so on, which `pytest -m task3_1` runs beside the handed-in files;
- `judge.py`: a function `task3_1(answers, draw)` for each task, which yields judgments (`course.judging`). It is no part of the hand-out.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from minicc.errors import ConfigError, nearest

FOLDER = Path(__file__).parent / "assignments"


@dataclass(frozen=True)
class AssignedTask:
    """A task of an assignment: its name, such as 3.1, what it is about, and its points; `free` ones the hand-out itself earns."""

    name: str
    title: str
    points: float
    free: bool = False

    @property
    def mark(self) -> str:
        """Its name as a marker of pytest, and as the function of the judge."""
        return "task" + self.name.replace(".", "_")


@dataclass(frozen=True)
class Assignment:
    """An assignment, as its `assignment.toml` says."""

    name: str  # a3
    folder: Path
    title: str
    hours: float
    files: tuple[str, ...]
    tasks: tuple[AssignedTask, ...]
    given: tuple[str, ...] = ()
    hollow: tuple[str, ...] = ()
    seconds: float = 60  # for all cases of a task

    @property
    def points(self) -> float:
        return sum(task.points for task in self.tasks)


def assignments() -> dict[str, Assignment]:
    """Every assignment, by its name, in order."""
    return {
        folder.name: read(folder) for folder in sorted(FOLDER.glob("a[0-9]*")) if (folder / "assignment.toml").is_file()
    }


def assignment(name: str) -> Assignment:
    """An assignment by its name. Raises ConfigError when there is none of it."""
    known = assignments()
    if name not in known:
        near = nearest(name, known)
        problem = f"expected the name of an assignment, got {name!r}"
        hint = f"did you mean {near!r}?" if near else "give one of these"
        raise ConfigError(f"assignment({name!r})", problem, ", ".join(known), hint)
    return known[name]


def found(name: str) -> Assignment:
    """An assignment by its name, or by the path of its folder, in which a / shows it: what is handed in may have the name of one.

    Raises ConfigError when there is none of it.
    """
    return read(Path(name)) if "/" in name and (Path(name) / "assignment.toml").is_file() else assignment(name)


def read(folder: Path) -> Assignment:
    """The assignment of a folder."""
    data = tomllib.loads((folder / "assignment.toml").read_text(encoding="utf-8"))
    data["tasks"] = tuple(AssignedTask(**task) for task in data["tasks"])
    data |= {key: tuple(data.get(key, ())) for key in ("files", "given", "hollow")}
    return Assignment(name=folder.name, folder=folder, **data)
