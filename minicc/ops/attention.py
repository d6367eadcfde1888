"""Scaled dot-product attention as one operator: softmax(q k^T * scale + masks) v, for every head.

In: q, k, v as flat tensors, with the strides by which a head's matrix is read from them, so heads
that were split off by Reshape, Split or Transpose are read where they lie; masks `[batch, heads,
keys, queries]` (keys first, each axis 1 or whole, a batch that repeats). Out: `[batch, queries,
heads, depth]`, which merges the heads without a move.

The scores stand with the keys first: a vector holds one key for neighbouring queries, so greatest,
exponential and sum of a row are whole vectors (Milakov and Gimelshein 2018 take the same three
sweeps), and no sum goes across lanes. Queries come in blocks of `block`; the last one is filled up.

>>> import numpy as np
>>> whole = (4, 4, 2, 0)
>>> attention = ScaledAttention(1, 1, 2, 2, 2, 1.0, whole, whole, whole)
>>> attention(*[np.float32([1, 0, 0, 1])] * 3).round(2).tolist()
[[[[0.7300000190734863, 0.27000001072883606]], [[0.27000001072883606, 0.7300000190734863]]]]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ops.arithmetic import Add, Mul
from minicc.ops.base import FLOAT, Array, Draw, Example, Kind, Operator, like, operator
from minicc.ops.comparison import IsNaN, Where
from minicc.ops.indexing import Gather
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Slice, Transpose
from minicc.ops.softmax import Softmax, largest
from minicc.tensor.expr import Expr, call, const, minimum, select
from minicc.types import TensorType, float32, float64


Strides = tuple[
    int, int, int, int
]  # of batch, head and row in a flat tensor, and where the first lies; columns are neighbours


def place(strides: Strides, batch: Any, head: Any, row: Any, column: Any) -> Any:
    """Where an element lies in a flat tensor, of expressions or of arrays."""
    return batch * strides[0] + head * strides[1] + row * strides[2] + column + strides[3]


def places(strides: Strides, *shape: int) -> Array:
    """Where all elements of `[batch, head, row, column]` lie."""
    return np.asarray(place(strides, *np.indices(shape, sparse=True)))


@operator
class ScaledAttention(Operator):
    """softmax(q k^T * scale + masks) v of flat q, k, v, by heads; `absent` rows, whose weights are NaN, are zeros."""

    kind = Kind.OPAQUE
    accepts = FLOAT

    batch: int
    heads: int
    queries: int
    keys: int
    depth: int
    scale: float
    q: Strides
    k: Strides
    v: Strides
    absent: bool = False
    block: int = 1

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of the result."""
        return self.batch, self.queries, self.heads, self.depth

    def infer(self, *types: TensorType) -> TensorType:
        self.accept(*types)
        dtype = types[0].dtype if types else float32
        if len(types) < 3 or any(t.dtype is not dtype for t in types) or dtype not in (float32, float64):
            raise self.error("expected q, k, v and masks of float32, or all of float64", *types)
        sizes = (self.batch, self.heads, self.queries, self.keys, self.depth, self.block)
        if min(sizes) < 1:
            raise self.error(f"expected sizes of 1 or more, got {sizes}", *types)
        if any(len(strides) != 4 for strides in (self.q, self.k, self.v)):
            raise self.error("expected three strides and an offset for each of q, k and v", *types)
        for t, strides, rows in zip(
            types, (self.q, self.k, self.v), (self.queries, self.keys, self.keys), strict=False
        ):
            last = place(strides, self.batch - 1, self.heads - 1, rows - 1, self.depth - 1)
            if t.rank != 1 or min(strides) < 0 or last >= t.shape[0]:
                raise self.error(f"expected a flat tensor of more than {last} elements, got {t.shape}", *types)
        for mask in types[3:]:
            whole = (self.batch, self.heads, self.keys, self.queries)
            pairs = list(zip(mask.shape, whole, strict=False))
            if mask.rank != 4 or any(m not in (1, n) for m, n in pairs[1:]) or whole[0] % max(mask.shape[0], 1):
                raise self.error(f"expected a mask that repeats to {whole}, got {mask.shape}", *types)
        return TensorType(dtype, self.shape)

    def expand(self, *values: Any) -> Any:
        """With every matrix gathered, as NumPy and TVM take them."""
        q, k, v, *masks = values
        sizes = self.batch, self.heads
        rows = Gather(0)(q, places(self.q, *sizes, self.queries, self.depth))
        columns = Gather(0)(k, places(self.k, *sizes, self.keys, self.depth).swapaxes(2, 3))
        scores = MatMul()(Mul()(rows, like(q, self.scale)), columns)
        for mask in masks:
            again = np.arange(self.batch) % mask.shape[0]
            scores = Add()(scores, Transpose((0, 1, 3, 2))(Gather(0)(mask, again)))
        weights = Softmax(-1)(scores)
        product = MatMul()(weights, Gather(0)(v, places(self.v, *sizes, self.keys, self.depth)))
        if self.absent:  # of NaN in one weight all of the row are
            product = Where()(IsNaN()(Slice((0,), (1,), (3,))(weights)), like(q, 0.0), product)
        return Transpose((0, 2, 1, 3))(product)

    def compute(self, q: te.Tensor, k: te.Tensor, v: te.Tensor, *masks: te.Tensor) -> te.Tensor:
        batch, heads, keys, depth = self.batch, self.heads, self.keys, self.depth
        rows = -(-self.queries // self.block) * self.block
        kd, kj, mj, tj = (
            te.reduce_axis((0, extent), name=name)
            for name, extent in (("kd", depth), ("kj", keys), ("mj", keys), ("tj", keys))
        )

        def stage(name: str, shape: Sequence[int], letters: str, element: Any) -> te.Tensor:
            made: te.Tensor = te.compute(shape, element, name=name, names=[f"{name[0]}{letter}" for letter in letters])
            return made

        def query(b: Expr, h: Expr, d: Expr, i: Expr) -> Expr:
            element: Expr = q[place(self.q, b, h, minimum(i, self.queries - 1), d)] * const(self.scale, q.dtype)
            return element

        def masked(b: Expr, h: Expr, j: Expr, i: Expr) -> Expr:
            element: Expr = scores[b, h, j, i]
            for mask in masks:
                first = b % mask.shape[0]
                others = [0 if n == 1 else point for n, point in zip(mask.shape[1:], (h, j, i), strict=True)]
                added = mask[(first, *others)]
                inside = i < self.queries
                element = element + (select(inside, added, const(0, q.dtype)) if mask.shape[3] > 1 else added)
            return element

        whole, row = (batch, heads, keys, rows), (batch, heads, rows)
        turned = stage("queries", (batch, heads, depth, rows), "bhdi", query)
        scores = stage("scores", whole, "bhji", lambda b, h, j, i: te.sum(
            k[place(self.k, b, h, j, kd.var)] * turned[b, h, kd.var, i], axis=kd))  # fmt: skip
        logits = stage("logits", whole, "bhji", masked)
        greatest = stage("greatest", row, "bhi", lambda b, h, i: largest(logits[b, h, mj.var, i], axis=mj))
        weights = stage(
            "weights", whole, "bhji", lambda b, h, j, i: call("exp", logits[b, h, j, i] - greatest[b, h, i])
        )
        total = stage("total", row, "bhi", lambda b, h, i: te.sum(weights[b, h, tj.var, i], axis=tj))
        product = stage("product", (*row, depth), "bhid", lambda b, h, i, d: te.sum(
            weights[b, h, kj.var, i] * v[place(self.v, b, h, kj.var, d)], axis=kj))  # fmt: skip

        def mean(b: Expr, i: Expr, h: Expr, d: Expr) -> Expr:
            sum, by = product[b, h, i, d], total[b, h, i]
            return select(by > 0.0, sum / by, const(0, q.dtype)) if self.absent else sum / by  # NaN > 0 is false

        made: te.Tensor = te.compute(self.shape, mean, name="attention", names=["b", "i", "h", "d"])
        return made

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        batch, heads, queries, keys, depth = (draw.integer(1, n) for n in (2, 2, 6, 6, 4))
        width, offset = heads * depth, draw.integer(0, 3)
        inside = (queries * width, depth, width, offset)
        outside = (heads * keys * depth, keys * depth, depth, 0)
        dtype = draw.choice((float32, float64))
        whole = (batch, heads, keys, queries)
        masks = [TensorType(dtype, tuple(draw.choice((1, n)) for n in whole)) for _ in range(draw.integer(0, 2))]
        op = cls(
            batch,
            heads,
            queries,
            keys,
            depth,
            draw.choice((0.5, 1.0)),
            inside,
            outside,
            outside,
            draw.boolean(),
            draw.choice((1, 2, 4)),
        )
        sizes = (batch * queries * width + offset, *[batch * keys * width] * 2)
        return op, [*[TensorType(dtype, (size,)) for size in sizes], *masks]
