"""`counts` of a schedule: what its program costs as it is now, so that the effect of a step is a number.

In: a schedule. Out: `loop.counts` of its program.

>>> from minicc.schedule.examples import transposed
>>> s, cache = transposed(64, 64), Cache(2 << 10, ways=None)
>>> s.counts(caches=[cache]).misses  # each element of T is in another line than the one before
(4864,)
>>> s.tile("k", "l", 16, 16)
('k_o', 'l_o', 'k_i', 'l_i')
>>> s.counts(caches=[cache]).misses  # 16 lines of T are read to their ends
(1024,)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minicc.loop.accesses import LIMIT
from minicc.loop.caches import Cache
from minicc.loop.counts import CACHES, Counts, count
from minicc.loop.program import Program
from minicc.schedule.arguments import Face
from minicc.tensor.evaluate import Array


class Counted(Face):
    """What has a program that can be counted."""

    @property
    def program(self) -> Program:
        """The program as it is now."""
        raise NotImplementedError

    def counts(
        self,
        sizes: Mapping[Any, int] | None = None,
        caches: Sequence[Cache] = CACHES,
        arrays: Sequence[Array] | None = None,
        limit: int = LIMIT,
    ) -> Counts:
        """Loads, stores, operations and misses of simulated caches, as `minicc.loop.counts` defines them.

        `sizes` are numbers for the symbolic extents, `arrays` the inputs where data decide. Raises LoopError where a size is
        missing, and where there are more accesses than `limit`.
        """
        return count(self.program, sizes, caches, arrays, limit)
