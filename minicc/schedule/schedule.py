"""Schedules: a program, and the steps that shape how it is computed.

In: a naive loop program. Out: one of the same meaning, after public steps that each can be
printed, checked, undone and replayed. Loops are addressed by name; each method that makes loops
or buffers returns their names.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> A, B = te.placeholder((64, 64), name="A"), te.placeholder((64, 64), name="B")
>>> k = te.reduce_axis((0, 64), name="k")
>>> C = te.compute((64, 64), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
>>> s = Schedule(lower([C], [A, B, C], "matmul").program)
>>> s.reduce_loops_of("C")
('k',)
>>> j_o, j_i = s.split("j", factor=16)
>>> s.reorder(j_o, "k", j_i)
>>> s.vectorize(j_i)
>>> print(s.trace)
s.split("j", factor=16)
s.reorder("j_o", "k", "j_i")
s.vectorize("j_i")
>>> s.loops_of("C")
('i', 'j_o', 'k', 'j_i')
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from minicc.errors import ScheduleError
from minicc.loop.ir import Update
from minicc.loop.program import Program
from minicc.schedule.cache_write import CacheWrite
from minicc.schedule.compute_at import ComputeAt
from minicc.schedule.compute_inline import ComputeInline
from minicc.schedule.fuse import Fuse
from minicc.schedule.nest import buffers_of, loops_around, writes
from minicc.schedule.parallel import Parallel
from minicc.schedule.reorder import Reorder
from minicc.schedule.split import Split
from minicc.schedule.step import Step
from minicc.schedule.unroll import Unroll
from minicc.schedule.vectorize import Vectorize

STEPS: dict[str, type[Step]] = {
    step.name: step
    for step in (Split, Reorder, Fuse, Vectorize, Unroll, Parallel, ComputeInline, ComputeAt, CacheWrite)
}


@dataclass(frozen=True)
class Trace:
    """A sequence of steps. `str` of it is Python that applies them to a schedule called `s`."""

    steps: tuple[Step, ...] = ()

    def replay(self, program: Program) -> Schedule:
        """A schedule of `program` with these steps applied. Raises ScheduleError where one is not legal."""
        schedule = Schedule(program)
        for step in self.steps:
            schedule.apply(step)
        return schedule

    def to_json(self) -> str:
        """The trace as JSON text."""
        return json.dumps([step.to_json() for step in self.steps])

    @staticmethod
    def from_json(text: str) -> Trace:
        """The trace of JSON text. Raises ScheduleError when the text is not one."""
        try:
            return Trace(tuple(_step(data) for data in json.loads(text)))
        except (TypeError, ValueError, KeyError) as error:
            raise ScheduleError("Trace.from_json", f"expected a list of steps, got {text[:80]!r} ({error})",
                                hint=f"a step is an object with a field step, one of {', '.join(STEPS)}") from None

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return "\n".join(map(str, self.steps))


def _step(data: dict[str, Any]) -> Step:
    return STEPS[data["step"]].from_json({k: v for k, v in data.items() if k != "step"})


class Schedule:
    """A program under transformation. `program` is what it has become, `trace` is how."""

    def __init__(self, program: Program) -> None:
        self._programs = [program]
        self._steps: list[Step] = []

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

    def apply(self, step: Step) -> None:
        """Do one step. Raises ScheduleError, and changes nothing, when it is not legal."""
        self._programs.append(step.apply(self.program))
        self._steps.append(step)

    def undo(self) -> Step:
        """Take the last step back, and return it."""
        if not self._steps:
            raise ScheduleError("undo()", "expected at least one step, got an empty trace", hint="apply a step first")
        self._programs.pop()
        return self._steps.pop()

    def moves(self) -> list[Step]:
        """Every legal next step, over a small set of factors."""
        return [step for kind in STEPS.values() for step in kind.moves(self.program)]

    def loops_of(self, buffer: str) -> tuple[str, ...]:
        """The loops around the statement that writes `buffer`, outermost first; the first such statement."""
        body = self.program.body
        return tuple(loop.name for loop in loops_around(body, self._writes(buffer)[0]))

    def reduce_loops_of(self, buffer: str) -> tuple[str, ...]:
        """Those loops of `buffer` that are axes of its reduction, outermost first."""
        write = self._writes(buffer)[0]
        axes = {axis.name for axis in write.axes} if isinstance(write, Update) else set()
        return tuple(name for name in self.loops_of(buffer) if name in axes)

    def _writes(self, buffer: str) -> list[Any]:
        found = buffers_of(self.program)
        if buffer not in found:
            raise ScheduleError(f"loops_of({buffer!r})", "no such buffer is written here", hint=f"one of {', '.join(found)}")
        return writes(self.program.body, found[buffer])

    # ---- the primitives; each is documented in its own file

    def split(
        self, loop: str, factor: int | None = None, nparts: int | None = None, tail: Literal["guard", "peel"] = "guard"
    ) -> tuple[str, str]:
        """Split a loop in two: `factor` trips inside, or `nparts` outside. Returns the outer and the inner name."""
        step = Split(loop, factor, nparts, tail)
        names = step.names(self.program)
        self.apply(step)
        return names

    def reorder(self, *order: str) -> None:
        """Put loops of one nest into this order, outermost first."""
        self.apply(Reorder(order))

    def fuse(self, outer: str, inner: str) -> str:
        """Make one loop of two. Returns its name."""
        step = Fuse(outer, inner)
        name = step.fused(self.program)
        self.apply(step)
        return name

    def vectorize(self, loop: str) -> None:
        """Run the iterations of a loop in vector lanes."""
        self.apply(Vectorize(loop))

    def unroll(self, loop: str) -> None:
        """Repeat the body of a loop instead of looping."""
        self.apply(Unroll(loop))

    def parallel(self, loop: str) -> None:
        """Share out the iterations of a loop among threads."""
        self.apply(Parallel(loop))

    def compute_inline(self, buffer: str) -> None:
        """Compute a buffer where it is read."""
        self.apply(ComputeInline(buffer))

    def compute_at(self, buffer: str, loop: str, scope: Literal["local", "global"] | None = None) -> None:
        """Compute the part of a buffer that an iteration of `loop` needs, in it."""
        self.apply(ComputeAt(buffer, loop, scope))

    def cache_write(self, buffer: str, scope: Literal["local", "global"] = "local") -> str:
        """Fill a buffer of its own first, then copy. Returns the name of the new buffer."""
        step = CacheWrite(buffer, scope)
        name = step.cache(self.program)
        self.apply(step)
        return name

    def __str__(self) -> str:
        return str(self.trace)


__all__ = ["STEPS", "Schedule", "Trace"]
