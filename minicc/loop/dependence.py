"""May two iterations of loops touch one element of a buffer, one of them writing?

In: what is read and written, with what is known there, and the variables whose loops may run in another order, or at
once. Out: pairs of accesses that cannot be proven apart. Whatever cannot be proven is taken for a dependence. Steps of
schedules ask for all `dependences` of a statement; the verifier, which knows more of each place, for one `meeting` of a
loop's iterations.

Method: suppose that two accesses meet in two iterations. Then their indices are equal, one by one and also as the
offset of the element in memory. Each equation is linear in differences: of loop variables, and of terms such as `f//7`.
A difference whose coefficient outweighs all the rest of its equation must be 0. Where an equation has no solution, the
accesses never meet. It is exact for indices that are digits of a number: `i_o*16 + i_i`, or `f//7` with `f%7`. For
accesses whose conditions are given, short loops are looked at point by point where this proves nothing. See Pugh, The
Omega Test, 1991, for the exact and general way.

>>> from minicc.loop.ir import Seq
>>> from minicc.types import float32
>>> i, j, C = Var("i"), Var("j"), Buffer("C", float32, (64,))
>>> known = Bounds({i: (0, 3), j: (0, 15)})
>>> tiled, mixed = (Access(C, (e,), known, True) for e in (i * 16 + j, i * 8 + j))
>>> nest = For(i, 4, For(j, 16, Seq(())))
>>> meeting(nest, [tiled]), meeting(nest, [mixed]) is None
(None, False)
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from minicc.ir.node import replace
from minicc.loop.address import address
from minicc.loop.ir import Buffer, For, If, Stmt, Store, Update, bodies, loops
from minicc.loop.points import Place, meet
from minicc.loop.queries import private, reads, targets
from minicc.loop.ranges import DEPTH, is_plain, least
from minicc.tensor.bounds import Bounds, Interval, assume
from minicc.tensor.expr import Binary, Const, Expr, Var, binary, const, free_vars, loads, transform
from minicc.tensor.expr import walk as walk_expr
from minicc.tensor.linear import Linear, combine, from_linear, linear
from minicc.tensor.simplify import Simplifier, simplify
from minicc.types import int64


@dataclass(frozen=True)
class Access:
    """An element that is read or written, and what is known there."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    bounds: Bounds = field(repr=False, compare=False)
    write: bool
    truths: frozenset[Expr] | None = field(default=None, repr=False)  # the conditions tested around it; None: unknown
    stmt: Stmt | None = field(default=None, repr=False)

    @cached_property
    def forms(self) -> list[Linear]:
        """The indices as sums, and the offset in memory: as they stand, simplified, and without remainders."""
        shorter = tuple([simplify(i, self.bounds.ranges) for i in self.indices])
        memo: dict[Expr, Expr] = {}
        quotients = partial(_quotients, self.bounds.ranges)
        plain = [tuple([transform(i, quotients, memo) for i in part]) for part in (self.indices, shorter)]
        return [form for part in (self.indices, shorter, *plain) for form in self.sums(part)]

    def short_forms(self, flat: bool) -> list[Linear]:
        """The indices as sums, and the offset in memory, also of what all but the last index choose, if that is asked for."""
        found = [self.bounds.form(i) for i in self.indices]
        if not flat:
            return found
        simplify, rows = Simplifier(self.bounds.ranges), replace(self.buffer, shape=self.buffer.shape[:-1])
        return [*found, address(self.buffer, self.indices, simplify), address(rows, self.indices[:-1], simplify)]

    @cached_property
    def has_digits(self) -> bool:
        """Whether an index is a digit of a loop, as `fuse` leaves them: the offset in memory may be the loop itself."""
        return any(isinstance(e, Binary) and e.op == "floormod" for e in walk_expr(*self.indices))

    def sums(self, indices: tuple[Expr, ...]) -> list[Linear]:
        """Each index as a sum, and their offset in memory where the extents are numbers."""
        found = [linear(i) for i in indices]
        if all(isinstance(d, int) for d in self.buffer.shape):
            flat: Linear = ({}, 0)
            for form, extent in zip(found, self.buffer.shape, strict=True):
                flat = combine(form, flat, extent)
            found.append(flat)
        return found

    def place(self) -> Place | None:
        """The offset in memory, and what is known there; None where that is no number, or too little is known."""
        if self.truths is None or not all(isinstance(d, int) for d in self.buffer.shape):
            return None
        offset: Expr = const(0)
        for index, extent in zip(self.indices, self.buffer.shape, strict=True):
            offset = offset * extent + index
        return offset, self.bounds, self.truths

    def __str__(self) -> str:
        return f"{self.buffer.name}[{', '.join(map(str, self.indices))}]"


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
    when `reductions_commute`. Buffers that live in `body` belong to one iteration.
    """
    own, found = private(body), []
    every = [access for access in _accesses(body, Bounds(ranges)) if access.buffer not in own]
    loose = {*moving, *[loop.var for loop in loops(body).values()]}
    for first in every:
        for second in every:
            if not first.write or first.buffer is not second.buffer:
                continue
            pair = _Pair(loose, first, second, depth=1)
            along = frozenset() if pair.never_meet() else frozenset(moving) - pair.equal
            step = first.stmt if first.stmt is second.stmt and isinstance(first.stmt, Update) else None
            commutes = step and reductions_commute and first.indices == second.indices and along <= {*step.axes}
            if along and not commutes:
                found.append(Dependence(along, first, second))
    return found


def _accesses(s: Stmt, known: Bounds) -> list[Access]:
    """Every access in `s`, with what is known there: a guard holds for what is inside of it."""
    found = [Access(load.source, load.indices, known, False, stmt=s) for load in reads(s)]
    if isinstance(s, (Store, Update)):
        found += [Access(buffer, s.indices, known, True, stmt=s) for buffer in targets(s)]
    inside = Bounds(assume(s.cond, known.ranges)) if isinstance(s, If) else known
    for inner in bodies(s):
        found += _accesses(inner, inside)
    return list(dict.fromkeys(found))


def meeting(loop: For, accesses: Sequence[Access]) -> tuple[Access, Access] | None:
    """Two of the accesses that may touch one element in different iterations of `loop`, one writing."""
    loose = {inner.var for inner in loops(loop).values()}
    fixed = free_vars(*[i for a in accesses for i in a.indices]) - loose
    for n, first in enumerate(accesses):
        for second in accesses[n:]:
            either = first.write or second.write
            if either and first.buffer is second.buffer and not _apart(loop.var, loose, fixed, first, second):
                return first, second
    return None


def _apart(var: Var, loose: set[Var], fixed: frozenset[Var], first: Access, second: Access) -> bool:
    """Whether two accesses are proven not to meet in different iterations."""
    pair = _Pair(loose, first, second)
    if pair.never_meet(var) or var in pair.equal:
        return True
    here, there = first.place(), second.place()
    return here is not None and there is not None and meet(var, fixed, here, there) is False


class _Pair:
    """Two accesses that are supposed to meet, in two iterations; variables that are not `loose` are the same in both."""

    def __init__(self, loose: set[Var], first: Access, second: Access, depth: int = DEPTH) -> None:
        self.loose, self.first, self.second, self.depth = loose, first, second, depth
        ends = {v: (first.bounds.of(v), second.bounds.of(v)) for v in loose}
        self.equal: set[Expr] = {v for v, (here, there) in ends.items() if here == there and here[0] == here[1]}
        flat = any(access.has_digits for access in (first, second))
        forms = (a.forms if depth > 1 else a.short_forms(flat) for a in (first, second))
        self.equations = list(zip(*forms, strict=True))

    def never_meet(self, var: Var | None = None) -> bool:
        """Whether they are proven not to meet. Leaves in `equal` what is the same where they do; stops at `var`."""
        while True:
            before = len(self.equal)
            if any(self.solve(f, g) for f, g in self.equations):
                return True
            self.equations += self.products()
            if var in self.equal or len(self.equal) == before:
                return False

    def same(self, term: Expr) -> bool:
        """Whether a term has one value in both iterations."""
        return term in self.equal or (
            not loads(term) and all(v in self.equal or v not in self.loose for v in free_vars(term))
        )

    def solve(self, f: Linear, g: Linear) -> bool:
        """Learn what `f = g` forces; true when it has no solution."""
        low: int | float = f[1] - g[1]  # of what the terms that are the same in both contribute
        high = low
        steps: list[int] = []
        mine, other = dict(f[0]), dict(g[0])
        for term in [t for t in {**mine, **other} if self.same(t)]:
            steps.append(mine.pop(term, 0) - other.pop(term, 0))
            least, most = _scaled(steps[-1], self.first.bounds.of(term))
            low, high = low + least, high + most
        divisor = math.gcd(*steps, *mine.values(), *other.values())
        if (f[1] - g[1]) % divisor if divisor else f[1] != g[1]:
            return True
        if not self.reaches(mine, other, low, high, 0):
            return True
        for term, times in sorted(mine.items(), key=lambda item: -abs(item[1])):
            if other.get(term) == times:
                fewer, less = ({t: k for t, k in part.items() if t is not term} for part in (mine, other))
                if not self.reaches(fewer, less, low, high, abs(times)):
                    self.equal.add(term)
                    mine, other = fewer, less
        return False

    def reaches(
        self, mine: dict[Expr, int], other: dict[Expr, int], low: int | float, high: int | float, size: int
    ) -> bool:
        """Whether the difference of two sums, of accesses of their own, can be 0, or as large as `size`."""
        here, there = self.first.bounds, self.second.bounds
        for depth in range(1 if is_plain(here, mine) and is_plain(there, other) else self.depth):  # the least work
            (a, b), (c, d) = _interval(here, mine, depth), _interval(there, other, depth)
            start, end = low + a - d, high + b - c
            if (-size < start and end < size) if size else not start <= 0 <= end:
                return False
        return True

    def products(self) -> list[tuple[Linear, Linear]]:
        """Where x//n and x%n are the same in both, so is x: equations for such x."""
        ranges = self.first.bounds.ranges
        quotients = {_quotients(ranges, e) for e in self.equal if isinstance(e, Binary) and e.op == "floordiv"}
        remainders = [e for e in self.equal if isinstance(e, Binary) and e.op == "floormod" and self.same(e.b)]
        pairs = [(e.a, _quotients(ranges, Binary("floordiv", e.a, e.b))) for e in remainders]
        known = {x for x, quotient in pairs if quotient in quotients or self.same(quotient)} - self.equal
        self.equal |= known
        return [(linear(x), linear(x)) for x in known]


def _interval(bounds: Bounds, terms: dict[Expr, int], depth: int) -> Interval:
    if depth == 0:
        return bounds.interval((terms, 0))
    negative = {t: -k for t, k in terms.items()}
    return least(bounds, (terms, 0), depth, math.inf), -least(bounds, (negative, 0), depth, math.inf)


def _scaled(factor: int, interval: Interval) -> Interval:
    if factor == 0:
        return 0, 0
    low, high = interval
    return (factor * low, factor * high) if factor > 0 else (factor * high, factor * low)


def _quotients(ranges: Mapping[Expr, Interval], e: Expr) -> Expr:
    """x % c as x - x//c*c, and (x//a + n)//b as (x + n*a)//(a*b), simplified: fewer sorts of terms."""
    match e:
        case Binary("floormod", x, Const(c, _)) if c > 0 and e.dtype is int64:
            return binary("sub", x, _quotients(ranges, Binary("floordiv", x, const(c))) * c)
        case Binary("floordiv", a, Const(b, _)) if b > 0 and e.dtype is int64:
            terms, constant = linear(a)
            match [t for t, k in terms.items() if k == 1 and isinstance(t, Binary) and t.op == "floordiv"]:
                case [Binary(_, x, Const(c, _)) as quotient] if c > 0:
                    rest = {t: k for t, k in terms.items() if t is not quotient}
                    whole = from_linear(*combine(linear(x), (rest, constant), c))
                    return simplify(Binary("floordiv", whole, const(b * c)), ranges)
    return e
