"""In which order a program visits the elements of a buffer: as a list, and as a picture for a reader to reach.

In: a schedule, and the name of a buffer. Out: indices, in the order in which its elements are written, or read.
`dependences` draws trips that need each other, in both orders of two loops.

>>> from minicc.schedule.examples import doubled
>>> s = doubled(2, 2)
>>> s.reorder("j", "i")
>>> order(s, "B")
[(0, 0), (1, 0), (0, 1), (1, 1)]
>>> print(goal("By columns", (2, 2), order(s, "B")).words)
By columns, row by row: 1 3; 2 4.
>>> print(dependences((3, 6), (1, -1)).words)
Trips at a distance of (1, -1): with t outside 0 of 10 arrows point back, with j outside 10 of 10.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from minicc.explain.code import MARGIN
from minicc.explain.grids import LARGE, Grid, move_to, shade
from minicc.explain.picture import Picture, arrow, circle, group, legend, text, wide
from minicc.loop.accesses import accesses
from minicc.loop.marks import LOAD as LOAD
from minicc.loop.marks import STORE
from minicc.schedule.counted import Counted

Index = tuple[int, ...]
APART, RADIUS = 46, 11  # pixels: between trips, and of one


def order(s: Counted, name: str, kind: int = STORE) -> list[Index]:
    """The elements of a buffer that a program writes (STORE) or reads (LOAD), in order."""
    found = accesses(s.program)
    number = [b.name for b in found.buffers].index(name)
    flat = found.element[(found.buffer == number) & (found.kind == kind)]
    return [tuple(map(int, np.unravel_index(e, found.shapes[number]))) for e in flat]


def goal(title: str, shape: Index, visits: Sequence[Index]) -> Picture:
    """The picture of an order: in the cell of each element the number of its first visit, from 1."""
    grid, rank = Grid("", shape, LARGE), dict[int, int]()
    for index in visits:
        rank.setdefault(int(np.ravel_multi_index(index, shape)), len(rank) + 1)
    cells = list(grid.lines())
    for element, number in rank.items():
        (x, y), (kind, on) = grid.at(element), shade(number, len(rank))
        cells.append(grid.mark(element, kind, inset=0.5))
        cells.append(text(x + LARGE / 2, y + LARGE / 2 + 4, number, on, "middle"))
    rows = [[str(rank.get(e, "-")) for e in range(r, r + grid.columns)] for r in range(0, grid.size, grid.columns)]
    words = f"{title}, row by row: {'; '.join(map(' '.join, rows))}."
    shapes = [text(MARGIN, MARGIN + 12, title, "head"), group(cells, transform=move_to(MARGIN, MARGIN + 10))]
    width = max(grid.width, wide(title, 14)) + 2 * MARGIN
    return Picture(title, words, width, grid.height + 2 * MARGIN + 10, shapes)


def dependences(trips: tuple[int, int], distance: tuple[int, int]) -> Picture:
    """Trips of loops over t (down) and j, each with the number at which it runs, and arrows from each to the one at a distance.

    Once with t outside, once with j outside; arrows that point back in time stand out.
    """
    points, shapes, told = list(itertools.product(range(trips[0]), range(trips[1]))), list[str](), list[str]()
    top: float = MARGIN
    for outer in (0, 1):
        name, turned = "tj"[outer], sorted(points, key=lambda trip: trip[::-1])
        when = {trip: n for n, trip in enumerate(turned if outer else points, 1)}
        at = {(t, j): (MARGIN + APART * j + 20, top + APART * t + 44) for t, j in points}
        further = {trip: (trip[0] + distance[0], trip[1] + distance[1]) for trip in points}
        ends = [(trip, end) for trip, end in further.items() if end in at]
        back = {trip for trip, end in ends if when[end] < when[trip]}
        shapes.append(text(MARGIN, top + 14, f"{name} outside", "head"))
        for trip, end in ends:
            shapes.append(arrow([at[trip], (at[end][0], at[end][1] - RADIUS)], "strong" if trip in back else "edge"))
        for trip, (x, y) in at.items():
            shapes += [circle(x, y, RADIUS, "soft"), text(x, y + 4, when[trip], "", "middle")]
        told.append(f"with {name} outside {len(back)} of {len(ends)}{'' if outer else ' arrows point back'}")
        top += APART * trips[0] + 30
    boxes, top = legend(MARGIN, top, [("edge", "to a later trip"), ("strong", "back to an earlier one")])
    width = max(APART * trips[1] + 40, 300) + 2 * MARGIN
    words = f"Trips at a distance of {distance}: {', '.join(told)}."
    return Picture("What reads from what", words, width, top + MARGIN, [*shapes, *boxes])
