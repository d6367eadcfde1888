"""Windows that slide over channels-last data: depthwise convolutions and pools, a row of results in registers.

In: a program in which each result combines the elements under the taps of a window, of its own channel only. Out: a tile
of `columns` neighbours by one vector of channels, accumulated in registers. The taps of a row of the window are unrolled
inside of the columns, so that an element that several windows have is loaded once, and the weights of a row stay in
registers. Rows of taps are a loop, so the code of a 7x7 kernel is that of a 1x7.

Padding is neither stored nor asked for in the tile. Rows of taps above or below the data are told apart by one branch for
a row of taps (`unswitch`), and tiles at the ends of a row are code of their own (`partition_loop`). Channels that do not fill
whole vectors are covered by a last vector that begins earlier (`split(tail="overlap")`). Where the elements of another
operand tell the places of the taps, as when an image is resized, neighbours share nothing: a tile is one column, and
memory is walked in a row.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> x, w = te.placeholder((8, 34, 32), name="x"), te.placeholder((3, 32), name="w")
>>> k = te.reduce_axis((0, 3), name="k")
>>> y = te.compute((8, 32, 32), lambda h, v, c: te.sum(x[h, v + k, c] * w[k, c], axis=k), name="y", names=["h", "v", "c"])
>>> s = Schedule(lower([y], [x, w, y], "slide").program)
>>> matches(s.program, Target.of("haswell"))
'each result is made of a window of its own channel, 32 channels in vectors of 8'
>>> schedule(s, Target.of("haswell"))
>>> print(s.trace)
s.cache_write("y")
columns = s.choose("columns", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16], 8)
width = s.choose("width", [2, 4, 8], 8)
s.split("v_copy", factor=columns)
s.split("c_copy", factor=width, tail="overlap")
s.reorder("h_copy", "v_copy_o", "c_copy_o", "v_copy_i", "c_copy_i")
s.compute_at("y_local", "c_copy_o", scope="local")
s.unroll("v_copy_i")
s.vectorize("c_copy_i")
s.reorder("h", "v", "k", "c")
s.decompose_reduction("y_local", "h")
s.unroll("h_init")
s.unroll("v_init")
s.vectorize("c_init")
s.unroll("h")
s.unroll("v")
s.unroll("k")
s.vectorize("c")
"""

from __future__ import annotations

from minicc.loop.ir import Store, Update
from minicc.loop.program import Program
from minicc.recipes import default
from minicc.recipes.cascade import nest_of
from minicc.recipes.contraction import find_driver, loops_that_read, pick
from minicc.recipes.structure import WHOLE, Nest, depends, nests, run_length
from minicc.schedule import Schedule
from minicc.schedule.partition_loop import PartitionLoopStep
from minicc.schedule.unswitch import UnswitchStep
from minicc.target import Target
from minicc.tensor.expr import Const, Load, Select, Var, loads
from minicc.types import float32

MOST_TAPS = 32  # of a row of a window, which are unrolled
TILE = 72  # taps of a row times columns at most: more code is no faster


def matches(program: Program, target: Target) -> str | None:
    """Why the recipe suits a program, or None."""
    found = _window(program)
    if found is None:
        return None
    width = _widths(int(found.spatial[-1].extent), _lanes(found, target))[-1]
    channels = found.spatial[-1].extent
    return f"each result is made of a window of its own channel, {channels} channels in vectors of {width}"


def schedule(s: Schedule, target: Target) -> None:
    """Schedule a program that `matches`."""
    found = _window(s.program)
    assert found is not None
    default.inline_producers(s)
    nest = nest_of(s, found.buffer.name)
    read = {load.source for load in nest.reads}
    for made in [n for n in nests(s.program) if n.buffer in read and isinstance(n.stmt, Store)]:
        if isinstance(made.values[0], Select) and isinstance(made.values[0].then, Load):
            s.compute_inline(made.buffer.name)  # the padding: zeros around what stays as it is
    driver, sums = find_driver(s, nest_of(s, nest.buffer.name))
    done = {sums, driver.buffer.name}
    _tile(s, nest_of(s, sums), driver, target)
    for other in [n for n in nests(s.program) if not any(n.buffer.name.startswith(name) for name in done)]:
        default.vectorize_nest(s, other, target)
    for other in default.outermost(s.program):
        default.parallelize(s, other)


def _tile(s: Schedule, nest: Nest, driver: Nest, target: Target) -> None:
    """A row of windows by a vector of channels, and the reduction in it."""
    loop_of = loops_that_read(driver, nest.buffer.name, nest)
    channels, taps = int(nest.spatial[-1].extent), int(nest.reductions[-1].extent)
    across = int(nest.spatial[-2].extent)
    order = [f.name for f in driver.loops]
    column, channel = loop_of[nest.spatial[-2].var], loop_of[nest.spatial[-1].var]
    order = [name for name in order if name not in (column, channel)]
    sampled = any(loads(*load.indices) for load in nest.reads)  # neighbours share no element that is known now
    usual = 1 if sampled else _columns(across, taps, target.registers)
    columns = pick(s, "columns", range(1, min(across, 16) + 1), usual)
    lanes = _lanes(nest, target)
    width = pick(s, "width", _widths(channels, lanes), _widths(channels, lanes)[-1])
    outer = ""
    if columns < across:
        outer, column = s.split(column, factor=columns)
        order.append(outer)
    if width < channels:
        further, channel = s.split(channel, factor=width, tail="overlap")
        order.append(further)
    s.reorder(*order, column, channel)
    if order:
        s.compute_at(nest.buffer.name, order[-1], scope="local")
    s.unroll(column)
    s.vectorize(channel)
    _reduce(s, nest.buffer.name, set(order))
    if outer and PartitionLoopStep(outer).is_legal(s.program):
        s.partition_loop(outer)


def _reduce(s: Schedule, sums: str, around: set[str]) -> None:
    """Inside of the tile: rows of taps, then the columns, and for each the taps of a row."""
    nest = nest_of(s, sums)
    *rows, taps = [f.name for f in nest.reductions]
    *columns, channel = [f.name for f in nest.spatial if f.name not in around]
    s.reorder(*rows, *columns, taps, channel)
    first = rows[0] if rows else columns[0]
    for name in s.decompose_reduction(sums, first)[:-1]:
        s.unroll(name)
    s.vectorize(s.loops_of(sums)[-1])
    for name in (*columns, taps):
        s.unroll(name)
    s.vectorize(channel)
    if UnswitchStep(columns[0]).is_legal(s.program):
        s.unswitch(columns[0])


def _window(program: Program) -> Nest | None:
    """The nest that slides a window over channels-last data, where there is one and no other reduction."""
    reducing = [nest for nest in nests(program) if isinstance(nest.stmt, Update)]
    return reducing[0] if len(reducing) == 1 and _slides(reducing[0]) else None


def _slides(nest: Nest) -> bool:
    if len(nest.values) != 1 or len(nest.spatial) < 2 or all(f.extent == 1 for f in nest.reductions):
        return False
    if any(not isinstance(f.extent, int) or f.extent < 1 for f in nest.loops) or nest.reductions[-1].extent > MOST_TAPS:
        return False
    if any(not (isinstance(i, Var) or (isinstance(i, Const) and i.value == 0)) for i in nest.stmt.indices):
        return False  # a step of a recurrence
    *_, column, channel = nest.spatial
    if column.extent < 2 or channel.extent < 2 or run_length(nest.stmt.indices, channel.var) != WHOLE:
        return False
    taps = [f.var for f in nest.reductions]
    data = [load for load in nest.reads if depends(load.indices, taps[-1]) and depends(load.indices, column.var)]
    return bool(data) and all(
        run_length(load.indices, channel.var) == WHOLE and not any(depends(load.indices[-1:], tap) for tap in taps)
        for load in nest.reads
    )


def _lanes(nest: Nest, target: Target) -> int:
    return target.lanes(nest.buffer.dtype if nest.buffer.dtype.bits >= 32 else float32)


def _widths(channels: int, lanes: int) -> list[int]:
    """Whole vectors, or a part of one where there are fewer channels; the last is the widest."""
    return [n for n in (2, 4, 8, 16, 32, 64) if n <= min(channels, lanes)]


def _columns(across: int, taps: int, registers: int) -> int:
    """Neighbours of a tile: their results, and the weights and the elements of a row of taps fit registers.

    A short row is one tile. Of others, a tile more costs about two columns.
    """
    most = max(7, min(registers - 2 * taps, TILE // taps))
    if across <= min(most, 14):
        return across
    return min(range(2, min(most, 10) + 1), key=lambda n: (-(-across // n) * (n + 2), n))
