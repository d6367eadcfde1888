"""What `load` makes of well-formed models: names, types, order, symbols, operands, functions."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from minicc.frontend import load
from minicc.frontend.onnx import NEWEST
from minicc.frontend.onnx.table import translations
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Constant
from minicc.types import Symbol

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def info(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, initializers=(), opset=NEWEST, functions=(), opsets=()):
    graph = helper.make_graph(nodes, "net", inputs, [onnx.ValueInfoProto(name=name) for name in outputs], initializers)
    imports = [helper.make_opsetid("", opset), *[helper.make_opsetid(*entry) for entry in opsets]]
    return helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=10)


def tensor(name, values, dtype="float32"):
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def test_names_types_spans_and_order_of_a_file(tmp_path):
    proto = model(
        [helper.make_node("Relu", ["x"], ["h"], name="act"), helper.make_node("Neg", ["h"], ["y"])],
        [info("x", [2, 3])],
        ["y", "h"],
    )
    path = tmp_path / "m.onnx"
    onnx.save(proto, path)
    for source in (path, str(path), path.read_bytes(), proto):
        graph = load(source)
        assert graph.name == "net"
        assert graph.input_names == ("x",) and graph.output_names == ("y", "h")
        assert [str(n.type) for n in graph.outputs] == ["float32[2,3]"] * 2
    graph = load(path)
    span = graph.spans[graph.outputs[1]]
    assert (span.source, span.name, span.op, span.index) == ("m.onnx", "act", "Relu", 0)


def test_equal_models_give_the_same_graph():
    proto = model([helper.make_node("Relu", ["x"], ["y"])], [info("x", [2])], ["y"])
    assert load(proto).same_as(load(proto.SerializeToString()))


def test_symbols_keep_their_name_and_nameless_dimensions_get_one():
    graph = load(
        model(
            [helper.make_node("Relu", ["x"], ["y"])], [info("x", ["batch", None, 3, "2*seq + 1", "2*seq - 1"])], ["y"]
        )
    )
    assert graph.inputs[0].type.shape == (
        Symbol("batch"),
        Symbol("x_1"),
        3,
        Symbol("n2_seq___1"),
        Symbol("n2_seq___1_2"),
    )
    graph = load(model([helper.make_node("Relu", ["x"], ["y"])], [info("x", ["?", "?", -1, "None", "x_0"])], ["y"]))
    assert graph.inputs[0].type.shape == (*[Symbol(f"x_{axis}") for axis in range(4)], Symbol("x_0_2"))


def test_an_input_with_an_initializer_is_a_constant():
    graph = load(
        model(
            [helper.make_node("Add", ["x", "w"], ["y"])], [info("x", [2]), info("w", [2])], ["y"], [tensor("w", [1, 2])]
        )
    )
    assert graph.input_names == ("x",)
    np.testing.assert_array_equal(evaluate(graph, {"x": np.float32([1, 1])})["y"], [2, 3])


def test_nodes_out_of_order_are_sorted():
    nodes = [
        helper.make_node("Neg", ["a"], ["y"]),
        helper.make_node("Relu", ["b"], ["a"]),
        helper.make_node("Abs", ["x"], ["b"]),
    ]
    assert [n.op.name for n in load(model(nodes, [info("x", [1])], ["y"])).nodes] == ["Input", "Abs", "Relu", "Neg"]


def test_a_known_operand_is_a_field_and_a_computed_one_an_input():
    x, s = info("x", [2, 3]), info("s", [1], INT64)
    node = helper.make_node("Reshape", ["x", "s"], ["y"])
    known = load(model([node], [x], ["y"], [tensor("s", [6], "int64")])).outputs[0]
    assert known.op.shape == (6,) and len(known.inputs) == 1 and str(known.type) == "float32[6]"
    pending = load(model([node], [x, s], ["y"])).outputs[0]
    assert pending.op.pending == ("shape",) and len(pending.inputs) == 2 and pending.inferred is None


def test_operands_have_the_rank_of_their_field():
    """TopK's k is a list of one number in ONNX, and one number in the operator."""
    nodes = [helper.make_node("TopK", ["x", "k"], ["v", ""], axis=0)]
    k = info("k", [1], INT64)
    fixed = load(model(nodes, [info("x", [4])], ["v"], [tensor("k", [2], "int64")]))
    assert fixed.outputs[0].op.k == 2
    got = evaluate(load(model(nodes, [info("x", [4]), k], ["v"])), {"x": np.float32([1, 4, 2, 3]), "k": np.int64([2])})
    np.testing.assert_array_equal(got["v"], [4, 3])


def test_bfloat16_and_bool_constants():
    half = helper.make_tensor("h", TensorProto.BFLOAT16, [2], [1.5, -2.0])
    flag = helper.make_tensor("f", TensorProto.BOOL, [2], [True, False])
    nodes = [helper.make_node("Constant", [], ["a"], value=half), helper.make_node("Constant", [], ["b"], value=flag)]
    graph = load(model(nodes, [], ["a", "b"]))
    a, b = (n.op.data.array for n in graph.outputs)
    assert str(a.dtype) == "bfloat16" and a.astype(np.float32).tolist() == [1.5, -2.0]
    assert b.dtype == bool and b.tolist() == [True, False]


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"],
)
@pytest.mark.parametrize("raw", [True, False])
def test_initializers_of_every_dtype(dtype, raw):
    values = np.array([[0, 1], [1, 0]], dtype)
    values[0, 0] = 0 if dtype == "bool" else np.iinfo(dtype).max if values.dtype.kind in "iu" else 0.5
    proto = numpy_helper.from_array(values, "w")
    if not raw:
        stored = values.view(np.uint16) if dtype == "float16" else values
        proto = helper.make_tensor("w", proto.data_type, values.shape, values.ravel())
        assert not proto.raw_data and stored.size
    loaded = load(model([helper.make_node("Identity", ["w"], ["y"])], [], ["y"], [proto])).outputs[0]
    assert isinstance(loaded.op, Constant)
    np.testing.assert_array_equal(loaded.op.data.array, values)
    assert loaded.op.data.array.dtype == values.dtype


@pytest.mark.parametrize("location", ["w.bin", "sub/w.bin"])
def test_external_data_beside_the_model(tmp_path, location):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    file = tmp_path / location
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"\0" * 8 + values.tobytes())
    weights = TensorProto(name="w", data_type=FLOAT, dims=[2, 3], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": "8", "length": "24"}.items():
        weights.external_data.add(key=key, value=value)
    (tmp_path / "m.onnx").write_bytes(
        model([helper.make_node("Identity", ["w"], ["y"])], [], ["y"], [weights]).SerializeToString()
    )
    np.testing.assert_array_equal(load(tmp_path / "m.onnx").outputs[0].op.data.array, values)


def scale_function():
    nodes = [
        helper.make_node("Constant", [], ["s"]),
        helper.make_node("Mul", ["v", "s"], ["scaled"]),
        helper.make_node("Add", ["scaled", "v"], ["out"]),
    ]
    nodes[0].attribute.add(name="value_float", ref_attr_name="factor", type=onnx.AttributeProto.FLOAT)
    return helper.make_function("local", "Scale", ["v"], ["out"], nodes, [helper.make_opsetid("", 18)], ["factor"])


def test_local_functions_are_inlined():
    outer = helper.make_function(
        "local",
        "Twice",
        ["a"],
        ["c"],
        [
            helper.make_node("Scale", ["a"], ["b"], domain="local", factor=2.0),
            helper.make_node("Scale", ["b"], ["c"], domain="local", factor=3.0),
        ],
        [helper.make_opsetid("", 18), helper.make_opsetid("local", 1)],
    )
    proto = model(
        [helper.make_node("Twice", ["x"], ["y"], domain="local", name="t")],
        [info("x", [2])],
        ["y"],
        functions=[outer, scale_function()],
        opsets=[("local", 1)],
    )
    graph = load(proto)
    np.testing.assert_array_equal(evaluate(graph, {"x": np.float32([1, 2])})["y"], [12, 24])
    span = graph.spans[graph.outputs[0]]
    assert span.index == 0 and span.name.startswith("t/")


def test_an_attribute_left_out_of_a_call_is_left_out_of_the_body():
    function = helper.make_function(
        "local",
        "F",
        ["v"],
        ["out"],
        [helper.make_node("LeakyRelu", ["v"], ["out"])],
        [helper.make_opsetid("", 18)],
        ["alpha"],
    )
    function.node[0].attribute.add(name="alpha", ref_attr_name="alpha", type=onnx.AttributeProto.FLOAT)
    proto = model(
        [helper.make_node("F", ["x"], ["y"], domain="local")],
        [info("x", [1])],
        ["y"],
        functions=[function],
        opsets=[("local", 1)],
    )
    assert load(proto).outputs[0].op.alpha == pytest.approx(0.01)


def test_a_function_may_hand_an_input_through():
    function = helper.make_function("local", "F", ["v"], ["v"], [], [helper.make_opsetid("", 18)])
    proto = model(
        [helper.make_node("F", ["x"], ["y"], domain="local")],
        [info("x", [1])],
        ["y"],
        functions=[function],
        opsets=[("local", 1)],
    )
    assert load(proto).outputs[0].op.name == "Input"


def test_an_old_model_loads_when_its_operators_did_not_change():
    node = helper.make_node("GlobalAveragePool", ["x"], ["y"])
    assert load(model([node], [info("x", [1, 2, 3, 3])], ["y"], opset=1)).outputs[0].shape == (1, 2, 1, 1)


def test_every_translation_is_an_operator_of_onnx():
    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    written = {"SimplifiedLayerNormalization"}  # by onnxruntime's optimizer, into the domain of ONNX
    assert {name for name in translations() if "::" not in name} <= known | written


def test_onnx_is_imported_when_a_model_is_loaded():
    code = "import sys, minicc.frontend; print('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
