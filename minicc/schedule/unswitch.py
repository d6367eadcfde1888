"""unswitch: what a loop asks in each of its trips, with one answer, is asked once, before it.

Meaning: of the guards and selects inside of `loop`, those conditions that neither the loop nor what is in it changes
stand in an `If` around the loop, which loses them there; a copy of the loop, `<loop>_else`, runs where they do not all
hold. So the padding above and below an image costs a branch for a row of taps, and nothing for each tap.

Legality: there is such a condition, and it reads no buffer. Reductions inside are decomposed before, as each has one
statement.

>>> from minicc.schedule.examples import show, smoothed
>>> s = smoothed(8)
>>> _ = s.split("k", factor=1), s.decompose_reduction("B", "k_o")
>>> show(s, UnswitchStep("k_i"))
  for i in range(8):
      B[i] = 0.0
      for k_o in range(3):
-         for k_i in range(1):
-             B[i] = B[i] + (A[i + k_o - 1] if 1 <= i + k_o and i + k_o < 9 else float32(0.0))
+         if 1 <= i + k_o and i + k_o < 9:
+             for k_i in range(1):
+                 B[i] = B[i] + A[i + k_o - 1]
+         if not (1 <= i + k_o and i + k_o < 9):
+             for k_i_else in range(1):
+                 B[i] = B[i] + 0.0
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.ir.node import replace
from minicc.loop.ir import For, If, Stmt, Update, expressions, loops, map_expressions, rewrite, seq, walk
from minicc.loop.program import Program
from minicc.loop.queries import conjuncts
from minicc.schedule.nest import duplicate, get_loop, graft
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Expr, Select, Unary, all_of, const, free_vars, loads, transform
from minicc.tensor.expr import walk as walk_expr
from minicc.types import boolean


class UnswitchStep(Step):
    """Ask the conditions that a loop does not change once, before it. Returns the names of the loop and of its copy."""

    loop: str

    def result(self, before: Program, after: Program) -> tuple[str, ...]:
        made = [name for name in loops(after.body) if name not in loops(before.body)]
        return (self.loop, *made[:1])

    def transform(self, program: Program) -> Program:
        loop = get_loop(program, self.loop)
        if found := [s for s in walk(loop.body) if isinstance(s, Update)]:
            name = found[0].buffers[0].name
            raise Illegal(
                f"{name} is reduced inside of loop {loop.name}", name, f's.decompose_reduction("{name}", ...)'
            )
        asked = _invariant(loop)
        if not asked:
            problem = f"no condition inside is one that loop {loop.name} leaves as it is"
            raise Illegal(problem, loop.name, "unswitch a loop with a guard or a select that it does not change")
        cond = all_of(*asked)
        other = _without(duplicate(program, loop, "_else"), frozenset(asked), False)
        return graft(
            program, loop, seq(If(cond, _without(loop, frozenset(asked), True)), If(Unary("not", cond), other))
        )

    @classmethod
    def candidates(cls, program: Program) -> Iterator[UnswitchStep]:
        return map(cls, loops(program.body))


def _invariant(loop: For) -> list[Expr]:
    """The conditions of guards and selects inside that are the same in each trip of the loop, and of the loops in it."""
    inside = {s.var for s in walk(loop) if isinstance(s, For)} | {loop.var}
    found: dict[Expr, None] = {}
    for s in walk(loop.body):
        conds = [e.cond for e in walk_expr(*expressions(s)) if isinstance(e, Select)]
        conds += [s.cond] if isinstance(s, If) else []
        found |= dict.fromkeys(c for c in conjuncts(*conds) if not loads(c) and not free_vars(c) & inside)
    return list(found)


def _without(s: Stmt, asked: frozenset[Expr], holds: bool) -> Stmt:
    """`s` where the conditions all hold, or where one of them at least does not."""

    def rest(cond: Expr) -> Expr:
        parts = conjuncts(cond)
        if not holds:
            return const(False, boolean) if asked <= set(parts) else cond
        return all_of(*[c for c in parts if c not in asked])

    def chosen(e: Expr) -> Expr:
        return replace(e, cond=rest(e.cond)) if isinstance(e, Select) else e

    def guard(t: Stmt) -> Stmt:
        return replace(t, cond=rest(t.cond)) if isinstance(t, If) else t

    return map_expressions(rewrite(s, guard), lambda e: transform(e, chosen))
