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

from typing import Any

from minicc import tensor as te
from minicc.ops.base import Draw, Example, Kind, operator, same_dim, type_of
from minicc.ops.conv import Conv, padded_windows, rounded
from minicc.ops.movement import Transpose
from minicc.ops.scalar import accumulator
from minicc.ops.shape import Unsqueeze
from minicc.ops.window import Taps, Windowed, draw_windows, first, last, names, spatial
from minicc.tensor.expr import Expr, cast, const, select
from minicc.types import TensorType


@operator
class DepthwiseConv(Windowed):
    """Cross-correlation of each channel of `x[N, ..., C]` with its own of `w[kernel..., C]`, zeros as padding."""

    kind = Kind.ANCHOR
    contraction = True

    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    auto_pad: str = "NOTSET"

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        if x.rank != w.rank + 1 or x.dtype is not w.dtype or not same_dim(x.shape[-1], w.shape[-1]):
            raise self.error("expected [N, spatial..., C] and [kernel..., C] of one dtype", x, w)
        counts = [window.count for window in self.fitted(w.shape[:-1], x, w, channels_last=True)]
        if 0 in counts:
            hint = "choose a smaller kernel or dilation, or larger pads"
            raise self.error(f"the kernel {w.shape[:-1]} is larger than the padded data", x, w, hint=hint)
        return TensorType(x.dtype, (x.shape[0], *counts, x.shape[-1]))

    def expand(self, x: Any, w: Any) -> Any:
        """With the channels as axis 1, as NumPy and TVM take them."""
        rank = len(w.shape)
        weights = Unsqueeze(axes=(1,))(Transpose((rank - 1, *range(rank - 1)))(w))
        conv = Conv(self.strides, self.padding, self.dilation, x.shape[-1], self.auto_pad)
        return last(conv(first(x), weights))

    def compute(self, x: te.Tensor, w: te.Tensor) -> Any:
        result, wide = self.infer(type_of(x), type_of(w)), accumulator(x.dtype)
        cut = [window.cut() for window in self.windows(spatial(x.shape, True), w.shape[:-1])]
        x, windows = padded_windows(x, cut, 1)
        taps = Taps(windows, channels_last=True)

        def element(*point: Expr) -> Expr:
            o, c = taps.window(point), point[-1]
            weight = w[(*[k.var + v.first for k, v in zip(taps.axes, windows, strict=True)], c)]
            product = cast(x[(point[0], *taps.places(o), c)], wide) * cast(weight, wide)
            if any(v.far for v in windows):  # padding is a condition
                product = select(taps.inside(o), product, const(0, wide))
            return te.sum(product, axis=taps.axes)

        axes = names(len(windows), channels_last=True)
        return rounded(te.compute(result.shape, element, name="depthwise", names=axes), result.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank, channels, dtype = draw.integer(1, 3), draw.integer(1, 5), draw.dtype(("float",))
        kernel = draw.shape(rank, 1, 3)
        x = TensorType(dtype, (draw.integer(0, 2), *[2 * k + draw.integer(0, 2) for k in kernel], channels))
        return cls(**draw_windows(draw, rank)), (x, TensorType(dtype, (*kernel, channels)))
