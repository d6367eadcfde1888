"""prefetch: an iteration of a loop asks for what a later one will read.

Meaning: for each load of `buffer` in `loop`, a hint at the start of the iteration names the first
element that the iteration `offset` trips later reads through it, so that its cache line is there
by then. Choose an inner loop for more lines. Hints beyond the end of the buffer do no harm. A loop that runs once has
no later iteration, and asks for nothing.

With `spread`, a loop inside, each of its iterations has hints for some lines of all that the later iteration of `loop`
reads, one after the other, in whole rows. So memory works all the time, where a first pass over a block would wait for it, and the
other passes would not need it (as Van Zee and van de Geijn 2015, BLIS, section 5, fetch the next panel).

Legality: the loop reads the buffer, at places that move with the loop and are no loads themselves, and the buffer is
not allocated in the loop. Neither the loop of the hints nor one around it is vectorized. To be spread, an iteration reads
rows of its own, and the loops have known extents.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(64, 16), PrefetchStep("A", "i", 8))
  for i in range(64):
+     prefetch(A, i + 8, 0)
      for j in range(16):
          B[i, j] = A[i, j]*2.0
>>> show(doubled(64, 32), PrefetchStep("A", "i", 2, spread="j"))
  for i in range(64):
      for j in range(32):
+         prefetch(A, i + 2, j)
          B[i, j] = A[i, j]*2.0
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import For, Prefetch, loops, seq, walk
from minicc.loop.program import Program
from minicc.loop.queries import all_reads, loops_around, private
from minicc.loop.region import box
from minicc.schedule.move import check_not_vectorized
from minicc.schedule.nest import get_loop, graft
from minicc.schedule.step import Illegal, Step
from minicc.schedule.tidy import ranges_of
from minicc.tensor.expr import Expr, Load, const, free_vars, loads, substitute
from minicc.tensor.simplify import Simplifier


LINE = 64  # bytes of a line of a cache


class PrefetchStep(Step, positional=2):
    """Ask in each iteration of a loop for what it reads of a buffer `offset` iterations later; all of it, over `spread`."""

    buffer: str
    loop: str
    offset: int = 1
    spread: str | None = None

    @classmethod
    def at_stage(cls, stage: Any, tensor: Any, axis: Any, offset: int = 1, spread: Any = None) -> PrefetchStep:
        """The loops are of the stage, which reads `tensor`."""
        inner = None if spread is None else stage.loop(spread)
        return cls(stage.schedule[tensor].name, stage.loop(axis), offset, inner)

    def transform(self, program: Program) -> Program:
        loop = get_loop(program, self.loop)
        if self.offset < 1:
            problem = f"expected an offset of at least 1, got {self.offset}"
            raise Illegal(problem, loop.name, "1 asks for what the next iteration reads")
        asking = loop if self.spread is None else get_loop(program, self.spread)
        check_not_vectorized(program, asking)
        if self.buffer in [b.name for b in private(loop)]:
            problem = f"{self.buffer} is allocated in loop {loop.name}"
            raise Illegal(problem, self.buffer, "choose a loop inside of its scope")
        found = [r for r in all_reads(loop.body) if r.source.name == self.buffer and loop.var in free_vars(r)]
        if loop.extent == 1:
            return program
        if not found:
            raise Illegal(f"no read of {self.buffer} moves with loop {loop.name}", loop.name, "choose another loop")
        for load in found:
            if inner := loads(*load.indices):
                hint = f"prefetch {inner[0].source.name}, which says where, or a buffer whose place the loops tell"
                raise Illegal(f"the place of {load} is read from memory itself", loop.name, hint)
        hints = self._first(loop, found) if self.spread is None else self._all(program, loop, asking, found)
        return graft(program, asking, replace(asking, body=seq(*dict.fromkeys(hints), asking.body)))

    def _first(self, loop: For, found: list[Load]) -> list[Prefetch]:
        """A hint for each load: the first element that it reads."""
        point: dict[Expr, Expr] = {inner.var: const(0) for inner in loops(loop.body).values()}
        point[loop.var] = loop.var + self.offset
        return [Prefetch(r.source, tuple(substitute(i, point) for i in r.indices)) for r in found]

    def _all(self, program: Program, loop: For, asking: For, found: list[Load]) -> list[Prefetch]:
        """The hints of an iteration of the loop `asking`, so that all of them ask for each line."""
        path = [*loops_around(loop.body, asking), asking]
        if asking not in loops(loop.body).values():
            raise Illegal(f"loop {asking.name} is not inside of loop {loop.name}", asking.name, "choose a loop inside")
        ranges, buffer = ranges_of(program), found[0].source
        inside = {f.var: ranges[f.var] for f in loops(loop.body).values()}
        starts, extents = zip(*box(found, buffer.shape, inside, Simplifier(ranges)), strict=True)
        moving = next((d for d, n in enumerate(extents) if n != 1), len(extents) - 1)
        extents = (*extents[: moving + 1], *buffer.shape[moving + 1 :])  # one stretch: whole rows
        starts = (*starts[: moving + 1], *[const(0) for _ in buffer.shape[moving + 1 :]])
        trips = [f.extent for f in path]
        if not all(isinstance(n, int) for n in (*extents, *trips)):
            raise Illegal("the extents are not known", loop.name, "leave out spread")
        if 0 in trips:
            return []
        if loop.var not in free_vars(*starts):
            problem = f"the rows of {buffer.name} that an iteration of loop {loop.name} reads are those of the others"
            raise Illegal(problem, loop.name, "leave out spread, or let it read rows of its own")
        turn: Expr = const(0)
        for f in path:
            turn = turn * f.extent + f.var
        step = -(-math.prod(extents) // math.prod(trips))
        first = [substitute(i, {loop.var: loop.var + self.offset}) for i in starts]
        line = LINE // buffer.dtype.bytes
        return [Prefetch(buffer, (*first[:-1], first[-1] + turn * step + n)) for n in range(0, step, line)]

    @classmethod
    def candidates(cls, program: Program) -> Iterator[PrefetchStep]:
        for loop in loops(program.body).values():
            if not any(isinstance(s, Prefetch) for s in walk(loop.body)):
                for name in dict.fromkeys(load.source.name for load in all_reads(loop.body)):
                    yield cls(name, loop.name, 4)
                    yield from [cls(name, loop.name, 1, inner) for inner in loops(loop.body)]
