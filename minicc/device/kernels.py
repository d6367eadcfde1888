"""From loops bound to thread axes to what a GPU launches: the thread axes around each kernel, once.

In: a program of plain stores. Out: one of the same meaning on a GPU, in which each kernel is a nest of
its block and thread axes, and everything else is inside: a loop that was bound to an axis has become
the index of the axis, with a guard where it is shorter than the launch. Every thread runs all of
the body. What must happen once, a store to memory that threads share outside of loops over an axis,
is done where the index of the axis is 0.

    for b in blockIdx.x(4):                            for b in blockIdx.x(4):
        for i in threadIdx.x(8):                           for i in threadIdx.x(8):
            T = empty((4,), float32)  # shared                 T = empty((4,), float32)  # shared
            for j in threadIdx.x(4):             ->            if i < 4:
                T[j] = A[b*4 + j]                                  T[i] = A[b*4 + i]
            B[b, i] = T[i//2]                                  B[b, i] = T[i//2]

On a CPU each iteration of `i` fills a `T` of its own, all with the same elements; on a GPU the
threads fill one `T` together, and TVM puts barriers around that. Guards stand at single stores
where shared memory is concerned, so that every thread reaches every barrier. What this rests on is checked: a shared
buffer holds the same for every thread, and threads do not touch each other's elements elsewhere
(`loop.verify`, on the result).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from minicc.errors import BridgeError, LoopError, caret
from minicc.ir.node import replace
from minicc.loop.ir import PARALLEL, Alloc, Buffer, ExternCall, For, If, Prefetch, Seq, Stmt, Store, bodies, expressions
from minicc.loop.ir import loops, map_bodies, rewrite, seq, walk
from minicc.loop.program import Program
from minicc.loop.ranges import size_vars
from minicc.loop.simplify_loops import simplify_loops
from minicc.loop.verify import verify
from minicc.runtime.image import MOST_BLOCK, MOST_BLOCK_THREADS, MOST_GRID
from minicc.tensor.expr import Expr, Var, all_of, free_vars, loads, maximum, substitute

MOST_SHARED = 49152  # bytes of a block that need no special launch


def is_block(kind: str) -> bool:
    """Whether a loop of this kind runs over blocks."""
    return kind.startswith("blockIdx")


def is_thread(kind: str) -> bool:
    """Whether a loop of this kind runs over the threads of a block."""
    return kind.startswith("threadIdx")


def device_form(program: Program) -> Program:
    """The program as kernels. Raises BridgeError when it has no form on a GPU."""
    made = _Host(program)
    body = made.visit(program.body)
    try:
        verify(replace(program, body=_apart(body, made.crossed)))
    except LoopError as error:
        race = "must be independent" in error.problem
        problem = f"{error.problem}{', by threads of a GPU' if race else ''}"
        hint = error.hint or "the program as it is scheduled is not valid: change it there"
        raise BridgeError(_call(program), problem, error.where, hint) from error
    return simplify_loops(replace(program, body=body))


def _call(program: Program) -> str:
    return f"to_tir({program.name}, device=True)"


class _Host:
    """What is outside of kernels: buffers in global memory, and one kernel after the other."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.crossed: dict[Buffer, set[str]] = {}  # local buffers, by the axes of the loops inside that fill them

    def fail(self, problem: str, culprit: str, hint: str) -> BridgeError:
        """The error about `culprit`; raise it."""
        return BridgeError(_call(self.program), problem, caret(str(self.program), culprit), hint)

    def visit(self, s: Stmt) -> Stmt:
        """A statement outside of kernels."""
        match s:
            case Alloc(buffer, _) if buffer.scope != "global":
                raise self.fail(
                    f"expected {buffer.name}, which is {buffer.scope}, inside of the loops of one kernel, got it outside of them",
                    buffer.name,
                    f's.compute_at("{buffer.name}", loop), or s.set_scope("{buffer.name}", "global")',
                )
            case Alloc() | Seq():
                return map_bodies(s, self.visit)
            case Prefetch() | For(_, 0):
                return seq()
            case ExternCall(function, _, _):
                raise self.fail(
                    f"expected statements that a GPU can run, got a call of {function}",
                    f"{function}",
                    "build it for the CPU",
                )
        return self.kernel(s)

    def kernel(self, s: Stmt) -> Stmt:
        """A loop, a condition or a store outside of kernels, which must be one."""
        name = s.name if isinstance(s, For) else next((t.buffer.name for t in walk(s) if isinstance(t, Store)), "")
        inner = [loop for loop in loops(s).values() if is_block(loop.kind) or is_thread(loop.kind)]
        if inner and (s in inner or isinstance(s, If)):
            return _Kernel(self, s).form()
        what = f"the {s.kind} loop {name}" if isinstance(s, For) else f"a statement that writes {name}"
        raise self.fail(
            f"expected loops bound to blockIdx or threadIdx around everything, got {what} outside of them",
            name,
            f's.bind("{name}", "blockIdx.x")' if not inner else f"reorder {name} inside of {inner[0].name}",
        )


@dataclass(frozen=True)
class _Guard:
    """A condition on the way down; `divergent` when it may differ between the threads of a block."""

    cond: Expr
    divergent: bool


@dataclass
class _Place:
    """Where a statement stands: the loops over axes around it and the conditions that are not yet tested."""

    axes: tuple[For, ...] = ()
    guards: tuple[_Guard, ...] = ()
    shared: dict[Buffer, tuple[int, int]] = field(
        default_factory=dict
    )  # how many axes and guards are around its allocation


class _Kernel:
    """One kernel under construction."""

    def __init__(self, host: _Host, root: Stmt) -> None:
        self.host, self.program, self.root = host, host.program, root
        self.extents: dict[str, Any] = {}  # of the launch
        self.index: dict[str, Var] = {}  # by axis
        self.values: dict[Expr, Expr] = {}  # of the variables of bound loops
        for loop in loops(root).values():
            if is_block(loop.kind) or is_thread(loop.kind):
                self.add(loop)
            elif loop.kind == PARALLEL:
                raise self.host.fail(
                    f"expected no parallel loop inside of a kernel, got {loop.name}",
                    f"for {loop.name} in",
                    f'leave it serial, or s.bind("{loop.name}", "threadIdx.x")',
                )
        self.kinds = sorted(self.index, key=lambda kind: (is_thread(kind), kind))  # blocks first
        self.threads = {self.index[kind] for kind in self.kinds if is_thread(kind)}
        self.check_size()

    def add(self, loop: For) -> None:
        """Launch at least as many of an axis as this loop has iterations."""
        outside = set(size_vars(self.program))
        if isinstance(loop.extent, Expr) and not free_vars(loop.extent) <= outside:
            raise self.host.fail(
                f"expected a number of trips of {loop.name} that is known at the launch, got {loop.extent}",
                f"for {loop.name} in",
                "bind another loop",
            )
        before = self.extents.get(loop.kind, loop.extent)
        both = isinstance(before, int) and isinstance(loop.extent, int)
        same = before is loop.extent or before == loop.extent
        self.extents[loop.kind] = before if same else max(before, loop.extent) if both else maximum(before, loop.extent)
        self.index.setdefault(loop.kind, loop.var)
        self.values[loop.var] = self.index[loop.kind]

    def check_size(self) -> None:
        """Raises BridgeError when a block has more threads or shared memory than any device grants."""
        known = [self.extents[kind] for kind in self.kinds if is_thread(kind) and isinstance(self.extents[kind], int)]
        if math.prod(known) > MOST_BLOCK_THREADS:
            raise self.host.fail(
                f"expected at most {MOST_BLOCK_THREADS} threads in a block, got {' * '.join(map(str, known))}",
                next(s.name for s in loops(self.root).values() if is_thread(s.kind)),
                "split the loop, and bind the inner one",
            )
        for kind in self.kinds:
            extent, most = self.extents[kind], (MOST_BLOCK if is_thread(kind) else MOST_GRID)["xyz".index(kind[-1])]
            if isinstance(extent, int) and extent > most:
                raise self.host.fail(
                    f"expected at most {most} for {kind}, got {extent}",
                    self.index[kind].name,
                    "split the loop, or bind it to another axis: of blocks, blockIdx.x takes the most",
                )
        shared = [s.buffer for s in walk(self.root) if isinstance(s, Alloc) and s.buffer.scope == "shared"]
        for buffer in shared:
            if not all(isinstance(d, int) for d in buffer.shape):
                raise self.host.fail(
                    f"expected a shared buffer of known size, got {buffer}",
                    buffer.name,
                    "split by a number, and compute it inside",
                )
        if (total := sum(b.type.bytes for b in shared)) > MOST_SHARED:
            raise self.host.fail(
                f"expected at most {MOST_SHARED} bytes of shared memory in a block, got {total}",
                shared[0].name,
                "use smaller tiles",
            )

    def form(self) -> Stmt:
        """The nest of the axes around the body."""
        body = self.visit(self.root, _Place())
        for kind in reversed(self.kinds):
            body = For(self.index[kind], self.extents[kind], body, kind)
        return body

    # ---- the body, from the outside in

    def visit(self, s: Stmt, place: _Place) -> Stmt:
        """A statement of the kernel without loops over axes, its conditions where no barrier is inside of them."""
        if place.guards and not _touches_shared(s):  # no barrier will be inside: test here, once
            conds = [g.cond for g in place.guards]
            return If(all_of(*conds), self.visit(s, _Place(place.axes)))
        match s:
            case Seq(stmts):
                return seq(*[self.visit(t, place) for t in stmts])
            case If(cond, body):
                return self.guarded(cond, body, place)
            case For() if s.kind in self.index:
                return self.bound(s, place)
            case For(_, extent):
                extent = self.expr(extent) if isinstance(extent, Expr) else extent
                return replace(s, extent=extent, body=self.visit(s.body, place), kind=s.kind)
            case Alloc(buffer, body):
                return self.alloc(buffer, body, place)
            case Store():
                return self.store(s, place)
            case ExternCall(function, _, _):
                raise self.host.fail(
                    f"expected statements that a GPU can run, got a call of {function}",
                    f"{function}",
                    "build it for the CPU",
                )
        return seq()

    def expr(self, e: Expr) -> Expr:
        """`e` with the index of the axis for each variable of a bound loop."""
        return substitute(e, self.values)

    def bound(self, s: For, place: _Place) -> Stmt:
        """A loop over an axis: its variable is the index of the axis."""
        for outer in place.axes:
            if outer.kind == s.kind:
                self.check_together(outer, s)
        guards = place.guards
        if s.extent is not self.extents[s.kind] and s.extent != self.extents[s.kind]:
            guards = (*guards, _Guard(self.index[s.kind] < s.extent, is_thread(s.kind)))
        return self.visit(s.body, _Place((*place.axes, s), guards, place.shared))

    def check_together(self, outer: For, inner: For) -> None:
        """Raises BridgeError unless `inner`, over the thread axis of `outer`, fills what every iteration of `outer` fills alike."""
        own, around = ({t.buffer for t in walk(loop) if isinstance(t, Alloc)} for loop in (inner, outer))
        for t in walk(inner):
            if (
                isinstance(t, Store)
                and t.buffer not in own
                and not (is_thread(inner.kind) and t.buffer.scope == "shared" and t.buffer in around)
            ):
                raise self.host.fail(
                    f"expected loop {inner.name}, inside of {outer.name} and over {inner.kind} like it, to fill shared "
                    f"buffers that live in {outer.name}, got {t.buffer.name}",
                    inner.name,
                    "choose another axis",
                )

    def guarded(self, cond: Expr, body: Stmt, place: _Place) -> Stmt:
        """The condition waits until it meets the stores; it must be the same there."""
        written = {t.buffer for t in walk(body) if isinstance(t, Store)}
        if _touches_shared(body) and any(load.source in written for load in loads(cond)):
            raise self.host.fail(
                f"expected a condition that its body does not change, got {cond} around shared memory",
                "if",
                "compute the condition into a buffer of its own first",
            )
        made = self.expr(cond)
        own = bool(free_vars(made) & self.threads) or any(load.source.scope != "global" for load in loads(made))
        return self.visit(body, _Place(place.axes, (*place.guards, _Guard(made, own)), place.shared))

    def alloc(self, buffer: Buffer, body: Stmt, place: _Place) -> Stmt:
        """A buffer of the block, or of each thread."""
        if buffer.scope == "global":
            raise self.host.fail(
                f"expected {buffer.name}, inside of a kernel, to be shared or local, got global",
                buffer.name,
                f's.set_scope("{buffer.name}", "shared")',
            )
        if parted := [f for f in loops(body).values() if is_block(f.kind) and _fills(f, buffer)]:
            raise self.host.fail(
                f"expected {buffer.name}, which each block has its own of, to be filled by every block, got parts of it "
                f"filled by the blocks of {parted[0].name}",
                buffer.name,
                f"bind {parted[0].name} to threadIdx",
            )
        if buffer.scope == "shared":
            self.check_same(buffer, body, {f.var for f in place.axes if is_thread(f.kind)})
            place = _Place(place.axes, place.guards, {**place.shared, buffer: (len(place.axes), len(place.guards))})
        elif axes := {f.kind for f in loops(body).values() if f.kind in self.index and _fills(f, buffer)}:
            self.host.crossed[buffer] = axes
        return Alloc(buffer, self.visit(body, place))

    def store(self, s: Store, place: _Place) -> Stmt:
        """The store, where every condition holds, by one thread of those that would do the same."""
        axes, guards = place.axes, place.guards
        once = self.kinds if s.buffer.scope == "global" else []
        if s.buffer.scope == "shared":
            first, before = place.shared[s.buffer]
            axes = axes[first:]
            guards = (*[g for g in guards[:before] if not g.divergent], *guards[before:])
            once = [kind for kind in self.kinds if is_thread(kind)]
        around = {f.kind for f in axes}
        alone = [self.index[kind].equal(0) for kind in once if kind not in around and self.extents[kind] != 1]
        made = Store(s.buffer, tuple(map(self.expr, s.indices)), self.expr(s.value))
        conds = [*alone, *[g.cond for g in guards]]
        return If(all_of(*conds), made) if conds else made

    def check_same(self, buffer: Buffer, body: Stmt, outer: set[Var]) -> None:
        """Raises BridgeError when what a shared buffer holds depends on the thread that fills it."""
        inside = {s.buffer for s in walk(body) if isinstance(s, Alloc)}
        kernel = {s.buffer for s in walk(self.root) if isinstance(s, Alloc) and s.buffer.scope == "local"}
        own = kernel - inside  # differs between threads
        stores = list(_stores(body, ()))
        size = -1
        while outer and size != len(own):
            size = len(own)
            own |= {
                s.buffer
                for s, exprs in stores
                if free_vars(*exprs) & outer or any(e.source in own for e in loads(*exprs))
            }
        if outer and buffer in own:
            names = ", ".join(sorted(v.name for v in outer))
            raise self.host.fail(
                f"expected the shared {buffer.name} to hold the same for every thread of a block, got elements that depend on "
                f"the threads of {names}",
                buffer.name,
                "compute it outside of the thread loops, or keep it local",
            )


def _stores(s: Stmt, around: tuple[Expr, ...]) -> Iterator[tuple[Store, tuple[Expr, ...]]]:
    """Every store in `s` with all expressions that decide what it does."""
    own = (*around, *expressions(s))
    if isinstance(s, Store):
        yield s, own
    for inner in bodies(s):
        yield from _stores(inner, own)


def _fills(s: Stmt, buffer: Buffer) -> bool:
    """Whether `s` writes elements of `buffer`."""
    return any(isinstance(t, Store) and t.buffer is buffer for t in walk(s))


def _touches_shared(s: Stmt) -> bool:
    """Whether shared memory is written or read in `s`."""
    for t in walk(s):
        if isinstance(t, Store) and t.buffer.scope == "shared":
            return True
        if any(load.source.scope == "shared" for load in loads(*expressions(t))):
            return True
    return False


def _apart(s: Stmt, crossed: dict[Buffer, set[str]]) -> Stmt:
    """`s` with each local buffer outside of the axes that it crosses: for the verifier, which then sees
    when a thread reads an element that another has written."""
    if not isinstance(s, For):
        return map_bodies(s, lambda t: _apart(t, crossed))

    def nest(t: Stmt, waiting: set[Buffer]) -> Stmt:
        if not waiting or not isinstance(t, For):
            return rewrite(t, lambda x: x.body if isinstance(x, Alloc) and x.buffer in crossed else x)
        here = {b for b in waiting if t.kind in crossed[b]}
        made: Stmt = replace(t, body=nest(t.body, waiting - here))
        for buffer in sorted(here, key=lambda b: b.name):
            made = Alloc(buffer, made)
        return made

    return nest(s, {t.buffer for t in walk(s) if isinstance(t, Alloc)} & crossed.keys())
