"""What steps share that give a loop a kind: `parallel`, `vectorize`, `unroll` and `bind`.

Legality, but for `unroll`: the iterations are independent, so it is no loop of a reduction and nothing that it writes
is touched in two of them; buffers allocated inside belong to one iteration.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import ClassVar, TypeVar

from minicc.ir.node import replace
from minicc.loop.dependence import Dependence, dependences
from minicc.loop.ir import PARALLEL, SERIAL, VECTORIZE, For, Update, loops, walk
from minicc.loop.program import Program
from minicc.loop.queries import loops_around, private, reads, targets
from minicc.schedule.compute_at import ComputeAtStep
from minicc.schedule.nest import get_loop, graft
from minicc.schedule.rfactor import RfactorStep
from minicc.schedule.step import Illegal, Step
from minicc.schedule.tidy import ranges_of

S = TypeVar("S", bound="LoopKindStep")


class LoopKindStep(Step, abstract=True):
    """`loop`, a serial one, becomes one of `kind`."""

    loop: str
    kind: ClassVar[str]
    most: ClassVar[int] = 0  # trips that moves tries, of a loop that must be of constant extent

    def transform(self, program: Program) -> Program:
        loop = serial_loop(program, self.loop)
        if self.most and not isinstance(loop.extent, int):
            problem = f"the extent of loop {loop.name} must be constant, got {loop.extent}"
            raise Illegal(problem, loop.name, f'split it first: s.split("{loop.name}", factor={math.isqrt(self.most)})')
        self.check_loop(program, loop)
        return graft(program, loop, replace(loop, kind=self.new_kind()))

    def new_kind(self) -> str:
        """The kind that the loop gets."""
        return self.kind

    def check_loop(self, program: Program, loop: For) -> None:
        """Raises Illegal when `loop` cannot have the kind. Of a parallel and a vectorized loop, the vectorized one is inside."""
        check_independent(program, loop)
        inside = loops(loop.body)
        for other in (*loops_around(program.body, loop), *inside.values()):
            outer, inner = (self.kind, other.kind) if other.name in inside else (other.kind, self.kind)
            if outer == inner or (outer, inner) == (VECTORIZE, PARALLEL):
                where = "inside" if other.name in inside else "around"
                problem = f"loop {other.name} {where} it is of kind {other.kind}"
                raise Illegal(problem, loop.name, self.instead_of(other))

    def instead_of(self, other: For) -> str:
        """What helps where `other` has a kind that does not go with this one."""
        return f"fuse {other.name} and {self.loop} first"

    @classmethod
    def candidates(cls: type[S], program: Program) -> Iterator[S]:
        for loop in loops(program.body).values():
            if not cls.most or (isinstance(loop.extent, int) and 1 < loop.extent <= cls.most):
                yield cls(loop.name)


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
            buffer = s.buffers[0].name
            hint = partial(_way_of_reduction, program, buffer, loop.name)
            raise Illegal(f"{buffer} is reduced over loop {loop.name}", loop.name, hint)
    if found := shared(program, loop):
        problem = f"the iterations of loop {loop.name} depend on each other: {found[0]}"
        raise Illegal(problem, loop.name, partial(_way, program, loop, found[0]))


def check_repeatable(program: Program, loop: For) -> None:
    """Raises Illegal unless iterations of `loop` may run in any order, and twice."""
    check_independent(program, loop)
    body, hint = [loop.body, *walk(loop.body)], 'use tail="guard"'
    own = private(loop.body)
    inside = {f.var for f in loops(loop.body).values()}
    for s in body:
        if isinstance(s, Update) and not set(s.axes) <= inside:
            raise Illegal(f"{s.buffers[0].name} is reduced over a loop around {loop.name}", loop.name, hint)
    written = {b for s in body for b in targets(s)} - own
    for s in body:
        sums = s.buffers if isinstance(s, Update) else ()  # which start again
        if again := written & {load.source for load in reads(s)} - {*sums}:
            raise Illegal(f"an iteration reads {min(b.name for b in again)}, which it writes", loop.name, hint)


def shared(program: Program, loop: For) -> list[Dependence]:
    """What iterations of `loop` share, one of them writing, if there are several."""
    moving = [loop.var] if loop.extent != 1 else []
    return dependences(loop.body, moving, ranges_of(program), reductions_commute=False)


def _way_of_reduction(program: Program, buffer: str, loop: str) -> str:
    """What helps where a buffer is reduced over the loop."""
    first = f', or s.rfactor("{buffer}", "{loop}") first' if RfactorStep(buffer, loop).is_legal(program) else ""
    return f"choose a loop over an axis of the result{first}"


def _way(program: Program, loop: For, found: Dependence) -> str:
    """What helps where iterations of `loop` share elements of a buffer: loops of its nest that do not."""
    nest, buffer = [*loops_around(program.body, loop), *loops(loop.body).values()], found.first.buffer.name
    free = [f.name for f in nest if f.kind == SERIAL and not shared(program, f)]
    ways = [f"the iterations of {' and of '.join(free)} are independent: choose such a loop"] if free else []
    if ComputeAtStep(buffer, loop.name).is_legal(program):
        ways.append(f's.compute_at("{buffer}", "{loop.name}") gives each iteration its own {buffer}')
    return "; or ".join(ways) or f"leave {loop.name} serial: its iterations may need those before them"
