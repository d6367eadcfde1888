"""The parser of the text form of a graph: `parse(str(graph), graph.constants)` is the same graph.

In: text by the grammar in `ir.py`, and the arrays that it names by digest. Out: a Graph of the
identical, interned nodes. Text is data: attributes are literals, and nothing in it is executed.

>>> text = "graph main(x: float32[2]) {\\n  %0 = Relu(x) : float32[2]\\n  return y=%0\\n}"
>>> str(parse(text)) == text
True
>>> parse(text.replace("Relu", "Rleu"))
Traceback (most recent call last):
minicc.errors.GraphError: GraphError: parse(text): line 2: no operator is called Rleu
      %0 = Rleu(x) : float32[2]
           ^ here
hint: did you mean Relu?
"""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import minicc.ops  # noqa: F401 - registers the operators
from minicc.errors import GraphError, TypeInferenceError, nearest
from minicc.graph.control import DEEPEST, Conditional, Output, Loop
from minicc.graph.ir import Constant, Data, Graph, Kernel, Node, Span, constant, input, make, spanned
from minicc.graph.verify import verify
from minicc.ir.node import replace
from minicc.ops.base import INTERPRETED, OPERAND, REGISTRY, Operator
from minicc.types import DType, Symbol, TensorType

_TOKEN = re.compile(
    r"""\s*(?P<token>%\d+ | '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" | [\w./:-]*[\w./-] | \S)""", re.VERBOSE
)
_NAME = re.compile(r"[\w./:-]*[\w./-]")
_SPAN = re.compile(r"(?P<source>.*?)(?::(?P<index>\d+))?(?: (?P<op>\w+))?(?: (?P<name>'.*'|\".*\"))?")
_CLOSING = {"(": ")", "[": "]"}
_DEEPEST = DEEPEST + 1  # kernels, branches and loops within each other
HOLDING: dict[str, type[Operator]] = {
    "Conditional": Conditional,
    "Loop": Loop,
    "Output": Output,
}  # what is of control flow
HELD = {"Conditional": 2, "Loop": 1}  # graphs


def parse(text: str, constants: Mapping[str, Any] | None = None) -> Graph:
    """The graph that `text` writes; `constants` holds the arrays of `Constant[... @digest]`.

    Raises GraphError, with the line and a caret, where the text breaks the grammar, names what is
    not defined, or states a type that inference does not give.
    """
    lines = [_Line(number, content) for number, content in enumerate(text.split("\n"), 1) if content.strip()]
    if not lines:
        raise GraphError("parse(text)", "expected a graph, got an empty text", hint="graph NAME(x: float32[2]) { ... }")
    graph = _graph(lines, dict(constants or {}), 0)
    verify(graph)
    return graph


@dataclass
class _Line:
    """One line and how far it is read; `content` keeps the columns of the text for the caret."""

    number: int
    content: str
    at: int = 0
    hidden: int = field(default=0)  # how much of the margin belongs to the kernels around

    def error(self, problem: str, at: int | None = None, hint: str = "") -> GraphError:
        """An error that underlines column `at`, or where the line is read to; without a hint it shows the grammar."""
        column = self.at if at is None else at
        return GraphError(
            "parse(text)",
            f"line {self.number}: {problem}",
            where=f"{self.content}\n{' ' * column}^ here",
            hint=hint
            or "write it as a graph prints: graph NAME(x: float32[2]) { / %0 = Relu(x) : float32[2] / return y=%0 / }",
        )

    def peek(self) -> str:
        """The next token, "" at the end."""
        found = _TOKEN.match(self.content, self.at)
        if not found:
            return ""
        self.at = found.start("token")
        return found["token"]

    def next(self) -> str:
        token = self.peek()
        self.at += len(token)
        return token

    def expect(self, *tokens: str) -> None:
        for token in tokens:
            if (got := self.peek()) != token:
                raise self.error(f"expected {_shown(token)}, got {_shown(got)}")
            self.at += len(token)

    def name(self, what: str) -> str:
        """A name, quoted or plain."""
        token = self.peek()
        if token[:1] in ("'", '"') and len(token) > 1:
            label = self.literal(token)
        elif _NAME.fullmatch(token):
            label = token
        else:
            raise self.error(f"expected {what}, got {_shown(token)}")
        self.at += len(token)
        return str(label)

    def literal(self, source: str) -> Any:
        """The Python literal `source`, which starts where the line stands."""
        return _value(self, _tree(self, source))

    def group(self) -> str:
        """The text within the bracket that comes next, both brackets left out."""
        start, closing = self.at + 1, [_CLOSING[self.next()]]
        while closing:
            token = self.next()
            if not token:
                raise self.error(f"a bracket is not closed: expected {closing[-1]!r}", at=start - 1)
            if token in _CLOSING:
                closing.append(_CLOSING[token])
            elif token == closing[-1]:
                closing.pop()
            elif token in (")", "]"):
                raise self.error(f"expected {closing[-1]!r}, got {token!r}", at=self.at - 1)
        return self.content[start : self.at - 1]

    def listed(self, closing: str) -> Iterator[None]:
        """Once for each item of a comma-separated list that ends with `closing`."""
        while self.peek() != closing:
            yield
            if self.peek() != closing:
                self.expect(",")
        self.expect(closing)


def _shown(token: str) -> str:
    return repr(token) if token else "the end of the line"


def _graph(lines: list[_Line], constants: dict[str, Any], depth: int) -> Graph:
    """The graph written by `lines`, which are taken off the list."""
    line = lines.pop(0)
    if depth > _DEEPEST:
        raise line.error(f"graphs are nested deeper than {_DEEPEST}")
    name, values = _header(line)
    inputs = tuple(values.values())
    spans: dict[Node, Span] = {}
    while True:
        if not lines:
            raise line.error("the graph does not end", hint="its last lines are `return NAME=VALUE` and `}`")
        line = lines.pop(0)
        if line.peek() == "return":
            break
        _define(line, lines, values, spans, constants, depth)
    outputs = _results(line, values)
    if not lines:
        raise line.error("the graph does not end", hint="its last line is `}`")
    lines.pop(0).expect("}", "")
    if lines and not depth:
        raise lines[0].error("expected the end of the graph")
    made = Graph(name, inputs, tuple(outputs.values()), tuple(outputs))
    return made if depth else made.located(spans)  # equal kernels of several graphs are one, so its nodes have none


def _header(line: _Line) -> tuple[str, dict[Any, Node]]:
    """`graph NAME(NAME: type, ...) {`: the name of the graph, and its inputs by name."""
    line.expect("graph")
    name, values = line.name("the name of the graph"), dict[Any, Node]()
    line.expect("(")
    for _ in line.listed(")"):
        line.peek()
        at, label = line.at, line.name("the name of an input")
        if label in values:
            raise line.error(f"the input name {label!r} is used twice", at=at)
        line.expect(":")
        values[label] = input(label, _type(line))
    line.expect("{", "")
    return name, values


def _results(line: _Line, values: dict[Any, Node]) -> dict[str, Node]:
    """`return NAME=value, ...`: the outputs by name."""
    line.expect("return")
    outputs: dict[str, Node] = {}
    while line.peek():
        if outputs:
            line.expect(",")
            line.peek()
        at, label = line.at, line.name("the name of an output")
        if label in outputs:
            raise line.error(f"the output name {label!r} is used twice", at=at)
        line.expect("=")
        outputs[label] = _read(line, values)
    return outputs


def _define(
    line: _Line,
    lines: list[_Line],
    values: dict[Any, Node],
    spans: dict[Node, Span],
    constants: dict[str, Any],
    depth: int,
) -> None:
    """`%N = Operator(...)(...) : type    # span`, and the body below it if it is a kernel."""
    start = line.at
    result = line.peek()
    if not re.fullmatch(r"%\d+", result):
        raise line.error(f"expected a node like %{len(values)} = ..., or return, got {result!r}")
    if (result,) in values:
        raise line.error(f"{result} is defined twice")
    line.expect(result, "=")
    line.peek()
    at = line.at
    op = _operator(line, lines, constants, depth)
    line.expect("(")
    operands = [_read(line, values) for _ in line.listed(")")]
    line.expect(":")
    stated = _type(line)
    if isinstance(op, Output):
        op = replace(op, type=stated)
    try:
        with spanned(spans, _span(line)):
            made = constant(op.data) if isinstance(op, Constant) else make(op, operands)
    except TypeInferenceError as error:
        raise line.error(error.problem, at=at, hint=error.hint) from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:  # fields of a wrong kind
        raise line.error(f"{op} does not fit its {len(operands)} inputs: {error}", at=at) from error
    if made.inferred != stated:
        raise line.error(f"the type of {result} is {made.inferred or '?'}, the text says {stated or '?'}", at=start)
    values[result,] = made  # no name of an input, which may be %0, too


def _operator(line: _Line, lines: list[_Line], constants: dict[str, Any], depth: int) -> Operator:
    at, name = line.at, line.next()
    if name == "Kernel":
        line.expect("[")
        label = line.name("the name of a kernel")
        line.expect("]")
        (body,) = _bodies(line, lines, constants, depth, 1)
        return Kernel(label, body)
    if name == "Constant":
        return _constant(line, constants)
    known: Mapping[str, type[Operator]] = REGISTRY | INTERPRETED | HOLDING
    if (found := known.get(name)) is None:
        near = nearest(name, known)
        raise line.error(f"no operator is called {name}", at=at, hint=f"did you mean {near}?" if near else "")
    fields: dict[str, Any] = {}
    if line.peek() == "(" and found.__match_args__:
        offset = line.at
        tree = _tree(line, f"f({line.group()})", -1)
        if not isinstance(tree, ast.Call) or tree.args:
            raise line.error("expected fields as name=value", at=offset)
        fields = {str(k.arg): _value(line, k.value, offset - 1) for k in tree.keywords}
    fields |= {"type": None} if found is Output else {}
    try:
        return found(*_bodies(line, lines, constants, depth, HELD.get(name, 0)), **fields)
    except TypeError as error:
        raise line.error(
            f"{name} does not have these fields: {error}",
            at=at,
            hint=f"its fields are {', '.join(found.__match_args__)}",
        ) from error


def _bodies(line: _Line, lines: list[_Line], constants: dict[str, Any], depth: int, count: int) -> list[Graph]:
    """So many graphs below the operator on `line`, which holds them: the lines with one bar more in the margin."""
    if not count:
        return []
    bar = re.compile(re.escape(line.content[: line.hidden]) + r"\s*\|\s?")
    body: list[_Line] = []
    while lines and (found := bar.match(lines[0].content)):
        below = lines.pop(0)
        below.at = below.hidden = found.end()
        body.append(below)
    if not body:
        raise line.error("a kernel needs a body", hint="write it below, each line after `  | `")
    graphs = [_graph(body, constants, depth + 1) for _ in range(count) if body]
    if body or len(graphs) < count:
        raise (body[0] if body else line).error(f"expected {count} graphs below, got {'more' if body else len(graphs)}")
    return graphs


def _constant(line: _Line, constants: dict[str, Any]) -> Constant:
    line.expect("[")
    type = _type(line)
    if type is None or not type.is_bound:
        raise line.error("a constant needs a type without symbols")
    if line.peek() == "@":
        line.expect("@")
        at, digest = line.at, line.next()
        line.expect("]")
        if digest not in constants:
            raise line.error(f"no constant has the digest {digest}", at=at, hint="pass graph.constants to parse")
        data = Data(constants[digest])
        if data.digest != digest or TensorType.of(data.array) != type:
            raise line.error(
                f"the constant {digest} must be {type} with that digest, got {TensorType.of(data.array)} "
                f"with {data.digest}",
                at=at,
            )
        return Constant(data)
    line.peek()
    at = line.at
    while line.peek() not in ("]", ""):
        line.group() if line.peek() == "[" else line.next()
    value = _value(line, _tree(line, line.content[at : line.at], at), at)
    line.expect("]")
    try:
        return Constant(Data(np.array(value, type.dtype.numpy).reshape(type.shape)))
    except (ValueError, TypeError, OverflowError) as error:
        raise line.error(f"the elements do not make {type}: {error}", at=at) from error


def _read(line: _Line, values: dict[Any, Node]) -> Node:
    token = line.peek()
    at = line.at
    key: Any = (line.next(),) if token.startswith("%") else line.name("a value")
    if key not in values:
        raise line.error(f"{token} is used but not defined before", at=at)
    return values[key]


def _type(line: _Line) -> TensorType | None:
    if line.peek() == "?":
        line.expect("?")
        return None
    at, name = line.at, line.next()
    if name not in DType.table:
        raise line.error(f"expected a dtype, got {_shown(name)}", at=at, hint=", ".join(DType.table))
    line.expect("[")
    return TensorType(DType.of(name), tuple(_dim(line) for _ in line.listed("]")))


def _dim(line: _Line) -> int | Symbol:
    """An integer or a symbol, whose name may hold anything but commas and brackets unless quoted."""
    if line.peek()[:1] in ("'", '"'):
        return Symbol(line.name("a symbol"))
    found = re.compile(r"[^,\[\]]*").match(line.content, line.at)
    assert found
    word = found[0].strip()
    if not word or re.fullmatch(r"-.*|\d{19,}", word):
        raise line.error(f"expected a dimension, got {word!r}")
    line.at = found.end()
    return int(word) if word.isdecimal() else Symbol(word)


def _span(line: _Line) -> Span | None:
    if not line.peek():
        return None
    line.expect("#")
    found = _SPAN.fullmatch(line.content[line.at :].strip())
    if not found:
        return None
    name = line.literal(found["name"]) if found["name"] else ""
    return Span(found["source"], str(name), found["op"] or "", int(found["index"] or -1))


# ---- literals -----------------------------------------------------------------------------------


def _tree(line: _Line, source: str, at: int | None = None) -> ast.expr:
    try:
        return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        shown = source if len(source) < 80 else source[:80] + "..."
        raise line.error(f"expected literals, got {shown}", at=None if at is None or at < 0 else at) from None


_WORDS: dict[str, Any] = {"nan": math.nan, "inf": math.inf, "input": OPERAND, **DType.table}


def _value(line: _Line, e: ast.expr, offset: int = 0) -> Any:
    """The value of a literal: numbers, strings, None, nan, inf, `input`, dtypes, and tuples and lists of them."""
    match e:
        case ast.Constant(bool() | int() | float() | str() | None as value):
            return value
        case ast.Name(name) if name in _WORDS:
            return _WORDS[name]
        case ast.UnaryOp(ast.USub(), ast.Constant(int() | float() as value)) if not isinstance(value, bool):
            return -value
        case ast.UnaryOp(ast.USub(), ast.Name("inf" | "nan" as name)):
            return -_WORDS[name]
        case ast.Tuple(items):
            return tuple([_value(line, item, offset) for item in items])
        case ast.List(items):
            return [_value(line, item, offset) for item in items]
        case _:
            raise line.error(f"{ast.unparse(e)} is not a literal", at=min(offset + e.col_offset, len(line.content)))
