"""A length that the values of an input decide: of a mask, of lengths, of scores, however many these are."""

import numpy as np
import pytest
from onnx import TensorProto, helper

import minicc

INT, FLOAT = TensorProto.INT64, TensorProto.FLOAT


def model(nodes, inputs, output, constants=()):
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, kind, shape in inputs]
    held = [helper.make_tensor(name, INT, np.shape(value), np.ravel(value)) for name, value in constants]
    graph = helper.make_graph(nodes, "g", infos, [helper.make_tensor_value_info("y", output, None)], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()


@pytest.mark.parametrize("n", [4096, 4097, 100_000])
def test_the_positions_under_a_mask(n):
    """arange(sum(mask))."""
    nodes = [
        helper.make_node("Cast", ["mask"], ["wide"], to=INT),
        helper.make_node("ReduceSum", ["wide"], ["count"], keepdims=0),
        helper.make_node("Range", ["zero", "count", "one"], ["y"]),
    ]
    exe = minicc.compile(model(nodes, [("mask", TensorProto.BOOL, [1, n])], INT, [("zero", 0), ("one", 1)]))
    for left in (0, 3, n):
        mask = np.arange(n)[None] < left
        assert (exe(mask)[0] == np.arange(left)).all()


def test_the_data_as_far_as_the_longest_of_many_sequences():
    """x[:, :max(lengths)]."""
    nodes = [
        helper.make_node("ReduceMax", ["lengths"], ["end"], axes=[0], keepdims=1),
        helper.make_node("Slice", ["x", "zero", "end", "one"], ["y"]),
    ]
    exe = minicc.compile(
        model(nodes, [("x", FLOAT, [2, 9000]), ("lengths", INT, [5000])], FLOAT, [("zero", [0]), ("one", [1])])
    )
    x, lengths = np.arange(18000, dtype=np.float32).reshape(2, 9000), np.arange(5000)
    assert (exe(x, lengths)[0] == x[:, :4999]).all()
