"""decompose_reduction: the initialisation of a reduction becomes a nest of its own.

Meaning: a nest before `loop` stores the initial values, over copies of the loops between `loop`
and the reduction that are not reduced over, and the reduction becomes a plain store. It is what
`loop.place_init` does to every reduction at the end, done earlier and at a place of choice.

Legality: every loop that `buffer` is reduced over is `loop` or inside of it, and its other loops are axes of the
result; where an iteration of a parallel or bound loop around it initialises what it reduces, its loops must show that
no other does. Do it last: a plain store is no longer known to be a reduction, so its loops cannot be reordered freely.

>>> from minicc.schedule.examples import row_sums, show
>>> show(row_sums(4, 8), DecomposeReductionStep("B", "i"))
+ for i_init in range(4):
+     B[i_init] = 0.0
  for i in range(4):
      for k in range(8):
-         if first(k):
-             B[i] = 0.0
          B[i] = B[i] + A[i, k]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from minicc.loop.dependence import dependences
from minicc.loop.ir import SERIAL, UNROLL, Alloc, For, If, Store, Update, loops, rewrite, seq
from minicc.loop.place_init import Pending, Placing
from minicc.loop.program import Program
from minicc.loop.queries import buffers_of, loops_around, path_to, writes, written
from minicc.schedule.loop_kind import shared
from minicc.schedule.nest import get_loop, graft, only_reduction
from minicc.schedule.step import Illegal, Step
from minicc.schedule.tidy import ranges_of
from minicc.tensor.expr import loads


class DecomposeReductionStep(Step, positional=2):
    """Initialise a reduction in a nest of its own, before a loop. Returns the names of the loops of that nest."""

    buffer: str
    loop: str

    def result(self, before: Program, after: Program) -> tuple[str, ...]:
        return tuple(name for name in loops(after.body) if name not in loops(before.body))

    def transform(self, program: Program) -> Program:
        loop = get_loop(program, self.loop)
        update = only_reduction(program, self.buffer)
        path = path_to(loop, update)
        if not path:
            others = ", ".join(f.name for f in loops_around(program.body, update)) or "none: no loop is around it"
            problem = f"loop {loop.name} is not around the reduction of {self.buffer}"
            raise Illegal(problem, loop.name, f"choose one of {others}")
        self._check(program, loop, update)
        placing = Placing(program)
        start = [Store(b, update.indices, init) for b, init in zip(update.buffers, update.inits, strict=True)]
        item = Pending(frozenset(update.axes), seq(*start))
        for s in reversed(path[:-1]):
            item.stmt = placing.outside(item, s)
        plain = placing.assign(update)
        made = graft(program, loop, seq(item.stmt, rewrite(loop, lambda s: plain if s is update else s)))
        self._check_shared_out(made, loops_around(made.body, get_loop(made, loop.name)), update)
        return made

    def _check_shared_out(self, made: Program, around: Sequence[For], update: Update) -> None:
        """Where iterations run at once, none may seem to reduce into what another one initialises."""
        for outer in [s for s in around if s.kind not in (SERIAL, UNROLL)]:
            if found := [d for d in shared(made, outer) if d.first.buffer in update.buffers]:
                problem = f"the iterations of the {outer.kind} loop {outer.name} would depend on each other: {found[0]}"
                raise Illegal(problem, outer.name, f"decompose first, or before loop {outer.name}")

    def _check(self, program: Program, loop: For, update: Update) -> None:
        for outer in loops_around(program.body, loop):
            if outer.var in update.axes:
                problem = f"{self.buffer} is reduced over loop {outer.name}, which is around it"
                raise Illegal(problem, loop.name, f"choose {outer.name}, or a loop around that")
        path = path_to(loop, update)
        for s in path:
            if isinstance(s, Alloc) and s.buffer in update.buffers:
                problem = f"{s.buffer.name} is allocated in loop {loop.name}"
                raise Illegal(problem, loop.name, "choose a loop inside of its scope")
        read = {load.source for load in loads(*update.inits, *[s.cond for s in path if isinstance(s, If)])}
        if late := sorted(b.name for b in read & written(loop)):
            problem = f"the initialisation reads {late[0]}, which is written in loop {loop.name}"
            hint = f"choose a loop inside of {loop.name}, after {late[0]} is written"
            raise Illegal(problem, loop.name, hint)
        spatial = [s.var for s in path if isinstance(s, For) and s.var not in update.axes]
        for found in dependences(update, spatial, ranges_of(program)):
            along = ", ".join(sorted(v.name for v in found.along))
            problem = f"{found.first} is reduced anew in each iteration of {along}"
            raise Illegal(problem, loop.name, "choose a loop inside of that")

    @classmethod
    def candidates(cls, program: Program) -> Iterator[DecomposeReductionStep]:
        for name, buffer in buffers_of(program).items():
            for update in writes(program.body, buffer)[:1]:
                if isinstance(update, Update):
                    for loop in loops_around(program.body, update):
                        yield cls(name, loop.name)
