"""The accesses of a loop program, run as Python at small sizes: which element is read or written, in order.

In: a program, and its sizes where they are symbolic. Out: `Accesses`, arrays with an entry for each access. Loops run in
order, those that are parallel or vectorized, too. An assignment reads first, operands before operators, from left to
right, then writes. What it has twice it evaluates once, as machine code does: `A[i]*A[i]` is one load. A select reads what
it takes only; `and` and `or` evaluate both sides. An update first stores its initial values where all its axes are 0. A
prefetch is an entry of its own, unless it lies outside of its buffer. An extern call reads its inputs, then writes its output,
element by element.

Loops and guards are enumerated with NumPy. Where data decide (an index, a condition or an extent reads a buffer),
the program is run as Python, and tells at each statement where it is.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> A = te.placeholder((2, 3), name="A")
>>> k = te.reduce_axis((0, 2), "k")
>>> C = te.compute((3,), lambda i: te.sum(A[k, i], axis=k), name="C")
>>> found = accesses(lower([C], [A, C], "columns").program)
>>> [f"{'=' if store else ''}{found.buffers[b].name}{e}" for b, e, store in zip(found.buffer, found.element, found.is_store)]
...     # doctest: +NORMALIZE_WHITESPACE
['=C0', 'C0', 'A0', '=C0', 'C0', 'A3', '=C0', '=C1', 'C1', 'A1', '=C1', 'C1', 'A4', '=C1', '=C2', 'C2', 'A2', '=C2', 'C2', 'A5', '=C2']
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.errors import LoopError
from minicc.ir.node import replace
from minicc.loop.arguments import Arguments, check_sizes
from minicc.loop.ir import Alloc, Buffer, For, If, Prefetch, Seq, Stmt, bodies, expressions
from minicc.loop.prelude import empty
from minicc.loop.program import Program
from minicc.loop.python import as_run
from minicc.loop.queries import in_order
from minicc.loop.ranges import size_vars
from minicc.loop.marks import ALWAYS, MARKS, STORE, Effect, Marked
from minicc.tensor.evaluate import Array, evaluate_expr
from minicc.tensor.expr import Const, Expr, Var, free_vars, loads, wrap

LIMIT = 1 << 20  # accesses, or points of loops: a fraction of a second, where data do not decide

Env = dict[Var, Any]  # the values of variables, at each point
Length = Any  # a number, or an array with one for each point
Put = Callable[[Array], None]  # told where the accesses of each point start in the trace


@dataclass(frozen=True, eq=False)
class Accesses:
    """The trace: entry n is access n, in the order of the run.

    `buffer` (int32) is the number of a buffer of `buffers`, which are the inputs, the outputs, then what the program
    allocates, as its text has them; their `shapes` are numbers. `element` (int64) is the row-major position in the buffer,
    `kind` (int32) LOAD, STORE or HINT (a prefetch), `statement` (int32) the number of a statement of `statements`: those of
    `program` as `queries.in_order` has them. `flops` and `trips` count operations, and iterations of all loops.
    """

    program: Program
    buffers: tuple[Buffer, ...]
    shapes: tuple[tuple[int, ...], ...]
    statements: tuple[Stmt, ...]
    buffer: Array
    element: Array
    kind: Array
    statement: Array
    flops: int
    trips: int

    @property
    def is_store(self) -> Array:
        """Of each access, whether it writes."""
        return np.asarray(self.kind == STORE)

    def __len__(self) -> int:
        return len(self.element)


def accesses(
    program: Program, sizes: Mapping[Any, int] | None = None, arrays: Sequence[Array] | None = None, limit: int = LIMIT
) -> Accesses:
    """The accesses of a run: `sizes` give the symbolic extents, by variable or name, `arrays` the inputs.

    Only where data decide, arrays matter; where none are given, inputs are drawn, always the same: floats of a normal
    distribution, and integers from 0 up to the longest extent of an input, which all indices are below.

    Raises LoopError when a size is missing, and when there are more accesses, or points of loops, than `limit`; RunError
    when sizes or arrays do not fit the program.
    """
    given = known_sizes(program, sizes or {}, arrays)
    running = as_run(program, given)
    trace = _Trace(running, given, limit)
    return trace.recorded(arrays) if trace.marked.by_data else trace.enumerated()


def known_sizes(program: Program, sizes: Mapping[Any, int], arrays: Sequence[Array] | None) -> dict[Var, int]:
    """The symbolic sizes: those given, or those of the arrays."""
    named = {str(getattr(key, "name", key)): n for key, n in sizes.items()}
    for b, array in zip(program.params, arrays or (), strict=False):
        found = zip(b.shape, np.shape(array), strict=False)
        named = {**{d.name: n for d, n in found if isinstance(d, Var)}, **named}
    wanted = size_vars(program)
    for v in wanted:
        if not isinstance(named.get(v.name), (int, np.integer)) or named[v.name] < 0:
            problem = f"expected a number for each of {', '.join(map(str, wanted))}, got {named.get(v.name)} for {v}"
            raise LoopError(f"accesses({program.name})", problem, str(program), f"sizes={{{v.name!r}: 8}}")
    given = {v: int(named[v.name]) for v in wanted}
    check_sizes(program, given)
    return given


def buffers_in(program: Program) -> tuple[Buffer, ...]:
    """The inputs, the outputs, then what the program allocates, as its text has them."""
    allocated = [s.buffer for s in in_order(program.body) if isinstance(s, Alloc)]
    return tuple(dict.fromkeys((*program.params, *program.outputs, *allocated)))


class _Trace:
    """The trace of one run on its way: how long it is, and what will be written into it where."""

    def __init__(self, program: Program, sizes: dict[Var, int], limit: int) -> None:
        self.program, self.limit, self.marked = program, limit, Marked(program)
        self.sizes: Env = {v: np.int64(n) for v, n in sizes.items()}
        self.flops = self.trips = self.length = 0
        self.buffers = buffers_in(program)
        self.element, self.touch = np.empty((2, 0), np.int64)  # of each access
        self.first = np.cumsum([0, *[len(effect.touches) for effect in self.marked.effects]])  # touch of each effect
        self.variables: dict[Stmt, frozenset[Var]] = {}
        self.check(self.least(self.marked.body))

    # ---- the two ways to run it

    def enumerated(self) -> Accesses:
        """The trace where the variables of loops decide all."""
        length, put = self.visit(self.marked.body, 1, self.sizes)
        return self.made(int(np.sum(length)), lambda: put(np.zeros(1, np.int64)))

    def recorded(self, arrays: Sequence[Array] | None) -> Accesses:
        """The trace of a run as Python, which tells at each mark where it is."""
        rows: list[tuple[Any, ...]] = []

        def record(_: None, *row: Any) -> None:
            rows.append(row)
            if len(rows) > self.limit:
                self.check(len(rows))

        names: dict[str, Any] = {MARKS.name: None}
        exec(compile(str(replace(self.program, body=self.marked.body)), f"<{self.program.name}>", "exec"), names)
        names["prefetch"] = record
        with np.errstate(all="ignore"):
            names[self.program.name](*self.arguments(arrays))
        effects = np.array([row[0] for row in rows], np.int64)
        lengths, puts = np.zeros(len(rows), np.int64), list[tuple[Array, Put]]()
        for number in np.unique(effects):
            at = np.flatnonzero(effects == number)
            columns = zip(*[rows[n][1:] for n in at], strict=True)
            env = {
                v: np.array(c, v.dtype.numpy)
                for v, c in zip(self.marked.effects[number].variables, columns, strict=True)
            }
            lengths[at], put = self.at(number, len(at), {**self.sizes, **env})
            puts.append((at, put))
        starts = np.cumsum(lengths) - lengths

        def put_all() -> None:
            for at, put in puts:
                put(starts[at])

        return self.made(int(lengths.sum()), put_all)

    def arguments(self, arrays: Sequence[Array] | None) -> list[Array]:
        """The arrays of a call: inputs that are given or drawn, and outputs with nothing in them."""
        shapes = {b: tuple(map(self.number, b.shape)) for b in (*self.program.params, *self.program.outputs)}
        self.check(sum(map(math.prod, shapes.values())))
        longest = max([1, *[n for b in self.program.params for n in shapes[b]]])
        rng = np.random.default_rng(0)
        inputs = [_drawn(rng, b, shapes[b], longest) for b in self.program.params] if arrays is None else [*arrays]
        outputs = [empty(shapes[b], b.dtype) for b in self.program.outputs]
        return Arguments(self.program).checked([*inputs, *outputs])[0]

    def made(self, length: int, put: Callable[[], None]) -> Accesses:
        self.element, self.touch = np.empty((2, length), np.int64)
        put()
        numbers = {b: n for n, b in enumerate(self.buffers)}
        touches = [
            (numbers[t.buffer], t.kind, effect.statement) for effect in self.marked.effects for t in effect.touches
        ]
        buffer, kind, statement = np.array(touches or np.empty((0, 3)), np.int32)[self.touch].T
        shapes = tuple(tuple(map(self.number, b.shape)) for b in self.buffers)
        return Accesses(self.program, self.buffers, shapes, tuple(self.marked.statements),
                        buffer, self.element, kind, statement, self.flops, self.trips)  # fmt: skip

    # ---- how much there is

    def number(self, extent: int | Expr) -> int:
        """An extent that the sizes decide."""
        return extent if isinstance(extent, int) else int(evaluate_expr(extent, self.sizes))

    def check(self, count: int) -> None:
        """Refuse too many accesses."""
        if count > self.limit:
            problem = f"expected at most {self.limit:,} accesses and iterations, got at least {count:,}"
            hint = "give smaller sizes, at which a program behaves alike, or a higher limit"
            raise LoopError(f"accesses({self.program.name})", problem, str(self.program), hint)

    def least(self, s: Stmt) -> int:
        """How many accesses `s` has at least: those that nothing guards, in loops whose extents the sizes decide."""
        match s:
            case Seq() | Alloc():
                return sum(map(self.least, bodies(s)))
            case For(_, extent, body) if not loads(wrap(extent)) and free_vars(wrap(extent)) <= self.sizes.keys():
                return max(self.number(extent), 0) * self.least(body)
            case Prefetch():
                return sum(t.where is ALWAYS for t in self.effect(s).touches)
        return 0

    def effect(self, mark: Prefetch) -> Effect:
        return self.marked.effects[_number(mark)]

    # ---- statements at many points: how many accesses each point has, and what writes them

    def visit(self, s: Stmt, points: int, env: Env) -> tuple[Length, Put]:
        match s:
            case For():
                return self.loop(s, points, env)
            case If(cond, body):
                return self.guard(cond, body, points, env)
            case Prefetch():
                return self.at(_number(s), points, env)
        found = [self.visit(inner, points, env) for inner in bodies(s)]

        def put_all(starts: Array) -> None:
            for length, put in found:
                put(starts)
                starts = starts + length

        return sum([length for length, _ in found], np.int64(0)), put_all

    def loop(self, s: For, points: int, env: Env) -> tuple[Length, Put]:
        trips = np.maximum(np.broadcast_to(evaluate_expr(wrap(s.extent), env), points), 0)
        ends = np.cumsum(trips)
        self.check(total := int(trips.sum(dtype=np.float64)))  # which cannot overflow
        inside = {v: np.repeat(x, trips) if np.ndim(x) else x for v, x in env.items() if v in self.needed(s.body)}
        inside[s.var] = np.arange(total) - np.repeat(ends - trips, trips)
        length, put = self.visit(s.body, total, inside)
        before = np.concatenate([[0], np.cumsum(np.broadcast_to(length, total))])

        def put_all(starts: Array) -> None:
            put(np.repeat(starts - before[ends - trips], trips) + before[:-1])

        return before[ends] - before[ends - trips], put_all

    def guard(self, cond: Expr, body: Stmt, points: int, env: Env) -> tuple[Length, Put]:
        at = np.flatnonzero(np.broadcast_to(evaluate_expr(cond, env), points))
        length, put = self.visit(body, len(at), {v: x[at] if np.ndim(x) else x for v, x in env.items()})
        lengths = np.zeros(points, np.int64)
        lengths[at] = length
        return lengths, lambda starts: put(starts[at])

    def at(self, number: int, points: int, env: Env) -> tuple[Length, Put]:
        """What is done at a mark."""
        effect, truths = self.marked.effects[number], dict[Expr, Array | None]({ALWAYS: None})
        for where in [*[t.where for t in effect.touches], *[where for _, where in effect.flops]]:
            if where not in truths:
                truths[where] = np.broadcast_to(evaluate_expr(where, env), points)
        self.trips += effect.trips * points
        self.flops += sum(n * _count(truths[where], points) for n, where in effect.flops)
        self.length += sum(_count(truths[t.where], points) for t in effect.touches)
        self.check(self.length)
        places = [np.broadcast_to(evaluate_expr(t.place, env), points) for t in effect.touches]

        def put(starts: Array) -> None:
            for n, (touch, place) in enumerate(zip(effect.touches, places, strict=True), int(self.first[number])):
                holds = truths[touch.where]
                at = starts if holds is None else starts[holds]
                self.element[at], self.touch[at] = place if holds is None else place[holds], n
                starts = starts + (1 if holds is None else holds)

        held = [truths[t.where] for t in effect.touches]
        return sum([1 if holds is None else holds.astype(np.int64) for holds in held], np.int64(0)), put

    def needed(self, s: Stmt) -> frozenset[Var]:
        """The variables of a statement and those inside."""
        if s not in self.variables:
            own = free_vars(*expressions(s)) if isinstance(s, (For, If, Prefetch)) else frozenset[Var]()
            self.variables[s] = own.union(*map(self.needed, bodies(s)), self.sizes)
        return self.variables[s]


def _number(mark: Prefetch) -> int:
    """Of the effect of a mark."""
    number = mark.indices[0]
    assert isinstance(number, Const) and mark.buffer is MARKS
    return int(number)


def _count(holds: Array | None, points: int) -> int:
    return points if holds is None else int(np.count_nonzero(holds))


def _drawn(rng: np.random.Generator, buffer: Buffer, shape: tuple[int, ...], longest: int) -> Array:
    """An input that is not given."""
    kind = buffer.dtype
    most = int(min(longest - 1, kind.range[1])) if kind.is_integer else 1
    drawn = rng.standard_normal(shape) if kind.is_float else rng.integers(0, most, shape, endpoint=True)
    return np.asarray(drawn).astype(kind.numpy)
