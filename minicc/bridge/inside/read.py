r"""Inside the old TVM: what a Relay text computes, as a flat list of calls.

In: the name of a function, and the bytes of the text. Out: `{"values": [...], "result": 7}`, and the constants by the numbers of
their values. A value is `{"op": "nn.relu", "args": [6], "attributes": {}, "type": {"dtype": "float32", "shape": [1, 8]}, "name":
"%3"}`, whose args are numbers of values before it; parameters, constants, tuples and their fields are values, too. `let` and
calls of functions are gone: bodies stand where they are called. What is no plain computation (`If`, `Match`, a recursion, a
function as a value) is a value whose `op` says so. Nothing is run, and no file is read.

    calls("main", {"calls": np.frombuffer(b'#[version = "0.0.5"]\ndef @main(%x: Tensor[(2), float32]) { nn.relu(%x) }', np.uint8)})
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import tvm
from tvm import relay

from minicc.bridge.frames import DTYPES

NAMED = (tvm.ir.Op, tvm.ir.GlobalVar, relay.adt.Constructor)  # what a call need not know the value of
DEEPEST = 32  # calls of functions within calls
MOST = 20_000  # values: a text of a few lines can call for more than there is memory


def calls(name: str, arrays: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The values of a function of a module, in topological order. Raises ValueError where TVM refuses the text."""
    text = arrays["calls"].tobytes().decode()
    module = _parsed(text)
    functions = {var.name_hint: _Closure(f, {}) for var, f in module.functions.items() if isinstance(f, relay.Function)}
    if name not in functions:
        raise ValueError(f"expected one of the functions {', '.join(functions) or '(none)'}, got {name!r}")
    listing, main = _Listing(text, functions), functions[name].function
    known: _Known = {p: listing.add("parameter", [], p, {"name": p.name_hint}) for p in main.params}
    result = listing.number(listing.body(main.body, known, (main,)), main.body)
    return {"values": listing.values, "result": result}, listing.constants


def params(_: None, arrays: dict[str, Any]) -> tuple[None, dict[str, Any]]:
    """The arrays by name of what `save_param_dict` wrote. Raises ValueError of what is cut off, which TVM takes."""
    held = tvm.runtime.load_param_dict(arrays["params"].tobytes())
    if (wanted := len(tvm.runtime.save_param_dict(held))) != (got := arrays["params"].size):
        raise ValueError(f"expected {wanted} bytes of parameters, got {got}")
    return None, {name: array.numpy().view(DTYPES[array.dtype]) for name, array in held.items()}


def _parsed(text: str) -> Any:
    """The module of a text, its types inferred."""
    said: list[str] = []

    def render(context: Any) -> None:
        said.extend(f"line {d.span.line}: {d.message}" if d.span else d.message for d in context.diagnostics)

    tvm.ir.diagnostics.override_renderer(render)
    try:
        if re.match(r'\s*(#\[version = "[^"]*"\])?\s*fn\b', text):
            return relay.transform.InferType()(tvm.IRModule.from_expr(relay.parser.parse_expr(text)))
        return relay.fromtext(text)
    except Exception as error:
        raise ValueError("; ".join(said) or str(error).strip().splitlines()[-1]) from error
    finally:
        tvm.ir.diagnostics.override_renderer(None)


@dataclass(frozen=True)
class _Closure:
    """A function, and what is known where it stands."""

    function: Any
    known: _Known


_Value: TypeAlias = int | _Closure  # a number, or a function, which is none
_Known: TypeAlias = dict[Any, _Value]  # of expressions


class _Listing:
    """Walks expressions without recursion, as a text may be one expression of thousands of calls."""

    def __init__(self, text: str, functions: dict[str, Any]) -> None:
        self.lines, self.functions = text.splitlines(), functions
        self.values: list[dict[str, Any]] = []
        self.constants: dict[str, Any] = {}

    def add(self, op: str, args: Sequence[int], expr: Any, attributes: dict[str, Any] | None = None) -> int:
        """A value, by its number."""
        if len(self.values) >= MOST:
            raise ValueError(f"expected at most {MOST} values after functions are called, got more")
        described = {"op": op, "args": list(args), "attributes": attributes or {}, "type": _type(_inferred(expr))}
        self.values.append({**described, "name": self.name(expr)})
        return len(self.values) - 1

    def name(self, expr: Any) -> str:
        """What the text calls an expression; TVM's span of it is a place where it is used."""
        if isinstance(expr, relay.Var):
            return f"%{expr.name_hint}"
        span = expr.span
        if not span or span.line != span.end_line or not 0 < span.line <= len(self.lines):
            return ""
        used = self.lines[span.line - 1][span.column - 1 : span.end_column - 1]
        return used if used.startswith("%") else ""

    def parts(self, expr: Any, known: _Known) -> list[Any]:
        """What must be known before an expression is: of a Let first its value, which is its variable's, then its body."""
        match expr:
            case relay.Call():
                return [*expr.args] if isinstance(expr.op, NAMED) else [expr.op, *expr.args]
            case relay.Tuple():
                return list(expr.fields)
            case relay.TupleGetItem():
                return [expr.tuple_value]
            case relay.Let() if expr.value in known:
                known[expr.var] = value = known[expr.value]
                if isinstance(value, int):
                    self.values[value]["name"] = f"%{expr.var.name_hint}"
                return [expr.body]
            case relay.Let():
                return [expr.value]
        return []

    def number(self, value: _Value, expr: Any) -> int:
        """The number of a value; a function that is used as one is a value that nobody can call."""
        return value if isinstance(value, int) else self.add("function as a value", [], expr)

    def body(self, root: Any, known: _Known, path: tuple[Any, ...]) -> _Value:
        """The value of an expression, given those of its free variables, in functions that are called along `path`."""
        stack = [root]
        while stack:
            expr = stack[-1]
            if missing := [e for e in self.parts(expr, known) if e not in known]:
                stack.extend(reversed(missing))
            elif stack.pop() not in known:
                known[expr] = self.value(expr, known, path)
        return known[root]

    def value(self, expr: Any, known: _Known, path: tuple[Any, ...]) -> _Value:
        """The value of an expression whose parts are known."""
        match expr:
            case relay.Let():
                return known[expr.body]
            case relay.Function():
                return _Closure(expr, known)
            case relay.Call():
                return self.call(expr, [known[a] for a in expr.args], known, path)
            case relay.Constant():
                self.constants[str(len(self.values))] = np.asarray(expr.data.numpy())
                return self.add("constant", [], expr)
            case relay.TupleGetItem():
                whole = self.number(known[expr.tuple_value], expr)
                return self.add("TupleGetItem", [whole], expr, {"index": expr.index})
            case relay.Tuple():
                return self.add("Tuple", [self.number(known[e], e) for e in expr.fields], expr)
        return self.add(type(expr).__name__, [], expr)

    def call(self, expr: Any, values: list[_Value], known: _Known, path: tuple[Any, ...]) -> _Value:
        """A call of an operator, or what the function gives that is called."""
        op = expr.op
        if isinstance(op, tvm.ir.Op):
            fields = tvm.ir.Attrs.list_field_info(expr.attrs) if expr.attrs else ()
            attributes = {str(f.name): plain(getattr(expr.attrs, f.name)) for f in fields}
            return self.add(op.name, list(map(self.number, values, expr.args)), expr, attributes)
        called = self.functions.get(op.name_hint) if isinstance(op, tvm.ir.GlobalVar) else known.get(op)
        if not isinstance(called, _Closure):
            return self.add(f"call of {type(op).__name__}", [], expr)
        function = called.function
        if function in path or len(path) > DEEPEST:
            return self.add("recursion", [], expr)
        arguments = dict(zip(function.params, values, strict=True))
        return self.body(function.body, called.known | arguments, (*path, function))


def _inferred(expr: Any) -> Any:
    """The type that TVM inferred; None where it did not."""
    try:
        return expr.checked_type
    except ValueError:
        return None


def _type(ty: Any) -> Any:
    """A tensor's type as its dtype and shape, whose unknown dimensions are None; that of a tuple is a list; None of others."""
    if isinstance(ty, tvm.ir.TupleType):
        return [_type(field) for field in ty.fields]
    if not isinstance(ty, tvm.ir.TensorType):
        return None
    shape = [int(d) if isinstance(d, tvm.tir.IntImm) and d.value >= 0 else None for d in ty.shape]
    return {"dtype": ty.dtype, "shape": shape}


def plain(value: Any) -> Any:
    """An attribute as JSON has it; one that is no number, text or sequence of them is what it prints as."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (tvm.tir.IntImm, tvm.tir.FloatImm)):
        return value.value
    if isinstance(value, (tvm.ir.Array, list, tuple)):
        return [plain(v) for v in value]
    return str(value)
