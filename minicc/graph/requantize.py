"""Gather what zero points and scales do to products of integers: a term and a factor for each output channel.

In: a graph whose constants are folded, and whose products of integers (`ops.integer`) are of differences from zero
points, `ConvInteger(x - zx, w)`. Out: the graph with products of the integers themselves, whose kernels want bytes,
and terms for the zero points; and with requantisation as one factor:

    ConvInteger(x - zx, w)               ConvInteger(fill=zx)(x, w) - zx * sum(w)
    MatMulInteger(a - za, b - zb)        a @ b - za * columns(b) - zb * rows(a) + depth * za * zb
    ... of weights w - zw in int16       the same of int8, if their values are
    Quantize(v * a / b, zero)            Quantize(v * (a / b), zero), into Relu, Clip and sums in between

Sums of constants fold. The first ones are exact, as int32 wraps around; the last changes the rounding of v, and so a result
by one step where it lies between two of them, and is left out of `exact`.

Needs: constants folded. Ensures: the same integers; a division of what is quantised is by no constant.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from minicc.graph.ir import Constant, Graph, Node, constant
from minicc.graph.transform import same, transform
from minicc.ir.node import replace
from minicc.ops import Add, Cast, Clip, ConvInteger, Div, MatMulInteger, Mul, Pad, Quantize, ReduceSum, Relu
from minicc.ops import Reshape, Sub, Where
from minicc.types import DType, float32, int8, int16, int32, uint8

DEEPEST = 4  # sums within sums that a scale moves into


def requantize(graph: Graph, exact: bool = False) -> Graph:
    """The graph with zero points and scales gathered."""
    readers, kept = graph.users(), set(graph.outputs)

    def change(n: Node, inputs: tuple[Node, ...]) -> Node:
        made = same(n, inputs)
        if isinstance(n.op, ConvInteger):
            return _conv(made)
        if isinstance(n.op, MatMulInteger):
            return _matmul(made)
        if isinstance(n.op, Quantize) and not exact:
            private = {m for m in _between(n.inputs[0], DEEPEST) if len(readers[m]) == 1 and m not in kept}
            return _quantized(n, made, private)
        return made

    return transform(graph, change)


# ---- zero points ------------------------------------------------------------------------------------------------


def _split(n: Node) -> tuple[Node, Node | None]:
    """A factor as bytes, and the zero point that it has in addition; the factor itself where it is no such difference."""
    if isinstance(n.op, Constant) and n.dtype is int16:
        for dtype in (int8, uint8):
            if ((n.array >= dtype.range[0]) & (n.array <= dtype.range[1])).all():
                return constant(n.array.astype(dtype.numpy)), None
    if isinstance(n.op, Sub) and isinstance(n.inputs[0].op, Cast):
        (x,), zero = n.inputs[0].inputs, n.inputs[1]
        if x.dtype in (uint8, int8) and zero.type.size == 1 and x.shape == n.shape:
            return x, zero
    return n, None


def _conv(n: Node) -> Node:
    assert isinstance(n.op, ConvInteger)
    (x, zero), (w, shift) = map(_split, n.inputs)
    if shift is not None:
        w = n.inputs[1]
    if not x.dtype.range[0] <= n.op.fill <= x.dtype.range[1]:
        x = n.inputs[0]
    made: Node = n.op(x, w)
    if zero is None:
        return made
    if isinstance(zero.op, Constant):
        made = replace(n.op, fill=int(zero.array.item()))(x, w)
    else:
        made = replace(n.op, padding=(), auto_pad="NOTSET")(_padded(n.op, x, w, zero), w)
    sums = ReduceSum(tuple(range(1, w.type.rank)), keepdims=False)(Cast(int32)(w))
    result: Node = Sub()(made, Mul()(Reshape((w.shape[0], *[1] * (w.type.rank - 2)))(sums), _scalar(zero)))
    return result


def _padded(op: ConvInteger, x: Node, w: Node, zero: Node) -> Node:
    """The data of a convolution with a zero point around it that a call brings."""
    windows = op.windows(x.shape[2:], w.shape[2:])
    pad = Pad((0, 0, *[v.begin for v in windows], 0, 0, *[v.end for v in windows]))
    if not any(v.begin or v.end for v in windows):
        return x
    inside = pad(np.ones((1, 1, *x.shape[2:]), np.uint8)).astype(bool)
    made: Node = Where()(inside, pad(x), _scalar(zero, x.dtype))
    return made


def _matmul(n: Node) -> Node:
    (a, left), (b, right) = map(_split, n.inputs)
    if a.type.rank < 2 or b.type.rank < 2:
        return n
    total: Node = n.op(a, b)
    for zero, other, axis in ((left, b, -2), (right, a, -1)):
        if zero is not None:
            sums = ReduceSum((axis,))(Cast(int32)(other))
            total = Sub()(total, Mul()(sums, _scalar(zero)))
    if left is not None and right is not None:
        total = Add()(total, Mul()(Mul()(_scalar(left), _scalar(right)), np.int32(a.shape[-1])))
    return total


def _scalar(zero: Node, dtype: DType = int32) -> Node:
    made: Node = Cast(dtype)(Reshape(())(zero) if zero.type.rank else zero)
    return made


# ---- scales -----------------------------------------------------------------------------------------------------


def _between(n: Node, depth: int) -> Iterator[Node]:
    """The nodes that a factor may move through."""
    yield n
    if depth and isinstance(n.op, (Div, Mul, Add, Relu, Clip)):
        for i in n.inputs:
            yield from _between(i, depth - 1)


def _quantized(n: Node, made: Node, private: set[Node]) -> Node:
    """Quantize of a quotient, as that of a product."""
    value, zero = made.inputs
    if isinstance(value.op, Div) and n.inputs[0] in private and isinstance(value.inputs[1].op, Constant):
        step = value.inputs[1].array
        with np.errstate(all="ignore"):
            factor = (1 / step.astype(np.float64)).astype(np.float32)
        if value.dtype is float32 and np.isfinite(factor).all() and (step > 0).all():
            value = _times(n.inputs[0].inputs[0], value.inputs[0], factor, private)
    least = isinstance(zero.op, Constant) and (zero.array == zero.dtype.range[0]).all()
    if least and isinstance(value.op, Relu):  # what is below 0 becomes the least integer anyway
        value = value.inputs[0]
    result: Node = made.op(value, zero)
    return result


def _times(old: Node, n: Node, factor: np.ndarray, private: set[Node]) -> Node:
    """n * factor, a positive one, where `old` is what `n` was in the graph that is rebuilt."""
    made: Node
    if old in private and type(old.op) is type(n.op):
        parts = list(zip(old.inputs, n.inputs, strict=True))
        if isinstance(n.op, Mul) and isinstance(n.inputs[1].op, Constant):
            scale = (n.inputs[1].array.astype(np.float64) * factor).astype(np.float32)
            if np.isfinite(scale).all() and (scale > 0).all():
                made = Mul()(n.inputs[0], scale)
                return made
        if isinstance(n.op, Relu) or (isinstance(n.op, Clip) and factor.ndim == 0):
            moved = [_times(*parts[0], factor, private), *[_folded(i, factor) for i in n.inputs[1:]]]
            made = n.op(*moved)
            return made
        if isinstance(n.op, Add):
            made = Add()(
                *[_folded(i, factor) if isinstance(i.op, Constant) else _times(o, i, factor, private) for o, i in parts]
            )
            return made
    made = Mul()(n, factor)
    return made


def _folded(n: Node, factor: np.ndarray) -> Node:
    """n * factor, now if it is a constant."""
    made: Node = constant((n.array * factor).astype(np.float32)) if isinstance(n.op, Constant) else Mul()(n, factor)
    return made
