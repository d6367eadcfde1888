"""Bars beside each other: a row with a name, a bar as long as its number, and the number in words.

In: bars. Out: a `Picture`, or with more bars than a screen holds the first ones and what the others come to.

>>> bars("Two peers", [Bar("ours", 1.0, "1 ms", "c1"), Bar("<other>", 2.0, "2 ms")]).words
'Two peers. ours: 1 ms; <other>: 2 ms.'
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from minicc.explain.picture import Picture, cut, legend, rect, text, wide

WIDTH, ROW = 620, 22  # pixels: of a picture; of a bar
NAMES, LEAST = 180, 150  # pixels: of the names at most; of the longest bar at least


class Bar(NamedTuple):
    """A row: `value` is the length of its bar, `words` stand behind it. `hover` says more."""

    name: str
    value: float
    words: str
    kind: str = "c1"
    hover: str = ""


def bars(title: str, rows: Sequence[Bar], kinds: Sequence[tuple[str, str]] = (), most: int = 25) -> Picture:
    """A row for each bar, at most so many; `kinds` are the legend."""
    shown = rows[:most]
    names = min(NAMES, max((wide(b.name) for b in shown), default=0)) + 20
    behind = max((wide(b.words) for b in shown), default=0) + 12
    room, longest = max(WIDTH - names - behind, LEAST), max((b.value for b in shown), default=0) or 1
    shapes, y = [], 4.0
    for b in shown:
        long = max(room * b.value / longest, 0)
        shapes += [
            text(names - 8, y + 15, cut(b.name, names - 8), anchor="end"),
            rect(names, y + 2, max(long, 1), ROW - 5, b.kind, b.hover or f"{b.name}: {b.words}"),
            text(names + long + 6, y + 15, b.words),
        ]
        y += ROW
    if rest := rows[most:]:
        shapes.append(text(names, y + 15, f"and {len(rest)} more", "muted"))
        y += ROW
    keys, y = legend(8, y + 8, kinds, WIDTH - 16) if kinds else ([], y)
    told = "; ".join(f"{b.name}: {b.words}" for b in shown)
    words = f"{title}. {told or 'None'}{f'; and {len(rest)} more' if rest else ''}."
    return Picture(title, words, max(WIDTH, names + room + behind), y + 8, [*shapes, *keys])
