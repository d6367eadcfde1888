"""Boxes, labels and points painted on a picture, to be read at any size.

In: a picture, and marks: a text, and a box, points, or both. Out: a copy with them on it. Lines and letters are as
large as the picture asks for, labels stay inside of it and off each other where there is room, and have letters that
stand out from their ground. Colours are those of Okabe and Ito ("Color Universal Design", 2008), told apart by
readers with any colour vision; marks of one `kind` (a class, say) have one colour.

    draw(picture, [Annotation("dog 92%", (10, 20, 110, 220), kind=16)])
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.errors import printable
from minicc.vision.picture import pillow

Array = np.ndarray[Any, np.dtype[Any]]
Rectangle = tuple[float, float, float, float]
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0), (204, 121, 167))
LONGEST = 60  # letters of a label
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


@dataclass(frozen=True)
class Annotation:
    """Something to show: a box (left, top, right, bottom) with a text at it, points (x, y), or both; `kind` chooses
    the colour."""

    text: str = ""
    box: Rectangle | None = None
    points: Sequence[tuple[float, float]] = ()
    kind: int = 0


def draw(picture: Array, marks: Sequence[Annotation]) -> Array:
    """A copy of `picture`, `uint8[height, width, 3]`, with the marks on it: later ones above, labels above all.

    The labels of later ones choose their places first.
    """
    image = pillow("Image").fromarray(picture)
    height, width = picture.shape[:2]
    line = max(1, round((width * height) ** 0.5 / 250))
    brush = pillow("ImageDraw").Draw(image)
    for mark in marks:
        if mark.box is not None:
            box = _inside(mark.box, width, height)
            for grown, colour in ((1, BLACK), (0, colour_of(mark.kind))):  # a dark rim shows on a bright ground
                brush.rectangle(_grown(box, grown * max(1, line // 3)), outline=colour, width=line)
        _points(brush, mark, max(1.0, line * (0.6 if len(mark.points) > 40 else 1.2)))
    font = pillow("ImageFont").load_default(max(10, round(min(width, height) / 28)))
    taken: list[Rectangle] = []
    for mark in reversed(marks):
        if mark.text and mark.box is not None:
            taken.append(_label(brush, font, mark, (width, height), line, taken))
    return np.array(image)


def colour_of(kind: int) -> tuple[int, int, int]:
    """The colour of a kind of mark."""
    return COLOURS[kind % len(COLOURS)]


def letters_on(ground: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever has the greater contrast (WCAG 2.1, relative luminance; the power is a close form)."""
    return BLACK if np.dot((np.array(ground) / 255) ** 2.2, (0.2126, 0.7152, 0.0722)) > 0.18 else WHITE


def _inside(box: Rectangle, width: int, height: int) -> Rectangle:
    """The part of a box in the picture, its corners whole numbers and in order; of what is no number the edge."""
    limits = np.array([width - 1, height - 1] * 2)
    left, top, right, bottom = np.rint(np.clip(np.nan_to_num(np.array(box, float)), 0, limits)).tolist()
    return left, top, max(left, right), max(top, bottom)


def _grown(box: Rectangle, by: int) -> Rectangle:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _points(brush: Any, mark: Annotation, radius: float) -> None:
    """Discs with a dark rim."""
    for x, y in mark.points:
        if np.isfinite([x, y]).all() and max(abs(x), abs(y)) < 1e6:
            spot = (x - radius, y - radius, x + radius, y + radius)
            brush.ellipse(spot, fill=colour_of(mark.kind), outline=BLACK if radius >= 2 else None)


def _label(
    brush: Any, font: Any, mark: Annotation, size: tuple[int, int], line: int, taken: list[Rectangle]
) -> Rectangle:
    """Paint a label at its box, and say where: above it, inside it, or below, wherever it is in the picture and
    free."""
    assert mark.box is not None
    box = _inside(mark.box, *size)
    text = _fitting(brush, font, printable(mark.text), size[0] - 4 * line)
    left, top, right, bottom = brush.textbbox((0, 0), text, font=font)
    pad = 2 * line
    wide, high = right - left + 2 * pad, bottom - top + 2 * pad
    x = max(0, min(box[0], size[0] - wide))
    places = [(x, y) for y in (box[1] - high, box[1], box[3] - high, box[3], *_steps(box[1], high, size[1]))]
    fitting = [(x, y) for x, y in places if 0 <= y <= size[1] - high] or [(x, 0)]
    free = [place for place in fitting if not any(_meets(place, wide, high, other) for other in taken)]
    x, y = (free or fitting)[0]
    ground = colour_of(mark.kind)
    brush.rectangle((x, y, x + wide - 1, y + high - 1), fill=ground)
    brush.text((x + pad - left, y + pad - top), text, font=font, fill=letters_on(ground))
    return x, y, x + wide, y + high


def _steps(start: float, high: float, height: int) -> list[float]:
    """Further places down from `start`, a label's height apart."""
    return list(np.arange(start, height - high, high))


def _meets(place: tuple[float, float], wide: float, high: float, other: Rectangle) -> bool:
    x, y = place
    return x < other[2] and other[0] < x + wide and y < other[3] and other[1] < y + high


def _fitting(brush: Any, font: Any, text: str, width: float) -> str:
    """`text`, or as much of it as is in a width."""
    kept = range(min(len(text), LONGEST), 0, -1)
    shown = (text[:n] if n == len(text) else f"{text[: n - 1]}…" for n in kept)
    return next((t for t in shown if brush.textlength(t, font=font) <= width), "")
