"""In which order a program visits the elements of a buffer: as a list, and as a picture for a reader to reach.

In: a schedule, and the name of a buffer. Out: indices, in the order in which its elements are written, or read.

>>> from minicc.schedule.examples import doubled
>>> s = doubled(2, 2)
>>> s.reorder("j", "i")
>>> order(s, "B")
[(0, 0), (1, 0), (0, 1), (1, 1)]
>>> print(goal("By columns", (2, 2), order(s, "B")).words)
By columns, row by row: 1 3; 2 4.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicc.explain.code import MARGIN
from minicc.explain.grids import LARGE, Grid, move_to, shade
from minicc.explain.picture import Picture, group, text, wide
from minicc.loop.accesses import accesses
from minicc.loop.marks import LOAD as LOAD
from minicc.loop.marks import STORE
from minicc.schedule.counted import Counted

Index = tuple[int, ...]


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
