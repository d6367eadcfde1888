"""Darknet's files for tests: the configurations, smaller where asked for, and random weights in Darknet's format."""

import re
import struct
from pathlib import Path

import numpy as np

from minicc.frontend.darknet import read_network

FOLDER = Path(__file__).parent.parent / "data" / "darknet"
NAMES = sorted(path.stem for path in FOLDER.glob("*.cfg"))
HEADER = struct.pack("<iiiq", 0, 2, 5, 32013312)


def configuration(name, side=None, width=1):
    """The text of a configuration, of a square picture of `side`; its layers have one `width`-th of their filters."""
    text = (FOLDER / f"{name}.cfg").read_text()
    if side:
        text = re.sub(r"(?m)^(width|height)\s*=.*$", rf"\1={side}", text)
    return text


def random_weights(content, seed=0, shift=0.0):
    """Weights for the text of a `.cfg` under which no layer's output grows or fades; `shift` is added to variances."""
    random = np.random.default_rng(seed)
    parts = [HEADER]
    for layer in read_network(content.encode()).layers:
        *vectors, matrix = layer.parameters or [()]
        if not matrix:
            continue
        normal = len(vectors) > 1
        kinds = [(0.0, 0.2), (0.7, 0.1), (0.0, 0.2), (1.0, 0.2)][: len(vectors)]
        for k, (centre, spread) in enumerate(kinds):
            values = np.float32(centre + spread * random.uniform(-1, 1, vectors[0]))
            parts.append((values + np.float32(shift) if k == 3 else values).astype("<f4").tobytes())
        fan = int(np.prod(matrix[1:]))
        scale = (1.4 if normal else 1.0) / fan**0.5
        parts.append(np.float32(scale * random.standard_normal(matrix)).astype("<f4").tobytes())
    return b"".join(parts)
