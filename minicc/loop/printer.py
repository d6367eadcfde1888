"""Expressions and statements of a loop program as lines of Python; `str(program)` joins them to a function.

In: expressions over buffers, and statements. Out: Python that keeps every dtype exact. The names that it uses
are in `loop.prelude`.

>>> from minicc.tensor.expr import Var
>>> from minicc.types import float32
>>> x = Var("x", float32)
>>> PythonPrinter().expr((x + 1.0) * 0.5), PythonPrinter().expr(Const(0.5, float32))
('(x + 1.0)*0.5', 'float32(0.5)')
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minicc.loop.ir import PARALLEL, SERIAL, THREAD_AXES, UNROLL, VECTORIZE, Alloc, Buffer, ExternCall, For, If
from minicc.loop.ir import Prefetch, Seq, Stmt, Store, Update
from minicc.tensor.expr import Binary, Call, Const, Expr, Printer, Unary
from minicc.types import DType, bfloat16, boolean, float16, float32, int64

_ITERATORS = {kind: kind for kind in (PARALLEL, VECTORIZE, UNROLL, *THREAD_AXES)}


def number(e: Const) -> str:
    """The shortest Python number that becomes `e` when converted to its dtype."""
    if e.dtype in (float16, float32):
        short = str(e.dtype.numpy.type(e.value))
        if float(e.dtype.numpy.type(float(short))) == e.value:
            return short
    return repr(e.value)


def _bare(e: Expr) -> Const | None:
    """The literal operand of `e` that takes its dtype from the other operand."""
    match e:
        case Binary(op, a, b) if isinstance(a, Const) != isinstance(b, Const) and op not in ("truncdiv", "truncmod"):
            found = a if isinstance(a, Const) else b
            # bfloat16 is no NumPy dtype proper, and an index may be a Python number itself
            return found if isinstance(found, Const) and found.dtype not in (bfloat16, int64) else None
    return None


class PythonPrinter(Printer):
    """Expressions and statements as Python that keeps every dtype exact.

    A Python number takes the dtype of a NumPy scalar beside it (NEP 50), so a literal is left
    bare beside an operand that is none, and is wrapped, as in `float32(0.5)`, everywhere else.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bare: Const | None = None  # the literal of the operator being printed that needs no wrapping

    def expr(self, e: Expr, level: int = 0) -> str:
        outer = self.bare
        if isinstance(e, Const):
            return number(e) if e is outer else self.literal(e.value, e.dtype)
        self.bare = _bare(e)
        try:
            return self.special(e) or super().expr(e, level)
        finally:
            self.bare = outer

    def special(self, e: Expr) -> str | None:
        """What Python spells in another way than the base printer does."""
        match e:
            case Binary("floordiv" | "floormod" as op, a, b) if a.dtype.is_integer:
                if isinstance(b, Const) and b.value > 0:
                    return None  # Python's own operator rounds alike
                return f"{op}({self.expr(a)}, {self.expr(b)})"
            case Unary("not", a) if a.dtype.is_integer:
                return f"~{self.expr(a, 12)}"
            case Call("bitcast", (a,), dtype) if a.dtype is int64:
                return f"bitcast(int64({self.expr(a)}), {dtype})"
        return None

    def literal(self, value: Any, dtype: DType) -> str:
        """A number that stands alone: wrapped in its dtype, unless Python's own number serves."""
        small = dtype is int64 and abs(value) < 1 << 31
        shown = number(Const(value, dtype))
        return shown if small or dtype is boolean else f"{dtype}({shown})"

    def value(self, e: Expr) -> str:
        """`e` where a store converts it, so that a literal needs no wrapping."""
        return number(e) if isinstance(e, Const) else self.expr(e)

    def element(self, buffer: Buffer, indices: Sequence[Expr]) -> str:
        return f"{buffer.name}[{', '.join(map(self.expr, indices)) or '()'}]"

    def stmt(self, s: Stmt, depth: int = 1) -> list[str]:
        """The lines of a statement."""
        tab = "    " * depth
        match s:
            case For(var, extent, body, kind):
                count = self.expr(extent) if isinstance(extent, Expr) else extent
                unknown = [] if kind == SERIAL or kind in _ITERATORS else [kind]
                notes = ", ".join([*unknown, *[f"{key}={value}" for key, value in s.notes]])
                head = f"for {var.name} in {_ITERATORS.get(kind, 'range')}({count}):{'  # ' if notes else ''}{notes}"
                return [tab + head, *self.block(body, depth + 1)]
            case If(cond, body):
                return [f"{tab}if {self.expr(cond)}:", *self.block(body, depth + 1)]
            case Seq(stmts):
                return [line for inner in stmts for line in self.stmt(inner, depth)]
            case Alloc(buffer, body, storage):
                place = ", ".join(word for word in (buffer.scope, storage) if word not in ("global", ""))
                head = f"{tab}{buffer.name} = empty({_shape(buffer)}, {buffer.dtype}){'  # ' if place else ''}{place}"
                return [head, *self.stmt(body, depth)]
            case Store(buffer, indices, value):
                return [f"{tab}{self.element(buffer, indices)} = {self.value(value)}"]
            case Update(buffers, indices, values, inits, axes):
                target = ", ".join(self.element(b, indices) for b in buffers)
                start, after = (", ".join(map(self.value, part)) for part in (inits, values))
                test = f"first({', '.join(a.name for a in axes)})"
                return [f"{tab}if {test}:", f"{tab}    {target} = {start}", f"{tab}{target} = {after}"]
            case Prefetch(buffer, indices):
                return [f"{tab}prefetch({', '.join([buffer.name, *map(self.expr, indices)])})"]
            case ExternCall(function, inputs, output):
                return [f"{tab}{function}({', '.join(b.name for b in (*inputs, output))})"]
        raise TypeError(s)

    def block(self, s: Stmt, depth: int) -> list[str]:
        return self.stmt(s, depth) or ["    " * depth + "pass"]


def _shape(buffer: Buffer) -> str:
    dims = [PythonPrinter().expr(d) if isinstance(d, Expr) else str(d) for d in buffer.shape]
    return f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"
