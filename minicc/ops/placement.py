"""Operators that put a tensor into another, or cut a piece out: CenterCropPad, Col2Im, MaxUnpool, TensorScatter, AffineGrid.

In: a tensor, and shapes as fields. Out: a tensor of the shape that they say.

>>> import numpy as np
>>> CenterCropPad((2, 3))(np.arange(8).reshape(4, 2))
array([[2, 3, 0],
       [4, 5, 0]])
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from minicc.ops.arithmetic import Add, Mod
from minicc.ops.base import ANY, FLOAT, NUMERIC, OPERAND, Array, Draw, Example, Operand, Operator, axis_of, dtype_of
from minicc.ops.base import ints, like, operator, same_dim
from minicc.ops.cast import Cast
from minicc.ops.given import Given
from minicc.ops.indexing import Gather, ScatterElements
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Slice, Transpose
from minicc.ops.padding import Pad
from minicc.ops.reduction import ReduceSum
from minicc.ops.shape import Expand, Reshape, axes_of
from minicc.types import TensorType, float32, int64


@operator
class CenterCropPad(Operator):
    """The middle of x, cut or with zeros around it, so that `axes` (all, if None) have the extents of `shape`."""

    composite = True
    operands = ("shape",)

    shape: tuple[int, ...] | Operand = OPERAND
    axes: tuple[int, ...] | None = None

    def infer(self, x: TensorType) -> TensorType:
        wanted = ints(self.shape)
        axes = self._axes(x)
        if len(wanted) != len(axes) or min(wanted, default=0) < 0:
            raise self.error(f"expected an extent for each of {len(axes)} axes, got {wanted}", x)
        shape = list(x.shape)
        for axis, extent in zip(axes, wanted, strict=True):
            shape[axis] = extent
        return TensorType(x.dtype, tuple(shape))

    def _axes(self, x: TensorType) -> tuple[int, ...]:
        return tuple(range(x.rank)) if self.axes is None else axes_of(self, self.axes, x, x.rank)

    def expand(self, x: Any) -> Any:
        axes = self._axes(TensorType(dtype_of(x), tuple(x.shape)))
        for axis, extent in zip(axes, ints(self.shape), strict=True):
            if (more := extent - x.shape[axis]) > 0:
                x = Pad((more // 2, more - more // 2), axes=(axis,))(x)
            elif more < 0:
                start = -more // 2
                x = Slice((start,), (start + extent,), (axis,))(x)
        return x

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(ANY, rank=(1, 3), low=1)
        axes = draw.choice((None, tuple(d - draw.choice((0, x.rank)) for d in range(x.rank) if draw.boolean()) or (0,)))
        return cls(tuple(draw.integer(0, 6) for _ in (axes if axes else x.shape)), axes), (x,)


@operator
class Col2Im(Operator):
    """Columns `[batch, channels * taps, windows]` added where their windows lie in an image `[batch, channels, *image_shape]`.

    For each element of the image the places of its terms are known: each is gathered, and they are summed.
    """

    composite = True
    accepts = NUMERIC
    operands = ("image_shape", "block_shape")

    image_shape: tuple[int, ...] | Operand = OPERAND
    block_shape: tuple[int, ...] | Operand = OPERAND
    strides: tuple[int, ...] | None = None
    pads: tuple[int, ...] | None = None
    dilations: tuple[int, ...] | None = None

    def _windows(self, x: TensorType) -> list[tuple[int, int, int, int, int, int]]:
        """Of each axis: extent, taps, stride, dilation, padding before, and windows."""
        image, block = ints(self.image_shape), ints(self.block_shape)
        rank = len(image)
        strides, dilations, pads = (
            self.strides or (1,) * rank,
            self.dilations or (1,) * rank,
            self.pads or (0,) * 2 * rank,
        )
        if not rank or {len(block), len(strides), len(dilations)} != {rank} or len(pads) != 2 * rank:
            raise self.error(
                "expected block_shape, strides, dilations and twice as many pads for each axis of image_shape", x
            )
        if (
            min(*image, *block, *strides, *dilations) < 1
            or min(pads) < 0
            or max(*image, *block, *pads, *strides, *dilations) >= 2**31
        ):
            raise self.error("expected extents, strides and dilations >= 1, and pads >= 0", x)
        found = []
        for a in range(rank):
            windows = (image[a] + pads[a] + pads[a + rank] - (block[a] - 1) * dilations[a] - 1) // strides[a] + 1
            found.append((image[a], block[a], strides[a], dilations[a], pads[a], max(windows, 0)))
        return found

    def infer(self, x: TensorType) -> TensorType:
        self.accept(x)
        windows = self._windows(x)
        taps, count = math.prod(w[1] for w in windows), math.prod(w[5] for w in windows)
        if x.rank != 3 or not same_dim(x.shape[2], count) or x.shape[1] % taps:
            raise self.error(f"expected [batch, channels * {taps}, {count}], got {x}", x)
        return TensorType(x.dtype, (x.shape[0], x.shape[1] // taps, *ints(self.image_shape)))

    def expand(self, x: Any) -> Any:
        windows = self._windows(TensorType(dtype_of(x), tuple(x.shape)))
        batch, channels, count = x.shape[0], x.shape[1] // math.prod(w[1] for w in windows), x.shape[2]
        place, inside = np.zeros((1, 1), np.int64), np.ones((1, 1), bool)  # [elements, taps] of the axes so far
        for extent, taps, stride, dilation, before, number in windows:
            start = np.arange(extent)[:, None] + before - np.arange(taps) * dilation
            fits = (start % stride == 0) & (start >= 0) & (start < number * stride)
            place, inside = (_outer(a, b, op) for a, b, op in (
                (place, start // stride, lambda a, b, n=number: a * n + b), (inside, fits, np.logical_and)))  # fmt: skip
        taps = place.shape[1]
        flat = np.where(inside, np.arange(taps) * (count + 1) + place, count)  # the last column of each tap is 0
        columns = Reshape((batch, channels, taps * (count + 1)), True)(Pad((0, 1), axes=(2,))(x))
        image = ReduceSum((3,), keepdims=False)(Gather(2)(columns, flat))
        return Reshape((batch, channels, *ints(self.image_shape)), True)(image)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank = draw.integer(1, 2)
        block, strides, dilations = (tuple(draw.integer(1, 2) for _ in range(rank)) for _ in range(3))
        pads = tuple(draw.integer(0, 1) for _ in range(2 * rank))
        image = tuple((b - 1) * d + 1 + draw.integer(0, 2) for b, d in zip(block, dilations, strict=True))
        op = cls(
            image,
            block,
            *[draw.choice((None, v)) if set(v) <= {n} else v for v, n in ((strides, 1), (pads, 0), (dilations, 1))],
        )
        count = math.prod(w[5] for w in op._windows(TensorType(float32, ())))
        return op, (TensorType(draw.dtype(("float", "int")), (draw.integer(1, 2), 2 * math.prod(block), count)),)


def _outer(a: Array, b: Array, op: Any) -> Array:
    """`op` of two tables `[elements, taps]`, for every pair of elements and of taps."""
    made = op(a[:, None, :, None], b[None, :, None, :])
    return np.asarray(made).reshape(a.shape[0] * b.shape[0], -1)


@operator
class MaxUnpool(Operator):
    """Zeros, and the elements of X at the places I in the image that they were the greatest of, `[batch, channels, ...]`.

    Places count in the tensor that strides, pads and kernel say; with `output_shape` it stands at the front of that.
    """

    composite = True
    accepts = NUMERIC
    operands = ("output_shape",)

    kernel_shape: tuple[int, ...] = ()
    output_shape: tuple[int, ...] | Operand | None = None
    strides: tuple[int, ...] | None = None
    pads: tuple[int, ...] | None = None

    def _inner(self, x: TensorType) -> tuple[int, ...]:
        """The shape in which places count."""
        rank = len(self.kernel_shape)
        strides, pads = self.strides or (1,) * rank, self.pads or (0,) * 2 * rank
        if not rank or x.rank != rank + 2 or len(strides) != rank or len(pads) != 2 * rank:
            raise self.error(
                "expected a kernel extent and a stride for each axis of an image, and twice as many pads", x
            )
        shape = [
            (x.shape[a + 2] - 1) * strides[a] - pads[a] - pads[a + rank] + self.kernel_shape[a] for a in range(rank)
        ]
        if min(shape) < 1 or max(shape) >= 2**31:
            raise self.error(f"expected an image of extents >= 1, got {tuple(shape)}", x)
        return (*x.shape[:2], *shape)

    def infer(self, x: TensorType, places: TensorType) -> TensorType:
        self.accept(x)
        inner = self._inner(x)
        if places.shape != x.shape or not places.dtype.is_integer:
            raise self.error(f"expected integers of shape {x.shape} as places, got {places}", x, places)
        shape = inner if self.output_shape is None else ints(self.output_shape)
        if len(shape) != len(inner) or any(n < m for n, m in zip(shape, inner, strict=True)):
            raise self.error(f"output_shape must be at least {inner}, got {shape}", x, places)
        return TensorType(x.dtype, shape)

    def expand(self, x: Any, places: Any) -> Any:
        inner = self._inner(TensorType(dtype_of(x), tuple(x.shape)))
        zeros = Expand((math.prod(inner),))(like(x, 0))
        flat = [Reshape((-1,))(v) if math.prod(x.shape) else Reshape((0,), True)(v) for v in (places, x)]
        result = Reshape(inner, True)(ScatterElements(0)(zeros, *flat))
        shape = inner if self.output_shape is None else ints(self.output_shape)
        more = [n - m for n, m in zip(shape, inner, strict=True)]
        return Pad((*[0] * len(inner), *more))(result) if any(more) else result

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank = draw.integer(1, 2)
        kernel, strides = (tuple(draw.integer(1, 2) for _ in range(rank)) for _ in range(2))
        pads = draw.choice((None, (0,) * 2 * rank))
        x = TensorType(
            draw.dtype(("float", "int")), (1, draw.integer(1, 2), *[draw.integer(1, 3) for _ in range(rank)])
        )
        op = cls(kernel, None, strides if max(strides) > 1 else None, pads)
        inner = op._inner(x)
        count, size = math.prod(x.shape), math.prod(inner)
        if size < count:
            op, size = cls(kernel, None, kernel if max(kernel) > 1 else None, pads), count
            inner = op._inner(x)
        places = draw.array(TensorType(int64, x.shape), 0, math.prod(inner) - 1)
        shape = draw.choice((None, (*inner[:-1], inner[-1] + 1)))
        return cls(op.kernel_shape, shape, op.strides, op.pads), (x, places)


@operator
class TensorScatter(Given):
    """The cache, with the update written along `axis`, from an index on that each batch has; `circular`: over the end."""

    inputs: ClassVar[tuple[str, ...]] = ("past_cache", "update", "write_indices")
    required: ClassVar[int] = 2

    given: tuple[str, ...] = ("past_cache", "update")
    axis: int = -2
    mode: str = "linear"

    def infer(self, *types: TensorType) -> TensorType:
        named = self.check(types)
        cache, update = types[:2]
        axis = axis_of(self, self.axis, cache)
        if self.mode not in ("linear", "circular") or axis == 0:
            raise self.error(
                f"expected mode linear or circular, and an axis after the batch, got {self.mode!r}, {axis}", *types
            )
        others = [d for d in range(cache.rank) if d != axis]
        if (
            update.rank != cache.rank
            or update.dtype is not cache.dtype
            or any(not same_dim(cache.shape[d], update.shape[d]) for d in others)
        ):
            raise self.error(f"expected an update that differs along the axis alone, got {update}", *types)
        if update.shape[axis] > cache.shape[axis]:
            raise self.error(
                f"expected an update of at most {cache.shape[axis]} rows, got {update.shape[axis]}", *types
            )
        if (first := named.get("write_indices")) is not None and (
            first.shape != cache.shape[:1] or not first.dtype.is_integer
        ):
            raise self.error(f"expected an index for each of {cache.shape[0]} batches, got {first}", *types)
        return cache

    def expand(self, *values: Any) -> Any:
        cache, update = values[:2]
        axis, rank = self.axis % len(cache.shape), len(cache.shape)
        rows = np.arange(update.shape[axis]).reshape([-1 if d == axis else 1 for d in range(rank)])
        if len(values) > 2:
            first = Cast(int64)(Reshape((-1, *[1] * (rank - 1)))(values[2]))
            rows = Add()(first, rows)
            if self.mode == "circular" and cache.shape[axis]:
                rows = Mod()(rows, np.int64(cache.shape[axis]))
        if 0 in update.shape:
            return cache
        return ScatterElements(axis)(cache, Expand(tuple(update.shape))(rows), update)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        cache = TensorType(draw.dtype(ANY), draw.shape((2, 3), 1, 4))
        axis = draw.integer(1, cache.rank - 1)
        count = draw.integer(1, cache.shape[axis])
        update = TensorType(cache.dtype, (*cache.shape[:axis], count, *cache.shape[axis + 1 :]))
        mode = draw.choice(("linear", "circular"))
        values: list[Any] = [cache, update]
        if draw.boolean():
            last = cache.shape[axis] - (count if mode == "linear" else 1)
            values.append(draw.array(TensorType(int64, cache.shape[:1]), 0, last))
        return cls(cls.inputs[: len(values)], axis - draw.choice((0, cache.rank)), mode), values


@operator
class AffineGrid(Operator):
    """Where each element of an image of `size` `[batch, channels, ...]` is moved by its matrix, as GridSample reads it."""

    composite = True
    accepts = FLOAT
    operands = ("size",)

    size: tuple[int, ...] | Operand = OPERAND
    align_corners: bool = False

    def infer(self, theta: TensorType) -> TensorType:
        self.accept(theta)
        size = ints(self.size)
        axes = len(size) - 2
        if (
            axes not in (2, 3)
            or min(size) < 0
            or theta.rank != 3
            or theta.shape[1:] != (axes, axes + 1)
            or not same_dim(theta.shape[0], size[0])
        ):
            raise self.error(
                f"expected a size of 4 or 5, and its batch of matrices [{axes}, {axes + 1}], got {size}", theta
            )
        return TensorType(theta.dtype, (size[0], *size[2:], axes))

    def expand(self, theta: Any) -> Any:
        size = ints(self.size)
        lines = []
        for extent in size[2:]:
            places = np.arange(extent, dtype=np.float64)
            span = max(extent - 1, 1) if self.align_corners else max(extent, 1)
            lines.append(places * 2 / span - 1 if self.align_corners else (2 * places + 1) / span - 1)
        axes = np.meshgrid(*lines, indexing="ij")[::-1]  # x first
        homogeneous = np.stack([*axes, np.ones_like(axes[0])], -1).reshape(-1, len(size) - 1)
        places = MatMul()(homogeneous.astype(dtype_of(theta).numpy), Transpose((0, 2, 1))(theta))
        return Reshape((size[0], *size[2:], len(size) - 2), True)(places)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        axes = draw.integer(2, 3)
        size = tuple(draw.integer(1, 3) for _ in range(axes + 2))
        return cls(size, draw.boolean()), (TensorType(draw.dtype(FLOAT), (size[0], axes, axes + 1)),)
