"""Readable programs after every step: indices simplified, proven guards dropped.

In: a program. Out: the same loops, by the same names, around shorter expressions. Loop names and
loops of one trip stay, because later steps address them.
"""

from __future__ import annotations

from collections.abc import Mapping

from minicc.ir.node import replace
from minicc.loop.ir import For, If, Seq, Stmt, bodies, loops, map_bodies, map_expressions, seq
from minicc.loop.program import Program
from minicc.te.bounds import Interval, assume
from minicc.te.expr import Const, Expr, free_vars
from minicc.te.simplify import Simplifier

SIZE_LIMIT = 1 << 31  # a symbolic size is below this, so that products of a few do not wrap around


def extent_limit(extent: object) -> int:
    """The largest value an extent may have."""
    return extent if isinstance(extent, int) else SIZE_LIMIT


def ranges_of(s: Stmt) -> dict[Expr, Interval]:
    """The interval of every loop variable in `s`, and of the symbolic sizes of its loops."""
    found: dict[Expr, Interval] = {}
    for loop in loops(s).values():
        found[loop.var] = (0, max(extent_limit(loop.extent) - 1, 0))
        if isinstance(loop.extent, Expr):
            found.update(dict.fromkeys(free_vars(loop.extent), (0, SIZE_LIMIT)))
    return found


def tidy(program: Program) -> Program:
    """`program` with short expressions."""
    ranges = ranges_of(program.body)
    return replace(program, body=_stmt(program.body, Simplifier(ranges), ranges))


def _stmt(s: Stmt, simplify: Simplifier, ranges: Mapping[Expr, Interval]) -> Stmt:
    match s:
        case If(cond, body):
            cond = simplify(cond)
            if isinstance(cond, Const):
                return _stmt(body, simplify, ranges) if cond.value else seq()
            known = assume(cond, ranges)
            return If(cond, _stmt(body, Simplifier(known), known))
        case Seq(stmts):
            made = [_stmt(inner, simplify, ranges) for inner in stmts]
            return seq(*[m for m in made if m != seq()]) if made else s
        case For(_, Expr() as extent, _, _):
            return replace(s, extent=simplify(extent), body=_stmt(s.body, simplify, ranges))
    if bodies(s):
        return map_bodies(s, lambda inner: _stmt(inner, simplify, ranges))
    return map_expressions(s, simplify)
