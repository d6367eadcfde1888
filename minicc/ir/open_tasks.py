"""Parts that are left open: what took their place, told once for each task.

In: a `Task` that was raised, and what goes on in its place. Out: an `OpenTaskWarning`, at the end of the compilation that
met it, or at once where there is none around.

>>> import warnings
>>> with warnings.catch_warnings(record=True) as told, gathered():
...     stands_in(Task("3.1", "cut a loop in two"), "the naive loops of dense")
...     stands_in(Task("3.1", "cut a loop in two"), "the naive loops of softmax")
>>> print(*[w.message for w in told])
OpenTaskWarning: task 3.1: cut a loop in two is open; in its place: the naive loops of dense, the naive loops of softmax
hint: write it where the Task is raised
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from minicc.errors import OpenTaskWarning, Task

SHOWN = 4  # of what took the place of one task
_met: ContextVar[dict[tuple[str, str], list[str]] | None] = ContextVar("met", default=None)


def stands_in(task: Task, what: str) -> None:
    """Note that `what` takes the place of an open task, and go on."""
    met = _met.get()
    if met is None:
        _warn(task.name, task.problem, [what])
    elif what not in (places := met.setdefault((task.name, task.problem), [])):
        places.append(what)


def any_open() -> bool:
    """Whether the compilation around has met an open task."""
    return bool(_met.get())


@contextmanager
def gathered() -> Iterator[None]:
    """One warning for each task that is met inside, at the end of the outermost of these."""
    if _met.get() is not None:
        yield
        return
    token = _met.set({})
    try:
        yield
        met = _met.get() or {}
    finally:
        _met.reset(token)
    for (name, problem), places in met.items():
        _warn(name, problem, places)


def _warn(name: str, problem: str, places: list[str]) -> None:
    more = f", and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
    told = f"{problem} is open; in its place: {', '.join(places[:SHOWN])}{more}"
    warnings.warn(OpenTaskWarning(f"task {name}", told, hint="write it where the Task is raised"), stacklevel=4)
