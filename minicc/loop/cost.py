"""What a program does at least, however it is scheduled: its arithmetic, and the bytes that it must touch.

In: a naive program of known extents. Out: counts that machine code cannot stay below, so that no
kernel has more than all of the machine's roofline. A value that does not change along a loop may
be computed outside of it, and what a select leaves out need not be computed.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> x, w = te.placeholder((4, 100), name="x"), te.placeholder((4,), name="w")
>>> y = te.compute((4, 50), lambda i, j: x[i, j * 2] * (w[i] + 1.0), name="y")
>>> program = lower([y], [x, w, y], "scale").program
>>> operations(program)  # 4 * 50 products, 4 sums
204
>>> touched(program)  # 4 * 50 of x, 4 of w, 4 * 50 of y, of 4 bytes each
1616
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from minicc.loop.ir import Buffer, For, Stmt, Store, Update, bodies, walk
from minicc.loop.program import Program
from minicc.loop.queries import targets
from minicc.tensor.expr import Binary, Call, Expr, Load, Select, Unary, Var, children, free_vars, loads
from minicc.tensor.expr import walk as walk_expr

Loops = tuple[For, ...]


def operations(program: Program) -> int:
    """Floating point operations; a multiply-add is two, and a function such as `exp` one."""
    total = 0
    for s, around in _statements(program.body, ()):
        along = _along(s, around)
        total += sum(_trips(f for f in around if f.var in along[e]) for e in _evaluated(_values(s), False)
                     if isinstance(e, (Binary, Unary, Call)) and e.dtype.is_float)  # fmt: skip
    return total


def touched(program: Program) -> int:
    """Bytes of the parameters that are read, each element once, and of the outputs."""
    read: dict[Buffer, int] = {}
    for s, around in _statements(program.body, ()):
        for e in _evaluated((*s.indices, *_values(s)), True):
            if isinstance(e, Load) and e.source in program.params:
                places = [_places(index, n, around) for index, n in zip(e.indices, e.source.shape, strict=True)]
                read[e.source] = max(read.get(e.source, 0), math.prod(places))
    return sum(n * b.dtype.bytes for b, n in read.items()) + sum(b.type.bytes for b in program.outputs)


def _statements(s: Stmt, around: Loops) -> Iterator[tuple[Store | Update, Loops]]:
    """Each statement that computes, with the loops around it."""
    if isinstance(s, (Store, Update)):
        yield s, around
    for inner in bodies(s):
        yield from _statements(inner, (*around, s) if isinstance(s, For) else around)


def _values(s: Store | Update) -> tuple[Expr, ...]:
    return s.values if isinstance(s, Update) else (s.value,)


def _along(s: Store | Update, around: Loops) -> dict[Expr, set[Var]]:
    """The loops along which each expression of a statement may change: by an index, or as its buffer is written inside."""
    writing = {f.var: {b for t in walk(f) for b in targets(t)} for f in around}
    found: dict[Expr, set[Var]] = {}
    for e in walk_expr(*_values(s)):
        found[e] = set().union(*[found[c] for c in children(e)], [e] if isinstance(e, Var) else [])
        if isinstance(e, Load):
            found[e] |= {var for var, buffers in writing.items() if e.source in buffers}
    return found


def _evaluated(roots: Iterable[Expr], either: bool) -> list[Expr]:
    """The distinct expressions that are evaluated whatever the data; `either` side of a select that loops decide, too."""
    found: dict[Expr, None] = {}
    pending = list(roots)
    while pending:
        e = pending.pop()
        if e not in found:
            found[e] = None
            pending += [e.cond] if isinstance(e, Select) and (loads(e.cond) or not either) else children(e)
    return list(found)


def _places(index: Expr, extent: int, around: Loops) -> int:
    """How many values an index takes at least; data decide one that reads a buffer."""
    along = free_vars(index)
    return 1 if loads(index) else min(extent, _trips(f for f in around if f.var in along))


def _trips(loops: Iterable[For]) -> int:
    return math.prod(f.extent for f in loops if isinstance(f.extent, int))
