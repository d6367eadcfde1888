"""Data that crosses the border between a judge and a submission: JSON, which holds values and no code.

In: a value. Out: what `json.dumps` writes, and the value again, whose every part has been checked: a name is a name, as programs
are printed as Python and run; an array has as many bytes as its shape says; a loop program is verified. What is plain in JSON stands
for itself, anything else is an object with one key, its kind. A function is a number, by which the other side calls it.

>>> encoded([1, (2.5, None), {"a": True}])
[1, {'tuple': [2.5, None]}, {'dict': [['a', True]]}]
>>> decoded(encoded(np.float32([[1, 2]])))
array([[1., 2.]], dtype=float32)
>>> decoded({"pickle": "gASVBQ=="})
Traceback (most recent call last):
minicc.course.wire.NotData: expected a kind of data, got 'pickle'

Nodes of a loop program are rows of a table, children first, in which a child is a number: a part that is used twice is one row.
"""

from __future__ import annotations

import base64
import binascii
import builtins
import keyword
from collections.abc import Callable
from typing import Any

import numpy as np

from minicc import errors
from minicc.errors import MiniccError, printable
from minicc.graph.ir import Graph
from minicc.graph.text import parse
from minicc.ir.node import Interned, postorder
from minicc.loop import ir
from minicc.loop.ir import SCOPES, STORAGES, Buffer, Stmt
from minicc.loop.program import Program
from minicc.loop.verify import verify
from minicc.schedule import Trace
from minicc.schedule.step import STEPS, Step
from minicc.tensor import nodes
from minicc.tensor.expr import Expr
from minicc.tensor.promote import FOLDS
from minicc.tensor.intrinsics import INTRINSICS
from minicc.types import DType, TensorType

MOST_BYTES = 64 << 20  # of an array, and of all values of a graph
DEEPEST, MOST_NODES = 200, 100_000  # of a program, written out; what walks through it is recursive
MOST_BITS = 8192  # of a whole number: Python writes longer ones slowly, or not at all
LONGEST_NAME, LONGEST_PART = 200, 4000  # characters of a name, and of a part of an error
KINDS = (ir.SERIAL, ir.PARALLEL, ir.VECTORIZE, ir.UNROLL, *ir.THREAD_AXES)

Call = Callable[[int, tuple[Any, ...]], Any]  # a function of the other side, by its number


class NotData(TypeError):
    """What is to cross the border, or has crossed it, is no data of a known kind."""


# ---- out --------------------------------------------------------------------------------------------------------


def encoded(value: Any, functions: list[Callable[..., Any]] | None = None) -> Any:
    """A value as JSON; functions in it are added to `functions`. Raises NotData for what is none of the kinds of data."""
    try:
        return _encoded(value, functions)
    except RecursionError:
        raise NotData("expected data, got what is nested too deeply") from None


def _encoded(value: Any, functions: list[Callable[..., Any]] | None) -> Any:
    kind = type(value)
    if kind is int and value.bit_length() > MOST_BITS:
        raise NotData(f"expected a number of at most {MOST_BITS:,} bits, got one of {value.bit_length():,}")
    if kind in (bool, int, float, str) or value is None:
        return value
    if kind is list:
        return [_encoded(v, functions) for v in value]
    for known, write in _WRITERS.items():
        if kind is known or (known in _WITH_SUBCLASSES and isinstance(value, known)):
            return {_TAGS[known]: write(value, functions)}
    if isinstance(value, np.generic):
        return _encoded(value.item(), functions)
    if callable(value) and functions is not None:
        functions.append(value)
        return {"function": len(functions) - 1}
    raise NotData(f"expected data, got {printable(kind.__name__)}")


def _array_out(value: np.ndarray[Any, Any], _: Any) -> list[Any]:
    try:
        dtype = DType.of(value.dtype)
    except MiniccError:
        raise NotData(f"expected an array of numbers, got one of {value.dtype}") from None
    plain = np.ascontiguousarray(value, dtype.numpy)
    return [dtype.name, list(value.shape), base64.b64encode(plain.tobytes()).decode()]


def _graph_out(value: Graph, functions: Any) -> list[Any]:
    return [str(value), [[digest, _array_out(array, None)] for digest, array in value.constants.items()]]


def _program_out(value: Interned, _: Any) -> list[Any]:
    rows: dict[Any, int] = {}
    table: list[Any] = []
    for item in postorder([value], _parts):
        if isinstance(item, Interned):
            fields = [_field_out(getattr(item, name), rows) for name in item.__match_args__]
            rows[item] = len(table)
            table.append([type(item).__name__, *fields])
    return table


def _parts(item: Any) -> list[Any]:
    if isinstance(item, tuple):
        return [part for part in item if isinstance(part, (tuple, Interned))]
    return [part for name in item.__match_args__ if isinstance(part := getattr(item, name), (tuple, Interned))]


def _field_out(value: Any, rows: dict[Any, int]) -> Any:
    if isinstance(value, Interned):
        return {"row": rows[value]}
    if isinstance(value, tuple):
        return [_field_out(v, rows) for v in value]
    if isinstance(value, DType):
        return {"dtype": value.name}
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise NotData(f"expected a program that is data, got {printable(type(value).__name__)} in it")


# ---- in ---------------------------------------------------------------------------------------------------------


def decoded(data: Any, call: Call | None = None) -> Any:
    """The value that `encoded` wrote as JSON; its functions do `call(number, arguments)`. Raises NotData, whatever `data` is."""
    try:
        return _decoded(data, call)
    except NotData:
        raise
    except RecursionError:
        raise NotData("expected data, got what is nested too deeply") from None
    except MiniccError as error:
        raise NotData(f"expected what minicc takes, got {error}") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, MemoryError) as error:
        raise NotData(f"expected data, got what breaks its form: {printable(error)}") from None


def _decoded(data: Any, call: Call | None) -> Any:
    if isinstance(data, list):
        return [_decoded(v, call) for v in data]
    if not isinstance(data, dict):
        return data
    if len(data) != 1:
        raise NotData("expected an object with one key, the kind of data")
    ((tag, content),) = data.items()
    if tag == "function" and call is not None and type(content) is int:
        return _stub(call, content)
    if tag not in _READERS:
        raise NotData(f"expected a kind of data, got {tag[:80]!r}")
    return _READERS[tag](content, call)


def _stub(call: Call, number: int) -> Callable[..., Any]:
    return lambda *args: call(number, args)


def _tuple_in(content: list[Any], call: Call | None) -> tuple[Any, ...]:
    return tuple(_decoded(content, call))


def _dict_in(content: list[Any], call: Call | None) -> dict[Any, Any]:
    return {_decoded(key, call): _decoded(value, call) for key, value in content}


def _type_in(content: list[Any], _: Any = None) -> TensorType:
    name, shape = content
    if not all(type(n) is int and n >= 0 for n in shape):
        raise NotData(f"expected a shape of numbers, got {printable(shape)[:80]}")
    return TensorType(DType.table[name], tuple(shape))


def _array_in(content: list[Any], _: Any = None) -> np.ndarray[Any, Any]:
    name, shape, text = content
    held_type = _type_in([name, shape])
    dtype, size = held_type.dtype, held_type.bytes
    if not isinstance(text, str):
        raise NotData("expected bytes as text")
    if size > MOST_BYTES or len(text) != -(-size // 3) * 4:
        raise NotData(f"expected the {size:,} bytes of {held_type}, at most {MOST_BYTES:,}, got others")
    try:
        held = bytearray(base64.b64decode(text, validate=True))  # an array that can be written
    except binascii.Error as error:
        raise NotData(f"expected bytes in base64: {error}") from None
    if len(held) != size or (dtype.kind == "bool" and max(held, default=0) > 1):
        raise NotData(f"expected {size:,} bytes of {dtype}, got others")
    return np.frombuffer(held, dtype.numpy).reshape(shape)


def _graph_in(content: list[Any], _: Any = None) -> Graph:
    text, constants = content
    graph = parse(text, {digest: _array_in(array) for digest, array in constants})
    size = sum(n.inferred.bytes for n in graph.nodes if n.inferred and n.inferred.is_bound)
    if size > MOST_BYTES:
        raise NotData(f"expected a graph whose values have at most {MOST_BYTES:,} bytes, got {size:,}")
    return graph


def _trace_in(content: list[Any], _: Any = None) -> Trace:
    return Trace(tuple(_step_in(step) for step in content))


def _step_in(content: dict[str, Any], _: Any = None) -> Step:
    return STEPS[content["step"]].from_json(content)


def encoded_error(error: BaseException) -> list[Any]:
    """An exception as JSON: the name of the nearest class that both sides know, and its parts, or its text."""
    kind = next(k for k in type(error).__mro__ if k.__module__ in ("builtins", errors.__name__))
    parts = error.args if isinstance(error, MiniccError) else (error,)
    return [kind.__name__, [str(part)[:LONGEST_PART] for part in parts]]


def decoded_error(data: Any) -> tuple[Exception, str]:
    """An exception that `encoded_error` wrote, and the name of its class. Raises NotData."""
    match data:
        case [str(name), [*parts]] if all(isinstance(part, str) and len(part) <= LONGEST_PART for part in parts):
            kind = getattr(errors, name, None) or getattr(builtins, name, None)
            if not (isinstance(kind, type) and issubclass(kind, Exception)):
                kind = RuntimeError
            if issubclass(kind, MiniccError) and len(parts) == 4:
                made = kind.__new__(kind)
                MiniccError.__init__(made, *parts)
                return made, name
            try:
                return kind(*parts), name
            except Exception:  # one that is built of more than a text
                return RuntimeError(f"{name}: {' '.join(parts)}"), name
    raise NotData("expected an error, got what is none")


# ---- loop programs ----------------------------------------------------------------------------------------------


def _is_name(value: Any) -> bool:
    """Whether it can be printed as a name of Python, and is one."""
    return (
        isinstance(value, str)
        and len(value) <= LONGEST_NAME
        and value.isascii()
        and value.isidentifier()
        and not keyword.iskeyword(value)
    )


def _is_note(value: Any) -> bool:
    return (
        isinstance(value, tuple)
        and len(value) == 2
        and _is_name(value[0])
        and (type(value[1]) is int or _is_name(value[1]))
    )


def _is_required(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], Expr) and isinstance(value[1], str)


def _is_extent(value: Any) -> bool:
    return (type(value) is int and 0 <= value < 1 << 40) or isinstance(value, Expr)


def _is(*kinds: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kinds)


def _among(words: Any) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in words


def _each(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(map(check, value))


_expr, _stmt, _buffer, _dtype, _var = _is(Expr), _is(Stmt), _is(Buffer), _is(DType), _is(nodes.Var)
FIELDS: dict[type[Interned], tuple[Callable[[Any], bool], ...]] = {  # the nodes that are data, and what their fields are
    nodes.Var: (_is_name, _dtype, lambda own: own is None),
    nodes.Const: (_is(bool, int, float), _dtype),
    nodes.Unary: (_among(("neg", "abs", "not")), _expr),
    nodes.Binary: (_among({*FOLDS, "div"}), _expr, _expr),
    nodes.Call: (_among({*INTRINSICS, "bitcast"}), _each(_expr), _dtype),
    nodes.Convert: (_expr, _dtype),
    nodes.Select: (_expr, _expr, _expr),
    nodes.Load: (_buffer, _each(_expr)),
    Buffer: (_is_name, _dtype, _each(_is_extent), _among(SCOPES)),
    ir.For: (_var, _is_extent, _stmt, _among(KINDS), _each(_is_note)),
    ir.Seq: (_each(_stmt),),
    ir.Store: (_buffer, _each(_expr), _expr),
    ir.Update: (_each(_buffer), _each(_expr), _each(_expr), _each(_expr), _each(_var)),
    ir.If: (_expr, _stmt),
    ir.Alloc: (_buffer, _stmt, _among(("", *STORAGES))),
    ir.Prefetch: (_buffer, _each(_expr)),
    Program: (_is_name, _each(_buffer), _each(_buffer), _stmt, _each(_is_required)),
}  # fmt: skip
_CLASSES = {kind.__name__: kind for kind in FIELDS}


def _program_in(content: list[Any], _: Any = None) -> Any:
    made: list[tuple[Interned, int, int]] = []  # each with how deep it is, and how large when it is written out
    for name, *fields in content:
        if name not in _CLASSES:
            raise NotData(f"expected a node of a loop program, got {str(name)[:80]!r}")
        kind, used = _CLASSES[name], list[tuple[Interned, int, int]]()
        values = [_field_in(field, made, used) for field in fields]
        if len(values) != len(FIELDS[kind]):
            raise NotData(f"expected {len(FIELDS[kind])} fields of {name}, got {len(values)}")
        for check, value in zip(FIELDS[kind], values, strict=True):
            if not check(value):
                raise NotData(f"expected the fields of {name} to be of their kinds, got {printable(value)[:80]}")
        if kind is nodes.Const:
            _check_const(*values)
        depth, size = 1 + max((d for _, d, _ in used), default=0), 1 + sum(s for _, _, s in used)
        if depth > DEEPEST or size > MOST_NODES:
            raise NotData(f"expected a program of at most {DEEPEST} levels and {MOST_NODES:,} nodes, got more")
        made.append((kind(*values), depth, size))
    program = made[-1][0]
    if isinstance(program, Program):
        verify(program)
    return program


def _field_in(field: Any, made: list[tuple[Interned, int, int]], used: list[tuple[Interned, int, int]]) -> Any:
    if isinstance(field, list):
        return tuple([_field_in(part, made, used) for part in field])
    if isinstance(field, dict):
        ((kind, content),) = field.items()
        if kind == "dtype":
            return DType.table[content]
        if kind != "row" or type(content) is not int or not 0 <= content < len(made):
            raise NotData(f"expected a row before this one, got {content!r}")
        used.append(made[content])
        return made[content][0]
    return field


def _check_const(value: Any, dtype: DType) -> None:
    wanted = bool if dtype.kind == "bool" else float if dtype.is_float else int
    if type(value) is not wanted or (wanted is int and not dtype.range[0] <= value <= dtype.range[1]):
        raise NotData(f"expected a number of {dtype}, got {value!r}")


_WRITERS: dict[type, Callable[[Any, Any], Any]] = {
    tuple: lambda value, functions: [_encoded(v, functions) for v in value],
    dict: lambda value, functions: [[_encoded(k, functions), _encoded(v, functions)] for k, v in value.items()],
    np.ndarray: _array_out,
    DType: lambda value, _: value.name,
    TensorType: lambda value, functions: [value.dtype.name, _encoded(list(value.shape), functions)],
    Graph: _graph_out,
    Trace: lambda value, _: [step.to_json() for step in value],
    Step: lambda value, _: value.to_json(),
    Interned: _program_out,
}
_WITH_SUBCLASSES = (Step, Interned)
_TAGS = {tuple: "tuple", dict: "dict", np.ndarray: "array", DType: "dtype", TensorType: "type", Graph: "graph",
         Trace: "trace", Step: "step", Interned: "program"}  # fmt: skip
_READERS: dict[str, Callable[[Any, Call | None], Any]] = {
    "tuple": _tuple_in,
    "dict": _dict_in,
    "array": _array_in,
    "dtype": lambda content, _: DType.table[content],
    "type": _type_in,
    "graph": _graph_in,
    "trace": _trace_in,
    "step": _step_in,
    "program": _program_in,
}
