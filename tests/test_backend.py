"""The ONNX Backend API form: prepare, run_model, run_node. Compilation itself is tested elsewhere."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from minicc import backend
from minicc.errors import RunError, TargetError


def model():
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("a", "b")]
    nodes = [helper.make_node("Sub", ["a", "b"], ["minus"]), helper.make_node("Add", ["a", "b"], ["plus"])]
    graph = helper.make_graph(nodes, "net", infos, [onnx.ValueInfoProto(name=name) for name in ("minus", "plus")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


A, B = np.float32([5, 7]), np.float32([1, 2])


def test_prepare_and_run_by_position_and_by_name():
    rep = backend.prepare(model())
    for inputs in ([A, B], (A, B), {"b": B, "a": A}, [numpy_helper.from_array(A), B]):
        minus, plus = result = rep.run(inputs)
        np.testing.assert_array_equal(minus, [4, 5])
        np.testing.assert_array_equal(plus, [6, 9])
        assert result["plus"] is plus
    with pytest.raises(RunError, match="expected 2 inputs"):
        rep.run([A])


def test_run_model_and_node():
    np.testing.assert_array_equal(backend.run_model(model(), [A, B])["minus"], [4, 5])
    node = helper.make_node("Clip", ["x", "", "high"], ["y"])
    np.testing.assert_array_equal(backend.run_node(node, [A, np.float32(6)])[0], [5, 6])
    old = helper.make_node("Clip", ["x"], ["y"], max=6.0)
    np.testing.assert_array_equal(backend.run_node(old, [A], opset_version=7)[0], [5, 6])


def test_devices_and_compatibility():
    assert backend.supports_device("CPU") and backend.supports_device("CPU:0") and not backend.supports_device("CUDA:0")
    with pytest.raises(TargetError, match="expected the device CPU"):
        backend.prepare(model(), "CUDA")
    assert backend.is_compatible(model()) and not backend.is_compatible(model(), "CUDA")
    unknown = model()
    unknown.graph.node[0].op_type = "StringNormalizer"
    assert not backend.is_compatible(unknown)


def test_node_tests_hold_arrays():
    test = backend.node_tests()["test_identity"]
    inputs, _ = test.data_sets[0]
    assert all(isinstance(value, np.ndarray) for value in inputs)
