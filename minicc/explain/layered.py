"""Where the nodes of a graph stand in a picture: in layers, every edge downwards, with few crossings.

In: nodes in topological order, edges, and how wide nodes and layers may be. Out: for each node its layer and its horizontal centre, and for
each edge the points between its ends. An edge over several layers gets a place in each, so that nodes stand aside for it; edges from one
node share it.

>>> layout = place(["a", "b", "c"], [("a", "b"), ("b", "c"), ("a", "c")], width=10, gap=2)
>>> layout.layer
{'a': 0, 'b': 1, 'c': 2}
>>> len(layout.between["a", "c"])
1

The method is Sugiyama's (Sugiyama, Tagawa and Toda, 1981): layers by longest paths, order by barycentres, then the positions
that are nearest to the mean of the neighbours and yet apart (isotonic regression).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import Any, NamedTuple

SWEEPS = 12
NARROW = 0.35  # the width of an edge that passes a layer, in widths of a node

Item = Hashable  # a node, or where edges of a producer pass a layer


class _Pass(NamedTuple):
    producer: Any
    layer: int


@dataclass(frozen=True)
class Layout:
    """`x` is a centre; `between[edge]` are the (x, layer) that an edge passes, downwards."""

    layer: dict[Any, int]
    x: dict[Any, float]
    between: dict[tuple[Any, Any], list[tuple[float, int]]]
    left: float
    right: float

    @property
    def layers(self) -> int:
        return max(self.layer.values(), default=-1) + 1


class Layering:
    """Nodes put into layers one by one, producers first: each below all that it reads, in the first layer with room for it."""

    def __init__(self, room: float = inf, gap: float = 0) -> None:
        self.room, self.gap = room, gap
        self.of: dict[Any, int] = {}
        self.taken: dict[int, float] = {}

    def has_room(self, layer: int, width: float) -> bool:
        return layer not in self.taken or self.taken[layer] + self.gap + width <= self.room

    def put(self, node: Any, layer: int, width: float) -> None:
        """Put it there, away from where it was."""
        if node in self.of:
            self.taken[self.of[node]] -= width + self.gap
        self.of[node] = layer
        self.taken[layer] = self.taken.get(layer, -self.gap) + self.gap + width

    def add(self, node: Any, before: Iterable[Any], width: float) -> int:
        """The layer of a node below those `before`, which have theirs."""
        layer = max((self.of[i] + 1 for i in before), default=0)
        while not self.has_room(layer, width):
            layer += 1
        self.put(node, layer, width)
        return layer


def place(
    nodes: Sequence[Any],
    edges: Sequence[tuple[Any, Any]],
    width: float | Mapping[Any, float],
    gap: float,
    room: float = inf,
    narrow: float | None = None,
) -> Layout:
    """The layout of a graph; `nodes` come producers first. `width` is that of each, or of all, and `narrow` that of an edge
    where it passes a layer. No layer's nodes are wider than `room` in all, unless it has but one."""
    widths = width if isinstance(width, Mapping) else dict.fromkeys(nodes, width)
    passing = NARROW * max(widths.values(), default=0.0) if narrow is None else narrow
    layer = _layers(nodes, edges, widths, Layering(room, gap))
    rows: list[list[Item]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for n in nodes:
        rows[layer[n]].append(n)
    links: dict[tuple[Item, Item], None] = {}  # in order
    seen: set[Item] = set()
    for a, b in edges:
        passed = [_Pass(a, k) for k in range(layer[a] + 1, layer[b])]
        for stop in passed:
            if stop not in seen:
                rows[stop.layer].append(stop)
                seen.add(stop)
        stops: list[Item] = [a, *passed, b]
        links.update(dict.fromkeys(pairwise(stops)))
    wide = {item: widths[item] if item in layer else passing for row in rows for item in row}
    x = _positions(rows, list(links), wide, gap, room)
    between = {(a, b): [(x[_Pass(a, k)], k) for k in range(layer[a] + 1, layer[b])] for a, b in edges}
    left = min((x[i] - wide[i] / 2 for i in wide), default=0.0)
    right = max((x[i] + wide[i] / 2 for i in wide), default=0.0)
    return Layout(layer, {n: x[n] for n in nodes}, between, left, right)


def _layers(
    nodes: Sequence[Any], edges: Sequence[tuple[Any, Any]], widths: Mapping[Any, float], made: Layering
) -> dict[Any, int]:
    """The longest path to each node; what has as many readers as inputs, or more, stands right above its first reader."""
    before: dict[Any, list[Any]] = {n: [] for n in nodes}
    after: dict[Any, list[Any]] = {n: [] for n in nodes}
    for a, b in edges:
        before[b].append(a)
        after[a].append(b)
    for n in nodes:
        made.add(n, before[n], widths[n])
    for n in reversed(nodes):
        if after[n] and len(after[n]) >= len(before[n]):
            first = min(made.of[r] for r in after[n]) - 1
            layer = next((k for k in range(first, made.of[n], -1) if made.has_room(k, widths[n])), made.of[n])
            made.put(n, layer, widths[n])
    used = {k: at for at, k in enumerate(sorted(set(made.of.values())))}  # a layer may have been left
    return {n: used[k] for n, k in made.of.items()}


def _positions(
    rows: list[list[Item]], links: Sequence[tuple[Item, Item]], wide: Mapping[Item, float], gap: float, room: float
) -> dict[Item, float]:
    """The centre of every item: rows are swept down and up, each item drawn to the mean of its neighbours there."""
    up: dict[Item, list[Item]] = {item: [] for item in wide}
    down: dict[Item, list[Item]] = {item: [] for item in wide}
    for a, b in links:
        down[a].append(b)
        up[b].append(a)
    x: dict[Item, float] = {}
    for row in rows:
        x.update(zip(row, _apart([0.0] * len(row), [wide[i] for i in row], gap, room), strict=True))
    for sweep in range(SWEEPS):
        neighbours = up if sweep % 2 == 0 else down
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wished = {i: _mean([x[n] for n in neighbours[i]], x[i]) for i in row}
            row.sort(key=wished.__getitem__)
            x.update(zip(row, _apart([wished[i] for i in row], [wide[i] for i in row], gap, room), strict=True))
    return x


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _apart(wished: Sequence[float], wide: Sequence[float], gap: float, room: float) -> list[float]:
    """The positions in this order that are nearest to those wished for, in squares, and do not overlap; around 0, within
    `room`, or as much more as they need.

    Less the room that the items before it need, positions must only not decrease: neighbours that would are averaged.
    """
    offsets = [0.0]
    for a, b in pairwise(wide):
        offsets.append(offsets[-1] + (a + b) / 2 + gap)
    blocks: list[tuple[float, int]] = []  # the sum and the number of what is averaged
    for wish, offset in zip(wished, offsets, strict=False):
        total, count = wish - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            total, count = total + blocks[-1][0], count + blocks[-1][1]
            blocks.pop()
        blocks.append((total, count))
    levels = [total / count for total, count in blocks for _ in range(count)]
    half = max(room, offsets[-1] + (wide[0] + wide[-1]) / 2) / 2 if wide else 0
    low, high = (wide[0] / 2 - half, half - wide[-1] / 2 - offsets[-1]) if wide else (0, 0)
    return [min(max(level, low), high) + offset for level, offset in zip(levels, offsets, strict=False)]
