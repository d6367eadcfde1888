"""Does an index leave its buffer? Decided point by point, where loops are short.

In: an index and its limit, and what is known at its place: the intervals of its variables, and the conditions that
were tested around it. Out: a point where it is outside, or that there is none. It is for what intervals do not prove,
such as digits of a number in two mixed radices. The points are those of all loops that the index or a condition
depends on; where they are too many, of fewer loops, and then of fewer conditions. One that reads data is taken to hold.
Integers wrap and divide as everywhere (`te.evaluate`).

>>> i, j = Var("i"), Var("j")
>>> digits = i % 8 * 24 + i // 8
>>> outside(digits // 20, 8, Bounds({i: (0, 59)}), [i % 8 * 8 + i // 24 < 55])
[]
>>> outside(digits // 20, 8, Bounds({i: (0, 59)}), [])
[(8, {i: 7})]
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from minicc.te.bounds import Bounds
from minicc.te.evaluate import evaluate_expr
from minicc.te.expr import Binary, Cast, Const, Expr, Select, Unary, Var, binary, free_vars, walk
from minicc.types import boolean

MOST_POINTS = 1 << 18  # a few milliseconds

Point = tuple[int, dict[Var, int]]  # the value of an index, and of the variables


def outside(index: Expr, extent: int | Expr, known: Bounds, truths: Collection[Expr]) -> list[Point] | None:
    """At most one point where `0 <= index < extent` does not hold, of the variables that matter; None where undecided."""
    inside = binary("and", binary("le", 0, index), binary("lt", index, extent))
    if not _computable(inside):
        return None
    own = free_vars(inside)
    computable = [t for t in truths if _computable(t)]
    tied = _tied(own, computable)
    for names in (own.union(*map(free_vars, computable)), tied, own):
        axes = sorted(names, key=lambda v: v.name)
        ends = [known.of(v) for v in axes]
        if math.prod(high - low + 1 for low, high in ends) <= MOST_POINTS:
            ranges = [np.arange(int(low), int(high) + 1) for low, high in ends]
            env = dict(zip(axes, np.ix_(*ranges), strict=True))
            leaves = ~evaluate_expr(inside, env)
            for cond in [t for t in computable if free_vars(t) <= names]:
                leaves = leaves & evaluate_expr(cond, env)
            if not leaves.any():
                return []
            at = np.unravel_index(int(leaves.argmax()), leaves.shape)
            point = {v: int(r[n]) for v, r, n in zip(axes, ranges, at, strict=True)}
            return [(_value(index, point), {v: n for v, n in point.items() if v in tied})]
    return None


def _computable(e: Expr) -> bool:
    """Whether variables decide its value, the same on every machine."""
    return all(isinstance(x, Var | Const | Binary | Unary | Cast | Select) and (x.dtype.is_integer or x.dtype is boolean) for x in walk(e))


def _tied(names: set[Var], truths: Collection[Expr]) -> set[Var]:
    """`names`, and the variables that a condition ties to these."""
    grown = names.union(*[found for t in truths if (found := free_vars(t)) & names])
    return grown if grown == names else _tied(grown, truths)


def _value(e: Expr, point: dict[Var, int]) -> int:
    return int(evaluate_expr(e, {v: np.asarray(n) for v, n in point.items()}))
