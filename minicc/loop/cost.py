"""What a program does at least, however it is scheduled: its arithmetic, and the bytes that it must touch.

In: a naive program of known extents. Out: counts that machine code cannot stay below, so that no
kernel has more than all of the machine's roofline. A value that does not change along a loop may
be computed outside of it, and what a select or a guard leaves out need not be computed: where loop variables of few values decide
it, as which row of a small matrix is meant, either side counts for those values that take it.

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

import numpy as np

from minicc.loop.ir import Buffer, For, If, Stmt, Store, Update, bodies, walk
from minicc.loop.program import Program
from minicc.loop.queries import targets
from minicc.tensor.bounds import Interval, bounds
from minicc.tensor.evaluate import Array, evaluate_expr
from minicc.tensor.expr import Binary, Call, Expr, Load, Select, Unary, Var, children, const, free_vars, loads
from minicc.tensor.expr import select
from minicc.tensor.expr import walk as walk_expr

Loops = tuple[For, ...]
EACH = {"fma": 2, "dot4": 8, "dot2": 4}  # operations of a call; sums of products have the addition to their sum
FEW = 1 << 12  # values of all loops that decide selects


def operations(program: Program) -> int:
    """Floating point operations; a multiply-add is two, and a function such as `exp` one. Sums of products of bytes count."""
    total, extents = 0, _read_extents(program)
    for s, around, guards in _statements(program.body):
        along, own = _along(s, around), {f.var: extents[f.var] for f in around if f.var in extents}
        for e, (deciding, taken) in _taken(_guarded(_values(s), guards), own).items():
            if each := flops(e):
                rest = math.prod(n for var, n in own.items() if var in along[e] and var not in deciding)
                repeated = tuple(axis for axis, var in enumerate(deciding) if var not in along[e])
                total += each * rest * int(np.count_nonzero(taken.any(axis=repeated)))
    return total


def flops(e: Expr) -> int:
    """The floating point operations of an expression without its operands."""
    each = EACH.get(e.name, 1) if isinstance(e, Call) else 1
    return each if isinstance(e, (Binary, Unary, Call)) and (e.dtype.is_float or each > 1) else 0


def _read_extents(program: Program) -> dict[Var, int]:
    """The trips of each loop of known extent; of a loop along a buffer, up to the last element that is read later."""
    extents = {f.var: f.extent for f in walk(program.body) if isinstance(f, For) and isinstance(f.extent, int)}
    read: dict[Buffer, list[float]] = {}
    for s, around, _ in reversed(list(_statements(program.body))):
        written = targets(s)
        if all(b in read and b not in program.outputs for b in written):
            for axis, index in enumerate(s.indices):
                if isinstance(index, Var) and index in extents:
                    extents[index] = int(min(extents[index], max(read[b][axis] for b in written)))
        ranges: dict[Expr, Interval] = {f.var: (0, extents[f.var] - 1) for f in around if extents.get(f.var)}
        for load in loads(*s.indices, *_values(s)):
            if load.source not in written:
                ends = [bounds(index, ranges)[1] + 1 for index in load.indices]
                read[load.source] = [*map(max, ends, read.get(load.source, ends))]
    return extents


def _taken(roots: tuple[Expr, ...], extents: dict[Var, int]) -> dict[Expr, tuple[tuple[Var, ...], Array]]:
    """The expressions that are evaluated whatever the data; for which values of the loops that decide selects, if few."""
    selects = [e for e in walk_expr(*roots) if isinstance(e, Select) and not loads(e.cond)]
    variables = set().union(*[free_vars(e.cond) for e in selects])
    deciding = tuple(var for var in extents if var in variables)
    shape = tuple(extents[var] for var in deciding)
    if len(shape) < len(variables) or math.prod(shape) > FEW:
        return {e: ((), np.array(True)) for e in _evaluated(roots, False)}
    values = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    known = dict(zip(deciding, values, strict=True))
    found = {e: np.zeros(shape, bool) for e in walk_expr(*roots)}
    for root in roots:
        found[root][...] = True
    for e in reversed(list(found)):  # users first
        if isinstance(e, Select):
            found[e.cond] |= found[e]
            if not loads(e.cond):
                first = np.broadcast_to(evaluate_expr(e.cond, known), shape)
                found[e.then] |= found[e] & first
                found[e.other] |= found[e] & ~first
        else:
            for part in children(e):
                found[part] |= found[e]
    return {e: (deciding, where) for e, where in found.items() if where.any()}


def touched(program: Program) -> int:
    """Bytes of the parameters that are read, each element once, and of the outputs."""
    read: dict[Buffer, int] = {}
    for s, around, guards in _statements(program.body):
        for e in _evaluated(_guarded((*s.indices, *_values(s)), guards), True):
            if isinstance(e, Load) and e.source in program.params:
                places = [_places(index, n, around) for index, n in zip(e.indices, e.source.shape, strict=True)]
                read[e.source] = max(read.get(e.source, 0), math.prod(places))
    return sum(n * b.dtype.bytes for b, n in read.items()) + sum(b.type.bytes for b in program.outputs)


def _statements(
    s: Stmt, around: Loops = (), guards: tuple[Expr, ...] = ()
) -> Iterator[tuple[Store | Update, Loops, tuple[Expr, ...]]]:
    """Each statement that computes, with the loops and the guards around it; none in a loop that never runs."""
    if isinstance(s, (Store, Update)):
        yield s, around, guards
    if isinstance(s, For) and isinstance(s.extent, int) and s.extent <= 0:
        return
    for inner in bodies(s):
        tests = (s.cond, *guards) if isinstance(s, If) else guards
        yield from _statements(inner, (*around, s) if isinstance(s, For) else around, tests)


def _guarded(values: tuple[Expr, ...], guards: tuple[Expr, ...]) -> tuple[Expr, ...]:
    """Values that are computed where guards hold; none where data decide that, or floats, whose operations are not of the values."""
    if any(loads(cond) or any(map(flops, walk_expr(cond))) for cond in guards):
        return ()
    for cond in guards:
        values = tuple([select(cond, value, const(0, value.dtype)) for value in values])
    return values


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
