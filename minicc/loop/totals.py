"""How many loads, stores, operations and iterations a program of any size has, without a trace of them.

In: a program. Out: `Totals`, the numbers of `loop.accesses` added up. Iterations of a loop whose variable decides nothing (no
guard, no extent, no branch of a select) are alike: one is counted, times how many there are. So a large program takes as
long as the part of it that conditions look at, and a product of matrices of any size some milliseconds.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> A = te.placeholder((10_000, 5_000), name="A")
>>> B = te.compute((10_000, 5_000), lambda i, j: te.if_then_else(i < 10, A[i, j], 0.0) + 1.0, name="B")
>>> totals(lower([B], [A, B], "top").program)
Totals(loads=(50000, 0), stores=(0, 50000000), flops=50000000, trips=50010000)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from minicc.errors import LoopError
from minicc.loop.accesses import LIMIT, Env, buffers_in, known_sizes
from minicc.loop.ir import Buffer, For, If, Prefetch, Stmt, bodies, walk
from minicc.loop.marks import LOAD, STORE, Marked
from minicc.loop.program import Program
from minicc.loop.python import as_run
from minicc.tensor.evaluate import Array, evaluate_expr
from minicc.tensor.expr import Const, Expr, Var, free_vars, wrap


class Totals(NamedTuple):
    """Loads and stores of each buffer, in the order of `Accesses.buffers`; operations; iterations of all loops."""

    loads: tuple[int, ...]
    stores: tuple[int, ...]
    flops: int
    trips: int


def totals(program: Program, sizes: Mapping[Any, int] | None = None, limit: int = LIMIT) -> Totals | None:
    """What a run does; None where data decide, so that only a run can tell. `sizes` are those of `accesses`.

    Raises LoopError when a size is missing, and where conditions look at more points than `limit`.
    """
    given = known_sizes(program, sizes or {}, None)
    counting = _Counting(as_run(program, given), {v: np.int64(n) for v, n in given.items()}, limit)
    return None if counting.marked.by_data else counting.totals()


class _Counting:
    """A count on its way: how often each buffer is touched, at points that each stand for `weight` alike."""

    def __init__(self, program: Program, sizes: Env, limit: int) -> None:
        self.program, self.sizes, self.limit, self.marked = program, sizes, limit, Marked(program)
        self.touched: Counter[tuple[Buffer, int]] = Counter()
        self.flops = self.trips = 0
        conditions = [s.cond for s in walk(self.marked.body) if isinstance(s, If)]
        conditions += [wrap(s.extent) for s in walk(self.marked.body) if isinstance(s, For)]
        for effect in self.marked.effects:
            conditions += [*[t.where for t in effect.touches], *[where for _, where in effect.flops]]
        self.deciding: frozenset[Var] = free_vars(*conditions)

    def totals(self) -> Totals:
        self.visit(self.marked.body, np.ones(1, np.int64), self.sizes)
        buffers = buffers_in(self.program)
        loads, stores = (tuple(self.touched[b, kind] for b in buffers) for kind in (LOAD, STORE))
        return Totals(loads, stores, self.flops, self.trips)

    def visit(self, s: Stmt, weight: Array, env: Env) -> None:
        match s:
            case For():
                self.loop(s, weight, env)
            case If(cond, body):
                at = np.flatnonzero(np.broadcast_to(evaluate_expr(cond, env), len(weight)))
                self.visit(body, weight[at], {v: x[at] if np.ndim(x) else x for v, x in env.items()})
            case Prefetch():
                self.at(s, weight, env)
            case _:
                for inner in bodies(s):
                    self.visit(inner, weight, env)

    def loop(self, s: For, weight: Array, env: Env) -> None:
        trips = np.maximum(np.broadcast_to(evaluate_expr(wrap(s.extent), env), len(weight)), 0)
        if s.var not in self.deciding:
            self.visit(s.body, weight * trips, env)
            return
        total = int(trips.sum(dtype=np.float64))  # which cannot overflow
        if total > self.limit:
            problem = f"expected conditions that look at no more than {self.limit:,} points, got {total:,}"
            raise LoopError(f"totals({self.program.name})", problem, str(self.program), "give smaller sizes")
        inside = {v: np.repeat(x, trips) if np.ndim(x) else x for v, x in env.items()}
        inside[s.var] = np.arange(total) - np.repeat(np.cumsum(trips) - trips, trips)
        self.visit(s.body, np.repeat(weight, trips), inside)

    def at(self, mark: Prefetch, weight: Array, env: Env) -> None:
        """What is done at a mark."""
        number = mark.indices[0]
        assert isinstance(number, Const)
        effect = self.marked.effects[int(number)]
        self.trips += effect.trips * _sum(weight)
        for touch in effect.touches:
            self.touched[touch.buffer, touch.kind] += self.held(touch.where, weight, env)
        self.flops += sum(n * self.held(where, weight, env) for n, where in effect.flops)

    def held(self, where: Expr, weight: Array, env: Env) -> int:
        """At how many points a condition holds."""
        return _sum(weight[np.broadcast_to(evaluate_expr(where, env), len(weight))])


def _sum(weight: Array) -> int:
    """Exact, however large: of few large numbers, or of many small ones."""
    return int(weight.sum()) if float(weight.sum(dtype=np.float64)) < 1 << 62 else sum(map(int, weight))
