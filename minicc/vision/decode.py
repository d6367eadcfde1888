"""What detectors give, as boxes in pixels of the network's picture.

In: the outputs of a network by name, and what they mean: the heads of a Darknet `.cfg`, or the name of a family of ONNX
models. Out: `Boxes` of all that is surer than a threshold, before suppression. N is the number of places, C of classes:

    darknet   [1, anchors * (5 + C), h, w] for each head       as `frontend.darknet` gives it
    yolov3    the same before the logistic functions, three heads of COCO's anchors (two: tiny's); yolov4 as well
    yolov5    [1, N, 5 + C]   cx, cy, w, h, thing, classes; or three heads [1, 3, h, w, 5 + C] of logits
    yolov8    [1, 4 + C, N]   cx, cy, w, h, classes; v8, v9, v11, v12
    yolov10   [1, N, 6]       left, top, right, bottom, score, class; suppressed already; any end-to-end export
    yolox     [1, N, 5 + C]   x and y in cells, logarithms of w and h in cells, thing, classes; strides 8, 16, 32

The layouts are those of the exporters of ultralytics (v5, v8, v10), Megvii (YOLOX) and of Darknet's converters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minicc.errors import RunError
from minicc.frontend.darknet import Head
from minicc.vision.boxes import Array, Boxes

Outputs = Mapping[str, Array]
Size = tuple[int, int]  # height and width
_SMALL = ((10, 13), (16, 30), (33, 23)), ((30, 61), (62, 45), (59, 119)), ((116, 90), (156, 198), (373, 326))
_TINY = ((10, 14), (23, 27), (37, 58)), ((81, 82), (135, 169), (344, 319))
ANCHORS = {3: _SMALL, 2: _TINY}  # of COCO, in pixels, by how many heads there are, the finest first


def _boxes(centres: Array, sizes: Array, scores: Array, threshold: float) -> Boxes:
    """The boxes, `[n, 2]` each of centres and sizes, of every class whose score, of `[n, C]`, is above the
    threshold."""
    at, classes = np.nonzero(scores > threshold)
    corners = np.concatenate([centres - sizes / 2, centres + sizes / 2], axis=1)[at]
    return Boxes(corners, scores[at, classes], classes)


def of_heads(outputs: Outputs, heads: Sequence[Head], size: Size, threshold: float) -> Boxes:
    """Of the outputs of a Darknet network."""
    found = [rows_of_head(outputs[head.output], head, threshold) for head in heads]
    whole = np.array([size[1], size[0]])
    return Boxes.joined([_boxes(r[:, :2] * whole, r[:, 2:4] * whole, r[:, 4:5] * r[:, 5:], threshold) for r in found])


def rows_of_head(output: Array, head: Head, threshold: float = -np.inf) -> Array:
    """A row for each cell and anchor, in this order, that is surer than a threshold: centre and size as fractions of
    the picture, confidence, classes."""
    _, _, height, width = output.shape
    cells = output.reshape(len(head.anchors), 5 + head.classes, height, width).transpose(2, 3, 0, 1)
    down, across, anchor = np.nonzero(cells[..., 4] > threshold)
    rows = cells[down, across, anchor].astype(np.float64)
    with np.errstate(over="ignore"):
        grown = (2 * rows[:, 2:4]) ** 2 if head.squared else np.exp(rows[:, 2:4])
    rows[:, :2] = (rows[:, :2] + np.stack([across, down], axis=1)) / [width, height]
    rows[:, 2:4] = grown * np.array(head.anchors)[anchor]
    return rows


def _logistic(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x.astype(np.float64)))


def _raw_heads(outputs: Outputs, size: Size, threshold: float) -> Boxes:
    """yolov3: logits, of heads [1, 3 * (5 + C), h, w]."""
    heads = sorted(outputs.values(), key=lambda x: -x.shape[-1])
    if len(heads) not in ANCHORS or any(x.ndim != 4 or x.shape[1] % 3 or x.shape[1] < 18 for x in heads):
        raise _unlike("yolov3", outputs, "three heads (two of a tiny one) of [1, 3 * (5 + C), h, w]")
    found = []
    for k, (x, anchors) in enumerate(zip(heads, ANCHORS[len(heads)], strict=True)):
        cells = x.reshape(3, -1, *x.shape[2:]).astype(np.float64)
        cells[:, :2], cells[:, 4:] = _logistic(cells[:, :2]), _logistic(cells[:, 4:])
        head = Head(f"head {k}", cells.shape[1] - 5, tuple((w / size[1], h / size[0]) for w, h in anchors))
        found.append(of_heads({head.output: cells.reshape(x.shape)}, [head], size, threshold))
    return Boxes.joined(found)


def _yolov5(outputs: Outputs, size: Size, threshold: float) -> Boxes:
    if len(outputs) == 3 and all(x.ndim == 5 for x in outputs.values()):
        return _yolov5_heads(outputs, size, threshold)
    rows = _single("yolov5", outputs, "[1, N, 5 + C]", lambda x: x.ndim == 3 and x.shape[2] > 5)[0]
    return _boxes(rows[:, :2], rows[:, 2:4], rows[:, 4:5] * rows[:, 5:], threshold)


def _yolov5_heads(outputs: Outputs, size: Size, threshold: float) -> Boxes:
    """Logits: the centre is 2 * logistic - 1/2 from its cell, the size the anchor's times (2 * logistic) ** 2."""
    found = []
    for x, anchors in zip(sorted(outputs.values(), key=lambda x: -x.shape[3]), _SMALL, strict=True):
        _, _, height, width, _ = x.shape
        cells, (down, across) = _logistic(x[0]), np.mgrid[:height, :width]
        stride = np.array([size[1] / width, size[0] / height])
        centres = (2 * cells[..., :2] - 0.5 + np.stack([across, down], axis=-1)) * stride
        sizes = (2 * cells[..., 2:4]) ** 2 * np.array(anchors)[:, None, None]
        scores = cells[..., 4:5] * cells[..., 5:]
        found.append(
            _boxes(centres.reshape(-1, 2), sizes.reshape(-1, 2), scores.reshape(-1, scores.shape[-1]), threshold)
        )
    return Boxes.joined(found)


def _yolov8(outputs: Outputs, size: Size, threshold: float) -> Boxes:
    rows = _single("yolov8", outputs, "[1, 4 + C, N]", lambda x: x.ndim == 3 and x.shape[1] > 4)[0].T
    return _boxes(rows[:, :2], rows[:, 2:4], rows[:, 4:], threshold)


def _yolov10(outputs: Outputs, size: Size, threshold: float) -> Boxes:
    rows = _single("yolov10", outputs, "[1, N, 6]", lambda x: x.ndim == 3 and x.shape[2] == 6)[0]
    kept = rows[rows[:, 4] > threshold]
    return Boxes(kept[:, :4], kept[:, 4], kept[:, 5].astype(int))


def _yolox(outputs: Outputs, size: Size, threshold: float) -> Boxes:
    cells = [(y, x, s) for s in (8, 16, 32) for y in range(size[0] // s) for x in range(size[1] // s)]
    fits = f"[1, {len(cells)}, 5 + C], a row for each cell of strides 8, 16 and 32"
    rows = _single("yolox", outputs, fits, lambda x: x.ndim == 3 and x.shape[1] == len(cells) and x.shape[2] > 5)[0]
    table = np.array(cells, np.float64)
    stride = table[:, 2:]
    with np.errstate(over="ignore"):
        sizes = np.exp(rows[:, 2:4].astype(np.float64)) * stride
    return _boxes((rows[:, :2] + table[:, 1::-1]) * stride, sizes, rows[:, 4:5] * rows[:, 5:], threshold)


def _single(family: str, outputs: Outputs, layout: str, fits: Callable[[Array], bool]) -> Array:
    """The first output of a layout; models have others, too."""
    for x in outputs.values():
        if fits(x) and x.shape[0] == 1:
            return x
    raise _unlike(family, outputs, layout)


def _unlike(family: str, outputs: Outputs, layout: str) -> RunError:
    got = ", ".join(f"{name} {list(x.shape)}" for name, x in outputs.items())
    hint = f"another --family: {', '.join(FAMILIES)}; a batch of one picture is taken"
    return RunError(f"detect(family={family!r})", f"expected {layout}, got {got}", hint=hint)


class Family(NamedTuple):
    """How detectors of a family take pictures, and what they give."""

    decode: Callable[[Outputs, Size, float], Boxes]
    fit: str = "letterbox"
    deviation: float = 255.0
    blue_first: bool = False
    suppressed: bool = False


FAMILIES: dict[str, Family] = {
    "yolov3": Family(_raw_heads, "stretch"),
    "yolov5": Family(_yolov5),
    "yolov8": Family(_yolov8),
    "yolov10": Family(_yolov10, suppressed=True),
    "yolox": Family(_yolox, "corner", 1.0, True),
}


def finite(boxes: Boxes) -> Boxes:
    """Without what is no box: corners or scores that are not finite, sides that are not positive."""
    sides: Any = boxes.corners[:, 2:] - boxes.corners[:, :2]
    return boxes[np.isfinite(boxes.corners).all(axis=1) & np.isfinite(boxes.scores) & (sides > 0).all(axis=1)]
