"""Interval analysis: between which integers does the value of an expression lie?

In: an expression and the intervals of its variables, both ends included; any other expression
may be given an interval too, as `assume` does for what a guard says. Out: an interval that
contains every value, overflow considered; floats are always (-inf, inf). Sums are taken as
linear forms, so `i + 1 - i` is 1.

>>> from minicc.tensor.expr import Var
>>> i, j = Var("i"), Var("j")
>>> bounds((i * 4 + j) // 8, {i: (0, 3), j: (0, 3)})
(0, 1)
>>> bounds(i * 4 + j + 1, assume(i * 4 + j < 10, {i: (0, 3), j: (0, 3)}))
(1, 10)
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from minicc.ir.node import postorder
from minicc.tensor.expr import COMPARISONS, Binary, Call, Convert, Const, Expr, Load, Select, Unary, Var, binary, cast
from minicc.tensor.expr import children
from minicc.tensor.promote import truncdiv
from minicc.tensor.linear import Linear, combine, from_linear, linear, parts
from minicc.types import DType, boolean, int64

Interval = tuple[int | float, int | float]
Ranges = Mapping[Any, Interval]  # of variables and other expressions

MAX_DEPTH = 16  # of nested guards that are taken into account: a bound on the work


@cache
def limits(dtype: DType) -> Interval:
    """The interval of every value of `dtype`."""
    low, high = dtype.range
    return (0, 1) if dtype is boolean else (low, high)


def meet(a: Interval, b: Interval) -> Interval:
    """The values in both; the second when there are none, as nothing is computed then."""
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else b


def hull(intervals: Iterable[Interval]) -> Interval:
    """The smallest interval around all."""
    lows, highs = zip(*intervals, strict=True)
    return min(lows), max(highs)


def _corners(a: Interval, b: Interval, f: Callable[[Any, Any], int | float]) -> Interval:
    values = [f(x, y) for x in a for y in b]
    return min(values), max(values)


def _divide(a: Interval, b: Interval, f: Callable[[Any, Any], int]) -> Interval:
    """Of a division that rounds by `f`: each sign of the divisor is monotone; by zero gives 0."""
    found = [_corners(a, side, f) for side in ((b[0], min(b[1], -1)), (max(b[0], 1), b[1])) if side[0] <= side[1]]
    if b[0] <= 0 <= b[1]:
        found.append((0, 0))
    return hull(found) if found else (0, 0)


def _total(constant: int, parts: Iterable[tuple[Interval, int]]) -> Interval:
    """Of a sum of multiples and a constant."""
    low: int | float = constant
    high: int | float = constant
    for (start, end), factor in parts:
        if factor < 0:
            start, end = end, start
        low, high = low + factor * start, high + factor * end
    return low, high


def _floormod(a: Interval, b: Interval) -> Interval:
    if b[0] == b[1] != 0 and a[0] // b[0] == a[1] // b[0]:
        return a[0] % b[0], a[1] % b[0]
    if a[0] >= 0 and b[0] > 0:
        return (a[0] if a[1] < b[0] else 0), min(a[1], b[1] - 1)
    return min(b[0] + 1, 0), max(b[1] - 1, 0)


def _truncmod(a: Interval, b: Interval) -> Interval:
    most = max(abs(b[0]), abs(b[1]), 1) - 1
    low = max(a[0], -most) if a[0] < 0 else 0
    return low, min(a[1], most) if a[1] > 0 else 0


def _bits(op: str, a: Interval, b: Interval, whole: Interval) -> Interval:
    """Of bitwise operators, where no sign bit is involved."""
    if op == "bitand" and (a[0] >= 0 or b[0] >= 0):
        return 0, min(side[1] for side in (a, b) if side[0] >= 0)
    if a[0] < 0 or b[0] < 0:
        return whole
    if op in ("bitor", "bitxor"):
        return 0, (1 << max(int(a[1]).bit_length(), int(b[1]).bit_length())) - 1
    if op == "shr" and b[1] < 64:
        return int(a[0]) >> int(b[1]), int(a[1]) >> int(b[0])
    if op == "shl" and b[1] < 64:
        return int(a[0]) << int(b[0]), int(a[1]) << int(b[1])
    return whole


_INTERVALS: dict[str, Callable[[Interval, Interval], Interval]] = {
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "mul": lambda a, b: _corners(a, b, operator.mul),
    "min": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "max": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "and": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "or": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "floordiv": lambda a, b: _divide(a, b, operator.floordiv),
    "truncdiv": lambda a, b: _divide(a, b, truncdiv),
    "floormod": _floormod,
    "truncmod": _truncmod,
}


def quotient_of(e: Expr, known: Expr) -> int | None:
    """The `c` for which `e` is `known // c`, both being digits of one number: `x//4` of `x//2`, `x//4%6` of `x//2%12`."""
    match e, known:
        case Binary("floormod", a, Const(d, _)), Binary("floormod", b, Const(m, _)) if d > 0:
            c = quotient_of(a, b)
            return c if c is not None and m == c * d else None
        case Binary("floordiv", x, Const(c, _)), Binary("floordiv", y, Const(a, _)) if (
            x is y and 0 < a < c and c % a == 0
        ):
            return int(c // a)
        case Binary("floordiv", x, Const(c, _)), _ if x is known and c > 0:
            return int(c)
    return None


class Bounds:
    """The analysis under fixed ranges; remembers what it has found."""

    def __init__(self, ranges: Ranges, depth: int = 0) -> None:
        self.ranges: dict[Expr, Interval] = dict(ranges)
        self.depth = depth
        self.memo: dict[Expr, Interval] = {}
        self.forms: dict[Expr, Linear] = {}
        self.sums = [(self.form(e), r) for e, r in self.ranges.items() if e.dtype is int64 and parts(e)]

    def form(self, e: Expr) -> Linear:
        """The linear form of `e`."""
        return linear(e, self.forms)

    def of(self, e: Expr) -> Interval:
        """The interval of `e`."""
        if e not in self.memo:
            for item in postorder([e], self._needs):
                found = self._of(item)
                self.memo[item] = meet(self.ranges[item], found) if item in self.ranges else found
        return self.memo[e]

    def _needs(self, e: Expr) -> list[Expr]:
        """The sub-expressions to look at before `e`; a select's branches are seen under its condition."""
        if isinstance(e, Load) or not (e.dtype.is_integer or e.dtype is boolean):
            return []
        found = (e.cond,) if isinstance(e, Select) and self.depth < MAX_DEPTH else children(e)
        return [c for c in found if c not in self.memo]

    def _of(self, e: Expr) -> Interval:  # noqa: C901 - one flat match over the grammar
        whole = limits(e.dtype)
        if e.dtype.is_float:
            return whole
        match e:
            case Const(value, _):
                return int(value), int(value)
            case Var() | Load() | Call():
                return whole
            case Binary(op, a, b) if op in COMPARISONS:
                return self.compare(op, a, b)
            case Unary("not", a) if e.dtype is boolean:
                return 1 - self.memo[a][1], 1 - self.memo[a][0]
            case Select(cond, then, other):
                return self._select(cond, then, other)
            case Convert(a, _):
                found = whole if a.dtype.is_float else self.memo[a]
            case Unary("abs", a):
                low, high = self.memo[a]
                found = (0 if low <= 0 <= high else min(abs(low), abs(high))), max(abs(low), abs(high))
            case Unary("neg", a):
                found = -self.memo[a][1], -self.memo[a][0]
            case Binary(op, a, b):
                found = self._binary(e, self.memo[a], self.memo[b])
            case _:
                return whole
        if e.dtype is int64 and parts(e):
            return self.fits(self.form(e)) or meet(whole, found if _inside(found, whole) else whole)
        return found if _inside(found, whole) else whole  # it may wrap around

    def _binary(self, e: Binary, a: Interval, b: Interval) -> Interval:
        if e.op not in _INTERVALS:
            return _bits(e.op, a, b, limits(e.dtype))
        found = _INTERVALS[e.op](a, b)
        return meet(self._digit(e), found) if e.op == "floormod" else found

    def _digit(self, e: Binary) -> Interval:
        """What is known of digits that `e` is a digit of: `x//4%6` is `x//2%12//2`."""
        found = limits(e.dtype)
        for known, (low, high) in self.ranges.items():
            if (c := quotient_of(e, known)) is not None:
                found = meet(found, (low // c, high // c))
        return found

    def _select(self, cond: Expr, then: Expr, other: Expr) -> Interval:
        low, high = self.memo[cond]
        sides = [side for side, taken in (((then, True), high), ((other, False), not low)) if taken]
        if self.depth >= MAX_DEPTH:
            return hull([self.memo[e] for e, _ in sides])
        return hull([Bounds(assume(cond, self.ranges, truth), self.depth + 1).of(e) for e, truth in sides])

    def interval(self, form: Linear) -> Interval:
        """Of the sum over the integers, as if nothing wrapped around."""
        found = _total(form[1], [(self.of(term), times) for term, times in form[0].items()])
        for fact, given in self.sums:
            found = self._with_fact(form, fact, given, found)
        return found

    def _with_fact(self, form: Linear, fact: Linear, given: Interval, found: Interval) -> Interval:
        """`found` narrowed by knowing that the sum `fact` lies in `given`."""
        lead, unit = next(iter(fact[0].items()), (None, 0))
        times = form[0].get(lead, 0) if lead is not None else 0
        if not times or times % unit:
            return found
        factor = times // unit
        rest, constant = combine(form, fact, -factor)
        if any(t not in form[0] and not isinstance(t, Var) for t in rest):
            return found  # what is no part of the sum may depend on it: no circles
        return meet(found, _total(constant, [(given, factor), *[(self.of(t), k) for t, k in rest.items()]]))

    def fits(self, form: Linear) -> Interval | None:
        """The interval of a sum that provably does not wrap around; else None."""
        found = self.interval(form)
        return found if _inside(found, limits(int64)) else None

    def difference(self, a: Expr, b: Expr) -> Interval | None:
        """The interval of `a - b` over the integers; None for floats."""
        if not (a.dtype.is_integer or a.dtype is boolean):
            return None
        low, high = self.of(a)
        start, end = self.of(b)
        found = low - end, high - start
        if a.dtype is int64:
            first, second = self.form(a), self.form(b)
            if self.fits(first) and self.fits(second):
                return meet(found, self.interval(combine(first, second, -1)))
        return found

    def compare(self, op: str, a: Expr, b: Expr) -> Interval:
        """(1, 1) when the comparison always holds, (0, 0) when never, else (0, 1)."""
        apart = self.difference(a, b)
        if apart is None:
            return 0, 1
        low, high = apart
        same, other = low == high == 0, low > 0 or high < 0
        known = {"lt": (high < 0, low >= 0), "le": (high <= 0, low > 0), "eq": (same, other), "ne": (other, same)}
        always, never = known[op]
        return (1, 1) if always else (0, 0) if never else (0, 1)


def _inside(a: Interval, b: Interval) -> bool:
    return b[0] <= a[0] and a[1] <= b[1]


def bounds(e: Expr, ranges: Ranges) -> Interval:
    """An interval that contains every value of `e` while variables lie in `ranges`."""
    return Bounds(ranges).of(e)


def assume(cond: Expr, ranges: Ranges, truth: bool = True) -> dict[Expr, Interval]:
    """`ranges`, and what else is known where `cond` has the value `truth`."""
    known: dict[Expr, Interval] = dict(ranges)
    pending = [(cond, truth)]
    while pending:
        e, holds = pending.pop()
        match e:
            case Unary("not", a):
                pending.append((a, not holds))
            case Binary("and", a, b) if holds:
                pending += [(b, True), (a, True)]
            case Binary("or", a, b) if not holds:
                pending += [(b, False), (a, False)]
            case Binary("or", a, b):
                seen = Bounds(known, MAX_DEPTH)
                pending += [(other, True) for one, other in ((a, b), (b, a)) if seen.of(one) == (0, 0)]
            case Binary(op, a, b) if (
                op in COMPARISONS and a.dtype.is_integer and limits(a.dtype)[1] <= limits(int64)[1]
            ):
                _learn(known, op, cast(a, int64), cast(b, int64), holds)  # converted, the numbers are the same
    return known


def _learn(known: dict[Expr, Interval], op: str, a: Expr, b: Expr, holds: bool) -> None:
    """Add what a comparison says: an interval for the sum `a - b` without its constant."""
    seen = Bounds(known, MAX_DEPTH)
    first, second = seen.form(a), seen.form(b)
    if not (seen.fits(first) and seen.fits(second)):
        return
    terms, constant = combine(first, second, -1)
    if (op, holds) in _DIFFERENCES:
        low, high = _DIFFERENCES[op, holds]
        _narrow(known, terms, low - constant, high - constant, seen)


_DIFFERENCES: dict[tuple[str, bool], Interval] = {  # what the truth of `a op b` says of a - b
    ("lt", True): (-math.inf, -1), ("lt", False): (0, math.inf), ("le", True): (-math.inf, 0),
    ("le", False): (1, math.inf), ("eq", True): (0, 0), ("ne", False): (0, 0),
}  # fmt: skip


def _narrow(
    known: dict[Expr, Interval], terms: dict[Expr, int], low: int | float, high: int | float, seen: Bounds
) -> None:
    """Record that the sum of `terms` lies in [low, high], and what that says of each term."""
    if len(terms) > 1:
        if next(iter(terms.values())) < 0:
            terms, low, high = {t: -k for t, k in terms.items()}, -high, -low
        if (found := seen.fits((terms, 0))) is None:
            return
        target = from_linear(terms)
        known[target] = meet((low, high), known.get(target, found))
    for term, times in terms.items():
        start, end = seen.interval(({t: k for t, k in terms.items() if t is not term}, 0))
        _narrow_term(known, term, times, low - end, high - start, seen)


def _narrow_term(
    known: dict[Expr, Interval], term: Expr, times: int, low: int | float, high: int | float, seen: Bounds
) -> None:
    """Record that `times * term` lies in [low, high]; of a quotient or a digit, what that says of the dividend."""
    if times < 0:
        low, high, times = -high, -low, -times
    given = _round(low, times, up=True), _round(high, times, up=False)
    before = known.get(term, seen.of(term))
    if (found := meet(given, before)) == before:
        return
    known[term] = found
    match term:
        case Binary("floordiv", a, Const(c, _)) if c > 0:
            terms, constant = form = seen.form(a)
            if terms and seen.fits(form):
                _narrow(known, terms, found[0] * c - constant, found[1] * c + c - 1 - constant, seen)
        case Binary("floormod", Binary("floordiv", x, Const(c, _)), Const(d, _)) if (
            c > 0 and d > 0
        ):  # it is x % (c*d) // c
            _narrow(known, {binary("floormod", x, c * d): 1}, found[0] * c, found[1] * c + c - 1, seen)


def _round(value: int | float, times: int, up: bool) -> int | float:
    """`value / times` rounded inwards; infinities stay."""
    if math.isinf(value):
        return value
    return -(-int(value) // times) if up else int(value) // times
