"""The maximum or the mean of each window, axis by axis: k + k taps instead of k * k.

In: a graph after layouts are chosen. Out: the graph in which a pool over several axes is a pool over each of them in
turn, where an estimate says that this is less work. Padding, dilation and strides belong to one axis each.

A maximum is the same in whatever order it is taken, so each result keeps every bit, NaN and -inf too. A mean of means is
the mean, as all windows of a row count as many elements along the other axis; it stays float64 until the last, so it is
rounded to fewer bits once, as that of a whole window is. `exact` leaves means as they are.

The first axis is first. Its rows shrink before the last axis is looked at, whose elements are next to each other where
channels are first: a stride there takes vectors apart, and costs more.

Needs: the types of the operands. Ensures: the same outputs.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (1, 8, 13, 13)))
>>> graph = Graph("main", (x,), (MaxPool(kernel=(5, 5), padding=(2, 2, 2, 2))(x),), ("y",))
>>> [n.op.kernel for n in split_pools(graph).nodes[1:]]
[(5, 1), (1, 5)]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from minicc.graph.ir import Graph, Node
from minicc.graph.transform import same, transform
from minicc.ir.node import replace
from minicc.ops import AveragePool, Cast, MaxPool
from minicc.ops.window import Window, spatial
from minicc.types import float16, float32, float64

STORED = {MaxPool: 1, AveragePool: 10}  # taps that an element costs that is stored and loaded; float64, of a Cast, too
APART = 4  # taps that one costs whose neighbours are not those of the next result
LEAST = 1000  # taps that are saved at least: less than what a kernel more costs


def split_pools(graph: Graph, exact: bool = False) -> Graph:
    """The graph with pools over one axis at a time; the same graph when that helps none."""
    kinds = (MaxPool,) if exact else (MaxPool, AveragePool)
    if not any(isinstance(n.op, kinds) for n in graph.nodes):
        return graph
    return transform(graph, partial(_split, kinds))


def _split(kinds: tuple[type, ...], n: Node, inputs: tuple[Node, ...]) -> Node:
    made = same(n, inputs)
    op, wide = n.op, isinstance(n.op, AveragePool)
    if not isinstance(op, kinds) or n.type.size == 0 or (wide and n.dtype not in (float16, float32)):
        return made
    assert isinstance(op, (MaxPool, AveragePool))
    windows = op.windows(spatial(inputs[0].shape, op.channels_last), op.kernel)
    axes = [axis for axis, w in enumerate(windows) if w.kernel > 1 or w.stride > 1 or w.begin or w.count != w.size]
    if len(axes) < 2 or any(w.far for w in windows) or saved(op, windows) * n.type.size < LEAST:
        return made
    made = Cast(float64)(inputs[0]) if wide else inputs[0]
    for axis in axes:
        made = _along(op, axis, len(windows))(made)
    return Cast(n.dtype)(made) if wide else made


def saved(op: MaxPool | AveragePool, windows: Sequence[Window]) -> float:
    """How many taps less each result needs when every axis is an operator of its own."""
    costs = [w.kernel * (APART if w.stride > 1 and not op.channels_last and w is windows[-1] else 1) for w in windows]
    passes, points = 0.0, 1.0  # of a result: elements that are made on the way, of which more axes are still whole
    for w, cost in zip(reversed(windows), reversed(costs), strict=True):
        passes += points * (cost + STORED[type(op)] * (w is not windows[-1])) * (w.kernel > 1)
        points *= w.size / w.count
    return math.prod(costs) - passes


def _along(op: MaxPool | AveragePool, axis: int, rank: int) -> MaxPool | AveragePool:
    """The part of a pool that is along one axis."""

    def part(values: tuple[int, ...], default: int) -> tuple[int, ...]:
        return tuple(v if k % rank == axis else default for k, v in enumerate(values))

    return replace(
        op, kernel=part(op.kernel, 1), strides=part(op.strides, 1), padding=part(op.padding, 0),
        dilation=part(op.dilation, 1),
    )  # fmt: skip
