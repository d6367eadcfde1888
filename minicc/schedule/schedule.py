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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from minicc.errors import ScheduleError, caret
from minicc.loop.ir import Update
from minicc.loop.program import Program
from minicc.schedule.arguments import Face
from minicc.schedule.bind import Bind
from minicc.schedule.cache_read import CacheRead
from minicc.schedule.cache_write import CacheWrite
from minicc.schedule.choice import Choice, rebound, resolved
from minicc.schedule.choose import Choose
from minicc.schedule.compute_at import ComputeAt
from minicc.schedule.compute_inline import ComputeInline
from minicc.schedule.compute_root import ComputeRoot
from minicc.schedule.decompose_reduction import DecomposeReduction, init_loops
from minicc.schedule.double_buffer import DoubleBuffer
from minicc.schedule.fuse import Fuse
from minicc.schedule.nest import buffers_of, loops_around, writes
from minicc.schedule.pad_einsum import PadEinsum
from minicc.schedule.parallel import Parallel
from minicc.schedule.partition_loop import PartitionLoop
from minicc.schedule.pragma import Pragma
from minicc.schedule.prefetch import PrefetchStep
from minicc.schedule.reorder import Reorder
from minicc.schedule.reverse_compute_at import ReverseComputeAt
from minicc.schedule.rfactor import Rfactor
from minicc.schedule.set_scope import SetScope
from minicc.schedule.split import Split
from minicc.schedule.step import Step, loops_text
from minicc.schedule.storage_align import StorageAlign
from minicc.schedule.tensor_intrinsic import TensorIntrinsic
from minicc.schedule.tensorize import Tensorize
from minicc.schedule.transform_layout import TransformLayout
from minicc.schedule.unroll import Unroll
from minicc.schedule.vectorize import Vectorize

Scope = Literal["local", "shared", "global"]

STEPS: dict[str, type[Step]] = {
    step.name: step
    for step in (
        Split,
        Reorder,
        Fuse,
        Vectorize,
        Unroll,
        Parallel,
        Bind,
        ComputeInline,
        ComputeAt,
        CacheWrite,
        CacheRead,
        SetScope,
        StorageAlign,
        DoubleBuffer,
        Pragma,
        PrefetchStep,
        DecomposeReduction,
        Rfactor,
        ReverseComputeAt,
        ComputeRoot,
        TransformLayout,
        PartitionLoop,
        Tensorize,
        PadEinsum,
    )
}


@dataclass(frozen=True)
class Trace:
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
            return Trace(tuple(_step(data) for data in json.loads(text)))
        except (TypeError, ValueError, KeyError) as error:
            raise ScheduleError(
                "Trace.from_json",
                f"expected a list of steps, got {str(text)[:80]!r} ({error})",
                where=str(text)[:80],
                hint=f"a step is an object with a field step, one of {', '.join(STEPS)}",
            ) from None

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def __len__(self) -> int:
        return len(self.steps)

    def __str__(self) -> str:
        return "\n".join(f"{s.key} = {s}" if isinstance(s, Choose) else str(s) for s in self.steps)


def _step(data: dict[str, Any]) -> Step:
    kind = Choose if data["step"] == Choose.name else STEPS[data["step"]]
    return kind.from_json({k: v for k, v in data.items() if k != "step"})


class Schedule(Face):
    """A program under transformation. `program` is what it has become, `trace` is how.

    `choices` are the numbers to take where the steps to come choose one by that name.
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

    def apply(self, step: Step) -> None:
        """Do one step. Raises ScheduleError, and changes nothing, when it is not legal."""
        if not isinstance(step, Step):
            raise ScheduleError(
                "apply(...)", f"expected a step, got {step!r}", where=loops_text(self.program), hint="one of s.moves()"
            )
        chosen, plain = self.choices, step
        if isinstance(step, Choose):
            self._check_choice(step.key not in chosen, step, f"expected a name that is not chosen yet, got {step.key}")
            plain = step = replace(step, value=self._given.get(step.key, step.value))
        elif named := step.chosen():
            unknown = ", ".join(sorted(named - chosen.keys()))
            self._check_choice(not unknown, step, f"expected a choice that stands in the trace, got {unknown}")
            plain, step = step.map(lambda v: resolved(v, chosen)), step.map(lambda v: rebound(v, chosen))
        self._programs.append(plain.apply(self.program))
        self._steps.append(step)

    def _check_choice(self, good: bool, call: object, problem: str) -> None:
        if not good:
            known = ", ".join(f"{name} = {value}" for name, value in self.choices.items())
            where = f"chosen: {known}" if known else loops_text(self.program)
            raise ScheduleError(str(call).removeprefix("s."), problem, where, 's.choose("rows", (4, 6, 8), 6) chooses')

    @property
    def choices(self) -> dict[str, int]:
        """The numbers that are chosen, by their names."""
        return {step.key: step.value for step in self._steps if isinstance(step, Choose)}

    def choose(self, name: str, options: tuple[int, ...], default: int) -> int:
        """A number that is recorded by its name: `default`, or what this schedule was given for it."""
        self.apply(Choose(name, options, default))
        return Choice(name, self.choices[name])

    def check_choices(self) -> None:
        """Raises ScheduleError when a number was given for a choice that no step has made."""
        for name in sorted(self._given.keys() - self.choices.keys()):
            call = f"choices {{{name!r}: {self._given[name]}}}"
            self._check_choice(False, call, f"expected the name of a choice, got {name!r}")

    def undo(self) -> Step:
        """Take the last step back, and return it."""
        if not self._steps:
            raise ScheduleError(
                "undo()",
                "expected at least one step, got an empty trace",
                loops_text(self.program),
                "apply a step first",
            )
        self._programs.pop()
        return self._steps.pop()

    def moves(self) -> list[Step]:
        """Every legal next step, over a small set of factors."""
        return [step for kind in STEPS.values() for step in kind.moves(self.program)]

    def loops_of(self, buffer: str) -> tuple[str, ...]:
        """The loops around the statement that writes `buffer`, outermost first; the first such statement."""
        found = self._writes(buffer)  # none where a function from outside writes it
        return tuple(loop.name for loop in loops_around(self.program.body, found[0])) if found else ()

    def reduce_loops_of(self, buffer: str) -> tuple[str, ...]:
        """Those loops of `buffer` that are axes of its reduction, outermost first."""
        axes = {axis.name for write in self._writes(buffer)[:1] if isinstance(write, Update) for axis in write.axes}
        return tuple(name for name in self.loops_of(buffer) if name in axes)

    def _writes(self, buffer: str) -> list[Any]:
        found = buffers_of(self.program)
        if not isinstance(buffer, str) or buffer not in found:
            raise ScheduleError(
                f"loops_of({buffer!r})",
                "no such buffer is written here",
                loops_text(self.program),
                hint=f"one of {', '.join(found)}",
            )
        return writes(self.program.body, found[buffer])

    # ---- the primitives; each is documented in its own file

    def split(
        self,
        loop: str,
        factor: int | None = None,
        nparts: int | None = None,
        tail: Literal["guard", "mask", "peel"] = "guard",
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

    def compute_at(self, buffer: str, loop: str, scope: Scope | None = None) -> None:
        """Compute the part of a buffer that an iteration of `loop` needs, in it."""
        self.apply(ComputeAt(buffer, loop, scope))

    def reverse_compute_at(self, buffer: str, loop: str) -> None:
        """Compute a buffer from what each iteration of `loop` produces, in it."""
        self.apply(ReverseComputeAt(buffer, loop))

    def compute_root(self, buffer: str) -> None:
        """Compute a buffer before the loops that it is computed in."""
        self.apply(ComputeRoot(buffer))

    def cache_write(self, buffer: str, scope: Scope = "local") -> str:
        """Fill a buffer of its own first, then copy. Returns the name of the new buffer."""
        step = CacheWrite(buffer, scope)
        name = step.cache(self.program)
        self.apply(step)
        return name

    def cache_read(self, buffer: str, scope: Scope = "local", readers: Sequence[str] = ()) -> str:
        """Let the nests of `readers`, or all, read a copy of a buffer. Returns the name of the copy."""
        step = CacheRead(buffer, scope, readers)  # type: ignore[arg-type] # made a tuple
        name = step.cache(self.program)
        self.apply(step)
        return name

    def decompose_reduction(self, buffer: str, loop: str) -> tuple[str, ...]:
        """Initialise a reduction in a nest of its own, before a loop. Returns the names of the loops of that nest."""
        before = self.program
        self.apply(DecomposeReduction(buffer, loop))
        return init_loops(before, self.program)

    def rfactor(self, buffer: str, loop: str, factor_axis: int = 0) -> str:
        """Collect a partial result for each trip of a reducing loop. Returns the name of their buffer."""
        step = Rfactor(buffer, loop, factor_axis)
        name = step.partial(self.program)
        self.apply(step)
        return name

    def set_scope(self, buffer: str, scope: Scope) -> None:
        """Move a buffer to another kind of memory."""
        self.apply(SetScope(buffer, scope))

    def storage_align(self, buffer: str, axis: int, factor: int, offset: int = 0) -> None:
        """Allocate a buffer wider, so that the stride of `axis` is `offset` modulo `factor`."""
        self.apply(StorageAlign(buffer, axis, factor, offset))

    def double_buffer(self, buffer: str) -> None:
        """Let a buffer that is filled in a loop alternate between two copies."""
        self.apply(DoubleBuffer(buffer))

    def bind(self, loop: str, axis: str) -> None:
        """Run a loop over a thread axis, such as `blockIdx.x`."""
        self.apply(Bind(loop, axis))

    def pragma(self, loop: str, key: str, value: int | str = 1) -> None:
        """Note something on a loop."""
        self.apply(Pragma(loop, key, value))

    def prefetch(self, buffer: str, loop: str, offset: int = 1) -> None:
        """Ask in each iteration of a loop for what it reads of a buffer `offset` iterations later."""
        self.apply(PrefetchStep(buffer, loop, offset))

    def transform_layout(self, buffer: str, *order: str) -> None:
        """Lay a buffer out by new axes, each given by the old ones: `"1//16", "0", "1%16"`."""
        self.apply(TransformLayout(buffer, order))

    def partition_loop(self, loop: str) -> None:
        """Cut a loop where its guards and selects begin or cease to hold: the loop in the middle loses them."""
        self.apply(PartitionLoop(loop))

    def tensorize(self, loop: str, intrinsic: str | TensorIntrinsic) -> None:
        """Do the nest of a loop as a declared intrinsic that means the same does it."""
        self.apply(Tensorize(loop, intrinsic.name if isinstance(intrinsic, TensorIntrinsic) else intrinsic))

    def pad_einsum(self, buffer: str, padding: Sequence[int]) -> None:
        """Lengthen the loops of a sum of products to multiples, with zeros in copies of the operands."""
        self.apply(PadEinsum(buffer, padding))  # type: ignore[arg-type] # made a tuple

    # ---- several steps at once

    def tile(self, x: str, y: str, x_factor: int, y_factor: int) -> tuple[str, str, str, str]:
        """Split two loops and put the inner parts inside: returns the outer names, then the inner ones.

        >>> from minicc import te
        >>> from minicc.loop.lower import lower
        >>> A = te.placeholder((64, 64), name="A")
        >>> B = te.compute((64, 64), lambda i, j: A[j, i], name="B")
        >>> s = Schedule(lower([B], [A, B], "transpose").program)
        >>> s.tile("i", "j", 8, 8)
        ('i_o', 'j_o', 'i_i', 'j_i')
        >>> print(s)
        s.split("i", factor=8)
        s.split("j", factor=8)
        s.reorder("i_o", "j_o", "i_i", "j_i")
        """
        before = len(self._steps)
        try:
            x_outer, x_inner = self.split(x, factor=x_factor)
            y_outer, y_inner = self.split(y, factor=y_factor)
            self.reorder(x_outer, y_outer, x_inner, y_inner)
        except ScheduleError:
            while len(self._steps) > before:
                self.undo()
            raise
        return x_outer, y_outer, x_inner, y_inner

    def __str__(self) -> str:
        return str(self.trace)


__all__ = ["STEPS", "Schedule", "Trace"]
