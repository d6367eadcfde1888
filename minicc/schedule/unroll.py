"""unroll: the body of a short loop is repeated, once for each of its trips.

Meaning: the loop's kind becomes `unroll`; machine code has no loop, and its variable is a
constant in each copy of the body. The order of execution is the same.

Legality: the extent is constant.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(4), UnrollStep("i"))
- for i in range(4):
+ for i in unroll(4):
      B[i] = A[i]*2.0
"""

from __future__ import annotations


from minicc.loop.ir import UNROLL, For
from minicc.loop.program import Program
from minicc.schedule.loop_kind import LoopKindStep


class UnrollStep(LoopKindStep, kind=UNROLL, most=16):
    """Repeat the body of a loop instead of looping."""

    def check_loop(self, program: Program, loop: For) -> None:
        """Any order of iterations is kept."""
