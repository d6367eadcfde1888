"""Transposed copies: what is read along one axis and written along another goes through registers, a square at a time.

In: a schedule, and a nest that stores along a loop which walks an operand in large steps: a transposed matrix, channels
that become the last axis. Out: tiles of 8 x 8 whose rows are read as vectors into registers, and written as vectors of
their columns, for which LLVM finds shuffles. Read a lane at a time, each element would take a load of its own. The last
tiles of ragged axes are nests of their own. An axis of two or three elements, as of the colours of an image, is no row of
a tile: it is read, or written, in a row with the other axis.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> x = te.placeholder((64, 100), name="x")
>>> y = te.compute((100, 64), lambda i, j: x[j, i], name="y")
>>> s = Schedule(lower([y], [x, y], "transposed").program)
>>> sorted(tile_transposed(s, nests(s.program)[0]))
['x_local', 'y']
>>> print(s.trace)
s.cache_read("x", "local", readers=["y"])
s.split("i", factor=4)
s.split("j", factor=8)
s.reorder("i_o", "j_o", "i_i", "j_i")
s.compute_at("x_local", "j_o", scope="local")
s.unroll("x_local_0")
s.vectorize("x_local_1")
s.unroll("i_i")
s.vectorize("j_i")
"""

from __future__ import annotations

from functools import reduce
import itertools
from typing import NamedTuple

from minicc.loop.address import address, stride
from minicc.loop.ir import SERIAL, For, Store
from minicc.recipes.cascade import nest_of
from minicc.recipes.structure import Nest, is_alone, nests
from minicc.schedule import Schedule
from minicc.schedule.compute_at import ComputeAtStep
from minicc.schedule.partition_loop import PartitionLoopStep
from minicc.schedule.tidy import ranges_of
from minicc.tensor.expr import Const, Load, Var, loads
from minicc.tensor.simplify import Simplifier

SIDE = 8  # of a tile: a register of 32-bit elements on most machines, and few enough rows for all of them
MOST_WASTE = 1.5  # how much larger the tiles may be than the matrix
LEAST = 4  # a shorter axis gives no vectors to speak of by itself


class Crossing(NamedTuple):
    """A load, the loop along which it is contiguous, and the one along which the store is."""

    load: Load
    read: For
    write: For


def tile_transposed(s: Schedule, nest: Nest) -> set[str]:
    """Copy an operand in square tiles through registers. Gives the buffers whose nests are scheduled now, none if none is crossed."""
    found = find_crossing(s, nest)
    if found is None:
        return set()
    name, marks = nest.buffer.name, len(s.trace.steps)
    known = {n.buffer for n in nests(s.program)} - {nest.buffer}
    outside = [f.name for f in nest.loops if f not in (found.read, found.write)]
    local = s.cache_read(found.load.source.name, "local", (name,))
    read_side, write_side = (side_of(int(f.extent)) for f in (found.read, found.write))
    if found.load.dtype.bits < 32 and min(read_side, write_side) >= LEAST:  # part of a register is shuffled in squares
        read_side = write_side = min(read_side, write_side)
    if write_side < LEAST:
        s.reorder(*outside, found.read.name, found.write.name)
        outer, *inner = s.split(s.fuse(found.read.name, found.write.name), factor=read_side * write_side)
        tiles = [outer]
    else:
        read_outer, read = s.split(found.read.name, factor=read_side)
        write_outer, write = s.split(found.write.name, factor=write_side)
        s.reorder(*outside, read_outer, write_outer, read, write)
        tiles, inner = [read_outer, write_outer], [read, write]
    if not ComputeAtStep(local, tiles[-1], "local").is_legal(s.program):
        while len(s.trace.steps) > marks:
            s.undo()
        return set()
    s.compute_at(local, tiles[-1], scope="local")
    copied = nest_of(s, local)
    *rows, row = [f.name for f in copied.loops if f.extent > 1 and any(f.var is i for i in copied.stmt.indices)]
    for loop in rows if read_side >= LEAST else ():
        s.unroll(loop)
    names = [f.name for f in copied.loops]  # axes of 1 may stand between those that are copied
    line = names[names.index([*rows, row][0]) : names.index(row) + 1]
    s.vectorize(row if read_side >= LEAST else reduce(s.fuse, line))
    for loop in inner[:-1]:
        s.unroll(loop)
    s.vectorize(inner[-1])
    for loop in tiles:
        if PartitionLoopStep(loop).is_legal(s.program):
            s.partition_loop(loop)
    return {n.buffer.name for n in nests(s.program) if n.buffer not in known}


def side_of(extent: int) -> int:
    """How long the side of a tile along an axis is: a whole side, or half of one that leaves less over, or a short axis."""
    return extent if extent < LEAST else min((SIDE, LEAST), key=lambda side: (-(-extent // side) * side, -side))


def waste(extent: int) -> float:
    """How much longer the tiles are than the axis."""
    return -(-extent // side_of(extent)) * side_of(extent) / extent


def find_crossing(s: Schedule, nest: Nest) -> Crossing | None:
    """The first load that a store reads along another loop than it writes, if both have vectors."""
    loops = nest.loops
    if not isinstance(nest.stmt, Store) or not loops or not is_alone(s.program, loops[0].name):
        return None
    nested = all(outer.body is inner for outer, inner in itertools.pairwise(loops))
    if not nested or loops[-1].body is not nest.stmt or any(f.kind != SERIAL for f in loops):
        return None
    simplify = Simplifier(ranges_of(s.program))
    written = address(nest.buffer, nest.stmt.indices, simplify)
    turning = [f for f in loops if isinstance(f.extent, int) and f.extent > 1]
    write = next((f for f in turning if stride(written, f.var) == 1), None)
    for load in loads(nest.stmt.value):
        form = address(load.source, load.indices, simplify)
        read = next((f for f in turning if stride(form, f.var) == 1), None)
        if write is None or read is None or read is write or not (stride(form, write.var) or 0) > 1:
            continue
        few = waste(int(read.extent)) * waste(int(write.extent)) <= MOST_WASTE
        vectors = _fills(read, write, stride(form, write.var)) and _fills(write, read, stride(written, read.var))
        if load.dtype.bits == 8 and write.extent < LEAST:  # LLVM would take three vectors apart byte by byte
            continue
        if few and vectors and _is_plain(load) and load.source is not nest.buffer:
            return Crossing(load, read, write)
    return None


def _fills(loop: For, other: For, step: int | None) -> bool:
    """Whether vectors along a loop are filled: it is long, or lies in a row with the other, whose iterations are `step` apart."""
    return bool(loop.extent >= LEAST or (step == loop.extent and other.extent >= LEAST))


def _is_plain(load: Load) -> bool:
    """Whether each index is a loop of its own, or 0: then the copy of a tile is a box."""
    variables = [i for i in load.indices if isinstance(i, Var)]
    fixed = all(isinstance(i, Var) or (isinstance(i, Const) and i.value == 0) for i in load.indices)
    return fixed and len(set(variables)) == len(variables)


__all__ = ["find_crossing", "tile_transposed"]
