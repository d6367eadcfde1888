"""compute_at: a producer moves into a loop of its consumer, and computes there what is needed there.

Meaning: the nest that fills `buffer` moves to the start of the body of `loop`. Its loops shrink to the box of elements
that the body reads, and the buffer to that box, so it is smaller, warmer, and private to an iteration. Where the box
may stick out of the buffer's domain, the producer's index is clamped into it: an element at the edge is computed again
into a cell that nobody reads, which needs no branch. A shared buffer belongs to all threads of a block: its box is what
the iterations of the thread loops around need together, so that threads can fill it together.

Legality: the buffer is inside of the program, filled by one statement over loops that are its axes, and read under
`loop` only, later than its nest; what the nest reads is not written in between. `scope` is that of the smaller buffer:
by default local up to 1,024 elements; a shared buffer stays so.

>>> from minicc.schedule.examples import in_a_row, show
>>> s = in_a_row(8)
>>> _ = s.split("j", factor=2)
>>> show(s, ComputeAtStep("T", "j_o"))
- T = empty((8,), float32)
- for i in range(8):
-     T[i] = A[i]*2.0
  for j_o in range(4):
+     T = empty((2,), float32)  # local
+     for i in range(2):
+         T[i] = A[j_o*2 + i]*2.0
      for j_i in range(2):
-         B[j_o*2 + j_i] = T[j_o*2 + j_i] + 1.0
+         B[j_o*2 + j_i] = T[j_i] + 1.0
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import Alloc, Buffer, For, If, Prefetch, Scope, Seq, Stmt, loops, rewrite, seq, substitute_vars
from minicc.loop.program import Program
from minicc.loop.queries import Write, all_reads, allocations, loops_around, path_to, private, readers, reads, targets
from minicc.loop.queries import writes
from minicc.loop.ranges import inside as inside_of
from minicc.loop.region import box
from minicc.schedule.move import check_alone, check_not_vectorized, is_small, minus, reads_itself, shortened
from minicc.schedule.move import written_from
from minicc.schedule.nest import get_alloc, get_loop, graft, guarded, moved
from minicc.schedule.set_scope import check_scope
from minicc.schedule.step import Illegal, Step
from minicc.schedule.tidy import ranges_of
from minicc.tensor.bounds import assume
from minicc.tensor.expr import Const, Expr, Var, const, free_vars, maximum, minimum
from minicc.tensor.simplify import Simplifier


@dataclass(frozen=True)
class _Move:
    """The parts of a program that take part."""

    alloc: Alloc
    write: Write
    nest: Stmt  # the producer
    loop: For  # the place


class ComputeAtStep(Step, positional=2):
    """Compute the part of a buffer that an iteration of `loop` needs, in it."""

    buffer: str
    loop: str
    scope: Scope | None = None

    @classmethod
    def at_stage(cls, stage: Any, parent: Any, axis: Any, scope: Scope | None = None) -> ComputeAtStep:
        """The loop is one of the stage `parent`."""
        return cls(stage.name, stage.schedule[parent].loop(axis), scope)

    def transform(self, program: Program) -> Program:
        move = self._find(program)
        self._check_flow(program, move)
        old, ranges = move.alloc.buffer, ranges_of(program)
        around = [*loops_around(program.body, move.loop), move.loop]
        for outer in around:
            ranges = inside_of(outer, ranges) if isinstance(outer.extent, Expr) else ranges
        shared = (self.scope or old.scope) == "shared"
        together = {f.var for f in around if shared and f.kind.startswith("threadIdx")}
        guards: list[If] = []
        inside = move.loop.body
        while isinstance(inside, If) and not any(load.source is old for load in reads(inside)):
            if together & free_vars(inside.cond):  # it holds for some of the threads that fill the box
                break
            guards.append(inside)  # of the loop itself: known to hold for the producer as well
            ranges = assume(inside.cond, ranges)
            inside = inside.body
        simplify = Simplifier(ranges)
        inner = {var: ranges[var] for var in [*[f.var for f in loops(inside).values()], *together]}
        region = box(all_reads(inside, old), old.shape, inner, simplify)
        shape = tuple(extent for _, extent in region)
        buffer = replace(old, shape=shape, scope=self._scope(old.scope, shape))
        consumers = moved(inside, old, buffer, lambda at: minus(at, [start for start, _ in region]))
        body: Stmt = Alloc(buffer, seq(self._producer(move, buffer, region, simplify), consumers))
        new_loop = replace(move.loop, body=guarded(guards, body))

        def change(s: Stmt) -> Stmt:
            return seq() if s is move.nest else new_loop if s is move.loop else s

        return graft(program, move.alloc, _without_empty(rewrite(move.alloc.body, change)))

    def _find(self, program: Program) -> _Move:
        """The statements that take part, or why they cannot."""
        alloc, loop = get_alloc(program, self.buffer), get_loop(program, self.loop)
        found = writes(alloc.body, alloc.buffer)
        if len(found) != 1 or len(targets(found[0])) != 1:
            what = f"{len(found)} statements write it" if len(found) != 1 else "its reduction fills other buffers too"
            hint = "use compute_at before peeling or decomposing; buffers that are reduced together stay where they are"
            raise Illegal(f"it must be filled by one statement of its own, but {what}", self.buffer, hint)
        write, way = found[0], path_to(alloc.body, loop)
        if not way:
            problem = f"loop {loop.name} is not where {self.buffer} lives"
            raise Illegal(problem, loop.name, f"choose one of {', '.join(loops(alloc.body))}")
        path = path_to(alloc.body, write)
        nest = next((s for s in path if s not in way), path[-1])
        if nest is loop or path_to(loop, write):
            problem = f"loop {loop.name} is around the nest of {self.buffer} itself"
            raise Illegal(problem, loop.name, f"choose a loop of a reader: {_reading(alloc, path)}")
        shared = path_to(alloc.body, nest)[-2]
        assert isinstance(shared, Seq)
        if shared.stmts.index(nest) > [bool(path_to(s, loop)) for s in shared.stmts].index(True):
            problem = f"loop {loop.name} comes before the nest of {self.buffer}"
            raise Illegal(problem, loop.name, f"choose a loop that reads {self.buffer}, and comes after it")
        check_not_vectorized(program, loop)
        return _Move(alloc, write, nest, loop)

    def _check_flow(self, program: Program, move: _Move) -> None:
        """The axes are plain, the readers are under the loop, and what the nest reads stays."""
        buffer, body = move.alloc.buffer, move.alloc.body
        extents: dict[Expr, Any] = {f.var: f.extent for f in loops_around(move.nest, move.write)}
        for index, extent in zip(move.write.indices, buffer.shape, strict=True):
            alone = isinstance(index, Const) and extent == 1
            if not alone and not (index in extents and extents.pop(index) == extent):
                problem = f"{self.buffer} must be stored over loops that are its axes, but is stored at {index}"
                raise Illegal(problem, self.buffer, "use compute_at before splitting or fusing its loops")
        if reads_itself(move.nest, move.write):
            problem = f"the elements of {self.buffer} are computed from one another"
            raise Illegal(problem, self.buffer, f"a recurrence stays in its nest: leave {self.buffer} where it is")
        users = [s for s in readers(body, buffer) if s is not move.write]
        if not users or len(readers(move.loop.body, buffer)) < len(users):  # equal statements are one object
            where = f"read outside of loop {move.loop.name}" if users else "never read"
            raise Illegal(f"{self.buffer} is {where}", self.buffer, "choose a loop that encloses every reader")
        own = private(move.nest) | {buffer}
        hint = f"move {self.buffer} before you compute another buffer in its loops"
        check_alone(move.nest, own, self.buffer, hint)
        if later := written_from(program.body, move.nest, {load.source for load in all_reads(move.nest)} - own):
            hint = f'keep a copy of what it reads: s.cache_read("{later.name}", readers=["{self.buffer}"])'
            raise Illegal(f"it reads {later.name}, which is written later again", self.buffer, hint)

    def _scope(self, scope: str, shape: tuple[Any, ...]) -> str:
        if self.scope is not None:
            check_scope(self.scope, self.buffer)
        return self.scope or ("shared" if scope == "shared" else "local" if is_small(shape) else "global")

    def _producer(self, move: _Move, buffer: Buffer, region: list[tuple[Expr, Any]], simplify: Simplifier) -> Stmt:
        """The nest over the box: its loops count from the start of the box, its indices are clamped."""
        marks = tuple(Var(f"{i}'") if isinstance(i, Var) else i for i in move.write.indices)
        old = move.alloc.buffer
        hinted = rewrite(move.nest, lambda s: seq() if isinstance(s, Prefetch) and s.buffer is old else s)
        nest = moved(_without_empty(hinted), old, buffer, lambda at: marks)
        values: dict[Expr, Expr] = {}
        extents: dict[Expr, Any] = {}
        for index, (start, size), limit in zip(move.write.indices, region, old.shape, strict=True):
            if isinstance(index, Var):
                extents[index] = size
                values[index] = index if size == limit else _clamped(start, index, size, limit, simplify)
        back: dict[Expr, Expr] = {m: i for m, i in zip(marks, move.write.indices, strict=True) if isinstance(m, Var)}
        return shortened(substitute_vars(substitute_vars(nest, values), back), extents)

    @classmethod
    def candidates(cls, program: Program) -> Iterator[ComputeAtStep]:
        for buffer, alloc in allocations(program).items():
            for loop in loops(alloc.body):
                yield cls(buffer, loop)


def _clamped(start: Expr, index: Var, size: int, limit: Any, simplify: Simplifier) -> Expr:
    """`start + index` within `[0, limit)`, with only the clamps that bounds cannot prove away."""
    low, _ = simplify.bounds.of(start)
    value = start + index
    if low < 0:
        value = maximum(value, 0)
    apart = simplify.bounds.difference(simplify(start + (size - 1)), limit if isinstance(limit, Expr) else const(limit))
    return minimum(value, limit - 1) if apart is None or apart[1] >= 0 else value


def _without_empty(s: Stmt) -> Stmt:
    """`s` without the holes that a moved nest leaves."""
    return rewrite(s, lambda t: seq(*[x for x in t.stmts if x is not seq()]) if isinstance(t, Seq) and t.stmts else t)


def _reading(alloc: Alloc, path: list[Stmt]) -> str:
    """The loops around what reads a buffer, but for those on the path to what writes it."""
    around = [s for reader in readers(alloc.body, alloc.buffer) for s in path_to(alloc.body, reader) if s not in path]
    return ", ".join(dict.fromkeys(s.name for s in around if isinstance(s, For))) or "there is none"
