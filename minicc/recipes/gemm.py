"""float32 matrix products near the machine's peak, from public schedule primitives alone.

In: the sizes `m`, `n`, `k` of `C[m, n] = A[m, k] @ B[k, n]`, and a target. Out: a `Schedule`; its
trace is the recipe, with every number filled in.

The sums of a tile of rows by vectors stay in registers over all of `k`: each step loads the
vectors once, broadcasts an element of each row, and multiplies each with each (Goto and van de
Geijn 2008, Anatomy of High-Performance Matrix Multiplication). `B` is packed in panels, as wide
as a tile, so that these loads walk through memory; a block of panels fits the L2 cache, and is
packed right where it is used, by the thread that uses it. Tiles may stick out of the matrices:
panels are filled up with zeros, and rows are read twice, so that only the stores are guarded. A long `k` is cut, so that a panel stays in the L1 cache.

>>> from minicc.target import Target, Caches
>>> print(gemm(1000, 777, 512, Target("x86_64", "haswell", "+avx2,+fma", 256, 16, Caches(), threads=2)))
s.split("i", factor=6)
s.split("j", factor=16)
s.split("j_o", factor=4)
s.reorder("j_o_o", "i_o", "j_o_i", "i_i", "j_i")
s.compute_at("sums", "j_o_i", scope="local")
s.compute_at("panels", "j_o_o", scope="global")
s.prefetch("B", "line", offset=8)
s.reorder("k", "row", "column")
s.unroll("row")
s.vectorize("column")
s.vectorize("lane")
s.unroll("i_i")
s.vectorize("j_i")
s.parallel("j_o_o")
"""

from __future__ import annotations

from minicc import tensor as te
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.schedule import Schedule
from minicc.target import Target
from minicc.tensor.expr import Expr
from minicc.types import float32

FEW_ROWS = 4  # below, every element of B is used too seldom to be packed
VECTORS = 2  # of a tile, beside each other
DEEPEST = 512  # steps of a panel, when k is cut
AHEAD = 8  # how many rows of B before it is packed one is fetched
STREAMS = 8  # rows of B that are read at once, each a stream for the prefetcher


def gemm(m: int, n: int, k: int, target: Target) -> Schedule:
    """The schedule of `C[m, n] = A[m, k] @ B[k, n]` for `target`, in tiles or, with few rows, in streams."""
    return streams(m, n, k, target) if m < FEW_ROWS else tiles(m, n, k, target)


# ---- many rows: bound by arithmetic -------------------------------------------------------------


def tiles(m: int, n: int, k: int, target: Target) -> Schedule:
    """Register tiles on packed panels."""
    width, depth = min(VECTORS * target.lanes(float32), n), depth_of_panel(k)
    rows = rows_of_tile(m, target)
    s = Schedule(tiled_product(m, n, k, rows, width, depth))
    i_outer, row = s.split("i", factor=rows)
    panel, column = s.split("j", factor=width)
    block, panel = s.split(panel, factor=panels_of_block(-(-n // width), 4 * depth * width, target))
    around = ["k_block"] if depth < k else []
    s.reorder(block, *around, i_outer, panel, row, column)
    s.compute_at("sums", panel, scope="local")
    s.compute_at("panels", around[0] if around else block, scope="global")
    if depth > AHEAD:
        s.prefetch("B", "line", AHEAD)
    s.reorder("k", "row", "column")
    s.unroll("row")
    s.vectorize("column")
    s.vectorize("lane")
    s.unroll(row)
    s.vectorize(column)
    if target.threads > 1:
        s.parallel(block)
    return s


def tiled_product(m: int, n: int, k: int, rows: int, width: int, depth: int) -> Program:
    """The naive program: B in zero-filled panels, sums in tiles of `rows` by `width`, and C out of the tiles.

    Panels are `depth` deep, a divisor of k; where that is less than k, C adds up what they give.
    """
    a, b = te.placeholder((m, k), name="A"), te.placeholder((k, n), name="B")
    axis, block = te.reduce_axis((0, depth), name="k"), te.reduce_axis((0, k // depth), name="k_block")
    grid = -(-m // rows), -(-n // width)

    def packed(part: Expr, panel: Expr, line: Expr, lane: Expr) -> Expr:
        row, at = part * depth + line, panel * width + lane
        return b[row, at] if n % width == 0 else te.if_then_else(at < n, b[row, at], 0.0)

    def product(part: Expr, tile: Expr, panel: Expr, row: Expr, column: Expr) -> Expr:
        at = tile * rows + row
        left = a[at if m % rows == 0 else te.minimum(at, m - 1), part * depth + axis]
        return te.sum(left * panels[part, panel, axis, column], axis=axis)

    def result(i: Expr, j: Expr) -> Expr:
        part: Expr = sums[0 if depth == k else block, i // rows, j // width, i % rows, j % width]
        return part if depth == k else te.sum(part, axis=block)

    panels = te.compute((k // depth, grid[1], depth, width), packed, name="panels")
    sums = te.compute((k // depth, *grid, rows, width), product, name="sums")
    c = te.compute((m, n), result, name="C")
    return lower([c], [a, b, c], "gemm").program


def depth_of_panel(k: int) -> int:
    """All of k if that is short: adding up in C costs time. Else a divisor, so that a panel stays in the first cache."""
    return k if k <= 2 * DEEPEST else max((d for d in range(DEEPEST // 4, DEEPEST + 1) if k % d == 0), default=k)


def rows_of_tile(m: int, target: Target) -> int:
    """Rows of sums: as many as registers hold beside the vectors and one broadcast, fewer if that leaves less over.

    A step over a tile costs a cycle for each row and its two multiply-adds, and half a cycle besides.
    """
    most = (target.registers - VECTORS - 1) // VECTORS
    return min(range(1, min(most, m) + 1), key=lambda rows: (-(-m // rows) * (max(rows, 4) + 0.5), -rows))


def panels_of_block(panels: int, bytes: int, target: Target) -> int:
    """Panels that are packed together: what fills half of the L2 cache, in blocks that share out evenly."""
    most = max(1, target.caches.l2 // 2 // bytes)
    blocks = target.threads * -(-panels // (target.threads * most))
    return -(-panels // blocks)


# ---- few rows: bound by memory ------------------------------------------------------------------


def streams(m: int, n: int, k: int, target: Target) -> Schedule:
    """Each element of B is read once, several rows of it at a time; the sums stay in the first cache."""
    a, b = te.placeholder((m, k), name="A"), te.placeholder((k, n), name="B")
    axis = te.reduce_axis((0, k), name="k")
    c = te.compute((m, n), lambda i, j: te.sum(a[i, axis] * b[axis, j], axis=axis), name="C")
    s = Schedule(lower([c], [a, b, c], "gemm").program)
    lanes = min(target.lanes(float32), n)
    k_outer, k_inner = s.split("k", factor=max(d for d in range(1, STREAMS + 1) if k % d == 0))
    share, rest = s.split("j", factor=-(-n // (target.threads * lanes)) * lanes)
    vector, lane = s.split(rest, factor=lanes)
    s.reorder(share, "i", k_outer, vector, k_inner, lane)
    s.unroll(k_inner)
    s.vectorize(lane)
    if target.threads > 1:
        s.parallel(share)
    return s


__all__ = ["gemm", "panels_of_block", "rows_of_tile", "streams", "tiled_product", "tiles"]
