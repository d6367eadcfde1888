"""Loop programs as Python that runs: printer, interpreter, documentation and oracle in one.

In: a `Program`. Out: the source of one function over NumPy arrays, which computes exactly what
machine code computes, with the same dtypes: integers wrap around, NaN propagates, nothing is
promoted. The names it imports are in `loop.prelude`.

    from minicc.loop.prelude import first, parallel

    def dot(A, B, C):
        # A: float32[4,8], B: float32[8] -> C: float32[4]
        for i in parallel(4):
            for k in range(8):
                if first(k):
                    C[i] = 0.0
                C[i] = C[i] + A[i, k]*B[k]
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from minicc.errors import RunError
from minicc.loop.ir import PARALLEL, SERIAL, THREAD_AXES, UNROLL, VECTORIZE, Alloc, Buffer, ExternCall, For, If
from minicc.loop.ir import Prefetch, Seq, Stmt, Store, Update, walk
from minicc.loop.place_init import place_init
from minicc.loop.prelude import PRELUDE, RESERVED
from minicc.tensor.expr import Binary, Call, Const, Expr, Printer, Unary, Var, const, free_vars, substitute
from minicc.tensor.simplify import simplify
from minicc.types import DType, bfloat16, boolean, float16, float32, int64

if TYPE_CHECKING:
    from minicc.loop.program import Program

Array = np.ndarray[Any, np.dtype[Any]]
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
            case Alloc(buffer, body):
                scope = "" if buffer.scope == "global" else f"  # {buffer.scope}"
                return [f"{tab}{buffer.name} = empty({_shape(buffer)}, {buffer.dtype}){scope}", *self.stmt(body, depth)]
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


def _sizes(buffers: Sequence[Buffer]) -> list[str]:
    """Assignments of the symbolic sizes, from the shapes of the arrays."""
    found: dict[str, str] = {}
    for buffer in buffers:
        for dim, extent in enumerate(buffer.shape):
            if isinstance(extent, Var):
                found.setdefault(extent.name, f"    {extent.name} = {buffer.name}.shape[{dim}]")
    return list(found.values())


def to_python(program: Program) -> str:
    """The source of a program: one import line, if it needs any, and one function."""
    arrays = (*program.params, *program.outputs)
    inputs, outputs = (", ".join(map(repr, part)) for part in (program.params, program.outputs))
    lines = [
        f"def {program.name}({', '.join(b.name for b in arrays)}):",
        f"    # {inputs} -> {outputs}" if inputs else f"    # -> {outputs}",
        *_sizes(arrays),
        *[f"    assert {PythonPrinter().expr(cond)}, {json.dumps(element)}" for cond, element in program.requires],
        *PythonPrinter().block(program.body, 1),
    ]
    words = set(re.findall(r"#.*|(?<![\w.])[A-Za-z]\w*", "\n".join([lines[0], *lines[2:]])))
    if used := sorted(words & PRELUDE.keys()):
        lines[:0] = [f"from minicc.loop.prelude import {', '.join(used)}", ""]
    return "\n".join(lines) + "\n"


def run_python(program: Program, *arrays: Array) -> None:
    """Run a program on arrays, first its inputs, then its outputs, which are written in place."""
    names: dict[str, Any] = {}
    sizes = _given_sizes(program, arrays)
    check_sizes(program, sizes)
    if _is_without_steps(program, sizes):  # where no step is the first, none initialises
        program = place_init(program)
    exec(compile(to_python(program), f"<{program.name}>", "exec"), names)
    with np.errstate(all="ignore"):
        names[program.name](*arrays)


def check_sizes(program: Program, sizes: Mapping[Var, int]) -> None:
    """Raise RunError where a call's sizes break what the program requires."""
    values: dict[Expr, Expr] = {v: const(n) for v, n in sizes.items()}
    for cond, element in program.requires:
        if isinstance(holds := simplify(substitute(cond, values)), Const) and not holds.value:
            given = ", ".join(f"{v} = {sizes[v]}" for v in sorted(free_vars(cond), key=str))
            signature = ", ".join(map(repr, (*program.params, *program.outputs)))
            raise RunError(
                f"{program.name}(...)",
                f"expected sizes with {cond}, so that {element} stays inside, got {given}",
                where=f"{program.name}({signature})",
                hint="give arrays whose sizes fit each other",
            )


def _given_sizes(program: Program, arrays: Sequence[Array]) -> dict[Var, int]:
    """The symbolic sizes, by the shapes of the arrays."""
    extents = zip((*program.params, *program.outputs), arrays, strict=False)
    return {d: n for b, a in extents for d, n in zip(b.shape, np.shape(a), strict=False) if isinstance(d, Var)}


def _is_without_steps(program: Program, given: Mapping[Var, int]) -> bool:
    """Whether a loop that reduces may have no iteration at these sizes."""
    sizes: dict[Expr, Expr] = {v: const(n) for v, n in given.items()}
    axes = {axis for s in walk(program.body) if isinstance(s, Update) for axis in s.axes}
    for s in walk(program.body):
        if isinstance(s, For) and s.var in axes:
            trips = substitute(s.extent, sizes) if isinstance(s.extent, Expr) else const(s.extent)
            if not isinstance(trips, Const) or trips.value <= 0:
                return True
    return False


__all__ = ["RESERVED", "PythonPrinter", "check_sizes", "run_python", "to_python"]
