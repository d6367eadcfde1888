"""Contractions: sums of products accumulate in registers, over a tile of rows by vectors.

In: a schedule, and a nest that adds up products. Out: its loops in tiles, driven by what reads the sums, with a local
accumulator for each tile; the operand that moves along the vectors is loaded once for all rows of a step. Long sums are
added up in pieces of TILE_TERMS.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> a, b = te.placeholder((64, 32), name="a"), te.placeholder((32, 64), name="b")
>>> k = te.reduce_axis((0, 32), name="k")
>>> c = te.compute((64, 64), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="c")
>>> s = Schedule(lower([c], [a, b, c], "product").program)
>>> sorted(tile_contraction(s, nest_of(s, "c"), Target.of("haswell")))
['c', 'c_local']
>>> print(s.trace)
width = s.choose("width", [8, 16], 16)
rows = s.choose("rows", [1, 2, 3, 4, 5, 6], 4)
s.cache_write("c")
s.split("j_copy", factor=width)
s.split("i_copy", factor=rows)
s.reorder("j_copy_o", "i_copy_o", "i_copy_i", "j_copy_i")
s.compute_at("c_local", "i_copy_o", scope="local")
s.reorder("k", "i", "j")
s.unroll("i")
s.vectorize("j")
s.unroll("i_copy_i")
s.vectorize("j_copy_i")
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

from minicc.loop.ir import Buffer, For, Store
from minicc.recipes.cascade import factor_sum, is_long_sum, nest_of, place_level
from minicc.recipes.structure import WHOLE, Nest, depends, nests, readers, run_length
from minicc.recipes.vectors import has_masks, width_of, widths_of
from minicc.schedule import Schedule
from minicc.schedule.pad_einsum import PadEinsumStep
from minicc.schedule.partition_loop import PartitionLoopStep
from minicc.schedule.prefetch import PrefetchStep
from minicc.target import Target
from minicc.tensor.expr import Expr, Var

OVERHEAD = 0.25  # of a tile beside its sums, in vectors of them
TILE_TERMS = 256  # that a tile of a contraction adds up in registers, before it goes to memory


def pick(s: Schedule, name: str, options: Iterable[int], default: int) -> int:
    """A recorded choice, numbered where a kernel has several of a name."""
    names = itertools.chain([name], (f"{name}_{n}" for n in itertools.count(1)))
    return s.choose(next(n for n in names if n not in s.choices), tuple(sorted({*options, default})), default)


def tile_contraction(s: Schedule, nest: Nest, target: Target, terms: int = TILE_TERMS) -> set[str]:
    """Accumulate a tile of rows by vectors in registers; what reads the sums drives the loops.

    Gives the names of the buffers whose nests are scheduled now: none when no loop of the
    contraction suits vectors.
    """
    lanes = target.lanes(nest.buffer.dtype)
    found = _vector_loop(s, nest, lanes, target.registers)
    if found is None or nest.iterations < 16 * lanes:
        return set()
    vector, width, widths = found
    width = pick(s, "width", widths, width)
    row = _row_loop(nest, vector.var)
    rows, vectors = 1, -(-width // lanes)
    if row is not None:
        options = range(1, most_rows(row.extent, vectors, target.registers) + 1)
        rows = pick(s, "rows", options, row_tile(row.extent, vectors, target.registers))
    padded = pad_operands(s, nest, vector, width, target)
    driver, accumulator = find_driver(s, nest if padded is None else nest_of(s, padded))
    loop_of = loops_that_read(driver, accumulator, nest)
    inner, outer = loop_of[vector.var], ""
    extents = {f.name: int(f.extent) for f in driver.loops}
    order = [f.name for f in driver.loops if f.name != inner]
    if width != extents[inner]:
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
    levels = cascade_tile(s, accumulator, set(order), terms)
    if len(inside) > 1:
        s.unroll(inside[0])
    s.vectorize(inner)
    done = {driver.buffer.name, accumulator, *levels}
    if outer and PartitionLoopStep(outer).is_legal(s.program):
        known = {n.buffer for n in nests(s.program)}
        s.partition_loop(outer)
        done |= {n.buffer.name for n in nests(s.program) if n.buffer not in known}
    return done


def pad_operands(s: Schedule, nest: Nest, vector: For, width: int, target: Target) -> str | None:
    """Lengthen the loop along the vectors to whole ones, where it is not. Gives the name of the buffer of sums then.

    What is read behind the end is zero: loaded under a mask where the machine has such, and else copied before.
    """
    if vector.extent % width == 0 or not _padding(nest, vector, width).is_legal(s.program):
        return None
    known = {n.buffer for n in nests(s.program)}
    s.apply(_padding(nest, vector, width))
    *copies, sums = (n.buffer for n in nests(s.program) if n.buffer not in known)
    for copy in copies:
        if has_masks(target, [copy.dtype]):
            s.compute_inline(copy.name)
    if nest.buffer not in s.program.outputs:
        s.compute_root(sums.name)
        s.compute_inline(nest.buffer.name)
    return sums.name


def _padding(nest: Nest, vector: For, width: int) -> PadEinsumStep:
    return PadEinsumStep(nest.buffer.name, tuple(width if f is vector else 1 for f in nest.loops))


def find_driver(s: Schedule, nest: Nest) -> tuple[Nest, str]:
    """The nest that reads each sum once, and the name of the buffer of sums: a copy is made if need be."""
    consumers = readers(s.program).get(nest.buffer, [])
    if nest.buffer not in s.program.outputs and len(consumers) == 1 and _follows(consumers[0], nest):
        return consumers[0], nest.buffer.name
    name = nest.buffer.name
    local = s.cache_write(name, scope="local")
    return next(n for n in nests(s.program) if n.buffer.name == name), local


def cascade_tile(s: Schedule, accumulator: str, around: set[str], terms: int = TILE_TERMS) -> list[str]:
    """Schedule a tile and, if its sums are long, the tiles of partial sums that it adds up: their buffers are given."""
    levels = factor_sum(s, accumulator, terms) if is_long_sum(nest_of(s, accumulator), 2 * terms) else []
    for whole, partial in itertools.pairwise([accumulator, *levels]):
        inside = [f.name for f in nest_of(s, whole).spatial if f.name not in around]
        place_level(s, whole, partial, inside)
        around |= set(s.reduce_loops_of(whole))
    for name in [accumulator, *levels]:
        _schedule_tile(s, name, around)
    return levels


def fetch_ahead(s: Schedule, weights: Buffer, loop: str, target: Target) -> None:
    """Fetch the weights of the next iteration of a loop while those of this one are used, if they come from far away."""
    if size_of(weights) > target.caches.l2 // 2:
        _fetch(s, weights, loop, weights)


def fetch_rows(s: Schedule, weights: Buffer, loop: str, target: Target) -> None:
    """Fetch the rows of the next iteration of a loop, of data and of what is added to the sums, if they come from memory."""
    read = dict.fromkeys(load.source for nest in nests(s.program) for load in nest.reads)
    for source in read:
        if source in s.program.params and source is not weights and size_of(source) > target.caches.l3 // 4:
            _fetch(s, source, loop, weights)


def _fetch(s: Schedule, source: Buffer, loop: str, weights: Buffer) -> None:
    """Ask for it in the innermost loop that reads weights, where each iteration of `loop` has rows of its own."""
    users = (n for n in nests(s.program) if n.reductions and any(load.source is weights for load in n.reads))
    nest = next(users)  # a rest of the vectors is another one
    step = PrefetchStep(source.name, loop, 1, nest.reductions[-1].name)
    if step.is_legal(s.program):
        s.prefetch(source.name, loop, 1, spread=nest.reductions[-1].name)


def size_of(buffer: Buffer) -> int:
    """Bytes, of known extents."""
    return int(math.prod(buffer.shape) * buffer.dtype.bytes)


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


def _vector_loop(s: Schedule, nest: Nest, lanes: int, registers: int) -> tuple[For, int, list[int]] | None:
    """A spatial loop along which the sums and all operands that move are contiguous, the vector's width, and others."""
    most = registers // 8
    for loop in reversed(nest.spatial):
        moving = [load for load in nest.reads if depends(load.indices, loop.var)]
        runs = [run_length(load.indices, loop.var) for load in moving]
        if loop.extent < 2 or run_length(nest.stmt.indices, loop.var) != WHOLE or not moving:
            continue
        if min(runs) < 2:
            continue
        if min(runs) < WHOLE:
            return loop, min(runs), [min(runs)]
        if not _padding(nest, loop, loop.extent + 1).is_legal(s.program):
            widths = window_widths(loop.extent, lanes, most)
            return loop, widths[-1], widths
        return loop, tile_width(loop.extent, lanes, most), widths_of(loop.extent, lanes, most)
    return None


def window_widths(extent: int, lanes: int, most: int) -> list[int]:
    """Numbers of columns for sums of windows, which cannot be longer than they are: what divides, or leaves a rest."""
    widths = [lanes * count for count in (1, 2, 4) if count <= most and lanes * count <= extent]
    exact = [width for width in [lanes // 2, *widths] if extent % width == 0]
    return exact or widths[:1] or [1 << (extent.bit_length() - 1)]


def tile_width(extent: int, lanes: int, most: int) -> int:
    """How many columns of sums to keep in registers: whole vectors, as many as leave few of them idle at the end."""
    vectors = -(-extent // lanes)

    def cost(count: int) -> float:
        return math.ceil(vectors / count) * (count + OVERHEAD)

    return width_of(
        extent, lanes, min((count for count in (1, 2, 4) if count <= most), key=lambda count: (cost(count), -count))
    )


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


def loops_that_read(driver: Nest, accumulator: str, nest: Nest) -> dict[Var, str]:
    """For each variable of the contraction the loop of `driver` that indexes the same dimension of the sums."""
    (load,) = [x for x in driver.reads if x.source.name == accumulator]
    pairs = zip(nest.stmt.indices, load.indices, strict=True)
    return {w: r.name for w, r in pairs if isinstance(w, Var) and isinstance(r, Var)}


def most_rows(extent: int, vectors: int, registers: int) -> int:
    """Rows whose accumulators the registers hold beside the operands; one at least."""
    return min(extent, max(1, (registers - vectors - 1) // vectors))


def row_tile(extent: int, vectors: int, registers: int) -> int:
    """Rows of accumulators: what `registers` hold beside the operands, with little waste at the end.

    The cost model is issue slots: a tile of `r` rows by `v` vectors takes the longest of `r * v / 2`
    multiply-adds, 4 cycles of latency, and `(r + v) / 2` loads.
    """

    def cost(rows: int) -> float:
        return math.ceil(extent / rows) * max(rows * vectors / 2, 4, (rows + vectors) / 2)

    return min(range(1, most_rows(extent, vectors, registers) + 1), key=lambda rows: (cost(rows), -rows))
