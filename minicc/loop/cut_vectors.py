"""Pass: vectors are powers of two of lanes, which LLVM cuts into whole registers; of others it makes single numbers.

In: a program. Out: one of the same stores, in which an innermost vectorized loop of another extent is several, the longest first.

    for j in vectorize(24):              for j in vectorize(16):
        C[j] = A[j]               ->         C[j] = A[j]
                                         for j_rest in vectorize(8):
                                             C[j_rest + 16] = A[j_rest + 16]
"""

from __future__ import annotations

from minicc.ir.node import replace
from minicc.loop.ir import VECTORIZE, Alloc, For, Stmt, rewrite, seq, substitute_vars, walk
from minicc.loop.program import Program
from minicc.loop.queries import fresh
from minicc.tensor.expr import Var

FEWEST = 8  # lanes: what is shorter fits a register or two, with or without unused lanes


def cut_vectors(program: Program) -> Program:
    """`program` with vectors of powers of two; itself if all are."""

    def cut(s: Stmt) -> Stmt:
        if not isinstance(s, For) or s.kind != VECTORIZE or not isinstance(s.extent, int) or s.extent < FEWEST:
            return s
        whole = 1 << s.extent.bit_length() - 1
        if whole == s.extent or any(isinstance(t, (For, Alloc)) for t in walk(s.body)):
            return s
        (name,) = fresh(program, f"{s.name}_rest")
        body = substitute_vars(s.body, {s.var: Var(name) + whole})
        rest = replace(s, var=Var(name), extent=s.extent - whole, body=body)
        return seq(replace(s, extent=whole), cut(rest))

    return replace(program, body=rewrite(program.body, cut))
