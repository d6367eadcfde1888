"""Every rule of a well-formed graph, broken once."""

import numpy as np
import pytest
from graph_cases import f32, graph_of, graphs
from hypothesis import given

from minicc import ops
from minicc.errors import GraphError
from minicc.graph import Graph, Kernel, Node, Span, constant, input, verify
from minicc.ops.base import OPERAND

x = input("broken", f32(2))  # a name of its own: nodes are interned, and these must not meet others


@given(graphs())
def test_random_graphs_are_well_formed(graph: Graph) -> None:
    verify(graph)


def kernel(*outputs: Node) -> Kernel:
    return Kernel("k", Graph("k", (x,), outputs, tuple("abc"[: len(outputs)])))


WRONG = Node(ops.Exp(), (x,), f32(3))
BROKEN = [
    (Graph("g", (constant(np.zeros(2)),), (x,), ("y",)), "an input must be an Input node"),
    (Graph("g", (x, input("broken", f32(3))), (x,), ("y",)), "the input name 'broken' is used twice"),
    (Graph("g", (x,), (x, x), ("y", "y")), "the output name 'y' is used twice"),
    (Graph("g", (x,), (x,), ("y", "z")), "1 outputs have 2 names"),
    (Graph("g", (), (ops.Relu()(x),), ("y",)), "input broken is read but not declared"),
    (graph_of(WRONG).located({WRONG: Span("m.onnx", "a")}), "the type of Exp must be float32[2], got float32[3]"),
    (graph_of(Node(ops.Sin(), (x,), None)), "the type of Sin must be float32[2], got ?"),
    (graph_of(Node(ops.Cos(), (x, x), f32(2))), "expected 1 inputs, got 2"),
    (graph_of(Node(ops.Squeeze(), (x, x), f32(2))), "does not take 2 inputs"),
    (graph_of(Node(ops.Reshape(OPERAND), (), None)), "awaits 1 operands (shape) but has 0 inputs"),
    (graph_of(kernel(ops.Relu()(x))(ops.Relu()(input("z", f32(3))))), "takes [float32[2]], got [float32[3]]"),
    (graph_of(kernel(x, ops.Relu()(x))(x)), "must have one output, got 2"),
    (graph_of(kernel(ops.Relu()(input("z", f32(2))))(x)), "input z is read but not declared"),
]


@pytest.mark.parametrize(("graph", "message"), BROKEN)
def test_broken(graph: Graph, message: str) -> None:
    with pytest.raises(GraphError) as error:
        verify(graph)
    assert message in str(error.value)


def test_a_cycle() -> None:
    first = ops.Tan()(x)
    second = ops.Atan()(first)
    object.__setattr__(first, "inputs", (second,))  # nodes are frozen: no honest way makes one
    with pytest.raises(GraphError, match="depends on itself"):
        verify(Graph("g", (x,), (second,), ("y",)))


def test_the_error_shows_the_node_of_the_model() -> None:
    with pytest.raises(GraphError, match=r"m\.onnx.*'a'"):
        verify(BROKEN[5][0])
