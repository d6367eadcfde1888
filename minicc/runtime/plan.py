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

import networkx as nx

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


def interference(lifetimes: Sequence[Lifetime]) -> nx.Graph:
    """The graph of what lives at the same time, over the positions in `lifetimes`."""
    graph = nx.Graph()
    graph.add_nodes_from(range(len(lifetimes)))
    alive: list[int] = []
    for n in sorted(range(len(lifetimes)), key=lambda n: lifetimes[n].first):
        alive = [m for m in alive if lifetimes[m].last >= lifetimes[n].first]
        graph.add_edges_from((n, m) for m in alive)
        alive.append(n)
    return graph


def plan(lifetimes: Sequence[Lifetime]) -> Plan:
    """Offsets such that tensors alive at the same time are apart."""
    graph = interference(lifetimes)
    rooms = [-(-life.size // ALIGNMENT) * ALIGNMENT for life in lifetimes]
    offsets: dict[int, int] = {}
    for n in sorted(graph, key=lambda n: (-rooms[n], lifetimes[n].first, n)):
        taken = sorted((offsets[m], rooms[m]) for m in graph[n] if m in offsets)
        offset = 0
        for start, room in taken:
            if start >= offset + rooms[n]:
                break
            offset = max(offset, start + room)
        offsets[n] = offset
    size = max((offsets[n] + rooms[n] for n in offsets), default=0)
    return Plan(tuple(offsets[n] for n in range(len(lifetimes))), size)
