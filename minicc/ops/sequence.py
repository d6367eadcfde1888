"""Sequences and optionals: tuples of values. They are no tensors, and no kernel is made of what works on them.

In: sequences as tuples, of arrays or of whatever stands for these. Out: elements, or other tuples. The definitions say
only which value goes where, so they hold for nodes as for arrays: binding a graph applies them to the nodes of known
sequences, and nothing of these is left. An optional that has no element is None among values; one that has is that element.

>>> import numpy as np
>>> SequenceAt(position=-1)((np.array(1), np.array(2)))
array(2)
>>> ConcatFromSequence(axis=0)(SplitToSequence(split=2)(np.arange(5)))
array([0, 1, 2, 3, 4])
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicc.ops.base import OPERAND, Operand, Operator, axis_of, interpreted, ints, number
from minicc.ops.base import type_of
from minicc.ops.movement import Concat, Split
from minicc.ops.shape import Squeeze, Unsqueeze
from minicc.types import TensorType, Unbound, boolean, int64

MOST_PARTS = 1 << 16  # of a tensor that is split


class SequenceOperator(Operator):
    """Base of what takes or gives a sequence. Its `numpy` works on values of any room."""

    __slots__ = ()
    sequences: ClassVar[int] = 1  # of its first inputs so many are sequences

    def infer(self, *types: Any, **_: Any) -> TensorType:
        raise Unbound(self.name)


def _place(op: Operator, position: Any, length: int) -> int:
    """`position` from the front. Raises LookupError unless it is one of `length` places."""
    at = int(number(position))
    if not -length <= at < length:
        raise op.error(f"expected a position in a sequence of {length}, got {at}", hint="the first is 0, the last -1")
    return at % length


@interpreted
class SequenceConstruct(SequenceOperator):
    """The sequence of all inputs, in order; of none, an empty one."""

    onnx_names: ClassVar[tuple[str, ...]] = ("SequenceConstruct", "SequenceEmpty")
    sequences: ClassVar[int] = 0

    def numpy(self, *values: Any, **_: Any) -> Any:
        return values


@interpreted
class SequenceAt(SequenceOperator):
    """The element at a position, negative ones counted from the end."""

    operands: ClassVar[tuple[str, ...]] = ("position",)

    position: int | Operand = OPERAND

    def numpy(self, sequence: Any, **_: Any) -> Any:
        return sequence[_place(self, self.position, len(sequence))]


@interpreted
class SequenceInsert(SequenceOperator):
    """The sequence with one more element before a position, by default at the end."""

    operands: ClassVar[tuple[str, ...]] = ("position",)

    position: int | Operand | None = None

    def numpy(self, sequence: Any, value: Any, **_: Any) -> Any:
        at = len(sequence) if self.position is None else int(number(self.position))
        at = at if at == len(sequence) else _place(self, at, len(sequence))
        return *sequence[:at], value, *sequence[at:]


@interpreted
class SequenceErase(SequenceOperator):
    """The sequence without the element at a position, by default the last."""

    operands: ClassVar[tuple[str, ...]] = ("position",)

    position: int | Operand = -1

    def numpy(self, sequence: Any, **_: Any) -> Any:
        at = _place(self, self.position, len(sequence))
        return *sequence[:at], *sequence[at + 1 :]


@interpreted
class SequenceLength(SequenceOperator):
    """The number of elements."""

    def infer(self, *types: Any, **_: Any) -> TensorType:
        return TensorType(int64, ())

    def numpy(self, sequence: Any, **_: Any) -> Any:
        return np.array(len(sequence), np.int64)


@interpreted
class SplitToSequence(SequenceOperator):
    """Parts of a tensor along an axis: of these sizes, or, of one number, each of so many but the last; by default of 1.

    Parts of size 1 by default lose the axis unless `keepdims`.
    """

    operands: ClassVar[tuple[str, ...]] = ("split",)
    sequences: ClassVar[int] = 0

    split: int | tuple[int, ...] | Operand | None = None
    axis: int = 0
    keepdims: bool = True

    def numpy(self, x: Any, **_: Any) -> Any:
        if not x.shape:
            raise self.error("expected a tensor with an axis, got a scalar", type_of(x))
        axis = axis_of(self, self.axis, type_of(x))
        sizes = self._sizes(x.shape[axis])
        parts = [Split(axis, sizes, len(sizes), k)(x) for k in range(len(sizes))]
        return tuple([part if self.keepdims or self.split is not None else Squeeze((axis,))(part) for part in parts])

    def _sizes(self, extent: int) -> tuple[int, ...]:
        if isinstance(self.split, tuple):
            return ints(self.split)
        size = 1 if self.split is None else int(number(self.split))
        if size < 1 or extent > size * MOST_PARTS:
            problem = f"expected at most {MOST_PARTS} parts, got an axis of {extent} in parts of {size}"
            raise self.error(problem, hint="a positive number says how long each part is")
        return tuple([min(size, extent - start) for start in range(0, extent, size)])


@interpreted
class ConcatFromSequence(SequenceOperator):
    """The elements joined along an axis; with `new_axis` along one that they do not have before."""

    axis: int = 0
    new_axis: bool = False

    def numpy(self, sequence: Any, **_: Any) -> Any:
        if not sequence:
            raise self.error("expected a sequence that is not empty", hint="there is nothing to join")
        if self.new_axis:
            sequence = [Unsqueeze((self.axis,))(value) for value in sequence]
        return Concat(self.axis)(*sequence)


@interpreted
class Absent(SequenceOperator):
    """The optional that has no element; any other is its element."""

    sequences: ClassVar[int] = 0

    def numpy(self, *values: Any, **_: Any) -> Any:
        return None


@interpreted
class OptionalHasElement(SequenceOperator):
    """Whether an optional has an element; any other value is one that has it."""

    sequences: ClassVar[int] = 0

    def infer(self, *types: Any, **_: Any) -> TensorType:
        return TensorType(boolean, ())

    def numpy(self, value: Any, **_: Any) -> Any:
        return np.array(value is not None)
