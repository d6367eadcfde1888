"""The schedule surface of the literature: stages of tensors, axes of operations.

In: the tensors, or operations, to compute. Out: a `TeSchedule`, whose stages `s[T]` have the classic methods. An axis
is one of `T.op.axis` and `T.op.reduce_axis`, or a loop name that an earlier call returned. Every method is a primitive
of `schedule.Schedule`, which is `s.schedule`; so the same schedule has a trace, moves and undo.

>>> from minicc import te
>>> A = te.placeholder((64,), name="A")
>>> B = te.compute((64,), lambda i: A[i] * 2.0, name="B")
>>> s = create_schedule(B.op)
>>> outer, inner = s[B].split(B.op.axis[0], factor=16)
>>> s[B].vectorize(inner)
>>> print(s.trace)
s.split("i", factor=16)
s.vectorize("i_i")
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minicc.errors import ScheduleError, caret
from minicc.loop.ir import Alloc, Buffer, Scope, loops
from minicc.loop.lower import Lowered, lower, placeholders
from minicc.loop.program import Program
from minicc.loop.queries import buffers_of, writes
from minicc.schedule.arguments import Face
from minicc.schedule.schedule import Schedule, Trace
from minicc.schedule.step import STEPS, Step
from minicc.schedule.surface import StageSurface
from minicc.tensor.expr import Axis, Expr, Var, substitute
from minicc.tensor.tensor import Compute, Operation, Placeholder, Scan, Tensor


@dataclass(frozen=True)
class StageOp:
    """The axes of a stage as it is now: those of the tensor, or the names of loops that a step made."""

    stage: str
    axis: tuple[Axis | str, ...]
    reduce_axis: tuple[Axis | str, ...] = ()
    loops: dict[Axis, str] = field(default_factory=dict, repr=False)  # where the axes of the tensor went


def create_schedule(outputs: Operation | Tensor | Sequence[Operation | Tensor]) -> TeSchedule:
    """A schedule of what computes `outputs`: one stage per operation, in naive loops."""
    given = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    tensors: list[Tensor] = []
    for one in given:
        tensors += [one] if isinstance(one, Tensor) else _tensors(one)
    return TeSchedule(list(dict.fromkeys(tensors)))


def _tensors(op: Any) -> list[Tensor]:
    """Every output of an operation."""
    if not isinstance(op, Operation):
        problem = f"expected operations or tensors, got {type(op).__name__}"
        where = f"{op!r}: {type(op).__name__}"
        raise ScheduleError(f"create_schedule({op!r})", problem, where, "te.create_schedule(C.op)")
    return [Tensor(op, index) for index in range(len(op.body) if isinstance(op, Compute) else 1)]


class TeSchedule(Face):
    """A schedule by stages. `schedule` is the one by loops underneath."""

    def __init__(self, outputs: Sequence[Tensor]) -> None:
        self.outputs = tuple(outputs)
        self.lowered: Lowered = lower(outputs, [*placeholders(outputs), *outputs], "main")
        self.schedule = Schedule(self.lowered.program)
        self._unread: dict[Tensor, Buffer] = {}  # arguments that the program does not need
        self._ops: dict[str, StageOp] = {}  # by buffer
        self._past: list[tuple[int, dict[str, StageOp]]] = []  # the number of steps, and the stages then
        for tensor, buffer in self.lowered.buffers.items():
            found = {axis: name for (t, axis), name in self.lowered.loops.items() if t is tensor}
            axes = tuple(axis for axis in found if not axis.reduce)
            if found or buffer.name not in self._ops:  # the state of a scan shares its buffer
                self._ops[buffer.name] = StageOp(buffer.name, axes, tuple(a for a in found if a.reduce), found)

    # ---- what it is now

    @property
    def program(self) -> Program:
        return self.schedule.program

    @property
    def trace(self) -> Trace:
        return self.schedule.trace

    def moves(self) -> list[Step]:
        """Every legal next step."""
        return self.schedule.moves()

    def apply(self, step: Step) -> Any:
        """Do a step, such as one of `moves`, and return what it made: the stage of a new buffer, or the names of loops."""
        before, stages = len(self.trace), dict(self._ops)
        loops_before = {name: self.schedule.loops_of(name) for name in buffers_of(self.program)}
        made = self.schedule.apply(step)
        if buffers_of(self.program).keys() <= loops_before.keys():
            return made
        self._past.append((before, stages))  # where buffers are new, axes mean other loops than before
        for name in buffers_of(self.program):
            if loops_before.get(name) != self.schedule.loops_of(name):
                known = self._ops.get(name)
                self._ops[name] = self._op(name, tuple(a for a in known.loops if not a.reduce) if known else ())
        return self[made] if isinstance(made, str) else made

    def undo(self) -> Step:
        """Take the last step back, and return it."""
        step = self.schedule.undo()
        if self._past and self._past[-1][0] == len(self.trace):
            self._ops = self._past.pop()[1]
        return step

    def __getitem__(self, what: Any) -> Stage:
        """The stage of a tensor or operation; of what `cache_write` and the like returned; or of a buffer, by name."""
        if isinstance(what, Stage):
            return what
        if isinstance(what, Operation):
            what = Tensor(what)
        name, own = self._buffer(what)
        return Stage(self, name, {a: n for (t, a), n in self.lowered.loops.items() if t is what} if own else {})

    def _buffer(self, what: Any) -> tuple[str, bool]:
        """The buffer of a stage, and whether its axes have loops of their own there (the steps of a scan)."""
        if isinstance(what, (str, StageOp)):
            name = what if isinstance(what, str) else what.stage
            if name in self._ops:
                return name, False
        if isinstance(what, Tensor) and what in self.lowered.buffers:
            return self.lowered.buffers[what].name, False
        for tensor in self.lowered.buffers:
            if isinstance(tensor.op, Scan) and (what is tensor.op.init or what is tensor.op.update):
                return self.lowered.buffers[tensor].name, True
        call = f"s[{getattr(what, 'name', what) if isinstance(what, Tensor) else what}]"
        problem = "expected a tensor of this schedule, got none that it computes or reads"
        raise ScheduleError(call, problem, str(self.program), f"its stages are {', '.join(self._ops)}")

    def in_sizes(self, extent: Any) -> Any:
        """An extent of the text in the sizes of the program."""
        pairs = [p for t, b in self.lowered.buffers.items() for p in zip(t.shape, b.shape, strict=True)]
        return (
            substitute(extent, {d: e for d, e in pairs if isinstance(d, Var)}) if isinstance(extent, Expr) else extent
        )

    # ---- steps that make stages

    def cache_write(self, tensor: Any, scope: Scope) -> Stage:
        """The stage of a buffer in `scope` that is filled instead of `tensor`, which becomes a copy of it."""
        return self[tensor].cache_write(scope)

    def cache_read(self, tensor: Any, scope: Scope, readers: Any = ()) -> Stage:
        """The stage of a copy of `tensor` in `scope`, which `readers` read from then on."""
        return self[tensor].cache_read(scope, readers)

    def rfactor(self, tensor: Any, axis: Axis | str, factor_axis: int = 0) -> Stage:
        """The stage of partial results, one for each value of `axis`, which `tensor` then reduces."""
        return self[tensor].rfactor(axis, factor_axis)

    def _op(self, buffer: str, spatial: tuple[Axis, ...]) -> StageOp:
        """The loops of a buffer, in the order of its dimensions if these are loops; `spatial` axes mean them now."""
        write = writes(self.program.body, buffers_of(self.program)[buffer])[0]
        reduce = self.schedule.reduce_loops_of(buffer)
        found = [name for name in self.schedule.loops_of(buffer) if name not in reduce]
        order = [i.name for i in write.indices if isinstance(i, Var)]
        names = tuple(order if sorted(order) == sorted(found) else found)
        if len(spatial) != len(names):
            return StageOp(buffer, names, reduce)
        return StageOp(buffer, spatial, reduce, dict(zip(spatial, names, strict=True)))

    def primitive(self, name: str) -> Any:
        """The method of the schedule that does `name`. Raises ScheduleError when there is none."""
        found = getattr(self.schedule, name, None) if isinstance(name, str) else None
        if found is None:
            problem = "expected a schedule primitive, got a name that has none"
            raise ScheduleError(f"{name}(...)", problem, str(self.program), f"one of {', '.join(STEPS)}")
        return found

    # ---- from a schedule to a program

    def arrange(self, args: Sequence[Any], name: str = "main") -> Program:
        """The program with `args` as its parameters and outputs, in this order within each.

        An intermediate tensor among `args` becomes an output, and an output that is not among
        them becomes internal. Raises ScheduleError when a placeholder is missing, or a tensor is given twice.
        """
        if not isinstance(args, (list, tuple)):
            raise ScheduleError(
                "arrange(...)", f"expected a list of tensors, got {args!r}", where=str(self.program), hint="[A, B, C]"
            )
        names = [self.argument(arg) for arg in args]
        if twice := [n for k, n in enumerate(names) if n in names[:k]]:
            problem = f"expected each tensor once among args, got {twice[0]} twice"
            hint = "an array that is read twice is one tensor"
            raise ScheduleError(f"arrange({', '.join(names)})", problem, caret(str(self.program), twice[0]), hint)
        body, outside = self.program.body, {b.name: b for b in self.program.outputs}
        chain: list[Buffer] = []
        while isinstance(body, Alloc):
            outside[body.buffer.name] = body.buffer
            chain.append(body.buffer)
            body = body.body
        params = {b.name: b for b in (*self.program.params, *self._unread.values())}
        for wanted in names:
            if wanted not in params and wanted not in outside:
                problem = f"expected {wanted} to live in the whole program, but a step has moved it into a loop"
                hint = f"leave {wanted} out of args, or do not compute it at a loop"
                raise ScheduleError(f"arrange({', '.join(names)})", problem, caret(str(self.program), wanted), hint)
        if missing := [b.name for b in self.program.params if b.name not in names]:
            call = f"arrange({', '.join(names)})"
            problem = f"expected every placeholder among args, got none for {missing[0]}"
            raise ScheduleError(call, problem, caret(str(self.program), missing[0]), f"add {missing[0]} to args")
        internal = [b for b in dict.fromkeys([*self.program.outputs, *chain]) if b.name not in names]
        for buffer in reversed(internal):
            body = Alloc(buffer, body)
        return Program(
            name,
            tuple(params[n] for n in names if n in params),
            tuple(outside[n] for n in names if n not in params),
            body,
            self.program.requires,
        )

    def argument(self, arg: Any) -> str:
        """The name of an argument in the program; that of a placeholder which nothing reads is made here."""
        if not isinstance(arg, Tensor):
            hint = "sizes are taken from the shapes of the arrays" if isinstance(arg, Expr) else "give tensors"
            raise ScheduleError(
                "arrange(...)", f"expected tensors among args, got {arg!r}", where=str(self.program), hint=hint
            )
        if isinstance(arg.op, Placeholder) and arg not in self.lowered.buffers:
            if arg not in self._unread:
                self._unread[arg] = self.lowered.declare(arg)
            return self._unread[arg].name
        return self[arg].name

    def __str__(self) -> str:
        return str(self.trace)


class Stage(StageSurface):
    """How one tensor is computed: its loops, and the steps that shape them: a method for each primitive."""

    def __init__(self, schedule: TeSchedule, name: str, own: dict[Axis, str]) -> None:
        self.schedule, self.name, self._own = schedule, name, own

    @property
    def op(self) -> StageOp:
        """Its axes as they are now."""
        if self._own:
            axes = tuple(a for a in self._own if not a.reduce)
            return StageOp(self.name, axes, tuple(a for a in self._own if a.reduce), self._own)
        return self.schedule._ops[self.name]

    def loop(self, axis: Any) -> str:
        """The name of the loop that `axis` means. Raises ScheduleError when it is no axis of this stage."""
        if isinstance(axis, str):
            return axis
        if isinstance(axis, Axis) and axis in self.op.loops:
            return self.op.loops[axis]
        if isinstance(axis, Var) and axis.name in loops(self.schedule.program.body):
            return axis.name
        if isinstance(axis, Axis) and (name := self._moved(axis)):
            return name
        problem = f"expected an axis of {self.name} or the name of a loop, got {axis!r}"
        hint = f"its axes are {', '.join(map(str, self._axes()))}"
        raise ScheduleError(f"s[{self.name}]", problem, str(self.schedule.program), hint)

    def _moved(self, axis: Axis) -> str | None:
        """The loop of an axis of a reduction that another stage, such as a write cache, does now."""
        names = [name for (_, a), name in self.schedule.lowered.loops.items() if a is axis and axis.reduce]
        there = [name for name in names if name in loops(self.schedule.program.body)]
        own = [name for name in there if name in self.schedule.schedule.reduce_loops_of(self.name)]
        return next(iter(own or there), None)

    def _axes(self) -> tuple[Any, ...]:
        return (*self.op.axis, *self.op.reduce_axis)

    def fuse(self, *axes: Any) -> str:
        """Make one loop of several that follow each other, outermost first. Returns its name."""
        if not axes:
            problem, where = "expected at least one axis, got none", str(self.schedule.program)
            raise ScheduleError("fuse()", problem, where, hint="s[C].fuse(outer, inner)")
        fused, *rest = map(self.loop, axes)
        with self.schedule.schedule.together():
            for inner in rest:
                fused = super().fuse(fused, inner)
        return fused

    def reorder(self, *axes: Any) -> None:
        """Put loops into this order, outermost first."""
        if len(axes) > 1:
            super().reorder(*axes)

    def tile(self, x_parent: Any, y_parent: Any, x_factor: int, y_factor: int) -> tuple[str, str, str, str]:
        """Blocks of two loops: returns x outer, y outer, x inner, y inner, in the order they are in then."""
        return self.schedule.schedule.tile(self.loop(x_parent), self.loop(y_parent), x_factor, y_factor)

    def dimension(self, axis: Any) -> int:
        """Which dimension of the buffer an axis runs over."""
        for n, own in enumerate(self.op.axis):
            if axis is own or (isinstance(axis, str) and axis == own):
                return n
        if isinstance(axis, (int, np.integer)) and not isinstance(axis, bool):
            return int(axis)
        problem = f"expected an axis of {self.name} or the number of a dimension, got {axis!r}"
        hint = f"its axes are {', '.join(map(str, self.op.axis))}"
        raise ScheduleError(f"s[{self.name}]", problem, str(self.schedule.program), hint)

    def __repr__(self) -> str:
        return f"Stage({self.name}: {', '.join(map(str, self._axes()))})"


__all__ = ["Stage", "StageOp", "TeSchedule", "create_schedule"]
