"""Quantisation: real numbers as small integers on a grid, `x = (q - zero point) * scale`.

In: a tensor, and the scale and the zero point of all of it, of each slice along an axis, or of each block along an
axis. Out: the integers (`QuantizeLinear`), or the real numbers (`DequantizeLinear`). The zero point may be left out
where it is 0. Rounding is to the nearest, the even one of two; what does not fit saturates, and NaN is the least integer.

Both are computed in float32. `Quantize` is what they have in common with requantisation, where the scales of a product
and of its result are one factor: the rounding alone (Jacob et al. 2018, Quantization and Training of Neural Networks
for Efficient Integer-Arithmetic-Only Inference).

>>> import numpy as np
>>> q = QuantizeLinear()(np.float32([-1, 0, 0.25, 100]), np.float32(0.5), np.uint8(3))
>>> q
array([  1,   3,   3, 203], dtype=uint8)
>>> DequantizeLinear()(q, np.float32(0.5), np.uint8(3))
array([ -1.,   0.,   0., 100.], dtype=float32)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicc.ir.node import node
from minicc.ops.arithmetic import Div, Mul, Sub
from minicc.ops.base import ANY, Array, Draw, Example, Kind, Operator, axis_of, dtype_of, operator, same_dim
from minicc.ops.cast import Cast
from minicc.ops.elementwise import BinaryOperator
from minicc.ops.movement import Slice
from minicc.ops.shape import Expand, Reshape
from minicc.tensor.expr import Const, Expr, call, cast, const, select
from minicc.types import DType, TensorType, float16, float32, int8, int16, int32, uint8, uint16

GRIDS = (uint8, int8, uint16, int16)  # whose integers, and their differences, float32 has exactly


@operator
class Quantize(BinaryOperator):
    """x rounded to the nearest integer, the even one of two, plus a zero point, saturated to the dtype of that."""

    accepts = ANY

    def check(self, *types: TensorType) -> None:
        x, zero = types
        if not x.dtype.is_float or zero.dtype not in GRIDS:
            raise self.error(f"expected floats, and zero points of {_listed(GRIDS)}", x, zero)

    def result_dtype(self, *dtypes: DType) -> DType:
        return dtypes[1]

    def reference(self, x: Array, zero: Array) -> Any:
        whole = np.rint(np.where(np.isnan(x), -np.inf, x.astype(np.float64))) + zero
        return np.clip(whole, *dtype_of(zero).range)

    def scalar(self, x: Expr, zero: Expr) -> Expr:
        low, high = (_less(int(bound), zero) for bound in zero.dtype.range)  # of x, which need no rounding
        x = cast(x, float32)
        least = select(x > low, x, low)
        bounded = select(least < high, least, high)
        return cast(cast(call("round", bounded), int32) + cast(zero, int32), zero.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float",))
        return cls(), [x, TensorType(draw.choice(GRIDS), draw.broadcastable(x.shape))]


def _less(bound: int, zero: Expr) -> Expr:
    """bound - zero as a float."""
    return (
        const(bound - int(zero.value), float32)
        if isinstance(zero, Const)
        else const(bound, float32) - cast(zero, float32)
    )


def _listed(dtypes: tuple[DType, ...]) -> str:
    return f"{', '.join(map(str, dtypes[:-1]))} or {dtypes[-1]}"


def _wide(x: Any) -> Any:
    return x if dtype_of(x) is float32 else Cast(float32)(x)


def _is_one(shape: tuple[int, ...]) -> bool:
    """Whether a scale or a zero point is that of a whole tensor; as tools write it, of shape (1,), too."""
    return shape in ((), (1,))


def spread(values: Any, shape: tuple[int, ...], axis: int, block_size: int) -> Any:
    """Values of a tensor, of slices along `axis` or of blocks along it, so that they broadcast to `shape`."""
    if _is_one(values.shape) and not block_size:
        return Reshape(())(values) if values.shape else values
    if not block_size:
        return Reshape((values.shape[0], *[1] * (len(shape) - 1 - axis)), True)(values)
    blocks, block_size = values.shape[axis], min(block_size, max(shape[axis], 1))
    before, after = values.shape[:axis], values.shape[axis + 1 :]
    apart = Expand((*before, blocks, block_size, *after))(Reshape((*before, blocks, 1, *after), True)(values))
    whole = Reshape((*before, blocks * block_size, *after), True)(apart)
    return Slice((0,), (shape[axis],), (axis,))(whole)


@node
class Linear(Operator):
    """Base of QuantizeLinear and DequantizeLinear."""

    kind = Kind.BROADCAST

    axis: int = 1
    block_size: int = 0

    def check(self, x: TensorType, scale: TensorType, zero_point: TensorType | None) -> None:
        """Raise unless scale and zero point are those of a tensor, of slices or of blocks."""
        types = (x, scale) if zero_point is None else (x, scale, zero_point)
        if not scale.dtype.is_float or scale.dtype.bits > 32:
            raise self.error(f"expected a scale of float32, float16 or bfloat16, got {scale.dtype}", *types)
        both = [scale.shape] if zero_point is None else [scale.shape, zero_point.shape]
        if all(map(_is_one, both)) and not self.block_size:
            return
        if len(set(both)) > 1:
            problem = f"scale and zero point must have one shape, got {both[0]} and {both[1]}"
            raise self.error(problem, *types, hint="give one of each for the tensor, each slice or each block")
        axis = axis_of(self, self.axis, x)
        if self.block_size < 0 or (self.block_size and (scale.rank != x.rank or not x.rank)):
            problem = f"blocks of {self.block_size} need an axis, and a scale of rank {x.rank}, got {scale.shape}"
            raise self.error(problem, *types, hint="block_size is at least 1, or 0 without blocks")
        if self.block_size:
            expected = tuple(-(-d // self.block_size) if a == axis else d for a, d in enumerate(x.shape))
        else:
            expected = (x.shape[axis],) if x.rank else ()
        if len(expected) != scale.rank or not all(map(same_dim, expected, scale.shape)):
            problem = f"expected a scale of shape {expected} or (), got {scale.shape}"
            raise self.error(problem, *types, hint=f"one number for each slice along axis {axis}, or for each block")

    def spread(self, values: Any, x: Any) -> Any:
        """A scale or a zero point, so that it broadcasts to `x`."""
        rank = len(x.shape)
        return spread(values, x.shape, self.axis % rank if rank else 0, self.block_size)

    @classmethod
    def drawn_scale(cls, draw: Draw, x: TensorType) -> tuple[int, int, tuple[int, ...]]:
        """An axis, a block size, and a shape that the scale may have then."""
        which = draw.integer(0, 2) if x.rank else 0
        axis, block = draw.integer(0, max(x.rank - 1, 0)), draw.integer(1, 4) if which == 2 else 0
        blocked = tuple(-(-d // block) if a == axis else d for a, d in enumerate(x.shape)) if block else ()
        return axis, block, ((), x.shape[axis : axis + 1], blocked)[which]


@operator
class QuantizeLinear(Linear):
    """x / scale, rounded to the nearest integer, plus the zero point, saturated to `dtype` or that of the zero point.

    ONNX QuantizeLinear-25, but for the floats of 8 bits and less. The quotient is rounded to float32.
    """

    dtype: DType = uint8

    def infer(self, x: TensorType, scale: TensorType, zero_point: TensorType | None = None) -> TensorType:
        self.check(x, scale, zero_point)
        dtype = self.dtype if zero_point is None else zero_point.dtype
        if dtype not in GRIDS or not (x.dtype.is_float or x.dtype is int32):
            raise self.error(
                f"expected floats or int32 to become {_listed(GRIDS)}, got {x.dtype} and {dtype}", x, scale
            )
        return TensorType(dtype, x.shape)

    def expand(self, x: Any, scale: Any, zero_point: Any = None) -> Any:
        zero = np.zeros((), self.dtype.numpy) if zero_point is None else self.spread(zero_point, x)
        return Quantize()(Div()(_wide(x), self.spread(_wide(scale), x)), zero)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float",))
        axis, block, shape = cls.drawn_scale(draw, x)
        scale, zero = draw.array(TensorType(draw.dtype(("float",)), shape), 0.125, 4.0), draw.choice(GRIDS)
        zeros = [
            draw.array(TensorType(zero, shape), 0, 100)
        ] * draw.boolean()  # without any, `zero` is the dtype of the result
        return cls(axis, block, zero), [x, scale.astype(np.float32), *zeros]


@operator
class DequantizeLinear(Linear):
    """(x - zero point) * scale, in the dtype of the scale, or in `dtype`; ONNX DequantizeLinear-25."""

    dtype: DType | None = None

    def infer(self, x: TensorType, scale: TensorType, zero_point: TensorType | None = None) -> TensorType:
        self.check(x, scale, zero_point)
        if x.dtype not in (*GRIDS, int32) or (zero_point is not None and zero_point.dtype is not x.dtype):
            got = f"{x.dtype}" if zero_point is None else f"{x.dtype} and {zero_point.dtype}"
            raise self.error(f"expected data and zero points of one of {_listed((*GRIDS, int32))}, got {got}", x, scale)
        return TensorType(self.dtype or scale.dtype, x.shape)

    def expand(self, x: Any, scale: Any, zero_point: Any = None) -> Any:
        dtype = self.dtype or dtype_of(scale)
        value = _wide(x)
        if zero_point is not None:
            value = Sub()(value, self.spread(_wide(zero_point), x))
        made = Mul()(value, self.spread(_wide(scale), x))
        return made if dtype is float32 else Cast(dtype)(made)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = TensorType(draw.choice(GRIDS), draw.shape())
        axis, block, shape = cls.drawn_scale(draw, x)
        scale = draw.array(TensorType(float32, shape), 0.125, 4.0)
        return cls(axis, block, draw.choice([None, float32, float16])), [
            x,
            scale,
            draw.array(TensorType(x.dtype, shape), 0, 100),
        ]
