"""The rules of a loop program, checked: nothing undefined, nothing out of bounds, no race.

In: a program. Out: nothing, or a LoopError that shows the culprit. Checked are

- names: every loop and every buffer has its own, and every use is inside its scope;
- types: one dtype on both sides of a store, as many indices as dimensions, conditions are bool;
- definitions: nothing is read that no earlier statement has written, and inputs are not written;
- bounds: every index lies in its buffer, whatever the loops do, as guards and selects allow, and
  for all symbolic sizes that the program's `requires` allows;
- storage: what is said to be in registers or on the stack can be there;
- races: iterations of a loop whose order does not matter touch distinct elements (`loop.dependence`).

What cannot be proven is an error. Facts come from the extents of loops and from conditions; where
their intervals prove nothing, short loops are looked at point by point (`loop.points`).
`required` finds what a program must require of its sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NoReturn

from minicc.errors import LoopError, caret
from minicc.loop.dependence import Access, meeting
from minicc.loop.ir import PARALLEL, REGISTERS, SERIAL, STACK, STORAGES, THREAD_AXES, UNROLL, VECTORIZE, WORKSPACE
from minicc.loop.ir import Alloc, Buffer, ExternCall, For, If, Prefetch, Seq, Stmt, Store, Update
from minicc.loop.place_buffers import STACK_LIMIT, fits_registers, fits_stack, known_loops
from minicc.loop.points import outside
from minicc.loop.program import Program
from minicc.loop.queries import conjuncts
from minicc.loop.ranges import Ranges, inside, least, size_vars, sizes, within
from minicc.loop.requirements import FALSE, condition
from minicc.tensor.bounds import Bounds, assume
from minicc.tensor.expr import Expr, Load, Reduce, Select, Var, all_of, any_of, binary, children, const
from minicc.tensor.expr import free_vars, unary
from minicc.types import boolean, int64

_KINDS = (SERIAL, PARALLEL, VECTORIZE, UNROLL, *THREAD_AXES)


@lru_cache(maxsize=16)  # a schedule is lowered and built, often more than once
def verify(program: Program) -> None:
    """Raise LoopError at the first rule that `program` breaks."""
    _Verifier(program).run()


def required(program: Program) -> tuple[tuple[Expr, str], ...]:
    """Conditions on the sizes that keep every index in its buffer, each with an element; nothing where a rule is broken."""
    verifier = _Verifier(program)
    verifier.needs = {}
    try:
        verifier.run()
    except LoopError:
        return ()  # verify will say it
    return tuple(verifier.needs.items())


class _Known:
    """What holds at a place: intervals, and the very conditions that were tested."""

    def __init__(self, ranges: Ranges, truths: frozenset[Expr] = frozenset()) -> None:
        self.bounds, self.ranges, self.truths = Bounds(ranges), ranges, truths
        self.branches: dict[tuple[Expr, bool], _Known] = {}

    def where(self, cond: Expr, truth: bool = True) -> _Known:
        """This, where `cond` is true, or false."""
        if (cond, truth) not in self.branches:
            tested = frozenset(conjuncts(cond if truth else unary("not", cond)))
            self.branches[cond, truth] = _Known(assume(cond, self.ranges, truth), self.truths | tested)
        return self.branches[cond, truth]

    def within(self, index: Expr, extent: int | Expr) -> bool:
        """Whether 0 <= index < extent is proven."""
        low, high = within(self.bounds, index, extent)
        return (least(self.bounds, low) >= 0 or binary("le", const(0), index) in self.truths) and (
            least(self.bounds, high) >= 0 or binary("lt", index, extent) in self.truths
        )

    def may_be(self, cond: Expr, truth: bool) -> bool:
        """Whether `cond` may have that value, by what is known and by what it says itself: `1 <= i and i < 1` does not."""
        return truth in self.bounds.of(cond) and truth in self.where(cond, truth).bounds.of(cond)


class _Verifier:
    def __init__(self, program: Program) -> None:
        self.program = program
        self.names: set[str] = set()
        self.buffers: set[Buffer] = {*program.params, *program.outputs}  # in scope
        self.variables: set[Var] = set(size_vars(program))  # in scope
        self.written: set[Buffer] = set(program.params)
        self.accesses: list[Access] = []  # in program order, of the buffers in scope
        self.sizes, self.trips = frozenset(self.variables), list[Expr]()  # symbolic extents of the loops around
        self.needs: dict[Expr, str] | None = None  # collected, unless the program must state them
        self.requires = set(conjuncts(*[cond for cond, _ in program.requires]))

    def run(self) -> None:
        for name in [v.name for v in self.variables] + [b.name for b in (*self.program.params, *self.program.outputs)]:
            self.claim(name)
        self.visit(self.program.body, _Known(self.as_required(sizes(self.program))))
        for buffer in self.program.outputs:
            if buffer not in self.written and 0 not in buffer.shape:
                hint = f"store to each element of {buffer.name}, or leave it out of the outputs"
                self.fail(f"expected every output to be written, got no store to {buffer}", buffer.name, hint)

    def fail(self, problem: str, culprit: str, hint: str) -> NoReturn:
        raise LoopError(f"verify({self.program.name})", problem, caret(str(self.program), culprit), hint)

    def as_required(self, ranges: Ranges) -> Ranges:
        """`ranges`, and what the program requires."""
        for cond, _ in self.program.requires:
            ranges = assume(cond, ranges)
        return ranges

    def claim(self, name: str) -> None:
        if name in self.names:
            self.fail(f"names must be unique, got {name} twice", name, f"rename one {name}")
        self.names.add(name)

    # ---- statements

    def visit(self, s: Stmt, known: _Known) -> None:
        match s:
            case For():
                self.loop(s, known)
            case Seq(stmts):
                for inner in stmts:
                    self.visit(inner, known)
            case If(cond, body):
                self.guard(cond, body, known)
            case Alloc(buffer, body):
                self.claim(buffer.name)
                self.storage(s)
                self.buffers.add(buffer)
                self.visit(body, known)
                self.buffers.discard(buffer)
                self.accesses = [a for a in self.accesses if a.buffer is not buffer]
            case Store(buffer, indices, value):
                self.exprs((*indices, value), known)
                self.write(buffer, indices, value, known)
            case Update():
                self.update(s, known)
            case Prefetch(buffer, indices):
                self.prefetch(buffer, indices, known)
            case ExternCall():
                self.extern(s, known)

    def storage(self, s: Alloc) -> None:
        """Refuse a storage that cannot hold the buffer; the workspace holds every one."""
        if s.storage not in ("", *STORAGES):
            self.fail(f"{s.buffer} has an unknown storage: {s.storage}", s.buffer.name, f"one of {', '.join(STORAGES)}")
        if s.storage in (STACK, REGISTERS) and not fits_stack(s.buffer):
            problem = f"a buffer {s.storage} must be of at most {STACK_LIMIT} bytes, got {s.buffer}"
            self.fail(problem, s.buffer.name, f"put it {WORKSPACE}, as place_buffers does")
        if s.storage == REGISTERS and not fits_registers(s, known_loops(self.program.body)):
            problem = (
                f"indices of a buffer {REGISTERS} must be numbers once loops are unrolled, got others of {s.buffer}"
            )
            self.fail(problem, s.buffer.name, f"unroll or vectorize the loops over it, or put it {STACK}")

    def loop(self, s: For, known: _Known) -> None:
        self.claim(s.name)
        if s.kind not in _KINDS:
            self.fail(f"loop {s.name} has an unknown kind {s.kind}", s.name, f"one of {', '.join(_KINDS)}")
        before, around = len(self.accesses), self.trips
        ranges, truths = inside(s, known.ranges), known.truths
        if isinstance(s.extent, Expr):
            self.exprs((s.extent,), known)
            if s.extent.dtype is not int64:
                problem = f"the extent of loop {s.name} must be int64, got {s.extent.dtype}"
                self.fail(problem, s.name, "cast it: x.astype(int64)")
            self.trips = [*around, s.extent]
            ranges, truths = self.as_required(ranges), truths | {binary("lt", s.var, s.extent)}
        elif s.extent <= 0:
            return  # nothing in it runs
        self.variables.add(s.var)
        self.visit(s.body, _Known(ranges, truths))
        self.variables.discard(s.var)
        self.trips = around
        if s.kind not in (SERIAL, UNROLL) and s.extent != 1:
            self.race(s, self.accesses[before:])

    def race(self, s: For, accesses: Sequence[Access]) -> None:
        shared = {a.buffer for a in accesses if a.write and a.buffer.scope != "shared"}
        once = {(a, a.bounds): a for a in accesses if a.buffer in shared}
        if found := meeting(s, [*once.values()]):
            first, second = found if found[0].write else found[::-1]
            does = f"writes {first} and another {'writes' if second.write else 'reads'} {second}"
            problem = f"iterations of the {s.kind} loop {s.name} must be independent, but one {does}"
            hint = f"make {s.name} serial, or allocate {first.buffer.name} inside of it"
            self.fail(problem, f"for {s.name} in", hint)

    def guard(self, cond: Expr, body: Stmt, known: _Known) -> None:
        self.exprs((cond,), known)
        if cond.dtype is not boolean:
            self.fail(f"a condition must be bool, got {cond.dtype}: {cond}", "if", f"compare it: {cond} != 0")
        if known.may_be(cond, True):
            self.visit(body, known.where(cond))

    def prefetch(self, buffer: Buffer, indices: tuple[Expr, ...], known: _Known) -> None:
        if buffer not in self.buffers:
            hint = f"prefetch inside of the allocation of {buffer.name}"
            self.fail(f"prefetch of {buffer.name} is outside of its scope", buffer.name, hint)
        self.exprs(indices, known)

    def extern(self, s: ExternCall, known: _Known) -> None:
        output, hint = s.output, "write to a buffer of its own, and copy"
        if output in self.program.params:
            problem = f"inputs must not be written, got a call of {s.function} that writes {output}"
            self.fail(problem, output.name, hint)
        if output in s.inputs:
            self.fail(f"{s.function} must not read {output.name}, which it writes", output.name, hint)
        for buffer in (*s.inputs, output):
            name = buffer.name
            if buffer not in self.buffers:
                hint = f"move the call into the allocation of {name}"
                self.fail(f"{name} is outside of its scope", f"{s.function}", hint)
            if buffer is not output and buffer not in self.written:
                problem = f"{name} is read by {s.function} before anything is written to it"
                self.fail(problem, name, f"fill {name} before the call")
            self.accesses.append(Access(buffer, (const(0),) * len(buffer.shape), known.bounds, buffer is output))
        self.written.add(output)

    def update(self, s: Update, known: _Known) -> None:
        target = Access(s.buffers[0], s.indices, known.bounds, True)
        if not len(s.buffers) == len(s.values) == len(s.inits):
            got = f"got {len(s.values)} and {len(s.inits)}"
            problem = f"an update of {len(s.buffers)} buffers needs as many values and inits, {got}"
            self.fail(problem, target.buffer.name, "one value and one init for each buffer")
        for axis in s.axes:
            if axis not in self.variables:
                hint = f"put the update into a loop {axis.name}, or leave it out of the axes"
                self.fail(f"{target} is reduced over {axis}, which is no loop around it", axis.name, hint)
            if axis in free_vars(*s.indices):
                hint = f"leave {axis.name} out of the axes, or out of the indices"
                self.fail(f"{target} is reduced over {axis}, so its indices must not depend on it", axis.name, hint)
        for values, indices in ((s.inits, s.indices), (s.values, ())):
            self.exprs((*indices, *values), known)
            for buffer, value in zip(s.buffers, values, strict=True):
                self.write(buffer, s.indices, value, known)

    def write(self, buffer: Buffer, indices: tuple[Expr, ...], value: Expr, known: _Known) -> None:
        name = buffer.name
        if buffer in self.program.params:
            hint = "store to a buffer of its own: an allocation or an output"
            self.fail(f"inputs must not be written, got a store to {buffer}", name, hint)
        if value.dtype is not buffer.dtype:
            problem = f"{name} holds {buffer.dtype}, got a value of {value.dtype}: {value}"
            self.fail(problem, name, f"cast it: x.astype({str(buffer.dtype)!r})")
        self.access(buffer, indices, known, True)
        self.written.add(buffer)

    # ---- expressions

    def exprs(self, exprs: Sequence[Expr], known: _Known) -> None:
        """Check everything in `exprs`; the branches of a select are evaluated where its condition allows."""
        pending = [(e, known) for e in exprs]
        seen: set[tuple[Expr, _Known]] = set()
        while pending:
            x, here = pending.pop()
            if (x, here) in seen:
                continue
            seen.add((x, here))
            match x:
                case Var():
                    self.variable(x)
                case Load():
                    self.access(x.source, x.indices, here, False)
                case Reduce():
                    problem = f"a loop program has no reductions in expressions, got {x}"
                    self.fail(problem, x.combiner.name, "lower it: a reduction is an Update of a buffer")
                case Select(cond, then, other):
                    pending.append((cond, here))
                    sides = ((then, True), (other, False))
                    pending += [(e, here.where(cond, truth)) for e, truth in sides if here.may_be(cond, truth)]
                    continue
            pending += [(c, here) for c in children(x)]

    def variable(self, var: Var) -> None:
        if var not in self.variables:
            hint = f"move the statement into the loop {var.name}"
            self.fail(f"{var} is used outside of its loop", var.name, hint)

    def access(self, buffer: Buffer, indices: tuple[Expr, ...], known: _Known, write: bool) -> None:
        found, name, rank = Access(buffer, indices, known.bounds, write, known.truths), buffer.name, len(buffer.shape)
        if buffer not in self.buffers:
            hint = f"move the statement into the allocation of {name}"
            self.fail(f"{found} is outside of the scope of {name}", str(found), hint)
        if not write and buffer not in self.written:
            problem = f"{found} is read before anything is written to {name}"
            self.fail(problem, str(found), f"fill {name} before it is read")
        if len(indices) != rank:
            problem = f"{buffer} has {rank} dimensions, got {len(indices)} indices: {found}"
            self.fail(problem, str(found), f"give {rank} indices")
        for var in free_vars(*indices):
            self.variable(var)
        for index, extent in zip(indices, buffer.shape, strict=True):
            if index.dtype is not int64:
                self.fail(f"indices must be int64, got {index.dtype}: {found}", str(found), "cast it: x.astype(int64)")
            if not known.within(index, extent):
                self.require(found, index, extent, known)
        self.accesses.append(found)

    def require(self, found: Access, index: Expr, extent: int | Expr, known: _Known) -> None:
        """Refuse an index that is not proven inside, unless no point is outside, or what the program requires of its sizes keeps it there."""
        points = outside(index, extent, known.bounds, known.truths)
        if points == []:
            return
        cond = self.condition(index, extent, known) if self.sizes else FALSE
        if cond is FALSE or not (self.needs is not None or set(conjuncts(cond)) <= self.requires):
            low, high = known.bounds.of(index)
            at = [f", {n} where {', '.join([f'{v} = {x}' for v, x in at.items()])}" for n, at in points or () if at]
            got = f"got {index}, which may be in [{low}, {high}]{''.join(at)}"
            limit = f"0 <= {index}" if low < 0 else f"{index} < {extent}"
            only = f"{'store' if found.write else 'read'} it only where {limit} holds (te.if_then_else)"
            hint = f"{only}, pad {found.buffer.name}, or make the loops shorter"
            self.fail(f"expected an index in [0, {extent}) of {found}, {got}", str(found), hint)
        if self.needs is not None:
            self.needs |= {part: str(found) for part in sorted(conjuncts(cond), key=str) if part not in self.needs}

    def condition(self, index: Expr, extent: int | Expr, known: _Known) -> Expr:
        """What the sizes must be for `index` to be inside, if they decide it, and if the loops around run at all."""
        forms, growing = within(known.bounds, index, extent), isinstance(extent, Expr)
        cond = all_of(*[condition(known.bounds, form, self.sizes, growing) for form in forms])
        for trips in self.trips:
            if cond is FALSE or not free_vars(trips) <= self.sizes:
                continue
            never = binary("lt", trips, 1)
            if not Bounds(assume(never, sizes(self.program))).of(cond)[0]:
                cond = all_of(*[any_of(part, never) for part in sorted(conjuncts(cond), key=str)])
        return cond
