"""Where the windows of a convolution or a pooling lie: one `Window` per spatial axis.

In: the attributes as ONNX writes them, the spatial shape, the kernel. Out: begin and end padding,
and the number of windows. It serves every operator that slides a window.

>>> auto = Sliding(strides=(2,), auto_pad="SAME_UPPER").windows((5,), (3,))
>>> auto
(Window(size=5, kernel=3, stride=2, dilation=1, begin=1, end=1, count=3),)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.ops.base import Array
from minicc.te.expr import Expr

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
LETTERS = {1: "w", 2: "hw", 3: "dhw"}  # names of the spatial axes, by their number


@dataclass(frozen=True)
class Window:
    """Along one axis: `count` windows of `kernel` taps, `dilation` apart, every `stride` elements.

    The axis has `size` elements with `begin` of padding before and `end` after.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    count: int

    @property
    def reach(self) -> int:
        """From the first tap of a window to the last, both included."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def overhang(self) -> int:
        """How many elements after the last of the axis the last window reaches; may be negative."""
        return (self.count - 1) * self.stride + self.reach - self.begin - self.size

    def place(self, window: Any, tap: Any) -> Any:
        """The element under a tap of a window: an index of the axis, or outside of it when padding."""
        return window * self.stride + tap * self.dilation - self.begin

    def inside(self, place: Expr) -> list[Expr]:
        """The conditions under which `place` is an element; none where windows never leave the axis."""
        return [place >= 0] * (self.begin > 0) + [place < self.size] * (self.overhang > 0)


@dataclass(frozen=True)
class Sliding:
    """The attributes that Conv and the pools share; an empty tuple is ones, of padding zeros."""

    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    auto_pad: str = "NOTSET"
    ceil_mode: bool = False
    clip: bool = False  # a kernel that is larger than the padded axis gives one window, not an error

    def problem(self, rank: int, kernel: Sequence[int]) -> str:
        """What is wrong with the attributes for `rank` spatial axes; empty when nothing is."""
        if rank not in LETTERS:
            return f"expected 1 to 3 spatial axes, got {rank}"
        if len(kernel) != rank or min(kernel) < 1:
            return f"expected a kernel of {rank} extents >= 1, got {tuple(kernel)}"
        for name, values, length, low in (
            ("strides", self.strides, rank, 1),
            ("dilation", self.dilation, rank, 1),
            ("padding", self.padding, 2 * rank, 0),
        ):
            if values and (len(values) != length or min(values) < low):
                return f"expected {length} {name} >= {low}, got {values}"
        return "" if self.auto_pad in AUTO_PADS else f"no auto_pad {self.auto_pad!r}; one of {', '.join(AUTO_PADS)}"

    def attributes(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Strides, padding and dilation in full."""
        return self.strides or (1,) * rank, self.padding or (0,) * (2 * rank), self.dilation or (1,) * rank

    def windows(self, spatial: Sequence[Any], kernel: Sequence[int]) -> tuple[Window, ...]:
        """One Window per axis. A count below 0 is given as 0: the kernel does not fit."""
        rank = len(spatial)
        strides, padding, dilation = self.attributes(rank)
        found = []
        for axis, size in enumerate(spatial):
            stride, reach = strides[axis], (kernel[axis] - 1) * dilation[axis] + 1
            begin, end = self._padding(size, stride, reach, padding[axis], padding[axis + rank])
            count = self._count(size, stride, reach, begin, end)
            found.append(Window(size, kernel[axis], stride, dilation[axis], begin, end, count))
        return tuple(found)

    def _padding(self, size: int, stride: int, reach: int, begin: int, end: int) -> tuple[int, int]:
        if self.auto_pad == "NOTSET":
            return begin, end
        if self.auto_pad == "VALID":
            return 0, 0
        total = max((-(-size // stride) - 1) * stride + reach - size, 0)
        small, large = total // 2, total - total // 2
        return (small, large) if self.auto_pad == "SAME_UPPER" else (large, small)

    def _count(self, size: int, stride: int, reach: int, begin: int, end: int) -> int:
        free = size + begin + end - reach
        if self.clip and size > 0:
            free = max(free, 0)
        count = (-(-free // stride) if self.ceil_mode else free // stride) + 1
        if self.ceil_mode and (count - 1) * stride >= size + begin:  # the last window must start before the end padding
            count -= 1
        return max(count, 0)


def views(x: Array, windows: Sequence[Window], fill: Any) -> Array:
    """All windows of `x[N, C, spatial...]` as an array `[N, C, window..., tap...]`; `fill` is the padding."""
    widths = [(0, 0), (0, 0), *[(w.begin, max(w.overhang, 0)) for w in windows]]
    padded = np.pad(x, widths, constant_values=fill)
    axes = tuple(range(2, x.ndim))
    slid = np.lib.stride_tricks.sliding_window_view(padded, [w.reach for w in windows], axis=axes)
    starts = tuple(slice(0, (w.count - 1) * w.stride + 1, w.stride) for w in windows)
    taps = tuple(slice(None, None, w.dilation) for w in windows)
    return slid[(slice(None), slice(None), *starts, *taps)]


__all__ = ["AUTO_PADS", "LETTERS", "Sliding", "Window", "views"]
