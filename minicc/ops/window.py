"""Where the windows of a convolution or a pooling lie: one `Window` per spatial axis.

In: the attributes as ONNX writes them, the spatial shape, the kernel. Out: begin and end padding,
and the number of windows. It serves every operator that slides a window.

Work follows the data, not the attributes: a window is cut to the taps that some window has on the
axis (`Window.cut`), however much larger the kernel is, and padding that outweighs the data is a
condition instead of memory (`Window.far`).

>>> auto = Sliding(strides=(2,), auto_pad="SAME_UPPER").windows((5,), (3,))
>>> auto
(Window(size=5, kernel=3, stride=2, dilation=1, begin=1, end=1, count=3, first=0, own=0),)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minicc.ops.base import Array, Operator
from minicc.tensor.expr import Expr, maximum, minimum

AUTO_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
LETTERS = {1: "w", 2: "hw", 3: "dhw"}  # names of the spatial axes, by their number
LONGEST = 2**48  # elements of a padded axis: places are far from where 64 bits end


@dataclass(frozen=True)
class Window:
    """Along one axis: `count` windows of `kernel` taps, `dilation` apart, every `stride` elements.

    The axis has `size` elements with `begin` of padding before and `end` after. Of a kernel that was
    cut, `first` taps were dropped before those here. Where `own` is not 0 it is the number of all taps,
    and every window counts its taps from the first one that it has on the axis.
    """

    size: int
    kernel: int
    stride: int
    dilation: int
    begin: int
    end: int
    count: int
    first: int = 0
    own: int = 0

    @property
    def reach(self) -> int:
        """From the first tap of a window to the last, both included."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def overhang(self) -> int:
        """How many elements after the last of the axis the last window reaches; may be negative."""
        return (self.count - 1) * self.stride + self.reach - self.begin - self.size

    @property
    def far(self) -> bool:
        """Whether the padding outweighs the data."""
        return max(self.begin, self.overhang) > 4 * self.size + 64

    def place(self, window: Any, tap: Any) -> Any:
        """The element under a tap of a window: an index of the axis, or outside of it when padding."""
        start = window * self.stride - self.begin
        if self.own:
            start = start + at_least(-start + (self.dilation - 1), 0) // self.dilation * self.dilation
        return start + tap * self.dilation

    def inside(self, window: Any, place: Any) -> list[Any]:
        """The conditions under which `place` is an element; none where windows never leave the axis."""
        if self.own:
            behind = at_most(window * self.stride + ((self.own - 1) * self.dilation + 1 - self.begin), self.size)
            return [place >= 0, place < self.size, place < behind]
        return [place >= 0] * (self.begin > 0) + [place < self.size] * (self.overhang > 0)

    def taps(self, window: Any, low: int, high: int) -> Any:
        """How many taps of a window are at places from `low` to `high - 1`."""

        def below(bound: int) -> Any:
            ahead = -window * self.stride + (bound + self.begin + self.dilation - 1)
            return at_most(at_least(ahead // self.dilation, 0), self.kernel)

        return below(high) - below(low)

    def cut(self, own: bool = False) -> Window:
        """The same windows without the taps that no window has on the axis.

        With `own` every window may count its own taps, where windows that lie far apart leave most of
        the kernel to all of them.
        """
        if self.count < 1 or self.size < 1:
            return self
        earliest = max(
            0, -(((self.kernel - 1) * self.dilation - self.begin) // self.stride)
        )  # the window that touches the axis
        latest = min(self.count - 1, (self.size - 1 + self.begin) // self.stride)
        low = max(0, -((latest * self.stride - self.begin) // self.dilation))
        high = min(self.kernel - 1, (self.size - 1 + self.begin - earliest * self.stride) // self.dilation)
        low = min(low, self.kernel - 1)
        kernel, stride = max(high - low, 0) + 1, self.stride if self.count > 1 else 1
        dilation = self.dilation if kernel > 1 else 1
        most = (self.size - 1) // self.dilation + 1
        if own and kernel > 2 * most + 8:
            return Window(self.size, most, stride, dilation, self.begin, self.end, self.count, 0, self.kernel)
        return Window(self.size, kernel, stride, dilation, self.begin - low * self.dilation, self.end, self.count, low)


class Windowed(Operator):
    """An operator that slides a window."""

    __slots__ = ()
    onnx_fields: ClassVar[dict[str, str]] = {
        "kernel_shape": "kernel", "pads": "padding", "dilations": "dilation", "group": "groups",
    }  # fmt: skip


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
            taps, apart = kernel[axis], dilation[axis]
            if self.clip and size + begin + end > 0:  # what is behind the end padding never counts
                apart = min(apart, size + begin + end)
                taps = min(taps, (size + begin + end - 1) // apart + 1)
            found.append(Window(size, taps, stride, apart, begin, end, count))
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


def longest(windows: Sequence[Window]) -> str:
    """What is wrong with the padded axes; empty when nothing is."""
    lengths = [w.begin + w.size + w.end for w in windows if isinstance(w.size, int)]
    return f"a padded axis has {max(lengths)} elements, more than 2**48" if max(lengths, default=0) > LONGEST else ""


def views(x: Array, windows: Sequence[Window], fill: Any) -> Array:
    """All windows of `x[N, C, spatial...]` as an array `[N, C, window..., tap...]`; `fill` is the padding."""
    if 0 in x.shape:
        shape = (*x.shape[:2], *[w.count for w in windows], *[w.kernel for w in windows])
        return np.broadcast_to(np.asarray(fill, x.dtype), shape)
    if any(w.far or w.own or w.begin < 0 for w in windows):
        return _gathered(x, windows, fill)
    widths = [(0, 0), (0, 0), *[(w.begin, max(w.overhang, 0)) for w in windows]]
    padded = np.pad(x, widths, constant_values=fill)
    axes = tuple(range(2, x.ndim))
    slid = np.lib.stride_tricks.sliding_window_view(padded, [w.reach for w in windows], axis=axes)
    starts = tuple(slice(0, (w.count - 1) * w.stride + 1, w.stride) for w in windows)
    taps = tuple(slice(None, None, w.dilation) for w in windows)
    return slid[(slice(None), slice(None), *starts, *taps)]


def _gathered(x: Array, windows: Sequence[Window], fill: Any) -> Array:
    """The same, element by element, where the padding is too large to be stored."""
    rank, seen = len(windows), x
    for a, w in enumerate(windows):
        window = np.arange(w.count)[:, None]
        places = w.place(window, np.arange(w.kernel))
        seen = np.take(seen, np.clip(places, 0, w.size - 1), axis=2 + 2 * a)
        here = np.logical_and.reduce([np.ones(places.shape, bool), *w.inside(window, places)])
        seen = np.where(here.reshape(here.shape + (1,) * (rank - 1 - a)), seen, np.asarray(fill, x.dtype))
    return seen.transpose(0, 1, *range(2, 2 + 2 * rank, 2), *range(3, 3 + 2 * rank, 2))


def at_least(value: Any, bound: int) -> Any:
    """The greater one, of expressions or of arrays."""
    return maximum(value, bound) if isinstance(value, Expr) else np.maximum(value, bound)


def at_most(value: Any, bound: int) -> Any:
    """The lesser one, of expressions or of arrays."""
    return minimum(value, bound) if isinstance(value, Expr) else np.minimum(value, bound)


__all__ = ["AUTO_PADS", "LETTERS", "LONGEST", "Sliding", "Window", "longest", "views"]
