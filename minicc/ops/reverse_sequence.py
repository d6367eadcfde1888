"""ReverseSequence: the first elements of each sequence of a batch, in opposite order.

In: a batch of sequences, and how many elements of each to turn around. Out: the same type; what
comes after these elements stays. A length beyond the sequence, which ONNX leaves undefined, is
taken for the nearest that it can have.

>>> import numpy as np
>>> ReverseSequence(batch_axis=0, time_axis=1)(np.array([[1, 2, 3], [4, 5, 6]]), np.array([2, 3]))
array([[2, 1, 3],
       [6, 5, 4]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicc.ops.base import Array, Draw, Example, operator, same_dim
from minicc.ops.indexing import check_indices
from minicc.ops.view import View
from minicc.tensor.expr import cast, maximum, minimum, select
from minicc.types import TensorType, int64


@operator
class ReverseSequence(View):
    """Element `t` of sequence `b` is the one at `lengths[b] - 1 - t` for `t < lengths[b]`, and itself after that."""

    batch_axis: int = 1
    time_axis: int = 0

    def infer(self, x: TensorType, lengths: TensorType) -> TensorType:
        check_indices(self, lengths, x, lengths)
        axes = self.batch_axis, self.time_axis
        if sorted(axes) != [0, 1] or x.rank < 2:
            problem = (
                "expected data of rank 2 or more, and batch_axis and time_axis to be 0 and 1 or 1 and 0, got rank "
            )
            problem += f"{x.rank}, {self.batch_axis} and {self.time_axis}"
            raise self.error(problem, x, lengths, hint="insert a Transpose")
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
