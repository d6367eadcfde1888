"""ReverseSequence, as recurrent models and their exporters write it: ONNX's own examples, and what it refuses."""

import numpy as np
import pytest
from onnx import TensorProto, helper

import minicc
from minicc import backend
from minicc.errors import TypeInferenceError
from minicc.frontend import load
from minicc.graph.interpret import evaluate
from minicc.ops import ReverseSequence
from minicc.testing.backend_suite import listed, run_suite
from minicc.types import TensorType, float32, int64


def test_the_examples_of_onnx_compiled():
    chosen = [entry for entry in listed() if entry.operator == "ReverseSequence"]
    assert len(chosen) == 3
    assert [r.problem for r in run_suite(backend.run_model, backend.node_tests(), chosen)] == ["", "", ""]


@pytest.mark.parametrize(("batch", "time"), [(0, 1), (1, 0)])
def test_lengths_of_the_call_decide(batch, time):
    x, lengths = np.arange(5 * 5 * 2, dtype=np.float32).reshape(5, 5, 2), np.array([0, 1, 3, 5, 4])
    want = x.copy()
    for b, n in enumerate(lengths):
        for t in range(n):
            to, of = ((b, t), (b, n - 1 - t)) if batch == 0 else ((t, b), (n - 1 - t, b))
            want[to] = x[of]
    node = helper.make_node("ReverseSequence", ["x", "n"], ["y"], batch_axis=batch, time_axis=time)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape),
            helper.make_tensor_value_info("n", TensorProto.INT64, [5]),
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=5)
    assert (minicc.compile(model.SerializeToString())(x, lengths)[0] == want).all()
    assert (evaluate(load(model), {"x": x, "n": lengths})["y"] == want).all()


def test_a_length_beyond_the_sequence_is_the_nearest_valid_one():
    x = np.arange(6.0).reshape(2, 3)
    op = ReverseSequence(0, 1)
    assert op.numpy(x, np.array([-2, 9])).tolist() == [[0, 1, 2], [5, 4, 3]]


@pytest.mark.parametrize(
    ("op", "types", "problem"),
    [
        (ReverseSequence(0, 2), ((3, 4, 5), (3,)), "to be 0 and 1 or 1 and 0, got rank 3, 0 and 2"),
        (ReverseSequence(), ((3,), (3,)), "expected data of rank 2 or more"),
        (ReverseSequence(), ((3, 4), (3,)), "expected a length for each of 4 sequences, got int64[3]"),
    ],
)
def test_what_it_refuses(op, types, problem):
    with pytest.raises(TypeInferenceError) as caught:
        op.infer(TensorType(float32, types[0]), TensorType(int64, types[1]))
    assert problem in str(caught.value)
