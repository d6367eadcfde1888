"""double_buffer: a buffer that each iteration of a loop fills anew gets two alternating copies.

Meaning: the buffer leaves the loop, one dimension richer: even iterations use the first half, odd
ones the second. So an iteration may start to fill its half while the one before is still read:
an out-of-order CPU, or a GPU that copies in the background, overlaps them.

Legality: the buffer is allocated in a serial loop.

>>> from minicc.schedule.examples import transposed, show
>>> s = transposed(8, 4)
>>> s.compute_at("T", "k")
>>> show(s, DoubleBufferStep("T"))
+ T = empty((2, 8, 1), float32)  # local
  for k in range(4):
-     T = empty((8, 1), float32)  # local
      for i in range(8):
          for j in range(1):
-             T[i, 0] = A[i, k]
+             T[k%2, i, 0] = A[i, k]
      for l in range(8):
-         B[k, l] = T[l, 0]
+         B[k, l] = T[k%2, l, 0]
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.ir.node import replace
from minicc.loop.ir import SERIAL, Alloc, rewrite
from minicc.loop.program import Program
from minicc.loop.queries import allocations, loops_around
from minicc.schedule.nest import get_alloc, graft, moved
from minicc.schedule.step import Illegal, Step


class DoubleBufferStep(Step):
    """Let a buffer that is filled in a loop alternate between two copies."""

    buffer: str

    def transform(self, program: Program) -> Program:
        alloc = get_alloc(program, self.buffer)
        if not (around := loops_around(program.body, alloc)):
            hint = f'first compute_at("{self.buffer}", loop)'
            raise Illegal(f"{self.buffer} is computed once, in no loop", self.buffer, hint)
        loop, old = around[-1], alloc.buffer
        if loop.kind != SERIAL:
            problem = f"expected {self.buffer} in a serial loop, but loop {loop.name} is of kind {loop.kind}"
            raise Illegal(problem, loop.name, f'compute it in a serial loop: s.compute_at("{self.buffer}", loop)')
        new = replace(old, shape=(2, *old.shape))
        opened = rewrite(loop, lambda s: s.body if isinstance(s, Alloc) and s.buffer is old else s)
        return graft(program, loop, Alloc(new, moved(opened, old, new, lambda at: (loop.var % 2, *at))))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[DoubleBufferStep]:
        return map(cls, allocations(program))
