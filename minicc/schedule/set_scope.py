"""set_scope: a buffer moves to another kind of memory.

Meaning: `local` is registers or the stack, `shared` the memory of a block of GPU threads,
`global` main memory. What is computed is the same.

Legality: the buffer is inside of the program: inputs and outputs are the caller's.

>>> from minicc.schedule.examples import in_a_row, show
>>> show(in_a_row(4), SetScopeStep("T", "shared"))
- T = empty((4,), float32)
+ T = empty((4,), float32)  # shared
  for i in range(4):
      T[i] = A[i]*2.0
  for j in range(4):
      B[j] = T[j] + 1.0
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.loop.ir import SCOPES, Scope
from minicc.loop.program import Program
from minicc.loop.queries import allocations
from minicc.schedule.nest import altered, get_alloc
from minicc.schedule.step import Illegal, Step


class SetScopeStep(Step, positional=2):
    """Move a buffer to another kind of memory."""

    buffer: str
    scope: Scope

    def transform(self, program: Program) -> Program:
        alloc = get_alloc(program, self.buffer)
        check_scope(self.scope, self.buffer)
        return altered(program, alloc, scope=self.scope)

    @classmethod
    def candidates(cls, program: Program) -> Iterator[SetScopeStep]:
        for name, alloc in allocations(program).items():
            for scope in SCOPES:
                if scope != alloc.buffer.scope:
                    yield cls(name, scope)


def check_scope(scope: str, culprit: str) -> None:
    """Raises Illegal when `scope` is none."""
    if scope not in SCOPES:
        raise Illegal(f"expected a scope, got {scope!r}", culprit, f"one of {', '.join(SCOPES)}")
