"""The nodes by which passes move data: made only where something moves.

>>> from minicc.graph.ir import input
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (2, 1, 3)))
>>> [n.op.name for n in (padded(x, 0, 0), padded(x, 0, 2), moved(x, (1, 0, 2)), moved(x, (2, 0, 1)))]
['Input', 'Pad', 'Reshape', 'Transpose']
"""

from __future__ import annotations

from collections.abc import Sequence

from minicc.graph.ir import Node
from minicc.ops import Pad, Reshape, Transpose
from minicc.ops.order import Order, moves_only_ones


def padded(n: Node, axis: int, count: int) -> Node:
    """`n` with so many zeros after the end of `axis`."""
    pads = [0] * (2 * n.type.rank)
    pads[n.type.rank + axis] = count
    made: Node = Pad(pads=tuple(pads), value=0.0)(n) if count else n
    return made


def reshaped(n: Node, shape: Sequence[int]) -> Node:
    """`n` in another shape."""
    made: Node = n if n.shape == tuple(shape) else Reshape(tuple(shape), 0 in shape)(n)
    return made


def moved(n: Node, perm: Order) -> Node:
    """`n` with its axes in another order."""
    if moves_only_ones(perm, n.shape):
        return reshaped(n, [n.shape[axis] for axis in perm])
    made: Node = Transpose(perm)(n)
    return made
