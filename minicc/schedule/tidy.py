"""Readable programs after every step: indices simplified, proven guards dropped.

In: a program. Out: the same loops, by the same names, around shorter expressions; hints about
buffers that a step has moved away are gone. Loop names and
loops of one trip stay, because later steps address them.
"""

from __future__ import annotations

from minicc.ir.node import replace
from minicc.loop.ir import (
    Alloc,
    Buffer,
    For,
    If,
    Prefetch,
    Seq,
    Stmt,
    bodies,
    loops,
    map_bodies,
    map_expressions,
    seq,
    walk,
)
from minicc.loop.program import Program
from minicc.loop.ranges import Ranges, inside, sizes
from minicc.te.bounds import assume
from minicc.te.expr import Const, Expr, Var
from minicc.te.simplify import Simplifier


def ranges_of(program: Program) -> Ranges:
    """The intervals of every loop variable, and of the symbolic sizes.

    What a loop says of other variables holds inside of it only, and is left out: that a loop runs
    at all says that its symbolic extent is positive.
    """
    found = sizes(program)
    for loop in loops(program.body).values():
        found[loop.var] = inside(loop, found)[loop.var]
    return found


def tidy(program: Program) -> Program:
    """`program` with short expressions."""
    ranges = ranges_of(program)
    body = program.body
    if any(isinstance(s, Prefetch) for s in walk(body)):
        body = _hints(body, frozenset((*program.params, *program.outputs)))
    return replace(program, body=_stmt(body, Simplifier(ranges), ranges))


def _hints(s: Stmt, live: frozenset[Buffer]) -> Stmt:
    """`s` without hints about buffers that have gone elsewhere."""
    if isinstance(s, Prefetch):
        return s if s.buffer in live else seq()
    inner = live | {s.buffer} if isinstance(s, Alloc) else live
    return map_bodies(s, lambda t: _hints(t, inner))


def _stmt(s: Stmt, simplify: Simplifier, ranges: Ranges) -> Stmt:
    match s:
        case If(cond, body):
            cond = simplify(cond)
            if isinstance(cond, Const):
                return _stmt(body, simplify, ranges) if cond.value else seq()
            # a variable stays itself, even where its guard leaves one value: indices keep their shape
            known = {e: ranges.get(e, r) if isinstance(e, Var) else r for e, r in assume(cond, ranges).items()}
            return If(cond, _stmt(body, Simplifier(known), known))
        case Seq(stmts):
            made = [_stmt(inner, simplify, ranges) for inner in stmts]
            return seq(*[m for m in made if m != seq()]) if made else s
        case For(_, Expr() as extent, _, _):
            within = inside(s, ranges)
            trips = simplify(extent)
            return replace(s, extent=int(trips.value) if isinstance(trips, Const) else trips,
                           body=_stmt(s.body, Simplifier(within), within))
    if bodies(s):
        return map_bodies(s, lambda inner: _stmt(inner, simplify, ranges))
    return map_expressions(s, simplify)
