"""Shorter expressions of the same value: `(i*4 + j)//4` is `i` where `0 <= j < 4`.

In: an expression and the intervals of its variables. Out: an equal one, to the last bit, floats
and integer overflow included. Three engines work together bottom-up until nothing changes:
sums of integers become canonical linear forms (`te.linear`), divisions and comparisons are
decided by intervals (`te.bounds`), and everything else is an equation of `RULES`, as data.

>>> from minicc.tensor.expr import Var, minimum
>>> i, j = Var("i"), Var("j")
>>> simplify((i * 4 + j) // 4 + minimum(j, 3) - i, {i: (0, 9), j: (0, 3)})
j
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from minicc.ir.node import node
from minicc.ir.rewrite import Bindings, Rule, Wild, fixpoint, indexed
from minicc.tensor.bounds import Bounds, Ranges, quotient_of
from minicc.tensor.expr import COMPARISONS, Binary, Convert, Const, Expr, Select, Unary, Var, binary, children, const
from minicc.tensor.expr import fold_integers, loads, rebuild, unary
from minicc.tensor.float_bounds import stays_float
from minicc.tensor.promote import FOLDS
from minicc.tensor.linear import Linear, combine, from_linear, is_linear, name_of
from minicc.tensor.rounding import marked
from minicc.types import DType, boolean, float32, float64, int64


@node
class Hole(Wild, Expr):
    """Fits an expression of the dtypes in `kinds` ("int uint float bool"), or only a constant."""

    dtype: ClassVar[Any] = None  # it fits several

    name: str
    kinds: str = "int uint float bool"
    only_const: bool = False

    def accepts(self, value: Any) -> bool:
        if not isinstance(value, Expr) or (self.only_const and not isinstance(value, Const)):
            return False
        return value.dtype.kind in self.kinds.split()


@node
class Exactly(Wild, Expr):
    """Fits the constant `value` of any number dtype; 0.0 and -0.0 differ."""

    exact_key = True
    dtype: ClassVar[Any] = None  # it fits several

    name: str
    value: Any
    kinds: str = "int uint float"

    def accepts(self, value: Any) -> bool:
        return (
            isinstance(value, Const)
            and value.dtype.kind in self.kinds.split()
            and bool(value.value == self.value)
            and (not value.dtype.is_float or math.copysign(1, value.value) == math.copysign(1, self.value))
        )

    def fill(self, bindings: Bindings, root: Any) -> Any:
        return bindings[self.name] if self.name in bindings else const(self.value, root.dtype)


Add, Sub, Mul, Div, Min, Max = (partial(Binary, op) for op in ("add", "sub", "mul", "div", "min", "max"))
FloorDiv, FloorMod, And, Or = (partial(Binary, op) for op in ("floordiv", "floormod", "and", "or"))
Less, LessEqual, Equal, NotEqual = (partial(Binary, op) for op in ("lt", "le", "eq", "ne"))
Not, Neg, Abs = (partial(Unary, op) for op in ("not", "neg", "abs"))

x, y, z = Hole("x"), Hole("y"), Hole("z")
u, v, s = Hole("u", "int uint float"), Hole("v", "int uint float"), Hole("s", "int float")
n, m, k = Hole("n", "int uint"), Hole("m", "int uint"), Hole("k", "int uint")  # integers: no NaN, no signed zero
f = Hole("f", "float")
p, q, r = Hole("p", "bool"), Hole("q", "bool"), Hole("r", "bool")
c, d = Hole("c", "int uint", True), Hole("d", "int uint", True)
e = Hole("e", "float", True)
ZERO, ONE, TRUE, FALSE = Exactly("zero", 0), Exactly("one", 1), const(True, boolean), const(False, boolean)
MINUS_ZERO, PLUS_ZERO = Exactly("zero", -0.0, "float"), Exactly("zero", 0.0, "float")


def _fits_product(c: Const, d: Const) -> bool:
    return bool(c.value > 0 and d.value > 0 and c.value * d.value <= c.dtype.range[1])


def _has_exact_inverse(e: Const) -> bool:
    """Whether 1/e is a normal number, hence e a power of two: then the product rounds as the quotient does."""
    limit = np.finfo(np.float32) if e.dtype is float32 else np.finfo(np.float64)
    if e.dtype not in (float32, float64) or not math.isfinite(e.value) or e.value == 0:
        return False
    return abs(math.frexp(e.value)[0]) == 0.5 and bool(limit.tiny <= abs(1 / e.value) <= limit.max)


def both(*rules: Rule) -> tuple[Rule, ...]:
    """Rules of commutative operators, each followed by its mirror image: `1 * x -> x` after `x * 1 -> x`."""
    mirrored = [replace(r, name=f"{r.name} mirrored", lhs=Binary(r.lhs.op, r.lhs.b, r.lhs.a)) for r in rules]
    return tuple([rule for pair in zip(rules, mirrored, strict=True) for rule in pair])


def _divides(c: Const, d: Const) -> bool:
    return bool(c.value > 0 and d.value > 0 and c.value % d.value == 0)


ARITHMETIC = (
    *both(
        Rule("mul one", Mul(x, ONE), x),  # x * 1 -> x
        Rule("mul zero", Mul(n, ZERO), ZERO),  # n * 0 -> 0
        Rule("add zero", Add(n, ZERO), n),  # n + 0 -> n
        Rule("add minus zero", Add(x, MINUS_ZERO), x),  # x + -0.0 -> x
    ),
    Rule("sub zero", Sub(x, ZERO), x),  # x - 0 -> x
    Rule("sub itself", Sub(n, n), ZERO),  # n - n -> 0
    Rule("add negated", Add(u, Neg(v)), Sub(u, v)),  # u + -v -> u - v
    Rule("sub negated", Sub(u, Neg(v)), Add(u, v)),  # u - -v -> u + v
    Rule("div one", Div(f, ONE), f),  # f / 1 -> f
    # f / 2 -> f * 0.5
    Rule("div exactly", Div(f, e), lambda f, e: Mul(f, const(1 / e.value, e.dtype)), _has_exact_inverse),
    Rule("neg neg", Neg(Neg(x)), x),  # --x -> x
    Rule("abs neg", Abs(Neg(s)), Abs(s)),  # abs(-s) -> abs(s)
    Rule("abs abs", Abs(Abs(x)), Abs(x)),  # abs(abs(x)) -> abs(x)
    Rule("floordiv one", FloorDiv(n, ONE), n),  # n // 1 -> n
    Rule("floormod one", FloorMod(n, ONE), ZERO),  # n % 1 -> 0
    # n // c // d -> n // (c*d)
    Rule("floordiv twice", FloorDiv(FloorDiv(n, c), d),
         lambda n, c, d: FloorDiv(n, const(c.value * d.value, c.dtype)), _fits_product),
    # n % c % d -> n % d where d divides c
    Rule("floormod twice", FloorMod(FloorMod(n, c), d), FloorMod(n, d), _divides),
    # n % c // d -> n // d % (c // d) where d divides c
    Rule("floordiv of floormod", FloorDiv(FloorMod(n, c), d),
         lambda n, c, d: FloorMod(FloorDiv(n, d), const(c.value // d.value, c.dtype)), _divides),
)  # fmt: skip


def _extrema(op: str, F: Any, G: Any) -> tuple[Rule, ...]:
    """The rules of `min` as F and `max` as G, or the other way round."""
    return (
        Rule(f"{op} itself", F(x, x), x),  # min(x, x) -> x
        Rule(f"{op} {op}", F(F(n, c), d), lambda n, c, d: F(n, binary(op, c, d))),  # min(min(n, c), d) -> min(n, min(c, d))
        Rule(f"{op} again", F(F(x, y), y), F(x, y)),  # min(min(x, y), y) -> min(x, y)
        Rule(f"{op} of the other", F(G(n, m), m), m),  # min(max(n, m), m) -> m
    )  # fmt: skip


def _connectives(op: str, F: Any, G: Any, neutral: Const, decisive: Const) -> tuple[Rule, ...]:
    """The rules of `and` as F and `or` as G, or the other way round."""
    return (
        *both(
            Rule(f"{op} neutral", F(p, neutral), p),  # p and true -> p
            Rule(f"{op} decisive", F(p, decisive), decisive),  # p and false -> false
            Rule(f"{op} not", F(p, Not(p)), decisive),  # p and not p -> false
        ),
        Rule(f"{op} itself", F(p, p), p),  # p and p -> p
        Rule(f"{op} absorbs", F(p, G(p, q)), p),  # p and (p or q) -> p
    )


EXTREMA = _extrema("min", Min, Max) + _extrema("max", Max, Min)
LOGIC = _connectives("and", And, Or, TRUE, FALSE) + _connectives("or", Or, And, FALSE, TRUE) + (
    Rule("and again", And(And(p, q), q), And(p, q)),  # p and q and q -> p and q
    Rule("and first again", And(And(p, q), p), And(p, q)),  # p and q and p -> p and q
    Rule("and to the left", And(p, And(q, r)), And(And(p, q), r)),  # p and (q and r) -> p and q and r
    Rule("not not", Not(Not(p)), p),  # not not p -> p
    Rule("not less", Not(Less(n, m)), LessEqual(m, n)),  # not n < m -> m <= n
    Rule("not less or equal", Not(LessEqual(n, m)), Less(m, n)),  # not n <= m -> m < n
    Rule("not equal", Not(Equal(x, y)), NotEqual(x, y)),  # not x == y -> x != y
    Rule("not not equal", Not(NotEqual(x, y)), Equal(x, y)),  # not x != y -> x == y
    Rule("less itself", Less(x, x), FALSE),  # x < x -> false
    Rule("less or equal itself", LessEqual(n, n), TRUE),  # n <= n -> true
    Rule("equal itself", Equal(n, n), TRUE),  # n == n -> true
    Rule("not equal itself", NotEqual(n, n), FALSE),  # n != n -> false
)  # fmt: skip
SELECTION = (
    Rule("select same", Select(p, x, x), x),  # x if p else x -> x
    Rule("select true", Select(TRUE, x, y), x),  # x if true else y -> x
    Rule("select false", Select(FALSE, x, y), y),  # x if false else y -> y
    Rule("select not", Select(Not(p), x, y), Select(p, y, x)),  # x if not p else y -> y if p else x
    Rule("select cond", Select(p, TRUE, FALSE), p),  # true if p else false -> p
    Rule("select not cond", Select(p, FALSE, TRUE), Not(p)),  # false if p else true -> not p
    # (x if p else y) if p else z -> x if p else z, and x if p else (y if p else z) -> x if p else z
    Rule("select then again", Select(p, Select(p, x, y), z), Select(p, x, z)),
    Rule("select other again", Select(p, x, Select(p, y, z)), Select(p, x, z)),
    # x if p else (x if q else y) -> x if p or q else y, where q may be evaluated although p holds
    Rule("select merge", Select(p, x, Select(q, x, y)), Select(Or(p, q), x, y), lambda q: not loads(q)),
)
FAST = (
    Rule("add plus zero", Add(f, PLUS_ZERO), f, fast=True),  # f + 0.0 -> f, but -0.0 + 0.0 is 0.0
    Rule("mul plus zero", Mul(f, PLUS_ZERO), PLUS_ZERO, fast=True),  # f * 0.0 -> 0.0
    Rule("float sub itself", Sub(f, f), PLUS_ZERO, fast=True),  # f - f -> 0.0
)
RULES: tuple[Rule, ...] = ARITHMETIC + EXTREMA + LOGIC + SELECTION

_apply_rules = indexed(RULES)


class Simplifier:
    """`simplify` under fixed ranges; remembers what it has done. Use one for many expressions."""

    def __init__(self, ranges: Ranges) -> None:
        self.bounds = Bounds(ranges)
        self.done: dict[Expr, Expr] = {}

    def __call__(self, e: Expr) -> Expr:
        return fixpoint(e, self.step, children, rebuild, self.done)

    def step(self, e: Expr) -> Expr | None:
        """One step on a node whose parts are simple; None when there is nothing to do."""
        for attempt in (_fold, stays_float, self._integer, self._compare, _apply_rules):
            found = attempt(e)
            if found is not None and found is not e:
                return found
        return None

    def _integer(self, e: Expr) -> Expr | None:
        if e.dtype is not int64:
            return None
        if is_linear(e):
            terms, constant = self.bounds.form(e)
            return from_linear(*self._join(terms, constant))
        match e:
            case Binary("floordiv" | "floormod" as op, a, Const(value, _)) if value > 0:
                return self._digit(op, e, a, value)
            case Binary("min" | "max" as op, a, b):
                return self._extremum(op, a, b)
            case Binary("mul", a, b) if name_of(b) < name_of(a):
                return Binary("mul", b, a)
            case Var():
                return self._decided(e)
        return None

    def _decided(self, e: Expr) -> Expr | None:
        low, high = self.bounds.of(e)
        return const(low) if low == high else None

    def _join(self, terms: dict[Expr, int], constant: int) -> Linear:
        """x//c*c + x%c -> x, and x//c%d*c + x%c -> x%(c*d); of x = y//a, too, where x//c stands as y//(a*c)."""
        digits = [t for t in terms if isinstance(t, Binary) and t.op in ("floordiv", "floormod")]
        for low in digits:
            times = terms[low]
            for high in digits:
                if (joined := self._merged(high, terms[high], low, times)) is not None:
                    rest = {t: v for t, v in terms.items() if t is not low and t is not high}
                    return combine((rest, constant), self.bounds.form(joined), times)
        return terms, constant

    def _merged(self, high: Expr, more: int, low: Expr, times: int) -> Expr | None:
        """What times `times` is `high*more + low*times`; None when that is no single term."""
        match low:
            case Binary("floormod", x, Const(c, _)) if c > 0 and more == times * c:
                return self._joined(high, x, c)
            case Binary("floordiv", a, Const(c, _)) if c > 0 and more % times == 0:  # (x//d*v*d + x%d*v + r) // c
                terms, constant = self.bounds.form(a)
                for digit, v in terms.items():
                    match digit:
                        case Binary("floormod", x, Const(d, _)) if d > 0 and v * d == more // times * c:
                            if (joined := self._joined(high, x, d)) is not None:
                                whole = self._replaced((terms, constant), digit, joined)
                                return None if whole is None else binary("floordiv", from_linear(*whole), c)
        return None

    def _joined(self, high: Expr, x: Expr, c: int) -> Expr | None:
        """What `high` and `x % c` are digits of; None when `high` is no digit above `x % c`."""
        if (whole := self._dividend(high, x, c)) is not None:
            return whole
        match high:
            case Binary("floormod", quotient, Const(d, _)) if d > 0 and c * d < 1 << 63:
                if (whole := self._dividend(quotient, x, c)) is not None:
                    return Binary("floormod", whole, const(c * d))
        return None

    def _dividend(self, e: Expr, x: Expr, c: int) -> Expr | None:
        """The `y` of which `e` is `y // c`, and whose remainder is that of `x`; a quotient of a quotient may stand as one.

        A sum `n + x//c` is such a quotient, of `n*c + x`.
        """
        match e:
            case Binary("floordiv", y, Const(value, _)) if value == c and (y is x or self._congruent(y, x, c)):
                return y
        if e is not x and quotient_of(e, x) == c:
            return x
        if not isinstance(e, Binary) or e.op not in ("add", "sub"):
            return None
        form = self.bounds.form(e)  # x//c + r is (x + r*c)//c
        for term, times in form[0].items():
            if times == 1 and (whole := self._dividend(term, x, c)) is not None:
                above = combine(form, ({term: 1}, 0), -1)
                made = combine(self.bounds.form(whole), above, c)
                return None if self.bounds.fits(made) is None else from_linear(*made)
        return None

    def _congruent(self, a: Expr, b: Expr, c: int) -> bool:
        """Whether `a % c` is `b % c`, as `n % d` counts like `n` where `c` divides the multiple of `d`."""
        first, second = self.bounds.form(a), self.bounds.form(b)
        if self.bounds.fits(first) is None or self.bounds.fits(second) is None:
            return False
        terms, constant = combine(first, second, -1)
        left: Linear = {}, constant
        for term, times in terms.items():
            match term:
                case Binary("floormod", n, Const(d, _)) if d > 0 and times * d % c == 0:
                    left = combine(left, self.bounds.form(n), times)
                case _:
                    left = combine(left, ({term: 1}, 0), times)
        return not any(v % c for v in (left[1], *left[0].values()))

    def _replaced(self, form: Linear, old: Expr, new: Expr) -> Linear | None:
        """`form` with another term instead of `old`; None when it may wrap around."""
        made = combine(combine(form, ({old: 1}, 0), -form[0][old]), self.bounds.form(new), form[0][old])
        return made if self.bounds.fits(made) is not None else None

    def _split(self, a: Expr, c: int) -> tuple[Linear, Linear] | None:
        """`a` as `c * quotient + rest`, when neither `a` nor the rest wraps around."""
        form = self.bounds.form(a)
        if self.bounds.fits(form) is None:
            return None
        terms, constant = form
        quotient = {t: v // c for t, v in terms.items() if v % c == 0}
        rest = {t: v for t, v in terms.items() if v % c}, constant % c
        return ((quotient, constant // c), rest) if self.bounds.fits(rest) else None

    def _digit(self, op: str, e: Expr, a: Expr, c: int) -> Expr | None:
        """(c*q + r) // c -> q + r//c, and (c*q + r) % c -> r % c; then those of r by intervals and common factors."""
        if (found := self._split(a, c)) is None:
            return self._decided(e)
        quotient, rest = found
        low, high = (int(end // c) for end in self.bounds.interval(rest))
        if low == high:
            above, below = (quotient[0], quotient[1] + low), (rest[0], rest[1] - c * low)
            return from_linear(*(above if op == "floordiv" else below))
        for factor in _factors(rest, c):
            if (outer := self._above(rest, factor)) is not None:
                digit: Linear = {binary(op, from_linear(*outer), c // factor): 1}, 0
                if op == "floordiv":
                    return from_linear(*combine(quotient, digit))
                return from_linear(*combine(combine(rest, outer, -factor), digit, factor))
        if quotient == ({}, 0):
            return None
        shorter = Binary(op, from_linear(*rest), const(c))
        return shorter if op == "floormod" else from_linear(*combine(quotient, ({shorter: 1}, 0)))

    def _above(self, form: Linear, factor: int) -> Linear | None:
        """`h` such that `form` is `factor * h + l` with `0 <= l < factor`; None if there is none."""
        terms, constant = form
        low, high = self.bounds.interval(({t: v for t, v in terms.items() if v % factor}, constant % factor))
        if low // factor != high // factor:
            return None
        big = {t: v // factor for t, v in terms.items() if v % factor == 0}, constant // factor + int(low // factor)
        return big if big[0] and self.bounds.fits(big) else None

    def _extremum(self, op: str, a: Expr, b: Expr) -> Expr | None:
        apart = self.bounds.difference(a, b)
        assert apart is not None
        low, high = apart
        if high <= 0:
            return a if op == "min" else b
        if low >= 0:
            return b if op == "min" else a
        return Binary(op, b, a) if isinstance(a, Const) else None

    def _compare(self, e: Expr) -> Expr | None:
        if not (isinstance(e, Binary) and e.op in COMPARISONS) or e.a.dtype.is_float:
            return None
        low, high = self.bounds.of(e)
        if low == high:
            return const(bool(low), boolean)
        return self._shorter(e.op, e.a, e.b) if e.a.dtype is int64 else None

    def _shorter(self, op: str, a: Expr, b: Expr) -> Expr | None:
        """Constants to the right, common factors out: i*4 + 3 < 10 -> i < 2."""
        first, second = self.bounds.form(a), self.bounds.form(b)
        if self.bounds.fits(first) is None or self.bounds.fits(second) is None:
            return None
        terms, constant = combine(first, second, -1)
        bare = self.bounds.fits((terms, 0))
        if bare is None or not terms or not -(1 << 62) < constant < 1 << 62:
            return None
        factor = math.gcd(*terms.values())
        limit = -constant
        if op in ("eq", "ne") and limit % factor:
            return const(op == "ne", boolean)
        if op == "lt":  # x*f < l is x < ceil(l / f)
            limit += factor - 1
        limit //= factor
        left = {t: v // factor for t, v in terms.items() if v > 0}, max(-limit, 0)
        right = {t: -v // factor for t, v in terms.items() if v < 0}, max(limit, 0)
        if not left[0] or not right[0]:  # the constant stands alone, whatever its sign
            left, right = (left[0], 0 if left[0] else -limit), (right[0], limit if left[0] else 0)
        if self.bounds.fits(left) is None or self.bounds.fits(right) is None:
            return None
        return _undivided(op, from_linear(*left), from_linear(*right))


def _undivided(op: str, left: Expr, right: Expr) -> Expr:
    """n//c < k is n < k*c, n//c <= k is n < (k + 1)*c, and k <= n//c is k*c <= n: for one quotient and one constant."""
    match op, left, right:
        case "lt" | "le", Binary("floordiv", n, Const(c, _)), Const(k, _) if 0 < c < 1 << 31 and abs(k) < 1 << 31:
            return Binary("lt", n, const((k + (op == "le")) * c))
        case "lt" | "le", Const(k, _), Binary("floordiv", n, Const(c, _)) if 0 < c < 1 << 31 and abs(k) < 1 << 31:
            return Binary("le", const((k + (op == "lt")) * c), n)
    return Binary(op, left, right)


def _factors(form: Linear, c: int) -> list[int]:
    """The common factors of `c` and a coefficient, largest first."""
    return sorted({math.gcd(v, c) for v in form[0].values()} - {1}, reverse=True)


def _fold(e: Expr) -> Expr | None:  # noqa: C901 - one flat match over the operators
    """An operator on constants, where the result does not depend on the machine."""
    match e:
        case Binary(op, Const(a, kind), Const(b, _)) if op in FOLDS and not kind.is_float:
            return fold_integers(op, a, b, kind)
        case Binary("floordiv" | "floormod" | "truncdiv" | "truncmod", Const(0, kind), _) if kind.is_integer:
            return const(0, kind)
        case Binary("floordiv" | "floormod" | "truncdiv" | "truncmod", _, Const(0, kind)) if kind.is_integer:
            return const(0, kind)
        case Binary("floormod" | "truncmod", _, Const(1 | -1, kind)) if kind.is_integer:
            return const(0, kind)
        case Binary("add" | "sub" | "mul" | "div" as op, Const(a, kind), Const(b, _)) if kind in (float32, float64):
            return _fold_floats(op, a, b, kind)
        case Convert(a, dtype) if a.dtype is dtype:
            return marked(a)
        case Unary("neg", Const(a, kind)):
            return const(-a, kind)
        case Unary("abs", Const(a, kind)):
            return const(abs(a), kind)
        case Unary("not", Const()):
            return unary("not", e.a)
        case Convert(Const(a, kind), dtype) if not kind.is_float and not dtype.is_float:
            return const(a, dtype)
        case Convert(Const(a, kind), dtype) if kind.is_float and dtype.is_float and kind.bits < dtype.bits:
            return const(a, dtype)
    return None


def _fold_floats(op: str, a: float, b: float, kind: DType) -> Expr | None:
    scalar = kind.numpy.type
    with np.errstate(all="ignore"):
        result = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide}[op](scalar(a), scalar(b))
    return None if np.isnan(result) else const(float(result), kind)


_CONTEXTS = 16  # simplifiers kept, and the most nodes each may remember: memory stays bounded
_REMEMBERED = 1 << 15
_recent: OrderedDict[Any, Simplifier] = OrderedDict()


def simplify(e: Expr, ranges: Ranges | None = None) -> Expr:
    """An expression of the same value as `e` while variables lie in `ranges`, canonical and no longer."""
    key = tuple(ranges.items()) if ranges else ()
    found = _recent.pop(key, None)
    if found is None or len(found.done) > _REMEMBERED:
        found = Simplifier(ranges or {})
    result = found(e)
    _recent[key] = found
    while len(_recent) > _CONTEXTS:
        _recent.popitem(last=False)
    return result
