"""Operators that make tensors from numbers alone: Range and ConstantOfShape.

In: numbers and shapes, all of them operands. Out: a tensor. Constant folding usually evaluates
them away; those too big to fold are computed inside of the kernel that reads them.

>>> Range(start=3, limit=9, delta=2)()
array([3, 5, 7])
>>> ConstantOfShape(shape=(2, 3), value=1.0)()
array([[1., 1., 1.],
       [1., 1., 1.]], dtype=float32)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ir.node import replace
from minicc.ops.base import OPERAND, Array, Draw, Example, Kind, Operand, Operator, ints, number, operator
from minicc.tensor.expr import cast, const
from minicc.types import DType, TensorType, float32, float64, int64


def filled(shape: tuple[Any, ...], value: Any, dtype: DType, name: str = "filled") -> Any:
    """The `te` tensor of `shape` whose every element is `value`."""
    return te.compute(shape, lambda *_: const(value, dtype), name=name)


@operator
class Range(Operator):
    """`start, start + delta, ...` up to and without `limit`.

    A `dtype` of None is that of `start` when bound from an array, else int64 or float32 after its
    Python type. Floats are computed in float64 and rounded once.
    """

    kind = Kind.INJECTIVE
    operands = ("start", "limit", "delta")

    start: float | Operand = OPERAND
    limit: float | Operand = OPERAND
    delta: float | Operand = 1
    dtype: DType | None = None

    def bind(self, values: Sequence[Array], where: str = "") -> Range:
        bound = Operator.bind(self, values, where)
        named = dict(zip(self.pending, values, strict=True))
        first = named.get("start", named.get("limit"))
        if self.dtype is None and first is not None:
            bound = replace(bound, dtype=DType.of(np.asarray(first).dtype))
        return bound

    @property
    def _numbers(self) -> tuple[Any, Any, Any]:
        return number(self.start), number(self.limit), number(self.delta)

    @property
    def _dtype(self) -> DType:
        if self.dtype is not None:
            return self.dtype
        return float32 if any(isinstance(n, float) for n in self._numbers) else int64

    def infer(self) -> TensorType:
        start, limit, delta = self._numbers
        if not all(math.isfinite(n) for n in (start, limit, delta)) or delta == 0:
            problem = f"expected finite numbers and a delta that is not 0, got {start}, {limit}, {delta}"
            raise self.error(problem, hint="start=0, limit=10, delta=1, for example")
        if isinstance(start, int) and isinstance(limit, int) and isinstance(delta, int):
            count = -((start - limit) // delta)
        else:
            steps = (limit - start) / delta
            if not math.isfinite(steps):
                problem = f"expected a number of elements that is finite, got {start} to {limit} in steps of {delta}"
                raise self.error(problem, hint="give a larger delta")
            count = math.ceil(steps)
        return TensorType(self._dtype, (max(count, 0),))

    def numpy(self) -> Array:
        result = self.infer()
        start, _, delta = self._numbers
        wide = np.float64 if result.dtype.is_float else np.int64
        values = np.arange(result.size, dtype=wide) * np.array(delta).astype(wide) + np.array(start).astype(wide)
        return values.astype(result.dtype.numpy)

    def compute(self) -> Any:
        result = self.infer()
        start, _, delta = self._numbers
        wide = float64 if result.dtype.is_float else int64
        return te.compute(
            result.shape,
            lambda i: cast(cast(i, wide) * const(delta, wide) + const(start, wide), result.dtype),
            name="range",
        )

    def tvm(self, R: Any) -> Any:
        result = self.infer()
        start, _, delta = self._numbers
        wide = float64 if result.dtype.is_float else int64
        return (R.arange(0, result.size, 1, int64).astype(wide) * delta + start).astype(result.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        if draw.boolean():
            delta = draw.choice([-3, -1, 1, 2])
            return cls(draw.integer(-5, 5), draw.integer(-9, 9), delta, draw.choice([None, DType.of("int32")])), ()
        return cls(draw.number(-2, 2), draw.number(-4, 4), draw.choice([-0.5, 0.25, 1.5])), ()


@operator
class ConstantOfShape(Operator):
    """`value` everywhere."""

    kind = Kind.INJECTIVE
    operands = ("shape",)
    onnx_fields = {"input": "shape"}

    shape: tuple[int, ...] | Operand = OPERAND
    value: float = 0.0
    dtype: DType = float32

    def infer(self) -> TensorType:
        shape = ints(self.shape)
        if any(dim < 0 for dim in shape):
            problem = f"dimensions must not be negative, got {shape}"
            raise self.error(problem, hint="give the number of elements along each axis, 0 or more")
        low, high = self.dtype.range
        if not self.dtype.is_float and not low <= number(self.value) <= high:
            problem = f"expected a value from {low} to {high}, as {self.dtype} has it, got {self.value}"
            raise self.error(problem, hint=f"choose a value in that range, or a wider dtype than {self.dtype}")
        return TensorType(self.dtype, shape)

    def numpy(self) -> Array:
        return np.full(ints(self.shape), number(self.value), self.dtype.numpy)

    def compute(self) -> Any:
        return filled(self.infer().shape, number(self.value), self.dtype)

    def tvm(self, R: Any) -> Any:
        """TVM's `full` stumbles over infinity and NaN."""
        return R.broadcast_to(np.array(number(self.value), self.dtype.numpy), ints(self.shape))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        dtype = draw.dtype(("float", "int", "bool"))
        return cls(draw.shape(), draw.integer(0, 1), dtype), ()
