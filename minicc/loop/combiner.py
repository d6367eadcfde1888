"""How two partial results of a reduction combine, found in the reduction's step.

In: an `Update`, whose values are `combine(accumulators, new values)`, written out. Out: the
`Combiner`: the new values are the parts that read no accumulator, and which part is which component
of the result is found by trying: the initial values must be its identity, and it must be
associative, on samples. So `C[i] + A[i, k]*2` gives `left + right`, and a step that has no such
form gives None. A step that keeps its accumulators where a condition fails combines as where it holds.

>>> from minicc.loop.ir import Buffer
>>> from minicc.tensor.expr import const
>>> from minicc.types import float32
>>> C, A, i, k = Buffer("C", float32, (4,)), Buffer("A", float32, (4, 8)), Var("i"), Var("k")
>>> combiner_of(Update((C,), (i,), (C[i] + A[i, k] * 2.0,), (const(0.0, float32),), (k,))).result
(left_0 + right_0,)
>>> from minicc.tensor.expr import select
>>> combiner_of(Update((C,), (i,), (select(k < 5, C[i] + A[i, k], C[i]),), (const(0.0, float32),), (k,))).result
(left_0 + right_0,)
>>> combiner_of(Update((C,), (i,), (C[i] * 2.0 + A[i, k],), (const(0.0, float32),), (k,)))
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from minicc.loop.ir import Update
from minicc.loop.prelude import PRELUDE
from minicc.loop.printer import PythonPrinter
from minicc.tensor.expr import Binary, Combiner, Const, Expr, Load, Select, Var, children, free_vars, loads, rebuild
from minicc.tensor.expr import transform
from minicc.tensor.linear import linear
from minicc.types import DType, boolean, int64

MOST_TRIES = 1000  # assignments of parts to components
SAMPLES = 24


def combiner_of(update: Update) -> Combiner | None:
    """The combiner of a reduction, or None when its step shows none."""
    left, right = (
        tuple(Var(f"{side}_{n}", b.dtype) for n, b in enumerate(update.buffers)) for side in ("left", "right")
    )
    known: dict[Any, Expr] = dict(zip(update.buffers, left, strict=True))

    def accumulator(e: Expr) -> Expr:
        return known.get(e.source, e) if isinstance(e, Load) and e.indices == update.indices else e

    values = _unguarded([transform(value, accumulator) for value in update.values], left)
    inits = update.inits
    if any(load.source in known for load in loads(*values)) or not all(isinstance(e, Const) for e in inits):
        return None
    for result in _results(values, left, right):
        made = Combiner("combine", left, right, result, inits)
        if _holds(made):
            return made
    return None


def _unguarded(values: Sequence[Expr], left: Sequence[Var]) -> list[Expr]:
    """What the values are where all conditions hold under which they change, each one for all of them."""
    found = [v for v in values if isinstance(v, Select)]
    kept = len(found) == len(values) and all(
        v.other is a and v.cond is found[0].cond for v, a in zip(found, left, strict=True)
    )
    if not kept or free_vars(found[0].cond) & {*left}:
        return list(values)
    return _unguarded([v.then for v in found], left)


def _results(values: Sequence[Expr], left: Sequence[Var], right: Sequence[Var]) -> Iterator[tuple[Expr, ...]]:
    """What the combiner may be: each part that reads no accumulator stands for a component of its dtype."""
    values = [_as_sum(value, a, b) for value, a, b in zip(values, left, right, strict=True)]
    slots = [(n, part) for n, value in enumerate(values) for part in _parts(value, {*left, *right})]
    choices = [sorted((m for m, r in enumerate(right) if r.dtype is part.dtype), key=n.__ne__) for n, part in slots]
    for chosen in itertools.islice(itertools.product(*choices), MOST_TRIES):
        found: list[dict[Expr, Expr]] = [{} for _ in values]
        for (n, part), m in zip(slots, chosen, strict=True):
            found[n][part] = right[m]
        yield tuple(_put(value, parts) for value, parts in zip(values, found, strict=True))


def _as_sum(value: Expr, left: Var, right: Var) -> Expr:
    """`left + right` for a sum that was rearranged: integers, or `left - x`; else `value` itself."""
    if value.dtype is int64:
        terms, _ = linear(value)
        if terms.get(left) == 1 and not any(left in free_vars(term) for term in terms if term is not left):
            return left + right
    if isinstance(value, Binary) and value.op == "sub" and value.a is left and left not in free_vars(value.b):
        return left + right
    return value


def _parts(value: Expr, accumulators: set[Var]) -> list[Expr]:
    """The largest parts of `value` that read no accumulator; constants only if there is nothing else."""
    found: dict[Expr, None] = {}
    pending = [value]
    while pending:
        e = pending.pop()
        if free_vars(e) & accumulators:
            pending += children(e)
        else:
            found[e] = None
    return [e for e in found if not isinstance(e, Const)] or [e for e in found if free_vars(value) & accumulators]


def _put(e: Expr, parts: Mapping[Expr, Expr]) -> Expr:
    """`e` with whole parts replaced, outer ones first."""
    if e in parts:
        return parts[e]
    inside = children(e)
    return rebuild(e, tuple(_put(c, parts) for c in inside)) if inside else e


@lru_cache(maxsize=1 << 6)  # that of a sum is asked for again and again
def _holds(combiner: Combiner) -> bool:
    """Whether, on samples, the identity is one and the combiner is associative."""
    rng = random.Random(0)
    codes = [compile(PythonPrinter().expr(e), "<combiner>", "eval") for e in combiner.result]

    def combine(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        names = {v.name: x for v, x in zip((*combiner.left, *combiner.right), (*a, *b), strict=True)}
        return [
            _number(v.dtype, eval(code, {**PRELUDE, **names})) for v, code in zip(combiner.left, codes, strict=True)
        ]

    start = [_number(e.dtype, e.value) for e in combiner.identity if isinstance(e, Const)]
    with np.errstate(all="ignore"):
        for _ in range(SAMPLES):
            a, b, c = ([_number(v.dtype, _sample(v.dtype, rng)) for v in combiner.left] for _ in range(3))
            if not _same(combine(start, a), a) or not _same(combine(combine(a, b), c), combine(a, combine(b, c))):
                return False
    return True


def _sample(dtype: DType, rng: random.Random) -> int | bool:
    if dtype is boolean:
        return rng.random() < 0.5
    return rng.randint(0 if dtype.kind == "uint" else -5, 9)


def _number(dtype: DType, value: Any) -> Any:
    return bool(value) if dtype is boolean else np.asarray(value).astype(dtype.numpy)[()]


def _same(a: Sequence[Any], b: Sequence[Any]) -> bool:
    return all(
        bool(np.isclose(np.float64(x), np.float64(y), rtol=1e-2, equal_nan=True)) for x, y in zip(a, b, strict=True)
    )
