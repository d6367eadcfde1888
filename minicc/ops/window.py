"""Where the windows of a convolution or a pooling lie: one `Window` per spatial axis.

In: the attributes as ONNX writes them, the spatial shape, the kernel. Out: begin and end padding,
and the number of windows. It serves every operator that slides a window.

Of data the channels are axis 1, or the last one where an operator says so: `first` and `last` change
between both.

Work follows the data, not the attributes: a window is cut to the taps that some window has on the
axis (`Window.cut`), however much larger the kernel is, and padding that outweighs the data is a
condition instead of memory (`Window.far`).

>>> from minicc.ops import Conv
>>> Conv(strides=(2,), auto_pad="SAME_UPPER").windows((5,), (3,))
(Window(size=5, kernel=3, stride=2, dilation=1, begin=1, end=1, count=3, first=0, own=0),)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Array, Draw, Operator
from minicc.ops.movement import Transpose
from minicc.ops.view import at_least, at_most
from minicc.tensor.expr import Expr, all_of, const, select
from minicc.types import TensorType

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
        # the first window that touches the axis, and the last one
        earliest = max(0, -(((self.kernel - 1) * self.dilation - self.begin) // self.stride))
        latest = min(self.count - 1, (self.size - 1 + self.begin) // self.stride)
        low = min(max(0, -((latest * self.stride - self.begin) // self.dilation)), self.kernel - 1)
        high = min(self.kernel - 1, (self.size - 1 + self.begin - earliest * self.stride) // self.dilation)
        kernel, stride = max(high - low, 0) + 1, self.stride if self.count > 1 else 1
        dilation = self.dilation if kernel > 1 else 1
        most = (self.size - 1) // self.dilation + 1
        if own and kernel > 2 * most + 8:
            return replace(self, kernel=most, stride=stride, dilation=dilation, own=self.kernel)
        begin = self.begin - low * self.dilation
        return replace(self, kernel=kernel, stride=stride, dilation=dilation, begin=begin, first=low)


class Windowed(Operator):
    """Base of the operators that slide a window. Their attributes may be left empty: ones, of padding zeros."""

    __slots__ = ()
    onnx_fields: ClassVar[dict[str, str]] = {
        "kernel_shape": "kernel", "pads": "padding", "dilations": "dilation", "group": "groups",
    }  # fmt: skip
    strides: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    auto_pad: str

    def attributes(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Strides, padding and dilation in full."""
        return self.strides or (1,) * rank, self.padding or (0,) * (2 * rank), self.dilation or (1,) * rank

    def windows(self, spatial: Sequence[Any], kernel: Sequence[int]) -> tuple[Window, ...]:
        """One Window per axis. A count of 0 says that the kernel does not fit."""
        rank = len(spatial)
        strides, padding, dilation = self.attributes(rank)
        found = []
        for axis, size in enumerate(spatial):
            stride, reach = strides[axis], (kernel[axis] - 1) * dilation[axis] + 1
            begin, end = padding[axis], padding[axis + rank]
            if self.auto_pad == "VALID":
                begin = end = 0
            elif self.auto_pad != "NOTSET":
                total = max((-(-size // stride) - 1) * stride + reach - size, 0)
                begin = total // 2 if self.auto_pad == "SAME_UPPER" else total - total // 2
                end = total - begin
            count = max(self.count(size, stride, reach, begin, end), 0)
            found.append(Window(size, kernel[axis], stride, dilation[axis], begin, end, count))
        return tuple(found)

    def count(self, size: int, stride: int, reach: int, begin: int, end: int) -> int:
        """How many windows that reach so far fit on an axis and its padding."""
        return (size + begin + end - reach) // stride + 1

    def problem(self, rank: int, kernel: Sequence[int]) -> str:
        """What is wrong with the attributes for `rank` spatial axes; empty when nothing is."""
        if rank not in LETTERS:
            return f"expected 1 to 3 spatial axes, got {rank}"
        if len(kernel) != rank or min(kernel) < 1:
            return f"expected a kernel of {rank} extents >= 1, got {tuple(kernel)}"
        for name, length, low in (("strides", rank, 1), ("dilation", rank, 1), ("padding", 2 * rank, 0)):
            if (values := getattr(self, name)) and (len(values) != length or min(values) < low):
                return f"expected {length} {name} >= {low}, got {values}"
        return "" if self.auto_pad in AUTO_PADS else f"no auto_pad {self.auto_pad!r}; one of {', '.join(AUTO_PADS)}"

    def fitted(self, kernel: Sequence[int], *types: TensorType, channels_last: bool = False) -> tuple[Window, ...]:
        """The windows on the first of the types; raises when the attributes do not fit."""
        if problem := self.problem(types[0].rank - 2, kernel):
            raise self.error(problem, *types)
        windows = self.windows(spatial(types[0].shape, channels_last), kernel)
        most = max((w.begin + w.size + w.end for w in windows if isinstance(w.size, int)), default=0)
        if most > LONGEST:
            raise self.error(f"a padded axis has {most} elements, more than 2**48", *types, hint="pad by less")
        return windows


class Taps:
    """The taps of windows in te: reduction axes `kd, kh, kw`, and the elements under them."""

    def __init__(self, windows: Sequence[Window], channels_last: bool = False) -> None:
        self.windows, letters, self.channels_last = windows, LETTERS[len(windows)], channels_last
        self.axes = [te.reduce_axis((0, w.kernel), name=f"k{n}") for w, n in zip(windows, letters, strict=True)]

    def places(self, o: Sequence[Expr]) -> list[Expr]:
        """The element under the tap of window `o`."""
        return [w.place(i, k.var) for w, i, k in zip(self.windows, o, self.axes, strict=True)]

    def inside(self, o: Sequence[Expr]) -> Expr:
        """Whether the element under the tap exists."""
        triples = zip(self.windows, o, self.places(o), strict=True)
        return all_of(*[cond for w, i, place in triples for cond in w.inside(i, place)])

    def window(self, point: Sequence[Expr]) -> Sequence[Expr]:
        """The indices of the window, of those of an element of the result."""
        return point[1:-1] if self.channels_last else point[2:]

    def element(self, x: Any, point: Sequence[Expr], fill: Any) -> Expr:
        """The element under the tap, or `fill` in the padding; `point` is where the result is."""
        o = self.window(point)
        places = [*self.places(o), point[-1]] if self.channels_last else [point[1], *self.places(o)]
        return select(self.inside(o), x[(point[0], *places)], const(fill, x.dtype))


def names(rank: int, channel: str = "c", channels_last: bool = False) -> list[str]:
    """The names of the axes of a result: n, c, and od, oh, ow; or with the channel at the end."""
    found = ["n", channel, *[f"o{letter}" for letter in LETTERS[rank]]]
    return [found[0], *found[2:], channel] if channels_last else found


def first(x: Any) -> Any:
    """`x[N, spatial..., C]` with its channels as axis 1, in any room."""
    rank = len(x.shape)
    return Transpose((0, rank - 1, *range(1, rank - 1)))(x)


def last(x: Any) -> Any:
    """`x[N, C, spatial...]` with its channels as the last axis, in any room."""
    return Transpose((0, *range(2, len(x.shape)), 1))(x)


def spatial(shape: Sequence[Any], channels_last: bool) -> tuple[Any, ...]:
    """The spatial extents of data."""
    return tuple(shape[1:-1] if channels_last else shape[2:])


def tvm_attributes(windows: Sequence[Window]) -> tuple[list[int], list[int], list[int]]:
    """Strides, padding (all begins, then all ends) and dilation, as TVM takes them."""
    padding = [v.begin for v in windows] + [v.end for v in windows]
    return [v.stride for v in windows], padding, [v.dilation for v in windows]


def draw_windows(draw: Draw, rank: int) -> dict[str, Any]:
    """Strides, padding, dilation and auto_pad, each the default now and then."""
    auto_pad = draw.choice(["NOTSET", *AUTO_PADS])
    padding = draw.shape(2 * rank, 0, 2) if auto_pad == "NOTSET" and draw.boolean() else ()
    strides = draw.shape(rank, 1, 3) if draw.boolean() else ()
    dilation = draw.shape(rank, 1, 2) if draw.boolean() else ()
    return {"strides": strides, "padding": padding, "dilation": dilation, "auto_pad": auto_pad}


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
