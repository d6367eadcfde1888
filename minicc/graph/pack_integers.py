"""Contractions of small integers by words, several products a step.

In: a `ConvInteger` whose data lies with channels last, or a `MatMulInteger`, and a target. Out: its packed form (`ops.words`),
the weights by `Pad`, `Reshape`, `Transpose` and `AsWords`, which constant folding computes; itself where there is none.

Where the target multiplies bytes, and the weights are bytes, words hold bytes: the data without a sign, the weights with one.

    data with a sign         x . w = (x + 128) . w - 128 * (sum of w along the depth)
    weights without one      x . w = x . (w - 128) + 128 * (sum of x along the depth)

Adding 128 turns the highest bit of a byte. Elsewhere words hold two int16, which any differences of bytes are. A
convolution of each channel by itself has no sums to share, so it multiplies floats, which are exact as far as its sums go.

>>> from minicc.graph.ir import constant, input
>>> from minicc.ops import ConvInteger
>>> from minicc.types import TensorType
>>> x, w = input("x", TensorType(uint8, (1, 8, 8, 16))), constant(np.ones((16, 16, 1, 1), np.int8))
>>> [packed_convolution(ConvInteger(), x, w, Target.of(name)).op.halves for name in ("haswell", "cascadelake")]
[True, False]
"""

from __future__ import annotations

import math

import numpy as np

from minicc.graph.ir import Constant, Node, constant
from minicc.graph.moves import moved, padded, reshaped
from minicc.ops import Add, AsWords, BitwiseXor, Cast, ConvInteger, DepthwiseConvInteger, Mul, PackedConvInteger
from minicc.ops import PackedMatMulInteger, PadToWords, ReduceSum
from minicc.ops.depthwise import MOST, MOST_TAPS
from minicc.ops.packed import block_of
from minicc.ops.words import SMALL, per_word
from minicc.target import Target
from minicc.types import float32, int8, int16, int32, uint8

HALF = 128
PAIR = (uint8, int8)


def within(w: Node, low: int, high: int) -> bool:
    """Whether a node is a constant of integers in a range."""
    return isinstance(w.op, Constant) and bool(not w.type.size or (w.array.min() >= low and w.array.max() <= high))


def as_bytes(w: Node) -> Node | None:
    """Weights as bytes with a sign: those that are, and constants that fit."""
    if w.dtype is int8:
        return w
    return constant(w.array.astype(np.int8)) if within(w, -HALF, HALF - 1) else None


def wide(n: Node) -> Node:
    """Integers as int16."""
    if isinstance(n.op, Constant):
        return constant(n.array.astype(np.int16))
    made: Node = n if n.dtype is int16 else Cast(int16)(n)
    return made


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
    """Integers `[..., 4]` or `[..., 2]` as words `[...]`."""
    return reshaped(AsWords()(n), n.shape[:-1])


def words_along(n: Node) -> Node:
    """Integers as words along the last axis; what makes them writes words where they are to be padded."""
    made: Node = (PadToWords() if n.shape[-1] % per_word(n.dtype) else AsWords())(n)
    return made


# ---- convolutions -----------------------------------------------------------------------------------------------


def suits_words(n: Node, target: Target) -> bool:
    """Whether a node is a convolution of bytes, by constants, whose groups are whole words."""
    if not isinstance(n.op, ConvInteger) or n.inferred is None or not n.type.size:
        return False
    x, w = n.inputs
    if x.dtype not in PAIR or not isinstance(w.op, Constant) or not w.type.size:
        return False
    each = 4 if target.multiplies_bytes and as_bytes(w) else 2
    return bool(n.op.groups == 1 or w.shape[1] % each == 0 or is_depthwise(n.op, w))


def is_depthwise(op: ConvInteger, w: Node) -> bool:
    """Whether each channel has a kernel of its own, whose sums float32 has."""
    alone = op.groups == w.shape[0] > 1 == w.shape[1] and math.prod(w.shape[2:]) <= MOST_TAPS
    return bool(alone and within(w, -MOST, MOST))


def depthwise_convolution(op: ConvInteger, x: Node, w: Node) -> Node:
    """By `DepthwiseConvInteger`, of data with channels last."""
    weights = Cast(float32)(moved(reshaped(w, (w.shape[0], *w.shape[2:])), (*range(1, w.type.rank - 1), 0)))
    made: Node = DepthwiseConvInteger(op.strides, op.padding, op.dilation, op.auto_pad, op.fill)(x, weights)
    return made


def packed_convolution(op: ConvInteger, x: Node, w: Node, target: Target) -> Node:
    """Of data with channels last: by `PackedConvInteger`, the weights in blocks of output channels, or by channels."""
    if is_depthwise(op, w):
        return depthwise_convolution(op, x, w)
    weights, fill, less = as_bytes(w), op.fill, None
    halves = weights is None or not target.multiplies_bytes
    if halves or weights is None:
        x, weights = wide(x), wide(w)
    elif x.dtype is int8:
        x, fill = turned(x), fill + HALF
        less = constant(-HALF * weights.array.reshape(w.shape[0], -1).sum(axis=1, dtype=np.int32))
    made = PackedConvInteger(w.shape[0], op.strides, op.padding, op.dilation, op.groups, op.auto_pad, fill, halves)
    result: Node = made(words_along(x), _in_blocks(weights, op.groups, target.lanes(int32)))
    return result if less is None else Add()(result, less)


def _in_blocks(w: Node, groups: int, lanes: int) -> Node:
    """Weights `[O, I, kernel...]` as words `[blocks, kernel..., words, block]`."""
    outputs, inputs, *kernel = w.shape
    each, word = outputs // groups, per_word(w.dtype)
    block, depth = block_of(each, lanes), inputs + -inputs % word
    count = -(-each // block)
    grouped = reshaped(padded(w, 1, depth - inputs), (groups, each, depth, *kernel))
    whole = padded(grouped, 1, count * block - each)
    apart = reshaped(whole, (groups * count, block, depth // word, word, *kernel))
    return words_of(moved(apart, (0, *range(4, 4 + len(kernel)), 2, 1, 3)))


# ---- products ---------------------------------------------------------------------------------------------------


def packed_product(n: Node, lanes: int, bytes: bool) -> Node:
    """By `PackedMatMulInteger`, where both operands are matrices of small integers; else the node itself."""
    a, b = n.inputs
    if a.type.rank < 2 or b.type.rank < 2 or not (n.type.size and a.type.size) or b.shape[-1] < lanes // 4:
        return n
    if a.dtype not in SMALL or b.dtype not in SMALL:
        return n
    weights = as_bytes(b) or b
    if not bytes or a.dtype is int16 or weights.dtype is int16:
        return _by_words(wide(a), wide(b), lanes)
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
    word, count, block = per_word(b.dtype), len(batch), 2 * lanes if columns > lanes else lanes
    b = padded(padded(b, count, -depth % word), count + 1, -columns % block)
    split = reshaped(b, (*batch, b.shape[-2] // word, word, b.shape[-1] // block, block))
    packed = words_of(moved(split, (*range(count), count + 2, count, count + 3, count + 1)))
    words, *outer = words_along(a), *a.shape[:-1]
    made = PackedMatMulInteger(columns, b.dtype is int16)
    if count or len(outer) == 1 or math.prod(outer[:-1]) == 1:
        product: Node = made(words, packed)
        return product
    rows = reshaped(words, (math.prod(outer), words.shape[-1]))  # all of them meet the same weights
    return reshaped(made(rows, packed), (*outer, columns))


__all__ = ["packed_convolution", "packed_product", "suits_words"]
