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

import math
from collections.abc import Sequence
from typing import Any

from minicc import tensor as te
from minicc.ops.base import Draw, Example, Kind, Operator, operator, type_of
from minicc.ops.conv import Conv, padded_windows
from minicc.ops.elementwise import at
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Slice, Transpose
from minicc.ops.shape import Reshape
from minicc.ops.window import Taps, Windowed, draw_windows, names
from minicc.tensor.expr import Expr, const, select
from minicc.types import TensorType, broadcast, float32


def block_of(channels: int, lanes: int) -> int:
    """How many output channels of a group are best taken together: two vectors, or what pads least; part of a vector if all fit.

    With two vectors each element of the data is used twice, and a tile has room for many positions. Half of a wide vector
    is a register, too, which takes as long as a whole one, and writes less.

    >>> [block_of(channels, 16) for channels in (3, 16, 17, 24, 40, 64, 112, 120, 255)]
    [4, 16, 24, 24, 40, 32, 16, 32, 32]
    """
    if channels <= lanes:
        return next(part for part in (lanes // 4, lanes // 2, lanes) if channels <= part > 1)
    waste = {1.0: 1.05, 1.5: 1.3, 2.0: 1.0, 2.5: 1.18, 3.0: 1.02}  # of time, by the number of vectors
    options = [n for n in waste if n == int(n) or lanes >= 16]
    return int(lanes * min(options, key=lambda n: -(-channels // int(n * lanes)) * n * waste[n]))


def position(index: Sequence[Expr], shape: Sequence[int]) -> Expr:
    """The place of an element among all of an array, in row-major order."""
    total: Expr = const(0)
    for i, extent in zip(index, shape, strict=True):
        total = total * extent + i
    return total


def digits(place: Expr, shape: Sequence[int]) -> list[Expr]:
    """The index whose `position` in an array is `place`."""
    found = []
    for axis, extent in enumerate(shape):
        after = math.prod(shape[axis + 1 :])
        found.append(place // after % extent if axis else place // after)
    return found


@operator
class PackedConv(Windowed):
    """A `Conv` of `x[N, spatial..., C]` with weights `[blocks, kernel..., C/groups, block]`, giving `[N, out..., channels]`.

    The blocks cover the groups one after the other, each padded with zeros to whole blocks.
    """

    kind = Kind.ANCHOR

    channels: int
    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    auto_pad: str = "NOTSET"

    @property
    def filling(self) -> int:
        """What an element of the padding is."""
        return 0

    def product(self, x: Expr, w: Expr) -> Expr:
        """What a step adds to a sum."""
        return x * w

    @property
    def conv(self) -> Conv:
        """The same convolution, of channels first, on weights that are not packed."""
        return Conv(self.strides, self.padding, self.dilation, self.groups, self.auto_pad)

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        if x.rank < 3 or w.rank != x.rank + 1:
            raise self.error(f"weights must have rank {x.rank + 1}, of data [N, spatial..., C], got {w.rank}", x, w)
        blocks, *kernel, inputs, block = w.shape
        whole = self.groups >= 1 and self.channels % self.groups == 0 == blocks % self.groups
        if not (whole and 1 <= self.channels <= blocks * block):
            problem = f"expected {self.groups} groups of whole blocks, of {self.channels} channels"
            raise self.error(f"{problem}, got {blocks} blocks of {block}", x, w)
        batch, *spatial, depth = x.shape
        weights = TensorType(w.dtype, (self.channels, inputs, *kernel))
        n, channels, *points = self.conv.infer(TensorType(x.dtype, (batch, depth, *spatial)), weights).shape
        return TensorType(x.dtype, (n, *points, channels))

    def expand(self, x: Any, w: Any) -> Any:
        """With the weights unpacked, as NumPy and TVM take them."""
        blocks, *kernel, inputs, block = w.shape
        rank, groups = len(kernel), self.groups
        moved = Transpose((0, rank + 2, rank + 1, *range(1, rank + 1)))(w)
        whole = Reshape((groups, blocks * block // groups, inputs, *kernel), True)(moved)
        weights = Reshape((self.channels, inputs, *kernel), True)(Slice((0,), (self.channels // groups,), (1,))(whole))
        made = self.conv(Transpose((0, rank + 1, *range(1, rank + 1)))(x), weights)
        return Transpose((0, *range(2, rank + 2), 1))(made)

    def compute(self, x: te.Tensor, w: te.Tensor) -> Any:
        out = self.infer(type_of(x), type_of(w))
        blocks, *kernel, inputs, block = w.shape
        cut = [v if self.filling else v.cut() for v in self.windows(x.shape[1:-1], kernel)]
        x, windows = padded_windows(x, cut, 1, self.filling)
        taps, ic = Taps(windows), te.reduce_axis((0, inputs), name="ic")
        far = any(v.far for v in windows)
        padded, each = blocks * block // self.groups, self.channels // self.groups  # of a group, in the sums and in all
        shape = out.shape[:-1]
        pointwise = all(v.kernel == v.stride == 1 and v.count == v.size for v in windows) and not far

        def product(points: Sequence[Expr], oc: Expr) -> Expr:
            n, *o = points
            channel = ic.var if self.groups == 1 else oc // padded * inputs + ic.var
            places = [k.var + v.first for k, v in zip(taps.axes, windows, strict=True)]
            data = x[(n, *taps.places(o), channel)]
            if far:  # padding is a condition
                data = select(taps.inside(o), data, const(self.filling, x.dtype))
            term = self.product(data, w[(oc // block, *places, ic.var, oc % block)])
            return te.sum(term, axis=[*taps.axes, ic])

        def kept(*index: Expr) -> Expr:
            *points, oc = index
            channel = oc if padded == each or self.groups == 1 else oc // each * padded + oc % each
            return conv[(position(points, shape), channel) if pointwise else (*points, channel)]

        n, oc, *names_of = names(len(windows), "oc")
        axes = [n, *names_of, oc]
        if pointwise:  # a product of matrices: the positions are its rows
            whole, rows = (math.prod(shape), blocks * block), ["o", oc]
            conv = te.compute(whole, lambda p, oc: product(digits(p, shape), oc), name="conv", names=rows)
        else:
            whole = (*shape, blocks * block)
            conv = te.compute(whole, lambda *i: product(i[:-1], i[-1]), name="conv", names=axes)
        return te.compute(out.shape, kept, name="packed_conv", names=axes)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank, block, groups = draw.integer(1, 2), draw.choice([2, 4]), draw.integer(1, 2)
        kernel = draw.shape(rank, 1, 3)
        inputs, blocks = draw.integer(1, 3), draw.integer(1, 3)
        channels, blocks = draw.integer((blocks - 1) * block + 1, blocks * block) * groups, blocks * groups
        x = TensorType(float32, (draw.integer(1, 2), *[2 * k + draw.integer(0, 3) for k in kernel], inputs * groups))
        op = cls(channels, groups=groups, **draw_windows(draw, rank))
        return op, (x, TensorType(float32, (blocks, *kernel, inputs, block)))


@operator
class PackedMatMul(Operator):
    """`[..., M, K]` times weights `[..., blocks, K, block]`; the first `columns` columns of the product."""

    kind = Kind.ANCHOR

    columns: int

    def product(self, a: Expr, b: Expr) -> Expr:
        """What a step adds to a sum."""
        return a * b

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
            right = at(b, (*outer, j // block, k.var, j % block), (*batch, *b.shape[-3:]))
            return te.sum(self.product(left, right), axis=k)

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


@operator
class MatMulTransposed(Operator):
    """`[..., M, K]` times the transposed `[..., N, K]`: each element is the sum along a row of both.

    >>> import numpy as np
    >>> MatMulTransposed()(np.ones((1, 3)), np.arange(6.0).reshape(2, 3))
    array([[ 3., 12.]])
    """

    kind = Kind.ANCHOR

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        if a.rank < 2 or b.rank < 2 or a.dtype is not b.dtype or a.shape[-1] != b.shape[-1]:
            raise self.error("expected [..., M, K] and [..., N, K] of one dtype", a, b)
        return TensorType(a.dtype, (*broadcast(str(self), a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-2]))

    def expand(self, a: Any, b: Any) -> Any:
        """By a transposed copy, as NumPy and TVM take it."""
        rank = len(b.shape)
        return MatMul()(a, Transpose((*range(rank - 2), rank - 1, rank - 2))(b))

    def compute(self, a: te.Tensor, b: te.Tensor) -> Any:
        *batch, rows, columns = self.infer(type_of(a), type_of(b)).shape
        depth = a.shape[-1]
        k = te.reduce_axis((0, depth), name="k")

        def element(*points: Expr) -> Expr:
            *outer, i, j = points
            left = at(a, (*outer, i, k.var), (*batch, rows, depth))
            return te.sum(left * at(b, (*outer, j, k.var), (*batch, columns, depth)), axis=k)

        names = [*[f"b{d}" for d in range(len(batch))], "i", "j"]
        return te.compute((*batch, rows, columns), element, name="matmul_transposed", names=names)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        batch, depth = draw.choice([(), (2,), (1, 3)]), draw.integer(1, 70)
        a = TensorType(float32, (*draw.broadcastable(batch), draw.integer(1, 5), depth))
        return cls(), (a, TensorType(float32, (*batch, draw.integer(1, 5), depth)))
