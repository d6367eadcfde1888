"""What puzzles about loops count beside loads, stores and misses: conditions, rounds of vectors, room for values.

In: a statement of a program whose extents are numbers. Out: a number, the same on every machine. All of them are upper bounds: what is
under a guard counts as if the guard held.

>>> from minicc.schedule.examples import doubled
>>> s = doubled(12)
>>> s.split("i", factor=8)
('i_o', 'i_i')
>>> asked(s.program.body), rounds(s.program.body), room(s.program.body)
(16, 16, 0)
>>> s.vectorize("i_i")
>>> asked(s.program.body), rounds(s.program.body)
(16, 2)
"""

from __future__ import annotations

import math
from collections.abc import Collection

from minicc.loop.ir import SCOPES, UNROLL, VECTORIZE, Alloc, For, If, Stmt, Store, Update, bodies, expressions, walk
from minicc.tensor.expr import Select
from minicc.tensor.expr import walk as walk_expr

LANES = 8  # of a vector


def asked(s: Stmt, times: int = 1) -> int:
    """How often a condition is asked: that of a guard, or of a select."""
    times *= _trips(s)
    if isinstance(s, (Store, Update)):
        return times * sum(isinstance(e, Select) for e in walk_expr(*expressions(s)))
    return times * isinstance(s, If) + sum(asked(inner, times) for inner in bodies(s))


def rounds(s: Stmt, times: int = 1) -> int:
    """How often statements run, where a vectorized loop runs eight of its iterations at once."""
    vector = isinstance(s, For) and s.kind == VECTORIZE
    times *= math.ceil(_trips(s) / LANES) if vector else _trips(s)
    if isinstance(s, (Store, Update)):
        return times
    return sum(rounds(inner, times) for inner in bodies(s))


def room(s: Stmt, scopes: Collection[str] = SCOPES) -> int:
    """Elements of all buffers of these scopes that a program has for itself."""
    found = [t.buffer for t in walk(s) if isinstance(t, Alloc) and t.buffer.scope in scopes]
    return sum(math.prod([_number(n) for n in b.shape]) for b in found)


def written_out(s: Stmt, times: int = 1) -> int:
    """How many statements there are where loops are unrolled and vectors are whole registers: about the size of the machine code."""
    if isinstance(s, For) and s.kind in (UNROLL, VECTORIZE):
        times *= _trips(s) if s.kind == UNROLL else math.ceil(_trips(s) / LANES)
    return times + sum(written_out(inner, times) for inner in bodies(s))


def _trips(s: Stmt) -> int:
    return _number(s.extent) if isinstance(s, For) else 1


def _number(extent: object) -> int:
    assert isinstance(extent, int), "programs of the course have no symbolic sizes"
    return extent
