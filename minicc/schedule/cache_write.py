"""cache_write: a nest writes a buffer of its own, which is copied to the result afterwards.

Meaning: the nest that fills `buffer` fills `<buffer>_<scope>` of the same shape instead, and a
copy nest after it stores the original. With `compute_at(<buffer>_local, loop)` on a loop of the
copy nest, results accumulate in registers and are stored once.

Legality: one nest fills the buffer, and nothing else writes it.

>>> from minicc.schedule.examples import row_sums, show
>>> show(row_sums(4, 8), CacheWriteStep("B"))
+ B_local = empty((4,), float32)  # local
  for i in range(4):
      for k in range(8):
          if first(k):
-             B[i] = 0.0
-         B[i] = B[i] + A[i, k]
+             B_local[i] = 0.0
+         B_local[i] = B_local[i] + A[i, k]
+ for i_copy in range(4):
+     B[i_copy] = B_local[i_copy]
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.loop.ir import Alloc, Buffer, Seq, seq, Scope
from minicc.loop.program import Program
from minicc.loop.queries import allocations, buffers_of, fresh, path_to, writes
from minicc.schedule.nest import copied, get_buffer, graft, rename_buffers
from minicc.schedule.set_scope import check_scope
from minicc.schedule.step import Illegal, NewBuffer, Step
from minicc.tensor.expr import Var


class CacheWriteStep(Step):
    """Fill a buffer of its own first, then copy. Returns the name of the new buffer."""

    buffer: str
    scope: Scope = "local"

    def names(self, program: Program) -> NewBuffer:
        return fresh(program, f"{self.buffer}_{self.scope}")[0]

    def transform(self, program: Program) -> Program:
        buffer = get_buffer(program, self.buffer)
        check_scope(self.scope, self.buffer)
        home = allocations(program)[self.buffer].body if buffer not in program.outputs else program.body
        found = writes(home, buffer)
        if not found:
            problem = f"no loops fill {self.buffer}, but a function from outside"
            raise Illegal(problem, self.buffer, f'copy it where it is read: s.cache_read("{self.buffer}")')
        nest = home
        for nest in path_to(home, found[0]):
            if not isinstance(nest, (Alloc, Seq)):
                break
        if not all(path_to(nest, write) for write in found):
            problem = f"one nest must fill {self.buffer}, but {len(found)} statements in several nests do"
            raise Illegal(problem, self.buffer, "use cache_write before peeling, partitioning or decomposing its loops")
        cache = Buffer(self.names(program), buffer.dtype, buffer.shape, self.scope)
        names = [f"{i.name if isinstance(i, Var) else f'i{d}'}_copy" for d, i in enumerate(found[0].indices)]
        copy = copied(program, cache, buffer, names)
        return graft(program, nest, Alloc(cache, seq(rename_buffers(nest, {buffer: cache}), copy)))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[CacheWriteStep]:
        for name in buffers_of(program):
            yield cls(name)
            yield cls(name, "global")
