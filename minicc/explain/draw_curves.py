"""Curves over the same numbers: how something grows, or falls, with a size.

In: curves, each a name and its points. Out: a `Picture`. The numbers across stand at equal distances, in order, so that powers of two
do not crowd at the left; up it is linear, from 0 on, or `logarithmic`. A point says its numbers where the pointer rests on it.

>>> shown = curves("Misses", [Curve("<tiled>", {8: 512, 16: 256}), Curve("least", {8: 256, 16: 256}, "c2", dashed=True)], "tile", "misses")
>>> print(shown.words)
Misses. Across: tile; up: misses. <tiled>: 8 512, 16 256; least: 8 256, 16 256.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from minicc.explain.picture import Picture, amount, circle, legend, line, text, ticks, wide

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 600, 300, 70, 24, 30, 44


class Curve(NamedTuple):
    """A line through points, `{across: up}`; one that is `dashed` is a limit, and has no dots."""

    name: str
    points: Mapping[float, float]
    kind: str = "c1"
    dashed: bool = False


def curves(title: str, shown: Sequence[Curve], across: str, up: str, logarithmic: bool = False) -> Picture:
    """The curves in one frame; `across` and `up` say what the numbers are. Where those up are `logarithmic`, they are above 0."""
    places = sorted({x for c in shown for x in c.points})
    numbers = [y for c in shown for y in c.points.values()]
    share, marks = _powers(numbers) if logarithmic and numbers else _multiples(max(numbers, default=0) or 1)
    step = (WIDTH - LEFT - RIGHT) / max(len(places) - 1, 1)

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + step * places.index(x), HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share(y)

    shapes = [text(8, 16, up), text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, across, anchor="middle")]
    for y in marks:
        height = at(places[0], y)[1] if places else HEIGHT - BOTTOM
        shapes += [line([(LEFT, height), (WIDTH - RIGHT, height)], "none"), text(LEFT - 6, height + 4, _tick(y), "muted", "end")]  # fmt: skip
    thin = 1 + int(max((wide(f"{x:g}") for x in places), default=0) + 8) // max(int(step), 1)
    shapes += [text(at(x, marks[0])[0], HEIGHT - BOTTOM + 16, f"{x:g}", "muted", "middle") for x in places[::thin]]
    for c in shown:
        points = sorted(c.points.items())
        shapes.append(line([at(*p) for p in points], f"band {c.kind}{' dashed' * c.dashed}", c.name, stroke_width=3))
        shapes += [circle(*at(*p), 4.5, c.kind, f"{c.name}: {p[1]:,g} at {p[0]:g}") for p in points if not c.dashed]
    keys, bottom = legend(LEFT, HEIGHT + 6, [(c.kind, c.name) for c in shown], WIDTH - LEFT - RIGHT)
    told = "; ".join(f"{c.name}: {', '.join(f'{x:g} {y:,.6g}' for x, y in sorted(c.points.items()))}" for c in shown)
    return Picture(
        title, f"{title}. Across: {across}; up: {up}. {told or 'None'}.", WIDTH, bottom + 10, [*shapes, *keys]
    )


def _multiples(most: float) -> tuple[Callable[[float], float], list[float]]:
    """How high numbers from 0 on are, as a share, and which are written beside the axis."""
    return lambda y: max(y, 0) / most, ticks(most)


def _powers(numbers: Sequence[float]) -> tuple[Callable[[float], float], list[float]]:
    """The same of numbers by their logarithm, from the power of ten below the least on."""
    low, high = math.floor(math.log10(min(numbers))), math.log10(max(numbers))
    return lambda y: (math.log10(y) - low) / ((high - low) or 1), [10.0**p for p in range(low, math.floor(high) + 1)]


def _tick(y: float) -> str:
    """A number beside the axis: a share as it is, a large one with a prefix."""
    return amount(y, "").strip() if y >= 1 else f"{y:g}"
