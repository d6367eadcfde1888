"""prefetch: an iteration of a loop asks for what a later one will read.

Meaning: for each load of `buffer` in `loop`, a hint at the start of the iteration names the first
element that the iteration `offset` trips later reads through it, so that its cache line is there
by then. Choose an inner loop for more lines. Hints beyond the end of the buffer do no harm.

Legality: the loop reads the buffer, at places that move with the loop and are no loads themselves, and the buffer is
not allocated in the loop. Neither the loop nor one around it is vectorized.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(64, 16), PrefetchStep("A", "i", 8))
  for i in range(64):
+     prefetch(A, i + 8, 0)
      for j in range(16):
          B[i, j] = A[i, j]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import Prefetch, loops, seq, walk
from minicc.loop.program import Program
from minicc.loop.queries import all_reads, private
from minicc.schedule.move import check_not_vectorized
from minicc.schedule.nest import get_loop, graft
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Expr, const, free_vars, loads, substitute


class PrefetchStep(Step, positional=2):
    """Ask in each iteration of a loop for what it reads of a buffer `offset` iterations later."""

    buffer: str
    loop: str
    offset: int = 1

    @classmethod
    def at_stage(cls, stage: Any, tensor: Any, axis: Any, offset: int = 1) -> PrefetchStep:
        """The loop is one of the stage, which reads `tensor`."""
        return cls(stage.schedule[tensor].name, stage.loop(axis), offset)

    def transform(self, program: Program) -> Program:
        loop = get_loop(program, self.loop)
        if self.offset < 1:
            problem = f"expected an offset of at least 1, got {self.offset}"
            raise Illegal(problem, loop.name, "1 asks for what the next iteration reads")
        check_not_vectorized(program, loop)
        if self.buffer in [b.name for b in private(loop)]:
            problem = f"{self.buffer} is allocated in loop {loop.name}"
            raise Illegal(problem, self.buffer, "choose a loop inside of its scope")
        found = [r for r in all_reads(loop.body) if r.source.name == self.buffer and loop.var in free_vars(r)]
        if not found:
            raise Illegal(f"no read of {self.buffer} moves with loop {loop.name}", loop.name, "choose another loop")
        for load in found:
            if inner := loads(*load.indices):
                hint = f"prefetch {inner[0].source.name}, which says where, or a buffer whose place the loops tell"
                raise Illegal(f"the place of {load} is read from memory itself", loop.name, hint)
        point: dict[Expr, Expr] = {inner.var: const(0) for inner in loops(loop.body).values()}
        point[loop.var] = loop.var + self.offset
        hints = [Prefetch(r.source, tuple(substitute(i, point) for i in r.indices)) for r in found]
        return graft(program, loop, replace(loop, body=seq(*dict.fromkeys(hints), loop.body)))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[PrefetchStep]:
        for loop in loops(program.body).values():
            if not any(isinstance(s, Prefetch) for s in walk(loop.body)):
                for name in dict.fromkeys(load.source.name for load in all_reads(loop.body)):
                    yield cls(name, loop.name, 4)
