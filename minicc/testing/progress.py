"""How far a campaign is: a bar on a terminal, lines in a file; and Ctrl-C, which ends it with what it has found so far.

In: what is counted, and how many. Out: progress every few seconds, with the time that is left; after Ctrl-C `stopped`.
Ctrl-C is heard even where a library in this process makes an error of its own of it, as TVM does: `interrupted()` says
that it came, and whoever is about to report an error asks first.

>>> with Running(Console(width=100), "graphs", 4) as running:
...     running.advance(4, found=1)
graphs: 0 of 4
graphs: 4 of 4, 1 found, 0:00:00 passed
>>> running.stopped
False
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from types import FrameType
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from minicc.errors import MiniccError

EVERY = 5.0  # seconds between lines
FIRST, GROWTH = 4, 4  # examples of the first batch, so that there is soon something to see, and how batches grow
DEAF = ("__del__", "_forget")  # of an object, and of a weak reference to a node
_pressed, _inside = threading.Event(), threading.Event()


def interrupted() -> bool:
    """Whether Ctrl-C was pressed in the campaign that runs."""
    return _pressed.is_set()


def batches(count: int, most: int) -> Iterator[tuple[int, int]]:
    """`count` examples in batches that grow up to `most`: the first of each, and how many.

    >>> list(batches(30, 16))
    [(0, 4), (4, 16), (20, 10)]
    """
    first, size = 0, min(FIRST, most)
    while first < count:
        yield first, min(size, count - first)
        first, size = first + size, min(size * GROWTH, most)


class Running:
    """A campaign that runs. A context manager that takes Ctrl-C for an early end."""

    def __init__(self, console: Console, what: str, total: int) -> None:
        self.console, self.what, self.total, self.done, self.found, self.stopped = console, what, total, 0, 0, False
        columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[found]} found"), TimeElapsedColumn(),
                   TimeRemainingColumn())  # fmt: skip
        self._bar = Progress(*columns, console=console) if console.is_terminal else None
        self._end = threading.Event()
        self._lines = threading.Thread(target=self._print_lines, daemon=True)
        self._before: Any = None  # how SIGINT was handled

    def __enter__(self) -> Running:
        _pressed.clear()
        self._start = time.monotonic()
        with suppress(ValueError):  # of a thread that gets no signals
            self._before = signal.signal(signal.SIGINT, _press)
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task("", total=self.total, found=0)
        else:
            self._print(f"{self.what}: 0 of {self.total}")
            self._lines.start()
        _inside.set()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        _inside.clear()
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
        if self._bar:
            self._bar.stop()
        else:
            self._end.set()
            self._lines.join()
            self._print(self._line())
        self.stopped = kind is KeyboardInterrupt or interrupted()
        _pressed.clear()  # whoever asks later is not in this campaign
        return self.stopped

    def advance(self, count: int, found: int) -> None:
        """So many more are done; `found` is how many were found in all. Raises KeyboardInterrupt when Ctrl-C was pressed and not heard."""
        self.done, self.found = self.done + count, found
        if self._bar:
            self._bar.update(self._task, advance=count, found=found)
        if interrupted():
            raise KeyboardInterrupt

    def _print_lines(self) -> None:
        while not self._end.wait(EVERY):
            self._print(self._line())

    def _line(self) -> str:
        passed = time.monotonic() - self._start
        left = f", {_clock(passed / self.done * (self.total - self.done))} left" if 0 < self.done < self.total else ""
        return f"{self.what}: {self.done} of {self.total}, {self.found} found, {_clock(passed)} passed{left}"

    def _print(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


def _press(number: int, frame: FrameType | None) -> None:
    _pressed.set()
    if _inside.is_set() and not _is_deaf(frame):  # else whoever asks next is told
        raise KeyboardInterrupt


def _is_deaf(frame: FrameType | None) -> bool:
    """Whether Python is in what it calls when an object dies: it prints what is raised there, and goes on."""
    while frame is not None:
        if frame.f_code.co_name in DEAF:
            return True
        frame = frame.f_back
    return False


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=int(seconds)))


def run(command: Callable[..., None]) -> None:
    """Run a campaign's function as a program. An error that a user can cause is printed, with exit code 2."""
    try:
        typer.run(command)
    except MiniccError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
