"""What a judge is made of: answers to call, and judgments.

A judge is a function of one task: it calls functions of the submission through `Answers`, and yields a `Judgment` for each thing that
it has looked at. It draws what it asks from a generator that is seeded by the student and the task, small cases first, so that the
first that fails is the smallest. What comes back is data, whoever computed it: the judge compares it with what it knows itself.

>>> import random
>>> class Doubles:
...     def call(self, file, function, *args):
...         return args[0] * 2 if args[0] < 8 else 0
>>> def task1_1(answers, draw):
...     for n in sorted(draw.sample(range(100), 3)):
...         with_n = f"twice({n})"
...         yield judged(with_n, lambda n=n: equal(answers.call("puzzle.py", "twice", n), 2 * n))
>>> [j.share for j in task1_1(Doubles(), random.Random(0))]
[0.0, 0.0, 0.0]
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from minicc.errors import MiniccError, cut, plain_lines
from minicc.loop.program import Program
from minicc.loop.ir import walk
from minicc.schedule import Schedule, Trace


MOST_STATEMENTS = 500  # of a program that a trace makes: steps that copy loops could go on for ever


class Failed(Exception):
    """A submission gave no answer: it raised, ended, took too long, or wrote what is no data.

    Where it raised, `kind` is the name of the exception's class, such as ScheduleError, and `parts` are the call, the
    problem, where and the hint of an error of minicc.
    """

    def __init__(self, problem: str, kind: str = "", parts: tuple[str, ...] = ()) -> None:
        super().__init__(problem)
        self.kind, self.parts = kind, parts


class Answers(Protocol):
    """A submission, as a judge sees it."""

    def call(self, file: str, function: str, *args: Any) -> Any:
        """What a function of a handed-in file returns, as data. Raises Failed.

        Data are None, numbers, texts, lists, tuples, dicts, NumPy arrays, graphs, loop programs, steps and traces. An argument may
        be a function, too: the submission then calls one of the judge, which runs where the judge runs.
        """

    def text(self, file: str) -> str:
        """A handed-in file that is data. Raises Failed where it is missing, or too large."""

    def close(self) -> None:
        """End what answers: the next call is answered by another process, which remembers nothing."""


@dataclass(frozen=True)
class Judgment:
    """One thing that a judge looked at. `share` is what it earns of its `weight`: 1 where it is right.

    `figure` is what a leaderboard shows, more being better, as in times the speed of the reference.
    """

    name: str
    share: float
    problem: str = ""
    weight: float = 1.0
    figure: float | None = None


Judge = Callable[[Answers, Random], Iterator[Judgment]]


class Unequal(Exception):
    """An answer is not what it must be: expected and got."""


def judged(name: str, check: Callable[[], float | None], weight: float = 1.0) -> Judgment:
    """A case that passes unless `check` raises; where it returns a number, this is the share."""
    try:
        share = check()
    except (Failed, Unequal, MiniccError) as problem:
        return Judgment(name, 0.0, plain_lines(cut(str(problem))), weight)
    share = 1.0 if share is None else share
    return Judgment(name, min(share, 1.0) if share > 0 else 0.0, "", weight)  # 0 for no number, too


def equal(got: Any, expected: Any) -> None:
    """Raise Unequal unless two plain values of one type are equal."""
    if type(got) is not type(expected) or got != expected:
        raise Unequal(f"expected {expected!r}, got {got!r}")


def replayed(trace: Any, program: Program, primitives: Collection[str], most: int = 100) -> Schedule:
    """The schedule that a trace makes of `program`: it is replayed here, and can change how a value is computed, not which.

    Raises Unequal where it is no trace, is too long, or has a step that is none of `primitives`, and ScheduleError where a step is
    not legal.
    """
    if not isinstance(trace, Trace):
        raise Unequal(f"expected a trace, got {type(trace).__name__}")
    schedule = Schedule(program)
    for step in trace.steps[: most + 1]:
        schedule.apply(step)
        check_steps(schedule, primitives, most)
    return schedule


def check_steps(schedule: Schedule, primitives: Collection[str], most: int = 100) -> None:
    """Raise Unequal where the last step is none of `primitives`, where there are too many, or where the program has become too large."""
    last, size = schedule.trace.steps[-1], sum(1 for _ in walk(schedule.program.body))
    if last.name not in primitives:
        raise Unequal(f"expected steps of {', '.join(primitives)} only, got {last.name}")
    if len(schedule.trace) > most or size > MOST_STATEMENTS:
        raise Unequal(
            f"expected at most {most} steps and {MOST_STATEMENTS} statements, got {len(schedule.trace)} and {size}"
        )
