"""Contractions whose weights are stored in the order in which a vector unit reads them.

The columns of the second operand come in blocks of `block`, and the block is the innermost
dimension: `[N, K]` weights become `[N / block, K, block]`. So a step of the contraction loads one
contiguous block and multiplies it with one element of the first operand. The packing itself is
made of ordinary operators (`graph.pack_weights`), which constant folding computes at compile time.
The idea is that of GotoBLAS (Goto and van de Geijn 2008), and of NCHWc convolutions (Georganas et
al. 2018).

>>> import numpy as np
>>> a, b = np.ones((2, 3), np.float32), np.arange(12, dtype=np.float32).reshape(3, 4)
>>> packed = b.reshape(3, 2, 2).transpose(1, 0, 2)
>>> PackedMatMul(columns=4)(a, packed)[0] - (a @ b)[0]
array([0., 0., 0., 0.], dtype=float32)
"""

from __future__ import annotations

from typing import Any

from minicc import tensor as te
from minicc.ops.base import Draw, Example, Kind, Operator, operator, type_of
from minicc.ops.conv import Conv, zero_padded
from minicc.ops.elementwise import at
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Slice, Transpose
from minicc.ops.shape import Reshape
from minicc.ops.window import Taps, Windowed, draw_windows, names
from minicc.tensor.expr import Expr
from minicc.types import TensorType, broadcast, float32


@operator
class PackedConv(Windowed):
    """A `Conv` of one group with weights `[blocks, C, *kernel, block]`, of which `channels` are real."""

    kind = Kind.ANCHOR

    channels: int
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    auto_pad: str = "NOTSET"

    @property
    def conv(self) -> Conv:
        """The same convolution on weights that are not packed."""
        return Conv(self.strides, self.padding, self.dilation, 1, self.auto_pad)

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        if w.rank != x.rank + 1:
            raise self.error(f"weights must have rank {x.rank + 1}, got {w.rank}", x, w)
        blocks, inputs, *kernel, block = w.shape
        if not 0 < self.channels <= blocks * block:
            raise self.error(f"expected 1 to {blocks * block} channels, got {self.channels}", x, w)
        return self.conv.infer(x, TensorType(w.dtype, (self.channels, inputs, *kernel)))

    def expand(self, x: Any, w: Any) -> Any:
        """With the weights unpacked, as NumPy and TVM take them."""
        blocks, inputs, *kernel, block = w.shape
        moved = Transpose((0, len(w.shape) - 1, *range(1, len(w.shape) - 1)))(w)
        whole = Reshape((blocks * block, inputs, *kernel), True)(moved)
        return self.conv(x, Slice((0,), (self.channels,), (0,))(whole))

    def compute(self, x: te.Tensor, w: te.Tensor) -> Any:
        out = self.infer(type_of(x), type_of(w))
        inputs, *kernel, block = w.shape[1:]
        x, windows = zero_padded(x, self.windows(x.shape[2:], kernel))
        taps, ic = Taps(windows), te.reduce_axis((0, inputs), name="ic")

        def element(n: Expr, *rest: Expr) -> Expr:
            *points, oc = rest
            weight = w[(oc // block, ic.var, *[k.var for k in taps.axes], oc % block)]
            return te.sum(x[(n, ic.var, *taps.places(points))] * weight, axis=[ic, *taps.axes])

        batch, _, *spatial = out.shape
        n, oc, *points = names(len(windows), "oc")
        # channels last, so that a block of them is a vector of accumulators
        shape = (batch, *spatial, w.shape[0] * block)
        conv = te.compute(shape, element, name="conv", names=[n, *points, oc])
        return te.compute(out.shape, lambda n, oc, *o: conv[(n, *o, oc)], name="packed_conv", names=[n, oc, *points])

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank, block = draw.integer(1, 2), draw.choice([2, 4])
        kernel = draw.shape(rank, 1, 3)
        inputs, blocks = draw.integer(1, 3), draw.integer(1, 3)
        op = cls(draw.integer((blocks - 1) * block + 1, blocks * block), **draw_windows(draw, rank))
        x = TensorType(float32, (draw.integer(1, 2), inputs, *[2 * k + draw.integer(0, 3) for k in kernel]))
        return op, (x, TensorType(float32, (blocks, inputs, *kernel, block)))


@operator
class PackedMatMul(Operator):
    """`[..., M, K]` times weights `[..., blocks, K, block]`; the first `columns` columns of the product."""

    kind = Kind.ANCHOR

    columns: int

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        if a.rank < 2 or b.rank < 3 or a.dtype is not b.dtype or a.shape[-1] != b.shape[-2]:
            raise self.error("expected [..., M, K] and [..., blocks, K, block] of one dtype", a, b)
        if not 0 <= self.columns <= b.shape[-3] * b.shape[-1]:
            raise self.error(f"at most {b.shape[-3] * b.shape[-1]} columns, got {self.columns}", a, b)
        batch = broadcast(str(self), a.shape[:-2], b.shape[:-3])
        return TensorType(a.dtype, (*batch, a.shape[-2], self.columns))

    def expand(self, a: Any, b: Any) -> Any:
        """With the weights unpacked, as NumPy and TVM take them."""
        *batch, blocks, depth, block = b.shape
        count = len(batch)
        moved = Transpose((*range(count), count + 1, count, count + 2))(b)
        whole = Reshape((*batch, depth, blocks * block), True)(moved)
        return MatMul()(a, Slice((0,), (self.columns,), (count + 1,))(whole))

    def compute(self, a: te.Tensor, b: te.Tensor) -> Any:
        out = self.infer(type_of(a), type_of(b))
        *batch, rows, _ = out.shape
        blocks, depth, block = b.shape[-3:]
        k = te.reduce_axis((0, depth), name="k")

        def element(*points: Expr) -> Expr:
            *outer, i, j = points
            left = at(a, (*outer, i, k.var), (*batch, rows, depth))
            return te.sum(left * at(b, (*outer, j // block, k.var, j % block), (*batch, *b.shape[-3:])), axis=k)

        names = [*[f"b{d}" for d in range(len(batch))], "i", "j"]
        product = te.compute((*batch, rows, blocks * block), element, name="matmul", names=names)
        return te.compute(out.shape, lambda *points: product[points], name="packed_matmul", names=names)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        blocks, block, depth = draw.integer(1, 3), draw.choice([2, 4]), draw.integer(1, 5)
        batch = draw.choice([(), (2,), (1, 3)])
        columns = draw.integer((blocks - 1) * block + 1, blocks * block)
        a = TensorType(float32, (*draw.broadcastable(batch), draw.integer(1, 5), depth))
        return cls(columns=columns), (a, TensorType(float32, (*batch, blocks, depth, block)))
