"""Where loops are short, point by point: does an index leave its buffer, do two accesses meet?

In: indices, and what is known at their place: the intervals of the variables, and the conditions that were tested
around it. Out: a point that breaks the rule, or that there is none. It is for what intervals do not prove, such as
digits of a number in two mixed radices. The points are those of all loops that the index or a condition depends on;
where they are too many, of fewer loops, and then of fewer conditions. One that reads data is taken to hold.
Integers wrap and divide as everywhere (`te.evaluate`).

>>> i, j = Var("i"), Var("j")
>>> digits = i % 8 * 24 + i // 8
>>> outside(digits // 20, 8, Bounds({i: (0, 59)}), [i % 8 * 8 + i // 24 < 55])
[]
>>> outside(digits // 20, 8, Bounds({i: (0, 59)}), [])
[(8, {i: 7})]
>>> meet(i, set(), *[(i * 7 + j, Bounds({i: (0, 5), j: (0, last)}), []) for last in (6, 6)])
False
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from minicc.tensor.bounds import Bounds
from minicc.tensor.evaluate import Array, evaluate_expr
from minicc.tensor.expr import Binary, Convert, Const, Expr, Select, Unary, Var, binary, free_vars, walk
from minicc.types import boolean

MOST_POINTS = 1 << 18  # a few milliseconds

Point = tuple[int, dict[Var, int]]  # the value of an index, and of the variables
Place = tuple[Expr, Bounds, Collection[Expr]]  # an offset in memory, and what is known where it is used


def outside(index: Expr, extent: int | Expr, known: Bounds, truths: Collection[Expr]) -> list[Point] | None:
    """At most one point where `0 <= index < extent` does not hold, of the variables that matter; None where undecided."""
    inside = binary("and", binary("le", 0, index), binary("lt", index, extent))
    if (points := _points(inside, free_vars(inside), known, truths)) is None:
        return None
    count, env = points
    leaves = np.broadcast_to(~evaluate_expr(inside, env), (count,))
    if not leaves.any():
        return []
    at = {v: x[int(leaves.argmax())] for v, x in env.items()}
    tied = _tied(free_vars(inside), truths)
    return [(int(evaluate_expr(index, at)), {v: int(n) for v, n in at.items() if v in tied})]


def meet(var: Var, fixed: Collection[Var], first: Place, second: Place) -> bool | None:
    """Whether two offsets are equal for different values of `var` and the same of `fixed`; None where undecided."""
    found = [_points(offset, free_vars(var, offset), known, truths) for offset, known, truths in (first, second)]
    if (here := found[0]) is None or (there := found[1]) is None:
        return None
    same = [v for v in fixed if v in here[1] and v in there[1]]
    keys = [
        np.broadcast_to(evaluate_expr(place[0], env), (count,))
        for place, (count, env) in ((first, here), (second, there))
    ]
    for v in same:
        size = 1 + max(int(env[v].max(initial=0)) for _, env in (here, there))
        keys = [key * size + env[v] for key, (_, env) in zip(keys, (here, there), strict=True)]
    elements, which = np.unique(np.concatenate(keys), return_inverse=True)
    least, most = np.full((2, len(elements)), np.iinfo(np.int64).max), np.full((2, len(elements)), -1)
    for side, (at, (_, env)) in enumerate(zip(np.split(which, [here[0]]), (here, there), strict=True)):
        np.minimum.at(least[side], at, env[var])
        np.maximum.at(most[side], at, env[var])
    return bool(((most >= 0).all(axis=0) & (least.min(axis=0) < most.max(axis=0))).any())


def _points(
    e: Expr, own: frozenset[Var], known: Bounds, truths: Collection[Expr]
) -> tuple[int, dict[Var, Array]] | None:
    """How many points there are for `e`, and the variables at each; None where they are too many, or `e` needs more than these."""
    if not _computable(e):
        return None
    computable = [t for t in truths if _computable(t)]
    for names in (own.union(*map(free_vars, computable)), _tied(own, computable), own):
        axes = sorted(names, key=lambda v: v.name)
        ends = [known.of(v) for v in axes]
        if math.prod(high - low + 1 for low, high in ends) <= MOST_POINTS:
            ranges = [np.arange(int(low), int(high) + 1) for low, high in ends]
            env: dict[Var, Array] = dict(zip(axes, np.ix_(*ranges), strict=True))
            holds: Array = np.ones([len(r) for r in ranges], bool)
            for cond in [t for t in computable if free_vars(t) <= names]:
                holds &= evaluate_expr(cond, env)
            at = np.argwhere(holds)
            return len(at), {v: r[at[:, n]] for n, (v, r) in enumerate(zip(axes, ranges, strict=True))}
    return None


def _computable(e: Expr) -> bool:
    """Whether variables decide its value, the same on every machine."""
    return all(
        isinstance(x, Var | Const | Binary | Unary | Convert | Select) and (x.dtype.is_integer or x.dtype is boolean)
        for x in walk(e)
    )


def _tied(names: frozenset[Var], truths: Collection[Expr]) -> frozenset[Var]:
    """`names`, and the variables that a condition ties to these."""
    grown = names.union(*[found for t in truths if (found := free_vars(t)) & names])
    return grown if grown == names else _tied(grown, truths)
