"""The default recipe: legal for every program, and decent for most.

What is cheap is computed where it is read; contractions accumulate in registers over a tile of
rows and vectors; innermost contiguous loops are vectors; outermost loops run in parallel. Every
move is a public schedule primitive, so the resulting trace can be printed, edited and replayed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

from minicc.loop.ir import SERIAL, Buffer, For, Store, Update
from minicc.loop.program import Program
from minicc.recipes.cascade import factor_sum, is_long_sum, nest_of, place_level
from minicc.recipes.structure import WHOLE, Nest, arithmetic, depends, is_alone, is_contraction, nests, readers
from minicc.recipes.structure import run_length, work, writers
from minicc.schedule import Schedule
from minicc.schedule.compute_at import ComputeAtStep
from minicc.schedule.loop_kind import check_independent
from minicc.schedule.partition_loop import PartitionLoopStep
from minicc.schedule.rfactor import RfactorStep
from minicc.schedule.step import Illegal
from minicc.target import Target
from minicc.tensor.expr import Expr, Var, loads
from minicc.types import float32

PARALLEL_WORK = 20_000  # iterations under which starting threads costs more than it saves
TILE_TERMS = 256  # that a tile of a contraction adds up in registers, before it goes to memory
CHEAP = 2  # operations that are recomputed rather than stored, when read by one nest


def schedule(program: Program, target: Target) -> Schedule:
    """Schedule a naive program for `target`."""
    s = Schedule(program)
    inline_producers(s)
    done: set[str] = set()
    for nest in filter(is_contraction, _without(s, done)):
        done |= tile_contraction(s, nest, target)
    for nest in filter(is_long_sum, _without(s, done)):
        _separate_output(s, nest)
    partials: set[str] = set()
    for nest in _without(s, done):
        partials |= factor_row(s, nest, target)
    sink_producers(s, partials)
    for nest in filter(is_long_sum, _without(s, done)):
        cascade(s, nest, target)
    for nest in _without(s, done):
        vectorize_nest(s, nest, target)
    for nest in _outermost(s.program):
        parallelize(s, nest)
    return s


def _without(s: Schedule, done: set[str]) -> Iterator[Nest]:
    """The nests of now, but those that are done when their turn comes."""
    return (nest for nest in nests(s.program) if nest.buffer.name not in done)


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


def sink_producers(s: Schedule, partials: set[str]) -> None:
    """Compute a part of each buffer right where it is used, if no element is computed twice by that.

    Such are the rows of a softmax, or the padded plane of a depthwise convolution: they stay in
    cache, and one parallel loop does for all.
    """
    names = [b.name for b in writers(s.program) if b not in s.program.outputs]
    for name in names:  # the partial results of a row are part of what combines them, and move with it
        if name in partials:
            _sink(s, name)
    for name in reversed(names):  # consumers first: what moves takes nothing along that was sunk less deep
        if name not in partials:
            _sink(s, name)


def _sink(s: Schedule, name: str) -> bool:
    """Compute the buffer called `name` in the loop that its readers share; False when that is not possible."""
    (buffer,) = [b for b in writers(s.program) if b.name == name]
    made, read = writers(s.program)[buffer], readers(s.program).get(buffer, [])
    at = _shared_loop(buffer, read) if len(made) == 1 and read and buffer.scope == "global" else None
    if at is None or at in made[0].loops:
        return False
    step = ComputeAtStep(name, at.name, None)
    if not step.is_legal(s.program):
        return False
    before = work(s.program)
    s.apply(step)
    if (
        work(s.program) > before
    ):  # a loop inside of the nest that moved is not narrowed by that, and runs again each time
        s.undo()
        return False
    return True


def _shared_loop(buffer: Buffer, read: list[Nest]) -> For | None:
    """The innermost of the outer loops that all readers share, and each of which picks its own part of `buffer`."""
    found = None
    for together in zip(*[nest.loops for nest in read], strict=False):
        loop = together[0]
        if any(other is not loop for other in together):
            break
        if any(_is_vector(nest, loop) or loop not in nest.spatial for nest in read):
            break
        accesses = [load for nest in read for load in nest.reads if load.source is buffer]
        dimensions = range(len(buffer.shape))
        if loop.extent != 1 and not any(all(load.indices[d] is loop.var for load in accesses) for d in dimensions):
            break
        found = loop if loop.extent != 1 else found
    return found


def _is_vector(nest: Nest, loop: For) -> bool:
    """Whether `loop` walks what `nest` writes element by element: it is left for vectors."""
    return loop.extent != 1 and run_length(nest.stmt.indices, loop.var) == WHOLE


def _worth_inlining(buffer: Buffer, made: list[Nest], read: list[Nest]) -> bool:
    """Whether recomputing an element wherever it is read costs less than a trip through memory."""
    if len(made) != 1 or not isinstance(made[0].stmt, Store) or not read or made[0].buffer in _sources(made[0]):
        return False
    (producer,) = made
    places = (
        zip(producer.stmt.indices, producer.loops, strict=True)
        if len(producer.loops) == len(buffer.shape)
        else [(None, None)]
    )
    if any(loop is None or (index is not loop.var and loop.extent != 1) for index, loop in places):
        return False
    again = sum(nest.iterations * _places(nest, buffer) for nest in read) / max(producer.iterations, 1)
    cost = arithmetic(*producer.values)
    if again <= 1:
        return not any(is_contraction(nest) for nest in read) or cost == 0
    return cost <= CHEAP and not any(is_contraction(nest) for nest in read)


def _places(nest: Nest, buffer: Buffer) -> int:
    """How many elements of `buffer` one iteration reads."""
    return len({load for load in nest.reads if load.source is buffer})


def _sources(nest: Nest) -> set[Buffer]:
    return {load.source for load in nest.reads}


# ---- contractions -------------------------------------------------------------------------------


def tile_contraction(s: Schedule, nest: Nest, target: Target) -> set[str]:
    """Accumulate a tile of rows by vectors in registers; what reads the sums drives the loops.

    Gives the names of the buffers whose nests are scheduled now: none when no loop of the
    contraction suits vectors.
    """
    lanes = target.lanes(nest.buffer.dtype)
    found = _vector_loop(nest, lanes, target.registers)
    if found is None or nest.iterations < 16 * lanes:
        return set()
    vector, width = found
    driver, accumulator = _driver(s, nest)
    loop_of = _loops_that_read(driver, accumulator, nest)
    row = _row_loop(nest, vector.var)
    rows = 1 if row is None else row_tile(row.extent, -(-width // lanes), target.registers)

    inner = loop_of[vector.var]
    extents = {f.name: int(f.extent) for f in driver.loops}
    order = [f.name for f in driver.loops if f.name != inner]
    lanes_used = min(extents[inner], width)
    if width < extents[inner]:
        place = [f.name for f in driver.loops].index(inner)
        outer, inner = s.split(inner, factor=width)
        order.insert(place, outer)
    inside = [inner]
    if row is not None:
        row_inner = loop_of[row.var]
        order.remove(row_inner)
        if rows < row.extent:
            row_outer, row_inner = s.split(row_inner, factor=rows)
            order.append(row_outer)
        inside.insert(0, row_inner)
    if len(order) + len(inside) > 1:
        s.reorder(*order, *inside)
    if order:
        s.compute_at(accumulator, order[-1], scope="local")
    levels = _cascade_tile(s, accumulator, set(order))
    if len(inside) > 1:
        s.unroll(inside[0])
    if lanes_used > 1:
        s.vectorize(inner)
    return {driver.buffer.name, accumulator, *levels}


def _driver(s: Schedule, nest: Nest) -> tuple[Nest, str]:
    """The nest that reads each sum once, and the name of the buffer of sums: a copy is made if need be."""
    consumers = readers(s.program).get(nest.buffer, [])
    if nest.buffer not in s.program.outputs and len(consumers) == 1 and _follows(consumers[0], nest):
        return consumers[0], nest.buffer.name
    name = nest.buffer.name
    local = s.cache_write(name, scope="local")
    return next(n for n in nests(s.program) if n.buffer.name == name), local


def _cascade_tile(s: Schedule, accumulator: str, around: set[str]) -> list[str]:
    """Schedule a tile and, if its sums are long, the tiles of partial sums that it adds up: their buffers are given."""
    levels = factor_sum(s, accumulator, TILE_TERMS) if is_long_sum(nest_of(s, accumulator), 2 * TILE_TERMS) else []
    for whole, partial in itertools.pairwise([accumulator, *levels]):
        inside = [f.name for f in nest_of(s, whole).spatial if f.name not in around]
        place_level(s, whole, partial, inside)
        around |= set(s.reduce_loops_of(whole))
    for name in [accumulator, *levels]:
        _schedule_tile(s, name, around)
    return levels


def _schedule_tile(s: Schedule, accumulator: str, around: set[str]) -> None:
    """Inside the tile: reductions outside, then rows unrolled, and the vector innermost."""
    nest = nest_of(s, accumulator)
    spatial = [f.name for f in nest.spatial if f.name not in around]
    reductions = [f.name for f in nest.reductions if f.name not in around]
    vectors = [name for name in spatial if run_length(nest.stmt.indices, Var(name)) == WHOLE]
    rows = [name for name in spatial if name not in vectors]
    if len(reductions) + len(spatial) > 1:
        s.reorder(*reductions, *rows, *vectors)
    for name in rows:
        s.unroll(name)
    for name in vectors:
        s.vectorize(name)


def _vector_loop(nest: Nest, lanes: int, registers: int) -> tuple[For, int] | None:
    """A spatial loop along which the sums and all operands that move are contiguous, and the vector's width."""
    for loop in reversed(nest.spatial):
        moving = [load for load in nest.reads if depends(load.indices, loop.var)]
        runs = [run_length(load.indices, loop.var) for load in moving]
        if loop.extent < 2 or run_length(nest.stmt.indices, loop.var) != WHOLE or not moving:
            continue
        if min(runs) == WHOLE:
            width = vector_width(loop.extent, lanes, registers // 8)
        elif min(runs) > 1:
            width = min(runs)
        else:
            continue
        if loop.extent % width == 0:
            return loop, width
    return None


def _row_loop(nest: Nest, vector: Var) -> For | None:
    """The loop whose steps share the operands that move along `vector`: the last such, else the last of all."""
    loops = [f for f in reversed(nest.spatial) if f.var is not vector and f.extent > 1]
    moving = [load for load in nest.reads if depends(load.indices, vector)]
    sharing = [f for f in loops if not any(depends(load.indices, f.var) for load in moving)]
    return next(iter([*sharing, *loops]), None)


def _follows(consumer: Nest, nest: Nest) -> bool:
    """Whether `consumer` reads each sum at most once, each index of it a loop of its own."""
    if not isinstance(consumer.stmt, Store):
        return False
    found = [load for load in consumer.reads if load.source is nest.buffer]
    turning = {f.var for f in consumer.loops if f.extent != 1}
    return (
        len(found) == 1
        and turning == turning & set(_plain_indices(found[0].indices))
        and all(
            isinstance(r, Var) for r, w in zip(found[0].indices, nest.stmt.indices, strict=True) if w in _turning(nest)
        )
    )


def _turning(nest: Nest) -> set[Var]:
    """The variables of the loops that run more than once."""
    return {f.var for f in nest.loops if f.extent != 1}


def _plain_indices(indices: tuple[Expr, ...]) -> list[Var]:
    """The indices that are loop variables, each once."""
    return list(dict.fromkeys(i for i in indices if isinstance(i, Var)))


def _loops_that_read(driver: Nest, accumulator: str, nest: Nest) -> dict[Var, str]:
    """For each variable of the contraction the loop of `driver` that indexes the same dimension of the sums."""
    (load,) = [x for x in driver.reads if x.source.name == accumulator]
    pairs = zip(nest.stmt.indices, load.indices, strict=True)
    return {w: r.name for w, r in pairs if isinstance(w, Var) and isinstance(r, Var)}


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


def factor_row(s: Schedule, nest: Nest, target: Target) -> set[str]:
    """Reduce a contiguous row in vector lanes that are combined at the end.

    This sums in another order than one by one, with a smaller error bound: the partial sums are shorter.
    Gives the name of the buffer of partial results, if it was done.
    """
    lanes = target.lanes(nest.buffer.dtype)
    if not isinstance(nest.stmt, Update) or not nest.reductions or nest.buffer.dtype.bits < 32:
        return set()
    row = nest.reductions[-1]
    moving = [load for load in nest.reads if depends(load.indices, row.var)]
    if (
        row is nest.loops[-1]
        and row.extent >= 4 * lanes
        and moving
        and all(run_length(load.indices, row.var) == WHOLE for load in moving)
    ):
        _, inner = s.split(row.name, factor=lanes)
        if RfactorStep(nest.buffer.name, inner, -1).is_legal(s.program):
            return {s.rfactor(nest.buffer.name, inner, factor_axis=-1)}
        s.undo()
    return set()


def _separate_output(s: Schedule, nest: Nest) -> None:
    """Sum what reads other buffers of the program in one of its own: they can move into the loops that copy it."""
    if nest.buffer in s.program.outputs and _sources(nest) & {*writers(s.program)}:
        s.cache_write(nest.buffer.name, scope="global")


def cascade(s: Schedule, nest: Nest, target: Target) -> None:
    """Make a long sum in levels, each of which adds the elements of a vector together where there is one."""
    whole = nest.buffer.name
    levels = factor_sum(s, whole)
    outer = None
    for partial in levels:
        loop = _vector_candidate(s, nest_of(s, whole))
        inner = None if loop is None else loop.name
        if loop is not None and (width := _width(nest, loop, target)) < loop.extent:
            outer, inner = s.split(loop.name, factor=width)
        place_level(s, whole, partial, () if inner is None else (inner,))
        whole = partial
    if outer is not None and PartitionLoopStep(outer).is_legal(s.program):
        s.partition_loop(outer)


def vectorize_nest(s: Schedule, nest: Nest, target: Target) -> None:
    """Vectorize the spatial loop that walks the written buffer element by element, as the innermost loop."""
    loop = _vector_candidate(s, nest)
    if loop is None or any(f.kind != SERIAL for f in nest.loops):
        return
    width = _width(nest, loop, target)
    inside = [f.name for f in nest.loops[nest.loops.index(loop) + 1 :]]
    inner = loop.name
    if width < loop.extent:
        _, inner = s.split(loop.name, factor=width)
    if inside:
        s.reorder(*inside, inner)
    s.vectorize(inner)


def _vector_candidate(s: Schedule, nest: Nest) -> For | None:
    """The innermost spatial loop that walks the written buffer element by element, and holds nothing else."""
    contiguous = [f for f in nest.spatial if run_length(nest.stmt.indices, f.var) == WHOLE and f.extent > 1]
    return next((f for f in reversed(contiguous) if _independent(s, f) and is_alone(s.program, f.name)), None)


def _width(nest: Nest, loop: For, target: Target) -> int:
    """How many elements of the buffer that a nest writes to take at once."""
    lanes = target.lanes(nest.buffer.dtype if nest.buffer.dtype.bits >= 32 else float32)
    return vector_width(loop.extent, lanes, 4 if isinstance(nest.stmt, Store) else 2)


def _independent(s: Schedule, loop: For) -> bool:
    """Whether no iteration of a loop needs another, whatever nests are inside of it."""
    inside = [nest for nest in nests(s.program) if loop in nest.loops]
    if len(inside) == 1 and loop in inside[0].spatial and _is_plain(inside[0]):
        return True
    try:
        check_independent(s.program, loop)
    except Illegal:
        return False
    return True


def _is_plain(nest: Nest) -> bool:
    """Whether each iteration of its spatial loops writes an element of its own; only recurrences and scatters may not."""
    own = any(load.source is nest.buffer for load in loads(*nest.values))
    return isinstance(nest.stmt, Update) or not (own or loads(*nest.stmt.indices))


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
        if loop.kind != SERIAL or loop not in nest.spatial or (chosen and chosen[-1].body is not loop):
            break
        if not _independent(s, loop):
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
