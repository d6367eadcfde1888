"""Operators that read or write where another tensor says: Gather, Scatter and their kin, OneHot, ReverseSequence.

In: data and a tensor of indices; of those that write, updates. Out: the elements at these indices, or the data
with the updates written or combined in, one after the other in row-major order, so that of several to one place
the last one stays. Negative indices count from the end. What is still out of range after that, ONNX leaves
undefined: here it is clamped into range where it is read, and passed over where it is written, in every room, so
that no model can reach outside of a tensor.

>>> import numpy as np
>>> Gather(axis=0)(np.array([10, 20, 30]), np.array([[0, -1]]))
array([[10, 30]])
>>> ScatterElements(axis=0, reduction="add")(np.zeros(3, np.int64), np.array([0, 2, -1]), np.array([5, 6, 7]))
array([ 5,  0, 13])
>>> ReverseSequence(batch_axis=0, time_axis=1)(np.array([[1, 2, 3], [4, 5, 6]]), np.array([2, 3]))
array([[2, 1, 3],
       [6, 5, 4]])
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ops.base import OPERAND, Array, Draw, Example, Kind, Operand, Operator, axis_of, number, operator, same_dim
from minicc.ops.base import type_of
from minicc.ops.order import Order, Permuted
from minicc.ops.view import View, from_front, in_words, safe
from minicc.tensor.expr import Expr, cast, maximum, minimum, select
from minicc.types import DType, TensorType, int32, int64

COMBINERS = {"none": None, "add": "sum", "mul": "prod", "max": "max", "min": "min"}
_UFUNCS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


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


def width_of(call: Operator, indices: TensorType, most: int, *types: TensorType) -> Any:
    """How many indices a row of `indices` holds, which is a place. Raises unless there are 1 to `most`."""
    width = indices.shape[-1] if indices.rank else 0
    if not 0 < width <= most:
        problem = f"an index tuple has 1 to {most} entries here, got {width}"
        raise call.error(problem, *types, hint="the last axis of the indices is as long as the tuple: reshape them")
    return width


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

    def numpy(self, x: Array, indices: Array) -> Any:
        if x.shape[self.axis] == 0:
            return np.zeros(self.infer(type_of(x), type_of(indices)).shape, x.dtype)
        return np.asarray(np.take(x, safe(indices, x.shape[self.axis]), self.axis))

    def place(self, i: tuple[Any, ...], x: Any, indices: Any) -> tuple[Any, ...]:
        axis = self.axis % len(x.shape)
        end = axis + len(indices.shape)
        return *i[:axis], safe(indices[i[axis:end]], x.shape[axis]), *i[end:]

    def permuted(self, at: int, order: Order, x: TensorType, indices: TensorType) -> Permuted | None:
        """The axes of the indices come where the axis was."""
        if at:
            return None
        axis, more = self.axis % x.rank, indices.rank - 1
        result = [[a + more * (a > axis)] if a != axis else [*range(a, a + indices.rank)] for a in order]
        return Permuted(Gather(order.index(axis)), (order, ()), tuple(itertools.chain(*result)))

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

    def numpy(self, x: Array, indices: Array) -> Any:
        axis = self.axis % x.ndim
        if indices.size == 0:
            return np.zeros(indices.shape, x.dtype)
        x = x[tuple(slice(None) if a == axis else slice(d) for a, d in enumerate(indices.shape))]
        return np.take_along_axis(x, safe(indices, x.shape[axis]), axis)

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
        width = width_of(self, indices, x.rank - batch, x, indices)
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


@operator
class ReverseSequence(View):
    """Element `t` of sequence `b` is the one at `lengths[b] - 1 - t` for `t < lengths[b]`, and itself after that."""

    batch_axis: int = 1
    time_axis: int = 0

    def infer(self, x: TensorType, lengths: TensorType) -> TensorType:
        check_indices(self, lengths, x, lengths)
        axes = self.batch_axis, self.time_axis
        if sorted(axes) != [0, 1] or x.rank < 2:
            problem = "expected data of rank 2 or more, and batch_axis and time_axis to be 0 and 1 or 1 and 0, got "
            raise self.error(f"{problem}rank {x.rank}, {axes[0]} and {axes[1]}", x, lengths, hint="insert a Transpose")
        if lengths.rank != 1 or not same_dim(lengths.shape[0], x.shape[self.batch_axis]):
            problem = f"expected a length for each of {x.shape[self.batch_axis]} sequences, got {lengths}"
            hint = "sequence_lens has one integer for each sequence of the batch axis"
            raise self.error(problem, x, lengths, hint=hint)
        return x

    def numpy(self, x: Array, lengths: Array) -> Array:
        result, limits = x.copy(), np.clip(lengths.astype(np.int64), 0, x.shape[self.time_axis])
        # by sequence; time is the first axis of each
        old, new = (np.moveaxis(array, self.batch_axis, 0) for array in (x, result))
        for row, out, length in zip(old, new, limits, strict=True):
            out[:length] = row[:length][::-1]
        return result

    def place(self, i: tuple[Any, ...], x: Any, lengths: Any) -> tuple[Any, ...]:
        time, now = self.time_axis, i[self.time_axis]
        length = minimum(cast(lengths[i[self.batch_axis]], int64), x.shape[time])
        return *i[:time], maximum(select(now < length, length - 1 - now, now), 0), *i[time + 1 :]

    def tvm(self, R: Any, x: Any, lengths: Any) -> Any:
        if 0 in x.shape:  # TVM divides by their extents
            return x
        time = np.arange(x.shape[self.time_axis]).reshape((-1, 1) if self.time_axis == 0 else (1, -1))
        length = R.expand_dims(lengths.astype(int64), self.time_axis)
        length = R.minimum(length, np.int64(x.shape[self.time_axis]))
        place = R.where(R.less(time, length), R.subtract(R.subtract(length, np.int64(1)), time), time)
        for axis in range(2, len(x.shape)):
            place = R.expand_dims(place, axis)
        return R.gather_elements(x, R.broadcast_to(place, x.shape), axis=self.time_axis)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int", "bool"), rank=(2, 4))
        batch = draw.integer(0, 1)
        lengths = draw.array(TensorType(int64, (x.shape[batch],)), -1, x.shape[1 - batch] + 1)
        return cls(batch, 1 - batch), (x, lengths)


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
        def place(*p: Expr) -> Sequence[Expr]:
            return self.place(p, x, indices)

        combine, name = COMBINERS[self.reduction], in_words(self)
        return te.scatter(x, updates.shape, place, lambda *p: updates[p], combine, name=name)

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
            problem = "expected data, indices and updates of one rank > 0, and updates of the shape of the indices"
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
        width = width_of(self, indices, x.rank, x, indices, updates)
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
