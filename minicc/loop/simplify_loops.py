"""Pass: simplify what is known once the extents of the loops are.

In: a program. Out: one of the same stores, in the same order, with shorter expressions, without
loops of one iteration or none, without guards that always hold, statements that never run, and
buffers that nobody touches.

    for i in range(8):                              for i in range(8):
        for j in range(1):                              C[i] = A[i]
            if i*1 + j < 8:               ->
                C[(i*8 + j)//8] = A[i + j]
"""

from __future__ import annotations

from minicc.ir.node import replace
from minicc.loop.ir import PARALLEL, SERIAL, UNROLL, VECTORIZE, Alloc, For, If, Seq, Stmt, map_bodies, map_expressions
from minicc.loop.ir import seq, substitute_vars, walk
from minicc.loop.program import Program
from minicc.loop.queries import mentions
from minicc.loop.ranges import Ranges, inside, sizes
from minicc.tensor.bounds import assume
from minicc.tensor.expr import Const, Expr, const
from minicc.tensor.simplify import simplify

DROPPED = (SERIAL, PARALLEL, VECTORIZE, UNROLL)  # a thread axis says how the kernel is launched, and stays


def simplify_loops(program: Program) -> Program:
    """`program` made shorter; itself if there is nothing to gain."""
    return replace(program, body=_visit(program.body, sizes(program)))


def _visit(s: Stmt, ranges: Ranges) -> Stmt:
    match s:
        case For():
            return _loop(s, ranges)
        case If(cond, body):
            return _guard(s, simplify(cond, ranges), ranges)
        case Seq():
            return map_bodies(s, lambda inner: _visit(inner, ranges))
        case Alloc(buffer, body):
            body = _visit(body, ranges)
            return replace(s, body=body) if any(buffer in mentions(t) for t in walk(body)) else body
    return map_expressions(s, lambda e: simplify(e, ranges))


def _loop(s: For, ranges: Ranges) -> Stmt:
    extent = simplify(s.extent, ranges) if isinstance(s.extent, Expr) else s.extent
    extent = extent.value if isinstance(extent, Const) else extent
    if isinstance(extent, int) and extent <= 0:
        return seq()
    if isinstance(extent, int) and extent == 1 and s.kind in DROPPED:
        return _visit(substitute_vars(s.body, {s.var: const(0)}), ranges)
    s = replace(s, extent=s.extent if type(extent) is type(s.extent) and extent == s.extent else extent)
    body = _visit(s.body, inside(s, ranges))
    return body if _nothing(body) else replace(s, body=body)


def _guard(s: If, cond: Expr, ranges: Ranges) -> Stmt:
    if isinstance(cond, Const):
        return _visit(s.body, ranges) if cond.value else seq()
    body = _visit(s.body, assume(cond, ranges))
    return body if _nothing(body) else replace(s, cond=cond, body=body)


def _nothing(s: Stmt) -> bool:
    return isinstance(s, Seq) and not s.stmts
