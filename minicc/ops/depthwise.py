"""Depthwise convolution of data whose channels are last: each channel with a kernel of its own.

In: `x[N, spatial..., C]` and weights `[kernel..., C]`. Out: `[N, out..., C]`. So neighbours in memory are channels, which
a vector takes together, whatever the stride and the kernel are. It is a `Conv` of C groups between two transposes
(Howard et al. 2017, MobileNets); which graphs are computed so is decided by a graph pass.

>>> import numpy as np
>>> x, w = np.arange(6, dtype=np.float32).reshape(1, 3, 2), np.ones((2, 2), np.float32)
>>> DepthwiseConv()(x, w)
array([[[2., 4.],
        [6., 8.]]], dtype=float32)
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Draw, Example, Kind, operator, same_dim, type_of
from minicc.ops.cast import Cast
from minicc.ops.conv import Conv, padded_windows, rounded
from minicc.ops.integer import ConvInteger
from minicc.ops.movement import Transpose
from minicc.ops.scalar import accumulator
from minicc.ops.shape import Unsqueeze
from minicc.ops.window import Taps, Windowed, draw_windows, first, last, names, spatial
from minicc.tensor.expr import Expr, call, cast, const, select
from minicc.tensor.intrinsics import MAGIC32, MAGIC32_BITS
from minicc.types import DType, TensorType, float32, int8, int16, int32, uint8

MOST = 255  # that an integer of the data or the weights is, a difference of bytes
MOST_TAPS = 2**22 // MOST**2  # whose sums of products are less than 2**22


@operator
class DepthwiseConv(Windowed):
    """Cross-correlation of each channel of `x[N, ..., C]` with its own of `w[kernel..., C]`, zeros as padding."""

    kind = Kind.ANCHOR
    contraction = True

    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    auto_pad: str = "NOTSET"

    @property
    def padded_by(self) -> int:
        """What the padding is."""
        return 0

    def result(self, x: DType, w: DType) -> DType | None:
        """The dtype of the result; None where those of data and weights do not fit."""
        return x if x is w else None

    def rounded(self, sums: te.Tensor, dtype: DType) -> te.Tensor:
        """The sums in the dtype of the result, as a stage of its own where that differs."""
        return rounded(sums, dtype)

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        dtype = self.result(x.dtype, w.dtype)
        if dtype is None or x.rank != w.rank + 1 or not same_dim(x.shape[-1], w.shape[-1]):
            raise self.error("expected [N, spatial..., C] and [kernel..., C] of dtypes that fit", x, w)
        counts = [window.count for window in self.fitted(w.shape[:-1], x, w, channels_last=True)]
        if 0 in counts:
            hint = "choose a smaller kernel or dilation, or larger pads"
            raise self.error(f"the kernel {w.shape[:-1]} is larger than the padded data", x, w, hint=hint)
        return TensorType(dtype, (x.shape[0], *counts, x.shape[-1]))

    def expand(self, x: Any, w: Any) -> Any:
        """With the channels as axis 1, as NumPy and TVM take them."""
        rank = len(w.shape)
        weights = Unsqueeze(axes=(1,))(Transpose((rank - 1, *range(rank - 1)))(w))
        conv = Conv(self.strides, self.padding, self.dilation, x.shape[-1], self.auto_pad)
        return last(conv(first(x), weights))

    def compute(self, x: te.Tensor, w: te.Tensor) -> Any:
        result, wide = self.infer(type_of(x), type_of(w)), accumulator(w.dtype)
        whole = self.windows(spatial(x.shape, True), w.shape[:-1])
        cut = [window if self.padded_by else window.cut() for window in whole]
        x, windows = padded_windows(x, cut, 1, self.padded_by)
        taps = Taps(windows, channels_last=True)

        def element(*point: Expr) -> Expr:
            o, c = taps.window(point), point[-1]
            weight = w[(*[k.var + v.first for k, v in zip(taps.axes, windows, strict=True)], c)]
            data = cast(x[(point[0], *taps.places(o), c)], wide)
            if any(v.far for v in windows):  # padding is a condition
                data = select(taps.inside(o), data, const(self.padded_by, wide))
            return te.sum(data * cast(weight, wide), axis=taps.axes)

        axes = names(len(windows), channels_last=True)
        return self.rounded(te.compute(result.shape, element, name="depthwise", names=axes), result.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank, channels, dtype = draw.integer(1, 3), draw.integer(1, 5), draw.dtype(("float",))
        kernel = draw.shape(rank, 1, 3)
        x = TensorType(dtype, (draw.integer(0, 2), *[2 * k + draw.integer(0, 2) for k in kernel], channels))
        return cls(**draw_windows(draw, rank)), (x, TensorType(dtype, (*kernel, channels)))


@operator
class DepthwiseConvInteger(DepthwiseConv):
    """A `DepthwiseConv` of bytes by weights that are differences of bytes as float32, in int32, with `fill` as padding.

    Each product and each sum is a whole number that float32 has, so the multiply-adds of floats are exact.
    """

    contraction = False

    fill: int = 0

    @property
    def padded_by(self) -> int:
        return self.fill

    def result(self, x: DType, w: DType) -> DType | None:
        return int32 if x in (uint8, int8) and w is float32 else None

    def rounded(self, sums: te.Tensor, dtype: DType) -> te.Tensor:
        """By one addition, as all sums are less than 2**22: it leaves the whole number in the low bits."""
        whole = lambda *i: call("bitcast", sums[i] + MAGIC32, dtype=dtype) - MAGIC32_BITS  # noqa: E731
        return te.compute(sums.shape, whole, name="whole")

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        if math.prod(w.shape[:-1]) > MOST_TAPS:
            raise self.error(f"expected at most {MOST_TAPS} taps, got {w.shape[:-1]}", x, w, hint="use ConvInteger")
        if x.dtype.kind != "float" and not x.dtype.range[0] <= self.fill <= x.dtype.range[1]:
            raise self.error(f"expected a fill that {x.dtype} holds, got {self.fill}", x, w)
        return DepthwiseConv.infer(self, x, w)

    def expand(self, x: Any, w: Any) -> Any:
        rank = len(w.shape)
        weights = Cast(int16)(Unsqueeze(axes=(1,))(Transpose((rank - 1, *range(rank - 1)))(w)))
        conv = ConvInteger(self.strides, self.padding, self.dilation, x.shape[-1], self.auto_pad, self.fill)
        return last(conv(first(x), weights))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        plain, (x, w) = DepthwiseConv.draw(draw)
        assert isinstance(plain, DepthwiseConv)
        dtype = draw.choice([uint8, int8])
        fill = draw.integer(*map(int, dtype.range))
        weights = draw.array(TensorType(int16, w.shape), -MOST, MOST).astype(np.float32)
        fields = {name: getattr(plain, name) for name in DepthwiseConv.__match_args__}
        return cls(**fields, fill=fill), (TensorType(dtype, x.shape), weights)
