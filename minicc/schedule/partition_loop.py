"""partition_loop: the range of a loop is cut where its guards begin or cease to hold.

Meaning: the longest part of the range in which the guards, the selects and the lesser and greater
indices inside are decided keeps the name of the loop, and loses them: `loop` is the steady part.
What comes before is a nest of its own, over `<loop>_head`, and what comes after another, over
`<loop>_tail`, with their guards. So padding and ragged tiles cost nothing in the middle of an image.

Legality: the loop is serial, and some condition inside that is linear in it changes within its range, whatever the
other loops do. A reduction over several buffers has one loop, and so has a reduction of symbolic extent.

>>> from minicc.schedule.examples import smoothed, show
>>> show(smoothed(8), PartitionLoopStep("i"))
- for i in range(8):
+ for i_head in range(1):
+     for k_head in range(3):
+         if first(k_head):
+             B[0] = 0.0
+         B[0] = B[0] + (A[k_head - 1] if 1 <= k_head else float32(0.0))
+ for i in range(6):
      for k in range(3):
          if first(k):
-             B[i] = 0.0
-         B[i] = B[i] + (A[i + k - 1] if 1 <= i + k and i + k < 9 else float32(0.0))
+             B[i + 1] = 0.0
+         B[i + 1] = B[i + 1] + A[i + k]
+ for i_tail in range(1):
+     for k_tail in range(3):
+         if first(k_tail):
+             B[7] = 0.0
+         B[7] = B[7] + (A[k_tail + 6] if k_tail < 2 else float32(0.0))
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import Alloc, For, If, Seq, Stmt, Update, expressions, loops, map_expressions, rewrite, seq
from minicc.loop.ir import substitute_vars, walk
from minicc.loop.program import Program
from minicc.loop.ranges import Ranges, least, size_vars
from minicc.schedule.nest import continued, duplicate, graft
from minicc.schedule.loop_kind import serial_loop
from minicc.schedule.step import Illegal, Step
from minicc.schedule.tidy import ranges_of, tidy
from minicc.tensor.bounds import Bounds
from minicc.tensor.expr import COMPARISONS, Binary, Expr, Select, Unary, Var, binary, const, free_vars, loads
from minicc.tensor.expr import maximum, minimum, transform
from minicc.tensor.expr import walk as walk_expr
from minicc.tensor.linear import Linear, combine, from_linear
from minicc.tensor.simplify import simplify
from minicc.types import boolean, int64


class PartitionLoopStep(Step):
    """Cut a loop where its guards and selects begin or cease to hold: the loop in the middle loses them."""

    loop: str

    def transform(self, program: Program) -> Program:
        loop = serial_loop(program, self.loop)
        conditions = list(dict.fromkeys(c for s in (loop.body, *walk(loop.body)) for c in _conditions(s, loop.var)))
        reduced = [s for s in walk(loop.body) if isinstance(s, Update) and loop.var in s.axes]
        if pairs := [s for s in reduced if len(s.buffers) > 1]:
            problem = f"{', '.join(b.name for b in pairs[0].buffers)} are reduced together over loop {loop.name}"
            raise Illegal(problem, loop.name, "choose a loop over an axis of the result")
        known: dict[Expr, Expr] = {}
        end: Any
        if isinstance(loop.extent, int):
            begin, end = self._constant(loop, conditions, ranges_of(program))
        else:
            begin, end, known = self._symbolic(program, loop, conditions)
            if reduced:
                problem = f"{reduced[0].buffers[0].name} is reduced over loop {loop.name}, of symbolic extent"
                hint = "choose a loop over an axis of the result, or give the sum a constant extent"
                raise Illegal(problem, loop.name, hint)
        steady = map_expressions(_moved(loop, begin, end).body, lambda e: transform(e, lambda x: known.get(x, x)))
        parts: list[Stmt] = [replace(loop, extent=_minus(end, begin), body=steady)]
        if begin != 0:
            parts.insert(0, duplicate(program, replace(loop, extent=begin), "_head"))
        if end is not loop.extent and end != loop.extent:
            parts.append(_moved(duplicate(program, loop, "_tail"), end, loop.extent))
        done = [parts[0], *[_continued(part) for part in parts[1:]]]
        return _without_empty(tidy(graft(program, loop, seq(*done))), loop.name)

    def _constant(self, loop: For, conditions: Sequence[Expr], ranges: Ranges) -> tuple[int, int]:
        """The part of a constant range in which most conditions are decided; the longest of those."""
        seen = Bounds({**ranges, loop.var: (0, loop.extent - 1)})
        cuts = {c: [p for p in _thresholds(c, loop.var, seen) if 0 < p < loop.extent] for c in conditions}
        points = sorted({0, loop.extent, *[p for found in cuts.values() for p in found]})
        best, steady = (0, 0), (0, 0)
        for begin, end in itertools.pairwise(points):
            here = Bounds({**ranges, loop.var: (begin, end - 1)})
            decided = sum(here.of(c) != (0, 1) for c, found in cuts.items() if found)
            if decided and (decided, end - begin) > best:
                best, steady = (decided, end - begin), (begin, end)
        if steady == (0, 0):
            raise self._nothing(loop)
        return steady

    def _symbolic(self, program: Program, loop: For, conditions: Sequence[Expr]) -> tuple[int, Expr, dict[Expr, Expr]]:
        """Where the conditions that an upper limit of the loop decides cease to hold surely; and what holds until then."""
        ranges, symbols = ranges_of(program), set(size_vars(program))
        seen = Bounds(ranges)
        ends = {c: end for c in conditions if (end := _end(c, loop.var, seen, symbols)) is not None}
        if not ends:
            raise self._nothing(loop)
        end = extent = loop.extent
        for limit in dict.fromkeys(ends.values()):
            end = limit if end is extent and _at_least(seen, end, limit) else minimum(end, limit)
        end = end if _at_least(seen, end, const(0)) else maximum(end, const(0))
        return 0, simplify(end, ranges), dict.fromkeys(ends, const(True, boolean))

    def _nothing(self, loop: For) -> Illegal:
        problem = f"no condition inside changes at a point of loop {loop.name} that the other loops leave fixed"
        return Illegal(problem, loop.name, "partition a loop with a guard or a select that is linear in it")

    @classmethod
    def candidates(cls, program: Program) -> Iterator[PartitionLoopStep]:
        # where the cuts are symbolic, later steps may lead to indices that nobody can prove in bounds
        return (cls(name) for name, loop in loops(program.body).items() if isinstance(loop.extent, int))


def _conditions(s: Stmt, var: Var) -> list[Expr]:
    """The comparisons of integers that `s` itself decides upon, as far as they depend on `var`."""
    found = []
    for e in walk_expr(*expressions(s)):
        match e:
            case Binary("min" | "max", a, b) if a.dtype is int64:
                found += [binary("le", x, y) for x in _operands(a) for y in _operands(b)]
            case Select(cond):
                found += _comparisons(cond)
    found += _comparisons(s.cond) if isinstance(s, If) else ()
    return [cond for cond in found if var in free_vars(cond)]


def _operands(e: Expr) -> list[Expr]:
    """What a clamped index may be: the operands of the lesser or the greater of two."""
    match e:
        case Binary("min" | "max", a, b):
            return [*_operands(a), *_operands(b)]
    return [e]


def _comparisons(cond: Expr) -> Iterator[Expr]:
    match cond:
        case Binary("and" | "or", a, b):
            yield from _comparisons(a)
            yield from _comparisons(b)
        case Unary("not", a):
            yield from _comparisons(a)
        case Binary(op, a, _) if op in COMPARISONS and a.dtype is int64:
            yield cond


def _limits(cond: Expr, var: Var, bounds: Bounds) -> Iterator[tuple[int, Linear]]:
    """`cond` as times*var + rest <= 0, once or, for an equation, both ways."""
    match cond:
        case Binary(op, a, b):
            terms, constant = combine(bounds.form(a), bounds.form(b), -1)
            times = terms.get(var, 0)
            rest = {t: k for t, k in terms.items() if t is not var}
            if times and not any(var in free_vars(t) for t in rest):
                yield times, (rest, constant + (op == "lt"))
                if op in ("eq", "ne"):
                    yield -times, combine(({}, 0), (rest, constant), -1)


def _thresholds(cond: Expr, var: Var, bounds: Bounds) -> Iterator[int]:
    """The values of `var` from which on `cond` begins or ceases to be decided."""
    for times, rest in _limits(cond, var, bounds):
        for side in bounds.interval(rest):
            if math.isfinite(side):  # times*var + side <= 0 up to, or from, here on
                yield int(-side) // times + 1 if times > 0 else -(int(-side) // -times)


def _end(cond: Expr, var: Var, bounds: Bounds, symbols: set[Var]) -> Expr | None:
    """The value of `var` from which on `cond`, an upper limit of it, does not surely hold, as an expression of sizes."""
    if not isinstance(cond, Binary) or cond.op not in ("lt", "le"):
        return None
    for times, (terms, constant) in _limits(cond, var, bounds):
        fixed = {t: -k for t, k in terms.items() if free_vars(t) <= symbols and not loads(t)}
        _, most = bounds.interval(({t: k for t, k in terms.items() if t not in fixed}, constant))
        if times > 0 and math.isfinite(most):
            return from_linear(fixed, times - int(most)) // times
    return None


def _at_least(bounds: Bounds, a: Expr, b: Expr) -> bool:
    return least(bounds, combine(bounds.form(a), bounds.form(b), -1)) >= 0


def _continued(part: Stmt) -> Stmt:
    """A loop whose reductions were begun before."""
    assert isinstance(part, For)
    return rewrite(part, lambda s: continued(s, part.var))


def _moved(loop: Stmt, begin: Any, end: Any) -> For:
    """The iterations of `loop` from `begin` to `end`."""
    assert isinstance(loop, For)
    body = loop.body if begin == 0 else substitute_vars(loop.body, {loop.var: loop.var + begin})
    return replace(loop, extent=_minus(end, begin), body=body)


def _minus(end: Any, begin: Any) -> Any:
    return end if isinstance(begin, int) and begin == 0 else end - begin


def _without_empty(program: Program, name: str) -> Program:
    """`program` without the loops before and after the steady part in which nothing is done."""

    def change(s: Stmt) -> Stmt:
        empty = isinstance(s, For) and all(isinstance(t, (For, If, Alloc, Seq)) for t in walk(s))
        return seq() if empty and isinstance(s, For) and s.name != name else s

    return replace(program, body=rewrite(program.body, change))
