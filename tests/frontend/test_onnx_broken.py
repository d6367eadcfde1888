"""Broken ONNX files, each with the whole of what is said of it."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from minicc.errors import MiniccError
from minicc.frontend import load
from minicc.graph.bind import bind

FLOAT = TensorProto.FLOAT
node = helper.make_node
OPSETS = {"": 21, "com.microsoft": 1}


def info(name, shape, dtype=FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def weights(values, name="w", dtype=np.float32):
    return numpy_helper.from_array(np.array(values, dtype), name)


def model(*nodes, x=(2, 3), inputs=(), outputs=("y",), held=(), opsets=OPSETS, **rest):
    """Nodes that read `x`, the inputs and what is held, and make the outputs."""
    values = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph(nodes, "net", [info("x", x), *inputs], values, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(*pair) for pair in opsets.items()], **rest)


def one(kind, *reads, domain="", **rest):
    """One node of `x` and of arrays that the file holds."""
    given = {k: rest.pop(k) for k in ("x", "opsets", "inputs") if k in rest}
    held = [weights(r, f"w{k}", np.float32 if r.dtype == np.float64 else r.dtype) for k, r in enumerate(reads)]
    names = [f"w{k}" for k in range(len(reads))]
    return model(node(kind, ["x", *names], ["y"], domain=domain, **rest), held=held, **given)


def changed(proto, change):
    change(proto)
    return proto


def tensor(**fields):
    return model(
        node("Add", ["x", "w"], ["y"]), held=[TensorProto(**{"name": "w", "data_type": FLOAT, "dims": [3], **fields})]
    )


def i64(*values):
    return np.array(values, np.int64)


def graph(nodes, outputs, inputs=()):
    return helper.make_graph(nodes, "body", inputs, [onnx.ValueInfoProto(name=o) for o in outputs])


def choice(then, otherwise=("b",), flag="c"):
    """An If whose branches give these results of `x`, with a condition that a call brings."""
    made = [graph([node("Relu", ["x"], ["b"])], outputs) for outputs in (then, otherwise) if outputs]
    branches = dict(zip(("then_branch", "else_branch"), made, strict=False))
    return model(node("If", [flag], ["y"], **branches), inputs=[info("c", [], TensorProto.BOOL)])


def loop(trips=3, results=("g", "b"), inputs=3, nodes=None, kind="Loop"):
    """A Loop that carries `x` through a body with these results, and with so many inputs."""
    given = [info("i", [], TensorProto.INT64), info("g", [], TensorProto.BOOL), info("v", [2, 3]), info("u", [2, 3])][
        :inputs
    ]
    body = graph(nodes or [node("Relu", ["v"], ["b"])], results, given)
    return model(node(kind, ["n", "", "x"], ["y"], body=body), held=[weights(trips, "n", np.int64)])


CASES = {  # what is in the file: the file, and what is said
    "nothing": (b"", 'expected an ONNX model, got an empty file'),
    "a picture": (b"\x89PNG\r\n\x1a\n" + b"\0" * 30, 'expected an ONNX model, got a PNG image'),
    "a pickle": (b"\x80\x04\x95\0\0", 'expected an ONNX model, got PyTorch weights or a pickled module'),
    "a page": (b"<!DOCTYPE html><html></html>", 'expected an ONNX protobuf, got an HTML page'),
    "text": (b"input: x\noutput: y\n", "expected an ONNX protobuf, got text that begins with 'input: x'"),
    "no graph": (changed(model(node("Relu", ["x"], ["y"])), lambda m: m.ClearField("graph")), "expected a model with a graph and an opset of ai.onnx, got no graph with opsets {'ai.onnx': 21, 'com.microsoft': 1}"),
    "no opset": (model(node("Relu", ["x"], ["y"]), opsets={}), 'expected a model with a graph and an opset of ai.onnx, got one with opsets {}'),
    "two opsets of one domain": (changed(model(node("Relu", ["x"], ["y"])), lambda m: m.opset_import.add(domain="ai.onnx", version=9)), "expected one opset of each domain, got ai.onnx 9, ai.onnx 21, com.microsoft 1"),
    "an unknown domain": (one("Relu", domain="org.example"), 'operators that are not supported: 1, on 1 nodes'),
    "an operator of training": (one("BatchNormalization", *[np.ones(3)] * 4, training_mode=1), 'BatchNormalization: training mode is not supported'),
    "an input that nobody makes": (model(node("Add", ["x", "w"], ["y"])), "input 'w' must be an input, an initializer or the result of a node, got nothing"),
    "an output that nobody makes": (model(node("Relu", ["x"], ["z"])), "output 'y' must be computed, got it nowhere"),
    "a name twice": (model(node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])), "value 'y' must be defined once"),
    "itself": (model(node("Relu", ["y"], ["y"])), 'a graph must have no cycle, got one of 1 nodes'),
    "weights of 2**62 elements": (tensor(dims=[2**31, 2**31]), "initializer 'w' must have dimensions >= 0 and at most 2**40 elements, got [2147483648, 2147483648]"),
    "weights of -1 elements": (tensor(dims=[-1]), "initializer 'w' must have dimensions >= 0 and at most 2**40 elements, got [-1]"),
    "weights with a byte too few": (tensor(raw_data=b"\0" * 11), "initializer 'w' of shape [3] must have 12 bytes of data, got 11"),
    "weights of strings": (tensor(data_type=TensorProto.STRING, string_data=[b"a"] * 3), "initializer 'w' has element type string, which is not supported"),
    "weights of 4 bits": (tensor(data_type=TensorProto.FLOAT4E2M1, raw_data=b"\0\0"), "initializer 'w' has element type float4e2m1, which is not supported"),
    "weights at the root": (changed(tensor(data_location=1), lambda m: m.graph.initializer[0].external_data.add(key="location", value="/etc/passwd")), "initializer 'w' keeps its data in the file '/etc/passwd', and the model has no folder"),
    "a dimension of -7": (changed(model(node("Relu", ["x"], ["y"])), lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", -7)), "input 'x' must have dimensions >= 0 and at most 2**40 elements, got [-7, 3]"),
    "a product of other sizes": (one("MatMul", np.ones((4, 5))), 'inner dimensions must be equal, got 3 and 4'),
    "a sum of other sizes": (one("Add", np.ones((4, 3))), 'shapes must broadcast, got (2, 3) and (4, 3)'),
    "a sum of other types": (one("Add", i64(1)), 'inputs must have one dtype, got float32 and int64'),
    "a convolution of other channels": (one("Conv", np.ones((4, 5, 3, 3)), x=(1, 2, 8, 8)), 'expected 5 input channels, and channels that 1 groups divide'),
    "groups that do not divide": (one("Conv", np.ones((3, 1, 3, 3)), x=(1, 2, 8, 8), group=2), 'expected 2 input channels, and channels that 2 groups divide'),
    "a step of zero": (one("MaxPool", x=(1, 2, 8, 8), kernel_shape=[2, 2], strides=[0, 1]), 'expected 2 strides >= 1, got (0, 1)'),
    "a window of zero": (one("MaxPool", x=(1, 2, 8, 8), kernel_shape=[0, 2]), 'expected a kernel of 2 extents >= 1, got (0, 2)'),
    "pads of 10**12": (one("MaxPool", x=(1, 2, 8, 8), kernel_shape=[2, 2], pads=[10**12] * 4), 'MaxPool: a result of float32[1,2,2000000000007,2000000000007] is more than 2**40 elements'),
    "an axis that is not there": (one("Softmax", axis=4), 'axis must be in [-2, 1], got 4'),
    "a permutation that is none": (one("Transpose", perm=[0, 0]), 'perm must be a permutation of 0..1, got (0, 0)'),
    "a shape of other size": (one("Reshape", i64(4, 2)), 'expected a shape of 6 elements beside those copied, got (4, 2)'),
    "two unknown sizes": (one("Reshape", i64(-1, -1)), 'a shape has dimensions >= 0 and at most one -1, got (-1, -1)'),
    "a size of -5": (one("Reshape", i64(-5, 6)), 'a shape has dimensions >= 0 and at most one -1, got (-5, 6)'),
    "a shape of parts of numbers": (one("Reshape", np.float32([1.5, 4])), 'expected whole numbers as shape, got [1.5, 4.0]'),
    "10**12 repeats": (one("Tile", i64(10**9, 10**6)), 'Tile: a result of float32[2000000000,3000000] is more than 2**40 elements'),
    "parts that are too many": (one("Split", i64(5, 5), axis=1), 'expected 1 sizes >= 0 that add up to 3, got (5, 5)'),
    "steps of zero": (one("Slice", i64(0), i64(2), i64(0), i64(0)), 'a step must not be 0'),
    "an attribute of another type": (one("Softmax", axis="last"), "Softmax: attribute 'axis' must be INT, got STRING"),
    "an attribute that does not exist": (one("Relu", speed=9), "Relu: attribute 'speed' does not exist in opset 21"),
    "an attribute that is missing": (one("Concat"), "Concat: attribute 'axis' is required"),
    "a cast to text": (one("Cast", to=TensorProto.STRING), 'attribute to of model:0 Cast has element type string, which is not supported'),
    "an equation that is none": (one("Einsum", equation="ij,jk->ik"), 'the equation has 2 terms for 1 inputs'),
    "a scale of other length": (one("QuantizeLinear", np.ones(7), np.zeros(7, np.uint8), axis=1), 'expected a scale of shape (3,) or (), got (7,)'),
    "a scale of integers": (one("QuantizeLinear", i64(1)), 'expected a scale of float32, float16 or bfloat16, got int64'),
    "a dequantised float": (one("DequantizeLinear", np.float32(1.0)), 'expected data and zero points of one of uint8, int8, uint16, int16 or int32, got float32'),
    "a quantised product of floats": (model(node("QLinearMatMul", ["x", *"abcdefg"], ["y"]), held=[weights(np.ones((3, 3)), "c"), *(weights(1, name) for name in "abdefg")]), 'expected floats, and zero points of uint8, int8, uint16 or int16'),
    "words of no bits": (one("MatMulNBits", np.zeros((4, 1, 16), np.uint8), np.ones(4), domain="com.microsoft", K=3, N=4, bits=0, block_size=32), 'MatMulNBits: expected 2, 4 or 8 bits in blocks of 16, 32, ... and positive N and K, got 0, 32, 4, 3'),
    "a block that is no power of two": (one("MatMulNBits", np.zeros((4, 1, 16), np.uint8), np.ones(4), domain="com.microsoft", K=3, N=4, bits=4, block_size=7), 'MatMulNBits: expected 2, 4 or 8 bits in blocks of 16, 32, ... and positive N and K, got 4, 7, 4, 3'),
    "an operator of Microsoft's that is not there": (one("NhwcMaxPool", domain="com.microsoft"), 'operators that are not supported: 1, on 1 nodes'),
    "a norm of another size": (one("SkipLayerNormalization", np.ones((2, 3)), np.ones(5), domain="com.microsoft", x=(1, 2, 3)), 'shapes must broadcast, got (1, 2, 3) and (5,)'),
    "states of another size": (one("LSTM", np.ones((1, 8, 3)), np.ones((1, 8, 5)), x=(4, 1, 3), hidden_size=2), 'W must have shape (1, 20, 3), got (1, 8, 3)'),
    "a direction that is none": (one("GRU", np.ones((1, 6, 3)), np.ones((1, 6, 2)), x=(4, 1, 3), hidden_size=2, direction="sideways"), "no direction 'sideways'"),
    "branches of other numbers of results": (choice(("b",), ("b", "b")), "If: a branch must have no inputs, and 1 outputs as the If, got 0 and 2 of 'body'"),
    "a branch with a result that nobody makes": (choice(("z",)), "input 'z' must be an input, an initializer or the result of a node, got nothing"),
    "a branch that is missing": (choice(("b",), ()), "If: attribute 'else_branch' is required"),
    "a condition of floats": (choice(("b",), flag="x"), 'expected a shape of 6 elements beside those copied, got ()'),
    "a body without a condition": (loop(results=("b",)), 'Loop: its body must have 3 inputs and at least 2 outputs, got 3 and 1'),
    "a body of too few inputs": (loop(inputs=2), "input 'v' must be an input, an initializer or the result of a node, got nothing"),
    "a body of too many inputs": (loop(inputs=4), 'Loop: its body must have 3 inputs and at least 2 outputs, got 4 and 2'),
    "a body that reads what nobody makes": (loop(nodes=[node("Add", ["v", "nowhere"], ["b"])]), "input 'nowhere' must be an input, an initializer or the result of a node, got nothing"),
    "a body with an operator that is not there": (loop(nodes=[node("Imagine", ["v"], ["b"])]), 'operators that are not supported: 1, on 1 nodes'),
    "2**62 trips": (loop(trips=2**62), 'expected a loop that ends, got 4,611,686,018,427,387,904 trips, and a condition that no trip changes'),
    "a scan of nothing": (model(node("Scan", ["x"], ["y"], body=graph([node("Relu", ["v"], ["b"])], ["b"], [info("v", [3])]), num_scan_inputs=4)), 'Scan: num_scan_inputs must be 1 to 1, got 4'),
}  # fmt: skip


def what_is_said(source):
    with pytest.raises(MiniccError) as caught:
        bind(load(source if isinstance(source, bytes) else source.SerializeToString()))
    return caught.value


@pytest.mark.parametrize("name", CASES)
def test_a_broken_file_is_refused(name):
    source, said = CASES[name]
    error = what_is_said(source)
    assert error.call and error.where and error.hint
    assert error.problem == said
