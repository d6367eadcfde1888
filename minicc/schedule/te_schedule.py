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
from minicc.ir.drawn import Drawn
from minicc.loop.ir import Alloc, Buffer, Scope, loops
from minicc.loop.lower import Lowered, lower, placeholders
from minicc.loop.program import Program
from minicc.loop.queries import buffers_of, writes
from minicc.schedule.counted import Counted
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

    @classmethod
    def of(cls, stage: str, loops: dict[Axis, str]) -> StageOp:
        """The axes that became these loops."""
        return cls(stage, tuple(a for a in loops if not a.reduce), tuple(a for a in loops if a.reduce), loops)


def create_schedule(outputs: Operation | Tensor | Sequence[Operation | Tensor]) -> TeSchedule:
    """A schedule of what computes `outputs`: one stage per operation, in naive loops."""
    found: dict[Tensor, None] = {}
    for one in outputs if isinstance(outputs, (list, tuple)) else [outputs]:
        if not isinstance(one, (Tensor, Operation)):
            kind = type(one).__name__
            problem = f"expected operations or tensors, got {kind}"
            raise ScheduleError(f"create_schedule({one!r})", problem, f"{one!r}: {kind}", "te.create_schedule(C.op)")
        count = len(one.body) if isinstance(one, Compute) else 1
        found |= dict.fromkeys([one] if isinstance(one, Tensor) else [Tensor(one, k) for k in range(count)])
    return TeSchedule(list(found))


class TeSchedule(Counted, Drawn):
    """A schedule by stages. `schedule` is the one by loops underneath."""

    def __init__(self, outputs: Sequence[Tensor]) -> None:
        self.outputs = tuple(outputs)
        self.lowered: Lowered = lower(outputs, [*placeholders(outputs), *outputs], "main")
        self.schedule = Schedule(self.lowered.program)
        self._unread: dict[Tensor, Buffer] = {}  # arguments that the program does not need
        self._ops: dict[str, StageOp] = {}  # by buffer
        self._past: list[tuple[int, dict[str, StageOp]]] = []  # the number of steps, and the stages then
        for tensor, buffer in self.lowered.buffers.items():
            found = self.axes_of(tensor)
            if found or buffer.name not in self._ops:  # the state of a scan shares its buffer
                self._ops[buffer.name] = StageOp.of(buffer.name, found)

    def axes_of(self, tensor: Any) -> dict[Axis, str]:
        """The loops that the axes of a tensor became at the start."""
        return {axis: name for (t, axis), name in self.lowered.loops.items() if t is tensor}

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
        return Stage(self, name, self.axes_of(what) if own else {})

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
        raise self._refused(call, problem, f"its stages are {', '.join(self._ops)}")

    def _refused(self, call: str, problem: str, hint: str, culprit: str = "") -> ScheduleError:
        """The error that shows the program as it is."""
        text = str(self.program)
        return ScheduleError(call, problem, caret(text, culprit) if culprit else text, hint)

    def in_sizes(self, extent: Any) -> Any:
        """An extent of the text in the sizes of the program."""
        if not isinstance(extent, Expr):
            return extent
        pairs = [p for t, b in self.lowered.buffers.items() for p in zip(t.shape, b.shape, strict=True)]
        return substitute(extent, {d: e for d, e in pairs if isinstance(d, Var)})

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
        if name not in list(STEPS):
            problem, hint = "expected a schedule primitive, got a name that has none", f"one of {', '.join(STEPS)}"
            raise self._refused(f"{name}(...)", problem, hint)
        return getattr(self.schedule, name)

    # ---- from a schedule to a program

    def arrange(self, args: Sequence[Any], name: str = "main") -> Program:
        """The program with `args` as its parameters and outputs, in this order within each.

        An intermediate tensor among `args` becomes an output, and an output that is not among
        them becomes internal. Raises ScheduleError when a placeholder is missing, or a tensor is given twice.
        """
        if not isinstance(args, (list, tuple)):
            raise self._refused("arrange(...)", f"expected a list of tensors, got {args!r}", "[A, B, C]")
        names = [self.argument(arg) for arg in args]
        call = f"arrange({', '.join(names)})"
        if twice := [n for k, n in enumerate(names) if n in names[:k]]:
            problem = f"expected each tensor once among args, got {twice[0]} twice"
            raise self._refused(call, problem, "an array that is read twice is one tensor", twice[0])
        body, outside = self.program.body, {b.name: b for b in self.program.outputs}
        while isinstance(body, Alloc):
            outside[body.buffer.name] = body.buffer
            body = body.body
        params = {b.name: b for b in (*self.program.params, *self._unread.values())}
        if moved := [name for name in names if name not in params and name not in outside]:
            problem = f"expected {moved[0]} to live in the whole program, but a step has moved it into a loop"
            hint = f"leave {moved[0]} out of args, or do not compute it at a loop"
            raise self._refused(call, problem, hint, moved[0])
        if missing := [b.name for b in self.program.params if b.name not in names]:
            problem = f"expected every placeholder among args, got none for {missing[0]}"
            raise self._refused(call, problem, f"add {missing[0]} to args", missing[0])
        for buffer in reversed([b for b in outside.values() if b.name not in names]):
            body = Alloc(buffer, body)
        inputs, outputs = ([known[n] for n in names if n in known] for known in (params, outside))
        return Program(name, tuple(inputs), tuple(outputs), body, self.program.requires)

    def argument(self, arg: Any) -> str:
        """The name of an argument in the program; that of a placeholder which nothing reads is made here."""
        if not isinstance(arg, Tensor):
            hint = "sizes are taken from the shapes of the arrays" if isinstance(arg, Expr) else "give tensors"
            raise self._refused("arrange(...)", f"expected tensors among args, got {arg!r}", hint)
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
        return StageOp.of(self.name, self._own) if self._own else self.schedule._ops[self.name]

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
        raise self.schedule._refused(f"s[{self.name}]", problem, hint)

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
            raise self.schedule._refused("fuse()", "expected at least one axis, got none", "s[C].fuse(outer, inner)")
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
        raise self.schedule._refused(f"s[{self.name}]", problem, hint)

    def __repr__(self) -> str:
        return f"Stage({self.name}: {', '.join(map(str, self._axes()))})"
