"""Boxes of things in a picture, and which of them are the same thing.

In: corners, confidences and classes. Out: the best box of each thing, the surest first (greedy non-maximum suppression:
of two boxes of a class that overlap, the surer one stays).

>>> corners = np.array([[0.0, 0, 10, 10], [1, 0, 10, 10], [20, 20, 30, 30]])
>>> found = Boxes(corners, np.array([0.9, 0.8, 0.7]), np.zeros(3, int))
>>> suppress(found, 0.45).scores
array([0.9, 0.7])
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
MOST = 10_000  # boxes that are compared with one another; the surest of more


@dataclass(frozen=True)
class Boxes:
    """Boxes: `corners[n, 4]` are left, top, right and bottom, `scores[n]` in [0, 1], `classes[n]` integers."""

    corners: Array
    scores: Array
    classes: Array

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, at: Any) -> Boxes:
        """Those at an array of positions, or where a mask is true, in its order."""
        return Boxes(self.corners[at], self.scores[at], self.classes[at])

    @staticmethod
    def joined(parts: list[Boxes]) -> Boxes:
        """The boxes of all parts, in order."""
        return Boxes(*(np.concatenate([getattr(p, k) for p in parts]) for k in ("corners", "scores", "classes")))

    def clipped(self, width: float, height: float) -> Boxes:
        """The parts inside a picture."""
        return Boxes(np.clip(self.corners, 0, [width, height, width, height]), self.scores, self.classes)


def overlap(box: Array, others: Array) -> Array:
    """Intersection over union of one box with each of others: areas in the plane, 0 where both are empty."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    both = np.prod(np.maximum(sides, 0), axis=1)
    union = np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - both
    return np.asarray(np.divide(both, union, out=np.zeros_like(both), where=union > 0))


def suppress(boxes: Boxes, threshold: float, across: bool = False) -> Boxes:
    """The boxes that no surer one of their class (`across`: of any class) overlaps by more than `threshold`, the
    surest first.

    Equal scores keep their order. Of more than `MOST` boxes the surest take part.
    """
    ordered = boxes[np.argsort(-boxes.scores, kind="stable")[:MOST]]
    left, kept = np.arange(len(ordered)), []
    while len(left):
        first, left = left[0], left[1:]
        kept.append(first)
        same = across | (ordered.classes[left] == ordered.classes[first])
        left = left[~(same & (overlap(ordered.corners[first], ordered.corners[left]) > threshold))]
    return ordered[np.array(kept, int)]
