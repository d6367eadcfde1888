"""Schedules: a program, and the steps that shape how it is computed.

In: a naive loop program. Out: one of the same meaning, after public steps that each can be printed, checked, undone and
replayed. Loops are addressed by name; each method that makes loops or buffers returns their names.

>>> from minicc.schedule.examples import product
>>> s = product(64, 64)
>>> s.reduce_loops_of("C")
('k',)
>>> outer, inner = s.split("i", factor=16)
>>> s.reorder(outer, "k", inner)
>>> s.vectorize(inner)
>>> print(s.trace)
s.split("i", factor=16)
s.reorder("i_o", "k", "i_i")
s.vectorize("i_i")
>>> s.loops_of("C")
('i_o', 'k', 'i_i')
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from minicc.errors import MiniccError, ScheduleError, caret
from minicc.ir.drawn import Drawn
from minicc.loop.ir import Update
from minicc.loop.program import Program
from minicc.loop.queries import buffers_of, loops_around, writes
from minicc.schedule.choice import rebound, resolved
from minicc.schedule.choose import ChooseStep
from minicc.schedule.counted import Counted
from minicc.schedule.step import STEPS, Step, loops_text
from minicc.schedule.surface import LoopSurface


@dataclass(frozen=True)
class Trace(Drawn):
    """A sequence of steps. `str` of it is Python that applies them to a schedule called `s`."""

    steps: tuple[Step, ...] = ()

    def replay(self, program: Program, choices: Mapping[str, int] | None = None) -> Schedule:
        """A schedule of `program` with these steps applied, with other numbers for some of its choices.

        Raises ScheduleError where a step is not legal, or a choice is none of the trace or not among its options.
        """
        schedule = Schedule(program, choices)
        for step in self.steps:
            schedule.apply(step)
        schedule.check_choices()
        return schedule

    def to_json(self) -> str:
        """The trace as JSON text."""
        return json.dumps([step.to_json() for step in self.steps])

    @staticmethod
    def from_json(text: str) -> Trace:
        """The trace of JSON text. Raises ScheduleError when the text is not one."""
        try:
            return Trace(tuple(STEPS[data["step"]].from_json(data) for data in json.loads(text)))
        except (TypeError, ValueError, KeyError, RecursionError) as error:
            problem = f"expected a list of steps, got {str(text)[:80]!r} ({error})"
            hint = f"a step is an object with a field step, one of {', '.join(STEPS)}"
            raise ScheduleError("Trace.from_json", problem, str(text)[:80], hint) from None

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return "\n".join(f"{s.key} = {s}" if isinstance(s, ChooseStep) else str(s) for s in self.steps)


class Schedule(Counted, LoopSurface, Drawn):
    """A program under transformation. `program` is what it has become, `trace` is how.

    `choices` are the numbers to take where the steps to come choose one by that name.
    It has a method for each primitive, such as `split`, which its record describes (`schedule.surface`).
    """

    def __init__(self, program: Program, choices: Mapping[str, int] | None = None) -> None:
        self._programs = [program]
        self._steps: list[Step] = []
        self._given = dict(choices or {})

    @property
    def program(self) -> Program:
        """The program after all steps."""
        return self._programs[-1]

    @property
    def start(self) -> Program:
        """The program before all steps."""
        return self._programs[0]

    @property
    def trace(self) -> Trace:
        return Trace(tuple(self._steps))

    def _where(self, args: tuple[Any, ...]) -> str:
        text = loops_text(self.program)
        return next((marked for a in args if isinstance(a, str) and (marked := caret(text, a)) != text), text)

    def apply(self, step: Step) -> Any:
        """Do one step, and return the names that it made. Raises ScheduleError, and changes nothing, when it is not legal."""
        before = self.program
        if not isinstance(step, Step):
            raise self._refused("apply(...)", f"expected a step, got {step!r}", "one of s.moves()")
        chosen, plain = self.choices, step
        if isinstance(step, ChooseStep):
            self._check_choice(step.key not in chosen, step, f"expected a name that is not chosen yet, got {step.key}")
            plain = step = replace(step, value=self._given.get(step.key, step.value))
        elif named := step.chosen():
            unknown = ", ".join(sorted(named - chosen.keys()))
            self._check_choice(not unknown, step, f"expected a choice that stands in the trace, got {unknown}")
            plain, step = step.map(lambda v: resolved(v, chosen)), step.map(lambda v: rebound(v, chosen))
        self._programs.append(plain.apply(before))
        self._steps.append(step)
        return plain.result(before, self.program)

    def _check_choice(self, good: bool, call: object, problem: str) -> None:
        if not good:
            chosen = ", ".join(f"{name} = {value}" for name, value in self.choices.items())
            where = f"chosen: {chosen}" if chosen else ""
            raise self._refused(str(call).removeprefix("s."), problem, 's.choose("rows", (4, 6, 8), 6) chooses', where)

    def _refused(self, call: str, problem: str, hint: str, where: str = "") -> ScheduleError:
        return ScheduleError(call, problem, where or loops_text(self.program), hint)

    @property
    def choices(self) -> dict[str, int]:
        """The numbers that are chosen, by their names."""
        return {step.key: step.value for step in self._steps if isinstance(step, ChooseStep)}

    def check_choices(self) -> None:
        """Raises ScheduleError when a number was given for a choice that no step has made."""
        for name in sorted(self._given.keys() - self.choices.keys()):
            call = f"choices {{{name!r}: {self._given[name]}}}"
            self._check_choice(False, call, f"expected the name of a choice, got {name!r}")

    @contextmanager
    def together(self) -> Iterator[None]:
        """All steps that are done inside, or none of them."""
        before = len(self._steps)
        try:
            yield
        except MiniccError:
            while len(self._steps) > before:
                self.undo()
            raise

    def undo(self) -> Step:
        """Take the last step back, and return it."""
        if not self._steps:
            raise self._refused("undo()", "expected at least one step, got an empty trace", "apply a step first")
        self._programs.pop()
        return self._steps.pop()

    def moves(self) -> list[Step]:
        """Every legal next step, over a small set of factors."""
        return [step for kind in STEPS.values() for step in kind.moves(self.program)]

    def loops_of(self, buffer: str) -> tuple[str, ...]:
        """The loops around the first statement that writes `buffer`, outermost first; none where an extern call does."""
        return tuple(loop.name for write in self._writes(buffer)[:1] for loop in loops_around(self.program.body, write))

    def reduce_loops_of(self, buffer: str) -> tuple[str, ...]:
        """Those loops of `buffer` that are axes of its reduction, outermost first."""
        axes = {axis.name for write in self._writes(buffer)[:1] if isinstance(write, Update) for axis in write.axes}
        return tuple(name for name in self.loops_of(buffer) if name in axes)

    def _writes(self, buffer: str) -> list[Any]:
        found = buffers_of(self.program)
        if not isinstance(buffer, str) or buffer not in found:
            raise self._refused(f"loops_of({buffer!r})", "no such buffer is written here", f"one of {', '.join(found)}")
        return writes(self.program.body, found[buffer])

    # ---- several steps at once

    def tile(self, x: str, y: str, x_factor: int, y_factor: int) -> tuple[str, str, str, str]:
        """Split two loops and put the inner parts inside: returns the outer names, then the inner ones.

        >>> from minicc.schedule.examples import doubled
        >>> s = doubled(64, 64)
        >>> s.tile("i", "j", 8, 8)
        ('i_o', 'j_o', 'i_i', 'j_i')
        >>> print(s)
        s.split("i", factor=8)
        s.split("j", factor=8)
        s.reorder("i_o", "j_o", "i_i", "j_i")
        """
        with self.together():
            x_outer, x_inner = self.split(x, factor=x_factor)
            y_outer, y_inner = self.split(y, factor=y_factor)
            self.reorder(x_outer, y_outer, x_inner, y_inner)
        return x_outer, y_outer, x_inner, y_inner

    def __str__(self) -> str:
        return str(self.trace)
