"""Convolution and its transpose, in one to three spatial dimensions, with groups.

In: data `[N, C, spatial...]` and weights. Out: `[N, O, spatial...]`. The bias that ONNX allows as
a third input is an Add, which fuses. 16-bit floats are summed in float32.

>>> import numpy as np
>>> Conv(padding=(1, 1))(np.ones((1, 1, 4)), np.ones((1, 1, 3)))
array([[[2., 3., 3., 2.]]])
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ir.node import node
from minicc.ops.base import Array, Draw, Example, Kind, operator, same_dim, type_of
from minicc.ops.padding import Pad, padded_with
from minicc.ops.scalar import accumulator
from minicc.ops.window import LONGEST, Taps, Window, Windowed, draw_windows, names, tvm_attributes, views
from minicc.tensor.expr import Expr, all_of, cast, const, select
from minicc.types import DType, TensorType


def rounded(x: te.Tensor, dtype: DType) -> te.Tensor:
    """`x` in `dtype`: a stage of its own, as a sum must be the whole body of its tensor."""
    return x if x.dtype is dtype else te.compute(x.shape, lambda *i: cast(x[i], dtype), name="cast")


def padded_windows(x: Any, windows: Sequence[Window], first: int = 2, fill: int = 0) -> tuple[Any, Sequence[Window]]:
    """`x` with `fill` around it, and the windows on that; both as they are where the padding outweighs the data.

    The windows are on the axes from `first` on.
    """
    if any(v.far for v in windows) or not any(v.begin > 0 or v.overhang > 0 for v in windows):
        return x, windows
    widths = [(0, 0)] * len(x.shape)
    widths[first : first + len(windows)] = [(max(v.begin, 0), max(v.overhang, 0)) for v in windows]
    return padded_with(x, widths, fill), [replace(v, begin=min(v.begin, 0)) for v in windows]


@node
class Convolution(Windowed):
    """Base of Conv and its transpose."""

    kind = Kind.ANCHOR
    contraction = True

    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    auto_pad: str = "NOTSET"

    def check(self, x: TensorType, w: TensorType, channels: int) -> None:
        """What both ask alike; `channels` are those of `x` that `w` says."""
        fits = self.problem(x.rank - 2, w.shape[2:]) if x.rank == w.rank else "expected data and weights of one rank"
        fits = fits or self.mixed(x.dtype, w.dtype)
        if not fits and (self.groups < 1 or not same_dim(x.shape[1], channels) or w.shape[0] % self.groups):
            fits = f"expected {channels} input channels, and channels that {self.groups} groups divide"
        if fits:
            raise self.error(fits, x, w)

    def mixed(self, x: DType, w: DType) -> str:
        """What is wrong with the dtypes of data and weights; empty when nothing is."""
        return "" if x is w else f"expected weights of {x} as the data, got {w}"


@node
class Correlation(Convolution):
    """Base of Conv and ConvInteger: what differs is the dtype of sums and result, and what the padding is."""

    @property
    def padded_by(self) -> int:
        """What the padding is."""
        return 0

    def dtypes(self, x: DType) -> tuple[DType, DType]:
        """The dtype of the sums of data of dtype `x`, and that of the result."""
        return accumulator(x), x

    def cut(self, x: Any, w: Any) -> list[Window]:
        """The windows without the taps that meet no data, if padding adds nothing."""
        return [window if self.padded_by else window.cut() for window in self.windows(x.shape[2:], w.shape[2:])]

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        self.check(x, w, w.shape[1] * self.groups if w.rank > 1 else 0)
        counts = [window.count for window in self.fitted(w.shape[2:], x, w)]
        if 0 in counts:
            hint = "choose a smaller kernel or dilation, or larger pads"
            raise self.error(f"the kernel {w.shape[2:]} is larger than the padded data", x, w, hint=hint)
        return TensorType(self.dtypes(x.dtype)[1], (x.shape[0], w.shape[0], *counts))

    def numpy(self, x: Array, w: Array) -> Array:
        result = self.infer(type_of(x), type_of(w))
        wide = self.dtypes(type_of(x).dtype)[0].numpy
        windows = self.cut(x, w)
        w = w[(slice(None), slice(None), *[slice(v.first, v.first + v.kernel) for v in windows])]
        seen = views(x.astype(wide, copy=False), windows, self.padded_by)
        batch, groups, rank, depth = x.shape[0], self.groups, x.ndim - 2, math.prod(w.shape[1:])
        seen = seen.reshape(batch, groups, w.shape[1], *seen.shape[2:])
        # [N, groups, points, C/groups * taps] @ [groups, C/groups * taps, O/groups]
        order = (0, 1, *range(3, 3 + rank), 2, *range(3 + rank, 3 + 2 * rank))
        columns = seen.transpose(order).reshape(batch, groups, math.prod(result.shape[2:]), depth)
        weights = w.astype(wide, copy=False).reshape(groups, w.shape[0] // groups, depth).transpose(0, 2, 1)
        with np.errstate(all="ignore"):
            product = np.matmul(columns, weights).swapaxes(2, 3)
            return np.asarray(product.reshape(result.shape).astype(result.dtype.numpy))

    def compute(self, x: Any, w: Any) -> Any:
        result, wide = self.infer(type_of(x), type_of(w)), self.dtypes(x.dtype)[0]
        x, windows = padded_windows(x, self.cut(x, w), fill=self.padded_by)
        taps, ic = Taps(windows), te.reduce_axis((0, w.shape[1]), name="ic")
        far, per_group = any(v.far for v in windows), w.shape[0] // self.groups

        def element(n: Expr, oc: Expr, *o: Expr) -> Expr:
            channel = ic.var if self.groups == 1 else oc // per_group * w.shape[1] + ic.var
            weight = w[(oc, ic.var, *[k.var + v.first for k, v in zip(taps.axes, windows, strict=True)])]
            place = cast(x[(n, channel, *taps.places(o))], wide)
            if far:  # padding is a condition
                place = select(taps.inside(o), place, const(self.padded_by, wide))
            return te.sum(place * cast(weight, wide), axis=[ic, *taps.axes])

        conv = te.compute(result.shape, element, name="conv", names=names(len(windows), "oc"))
        return rounded(conv, result.dtype)


@operator
class Conv(Correlation):
    """Cross-correlation of `x[N, C, ...]` with `w[O, C/groups, kernel...]`, zeros as padding."""

    def tvm(self, R: Any, x: Any, w: Any) -> Any:
        windows, wide = self.windows(x.shape[2:], w.shape[2:]), accumulator(x.dtype)
        if any(v.far for v in windows):
            raise R.refuse(self, "TVM stores the padding")
        convolve, attributes = R[f"nn.conv{len(windows)}d"], tvm_attributes(windows)
        return convolve(x.astype(wide), w.astype(wide), *attributes, self.groups).astype(x.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank = draw.integer(1, 2)
        attributes = draw_windows(draw, rank)
        groups, inner, outer = draw.integer(1, 3), draw.integer(1, 3), draw.integer(1, 3)
        kernel = draw.shape(rank, 1, 3)
        dtype = draw.dtype(("float",))
        spatial = tuple(2 * k + draw.integer(0, 3) for k in kernel)
        x = TensorType(dtype, (draw.integer(0, 2), groups * inner, *spatial))
        return cls(groups=groups, **attributes), (x, TensorType(dtype, (groups * outer, inner, *kernel)))


def _falls(v: Window, tap: int) -> tuple[int, slice, slice] | None:
    """The tap, which elements it spreads onto the result, and where they fall; None where none does."""
    ahead = v.begin - tap * v.dilation
    low, high = max(0, -(-ahead // v.stride)), min(v.count - 1, (v.size - 1 + ahead) // v.stride)
    if low > high:
        return None
    start = low * v.stride - ahead
    return tap, slice(low, high + 1), slice(start, start + (high - low) * v.stride + 1, v.stride)


@operator
class ConvTranspose(Convolution):
    """The transpose of a convolution: every element of `x` spreads `w[C, O/groups, kernel...]`.

    Of the full result `padding` is cropped, and `output_padding` added at the end. An
    `output_shape` decides the padding instead: half on each side, the odd one at the end for
    SAME_UPPER, else at the begin.
    """

    output_padding: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()

    def windows(self, spatial: Sequence[int], kernel: Sequence[int]) -> tuple[Window, ...]:
        """Along each axis the window of the convolution that this transposes: it slides over the result."""
        rank = len(spatial)
        strides, padding, dilation = self.attributes(rank)
        extra = self.output_padding or (0,) * rank
        found = []
        for a, (count, taps) in enumerate(zip(spatial, kernel, strict=True)):
            full = (count - 1) * strides[a] + (taps - 1) * dilation[a] + 1 + extra[a]
            begin, end = (0, 0) if self.auto_pad == "VALID" else (padding[a], padding[a + rank])
            size = full - begin - end
            if self.output_shape or self.auto_pad.startswith("SAME"):
                size = self.output_shape[a - rank] if self.output_shape else count * strides[a]
                total = max(full - size, 0)
                begin = total // 2 if self.auto_pad == "SAME_UPPER" else total - total // 2
            # of one element or one tap the distance means nothing, however large it is
            stride, apart = strides[a] if count > 1 else 1, dilation[a] if taps > 1 else 1
            found.append(Window(size, taps, stride, apart, begin, 0, count))
        return tuple(found)

    def _misfit(self, x: TensorType, w: TensorType) -> str:
        """What is wrong with the attributes that Conv does not have; empty when nothing is."""
        rank = x.rank - 2
        if len(self.output_padding) not in (0, rank) or len(self.output_shape) not in (0, rank, rank + 2):
            return f"expected {rank} of output_padding and of output_shape, got {self.output_padding} and {self.output_shape}"
        whole = (x.shape[0], w.shape[1] * self.groups)
        if len(self.output_shape) > rank and not all(map(same_dim, whole, self.output_shape)):
            return f"output_shape must begin with batch and channels, {whole}, got {self.output_shape}"
        strides, _, dilation = self.attributes(rank)
        limits = [max(pair) for pair in zip(strides, dilation, strict=True)]
        if any(not 0 <= extra < limit for extra, limit in zip(self.output_padding, limits, strict=False)):
            return f"output_padding must be at least 0 and less than stride or dilation, {tuple(limits)}, got {self.output_padding}"
        return ""

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        self.check(x, w, w.shape[0] if w.rank else 0)
        if problem := self._misfit(x, w):
            raise self.error(problem, x, w)
        windows = self.windows(x.shape[2:], w.shape[2:])
        shape = tuple(window.size for window in windows)
        if min(shape) < 0:
            hint = "choose smaller pads, or a larger output_padding or stride"
            raise self.error(f"the padding leaves nothing: {shape}", x, w, hint=hint)
        if max(max(v.size, v.begin + v.size, (v.count - 1) * v.stride + v.reach) for v in windows) > LONGEST:
            problem = f"an axis of the result, before it is cropped to {shape}, is more than 2**48 elements"
            raise self.error(problem, x, w, hint="choose smaller strides or dilations")
        return TensorType(x.dtype, (x.shape[0], w.shape[1] * self.groups, *shape))

    def numpy(self, x: Array, w: Array) -> Array:
        result, wide = self.infer(type_of(x), type_of(w)), accumulator(type_of(x).dtype).numpy
        spatial, kernel = x.shape[2:], w.shape[2:]
        # [N, groups, points, C/groups] @ [groups, C/groups, O/groups] for each tap, added where the tap falls
        inner = x.shape[1] // self.groups
        columns = x.astype(wide).reshape(x.shape[0], self.groups, inner, math.prod(spatial)).swapaxes(2, 3)
        weights: Any = w.astype(wide).reshape(self.groups, inner, w.shape[1], *kernel)
        total: Any = np.zeros(result.shape, wide)
        windows = self.windows(spatial, kernel)
        falls = [[where for k in range(v.kernel) if (where := _falls(v, k))] for v in windows]
        with np.errstate(all="ignore"):
            for hits in itertools.product(*falls) if x.size and w.size else ():
                taps, sources, targets = zip(*hits, strict=True)
                part = np.matmul(columns, weights[(..., *taps)]).swapaxes(2, 3).reshape(*result.shape[:2], *spatial)
                total[(..., *targets)] += part[(..., *sources)]
        return np.asarray(total.astype(result.dtype.numpy))

    def compute(self, x: Any, w: Any) -> Any:
        result, wide = self.infer(type_of(x), type_of(w)), accumulator(x.dtype)
        windows, inner = self.windows(x.shape[2:], w.shape[2:]), w.shape[0] // self.groups
        taps, ic = Taps(windows).axes, te.reduce_axis((0, inner), name="ic")

        def element(n: Expr, oc: Expr, *o: Expr) -> Expr:
            channel = oc // w.shape[1] * inner + ic.var
            conds, places = [], []
            for i, k, v in zip(o, taps, windows, strict=True):
                ahead = i + v.begin - k.var * v.dilation  # the tap falls here from element ahead / stride
                place = ahead // v.stride
                conds += [(ahead % v.stride).equal(0)] * (v.stride > 1) + [ahead >= 0, place < v.count]
                places.append(place)
            left, right = x[(n, channel, *places)], w[(channel, oc % w.shape[1], *[k.var for k in taps])]
            product = cast(left, wide) * cast(right, wide)
            return te.sum(select(all_of(*conds), product, const(0, wide)), axis=[ic, *taps])

        conv = te.compute(result.shape, element, name="conv_transpose", names=names(len(windows), "oc"))
        return rounded(conv, result.dtype)

    def tvm(self, R: Any, x: Any, w: Any) -> Any:
        windows, wide = self.windows(x.shape[2:], w.shape[2:]), accumulator(x.dtype)
        if any(v.far for v in windows):
            raise R.refuse(self, "TVM stores what is cropped")
        strides, _, dilation = tvm_attributes(windows)
        convolve = R[f"nn.conv{len(windows)}d_transpose"]
        full = convolve(x.astype(wide), w.astype(wide), strides, dilation=dilation, groups=self.groups).astype(x.dtype)
        return Pad((0, 0, *[-v.begin for v in windows], 0, 0, *[-v.overhang for v in windows]))(full)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank = draw.integer(1, 2)
        fields = draw_windows(draw, rank)
        kernel = tuple(draw.integer(2, 3) for _ in range(rank))
        groups, inner, outer = draw.integer(1, 3), draw.integer(1, 2), draw.integer(1, 2)
        dtype = draw.dtype(("float",))
        x = TensorType(dtype, (draw.integer(0, 2), groups * inner, *draw.shape(rank, 3, 4)))
        strides = fields["strides"]
        extra = tuple(draw.integer(0, s - 1) for s in strides)
        full = [s * d + draw.integer(-1, 1) for s, d in zip(strides or (1,) * rank, x.shape[2:], strict=True)]
        shape = tuple(full) if draw.integer(0, 3) == 3 else ()
        op = cls(groups=groups, output_padding=extra, output_shape=shape, **fields)
        return op, (x, TensorType(dtype, (groups * inner, outer, *kernel)))
