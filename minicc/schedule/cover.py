"""cover: one loop becomes two, an outer one over tiles and an inner one within a tile, and every tile is whole.

Meaning: as `split`, but where `factor` does not divide the extent, the last tile begins earlier, and computes again what
the one before it has computed (Halide calls it to shift inwards). So no tile has a guard, and a vector no mask.

Legality: a serial loop of constant extent, at least `factor`, around one plain store, which reads nothing of what it
writes: it may be done twice. The tiles depend on each other where they overlap, so they cannot run at once.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(10), CoverStep("i", 4))
- for i in range(10):
-     B[i] = A[i]*2.0
+ for i_o in range(3):
+     for i_i in range(4):
+         B[i_i + minimum(i_o*4, 6)] = A[i_i + minimum(i_o*4, 6)]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.loop.ir import For, If, Store, loops, substitute_vars, walk
from minicc.loop.program import Program
from minicc.loop.queries import all_reads, fresh
from minicc.schedule.loop_kind import serial_loop
from minicc.schedule.nest import graft
from minicc.schedule.split import FACTORS
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Var, minimum


class CoverStep(Step, positional=1):
    """Split a loop in two, into tiles of `factor` trips of which the last is shifted. Returns the outer and the inner name."""

    loop: str
    factor: int

    def names(self, program: Program) -> tuple[str, str]:
        outer, inner = fresh(program, f"{self.loop}_o", f"{self.loop}_i")
        return outer, inner

    def transform(self, program: Program) -> Program:
        loop, factor = serial_loop(program, self.loop), self.factor
        if not isinstance(loop.extent, int) or not 1 <= factor <= loop.extent:
            problem = (
                f"expected a constant extent of loop {loop.name}, of at least a factor of 1 or more, got {loop.extent}"
            )
            raise Illegal(problem, loop.name, f's.split("{loop.name}", factor={factor}) has a guard instead')
        inside = [s for s in walk(loop.body) if not isinstance(s, (For, If))]
        if len(inside) != 1 or not isinstance(store := inside[0], Store) or all_reads(loop.body, store.buffer):
            problem = f"expected loop {loop.name} around one store, which does not read what it writes"
            raise Illegal(problem, loop.name, "cover before compute_at: what is shifted is computed twice")
        outer, inner = map(Var, self.names(program))
        body = substitute_vars(loop.body, {loop.var: minimum(outer * factor, loop.extent - factor) + inner})
        return graft(program, loop, For(outer, -(-loop.extent // factor), For(inner, factor, body)))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[CoverStep]:
        extents = {name: loop.extent for name, loop in loops(program.body).items() if isinstance(loop.extent, int)}
        return (cls(name, factor) for name, extent in extents.items() for factor in FACTORS if extent % factor)
