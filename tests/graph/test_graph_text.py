"""Text parses back to the identical graph; bad text is an error that shows where."""

import gc
from typing import Any

import numpy as np
import pytest
from graph_cases import assert_same, f32, graph_of, graphs
from hypothesis import given

from minicc import ops
from minicc.errors import GraphError
from minicc.graph import Graph, Kernel, Span, constant, fuse, input, make, parse
from minicc.graph.ir import Data
from minicc.ops.base import OPERAND
from minicc.types import DType, Symbol, TensorType, bfloat16, int64


def assert_parses_back(graph: Graph) -> None:
    assert parse(str(graph), graph.constants).same_as(graph), str(graph)


@given(graphs())
def test_random_graphs_parse_back(graph: Graph) -> None:
    assert_parses_back(graph)
    assert_parses_back(fuse(graph))


def test_a_graph_that_is_gone_parses_back_to_the_same_text_and_value() -> None:
    x = input("x", f32(2, 3))
    total = make(ops.Add(), (ops.Relu()(x), np.arange(3, dtype=np.float32)))
    graph = graph_of(total).located({total: Span("m.onnx", "a/b", "Add", 7)})
    text, constants = str(fuse(graph)), graph.constants
    del graph, total, x
    gc.collect()
    again = parse(text, constants)
    assert str(again) == text
    assert_same(again, again)


def test_every_kind_of_attribute() -> None:
    x, n = input("x", f32(2, 3)), input("n", TensorType(int64, (1,)))
    assert_parses_back(
        graph_of(
            ops.Cast(DType.of("float16"))(x),
            ops.Reshape(OPERAND)(x, n),
            ops.ReduceSum(None, False)(x),
            ops.ReduceSum((-1,))(x),
            ops.LeakyRelu(-0.0)(x),
            ops.Elu(float("inf"))(x),
            ops.Elu(float("nan"))(x),
            ops.Conv(padding=(1, 1), auto_pad="NOTSET")(input("c", f32(1, 1, 5)), np.ones((1, 1, 3), np.float32)),
        )
    )


NAN = np.array([0xFFC00001, 0x3F800000], np.uint32).view(np.float32)  # a negative one, with a payload


@pytest.mark.parametrize("array", [
    np.float32([1, np.inf, -0.0]), NAN, np.float32(3), np.zeros((0, 3), np.int8), np.array([[True], [False]]),
    np.uint64([2**64 - 1]), np.arange(17, dtype=np.int32), np.array([1.5, np.nan], bfloat16.numpy),
    np.float16([[0.1]]), np.float64([0.1, 1e300]),
])  # fmt: skip
def test_constants_keep_every_bit(array: np.ndarray) -> None:
    graph = graph_of(constant(array))
    again = parse(str(graph), graph.constants)
    assert again.same_as(graph)
    assert again.outputs[0].op.data.array.tobytes() == array.tobytes()


@pytest.mark.parametrize("name", ["x 0)", "a:0", "0", "it's", "%1", "", "a,b", "ünï", "a\nb", "x:", "return", "\u2028"])
def test_any_name(name: str) -> None:
    x = input(name, f32(2))
    assert_parses_back(Graph(name, (x,), (ops.Relu()(x),), (name,)))


@pytest.mark.parametrize("name", ["n", "batch size", "floor(n/2)", "3", "a,b", "a]", "it's", "-1"])
def test_any_symbol(name: str) -> None:
    x = input("x", f32(Symbol(name), 3))
    assert_parses_back(graph_of(ops.Relu()(x)))


def test_kernels_within_kernels_and_spans() -> None:
    p = input("p0", f32(2))
    inner = Kernel("inner", Graph("inner", (p,), (ops.Relu()(p),), ("out",)))
    outer = Kernel("outer", Graph("outer", (p,), (ops.Neg()(inner(p)),), ("out",)))
    x = input("x", f32(2))
    graph = graph_of(outer(ops.Exp()(x)))
    graph = graph.located({graph.outputs[0]: Span("m.onnx", "it's 'x' # %1", "Foo", 3)})
    assert_parses_back(graph)
    assert parse(str(graph)).spans == graph.spans != {}


TEXT = """graph main(x: float32[2]) {
  %0 = LeakyRelu(alpha=0.5)(x) : float32[2]
  %1 = Constant[float32[2] [1.0, 2.0]]() : float32[2]
  %2 = Kernel[add](%0, %1) : float32[2]
  | graph add(p0: float32[2], p1: float32[2]) {
  |   %0 = Add(p0, p1) : float32[2]
  |   return out=%0
  | }
  return y=%2
}"""

BAD: list[tuple[str, str, str]] = [
    ("Add(", "Dad(", "line 6: no operator is called Dad"),
    ("(p0, p1) :", "(p0) :", "line 6"),
    ("(p0, p1) :", "(p0, p2) :", "line 6: p2 is used but not defined before"),
    ("alpha=0.5", "alpha=open('x')", "line 2: open('x') is not a literal"),
    ("alpha=0.5", "alpha=__import__", "line 2: __import__ is not a literal"),
    ("alpha=0.5", "alpha=(lambda: 1)", "is not a literal"),
    ("alpha=0.5", "beta=0.5", "line 2: LeakyRelu does not have these fields"),
    ("alpha=0.5", "0.5", "line 2: expected fields as name=value"),
    ("alpha=0.5", "alpha=0..5", "line 2: expected literals"),
    ("alpha=0.5", "alpha=[]", "unhashable"),
    ("alpha=0.5)", "alpha=0.5", "line 2: a bracket is not closed"),
    ("alpha=0.5)", "alpha=(0.5]", "line 2: expected ')', got ']'"),
    ("%0 = Leaky", "%1 = Leaky", "line 3: %1 is defined twice"),
    ("%0 = Leaky", "z = Leaky", "line 2: expected a node like"),
    ("float32[2]\n  %1", "float32[3]\n  %1", "line 2: the type of %0 is float32[2], the text says float32[3]"),
    ("float32[2]\n  %1", "float31[2]\n  %1", "line 2: expected a dtype, got 'float31'"),
    ("float32[2]\n  %1", "float32[2] 5\n  %1", "line 2: expected '#', got '5'"),
    ("float32[2]) {", "float32[-2]) {", "line 1: expected a dimension"),
    ("float32[2]) {", "?) {", "line 2: the type of %0 is ?"),
    ("float32[2]) {", "float32[2], x: float32[2]) {", "line 1: the input name 'x' is used twice"),
    ("float32[2]) {", "float32[2]) [", "line 1: expected '{', got '['"),
    ("graph main", "graph (", "line 1: expected the name of the graph"),
    ("[1.0, 2.0]", "[1.0]", "line 3: the elements do not make float32[2]"),
    ("[1.0, 2.0]", "['a', 'b']", "line 3: the elements do not make float32[2]"),
    ("[1.0, 2.0]", "@0", "line 3: no constant has the digest 0"),
    ("Constant[float32[2]", "Constant[float32[n]", "line 3: a constant needs a type without symbols"),
    ("  return y=%2\n", "", "expected a node like"),
    ("  return y=%2\n}", "", "line 4: the graph does not end"),
    ("\n}", "", "line 9: the graph does not end"),
    ("return y=%2", "return y=%2, y=%2", "line 9: the output name 'y' is used twice"),
    ("return y=%2", "return y %2", "line 9: expected '=', got '%2'"),
    ("return y=%2\n}", "return y=%2\n}\n}", "line 11: expected the end of the graph"),
    ("  | ", "  ", "line 4: a kernel needs a body"),
    ("p1: float32[2]) {", "p1: float32[1]) {", "takes [float32[2], float32[1]], got [float32[2], float32[2]]"),
]


def test_the_text_they_break_is_right() -> None:
    assert str(parse(TEXT)) == TEXT


@pytest.mark.parametrize(("old", "new", "message"), BAD)
def test_bad_text(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(GraphError) as error:
        parse(TEXT.replace(old, new))
    assert message in str(error.value)


def test_the_error_shows_the_line_and_a_caret() -> None:
    with pytest.raises(GraphError) as error:
        parse(TEXT.replace("p0, p1)", "p0, p9)"))
    lines = str(error.value).splitlines()
    assert lines[1][lines[2].index("^") :].startswith("p9")


def test_hostile_text() -> None:
    for text in [
        "",
        "\n\n",
        "graph",
        "((((",
        "graph main() {\n" + "| " * 40,
        TEXT.replace("0.5", "(" * 9000 + ")" * 9000),
        TEXT.replace("float32[2]", f"float32[{'9' * 5000}]"),
        TEXT.replace("0.5", "9" * 5000),
    ]:
        with pytest.raises(GraphError):
            parse(text)


def test_kernels_nested_too_deep() -> None:
    text = "graph a(x: float32[1]) {\n"
    for depth in range(20):
        text += (
            "  | " * depth + "  %0 = Kernel[k](x) : float32[1]\n" + "  | " * (depth + 1) + "graph a(x: float32[1]) {\n"
        )
    with pytest.raises(GraphError, match="nested deeper"):
        parse(text)


def test_a_constant_must_have_its_digest() -> None:
    graph = graph_of(constant(np.arange(40)))
    (digest,) = graph.constants
    wrong: dict[str, Any] = {digest: np.arange(40) + 1}
    with pytest.raises(GraphError, match=f"must be int64.40. with that digest.*{Data(np.arange(40) + 1).digest}"):
        parse(str(graph), wrong)
