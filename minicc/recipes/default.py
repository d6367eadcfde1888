"""The default recipe: legal for every program, and decent for most.

What is cheap is computed where it is read; contractions accumulate in registers over a tile of
rows and vectors; innermost contiguous loops are vectors; outermost loops run in parallel. Every
move is a public schedule primitive, so the resulting trace can be printed, edited and replayed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator

from minicc.loop.ir import SERIAL, Buffer, For, Store, Update
from minicc.loop.program import Program
from minicc.loop.widen_floats import NARROW
from minicc.recipes.cascade import factor_sum, is_long_sum, nest_of, place_level
from minicc.recipes.contraction import pick, tile_contraction
from minicc.recipes.structure import WHOLE, Nest, arithmetic, depends, is_alone, is_contraction, nests, readers
from minicc.recipes.structure import run_length, work, writers
from minicc.recipes.transpose import tile_transposed
from minicc.recipes.vectors import (
    flatten,
    lanes_of,
    merge_reductions,
    nest_around,
    split_repeats,
    vectorize_loop,
    width_of,
    widths_of,
)
from minicc.loop.address import address, stride
from minicc.schedule.tidy import ranges_of
from minicc.schedule import Schedule
from minicc.schedule.compute_at import ComputeAtStep
from minicc.schedule.loop_kind import check_independent
from minicc.schedule.partition_loop import PartitionLoopStep
from minicc.schedule.rfactor import RfactorStep
from minicc.schedule.step import Illegal
from minicc.target import Target
from minicc.tensor.expr import Binary, Load, Var, loads, walk
from minicc.tensor.simplify import Simplifier

PARALLEL_WORK = 60_000  # iterations under which starting threads, a microsecond or two, costs more than it saves
TIMES = 4  # as many multiply-adds in registers take the time of an element that comes from a cache and goes back
Tile = Callable[[Schedule, Nest, Target], set[str]]  # gives the buffers whose nests are scheduled now
MOST_TAPS = 16  # of a sample, which are unrolled
ROWS = 16  # for which places are computed at least, where there are so many
QUARTET = 4  # lanes that are combined one by one
FAR = 8  # elements from one lane to the next from where on vectors do not pay: each lane has a load of its own
SHORT = 384  # bytes of a row up to which its first vectors are on the way to the cache still when windows read them
PLANE = 16384  # bytes of rows that stay in the first cache beside what they are made of
CHEAP = 2  # operations that are recomputed rather than stored, when read by one nest


def schedule(s: Schedule, target: Target, tile: Tile = tile_contraction) -> None:
    """Schedule a naive program for `target`; `tile` does the contractions."""
    inline_producers(s)
    done: set[str] = set()
    for nest in filter(is_contraction, _without(s, done)):
        done |= tile(s, nest, target)
    for nest in filter(is_long_sum, _without(s, done)):
        _separate_output(s, nest)
    partials = factor_rows(s, done, target)
    sink_producers(s, partials)
    for nest in filter(is_long_sum, _without(s, done)):
        cascade(s, nest, target)
    for nest in _without(s, done):
        split_repeats(s, nest, lanes_of(nest, target))
    for nest in _without(s, done):
        done |= tile_transposed(s, nest)
    for nest in _without(s, done):
        vectorize_nest(s, nest, target)
    finish_rows(s, partials)
    for nest in outermost(s.program):
        parallelize(s, nest)


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
    accesses = [load for nest in read for load in nest.reads if load.source is buffer]
    dimensions = range(len(buffer.shape))
    found, parts = None, {*dimensions}
    for together in zip(*[nest.loops for nest in read], strict=False):
        loop = together[0]
        if any(other is not loop for other in together):
            break
        if any(_is_vector(nest, loop) or loop not in nest.spatial for nest in read):
            break
        picked = {d for d in dimensions if all(load.indices[d] is loop.var for load in accesses)}
        if loop.extent != 1 and not picked:
            break
        found = loop if loop.extent != 1 else found
        parts -= picked
        if _in_windows(accesses, read) and _bytes(buffer, [-1]) <= SHORT and _bytes(buffer, parts) <= PLANE:
            break
    return found


def _in_windows(accesses: list[Load], read: list[Nest]) -> bool:
    """Whether the readers of a buffer slide windows over it, so that vectors are not read as they were written: what
    spans two of them waits until both are in the cache."""
    taps = {f.var for nest in read for f in nest.reductions}
    return any(not isinstance(i, Var) and depends((i,), tap) for load in accesses for i in load.indices for tap in taps)


def _bytes(buffer: Buffer, dimensions: Iterable[int]) -> float:
    """Of a part of a buffer that is whole in these dimensions; infinitely many where a call decides."""
    extents = [buffer.shape[d] if isinstance(buffer.shape[d], int) else math.inf for d in dimensions]
    return float(math.prod(extents) * buffer.dtype.bytes)


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


# ---- everything else ----------------------------------------------------------------------------


def factor_rows(s: Schedule, done: set[str], target: Target) -> set[str]:
    """Reduce rows, and planes that lie in a row, in vector lanes. Gives the names of the buffers of partial results."""
    for nest in _without(s, done):
        merge_reductions(s, nest)
    return {name for nest in _without(s, done) for name in factor_row(s, nest, target)}


def factor_row(s: Schedule, nest: Nest, target: Target) -> set[str]:
    """Reduce a contiguous row in the lanes of several vectors, which are combined to one, then to four lanes, at the end.

    This sums in another order than one by one, with a smaller error bound: the partial sums are shorter.
    Gives the names of the buffers of partial results, if it was done.
    """
    if not isinstance(nest.stmt, Update) or not nest.reductions or nest.reductions[-1] is not nest.loops[-1]:
        return set()
    if nest.buffer.dtype in NARROW:  # each partial sum would be rounded
        return set()
    lanes, name = lanes_of(nest, target), nest.buffer.name
    simplify, row = Simplifier(ranges_of(s.program)), nest.reductions[-1]
    moving = [load for load in nest.reads if depends(load.indices, row.var)]
    steps = {stride(address(load.source, load.indices, simplify), row.var) for load in moving}
    if steps != {1} or row.extent < 2 * lanes:
        return set()
    pair = len(nest.stmt.values) > 1
    widths = [lanes, *(w for w in widths_of(row.extent, lanes, target.registers // 4) if 4 * w <= row.extent)]
    width = lanes if pair else max(widths)
    _, inner = s.split(row.name, factor=width)
    if not RfactorStep(name, inner, -1).is_legal(s.program):
        s.undo()
        return set()
    partials = {s.rfactor(name, inner, factor_axis=-1)}
    for size in [] if pair else [n for n in (lanes, QUARTET) if n < width]:
        (combine,) = s.reduce_loops_of(name)
        _, inner = s.split(combine, factor=size)
        partials.add(s.rfactor(name, inner, factor_axis=-1))
    return partials


def finish_rows(s: Schedule, partials: set[str]) -> None:
    """Combine partial results in registers; the last vectors of a row, which may stick out, are a nest of their own."""
    for nest in nests(s.program):
        combines = any(load.source.name in partials for load in nest.reads)
        for loop in nest.reductions:
            if combines and loop.extent <= QUARTET and loop.kind == SERIAL:
                s.unroll(loop.name)
            elif nest.buffer.name in partials and PartitionLoopStep(loop.name).is_legal(s.program):
                s.partition_loop(loop.name)


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
        if loop is not None and (width := _width(s, nest, loop, target)) < loop.extent:
            outer, inner = s.split(loop.name, factor=width)
        place_level(s, whole, partial, () if inner is None else (inner,))
        whole = partial
    if outer is not None and PartitionLoopStep(outer).is_legal(s.program):
        s.partition_loop(outer)


def vectorize_nest(s: Schedule, nest: Nest, target: Target) -> None:
    """Vectorize the spatial loop that walks the written buffer element by element, as the innermost loop."""
    if any(f.kind != SERIAL for f in nest.loops):
        return
    loop = _vector_candidate(s, nest)
    if loop is None or loop.extent % lanes_of(nest, target):  # rows of ragged length may be one long row
        if nest.loops and is_alone(s.program, nest.loops[-1].name):
            nest = nest_around(s, flatten(s, nest)[-1])
        loop = _vector_candidate(s, nest)
    if loop is not None and is_looked_up(nest, loop):
        vectorize_samples(s, nest, loop, target)
    elif loop is not None:
        vectorize_loop(s, loop.name, _width(s, nest, loop, target), target)


def vectorize_samples(s: Schedule, nest: Nest, loop: For, target: Target) -> None:
    """Some rows inside of each vector: the places that its lanes read are computed once for them, and stay in registers."""
    rows = [f for f in nest.spatial if f is not loop]
    inside = next((n for n in range(1, len(rows)) if math.prod(f.extent for f in rows[-n:]) >= ROWS), len(rows))
    outside, taps = rows[: len(rows) - inside], nest.reductions
    s.reorder(*[f.name for f in (*outside, loop, *rows[-inside:], *taps)])
    vectorize_loop(s, loop.name, width_of(loop.extent, lanes_of(nest, target), 1), target)
    if math.prod(f.extent for f in taps) <= MOST_TAPS:
        left = [f for other in nests(s.program) if other.buffer is nest.buffer for f in other.reductions]
        for name in [f.name for f in left if f.kind == SERIAL]:
            s.unroll(name)


def is_looked_up(nest: Nest, loop: For) -> bool:
    """Whether a sum reads elements whose places other elements tell, the same ones for all rows: samples of an axis."""
    if not isinstance(nest.stmt, Update) or not all(a.body is b for a, b in itertools.pairwise(nest.loops)):
        return False
    places = [place for load in nest.reads for place in loads(*load.indices)]
    rows = [f.var for f in nest.spatial if f is not loop]
    told = any(depends(place.indices, loop.var) for place in places)
    return told and bool(rows) and not any(depends(place.indices, row) for place in places for row in rows)


def _vector_candidate(s: Schedule, nest: Nest) -> For | None:
    """The innermost spatial loop that walks the written buffer element by element, and holds nothing else."""
    simplify = Simplifier(ranges_of(s.program))
    at = address(nest.buffer, nest.stmt.indices, simplify)
    contiguous = [f for f in nest.spatial if stride(at, f.var) == 1 and f.extent > 1]
    if isinstance(nest.stmt, Update):
        forms = [address(load.source, load.indices, simplify) for load in nest.reads]
        contiguous = [f for f in contiguous if all((stride(form, f.var) or 0) < FAR for form in forms)]
    return next((f for f in reversed(contiguous) if _independent(s, f) and is_alone(s.program, f.name)), None)


def _width(s: Schedule, nest: Nest, loop: For, target: Target) -> int:
    """How many elements of the buffer that a nest writes to take at once."""
    most = target.registers // (8 if isinstance(nest.stmt, Store) else 4)  # sums wait for each other: several at a time
    widths = widths_of(loop.extent, lanes_of(nest, target), most)
    return pick(s, "width", widths, widths[-1])


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
    """Whether each iteration of its spatial loops writes an element of its own; only recurrences, scatters
    and shifted tiles may not."""
    own = any(load.source is nest.buffer for load in loads(*nest.values))
    shifted = any(isinstance(e, Binary) and e.op == "min" for e in walk(*nest.stmt.indices))
    return not shifted and (isinstance(nest.stmt, Update) or not (own or loads(*nest.stmt.indices)))


def outermost(program: Program) -> list[Nest]:
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
    if nest.iterations < PARALLEL_WORK * (TIMES if is_contraction(nest) else 1):
        return
    chosen: list[For] = []
    for loop in nest.loops:
        if chosen and chosen[-1].body is not loop and math.prod(f.extent for f in chosen) == 1:
            chosen = []  # loops of one iteration share nothing out; what is in them may
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
