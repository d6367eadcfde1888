"""Pass: compute float16 and bfloat16 in float32.

In: a program. Out: one in which the narrow floats are only loaded, stored and rounded to; every operator
on them is one on float32 whose result is rounded, and means what it did: float32 has so many more bits
that rounding twice is rounding once. So a value does not depend on what is fused with it.

    C[i] = A[i]*B[i] + A[i]   ->   C[i] = float16(float32(float16(float32(A[i])*float32(B[i]))) + float32(A[i]))

Only a reduction's update is one operator, its own product included, and buffers of scope `local`, which
hold accumulators, become float32; another statement reads a sum there as rounded.

    C[i] = C[i] + A[i]*B[i]   ->   C[i] = float16(float32(C[i]) + float32(A[i])*float32(B[i]))
"""

from __future__ import annotations

from itertools import repeat

from minicc.ir.node import postorder, replace
from minicc.loop.ir import Alloc, Buffer, ExternCall, Prefetch, Stmt, Store, Update, map_bodies, map_own, summand, walk
from minicc.loop.program import Program
from minicc.loop.queries import mentions
from minicc.tensor.expr import Binary, Call, Convert, Const, Expr, Load, binary, cast, children, const, rebuild
from minicc.types import DType, bfloat16, boolean, float16, float32, int8, uint8

NARROW = (float16, bfloat16)
EXACT = {"min", "max", "truncmod", "fmod", "floor", "ceil", "round", "trunc", "fabs", "copysign"}  # no rounding


def widen_floats(program: Program) -> Program:
    """`program` with its arithmetic on narrow floats in float32; itself if it has none."""
    return replace(program, body=_Widening().stmt(program.body))


class _Widening:
    def __init__(self) -> None:
        self.memo: dict[Expr, Expr] = {}
        self.wide: dict[Buffer, Buffer] = {}
        self.sums: frozenset[Buffer] = frozenset()  # what the statement reads as the wide sums that they are

    def stmt(self, s: Stmt) -> Stmt:
        self.reads()
        match s:
            case Alloc(buffer, body) if self.is_widened(buffer, body):
                self.wide[buffer] = replace(buffer, dtype=float32)
                return Alloc(self.wide[buffer], self.stmt(body))
            case Store(buffer, indices, value):
                self.reads(buffer, summand(buffer, indices, value))
                indices, value = tuple(map(self.expr, indices)), self.step(buffer, indices, value)
                return Store(self.wide.get(buffer, buffer), indices, value)
            case Update(buffers, indices, values, inits, axes):
                self.reads(*buffers, *map(summand, buffers, repeat(indices), values))
                targets = tuple(self.wide.get(b, b) for b in buffers)
                values = tuple(map(self.step, buffers, repeat(indices), values))
                inits = tuple(map(self.stored, buffers, map(self.expr, inits)))
                return Update(targets, tuple(map(self.expr, indices)), values, inits, axes)
            case Prefetch(buffer):
                s = replace(s, buffer=self.wide.get(buffer, buffer))
        return map_bodies(map_own(s, self.expr), self.stmt)

    def is_widened(self, buffer: Buffer, s: Stmt) -> bool:
        """Whether a buffer holds what is computed with: no copy on its way, and nothing for a function from outside."""
        if buffer.scope != "local" or buffer.dtype not in NARROW:
            return False
        using = [t for t in walk(s) if isinstance(t, (Store, Update, ExternCall)) and buffer in mentions(t)]
        copied = all(isinstance(t, Store) and isinstance(t.value, Load) for t in using)
        return not copied and not any(isinstance(t, ExternCall) for t in using)

    def reads(self, *sums: Buffer | Expr | None) -> None:
        """A statement begins, which goes on with `sums`: its accumulators, and the partial sums that it adds to them."""
        self.sums = frozenset(x.source if isinstance(x, Load) else x for x in sums if isinstance(x, (Buffer, Load)))
        self.memo.clear()

    def step(self, buffer: Buffer, indices: tuple[Expr, ...], value: Expr) -> Expr:
        """The value of a store; what adds to an element, and the product that it adds, round only when stored."""
        term = summand(buffer, indices, value)
        if term is None or buffer.dtype not in NARROW:
            return self.stored(buffer, self.expr(value))
        product = isinstance(term, Binary) and term.op == "mul"
        added = rebuild(term, tuple(map(self.expr, children(term)))) if product else self.expr(term)
        return self.stored(buffer, binary("add", self.expr(buffer[indices]), added))

    def stored(self, buffer: Buffer, value: Expr) -> Expr:
        """A widened value as an element of `buffer`."""
        target = self.wide.get(buffer, buffer)
        return value if value.dtype is target.dtype else _narrow(value, target.dtype)

    def expr(self, e: Expr) -> Expr:
        """`e` over float32: of dtype float32 where `e` is narrow, else of its own."""
        for item in postorder([e], lambda x: [c for c in children(x) if c not in self.memo]):
            if item not in self.memo:
                self.memo[item] = self.widened(item)
        return self.memo[e]

    def widened(self, e: Expr) -> Expr:
        parts = tuple(self.memo[c] for c in children(e))
        match e:
            case Const(value, dtype) if dtype in NARROW:
                return const(value, float32)
            case Load(source, _) if e.dtype in NARROW:
                read = Load(self.wide.get(source, source), parts)
                return read if source in self.wide and source in self.sums else cast(cast(read, e.dtype), float32)
            case Convert(a, dtype) if dtype in NARROW:
                exact = a.dtype in (boolean, int8, uint8, dtype)
                return cast(parts[0] if exact else cast(parts[0], dtype), float32)
            case Call("bitcast", (a,), dtype):
                made = Call("bitcast", (_narrow(parts[0], a.dtype) if a.dtype in NARROW else parts[0],), dtype)
                return cast(made, float32) if dtype in NARROW else made
            case Call(name, _, dtype) if dtype in NARROW:
                return _rounded(Call(name, parts, float32), dtype, name in EXACT)
            case Binary(op, _, _) if e.dtype in NARROW:
                return _rounded(rebuild(e, parts), e.dtype, op in EXACT)
        return e if parts == children(e) else rebuild(e, parts)


def _rounded(e: Expr, dtype: DType, exact: bool) -> Expr:
    """The result of an operator on float32 as that of one on `dtype`."""
    return e if exact else cast(cast(e, dtype), float32)


def _narrow(e: Expr, dtype: DType) -> Expr:
    """A float32 expression rounded to `dtype`; a value that was just widened is itself again."""
    if isinstance(e, Convert) and e.a.dtype is dtype:
        return e.a
    return const(e.value, dtype) if isinstance(e, Const) else cast(e, dtype)
