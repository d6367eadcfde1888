"""Recognise attention, softmax(q k^T * scale + mask) v, and make it one operator.

In: a simplified graph, and the lanes of a vector register. Out: the graph with each such
sub-graph, in the forms in which exporters write it, replaced by `ScaledAttention`:

- Reshape, Transpose, Slice and Split that take heads out of projections become strides, by which
  q, k and v are read where they lie;
- factors on q, on k and on the scores become one;
- what is added to the scores is a mask, and so is a Where that puts the least number there; a
  mask of windows, added in a shape with an axis more, repeats along the batch;
- a Where that clears weights that are NaN stays, as `absent`.

This is one of the rewrites that cross nodes: the weights are not rounded before they are divided
by their sum, which is done once, after the product with v.

Needs: bound types, Softmax as an operator. Ensures: the same values, but for that rounding.

>>> from minicc.graph.ir import Graph, input
>>> from minicc.ops import MatMul, Softmax, Transpose
>>> from minicc.types import TensorType, float32
>>> q, k, v = (input(name, TensorType(float32, (2, 8, 4))) for name in "qkv")
>>> y = MatMul()(Softmax()(MatMul()(q, Transpose((0, 2, 1))(k))), v)
>>> [n.op.name for n in fuse_attention(Graph("main", (q, k, v), (y,), ("y",)), lanes=8) if n.inputs]
['Reshape', 'Reshape', 'Reshape', 'ScaledAttention', 'Transpose', 'Reshape']
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from minicc.graph.ir import Constant, Graph, Node
from minicc.graph.transform import same, transform
from minicc.ops import Add, And, Div, Expand, IsNaN, MatMul, Mul, Reshape, Slice, Softmax, Split, Transpose, Where
from minicc.ops.attention import ScaledAttention, Strides
from minicc.ops.base import Array, Kind
from minicc.types import float32, float64

FEWEST = 4  # queries: fewer are products of a vector and a matrix
LEAST = -1e30  # what is added to a score and is less than this takes its place
DEEPEST = 12  # views and factors between a product and its operand


class Scores(NamedTuple):
    """q k^T, by what it is multiplied, and masks with the shapes of what they were added to."""

    product: Node
    scale: float
    masks: tuple[tuple[Node, tuple[int, ...]], ...] = ()


def fuse_attention(graph: Graph, lanes: int) -> Graph:
    """The graph with attention as single operators, for vectors of `lanes` float32."""
    users, kept = graph.users(), set(graph.outputs)

    def change(n: Node, inputs: tuple[Node, ...]) -> Node:
        made = same(n, inputs)
        if not isinstance(n.op, MatMul) or made.inferred is None or made.dtype not in (float32, float64):
            return made
        private = all(len(users[m]) <= 2 and m not in kept for m in _weights(n.inputs[0]))
        return (_fused(made, lanes * 4 // made.dtype.bytes) if private else None) or made

    return transform(graph, change)


def _weights(n: Node) -> Iterator[Node]:
    """From the left operand of a product back to the Softmax that it is, if it is one."""
    while isinstance(n.op, (Reshape, Where)):
        yield n
        n = n.inputs[-1]
    yield n


def _fused(n: Node, lanes: int) -> Node | None:
    *_, softmax = _weights(n.inputs[0])
    if not isinstance(softmax.op, Softmax) or softmax.op.axis not in (-1, softmax.type.rank - 1):
        return None
    absent = [m for m in _weights(n.inputs[0]) if isinstance(m.op, Where)]
    if any(not _clears(m) for m in absent) or not _rows_kept(_weights(n.inputs[0])):
        return None
    scores = _scores(softmax.inputs[0])
    if scores is None or 0 in (*n.shape, *scores.product.shape) or n.shape[-2] < FEWEST:
        return None
    return _attention(n, scores, bool(absent), lanes)


def _clears(n: Node) -> bool:
    """Whether this is `Where(IsNaN(x), 0, x)`."""
    cond, zero, x = n.inputs
    return isinstance(cond.op, IsNaN) and cond.inputs[0] is x and _number(zero) == 0


def _rows_kept(nodes: Iterator[Node]) -> bool:
    """Whether all have the same last two dimensions."""
    return len({n.shape[-2:] for n in nodes}) == 1


def _number(n: Node) -> float | None:
    """The value of a constant of one element."""
    return float(n.array.item()) if isinstance(n.op, Constant) and n.type.size == 1 else None


def _scores(n: Node, depth: int = 0) -> Scores | None:
    """`n` as a scaled product with masks; None if it is something else."""
    if isinstance(n.op, MatMul):
        return Scores(n, 1.0)
    if depth == DEEPEST:
        return None
    if isinstance(n.op, Reshape) and n.shape[-2:] == n.inputs[0].shape[-2:]:
        return _scores(n.inputs[0], depth + 1)
    if factor := _factor(n):
        found = _scores(factor[0], depth + 1)
        return found._replace(scale=found.scale * factor[1]) if found and not found.masks else None
    for inner, mask in _masked(n):
        if inner.shape == n.shape and (found := _scores(inner, depth + 1)):
            known = isinstance(mask.op, Constant) and not mask.array.any()
            return found if known else found._replace(masks=(*found.masks, (mask, n.shape)))
    return None


def _factor(n: Node) -> tuple[Node, float] | None:
    """`x, c` of `x * c`, of `c * x`, or of `x / (1 / c)`."""
    if not isinstance(n.op, (Mul, Div)):
        return None
    x, by = n.inputs
    number = _number(by)
    if number is None and isinstance(n.op, Mul):
        x, number = by, _number(x)
    if not number or x.shape != n.shape:
        return None
    return x, 1 / number if isinstance(n.op, Div) else number


def _masked(n: Node) -> Iterator[tuple[Node, Node]]:
    """What `n` may be, and what is then added to it."""
    if isinstance(n.op, Add):
        a, b = n.inputs
        yield from ((a, b), (b, a))
    if isinstance(n.op, Where):
        cond, a, b = n.inputs
        for x, other, order in ((a, b, (0, 1)), (b, a, (1, 0))):
            if (number := _number(other)) is not None and number < LEAST:
                values = [np.asarray(v, x.dtype.numpy) for v in (0.0, number)]
                yield x, Where()(cond, values[order[0]], values[order[1]])


def _attention(n: Node, scores: Scores, absent: bool, lanes: int) -> Node | None:
    """The operator on what the products read."""
    q, k = scores.product.inputs
    leads = [shape[:-2] for shape in (n.shape, scores.product.shape, *(shape for _, shape in scores.masks))]
    count = math.prod(leads[0])
    batch, heads = next((lead for lead in leads if len(lead) == 2), (count, 1))
    (queries, depth), keys = n.shape[-2:], k.shape[-1]
    masks = [_mask(mask, shape, batch, heads) for mask, shape in scores.masks]
    if any(mask is None for mask in masks) or q.shape[-1] != depth or min(len(q.shape), len(k.shape)) < 2:
        return None
    found = [
        _placed(q, scores.product.shape[:-2], (batch, heads, queries, depth)),
        _placed(k, scores.product.shape[:-2], (batch, heads, keys, depth), turned=True),
        _placed(n.inputs[1], n.shape[:-2], (batch, heads, keys, depth)),
    ]
    scale = scores.scale * math.prod(factor for _, _, factor in found)
    strides = [strides for _, strides, _ in found]
    sizes = (batch, heads, queries, keys, depth)
    op = ScaledAttention(*sizes, scale, strides[0], strides[1], strides[2], absent, block_of(queries, lanes))
    made = op(*[flat for flat, _, _ in found], *masks)
    return _reshape(Transpose((0, 2, 1, 3))(made), n.shape)


def block_of(queries: int, lanes: int) -> int:
    """To a multiple of what queries are filled up: two vectors or one, by which leaves less over; less for few."""
    if queries < lanes:
        return int(1 << (queries - 1).bit_length())
    return min((2 * lanes, lanes), key=lambda n: -(-queries // n) * n * (1 if n > lanes else 1.05))


def _reshape(n: Node, shape: Sequence[int]) -> Node:
    made: Node = Reshape(tuple(shape))(n)
    return made


# ---- operands -----------------------------------------------------------------------------------


def _placed(n: Node, lead: Sequence[int], shape: tuple[int, ...], turned: bool = False) -> tuple[Node, Strides, float]:
    """The flat tensor that holds an operand, the strides by which it is read in `shape`, and its factor.

    `lead` are the batch axes of the product. A matrix that is `turned` has rows for columns.
    """
    chain = [n]
    while len(chain) < DEEPEST and (x := _before(chain[-1])) is not None:
        chain.append(x)
    for length in range(len(chain), 0, -1):
        source = _dense(chain[length - 1].shape)
        array = _seen(source, chain[: length - 1], [*lead, *n.shape[-2:]])
        array = array.swapaxes(-1, -2) if turned and array is not None else array
        array = None if array is None else _view(array, shape)
        if array is not None and (array.strides[-1] == 1 or shape[-1] == 1):
            batch, head, row, _ = (0 if extent == 1 else s for extent, s in zip(shape, array.strides, strict=True))
            start = array.__array_interface__["data"][0] - source.__array_interface__["data"][0]
            factors = [_factor(m) for m in chain[: length - 1]]
            return _flat(chain[length - 1]), (batch, head, row, start), math.prod(f[1] for f in factors if f)
    *axes, last, second = range(n.type.rank)
    whole: Node = Transpose((*axes, second, last))(n) if turned else n
    rows, columns = whole.shape[-2:]
    found = _view(np.broadcast_to(_dense(whole.shape), (*lead, rows, columns)), shape)
    if found is None:  # axes that repeat, and are merged
        whole, found = Expand((*lead, rows, columns))(whole), _dense(shape)
    batch, head, row, _ = found.strides
    return _flat(whole), (batch, head, row, 0), 1.0


def _dense(shape: Sequence[int]) -> Array:
    """An array of which only the strides count, in elements; its memory is never touched, and so never there."""
    return np.empty(shape, np.int8)


def _flat(n: Node) -> Node:
    return _reshape(n, (n.type.size,))


def _before(n: Node) -> Node | None:
    """What `n` is a view or a multiple of."""
    if isinstance(n.op, (Reshape, Transpose, Slice, Split)):
        return n.inputs[0]
    found = _factor(n)
    return found[0] if found else None


def _seen(array: Array | None, views: Sequence[Node], shape: Sequence[int]) -> Array | None:
    """How the elements of an array lie in the first of `views`, broadcast to `shape`; None if no strides say that."""
    for n in reversed(views):
        if array is None:
            return None
        if isinstance(n.op, Reshape):
            array = _view(array, n.shape)
        elif isinstance(n.op, Transpose):
            array = array.transpose(n.op.axes(array.ndim))
        elif isinstance(n.op, (Slice, Split)):
            op = n.op if isinstance(n.op, Slice) else n.op.slice(n.inputs[0].type)
            ranges = op.ranges(n.inputs[0].type)
            if any(r is not None and r.step < 0 for r in ranges):
                return None
            array = array[tuple(slice(None) if r is None else slice(r.start, r.stop, r.step) for r in ranges)]
    return None if array is None else np.broadcast_to(array, shape)


def _view(array: Array, shape: Sequence[int]) -> Array | None:
    """The array in another shape, if strides can say that."""
    made = array.reshape(shape)
    return made if np.may_share_memory(made, array) else None


# ---- masks --------------------------------------------------------------------------------------


def _mask(n: Node, shape: tuple[int, ...], batch: int, heads: int) -> Node | None:
    """A mask of scores of `shape`, as `[batch, heads, keys, queries]`; None where its batch does not just repeat."""
    n = _narrowed(n)
    dims = (*[1] * (len(shape) - n.type.rank), *n.shape)
    lead, whole = dims[:-2], shape[:-2]
    if math.prod(lead) == 1:
        kept: tuple[int, ...] = (1, 1)
    elif whole == (batch, heads):
        kept = lead
    elif len(lead) == 1 and (heads == 1 or lead == (1,)):
        kept = (*lead, 1)
    elif (
        len(lead) == 3 and whole[0] * whole[1] == batch and whole[2] == heads and (lead[0] == 1 or lead[1] == whole[1])
    ):
        kept = (lead[0] * lead[1], lead[2])  # of windows: [images, windows, heads]
    else:
        return None
    made: Node = Transpose((0, 1, 3, 2))(_reshape(n, (*kept, *dims[-2:])))
    return made


def _narrowed(n: Node, depth: int = 4) -> Node:
    """`n` without stretched axes, as far as that is seen: it broadcasts to the same."""
    if isinstance(n.op, Expand):
        return _narrowed(n.inputs[0], depth - 1)
    if isinstance(n.op, And):
        for x, known in (n.inputs, n.inputs[::-1]):
            if isinstance(known.op, Constant) and known.array.all() and known.type.rank <= x.type.rank:
                return _narrowed(x, depth - 1)
    if depth and n.op.kind <= Kind.BROADCAST and n.inputs:
        inputs = tuple(_narrowed(i, depth - 1) for i in n.inputs)
        made = same(n, inputs)
        return made if made.type.size < n.type.size else n
    return n


__all__ = ["block_of", "fuse_attention"]
