"""unroll: the body of a short loop is repeated, once for each of its trips.

Meaning: the loop's kind becomes `unroll`; machine code has no loop, and its variable is a
constant in each copy of the body. The order of execution is the same.

Legality: the extent is constant.

>>> before, after = _example()
>>> print(before)
for i in range(4):
    B[i] = A[i]*2.0
>>> print(after)
for i in unroll(4):
    B[i] = A[i]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.ir.node import replace
from minicc.loop.ir import UNROLL, Buffer, For, Store, loops
from minicc.loop.program import Program
from minicc.schedule.nest import graft
from minicc.schedule.parallel import serial_loop
from minicc.schedule.step import Illegal, Step, loops_text
from minicc.tensor.expr import Var
from minicc.types import float32

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


def _example() -> tuple[str, str]:
    """The program of the docstring, before and after."""
    a, b, i = Buffer("A", float32, (4,)), Buffer("B", float32, (4,)), Var("i")
    before = Program("double", (a,), (b,), For(i, 4, Store(b, (i,), a[i] * 2.0)))
    return loops_text(before), loops_text(UnrollStep("i").apply(before))
