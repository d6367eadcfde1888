"""The default recipe: legal for every program, and decent for most.

What is cheap is computed where it is read; contractions accumulate in registers over a tile of
rows and vectors; innermost contiguous loops are vectors; outermost loops run in parallel. Every
move is a public schedule primitive, so the resulting trace can be printed, edited and replayed.
"""

from __future__ import annotations

import math

from minicc.loop.ir import Buffer, For, Store
from minicc.loop.program import Program
from minicc.recipes.structure import (
    Nest,
    arithmetic,
    coefficient,
    depends,
    is_contraction,
    nests,
    readers,
    stride_one,
    writers,
)
from minicc.schedule import Schedule
from minicc.target import Target
from minicc.te.expr import Load, Var
from minicc.types import float32

PARALLEL_WORK = 20_000  # iterations under which starting threads costs more than it saves
CHEAP = 2  # operations that are recomputed rather than stored, when read by one nest


def schedule(program: Program, target: Target) -> Schedule:
    """Schedule a naive program for `target`."""
    s = Schedule(program)
    inline_producers(s)
    done: set[str] = set()
    for nest in nests(s.program):
        if nest.buffer.name not in done and is_contraction(nest) and tile_contraction(s, nest, target, done):
            done.add(nest.buffer.name)
    for nest in nests(s.program):
        if nest.buffer.name not in done:
            vectorize_nest(s, nest, target)
    for nest in _outermost(s.program):
        parallelize(s, nest)
    return s


# ---- where to compute ---------------------------------------------------------------------------


def inline_producers(s: Schedule) -> None:
    """Inline every intermediate buffer that is not worth storing, consumers last."""
    changed = True
    while changed:
        changed = False
        written, read = writers(s.program), readers(s.program)
        for buffer, made in written.items():
            if buffer not in s.program.outputs and _worth_inlining(buffer, made, read.get(buffer, [])):
                s.compute_inline(buffer.name)
                changed = True
                break


def _worth_inlining(buffer: Buffer, made: list[Nest], read: list[Nest]) -> bool:
    """Whether recomputing an element wherever it is read costs less than a trip through memory."""
    if len(made) != 1 or not isinstance(made[0].stmt, Store) or not read or made[0].buffer in _sources(made[0]):
        return False
    (producer,) = made
    if len(producer.loops) != len(buffer.shape) or any(i is not f.var for i, f in zip(producer.stmt.indices, producer.loops, strict=True)):
        return False
    again = sum(nest.iterations for nest in read) / max(producer.iterations, 1)
    cost = arithmetic(*producer.values)
    if again <= 1:
        return not any(is_contraction(nest) for nest in read) or cost == 0
    return cost <= CHEAP and not any(is_contraction(nest) for nest in read)


def _sources(nest: Nest) -> set[Buffer]:
    return {load.source for load in nest.reads}


# ---- contractions -------------------------------------------------------------------------------


def tile_contraction(s: Schedule, nest: Nest, target: Target, done: set[str]) -> bool:
    """Accumulate a tile of `rows x vectors` in registers: the copy or epilogue drives, the sum follows.

    False when the contraction has no contiguous spatial loop to vectorize.
    """
    vector_axis = _vector_loop(nest)
    if vector_axis is None or nest.iterations < 256:
        return False
    consumers = readers(s.program).get(nest.buffer, [])
    accumulator = nest.buffer.name
    if nest.buffer in s.program.outputs or len(consumers) != 1 or not _follows(consumers[0], nest):
        drive = nest.buffer.name
        accumulator = s.cache_write(drive, scope="local")
    else:
        drive = consumers[0].buffer.name
    out = writers(s.program)[_buffer(s.program, drive)][0]
    places = {place: loop for place, loop in zip(_spatial_places(nest), _driving_loops(out, accumulator), strict=True)}
    lanes = target.lanes(nest.buffer.dtype)
    vector_loop = places[vector_axis.var]
    width = vector_width(_extent(out, vector_loop), lanes, target.registers // 8)
    row_axis = _row_loop(nest, vector_axis.var)
    row_loop = places.get(row_axis.var) if row_axis is not None else None
    rows = 1
    if row_loop is not None:
        rows = row_tile(_extent(out, row_loop), -(-width // lanes), target.registers)
    _tile(s, out, accumulator, vector_loop, width, row_loop, rows)
    done.update((drive, accumulator))
    return True


def _tile(s: Schedule, out: Nest, accumulator: str, vector_loop: str, width: int, row_loop: str | None, rows: int) -> None:
    """Split the driving nest, compute the accumulator in its tile, and vectorize both."""
    drive = out.buffer.name
    outer, inner = s.split(vector_loop, factor=width)
    around = [f.name for f in out.loops if f.name not in (vector_loop, row_loop)]
    order = _outer_order(out, around, vector_loop, outer)
    at, tail = outer, [inner]
    if row_loop is not None and rows > 1:
        row_outer, row_inner = s.split(row_loop, factor=rows)
        order, tail, at = [*order, row_outer], [row_inner, inner], row_outer
    elif row_loop is not None:
        order, at = [*order, row_loop], row_loop
    else:
        at = order[-1]
    s.reorder(*order, *tail)
    s.compute_at(accumulator, at, scope="local")
    inner_names = s.loops_of(accumulator)
    reductions = s.reduce_loops_of(accumulator)
    spatial = [name for name in inner_names if name not in reductions and name not in order]
    spatial = _vector_last(s, accumulator, spatial)
    if len(reductions) + len(spatial) > 1:
        s.reorder(*reductions, *spatial)
    for name in spatial[:-1]:
        s.unroll(name)
    if spatial:
        s.vectorize(spatial[-1])
    if len(tail) > 1:
        s.unroll(tail[0])
    s.vectorize(inner)
    _ = drive


def _outer_order(out: Nest, around: list[str], vector_loop: str, outer: str) -> list[str]:
    """The outer loops with the vector blocks where the vector loop stood, batch loops first."""
    names = [f.name for f in out.loops]
    before = [n for n in around if names.index(n) < names.index(vector_loop)]
    return [*before, outer, *[n for n in around if n not in before]]


def _vector_last(s: Schedule, buffer: str, spatial: list[str]) -> list[str]:
    """The spatial loops with the one that walks the accumulator element by element last."""
    nest = writers(s.program)[_buffer(s.program, buffer)][0]
    for name in spatial:
        if stride_one(nest.stmt.indices, Var(name)):
            return [*[n for n in spatial if n != name], name]
    return spatial


def _vector_loop(nest: Nest) -> For | None:
    """The spatial loop along which the accumulator and one operand are contiguous and no operand is strided."""
    for loop in reversed(nest.spatial):
        if loop.extent < 2 or not stride_one(nest.stmt.indices, loop.var):
            continue
        steps = [coefficient(load.indices[-1], loop.var) for load in nest.reads if depends(load.indices, loop.var)]
        if steps and all(stride_one(load.indices, loop.var) for load in nest.reads if depends(load.indices, loop.var)) or None in steps:
            return loop
    return None


def _row_loop(nest: Nest, vector: Var) -> For | None:
    """The spatial loop, last in order, that the operand read along `vector` does not depend on."""
    shared = [load for load in nest.reads if depends(load.indices, vector)]
    for loop in reversed(nest.spatial):
        if loop.var is not vector and loop.extent > 1 and not any(depends(load.indices, loop.var) for load in shared):
            return loop
    for loop in reversed(nest.spatial):
        if loop.var is not vector and loop.extent > 1:
            return loop
    return None


def _follows(consumer: Nest, nest: Nest) -> bool:
    """Whether `consumer` reads each element of the contraction once, at plain loop variables."""
    if not isinstance(consumer.stmt, Store):
        return False
    found = [load for load in consumer.reads if load.source is nest.buffer]
    if len(found) != 1:
        return False
    variables = {f.var for f in consumer.loops}
    plain = [i for i in found[0].indices if i in variables]
    constant = [i for i, dim in zip(found[0].indices, nest.buffer.shape, strict=True) if i not in variables and dim == 1]
    return len(set(plain)) == len(plain) and len(plain) + len(constant) == len(found[0].indices)


def _spatial_places(nest: Nest) -> list[Var]:
    """The contraction's spatial variables in the order of its buffer's dimensions."""
    return [i for i in nest.stmt.indices if isinstance(i, Var)]


def _driving_loops(out: Nest, accumulator: str) -> list[str]:
    (load,) = [x for x in out.reads if isinstance(x, Load) and x.source.name == accumulator]
    return [i.name for i in load.indices if isinstance(i, Var)]


def _buffer(program: Program, name: str) -> Buffer:
    return next(b for b in writers(program) if b.name == name)


def _extent(nest: Nest, name: str) -> int:
    return next(int(f.extent) for f in nest.loops if f.name == name)


def vector_width(extent: int, lanes: int, most: int) -> int:
    """How many elements of a loop of `extent` to take at once: whole vectors, dividing if possible.

    At most `most` vectors. A short loop is one ragged vector.
    """
    if extent <= lanes:
        return extent
    for count in range(min(most, extent // lanes), 0, -1):
        if extent % (count * lanes) == 0:
            return count * lanes
    divisors = [d for d in range(lanes // 2, most * lanes + 1) if extent % d == 0]
    if divisors:
        return min(divisors, key=lambda d: (-(-d // lanes) * lanes / d, -d))
    return lanes


def row_tile(extent: int, vectors: int, registers: int) -> int:
    """Rows of accumulators: what `registers` hold beside the operands, with little waste at the end.

    The cost model is issue slots: a tile of `r` rows by `v` vectors takes the longest of `r * v / 2`
    multiply-adds, 4 cycles of latency, and `(r + v) / 2` loads.
    """
    most = max(1, (registers - vectors - 1) // vectors)

    def cost(rows: int) -> float:
        return math.ceil(extent / rows) * max(rows * vectors / 2, 4, (rows + vectors) / 2)

    return min(range(1, min(most, extent) + 1), key=lambda rows: (cost(rows), -rows))


# ---- everything else ----------------------------------------------------------------------------


def vectorize_nest(s: Schedule, nest: Nest, target: Target) -> None:
    """Vectorize the spatial loop that walks the written buffer element by element."""
    candidates = [f for f in nest.spatial if stride_one(nest.stmt.indices, f.var)]
    if not candidates or candidates[-1].kind != "serial" or candidates[-1].extent < 2:
        return
    loop = candidates[-1]
    order = [f.name for f in nest.spatial if f is not loop] + [f.name for f in nest.reductions]
    lanes = target.lanes(nest.buffer.dtype if nest.buffer.dtype.bits >= 16 else float32)
    width = vector_width(loop.extent, lanes, 4 if isinstance(nest.stmt, Store) else 2)
    name = loop.name
    outer = None
    if width < loop.extent:
        outer, name = s.split(loop.name, factor=width)
        order.insert(len(nest.spatial) - 1, outer)
    if len(order) > 0 and nest.loops[-1] is not loop or outer is not None and nest.loops[-1] is not loop:
        s.reorder(*order, name)
    s.vectorize(name)


def _outermost(program: Program) -> list[Nest]:
    """One nest for each outermost loop."""
    found: dict[str, Nest] = {}
    for nest in nests(program):
        if nest.loops:
            first = nest.loops[0].name
            if first not in found or nest.iterations > found[first].iterations:
                found[first] = nest
    return list(found.values())


def parallelize(s: Schedule, nest: Nest) -> None:
    """Run the outermost spatial loops in parallel when there is enough work."""
    if nest.iterations < PARALLEL_WORK:
        return
    chosen: list[For] = []
    for loop in nest.loops:
        if loop.kind != "serial" or loop not in nest.spatial or not s.is_perfect([f.name for f in (*chosen, loop)]):
            break
        chosen.append(loop)
        if math.prod(f.extent for f in chosen) >= 64:
            break
    if not chosen or math.prod(f.extent for f in chosen) < 2:
        return
    name = chosen[0].name
    for loop in chosen[1:]:
        name = s.fuse(name, loop.name)
    s.parallel(name)
