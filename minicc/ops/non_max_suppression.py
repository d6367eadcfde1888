"""Non-maximum suppression: of boxes that overlap, the one of the best score.

In: boxes [batch, n, 4] and scores [batch, classes, n]. Out: [found, 3], rows of batch, class and box, by batch and
class, and by falling score within a class. In each class the best box that is left is taken, and those that overlap it
by more than `iou_threshold` of their union go, until `max_output_boxes_per_class` are taken. Of equal scores the box
that comes first is the better one. How many there are, the data decide.

>>> import numpy as np
>>> boxes = np.float32([[[0, 0, 1, 1], [0, 0, 1, 0.9], [2, 2, 3, 3]]])
>>> NonMaxSuppression(max_output_boxes_per_class=3, iou_threshold=0.5)(boxes, np.float32([[[0.5, 0.9, 0.7]]]))
array([[0, 0, 1],
       [0, 0, 2]])
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicc.ops.base import Array, Operand, Operator, interpreted, number
from minicc.types import TensorType, Unbound


@interpreted
class NonMaxSuppression(Operator):
    """The boxes that are taken, as rows of batch, class and box; boxes are two corners, y before x, or a center and sizes.

    Without a score threshold every score counts.
    """

    operands: ClassVar[tuple[str, ...]] = ("max_output_boxes_per_class", "iou_threshold", "score_threshold")

    center_point_box: int = 0
    max_output_boxes_per_class: int | Operand = 0
    iou_threshold: float | Operand = 0.0
    score_threshold: float | Operand | None = None

    def infer(self, boxes: TensorType | None, scores: TensorType | None) -> TensorType:
        for x in filter(None, (boxes, scores)):
            if x.rank != 3:
                raise self.error("expected boxes [batch, n, 4] and scores [batch, classes, n]", boxes or x, scores or x)
        raise Unbound(self.name)

    def numpy(self, boxes: Array, scores: Array, **_: Any) -> Array:
        most = min(int(number(self.max_output_boxes_per_class)), boxes.shape[1])
        corners = self._corners(boxes.astype(np.float64) if boxes.dtype == np.float64 else boxes.astype(np.float32))
        rows = [
            (b, c, box)
            for b in range(scores.shape[0])
            for c in range(scores.shape[1])
            for box in self._taken(corners[b], scores[b, c], most)
        ]
        return np.array(rows, np.int64).reshape(-1, 3)

    def _corners(self, boxes: Array) -> Array:
        """Two corners of each box, the lesser one first."""
        first, second = boxes[..., :2], boxes[..., 2:]
        if self.center_point_box:
            first, second = first - second / 2, first + second / 2
        return np.concatenate([np.minimum(first, second), np.maximum(first, second)], -1)

    def _taken(self, boxes: Array, scores: Array, most: int) -> list[int]:
        """The boxes of one class that are taken, the best first."""
        order = np.argsort(-scores.astype(np.float64), kind="stable")
        if self.score_threshold is not None:
            order = order[scores[order] > number(self.score_threshold)]
        boxes, taken = boxes[order], list[int]()
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        left = np.arange(order.size)
        while left.size and len(taken) < most:
            best, left = left[0], left[1:]
            taken.append(int(order[best]))
            low, high = np.maximum(boxes[left, :2], boxes[best, :2]), np.minimum(boxes[left, 2:], boxes[best, 2:])
            shared = np.prod(np.maximum(high - low, 0), axis=1)
            union = areas[left] + areas[best] - shared
            left = left[~(shared > number(self.iou_threshold) * union)]
        return taken
