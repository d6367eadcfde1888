"""Direct convolution on channels last, near the machine's peak.

In: a schedule of a program with a convolution of data `[N, spatial..., C]` by weights in blocks
`[blocks, kernel..., C, block]`, whatever else it does, and a target. Out: its sums in register tiles.

The sums of a tile of positions by one block of output channels stay in registers over the whole reduction: each step
loads one block of the weights, and multiplies it with one element of the data for each position (Georganas et al. 2018,
Anatomy of High-Performance Deep Learning Convolutions on SIMD Architectures). What follows the convolution is computed
where a tile is stored. The data comes in blocks of lines that fit the cache beside a block of weights; each is used for
all output channels. A block is copied where it gets its padding, or where the elements of a tile, a multiple of a page
apart, would drive each other out of the first cache. Blocks of lines, and groups of blocks of channels where there are
few lines, are shared out among threads.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from minicc.loop.ir import Buffer, For, Store, Update
from minicc.loop.program import Program
from minicc.recipes import default
from minicc.recipes.cascade import nest_of
from minicc.recipes.contraction import fetch_ahead, fetch_rows, pick, size_of
from minicc.recipes.structure import (
    WHOLE,
    Nest,
    arithmetic,
    coefficient,
    is_contraction,
    nests,
    readers,
    run_length,
    writers,
)
from minicc.schedule import Schedule
from minicc.schedule.partition_loop import PartitionLoopStep
from minicc.target import Target
from minicc.tensor.expr import Binary, Call, Const, Expr, Load
from minicc.tensor.linear import linear
from minicc.tensor.simplify import simplify

PAGE = 4096  # bytes: what lies multiples of it apart shares a set of the first cache
BEYOND = 8  # bytes that come from behind the second cache in a cycle
WAYS = 8  # lines that a set of the first cache holds
WIDEST = 64  # elements of a block
EPILOGUE = 150  # operations of a tile's epilogue up to which it is unrolled: more only compile longer


class DirectConvolution(NamedTuple):
    """The loops of a convolution, its operands, and the nest that reads its sums."""

    sums: Nest
    driver: Nest
    data: Load
    weights: Load
    block: int

    @property
    def blocks(self) -> int:
        return int(self.weights.source.shape[0])

    @property
    def groups(self) -> int:
        return int(self.data.source.shape[-1]) // int(self.sums.reductions[-1].extent)

    @property
    def each(self) -> int:
        """The output channels of a group; its sums may be padded."""
        return int(self.driver.loops[-1].extent) // self.groups

    @property
    def is_padded(self) -> bool:
        """Whether the sums of a group are more than its outputs, and there are several."""
        return self.groups > 1 and self.each * self.groups < self.sums.buffer.shape[-1]

    @property
    def pointwise(self) -> bool:
        """Whether the positions are one axis: there are no taps."""
        return len(self.sums.buffer.shape) == 2

    @property
    def apart(self) -> int:
        """Bytes between the data of neighbouring positions."""
        stride = 1 if self.pointwise else coefficient(self.data.indices[-2], self.sums.spatial[-2].var) or 1
        return int(stride * self.data.source.shape[-1]) * int(self.data.dtype.bytes)

    @property
    def terms(self) -> int:
        return math.prod(f.extent for f in self.sums.reductions)

    @property
    def size(self) -> str:
        """In words: taps, channels, positions."""
        taps = " x ".join(str(f.extent) for f in self.sums.reductions[:-1])
        positions = math.prod(f.extent for f in self.sums.spatial[:-1])
        channels, depth = self.driver.loops[-1].extent, self.sums.reductions[-1].extent
        return f"{taps} taps, {depth} to {channels} channels at {positions} positions"


@dataclass(frozen=True)
class Plan:
    """How much of a convolution is done together."""

    rows: int  # lines of a tile
    columns: int  # positions of a line in a tile
    blocks: int  # into which the lines are cut; the positions, where those are one axis
    parts: int  # into which the channels are cut, for threads
    cut: bool  # whether the reduction is cut, so that a piece of the weights stays in the cache


def matches(program: Program, target: Target) -> str | None:
    """The size of the convolution with weights in blocks."""
    found = find_convolution(program)
    return None if found is None else f"a convolution of {found.size}, weights in blocks of {found.block}"


def find_convolution(program: Program) -> DirectConvolution | None:
    """The only convolution of weights in blocks that a program has, if what reads its sums does so in their order."""
    contractions = [nest for nest in nests(program) if is_contraction(nest)]
    if len(contractions) != 1:
        return None
    (nest,) = contractions
    stmt, consumers = nest.stmt, readers(program).get(nest.buffer, [])
    if not isinstance(stmt, Update) or not nest.spatial or len(nest.reductions) < 2 or len(consumers) != 1:
        return None
    if not all(isinstance(f.extent, int) and f.extent > 0 for f in (*nest.loops, *consumers[0].loops)):
        return None
    match stmt.values[0]:
        case Binary(
            "add",
            _,
            Binary("mul", Load() as data, Load() as weights)
            | Call("dot4" | "dot2", (Load() as data, Load() as weights)),
        ):
            channel = nest.spatial[-1]
            block = run_length(weights.indices, channel.var)
            if block == WHOLE and weights.source.shape[0] == 1 and weights.source.shape[-1] == channel.extent <= WIDEST:
                block = channel.extent  # the only one
            deep = run_length(data.indices, nest.reductions[-1].var) == WHOLE
            found = DirectConvolution(nest, consumers[0], data, weights, block)
            return (
                found if 1 < block < WHOLE and stmt.indices[-1] is channel.var and deep and _in_order(found) else None
            )
    return None


def _in_order(conv: DirectConvolution) -> bool:
    """Whether the loops of its driver go over the positions of the sums one after the other, and over channels innermost."""
    driver, sums = conv.driver, conv.sums.buffer
    found = [load for load in driver.reads if load.source is sums]
    if not isinstance(driver.stmt, Store) or len(found) != 1 or conv.each < 2:
        return False  # a reduction to one output suits vectors
    *places, channel = found[0].indices
    *positions, last = driver.loops
    each, padded = conv.each, sums.shape[-1] // max(conv.groups, 1)
    real = last.var // each * padded + last.var % each if conv.is_padded else last.var
    if channel is not simplify(real, {last.var: (0, last.extent - 1)}):
        return False
    if len(places) == 1:
        strides = {f.var: math.prod(g.extent for g in positions[n + 1 :]) for n, f in enumerate(positions)}
        return linear(places[0]) == ({f.var: strides[f.var] for f in positions if f.extent > 1}, 0)
    return len(places) == len(positions) and all(_is(i, f) for i, f in zip(places, positions, strict=True))


def _is(index: Expr, loop: For) -> bool:
    return index is loop.var or (loop.extent == 1 and isinstance(index, Const) and index.value == 0)


def schedule(s: Schedule, target: Target) -> None:
    """Schedule a naive program for `target`."""
    default.schedule(s, target, tile)


def tile(s: Schedule, nest: Nest, target: Target) -> set[str]:
    """The convolution in register tiles. Gives the buffers that are done."""
    found = find_convolution(s.program)
    assert found is not None
    sums, driver, lanes = found.sums.buffer.name, found.driver, target.lanes(nest.buffer.dtype)
    *outer, axis, channel = _positions(s, found)
    extents = {f.name: int(f.extent) for f in nest_of(s, driver.buffer.name).loops}
    plan = choose(s, found, [extents[name] for name in (*outer, axis)], target)

    group = ""
    if found.is_padded:
        group, channel = s.split(channel, factor=found.each)
    whole, lane = s.split(channel, factor=found.block)
    if group:
        whole = s.fuse(group, whole)
    row: list[str] = []
    if len(outer) < 2:
        block, rest = s.split(axis, nparts=plan.blocks)
        step, column = s.split(rest, factor=plan.columns, tail="overlap")
        steps = [step]
    else:
        *outer, line = outer
        block, rest = s.split(line, nparts=plan.blocks)
        step, within = s.split(rest, factor=plan.rows, tail="overlap")
        across, column = s.split(axis, factor=plan.columns, tail="overlap")
        steps, row = [step, across], [within]
    part, panel = s.split(whole, nparts=plan.parts)
    near = streams(found, plan, target)
    turns = [*steps, panel] if near else [panel, *steps]
    s.reorder(*outer, block, part, *turns, *row, column, lane)
    shared = part
    for name in reversed([*outer, block]):
        shared = s.fuse(name, shared)

    copy = _copied(s, found, plan)
    s.compute_at(sums, panel if plan.cut else turns[-1], scope="global" if plan.cut else "local")
    if copy:
        s.compute_at(copy, shared, scope="global")
        _lay_out(s, copy, found, plan, target)
    pieces = set()
    if plan.cut:
        again, piece = _cut(s, sums, plan.columns, lanes, {shared, panel})
        pieces = {piece}
    else:
        _accumulate(s, sums, {shared, panel, *steps}, lanes)
        if arithmetic(*driver.values) * plan.rows * plan.columns * -(-found.block // lanes) <= EPILOGUE:
            for name in (*row, column):
                s.unroll(name)
    _in_vectors(s, lane, found.block, lanes)
    _fetch(s, found.weights.source, again if plan.cut else panel, steps[-1] if near else "", target)
    if found.sums.iterations >= default.PARALLEL_WORK:
        s.parallel(shared)
    return {driver.buffer.name, sums} | pieces


def _fetch(s: Schedule, weights: Buffer, panel: str, step: str, target: Target) -> None:
    """Fetch the next weights early, and where tiles follow each other through memory what the next one reads."""
    fetch_ahead(s, weights, panel, target)
    if step:
        fetch_rows(s, weights, step, target)


def _positions(s: Schedule, found: DirectConvolution) -> list[str]:
    """The loops of the driver; where the positions of the sums are one axis, fused to one and the channels."""
    *outer, channel = [f.name for f in found.driver.loops]
    if not found.pointwise:
        return [*outer, channel]
    axis = outer[0]
    for name in outer[1:]:
        axis = s.fuse(axis, name)
    return [axis, channel]


def _accumulate(s: Schedule, sums: str, around: set[str], lanes: int) -> None:
    """A tile: the reductions outside, then positions, unrolled, and the channels in vectors."""
    nest = nest_of(s, sums)
    reductions = [f.name for f in nest.reductions if f.name not in around]
    channel = str(nest.stmt.indices[-1])
    positions = [f.name for f in nest.spatial if f.name not in (*around, channel)]
    s.reorder(*reductions, *positions, channel)
    if len(reductions) > 1 and nest.reductions[-1].extent < lanes:  # a tap's channels are no loop of their own
        s.fuse(*reductions[-2:])
    for name in positions:
        s.unroll(name)
    _in_vectors(s, channel, int(nest.buffer.shape[-1]), lanes)


def _in_vectors(s: Schedule, loop: str, extent: int, lanes: int) -> None:
    """Vectorize the loop over a block: as one, which LLVM takes apart, or vector by vector where they are no power of two.

    What is left over is a shorter vector.
    """
    vectors, rest = divmod(extent, lanes)
    if extent <= lanes or (not rest and not vectors & (vectors - 1)):
        s.vectorize(loop)
        return
    vector, lane = s.split(loop, factor=lanes, tail="peel")
    s.unroll(vector)
    s.vectorize(lane)
    if rest:
        s.vectorize(f"{loop}_tail")


def _cut(s: Schedule, sums: str, columns: int, lanes: int, around: set[str]) -> tuple[str, str]:
    """Add up the sums of a block in the cache, a piece of the reduction after the other: that loop, the buffer of a piece."""
    taps = nest_of(s, sums).reductions[0]
    piece = s.rfactor(sums, taps.name)
    (again,) = s.reduce_loops_of(sums)
    nest = nest_of(s, sums)
    *outer, axis, channel = [f.name for f in nest.spatial if f.name not in around]
    step, column = s.split(axis, factor=columns)
    s.reorder(again, *outer, step, column, channel)
    s.compute_at(piece, step, scope="local")
    _accumulate(s, piece, {*around, again, *outer, step}, lanes)
    s.unroll(column)
    _in_vectors(s, channel, int(nest.spatial[-1].extent), lanes)
    return again, piece


def _copied(s: Schedule, found: DirectConvolution, plan: Plan) -> str | None:
    """The name of the copy of the data that each block of lines makes; None where the data is read as it is."""
    if found.data.source in writers(s.program):
        return str(found.data.source.name)
    return (
        str(s.cache_read(found.data.source.name, "global", (found.sums.buffer.name,)))
        if _aliases(found, plan)
        else None
    )


def _aliases(found: DirectConvolution, plan: Plan) -> bool:
    """Whether more positions of a tile share a set of the first cache than that has room for."""
    sets = PAGE // math.gcd(found.apart, PAGE)
    return plan.rows * plan.columns > WAYS * sets


def _lay_out(s: Schedule, copy: str, found: DirectConvolution, plan: Plan, target: Target) -> None:
    """Make the copy in vectors, positions of a tile in sets of their own."""
    if _aliases(found, plan):
        page = min(PAGE, math.gcd(found.apart, PAGE)) // found.data.dtype.bytes
        s.storage_align(copy, len(found.data.source.shape) - 2, page, target.lanes(found.data.dtype))
    *_, across, channel = nest_of(s, copy).loops
    lanes = target.lanes(found.data.dtype)
    if channel.extent >= lanes or across.extent == 1:
        default.vectorize_nest(s, nest_of(s, copy), target)
        return
    line = s.fuse(across.name, channel.name)
    if PartitionLoopStep(line).is_legal(s.program):
        s.partition_loop(line)
    _, lane = s.split(line, factor=lanes)
    s.vectorize(lane)


def choose(s: Schedule, found: DirectConvolution, extents: list[int], target: Target) -> Plan:
    """The sizes of tiles and blocks, for positions of these extents."""
    *outer, width = extents
    lanes, bytes = target.lanes(found.sums.buffer.dtype), found.sums.buffer.dtype.bytes
    vectors = -(-found.block // lanes)
    most = max(1, (target.registers - vectors - 1) // vectors)
    weights = bytes * found.block * found.terms
    best = columns_of(width, vectors, most)
    whole = max(n for n in range(1, min(most, width) + 1) if width % n == 0)
    cut = len(found.sums.reductions) > 2 and weights > target.caches.l2 // 2 and whole * vectors >= best * vectors // 2
    cut = cut and found.sums.reductions[0].extent > 1
    columns = pick(s, "columns", range(1, min(most, width) + 1), whole if cut else best)
    flat, height, batch = len(outer) < 2, width, math.prod(outer)
    rows = 1
    if not flat:
        *outer, height = outer
        batch = math.prod(outer)
        rows = columns_of(height, vectors * columns, most // columns) if columns == width and not cut else 1
    size = columns if flat else rows  # of a tile, along what is cut into blocks
    sizes = {
        -(-height // n): n for n in range(height, 0, -1) if (size == 1 or height % n == 0) and -(-height // n) >= size
    }
    cost = partial(cycles, found, batch, height, size, target)
    blocks, parts = min(itertools.product(sorted(sizes.values()), {1, min(target.threads, found.blocks)}), key=cost)
    return Plan(rows, columns, pick(s, "blocks", sizes.values(), blocks), pick(s, "parts", {1, parts}, parts), cut)


def streams(found: DirectConvolution, plan: Plan, target: Target) -> bool:
    """Whether all channels of a tile are made before the next tile: its data and results come from memory, weights from the cache."""
    moved = size_of(found.data.source) + size_of(found.driver.buffer)
    near = size_of(found.weights.source) <= target.caches.l2 // 2 and not plan.cut
    return near and found.pointwise and moved > target.caches.l3 // 2


def columns_of(extent: int, vectors: int, most: int) -> int:
    """Positions of a tile: as many as `most`, fewer if that leaves less over."""
    options = range(1, max(1, min(most, extent)) + 1)
    return min(options, key=lambda n: (-(-extent // n) * (max(n * vectors, 8) + 1), -n))


def cycles(
    found: DirectConvolution, batch: int, height: int, size: int, target: Target, shares: tuple[int, int]
) -> float:
    """The time of the busiest thread, when lines are cut into `blocks` and channels into `parts`: an estimate.

    It has one multiply-add of vectors a cycle, in whole tiles of `size` lines. What does not stay in the second cache,
    weights that each block of lines reads again, or a block of lines that each block of channels reads again, comes at
    BEYOND bytes a cycle.
    """
    blocks, parts = shares
    bytes, lanes = found.sums.buffer.dtype.bytes, target.lanes(found.sums.buffer.dtype)
    data, kept = math.prod(found.data.source.shape) * bytes, target.caches.l2 // 2
    weights = found.terms * found.blocks * found.block * bytes
    again = (batch * blocks * weights if weights > kept else 0) + (
        data * found.blocks if data > kept * batch * blocks else 0
    )
    lines = -(-height // blocks)
    sums = found.sums.iterations / lanes * (-(-lines // size) * size / lines)
    each = lines * -(-found.blocks // parts) / (height * found.blocks)
    most = min(1.0, -(-batch * blocks * parts // target.threads) * each / batch)
    shared = max(f.extent for f in found.sums.reductions[:-1]) - 1  # lines that two blocks read
    copied = parts * (1 + blocks * shared / height) * data / bytes / 8
    return float(most * (sums + copied) + again / BEYOND / target.threads + 100 * batch * blocks * parts)


__all__ = ["find_convolution", "matches", "schedule"]
