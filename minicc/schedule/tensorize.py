"""tensorize: a nest that means what an intrinsic means is computed the intrinsic's way.

Meaning: the nest of `loop` is replaced by the implementation of a declared intrinsic
(`schedule.tensor_intrinsic`), over the parts of buffers that the nest works on. Its loops take the
name of the intrinsic along. A reduction that goes on in loops around starts and goes on as before.

Legality: the nest equals the meaning of the intrinsic, when its loops and buffers take the names
there and the start of each part is subtracted from the indices: the same loops in the same order,
and equal values (the operands of a sum or product may stand either way). The parts lie inside of
their buffers. In a reduction that goes on around, the implementation adds to its output.

>>> from minicc.schedule.examples import product, show
>>> s = product(8, 16)
>>> _, _ = s.split("i", factor=4), s.split("k", factor=4)
>>> s.reorder("i_o", "k_o", "i_i", "k_i")
>>> show(s, TensorizeStep("i_i", "gemv_4x4_float32"))
  for i_o in range(2):
      for k_o in range(4):
-         for i_i in range(4):
-             for k_i in range(4):
-                 if first(k_o, k_i):
-                     C[i_o*4 + i_i] = 0.0
-                 C[i_o*4 + i_i] = C[i_o*4 + i_i] + A[i_o*4 + i_i, k_o*4 + k_i]*B[k_o*4 + k_i]
+         for k_gemv_4x4_float32 in unroll(4):
+             for i_gemv_4x4_float32 in vectorize(4):
+                 if first(k_o, k_gemv_4x4_float32):
+                     C[i_o*4 + i_gemv_4x4_float32] = 0.0
+                 C[i_o*4 + i_gemv_4x4_float32] = C[i_o*4 + i_gemv_4x4_float32] + A[i_o*4 + i_gemv_4x4_float32, k_o*4 + k_gemv_4x4_float32]*B[k_o*4 + k_gemv_4x4_float32]
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import PARALLEL, VECTORIZE, Buffer, For, If, Seq, Stmt, Store, Update, loops, rewrite
from minicc.loop.printer import PythonPrinter
from minicc.loop.program import Program
from minicc.loop.queries import loops_around, path_to, targets
from minicc.loop.ranges import Ranges, lies_within
from minicc.schedule.nest import duplicate, get_loop, graft, map_accesses
from minicc.schedule.step import Illegal, Step, loops_text
from minicc.schedule.tensor_intrinsic import TENSOR_INTRINSICS, TensorIntrinsic
from minicc.schedule.tidy import ranges_of
from minicc.tensor.bounds import Bounds, assume
from minicc.tensor.expr import COMMUTATIVE, Binary, Const, Expr, Load, Var, children, free_vars, substitute
from minicc.tensor.linear import combine, from_linear, linear

Indices = tuple[Expr, ...]


@dataclass(frozen=True)
class Part:
    """What a buffer of the meaning is in the program: a box of `buffer` that starts at `start`.

    `dims` are the dimensions of `buffer` that those of the meaning's run along.
    """

    buffer: Buffer
    dims: tuple[int, ...]
    start: Indices

    def at(self, indices: Indices) -> Indices:
        """Where in the buffer an element of the part lies."""
        found = list(self.start)
        for dim, index in zip(self.dims, indices, strict=True):
            found[dim] = found[dim] + index
        return tuple(found)


class TensorizeStep(Step, positional=2, takes={"intrinsic": "str | TensorIntrinsic"}):
    """Do the nest of a loop as a declared intrinsic that means the same does it."""

    loop: str
    intrinsic: str

    def __post_init__(self) -> None:
        if isinstance(self.intrinsic, TensorIntrinsic):
            object.__setattr__(self, "intrinsic", self.intrinsic.name)
        super().__post_init__()

    def transform(self, program: Program) -> Program:
        loop = get_loop(program, self.loop)
        if self.intrinsic not in TENSOR_INTRINSICS:
            hint = f"the intrinsics are {', '.join(TENSOR_INTRINSICS)}; declare_intrinsic makes more"
            raise Illegal(f"no intrinsic is called {self.intrinsic!r}", loop.name, hint)
        intrinsic = TENSOR_INTRINSICS[self.intrinsic]
        match = _Match()
        if not match.stmt(intrinsic.meaning.body, loop):
            raise self._differs(intrinsic, match.mismatch())
        parts = {b: self._part(b, match, intrinsic) for b in (*intrinsic.meaning.params, *intrinsic.meaning.outputs)}
        known: Ranges = ranges_of(program)
        for s in path_to(program.body, loop):
            known = assume(s.cond, known) if isinstance(s, If) else known
        for buffer, part in parts.items():
            _check_inside(buffer, part, Bounds(known))
        for output in intrinsic.meaning.outputs:
            if any(p.buffer is parts[output].buffer for b, p in parts.items() if b is not output):
                shared = parts[output].buffer.name
                problem = f"{shared} is read and written, but {self.intrinsic} works on distinct buffers"
                raise Illegal(problem, loop.name, f'let it write a buffer of its own first: s.cache_write("{shared}")')
        return graft(program, loop, self._implementation(program, intrinsic, match, parts))

    def _differs(self, intrinsic: TensorIntrinsic, how: str) -> Illegal:
        problem = f"loop {self.loop} does not compute what {self.intrinsic} means: {how}"
        hint = "the loops and the statement must be those of the meaning, over any buffers"
        return Illegal(problem, self.loop, hint, f"{self.intrinsic} means\n{loops_text(intrinsic.meaning)}")

    def _part(self, buffer: Buffer, match: _Match, intrinsic: TensorIntrinsic) -> Part:
        if part := match.part(buffer):
            return part
        mine, other = (", ".join(map(str, indices)) for indices in match.accesses[buffer][0])
        name = match.buffers[buffer].name
        how = f"no part of {name} is read or written at [{other}] as {buffer.name} is at [{mine}]"
        raise self._differs(intrinsic, how)

    def _implementation(
        self, program: Program, intrinsic: TensorIntrinsic, match: _Match, parts: dict[Buffer, Part]
    ) -> Stmt:
        """The body of the implementation, over the parts of the program's buffers."""
        goes_on = bool(match.outer) or match.started
        if goes_on and not intrinsic.accumulates:
            why = f"around, over {', '.join(v.name for v in match.outer)}" if match.outer else "on"
            problem = f"the reduction goes {why}, but {self.intrinsic} does not add to its output"
            raise Illegal(problem, self.loop, "an implementation whose stores to its output are reductions adds to it")
        inner = {f.kind for f in loops(intrinsic.implementation.body).values()}
        for around in loops_around(program.body, get_loop(program, self.loop)):
            if around.kind == VECTORIZE and inner & {VECTORIZE, PARALLEL}:
                problem = f"loop {around.name} around it is vectorized, and {self.intrinsic} has vectors of its own"
                raise Illegal(problem, self.loop, f"do not vectorize {around.name}")
        body = duplicate(program, intrinsic.implementation.body, f"_{self.intrinsic}")
        outputs = set(intrinsic.implementation.outputs)

        def go_on(s: Stmt) -> Stmt:
            if isinstance(s, Update) and set(targets(s)) & outputs:
                if match.started:
                    return Store(s.buffers[0], s.indices, s.values[0])
                return replace(s, axes=(*match.outer, *s.axes))
            return s

        mine = (*intrinsic.implementation.params, *intrinsic.implementation.outputs)
        by_position = dict(zip(mine, parts.values(), strict=True))

        def change(buffer: Buffer, indices: Indices) -> tuple[Buffer, Indices]:
            part = by_position.get(buffer)
            return (part.buffer, part.at(indices)) if part else (buffer, indices)

        return map_accesses(rewrite(body, go_on), change)

    @classmethod
    def candidates(cls, program: Program) -> Iterator[TensorizeStep]:
        wanted = {name: _extents(intrinsic.meaning.body) for name, intrinsic in TENSOR_INTRINSICS.items()}
        for loop in loops(program.body).values():
            found = _extents(loop)
            yield from (cls(loop.name, name) for name, extents in wanted.items() if extents == found)


class _Match:
    """Compares the statement of a meaning with one of a program, and learns how names correspond."""

    def __init__(self) -> None:
        self.variables: dict[Expr, Expr] = {}  # of the meaning, in the program
        self.buffers: dict[Buffer, Buffer] = {}
        self.accesses: dict[Buffer, list[tuple[Indices, Indices]]] = {}
        self.outer: tuple[Var, ...] = ()  # what the program reduces over besides
        self.started = False  # whether the program has stored the initial values before
        self.ways: set[tuple[tuple[Var, ...], bool]] = set()
        self.different: tuple[Stmt, Stmt] | None = None

    def stmt(self, pattern: Stmt, actual: Stmt) -> bool:
        """Whether `actual` is `pattern` by other names, as far as one can see before `part`."""
        match pattern, actual:
            case For(), For() if pattern.extent == actual.extent:
                self.variables[pattern.var] = actual.var
                return self.stmt(pattern.body, actual.body)
            case Seq(mine), Seq(other) if len(mine) == len(other):
                return all(map(self.stmt, mine, other))
            case If(), If() if self.expr(pattern.cond, actual.cond):
                return self.stmt(pattern.body, actual.body)
            case Store(), Store() if self.write(pattern, (pattern.value,), actual, (actual.value,)):
                return True
            case Update(), Update() if self.update(pattern, actual):
                return True
            case Update(values=(value,)), Store() if self.write(pattern, (value,), actual, (actual.value,)):
                if self.goes_on((), True):
                    return True
        self.different = pattern, actual
        return False

    def mismatch(self) -> str:
        """The first statements that differ."""
        assert self.different
        return f"expected {_line(self.different[0])}, got {_line(self.different[1])}"

    def update(self, pattern: Update, actual: Update) -> bool:
        inner = {self.variables[axis] for axis in pattern.axes}
        outer = tuple(axis for axis in actual.axes if axis not in inner)
        within = inner <= set(actual.axes) and set(outer).isdisjoint(self.variables.values())
        if not (within and self.goes_on(outer, False) and all(map(self.expr, pattern.inits, actual.inits))):
            return False
        return self.write(pattern, pattern.values, actual, actual.values)

    def goes_on(self, outer: tuple[Var, ...], started: bool) -> bool:
        """Note how the reduction of the program stands to that of the meaning; false where two differ in it."""
        self.ways.add((outer, started))
        self.outer, self.started = outer, started
        return len(self.ways) == 1

    def write(self, pattern: Stmt, mine: Sequence[Expr], actual: Stmt, other: Sequence[Expr]) -> bool:
        first, second = targets(pattern), targets(actual)
        if len(first) != len(second):
            return False
        where: tuple[Any, Any] = (pattern, actual)
        ends = [self.access(b, where[0].indices, c, where[1].indices) for b, c in zip(first, second, strict=True)]
        return all(ends) and all(map(self.expr, mine, other))

    def access(self, mine: Buffer, at: Indices, other: Buffer, there: Indices) -> bool:
        """Note that an element of `mine` is one of `other`; false when `mine` is another buffer, or of another dtype."""
        if mine.dtype is not other.dtype or self.buffers.setdefault(mine, other) is not other:
            return False
        self.accesses.setdefault(mine, []).append((at, there))
        return True

    def expr(self, pattern: Expr, actual: Expr) -> bool:
        """Whether two values are equal, by other names."""
        match pattern, actual:
            case Load(), Load():
                return self.access(pattern.source, pattern.indices, actual.source, actual.indices)
            case Var(), _:
                return self.variables.get(pattern) is actual
            case Const(), _:
                return pattern is actual
        if type(pattern) is not type(actual) or pattern.dtype is not actual.dtype or _label(pattern) != _label(actual):
            return False
        mine, other = children(pattern), children(actual)
        if len(mine) != len(other):
            return False
        orders = [other]
        if isinstance(pattern, Binary) and pattern.op in COMMUTATIVE:
            orders.append(other[::-1])
        return any(self.tried(mine, order) for order in orders)

    def tried(self, mine: Sequence[Expr], other: Sequence[Expr]) -> bool:
        """Whether all correspond; nothing is learned when they do not."""
        before = dict(self.buffers), {b: list(found) for b, found in self.accesses.items()}
        if all(map(self.expr, mine, other)):
            return True
        self.buffers, self.accesses = before
        return False

    def part(self, buffer: Buffer) -> Part | None:
        """Where `buffer` of the meaning lies in the program: one start for all accesses."""
        actual = self.buffers[buffer]
        choices = itertools.combinations(range(len(actual.shape)), len(buffer.shape))
        for dims in reversed(list(choices)):  # the last dimensions are the likely ones
            starts = {self._start(dims, mine, other) for mine, other in self.accesses[buffer]}
            start = starts.pop()
            if not starts and start is not None:
                return Part(actual, dims, start)
        return None

    def _start(self, dims: tuple[int, ...], mine: Indices, other: Indices) -> Indices | None:
        """The indices `other` without those of the meaning, if no loop of the nest is left in them."""
        start = list(other)
        for dim, index in zip(dims, mine, strict=True):
            own = substitute(index, self.variables)
            start[dim] = from_linear(*combine(linear(other[dim]), linear(own), -1))
        inner = {v for v in self.variables.values() if isinstance(v, Var)}
        return tuple(start) if free_vars(*start).isdisjoint(inner) else None


def _check_inside(buffer: Buffer, part: Part, bounds: Bounds) -> None:
    """The box of a part lies in its buffer. Raises Illegal."""
    for dim, extent in zip(part.dims, buffer.shape, strict=True):
        if not lies_within(bounds, part.start[dim], part.buffer.shape[dim] - (extent - 1)):
            problem = f"{extent} elements from {part.start[dim]} on may not lie in axis {dim} of {part.buffer}"
            raise Illegal(problem, part.buffer.name, "split by factors that divide, or pad_einsum first")


def _extents(s: Stmt) -> list[Any]:
    """Those of the loops that are perfectly nested in `s`, itself included."""
    found: list[Any] = []
    while isinstance(s, For):
        found.append(s.extent)
        s = s.body
    return found


def _label(e: Expr) -> str:
    return str(getattr(e, "op", getattr(e, "name", "")))


def _line(s: Stmt) -> str:
    """What a statement itself does, in one line."""
    return PythonPrinter().block(s, 0)[-1 if isinstance(s, Update) else 0].rstrip(":")
