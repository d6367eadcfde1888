"""A trace of minicc as calls on a schedule of the old TVM: the same steps in the words of old lessons.

In: what lowering made of the tensors, and a trace. Out: for each step a `Counterpart`: the Python that does the same to a
`tvm.te.Schedule` called `s`, or the reason why there is none. A loop is called in Python as it is here, and so are buffers,
so that both texts read alike.

minicc rewrites loops where they stand; the old TVM notes what to do to a stage, and makes loops at the end. So the translation
knows the leaves of each stage as the old TVM has them, and whenever a step here moves the nest of a buffer into
another loop, be it because that loop was split, it says so: `s[T].compute_at(s[C], i_i)`.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> from minicc.schedule import Schedule
>>> A = te.placeholder((64,), name="A")
>>> B = te.compute((64,), lambda i: A[i] * 2.0, name="B")
>>> made = lower([B], [A, B])
>>> s = Schedule(made.program)
>>> s.vectorize(s.split("i", factor=16)[1])
>>> for part in counterparts(made, s.trace):
...     print(*part.calls, sep="\\n")
s = te.create_schedule([B.op])
i, = s[B].op.axis
i_o, i_i = s[B].split(i, factor=16)
s[B].vectorize(i_i)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from minicc.loop.ir import Buffer
from minicc.loop.lower import Lowered
from minicc.loop.program import Program
from minicc.loop.queries import Write, buffers_of, loops_around, readers, reads, targets, writes
from minicc.schedule.step import Step
from minicc.schedule.tidy import ranges_of
from minicc.tensor.expr import Var
from minicc.tensor.simplify import Simplifier
from minicc.tensor.tensor import Compute


@dataclass(frozen=True)
class Counterpart:
    """What the old TVM does for `step`: Python, or `reason` says why it cannot. Without a step: the schedule, and names for its axes."""

    step: Step | None
    calls: tuple[str, ...]
    reason: str = ""


class NoCounterpart(Exception):
    """The old TVM has no such step, or no such loop."""


@dataclass
class _Stage:
    """A stage as the old TVM has it: names of axes, and of the leaves that they were split and fused into."""

    axes: list[str]
    reduce_axes: list[str]
    scope: str = "global"
    threads: set[str] = field(default_factory=set)  # the thread axes that its loops are bound to
    laid_out: bool = False  # by axes that are others than these
    ahead: bool = False  # a double buffer, which is filled an iteration before it is read

    def __post_init__(self) -> None:
        self.leaves = [*self.axes, *self.reduce_axes]
        self.origin = {name: frozenset([name]) for name in self.leaves}  # the axes that a name comes from

    def is_reduced(self, name: str) -> bool:
        return bool(self.origin[name] & set(self.reduce_axes))

    def replace(self, old: Sequence[str], new: Sequence[str]) -> None:
        """Leaves become others, which stand where the last of them was."""
        origin = frozenset().union(*[self.origin[name] for name in old])
        self.origin |= dict.fromkeys(new, origin)
        at = self.leaves.index(old[-1])
        self.leaves[at : at + 1] = new
        self.leaves = [name for name in self.leaves if name not in old]


def counterparts(made: Lowered, steps: Iterable[Step]) -> list[Counterpart]:
    """One for the schedule before all steps, then one for each step."""
    lesson = _Lesson(made)
    found, program = list[Counterpart](), made.program
    for step in steps:
        after = step.apply(program)
        found.append(lesson.follow(step, program, after))
        program = after
    return [Counterpart(None, tuple(lesson.opening())), *found]


class _Lesson:
    """The state of the old schedule."""

    def __init__(self, made: Lowered) -> None:
        self.stages: dict[str, _Stage] = {}
        self.inputs, self.outputs = ([b.name for b in part] for part in (made.program.params, made.program.outputs))
        self.homes: dict[str, str] = {}  # a buffer: the loop that it is computed at
        for tensor, buffer in made.buffers.items():
            if isinstance(tensor.op, Compute):
                op = tensor.op
                named = [(axis, made.loops[tensor, axis]) for axis in (*op.axis, *op.reduce_axis)]
                axes = [name for axis, name in named if not axis.reduce]
                self.stages[buffer.name] = _Stage(axes, [name for axis, name in named if axis.reduce])
        self.first = {name: self.axes(name) for name in self.stages}
        self.used = set[str]()  # stages of which steps name loops

    def opening(self) -> list[str]:
        """The schedule, and the axes of the stages that steps name."""
        outputs = ", ".join(f"{name}.op" for name in self.outputs)
        lines = [line for name, lines in self.first.items() if name in self.used for line in lines]
        return [f"s = te.create_schedule([{outputs}])", *lines]

    def axes(self, name: str) -> list[str]:
        """The lines that name the axes of a stage."""
        stage = self.stages[name]
        parts = ((stage.axes, "axis"), (stage.reduce_axes, "reduce_axis"))
        return [
            f"{', '.join(names)}{',' * (len(names) == 1)} = s[{name}].op.{field}" for names, field in parts if names
        ]

    def follow(self, step: Step, before: Program, after: Program) -> Counterpart:
        """The calls for a step, and for the moves of nests that come with it."""
        try:
            if step.name not in TABLE:
                raise NoCounterpart(f"the old TVM has no {step.name}")
            calls = TABLE[step.name](self, step, before, after)
        except NoCounterpart as missing:
            return Counterpart(step, tuple(self.moves(after)), str(missing))
        calls += self.moves(after)
        return Counterpart(step, tuple(calls), "" if calls else "nothing moves in the old schedule")

    def stage_of(self, loop: str) -> str:
        """The stage of which a loop is a leaf. Raises NoCounterpart."""
        found = [name for name, stage in self.stages.items() if loop in stage.leaves]
        if not found:
            raise NoCounterpart("no stage has this loop")
        self.used.add(found[-1])
        return found[-1]

    def known(self, buffer: str) -> _Stage:
        """The stage of a buffer. Raises NoCounterpart."""
        if buffer not in self.stages:
            raise NoCounterpart("no stage has this buffer")
        return self.stages[buffer]

    def moves(self, program: Program) -> list[str]:
        """Where nests are now that were elsewhere before."""
        lines = []
        for buffer in self.stages.keys() & buffers_of(program).keys():
            home = self._home(program, buffer)
            if home and self.homes.get(buffer) != home and not self._is_read_ahead(program, buffer):
                lines.append(f"s[{buffer}].compute_at(s[{self.stage_of(home)}], {home})")
                self.homes[buffer] = home
            elif not home and self.homes.pop(buffer, ""):
                lines.append(f"s[{buffer}].compute_root()")
        return sorted(lines)

    def _is_read_ahead(self, program: Program, buffer: str) -> bool:
        """Whether a double buffer is filled from this one, which must then be there before."""
        found = [t.name for s in readers(program.body, buffers_of(program)[buffer]) for t in targets(s)]
        return any(self.stages[name].ahead for name in found if name in self.stages)

    def _home(self, program: Program, name: str) -> str:
        """The innermost loop of a reader that is around the nest of a buffer; "" where none is."""
        buffer = buffers_of(program)[name]
        for write in writes(program.body, buffer)[:1]:
            for loop in reversed(loops_around(program.body, write)):
                foreign = any(loop.name in stage.leaves for other, stage in self.stages.items() if other != name)
                if foreign and any(buffer not in targets(s) for s in readers(loop.body, buffer)):
                    return loop.name
        return ""

    # ---- one for each primitive: the calls; the state becomes what it is after them

    def split(self, step: Any, before: Program, after: Program) -> list[str]:
        stage, parts = self.stage_of(step.loop), step.names(before)
        self.stages[stage].replace([step.loop], parts)
        how = f"factor={step.factor}" if step.nparts is None else f"nparts={step.nparts}"
        return [f"{', '.join(parts)} = s[{stage}].split({step.loop}, {how})"]

    def fuse(self, step: Any, before: Program, after: Program) -> list[str]:
        stage, fused = self._common((step.outer, step.inner)), step.names(before)
        self.stages[stage].replace([step.outer, step.inner], [fused])
        return [f"{fused} = s[{stage}].fuse({step.outer}, {step.inner})"]

    def reorder(self, step: Any, before: Program, after: Program) -> list[str]:
        stage = self._common(step.order)
        order = iter(step.order)
        own = self.stages[stage]
        own.leaves = [next(order) if name in step.order else name for name in own.leaves]
        return [f"s[{stage}].reorder({', '.join(step.order)})"]

    def _common(self, names: Sequence[str]) -> str:
        stages = {self.stage_of(name) for name in names}
        if len(stages) > 1:
            raise NoCounterpart("the loops are of two stages")
        return stages.pop()

    def mark(self, step: Any, before: Program, after: Program) -> list[str]:
        return [f"s[{self.stage_of(step.loop)}].{step.name}({step.loop})"]

    def bind(self, step: Any, before: Program, after: Program) -> list[str]:
        stage = self.stage_of(step.loop)
        self._check_shared_out(stage, self.stages[stage].scope, {step.axis})
        self.stages[stage].threads.add(step.axis)
        return [f's[{stage}].bind({step.loop}, te.thread_axis("{step.axis}"))']

    def _check_shared_out(self, stage: str, scope: str, threads: set[str]) -> None:
        """Raise NoCounterpart where threads, or blocks, that fill a buffer together would each have one of their own."""
        apart = {"local": threads, "shared": {t for t in threads if t.startswith("blockIdx")}}
        if apart.get(scope):
            raise NoCounterpart(f"it fills a {scope} buffer, of which each thread or block has its own there")

    def pragma(self, step: Any, before: Program, after: Program) -> list[str]:
        return [f"s[{self.stage_of(step.loop)}].pragma({step.loop}, {step.key!r}, {step.value!r})"]

    def prefetch(self, step: Any, before: Program, after: Program) -> list[str]:
        if step.buffer not in self.inputs:
            self.known(step.buffer)
        return [f"s[{self.stage_of(step.loop)}].prefetch({step.buffer}, {step.loop}, {step.offset})"]

    def compute_at(self, step: Any, before: Program, after: Program) -> list[str]:
        self.known(step.buffer)
        self.stage_of(step.loop)
        return []  # `moves` says it

    def compute_root(self, step: Any, before: Program, after: Program) -> list[str]:
        self.known(step.buffer)
        return []

    def compute_inline(self, step: Any, before: Program, after: Program) -> list[str]:
        self.known(step.buffer)
        del self.stages[step.buffer]
        return [f"s[{step.buffer}].compute_inline()"]

    def set_scope(self, step: Any, before: Program, after: Program) -> list[str]:
        self._check_shared_out(step.buffer, step.scope, self.known(step.buffer).threads)
        self.stages[step.buffer].scope = step.scope
        return [f's[{step.buffer}].set_scope("{step.scope}")']

    def double_buffer(self, step: Any, before: Program, after: Program) -> list[str]:
        stage = self.known(step.buffer)
        found = [
            load.source.name for write in writes(before.body, buffers_of(before)[step.buffer]) for load in reads(write)
        ]
        if self.homes.keys() & set(found):
            raise NoCounterpart("the old TVM fills it an iteration ahead, from what is not there yet")
        stage.ahead = True
        return [f"s[{step.buffer}].double_buffer()"]

    def transform_layout(self, step: Any, before: Program, after: Program) -> list[str]:
        axes = [f"a{n}" for n in range(len(self.axes_of(step.buffer, before)))]
        if step.buffer in self.homes or not _is_read_whole(before, buffers_of(before)[step.buffer]):
            raise NoCounterpart("the old TVM lays out what is read in part as if it began at 0, and writes beyond it")
        made = [re.sub(r"^\d+", lambda found: axes[int(found[0])], piece) for piece in step.order]
        self.stages[step.buffer].leaves, self.stages[step.buffer].laid_out = [], True
        return [f"s[{step.buffer}].transform_layout(lambda {', '.join(axes)}: [{', '.join(made)}])"]

    def axes_of(self, buffer: str, program: Program) -> list[str]:
        """The axes of a stage. Raises NoCounterpart where the buffer has others."""
        stage = self.known(buffer)
        if stage.laid_out or len(buffers_of(program)[buffer].shape) != len(stage.axes):
            raise NoCounterpart("the buffer has other axes")
        return stage.axes

    def storage_align(self, step: Any, before: Program, after: Program) -> list[str]:
        self.axes_of(step.buffer, before)
        return [f"s[{step.buffer}].storage_align(s[{step.buffer}].op.axis[{step.axis}], {step.factor}, {step.offset})"]

    def cache_read(self, step: Any, before: Program, after: Program) -> list[str]:
        cache = step.names(before)
        buffer = buffers_of(after)[cache]
        found = dict.fromkeys(t.name for s in readers(after.body, buffer) for t in targets(s))
        if step.buffer not in self.inputs:
            self.known(step.buffer)
        for name in found:
            self.known(name)
        rank = len(buffer.shape) if step.buffer in self.inputs else len(self.known(step.buffer).axes)
        self.stages[cache] = _Stage(_places(writes(after.body, buffer)[0], rank), [], step.scope)
        return [f'{cache} = s.cache_read({step.buffer}, "{step.scope}", [{", ".join(found)}])', *self.axes(cache)]

    def cache_write(self, step: Any, before: Program, after: Program) -> list[str]:
        stage, cache = self.known(step.buffer), step.names(before)
        spatial = [name for name in stage.leaves if not stage.is_reduced(name)]
        self.stages[cache] = _Stage(spatial, stage.reduce_axes, step.scope)
        places = _places(writes(after.body, buffers_of(after)[step.buffer])[-1], len(stage.axes))
        self.stages[step.buffer] = _Stage(places, [], stage.scope, stage.threads)  # its loops stay bound
        made = f'{cache} = s.cache_write({step.buffer}, "{step.scope}")'
        return [made, *self.axes(cache), *self.axes(step.buffer)]

    def rfactor(self, step: Any, before: Program, after: Program) -> list[str]:
        stage, partial = self.stages[self.stage_of(step.loop)], step.names(before)
        touched = [n for n in stage.leaves if stage.is_reduced(n) and stage.origin[n] & stage.origin[step.loop]]
        rest = [axis for axis in stage.reduce_axes if axis not in stage.origin[step.loop]]
        place = step.factor_axis if step.factor_axis >= 0 else len(stage.axes) + 1 + step.factor_axis
        axes = [*stage.axes[:place], step.loop, *stage.axes[place:]]
        self.stages[partial] = _Stage(axes, [*rest, *[n for n in touched if n != step.loop]])
        total: Any = writes(after.body, buffers_of(after)[step.buffer])[-1]
        places = _places(total, len(stage.axes))
        self.stages[step.buffer] = _Stage(places, [axis.name for axis in total.axes], stage.scope)
        made = f"{partial} = s.rfactor({step.buffer}, {step.loop}, {step.factor_axis})"
        return [made, *self.axes(partial), *self.axes(step.buffer)]


def _places(write: Write, rank: int) -> list[str]:
    """The loops over the `rank` dimensions of what is written; one that has no loop of its own is called after its number."""
    found = [i.name if isinstance(i, Var) else f"_{n}" for n, i in enumerate(write.indices)]
    return found if len(found) == rank else [f"_{n}" for n in range(rank)]


def _is_read_whole(program: Program, buffer: Buffer) -> bool:
    """Whether the places that other statements read of a buffer reach from its first element to its last, and no further."""
    bounds = Simplifier(ranges_of(program)).bounds
    found = [load for s in readers(program.body, buffer) if buffer not in targets(s) for load in reads(s)]
    for dim, extent in enumerate(buffer.shape):
        ends = [bounds.of(load.indices[dim]) for load in found if load.source is buffer]
        if not ends or (min(low for low, _ in ends), max(high for _, high in ends)) != (0, extent - 1):
            return False
    return True


TABLE: dict[str, Callable[[_Lesson, Any, Program, Program], list[str]]] = {
    "split": _Lesson.split, "fuse": _Lesson.fuse, "reorder": _Lesson.reorder, "unroll": _Lesson.mark,
    "vectorize": _Lesson.mark, "parallel": _Lesson.mark, "bind": _Lesson.bind, "pragma": _Lesson.pragma,
    "compute_at": _Lesson.compute_at, "compute_inline": _Lesson.compute_inline, "compute_root": _Lesson.compute_root,
    "cache_read": _Lesson.cache_read, "cache_write": _Lesson.cache_write, "rfactor": _Lesson.rfactor,
    "set_scope": _Lesson.set_scope, "storage_align": _Lesson.storage_align, "double_buffer": _Lesson.double_buffer,
    "prefetch": _Lesson.prefetch, "transform_layout": _Lesson.transform_layout,
}  # fmt: skip
