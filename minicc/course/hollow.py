"""A copy of minicc for submissions to run in: without what the course keeps to itself, and without what an assignment is about.

In: a folder, and the parts that are left out, as `path:Class.method` or `path:function` below `minicc/`. Out: `FOLDER/minicc`, in
which these raise a `Task`. An assignment that asks for `split` has students who would rather call it.

>>> print(without("def twice(x):\\n    '''x, two times.'''\\n    return x + x\\n", "twice", "a0"), end="")
def twice(x):
    '''x, two times.'''
    from minicc.errors import Task
    raise Task("a0", "twice is left out of minicc while a submission runs")
"""

from __future__ import annotations

import ast
import shutil
from collections.abc import Collection, Iterable
from pathlib import Path

from minicc.errors import ConfigError

PACKAGE = Path(__file__).parents[1]
KEPT_OF_COURSE = (
    "__init__.py",
    "answers.py",
    "costs.py",
    "exercise.py",
    "handed_in.py",
    "inside.py",
    "judging.py",
    "wire.py",
)


def copied(folder: Path, hollow: Iterable[str] = (), name: str = "") -> None:
    """Copy minicc into `folder`, without the parts in `hollow`. Raises ConfigError where one of them is not there."""
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=_ignored)
    for part in hollow:
        path, _, function = part.partition(":")
        file = folder / PACKAGE.name / path.removeprefix(f"{PACKAGE.name}/")
        if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
            raise ConfigError(
                f"hollow = [{part!r}]", "expected a file of minicc", str(path), "schedule/split.py:SplitStep.transform"
            )
        file.write_text(without(file.read_text(encoding="utf-8"), function, name), encoding="utf-8")
        for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
            compiled.unlink()  # the part can be read there, too


def _ignored(folder: str, names: Collection[str]) -> set[str]:
    if Path(folder) == PACKAGE / "course":
        return {name for name in names if name not in KEPT_OF_COURSE}
    return {"cli"} if Path(folder) == PACKAGE else set()


def without(text: str, function: str, name: str) -> str:
    """A module's text with a `Task` for the body of `Class.method` or `function`. Raises ConfigError where there is none."""
    scope: ast.AST | None = ast.parse(text)
    for part in function.split("."):
        scope = next((node for node in getattr(scope, "body", ()) if getattr(node, "name", None) == part), None)
    if not isinstance(scope, ast.FunctionDef):
        raise ConfigError(
            f"hollow = [{function!r}]", "expected the name of a function in the file", "", "Class.method, or function"
        )
    body, lines = scope.body, text.split("\n")
    kept = bool(ast.get_docstring(scope)) and len(body) > 1
    first, last, indent = body[kept].lineno, body[-1].end_lineno, " " * body[0].col_offset
    assert last is not None
    what = f"{function} is left out of minicc while a submission runs"
    lines[first - 1 : last] = [f"{indent}from minicc.errors import Task", f'{indent}raise Task("{name}", "{what}")']
    return "\n".join(lines)
