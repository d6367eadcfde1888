"""Operators that write where another tensor says: ScatterElements and ScatterND.

In: data, a tensor of indices, updates. Out: the data with the updates written or combined in, one
after the other in row-major order, so that of several to one place the last one stays. Negative
indices count from the end; an update whose index is out of range, which ONNX leaves undefined, is
passed over in every room.

>>> import numpy as np
>>> ScatterElements(axis=0, reduction="add")(np.zeros(3, np.int64), np.array([0, 2, -1]), np.array([5, 6, 7]))
array([ 5,  0, 13])
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Array, Draw, Example, Kind, Operator, axis_of, operator, same_dim
from minicc.ops.indexing import check_indices, draw_indices, from_front, tvm_from_front
from minicc.tensor.expr import Expr
from minicc.types import TensorType, int64

RELAX_REDUCTIONS = {"none": "update", "add": "add", "mul": "mul", "max": "max", "min": "min"}
COMBINERS = {"none": None, "add": "sum", "mul": "prod", "max": "max", "min": "min"}
_UFUNCS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _check(call: Operator, reduction: str, x: TensorType, indices: TensorType, updates: TensorType) -> None:
    check_indices(call, indices, x, indices, updates)
    if reduction not in COMBINERS or (reduction != "none" and x.dtype.kind == "bool"):
        raise call.error(
            f"no reduction {reduction!r} on {x.dtype}",
            x,
            indices,
            updates,
            hint=f"one of {', '.join(COMBINERS)}, on numbers",
        )
    if updates.dtype is not x.dtype:
        raise call.error(
            f"updates must be {x.dtype} as the data, got {updates.dtype}", x, indices, updates, hint="cast the updates"
        )


def _written(x: Array, places: list[Array], updates: Array, reduction: str) -> Array:
    """`x` with `updates` written at `places`, which are broadcast index arrays, one per axis."""
    result = np.array(x)
    flat = [np.broadcast_to(p, updates.shape).reshape(-1) for p in places]
    flat = [np.where(p < 0, p + extent, p) for p, extent in zip(flat, x.shape, strict=True)]
    inside = np.ones(updates.size, bool)
    for place, extent in zip(flat, x.shape, strict=True):
        inside &= (place >= 0) & (place < extent)
    at = tuple(place[inside] for place in flat)
    values = updates.reshape(-1)[inside]
    if reduction == "none":
        for *index, value in zip(*at, values, strict=True):  # assignment through an index array has no order
            result[tuple(index)] = value
    else:
        with np.errstate(all="ignore"):
            _UFUNCS[reduction].at(result, at, values)
    return result


@operator
class ScatterElements(Operator):
    """For each element of `updates`: written at its own place, with the index along `axis` from `indices`."""

    kind: ClassVar[Kind] = Kind.OPAQUE
    onnx_names: ClassVar[tuple[str, ...]] = ("ScatterElements", "Scatter")

    axis: int = 0
    reduction: str = "none"

    def infer(self, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        _check(self, self.reduction, x, indices, updates)
        same = x.rank == indices.rank == updates.rank > 0 and all(map(same_dim, indices.shape, updates.shape))
        if not same:
            raise self.error(
                "expected data, indices and updates of one rank, 1 or more, and updates of the shape of the indices",
                x,
                indices,
                updates,
                hint="reshape indices and updates to one shape, with as many dimensions as the data",
            )
        axis_of(self, self.axis, x)
        return x

    def numpy(self, x: Array, indices: Array, updates: Array) -> Array:
        axis = self.axis % x.ndim
        places: list[Array] = list(np.indices(indices.shape, sparse=True))
        places[axis] = indices.astype(np.int64)
        return _written(x, places, updates, self.reduction)

    def compute(self, x: Any, indices: Any, updates: Any) -> Any:
        axis = self.axis % len(x.shape)
        return te.scatter(
            x,
            indices.shape,
            lambda *p: (*p[:axis], from_front(indices[p], x.shape[axis]), *p[axis + 1 :]),
            lambda *p: updates[p],
            COMBINERS[self.reduction],
            name="scatter_elements",
        )

    def tvm(self, R: Any, x: Any, indices: Any, updates: Any) -> Any:
        if 0 in indices.shape:  # TVM divides by their extents
            return x
        axis, extent = self.axis % len(x.shape), np.int64(x.shape[self.axis])
        if any(a != axis and d != x.shape[a] for a, d in enumerate(indices.shape)):  # TVM takes the one for the other
            columns = [np.expand_dims(grid, -1) for grid in np.indices(indices.shape)]
            columns[axis] = R.expand_dims(indices.astype(int64), -1)
            return ScatterND(self.reduction)(x, R.concat(columns, -1), updates)
        place = tvm_from_front(R, indices, extent)
        inside = R.logical_and(R.greater_equal(place, np.int64(0)), R.less(place, extent))
        longer = R.nn.pad(x, [int(a == axis and side) for a in range(len(x.shape)) for side in (0, 1)])
        written = R.scatter_elements(
            longer, R.where(inside, place, extent), updates, axis, RELAX_REDUCTIONS[self.reduction]
        )
        return R.strided_slice(written, [axis], [0], [int(extent)])  # without what was out of range

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 3), low=1)
        axis = draw.integer(0, x.rank - 1)
        shape = tuple(draw.integer(0, d + 3 if a == axis else d) for a, d in enumerate(x.shape))
        op = cls(axis - draw.choice([0, x.rank]), draw.choice(list(COMBINERS)))
        return op, (x, draw_indices(draw, shape, x.shape[axis]), TensorType(x.dtype, shape))


@operator
class ScatterND(Operator):
    """For each row of `indices`: the slice of `updates` written at that index tuple."""

    kind: ClassVar[Kind] = Kind.OPAQUE

    reduction: str = "none"

    def infer(self, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        _check(self, self.reduction, x, indices, updates)
        width = indices.shape[-1] if indices.rank else 0
        if not 0 < width <= x.rank:
            raise self.error(
                f"an index tuple has 1 to {x.rank} entries here, got {width}",
                x,
                indices,
                updates,
                hint="the last axis of the indices is as long as the tuple: reshape them",
            )
        expected = indices.shape[:-1] + x.shape[width:]
        if len(expected) != updates.rank or not all(map(same_dim, expected, updates.shape)):
            raise self.error(
                f"updates must have the shape {expected}, got {updates.shape}",
                x,
                indices,
                updates,
                hint="one slice of the data for each index tuple: reshape the updates",
            )
        return x

    def numpy(self, x: Array, indices: Array, updates: Array) -> Array:
        width, rank = indices.shape[-1], indices.ndim - 1
        inner = (1,) * (updates.ndim - rank)
        places: list[Array] = [
            indices[..., n].astype(np.int64).reshape(indices.shape[:-1] + inner) for n in range(width)
        ]
        places += list(np.indices(updates.shape, sparse=True))[rank:]
        return _written(x, places, updates, self.reduction)

    def compute(self, x: Any, indices: Any, updates: Any) -> Any:
        width, rank = indices.shape[-1], len(indices.shape) - 1

        def place(*p: Expr) -> list[Expr]:
            return [*[from_front(indices[(*p[:rank], n)], x.shape[n]) for n in range(width)], *p[rank:]]

        return te.scatter(x, updates.shape, place, lambda *p: updates[p], COMBINERS[self.reduction], name="scatter_nd")

    def tvm(self, R: Any, x: Any, indices: Any, updates: Any) -> Any:
        if 0 in updates.shape:  # TVM divides by their extents
            return x
        extents = np.array(x.shape[: indices.shape[-1]], np.int64)
        place = tvm_from_front(R, indices, extents)
        inside = R.logical_and(R.greater_equal(place, np.int64(0)), R.less(place, extents))
        whole = R.astype(R.min(R.astype(inside, "int32"), [-1], keepdims=True), "bool")
        outside = np.array([extents[0]] + [0] * (len(extents) - 1))
        longer = R.nn.pad(x, [0, 1] + [0] * (2 * len(x.shape) - 2))
        written = R.scatter_nd(longer, R.where(whole, place, outside), updates, RELAX_REDUCTIONS[self.reduction])
        return R.strided_slice(written, [0], [0], [x.shape[0]])  # without what was out of range

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 3), low=1)
        width = draw.integer(1, x.rank)
        outer = draw.shape((0, 2), 0, 4)
        indices = draw_indices(draw, (*outer, width), min(x.shape[:width]))
        return cls(draw.choice(list(COMBINERS))), (x, indices, TensorType(x.dtype, outer + x.shape[width:]))


__all__ = ["ScatterElements", "ScatterND"]
