"""TopK: the greatest or least elements along an axis, and where they are.

In: a tensor. Out: `k` elements (TopK) or their indices (TopKIndices) along the axis, in order. Of
equal elements the one with the smaller index comes first; NaN is greater than every number.

Both are found from integers that are ordered as the elements are to be. Up to 8 log2(n) of n elements are
selected one after the other, each in one pass over the axis (n * k steps, but in vectors); more of
them come from a merge sort (n * log2(n) steps, and as many numbers of memory).

>>> import numpy as np
>>> TopKIndices(k=2)(np.array([3.0, 9.0, 9.0, 1.0]))
array([1, 2])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ir.node import node
from minicc.ops.base import OPERAND, Array, Draw, Example, Kind, Operand, Operator, axis_of, number, operator, type_of
from minicc.ops.generate import filled
from minicc.ops.indexing import GatherElements
from minicc.ops.scalar import accumulator
from minicc.tensor.expr import Expr, any_of, binary, call, cast, const, maximum, minimum, select, unary
from minicc.types import TensorType, boolean, int8, int32, int64, uint64

SELECTED = 8  # times log2(n): as many places are selected one by one, in vectors; for more of them a sort is faster


PLACES = 1 << 32  # on an axis whose places share an integer with their keys


def _key(e: Expr, largest: bool) -> Expr:
    """An integer that is the less, the earlier `e` comes in the order; equal numbers have equal keys, and all NaN have."""
    if e.dtype.is_float:
        wide = cast(e, accumulator(e.dtype))
        bits = call("bitcast", wide, dtype=int64 if wide.dtype.bits == 64 else int32)
        greatest = int(bits.dtype.range[1])
        key = select(
            bits < 0, binary("bitxor", bits, greatest), bits
        )  # the bits of a negative number grow with its magnitude
        key = select(wide.equal(0), const(0, bits.dtype), key)
        key = select(wide.not_equal(wide), const(greatest, bits.dtype), key)
    else:
        key = cast(e, int8) if e.dtype is boolean else e
    return unary("not", key) if largest else key


def _along(axis: int, rest: Sequence[Expr], index: Expr) -> tuple[Expr, ...]:
    """The point `rest` of all axes but one, with `index` on that one."""
    return (*rest[:axis], index, *rest[axis:])


def _selected(keys: te.Tensor, axis: int, k: int) -> te.Tensor:
    """The places of the `k` least keys, each found as the least of those after the one before: n * k steps."""
    extent = keys.shape[axis]
    rest = keys.shape[:axis] + keys.shape[axis + 1 :]
    names = ["t", *[f"i{d}" for d in range(len(rest))]]
    state = te.placeholder((k + 1, *rest), int64, name="place_state")
    first = te.compute((1, *rest), lambda *i: const(-1, int64), name="before_all", names=names)
    greatest = const(keys.dtype.range[1], keys.dtype)

    def is_left(j: Expr, t: Expr, i: Sequence[Expr]) -> Expr:
        last = state[(t - 1, *i)]
        mine, bound = keys[_along(axis, i, j)], keys[_along(axis, i, maximum(minimum(last, extent - 1), 0))]
        return any_of(last < 0, bound < mine, mine.equal(bound) & (last < j))

    def least_key(t: Expr, *i: Expr) -> Expr:
        j = te.reduce_axis((0, extent), name="j")
        return te.min(select(is_left(j.var, t, i), keys[_along(axis, i, j.var)], greatest), axis=j)

    least = te.compute(state.shape, least_key, name="least", names=names)

    def least_place(t: Expr, *i: Expr) -> Expr:
        j = te.reduce_axis((0, extent), name="j")
        equal = keys[_along(axis, i, j.var)].equal(least[(t, *i)])
        return te.min(select(is_left(j.var, t, i) & equal, j.var, const(extent - 1, int64)), axis=j)

    found = te.compute(state.shape, least_place, name="least_place", names=names)
    place = te.compute(state.shape, lambda *i: found[i], name="place", names=names)
    places = te.scan(first, place, state, name="places")
    shape = (*rest[:axis], k, *rest[axis:])
    return te.compute(shape, lambda *i: places[(i[axis] + 1, *i[:axis], *i[axis + 1 :])], name="top_k")


def _selected_narrow(keys: te.Tensor, axis: int, k: int) -> te.Tensor:
    """The same of keys of at most 32 bits: key and place are one integer, of which one comparison gives the order."""
    rest = keys.shape[:axis] + keys.shape[axis + 1 :]
    names = ["t", *[f"i{d}" for d in range(len(rest))]]
    shift = (1 << (keys.dtype.bits - 1)) if keys.dtype.range[0] == 0 else 0  # keys without a sign get one

    def paired(*i: Expr) -> Expr:  # places count from 1, so that all pairs are greater than the least integer
        return (cast(keys[i], int64) - shift) * PLACES + (cast(i[axis], int64) + 1)

    pairs = te.compute(keys.shape, paired, name="pairs")
    state = te.placeholder((k + 1, *rest), int64, name="pair_state")
    least, greatest = (const(limit, int64) for limit in int64.range)
    first = te.compute((1, *rest), lambda *i: least, name="before_all", names=names)

    def least_left(t: Expr, *i: Expr) -> Expr:
        j = te.reduce_axis((0, keys.shape[axis]), name="j")
        pair = pairs[_along(axis, i, j.var)]
        return te.min(select(state[(t - 1, *i)] < pair, pair, greatest), axis=j)

    found = te.compute(state.shape, least_left, name="least", names=names)
    chosen = te.scan(
        first, te.compute(state.shape, lambda *i: found[i], name="next", names=names), state, name="chosen"
    )
    shape = (*rest[:axis], k, *rest[axis:])

    def place(*i: Expr) -> Expr:
        return binary("bitand", chosen[(i[axis] + 1, *i[:axis], *i[axis + 1 :])], PLACES - 1) - 1

    return te.compute(shape, place, name="top_k")


def _merged(keys: te.Tensor, axis: int, k: int) -> te.Tensor:
    """The places of the `k` least keys by merge sort, as one recurrence of n * log2(n) steps.

    Step `n * s + o` puts a place at offset `o` of stage `s`. Stage 0 is the places in order; stage `s`
    merges neighbouring runs of `2**(s - 1)` places of the stage before, and the last one ends after k.
    A step keeps in one number the place that it puts, and how many places the left run has given so far.
    """
    extent = keys.shape[axis]
    rest = keys.shape[:axis] + keys.shape[axis + 1 :]
    names = ["t", *[f"i{d}" for d in range(len(rest))]]
    stages = (extent - 1).bit_length()
    room = 1 << stages  # a place is less than this
    state = te.placeholder((extent * stages + k, *rest), int64, name="order_state")
    first = te.compute((extent, *rest), lambda t, *i: t, name="unsorted", names=names)

    def step(t: Expr, *i: Expr) -> Expr:
        stage, offset = t // extent, t % extent
        pair = binary("shl", const(1, int64), stage)  # the places of two runs
        start = binary("shl", binary("shr", offset, stage), stage)
        middle, end = minimum(start + pair // 2, extent), minimum(start + pair, extent)
        given = select(offset.equal(start), const(0, int64), state[(t - 1, *i)] // room)
        left, right = start + given, middle + (offset - start - given)

        def put(offset: Expr) -> Expr:  # in the stage before
            inside = maximum(minimum(offset, extent - 1), 0)
            return minimum(state[((stage - 1) * extent + inside, *i)] % room, extent - 1)

        def key(offset: Expr) -> Expr:
            return keys[_along(axis, i, put(offset))]

        from_left = (left < middle) & ((end <= right) | (key(left) <= key(right)))
        return select(from_left, (given + 1) * room + put(left), given * room + put(right))

    order = te.scan(first, te.compute(state.shape, step, name="merge", names=names), state, name="order")
    last = extent * stages
    shape = (*rest[:axis], k, *rest[axis:])
    return te.compute(shape, lambda *i: order[(i[axis] + last, *i[:axis], *i[axis + 1 :])] % room, name="top_k")  # type: ignore[no-any-return]  # the element of a tensor


def _sortable(R: Any, op: Operator, x: Any) -> Any:
    """`x` in Relax, in a dtype that TVM sorts by value: it misses some integers, and misplaces bfloat16."""
    if x.dtype is uint64:
        raise R.refuse(op, "its sorts have no uint64")
    return x.astype(accumulator(x.dtype) if x.dtype.is_float else int64)


@node
class Top(Operator):
    """Base of both."""

    kind = Kind.OPAQUE
    operands = ("k",)
    onnx_fields = {"K": "k"}

    k: int | Operand = OPERAND
    axis: int = -1
    largest: bool = True
    sorted: bool = True


@operator
class TopKIndices(Top):
    """The indices of the `k` greatest (or least) along `axis`; always in order, `sorted` or not."""

    def infer(self, x: TensorType) -> TensorType:
        k = int(number(self.k))
        if x.rank == 0:
            raise self.error("expected a tensor of rank 1 or more", x, hint="add an axis before: Unsqueeze")
        axis = axis_of(self, self.axis, x)
        if k < 0 or k > x.shape[axis]:
            hint = "choose a smaller k, or another axis"
            raise self.error(f"k must be in [0, {x.shape[axis]}], got {k}", x, hint=hint)
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
        keys = te.compute(x.shape, lambda *i: _key(x[i], self.largest), name="keys")
        few = k <= SELECTED * (x.shape[axis] - 1).bit_length()
        if few and keys.dtype.bits <= 32 and x.shape[axis] < PLACES - 1:
            return _selected_narrow(keys, axis, k)
        return _selected(keys, axis, k) if few else _merged(keys, axis, k)

    def tvm(self, R: Any, x: Any) -> Any:
        return R.topk(_sortable(R, self, x), int(number(self.k)), self.axis, "indices", self.largest, "int64")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 3), low=1)
        if draw.integer(0, 3) == 3:  # long enough to be sorted
            x = TensorType(x.dtype, (draw.integer(50, 100),))
        axis = draw.integer(0, x.rank - 1)
        k = draw.integer(0, x.shape[axis])
        return cls(k, axis - draw.choice([0, x.rank]), draw.boolean()), (x,)


@operator
class TopK(Top):
    """The elements that TopKIndices names."""

    composite = True

    def infer(self, x: TensorType) -> TensorType:
        return TensorType(x.dtype, self._indices.infer(x).shape)

    @property
    def _indices(self) -> TopKIndices:
        return TopKIndices(self.k, self.axis, self.largest, self.sorted)

    def expand(self, x: Any) -> Any:
        return GatherElements(self.axis)(x, self._indices(x))

    def tvm(self, R: Any, x: Any) -> Any:
        return R.topk(_sortable(R, self, x), int(number(self.k)), self.axis, "values", self.largest).astype(x.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        op, inputs = TopKIndices.draw(draw)
        assert isinstance(op, TopKIndices)
        return cls(op.k, op.axis, op.largest, op.sorted), inputs
