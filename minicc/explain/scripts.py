"""Schedules that a user's own script leaves in its names.

In: the path of a Python script, which runs in its folder, as `python SCRIPT.py` there does. Out: the schedules among its
names. It is a program of the user's, trusted as such: unlike a model, it is run.

    s = schedule_of(Path("gemm.py"))            # the last one
    s = schedule_of(Path("gemm.py"), "s")
"""

from __future__ import annotations

import contextlib
import runpy
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from minicc.errors import ConfigError, MiniccError, nearest
from minicc.paths import unreadable
from minicc.schedule import Schedule
from minicc.schedule.te_schedule import TeSchedule


def schedule_of(path: Path, name: str | None = None) -> Schedule | TeSchedule:
    """The schedule that a script leaves in a name, or in the last of its names that holds one.

    Raises ConfigError when there is none, and when the script cannot be read, does not compile, raises or exits.
    """
    if refused := unreadable(path, ".py"):
        raise ConfigError(f"explore {path}", f"expected a file, got {refused[0]}", str(path), refused[1])
    found = {key: value for key, value in _run(path).items() if isinstance(value, (Schedule, TeSchedule))}
    if name is None and found:
        return list(found.values())[-1]
    if name is None:
        hint = "s = te.create_schedule(C.op), outside of any function"
        raise ConfigError(
            f"explore {path}", "expected a script that leaves a schedule in a name, got none", path.name, hint
        )
    if name not in found:
        hint = f"did you mean {near}?" if (near := nearest(name, found)) else "one of these"
        where = f"{path.name} leaves schedules in: {', '.join(found) or 'no name'}"
        raise ConfigError(f"--name {name}", f"expected the name of a schedule, got {name!r}", where, hint)
    return found[name]


def _run(path: Path) -> dict[str, Any]:
    """The names that a script leaves."""
    call = f"explore {path}"
    with _in_folder(path):
        try:
            return runpy.run_path(path.name, run_name="__main__")
        except SystemExit:
            hint = "let it run to its last line"
            raise ConfigError(
                call, "expected a script that runs to its end, got one that exits", path.name, hint
            ) from None
        except MiniccError as error:
            problem = (
                f"expected a script that runs to its end, got {type(error).__name__}: {error.call}: {error.problem}"
            )
            raise ConfigError(call, problem, f"{_place(path, error)}\n{error.where}", error.hint) from None
        except Exception as error:
            problem, hint = f"expected a script that runs to its end, got {error!r}", f"python {path.name} says more"
            raise ConfigError(call, problem, _place(path, error), hint) from None


@contextlib.contextmanager
def _in_folder(path: Path) -> Iterator[None]:
    """As Python starts a script: in its folder here, with its own name as the command."""
    arguments, folders = sys.argv, list(sys.path)
    folder = str(path.resolve().parent)
    with contextlib.chdir(folder):
        sys.argv, sys.path[:0] = [path.name], [folder]
        try:
            yield
        finally:
            sys.argv, sys.path[:] = arguments, folders


def _place(path: Path, error: Exception) -> str:
    """The line of the script that an error comes from."""
    lines = [
        (frame.lineno, frame.line) for frame in traceback.extract_tb(error.__traceback__) if frame.filename == path.name
    ]
    if isinstance(error, SyntaxError):
        lines = [(error.lineno, (error.text or "").strip())]
    number, text = lines[-1] if lines else (0, "")
    return f"{path.name}, line {number}: {text}"
