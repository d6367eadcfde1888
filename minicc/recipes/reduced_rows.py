"""Rows that are summed up and written again: softmax, and normalisations over the last axes.

In: a schedule of a program whose output has rows, with reductions over whole rows (maximum, sum,
variance) before it. Out: one loop over rows, in which all of it is done while the row is in the
first cache. A reduction keeps a partial result in each lane of some vectors, and these are folded
by halves, so a row of 64 costs four steps and six folds, not 64 steps; a ragged rest is one masked
vector. Lanes and folds add in another order than one by one, with a smaller error bound.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> from minicc.ops import Softmax
>>> x = te.placeholder((100, 49), name="x")
>>> y = Softmax()(x)
>>> s = Schedule(lower([y], [x, y], "softmax").program)
>>> matches(s.program, Target.of("skylake-avx512"))
'100 rows of 49: 2 reductions over each, which is then written'
>>> schedule(s, Target.of("skylake-avx512").with_threads(1))
>>> s.choices
{'lanes': 16, 'lanes_1': 16, 'width': 32, 'width_1': 32}
"""

from __future__ import annotations

import itertools
import math

from minicc.loop.ir import SERIAL, Store, Update
from minicc.loop.program import Program
from minicc.recipes import default
from minicc.recipes.cascade import factor_sum, is_long_sum, nest_of, place_level
from minicc.recipes.contraction import pick
from minicc.recipes.structure import WHOLE, Nest, depends, nests, readers, run_length
from minicc.schedule import Schedule
from minicc.schedule.compute_at import ComputeAtStep
from minicc.schedule.partition_loop import PartitionLoopStep
from minicc.schedule.rfactor import RfactorStep
from minicc.target import Target
from minicc.types import float32

FEWEST = 4  # elements of the last axis: below, rows are no vectors
MOST_IDLE = 1.125  # times the fewest lanes that cover a row
FOLD = 2  # steps that are unrolled: the halves of a vector, a row of two
TERMS = 256  # that one lane adds up, before sums are cascaded


def rows_of(program: Program) -> int | None:
    """How many leading axes of the output count its rows; None where it has none that are reduced before."""
    found = nests(program)
    if not found or not isinstance(found[-1].stmt, Store) or found[-1].buffer not in program.outputs:
        return None
    shape = found[-1].buffer.shape
    updates = [nest for nest in found if isinstance(nest.stmt, Update)]
    if not updates or not all(isinstance(dim, int) and dim > 0 for dim in shape):
        return None
    counts = {len(shape) - len(nest.reductions) for nest in updates}
    (count, *others) = counts
    if others or count < 1 or shape[-1] < FEWEST or not all(_over_rows(nest, shape, count) for nest in updates):
        return None
    return count


def _over_rows(nest: Nest, shape: tuple[int, ...], count: int) -> bool:
    """Whether a nest reduces whole rows, which lie in memory element by element."""
    stmt, row = nest.stmt, nest.reductions[-1]
    spatial = [f.extent for f in nest.spatial]
    ones = (1,) * (len(shape) - count)
    if not isinstance(stmt, Update) or len(stmt.values) != 1 or nest.buffer.dtype.bits < 32:
        return False
    if tuple(spatial) not in (shape[:count] + ones, shape[:count]):
        return False
    moving = [load for load in nest.reads if depends(load.indices, row.var)]
    runs = [run_length(load.indices, row.var) for load in moving]
    return tuple(f.extent for f in nest.reductions) == shape[count:] and bool(runs) and min(runs) == WHOLE


def matches(program: Program, target: Target) -> str | None:
    """How many rows there are, how long, and how often they are reduced."""
    count = rows_of(program)
    if count is None:
        return None
    shape = program.outputs[0].shape
    times = sum(isinstance(nest.stmt, Update) for nest in nests(program))
    length, rows = math.prod(shape[count:]), math.prod(shape[:count])
    return f"{rows} rows of {length}: {times} reductions over each, which is then written"


def schedule(s: Schedule, target: Target) -> None:
    """Schedule a naive program over rows for `target`."""
    count = rows_of(s.program)
    assert count is not None
    default.inline_producers(s)
    lanes: list[str] = []  # the partial results
    for nest in nests(s.program):
        if isinstance(nest.stmt, Update):
            lanes += fold_lanes(s, nest, target)
    for name in lanes:  # partial results move with what combines them
        (reader,) = readers(s.program)[nest_of(s, name).buffer]
        s.compute_at(name, reader.loops[count - 1].name)
    *around, output = nests(s.program)
    at = output.loops[count - 1].name
    for nest in reversed(around):
        if nest.buffer.name not in lanes and (step := ComputeAtStep(nest.buffer.name, at, None)).is_legal(s.program):
            s.apply(step)
    for nest in nests(s.program):
        if nest.buffer.name in lanes:
            vectorize_lanes(s, nest.buffer.name)
        elif isinstance(nest.stmt, Store):
            vectorize_row(s, nest, target)
    unroll_folds(s)
    default.parallelize(s, max(nests(s.program), key=lambda nest: nest.iterations))


def fold_lanes(s: Schedule, nest: Nest, target: Target) -> list[str]:
    """Reduce in the lanes of vectors, and fold these by halves. Gives the partial results, the widest first."""
    name, row, register = nest.buffer.name, nest.reductions[-1], target.lanes(nest.buffer.dtype)
    options = [vectors * register for vectors in (1, 2, 4) if vectors == 1 or 2 * vectors * register <= row.extent]
    width = pick(s, "lanes", options, widest(row.extent, options))
    found: list[str] = []
    loop = row.name
    while width > 1:
        _, inner = s.split(loop, factor=width)
        if not RfactorStep(name, inner, -1).is_legal(s.program):
            s.undo()
            break
        found.append(s.rfactor(name, inner, factor_axis=-1))
        (loop,) = s.reduce_loops_of(name)
        width //= 2
    return found


def widest(extent: int, options: list[int]) -> int:
    """The most lanes that leave few idle: the last vector of a row costs as much as a whole one.

    >>> widest(130, [16, 32, 64]), widest(77, [16, 32]), widest(1000, [16, 32, 64])
    (32, 16, 64)
    """
    covered = {lanes: -(-extent // lanes) * lanes for lanes in options}
    return max(lanes for lanes in options if covered[lanes] <= MOST_IDLE * min(covered.values()))


def vectorize_lanes(s: Schedule, name: str) -> None:
    """The lanes of partial results as vectors, of which the last may be masked; long sums in levels."""
    levels = factor_sum(s, name) if is_long_sum(nest_of(s, name), TERMS) else []
    for buffer in (name, *levels):
        nest = nest_of(s, buffer)
        s.reorder(*[f.name for f in nest.reductions], _lane(nest))
    for whole, partial in itertools.pairwise([name, *levels]):
        place_level(s, whole, partial)
    for buffer in (name, *levels):
        nest = nest_of(s, buffer)
        s.vectorize(_lane(nest))
        if PartitionLoopStep(nest.reductions[-1].name).is_legal(s.program):
            s.partition_loop(nest.reductions[-1].name)


def unroll_folds(s: Schedule) -> None:
    """Steps in which the halves of vectors are added are too short to be loops."""
    for nest in nests(s.program):
        for loop in nest.reductions:
            if loop.extent <= FOLD and loop.kind == SERIAL:
                s.unroll(loop.name)


def _lane(nest: Nest) -> str:
    """The loop of the last index of what a nest writes."""
    return str(nest.stmt.indices[-1])


def vectorize_row(s: Schedule, nest: Nest, target: Target) -> None:
    """The last axis of what is stored as vectors, of which the last may be masked."""
    loop = nest.loops[-1]
    if loop.kind != SERIAL or loop.extent == 1 or run_length(nest.stmt.indices, loop.var) != WHOLE:
        return
    lanes = target.lanes(nest.buffer.dtype if nest.buffer.dtype.bits >= 32 else float32)
    options = [vectors * lanes for vectors in (1, 2, 4) if vectors == 1 or vectors * lanes <= loop.extent]
    width = pick(s, "width", options, widest(loop.extent, options))
    outer, inner = s.split(loop.name, factor=width)
    s.vectorize(inner)
    if PartitionLoopStep(outer).is_legal(s.program):
        s.partition_loop(outer)


__all__ = ["matches", "rows_of", "schedule"]
