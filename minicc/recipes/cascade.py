"""Long sums in levels, so that no accumulator adds up many terms.

In: a schedule, and the name of a buffer of float sums. Out: the same sums as sums of partial sums
of at most `most` terms each, made where they are added. So the error grows with the number of
levels, not of terms (Higham 1993, The Accuracy of Floating Point Summation), over whatever axes
the sum goes. All of it is `split`, `rfactor`, `reorder` and `compute_at`.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> x, k = te.placeholder((60000, 8), name="x"), te.reduce_axis((0, 60000), name="k")
>>> y = te.compute((8,), lambda j: te.sum(x[k, j], axis=k), name="y")
>>> s = Schedule(lower([y], [x, y], "columns").program)
>>> levels = factor_sum(s, "y", 64)
>>> place_level(s, "y", levels[0], inside=("j_combine",))
>>> print(s.trace)
s.split("k", nparts=1000)
s.split("k_o", nparts=8)
s.rfactor("y", "k_o_o")
s.rfactor("y_rf", "k_o_i")
s.reorder("k_o_o_combine", "j_combine")
s.compute_at("y_rf", "k_o_o_combine", scope="local")
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from minicc.loop.ir import Update
from minicc.recipes.structure import Nest, is_alone, nests
from minicc.schedule import Schedule
from minicc.schedule.rfactor import RfactorStep
from minicc.tensor.expr import Binary, Load, Select

MOST = 64  # terms that one accumulator adds up
SHORT = 32  # so many are added up one by one


def is_long_sum(nest: Nest, short: int = SHORT) -> bool:
    """Whether a nest adds up floats, and more than so many for one result, of which there are some."""
    stmt = nest.stmt
    if not isinstance(stmt, Update) or len(stmt.values) != 1 or not nest.buffer.dtype.is_float:
        return False
    if any(isinstance(f.extent, int) and f.extent == 0 for f in nest.loops):
        return False
    match stmt.values[0]:
        case Binary("add", Load(buffer, _), _) | Select(_, Binary("add", Load(buffer, _), _), _) if (
            buffer is nest.buffer
        ):
            extents = [f.extent for f in nest.reductions]
            return all(isinstance(n, int) for n in extents) and math.prod(extents) > short
    return False


def factor_sum(s: Schedule, name: str, most: int | None = None) -> list[str]:
    """Sum `name` by way of partial sums of `most` terms: their buffers, each summed from the next, are given.

    By default the two levels of a sum that is not very long are of about one length.
    """
    levels: list[str] = []
    if most is None:
        terms = math.prod(int(f.extent) for f in nest_of(s, name).reductions)
        most = min(MOST, math.isqrt(terms) + 1)
    if RfactorStep(name, s.reduce_loops_of(name)[0]).is_legal(s.program):
        for loop in _cut(s, name, most):
            levels.append(s.rfactor(levels[-1] if levels else name, loop))
    return levels


def place_level(s: Schedule, name: str, partial: str, inside: Sequence[str] = ()) -> None:
    """Make the partial sums where `name` adds them, the elements of its loops `inside` together.

    They stay where they are when their loops compute other things as well.
    """
    around = nest_of(s, name).loops
    own = next(f.name for f in nest_of(s, partial).loops if f not in around)
    if not is_alone(s.program, own):
        return
    (combine,) = s.reduce_loops_of(name)
    if inside:
        s.reorder(combine, *inside)
    s.compute_at(partial, combine, scope="local")


def _cut(s: Schedule, name: str, most: int) -> list[str]:
    """Split the reducing loops of `name` until the innermost take `most` trips together at most, and any other 2 * `most`.

    Gives all but those innermost ones, outermost first.
    """
    levels: list[str] = []
    steps = 1  # of the innermost loops
    for loop in reversed(nest_of(s, name).reductions):
        outer, trips = loop.name, loop.extent
        if not levels and steps * trips <= most:
            steps *= trips
            continue
        shared = not levels and steps <= most // 2  # a part of the loop belongs to the innermost ones
        limit = most // steps if shared else 2 * most
        pieces: list[str] = []
        while trips > limit:
            trips = _parts(trips, limit, 2 * most)
            outer, inner = s.split(outer, nparts=trips)
            pieces.insert(0, inner)
            limit = 2 * most
        levels = [outer, *(pieces[:-1] if shared else pieces), *levels]
    return levels


def _parts(extent: int, size: int, most: int) -> int:
    """In how many parts of at most `size` to cut a loop: equal ones if they need not be small.

    Else one part is shorter, and more than `most` parts are so many that they can be cut again.
    """
    for equal in range(size, max(size // 2, 2) - 1, -1):
        if extent % equal == 0:
            return extent // equal
    least, unit = -(-extent // size), 1
    while least > most * unit:
        unit *= most // 2
    return -(-least // unit) * unit


def nest_of(s: Schedule, name: str) -> Nest:
    """The only nest that writes the buffer called `name`."""
    (nest,) = [n for n in nests(s.program) if n.buffer.name == name]
    return nest


__all__ = ["MOST", "factor_sum", "is_long_sum", "nest_of", "place_level"]
