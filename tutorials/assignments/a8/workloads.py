"""Programs with schedules that leave numbers open, and what each choice of these numbers costs.

Nothing here is to be changed: the grader has its own. A workload is a naive program and a trace in which numbers are recorded
choices: `rows = s.choose("rows", [1, 2, 4, 8], 1)`. Its `space` has the options of each, its `cost` replays the trace with other
choices, and counts: loads, stores, and 16 for each miss of a cache of 16 lines of 64 bytes. A machine has few
registers: where all buffers of scope local have more than 32 elements, their accesses count as loads and stores, too.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

from minicc import te
from minicc.loop.counts import count
from minicc.loop.ir import Alloc, walk
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.schedule import Schedule, Trace
from minicc.schedule.choose import ChooseStep

CACHE = te.Cache(16 * 64, line=64, ways=None)
MISS, REGISTERS = 16, 32


@dataclass(frozen=True)
class OpenSchedule:
    """A naive program, and a trace with recorded choices."""

    name: str
    program: Program
    trace: Trace

    @cached_property
    def space(self):
        """The options of each choice, by its name."""
        return {step.key: list(step.options) for step in self.trace if isinstance(step, ChooseStep)}

    def points(self):
        """All choices that there are."""
        return [dict(zip(self.space, values, strict=True)) for values in itertools.product(*self.space.values())]

    def cost(self, choices):
        """What the program costs with these choices. Raises ScheduleError for a number that is not among the options."""
        program = self.trace.replay(self.program, choices).program
        counts = count(program, caches=[CACHE])
        local = sum(
            math.prod(s.buffer.shape) for s in walk(program.body) if isinstance(s, Alloc) and s.buffer.scope == "local"
        )
        spilled = (counts.local.loads + counts.local.stores) * (local > REGISTERS)
        return counts.loads + counts.stores + MISS * counts.misses[0] + spilled


def scheduled(name, *tensors):
    """A schedule without steps of the last tensor, which is computed from the others."""
    return Schedule(lower([tensors[-1]], list(tensors), name).program)


def matmul(rows, columns, depth):
    """A product: how large is a tile of sums, how deep a panel, how wide a block of columns?"""
    A, B = te.placeholder((rows, depth), name="A"), te.placeholder((depth, columns), name="B")
    k = te.reduce_axis((0, depth), name="k")
    C = te.compute((rows, columns), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    s = scheduled("matmul", A, B, C)
    sums = s.cache_write("C", "local")
    i, j = s.loops_of("C")
    block = s.choose("block", (4, 8, 16, 32), 32)
    tile_rows = s.choose("rows", (1, 2, 3, 4, 6, 8, 12), 1)
    tile_columns = s.choose("columns", (1, 2, 4, 8, 16), 1)
    blocks, in_block = s.split(j, factor=block)
    j, column = s.split(in_block, factor=tile_columns)
    i, row = s.split(i, factor=tile_rows)
    s.reorder(blocks, i, j, row, column)
    s.compute_at(sums, j)
    k = s.loops_of(sums)[-1]
    s.reorder(k, *s.loops_of(sums)[-3:-1])
    for operand in ("A", "B"):
        s.compute_at(s.cache_read(operand, "local"), k)
    return OpenSchedule(f"matmul {rows} x {columns} x {depth}", s.start, s.trace)


def blur(rows, columns):
    """A blur in two stages: how much of the first is computed for how much of the second?"""
    A = te.placeholder((rows + 2, columns + 2), name="A")
    X = te.compute((rows + 2, columns), lambda y, x: A[y, x] + A[y, x + 1] + A[y, x + 2], name="X")
    B = te.compute((rows, columns), lambda i, j: X[i, j] + X[i + 1, j] + X[i + 2, j], name="B")
    s = scheduled("blur", A, B)
    block = s.choose("block", (4, 8, 16, 32), 32)
    tile_rows = s.choose("rows", (1, 2, 3, 4, 6, 8, 12, 24), 1)
    tile_columns = s.choose("columns", (1, 2, 3, 4, 8), 1)
    blocks, in_block = s.split("j", factor=block)
    j, column = s.split(in_block, factor=tile_columns)
    i, row = s.split("i", factor=tile_rows)
    s.reorder(blocks, i, j, row, column)
    s.compute_at("X", j, "local")
    return OpenSchedule(f"blur {rows} x {columns}", s.start, s.trace)


def turned_product(rows, columns, depth):
    """A product by a matrix that lies the other way around: along which axis is it read, and how far?"""
    A, B = te.placeholder((rows, depth), name="A"), te.placeholder((columns, depth), name="B")
    k = te.reduce_axis((0, depth), name="k")
    C = te.compute((rows, columns), lambda i, j: te.sum(A[i, k] * B[j, k], axis=k), name="C")
    s = scheduled("turned_product", A, B, C)
    deep = s.choose("deep", (1, 2, 4, 8, 16, 32), 32)
    tile_rows = s.choose("rows", (1, 2, 3, 4, 6, 8, 12), 1)
    tile_columns = s.choose("columns", (1, 2, 4, 8, 16), 1)
    i, j, row, column = s.tile("i", "j", tile_rows, tile_columns)
    depths, step = s.split("k", factor=deep)
    s.reorder(depths, i, j, row, column, step)
    return OpenSchedule(f"turned product {rows} x {columns} x {depth}", s.start, s.trace)
