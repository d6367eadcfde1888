"""Lowering: tensor expressions to the naive, obviously correct loop program.

In: output tensors, and the tensors of the call in order. Out: `Lowered`, a program with one nest
of serial loops per operation, producers first, and the map from tensors and axes to its buffers
and loops. Nothing is inlined, fused or reordered here: all that is a schedule.
An index that data decide is clamped into its buffer, unless it is proven inside: see `loop.ir`. And
the program says what it requires of symbolic sizes.

    C = compute((4,), lambda i: sum(A[i, k], axis=k))      for i in range(4):
                                                      ->       for k in range(8):
                                                                   Update C[i] += A[i, k], from 0, over k
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from minicc.errors import LoopError
from minicc.ir.node import postorder, replace
from minicc.loop.ir import Alloc, Buffer, ExternCall, For, If, Stmt, Store, Update, seq
from minicc.loop.prelude import Names
from minicc.loop.program import Program
from minicc.loop.ranges import LARGEST, Ranges, least, lies_within, size_vars
from minicc.loop.verify import required
from minicc.tensor.bounds import Bounds, Interval
from minicc.tensor.expr import OF_TE, Axis, Const, Expr, Load, Reduce, Var, all_of, const, loads, maximum, minimum
from minicc.tensor.expr import substitute, transform, walk
from minicc.tensor.extents import same_shape
from minicc.tensor.tensor import Compute, Extern, Placeholder, Scan, Scatter, Tensor
from minicc.types import int64


@dataclass(frozen=True)
class Lowered:
    """A naive program, and where each tensor and each axis of it went."""

    program: Program
    buffers: dict[Tensor, Buffer]
    loops: dict[tuple[Tensor, Axis], str]
    declare: Callable[[Tensor], Buffer]  # a buffer for a placeholder that the program does not read


def lower(outputs: Sequence[Tensor], args: Sequence[Tensor], name: str = "kernel") -> Lowered:
    """The program that computes `outputs` from the placeholders among `args`.

    Raises LoopError when a placeholder is read that is not among `args`, or when `args` holds a
    tensor that is neither a placeholder nor an output.
    """
    return _Lowering(outputs, args, name).run()


def placeholders(outputs: Sequence[Tensor]) -> list[Tensor]:
    """The inputs that `outputs` are computed from, in order of first use."""
    return [t for t in postorder(outputs, lambda t: _operation_reads(t.op)) if isinstance(t.op, Placeholder)]


def _range(axis: Axis) -> Interval:
    return 0, LARGEST if isinstance(axis.extent, Expr) else max(axis.extent - 1, 0)


def _operation_reads(op: Any) -> list[Tensor]:
    """The tensors whose buffers the nests of `op` read."""
    match op:
        case Compute(_, _, body):
            return [load.source for load in loads(*body)]
        case Scatter(_, data, _, indices, value, _, where):
            return [data, *[load.source for load in loads(*indices, value, where)]]
        case Scan(_, init, update, state):
            inner = _recurrent(op)
            first = _operation_reads(init.op) if isinstance(init.op, Compute) else [init]
            found = [*first, *[t for i in (update, *inner) for t in _operation_reads(i.op)]]
            return [t for t in found if t is not state and t not in set(inner)]
        case Extern():
            return list(op.inputs)
    return []


def _recurrent(scan: Scan) -> list[Tensor]:
    """The tensors between the state of a scan and its update, producers first."""
    depends = {scan.state: None}
    for tensor in postorder([scan.update], lambda t: _operation_reads(t.op)):
        if any(t in depends for t in _operation_reads(tensor.op)):
            depends[tensor] = None
    return [t for t in depends if t is not scan.state and t is not scan.update]


class _Lowering:
    def __init__(self, outputs: Sequence[Tensor], args: Sequence[Tensor], name: str) -> None:
        self.call = f"lower({', '.join(t.name for t in outputs)})"
        self.outputs, self.name = tuple(outputs), name
        self.params = tuple(dict.fromkeys(t for t in args if isinstance(t.op, Placeholder)))
        self.order = list(postorder(outputs, lambda t: _operation_reads(t.op)))
        self.check(args)
        self.unique = Names()
        self.sizes: dict[Expr, Expr] = {}
        self.name_sizes(*self.order, *self.params)
        self.buffers: dict[Tensor, Buffer] = {}
        self.loops: dict[tuple[Tensor, Axis], str] = {}
        self.internal: list[Buffer] = []
        self.ranges: Ranges = {}  # of the loop variables

    def check(self, args: Sequence[Tensor]) -> None:
        known = ", ".join(t.name for t in args)
        for tensor in self.order:
            if isinstance(tensor.op, Placeholder) and tensor not in set(self.params):
                problem = f"expected every placeholder among args ({known}), got none for {tensor}"
                raise LoopError(self.call, problem, hint=f"add {tensor.name} to args")
        for tensor in args:
            if tensor not in set(self.outputs) and not isinstance(tensor.op, Placeholder):
                problem = f"args must be placeholders and outputs, got {tensor}"
                raise LoopError(self.call, problem, hint=f"add {tensor.name} to the outputs, or leave it out of args")

    def run(self) -> Lowered:
        params = tuple(self.declare(t) for t in self.params)
        results, copies = [], []
        for tensor in self.outputs:
            if tensor not in self.buffers:
                results.append(self.declare(tensor))
            else:  # an input, or an output twice: every output has a buffer of its own
                results.append(self.buffer(tensor, f"{tensor.name}_out"))
                copies.append((results[-1], tensor))
        first = {tensor.op: tensor for tensor in reversed(self.order)}  # of the outputs of one operation
        nests = [self.operation(tensor) for tensor in self.order if first[tensor.op] is tensor]
        body = seq(*nests, *[self.copy(buffer, tensor) for buffer, tensor in copies])
        for buffer in reversed(self.internal):
            body = Alloc(buffer, body)
        program = Program(Names()(self.name), params, tuple(results), body)
        if size_vars(program):
            program = replace(program, requires=required(program))
        return Lowered(program, dict(self.buffers), self.loops, self.declare)

    # ---- buffers and loops

    def buffer(self, tensor: Tensor, name: str) -> Buffer:
        return Buffer(self.unique(name), tensor.dtype, self.extents(tensor.shape))

    def extents(self, shape: Sequence[Any]) -> tuple[Any, ...]:
        """A shape in the sizes of the program."""
        return tuple(substitute(e, self.sizes) if isinstance(e, Expr) else e for e in shape)

    def name_sizes(self, *tensors: Tensor) -> None:
        """Give each symbolic size of these tensors a name of its own."""
        for v in walk(*[e for t in tensors for e in t.shape if isinstance(e, Expr)]):
            if isinstance(v, Var) and v not in self.sizes:
                self.sizes[v] = Var(self.unique(v.name), v.dtype)

    def declare(self, tensor: Tensor) -> Buffer:
        self.name_sizes(tensor)
        self.buffers[tensor] = self.buffer(tensor, tensor.name)
        return self.buffers[tensor]

    def target(self, tensor: Tensor) -> Buffer:
        """The buffer of `tensor`, made and allocated inside the program if it is not an output."""
        if tensor not in self.buffers:
            self.internal.append(self.declare(tensor))
        return self.buffers[tensor]

    def open(self, axes: Sequence[Axis], tensors: Sequence[Tensor] = ()) -> dict[Expr, Expr]:
        """A loop variable for each axis, remembered as that axis of `tensors`."""
        made: dict[Expr, Expr] = {}
        for axis in axes:
            name = self.unique(axis.var.name)
            made[axis.var] = Var(name)
            self.ranges[Var(name)] = _range(axis)
            for tensor in tensors:
                self.loops[tensor, axis] = name
        return made

    def into(self, e: Any, variables: dict[Expr, Expr]) -> Any:
        """An expression over tensors as one over buffers and loops."""
        if not isinstance(e, Expr):
            return e

        def change(x: Expr) -> Expr:
            if isinstance(x, Load) and isinstance(x.source, Tensor):
                buffer = self.buffers[x.source]
                return Load(buffer, tuple([self.clamped(i, d) for i, d in zip(x.indices, buffer.shape, strict=True)]))
            return variables[x] if x in variables else self.sizes.get(x, x)

        return transform(e, change)

    def clamped(self, index: Expr, extent: Any) -> Expr:
        """An index that data decide, moved into `[0, extent)` unless it is proven there."""
        if not loads(index) or lies_within(Bounds(self.ranges), index, extent):
            return index
        return minimum(maximum(index, 0), extent - 1)

    def nest(self, axes: Sequence[Axis], variables: dict[Expr, Expr], body: Stmt) -> Stmt:
        """`body` in a loop for each of the axes, the first outermost."""
        for axis in reversed(axes):
            loop = variables[axis.var]
            assert isinstance(loop, Var)
            body = For(loop, self.extents([axis.extent])[0], body)
        return body

    def copy(self, buffer: Buffer, tensor: Tensor) -> Stmt:
        """The nest that copies a tensor to the front of another buffer."""
        named = tensor.op.axes if isinstance(tensor.op, Compute) else ()
        names = [a.var.name for a in named] or [f"i{d}" for d in range(tensor.rank)]
        axes = [Axis(Var(n, int64, OF_TE), e) for n, e in zip(names, tensor.shape, strict=True)]
        variables = self.open(axes)
        indices = tuple(variables.values())
        return self.nest(axes, variables, Store(buffer, indices, Load(self.buffers[tensor], indices)))

    # ---- operations

    def operation(self, tensor: Tensor) -> Stmt:
        match tensor.op:
            case Compute() as op:
                tensors = [Tensor(op, index) for index in range(len(op.body))]
                return self.compute(op, {t.index: self.target(t) for t in tensors if t in set(self.order)})
            case Scan() as scan:
                return self.scan(tensor, scan)
            case Scatter() as scatter:
                return self.scatter(tensor, scatter)
            case Extern(_, _, _, function, inputs):
                return ExternCall(function, tuple(self.buffers[t] for t in inputs), self.target(tensor))
        return seq()

    def compute(self, op: Compute, targets: dict[int, Buffer], point: dict[Expr, Expr] | None = None) -> Stmt:
        """The nest that writes outputs of a compute; axes whose variable is in `point` get no loop."""
        point = point or {}
        tensors = [Tensor(op, index) for index in targets]
        free = [axis for axis in op.axes if axis.var not in point]
        variables = {**point, **self.open(free, tensors)}
        indices = tuple(variables[axis.var] for axis in op.axes)
        body: list[Stmt] = []
        reductions: dict[tuple[Axis, ...], list[tuple[Reduce, Buffer]]] = {}
        for n, buffer in targets.items():
            if isinstance(e := op.body[n], Reduce):
                reductions.setdefault(e.axes, []).append((e, buffer))
            else:
                body.append(Store(buffer, indices, self.into(e, variables)))
        for axes, parts in reductions.items():
            empty = any(isinstance(axis.extent, int) and axis.extent == 0 for axis in axes)
            inside = variables if empty else {**variables, **self.open(axes, tensors)}
            updates = [self.update(e, buffers, indices, inside) for e, buffers in self.accumulators(op, parts)]
            if empty:  # no step would ever set the identity
                body += [Store(b, indices, e) for u in updates for b, e in zip(u.buffers, u.inits, strict=True)]
            else:
                body.append(self.nest(axes, inside, seq(*updates)))
        return self.nest(free, variables, seq(*body))

    def accumulators(self, op: Compute, parts: list[tuple[Reduce, Buffer]]) -> list[tuple[Reduce, tuple[Buffer, ...]]]:
        """One reduction of all components of a tuple, each with its buffer; one that is no output gets its own."""
        groups: list[tuple[Reduce, dict[int, Buffer]]] = []
        for e, buffer in parts:
            for first, found in groups:
                if replace(e, index=first.index) is first and e.index not in found:
                    found[e.index] = buffer
                    break
            else:
                groups.append((e, {e.index: buffer}))
        for e, found in groups:
            shape = self.extents([a.extent for a in op.axes])
            for n in set(range(len(e.values))) - set(found):
                found[n] = Buffer(self.unique(f"{op.name}_{n}"), e.values[n].dtype, shape)
                self.internal.append(found[n])
        return [(e, tuple(found[n] for n in range(len(e.values)))) for e, found in groups]

    def update(
        self, e: Reduce, buffers: tuple[Buffer, ...], at: tuple[Expr, ...], variables: dict[Expr, Expr]
    ) -> Update:
        """One step of a reduction: the combiner applied to the accumulators and the values."""
        combiner = e.combiner
        parts: dict[Expr, Expr] = {left: Load(b, at) for left, b in zip(combiner.left, buffers, strict=True)}
        parts |= {right: self.into(v, variables) for right, v in zip(combiner.right, e.values, strict=True)}
        results = tuple(self.into(substitute(r, parts), {}) for r in combiner.result)
        loops = tuple(v for a in e.axes if isinstance(v := variables.get(a.var), Var))
        return Update(buffers, at, results, tuple(self.into(e, {}) for e in combiner.identity), loops)

    def scan(self, tensor: Tensor, op: Scan) -> Stmt:
        """The first steps from `init`, then a serial loop over time with the update in it."""
        result = self.buffers[op.state] = self.target(tensor)
        steps, extent = op.init.shape[0], op.state.shape[0]
        if isinstance(op.init.op, Compute):
            start = self.compute(op.init.op, {op.init.index: result})
        else:
            start = self.copy(result, op.init)
        if isinstance(extent, Expr) and isinstance(start, For):  # it may be shorter than `init`
            start = replace(start, body=If(start.var < self.extents([extent])[0], start.body))
        time = Axis(Var("t", int64, OF_TE), extent - steps)
        variables = self.open([time], [tensor])
        now = variables[time.var] + self.extents([steps])[0]
        inside: dict[Any, dict[int, Buffer]] = {}
        for inner in _recurrent(op):
            inside.setdefault(inner.op, {})[inner.index] = self.target(inner)
        inside[op.update.op] = {op.update.index: result}
        for step in inside:
            if not isinstance(step, Compute) or not step.axes or not same_shape((step.axes[0].extent,), (extent,)):
                wanted = f"a te.compute whose first axis is time, of extent {extent}"
                problem = f"each step of the scan {op.name} must be {wanted}, got {step!r}"
                raise LoopError(self.call, problem, hint="give it the time axis, and read the state at t - 1")
            self.check_times(op, step, inside, steps)
        body = [self.compute(step, targets, {step.axes[0].var: now}) for step, targets in inside.items()]
        return seq(start, self.nest([time], variables, seq(*body)))

    def check_times(self, op: Scan, step: Compute, inside: Iterable[Any], first: Any) -> None:
        """Raise LoopError where a step reads what is not computed yet: the state at its own time or later, or what a
        step computes at another time."""
        t = step.axes[0].var
        axes = [*step.axes, *[a for e in walk(*step.body) if isinstance(e, Reduce) for a in e.axes]]
        known = Bounds({a.var: _range(a) for a in axes})
        for load in loads(*step.body):
            if load.source is op.state and least(known, known.form(t - 1 - load.indices[0])) < 0:
                problem = f"expected {step.name} to read the state before time {t}, got {load}"
                raise LoopError(self.call, problem, str(step), f"read {load.source.name} at {t} - 1")
            if load.source.op in inside and load.indices[0] is not t:
                beside = f"{load.source.name}, which is computed beside it, at time {t}"
                problem = f"expected {step.name} to read {beside}, got {load}"
                hint = f"only {op.state.name} is kept from {first} on: read that"
                raise LoopError(self.call, problem, str(step), hint)

    def scatter(self, tensor: Tensor, op: Scatter) -> Stmt:
        """A copy of the data, then its points in order, each under its condition and within bounds."""
        result = self.target(tensor)
        start = self.copy(result, op.data)
        variables = self.open(op.axes, [tensor])
        indices = tuple(self.into(i, variables) for i in op.indices)
        value = self.into(op.value, variables)
        if op.combiner is not None:
            old = Load(result, indices)
            value = substitute(op.combiner.result[0], {op.combiner.left[0]: old, op.combiner.right[0]: value})
        step: Stmt = Store(result, indices, value)
        ends = zip(indices, self.extents(op.shape), strict=True)
        within = all_of(*[c for i, extent in ends for c in (const(0) <= i, i < extent)])
        for cond in (within, self.into(op.where, variables)):
            if not (isinstance(cond, Const) and cond.value):
                step = If(cond, step)
        return seq(start, self.nest(op.axes, variables, step))
