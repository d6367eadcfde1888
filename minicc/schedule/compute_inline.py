"""compute_inline: a buffer disappears; its readers compute its elements themselves.

Meaning: every load of the buffer becomes the expression that was stored there, with its indices
put in. The nest that filled the buffer goes, and so does its allocation; what it read lives as
long as what reads it now. The element stays the value of
a stage of its own: where a sum adds it, a product is marked (`te.rounding`).

Legality: the buffer is inside of the program and filled by one store (no reduction), over loops
that are its axes; what the expression reads is complete before that nest and not written later.

>>> from minicc.schedule.examples import in_a_row, show
>>> show(in_a_row(4), ComputeInlineStep("T"))
- T = empty((4,), float32)
- for i in range(4):
-     T[i] = A[i]*2.0
  for j in range(4):
-     B[j] = T[j] + 1.0
+     B[j] = A[j]*2.0 + 1.0
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap

from minicc.loop.ir import Alloc, Buffer, ExternCall, For, If, Stmt, Store, Update, map_expressions, rewrite, seq
from minicc.loop.ir import summand, walk
from minicc.loop.program import Program
from minicc.loop.queries import allocations, in_order, loops_around, path_to, readers, reads, targets, writes
from minicc.schedule.nest import get_alloc, graft
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Const, Expr, Load, Var, const, loads, substitute, transform
from minicc.tensor.rounding import heads, marked


class ComputeInlineStep(Step):
    """Compute a buffer where it is read."""

    buffer: str

    def transform(self, program: Program) -> Program:
        alloc = get_alloc(program, self.buffer)
        store = self._only_store(alloc)
        nest = self._nest(alloc, store)
        lifted = self._check_inputs(alloc, store, nest)
        once: dict[Expr, Expr] = {f.var: const(0) for f in loops_around(alloc.body, store) if f.extent == 1}

        def element(e: Expr) -> Expr:
            if not (isinstance(e, Load) and e.source is alloc.buffer):
                return e
            pairs = zip(store.indices, e.indices, strict=True)
            point: dict[Expr, Expr] = {axis: index for axis, index in pairs if isinstance(axis, Var)}
            return substitute(store.value, {**once, **point})

        added = {e for s in walk(alloc.body) for e in _added(s) if e.source is alloc.buffer}
        memo: dict[Expr, Expr] = {}

        def inlined(e: Expr) -> Expr:
            return transform(e, lambda x: marked(element(x)) if x in added else element(x), memo)

        def opened(s: Stmt) -> Stmt:
            return seq() if s is nest else s.body if isinstance(s, Alloc) and s.buffer in lifted else s

        rest = map_expressions(rewrite(alloc.body, opened), inlined)
        for buffer in reversed(lifted):
            rest = Alloc(buffer, rest)
        return graft(program, alloc, rest)

    def _only_store(self, alloc: Alloc) -> Store:
        found = writes(alloc.body, alloc.buffer)
        if len(found) != 1 or not isinstance(found[0], Store):
            what = "a reduction fills it" if len(found) == 1 else f"{len(found)} statements write it"
            hint = f'use compute_at("{self.buffer}", loop)'
            raise Illegal(f"it must be written by one store, but {what}", self.buffer, hint)
        if any(isinstance(s, ExternCall) and alloc.buffer in s.inputs for s in in_order(alloc.body)):
            problem = "a function from outside reads the whole of it"
            raise Illegal(problem, self.buffer, "leave it: such a function needs an array in memory")
        store = found[0]
        if any(load.source is alloc.buffer for load in reads(store)):
            problem = "its elements are computed from one another"
            raise Illegal(problem, self.buffer, "leave it: a recurrence needs its earlier elements in memory")
        return store

    def _nest(self, alloc: Alloc, store: Store) -> Stmt:
        """The nest that fills the buffer: loops over its axes around the store and nothing else."""
        around = path_to(alloc.body, store)
        if any(isinstance(s, If) for s in around):
            hint = f'inline before splitting its loops, or use compute_at("{self.buffer}", loop)'
            raise Illegal("it is stored under a guard", self.buffer, hint)
        extents = {s.var: s.extent for s in around if isinstance(s, For) and s.extent != 1}
        for index, extent in zip(store.indices, alloc.buffer.shape, strict=True):
            alone = extent == 1 and isinstance(index, (Const, Var))
            if not alone and not (isinstance(index, Var) and extents.pop(index, None) == extent):
                problem = f"it must be stored over loops that are its axes, but is stored at {index}"
                raise Illegal(problem, self.buffer, "inline before splitting or fusing its loops")
        if extents:
            loop = next(iter(extents)).name
            problem = f"it is stored again in each iteration of loop {loop}"
            hint = f'reorder first, so that loop {loop} is not around it, or use compute_root("{self.buffer}")'
            raise Illegal(problem, self.buffer, hint)
        nest: Stmt = store
        for outer in reversed(around[:-1]):
            if not isinstance(outer, For):
                break
            nest = outer
        return nest

    def _check_inputs(self, alloc: Alloc, store: Store, nest: Stmt) -> list[Buffer]:
        """What the elements read is complete before the nest, and stays. Gives the buffers that are to live longer for that."""
        needed = {load.source for load in loads(store.value)}
        around = path_to(alloc.body, nest)[:-1]
        users = readers(alloc.body, alloc.buffer)
        lifted: list[Buffer] = []
        for s in around:
            if isinstance(s, Alloc) and s.buffer in needed and not all(path_to(s, user) for user in users):
                if not any(isinstance(outer, For) for outer in around):
                    lifted = [outer.buffer for outer in around if isinstance(outer, Alloc)]
                    continue
                hint = f'first inline {s.buffer.name}, or s.compute_root("{s.buffer.name}")'
                raise Illegal(f"it reads {s.buffer.name}, which does not live where it is read", self.buffer, hint)
        before = True
        for s in in_order(alloc.body):
            before = before and s is not nest
            written = needed & set(targets(s))
            shared = any(isinstance(loop, For) and path_to(loop, s) for loop in around)
            if written and (not before or shared):
                hint = f'compute it at a loop that reads it: s.compute_at("{self.buffer}", loop)'
                raise Illegal(f"it reads {next(iter(written)).name}, which is written later again", self.buffer, hint)
        return lifted

    @classmethod
    def candidates(cls, program: Program) -> Iterator[ComputeInlineStep]:
        return map(cls, allocations(program))


def _added(s: Stmt) -> Iterator[Load]:
    """The elements that `s`, a step of a sum, may add as they are."""
    match s:
        case Store(buffer, indices, value):
            sums = [(buffer, indices, value)]
        case Update(buffers, indices, values):
            sums = [(buffer, indices, value) for buffer, value in zip(buffers, values, strict=True)]
        case _:
            sums = []
    for term in [found for found in starmap(summand, sums) if found is not None]:
        yield from [part for part in heads(term) if isinstance(part, Load)]
