"""compute_root: a buffer that iterations of loops fill anew is computed once, before these loops.

Meaning: the nest that fills `buffer` moves out of all loops, and the buffer gets a dimension for each of those loops
that the nest depends on: what every iteration needs lies ready, in the order in which it will be read. It undoes
`compute_at`; where tiles overlap, their elements stay apart. The nest of a buffer outside of all loops stays where it
is; the buffer lives as long as the program.

Legality: the buffer is inside of the program, filled by one nest, and what that nest reads is not
written in the loops; their extents do not depend on each other.

>>> from minicc.schedule.examples import in_a_row, show
>>> s = in_a_row(8)
>>> _ = s.split("j", factor=2)
>>> s.compute_at("T", "j_o")
>>> show(s, ComputeRootStep("T"))
+ T = empty((4, 2), float32)
+ for j_o_root in range(4):
+     for i in range(2):
+         T[j_o_root, i] = A[j_o_root*2 + i]*2.0
  for j_o in range(4):
-     T = empty((2,), float32)  # local
-     for i in range(2):
-         T[i] = A[j_o*2 + i]*2.0
      for j_i in range(2):
-         B[j_o*2 + j_i] = T[j_i] + 1.0
+         B[j_o*2 + j_i] = T[j_o, j_i] + 1.0
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.ir.node import replace
from minicc.loop.ir import Alloc, Buffer, For, If, Seq, Stmt, expressions, rewrite, seq, substitute_vars, walk
from minicc.loop.program import Program
from minicc.loop.queries import all_reads, allocations, fresh, loops_around, path_to, private, reads, writes
from minicc.schedule.move import check_alone, written_from
from minicc.schedule.nest import get_alloc, graft, guarded, moved, nested
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Expr, Var, free_vars


class ComputeRootStep(Step):
    """Compute a buffer before the loops that it is computed in."""

    buffer: str

    def transform(self, program: Program) -> Program:
        alloc = get_alloc(program, self.buffer)
        around = loops_around(program.body, alloc)
        if not around:
            if all(isinstance(s, Alloc) for s in path_to(program.body, alloc)):
                return program
            rest = rewrite(program.body, lambda s: alloc.body if s is alloc else s)
            return replace(program, body=Alloc(alloc.buffer, rest))
        nest = self._nest(alloc)
        guards = [s for s in path_to(around[0], alloc) if isinstance(s, If)]
        self._check_inputs(around[0], alloc.buffer, nest, guards)
        used = free_vars(*[e for s in (*walk(nest), *guards) for e in expressions(s)])
        needed = [loop for loop in around if loop.var in used]
        for loop in needed:
            if isinstance(loop.extent, Expr) and free_vars(loop.extent) & {other.var for other in around}:
                problem = f"the extent of loop {loop.name} depends on another loop"
                raise Illegal(problem, loop.name, f"a box is stored, no triangle: leave {self.buffer} in its loop")
        scope = "shared" if alloc.buffer.scope == "shared" else "global"
        buffer = replace(alloc.buffer, shape=(*[loop.extent for loop in needed], *alloc.buffer.shape), scope=scope)
        inside: tuple[Expr, ...] = tuple(loop.var for loop in needed)
        outside = tuple(map(Var, fresh(program, *[f"{loop.name}_root" for loop in needed])))

        def opened(s: Stmt) -> Stmt:
            return seq() if s is nest else s.body if isinstance(s, Alloc) and s.buffer is alloc.buffer else s

        rest, producer = (
            moved(part, alloc.buffer, buffer, lambda at: (*inside, *at))  # what belongs to this iteration
            for part in (rewrite(around[0], opened), nest)
        )
        producer = substitute_vars(guarded(guards, producer), dict(zip(inside, outside, strict=True)))
        producer = nested(outside, [loop.extent for loop in needed], producer)
        return graft(program, around[0], Alloc(buffer, seq(producer, rest)))

    def _nest(self, alloc: Alloc) -> Stmt:
        """The one nest that fills the buffer, and nothing else that outlives it."""
        place = alloc.body
        while isinstance(place, Alloc):
            place = place.body
        found = [s for s in (place.stmts if isinstance(place, Seq) else ()) if writes(s, alloc.buffer)]
        if len(found) != 1:
            problem = f"one nest must fill {self.buffer} before it is read, but {len(found) or 'none'} do"
            hint = "use compute_root before peeling, partitioning or decomposing its loops"
            raise Illegal(problem, self.buffer, hint)
        hint = "first s.compute_root('{}'), if it is no output"
        check_alone(found[0], private(found[0]) | {alloc.buffer}, self.buffer, hint)
        return found[0]

    def _check_inputs(self, outermost: For, buffer: Buffer, nest: Stmt, guards: list[If]) -> None:
        found = [*all_reads(nest), *[load for guard in guards for load in reads(guard)]]
        needed = {load.source for load in found} - private(nest) - {buffer}
        if later := written_from(outermost, outermost, needed):
            problem = f"it reads {later.name}, which is written in loop {outermost.name}"
            hint = f'first s.compute_root("{later.name}"), so that it is complete before'
            raise Illegal(problem, self.buffer, hint)

    @classmethod
    def candidates(cls, program: Program) -> Iterator[ComputeRootStep]:
        return (cls(name) for name, alloc in allocations(program).items() if loops_around(program.body, alloc))
