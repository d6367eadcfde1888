"""What is known of the variables at a place of a loop program, as intervals for `te.bounds`.

In: a program, or a loop and what is known around it. Out: the intervals of symbolic sizes, and of
the loop variables in the body of the loop. What guards say is added by `te.bounds.assume`. `least`
proves more of a sum than its interval says, for the verifier, which may take its time.

>>> from minicc.tensor.expr import Var
>>> from minicc.loop.ir import Seq
>>> inside(For(Var("i"), 8, Seq(())), {})
{i: (0, 7)}
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from fractions import Fraction

from minicc.loop.ir import For
from minicc.loop.program import Program
from minicc.tensor.bounds import Bounds, Interval, assume, bounds, quotient_of
from minicc.tensor.expr import Binary, Const, Expr, Var, binary, const, free_vars
from minicc.tensor.linear import Linear, combine
from minicc.tensor.simplify import simplify

Ranges = dict[Expr, Interval]

DEPTH = 3  # facts that `least` combines: a bound on the work
LARGEST = 1 << 40  # no symbolic size is larger, so that sums and small multiples of sizes do not wrap around


def size_vars(program: Program) -> list[Var]:
    """The symbolic sizes of the parameters and outputs."""
    dims = [d for b in (*program.params, *program.outputs) for d in b.shape if isinstance(d, Expr)]
    return sorted(free_vars(*dims), key=lambda v: v.name)


def sizes(program: Program) -> Ranges:
    """The intervals of the symbolic sizes."""
    return dict.fromkeys(size_vars(program), (0, LARGEST))


def inside(loop: For, ranges: Ranges) -> Ranges:
    """What is known in the body of a loop, given what is known around it."""
    known = {**ranges, loop.var: interval(loop, ranges)}
    return known if isinstance(loop.extent, int) else assume(loop.var < loop.extent, known)


def interval(loop: For, ranges: Ranges) -> Interval:
    """That of the variable of a loop."""
    most = loop.extent if isinstance(loop.extent, int) else bounds(loop.extent, ranges)[1]
    return 0, max(most - 1, 0)


def least(bounds: Bounds, form: Linear, depth: int = DEPTH, enough: int | float = 0) -> int | float:
    """A lower bound of a sum: that of its terms, or if not `enough`, a better one by what is known of sums and terms."""
    found = bounds.interval(form)[0]
    if depth == 0 or found >= enough or is_plain(bounds, form[0]):
        return found
    ways = [*_by_facts(bounds, form, depth - 1), *[_by_term(bounds, form, t, depth - 1) for t in form[0]]]
    return max([found, *ways, *[way for t in form[0] for way in _by_digits(bounds, form, t, depth - 1)]])


def is_plain(bounds: Bounds, terms: Iterable[Expr]) -> bool:
    """Whether the interval of a sum of `terms` is all that `least` proves of it."""
    return not bounds.sums and all(type(term) is Var for term in terms)


def within(bounds: Bounds, index: Expr, extent: int | Expr) -> tuple[Linear, Linear]:
    """Two sums that are not negative where `0 <= index < extent`."""
    form = bounds.form(index)
    terms, constant = combine(bounds.form(extent if isinstance(extent, Expr) else const(extent)), form, -1)
    return form, (terms, constant - 1)


def lies_within(bounds: Bounds, index: Expr, extent: int | Expr) -> bool:
    """Whether `0 <= index < extent` is proven."""
    return all(least(bounds, form) >= 0 for form in within(bounds, index, extent))


def _by_facts(bounds: Bounds, form: Linear, depth: int) -> Iterator[int | float]:
    """Bounds by way of a known sum that has a term in common: one term less."""
    for (terms, constant), given in bounds.sums:
        shared = {Fraction(form[0][t], k) for t, k in terms.items() if t in form[0]}
        for ratio in shared:
            factor, scale = ratio.numerator, ratio.denominator
            side = factor * given[0 if factor > 0 else 1]
            if math.isfinite(side):
                rest = combine(combine(({}, 0), form, scale), (terms, constant), -factor)
                yield _divided(side + least(bounds, rest, depth, math.inf), scale)


def _by_term(bounds: Bounds, form: Linear, term: Expr, depth: int) -> int | float:
    """A bound by what a term is: the lesser or the greater of two, or a quotient."""
    if not isinstance(term, Binary):
        return -math.inf
    times = form[0][term]
    rest = combine(form, ({term: 1}, 0), -times)
    match term:
        case Binary("min" | "max" as op, a, b):
            both = [least(bounds, combine(rest, bounds.form(x), times), depth, math.inf) for x in (a, b)]
            return min(both) if (op == "min") == (times > 0) else max(both)  # one of them; at least, or at most both
        case Binary("floordiv", x, Const(d, _)) if d > 0:  # (x - d + 1) / d <= x//d <= x / d
            low, constant = bounds.form(x)
            near = (low, constant - d + 1) if times > 0 else (low, constant)
            whole = combine(combine(({}, 0), rest, d), near, times)
            return max(
                _divided(least(bounds, whole, depth, math.inf), d),
                _as_quotient(bounds, rest, times, (low, constant), d, depth),
            )
    return -math.inf


def _by_digits(bounds: Bounds, form: Linear, term: Expr, depth: int) -> Iterator[int | float]:
    """Bounds by way of digits that `term` is a digit of, of which something is known: `x//4%6` is `x//2%12//2`."""
    found = {e: c for (terms, _), _ in bounds.sums for e in terms if (c := quotient_of(term, e))}
    match term:
        case Binary("floormod", Binary("floordiv", x, Const(c, _)), Const(d, _)) if c > 0 and d > 0:
            found[simplify(x % (c * d), bounds.ranges)] = c
    if not found:
        return
    rest = combine(form, ({term: 1}, 0), -form[0][term])
    for whole, c in found.items():
        quotient = bounds.form(binary("floordiv", whole, c))
        yield least(bounds, combine(rest, quotient, form[0][term]), depth, math.inf)


def _as_quotient(bounds: Bounds, rest: Linear, times: int, inner: Linear, d: int, depth: int) -> int | float:
    """A bound of `rest + times * (inner // d)`: what `times` divides in `rest` belongs to the quotient, rounded with it."""
    within = {t: k // times for t, k in rest[0].items() if k % times == 0}
    if not within:
        return -math.inf
    grown = combine(inner, (within, 0), d)
    end = (
        least(bounds, grown, depth, math.inf)
        if times > 0
        else -least(bounds, combine(({}, 0), grown, -1), depth, math.inf)
    )
    beside = least(bounds, combine(rest, (within, 0), -times), depth, math.inf)
    return times * (int(end) // d) + beside if math.isfinite(end) and math.isfinite(beside) else -math.inf


def _divided(least: int | float, by: int) -> int | float:
    """The least integer that is not below `least / by`."""
    return -(-int(least) // by) if math.isfinite(least) else least
