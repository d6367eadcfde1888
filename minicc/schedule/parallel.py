"""parallel: the iterations of a loop are shared out among threads.

Meaning: the loop's kind becomes `parallel`; its iterations run in any order, or at once.

Legality: the iterations are independent, so it is no loop of a reduction and nothing that it
writes is touched in two iterations; buffers allocated inside belong to one iteration. Parallel
and vectorized loops do not nest in either order, save a vectorized loop inside a parallel one.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(4), ParallelStep("i"))
for i in range(4):
    B[i] = A[i]*2.0
-->
for i in parallel(4):
    B[i] = A[i]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from minicc.ir.node import replace
from minicc.loop.dependence import Dependence, dependences
from minicc.loop.ir import PARALLEL, SERIAL, VECTORIZE, For, Update, loops, walk
from minicc.loop.program import Program
from minicc.loop.queries import loops_around
from minicc.schedule.compute_at import ComputeAtStep
from minicc.schedule.nest import get_loop, graft
from minicc.schedule.rfactor import RfactorStep
from minicc.schedule.step import Illegal, Step
from minicc.schedule.tidy import ranges_of


class ParallelStep(Step):
    """Share out the iterations of a loop among threads."""

    loop: str

    def transform(self, program: Program) -> Program:
        loop = serial_loop(program, self.loop)
        check_independent(program, loop)
        for other in [*loops_around(program.body, loop), *loops(loop.body).values()]:
            outside = other.name not in loops(loop.body)
            if other.kind == PARALLEL or (other.kind == VECTORIZE and outside):
                problem = f"loop {other.name} {'around' if outside else 'inside'} it is of kind {other.kind}"
                raise Illegal(problem, loop.name, f"fuse {other.name} and {loop.name} first")
        return graft(program, loop, replace(loop, kind=PARALLEL))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[ParallelStep]:
        return map(cls, loops(program.body))


def serial_loop(program: Program, name: str) -> For:
    """The loop `name`, which must not have a kind yet. Raises Illegal."""
    loop = get_loop(program, name)
    if loop.kind != SERIAL:
        hint = f"a loop has one kind: undo that step, or split {name} before it and take the other part"
        raise Illegal(f"expected a serial loop, got one of kind {loop.kind}", name, hint)
    return loop


def check_independent(program: Program, loop: For) -> None:
    """Raises Illegal when two iterations of `loop` touch one element and one of them writes it."""
    for s in walk(loop.body):
        if isinstance(s, Update) and loop.var in s.axes:
            problem = f"{s.buffers[0].name} is reduced over loop {loop.name}"
            raise Illegal(problem, loop.name, partial(_way_of_reduction, program, s.buffers[0].name, loop.name))
    moving = [loop.var] if loop.extent != 1 else []  # one iteration depends on no other
    for found in dependences(loop.body, moving, ranges_of(program), reductions_commute=False):
        problem = f"the iterations of loop {loop.name} depend on each other: {found}"
        raise Illegal(problem, loop.name, partial(_way, program, loop, found))


def _way_of_reduction(program: Program, buffer: str, loop: str) -> str:
    """What helps where a buffer is reduced over the loop."""
    first = f', or s.rfactor("{buffer}", "{loop}") first' if RfactorStep(buffer, loop).is_legal(program) else ""
    return f"choose a loop over an axis of the result{first}"


def _way(program: Program, loop: For, found: Dependence) -> str:
    """What helps where iterations of `loop` share elements of a buffer: loops of its nest that do not."""
    ranges = ranges_of(program)
    nest = [*loops_around(program.body, loop), *loops(loop.body).values()]
    free = [
        f.name for f in nest if f.kind == SERIAL and not dependences(f.body, [f.var], ranges, reductions_commute=False)
    ]
    own = f's.compute_at("{found.first.buffer.name}", "{loop.name}") gives each iteration its own {found.first.buffer.name}'
    ways = [f"the iterations of {' and of '.join(free)} are independent: choose such a loop"] if free else []
    ways += [own] if ComputeAtStep(found.first.buffer.name, loop.name).is_legal(program) else []
    return "; or ".join(ways) or f"leave {loop.name} serial: its iterations may need those before them"
