"""Attention that never stores the matrix of scores: a block of queries against all keys, in the cache.

In: a schedule of the naive program of `ScaledAttention`: queries turned, scores, logits, greatest,
weights, product, total, and the mean that is stored. Out: all of it inside one loop over blocks of
queries, so that what a block has for each key, `keys x block` floats, stays in the L1 or L2 cache
(Dao et al. 2022 stream over keys, too, which pays only where such a block does not fit).

The scores stand with the keys first. A tile of some keys by the vectors of the block is summed in
registers: each step broadcasts a number of each key to a vector of the turned queries. Greatest,
exponential and total of a row then go down whole vectors, and no sum goes across lanes. The product
with v is a tile of queries by the vectors of the depth.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> from minicc.ops.attention import ScaledAttention
>>> rows = (64 * 96, 32, 96, 0)
>>> flat = [te.placeholder((64 * 96,), name=name) for name in "qkv"]
>>> y = ScaledAttention(1, 3, 64, 64, 32, 0.2, rows, rows, rows, block=16)(*flat)
>>> s = Schedule(lower([y], [*flat, y], "attention").program)
>>> schedule(s, Target.of("haswell").with_threads(1))
>>> s.choices
{'block': 16, 'width': 16, 'rows': 4, 'keys': 6}
"""

from __future__ import annotations

from typing import NamedTuple

from minicc.loop.ir import Update
from minicc.loop.program import Program
from minicc.recipes.contraction import cascade_tile, most_rows, pick
from minicc.recipes.structure import Nest, is_contraction, nests
from minicc.schedule import Schedule
from minicc.target import Target
from minicc.tensor.expr import Call, walk

VECTORS = 2  # of the depth in a tile
PARALLEL_WORK = 20_000  # multiply-adds under which starting threads costs more than it saves


class Parts(NamedTuple):
    """The nests of attention; the two sums of weights come in either order."""

    queries: Nest
    scores: Nest
    logits: Nest
    greatest: Nest
    weights: Nest
    product: Nest
    total: Nest
    mean: Nest


def find_attention(program: Program) -> Parts | None:
    """The nests of a program that is attention, None if it is something else."""
    found = nests(program)
    if len(found) != len(Parts._fields):
        return None
    parts = Parts(*found)
    if not is_contraction(parts.product):
        parts = parts._replace(product=parts.total, total=parts.product)
    sums = (parts.scores, parts.greatest, parts.total, parts.product)
    if any(isinstance(nest.stmt, Update) != (nest in sums) for nest in parts):
        return None
    sources = [{load.source for load in nest.reads} for nest in parts]
    reads = [(1, 0), (2, 1), (3, 2), (4, 2), (4, 3), (5, 4), (6, 4), (7, 5), (7, 6)]
    chained = all(parts[producer].buffer in sources[reader] for reader, producer in reads)
    exponential = any(isinstance(e, Call) and e.name == "exp" for e in walk(*parts.weights.values))
    return parts if chained and exponential and is_contraction(parts.scores) and is_contraction(parts.product) else None


def matches(program: Program, target: Target) -> str | None:
    """The sizes of an attention whose blocks of queries are vectors."""
    parts = find_attention(program)
    if parts is None:
        return None
    (*_, keys, rows), depth = parts.logits.buffer.shape, parts.mean.buffer.shape[-1]
    return f"attention of {rows} queries and {keys} keys, {depth} deep: softmax of a product, times a matrix"


def schedule(s: Schedule, target: Target) -> None:
    """Schedule the naive program of attention for `target`."""
    parts = find_attention(s.program)
    assert parts is not None
    rows, depth = parts.logits.buffer.shape[-1], parts.mean.buffer.shape[-1]
    lanes = target.lanes(parts.mean.buffer.dtype)
    b, i, h, d = (loop.name for loop in parts.mean.loops)
    block = pick(s, "block", _divisors(rows, 4 * lanes), block_of(rows, lanes))
    width = pick(s, "width", _divisors(depth, VECTORS * lanes), width_of(depth, lanes))
    heights = _divisors(block, most_rows(block, -(-width // lanes), target.registers))
    height = pick(s, "rows", heights, max(heights))

    outer, i = s.split(i, factor=block)
    i_outer, i = s.split(i, factor=height)
    d_outer, d = s.split(d, factor=width)
    s.reorder(b, h, outer, i_outer, d_outer, i, d)
    s.unroll(i)
    s.vectorize(d)
    s.compute_at(parts.product.buffer.name, d_outer, scope="local")
    cascade_tile(s, parts.product.buffer.name, {b, h, outer, i_outer, d_outer})
    softmax(s, parts, outer)
    score_tiles(s, parts, block, lanes, target)
    batch, queries, heads, _ = parts.mean.buffer.shape
    if batch * heads * queries * parts.logits.buffer.shape[-2] * depth >= PARALLEL_WORK:
        s.parallel(s.fuse(s.fuse(b, h), outer))


def softmax(s: Schedule, parts: Parts, outer: str) -> None:
    """Everything between the products for one block of queries, down vectors of queries."""
    for nest in (parts.total, parts.weights, parts.greatest, parts.logits, parts.scores, parts.queries):
        s.compute_at(nest.buffer.name, outer, scope="global")
    for nest in (parts.total, parts.greatest):
        *_, row = (loop.name for loop in nest.spatial)
        s.reorder(nest.reductions[0].name, row)
        s.vectorize(row)
    for nest in (parts.weights, parts.queries):
        s.vectorize(nest.loops[-1].name)


def score_tiles(s: Schedule, parts: Parts, block: int, lanes: int, target: Target) -> None:
    """The scores of some keys by the vectors of a block in registers."""
    count = parts.logits.buffer.shape[-2]
    most = most_rows(count, -(-block // lanes), target.registers)
    tile = pick(s, "keys", range(1, most + 1), key_tile(count, most))
    key, row = (loop.name for loop in parts.logits.loops[-2:])
    key_outer, key = s.split(key, factor=tile)
    s.compute_at(parts.scores.buffer.name, key_outer, scope="local")
    inner = [loop.name for loop in parts.scores.spatial[-2:]]
    s.reorder(parts.scores.reductions[0].name, *inner)
    for name in (inner[0], key):
        s.unroll(name)
    for name in (inner[1], row):
        s.vectorize(name)


def _divisors(n: int, most: int) -> list[int]:
    return [k for k in range(1, min(n, most) + 1) if n % k == 0]


def block_of(rows: int, lanes: int) -> int:
    """How many queries go together: two vectors where that divides all, else one, else what there is."""
    return next((k for k in (2 * lanes, lanes) if rows % k == 0), max(_divisors(rows, lanes)))


def key_tile(keys: int, most: int) -> int:
    """Keys whose scores are summed together: as many as registers hold, fewer if that leaves less over.

    A tile costs the multiply-adds of each key, and half of one besides for the vectors that it loads.
    """
    return min(range(1, most + 1), key=lambda tile: (-(-keys // tile) * (max(tile, 4) + 0.5), -tile))


def width_of(depth: int, lanes: int) -> int:
    """How much of the depth of v goes together: whole vectors where some divide it.

    Of two vectors, registers hold the sums of more queries than of four, and v is read fewer times.
    """
    whole = [n for n in _divisors(depth, VECTORS * lanes) if n % lanes == 0]
    return max(whole or [n for n in _divisors(depth, lanes) if n & (n - 1) == 0])


__all__ = ["find_attention", "matches", "schedule"]
