"""Conversion between dtypes.

In: any tensor. Out: the same shape in another dtype. To a float: rounded to nearest, ties to even.
To an integer: truncated; what does not fit is as the machine has it. To bool: whether it is not 0.

>>> import numpy as np
>>> from minicc.types import int32
>>> Cast(int32)(np.array([-1.5, 2.9]))
array([-1,  2], dtype=int32)
"""

from __future__ import annotations

from typing import Any, ClassVar

from minicc.ops.base import ANY, Array, Draw, Example, Kind, Operator, dtype_of, operator
from minicc.ops.elementwise import Elementwise
from minicc.tensor.expr import Expr, cast
from minicc.types import DType, TensorType, boolean


def _values(draw: Draw, source: TensorType, target: DType) -> TensorType | Array:
    """Data of type `source` that `target` can hold, or the type when that is any data."""
    if source.dtype.is_float and target.is_integer:
        return draw.array(source, 0 if target.kind == "uint" else -100, 100)
    return source


def convert(x: Expr, dtype: DType) -> Expr:
    """`x` in another dtype; to bool it is compared with 0, as a cast would keep the lowest bit."""
    return x.not_equal(0) if dtype is boolean and x.dtype is not boolean else cast(x, dtype)


@operator
class Cast(Elementwise):
    """x in `dtype`. `saturate` has a meaning only for 8-bit floats, which there are none of."""

    accepts: ClassVar[tuple[str, ...]] = ANY

    dtype: DType
    saturate: bool = True

    def result_dtype(self, *dtypes: DType) -> DType:
        return self.dtype

    def reference(self, x: Array) -> Any:
        return x

    def scalar(self, x: Expr) -> Expr:
        return convert(x, self.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        dtype = draw.dtype(ANY)
        return cls(dtype, draw.boolean()), [_values(draw, draw.type(ANY), dtype)]


@operator
class CastLike(Operator):
    """x in the dtype of `like`, of which nothing else is read."""

    kind = Kind.ELEMENTWISE
    composite = True

    def infer(self, x: TensorType, like: TensorType) -> TensorType:
        return TensorType(like.dtype, x.shape)

    def expand(self, x: Any, like: Any) -> Any:
        return Cast(dtype_of(like))(x)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        like = draw.type(ANY)
        return cls(), [_values(draw, draw.type(ANY), like.dtype), like]
