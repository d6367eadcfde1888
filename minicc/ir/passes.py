"""Passes: functions from IR to IR, each with its reason; and what watches them.

In: a list of passes and an IR. Out: the IR after all of them. An observer is called with an `Event` before and after
each stage of a compilation: pass times, progress, and the printing of an IR are observers, and passes know of none.

>>> double = Pass("double", lambda text: text * 2, "an example", "the length is even")
>>> times = Times()
>>> run_passes((double, double), "ab", times)
'abababab'
>>> list(times)
['double']
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from minicc.errors import ConfigError, Task
from minicc.ir.open_tasks import stands_in

IR = TypeVar("IR")
Result = TypeVar("Result")


def unchanged(ir: Any) -> Any:
    """What stands in for most passes that are open: the IR as it was."""
    return ir


@dataclass(frozen=True)
class Pass(Generic[IR]):
    """`run` returns the same object when nothing changed. `why` says why the pass stands where it stands in its list.

    `otherwise` takes its place where it is a Task still; without one the Task is raised.
    """

    name: str
    run: Callable[[IR], IR]
    why: str
    ensures: str
    otherwise: Callable[[IR], IR] | None = unchanged

    def attempt(self, ir: IR) -> IR:
        """The IR after the pass, or after what takes its place. Raises ConfigError where the pass gives none."""
        try:
            made = self.run(ir)
            if not isinstance(made, type(ir)):
                problem = f"expected a {type(ir).__name__}, got {made!r:.80}"
                raise ConfigError(
                    f"pass {self.name}", problem, hint="return the IR, the same one where nothing changed"
                )
            return made
        except Task as task:
            if self.otherwise is None:
                raise
            stands_in(task, f"{getattr(ir, 'name', 'the IR')} without the pass {self.name}")
            return self.otherwise(ir)


@dataclass(frozen=True)
class Event:
    """That a stage begins on an IR, or has ended after `seconds`, with the IR that it made.

    `subject` is what it is about: the name of a model, of a kernel. Of a stage that is done for many of them, `done`
    counts those that came before, of `total`.
    """

    stage: str
    subject: str = ""
    ir: Any = None
    seconds: float | None = None
    done: int = 0
    total: int = 0


Observer = Callable[[Event], None]


class Times(dict[str, float]):
    """An observer that adds up the seconds of each stage, by name."""

    def __call__(self, event: Event) -> None:
        if event.seconds is not None:
            self[event.stage] = self.get(event.stage, 0.0) + event.seconds


def both(*observers: Observer) -> Observer:
    """An observer that tells several."""

    def tell(event: Event) -> None:
        for observe in observers:
            observe(event)

    return tell


@dataclass(frozen=True)
class CompileReport:
    """Where the time of a compilation went: seconds by stage, and how many of its kernels were found in the cache.

    >>> print(CompileReport({"fuse": 0.25, "kernels": 0.75}, 5, 3))
    fuse                             250.0 ms  25.0%
    kernels                          750.0 ms  75.0%
    total                           1000.0 ms
    5 kernels: 3 from the cache, 2 compiled
    """

    seconds: Mapping[str, float]
    kernels: int = 0
    found: int = 0

    def __str__(self) -> str:
        total = sum(self.seconds.values())
        rows = [
            f"{name:28} {taken * 1e3:9.1f} ms {taken / max(total, 1e-9):6.1%}" for name, taken in self.seconds.items()
        ]
        counts = f"{self.kernels} kernels: {self.found} from the cache, {self.kernels - self.found} compiled"
        return "\n".join([*rows, f"{'total':28} {total * 1e3:9.1f} ms", counts])


def stage(observe: Observer | None, begin: Event, run: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """What `run` gives for these arguments, with an event before and one after."""
    if observe is None:
        return run(*arguments, **named)
    observe(begin)
    started = time.perf_counter()
    made = run(*arguments, **named)
    observe(replace(begin, ir=made, seconds=time.perf_counter() - started))
    return made


def run_passes(passes: Iterable[Pass[IR]], ir: IR, observe: Observer | None = None, subject: str = "") -> IR:
    """The IR after all passes, in order."""
    for each in passes:
        ir = stage(observe, Event(each.name, subject, ir), each.attempt, ir)
    return ir


def changed(
    passes: Iterable[Pass[IR]], without: Iterable[str], instead: Mapping[str, Callable[[IR], IR]]
) -> tuple[Pass[IR], ...]:
    """The list without the passes of these names, and with other functions for those of others."""
    kept = [p for p in passes if p.name not in without]
    return tuple(replace(p, run=instead[p.name]) if p.name in instead else p for p in kept)
