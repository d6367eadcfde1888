"""Pass: compute float16 and bfloat16 in float32.

In: a program. Out: one in which the narrow floats are only loaded and stored; every operator on
them is one on float32, and buffers of scope `local`, which hold accumulators, become float32.
Only an explicit cast to a narrow float still rounds, so the result is at least as exact.

    C[i] = C[i] + A[i]*B[i]   ->   C[i] = float16(float32(C[i]) + float32(A[i])*float32(B[i]))
"""

from __future__ import annotations

from minicc.ir.node import postorder, replace
from minicc.loop.ir import Alloc, Buffer, ExternCall, For, If, Prefetch, Stmt, Store, Update, map_bodies, walk
from minicc.loop.program import Program
from minicc.te.expr import Call, Cast, Const, Expr, Load, cast, children, const, rebuild
from minicc.types import DType, bfloat16, boolean, float16, float32, int8, uint8

NARROW = (float16, bfloat16)


def widen_floats(program: Program) -> Program:
    """`program` with its arithmetic on narrow floats in float32; itself if it has none."""
    return replace(program, body=_Widening().stmt(program.body))


class _Widening:
    def __init__(self) -> None:
        self.memo: dict[Expr, Expr] = {}
        self.wide: dict[Buffer, Buffer] = {}

    def stmt(self, s: Stmt) -> Stmt:
        match s:
            case Alloc(buffer, body) if buffer.scope == "local" and buffer.dtype in NARROW and not _is_given(buffer, body):
                self.wide[buffer] = replace(buffer, dtype=float32)
                return Alloc(self.wide[buffer], self.stmt(body))
            case Store(buffer, indices, value):
                target = self.wide.get(buffer, buffer)
                return replace(s, buffer=target, indices=self.exprs(indices), value=self.stored(value, target))
            case Update(buffers, indices, values, inits, _):
                targets = tuple(self.wide.get(b, b) for b in buffers)
                return replace(
                    s, buffers=targets, indices=self.exprs(indices),
                    values=tuple(self.stored(v, t) for v, t in zip(values, targets, strict=True)),
                    inits=tuple(self.stored(v, t) for v, t in zip(inits, targets, strict=True)),
                )  # fmt: skip
            case Prefetch(buffer, indices):
                return replace(s, buffer=self.wide.get(buffer, buffer), indices=self.exprs(indices))
            case For(_, Expr() as extent):
                s = replace(s, extent=self.expr(extent))
            case If(cond):
                s = replace(s, cond=self.expr(cond))
        return map_bodies(s, self.stmt)

    def exprs(self, exprs: tuple[Expr, ...]) -> tuple[Expr, ...]:
        made = tuple(map(self.expr, exprs))
        return exprs if made == exprs else made

    def stored(self, value: Expr, target: Buffer) -> Expr:
        """`value` as the element that `target` holds."""
        wide = self.expr(value)
        return wide if wide.dtype is target.dtype else _narrow(wide, target.dtype)

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
            case Load(source, _):
                return cast(Load(self.wide.get(source, source), parts), float32 if e.dtype in NARROW else e.dtype)
            case Cast(a, dtype) if dtype in NARROW:
                exact = a.dtype in (boolean, int8, uint8)
                return cast(parts[0] if exact else cast(parts[0], dtype), float32)
            case Call("bitcast", (a,), dtype):
                made = Call("bitcast", (_narrow(parts[0], a.dtype) if a.dtype in NARROW else parts[0],), dtype)
                return cast(made, float32) if dtype in NARROW else made
            case Call(name, _, dtype) if dtype in NARROW:
                return Call(name, parts, float32)
        return e if parts == children(e) else rebuild(e, parts)


def _narrow(e: Expr, dtype: DType) -> Expr:
    """A float32 expression rounded to `dtype`; a value that was just widened is itself again."""
    if isinstance(e, Cast) and e.a.dtype is dtype:
        return e.a
    return const(e.value, dtype) if isinstance(e, Const) else cast(e, dtype)


def _is_given(buffer: Buffer, s: Stmt) -> bool:
    """Whether a function from outside works on `buffer`, as it is."""
    return any(isinstance(t, ExternCall) and buffer in (*t.inputs, t.output) for t in walk(s))
