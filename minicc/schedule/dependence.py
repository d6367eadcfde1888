"""Which loops carry a dependence: may two iterations touch one element of a buffer, one writing?

In: a statement, the variables whose loops may run in another order, and the intervals of all.
Out: the dependences between iterations, each with the loops that carry it and two accesses that show it. The test is
exact for indices that mix loops as digits of a number (`i_o*16 + i_i`, `f//7` with `f%7`), and
careful otherwise: what it cannot prove apart, it takes for a dependence.

Method: `f` and `g`, two accesses of one buffer in two iterations, meet only where all their
indices are equal. An index equation whose largest coefficient outweighs the others together
forces that variable to be equal in both iterations; repeat. See Pugh, The Omega Test, 1991, for
the exact and general way.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from minicc.loop.ir import Alloc, Buffer, For, Stmt, Store, Update, walk
from minicc.schedule.nest import in_order, reads, targets
from minicc.tensor.bounds import Bounds, Interval
from minicc.tensor.expr import Binary, Const, Expr, Var, free_vars, loads
from minicc.tensor.linear import Linear


@dataclass(frozen=True)
class Access:
    """One place where a buffer is read or written."""

    stmt: Stmt
    buffer: Buffer
    indices: tuple[Expr, ...]
    write: bool

    def __str__(self) -> str:
        return f"{self.buffer.name}[{', '.join(map(str, self.indices))}]"


def accesses(s: Stmt) -> list[Access]:
    """Every access in `s` to buffers that live longer than `s`."""
    private = {t.buffer for t in walk(s) if isinstance(t, Alloc)}
    found = []
    for t in in_order(s):
        found += [Access(t, load.source, load.indices, False) for load in reads(t)]
        if isinstance(t, (Store, Update)):
            found += [Access(t, buffer, t.indices, True) for buffer in targets(t)]
    return [access for access in dict.fromkeys(found) if access.buffer not in private]


@dataclass(frozen=True)
class Dependence:
    """`first` and `second` may meet in iterations that differ in the variables `along`."""

    along: frozenset[Var]
    first: Access
    second: Access

    def __str__(self) -> str:
        if self.first == self.second:
            return f"{self.first} is written in several iterations"
        return f"{self.first} is written and {self.second} is {'written' if self.second.write else 'read'}"


def dependences(
    body: Stmt, moving: Collection[Var], ranges: Mapping[Expr, Interval], reductions_commute: bool = True
) -> list[Dependence]:
    """What iterations of `body` with other values of `moving` share, one of them writing.

    Variables of loops inside `body` take any value, those that are neither there nor in `moving`
    are the same in both iterations. The steps of one reduction are no dependence along its axes
    when `reductions_commute`.
    """
    seen = Bounds(ranges)
    free = set(moving) | {t.var for t in walk(body) if isinstance(t, For)}
    found = []
    every = accesses(body)
    for first in every:
        for second in every:
            if not first.write or first.buffer is not second.buffer:
                continue
            loose = set(moving) - forced_equal(first.indices, second.indices, free, seen)
            if reductions_commute and first.stmt is second.stmt and isinstance(first.stmt, Update):
                one_step = first.indices == second.indices
                loose = set() if one_step and loose <= set(first.stmt.axes) else loose
            if loose:
                found.append(Dependence(frozenset(loose), first, second))
    return found


def forced_equal(f: tuple[Expr, ...], g: tuple[Expr, ...], free: Collection[Var], seen: Bounds) -> set[Var]:
    """The variables of `free` that have one value in both iterations wherever `f` meets `g`; all if they never meet."""
    equal: set[Expr] = set()
    while True:
        before = len(equal)
        for a, b in zip(f, g, strict=True):
            if _solve(seen.form(a), seen.form(b), free, equal, seen):
                return set(free)
        _close(equal)
        for term in list(equal):
            if not isinstance(term, Var):  # a sum, such as the x that x//c and x%c were made of
                _solve(seen.form(term), seen.form(term), free, equal, seen)
        if len(equal) == before:
            return {e for e in equal if isinstance(e, Var)} & set(free)


def _is_fixed(term: Expr, free: Collection[Var], equal: set[Expr]) -> bool:
    """Whether a term has one value in both iterations."""
    if term in equal:
        return True
    if isinstance(term, Var):
        return term not in free
    return not loads(term) and all(v in equal or v not in free for v in free_vars(term))


def _solve(f: Linear, g: Linear, free: Collection[Var], equal: set[Expr], seen: Bounds) -> bool:
    """Add to `equal` what `f(x) = g(y)` forces; true when it has no solution."""
    slack: list[Interval] = []  # what cannot be forced, each an interval of the difference
    digits: list[tuple[int, Interval, Expr]] = []  # |coefficient|, interval of the difference, term
    steps: list[int] = []  # coefficients of all that varies, for the test of divisibility
    for term in {**f[0], **g[0]}:
        a, b = f[0].get(term, 0), g[0].get(term, 0)
        low, high = seen.of(term)
        if _is_fixed(term, free, equal):
            if a != b:
                slack.append(_scaled(a - b, (low, high)))
                steps.append(a - b)
        elif a == b:
            digits.append((abs(a), (-abs(a) * (high - low), abs(a) * (high - low)), term))
            steps.append(a)
        else:
            slack += [_scaled(a, (low, high)), _scaled(-b, (low, high))]
            steps += [a, b]
    constant = f[1] - g[1]
    rest = [*slack, *[interval for _, interval, _ in digits], (constant, constant)]
    low, high = sum(i[0] for i in rest), sum(i[1] for i in rest)
    divisor = math.gcd(*steps)
    if not low <= 0 <= high or (constant % divisor if divisor else constant):
        return True
    for size, (least, most), term in sorted(digits, key=lambda d: -d[0]):
        low, high = low - least, high - most  # of all that is smaller
        if not -size < low or not high < size:
            break
        equal.add(term)
    return False


def _scaled(factor: int, interval: Interval) -> Interval:
    low, high = interval
    return (factor * low, factor * high) if factor >= 0 else (factor * high, factor * low)


def _close(equal: set[Expr]) -> None:
    """Where x//c and x%c are equal in both, so is x; where x//(c*d) and x//c%d are, so is x//c."""
    while True:
        made: set[Expr] = set()
        for low in equal:
            if isinstance(low, Binary) and low.op == "floormod" and isinstance(low.b, Const):
                made |= {low.a for high in equal if _is_quotient(high, low.a, low.b.value)}
        if made <= equal:
            return
        equal |= made


def _is_quotient(e: Expr, x: Expr, c: int) -> bool:
    """Whether `e` is x//c, written any way the simplifier writes it."""
    match e, x:
        case Binary("floordiv", a, Const(value, _)), _ if a is x and value == c:
            return True
        case Binary("floordiv", a, Const(value, _)), Binary("floordiv", b, Const(inner, _)) if a is b:
            return bool(value == inner * c)
    return False


__all__ = ["Access", "Dependence", "accesses", "dependences", "forced_equal"]
