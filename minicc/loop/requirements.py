"""What only a call can know: conditions on the symbolic sizes under which an index stays in its buffer.

In: a sum that must not be negative, and what is known at its place. Out: a condition on sizes alone
under which it is not, whatever the loops do. `B[i]` in a loop over `n`, where `B` has `m` elements,
needs `0 <= m - 1 - i`, and so `n <= m`. A program states such conditions, and every call checks them.

>>> from minicc.tensor.bounds import assume
>>> i, n, m = Var("i"), Var("n"), Var("m")
>>> known = Bounds(assume(i < n, {i: (0, 1 << 40), n: (0, 1 << 40), m: (0, 1 << 40)}))
>>> condition(known, known.form(m - 1 - i), frozenset([n, m]))
n <= m
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from functools import partial

from minicc.loop.ranges import LARGEST, least
from minicc.tensor.bounds import Bounds
from minicc.tensor.expr import Binary, Const, Expr, Var, all_of, any_of, binary, const, free_vars, loads
from minicc.tensor.linear import Linear, combine, from_linear, linear
from minicc.tensor.simplify import simplify
from minicc.types import boolean

STEPS = 8  # variables that are taken out of a sum, one after the other: a bound on the work
FALSE = const(False, boolean)


def condition(bounds: Bounds, form: Linear, sizes: frozenset[Var], growing: bool = False) -> Expr:
    """A condition on `sizes` under which `form` is not negative; false when none is known.

    With `growing`, one that holds for small sizes only is none, as nobody means it.
    """
    if least(bounds, form) >= 0:
        return const(True, boolean)
    found = [_not_negative(bounds, less) for less in least_forms(bounds, form, sizes) if not growing or _grows(less)]
    return any_of(*dict.fromkeys(found)) if found else FALSE


def least_forms(bounds: Bounds, form: Linear, sizes: frozenset[Var], steps: int = STEPS) -> Iterator[Linear]:
    """Sums of sizes that are never greater than `form`."""
    inner = next((t for t in form[0] if loads(t) or not free_vars(t) <= sizes), None)
    if inner is None:
        yield linear(simplify(from_linear(*form)))  # n*m and m*n are one term
    elif steps:
        for less in _without(bounds, form, inner, sizes, steps - 1):
            yield from least_forms(bounds, less, sizes, steps - 1)


def _without(bounds: Bounds, form: Linear, term: Expr, sizes: frozenset[Var], steps: int) -> Iterator[Linear]:
    """Sums without `term` that are never greater than a positive multiple of `form`."""
    times = form[0][term]
    rest = combine(form, ({term: 1}, 0), -times)
    side = bounds.of(term)[0 if times > 0 else 1]
    scaled = isinstance(term, Binary) and term.op in ("floordiv", "mul")
    if _says_much(side) and not (scaled and any(not _says_much(bounds.of(v)[1]) for v in free_vars(term))):
        yield rest[0], rest[1] + times * int(side)
    yield from _by_facts(bounds, form, term)
    for end in _ends_of_term(bounds, term, times > 0, sizes, steps):
        yield combine(rest, end, times)


def _by_facts(bounds: Bounds, form: Linear, term: Expr) -> Iterator[Linear]:
    """By way of a known sum that has `term` in it, too, such as `i - n`, which is below 0."""
    for fact, given in bounds.sums:
        if term in fact[0]:
            ratio = Fraction(form[0][term], fact[0][term])
            side = given[0 if ratio > 0 else 1]
            if _says_much(side):
                terms, constant = combine(combine(({}, 0), form, ratio.denominator), fact, -ratio.numerator)
                yield terms, constant + ratio.numerator * int(side)


def _ends_of_term(bounds: Bounds, term: Expr, low: bool, sizes: frozenset[Var], steps: int) -> Iterator[Linear]:
    """Sums that a term is never below, or never above, by what it is made of."""
    ends = partial(_ends, bounds, low=low, sizes=sizes, steps=steps)
    match term:
        case Binary("floordiv", x, Const(d, _)) if d > 0:
            yield from (linear(binary("floordiv", from_linear(*end), d)) for end in ends(x))
        case Binary("mul", x, y):
            for one, other in ((x, y), (y, x)):
                if not loads(other) and free_vars(other) <= sizes and bounds.of(other)[0] >= 0:
                    yield from (_product(end, other) for end in ends(one))
        case Binary("min" | "max" as op, x, y) if (op == "min") != low:  # each of them is an end
            yield from (bounds.form(x), bounds.form(y))
        case Binary("min" | "max" as op, x, y):
            yield from (linear(binary(op, from_linear(*a), from_linear(*b))) for a in ends(x) for b in ends(y))


def _says_much(end: int | float) -> bool:
    """Whether an end says more than what is said of every size."""
    return abs(end) < LARGEST >> 1


def _ends(bounds: Bounds, e: Expr, low: bool, sizes: frozenset[Var], steps: int) -> Iterator[Linear]:
    """Sums of sizes that `e` is never below, or never above."""
    sign = 1 if low else -1
    for found in least_forms(bounds, combine(({}, 0), bounds.form(e), sign), sizes, steps):
        yield combine(({}, 0), found, sign)


def _product(form: Linear, factor: Expr) -> Linear:
    """A sum times an expression, multiplied out."""
    found: Linear = {}, 0
    for term, times in form[0].items():
        found = combine(found, ({Binary("mul", term, factor): 1}, 0), times)
    return combine(found, linear(factor), form[1])


def _grows(form: Linear) -> bool:
    return not form[0] or any(times > 0 for times in form[0].values())


def _not_negative(bounds: Bounds, form: Linear) -> Expr:
    """`0 <= form`, with no minus sign in it."""
    for term, times in form[0].items():
        if isinstance(term, Binary) and term.op in ("min", "max"):
            rest = combine(form, ({term: 1}, 0), -times)
            both = [_not_negative(bounds, combine(rest, linear(x), times)) for x in (term.a, term.b)]
            return all_of(*both) if (term.op == "min") == (times > 0) else any_of(*both)
    low, high = bounds.interval(form)
    if low >= 0 or high < 0:
        return const(low >= 0, boolean)
    left = {t: -k for t, k in form[0].items() if k < 0}
    right = {t: k for t, k in form[0].items() if k > 0}
    if form[1] == -1 and left:
        return Binary("lt", from_linear(left), from_linear(right))
    return Binary("le", from_linear(left, max(-form[1], 0)), from_linear(right, max(form[1], 0)))
