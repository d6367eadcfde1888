"""The elements of an array as cells of a picture: where each stands, and how amounts are shaded.

In: the shape of an array. Out: a `Grid`, which knows the place of each element, by its number in row-major order. The last two
dimensions are rows and columns; what has more is drawn as slices, one beside the other; what has a single row is wrapped.

>>> grid = Grid("A", (2, 3), cell=10)
>>> grid.at(4), (grid.width, grid.height)
((10, 28), (30, 38))
>>> grid.index(4)
(1, 1)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from minicc.explain.picture import element, number, rect, text, wide

GAP, LABEL, ROOM = 12, 18, 720  # between slices; for the name above; pixels of a picture
LARGE, SMALL = 26, 5  # pixels of a cell
WRAP, MOST_COLUMNS = 32, ROOM // SMALL
SHADES = ("h1", "h2", "h3", "h4", "h6", "h7")  # those that words can be read on: in ink, and on the last two in paper


@dataclass(frozen=True)
class Grid:
    """The cells of an array of a shape, each `cell` pixels; `start` is the index of the first that is shown."""

    label: str
    shape: tuple[int, ...]
    cell: float
    start: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def columns(self) -> int:
        """Cells in a row; a vector goes on below after WRAP."""
        last = self.shape[-1] if self.shape else 1
        return min(last, WRAP) if last == self.size else last

    @property
    def rows(self) -> int:
        """Those of one slice."""
        if self.columns == 0 or self.size == 0:
            return 0
        return math.ceil(self.size / self.columns) if self.shape[-1:] == (self.size,) else ([1, 1, *self.shape])[-2]

    @property
    def slices(self) -> int:
        return math.ceil(self.size / (self.rows * self.columns)) if self.size else 0

    @property
    def beside(self) -> int:
        """How many slices stand side by side."""
        return max(min(self.slices, int((ROOM + GAP) / (self.columns * self.cell + GAP))), 1) if self.size else 1

    @property
    def width(self) -> float:
        return self.beside * (self.columns * self.cell + GAP) - GAP

    @property
    def height(self) -> float:
        return LABEL + math.ceil(self.slices / self.beside) * (self.rows * self.cell + self.above)

    @property
    def above(self) -> float:
        """The room for the index of a slice."""
        return LABEL if self.slices > 1 else 0

    def at(self, element: int) -> tuple[float, float]:
        """The corner of an element's cell."""
        which, rest = divmod(element, self.rows * self.columns)
        row, column = divmod(rest, self.columns)
        down, across = divmod(which, self.beside)
        x = across * (self.columns * self.cell + GAP) + column * self.cell
        return x, LABEL + self.above + down * (self.rows * self.cell + self.above) + row * self.cell

    def index(self, element: int) -> tuple[int, ...]:
        """The index of an element in the whole array."""
        found = list[int]()
        for extent in reversed(self.shape):
            element, last = divmod(element, extent)
            found.append(last)
        return tuple(i + s for i, s in zip(reversed(found), self.start or (0,) * len(found), strict=True))

    def named(self, element: int) -> str:
        """An element as code."""
        return f"{self.label.partition(':')[0]}[{', '.join(map(str, self.index(element)))}]"

    def heads(self) -> Iterator[str]:
        """The name, and the index of each slice."""
        yield text(0, 12, self.label, "code")
        for which in range(self.slices if self.slices > 1 else 0):
            element = which * self.rows * self.columns
            x, y = self.at(element)
            words = ", ".join([*map(str, self.index(element)[:-2]), ":", ":"])
            if wide(words, 10, code=True) <= self.columns * self.cell + GAP:
                yield text(x, y - 5, f"[{words}]", "small")

    def lines(self, kind: str = "none") -> Iterator[str]:
        """The lines around the cells of each slice."""
        for which in range(self.slices):
            x, y = self.at(which * self.rows * self.columns)
            last = min(self.size, self.rows * self.columns) - (self.rows - 1) * self.columns  # cells of the last row
            across = [(row, self.columns if row < self.rows else last) for row in range(self.rows + 1)]
            down = [(column, self.rows - (column > last)) for column in range(self.columns + 1)]
            path = [f"M{number(x)},{number(y + row * self.cell)} h{number(n * self.cell)}" for row, n in across]
            path += [f"M{number(x + column * self.cell)},{number(y)} v{number(n * self.cell)}" for column, n in down]
            yield element("path", kind=kind, d=" ".join(path))

    def mark(self, element: int, kind: str, hover: object = "", inset: float = 0, **more: object) -> str:
        """A shape on an element's cell."""
        x, y = self.at(element)
        side = self.cell - 2 * inset
        return rect(x + inset, y + inset, side, side, kind, hover, **more)


def cell_size(shapes: Sequence[tuple[int, ...]]) -> float:
    """The largest cells with which these arrays fit into a picture."""
    columns = max([Grid("", shape, LARGE).columns for shape in shapes], default=1)
    cells = max([math.prod(shape) for shape in shapes], default=1)
    return max(min(LARGE, ROOM // max(columns, 1), 16 if cells > 512 else LARGE), SMALL)


def side_by_side(grids: Sequence[Grid], left: float, top: float) -> tuple[list[tuple[float, float]], float, float]:
    """Where grids stand, in rows that fit into a picture; and how wide and how far down they reach."""
    places, x, y, row, width = list[tuple[float, float]](), left, top, 0.0, 0.0
    for grid in grids:
        need = max(grid.width, wide(grid.label, code=True))
        if x > left and x + need > left + ROOM:
            x, y, row = left, y + row + GAP, 0.0
        places.append((x, y))
        width, row = max(width, x + need), max(row, grid.height)
        x += need + 2 * GAP
    return places, width, y + row


def shade(amount: int, most: int) -> tuple[str, str]:
    """The class of a cell for an amount from 1 to the most, and that of small words on it."""
    step = (amount - 1) * len(SHADES) // max(most, 1)
    return SHADES[step], "small paper" if step >= len(SHADES) - 2 else "small"


def shades(most: int) -> Iterator[tuple[str, int, int]]:
    """Each class that `shade` gives, with the least and the largest amount of it."""
    ends = [math.ceil(step * most / len(SHADES)) for step in range(len(SHADES) + 1)]
    yield from ((kind, low + 1, high) for kind, low, high in zip(SHADES, ends, ends[1:], strict=False) if low < high)


def move_to(x: float, y: float) -> str:
    """The transform of a group whose corner is there."""
    return f"translate({number(x)} {number(y)})"
