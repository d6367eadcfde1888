"""Darknet's files for tests: the configurations, smaller where asked for, and random weights in Darknet's format."""

import re
import struct
from pathlib import Path

import numpy as np

from minicc.frontend.darknet import read_network

FOLDER = Path(__file__).parent / "data" / "darknet"
NAMES = sorted(path.stem for path in FOLDER.glob("*.cfg"))
HEADER = struct.pack("<iiiq", 0, 2, 5, 32013312)


def configuration(name, side=None):
    """The text of a configuration, of a square picture of `side` if that is given."""
    text = (FOLDER / f"{name}.cfg").read_text()
    return re.sub(r"(?m)^(width|height)\s*=.*$", rf"\1={side}", text) if side else text


def random_weights(text, seed=0, shift=0.0, gain=1.0):
    """Weights for the text of a `.cfg` under which no layer's output grows or fades.

    `shift` is added to variances; matrices of layers that do not normalise are larger by `gain`.
    """
    random = np.random.default_rng(seed)
    parts = [HEADER]
    for layer in read_network(text.encode()).layers:
        for k, shape in enumerate(layer.parameters):
            normal = len(layer.parameters) > 2
            if len(shape) > 1:
                scale = (1.4 if normal else gain) / np.prod(shape[1:]) ** 0.5
                values = scale * random.standard_normal(shape)
            else:  # biases, scales, means, variances
                centre, spread = [(0.0, 0.2), (0.7, 0.1), (0.0, 0.2), (1.0, 0.2)][k]
                values = np.float32(random.uniform(centre - spread, centre + spread, shape)) + shift * (k == 3)
            parts.append(values.astype("<f4").tobytes())
    return b"".join(parts)
