"""Windows and filters of signals, which ONNX has as operators: tables that a few numbers say.

>>> sorted(TRANSLATIONS)
['BlackmanWindow', 'HammingWindow', 'HannWindow', 'MelWeightMatrix']
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from minicc import ops
from minicc.frontend.onnx.call import OnnxCall, Translation
from minicc.graph.ir import Node
from minicc.types import float64

MOST = 1 << 24  # elements of a matrix of filters


def window(cosines: Sequence[float], call: OnnxCall) -> Node:
    """The sum of cosines of 0, 1, ... turns, of as many samples as the input says: one more makes it symmetric."""
    size, dtype = call.operand(0, rank=0), call.dtype("output_datatype")
    assert size is not None
    places = call(ops.Range, start=0.0, limit=call(ops.Cast, size, dtype=float64), delta=1.0, dtype=float64)
    span = call(ops.Cast, size, dtype=float64)
    if not call["periodic"]:
        span = call(ops.Sub, span, call.constant(1.0, float64))
    total = call.constant(cosines[0], float64)
    for turns, factor in enumerate(cosines[1:], 1):
        angle = call(ops.Div, call(ops.Mul, places, call.constant(2 * np.pi * turns, float64)), span)
        total = call(ops.Add, total, call(ops.Mul, call(ops.Cos, angle), call.constant(factor, float64)))
    return call(ops.Cast, total, dtype=dtype)


def mel_weight_matrix(call: OnnxCall) -> Node:
    """Triangles over the bins of a transform, as far apart as the ear hears them (the mel scale). All inputs are constants."""
    known = [call.known(at) for at in range(5)]
    if any(value is None or value.size != 1 for value in known):
        raise call.error(
            "expected constants of one number as inputs", "fold the constants of the model, and export it again"
        )
    bands, length, rate, low, high = (float(value.item()) for value in known if value is not None)
    bins = int(length) // 2 + 1
    sound = np.isfinite([bands, length, rate, low, high]).all() and rate > 0 and 0 <= low < high <= rate / 2
    if not sound or not 0 < bands <= MOST or not 0 < bins <= MOST or bands * bins > MOST:
        problem = f"expected positive sizes and 0 <= lower < upper frequency <= half of the rate, got {bands:g}, {length:g}, {rate:g}, {low:g}, {high:g}"
        raise call.error(problem, "compare the inputs of the node with the operator reference")
    mels = 2595 * np.log10(1 + np.array([low, high]) / 700)
    step = (mels[1] - mels[0]) / (bands + 2)
    hertz = 700 * (10 ** ((np.arange(bands + 2) * step + mels[0]) / 2595) - 1)
    edges = np.minimum((length + 1) * hertz // rate, bins - 1)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    place = np.arange(bins)[:, None]
    up = np.where(middle == left, place == middle, (place - left) / np.where(middle == left, 1, middle - left))
    down = (right - place) / np.where(right == middle, 1, right - middle)
    rising = (place >= left) & (place <= middle)
    falling = (place >= middle) & (place < right)
    return call.constant(np.where(falling, down, np.where(rising, up, 0.0)), call.dtype("output_datatype"))


TRANSLATIONS: dict[str, Translation] = {
    "BlackmanWindow": partial(window, (0.42, -0.5, 0.08)),
    "HammingWindow": partial(window, (25 / 46, -21 / 46)),
    "HannWindow": partial(window, (0.5, -0.5)),
    "MelWeightMatrix": mel_weight_matrix,
}
