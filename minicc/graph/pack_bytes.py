"""Contractions of bytes by words: data without a sign, weights with one, four products a step.

In: a `ConvInteger` whose data lies with channels last, or a `MatMulInteger`. Out: its packed form (`ops.words`), the
weights by `Pad`, `Reshape`, `Transpose` and `AsWords`, which constant folding computes; None where there is none.

    data with a sign         x . w = (x + 128) . w - 128 * (sum of w along the depth)
    weights without one      x . w = x . (w - 128) + 128 * (sum of x along the depth)

Adding 128 turns the highest bit of a byte. A convolution of each channel by itself has no sums to share, so it multiplies
floats, which are exact as far as its sums go.

>>> from minicc.graph.ir import constant, input
>>> from minicc.ops import ConvInteger
>>> from minicc.types import TensorType
>>> x, w = input("x", TensorType(uint8, (1, 8, 8, 16))), constant(np.ones((16, 16, 1, 1), np.int8))
>>> packed_convolution(ConvInteger(), x, w, 16).op.name
'PackedConvInteger'
"""

from __future__ import annotations

import math

import numpy as np

from minicc.graph.ir import Constant, Node, constant
from minicc.graph.moves import moved, padded, reshaped
from minicc.ops import Add, AsWords, BitwiseXor, Cast, ConvInteger, DepthwiseConvInteger, Mul, PackedConvInteger
from minicc.ops import PackedMatMulInteger, PadToWords, ReduceSum
from minicc.ops.depthwise import MOST_TAPS
from minicc.ops.packed import block_of
from minicc.ops.words import BYTES
from minicc.types import float32, int8, int32, uint8

HALF = 128
PAIR = (uint8, int8)


def small(w: Node) -> Node | None:
    """Weights as int8: those that are, and constants that fit."""
    if w.dtype is int8:
        return w
    if isinstance(w.op, Constant) and (not w.type.size or (w.array.min() >= -HALF and w.array.max() < HALF)):
        return constant(w.array.astype(np.int8))
    return None


def turned(n: Node) -> Node:
    """Bytes plus 128, or less 128, with a sign if they had none, and the other way round."""
    flipped: Node = BitwiseXor()(n, constant(np.array(-HALF if n.dtype is int8 else HALF, n.dtype.numpy)))
    made: Node = Cast(uint8 if n.dtype is int8 else int8)(flipped)
    return made


def total(n: Node, axis: int) -> Node:
    """128 times the sum along an axis, which stays."""
    if isinstance(n.op, Constant):
        return constant((n.array.sum(axis=axis, keepdims=True, dtype=np.int64) * HALF).astype(np.int32))
    made: Node = Mul()(ReduceSum((axis,))(Cast(int32)(n)), constant(np.int32(HALF)))
    return made


def words_of(n: Node) -> Node:
    """Bytes `[..., 4]` as words `[...]`."""
    return reshaped(AsWords()(n), n.shape[:-1])


def words_along(n: Node) -> Node:
    """Bytes as words along the last axis; what makes them writes words where they are to be padded."""
    made: Node = (PadToWords() if n.shape[-1] % BYTES else AsWords())(n)
    return made


# ---- convolutions -----------------------------------------------------------------------------------------------


def suits_words(n: Node) -> bool:
    """Whether a node is a convolution of bytes, by constants, whose groups are whole words."""
    if not isinstance(n.op, ConvInteger) or n.inferred is None or not n.type.size:
        return False
    x, w = n.inputs
    whole = n.op.groups == 1 or w.shape[1] % BYTES == 0 or is_depthwise(n.op, w)
    return bool(x.dtype in PAIR and isinstance(w.op, Constant) and w.type.size and small(w) is not None and whole)


def is_depthwise(op: ConvInteger, w: Node) -> bool:
    """Whether each channel has a kernel of its own, whose sums float32 has."""
    return bool(op.groups == w.shape[0] > 1 == w.shape[1] and math.prod(w.shape[2:]) <= MOST_TAPS)


def depthwise_convolution(op: ConvInteger, x: Node, w: Node) -> Node:
    """By `DepthwiseConvInteger`, of data with channels last."""
    weights = Cast(float32)(moved(reshaped(w, (w.shape[0], *w.shape[2:])), (*range(1, w.type.rank - 1), 0)))
    made: Node = DepthwiseConvInteger(op.strides, op.padding, op.dilation, op.auto_pad, op.fill)(x, weights)
    return made


def packed_convolution(op: ConvInteger, x: Node, w: Node, lanes: int) -> Node:
    """Of data with channels last: by `PackedConvInteger`, the weights in blocks of output channels, or by channels."""
    if is_depthwise(op, w):
        return depthwise_convolution(op, x, w)
    weights, fill = small(w), op.fill
    assert weights is not None
    outputs, inputs, *kernel = w.shape
    each, depth = outputs // op.groups, inputs + -inputs % BYTES
    block = block_of(each, lanes)
    count = -(-each // block)
    grouped = reshaped(padded(weights, 1, depth - inputs), (op.groups, each, depth, *kernel))
    whole = padded(grouped, 1, count * block - each)
    apart = reshaped(whole, (op.groups * count, block, depth // BYTES, BYTES, *kernel))
    packed = words_of(moved(apart, (0, *range(4, 4 + len(kernel)), 2, 1, 3)))
    less = None
    if x.dtype is int8:
        x, fill = turned(x), fill + HALF
        less = constant(-HALF * weights.array.reshape(outputs, -1).sum(axis=1, dtype=np.int32))
    data = words_along(x)
    made = PackedConvInteger(outputs, op.strides, op.padding, op.dilation, op.groups, op.auto_pad, fill)
    result: Node = made(data, packed)
    return result if less is None else Add()(result, less)


# ---- products ---------------------------------------------------------------------------------------------------


def packed_product(n: Node, lanes: int) -> Node:
    """By `PackedMatMulInteger`, where both operands are matrices of bytes; else the node itself."""
    a, b = n.inputs
    weights = small(b) or b
    if a.type.rank < 2 or b.type.rank < 2 or not (n.type.size and a.type.size):
        return n
    if a.dtype not in PAIR or weights.dtype not in PAIR or weights.shape[-1] < lanes // 4:
        return n
    more = []
    if weights.dtype is uint8:
        more.append(total(a, -1))
        weights = turned(weights)
    if a.dtype is int8:
        more.append(Mul()(total(weights, -2), constant(np.int32(-1))))
        a = turned(a)
    result = _by_words(a, weights, lanes)
    for term in more:
        result = Add()(result, term)
    return result


def _by_words(a: Node, b: Node, lanes: int) -> Node:
    *batch, depth, columns = b.shape
    block, count, missing = 2 * lanes if columns > lanes else lanes, len(batch), -depth % BYTES
    b = padded(padded(b, count, missing), count + 1, -columns % block)
    split = reshaped(b, (*batch, b.shape[-2] // BYTES, BYTES, b.shape[-1] // block, block))
    packed = words_of(moved(split, (*range(count), count + 2, count, count + 3, count + 1)))
    words, *outer = words_along(a), *a.shape[:-1]
    if count or len(outer) == 1 or math.prod(outer[:-1]) == 1:
        made: Node = PackedMatMulInteger(columns)(words, packed)
        return made
    rows = reshaped(words, (math.prod(outer), words.shape[-1]))  # all of them meet the same weights
    return reshaped(PackedMatMulInteger(columns)(rows, packed), (*outer, columns))


__all__ = ["packed_convolution", "packed_product", "suits_words"]
