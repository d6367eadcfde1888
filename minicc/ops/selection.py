"""Operators that find: how many elements the result has, its data decide, so no kernel is made of them.

>>> import numpy as np
>>> NonZero()(np.array([[1, 0], [1, 1]]))
array([[0, 1, 1],
       [0, 0, 1]])
>>> Compress(axis=0)(np.array([1, 2, 3]), np.array([True, False, True]))
array([1, 3])
>>> Unique()(np.array([3, 1, 3]))
array([1, 3])
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicc.ops.base import Array, Operator, axis_of, interpreted, type_of
from minicc.types import TensorType, Unbound


@interpreted
class NonZero(Operator):
    """The indices of the elements that are not zero, in row-major order: a row for each axis."""

    def infer(self, *types: Any, **_: Any) -> TensorType:
        raise Unbound(self.name)

    def numpy(self, x: Array, **_: Any) -> Array:
        return np.array(np.nonzero(x) if x.ndim else np.nonzero(x.reshape(1))[:0], np.int64).reshape(x.ndim, -1)


@interpreted
class Compress(Operator):
    """The slices along `axis` where the condition holds, or, without an axis, elements in row-major order.

    A condition that is shorter than the axis leaves out what is beyond it.
    """

    axis: int | None = None

    def infer(self, x: TensorType | None, condition: TensorType | None) -> TensorType:
        if condition and condition.rank != 1:
            raise self.error("expected a condition of rank 1", condition, hint="flatten it: Reshape to [-1]")
        if x and self.axis is not None:
            axis_of(self, self.axis, x)
        raise Unbound(self.name)

    def numpy(self, x: Array, condition: Array, **_: Any) -> Array:
        axis = 0 if self.axis is None else self.axis % x.ndim
        x = x.reshape(-1) if self.axis is None else x
        (places,) = np.nonzero(condition)
        if places.size and places[-1] >= x.shape[axis]:
            problem = f"a condition must not hold beyond the axis of {x.shape[axis]}, got place {places[-1]}"
            raise self.error(problem, type_of(x), type_of(condition), hint="cut the condition")
        return np.take(x, places, axis)


@interpreted
class Unique(Operator):
    """The different elements, or, along an axis, slices: `Y` itself, or where each first stands, or what stands where, or how often.

    They are sorted, or in the order in which each is first met.
    """

    axis: int | None = None
    sorted: bool = True
    output: str = "Y"

    results: ClassVar[tuple[str, ...]] = ("Y", "indices", "inverse_indices", "counts")

    def infer(self, x: TensorType | None) -> TensorType:
        if x and self.axis is not None:
            axis_of(self, self.axis, x)
        raise Unbound(self.name)

    def numpy(self, x: Array, **_: Any) -> Array:
        keys = x.astype(np.float32) if x.dtype.kind == "V" else x  # NumPy cannot sort bfloat16
        _, first, inverse, counts = np.unique(
            keys, return_index=True, return_inverse=True, return_counts=True, axis=self.axis, equal_nan=False
        )
        order = np.arange(first.size) if self.sorted else np.argsort(first)
        if self.output == "Y":
            return np.asarray(np.take(x.reshape(-1) if self.axis is None else x, first[order], self.axis or 0))
        if self.output == "inverse_indices":
            return np.asarray(np.argsort(order)[inverse.reshape(-1)], np.int64)
        return np.asarray((first if self.output == "indices" else counts)[order], np.int64)
