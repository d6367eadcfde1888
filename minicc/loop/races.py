"""May two iterations of a loop touch one element of a buffer, one of them writing?

In: a loop, and every access inside of it with what is known there. Out: two accesses that cannot
be proven apart, or None. Whatever cannot be proven is taken for a race.

Method: suppose that two accesses meet in iterations p and p' of the loop. Then their indices are
equal, one by one and also as the offset of the element in memory. Each equation is linear in
differences: of loop variables, and of terms such as `f//7`. A difference whose coefficient
outweighs all the rest of its equation must be 0. Where this ends at p - p' = 0, or an equation
has no solution, the accesses never meet in different iterations. It is exact for indices that are
digits of a number: `i_o*16 + i_i`, or `f//7` with `f%7`.

>>> from minicc.te.expr import Var
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
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from minicc.loop.ir import Buffer, For, Seq
from minicc.te.bounds import Bounds, Interval
from minicc.te.expr import Binary, Const, Expr, Var, binary, const, free_vars, loads, transform
from minicc.te.linear import Linear, combine, linear
from minicc.te.simplify import simplify
from minicc.types import int64


@dataclass
class Access:
    """An element that is read or written, and what is known there."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    bounds: Bounds = field(repr=False)
    write: bool

    @cached_property
    def forms(self) -> tuple[Linear, ...]:
        """The indices as sums, without remainders; then the offset in memory, if the shape is known."""
        memo: dict[Expr, Expr] = {}
        exprs = [transform(simplify(i, self.bounds.ranges), _quotients, memo) for i in self.indices]
        found = [linear(e) for e in exprs]
        if all(isinstance(d, int) for d in self.buffer.shape):
            flat: Linear = ({}, 0)
            for form, extent in zip(found, self.buffer.shape, strict=True):
                flat = combine(form, flat, extent)
            found.append(flat)
        return tuple(found)

    def __str__(self) -> str:
        return f"{self.buffer.name}[{', '.join(map(str, self.indices))}]"


def _quotients(e: Expr) -> Expr:
    """x % c as x - x//c*c, and x//a//b as x//(a*b): fewer sorts of terms."""
    match e:
        case Binary("floormod", x, Const(c, _)) if c > 0 and e.dtype is int64:
            return binary("sub", x, _quotients(Binary("floordiv", x, const(c))) * c)
        case Binary("floordiv", Binary("floordiv", x, Const(a, _)), Const(b, _)) if a > 0 and b > 0:
            return Binary("floordiv", x, const(a * b))
    return e


def meeting(loop: For, accesses: Sequence[Access]) -> tuple[Access, Access] | None:
    """Two of the accesses that may touch one element in different iterations of `loop`, one writing."""
    outside = set().union(*[free_vars(*a.indices) for a in accesses]) - _varying(loop)
    for n, first in enumerate(accesses):
        for second in accesses[n:]:
            either = first.write or second.write
            if either and first.buffer is second.buffer and not _Pair(loop.var, outside, first, second).apart():
                return first, second
    return None


def _varying(loop: For) -> set[Var]:
    """The variables of `loop` and of the loops inside of it."""
    found, pending = {loop.var}, [loop.body]
    while pending:
        s = pending.pop()
        if isinstance(s, For):
            found.add(s.var)
        pending += s.stmts if isinstance(s, Seq) else [s.body] if hasattr(s, "body") else []
    return found


class _Pair:
    """Two accesses that are supposed to meet, in two iterations; `fixed` variables are the same in both."""

    def __init__(self, var: Var, fixed: set[Var], first: Access, second: Access) -> None:
        self.var, self.first, self.second = var, first, second
        self.equal: set[Expr] = set(fixed)
        self.equations = list(zip(first.forms, second.forms, strict=True))

    def apart(self) -> bool:
        """Whether they are proven not to meet in different iterations."""
        while True:
            before = len(self.equal)
            for f, g in self.equations:
                if self.solve(f, g):
                    return True
            self.equations += self.products()
            if self.var in self.equal:
                return True
            if len(self.equal) == before:
                return False

    def same(self, term: Expr) -> bool:
        """Whether a term has one value in both iterations."""
        return term in self.equal or (not loads(term) and free_vars(term) <= self.equal)

    def solve(self, f: Linear, g: Linear) -> bool:
        """Learn what `f = g` forces; true when it has no solution."""
        differences: list[tuple[Expr | None, int, Interval]] = []
        for term in {**f[0], **g[0]}:
            a, b = f[0].get(term, 0), g[0].get(term, 0)
            (low, high), (start, end) = self.first.bounds.of(term), self.second.bounds.of(term)
            if self.same(term):
                both = max(low, start), min(high, end)
                differences.append((None, a - b, _scaled(a - b, both)))
            elif a == b:
                differences.append((term, a, _scaled(a, (low - end, high - start))))
            else:
                differences += [(None, a, _scaled(a, (low, high))), (None, b, _scaled(-b, (start, end)))]
        constant = f[1] - g[1]
        low = constant + sum(i[0] for _, _, i in differences)
        high = constant + sum(i[1] for _, _, i in differences)
        divisor = math.gcd(*[times for _, times, _ in differences])
        if not low <= 0 <= high or (constant % divisor if divisor else constant):
            return True
        for alike, times, (least, most) in sorted(differences, key=lambda d: -abs(d[1])):
            if alike is not None and -abs(times) < low - least and high - most < abs(times):
                self.equal.add(alike)
                low, high = low - least, high - most
        return False

    def products(self) -> list[tuple[Linear, Linear]]:
        """Where x//n and x%n are the same in both, so is x: equations for x with a symbolic n."""
        pairs = {(e.op, e.a, e.b) for e in self.equal if isinstance(e, Binary)}
        known = {a for op, a, b in pairs if op == "floormod" and ("floordiv", a, b) in pairs and self.same(b)}
        made = [(linear(a), linear(a)) for a in known - self.equal]
        self.equal |= known
        return made


def _scaled(factor: int, interval: Interval) -> Interval:
    if factor == 0:
        return 0, 0
    low, high = interval
    return (factor * low, factor * high) if factor > 0 else (factor * high, factor * low)
