"""A turned rectangle of a picture: cut out for a network, and the way back for the points that it finds there.

In: a picture, and where the region is. Out: the region as a picture of another size, black where it is outside of the
first one; points in the region as points of the picture.

>>> turned = Crop((50.0, 40.0), (20.0, 10.0), np.pi / 2)
>>> turned.to_picture(np.array([[0.0, 0.0], [0.5, 0.5]])).round()
array([[55., 30.],
       [50., 40.]])
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.vision.picture import pillow

Array = np.ndarray[Any, np.dtype[Any]]
LARGEST = 2048  # pixels of a side of a region before it is made smaller


@dataclass(frozen=True)
class Crop:
    """A rectangle about a centre (x, y), of a width and a height in pixels, turned clockwise by an angle in radians."""

    centre: tuple[float, float]
    size: tuple[float, float]
    angle: float = 0.0

    @staticmethod
    def around(picture: Array, aspect: float) -> Crop:
        """The smallest region with the picture in it whose width is `aspect` times its height."""
        height, width = picture.shape[:2]
        high = max(height, width / aspect)
        return Crop((width / 2, height / 2), (high * aspect, high))

    def to_picture(self, points: Array) -> Array:
        """Points [n, 2] in fractions of the region as points of the picture."""
        cos, sin = math.cos(self.angle), math.sin(self.angle)
        apart = (points - 0.5) * np.array(self.size)
        return np.asarray(apart @ np.array([[cos, sin], [-sin, cos]]) + np.array(self.centre))

    def cut(self, picture: Array, width: int, height: int) -> Array:
        """The region as `uint8[height, width, 3]`.

        It is cut out as large as it is, turned, and then made smaller by averages: so nothing that is small is lost.
        """
        scale = max(1.0, *self.size) / min(max(1.0, *self.size), LARGEST)
        whole = max(width, round(self.size[0] / scale)), max(height, round(self.size[1] / scale))
        corners = self.to_picture(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        across, down = (corners[1] - corners[0]) / whole[0], (corners[2] - corners[0]) / whole[1]
        matrix = (across[0], down[0], corners[0][0], across[1], down[1], corners[0][1])
        image_module = pillow("Image")
        image = image_module.fromarray(picture)
        turned = image.transform(whole, image_module.Transform.AFFINE, matrix, image_module.Resampling.BILINEAR)
        return np.array(turned.resize((width, height), image_module.Resampling.BILINEAR))
