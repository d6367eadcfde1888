"""Matrix products near the machine's peak, from the naive program and public schedule primitives alone.

In: a schedule of a program that multiplies matrices `left[.., m, k]` and `right[.., k, n]`, whatever else it does, and a
target. Out: its products in register tiles on packed panels, the rest by the default recipe.

The sums of a tile of rows by vectors stay in registers: each step loads the vectors once, broadcasts an element of each
row, and multiplies each with each (Goto and van de Geijn 2008, Anatomy of High-Performance Matrix Multiplication).
`right` comes in panels as wide as a tile, or is copied into such, so that these loads walk through memory; a block of
panels fits the L2 cache, and is packed right where it is used, by the thread that uses it. A depth that is too long, or
makes the rows of a tile meet in one set of the first cache, is cut: the part of `left` that a piece needs is copied, too.
Tiles may stick out of the matrices: only the stores are guarded, and the last vector of a row is stored under a mask.

>>> print(gemm(1000, 777, 512, Target.of("haswell").with_threads(2)).trace)
width = s.choose("width", [8, 16], 16)
rows = s.choose("rows", [1, 2, 3, 4, 5, 6], 6)
depth = s.choose("depth", [128, 256, 512], 512)
panels = s.choose("panels", [1, 2, 4, 7, 13, 25, 49], 2)
terms = s.choose("terms", [256, 512, 1024], 512)
s.pad_einsum("C", padding=[1, 32, 1])
s.split("j_copy", factor=width)
s.split("i_copy", factor=rows)
s.split("j_copy_o", factor=panels)
s.reorder("j_copy_o_o", "i_copy_o", "j_copy_o_i", "i_copy_i", "j_copy_i")
s.unroll("i_copy_i")
s.vectorize("j_copy_i")
s.compute_at("C_pad", "j_copy_o_i", scope="local")
s.compute_at("B_pad", "j_copy_o_o", scope="global")
s.transform_layout("B_pad", "1//{width}", "0", "1%{width}")
s.split("B_pad_1", factor=width)
s.reorder("B_pad_1_o", "B_pad_0", "B_pad_1_i")
s.prefetch("B", "B_pad_0", offset=8)
s.vectorize("B_pad_1_i")
s.reorder("k", "i", "j")
s.unroll("i")
s.vectorize("j")
s.parallel("j_copy_o_o")
"""

from __future__ import annotations

import math
from typing import NamedTuple

from minicc import tensor as te
from minicc.loop.ir import Buffer, For, Update, loops
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.recipes import default
from minicc.recipes.cascade import nest_of
from minicc.recipes.contraction import TILE_TERMS, cascade_tile, fetch_ahead, fetch_rows, find_driver, loops_that_read
from minicc.recipes.contraction import most_rows, pick, tile_contraction
from minicc.recipes.structure import WHOLE, Nest, arithmetic, depends, is_contraction, nests, run_length
from minicc.schedule import Schedule
from minicc.target import Target
from minicc.tensor.expr import Binary, Call, Const, Expr, Load, Var, loads
from minicc.types import float32

MANY_ROWS = 32  # from here on, blocks of panels pay
FEW_ROWS = 4  # below, every element of the right matrix is used too seldom to be packed
VECTORS = 2  # of a tile, beside each other
LONG = 10  # operations on each sum, as of a GELU, that are not repeated for each row of a tile: compiling takes longer than jumps
DEEPEST = 512  # steps of a panel, when k is cut
AHEAD = 8  # how many rows of the right matrix before it is packed one is fetched
LINE = 64  # bytes of a line of a cache
PAGE = 4096  # bytes: what lies multiples of it apart shares a set of the first cache
STREAMS = 8  # rows of the right matrix that are read at once, each a stream for the prefetcher


class Product(NamedTuple):
    """The loops of a matrix product, and the matrix that is loaded in vectors."""

    row: For
    column: For
    depth: For
    right: Load
    width: int  # of the panels in which `right` comes; 0 if it does not
    left: Load | None  # if it can be copied

    @property
    def size(self) -> tuple[int, int, int]:
        return self.row.extent, self.column.extent, self.depth.extent


def gemm(m: int, n: int, k: int, target: Target, terms: int = 2 * TILE_TERMS) -> Schedule:
    """The schedule of `C[m, n] = A[m, k] @ B[k, n]` for `target`, whose sums are made of pieces of `terms` where they are long."""
    a, b = te.placeholder((m, k), name="A"), te.placeholder((k, n), name="B")
    axis = te.reduce_axis((0, k), name="k")
    c = te.compute((m, n), lambda i, j: te.sum(a[i, axis] * b[axis, j], axis=axis), name="C")
    program = lower([c], [a, b, c], "gemm").program
    if m < FEW_ROWS:
        streams(s := Schedule(program), m, n, k, target)
    else:
        schedule(s := Schedule(program, {"terms": terms}), target)
    return s


def matches(program: Program, target: Target) -> str | None:
    """The sizes of the first product that is large enough for panels to pay."""
    for nest in filter(is_contraction, nests(program)):
        if (found := find_product(nest, target)) and _pays(found, nest, target):
            return f"a product of {' x '.join(map(str, found.size))}, the right matrix {'in panels' if found.width else 'to pack'}"
    return None


def _pays(found: Product, nest: Nest, target: Target) -> bool:
    """Whether blocks of panels are read from a nearer cache than whole matrices would be, and often enough."""
    _, n, _ = found.size
    rows = math.prod(f.extent for f in nest.spatial if not _moves(found.right, f))
    return bool(found.width) or (rows >= MANY_ROWS and n >= 4 * target.lanes(float32) * target.threads)


def schedule(s: Schedule, target: Target) -> None:
    """Schedule a naive program for `target`."""
    default.schedule(s, target, tile)


def find_product(nest: Nest, target: Target) -> Product | None:
    """The product of two matrices that a nest is, of floats or of words of bytes; None if it is not of that form."""
    stmt, floats = nest.stmt, nest.buffer.dtype.is_float
    if not isinstance(stmt, Update) or len(nest.reductions) != 1:
        return None
    match stmt.values[0]:
        case Binary("add", _, Binary("mul", a, b) | Call("dot4" | "dot2", (a, b)) as term) if floats or isinstance(
            term, Call
        ):
            pairs = [(a, b), (b, a)]
        case _:
            return None
    depth = nest.reductions[0]
    turning = [f for f in nest.spatial if isinstance(f.extent, int) and f.extent > 1]
    for left, right in pairs:
        rows = [f for f in turning if _moves(left, f) and not _moves(right, f)]
        columns = [f for f in turning if _moves(right, f) and not _moves(left, f) and f.var is stmt.indices[-1]]
        if not isinstance(left, Load) or not isinstance(right, Load) or not rows or not columns or depth.extent == 1:
            continue
        run = run_length(right.indices, columns[0].var)
        if run == WHOLE and right.indices[-2:] == (depth.var, columns[0].var):
            run = min(run, one_panel(columns[0].extent, target.lanes(right.dtype)))
        if 1 < run < WHOLE or (_is_plain(right) and right.source not in {load.source for load in loads(left)}):
            plain = _is_plain(left) and left.source is not right.source and left.indices[-1] is depth.var
            width = run if 1 < run < WHOLE else 0
            return Product(rows[-1], columns[0], depth, right, width, left if plain else None)
    return None


def one_panel(columns: int, lanes: int) -> int:
    """So many columns if they are the whole vectors of one panel: the matrix is packed as it is."""
    return columns if columns % lanes == 0 and columns <= VECTORS * lanes else WHOLE


def _moves(e: Expr, loop: For) -> bool:
    return any(depends(load.indices, loop.var) for load in loads(e))


def _is_plain(load: Load) -> bool:
    """Whether each index is a loop of its own, or the only one of its dimension."""
    variables = [i for i in load.indices if isinstance(i, Var)]
    return len(set(variables)) == len(variables) and all(
        isinstance(i, Var) or (isinstance(i, Const) and dim == 1)
        for i, dim in zip(load.indices, load.source.shape, strict=True)
    )


class Sizes(NamedTuple):
    """Of a tile, `rows` by `width`; of a block, `panels` wide and `tiles` high; of a piece of the depth."""

    rows: int
    width: int
    depth: int
    tiles: int
    panels: int


def choose_sizes(s: Schedule, found: Product, target: Target) -> Sizes:
    """The sizes for a product, each of them a choice."""
    (m, n, k), bytes = found.size, found.right.dtype.bytes
    lanes = target.lanes(found.right.dtype)
    widths = [min(vectors * lanes, found.width or -(-n // lanes) * lanes) for vectors in range(1, VECTORS + 1)]
    width = pick(s, "width", widths, found.width or widths[-1])
    depth = depth_of_panel(k, bytes * width, target)
    rows = rows_of_tile(m, target, k * bytes if depth == k else 1)
    rows = pick(s, "rows", range(1, most_rows(m, VECTORS, target.registers) + 1), rows)
    depth = pick(s, "depth", pieces_of(k), depth)
    most, tiles = -(-n // width), -(-m // rows)
    if depth < k:  # the packed left rows of a block stay in the L2 cache beside its sums
        high = min(target.caches.l2 * 3 // 8 // (depth * bytes * rows), -(-tiles // -(-target.threads // most)))
        tiles = pick(s, "tiles", range(1, tiles + 1), tiles_of_block(tiles, high))
    panels = panels_of_block(most, bytes * width * (depth if depth == k else tiles * rows), target)
    if depth < k and found.width:  # no copy pads the last block, and guards around sums in memory take long
        panels = max(count for count in range(1, panels + 1) if most % count == 0)
    panels = pick(s, "panels", {-(-most >> half) for half in range(most.bit_length())} | {1}, panels)
    return Sizes(rows, width, depth, tiles, panels)


def tile(s: Schedule, nest: Nest, target: Target) -> set[str]:
    """Register tiles on packed panels; any other contraction by the default recipe. Gives the buffers that are done."""
    found = find_product(nest, target)
    if found is None:
        return tile_contraction(s, nest, target)
    sizes = choose_sizes(s, found, target)
    terms = pick(s, "terms", (TILE_TERMS, 2 * TILE_TERMS, 4 * TILE_TERMS), TILE_TERMS)
    left, right, sums = copy_operands(s, nest, found, sizes)
    driver, sums = find_driver(s, nest_of(s, sums))
    loop_of = loops_that_read(driver, sums, nest)
    shared = {loop_of[i] for i in found.right.indices if isinstance(i, Var) and i in loop_of}
    row, column = loop_of[found.row.var], loop_of[found.column.var]
    around = [f.name for f in driver.loops if f.name != column and (f.extent == 1 or f.name in shared)]
    within = [f.name for f in driver.loops if f.name not in (row, column, *around)]
    done = {driver.buffer.name, sums, left, right}
    short = sizes.depth == found.depth.extent and arithmetic(*driver.values) < LONG
    *outside, place = split_tiles(s, row, column, sizes, around, within, blocks=True, unrolled=short)
    block = outside[len(around)]
    step, piece = "", block
    if sizes.depth < found.depth.extent:
        outside.pop()
        sums, (step, *inside), place = cut_depth(s, nest, found, sums, sizes, outside)
        outside += [step, *inside]
        piece = inside[-1]
    s.compute_at(sums, place, scope="local")
    if left:
        pack_left(s, left, step)
    if right:
        pack(s, right, found, block, sizes.width)
    done |= {sums, *cascade_tile(s, sums, {*outside, place}, terms)}
    if found.width:
        fetch_ahead(s, found.right.source, piece, target)
        if sizes.depth == found.depth.extent:
            fetch_rows(s, found.right.source, outside[-1], target)
    return done


def cut_depth(
    s: Schedule, nest: Nest, found: Product, sums: str, sizes: Sizes, outside: list[str]
) -> tuple[str, list[str], str]:
    """Add the sums of a block up in the cache, a piece of the depth after the other.

    Gives the name of the sums of a piece, the loops around its tiles, and the innermost of them.
    """
    s.compute_at(sums, outside[-1], scope="global")
    part = s.rfactor(sums, s.split(found.depth.name, factor=sizes.depth)[0])
    (step,) = s.reduce_loops_of(sums)
    row, column = (_index(nest_of(s, sums), nest, f) for f in (found.row, found.column))
    rest = [name for name in s.loops_of(sums) if name not in (row, column, step, *outside)]
    *inside, place = split_tiles(s, row, column, sizes, [step, *rest], [])
    return part, inside, place


def pack_left(s: Schedule, copy: str, step: str) -> None:
    """Make the copy of what a piece of the depth needs of the left matrix: a line of each row, then the next of each.

    So rows whose distance is a multiple of a page do not meet in one set of the first cache.
    """
    s.compute_at(copy, step, scope="global")
    buffer = nest_of(s, copy).buffer
    axis, line = len(buffer.shape) - 1, LINE // buffer.dtype.bytes
    s.transform_layout(copy, *map(str, range(axis - 1)), f"{axis}//{line}", f"{axis - 1}", f"{axis}%{line}")
    s.vectorize(s.split(s.loops_of(copy)[-1], factor=line)[1])


def split_tiles(s: Schedule, row: str, column: str, sizes: Sizes, around: list[str], within: list[str],
                blocks: bool = False, unrolled: bool = True) -> list[str]:  # fmt: skip
    """Order the loops of what reads the sums: `around`, `within`, panels, rows of tiles.

    With blocks: `around`, blocks of panels, `within`, blocks of rows, rows of tiles, panels. Gives all these; inside of them
    are the rows of a tile and its columns, a vector.
    """
    panel, column = s.split(column, factor=sizes.width)
    row_outer, row = s.split(row, factor=sizes.rows)
    order = [*around, *within, panel, row_outer]
    if blocks:
        block, panel = s.split(panel, factor=sizes.panels)
        if sizes.tiles < loops(s.program.body)[row_outer].extent:
            high, row_outer = s.split(row_outer, factor=sizes.tiles)
            within = [*within, high]
        order = [*around, block, *within, row_outer, panel]
    s.reorder(*order, row, column)
    if unrolled:
        s.unroll(row)
    s.vectorize(column)
    return order


def _index(sums: Nest, nest: Nest, loop: For) -> str:
    """The loop of a nest of sums that goes where `loop` goes in another nest of the same sums."""
    return str(sums.stmt.indices[nest.stmt.indices.index(loop.var)])


def pieces_of(k: int) -> list[int]:
    """Depths that can be chosen: all of k, and what divides it into pieces that are not too short."""
    return [k, *(d for d in range(DEEPEST // 4, min(2 * DEEPEST, k - 1) + 1) if k % d == 0)]


def depth_of_panel(k: int, bytes: int, target: Target) -> int:
    """All of k if it is short, or panels of so many bytes a step fit the L2 cache; else a divisor, for the first cache."""
    pieces = (d for d in range(DEEPEST // 4, min(DEEPEST, k - 1) + 1) if k % d == 0)
    return k if k <= 2 * DEEPEST or bytes * k <= target.caches.l2 // 2 else max(pieces, default=k)


def copy_operands(s: Schedule, nest: Nest, found: Product, sizes: Sizes) -> tuple[str, str, str]:
    """Copy the left matrix if the depth is cut, the right one if it comes in no panels, up to whole blocks with zeros.

    Gives the names of both copies, or "", and of the sums.
    """
    cut, known, sums = sizes.depth < found.depth.extent, {n.buffer for n in nests(s.program)}, nest.buffer.name
    wanted = ((found.left, cut), (found.right, not found.width))
    copied = [load for load, copy in wanted if load is not None and copy]
    whole = {found.row: sizes.rows * sizes.tiles if found.left in copied else 1,
             found.column: sizes.width * sizes.panels if found.right in copied else 1}  # fmt: skip
    copies: dict[Buffer, str] = {}
    if any(loop.extent % multiple for loop, multiple in whole.items()):
        s.pad_einsum(sums, [whole.get(loop, 1) for loop in nest.loops])
        for made in (n for n in nests(s.program) if n.buffer not in known):
            if isinstance(made.stmt, Update):
                sums = made.buffer.name
            else:
                copies[made.reads[0].source] = made.buffer.name
        if nest.buffer not in s.program.outputs:
            s.compute_inline(nest.buffer.name)
    for load in copied:
        if load.source not in copies:
            copies[load.source] = s.cache_read(load.source.name, "global", (sums,))
    left = "" if found.left is None else copies.get(found.left.source, "")
    return left, copies.get(found.right.source, ""), sums


def pack(s: Schedule, copy: str, found: Product, block: str, width: int) -> None:
    """Make the copy of the right matrix in each block of panels, one panel after the other."""
    depth, column = (found.right.indices.index(loop.var) for loop in (found.depth, found.column))
    batch = [axis for axis in range(len(found.right.indices)) if axis not in (depth, column)]
    s.compute_at(copy, block, scope="global")
    s.transform_layout(copy, *map(str, batch), f"{column}//{width}", str(depth), f"{column}%{width}")
    loops = s.loops_of(copy)[-len(found.right.indices) :]
    panel, lane = s.split(loops[column], factor=width)
    s.reorder(*[loops[axis] for axis in batch], panel, loops[depth], lane)
    if found.depth.extent > AHEAD:
        s.prefetch(found.right.source.name, loops[depth], AHEAD)
    s.vectorize(lane)


def rows_of_tile(m: int, target: Target, apart: int = 1) -> int:
    """Rows of sums: as many as registers hold beside the vectors and one broadcast, fewer if that leaves less over.

    A step costs a cycle for each row and its two multiply-adds, and half a cycle besides. Rows a multiple of a page
    `apart` meet in sets of the first cache, a third of which is for the panel.
    """
    places = target.caches.l1 * 2 // 3 // math.gcd(apart, PAGE)
    options = range(1, min(most_rows(m, VECTORS, target.registers), max(places, 1)) + 1)
    return min(options, key=lambda rows: (-(-m // rows) * (max(rows, 4) + 0.5), -rows))


def tiles_of_block(tiles: int, most: int) -> int:
    """In blocks of at most so many tiles, the length that leaves least over."""
    return min(range(1, max(most, 1) + 1), key=lambda high: (-(-tiles // high) * high, -high))


def panels_of_block(panels: int, bytes: int, target: Target) -> int:
    """Panels that are packed together: what fills a quarter of the L2 cache, in blocks that share out evenly."""
    most = max(1, target.caches.l2 // 4 // bytes)
    blocks = target.threads * -(-panels // (target.threads * most))
    return -(-panels // blocks)


def streams(s: Schedule, m: int, n: int, k: int, target: Target) -> None:
    """Few rows, bound by memory: each element of B is read once, several rows of it at a time; the sums stay in the first cache."""
    lanes = min(target.lanes(float32), n)
    k_outer, k_inner = s.split("k", factor=max(d for d in range(1, STREAMS + 1) if k % d == 0))
    share, rest = s.split("j", factor=-(-n // (target.threads * lanes)) * lanes)
    vector, lane = s.split(rest, factor=lanes)
    s.reorder(share, "i", k_outer, vector, k_inner, lane)
    s.unroll(k_inner)
    s.vectorize(lane)
    if target.threads > 1:
        s.parallel(share)


__all__ = ["find_product", "gemm", "matches", "panels_of_block", "rows_of_tile", "schedule", "streams"]
