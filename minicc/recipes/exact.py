"""The recipe of exact code: vectors, tiles and threads, but each sum term by term, in the order in which it is written.

In: a schedule, for a target that is `exact`. Out: the default recipe without what adds up parts of a sum apart from each
other: no lanes that are combined at the end, no levels of partial sums. So a result has the same bits on every machine.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> x, k = te.placeholder((4096,), name="x"), te.reduce_axis((0, 4096), name="k")
>>> y = te.compute((1,), lambda i: te.sum(x[k.var], axis=k), name="y")
>>> s = Schedule(lower([y], [x, y], "sum").program)
>>> schedule(s, Target.of("haswell").rounding_all())
>>> str(s.trace)
''
"""

from __future__ import annotations

import sys

from minicc.recipes.contraction import tile_contraction
from minicc.recipes.default import inline_producers, parallelize, sink_producers, vectorize_nest
from minicc.recipes.default import outermost
from minicc.recipes.structure import is_contraction, nests
from minicc.schedule import Schedule
from minicc.target import Target


def schedule(s: Schedule, target: Target) -> None:
    """Schedule a naive program without another order of any sum."""
    inline_producers(s)
    done: set[str] = set()
    for nest in nests(s.program):
        if is_contraction(nest) and nest.buffer.name not in done:
            done |= tile_contraction(s, nest, target, terms=sys.maxsize)
    sink_producers(s, set())
    for nest in nests(s.program):
        if nest.buffer.name not in done:
            vectorize_nest(s, nest, target)
    for nest in outermost(s.program):
        parallelize(s, nest)


__all__ = ["schedule"]
