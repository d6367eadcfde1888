"""Compute on the integers of a quantised network, instead of on the real numbers that they stand for.

In: a bound graph without composites. Out: the graph in which a contraction of dequantised operands is one of integers,
what only moves dequantised values moves the integers, and every QuantizeLinear and DequantizeLinear is its definition by
elementwise operators, which fuse into the kernels before and behind. `graph.requantize` then gathers zero points and scales.

    DequantizeLinear -> Conv, MatMul     ConvInteger, MatMulInteger, then a scale for each output channel (int32 sums)
    DequantizeLinear -> AveragePool      a ConvInteger of ones, then a scale
    ... + DequantizeLinear(bias)         the bias is added in int32, if its scale is that of the product
    DequantizeLinear -> Reshape, MaxPool Reshape, MaxPool -> DequantizeLinear
    DequantizeLinear -> QuantizeLinear   nothing, if both have one scale and one zero point

The first three sum exactly what the model sums with a rounding at each step, so they are left out where every operation is to
be as the model has it (`exact`). onnxruntime does the same; where a sum lies between two steps of the result's grid, the
results may be one step apart (Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference).

Needs: bound types. Ensures: no QuantizeLinear and no DequantizeLinear; no other value, but for the rounding of sums.

>>> import numpy as np
>>> from minicc.graph.ir import Graph, constant, input
>>> from minicc.types import TensorType
>>> x, s = input("x", TensorType(uint8, (2, 4))), constant(np.float32(0.5))
>>> w = DequantizeLinear()(constant(np.ones((4, 3), np.int8)), s)
>>> graph = Graph("main", (x,), (MatMul()(DequantizeLinear()(x, s), w),), ("y",))
>>> [n.op.name for n in quantize_products(graph).nodes if n.inputs]
['MatMulInteger', 'Cast', 'Mul']
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from minicc import ops
from minicc.graph.fold_constants import fold_constants
from minicc.graph.ir import Constant, Graph, Node
from minicc.graph.requantize import requantize
from minicc.graph.transform import same, transform
from minicc.ir.node import replace
from minicc.ops import (
    Add,
    AveragePool,
    Cast,
    Conv,
    ConvInteger,
    DequantizeLinear,
    MatMul,
    MatMulInteger,
    Mul,
    QuantizeLinear,
    Sub,
)
from minicc.ops.base import Array, Operator
from minicc.ops.depthwise import MOST_TAPS
from minicc.types import float32, int8, int16, int32, uint8

Rule = Callable[[Node], Node | None]

BYTES = (uint8, int8)
LONGEST = 2**31 // 255**2  # terms of a sum that int32 holds
QUANTIZED = (QuantizeLinear, DequantizeLinear, ConvInteger, MatMulInteger)
MOVES = (ops.Reshape, ops.Transpose, ops.Squeeze, ops.Unsqueeze, ops.Flatten, ops.Slice, ops.Gather, ops.Expand, ops.Tile,
         ops.DepthToSpace, ops.SpaceToDepth, ops.Split, ops.MaxPool)  # fmt: skip


def quantize_products(graph: Graph, exact: bool = False) -> Graph:
    """The graph with integers multiplied; the same graph when nothing is quantised."""
    if not any(isinstance(n.op, QUANTIZED) for n in graph.nodes):
        return graph
    rules = MOVEMENT if exact else MOVEMENT | PRODUCTS
    graph = transform(graph, partial(_apply, rules))
    return requantize(fold_constants(transform(graph, _defined)), exact)


def _apply(rules: dict[type[Operator], Rule], n: Node, inputs: tuple[Node, ...]) -> Node:
    made = same(n, inputs)
    rule = rules.get(type(n.op))
    return (rule(made) if rule and made.inferred is not None else None) or made


def _defined(n: Node, inputs: tuple[Node, ...]) -> Node:
    """Quantisation by its definition."""
    if not isinstance(n.op, (QuantizeLinear, DequantizeLinear)) or n.inferred is None:
        return same(n, inputs)
    made: Node = n.op.expand(*inputs)
    return made


# ---- movement ---------------------------------------------------------------------------------------------------


def of_tensor(n: Node) -> bool:
    """Whether a value is dequantised with one scale for all of it."""
    return isinstance(n.op, DequantizeLinear) and n.inputs[1].type.size == 1


def moved(n: Node) -> Node | None:
    """What only moves elements, or takes the greatest of some: before it is dequantised."""
    x, *rest = n.inputs
    if of_tensor(x):
        made: Node = _per_tensor(x)(n.op(x.inputs[0], *rest), *x.inputs[1:])
        return made
    if isinstance(n.op, ops.Transpose) and isinstance(x.op, DequantizeLinear) and x.inputs[1].type.rank == 1:
        axis = n.op.axes(n.type.rank).index(x.op.axis % n.type.rank)
        turned: Node = replace(x.op, axis=axis)(n.op(x.inputs[0]), *x.inputs[1:])
        return turned
    return None


def _per_tensor(x: Node) -> Operator:
    return replace(x.op, axis=0, block_size=0)


def joined(n: Node) -> Node | None:
    """A Concat of what has one scale and one zero point."""
    first = n.inputs[0]
    if not all(of_tensor(x) and x.op is first.op and x.inputs[1:] == first.inputs[1:] for x in n.inputs):
        return None
    made: Node = _per_tensor(first)(n.op(*[x.inputs[0] for x in n.inputs]), *first.inputs[1:])
    return made


def nothing(n: Node) -> Node | None:
    """Back to the grid from which a value comes."""
    x, *grid = n.inputs
    if not isinstance(x.op, DequantizeLinear) or x.inputs[0].type != n.type or n.dtype is int32:
        return None
    return x.inputs[0] if tuple(grid) == x.inputs[1:] and (of_tensor(x) or _axes(n) == _axes(x)) else None


def _axes(n: Node) -> tuple[int, int]:
    assert isinstance(n.op, (QuantizeLinear, DequantizeLinear))
    return n.op.axis % max(n.type.rank, 1), n.op.block_size


# ---- products ---------------------------------------------------------------------------------------------------


def product(n: Node) -> Node | None:
    """A contraction of dequantised operands, the second one perhaps with a scale for each output channel."""
    x, w = n.inputs
    if n.dtype is not float32 or not of_tensor(x) or x.inputs[0].dtype not in BYTES or not _of_channels(n.op, w):
        return None
    depth = math.prod(w.shape[1:]) if isinstance(n.op, Conv) else x.shape[-1]
    if depth > LONGEST or not x.type.rank or not w.type.rank:
        return None
    if isinstance(n.op, Conv):
        op: Operator = ConvInteger(n.op.strides, n.op.padding, n.op.dilation, n.op.groups, n.op.auto_pad)
    else:
        op = MatMulInteger()
    total: Node = Cast(float32)(op(_centered(x), _centered(w)))
    scale: Node = w.inputs[1]
    if scale.type.rank == 1:
        tail = n.type.rank - 2 if isinstance(n.op, Conv) else 0
        scale = ops.Reshape((-1, *[1] * tail))(scale)
    made: Node = Mul()(total, Mul()(scale, _number(x.inputs[1])))
    return made


def averaged(n: Node) -> Node | None:
    """Means of windows of a dequantised value: sums of integers by a convolution of ones, each over its count."""
    (x,) = n.inputs
    assert isinstance(n.op, AveragePool)
    if n.dtype is not float32 or not of_tensor(x) or x.inputs[0].dtype not in BYTES or n.op.channels_last:
        return None
    windows, size = n.op.windows(x.shape[2:], n.op.kernel), (1, 1, *x.shape[2:])
    if math.prod(w.kernel for w in windows) > MOST_TAPS or any(w.far for w in windows) or not n.type.size:
        return None
    padding = (*[w.begin for w in windows], *[max(w.overhang, 0) for w in windows])
    conv = ConvInteger(n.op.strides, padding, n.op.dilation)
    ones = np.ones((x.shape[1], 1, *[w.kernel for w in windows]), np.int8)
    total: Node = replace(conv, groups=x.shape[1])(_centered(x), ones)
    share = n.op.numpy(np.ones(size, np.float32)) / conv.numpy(np.ones(size, np.int8), ones[:1])
    share = share.astype(np.float32)
    each = share.ravel()[0] if (share == share.ravel()[0]).all() else share
    made: Node = Mul()(Cast(float32)(total), Mul()(_number(x.inputs[1]), each))
    return made if made.type == n.type else None


def _of_channels(op: Operator, w: Node) -> bool:
    """Whether `w` is dequantised from bytes, with a scale for all of it or for each output channel."""
    if not isinstance(w.op, DequantizeLinear) or w.inputs[0].dtype not in BYTES:
        return False
    channels = 0 if isinstance(op, Conv) else w.type.rank - 1
    return of_tensor(w) or (w.inputs[1].type.rank == 1 and _axes(w) == (channels, 0))


def _number(scale: Node) -> Node:
    made: Node = ops.Reshape(())(scale) if scale.type.rank else scale
    return made


def _centered(x: Node) -> Node:
    """The integers less their zero point."""
    assert isinstance(x.op, DequantizeLinear)
    value, zero = x.inputs[0], _zero(x)
    made: Node = value if zero is None else Sub()(Cast(int16)(value), x.op.spread(Cast(int16)(zero), value))
    return made


def _zero(x: Node) -> Node | None:
    """The zero point of a dequantised value, if it is not 0."""
    zero = x.inputs[2] if len(x.inputs) > 2 else None
    return None if zero is None or (isinstance(zero.op, Constant) and not zero.array.any()) else zero


def biased(n: Node) -> Node | None:
    """A bias whose scale is that of the product, added to the sums."""
    for y, bias in (n.inputs, n.inputs[::-1]):
        if not (isinstance(y.op, Mul) and isinstance(y.inputs[0].op, Cast) and y.inputs[0].inputs[0].dtype is int32):
            continue
        (cast, scale), found = y.inputs, _of_int32(bias)
        step, expected = (_value(found[1]), _value(scale)) if found else (None, None)
        if found and step is not None and expected is not None and np.allclose(step, expected, rtol=1e-6, atol=0):
            made: Node = Mul()(Cast(float32)(Add()(cast.inputs[0], found[0])), scale)
            return made if made.type == n.type else None
    return None


def _of_int32(bias: Node) -> tuple[Node, Node] | None:
    """The integers of a dequantised int32, and their scales, in its shape."""
    source = bias.inputs[0] if isinstance(bias.op, ops.Reshape) else bias
    if not isinstance(source.op, DequantizeLinear) or source.inputs[0].dtype is not int32 or _zero(source) is not None:
        return None
    whole, steps = source.inputs[0], source.op.spread(source.inputs[1], source)
    if source is bias:
        return whole, steps
    return bias.op(whole), bias.op(steps) if steps.type.rank else steps


def _value(n: Node) -> Array | None:
    """What depends on constants alone."""
    folded = fold_constants(Graph("value", (), (n,), ("value",))).outputs[0]
    return folded.array if isinstance(folded.op, Constant) else None


MOVEMENT: dict[type[Operator], Rule] = {
    **dict.fromkeys(MOVES, moved), ops.Concat: joined, QuantizeLinear: nothing,
}  # fmt: skip
PRODUCTS: dict[type[Operator], Rule] = {AveragePool: averaged, Conv: product, MatMul: product, Add: biased}
