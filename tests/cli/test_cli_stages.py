"""Commands on a model in which data decide a branch."""

import onnx
import pytest
from onnx import TensorProto, helper


@pytest.fixture
def model(tmp_path):
    def branch(kind):
        return helper.make_graph([helper.make_node(kind, ["x"], ["r"])], kind, [], [onnx.ValueInfoProto(name="r")])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Cast", ["s"], ["c"], to=TensorProto.BOOL),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Relu")),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])
    graph = helper.make_graph(nodes, "g", [x], [onnx.ValueInfoProto(name="y")])
    path = tmp_path / "if.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)
    return path


def test_what_data_decide_is_shown_run_and_compared(minicc, model):
    shown = minicc.good("show", model, "--stage", "graph")
    assert "Conditional(condition=input)(x, %1)" in shown and "  | graph otherwise(x: float32[3]) {" in shown
    assert "# 2. Conditional, if.onnx:2 If" in minicc.good("show", model)
    assert "y: float32[3]" in minicc.good("run", model)
    assert "what depends on them compiles when a run meets it" in minicc.good("compile", model)
    assert "agrees" in minicc.good("compare", model, "--with", "numpy")


def test_what_has_no_one_image_is_not_packed(minicc, model, tmp_path):
    assert "one in which data decide them" in minicc("compile", model, "-o", tmp_path / "m.tar").err
    assert "a model of kernels alone" in minicc("fusion", model).err
