"""A transposed convolution as an ordinary one, whose result is put together from phases.

In: a `ConvTranspose`, its data with channels last, and its weights. Out: nodes that compute it. Along an axis of stride s
an element f of the whole result is f = q * s + r, and only the taps k = m * s + r fall on it, from element q - m: for each
*phase* r a convolution, with every s-th tap in reverse order. All phases read the same data, so they are output channels
of one convolution, M = ceil(kernel / s) taps long; missing taps are zeros. What is left is to put `[q, ..., r, ..., channel]`
into the order `[q, r, ..., channel]`, and to crop (Shi et al. 2016, Is the deconvolution layer the same as a convolutional
layer?). There is no condition in the sum, and no element of the result is written twice.

>>> import numpy as np
>>> from minicc.ops.conv import Conv, ConvTranspose
>>> from minicc.ops.window import first, last
>>> op, x, w = ConvTranspose(strides=(2,)), np.arange(3.0).reshape(1, 1, 3), np.ones((1, 1, 3))
>>> by_phases(op, last(x), w, lambda conv, x, w: last(conv(first(x), w)))[0, :, 0], op(x, w)[0, 0]
(array([0., 0., 1., 1., 3., 2., 2.]), array([0., 0., 1., 1., 3., 2., 2.]))
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

from minicc.ops.conv import Conv, ConvTranspose
from minicc.ops.movement import Slice, Transpose
from minicc.ops.padding import Pad
from minicc.ops.shape import Reshape
from minicc.ops.window import Window

Convolve = Callable[[Conv, Any, Any], Any]  # of channels-last data and weights [O, C / groups, kernel...]


def by_phases(op: ConvTranspose, x: Any, w: Any, convolve: Convolve) -> Any:
    """`op` on `x[N, spatial..., C]` and `w[C, O / groups, kernel...]`, values of any room: `[N, spatial..., O]`."""
    windows = op.windows(x.shape[1:-1], w.shape[2:])
    taps = [-(-_reach(v) // v.stride) for v in windows]
    begins = [max(m - 1 - v.begin // v.stride, 0) for v, m in zip(windows, taps, strict=True)]
    ends = [max((v.begin + v.size - 1) // v.stride - v.count + 1, 0) for v in windows]
    found = convolve(Conv(padding=(*begins, *ends), groups=op.groups), x, _weights(op.groups, windows, taps, w))
    rank, (batch, *whole, _) = len(windows), found.shape
    phases, each = [v.stride for v in windows], w.shape[1]
    apart = Reshape((batch, *whole, op.groups, *phases, each))(found)
    pairs = [(1 + axis, 2 + rank + axis) for axis in range(rank)]
    joined = Transpose((0, *itertools.chain(*pairs), 1 + rank, 2 + 2 * rank))(apart)
    lengths = [n * s for n, s in zip(whole, phases, strict=True)]
    result = Reshape((batch, *lengths, op.groups * each))(joined)
    before = [v.begin - (m - 1 - b) * v.stride for v, m, b in zip(windows, taps, begins, strict=True)]
    after = [n - b - v.size for v, n, b in zip(windows, lengths, before, strict=True)]
    cropped = (0, *[-b for b in before], 0, 0, *[-a for a in after], 0)
    return Pad(cropped)(result) if any(cropped) else result


def _reach(v: Window) -> int:
    """How many taps there are with those between, which a dilation leaves out, as zeros."""
    return v.kernel * v.dilation


def _weights(groups: int, windows: Sequence[Window], taps: Sequence[int], w: Any) -> Any:
    """`[groups * phases * O / groups, C / groups, taps...]` of `w[C, O / groups, kernel...]`."""
    inputs, each, rank = w.shape[0], w.shape[1], len(windows)
    if any(v.dilation > 1 for v in windows):  # zeros after each tap
        w = Reshape((inputs, each, *itertools.chain(*[(v.kernel, 1) for v in windows])))(w)
        w = Pad((0,) * (2 + 2 * rank) + (0, 0, *itertools.chain(*[(0, v.dilation - 1) for v in windows])))(w)
        w = Reshape((inputs, each, *map(_reach, windows)))(w)
    more = [m * v.stride - _reach(v) for m, v in zip(taps, windows, strict=True)]
    if any(more):
        w = Pad((0,) * (2 + rank) + (0, 0, *more))(w)
    pairs = itertools.chain(*[(m, v.stride) for m, v in zip(taps, windows, strict=True)])
    w = Reshape((groups, inputs // groups, each, *pairs))(w)
    steps = tuple(3 + 2 * axis for axis in range(rank))
    w = Slice((-1,) * rank, (-(1 << 40),) * rank, steps, (-1,) * rank)(w)
    w = Transpose((0, *[step + 1 for step in steps], 2, 1, *steps))(w)
    return Reshape((groups * math.prod(v.stride for v in windows) * each, inputs // groups, *taps))(w)


__all__ = ["by_phases"]
