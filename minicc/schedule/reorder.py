"""reorder: loops of one nest exchange places.

Meaning: the named loops take, in the order given, the places that they hold together; loops
between them stay. Guards between the loops move inwards until the variables they read are known.

Legality: the loops are perfectly nested, and no dependence turns around: where an element is
touched in two iterations that differ in several of the loops, those keep their order. The steps
of a reduction commute (its sums may round differently), so the loops of one reduction go anywhere.

>>> from minicc.schedule.examples import row_sums, show
>>> show(row_sums(4, 8), ReorderStep(("k", "i")))
- for i in range(4):
-     for k in range(8):
+ for k in range(8):
+     for i in range(4):
          if first(k):
              B[i] = 0.0
          B[i] = B[i] + A[i, k]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minicc.ir.node import replace
from minicc.loop.dependence import dependences
from minicc.loop.ir import VECTORIZE, Alloc, For, If, Stmt, loops
from minicc.loop.program import Program
from minicc.loop.queries import path_to, written
from minicc.schedule.nest import get_loop, graft, guarded
from minicc.schedule.step import Illegal, Step
from minicc.schedule.tidy import ranges_of
from minicc.tensor.expr import Expr, Var, free_vars, loads


class ReorderStep(Step, axes={"order": "axes"}):
    """Put loops of one nest into this order, outermost first."""

    order: tuple[str, ...]

    def transform(self, program: Program) -> Program:
        band, body = self._band(program)
        chain = [s for s in band if isinstance(s, For)]
        named = iter([get_loop(program, name) for name in self.order])
        after = [next(named) if s.name in self.order else s for s in chain]
        self._check(program, chain, after, body)
        private = [s for s in band if isinstance(s, Alloc)]
        if private and after != chain:
            self._check_private(program, private, chain, body)
        guards = [s for s in band if isinstance(s, If)]
        for guard in guards:
            if any(load.source in written(body) for load in loads(guard.cond)):
                hint = "reorder only loops around the guard, or only loops inside of it"
                raise Illegal(f"the guard {guard.cond} reads what its body writes", chain[-1].name, hint)
        for s in reversed(private):
            body = replace(s, body=body)
        return graft(program, band[0], _rebuilt(after, guards, body))

    def _band(self, program: Program) -> tuple[list[Stmt], Stmt]:
        """The statements from the outermost to the innermost of the loops, and what is inside."""
        if len(set(self.order)) < len(self.order) or len(self.order) < 2:
            names = list(loops(program.body))
            example = ", ".join(f'"{name}"' for name in reversed(names[:2]))
            hint = f"outermost first, as in s.reorder({example}); the loops are {', '.join(names) or 'none'}"
            raise Illegal(f"expected at least two different loops, got {', '.join(self.order) or 'none'}", hint=hint)
        paths = {name: path_to(program.body, get_loop(program, name)) for name in self.order}
        innermost, longest = max(paths.items(), key=lambda item: len(item[1]))
        for name, path in paths.items():
            if path[-1] not in longest:
                around = ", ".join(s.name for s in longest if isinstance(s, For))
                problem = f"loop {name} does not enclose loop {innermost}"
                raise Illegal(problem, name, f"loops of one nest, such as {around}")
        band = longest[min(len(path) for path in paths.values()) - 1 :]
        if not all(isinstance(s, (For, If, Alloc)) for s in band):
            problem = f"the loops {', '.join(self.order)} are not perfectly nested: statements stand between them"
            raise Illegal(problem, innermost, "reorder loops that have nothing but loops between them")
        return band, get_loop(program, innermost).body

    def _check(self, program: Program, chain: Sequence[For], after: Sequence[For], body: Stmt) -> None:
        for loop in chain:
            if loop.kind == VECTORIZE:
                raise Illegal(f"loop {loop.name} is vectorized", loop.name, "reorder before vectorize")
            if isinstance(loop.extent, Expr) and free_vars(loop.extent) & {other.var for other in chain}:
                others = "loops that are all inside of it, or all outside of what its extent needs, can move"
                problem = f"the extent of loop {loop.name} depends on another of the loops"
                raise Illegal(problem, loop.name, f"leave {loop.name} where it is; {others}")
        for found in dependences(body, _turning(chain), ranges_of(program)):
            before = [loop.name for loop in chain if loop.var in found.along]
            if before != [loop.name for loop in after if loop.var in found.along]:
                problem = f"the order of {', '.join(before)} matters: {found}"
                raise Illegal(problem, before[-1], f"keep {', '.join(before)} in this order, and move the other loops")

    def _check_private(self, program: Program, private: Sequence[Alloc], chain: Sequence[For], body: Stmt) -> None:
        """A buffer allocated between the loops moves inside of all: nothing may flow through it."""
        inside = {s.buffer for s in private}
        for found in dependences(body, _turning(chain), ranges_of(program), reductions_commute=False):
            if found.first.buffer in inside:
                problem = f"{found.first.buffer.name} is allocated between the loops, and carries values: {found}"
                hint = f'move it out first: s.compute_root("{found.first.buffer.name}")'
                raise Illegal(problem, found.first.buffer.name, hint)

    @classmethod
    def candidates(cls, program: Program) -> Iterator[ReorderStep]:
        for loop in loops(program.body).values():
            inner = loop.body
            while isinstance(inner, (If, Alloc)):
                inner = inner.body
            if isinstance(inner, For):
                yield cls((inner.name, loop.name))


def _turning(chain: Sequence[For]) -> list[Var]:
    """The variables of the loops that run more than once: only their order can matter."""
    return [loop.var for loop in chain if loop.extent != 1]


def _rebuilt(chain: Sequence[For], guards: Sequence[If], body: Stmt) -> Stmt:
    """The loops around `body`, each guard as far out as its variables allow."""
    waiting = list(guards)
    for loop in reversed(chain):
        here = [g for g in waiting if loop.var in free_vars(g.cond)]
        body = replace(loop, body=guarded(here, body))
        waiting = [g for g in waiting if g not in here]
    return guarded(waiting, body)
