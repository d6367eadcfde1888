"""Where in one arena each intermediate tensor lives.

In: the size and the lifetime of each. Out: an offset for each, a multiple of `alignment` bytes, and the
size of the arena. Tensors that live at the same time never overlap; others may share memory.
The method is greedy by size over the interference graph (Pisarchyk and Lee, Efficient Memory
Management for Deep Neural Net Inference, 2020): the biggest first, each in the lowest gap
between those of its neighbours that already have a place.

>>> made = plan([Lifetime(100, 0, 1), Lifetime(60, 1, 2), Lifetime(100, 2, 3)])
>>> made
ArenaPlan(offsets=(0, 128, 0), size=192)
>>> made.unshared, made.in_use()
(320, [128, 192, 192, 128])
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from minicc.ir.arrays import address
from minicc.ir.drawn import Drawn

ALIGNMENT = 64  # of an arena, and of what is placed in it: a cache line, and the widest vector


@dataclass(frozen=True)
class Lifetime:
    """`size` bytes that are in use from step `first` to step `last`, both included; `name` is for readers."""

    size: int
    first: int
    last: int
    name: str = ""


@dataclass(frozen=True)
class ArenaPlan(Drawn):
    """The offset of each tensor, in the order of their lifetimes, and the bytes of all."""

    offsets: tuple[int, ...] = ()
    size: int = 0
    lifetimes: tuple[Lifetime, ...] = field(default=(), repr=False)
    alignment: int = field(default=ALIGNMENT, repr=False)

    @property
    def rooms(self) -> list[int]:
        """The bytes that each takes, up to where another may begin."""
        return [-(-life.size // self.alignment) * self.alignment for life in self.lifetimes]

    @property
    def unshared(self) -> int:
        """The bytes of an arena in which each has a place of its own."""
        return sum(self.rooms)

    def in_use(self) -> list[int]:
        """The bytes that are alive at each step."""
        change = np.zeros(2 + max((life.last for life in self.lifetimes), default=-1), np.int64)
        np.add.at(change, [life.first for life in self.lifetimes], self.rooms)
        np.subtract.at(change, [life.last + 1 for life in self.lifetimes], self.rooms)
        use: list[int] = np.cumsum(change)[:-1].tolist()
        return use


def plan(lifetimes: Sequence[Lifetime], alignment: int = ALIGNMENT) -> ArenaPlan:
    """Offsets such that tensors alive at the same time are apart."""
    rooms = ArenaPlan(lifetimes=tuple(lifetimes), alignment=alignment).rooms
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
    return ArenaPlan(tuple(offsets), int(placed[1].max(initial=0)), tuple(lifetimes), alignment)


def one_after_the_other(plans: Sequence[tuple[ArenaPlan, int]]) -> ArenaPlan:
    """The plans of executables that run in turn, so many steps each, and each with an arena of its own."""
    offsets: list[int] = []
    lives: list[Lifetime] = []
    size = step = 0
    for made, steps in plans:
        offsets += [size + offset for offset in made.offsets]
        lives += [replace(life, first=step + life.first, last=step + life.last) for life in made.lifetimes]
        size, step = size + made.size, step + steps
    return ArenaPlan(tuple(offsets), size, tuple(lives))


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
