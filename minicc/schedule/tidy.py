"""Readable programs after every step: indices simplified, proven guards dropped.

In: a program. Out: the same loops, by the same names, around shorter expressions; hints about buffers that a step has
moved away are gone. Loop names and loops of one trip stay, because later steps address them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from minicc.ir.node import replace
from minicc.loop.ir import Alloc, Buffer, For, If, Prefetch, Seq, Stmt, bodies, expressions, loops, map_bodies
from minicc.loop.ir import map_own, seq, walk
from minicc.loop.program import Program
from minicc.loop.ranges import Ranges, inside, interval, sizes
from minicc.tensor.bounds import Interval, assume
from minicc.tensor.expr import Const, Expr, Var, free_vars
from minicc.tensor.simplify import Simplifier, simplify


def ranges_of(program: Program) -> Ranges:
    """The intervals of every loop variable, and of the symbolic sizes.

    What a loop says of other variables holds inside of it only, and is left out: that a loop runs
    at all says that its symbolic extent is positive.
    """
    found = sizes(program)
    for loop in loops(program.body).values():
        found[loop.var] = interval(loop, found)
    return found


def tidy(program: Program) -> Program:
    """`program` with short expressions."""
    ranges = ranges_of(program)
    body = program.body
    if any(isinstance(s, Prefetch) for s in walk(body)):
        body = _hints(body, frozenset((*program.params, *program.outputs)))
    return replace(program, body=_stmt(body, ranges))


def _hints(s: Stmt, live: frozenset[Buffer]) -> Stmt:
    """`s` without hints about buffers that have gone elsewhere."""
    if isinstance(s, Prefetch):
        return s if s.buffer in live else seq()
    inner = live | {s.buffer} if isinstance(s, Alloc) else live
    return map_bodies(s, lambda t: _hints(t, inner))


def _stmt(s: Stmt, ranges: Ranges) -> Stmt:
    return _tidied(s, tuple(_relevant(variables(s), ranges).items()))


@lru_cache(maxsize=1 << 9)
def variables(s: Stmt) -> tuple[Var, ...]:
    """The variables in the expressions of `s` and of the statements inside, by name."""
    found = free_vars(*expressions(s)).union(*[variables(inner) for inner in bodies(s)])
    return tuple(sorted(found, key=lambda v: v.name))


@lru_cache(maxsize=1 << 8)
def _tidied(s: Stmt, facts: tuple[tuple[Expr, Interval], ...]) -> Stmt:
    """Most statements are as they were before the step, and so is what is known of their variables."""
    ranges = dict(facts)
    match s:
        case If(cond, body):
            cond = _simpler(cond, ranges)
            if isinstance(cond, Const):
                return _stmt(body, ranges) if cond.value else seq()
            # a variable stays itself, even where its guard leaves one value: indices keep their shape
            known = {e: ranges.get(e, r) if isinstance(e, Var) else r for e, r in assume(cond, ranges).items()}
            return If(cond, _stmt(body, known))
        case Seq(stmts):
            made = [_stmt(inner, ranges) for inner in stmts]
            return seq(*[m for m in made if m != seq()]) if made else s
        case For(_, Expr() as extent, _, _):
            trips = _simpler(extent, ranges)
            count = int(trips.value) if isinstance(trips, Const) else trips
            return replace(s, extent=count, body=_stmt(s.body, inside(s, ranges)))
    if bodies(s):
        return map_bodies(s, lambda inner: _stmt(inner, ranges))
    return map_own(s, Simplifier(ranges))


def _simpler(e: Expr, ranges: Ranges) -> Expr:
    return simplify(e, _relevant(sorted(free_vars(e), key=lambda v: v.name), ranges))


def _relevant(variables: Sequence[Var], ranges: Ranges) -> Ranges:
    """What is known of some variables; of all, where more is known than their intervals."""
    if any(not isinstance(e, Var) for e in ranges):
        return ranges
    return {v: ranges[v] for v in variables if v in ranges}
