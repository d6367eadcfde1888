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

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Array, Draw, Example, Kind, Operator, axis_of, operator, same_dim
from minicc.ops.indexing import check_indices, draw_indices, tvm_from_front
from minicc.ops.view import from_front, in_words
from minicc.types import TensorType, int64

COMBINERS = {"none": None, "add": "sum", "mul": "prod", "max": "max", "min": "min"}
_UFUNCS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


class Scattering(Operator):
    """Base of the operators that write. A subclass gives `place`, of expressions and of arrays."""

    __slots__ = ()
    kind = Kind.OPAQUE
    reduction: str

    def place(self, p: tuple[Any, ...], x: Any, indices: Any) -> Sequence[Any]:
        """Where in `x` the update `p` goes, which may be nowhere."""
        raise NotImplementedError(self.name)

    def check(self, x: TensorType, indices: TensorType, updates: TensorType) -> None:
        """What both ask alike."""
        check_indices(self, indices, x, indices, updates)
        if self.reduction not in COMBINERS or (self.reduction != "none" and x.dtype.kind == "bool"):
            hint = f"one of {', '.join(COMBINERS)}, on numbers"
            raise self.error(f"no reduction {self.reduction!r} on {x.dtype}", x, indices, updates, hint=hint)
        if updates.dtype is not x.dtype:
            problem = f"updates must be {x.dtype} as the data, got {updates.dtype}"
            raise self.error(problem, x, indices, updates, hint="cast the updates")

    def numpy(self, x: Array, indices: Array, updates: Array) -> Array:
        result, inside = np.array(x), np.ones(updates.shape, bool)
        places = [np.broadcast_to(p, updates.shape) for p in self.place(tuple(np.indices(updates.shape)), x, indices)]
        for place, extent in zip(places, x.shape, strict=True):
            inside &= (place >= 0) & (place < extent)
        at = tuple(place[inside] for place in places)
        if self.reduction == "none":
            for *index, value in zip(*at, updates[inside], strict=True):  # assignment by an index array has no order
                result[tuple(index)] = value
        else:
            with np.errstate(all="ignore"):
                _UFUNCS[self.reduction].at(result, at, updates[inside])
        return result

    def compute(self, x: Any, indices: Any, updates: Any) -> Any:
        combine, name = COMBINERS[self.reduction], in_words(self)
        return te.scatter(
            x, updates.shape, lambda *p: self.place(p, x, indices), lambda *p: updates[p], combine, name=name
        )

    @property
    def tvm_reduction(self) -> str:
        return "update" if self.reduction == "none" else self.reduction


@operator
class ScatterElements(Scattering):
    """For each element of `updates`: written at its own place, with the index along `axis` from `indices`."""

    onnx_names = ("ScatterElements", "Scatter")

    axis: int = 0
    reduction: str = "none"

    def infer(self, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        self.check(x, indices, updates)
        if not x.rank == indices.rank == updates.rank > 0 or not all(map(same_dim, indices.shape, updates.shape)):
            problem = (
                "expected data, indices and updates of one rank, 1 or more, and updates of the shape of the indices"
            )
            hint = "reshape indices and updates to one shape, with as many dimensions as the data"
            raise self.error(problem, x, indices, updates, hint=hint)
        axis_of(self, self.axis, x)
        return x

    def place(self, p: tuple[Any, ...], x: Any, indices: Any) -> tuple[Any, ...]:
        axis = self.axis % len(x.shape)
        return *p[:axis], from_front(indices[p], x.shape[axis]), *p[axis + 1 :]

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
        places = R.where(inside, place, extent)
        written = R.scatter_elements(longer, places, updates, axis, self.tvm_reduction)
        return R.strided_slice(written, [axis], [0], [int(extent)])  # without what was out of range

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 3), low=1)
        axis = draw.integer(0, x.rank - 1)
        shape = tuple(draw.integer(0, d + 3 if a == axis else d) for a, d in enumerate(x.shape))
        op = cls(axis - draw.choice([0, x.rank]), draw.choice(list(COMBINERS)))
        return op, (x, draw_indices(draw, shape, x.shape[axis]), TensorType(x.dtype, shape))


@operator
class ScatterND(Scattering):
    """For each row of `indices`: the slice of `updates` written at that index tuple."""

    reduction: str = "none"

    def infer(self, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        self.check(x, indices, updates)
        width = indices.shape[-1] if indices.rank else 0
        if not 0 < width <= x.rank:
            problem = f"an index tuple has 1 to {x.rank} entries here, got {width}"
            hint = "the last axis of the indices is as long as the tuple: reshape them"
            raise self.error(problem, x, indices, updates, hint=hint)
        expected = indices.shape[:-1] + x.shape[width:]
        if len(expected) != updates.rank or not all(map(same_dim, expected, updates.shape)):
            problem = f"updates must have the shape {expected}, got {updates.shape}"
            hint = "one slice of the data for each index tuple: reshape the updates"
            raise self.error(problem, x, indices, updates, hint=hint)
        return x

    def place(self, p: tuple[Any, ...], x: Any, indices: Any) -> list[Any]:
        rank = len(indices.shape) - 1
        return [*[from_front(indices[(*p[:rank], n)], x.shape[n]) for n in range(indices.shape[-1])], *p[rank:]]

    def tvm(self, R: Any, x: Any, indices: Any, updates: Any) -> Any:
        if 0 in updates.shape:  # TVM divides by their extents
            return x
        extents = np.array(x.shape[: indices.shape[-1]], np.int64)
        place = tvm_from_front(R, indices, extents)
        inside = R.logical_and(R.greater_equal(place, np.int64(0)), R.less(place, extents))
        whole = R.astype(R.min(R.astype(inside, "int32"), [-1], keepdims=True), "bool")
        outside = np.array([extents[0]] + [0] * (len(extents) - 1))
        longer = R.nn.pad(x, [0, 1] + [0] * (2 * len(x.shape) - 2))
        written = R.scatter_nd(longer, R.where(whole, place, outside), updates, self.tvm_reduction)
        return R.strided_slice(written, [0], [0], [x.shape[0]])  # without what was out of range

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 3), low=1)
        width = draw.integer(1, x.rank)
        outer = draw.shape((0, 2), 0, 4)
        indices = draw_indices(draw, (*outer, width), min(x.shape[:width]))
        return cls(draw.choice(list(COMBINERS))), (x, indices, TensorType(x.dtype, outer + x.shape[width:]))
