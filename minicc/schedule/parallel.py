"""parallel: the iterations of a loop are shared out among threads.

Meaning: the loop's kind becomes `parallel`; its iterations run in any order, or at once.

Legality: the iterations are independent, so it is no loop of a reduction and nothing that it
writes is touched in two iterations; buffers allocated inside belong to one iteration. Parallel
and vectorized loops do not nest in either order, save a vectorized loop inside a parallel one.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(4), ParallelStep("i"))
- for i in range(4):
+ for i in parallel(4):
      B[i] = A[i]*2.0
"""

from __future__ import annotations


from minicc.loop.ir import PARALLEL
from minicc.schedule.loop_kind import LoopKindStep


class ParallelStep(LoopKindStep, kind=PARALLEL):
    """Share out the iterations of a loop among threads."""
