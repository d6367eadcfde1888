"""Store the second operand of a matrix product in the order in which a vector unit reads it.

In: a graph, and the lanes of a vector register. Out: the graph with `MatMul` replaced by `PackedMatMul` where that
pays, its second operand packed by `Pad`, `Reshape` and `Transpose`. On a constant these fold away; on a computed operand
(attention) they become one cheap kernel.

Needs: bound types. Ensures: the same values. Stands before constant folding, so that weights are
packed at compile time, and before fusion, which sees an ordinary anchor.
"""

from __future__ import annotations

import math
from functools import partial

from minicc.graph.ir import Constant, Graph, Node
from minicc.graph.moves import padded
from minicc.graph.pack_integers import packed_product
from minicc.graph.transform import same, transform
from minicc.ops import Cast, MatMul, MatMulInteger, Reshape, Transpose
from minicc.ops.packed import MatMulTransposed, PackedMatMul
from minicc.types import bfloat16, float16, float32, float64

COLUMNS = 4  # fewer leave most of a vector empty
ROWS = 4  # fewer rows of the first operand do not pay for packing a second operand that is computed


def pack_weights(graph: Graph, lanes: int, bytes: bool = False) -> Graph:
    """The graph with contractions packed for vectors of `lanes` float32, of a target that multiplies `bytes` or does not."""
    return transform(graph, partial(_pack, lanes, bytes))


def _pack(lanes: int, bytes: bool, n: Node, inputs: tuple[Node, ...]) -> Node:
    n = same(n, inputs)
    if isinstance(n.op, MatMulInteger) and n.inferred is not None:
        return packed_product(n, lanes, bytes)
    if isinstance(n.op, MatMul) and n.inferred is not None and n.dtype in (float16, bfloat16):
        return _pack_wide(n, lanes)
    if isinstance(n.op, MatMul) and n.inferred is not None and n.dtype in (float32, float64):
        return _pack_matmul(n, lanes * 4 // n.dtype.bytes)
    return n


def _pack_wide(n: Node, lanes: int) -> Node:
    """A product of 16-bit floats, whose sums are float32: each element is converted once, not whenever it is multiplied."""
    wide: Node = MatMul()(*[Cast(float32)(i) for i in n.inputs])
    packed = _pack_matmul(wide, lanes)
    if packed is wide:
        return n
    made: Node = Cast(n.dtype)(packed)
    return made


def _across(n: Node, lanes: int) -> Node:
    """A product with few rows and a transposed operand, which is read as it is: a copy would be read once."""
    a, b = n.inputs
    if not isinstance(b.op, Transpose) or b.shape[-2] < 4 * lanes:
        return n
    rank = len(b.shape)
    perm = b.op.axes(rank)
    if perm[-2] != rank - 1:  # what is summed over does not lie together
        return n
    made: Node = MatMulTransposed()(a, Transpose(perm=(*perm[:-2], perm[-1], perm[-2]))(b.inputs[0]))
    return made


def _pack_matmul(n: Node, lanes: int) -> Node:
    a, b = n.inputs
    if len(a.shape) < 2 or len(b.shape) < 2 or n.type.size == 0 or b.type.size == 0:
        return n
    known = isinstance(b.op, Constant) or (isinstance(b.op, Cast) and isinstance(b.inputs[0].op, Constant))
    if not known and a.shape[-2] < ROWS:
        return _across(n, lanes)
    if b.shape[-1] < (COLUMNS if known else lanes):
        return n
    *batch, depth, columns = b.shape
    block = 2 * lanes if columns > lanes else lanes
    b = padded(b, len(batch) + 1, -columns % block)
    count = len(batch)
    split = Reshape(shape=(*batch, depth, b.shape[-1] // block, block))(b)
    packed = Transpose(perm=(*range(count), count + 1, count, count + 2))(split)
    *outer, inputs = a.shape
    if count or not all(isinstance(d, int) for d in outer) or math.prod(outer[:-1]) == 1:
        made: Node = PackedMatMul(columns=columns)(a, packed)
        return made
    rows = Reshape((math.prod(outer), inputs))(a)  # all of them meet the same weights
    product: Node = Reshape((*outer, columns))(PackedMatMul(columns=columns)(rows, packed))
    return product
