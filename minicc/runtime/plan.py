"""Where in one arena each intermediate tensor lives.

In: the size and the lifetime of each. Out: an offset for each, a multiple of `alignment` bytes, and the
size of the arena. Tensors that live at the same time never overlap; others may share memory.
The method is greedy by size over the interference graph (Pisarchyk and Lee, Efficient Memory
Management for Deep Neural Net Inference, 2020): the biggest first, each in the lowest gap
between those of its neighbours that already have a place.

>>> plan([Lifetime(100, 0, 1), Lifetime(60, 1, 2), Lifetime(100, 2, 3)])
ArenaPlan(offsets=(0, 128, 0), size=192)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from minicc.ir.arrays import address

ALIGNMENT = 64  # of an arena, and of what is placed in it: a cache line, and the widest vector


@dataclass(frozen=True)
class Lifetime:
    """`size` bytes that are in use from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class ArenaPlan:
    """The offset of each tensor, in their order, and the bytes of all."""

    offsets: tuple[int, ...]
    size: int


def plan(lifetimes: Sequence[Lifetime], alignment: int = ALIGNMENT) -> ArenaPlan:
    """Offsets such that tensors alive at the same time are apart."""
    rooms = [-(-life.size // alignment) * alignment for life in lifetimes]
    offsets = [0] * len(lifetimes)
    # Who is whose neighbour is asked of the lifetimes: a graph of thousands that live at once has millions of edges.
    placed = np.zeros((4, 0), np.int64)  # start, end, first and last of what has a place, in the order of start
    for n in sorted(range(len(lifetimes)), key=lambda n: (-rooms[n], lifetimes[n].first, n)):
        life = lifetimes[n]
        starts, ends, _, _ = placed[:, (placed[2] <= life.last) & (placed[3] >= life.first)]
        gaps = np.maximum.accumulate(
            np.concatenate([[0], ends])
        )  # where the gaps before the neighbours begin, and the last
        wide = np.flatnonzero(starts >= gaps[:-1] + rooms[n])
        offsets[n] = int(gaps[wide[0]] if wide.size else gaps[-1])
        at = np.searchsorted(placed[0], offsets[n])
        placed = np.insert(placed, at, (offsets[n], offsets[n] + rooms[n], life.first, life.last), axis=1)
    return ArenaPlan(tuple(offsets), int(placed[1].max(initial=0)))


class Arena:
    """Memory of `size` bytes from `start` on, a multiple of ALIGNMENT."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._memory = np.empty(size + ALIGNMENT, np.uint8)
        self.start = -(-address(self._memory) // ALIGNMENT) * ALIGNMENT


class Arenas:
    """Memory for intermediate values, one arena for each call at a time. What has been touched before is faster, so it is kept."""

    def __init__(self) -> None:
        self._free: deque[Arena] = deque()

    def take(self, size: int) -> Arena:
        """A free arena that has so many bytes, or a new one."""
        try:
            arena = self._free.pop()
        except IndexError:  # asked for so, because another thread may take the last one
            return Arena(size)
        return arena if arena.size >= size else Arena(size)

    def give(self, arena: Arena) -> None:
        """The call is over."""
        self._free.append(arena)
