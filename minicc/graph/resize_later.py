"""Pointwise convolutions before images are enlarged, not after: the same sums, of fewer points.

In: a graph whose Resize operators are not expanded yet. Out: the graph in which a 1x1 convolution of an enlarged image is
the enlarged result of the convolution: one mixes channels, the other points, so they commute. Of a Concat of several
images, as decoders and detectors have it, each enlarged one gets a convolution of its own, by its share of the weights,
and the results are added: the Concat need not be stored.

Exactness. With nearest samples a part keeps every bit. With linear ones its terms are rounded in another order; and the
sum over all channels is taken in parts. `exact` leaves all as it is.

Needs: the types of the operands. Ensures: the same outputs, but for that rounding.

>>> import numpy as np
>>> from minicc.graph.ir import Graph, input
>>> from minicc.types import TensorType, float32
>>> x = input("x", TensorType(float32, (1, 8, 4, 4)))
>>> large = Resize(scales=(1.0, 1.0, 2.0, 2.0))(x)
>>> graph = Graph("main", (x,), (Conv()(large, np.ones((8, 8, 1, 1), np.float32)),), ("y",))
>>> [n.op.name for n in resize_later(graph).nodes]
['Input', 'Constant', 'Conv', 'Resize']
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial, reduce

from minicc.graph.ir import Constant, Graph, Node
from minicc.graph.transform import same, transform
from minicc.ir.node import replace
from minicc.ops import Add, BatchNormalization, Concat, Conv, Resize, Slice


def resize_later(graph: Graph, exact: bool = False) -> Graph:
    """The graph with 1x1 convolutions before enlargements; the same graph when there are none of both."""
    if exact or not any(isinstance(n.op, Resize) for n in graph.nodes):
        return graph
    users = graph.users()
    alone = {n for n, readers in users.items() if len(readers) == 1 and n not in graph.outputs}
    normed = {n for n in alone if isinstance(users[n][0].op, BatchNormalization)}  # which goes into the weights
    return transform(graph, partial(_later, alone, normed))


def _later(alone: set[Node], normed: set[Node], n: Node, inputs: tuple[Node, ...]) -> Node:
    made = same(n, inputs)
    if not isinstance(n.op, Conv) or not _is_pointwise(n, n.op) or n in normed:
        return made
    x = n.inputs[0]
    joined = isinstance(x.op, Concat) and x in alone and x.op.axis % x.type.rank == 1
    before, after = (x.inputs, inputs[0].inputs) if joined and len(x.inputs) > 1 else ((x,), (inputs[0],))
    large = [k for k, part in enumerate(before) if part in alone and _is_enlarged(part)]
    return _summed(n.op, after, inputs[1], large) if large else made


def _summed(op: Conv, parts: Sequence[Node], w: Node, large: Sequence[int]) -> Node:
    """The convolution of the concatenated parts as a sum, where those named in `large` are enlarged."""
    ends = list(itertools.accumulate(part.shape[1] for part in parts))
    shares = [Slice((end - part.shape[1],), (end,), (1,))(w) for part, end in zip(parts, ends, strict=True)]
    shares = shares if len(parts) > 1 else [w]
    terms: list[Node] = [_of_points(parts[k])(op(parts[k].inputs[0], shares[k])) for k in large]
    rest = [k for k in range(len(parts)) if k not in large]
    if rest:  # last: its epilogue adds the others
        whole = Concat(1)(*[parts[k] for k in rest]) if len(rest) > 1 else parts[rest[0]]
        weights = Concat(1)(*[shares[k] for k in rest]) if len(rest) > 1 else shares[rest[0]]
        terms.append(op(whole, weights))
    return reduce(lambda total, term: Add()(total, term), terms)


def _of_points(n: Node) -> Resize:
    """The Resize of `n`, of however many channels."""
    op, rank = n.op, n.type.rank
    assert isinstance(op, Resize)
    axes = [axis % rank for axis in op.axes] or range(rank)
    kept = [k for k, axis in enumerate(axes) if axis > 1]
    scales, sizes = (
        tuple(given[k] for k in kept) if isinstance(given, tuple) else None for given in (op.scales, op.sizes)
    )
    return replace(op, scales=scales or None, sizes=sizes or None, roi=None, axes=tuple(axes[k] for k in kept))


def _is_pointwise(n: Node, op: Conv) -> bool:
    if n.inferred is None or op.groups != 1:
        return False
    w, rank = n.inputs[1], n.type.rank - 2
    strides, padding, _ = op.attributes(rank)
    plain = not any(padding) and set(strides) == {1} and set(w.shape[2:]) == {1}
    return plain and isinstance(w.op, Constant) and n.dtype.is_float


def _is_enlarged(n: Node) -> bool:
    """Whether `n` is made of fewer points by a Resize that is linear in them, and leaves batch and channels alone."""
    op = n.op
    if not isinstance(op, Resize) or op.pending or n.inferred is None or n.inputs[0].inferred is None:
        return False
    small = n.inputs[0].shape
    linear = op.mode in ("nearest", "linear") and op.coordinate_transformation_mode != "tf_crop_and_resize"
    linear = linear and op.keep_aspect_ratio_policy == "stretch"
    return linear and small[:2] == n.shape[:2] and n.type.size >= 2 * n.inputs[0].type.size > 0
