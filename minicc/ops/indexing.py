"""Operators that read where another tensor says: Gather and its kin, and OneHot.

In: data and a tensor of indices. Out: the elements at these indices. Negative indices count from
the end. What is still out of range after that, ONNX leaves undefined: here it is clamped into
range, in every room, so that no model can read outside of a tensor.

>>> import numpy as np
>>> Gather(axis=0)(np.array([10, 20, 30]), np.array([[0, -1]]))
array([[10, 30]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ops.base import OPERAND, Array, Draw, Example, Kind, Operand, Operator, axis_of, number, operator, same_dim
from minicc.ops.base import type_of
from minicc.ops.view import View, from_front, safe
from minicc.tensor.expr import Expr, select
from minicc.types import DType, TensorType, int32, int64


def tvm_from_front(R: Any, indices: Any, extents: Any) -> Any:
    """`from_front` in Relax; `extents` is a number, or one for each column of the indices."""
    wide = indices.astype(int64)
    return R.where(R.less(wide, np.int64(0)), R.add(wide, np.array(extents, np.int64)), wide)


def tvm_safe(R: Any, indices: Any, extents: Any) -> Any:
    """`safe` in Relax: TVM's gathers take a negative index for a place before the tensor."""
    last = np.maximum(np.array(extents, np.int64) - 1, 0)
    return R.minimum(R.maximum(tvm_from_front(R, indices, extents), np.int64(0)), last)


def check_indices(call: Operator, indices: TensorType, *types: TensorType) -> None:
    """Raise unless `indices` holds integers."""
    if not indices.dtype.is_integer:
        raise call.error(f"indices must be integers, got {indices.dtype}", *types, hint="cast the indices to int64")


def check_extents(call: Operator, extents: tuple[Any, ...], result: tuple[Any, ...], *types: TensorType) -> None:
    """Raise when elements of the result would come from an empty axis."""
    if 0 in extents and 0 not in result:
        hint = "give data that has elements along the axis"
        raise call.error("cannot take elements from an empty axis", *types, hint=hint)


def draw_indices(draw: Draw, shape: tuple[int, ...], extent: int) -> Array:
    """Valid indices into an axis, negative ones included."""
    kind = TensorType(draw.choice([int64, int32]), shape)
    return draw.array(kind, -extent, max(extent - 1, -extent))


@operator
class Gather(View):
    """The slices of `x` along `axis` at `indices`, whose axes take the place of `axis`."""

    axis: int = 0

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        check_indices(self, indices, x, indices)
        if x.rank == 0:
            raise self.error("expected data of rank 1 or more", x, indices, hint="add an axis before: Unsqueeze")
        axis = axis_of(self, self.axis, x)
        shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        check_extents(self, (x.shape[axis],), shape, x, indices)
        return TensorType(x.dtype, shape)

    def place(self, i: tuple[Any, ...], x: Any, indices: Any) -> tuple[Any, ...]:
        axis = self.axis % len(x.shape)
        end = axis + len(indices.shape)
        return *i[:axis], safe(indices[i[axis:end]], x.shape[axis]), *i[end:]

    def tvm(self, R: Any, x: Any, indices: Any) -> Any:
        return R.take(x, tvm_from_front(R, indices, x.shape[self.axis]), axis=self.axis, mode="clip")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 4), low=1)
        axis = draw.integer(-x.rank, x.rank - 1)
        return cls(axis), (x, draw_indices(draw, draw.shape((0, 2)), x.shape[axis]))


@operator
class GatherElements(View):
    """`x` with the index along `axis` replaced by that in `indices`, for each element of `indices`."""

    axis: int = 0

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        check_indices(self, indices, x, indices)
        if x.rank != indices.rank or x.rank == 0:
            problem = "expected data and indices of one rank, 1 or more"
            raise self.error(problem, x, indices, hint="reshape the indices: one dimension for each of the data")
        axis = axis_of(self, self.axis, x)
        if any(i != d and i > d for a, (d, i) in enumerate(zip(x.shape, indices.shape, strict=True)) if a != axis):
            problem = f"indices must not be longer than the data, except along axis {axis}"
            raise self.error(problem, x, indices, hint="cut the indices along the other axes")
        check_extents(self, (x.shape[axis],), indices.shape, x, indices)
        return TensorType(x.dtype, indices.shape)

    def place(self, i: tuple[Any, ...], x: Any, indices: Any) -> tuple[Any, ...]:
        axis = self.axis % len(x.shape)
        return *i[:axis], safe(indices[i], x.shape[axis]), *i[axis + 1 :]

    def tvm(self, R: Any, x: Any, indices: Any) -> Any:
        return R.gather_elements(x, tvm_safe(R, indices, x.shape[self.axis]), axis=self.axis)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 3), low=1)
        axis = draw.integer(0, x.rank - 1)
        shape = tuple(draw.integer(0, 5) if a == axis else d for a, d in enumerate(x.shape))
        return cls(axis - draw.choice([0, x.rank])), (x, draw_indices(draw, shape, x.shape[axis]))


@operator
class GatherND(View):
    """The slices of `x` at the index tuples that are the rows of `indices`, per batch."""

    batch_dims: int = 0

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        check_indices(self, indices, x, indices)
        batch = self.batch_dims
        fits = 0 <= batch < min(x.rank, indices.rank)
        if not fits or not all(map(same_dim, x.shape[:batch], indices.shape[:batch])):
            problem = f"expected {batch} equal leading dimensions, fewer than either rank"
            raise self.error(problem, x, indices, hint="choose a smaller batch_dims, or reshape the indices")
        width = indices.shape[-1]
        if not 0 < width <= x.rank - batch:
            problem = f"an index tuple has 1 to {x.rank - batch} entries here, got {width}"
            hint = "the last axis of the indices is as long as the tuple: reshape them"
            raise self.error(problem, x, indices, hint=hint)
        shape = indices.shape[:-1] + x.shape[batch + width :]
        check_extents(self, x.shape[batch : batch + width], shape, x, indices)
        return TensorType(x.dtype, shape)

    def place(self, i: tuple[Any, ...], x: Any, indices: Any) -> tuple[Any, ...]:
        batch, rank = self.batch_dims, len(indices.shape) - 1
        places = [safe(indices[(*i[:rank], n)], x.shape[batch + n]) for n in range(indices.shape[-1])]
        return *i[:batch], *places, *i[rank:]

    def tvm(self, R: Any, x: Any, indices: Any) -> Any:
        extents = x.shape[self.batch_dims : self.batch_dims + indices.shape[-1]]
        return R.gather_nd(x, tvm_safe(R, indices, extents), batch_dims=self.batch_dims)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 4), low=1)
        batch = draw.integer(0, x.rank - 1)
        width = draw.integer(1, x.rank - batch)
        least = min(x.shape[batch : batch + width])
        shape = (*x.shape[:batch], *draw.shape((0, 2), 0, 3), width)
        return cls(batch), (x, draw_indices(draw, shape, least))


@operator
class OneHot(Operator):
    """`values[1]` where the position along a new axis equals the index, `values[0]` elsewhere.

    Indices may be of any number type; one that is out of range gives `values[0]` everywhere.
    """

    kind = Kind.INJECTIVE
    operands = ("depth",)

    axis: int = -1
    depth: int | Operand = OPERAND

    def infer(self, indices: TensorType, values: TensorType) -> TensorType:
        depth = int(number(self.depth))
        if values.shape != (2,) or depth < 0:
            problem = f"expected two values and a depth >= 0, got {values} and {depth}"
            raise self.error(problem, indices, values, hint="values=[off, on], depth=10, for example")
        axis = axis_of(self, self.axis, indices, indices.rank + 1)
        return TensorType(values.dtype, (*indices.shape[:axis], depth, *indices.shape[axis:]))

    def numpy(self, indices: Array, values: Array) -> Array:
        axis, depth = self.axis % (indices.ndim + 1), int(number(self.depth))
        place = np.expand_dims(from_front(indices, depth), axis)
        position = np.arange(depth).reshape((-1,) + (1,) * (indices.ndim - axis))
        return np.asarray(np.where(place == position, values[1], values[0]))

    def compute(self, indices: Any, values: Any) -> Any:
        axis, depth = self.axis % (len(indices.shape) + 1), int(number(self.depth))

        def element(*i: Expr) -> Expr:
            place = from_front(indices[i[:axis] + i[axis + 1 :]], depth)
            return select(place.equal(i[axis]), values[1], values[0])

        return te.compute(self.infer(type_of(indices), type_of(values)).shape, element, name="one_hot")

    def tvm(self, R: Any, indices: Any, values: Any) -> Any:
        depth = int(number(self.depth))
        hot = R.one_hot(tvm_from_front(R, indices, depth), 1, 0, depth, self.axis % (len(indices.shape) + 1))
        off, on = R.split(values, 2)
        return R.where(R.astype(hot, "bool"), on, off)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        shape, depth = draw.shape((0, 3), 0, 4), draw.integer(0, 5)
        indices = draw.array(TensorType(draw.choice([int32, int64]), shape), -depth - 2, depth + 2)
        values = TensorType(draw.choice([DType.of("float32"), int32]), (2,))
        return cls(draw.integer(-len(shape) - 1, len(shape)), depth), (indices, values)
