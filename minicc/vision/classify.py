"""What a picture shows, by a network that gives a number for each class.

In: a picture; then the outputs of a classifier, and names. Out: its input; the likeliest classes with their
probabilities, made by a softmax where the network gives none.

>>> likeliest({"y": np.array([[0.0, 2.0, 1.0]], np.float32)}, ["cat", "dog", "espresso"], 2)
[('dog', 1, 0.6652409557748218), ('espresso', 2, 0.24472847105479764)]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from minicc.errors import RunError
from minicc.vision.boxes import Array
from minicc.vision.detect import PicturePort
from minicc.vision.labels import name_of
from minicc.vision.preprocess import Preset, prepared


def network_input(picture: Array, port: PicturePort, how: Preset) -> Array:
    """What a network takes of a picture, as a preset has it; one that takes bytes gets colours, not what is made of
    them."""
    if port.type.dtype.is_integer:
        how = replace(how, mean=(0.0,) * 3, deviation=(1.0,) * 3)
    return port.array(prepared(picture, port.height, port.width, how))


def likeliest(outputs: Mapping[str, Any], labels: list[str], top: int) -> list[tuple[str, int, float]]:
    """Name, number and probability of the `top` likeliest classes. Raises RunError where no output has a number for
    each class.

    Of 1001 classes and 1000 names (TensorFlow's) the first class is the background.
    """
    vectors = [x for x in outputs.values() if x.size > 1 and x.size == max(x.shape, default=0)]
    if not vectors:
        got = ", ".join(f"{name} {list(x.shape)}" for name, x in outputs.items())
        hint = "minicc detect takes networks that give boxes, minicc run any network"
        raise RunError("classify", f"expected an output of one number for each class, got {got}", hint=hint)
    chances = probabilities(vectors[0].reshape(-1))
    names = ["background", *labels] if labels and len(labels) + 1 == chances.size else labels
    order = np.argsort(-chances, kind="stable")[:top]
    return [(name_of(names, k), k, float(chances[k])) for k in order.tolist()]


def probabilities(scores: Array) -> Array:
    """Numbers of classes as probabilities: bytes are 256ths, what is not negative and adds up to 1 is left, of others
    the softmax."""
    if scores.dtype.kind in "iu":
        return (scores.astype(np.float64) - np.iinfo(scores.dtype).min) / 2.0 ** (8 * scores.itemsize)
    wide = scores.astype(np.float64)
    if np.isfinite(wide).all() and wide.min() >= 0 and abs(wide.sum() - 1) < 1e-2:
        return wide
    with np.errstate(invalid="ignore"):
        powers = np.exp(wide - wide.max())
        return np.asarray(powers / powers.sum())
