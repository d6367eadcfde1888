"""Where in one arena each intermediate tensor lives.

In: the size and the lifetime of each. Out: an offset for each, a multiple of 64 bytes, and the
size of the arena. Tensors that live at the same time never overlap; others may share memory.
The method is greedy by size over the interference graph (Pisarchyk and Lee, Efficient Memory
Management for Deep Neural Net Inference, 2020): the biggest first, each in the lowest gap
between those of its neighbours that already have a place.

>>> plan([Lifetime(100, 0, 1), Lifetime(60, 1, 2), Lifetime(100, 2, 3)])
Plan(offsets=(0, 128, 0), size=192)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALIGNMENT = 64


@dataclass(frozen=True)
class Lifetime:
    """`size` bytes that are in use from step `first` to step `last`, both included."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class Plan:
    """The offset of each tensor, in their order, and the bytes of all."""

    offsets: tuple[int, ...]
    size: int


def plan(lifetimes: Sequence[Lifetime]) -> Plan:
    """Offsets such that tensors alive at the same time are apart."""
    rooms = [-(-life.size // ALIGNMENT) * ALIGNMENT for life in lifetimes]
    offsets = [0] * len(lifetimes)
    # Who is whose neighbour is asked of the lifetimes: a graph of thousands that live at once has millions of edges.
    placed = np.zeros((4, 0), np.int64)  # start, end, first and last of what has a place, in the order of start
    for n in sorted(range(len(lifetimes)), key=lambda n: (-rooms[n], lifetimes[n].first, n)):
        life = lifetimes[n]
        starts, ends, _, _ = placed[:, (placed[2] <= life.last) & (placed[3] >= life.first)]
        gaps = np.maximum.accumulate(
            np.concatenate([[0], ends])
        )  # where the gap before each neighbour begins, and the last
        wide = np.flatnonzero(starts >= gaps[:-1] + rooms[n])
        offsets[n] = int(gaps[wide[0]] if wide.size else gaps[-1])
        at = np.searchsorted(placed[0], offsets[n])
        placed = np.insert(placed, at, (offsets[n], offsets[n] + rooms[n], life.first, life.last), axis=1)
    return Plan(tuple(offsets), int(placed[1].max(initial=0)))
