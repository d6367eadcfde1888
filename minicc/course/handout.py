"""A hand-out is a solution with holes: what stands between two markers goes, and a `Task` takes its place.

In: the text of a solved file. Out: that of the hand-out. A marker names the task, and says what is to be written:

>>> print(hollowed('''
... def twice(x):
...     # solution 1.1: x, two times
...     return x + x
...     # end
... '''.strip()))
def twice(x):
    raise Task("1.1", "x, two times")

Lines `# handout: TEXT` between the markers stand in the hand-out as TEXT, before the Task: a beginning to go on from.
With `# solution` alone nothing takes the place.

`handout` makes the folder of an assignment: the files that are handed in and those that are given, hollowed out, the visible
tests, which `pytest -m task1_1` runs there as they stand, the source of the page, and what to do. `page` is executed, and becomes
`page.html`. All have the same bytes each time.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from minicc.course.assignment import Assignment
from minicc.course.execute import executed
from minicc.course.lesson import read
from minicc.course.pages import alone
from minicc.errors import ConfigError, printable
from minicc.runtime.files import make_folder, write_file

BEGIN = re.compile(r"^(?P<indent>\s*)# solution(?: (?P<task>[\d.]+): (?P<what>.+))?$")
END, KEPT = re.compile(r"^\s*# end$"), re.compile(r"^(?P<indent>\s*)# handout: (?P<text>.*)$")


def hollowed(text: str, where: str = "") -> str:
    """The text without its solutions. Raises ConfigError where the markers do not pair."""
    return "\n".join(_lines(text.split("\n"), where))


def _lines(lines: list[str], where: str) -> Iterator[str]:
    begun: re.Match[str] | None = None
    for number, line in enumerate(lines, 1):
        begin, end = BEGIN.match(line), END.match(line)
        if (begin and begun) or (end and not begun):
            raise _unpaired(line, f"{where}:{number}")
        if begin:
            begun = begin
        elif end and begun:
            if begun["task"]:
                yield f"{begun['indent']}raise Task({_quoted(begun['task'])}, {_quoted(begun['what'])})"
            begun = None
        elif not begun:
            yield line
        elif kept := KEPT.match(line):
            yield kept["indent"] + kept["text"]
    if begun:
        raise _unpaired(begun[0], where)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unpaired(line: str, where: str) -> ConfigError:
    problem = f"expected `# solution` and `# end` in pairs, got {line.strip()!r}"
    return ConfigError("hollowed(text)", problem, where, "markers do not nest")


# ---- the folder of an assignment


def handout(assignment: Assignment) -> dict[str, bytes]:
    """The files of a hand-out by their names: never the judge, never a solution. Raises ConfigError where one is missing."""
    made = {"README.md": readme(assignment), "pytest.ini": _pytest_ini(assignment)}
    for name in (*assignment.files, *assignment.given, f"test_{assignment.name}.py", "page.py"):
        made[name] = hollowed(source(assignment, name), f"{assignment.name}/{name}")
    return {name: text.encode("utf-8") for name, text in made.items()}


def solution(assignment: Assignment) -> dict[str, bytes]:
    """The files that are handed in, solved, and those that are given."""
    return {name: source(assignment, name).encode("utf-8") for name in (*assignment.files, *assignment.given)}


def source(assignment: Assignment, name: str) -> str:
    """The text of a file of an assignment. Raises ConfigError where it is missing."""
    try:
        return (assignment.folder / name).read_text(encoding="utf-8")
    except OSError as error:
        problem = f"expected a file {name}, got {error.strerror}"
        raise ConfigError(f"handout({assignment.name!r})", problem, str(assignment.folder), "write it") from None


def page(assignment: Assignment) -> bytes:
    """The page of a hand-out, its cells executed beside the files of the hand-out. Raises RunError where a cell fails."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in handout(assignment).items():
            Path(folder, name).write_bytes(content)
        source = Path(folder, "page.py")
        return alone(read(source), executed(source)).encode("utf-8")


def write_handout(assignment: Assignment, folder: Path, force: bool = False) -> list[Path]:
    """Write the hand-out with its page into `folder`, each file whole or not at all. Returns what was written: what is alike stays.

    Raises ConfigError, before anything is written, where a file there is another one, unless `force` says to replace it.
    """
    made = {**handout(assignment), "page.html": page(assignment)}
    files = {folder / name: content for name, content in made.items()}
    for path in files:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            problem = "expected a file or nothing, got a link or a folder"
            raise ConfigError(f"write {path}", problem, hint="give a folder of its own")
    differing = {path: content for path, content in files.items() if not path.exists() or path.read_bytes() != content}
    if (changed := [path.name for path in differing if path.exists()]) and not force:
        problem = f"expected no file that differs from the hand-out, got {', '.join(changed)}"
        hint = "--force replaces them: what was written there is lost; another folder keeps them"
        raise ConfigError(f"handout {assignment.name}", problem, printable(folder), hint)
    make_folder(folder)
    for path, content in differing.items():
        write_file(path, content)
    return list(differing)


def readme(assignment: Assignment) -> str:
    """What is asked, as Markdown: tasks, points, hours, how to test, what to hand in."""
    rows = [
        f"| {task.name} | {task.title} | {task.points:g}{', for free' if task.free else ''} | `pytest -m {task.mark}` |"
        for task in assignment.tasks
    ]
    given = f" {_listed(assignment.given)} {'is' if len(assignment.given) == 1 else 'are'} given, to read and to use."
    return _lines_of(
        [
            f"# {assignment.name.upper()}: {assignment.title}",
            "",
            f"{assignment.points:g} points, about {assignment.hours:g} hours. Begin with `page.html`, which explains what is asked; `page.py` is its source, to try things in. "
            f"Hand in {_listed(assignment.files)}.{given if assignment.given else ''}",
            "",
            "| task | what | points | visible test |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "Where a file says `raise Task(...)`, or is empty, there is something to write. `pytest` in this folder runs all visible",
            "tests, with minicc installed; those of a task that is open fail with its name. The grader asks more than these tests do:",
            "other sizes and other data, drawn for you.",
            "",
        ]
    )


def index(found: Iterable[Assignment]) -> str:
    """The table of all assignments, as Markdown, to stand above their folders."""
    rows = [f"| [{a.name.upper()}]({a.name}/README.md) | {a.title} | {a.points:g} | {a.hours:g} |" for a in found]
    about = (
        "Each folder is a hand-out, made from the solution by `minicc course handout`. Begin with its `page.html`.\n"
        "Those who teach go on with [how to hand out, grade, and write another](TEACHING.md)."
    )
    return _lines_of(
        ["# The assignments", "", about, "", "| | what | points | hours |", "| --- | --- | --- | --- |", *rows, ""]
    )


def _pytest_ini(assignment: Assignment) -> str:
    marks = [f"    {task.mark}: {task.title}" for task in assignment.tasks]
    return _lines_of(["[pytest]", "addopts = --strict-markers --tb=short -p no:cacheprovider", "markers =", *marks, ""])


def _listed(names: Iterable[str]) -> str:
    *most, last = [f"`{name}`" for name in names] or [""]
    return f"{', '.join(most)} and {last}" if most else last


def _lines_of(lines: Iterable[str]) -> str:
    return "\n".join(lines)
