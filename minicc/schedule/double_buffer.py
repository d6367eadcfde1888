"""double_buffer: a buffer that each iteration of a loop fills anew gets two alternating copies.

Meaning: the buffer leaves the loop, one dimension richer: even iterations use the first half, odd
ones the second. So an iteration may start to fill its half while the one before is still read:
an out-of-order CPU, or a GPU that copies in the background, overlaps them.

Legality: the buffer is allocated in a serial loop.

>>> before, after = _example()
>>> print(before)
for i in range(4):
    T = empty((8,), float32)  # local
    for j in range(8):
        T[j] = A[i, j]*2.0
    for k in range(8):
        B[i, k] = T[7 - k]
>>> print(after)
T = empty((2, 8), float32)  # local
for i in range(4):
    for j in range(8):
        T[i%2, j] = A[i, j]*2.0
    for k in range(8):
        B[i, k] = T[i%2, 7 - k]
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.ir.node import replace
from minicc.loop.ir import SERIAL, Alloc, Buffer, For, Store, rewrite, seq
from minicc.loop.program import Program
from minicc.loop.queries import allocations, loops_around
from minicc.schedule.nest import get_alloc, graft, map_accesses
from minicc.schedule.step import Illegal, Step, loops_text
from minicc.tensor.expr import Var
from minicc.types import float32


class DoubleBufferStep(Step):
    """Let a buffer that is filled in a loop alternate between two copies."""

    buffer: str

    def transform(self, program: Program) -> Program:
        alloc = get_alloc(program, self.buffer)
        around = loops_around(program.body, alloc)
        if not around:
            raise Illegal(
                f"{self.buffer} is computed once, in no loop", self.buffer, f'first compute_at("{self.buffer}", loop)'
            )
        loop, old = around[-1], alloc.buffer
        if loop.kind != SERIAL:
            problem = f"expected {self.buffer} in a serial loop, but loop {loop.name} is of kind {loop.kind}"
            raise Illegal(problem, loop.name, f'compute it in a serial loop: s.compute_at("{self.buffer}", loop)')
        new = replace(old, shape=(2, *old.shape))
        half = loop.var % 2
        opened = rewrite(loop, lambda s: s.body if isinstance(s, Alloc) and s.buffer is old else s)
        return graft(
            program, loop, Alloc(new, map_accesses(opened, lambda b, at: (new, (half, *at)) if b is old else (b, at)))
        )

    @classmethod
    def candidates(cls, program: Program) -> Iterator[DoubleBufferStep]:
        return map(cls, allocations(program))


def _example() -> tuple[str, str]:
    """The program of the docstring, before and after."""
    a, b, t = Buffer("A", float32, (4, 8)), Buffer("B", float32, (4, 8)), Buffer("T", float32, (8,), "local")
    i, j, k = Var("i"), Var("j"), Var("k")
    body = seq(For(j, 8, Store(t, (j,), a[i, j] * 2.0)), For(k, 8, Store(b, (i, k), t[7 - k])))
    before = Program("reverse", (a,), (b,), For(i, 4, Alloc(t, body)))
    return loops_text(before), loops_text(DoubleBufferStep("T").apply(before))
