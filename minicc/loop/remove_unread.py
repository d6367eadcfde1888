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
from minicc.loop.ir import Alloc, Buffer, For, If, Prefetch, Stmt, rewrite, seq, walk
from minicc.loop.program import Program
from minicc.loop.queries import targets, mentions


def remove_unread(program: Program) -> Program:
    """`program` without dead buffers; itself if there are none."""
    live: set[Buffer] = {*program.params, *program.outputs}
    statements = list(walk(program.body))
    before = -1
    while len(live) != before:
        before = len(live)
        for s in statements:
            if not (written := _written(s)) or not live.isdisjoint(written):
                live.update(mentions(s))

    def change(s: Stmt) -> Stmt:
        if (written := _written(s)) and live.isdisjoint(written):
            return seq()
        if isinstance(s, Alloc) and s.buffer not in live:
            return s.body
        return seq() if isinstance(s, (For, If, Alloc)) and s.body is seq() else s

    return replace(program, body=rewrite(program.body, change))


def _written(s: Stmt) -> tuple[Buffer, ...]:
    """The buffers that a statement itself writes, or only asks for early."""
    return (s.buffer,) if isinstance(s, Prefetch) else targets(s)
