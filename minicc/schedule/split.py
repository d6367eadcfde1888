"""split: one loop becomes two, an outer one over tiles and an inner one within a tile.

Meaning: `i` takes the values `i_o*factor + i_i`. Where the factor does not divide the extent, `tail="guard"` puts the
body under an `If`, `tail="mask"` puts each store in it under one, inside of all loops, so that `loop_i` or a loop in it
stays a whole vector, stored under a mask, and `tail="peel"` gives the rest a nest of its own. With `tail="overlap"` the
last tile begins early enough to be whole, at `minimum(i_o*factor, extent - factor)`: some iterations run twice, none has a guard.

Legality: always, for a serial loop. The tail of a reduction over several buffers cannot be
peeled, and peeling and overlapping need a constant extent with at least one whole tile. For a mask, no loop
inside may be as long as an expression of the loop says. Iterations that run twice must be independent, and change
nothing that they read.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(10), SplitStep("i", 4))
- for i in range(10):
-     B[i] = A[i]*2.0
+ for i_o in range(3):
+     for i_i in range(4):
+         if i_o*4 + i_i < 10:
+             B[i_o*4 + i_i] = A[i_o*4 + i_i]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from minicc.ir.node import replace
from minicc.loop.ir import SERIAL, Alloc, For, If, Seq, Stmt, bodies, loops, rewrite, seq, substitute_vars
from minicc.loop.program import Program
from minicc.loop.queries import fresh
from minicc.schedule.loop_kind import check_repeatable
from minicc.schedule.nest import continued, duplicate, get_loop, graft, masked
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Expr, Var, minimum

FACTORS = (2, 3, 4, 8, 16, 32, 64)  # what moves tries
Tail = Literal["guard", "mask", "peel", "overlap"]
TAILS = ("guard", "mask", "peel", "overlap")


class SplitStep(Step, axes={"loop": "parent"}):
    """Split a loop in two: `factor` trips inside, or `nparts` outside. Returns the outer and the inner name."""

    loop: str
    factor: int | None = None
    nparts: int | None = None
    tail: Tail = "guard"

    def names(self, program: Program) -> tuple[str, str]:
        outer, inner = fresh(program, f"{self.loop}_o", f"{self.loop}_i")
        return outer, inner

    def transform(self, program: Program) -> Program:
        loop = get_loop(program, self.loop)
        if loop.kind != SERIAL:
            problem = f"expected a serial loop, got one of kind {loop.kind}"
            raise Illegal(problem, loop.name, f"split {loop.name} before")
        if self.tail not in TAILS:
            problem = f"expected tail to be one of {', '.join(TAILS)}, got {self.tail!r}"
            raise Illegal(problem, loop.name, f's.split("{loop.name}", factor=8, tail="guard")')
        factor = self._factor(loop)
        whole = isinstance(loop.extent, int) and loop.extent % factor == 0
        if self.tail == "peel" and not whole:
            return graft(program, loop, self._peeled(program, loop, factor))
        if self.tail == "overlap" and not whole:
            check_repeatable(program, loop)
            return graft(program, loop, self._overlapping(program, loop, factor))
        return graft(program, loop, self._guarded(program, loop, factor, not whole))

    def _factor(self, loop: For) -> int:
        given = self.factor if self.nparts is None else self.nparts
        if (self.factor is None) == (self.nparts is None):
            raise Illegal("expected one of factor and nparts", loop.name, "for example factor=8")
        if not isinstance(given, int) or given < 1:
            problem = f"expected a positive number, got {given}"
            raise Illegal(problem, loop.name, f'1 or more, as in s.split("{loop.name}", factor=8)')
        if self.nparts is None:
            return given
        if not isinstance(loop.extent, int):
            raise Illegal(f"nparts needs a constant extent, got {loop.extent}", loop.name, "give a factor")
        return max(-(-loop.extent // given), 1)

    def _guarded(self, program: Program, loop: For, factor: int, ragged: bool) -> Stmt:
        outer, inner = map(Var, self.names(program))
        value = outer * factor + inner
        body = substitute_vars(loop.body, {loop.var: value})
        trips = self.nparts if self.nparts is not None else (loop.extent + (factor - 1)) // factor
        covered = trips * factor
        if ragged or (isinstance(covered, int) and covered != loop.extent):
            body = masked(body, value < loop.extent) if self.tail == "mask" else If(value < loop.extent, body)
        return For(outer, trips, For(inner, factor, body))

    def _overlapping(self, program: Program, loop: For, factor: int) -> Stmt:
        extent, (outer, inner) = self._constant(loop, factor), map(Var, self.names(program))
        body = substitute_vars(loop.body, {loop.var: minimum(outer * factor, extent - factor) + inner})
        return For(outer, -(-extent // factor), For(inner, factor, body))

    def _constant(self, loop: For, factor: int) -> int:
        """The extent of a loop that is taken apart into whole tiles."""
        if not isinstance(loop.extent, int) or loop.extent < factor:
            problem = f"for tail={self.tail!r} loop {loop.name} must have a constant extent of at least {factor}, got {loop.extent}"
            raise Illegal(problem, loop.name, 'use tail="guard"')
        return loop.extent

    def _peeled(self, program: Program, loop: For, factor: int) -> Stmt:
        extent, (outer, inner) = self._constant(loop, factor), map(Var, self.names(program))
        parts = extent // factor
        main = For(outer, parts, For(inner, factor, substitute_vars(loop.body, {loop.var: outer * factor + inner})))
        rest = duplicate(program, replace(loop, extent=extent - parts * factor), "_tail")
        assert isinstance(rest, For)
        body = rewrite(rest.body, lambda s: continued(s, rest.var))
        return seq(main, replace(rest, body=substitute_vars(body, {rest.var: rest.var + parts * factor})))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[SplitStep]:
        for loop in loops(program.body).values():
            for factor in FACTORS:
                if isinstance(loop.extent, Expr):
                    yield cls(loop.name, factor)
                elif factor < loop.extent:
                    yield cls(loop.name, factor)
                    if loop.extent % factor:
                        yield cls(loop.name, factor, tail="peel")
                        yield cls(loop.name, factor, tail="overlap")
                        if any(isinstance(s, (For, Alloc, Seq)) for s in bodies(loop)):
                            yield cls(loop.name, factor, tail="mask")
