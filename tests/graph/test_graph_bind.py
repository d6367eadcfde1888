"""Binding gives symbols numbers and operands values."""

from typing import Any

import numpy as np
import pytest
from graph_cases import f32, graph_of

from minicc import ops
from minicc.errors import GraphError, TypeInferenceError
from minicc.graph import Graph, Node, Span, constant, evaluate, input, make, verify
from minicc.graph.bind import bind, runtime_operands
from minicc.ir.node import node
from minicc.ops.base import OPERAND, Operator
from minicc.types import Symbol, TensorType, int64

N = Symbol("n")


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def flatten_as_exported(x: Node) -> Node:
    """What exporters write for x.reshape(x.shape[0], -1)."""
    batch = ops.Gather(0)(ops.Shape()(x), np.int64(0))
    shape = ops.Concat(0)(ops.Unsqueeze(OPERAND)(batch, ints(0)), ints(-1))
    return ops.Reshape(OPERAND)(x, shape)


def two() -> Graph:
    return graph_of(ops.Add()(input("x", f32(N, 3)), input("y", f32(N, Symbol("m")))))


def test_symbols() -> None:
    for bound in [
        bind(two(), dims={"n": 2, "m": 1}),
        bind(two(), shapes={"x": (2, 3), "y": (2, 1)}),
        bind(two(), dims={"n": 2}, shapes={"y": (2, 1)}),
    ]:
        verify(bound)
        assert [n.type for n in (*bound.inputs, *bound.outputs)] == [f32(2, 3), f32(2, 1), f32(2, 3)]


def test_nothing_to_bind_is_the_same_graph() -> None:
    graph = graph_of(ops.Relu()(input("x", f32(2))))
    assert bind(graph) is graph
    assert bind(graph, shapes={"x": (2,)}) is graph


def test_shape_glue_folds_away() -> None:
    graph = graph_of(ops.Relu()(flatten_as_exported(ops.Exp()(input("x", f32(N, 3, 4))))))
    assert graph.outputs[0].inferred is None
    bound = bind(graph, {"n": 5})
    verify(bound)
    assert bound.outputs[0].type == f32(5, 12)
    assert [n.op.name for n in bound.nodes] == ["Input", "Exp", "Reshape", "Relu"]
    x = np.random.default_rng(0).normal(size=(5, 3, 4)).astype(np.float32)
    np.testing.assert_array_equal(evaluate(bound, {"x": x})["out0"], evaluate(graph, {"x": x})["out0"])


def test_shape_of_what_an_operand_decides() -> None:
    """The second Reshape needs the type that the first operand decides."""
    x, s = input("x", f32(N, 4)), input("s", TensorType(int64, (3,)))
    graph = graph_of(flatten_as_exported(ops.Reshape(OPERAND)(x, s)))
    bound = bind(graph, {"n": 3})
    assert runtime_operands(bound) == ["s"]  # not x: of it only the type matters
    done = bind(bound, values={"s": ints(2, -1, 2)})
    assert done.input_names == ("x",)
    assert runtime_operands(done) == []
    assert done.outputs[0].type == f32(2, 6)
    verify(done)


def test_values_become_constants() -> None:
    bound = bind(two(), values={"y": np.ones((2, 3), np.float32)})
    assert bound.input_names == ("x",)
    assert bound.outputs[0].type == f32(2, 3)


def test_several_operands_wait_for_each_other() -> None:
    x, starts = input("x", f32(5)), input("starts", TensorType(int64, (1,)))
    graph = bind(graph_of(ops.Slice(OPERAND, OPERAND)(x, starts, ints(4))))
    assert graph.outputs[0].inferred is None
    assert runtime_operands(graph) == ["starts"]
    assert bind(graph, values={"starts": ints(1)}).outputs[0].type == f32(3)


BAD: list[tuple[dict[str, Any], str]] = [
    ({}, r"no number for the symbols n \(of input x\), m \(of input y\)\nhint: --dim n=1 --dim m=1"),
    ({"dims": {"k": 1}}, "no such symbol: k"),
    ({"dims": {"n": -1}}, "symbol n must be an integer of at least 0, got -1"),
    ({"dims": {"n": 2.0}}, "symbol n must be an integer"),
    ({"dims": {"n": True}}, "symbol n must be an integer"),
    ({"shapes": {"z": (1,)}}, "no such input: z"),
    ({"shapes": {"x": (2,)}}, r"input x must be float32\[n,3\].*got shape \(2,\)"),
    ({"shapes": {"x": (2, 4)}}, r"got shape \(2, 4\)"),
    ({"shapes": {"x": (2, -3)}}, "each dimension of input x must be an integer of at least 0, got -3"),
    ({"shapes": {"x": (2, 3), "y": (4, 1)}}, r"input y must be float32\[n,m\] where n is 2.*got shape \(4, 1\)"),
    ({"dims": {"n": 2}, "shapes": {"x": (3, 3)}}, "where n is 2"),
    ({"values": {"x": np.ones((2, 3))}}, r"input x must be float32\[n,3\], got float64\[2,3\]"),
    ({"values": {"x": np.ones((2, 2), np.float32)}}, r"got shape \(2, 2\)"),
    ({"dims": {"n": 2, "m": 2}}, "shapes must broadcast"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD)
def test_bad_bindings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((GraphError, TypeInferenceError), match=message):
        bind(two(), **arguments)


def test_an_inference_error_shows_the_node_of_the_model() -> None:
    x = input("x", f32(N, 3))
    flat = make(ops.Reshape((7,)), (x,))
    graph = graph_of(flat).located({flat: Span("m.onnx", "flat", "Reshape", 4)})
    with pytest.raises(TypeInferenceError, match=r"m\.onnx:4 Reshape 'flat'"):
        bind(graph, {"n": 2})


@node
class Failing(Operator):
    """An operator whose reference fails."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def numpy(self, x: Any) -> Any:
        raise ValueError("not today")


def test_an_operand_that_cannot_be_computed() -> None:
    shape = make(Failing(), (constant(ints(1, 2)),))
    with pytest.raises(GraphError, match="cannot compute an operand: not today") as error:
        bind(graph_of(ops.Reshape(OPERAND)(input("x", f32(2)), shape)).located({shape: Span("m.onnx", "bad")}))
    assert "m.onnx 'bad'" in str(error.value)


def test_an_operand_that_is_too_large() -> None:
    long = make(ops.Range(0, 10**6, 1), ())
    with pytest.raises(GraphError, match="expected an operand of at most 4,096 numbers, got 1,000,000"):
        bind(graph_of(ops.Reshape(OPERAND)(input("x", f32(2)), long)))
    huge = ops.ReduceSum((0,))(make(ops.Range(0, 10**12, 1), ()))
    with pytest.raises(GraphError, match="expected at most 1,073,741,824 bytes, got 8,000,000,000,000") as error:
        bind(graph_of(ops.Reshape(OPERAND)(input("x", f32(2)), huge)))
    assert "hint: compute the operand from fewer elements" in str(error.value)
