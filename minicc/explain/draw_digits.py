"""Handwritten digits, and what a network says they are.

In: images of `[n, 1, 8, 8]` from 0 to 1, the right answers, those given, and how certain each is. Out: a `Picture`.

>>> draw_digits(np.zeros((1, 1, 8, 8)), np.array([3]), np.array([8]), np.array([0.5])).words
'1 of 1 digits, the wrong and the least certain answers first. 1 answers are wrong: 8 for a 3. The least certain right one has 100%.'
"""

from __future__ import annotations

import numpy as np

from minicc.explain.picture import AMOUNTS, Picture, legend, rect, text
from minicc.ops.base import Array

SHOWN = 60  # digits in the picture
COLUMNS, CELL, PIXEL = 12, 76, 7


def draw_digits(images: Array, labels: Array, answers: Array, certainty: Array) -> Picture:
    """The digits with their predictions, wrong ones framed and first. Images are `[n, 1, 8, 8]` in [0, 1]."""
    order = np.lexsort((certainty, answers == labels))[:SHOWN]
    shapes: list[str] = []
    for place, n in enumerate(order):
        left, top = 16 + place % COLUMNS * CELL, 16 + place // COLUMNS * (CELL + 22)
        right, side = answers[n] == labels[n], 8 * PIXEL
        shapes.append(rect(left, top, side, side, AMOUNTS[0]))
        levels = np.rint(images[n, 0] * (len(AMOUNTS) - 1)).astype(int)
        shapes += [
            rect(left + x * PIXEL, top + y * PIXEL, PIXEL, PIXEL, AMOUNTS[v])
            for (y, x), v in np.ndenumerate(levels)
            if v
        ]
        shapes.append(rect(left - 2, top - 2, side + 4, side + 4, "none" if right else "strong"))
        said = f"{answers[n]} ({certainty[n]:.0%})" if right else f"{answers[n]}, not {labels[n]}"
        shapes.append(text(left, top + side + 16, said, "" if right else "bold"))
    below = 16 + -(-len(order) // COLUMNS) * (CELL + 22)
    entries = [
        ("strong", "a wrong answer"),
        ("none", "a right one, and how certain"),
        (AMOUNTS[0], "no ink"),
        (AMOUNTS[-1], "full ink"),
    ]
    keys, bottom = legend(16, below, entries)
    wrong = [f"{answers[n]} for a {labels[n]}" for n in order if answers[n] != labels[n]]
    words = (
        f"{len(order)} of {len(images)} digits, the wrong and the least certain answers first. {len(wrong)} answers are wrong"
        f"{': ' * bool(wrong)}{', '.join(wrong)}. The least certain right one has {certainty[order][len(wrong) :].min(initial=1):.0%}."
    )
    return Picture(
        "Handwritten digits, and what the network says they are",
        words,
        COLUMNS * CELL + 16,
        bottom + 16,
        [*shapes, *keys],
    )
