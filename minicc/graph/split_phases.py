"""A transposed convolution as ordinary ones, whose result is put together from phases.

In: a `ConvTranspose`, its data with channels last, and its weights. Out: nodes that compute it. Along an axis of stride s
an element f of the whole result is f = q * s + r, and only the taps k = m * s + r fall on it, from element q - m: for each
*phase* r a convolution, with every s-th tap in reverse order. Phases with equally many taps read the same data, so they
are output channels of one convolution; of a kernel that s does not divide, the last ones have a tap less, and are a
convolution of their own. What is left is to put `[q, ..., r, ..., channel]` into the order `[q, r, ..., channel]`, and to
crop (Shi et al. 2016, Is the deconvolution layer the same as a convolutional layer?). There is no condition in a sum, no
product that the definition does not have, and no element of the result is written twice.

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
from typing import Any, NamedTuple

from minicc.ops.conv import Conv, ConvTranspose
from minicc.ops.movement import Concat, Slice, Transpose
from minicc.ops.padding import Pad
from minicc.ops.shape import Reshape
from minicc.ops.window import Window

Convolve = Callable[[Conv, Any, Any], Any]  # of channels-last data and weights [O, C / groups, kernel...]


class PhasedAxis(NamedTuple):
    """Along an axis: elements of the data and of the result, the first one of the whole that is kept, taps, stride, dilation."""

    extent: int
    size: int
    begin: int
    kernel: int
    stride: int
    dilation: int

    @property
    def classes(self) -> list[range]:
        """The phases that have taps, those with equally many together."""
        more = self.kernel % self.stride
        found = [range(more), range(more, self.stride)] if more else [range(self.stride)]
        return [phases for phases in found if self.taps(phases)]

    def taps(self, phases: range) -> int:
        """How many taps each of these phases has."""
        return -(-(self.kernel - phases.start) // self.stride)

    def padding(self, phases: range) -> tuple[int, int]:
        """Of the convolution of these phases: from the first to the last q of the result."""
        reach = (self.taps(phases) - 1) * self.dilation
        return reach - self.begin // self.stride, (self.begin + self.size - 1) // self.stride - self.extent + 1


def splits(op: ConvTranspose, spatial: Sequence[int], kernel: Sequence[int]) -> bool:
    """Whether it can be done by phases: not with gaps between the taps of a phase, nor with windows beyond all data."""
    windows = op.windows(spatial, kernel)
    if any(v.far or (v.dilation > 1 and v.stride > 1) for v in windows):
        return False
    return min(pad for axis in _axes(windows) for phases in axis.classes for pad in axis.padding(phases)) >= 0


def _axes(windows: Sequence[Window]) -> list[PhasedAxis]:
    """What lies beside nothing may lie as far apart as the kernel is long: each of its taps is a phase then."""
    found = [PhasedAxis(v.count, v.size, v.begin, v.kernel, v.stride, v.dilation) for v in windows]
    return [a._replace(stride=a.kernel) if a.extent == 1 and a.dilation == 1 else a for a in found]


def by_phases(op: ConvTranspose, x: Any, w: Any, convolve: Convolve) -> Any:
    """`op` on `x[N, spatial..., C]` and `w[C, O / groups, kernel...]`, values of any room: `[N, spatial..., O]`."""
    axes = _axes(op.windows(x.shape[1:-1], w.shape[2:]))
    rank, each = len(axes), w.shape[1]
    parts = {
        classes: _part(op.groups, axes, classes, x, w, convolve)
        for classes in itertools.product(*[a.classes for a in axes])
    }
    for at in range(rank - 1, -1, -1):  # put the phases of one axis after the other beside each other
        place, outer = 2 * at + 2, dict.fromkeys(classes[:at] for classes in parts)
        joined = {key: [part for classes, part in parts.items() if classes[:at] == key] for key in outer}
        parts = {key: found[0] if len(found) == 1 else Concat(place)(*found) for key, found in joined.items()}
        if axes[at].kernel < axes[at].stride:  # phases without taps
            before = [0] * (2 * rank + 3)
            behind = [axes[at].stride - axes[at].kernel if axis == place else 0 for axis in range(2 * rank + 3)]
            parts = {key: Pad((*before, *behind))(part) for key, part in parts.items()}
    (whole,) = parts.values()
    lengths = [whole.shape[1 + 2 * at] * a.stride for at, a in enumerate(axes)]
    result = Reshape((x.shape[0], *lengths, op.groups * each))(whole)
    before = [a.begin % a.stride for a in axes]
    behind = [n - b - a.size for a, n, b in zip(axes, lengths, before, strict=True)]
    cropped = (0, *[-b for b in before], 0, 0, *[-b for b in behind], 0)
    return Pad(cropped)(result) if any(cropped) else result


def _part(groups: int, axes: Sequence[PhasedAxis], classes: Sequence[range], x: Any, w: Any, convolve: Convolve) -> Any:
    """The phases of one class along each axis: `[N, q, r, q, r, ..., groups, O / groups]`."""
    pads = [axis.padding(phases) for axis, phases in zip(axes, classes, strict=True)]
    dilation = tuple(axis.dilation for axis in axes)
    conv = Conv((), (*[p[0] for p in pads], *[p[1] for p in pads]), dilation, groups)
    found = convolve(conv, x, _weights(groups, axes, classes, w))
    rank, (batch, *whole, _) = len(axes), found.shape
    apart = Reshape((batch, *whole, groups, *map(len, classes), w.shape[1]))(found)
    pairs = [(1 + at, 2 + rank + at) for at in range(rank)]
    return Transpose((0, *itertools.chain(*pairs), 1 + rank, 2 + 2 * rank))(apart)


def _weights(groups: int, axes: Sequence[PhasedAxis], classes: Sequence[range], w: Any) -> Any:
    """`[groups * phases * O / groups, C / groups, taps...]` of `w[C, O / groups, kernel...]`."""
    inputs, each, rank = w.shape[0], w.shape[1], len(axes)
    taps = [axis.taps(phases) for axis, phases in zip(axes, classes, strict=True)]
    wholes = [-(-axis.kernel // axis.stride) for axis in axes]
    more = [m * axis.stride - axis.kernel for m, axis in zip(wholes, axes, strict=True)]
    if any(more):
        w = Pad((0,) * (2 + rank) + (0, 0, *more))(w)
    pairs = itertools.chain(*[(m, axis.stride) for m, axis in zip(wholes, axes, strict=True)])
    w = Reshape((groups, inputs // groups, each, *pairs))(w)
    steps = tuple(3 + 2 * at for at in range(rank))
    starts = [n for m, phases in zip(taps, classes, strict=True) for n in (m - 1, phases.start)]
    ends = [n for phases in classes for n in (-(1 << 40), phases.stop)]
    w = Slice(tuple(starts), tuple(ends), tuple(range(3, 3 + 2 * rank)), (-1, 1) * rank)(w)
    w = Transpose((0, *[step + 1 for step in steps], 2, 1, *steps))(w)
    return Reshape((groups * math.prod(map(len, classes)) * each, inputs // groups, *taps))(w)


__all__ = ["by_phases", "splits"]
