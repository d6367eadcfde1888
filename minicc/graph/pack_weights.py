"""Store the weights of contractions in the order in which a vector unit reads them.

In: a graph, and the lanes of a vector register. Out: the graph with `Conv` and `MatMul` replaced
by `PackedConv` and `PackedMatMul` where that pays, their second operand packed by `Pad`,
`Reshape` and `Transpose`. On a constant these fold away; on a computed operand (attention) they
become one cheap kernel.

Needs: bound types. Ensures: the same values. Stands before constant folding, so that weights are
packed at compile time, and before fusion, which sees an ordinary anchor.
"""

from __future__ import annotations

from functools import partial

from minicc.graph.ir import Constant, Graph, Node
from minicc.graph.transform import same, transform
from minicc.ops import Conv, MatMul, Pad, Reshape, Transpose
from minicc.ops.packed import PackedConv, PackedMatMul
from minicc.types import float32, float64

ROWS = 4  # fewer rows of the first operand do not pay for packing a second operand that is computed


def pack_weights(graph: Graph, lanes: int) -> Graph:
    """The graph with contractions packed for vectors of `lanes` float32."""
    return transform(graph, partial(_pack, lanes))


def _pack(lanes: int, n: Node, inputs: tuple[Node, ...]) -> Node:
    n = same(n, inputs)
    if isinstance(n.op, (Conv, MatMul)) and n.inferred is not None and n.dtype in (float32, float64):
        lanes = lanes * 4 // n.dtype.bytes
        return _pack_conv(n, n.op, lanes) if isinstance(n.op, Conv) else _pack_matmul(n, lanes)
    return n


def _pack_conv(n: Node, op: Conv, lanes: int) -> Node:
    x, w = n.inputs
    channels = w.shape[0]
    if (
        op.groups != 1
        or channels < lanes
        or not isinstance(w.op, Constant)
        or n.type.size == 0
        or not op.is_whole(x, w)
    ):
        return n
    block = 2 * lanes if channels > lanes else lanes
    w = _padded(w, 0, -channels % block)
    rank = len(w.shape)
    blocks = Reshape(shape=(w.shape[0] // block, block, *w.shape[1:]))(w)
    packed = Transpose(perm=(0, *range(3, rank + 1), 2, 1))(blocks)
    last = Transpose(perm=(0, *range(2, rank), 1))(x)
    conv = PackedConv(channels, op.strides, op.padding, op.dilation, 1, op.auto_pad)(last, packed)
    made: Node = Transpose(perm=(0, rank - 1, *range(1, rank - 1)))(conv)
    return made


def _padded(n: Node, axis: int, count: int) -> Node:
    """`n` with so many zeros after the end of `axis`."""
    if not count:
        return n
    pads = [0] * (2 * len(n.shape))
    pads[len(n.shape) + axis] = count
    made: Node = Pad(pads=tuple(pads), value=0.0)(n)
    return made


def _pack_matmul(n: Node, lanes: int) -> Node:
    a, b = n.inputs
    if len(a.shape) < 2 or len(b.shape) < 2 or n.type.size == 0 or b.type.size == 0 or b.shape[-1] < lanes:
        return n
    if not isinstance(b.op, Constant) and a.shape[-2] < ROWS:
        return n
    *batch, depth, columns = b.shape
    block = 2 * lanes if columns > lanes else lanes
    b = _padded(b, len(batch) + 1, -columns % block)
    count = len(batch)
    split = Reshape(shape=(*batch, depth, b.shape[-1] // block, block))(b)
    packed = Transpose(perm=(*range(count), count + 1, count, count + 2))(split)
    made: Node = PackedMatMul(columns=columns)(a, packed)
    return made
