"""Whole registers: how a loop of any extent becomes vectors that registers have.

In: a schedule, the name of a loop whose iterations are independent, a width. Out: vectors of that width, which is a
whole number of registers or a part of one, and for what is left over one masked vector, or narrower ones, each half as
wide as the one before: as a mask costs nothing where the machine has masks for the type, and a lane at a time where not.
A vector of another width would be taken apart by LLVM, lane by lane.

    vectorize_loop(s, name, width_of(extent, lanes, 4), target)    whole registers and the rest, as the innermost loop
    width_of(extent, lanes, most)                                  a tile of at most `most` registers that covers, or a part
    flatten(s, nest)                                               loops that walk all of their buffers in a row become one

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> x = te.placeholder((3, 7, 37), name="x")
>>> y = te.compute((3, 7, 37), lambda h, i, j: x[h, i, j] * 2.0, name="y")
>>> s = Schedule(lower([y], [x, y], "double").program)
>>> (nest,) = nests(s.program)
>>> loop = flatten(s, nest)[-1]
>>> vectorize_loop(s, loop, width_of(777, 8, 4), Target.of("haswell"))
>>> print(s.trace)
s.fuse("i", "j")
s.fuse("h", "i_j_f")
s.split("h_i_j_f_f", factor=32)
s.vectorize("h_i_j_f_f_i")
s.partition_loop("h_i_j_f_f_o")
>>> width_of(24, 16, 4), width_of(5, 16, 4), width_of(777, 16, 4)
(32, 8, 64)
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from minicc.loop.address import address, stride
from minicc.loop.ir import SERIAL, Buffer, For, Store, Update, loops
from minicc.loop.widen_floats import NARROW
from minicc.recipes.structure import Nest, depends, is_alone, nests
from minicc.schedule import Schedule
from minicc.schedule.partition_loop import PartitionLoopStep
from minicc.schedule.split import SplitStep
from minicc.schedule.tidy import ranges_of
from minicc.target import Target
from minicc.tensor.expr import Binary, Call, Const, children, Convert, Expr, Load, Var, loads, walk
from minicc.tensor.simplify import Simplifier
from minicc.types import DType

MANY = 8  # vectors of a row from where on those in the middle are a loop of their own, without the tests for its ends
WINDOW = 32  # taps of a window that are unrolled: more are a loop


# ---- widths -------------------------------------------------------------------------------------


def lanes_of(nest: Nest, target: Target) -> int:
    """How many elements of the widest type that a nest computes with fill one register; 16-bit floats are widened."""
    inside: set[Expr] = set()
    for load in loads(*nest.values):
        inside.update(walk(*load.indices))
    kinds = {DType.of(e.dtype) for e in walk(*nest.values) if e not in inside and isinstance(e, (Load, Convert, Call))}
    kinds.add(nest.buffer.dtype)
    return target.vector_bits // max(32 if kind in NARROW else kind.bits for kind in kinds)


def width_of(extent: int, lanes: int, most: int) -> int:
    """How many elements of a loop to take at once: the least power of two that holds all, or `most` registers, 1, 2 or 4.

    Three registers side by side are no vector that LLVM keeps whole.
    """
    return min(lanes * most, 1 << max(extent - 1, 0).bit_length())


def widths_of(extent: int, lanes: int, most: int) -> list[int]:
    """What `width_of` gives for up to `most` registers, ascending."""
    return sorted({width_of(extent, lanes, count) for count in (1, 2, 4) if count <= most})


def has_masks(target: Target, kinds: Iterable[DType]) -> bool:
    """Whether there are loads and stores of some lanes of a register only, for all of these types."""
    least = min(kind.bits for kind in kinds)
    return target.has("avx512bw") or (target.has("avx2") and least >= 32)


# ---- loops --------------------------------------------------------------------------------------


def nest_around(s: Schedule, loop: str) -> Nest:
    """The first nest that is inside of the loop."""
    return next(nest for nest in nests(s.program) if any(f.name == loop for f in nest.loops))


def flatten(s: Schedule, nest: Nest) -> list[str]:
    """Fuse neighbouring loops of a store where each of its buffers is walked in a row, or not at all. Gives its loops."""
    names = [f.name for f in nest.loops]
    return _fuse_all(s, nest, names) if isinstance(nest.stmt, Store) else names


def split_repeats(s: Schedule, nest: Nest, least: int) -> None:
    """Split the loops of a store along which an operand of at least so many elements is repeated: `x[i % 50]` is read in rows."""
    if not isinstance(nest.stmt, Store) or not nest.loops or not is_alone(s.program, nest.loops[0].name):
        return
    repeats: dict[Expr, int] = {}
    for e in walk(*[index for load in nest.reads for index in load.indices]):
        match e:
            case Binary("floormod", Var() as inner, Const(size, _)):
                repeats[inner] = int(size)
    for loop in nest.loops:
        size = repeats.get(loop.var, 0)
        if least <= size < loop.extent and loop.extent % size == 0 and loop.kind == SERIAL:
            s.split(loop.name, factor=size)


def merge_reductions(s: Schedule, nest: Nest) -> None:
    """Fuse neighbouring loops of a reduction where each of its buffers is walked in a row: rows of a plane are one row."""
    _fuse_all(s, nest, [f.name for f in nest.reductions])


def _fuse_all(s: Schedule, nest: Nest, names: list[str]) -> list[str]:
    """Fuse neighbours of these loops, where that is possible. Gives those that are left."""
    for outer in names[-2::-1]:
        nest = nest_around(s, outer)
        at = [f.name for f in nest.loops].index(outer)
        first, second = nest.loops[at : at + 2]
        if (
            second.name in names
            and first.body is second
            and is_alone(s.program, outer)
            and _in_a_row(s, nest, first, second)
        ):
            place = names.index(outer)
            names[place : place + 2] = [s.fuse(outer, second.name)]
    return names


def _in_a_row(s: Schedule, nest: Nest, outer: For, inner: For) -> bool:
    """Whether a step of `outer` moves every access by as much as all steps of `inner`, and nothing else asks for them."""
    if outer.kind != SERIAL or inner.kind != SERIAL or not isinstance(outer.extent, int):
        return False
    accesses: list[tuple[Buffer, tuple[Expr, ...]]] = [(load.source, load.indices) for load in nest.reads]
    inside = {e for _, indices in accesses for e in walk(*indices)}
    if any(e in (outer.var, inner.var) for e in _outside(nest.values, inside)):
        return False
    simplify = Simplifier(ranges_of(s.program))
    written = (
        [] if isinstance(nest.stmt, Update) and inner.var in nest.stmt.axes else [(nest.buffer, nest.stmt.indices)]
    )
    for buffer, indices in [*written, *accesses]:
        form = address(buffer, indices, simplify)
        far, near = stride(form, outer.var), stride(form, inner.var)
        if far is None or near is None or far != near * inner.extent:
            return False
    return True


def _outside(values: Iterable[Expr], inside: set[Expr]) -> Iterable[Expr]:
    """The variables that values depend on other than by the indices of what they load."""
    pending = list(values)
    while pending:
        e = pending.pop()
        if isinstance(e, Var):
            yield e
        elif not isinstance(e, Load):
            pending += children(e)


def vectorize_loop(s: Schedule, loop: str, width: int, target: Target) -> None:
    """Vectors of `width` along a loop, as the innermost one, and the rest in a masked vector or narrower ones."""
    nest = nest_around(s, loop)
    (found,) = [f for f in nest.loops if f.name == loop]
    rest = found.extent % width
    is_register = rest & (rest - 1) == 0 and rest <= lanes_of(nest, target)
    kinds = [nest.buffer.dtype, *[load.dtype for load in nest.reads if depends(load.indices, found.var)]]
    if is_register or not isinstance(nest.stmt, Store) or not has_masks(target, kinds):
        _in_pieces(s, loop, width, lanes_of(nest, target))
        return
    inside = [f.name for f in nest.loops[nest.loops.index(found) + 1 :]]
    if inside:
        s.reorder(*inside, loop)
    outer, inner = s.split(loop, factor=width)
    s.vectorize(inner)
    if found.extent > width:
        s.partition_loop(outer)


def _in_pieces(s: Schedule, loop: str, width: int, lanes: int) -> None:
    """Vectors of `width` along a loop, then one of half of it, and so on, as many as there are elements left; of a few
    sums vectors of at most `lanes`, the last of which begins earlier."""
    nest = nest_around(s, loop)
    (found,) = [f for f in nest.loops if f.name == loop]
    inside = [f.name for f in nest.loops[nest.loops.index(found) + 1 :]]
    if found.extent < width:
        width = 1 << (found.extent.bit_length() - 1)
    if width < 2:
        return
    rest, known, vector = found.extent % width, {*loops(s.program.body)}, loop
    outer = ""
    if overlap := _overlap(s, nest, found, min(lanes, width)):
        width, rest = overlap, 0
        outer, vector = s.split(loop, factor=width, tail="overlap")
        s.unroll(outer)  # each then knows what it reads
    elif found.extent > width:
        outer, vector = s.split(loop, factor=width, tail="peel" if rest else "guard")
    known |= {outer, vector}
    if inside:
        s.reorder(*inside, vector)
    s.vectorize(vector)
    if (
        not rest
        and isinstance(nest.stmt, Store)
        and found.extent >= MANY * width
        and PartitionLoopStep(outer).is_legal(s.program)
    ):
        s.partition_loop(outer)  # what most of them find true is no test for them
    window = [f for f in nest.reductions if f.name in inside]
    if window and math.prod(f.extent for f in window) <= WINDOW:
        for f in window:  # whether a tap is inside of the image is then known, or one test for all lanes
            s.unroll(f.name)
    if rest:
        _in_pieces(s, next(name for name in loops(s.program.body) if name not in known), width, lanes)


def _overlap(s: Schedule, nest: Nest, loop: For, width: int) -> int:
    """The width of vectors of which the last begins earlier, if a few sums leave more than one piece over; else 0."""
    rest = loop.extent % width
    few = isinstance(nest.stmt, Update) and rest & (rest - 1) and width < loop.extent <= MANY * width
    return width if few and SplitStep(loop.name, width, tail="overlap").is_legal(s.program) else 0


__all__ = [
    "flatten",
    "has_masks",
    "lanes_of",
    "merge_reductions",
    "nest_around",
    "split_repeats",
    "vectorize_loop",
    "width_of",
    "widths_of",
]
