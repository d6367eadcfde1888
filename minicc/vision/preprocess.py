"""The array that a network takes, made of a picture as the network's own code makes it, and the way back for boxes.

In: `uint8[height, width, 3]`. Out: the picture in the size of the network, and for detectors the `Placement` that
leads from there to the picture's own pixels. How samples are taken is part of a network's meaning, so there are three
ways: that of Darknet (linear, corners on corners), that of OpenCV (linear, centres on centres), and that of Pillow,
which torchvision has (cubic or linear, over all the pixels that a sample stands for).

>>> fit(np.zeros((10, 20, 3), np.uint8), 40, 40, "letterbox")[1]
Placement(across=2.0, down=2.0, left=0, top=10)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from minicc.errors import ConfigError, nearest
from minicc.vision.boxes import Array, Boxes
from minicc.vision.picture import pillow

FITS = ("stretch", "letterbox", "corner")
LONGEST = 16  # times the short side


class Placement(NamedTuple):
    """Where a picture lies in that of a network: pixels there for each of its own, and where it begins."""

    across: float
    down: float
    left: int
    top: int

    def back(self, boxes: Boxes) -> Boxes:
        """Boxes in pixels of the network as boxes in those of the picture."""
        corners = (boxes.corners - [self.left, self.top] * 2) / ([self.across, self.down] * 2)
        return Boxes(corners, boxes.scores, boxes.classes)


def sampled(picture: Array, height: int, width: int, corners: bool = False) -> Array:
    """`picture` in another size, float32, linear along each axis: the corners on the corners, or as OpenCV the
    centres on the centres."""
    return _along(_along(picture, 0, height, corners), 1, width, corners)


def _along(values: Array, axis: int, count: int, corners: bool) -> Array:
    size = values.shape[axis]
    steps = np.arange(count)
    places = steps * ((size - 1) / max(count - 1, 1)) if corners else (steps + 0.5) * (size / count) - 0.5
    places = np.clip(places, 0, size - 1)
    first = np.minimum(places.astype(int), max(size - 2, 0))
    part = (places - first).astype(np.float32).reshape((-1,) + (1,) * (values.ndim - 1 - axis))
    low, high = (values.take(k, axis).astype(np.float32) for k in (first, np.minimum(first + 1, size - 1)))
    return np.asarray(low + part * (high - low))


def fit(picture: Array, height: int, width: int, how: str, fill: float = 114) -> tuple[Array, Placement]:
    """`picture` as float32 in [0, 255] in the network's size, and where it lies there.

    stretch: all of it, proportions lost. letterbox: proportions kept, `fill` on both sides. corner: at the top left.
    """
    own = picture.shape[:2]
    if how == "stretch":
        return sampled(picture, height, width), Placement(width / own[1], height / own[0], 0, 0)
    scale = min(height / own[0], width / own[1])
    inner = [max(1, round(n * scale)) for n in own]
    top, left = ((height - inner[0]) // 2, (width - inner[1]) // 2) if how == "letterbox" else (0, 0)
    made = np.full((height, width, 3), fill, np.float32)
    made[top : top + inner[0], left : left + inner[1]] = sampled(picture, inner[0], inner[1])
    return made, Placement(inner[1] / own[1], inner[0] / own[0], left, top)


@dataclass(frozen=True)
class Preset:
    """How classifiers of a family take pictures: the short side becomes `short` (times the network's side over 224), of
    which the centre is taken; then (value - mean) / deviation of values in [0, 255], red first unless `blue_first`."""

    short: float
    filter: str = "bilinear"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    deviation: tuple[float, float, float] = (255.0, 255.0, 255.0)
    blue_first: bool = False
    rounds: bool = False  # the long side; torchvision cuts its fraction off


_IMAGENET = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # torchvision.transforms, times 255
PRESETS = {
    "imagenet": Preset(256, "bicubic", *_IMAGENET),  # timm and EfficientNet's way; 256, then 224
    "torchvision": Preset(256, "bilinear", *_IMAGENET),
    "inception": Preset(256, "bicubic", (127.5,) * 3, (127.5,) * 3),  # [-1, 1]: TensorFlow's MobileNet, Inception, ViT
    "efficientnet-lite": Preset(256, "bicubic", (127.0,) * 3, (128.0,) * 3, rounds=True),
    "unit": Preset(256, "bilinear"),  # [0, 1]
    "raw": Preset(256, "bilinear", deviation=(1.0,) * 3),  # [0, 255], what is normalised in the network
    "caffe": Preset(256, "bilinear", (122.7, 116.7, 104.0), (1.0,) * 3, True),
    "mobilenet": Preset(256, "bilinear", (122.7, 116.7, 104.0), (1 / 0.017,) * 3, True),  # Caffe's
    "darknet": Preset(224, "corners"),  # [0, 1], the short side is the network's
}  # fmt: skip


def preset(name: str) -> Preset:
    """The preset of a name. Raises ConfigError where there is none."""
    if name not in PRESETS:
        near = nearest(name, PRESETS)
        hint = f"did you mean {near}?" if near else "--preprocess imagenet, for example"
        raise ConfigError(f"--preprocess {name}", f"expected one of {', '.join(PRESETS)}, got {name!r}", hint=hint)
    return PRESETS[name]


def prepared(picture: Array, height: int, width: int, how: Preset) -> Array:
    """`float32[height, width, 3]` of a picture, as a preset has it."""
    short = max(round(how.short * min(height, width) / 224), height, width)
    picture = _middle(picture)
    own = picture.shape[:2]
    sides = [max(short, int(short * n / min(own) + how.rounds / 2)) for n in own]
    scaled = _resized(picture, sides[0], sides[1], how.filter)
    top, left = round((sides[0] - height) / 2), round((sides[1] - width) / 2)
    cut = scaled[top : top + height, left : left + width]
    centred = (
        (cut[:, :, ::-1] - how.mean[::-1]) / how.deviation[::-1] if how.blue_first else (cut - how.mean) / how.deviation
    )
    return np.ascontiguousarray(centred, np.float32)


def _middle(picture: Array) -> Array:
    """The middle of a picture that is much longer than wide: all that the centre of it needs, which would else be
    very large."""
    most = LONGEST * min(picture.shape[:2])
    top, left = (max(n - most, 0) // 2 for n in picture.shape[:2])
    return picture[top : picture.shape[0] - top, left : picture.shape[1] - left]


def _resized(picture: Array, height: int, width: int, filter: str) -> Any:
    if filter == "corners":
        return sampled(picture, height, width, corners=True)
    image = pillow("Image")
    kind = getattr(image.Resampling, filter.upper())
    return np.asarray(image.fromarray(picture).resize((width, height), kind), np.float32)
