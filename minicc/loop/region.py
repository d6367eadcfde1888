"""Regions: which box of a buffer is read while some loops run.

In: the loads of a buffer and the loops that vary. Out, for each dimension, a start that depends
on the other variables only, and a constant number of elements: the box contains every load.

>>> i, r = Var("i"), Var("r")
>>> span((i * 8 + r * 2 + 1), {r: (0, 3)}, Simplifier({r: (0, 3), i: (0, 9)}))
(i*8 + 1, 6)
>>> span((i * 8 + r) // 2, {r: (0, 3)}, Simplifier({r: (0, 3), i: (0, 9)}))
(i*4, 1)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minicc.loop.ranges import least
from minicc.tensor.bounds import Interval
from minicc.tensor.expr import Binary, Const, Expr, Load, Var, binary, const, free_vars, loads
from minicc.tensor.linear import combine, is_linear, linear
from minicc.tensor.simplify import Simplifier

Span = tuple[Expr, int]  # a start, and by how much values may exceed it

LARGEST = 1 << 31  # a span that is wider counts as unbounded


def box(
    found: Sequence[Load], shape: Sequence[Any], inner: Mapping[Var, Interval], simplify: Simplifier
) -> list[tuple[Expr, Any]]:
    """For each dimension the start and the extent of the box around the loads of one buffer."""
    return [_side([load.indices[dim] for load in found], extent, inner, simplify) for dim, extent in enumerate(shape)]


def _side(
    indices: Sequence[Expr], extent: Any, inner: Mapping[Var, Interval], simplify: Simplifier
) -> tuple[Expr, Any]:
    start, width = span(simplify(indices[0]), inner, simplify)
    below, above = 0, width
    for index in indices[1:]:
        other, width = span(simplify(index), inner, simplify)
        low, high = simplify.bounds.of(simplify(other - start))
        below, above = min(below, int(low)), max(above, int(high) + width)
    size = above - below + 1
    if size >= (extent if isinstance(extent, int) else LARGEST) or size < 1:
        return const(0), extent
    start = simplify(start + below)
    return (start, size) if all(_shown(simplify(i - start), size, simplify) for i in indices) else (const(0), extent)


def _shown(place: Expr, size: int, simplify: Simplifier) -> bool:
    """Whether the verifier can tell that a place in the box is one."""
    form = simplify.bounds.form(place)
    return least(simplify.bounds, form) >= 0 and least(simplify.bounds, combine(({}, size - 1), form, -1)) >= 0


def span(e: Expr, inner: Mapping[Var, Interval], simplify: Simplifier) -> Span:
    """`(start, width)` such that `start <= e <= start + width` for all values of the `inner` variables."""
    if not any(v in inner for v in free_vars(e)) and not loads(e):
        return e, 0
    if is_linear(e):
        return _sum(e, inner, simplify)
    match e:
        case Var() if e in inner:
            low, high = inner[e]
            return const(low), int(high - low)
        case Binary("floordiv", a, Const(value, _)) if value > 0:
            start, width = span(a, inner, simplify)
            return simplify(start // value), int((simplify.bounds.of(simplify(start % value))[1] + width) // value)
        case Binary("min" | "max" as op, a, b):
            (first, one), (second, two) = span(a, inner, simplify), span(b, inner, simplify)
            return simplify(binary(op, first, second)), max(one, two)
    low, high = simplify.bounds.of(e)
    return const(low), int(high - low)


def _sum(e: Expr, inner: Mapping[Var, Interval], simplify: Simplifier) -> Span:
    terms, constant = linear(e)
    start: Expr = const(constant)
    total = 0
    for term, times in terms.items():
        low, width = span(term, inner, simplify)
        start = start + (low + width) * times if times < 0 else start + low * times
        total += abs(times) * width
    return simplify(start), total
