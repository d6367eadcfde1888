"""The determinant of square matrices, by elimination with the greatest pivot of each column.

>>> import numpy as np
>>> Det()(np.array([[0.0, 2.0], [3.0, 4.0]]))
array(-6.)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicc.ops.arithmetic import Div, Mul, Sub
from minicc.ops.argreduce import ArgMax
from minicc.ops.base import FLOAT, Array, Draw, Example, Operator, dtype_of, like, operator, same_dim
from minicc.ops.cast import Cast
from minicc.ops.comparison import Equal, Where
from minicc.ops.elementwise import Abs, Neg
from minicc.ops.indexing import GatherElements
from minicc.ops.movement import Slice
from minicc.ops.scalar import accumulator, widened
from minicc.ops.shape import Expand, Reshape
from minicc.types import TensorType, float32, float64

MOST = 64  # rows: each is some operators


@operator
class Det(Operator):
    """The determinant of the last two axes."""

    composite = True
    accepts = FLOAT

    def infer(self, x: TensorType) -> TensorType:
        self.accept(x)
        if x.rank < 2 or not same_dim(x.shape[-1], x.shape[-2]) or not x.shape[-1] <= MOST:
            raise self.error(f"expected square matrices of at most {MOST} rows, got {x}", x)
        return TensorType(x.dtype, x.shape[:-2])

    def numpy(self, x: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(np.linalg.det(widened(x)).astype(x.dtype)).reshape(x.shape[:-2])

    def expand(self, x: Any) -> Any:
        dtype, lead, rows = dtype_of(x), tuple(x.shape[:-2]), x.shape[-1]
        count = int(np.prod(lead, dtype=np.int64))
        wide = accumulator(dtype)
        rest = Reshape((count, rows, rows), True)(x if wide is dtype else Cast(wide)(x))
        result = Expand((count,))(like(rest, 1.0))
        for size in range(rows, 0, -1):
            column = Reshape((count, size), True)(Slice((0,), (1,), (2,))(rest))
            best = ArgMax(1, keepdims=True)(Abs()(column))
            pivot = Reshape((count,), True)(GatherElements(1)(column, best))
            first = Reshape((count,), True)(Equal()(best, like(best, 0)))
            result = Mul()(result, Where()(first, pivot, Neg()(pivot)))
            if size > 1:
                rest = self._eliminated(rest, best, pivot, size)
        result = Reshape(lead, True)(result)
        return result if wide is dtype else Cast(dtype)(result)

    @staticmethod
    def _eliminated(x: Any, best: Any, pivot: Any, size: int) -> Any:
        """What is left of `[matrices, size, size]` without the first column and the row of its pivot."""
        count = x.shape[0]
        index = Reshape((count, 1, 1), True)(best)
        chosen = GatherElements(1)(x, Expand((count, 1, size))(index))
        swapped = Where()(Equal()(np.arange(size)[None, :, None], index), Slice((0,), (1,), (1,))(x), x)
        lower = Slice((1,), (size,), (1,))(swapped)  # where the pivot was, the first row now is
        by = Where()(Equal()(pivot, like(pivot, 0.0)), like(pivot, 1.0), pivot)
        factors = Div()(Slice((0,), (1,), (2,))(lower), Reshape((count, 1, 1), True)(by))
        return Sub()(*[Slice((1,), (size,), (2,))(part) for part in (lower, Mul()(factors, chosen))])

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rows = draw.integer(0, 2)
        x = TensorType(draw.choice((float32, float64)), (*draw.shape((0, 2), 1, 3), rows, rows))
        return cls(), (draw.array(x, -2, 2),)
