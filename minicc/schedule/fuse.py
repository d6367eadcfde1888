"""fuse: two nested loops become one over all their pairs.

Meaning: `f` in `range(n*m)` stands for `i = f//m`, `j = f%m`. The order of execution is the same.

Legality: `j` is directly inside `i`, both are serial, `m` is constant, and both or neither are
loops of the reductions inside.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(4, 8), FuseStep("i", "j"))
- for i in range(4):
-     for j in range(8):
-         B[i, j] = A[i, j]*2.0
+ for i_j_f in range(32):
+     B[i_j_f//8, i_j_f%8] = A[i_j_f//8, i_j_f%8]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.loop.ir import SERIAL, For, If, Update, loops, substitute_vars, walk
from minicc.loop.program import Program
from minicc.loop.queries import fresh
from minicc.schedule.nest import get_loop, graft
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Expr, Var


class FuseStep(Step, positional=2, axes={"outer": "outer", "inner": "inner"}):
    """Make one loop of two, of which `inner` is directly inside `outer`. Returns its name."""

    outer: str
    inner: str

    def names(self, program: Program) -> str:
        return fresh(program, f"{self.outer}_{self.inner}_f")[0]

    def transform(self, program: Program) -> Program:
        outer, inner = get_loop(program, self.outer), get_loop(program, self.inner)
        if outer.body is not inner:
            problem = f"loop {inner.name} must be all that loop {outer.name} contains"
            raise Illegal(problem, outer.name, _way(outer, inner))
        for loop in (outer, inner):
            if loop.kind != SERIAL:
                raise Illegal(f"expected serial loops, got {loop.name} of kind {loop.kind}", loop.name, "fuse before")
        if not isinstance(inner.extent, int):
            hint = f's.reorder("{inner.name}", "{outer.name}") first, and fuse them in this order'
            if not isinstance(outer.extent, int):
                hint = "leave them apart: only the outer one of two may have a symbolic extent"
            problem = f"the extent of loop {inner.name} must be constant, got {inner.extent}"
            raise Illegal(problem, inner.name, hint)
        for s in walk(inner.body):
            if isinstance(s, Update) and (outer.var in s.axes) != (inner.var in s.axes):
                reduced, other = (outer, inner) if outer.var in s.axes else (inner, outer)
                problem = f"{s.buffers[0].name} is reduced over {reduced.name} but not over {other.name}"
                raise Illegal(problem, other.name, "fuse two axes of the result, or two of the reduction")
        variable = Var(self.names(program))
        values: dict[Expr, Expr] = {outer.var: variable // inner.extent, inner.var: variable % inner.extent}
        return graft(program, outer, For(variable, outer.extent * inner.extent, substitute_vars(inner.body, values)))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[FuseStep]:
        for loop in loops(program.body).values():
            if isinstance(loop.body, For):
                yield cls(loop.name, loop.body.name)


def _way(outer: For, inner: For) -> str:
    """What helps where `inner` is not directly inside `outer`."""
    if outer.name in loops(inner.body):
        return f'give the outer one first: s.fuse("{inner.name}", "{outer.name}")'
    if inner.name not in loops(outer.body):
        return "fuse loops of one nest, of which one is inside the other"
    if isinstance(outer.body, If):
        return 'the guard of a ragged tile stands between them: fuse before you split, or split with tail="mask" or by a factor that divides'
    return "reorder first, so that nothing stands between them"
