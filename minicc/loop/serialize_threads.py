"""Pass: thread axes as ordinary loops, for a machine that has none.

In: a program. Out: one whose loops of a kind such as `threadIdx.x` are serial. Iterations of a
bound loop are independent, so running them one after another computes the same.

    for i in blockIdx.x(4):                         for i in range(4):
        for j in threadIdx.x(8):          ->            for j in range(8):
            C[i*8 + j] = A[i*8 + j]                         C[i*8 + j] = A[i*8 + j]
"""

from __future__ import annotations

from minicc.ir.node import replace
from minicc.loop.ir import PARALLEL, SERIAL, UNROLL, VECTORIZE, For, Stmt, rewrite
from minicc.loop.program import Program


def serialize_threads(program: Program) -> Program:
    """`program` without thread axes; itself if it has none."""
    return replace(program, body=rewrite(program.body, _change))


def _change(s: Stmt) -> Stmt:
    thread = isinstance(s, For) and s.kind not in (SERIAL, PARALLEL, VECTORIZE, UNROLL)
    return replace(s, kind=SERIAL) if thread else s
