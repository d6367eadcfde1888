"""Graphs become programs that build Relay: readable text, values of the types of the nodes, errors that name the node."""

import ast

import numpy as np
import pytest

from minicc import ops
from minicc.bridge.old_tvm import OldTvmFailure, old_tvm
from minicc.bridge.relay import Relay, relay_program, run_relay, to_relay
from minicc.bridge.relay_forms import FORMS
from minicc.bridge.room import Value
from minicc.errors import BridgeError
from minicc.graph import Graph, constant, evaluate, input
from minicc.ops.base import REGISTRY
from minicc.testing import draws
from minicc.testing.operators import examples
from minicc.types import Symbol, TensorType, float16, float32, float64, uint64

x = input("x", TensorType(float32, (1, 3, 8, 8)))
weights, table = (constant(np.full(shape, 1 / 32, np.float32)) for shape in ((4, 3, 3, 3), (64, 10)))
NET = ops.Flatten()(ops.MaxPool((2, 2), (2, 2))(ops.Relu()(ops.Conv(padding=(1, 1, 1, 1))(x, weights))))


def graph_of(*outputs):
    inputs = [n for n in Graph("main", (), outputs, ("",) * len(outputs)).nodes if n.op.name == "Input"]
    return Graph("main", tuple(inputs), outputs, tuple(f"out{k}" for k in range(len(outputs))))


def test_the_program_of_a_network_is_what_one_would_write():
    program = relay_program(graph_of(ops.Softmax()(ops.MatMul()(NET, table))))
    assert program.source.splitlines() == [
        'x0 = relay.var("x0", shape=(1, 3, 8, 8), dtype="float32")',
        "n2_ = relay.nn.conv2d(x0, c0, strides=(1, 1), padding=(1, 1, 1, 1), dilation=(1, 1), groups=1, channels=4, kernel_size=(3, 3))",
        "n3_ = relay.nn.relu(n2_)",
        "n4_ = relay.nn.max_pool2d(n3_, pool_size=(2, 2), strides=(2, 2), padding=(0, 0, 0, 0), dilation=(1, 1), ceil_mode=False)",
        "n5_ = relay.reshape(n4_, (1, 64))",
        "n7_ = relay.transpose(c1, axes=[1, 0])",
        "n7_1 = relay.nn.dense(n5_, n7_)",
        "n8_ = relay.nn.softmax(n7_1, axis=-1)",
        "main = relay.Function([x0], relay.Tuple([n8_]))",
    ]
    assert [c.shape for c in program.constants.values()] == [(4, 3, 3, 3), (64, 10)]


def test_equal_constants_are_one_and_bits_tell_them_apart():
    y = input("y", TensorType(float32, (2,)))
    zero, minus = np.float32(0), np.float32(-0.0)
    sums = [ops.Add()(y, constant(np.asarray(z))) for z in (zero, minus)] + [ops.Mul()(y, constant(np.asarray(zero)))]
    constants = relay_program(graph_of(*sums)).constants
    assert [np.signbit(c).item() for c in constants.values()] == [False, True]


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_operator_has_a_form_of_its_type(name):
    """`relay_program` compares the type of each node's value with the node's."""
    for example in examples(name, 4):
        try:
            source = relay_program(example.graph).source
        except BridgeError as error:
            assert "expected an operator that TVM has" in error.problem
        else:
            compile(source, name, "exec")


def test_open_dimensions_are_an_error():
    y = input("y", TensorType(float32, (Symbol("n"), 2)))
    with pytest.raises(BridgeError, match=r"expected inputs of known dimensions, got y: float32\[n,2\]") as caught:
        relay_program(graph_of(ops.Relu()(y)))
    assert "minicc.graph.bind" in caught.value.hint


def test_an_operator_without_a_form_is_an_error():
    with pytest.raises(BridgeError, match="there is no form of Relax's operator in Relay") as caught:
        Relay().nn.unheard_of()
    assert caught.value.call == "relay.nn.unheard_of" and "minicc ops" in caught.value.hint


def test_windows_have_the_defaults_of_relax():
    room = Relay()
    image, weight = Value(room, "x0", x.type), Value(room, "c0", TensorType(float32, (4, 3, 3, 3)))
    assert room.nn.conv2d(image, weight, padding=1).shape == (1, 4, 8, 8)
    assert room.nn.conv2d(image, weight, [2, 1], [0, 1]).shape == (1, 4, 3, 8)
    assert room.nn.max_pool2d(image, 2, 3, ceil_mode=True).shape == (1, 3, 3, 3)


def test_a_call_that_its_form_does_not_know_is_an_error():
    room = Relay()
    image = Value(room, "x0", x.type)
    with pytest.raises(BridgeError, match="unexpected keyword argument 'data_layout'") as caught:
        room.nn.conv2d(image, image, data_layout="NHWC")
    assert caught.value.call == "relay.nn.conv2d" and "relay_forms.py" in caught.value.hint
    with pytest.raises(BridgeError, match='with mode="mirror"'):
        room.take(image, np.arange(2), axis=0, mode="mirror")


@pytest.mark.parametrize("name, options", [("einsum", "subscripts"), ("nn.pad", "pad_mode"), ("scatter_elements", "reduction"),
                                           ("scatter_nd", "reduction")])  # fmt: skip
def test_a_string_of_a_model_is_no_code(name, options):
    """Operators refuse such strings before; a form does not depend on that."""
    hostile = '") or __import__("os").system("true") or ("\\'
    room = Relay()
    image = Value(room, "x0", TensorType(float32, (2, 2)))
    values = {"einsum": [[image]], "nn.pad": [image, [1, 1, 1, 1]]}.get(name, [image] * 3)
    others = {"axis": 0} if name == "scatter_elements" else {}
    tree = ast.parse(FORMS[name](room, *values, **others, **{options: hostile}), mode="eval")
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert calls == [f"relay.{name}"] and hostile in [n.value for n in ast.walk(tree) if isinstance(n, ast.Constant)]


@pytest.mark.relay
@pytest.mark.parametrize("op, vectors", [(ops.InstanceNormalization(np.inf), 2), (ops.GroupNormalization(1, np.inf), 2),
                                         (ops.LayerNormalization(-1, np.inf), 2), (ops.BatchNormalization(np.inf), 4),
                                         (ops.RMSNormalization(-1, np.inf), 1)], ids=lambda value: getattr(value, "name", ""))  # fmt: skip
def test_attributes_may_be_infinite(op, vectors):
    arrays = [np.float32([[[1, 2, 4], [8, 16, 32], [1, 3, 5]]]), *[np.float32([2, 3, 4])] * vectors]
    example = draws.graph_of(op, arrays)
    got, expected = (run(example.graph, example.inputs)["y"] for run in (run_relay, evaluate))
    np.testing.assert_array_equal(got, expected)


@pytest.mark.relay
def test_the_old_tvm_reads_and_runs_the_program():
    graph = graph_of(ops.Softmax()(ops.MatMul()(NET, table)))
    module = to_relay(graph)
    assert "%x0: Tensor[(1, 3, 8, 8), float32]" in module.text and "nn.conv2d(%x0, %c0" in module.text
    assert list(module.params) == ["c0", "c1"]
    inputs = {"x": np.linspace(-1, 1, 192, dtype=np.float32).reshape(1, 3, 8, 8)}
    np.testing.assert_allclose(run_relay(graph, inputs)["out0"], evaluate(graph, inputs)["out0"], rtol=1e-5)


@pytest.mark.relay
def test_an_input_and_a_constant_of_one_shape_are_not_taken_for_one_another():
    y = input("c0", TensorType(float32, (2, 2)))
    graph = graph_of(ops.Sub()(y, constant(np.float32([[1, 2], [3, 4]]))))
    got = run_relay(graph, {"c0": np.zeros((2, 2), np.float32)})
    np.testing.assert_array_equal(got["out0"], -np.float32([[1, 2], [3, 4]]))


@pytest.mark.relay
@pytest.mark.parametrize(("op", "values"), [
    (ops.Round(), [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, 8388609.0]), (ops.LeakyRelu(-2.0), [-1.0, 1.0]),
    (ops.AveragePool((2,), (2,), (1, 1), ceil_mode=True), [[[1.0, 2.0, 3.0]]]), (ops.MatMul(), np.zeros((2, 0))),
    (ops.ConvTranspose(dilation=(2,)), [[[1.0, 2.0]]]), (ops.LeakyRelu(np.inf), [-1.0, 1.0]),
])  # fmt: skip
def test_where_relay_means_something_else_the_form_is_composed(op, values):
    arrays = [np.asarray(values, np.float32)]
    arrays += [np.ones((0, 3), np.float32)] * (op.name == "MatMul") + [np.ones((1, 1, 2), np.float32)] * (
        op.name == "ConvTranspose"
    )
    example = draws.graph_of(op, arrays)
    np.testing.assert_array_equal(
        run_relay(example.graph, example.inputs)["y"], evaluate(example.graph, example.inputs)["y"]
    )


@pytest.mark.relay
def test_the_old_tvm_sorts_no_uint64():
    """Why TopK of uint64 is refused."""
    source = """
x0 = relay.var("x0", shape=(2,), dtype="uint64")
main = relay.Function([x0], relay.Tuple([relay.topk(x0, k=1, ret_type="values")]))
"""
    y = input("y", TensorType(uint64, (2,)))
    with pytest.raises(BridgeError, match="its sorts have no uint64"):
        relay_program(graph_of(ops.TopK(1)(y)))
    with pytest.raises(OldTvmFailure, match="Unsupported input dtype: uint64"):
        old_tvm().ask("graphs.run", {"source": source, "inputs": ["x0"], "outputs": ["y"]}, {"x0": np.uint64([1, 2])})


@pytest.mark.relay
def test_the_old_tvm_rounds_no_float64_to_float16():
    """Why a cast goes by way of float32."""
    graph = graph_of(ops.Cast(float16)(input("y", TensorType(float64, (2,)))))
    inputs, direct = {"y": np.float64([1.5, -3])}, relay_program(graph).source.replace('"float32"', '"float64"')
    assert run_relay(graph, inputs)["out0"].tolist() == [1.5, -3]
    _, wrong = old_tvm().ask("graphs.run", {"source": direct, "inputs": ["y"], "outputs": ["out0"]}, inputs)
    assert wrong["out0"].tolist() != [1.5, -3]
