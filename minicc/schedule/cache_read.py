"""cache_read: the readers of a buffer read a copy of it, in memory that is closer.

Meaning: a nest copies `buffer` into `<buffer>_<scope>` of the same shape, right before the first
nest that reads it, and the readers read the copy. With `compute_at(<buffer>_<scope>, loop)` an
iteration of `loop` copies only the part that it needs: packed, contiguous and warm.

Legality: the buffer, which may be an input, is complete before its readers start. `readers` are
the buffers whose nests read the copy: all of them when empty.

>>> from minicc.schedule.examples import transposed, show
>>> s = transposed(8, 4)
>>> s.compute_inline("T")
>>> show(s, CacheReadStep("A"))
+ A_local = empty((8, 4), float32)  # local
+ for A_local_0 in range(8):
+     for A_local_1 in range(4):
+         A_local[A_local_0, A_local_1] = A[A_local_0, A_local_1]
  for k in range(4):
      for l in range(8):
-         B[k, l] = A[l, k]
+         B[k, l] = A_local[l, k]
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from minicc.loop.ir import Alloc, Buffer, For, If, Scope, Seq, Stmt, map_own, rewrite, seq
from minicc.loop.program import Program
from minicc.loop.queries import all_reads, allocations, fresh, in_order, reads, targets, writes
from minicc.schedule.cache_write import CacheWriteStep
from minicc.schedule.nest import copied, get_buffer, graft, rename_buffers
from minicc.schedule.set_scope import check_scope
from minicc.schedule.step import Illegal, NewBuffer, Step
from minicc.tensor.expr import Load, transform


class CacheReadStep(Step, positional=2):
    """Let the nests of `readers`, or all, read a copy of a buffer. Returns the name of the copy."""

    buffer: str
    scope: Scope = "local"
    readers: tuple[str, ...] = ()

    @classmethod
    def at_stage(cls, stage: Any, scope: Scope = "local", readers: Any = ()) -> CacheReadStep:
        """`readers` are stages, or tensors."""
        readers = readers if isinstance(readers, (list, tuple)) else [readers]
        return cls(stage.name, scope, tuple(stage.schedule[r].name for r in readers))

    def names(self, program: Program) -> NewBuffer:
        return fresh(program, f"{self.buffer}_{self.scope}")[0]

    def transform(self, program: Program) -> Program:
        buffer = {b.name: b for b in program.params}.get(self.buffer) or get_buffer(program, self.buffer)
        check_scope(self.scope, self.buffer)
        place: Stmt = allocations(program)[self.buffer].body if self.buffer in allocations(program) else program.body
        while isinstance(place, Alloc):
            place = place.body
        parts = place.stmts if isinstance(place, Seq) else (place,)
        reading = [n for n, part in enumerate(parts) if any(self._reads(s, buffer) for s in in_order(part))]
        writing = [n for n, part in enumerate(parts) if writes(part, buffer)]
        if not reading:
            who = f"the nests of {', '.join(self.readers)} do not read" if self.readers else "nothing reads"
            seen = dict.fromkeys(load.source.name for load in all_reads(program.body))
            also = f"; readers are buffers that are computed from {self.buffer}" if self.readers else ""
            raise Illegal(f"{who} {self.buffer}", self.buffer, f"what is read: {', '.join(seen) or 'nothing'}{also}")
        if writing and writing[-1] >= reading[0]:
            problem = f"{self.buffer} is not complete before it is read: one nest writes and reads it"
            raise Illegal(problem, self.buffer, partial(_way, program, self.buffer))
        cache = Buffer(self.names(program), buffer.dtype, buffer.shape, self.scope)

        names = [f"{cache.name}_{d}" for d in range(len(buffer.shape))]

        def expr(e: Any) -> Any:
            return transform(e, lambda x: Load(cache, x.indices) if isinstance(x, Load) and x.source is buffer else x)

        def change(s: Stmt) -> Stmt:
            if not self._reads(s, buffer):
                return s
            return map_own(s, expr) if isinstance(s, (For, If)) else rename_buffers(s, {buffer: cache})

        rest = [rewrite(part, change) for part in parts[reading[0] :]]
        made = Alloc(cache, seq(copied(program, buffer, cache, names), *rest))
        return graft(program, place, seq(*parts[: reading[0]], made))

    def _reads(self, s: Stmt, buffer: Buffer) -> bool:
        """Whether `s` itself reads the buffer, and shall read the copy."""
        if buffer in targets(s) or not any(load.source is buffer for load in reads(s)):
            return False
        return not self.readers or any(target.name in self.readers for target in targets(s))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[CacheReadStep]:
        for name in dict.fromkeys(load.source.name for load in all_reads(program.body)):
            yield cls(name)


def _way(program: Program, buffer: str) -> str:
    """What helps where one nest writes and reads a buffer."""
    if CacheWriteStep(buffer).is_legal(program):
        return f'give it a cache where it is written: s.cache_write("{buffer}")'
    return "read it through a cache before decomposing, peeling or partitioning its loops"
