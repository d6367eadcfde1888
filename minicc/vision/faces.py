"""Faces in a picture: BlazeFace and RetinaFace find them, a mesh of 468 points and the irises are laid over them.

In: what the networks give, as arrays. Out: `Faces`, in pixels of the picture. `find_faces`, `find_mesh` and `find_irises` run a
compiled network on a picture, too.

BlazeFace (Bazarevsky et al. 2019) says for each anchor, a place on one of its grids, where a box and six points lie, as
offsets in pixels of its input; boxes of one face are averaged by their scores. RetinaFace (Deng et al. 2019) says offsets to
*priors*, boxes of six sizes on three grids, in units of their size and of two variances; five points.

    exe = minicc.compile("face_detection_front.tflite")
    found = find_faces(exe, read_picture("astronaut.png"))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.errors import RunError
from minicc.vision.boxes import Boxes, overlap, suppress
from minicc.vision.crop import Crop

Array = np.ndarray[Any, np.dtype[Any]]
Network = Any  # an Executable of one input
GRIDS = {896: ((16, 2), (8, 6)), 2304: ((48, 1),)}  # of BlazeFace, by the number of anchors: (side, anchors at a place)
STEPS, SIZES = (
    (8, 16, 32),
    ((16, 32), (64, 128), (256, 512)),
)  # of RetinaFace: pixels from prior to prior, sides of priors
VARIANCES = 0.1, 0.2  # of RetinaFace: of places, and of the logarithms of sizes
BLUE_FIRST = np.array([104, 117, 123], np.float32)  # RetinaFace takes these means away
EYES = {"left": (33, 133), "right": (362, 263)}  # corners of the eyes among the points of the mesh
MESH_MARGIN, IRIS_MARGIN = 1.5, 2.3  # how much larger than a face, or an eye, the region is that a network sees


@dataclass(frozen=True)
class Faces:
    """Boxes of faces, and points of each: `points[n, k, 2]`, x and y. BlazeFace: eyes, nose, mouth, ears; RetinaFace: eyes, nose, corners of the mouth."""

    boxes: Boxes
    points: Array

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, at: Any) -> Faces:
        return Faces(self.boxes[at], self.points[at])


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-np.clip(x.astype(np.float64), -80, 80))))


# ---- BlazeFace --------------------------------------------------------------------------------------------------


def anchors(count: int) -> Array:
    """The places [count, 2] of BlazeFace's anchors, in fractions of its input. Raises RunError where no network has so many."""
    if count not in GRIDS:
        problem = f"expected {' or '.join(map(str, GRIDS))} anchors, got {count}"
        raise RunError("faces --family blazeface", problem, hint="is it another detector? see --family")
    parts = []
    for side, each in GRIDS[count]:
        y, x = np.divmod(np.arange(side * side), side)
        parts.append(np.repeat((np.stack([x, y], 1) + 0.5) / side, each, axis=0))
    return np.concatenate(parts)


def decode_blazeface(offsets: Array, scores: Array, side: int, threshold: float) -> Faces:
    """Faces, in fractions of the input, whose side is `side`, of `offsets[n, 16]` and raw `scores[n]` above a threshold."""
    scores = sigmoid(scores.reshape(-1))
    kept = np.isfinite(offsets).all(axis=1) & (scores >= threshold)
    pairs = offsets[kept].astype(np.float64).reshape(-1, 8, 2) / side
    middle = anchors(len(offsets))[kept]
    centre, half = pairs[:, 0] + middle, pairs[:, 1] / 2
    corners = np.concatenate([centre - half, centre + half], axis=1)
    boxes = Boxes(corners, scores[kept], np.zeros(len(corners), int))
    return Faces(boxes, pairs[:, 2:] + middle[:, None])[(half > 0).all(axis=1)]


def average(faces: Faces, threshold: float = 0.3) -> Faces:
    """One face of all that overlap the surest one by more than `threshold`: their mean, weighed by their scores."""
    left, found = faces[np.argsort(-faces.boxes.scores, kind="stable")], []
    while len(left):
        same = overlap(left.boxes.corners[0], left.boxes.corners) > threshold
        same[0] = True
        weights = left.boxes.scores[same] / left.boxes.scores[same].sum()
        found.append(
            (weights @ left.boxes.corners[same], np.tensordot(weights, left.points[same], 1), left.boxes.scores[0])
        )
        left = left[~same]
    corners, points, scores = zip(*found, strict=True) if found else ((), (), ())
    shape = faces.points.shape[1:]
    boxes = Boxes(np.array(corners).reshape(-1, 4), np.array(scores), np.zeros(len(scores), int))
    return Faces(boxes, np.array(points).reshape(-1, *shape))


def find_blazeface(network: Network, picture: Array, threshold: float) -> Faces:
    """The faces in a picture, by a network of BlazeFace: front or back camera, short or full range."""
    height, width = image_size(network, channels=3)
    region = Crop.around(picture, width / height)
    results = [np.asarray(r)[0] for r in ran(network, _scaled(region, picture, width, height, -1, 1)[None])]
    offsets, scores = by_width(results, 16), by_width(results, 1)
    faces = average(decode_blazeface(offsets, scores, width, threshold))
    corners = region.to_picture(faces.boxes.corners.reshape(-1, 2)).reshape(-1, 4)
    points = region.to_picture(faces.points.reshape(-1, 2)).reshape(faces.points.shape)
    return Faces(Boxes(corners, faces.boxes.scores, faces.boxes.classes), points)


# ---- RetinaFace -------------------------------------------------------------------------------------------------


def priors(width: int, height: int) -> Array:
    """RetinaFace's boxes [n, 4] of an input: centre x and y, width and height, in fractions of it."""
    parts = []
    for step, sizes in zip(STEPS, SIZES, strict=True):
        rows, columns = math.ceil(height / step), math.ceil(width / step)
        y, x = np.divmod(np.repeat(np.arange(rows * columns), len(sizes)), columns)
        side = np.tile(np.array(sizes, float), rows * columns)
        parts.append(np.stack([(x + 0.5) * step / width, (y + 0.5) * step / height, side / width, side / height], 1))
    return np.concatenate(parts)


def decode_retinaface(offsets: Array, scores: Array, points: Array, size: tuple[int, int], threshold: float) -> Faces:
    """Faces in pixels of an input of a width and a height, of `offsets[n, 4]`, `scores[n, 2]` and `points[n, 10]`.

    Scores are those of no face and of a face; they become probabilities where they are not.
    """
    width, height = size
    prior = priors(width, height)
    if not len(prior) == len(offsets) == len(scores) == len(points):
        problem = f"expected {len(prior)} boxes, scores and points of an input of {width} x {height}"
        got = f"got {len(offsets)}, {len(scores)} and {len(points)}"
        raise RunError("faces --family retinaface", f"{problem}, {got}", hint="is it another detector? see --family")
    if not np.allclose(scores.sum(axis=1), 1, atol=1e-3) or scores.min() < 0:
        scores = sigmoid(scores[:, 1:] - scores[:, :1]).repeat(2, axis=1)
    kept = (scores[:, 1] >= threshold) & np.isfinite(offsets).all(axis=1) & np.isfinite(points).all(axis=1)
    prior, scale = prior[kept], np.array([width, height], float)
    centre = prior[:, :2] + offsets[kept, :2] * VARIANCES[0] * prior[:, 2:]
    half = prior[:, 2:] * np.exp(np.minimum(offsets[kept, 2:] * VARIANCES[1], 20)) / 2
    places = prior[:, None, :2] + points[kept].reshape(-1, 5, 2) * VARIANCES[0] * prior[:, None, 2:]
    corners = np.concatenate([(centre - half) * scale, (centre + half) * scale], axis=1)
    return Faces(Boxes(corners, scores[kept, 1].astype(float), np.zeros(len(corners), int)), places * scale)


def find_retinaface(network: Network, picture: Array, threshold: float) -> Faces:
    """The faces in a picture, by a network of RetinaFace with one input [1, 3, H, W] and three outputs."""
    height, width = image_size(network, channels=1)
    region = Crop.around(picture, width / height)
    image = region.cut(picture, width, height)[:, :, ::-1].astype(np.float32) - BLUE_FIRST
    results = [np.asarray(r).reshape(-1, np.asarray(r).shape[-1]) for r in ran(network, image.transpose(2, 0, 1)[None])]
    faces = decode_retinaface(
        by_width(results, 4), by_width(results, 2), by_width(results, 10), (width, height), threshold
    )
    order = np.arange(len(faces))
    kept = suppress(Boxes(faces.boxes.corners, faces.boxes.scores, order), 0.4, across=True).classes
    faces, size = faces[kept], np.array([width, height])
    corners = region.to_picture(faces.boxes.corners.reshape(-1, 2) / size).reshape(-1, 4)
    points = region.to_picture(faces.points.reshape(-1, 2) / size).reshape(faces.points.shape)
    return Faces(Boxes(corners, faces.boxes.scores, np.zeros(len(faces), int)), points)


FAMILIES: Mapping[str, Callable[[Network, Array, float], Faces]] = {
    "blazeface": find_blazeface,
    "retinaface": find_retinaface,
}


def find_faces(network: Network, picture: Array, family: str = "blazeface", threshold: float = 0.5) -> Faces:
    """The faces in a picture whose scores reach a threshold, the surest first."""
    return FAMILIES[family](network, picture, threshold)


# ---- points on a face -------------------------------------------------------------------------------------------


def face_region(faces: Faces, k: int) -> Crop:
    """Where the network of the mesh looks for face k: a square about it, turned so that its eyes are level."""
    left, top, right, bottom = faces.boxes.corners[k]
    (x0, y0), (x1, y1) = faces.points[k, :2]
    side = max(right - left, bottom - top) * MESH_MARGIN
    return Crop(((left + right) / 2, (top + bottom) / 2), (side, side), math.atan2(y1 - y0, x1 - x0))


def find_mesh(network: Network, picture: Array, region: Crop) -> tuple[Array, float]:
    """The points [468, 2] of the face in a region, in pixels of the picture, and how sure it is that there is one."""
    height, width = image_size(network, channels=3)
    results = [np.asarray(r).reshape(-1) for r in ran(network, _scaled(region, picture, width, height, 0, 1)[None])]
    points = by_length(results, 468 * 3).reshape(-1, 3)[:, :2] / (width, height)
    return region.to_picture(points), float(sigmoid(by_length(results, 1))[0])


def find_irises(network: Network, picture: Array, mesh: Array, turned: float) -> Array:
    """The points [2, 5, 2] of both irises: centre, and four on the rim; `turned` is the angle of the face."""
    height, width = image_size(network, channels=3)
    found = []
    for side, corners in EYES.items():
        inner, outer = mesh[corners[0]], mesh[corners[1]]
        centre, reach = (inner + outer) / 2, float(np.abs(outer - inner).max()) * IRIS_MARGIN
        region = Crop((float(centre[0]), float(centre[1])), (reach, reach), turned)
        image = _scaled(region, picture, width, height, 0, 1)
        mirrored = side == "right"  # the network knows left eyes
        results = [np.asarray(r).reshape(-1) for r in ran(network, (image[:, ::-1] if mirrored else image)[None])]
        points = by_length(results, 15).reshape(5, 3)[:, :2] / (width, height)
        points[:, 0] = 1 - points[:, 0] if mirrored else points[:, 0]
        found.append(region.to_picture(points))
    return np.stack(found)


# ---- networks ---------------------------------------------------------------------------------------------------


def _scaled(region: Crop, picture: Array, width: int, height: int, low: float, high: float) -> Array:
    return np.asarray(region.cut(picture, width, height).astype(np.float32) * ((high - low) / 255) + low)


def image_size(network: Network, channels: int) -> tuple[int, int]:
    """Height and width of the one input of a network, an image with three channels on that axis. Raises RunError."""
    shapes = [port.shape for port in network.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][channels] != 3:
        expected = "[1, H, W, 3]" if channels == 3 else "[1, 3, H, W]"
        problem = f"expected a network with one input {expected}, got {' and '.join(map(str, shapes))}"
        raise RunError("faces", problem, hint="is it another detector, or of another --family?")
    height, width = [dim for axis, dim in enumerate(shapes[0]) if axis not in (0, channels)]
    return int(height), int(width)


def ran(network: Network, image: Array) -> Sequence[Array]:
    """What a network says of an image."""
    return list(network.run({network.inputs[0].name: np.ascontiguousarray(image, np.float32)}).values())


def by_width(results: Sequence[Array], width: int) -> Array:
    """The result whose rows have so many numbers. Raises RunError."""
    return _only(results, lambda r: r.ndim == 2 and r.shape[1] == width, f"rows of {width} numbers")


def by_length(results: Sequence[Array], length: int) -> Array:
    """The result of so many numbers. Raises RunError."""
    return _only(results, lambda r: r.size == length, f"{length} numbers")


def _only(results: Sequence[Array], fits: Callable[[Array], bool], what: str) -> Array:
    found = [r for r in results if fits(r)]
    if len(found) != 1:
        problem = f"expected one result of {what}, got results of {', '.join(str(r.shape) for r in results)}"
        raise RunError("faces", problem, hint="is it another network, or of another --family?")
    return found[0]
