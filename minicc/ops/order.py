"""In which order the axes of a value lie in memory, and what an operator is on operands that lie in another one.

An order names, for each axis of how a value lies, the axis of the value: `(0, 2, 3, 1)` of an image `[N, C, H, W]` is
channels last, and the value lies as its `Transpose` by that. In: an operator and the order in which one of its operands
lies. Out (`Operator.permuted`): the operator of the same value on operands as they lie, and how its result lies then.

>>> from minicc.ops import Concat, Softmax
>>> from minicc.types import TensorType, float32
>>> image = TensorType(float32, (1, 8, 4, 4))
>>> Concat(axis=1).permuted(0, channels_last(4), image, image)
Permuted(op=Concat(axis=3), operands=((0, 2, 3, 1), (0, 2, 3, 1)), result=(0, 2, 3, 1))
>>> Softmax(axis=2).permuted(0, channels_last(4), image).op
Softmax(axis=1)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

Order = tuple[int, ...]


class Permuted(NamedTuple):
    """An operator on operands as they lie: in which order it wants each, `()` for as they are, and that of its result."""

    op: Any
    operands: tuple[Order, ...]
    result: Order

    @classmethod
    def first(cls, op: Any, types: Sequence[Any], order: Order, result: Order | None = None) -> Permuted:
        """Of an operator whose first operand alone lies in `order`, and the result as well unless `result` is given."""
        return cls(op, (order, *[()] * (len(types) - 1)), order if result is None else result)


def channels_last(rank: int) -> Order:
    """Batch, spatial axes, channels: of a value whose channels are its second axis."""
    return 0, *range(2, rank), 1


def lifted(order: Order, rank: int) -> Order:
    """The order of a value of `rank` axes, of which the last ones come in `order`."""
    more = rank - len(order)
    return *range(more), *[axis + more for axis in order]


def without(order: Order, axes: Iterable[int]) -> Order:
    """The order of what is left when `axes` of the value are taken away."""
    gone = set(axes)
    kept = [axis for axis in order if axis not in gone]
    return tuple(axis - sum(g < axis for g in gone) for axis in kept)


def between(source: Order, target: Order) -> Order:
    """By what Transpose a value that lies in one order comes to lie in another."""
    return tuple(source.index(axis) for axis in target)


def moves_only_ones(perm: Order, shape: Sequence[Any]) -> bool:
    """Whether Transpose by `perm` of a tensor of `shape` leaves every element where it is."""
    moved = [axis for axis in perm if shape[axis] != 1]
    return moved == sorted(moved)
