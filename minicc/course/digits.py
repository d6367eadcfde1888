"""Digits that a reader draws with the keyboard, as images, and pictures of them and of what a network says.

In: eight lines of eight signs: `.` is paper, `+` is half ink, `#` is full ink. Out: an array, a `Picture`.

>>> image = drawn("........\\n" * 7 + "...+##..")
>>> image.shape, image[0, 0, 7].tolist()
((1, 1, 8, 8), [0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 0.0, 0.0])
>>> side_by_side({"ink": image[0, 0]}).words
'ink, 8 by 8, from 0 to 1.'
>>> answered(image, [0.9, *[0.1 / 9] * 9]).words
'A drawing of 8 by 8 pixels, and how sure the network is of each digit: 0 90%, then 1 1%.'
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minicc.errors import ConfigError, printable
from minicc.explain.picture import AMOUNTS, Picture, rect, text

SIDE, INK = 8, {".": 0.0, "+": 0.5, "#": 1.0}
PIXEL, ROW, BARS = 20, 17, 130  # pixels of the picture: of a sign, of a bar, of a bar that is certain
Array = np.ndarray[Any, np.dtype[Any]]


def drawn(drawing: str) -> Array:
    """A drawing as an image, float32[1, 1, 8, 8] from 0 to 1. Raises ConfigError when it is not 8 lines of 8 signs."""
    lines = drawing.split()
    wrong = next((f"line {n} with {len(line)} signs" for n, line in enumerate(lines, 1) if len(line) != SIDE), "")
    unknown = next((sign for sign in "".join(lines) if sign not in INK), None)
    if len(lines) != SIDE:
        wrong = f"{len(lines)} lines"
    elif unknown is not None:
        wrong = f"the sign {printable(unknown)!r}"
    if wrong:
        raise ConfigError(
            "drawn(...)", f"expected {SIDE} lines of {SIDE} signs . + #, got {wrong}", hint="`.` is paper"
        )
    return np.array([[[[INK[sign] for sign in line] for line in lines]]], np.float32)


def answered(image: Array, probability: Sequence[float] | Array) -> Picture:
    """An image beside the probability of each digit, the likeliest one marked."""
    levels = np.rint(image[0, 0] * (len(AMOUNTS) - 1)).astype(int)
    shapes = [rect(x * PIXEL + 10, y * PIXEL + 10, PIXEL, PIXEL, AMOUNTS[v]) for (y, x), v in np.ndenumerate(levels)]
    best = np.argsort(-np.asarray(probability), kind="stable")
    left = SIDE * PIXEL + 40
    for digit, share in enumerate(probability):
        y, likeliest = 10 + ROW * digit, digit == best[0]
        shapes += [
            text(left, y + 12, digit, "bold" if likeliest else "", "middle"),
            rect(left + 14, y + 1, max(float(share) * BARS, 1), ROW - 4, "c2" if likeliest else "soft"),
            text(left + 20 + float(share) * BARS, y + 12, f"{share:.0%}", "bold" if likeliest else "muted"),
        ]
    told = ", then ".join(f"{digit} {probability[digit]:.0%}" for digit in best[:2])
    words = f"A drawing of {SIDE} by {SIDE} pixels, and how sure the network is of each digit: {told}."
    return Picture("A drawn digit, and what the network says it is", words, left + BARS + 70, 20 + 10 * ROW, shapes)


def side_by_side(arrays: Mapping[str, Array]) -> Picture:
    """Matrices by their names, each from its least number (paper) to its greatest (ink)."""
    shapes, left, bottom, told = list[str](), 10.0, 0.0, list[str]()
    for name, array in arrays.items():
        least, most = float(array.min()), float(array.max())
        levels = np.rint((array - least) / ((most - least) or 1) * (len(AMOUNTS) - 1)).astype(int)
        shapes.append(text(left, 20, name, "bold"))
        shapes += [
            rect(left + x * PIXEL, y * PIXEL + 30, PIXEL, PIXEL, AMOUNTS[v], f"{array[y, x]:g}")
            for (y, x), v in np.ndenumerate(levels)
        ]
        told.append(f"{name}, {array.shape[0]} by {array.shape[1]}, from {least:g} to {most:g}")
        left, bottom = left + array.shape[1] * PIXEL + 20, max(bottom, array.shape[0] * PIXEL + 40)
    return Picture("Matrices as images", "; ".join(told) + ".", left - 10, bottom, shapes)
