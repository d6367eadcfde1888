"""vectorize: all iterations of a short loop run at once, in the lanes of vector registers.

Meaning: the loop's kind becomes `vectorize`; every expression inside that depends on it is a
vector of as many lanes as the loop has trips.

Legality: as for `parallel`, and the extent is constant; no loop around or inside is vectorized,
and none inside is parallel.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(8), VectorizeStep("i"))
for i in range(8):
    B[i] = A[i]*2.0
-->
for i in vectorize(8):
    B[i] = A[i]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.ir.node import replace
from minicc.loop.ir import PARALLEL, VECTORIZE, loops
from minicc.loop.program import Program
from minicc.loop.queries import loops_around
from minicc.schedule.nest import graft
from minicc.schedule.parallel import check_independent, serial_loop
from minicc.schedule.step import Illegal, Step

MOST_LANES = 64  # what moves tries; more is legal


class VectorizeStep(Step):
    """Run the iterations of a loop in vector lanes."""

    loop: str

    def transform(self, program: Program) -> Program:
        loop = serial_loop(program, self.loop)
        if not isinstance(loop.extent, int):
            problem = f"the extent of loop {loop.name} must be constant, got {loop.extent}"
            raise Illegal(problem, loop.name, f'split it first: s.split("{loop.name}", factor=8)')
        check_independent(program, loop)
        for other in [*loops_around(program.body, loop), *loops(loop.body).values()]:
            outside = other.name not in loops(loop.body)
            if other.kind == VECTORIZE or (other.kind == PARALLEL and not outside):
                problem = f"loop {other.name} {'around' if outside else 'inside'} it is of kind {other.kind}"
                raise Illegal(problem, loop.name, "one loop of a nest can be vectorized; unroll the other")
        return graft(program, loop, replace(loop, kind=VECTORIZE))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[VectorizeStep]:
        for loop in loops(program.body).values():
            if isinstance(loop.extent, int) and 1 < loop.extent <= MOST_LANES:
                yield cls(loop.name)
