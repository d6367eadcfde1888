"""rfactor: the steps of a reduction along one loop become results of their own, combined later.

Meaning: `<buffer>_rf`, one dimension richer, collects for each trip of `loop` what that trip
contributes, so `loop` is no longer reduced over and may be vectorized, bound or made parallel. A
nest after it combines these partial results, over copies of the spatial loops (`_combine`).
`factor_axis` is the place of the new dimension: 0 is the first, -1 the last. All components of a
reduction of tuples are factored together. In a recurrence all of this happens in each step of time.

Legality: `buffer` is reduced over `loop`, by a combiner that is found in its step, with the initial
values as its identity; the extent of `loop` is constant. The user asks for another order of
summation: sums of floats round differently, and of equal candidates argmax may take another.

>>> from minicc.schedule.examples import row_sums, show
>>> s = row_sums(4, 16)
>>> _ = s.split("k", factor=8)
>>> show(s, RfactorStep("B", "k_i", -1))
+ B_rf = empty((4, 8), float32)
  for i in range(4):
      for k_o in range(2):
          for k_i in range(8):
-             if first(k_o, k_i):
-                 B[i] = 0.0
-             B[i] = B[i] + A[i, k_o*8 + k_i]
+             if first(k_o):
+                 B_rf[i, k_i] = 0.0
+             B_rf[i, k_i] = B_rf[i, k_i] + A[i, k_o*8 + k_i]
+ for i_combine in range(4):
+     for k_i_combine in range(8):
+         if first(k_i_combine):
+             B[i_combine] = 0.0
+         B[i_combine] = B[i_combine] + B_rf[i_combine, k_i_combine]
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.ir.node import replace
from minicc.loop.combiner import combiner_of
from minicc.loop.ir import SERIAL, Alloc, Buffer, For, If, Seq, Stmt, Update, rewrite, seq
from minicc.loop.place_init import Pending, Placing
from minicc.loop.program import Program
from minicc.loop.queries import all_reads, buffers_of, fresh, path_to, writes
from minicc.schedule.nest import get_loop, graft, only_reduction
from minicc.schedule.step import Illegal, NewBuffer, Step
from minicc.tensor.expr import Expr, Load, Var, all_of, free_vars, select, substitute, transform


class RfactorStep(Step, positional=2):
    """Collect a partial result for each trip of a reducing loop. Returns the name of their buffer."""

    buffer: str
    loop: str
    factor_axis: int = 0

    def names(self, program: Program) -> NewBuffer:
        return fresh(program, f"{self.buffer}_rf")[0]

    def transform(self, program: Program) -> Program:
        update = only_reduction(program, self.buffer)
        loop = get_loop(program, self.loop)
        self._check(program, update, loop)
        rank = len(update.indices)
        place = self.factor_axis if self.factor_axis >= 0 else rank + 1 + self.factor_axis
        if not 0 <= place <= rank:
            problem = f"expected a factor_axis from {-rank - 1} to {rank}, got {self.factor_axis}"
            raise Illegal(problem, self.buffer, "0 is the outermost axis of the partial results, -1 the innermost")
        partial = {
            b: replace(b, name=name, shape=(*b.shape[:place], loop.extent, *b.shape[place:]))
            for b, name in zip(update.buffers, fresh(program, *[f"{b.name}_rf" for b in update.buffers]), strict=True)
        }
        nest = self._nest(program, update)
        factored = self._factored(nest, loop, update, partial, place)
        made = seq(factored, self._combined(program, nest, loop, update, list(partial.values()), place))
        for buffer in reversed(partial.values()):
            made = Alloc(buffer, made)
        return graft(program, nest, made)

    def _check(self, program: Program, update: Update, loop: For) -> None:
        if loop.var not in update.axes or not path_to(loop, update):
            problem = f"{self.buffer} is not reduced over loop {loop.name}"
            raise Illegal(problem, loop.name, f"one of {', '.join(axis.name for axis in update.axes)}")
        if loop.kind != SERIAL or not isinstance(loop.extent, int):
            problem = f"expected a serial loop of constant extent, got one of kind {loop.kind} and extent {loop.extent}"
            split = f'split it first: s.split("{loop.name}", factor=16)'
            raise Illegal(problem, loop.name, split if loop.kind == SERIAL else f"rfactor before {loop.kind}")
        if len(writes(program.body, update.buffers[0])) > 1:
            raise Illegal(f"other statements write {self.buffer} as well", self.buffer, "use rfactor before peeling")
        if combiner_of(update) is None:
            problem = f"no combiner of partial results is seen in {', '.join(map(str, update.values))}"
            raise Illegal(problem, self.buffer, "it must be associative, and the initial values its identity")

    def _nest(self, program: Program, update: Update) -> Stmt:
        """The largest statement around the reduction that is inside of the scope of its buffers, no sequence, and reads
        them nowhere else: in a recurrence, it is a nest inside of the loop over time."""
        path = path_to(program.body, update)
        own = set(update.buffers)
        start = max([n + 1 for n, s in enumerate(path) if isinstance(s, Alloc) and s.buffer in own], default=0)
        for nest in path[start:-1]:
            others = rewrite(nest, lambda t: seq() if t is update else t)
            if not isinstance(nest, (Alloc, Seq)) and not any(load.source in own for load in all_reads(others)):
                return nest
        raise Illegal(f"{self.buffer} is read in its own nest", self.buffer, "use rfactor before reverse_compute_at")

    def _factored(self, nest: Stmt, loop: For, update: Update, partial: dict[Buffer, Buffer], place: int) -> Stmt:
        """The nest that fills the partial results. Guards that depend on `loop` choose values instead, so that all are filled."""
        at = (*update.indices[:place], loop.var, *update.indices[place:])
        path = path_to(nest, update)
        guards = [s for s in path if isinstance(s, If) and loop.var in free_vars(s.cond)]
        for s in path[path.index(guards[0]) :] if guards else ():
            if isinstance(s, (Seq, Alloc)):
                problem = f"the guard {guards[0].cond} is around other statements as well"
                raise Illegal(problem, loop.name, f'split {loop.name} with tail="mask" or by a factor that divides')
        cond = all_of(*[s.cond for s in guards])

        def moved(e: Expr) -> Expr:
            return partial[e.source][at] if isinstance(e, Load) and e.source in partial else e

        pairs = zip(update.buffers, update.values, strict=True)
        values = tuple(select(cond, transform(v, moved), partial[b][at]) for b, v in pairs)
        axes = tuple(axis for axis in update.axes if axis is not loop.var)
        step = Update(tuple(partial.values()), at, values, update.inits, axes)

        def opened(s: Stmt) -> Stmt:
            if isinstance(s, If) and any(s.cond is guard.cond for guard in guards) and path_to(s, step):
                return s.body
            return step if s is update else s

        return rewrite(nest, opened)

    def _combined(
        self, program: Program, nest: Stmt, loop: For, update: Update, partial: list[Buffer], place: int
    ) -> Stmt:
        """The nest that combines them: copies of the spatial loops around one loop over the partial results."""
        combiner = combiner_of(update)
        assert combiner
        placing = Placing(program)
        placing.fresh.taken.update(buffer.name for buffer in partial)
        axis = Var(placing.fresh(f"{loop.name}_combine"))
        at = (*update.indices[:place], axis, *update.indices[place:])
        values: dict[Expr, Expr] = dict(zip(combiner.left, [b[update.indices] for b in update.buffers], strict=True))
        values.update(zip(combiner.right, [b[at] for b in partial], strict=True))
        result = tuple(substitute(e, values) for e in combiner.result)
        step = For(axis, loop.extent, Update(update.buffers, update.indices, result, update.inits, (axis,)))
        item = Pending(frozenset(update.axes), step, "_combine")
        for s in reversed(path_to(nest, update)[:-1]):
            item.stmt = placing.outside(item, s)
        return item.stmt

    @classmethod
    def candidates(cls, program: Program) -> Iterator[RfactorStep]:
        for name, buffer in buffers_of(program).items():
            for update in writes(program.body, buffer)[:1]:
                if isinstance(update, Update) and update.buffers[0] is buffer:
                    for axis in update.axes:
                        yield cls(name, axis.name)
                        yield cls(name, axis.name, -1)
