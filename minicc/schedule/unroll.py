"""unroll: the body of a short loop is repeated, once for each of its trips.

Meaning: the loop's kind becomes `unroll`; machine code has no loop, and its variable is a
constant in each copy of the body. The order of execution is the same.

Legality: the extent is constant.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(4), UnrollStep("i"))
for i in range(4):
    B[i] = A[i]*2.0
-->
for i in unroll(4):
    B[i] = A[i]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.ir.node import replace
from minicc.loop.ir import UNROLL, loops
from minicc.loop.program import Program
from minicc.schedule.nest import graft
from minicc.schedule.parallel import serial_loop
from minicc.schedule.step import Illegal, Step

MOST_COPIES = 16  # what moves tries; more is legal


class UnrollStep(Step):
    """Repeat the body of a loop instead of looping."""

    loop: str

    def transform(self, program: Program) -> Program:
        loop = serial_loop(program, self.loop)
        if not isinstance(loop.extent, int):
            problem = f"the extent of loop {loop.name} must be constant, got {loop.extent}"
            raise Illegal(problem, loop.name, f'split it first: s.split("{loop.name}", factor=4)')
        return graft(program, loop, replace(loop, kind=UNROLL))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[UnrollStep]:
        for loop in loops(program.body).values():
            if isinstance(loop.extent, int) and 1 < loop.extent <= MOST_COPIES:
                yield cls(loop.name)
