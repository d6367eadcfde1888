"""TopK: the greatest or least elements along an axis, and where they are.

In: a tensor. Out: `k` elements (TopK) or their indices (TopKIndices) along the axis, in order. Of
equal elements the one with the smaller index comes first; NaN is greater than every number.

>>> import numpy as np
>>> TopKIndices(k=2)(np.array([3.0, 9.0, 9.0, 1.0]))
array([1, 2])
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicc import te
from minicc.ops.base import OPERAND, Array, Draw, Example, Kind, Operand, Operator, axis_of, number, operator, type_of
from minicc.ops.elementwise import accumulator
from minicc.ops.generate import filled
from minicc.ops.indexing import GatherElements
from minicc.te.expr import Expr, any_of, cast
from minicc.types import TensorType, int64, uint64


def _sortable(R: Any, op: Operator, x: Any) -> Any:
    """`x` in Relax, in a dtype that TVM sorts by value: it misses some integers, and misplaces bfloat16."""
    if x.dtype is uint64:
        raise R.refuse(op, "its sorts have no uint64")
    return x.astype(accumulator(x.dtype) if x.dtype.is_float else int64)


@operator
class TopKIndices(Operator):
    """The indices of the `k` greatest (or least) along `axis`; always in order, `sorted` or not.

    The tensor expression ranks by counting: the place of an element is the number of those before
    it in the order. That is quadratic in the extent, and needs no sort.
    """

    kind: ClassVar[Kind] = Kind.OPAQUE
    operands: ClassVar[tuple[str, ...]] = ("k",)

    k: int | Operand = OPERAND
    axis: int = -1
    largest: bool = True
    sorted: bool = True

    def infer(self, x: TensorType) -> TensorType:
        k = int(number(self.k))
        if x.rank == 0:
            raise self.error("expected a tensor of rank 1 or more", x)
        axis = axis_of(self, self.axis, x)
        if k < 0 or k > x.shape[axis]:
            raise self.error(f"k must be in [0, {x.shape[axis]}], got {k}", x)
        return TensorType(int64, (*x.shape[:axis], k, *x.shape[axis + 1 :]))

    def numpy(self, x: Array) -> Array:
        k = int(number(self.k))
        keys = x.astype(np.float32) if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" else x
        if self.largest:  # stable from the far end, read backwards: descending, ties by ascending index
            order = np.argsort(np.flip(keys, self.axis), self.axis, kind="stable")
            order = np.flip(x.shape[self.axis] - 1 - order, self.axis)
        else:
            order = np.argsort(keys, self.axis, kind="stable")
        return np.take(order, np.arange(k), self.axis).astype(np.int64)

    def compute(self, x: Any) -> Any:
        result = self.infer(type_of(x))
        if 0 in result.shape:
            return filled(result.shape, 0, int64, "top_k")
        axis, k = self.axis % result.rank, int(number(self.k))
        j = te.reduce_axis((0, x.shape[axis]), name="j")

        def count(*i: Expr) -> Expr:
            mine, other = x[i], x[(*i[:axis], j.var, *i[axis + 1 :])]
            return te.sum(cast(self._before(other, mine, j.var, i[axis]), int64), axis=j)

        rank = te.compute(x.shape, count, name="rank")
        return te.scatter(
            filled(result.shape, 0, int64, "zeros"),
            x.shape,
            lambda *p: (*p[:axis], rank[p], *p[axis + 1 :]),
            lambda *p: p[axis],
            where=lambda *p: rank[p] < k,
            name="top_k",
        )

    def _before(self, left: Expr, right: Expr, i: Expr, j: Expr) -> Expr:
        """Whether element `left` at index i comes before `right` at j."""
        first, tie = (right < left, left.equal(right)) if self.largest else (left < right, left.equal(right))
        if left.dtype.is_float:
            nan, number = (left, right) if self.largest else (right, left)
            first = first | (nan.not_equal(nan) & number.equal(number))
            tie = tie | (left.not_equal(left) & right.not_equal(right))
        return any_of(first, tie & (i < j))

    def relax(self, R: Any, x: Any) -> Any:
        return R.topk(_sortable(R, self, x), int(number(self.k)), self.axis, "indices", self.largest, "int64")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 3), low=1)
        axis = draw.integer(0, x.rank - 1)
        k = draw.integer(0, x.shape[axis])
        return cls(k, axis - draw.choice([0, x.rank]), draw.boolean()), (x,)


@operator
class TopK(Operator):
    """The elements that TopKIndices names."""

    kind: ClassVar[Kind] = Kind.OPAQUE
    composite: ClassVar[bool] = True
    operands: ClassVar[tuple[str, ...]] = ("k",)

    k: int | Operand = OPERAND
    axis: int = -1
    largest: bool = True
    sorted: bool = True

    def infer(self, x: TensorType) -> TensorType:
        return TensorType(x.dtype, self._indices.infer(x).shape)

    @property
    def _indices(self) -> TopKIndices:
        return TopKIndices(self.k, self.axis, self.largest, self.sorted)

    def expand(self, x: Any) -> Any:
        return GatherElements(self.axis)(x, self._indices(x))

    def relax(self, R: Any, x: Any) -> Any:
        return R.topk(_sortable(R, self, x), int(number(self.k)), self.axis, "values", self.largest).astype(x.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        op, inputs = TopKIndices.draw(draw)
        assert isinstance(op, TopKIndices)
        return cls(op.k, op.axis, op.largest, op.sorted), inputs


__all__ = ["TopK", "TopKIndices"]
