"""vectorize: all iterations of a short loop run at once, in the lanes of vector registers.

Meaning: the loop's kind becomes `vectorize`; every expression inside that depends on it is a
vector of as many lanes as the loop has trips.

Legality: as for `parallel`, and the extent is constant; no loop around or inside is vectorized,
and none inside is parallel.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(8), VectorizeStep("i"))
- for i in range(8):
+ for i in vectorize(8):
      B[i] = A[i]*2.0
"""

from __future__ import annotations


from minicc.loop.ir import VECTORIZE, For
from minicc.schedule.loop_kind import LoopKindStep


class VectorizeStep(LoopKindStep, kind=VECTORIZE, most=64):
    """Run the iterations of a loop in vector lanes."""

    def instead_of(self, other: For) -> str:
        return "one loop of a nest can be vectorized; unroll the other"
