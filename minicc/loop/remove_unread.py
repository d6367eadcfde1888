"""Pass: what nobody reads is not computed.

In: a program. Out: one without the buffers of its own that no output depends on, and without what
writes them.

    m = empty((4,), int32)
    for i in range(4):                        for j in range(4):
        m[i] = A[i]*2                ->           C[j] = 0
    for j in range(4):
        C[j] = 0
"""

from __future__ import annotations

from minicc.ir.node import replace
from minicc.loop.ir import Alloc, Buffer, ExternCall, For, If, Prefetch, Stmt, Store, Update, expressions, rewrite, seq
from minicc.loop.ir import walk
from minicc.loop.program import Program
from minicc.tensor.expr import loads


def remove_unread(program: Program) -> Program:
    """`program` without dead buffers; itself if there are none."""
    live: set[Buffer] = {*program.params, *program.outputs}
    statements = list(walk(program.body))
    before = -1
    while len(live) != before:
        before = len(live)
        for s in statements:
            written = _written(s)
            if not written or not live.isdisjoint(written):
                live.update(written, (load.source for load in loads(*expressions(s))))

    def change(s: Stmt) -> Stmt:
        written = _written(s)
        if written and live.isdisjoint(written):
            return seq()
        if isinstance(s, Alloc) and s.buffer not in live:
            return s.body
        return seq() if isinstance(s, (For, If, Alloc)) and s.body is seq() else s

    return replace(program, body=rewrite(program.body, change))


def _written(s: Stmt) -> tuple[Buffer, ...]:
    """The buffers that a statement itself writes, or only asks for early."""
    match s:
        case Store() | Prefetch():
            return (s.buffer,)
        case Update():
            return s.buffers
        case ExternCall():
            return (s.output,)
    return ()
