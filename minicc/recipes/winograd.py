"""Winograd's convolution: everything in one loop over groups of tiles, whose data stay in the cache.

In: a schedule of the naive program of a `WinogradConv`, with whatever reads its result element by element. Out: for each
group of tiles, the transform of their data, then for each block of output channels the products and the transform of
these, which ends with what reads the result (a bias, an activation, a residual).

Transforms are whole vectors of channels; a tile of t x t of them is worked off rows first, then columns, in registers as
far as these go. The products are those of t * t matrices, each in register tiles of `rows` tiles by a block of output
channels, as in a matrix product. Their left operand is stored in the order in which it is read: panels of `rows`
tiles, a vector of channels of each after the other, so no power of two lies between the elements of a step.

Groups are as large as pays: the transformed weights are read once a group, and its data once a block of channels.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> from minicc.ops.winograd import WinogradConv
>>> x, u = te.placeholder((1, 58, 58, 64), name="x"), te.placeholder((2, 6, 6, 64, 32), name="u")
>>> y, machine = WinogradConv(channels=64)(x, u), Target.of("skylake-avx512")
>>> s = Schedule(lower([y], [x, u, y], "layer").program)
>>> matches(s.program, machine)
'36 products of 196 tiles x 64 x 64 channels do for 144 terms a tile'
>>> schedule(s, machine)
>>> s.choices
{'rows': 7, 'panels': 7}
"""

from __future__ import annotations

from typing import NamedTuple

from minicc.loop.program import Program
from minicc.recipes.cascade import nest_of
from minicc.recipes.contraction import fetch_ahead, most_rows, pick
from minicc.recipes.structure import Nest, nests, readers, writers
from minicc.schedule import Schedule
from minicc.target import Target
from minicc.tensor.expr import Var

PATCH, ROWS, DATA, PRODUCTS, LINES, RESULT = STAGES = "patch", "rows", "data", "products", "lines", "winograd"
MOST_TILES = 64  # of a group: the naive program repeats no more
STEADY = 4  # rows that hide the latency of a multiply-add
LAST_CACHE, MEMORY = 60e9, 20e9  # bytes a second that a core reads from the last cache and from memory, beside its work
CLOCK = 3.5e9


class Extents(NamedTuple):
    """Numbers of tiles, input channels and output channels, t, channels of a block, bytes of an element."""

    tiles: int
    depth: int
    channels: int
    t: int
    block: int
    bytes: int


def matches(program: Program, target: Target) -> str | None:
    """Whether it is the program of a WinogradConv."""
    made = {buffer.name: buffer for buffer in writers(program)}
    if not made.keys() >= set(STAGES) or made[RESULT].shape[3] == 1:  # of one channel there are no vectors
        return None
    size = size_of(program)
    if size.depth == 1:
        return None
    terms = 9 * (size.t - 2) ** 2
    return f"{size.t**2} products of {size.tiles} tiles x {size.depth} x {size.channels} channels do for {terms} terms a tile"


def size_of(program: Program) -> Extents:
    """What the naive program is large by."""
    made = {n.buffer.name: n for n in nests(program)}
    weights = next(load.source for load in made[PRODUCTS].reads if load.source.name != DATA)
    blocks, t, _, depth, block = weights.shape
    tile = made[LINES].buffer.shape[1]
    n, h, w, _ = made[RESULT].buffer.shape
    tiles = n * -(-h // tile) * -(-w // tile)
    return Extents(tiles, depth, blocks * block, t, block, made[PRODUCTS].buffer.dtype.bytes)


def tilings(size: Extents, target: Target) -> list[tuple[int, int]]:
    """Rows of a register tile, and panels of so many rows in a group."""
    vectors = -(-size.block * size.bytes // target.vector_bytes)
    most = range(1, most_rows(size.tiles, vectors, target.registers) + 1)
    return [(rows, panels) for rows in most for panels in range(1, min(MOST_TILES, size.tiles) // rows + 1)]


def seconds(size: Extents, rows: int, panels: int, target: Target) -> float:
    """An estimate for one thread: a step over a register tile costs a cycle for each row and vector, and one besides.

    Beside that run the bytes that the L2 cache does not hold: the weights once a group, or once at all if they fit
    beside its data; the data once a block of channels.
    """
    caches, places = target.caches, size.t * size.t
    vectors, groups = -(-size.block * size.bytes // target.vector_bytes), -(-size.tiles // (rows * panels))
    blocks = size.channels // size.block
    cycles = groups * panels * places * size.depth * blocks * (max(rows, STEADY) * vectors + 1)
    weights = places * size.depth * size.channels * size.bytes
    data = places * rows * panels * size.depth * size.bytes
    products = places * rows * panels * size.block * size.bytes
    passes = groups if weights + data + products > caches.l2 * 3 // 4 else 1
    moved = passes * weights / (LAST_CACHE if weights < caches.l3 // 2 else MEMORY)
    if data + products > caches.l2 * 3 // 4:
        moved += groups * blocks * data / LAST_CACHE
    return cycles / CLOCK + moved


def schedule(s: Schedule, target: Target) -> None:
    """Schedule the naive program of a WinogradConv, and what reads its result."""
    size = size_of(s.program)
    options = tilings(size, target)
    rows, panels = min(options, key=lambda option: seconds(size, option[0], option[1], target))
    rows = pick(s, "rows", {option[0] for option in options}, rows)
    panels = pick(s, "panels", {option[1] for option in options}, panels)
    lanes = target.vector_bytes // size.bytes
    number, block = drive(s, rows * panels, size, lanes)
    transform_data(s, number, rows, lanes)
    multiply(s, rows, lanes, size.depth, target)
    if target.threads > 1:
        share(s, number, block, target)


def drive(s: Schedule, group: int, size: Extents, lanes: int) -> tuple[str, str]:
    """Let what reads the result drive the loops: over groups of tiles, blocks of channels, tiles, vectors of channels."""
    output, roles = inline_result(s)
    n, h, w, o = (roles.get(axis) for axis in range(4))
    tile = size.t - 2
    loops, inside = [n] if n else [], []
    for axis in (h, w):
        if axis:
            axis, point = s.split(axis, factor=tile)
            loops.append(axis)
            inside.append(point)
    assert o is not None
    around = [name for name in s.loops_of(output) if name not in (*loops, *inside, o)]
    s.reorder(*around, *loops, o, *inside)
    number = loops[0]
    for axis in loops[1:]:
        number = s.fuse(number, axis)
    number, i = s.split(number, factor=group)
    block, c = s.split(o, factor=size.block)
    c, lane = s.split(c, factor=min(lanes, size.block))
    s.reorder(number, block, i, c, *inside, lane)
    s.compute_at(LINES, c, scope="local")
    s.compute_at(PRODUCTS, block, scope="global")
    s.compute_at(DATA, number, scope="global")
    unroll_vectors(s, LINES, 4)
    for name in inside:
        s.unroll(name)
    s.vectorize(lane)
    return number, block


def inline_result(s: Schedule) -> tuple[str, dict[int, str]]:
    """Inline the result in what reads it element by element; the last buffer, and its loops by axis of the result."""
    nest = nest_of(s, RESULT)
    roles = {axis: i for axis, i in enumerate(nest.stmt.indices) if isinstance(i, Var)}
    while (reader := only_reader(s.program, nest)) is not None:
        (index,) = {load.indices for load in reader.reads if load.source is nest.buffer}
        place = dict(zip(nest.stmt.indices, index, strict=True))
        found = {axis: place.get(i) for axis, i in roles.items()}  # a loop that runs once may have left the indices
        roles = {axis: i for axis, i in found.items() if isinstance(i, Var)}
        s.compute_inline(nest.buffer.name)
        nest = nest_of(s, reader.buffer.name)
    return nest.buffer.name, {axis: str(i) for axis, i in roles.items()}


def only_reader(program: Program, nest: Nest) -> Nest | None:
    """The nest that reads each element of a buffer once, over loops of its own, if that is all who do."""
    found = readers(program).get(nest.buffer, [])
    if len(found) != 1 or nest.buffer in program.outputs:
        return None
    (reader,) = found
    indices = {load.indices for load in reader.reads if load.source is nest.buffer}
    if len(indices) != 1 or reader.reductions or reader.iterations != nest.iterations:
        return None
    (index,) = indices
    plain = [i for i in index if isinstance(i, Var)]
    turning = [f for f in reader.loops if f.extent != 1]
    return reader if len({*plain}) == len(plain) and {f.var for f in turning} <= {*plain} else None


def transform_data(s: Schedule, number: str, rows: int, lanes: int) -> None:
    """A vector of channels of a tile after the other; panels of `rows` tiles."""
    a, b, i, c = s.loops_of(DATA)[-4:]
    c, lane = s.split(c, factor=lanes)
    s.reorder(i, c, a, b, lane)
    s.compute_at(ROWS, c, scope="local")
    s.compute_at(PATCH, c, scope="local")
    panel, place = ([f"2//{rows}"], f"2%{rows}") if rows > 1 else ([], "2")
    s.transform_layout(DATA, "0", "1", *panel, f"3//{lanes}", place, f"3%{lanes}")
    unroll_vectors(s, PATCH, 3)
    unroll_vectors(s, ROWS, 3)
    unroll_vectors(s, DATA, 3)


def unroll_vectors(s: Schedule, buffer: str, count: int) -> None:
    """The innermost loop as a vector, and of the `count` innermost the others unrolled."""
    *loops, lane = s.loops_of(buffer)[-count:]
    for name in loops:
        s.unroll(name)
    s.vectorize(lane)


def multiply(s: Schedule, rows: int, lanes: int, depth: int, target: Target) -> None:
    """The products in register tiles, whose sums go to memory once."""
    sums = s.cache_write(PRODUCTS, scope="local")
    a, b, i, o = s.loops_of(PRODUCTS)[-4:]
    panel, i = s.split(i, factor=rows)
    s.reorder(a, b, panel, i, o)
    s.compute_at(sums, panel, scope="local")
    s.unroll(i)
    s.vectorize(o)
    around = s.loops_of(PRODUCTS)
    (k,) = s.reduce_loops_of(sums)
    inside = [name for name in s.loops_of(sums) if name not in (*around, k)]
    steps = list(s.split(k, factor=lanes)) if depth % lanes == 0 else [k]
    s.reorder(*steps, *inside)
    for name in inside[:-1]:
        s.unroll(name)
    s.vectorize(inside[-1])
    weights = next(load.source for load in nest_of(s, sums).reads if load.source.name != DATA)
    fetch_ahead(s, weights, b, target)


def share(s: Schedule, number: str, block: str, target: Target) -> None:
    """Groups among threads if there are enough of them, else blocks of channels, and before these the vectors of data."""
    groups = next(n for n in nests(s.program) if any(f.name == number for f in n.loops))
    extent = next(f.extent for f in groups.loops if f.name == number)
    if extent >= 4 * target.threads or extent % target.threads == 0:
        s.parallel(number)
        return
    i, c = s.loops_of(DATA)[-5:-3]
    s.parallel(s.fuse(i, c))
    s.parallel(block)


__all__ = ["matches", "schedule"]
