"""A long graph cut into sections of at most a screen, blocks that repeat found, so that each is drawn once.

In: nodes in topological order, what each reads, what two nodes that look the same have in common, and how large each is drawn.
Out: `Piece`s in order: with its copies, which look the same, a piece stands for several runs of nodes. Pieces end where few
values go on from one to the next.

>>> chain = Chain(range(10), lambda n: [n - 1] if n else [], lambda n: n > 3, lambda n: (10, 10))
>>> [(p.start, p.stop, p.times) for p in chain.pieces(Screen(room=100, height=60, fall=0))]
[(0, 4, 1), (4, 5, 6)]

A block repeats where the nodes that are a period later look the same and read the same, or what is a period later, too. Where to cut
is decided for all cuts at once: a shortest path over the places where one may cut.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, NamedTuple

import numpy as np

from minicc.explain.layered import Layering

SECTION = 3.0  # what one more piece costs, in values that go on
FIRST = 4  # reads of a node that are compared before all are
LEAST = 5  # nodes that a repetition must save to be worth words
PILL = (90.0, 18.0)  # width and height of the sign for a value that comes from elsewhere, or goes there


class Screen(NamedTuple):
    """How wide and how high a piece may be drawn, and how far apart its layers are."""

    room: float
    height: float
    fall: float
    gap: float = 0


@dataclass(frozen=True)
class Piece:
    """The nodes from `start` to `stop`; they stand for `times` runs of nodes, each `period` after the one before."""

    start: int
    stop: int
    times: int = 1
    period: int = 0

    def copies(self) -> list[range]:
        """The positions of each run, the first one first."""
        return [range(self.start + k * self.period, self.stop + k * self.period) for k in range(self.times)]


class Chain:
    """Nodes in order, `kept` those that are read at the end, too; `apart(k)` is what it costs more to cut before node k, and
    `outside` what values of no node that look the same have in common."""

    def __init__(
        self,
        nodes: Sequence[Any],
        reads: Callable[[Any], Sequence[Any]],
        look: Callable[[Any], Hashable],
        size: Callable[[Any], tuple[float, float]],
        kept: Iterable[Any] = (),
        apart: Callable[[int], float] = lambda k: 0.0,
        outside: Callable[[Any], Hashable] = lambda n: n,
    ) -> None:
        self.at = {n: k for k, n in enumerate(nodes)}
        self.nodes, self.size, self.apart, self.outside = nodes, size, apart, outside
        self.reads = [list(dict.fromkeys(reads(n))) for n in nodes]
        looks: dict[Hashable, int] = {}
        self.look = np.array([looks.setdefault(look(n), len(looks)) for n in nodes], int)
        others: dict[Hashable, int] = {}
        self.places = np.full((FIRST, len(nodes)), -1, int)  # where the first reads are; less than -1 outside
        for k, read in enumerate(self.reads):
            for c, i in enumerate(read[:FIRST]):
                self.places[c, k] = self.at[i] if i in self.at else -2 - others.setdefault(outside(i), len(others))
        self.last = list(range(len(nodes)))  # the last reader of each
        for k, read in enumerate(self.reads):
            for i in read:
                if i in self.at:
                    self.last[self.at[i]] = k
        for n in kept:
            self.last[self.at[n]] = len(nodes)
        steps = np.zeros(len(nodes) + 2, int)
        for k, last in enumerate(self.last):
            steps[k + 1] += 1
            steps[last + 1] -= 1
        self.passing = np.cumsum(steps)  # of each place, the values that go on from before it

    def pieces(self, screen: Screen) -> list[Piece]:
        """All nodes, in order."""
        found = []
        for start, period, times in self._blocks():
            stop = start + period
            ends = self._cuts(start, stop, screen)
            found += [Piece(a, b, times, period) for a, b in zip([start, *ends[:-1]], ends, strict=True)]
        return found

    # ---- repetition ----

    def _blocks(self) -> list[tuple[int, int, int]]:
        """Start, period and times of all blocks, in order; what does not repeat is a block of one time."""
        todo, found = [(0, len(self.nodes))], []
        while todo:
            a, b = todo.pop()
            found_here = self._repeats(a, b)
            saved, start, period, times = max(found_here, default=(0, a, b - a, 1), key=self._worth)
            if saved >= LEAST:
                found.append((start, period, times))
                todo += [(a, start), (start + period * times, b)]
            elif a < b:
                found.append((a, b - a, 1))
        return sorted(found)

    def _worth(self, found: tuple[int, int, int, int]) -> tuple[float, ...]:
        """The most is saved, by the shortest period, with the fewest values that go on; then the first."""
        saved, start, period, _ = found
        return saved, -period, -self.passing[start] - self.apart(start), -start

    def _repeats(self, a: int, b: int) -> Iterator[tuple[int, int, int, int]]:
        """What is saved, start, period and times of runs that repeat, shorter periods first, as long as more may be saved."""
        best = 0
        for period in range(1, (b - a) // 2 + 1):
            if best >= b - a - period:
                return  # not even by all copies
            alike = self.look[a : b - period] == self.look[a + period : b]
            for place in self.places:  # of most nodes already all that `_same` looks at
                one, other = place[a : b - period], place[a + period : b]
                alike &= (one == other) | ((one >= 0) & (other - one == period))
            for start, stop in _runs(alike, period):
                exact = np.array([self._same(a + k, period) for k in range(start, stop)])
                for first, end in _runs(exact, period):
                    for k in range(a + start + first, a + start + min(first + period, end - period + 1)):
                        times = 1 + (a + start + end - k) // period
                        more = times + self._begins(k - period, period, a)
                        best = max(best, period * (more - 1))
                        yield period * (more - 1), k - period * (more - times), period, more

    def _begins(self, start: int, period: int, least: int) -> bool:
        """Whether there is one copy more before the first: what it reads from before it, the next one reads from it."""
        if start < least or (self.look[start : start + period] != self.look[start + period : start + 2 * period]).any():
            return False
        return all(self._same(k, period, start) for k in range(start, start + period))

    def _same(self, k: int, period: int, first: int = 0) -> bool:
        """Whether the node a period later reads the same, or what is a period later; or what has taken the place of something
        from before the node `first`, where the blocks begin."""
        one, other, at = self.reads[k], self.reads[k + period], self.at
        return len(one) == len(other) and all(
            i is j
            or (i in at and j in at and at[j] - at[i] == period)
            or (i not in at and j not in at and self.outside(i) == self.outside(j))
            or at.get(i, -1) < first <= at.get(j, -1) < first + period
            for i, j in zip(one, other, strict=True)
        )

    # ---- cuts ----

    def _cuts(self, start: int, stop: int, screen: Screen) -> list[int]:
        """Where the pieces of a block end."""
        cost, before = {start: 0.0}, {}
        for a in range(start, stop):
            for b, height in self._fitting(a, stop, screen):
                going = self.passing[b] + self.apart(b) if b < stop else 0
                more = cost[a] + SECTION + going + (height / screen.height) ** 2  # rather alike than long and short
                if more < cost.get(b, inf):
                    cost[b], before[b] = more, a
        ends = [stop]
        while before[ends[0]] != start:
            ends.insert(0, before[ends[0]])
        return ends

    def _fitting(self, a: int, stop: int, screen: Screen) -> Iterator[tuple[int, float]]:
        """Where a piece that begins at `a` may end, with its height; after one node, however high that is."""
        layers, heights = Layering(screen.room, screen.gap), dict[int, float]()

        def add(n: Any, before: Sequence[Any], size: tuple[float, float]) -> None:
            layer = layers.add(n, before, size[0])
            heights[layer] = max(heights.get(layer, 0.0), size[1])

        for k in range(a, stop):
            for i in self.reads[k]:
                if i not in layers.of:
                    add(i, (), PILL)
            add(self.nodes[k], self.reads[k], self.size(self.nodes[k]))
            out = sum(self.last[i] > k for i in range(a, k + 1))
            rows = ceil(out * (PILL[0] + screen.gap) / screen.room)
            high = sum(heights.values()) + screen.fall * (len(heights) - 1)
            if k > a and high > screen.height:
                return
            if k == a or high + rows * (PILL[1] + screen.fall) <= screen.height:
                yield k + 1, high


def _runs(flags: Any, least: int) -> Iterator[tuple[int, int]]:
    """The runs of true flags that are so long, at least."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, np.int8), [0]])))
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        if end - first >= least:
            yield first, end
