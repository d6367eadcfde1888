"""Integer sums as linear forms: `3*i + j - 5` is `({i: 3, j: 1}, -5)`.

In: an `int64` expression. Out: its terms with their factors and a constant; or back again, in
the one order that makes equal sums one node: positive terms by falling factor, then negative
ones, the constant last. Both ways hold exactly, overflow included, because integers that wrap
around are a ring.

>>> from minicc.tensor.expr import Var
>>> i, j = Var("i"), Var("j")
>>> linear((j + i * 4 - 2) * 2)
({j: 2, i: 8}, -4)
>>> from_linear(*linear((j + i * 4 - 2) * 2))
i*8 + j*2 - 4
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from minicc.ir.node import postorder
from minicc.tensor.expr import Binary, Const, Expr, Unary, Var, const, text
from minicc.types import int64

Linear = tuple[dict[Expr, int], int]

_SIZE, _HALF = 1 << 64, 1 << 63


def _wrap(value: int) -> int:
    return value if -_HALF <= value < _HALF else (value + _HALF) % _SIZE - _HALF


def parts(e: Expr) -> tuple[Expr, ...]:
    """The summands of a sum, the non-constant factor of a product with a constant; else nothing."""
    match e:
        case Binary("add" | "sub", a, b):
            return a, b
        case Binary("mul", a, Const()):
            return (a,)
        case Binary("mul", Const(), b):
            return (b,)
        case Unary("neg", a):
            return (a,)
    return ()


def combine(first: Linear, second: Linear, factor: int = 1) -> Linear:
    """`first + factor * second`."""
    terms = dict(first[0])
    for term, times in second[0].items():
        if total := _wrap(terms.get(term, 0) + factor * times):
            terms[term] = total
        else:
            terms.pop(term, None)
    return terms, _wrap(first[1] + factor * second[1])


def step(e: Expr, known: Mapping[Expr, Linear]) -> Linear:
    """The linear form of `e`, given those of its `parts`."""
    match e:
        case Const(value, _):
            return {}, int(value)
        case Binary("add", a, b):
            return combine(known[a], known[b])
        case Binary("sub", a, b):
            return combine(known[a], known[b], -1)
        case Binary("mul", a, Const(value, _)) | Binary("mul", Const(value, _), a):
            return combine(({}, 0), known[a], value)
        case Unary("neg", a):
            return combine(({}, 0), known[a], -1)
    return {e: 1}, 0


def linear(e: Expr, memo: dict[Expr, Linear] | None = None) -> Linear:
    """The linear form of an `int64` expression."""
    memo = {} if memo is None else memo
    if (known := memo.get(e)) is not None:
        return known
    for item in postorder([e], lambda x: [p for p in parts(x) if p not in memo]) if parts(e) else (e,):
        memo[item] = step(item, memo)
    return memo[e]


@lru_cache(maxsize=1 << 10)
def name_of(e: Expr) -> str:
    """What `e` is sorted by."""
    return e.name if isinstance(e, Var) else text(e)


def _rank(item: tuple[Expr, int]) -> tuple[bool, int, str]:
    term, times = item
    return times < 0, -abs(times), name_of(term)


def from_linear(terms: Mapping[Expr, int], constant: int = 0) -> Expr:
    """The expression of a linear form, in canonical order."""
    items = sorted(terms.items(), key=_rank) if len(terms) > 1 else list(terms.items())
    result: Expr | None = None
    if items and items[0][1] < 0 and constant > 0:  # 5 - i rather than -i + 5
        result, constant = const(constant), 0
    for term, times in items:
        if result is None:
            result = term if times == 1 else Unary("neg", term) if times == -1 else Binary("mul", term, const(times))
        else:
            value = term if times in (1, -1) else Binary("mul", term, const(abs(times)))
            result = Binary("sub" if times < 0 else "add", result, value)
    if result is None or not constant:
        return const(constant) if result is None else result
    if -_HALF < constant < 0:  # the least integer has no negative
        return Binary("sub", result, const(-constant))
    return Binary("add", result, const(constant))


def is_linear(e: Expr) -> bool:
    """Whether `e` is a sum, a multiple or a negation of `int64`."""
    return bool(parts(e)) and e.dtype is int64
