"""Quantised operators: the tests of the onnx package, onnxruntime's operators against it, and what is refused."""

import re

import numpy as np
import onnx
import onnx.reference
import pytest
from onnx import TensorProto, helper, numpy_helper

from minicc import backend
from minicc.errors import LoadError, MiniccError
from minicc.frontend import load
from minicc.graph.interpret import evaluate
from minicc.testing.backend_suite import Listed, run_suite
from minicc.testing.oracle import STAGES, agree

onnxruntime = pytest.importorskip("onnxruntime")
random = np.random.default_rng(3)
OF_BYTES = re.compile("quant|qlinear|integer")
NARROW = re.compile("int[24]|e4m3|e5m2|float4")  # dtypes of fewer bits, and floats of 8


def suite(stage):
    tests = {name: test for name, test in backend.node_tests().items() if OF_BYTES.search(name)}

    def run_case(model, inputs):
        graph = load(model)
        return list(STAGES[stage](graph, dict(zip(graph.input_names, inputs, strict=True))).values())

    chosen = [Listed(name, "", "", False, ()) for name in tests if not NARROW.search(name)]
    return run_suite(run_case, tests, chosen)


@pytest.mark.slow  # onnx makes its tests anew, which takes seconds
@pytest.mark.parametrize("stage", ["numpy", "loop", "llvm"])
def test_the_tests_of_onnx_pass(stage):
    results = suite(stage)
    assert [r.listed.test for r in results if not r.passed] == [] and len(results) == 29


# ---- against onnxruntime ----------------------------------------------------------------------------------------


def model(nodes, inputs, constants=(), outputs=("y",), opset=21):
    """A model of nodes; inputs and constants are arrays by name."""
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in inputs.items()
    ]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()]
    graph = helper.make_graph(nodes, "net", infos, [onnx.ValueInfoProto(name=name) for name in outputs], held)
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def byte(shape, dtype=np.uint8):
    info = np.iinfo(dtype)
    return random.integers(info.min, info.max + 1, shape).astype(dtype)


S = np.float32
U, I = np.uint8, np.int8  # noqa: E741
IMAGE = {"x": byte((1, 4, 6, 5)), "xs": S(0.04), "xz": U(120)}
OTHER = {"b": byte((1, 4, 1, 5)), "bs": S(0.03), "bz": U(7)}
GRID = {"ys": S(0.05), "yz": U(101)}
ROWS = {"x": byte((3, 8)), "xs": S(0.02), "xz": U(130)}
WEIGHTS = {"w": byte((8, 5), I), "ws": S(0.01), "wz": I(0)}
CHANNELS = {"w": byte((6, 2, 3, 3), I), "ws": random.uniform(0.01, 0.02, 6).astype(S), "wz": np.zeros(6, I)}
UNARY, BINARY = "x,xs,xz,ys,yz", "x,xs,xz,b,bs,bz,ys,yz"
CASES = {  # domain, operator, inputs, their values, attributes
    "conv": ("", "QLinearConv", "x,xs,xz,w,ws,wz,ys,yz", IMAGE | CHANNELS | GRID, {"group": 2, "pads": [1, 0, 1, 2], "strides": [2, 1]}),
    "conv with bias": ("", "QLinearConv", "x,xs,xz,w,ws,wz,ys,yz,B", IMAGE | CHANNELS | GRID | {"B": np.arange(6, dtype=np.int32) * 900}, {"group": 2, "auto_pad": "SAME_UPPER"}),
    "conv integer": ("", "ConvInteger", "x,w,xz", IMAGE | CHANNELS, {"group": 2, "pads": [1, 1, 1, 1]}),
    "matmul": ("", "QLinearMatMul", "x,xs,xz,w,ws,wz,ys,yz", ROWS | WEIGHTS | GRID, {}),
    "matmul by columns": ("", "QLinearMatMul", "x,xs,xz,w,ws,wz,ys,yz", ROWS | WEIGHTS | GRID | {"ws": random.uniform(0.01, 0.02, 5).astype(S), "wz": byte(5, I)}, {}),
    "matmul integer": ("", "MatMulInteger", "x,w,xz,wz", ROWS | WEIGHTS | {"wz": byte(5, I)}, {}),
    "sums": ("com.microsoft", "QLinearAdd", BINARY, IMAGE | OTHER | GRID, {}),
    "products": ("com.microsoft", "QLinearMul", BINARY, IMAGE | OTHER | GRID, {}),
    "sigmoid": ("com.microsoft", "QLinearSigmoid", UNARY, IMAGE | {"ys": S(1 / 256), "yz": U(0)}, {}),
    "leaky relu": ("com.microsoft", "QLinearLeakyRelu", UNARY, IMAGE | GRID, {"alpha": 0.1}),
    "mean of an image": ("com.microsoft", "QLinearGlobalAveragePool", UNARY, IMAGE | GRID, {}),
    "mean, channels last": ("com.microsoft", "QLinearGlobalAveragePool", UNARY, IMAGE | GRID, {"channels_last": 1}),
    "means": ("com.microsoft", "QLinearAveragePool", UNARY, IMAGE | GRID, {"kernel_shape": [2, 3], "pads": [1, 1, 0, 1]}),
    "where": ("com.microsoft", "QLinearWhere", "f,x,xs,xz,b,bs,bz,ys,yz", IMAGE | OTHER | GRID | {"f": random.random((4, 6, 1)) < 0.5}, {}),
    "softmax": ("com.microsoft", "QLinearSoftmax", UNARY, ROWS | {"ys": S(1 / 256), "yz": U(0)}, {"axis": 1, "opset": 13}),
    "concat": ("com.microsoft", "QLinearConcat", "ys,yz,x,xs,xz,b,bs,bz", IMAGE | OTHER | GRID, {"axis": 2}),
    "gemm": ("com.microsoft", "QGemm", "x,xs,xz,w,ws,wz,c,ys,yz", ROWS | WEIGHTS | GRID | {"w": byte((5, 8), I), "c": np.arange(5, dtype=np.int32) * 99}, {"transB": 1, "alpha": 0.5}),
    "gemm of reals": ("com.microsoft", "QGemm", "x,xs,xz,w,ws,wz", ROWS | WEIGHTS, {}),
    "integers to reals": ("com.microsoft", "MatMulIntegerToFloat", "x,w,xs,ws,xz,wz,bias", ROWS | WEIGHTS | {"bias": np.arange(5, dtype=S)}, {}),
    "dynamic product": ("com.microsoft", "DynamicQuantizeMatMul", "f,w,ws,wz,bias", WEIGHTS | {"f": random.standard_normal((3, 8), S), "bias": np.arange(5, dtype=S)}, {}),
    "quantize": ("com.microsoft", "QuantizeLinear", "f,s,z", {"f": random.standard_normal((3, 8), S), "s": np.full(8, 0.1, S), "z": byte(8)}, {"axis": 1}),
    "attention": ("com.microsoft", "QAttention", "x,w,bias,xs,ws,mask,xz,wz", ROWS | WEIGHTS | {"x": byte((2, 3, 8)), "w": byte((8, 24), I), "bias": random.standard_normal(24).astype(S), "mask": np.ones((2, 3), np.int32)}, {"num_heads": 2}),
    "attention of columns": ("com.microsoft", "QAttention", "x,w,bias,xs,ws", ROWS | {"x": byte((2, 3, 8)), "w": byte((8, 24), I), "bias": random.standard_normal(24).astype(S), "ws": random.uniform(0.01, 0.02, 24).astype(S)}, {"num_heads": 2, "unidirectional": 1}),
    "dequantize by a vector of one": ("", "DequantizeLinear", "x,xs,xz", ROWS | {"xs": np.full(1, 0.02, S)}, {}),
    "dequantize": ("com.microsoft", "DequantizeLinear", "x,xs,xz", ROWS, {}),
}  # fmt: skip


@pytest.mark.parametrize("constant", [False, True], ids=["inputs", "constants"])
@pytest.mark.parametrize("case", CASES)
def test_an_operator_gives_what_onnxruntime_gives(case, constant):
    """Within one step: onnxruntime rounds some of these in float32 in another order, and looks Sigmoid up in a table."""
    domain, operator, inputs, values, attributes = CASES[case]
    names = inputs.split(",")
    held = {name: np.asarray(values[name]) for name in names}
    given = {name: held.pop(name) for name in names if not constant or name in "xf"}
    proto = model([helper.make_node(operator, names, ["y"], domain=domain, **attributes)], given, held)
    (expected,) = onnxruntime.InferenceSession(proto.SerializeToString()).run(["y"], given)
    graph = load(proto)
    (got,) = evaluate(graph, given).values()
    assert (got.dtype, got.shape) == (expected.dtype, expected.shape)
    if got.dtype.kind == "f" or operator.endswith("Integer"):
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    else:
        assert np.abs(got.astype(int) - expected.astype(int)).max() <= 1
        assert (got != expected).mean() <= 0.05
    agree(graph, given, stages=("numpy", "loop"))


NARROW_SHAPES = {"a tensor": ((), {}), "slices": ((6,), {"axis": 0}), "blocks": ((6, 2), {"axis": 1, "block_size": 4})}


@pytest.mark.parametrize("raw", [False, True], ids=["numbers", "raw"])
@pytest.mark.parametrize("kind", ["INT4", "UINT4", "INT2", "UINT2"])
@pytest.mark.parametrize("case", NARROW_SHAPES)
def test_weights_of_few_bits(case, kind, raw):
    """Constants only: they are held in bytes from the moment they are read."""
    shape, attributes = NARROW_SHAPES[case]
    code, count = getattr(TensorProto, kind), 2 ** int(kind[-1])
    dtype = helper.tensor_dtype_to_np_dtype(code)
    low = 0 if kind[0] == "U" else -count // 2
    w, zero = random.integers(low, low + count, (6, 7)), random.integers(low, low + count, shape)
    scale = random.uniform(0.1, 1, shape).astype(S)
    node = helper.make_node("DequantizeLinear", ["w", "s", "z"], ["y"], **attributes)
    proto = model([node], {}, {"s": scale}, opset=25)
    for name, values in (("w", w), ("z", np.asarray(zero))):
        tensor = numpy_helper.from_array(values.astype(dtype), name)
        proto.graph.initializer.append(tensor if raw else helper.make_tensor(name, code, values.shape, values.ravel()))
    (expected,) = onnx.reference.ReferenceEvaluator(proto).run(None, {})
    (got,) = evaluate(load(proto), {}).values()
    np.testing.assert_array_equal(got, expected)


def test_weights_of_few_bits_that_are_cut_off():
    proto = model([helper.make_node("DequantizeLinear", ["w", "s"], ["y"])], {}, {"s": S(1)}, opset=25)
    proto.graph.initializer.append(TensorProto(name="w", data_type=TensorProto.INT4, dims=[3, 3], raw_data=b"1234"))
    with pytest.raises(LoadError, match=r"initializer 'w' of shape \[5\] must have 5 bytes of data, got 4"):
        load(proto)


def test_a_block_that_is_larger_than_the_axis_is_the_axis():
    given = {"x": byte((2, 3))}
    node = helper.make_node("DequantizeLinear", ["x", "s"], ["y"], axis=1, block_size=2**62)
    proto = model([node], given, {"s": np.full((2, 1), 0.5, S)})
    graph = load(proto)
    np.testing.assert_array_equal(evaluate(graph, given)["y"], given["x"] * S(0.5))
    agree(graph, given, stages=("numpy", "loop"))


# ---- what is refused --------------------------------------------------------------------------------------------

BAD = {
    "a scale of zero": (IMAGE | {"xs": S(0)}, "DequantizeLinear", "x,xs,xz", {}, "DequantizeLinear: a scale must be positive and finite, got 0.0 in input 1"),
    "a negative scale": (IMAGE | {"xs": S(-1)}, "DequantizeLinear", "x,xs,xz", {}, "DequantizeLinear: a scale must be positive and finite, got -1.0 in input 1"),
    "a scale that is NaN": (IMAGE | CHANNELS | GRID | {"ws": np.full(6, np.nan, S)}, "QLinearConv", "x,xs,xz,w,ws,wz,ys,yz", {"group": 2}, "QLinearConv: a scale must be positive and finite, got nan in input 4"),
    "a zero point of another dtype": (IMAGE | {"xz": I(3)}, "DequantizeLinear", "x,xs,xz", {}, "expected data and zero points of one of uint8, int8, uint16, int16 or int32, got uint8 and int8"),
    "a zero point of another dtype in a product": (IMAGE | CHANNELS | {"xz": I(3)}, "ConvInteger", "x,w,xz", {"group": 2}, "ConvInteger: input 2, the zero point of input 0, must be uint8 as that, got int8"),
    "a zero point of another shape": (IMAGE | {"xz": byte(4)}, "DequantizeLinear", "x,xs,xz", {}, "scale and zero point must have one shape, got () and (4,)"),
    "an axis out of range": (IMAGE | {"xs": np.ones(4, S), "xz": byte(4)}, "DequantizeLinear", "x,xs,xz", {"axis": 7}, "axis must be in [-4, 3], got 7"),
    "a scale of the wrong length": (IMAGE | {"xs": np.ones(3, S), "xz": byte(3)}, "DequantizeLinear", "x,xs,xz", {}, "expected a scale of shape (4,) or (), got (3,)"),
    "blocks that do not fit": (IMAGE | {"xs": np.ones((1, 3, 6, 5), S), "xz": byte((1, 3, 6, 5))}, "DequantizeLinear", "x,xs,xz", {"block_size": 2}, "expected a scale of shape (1, 2, 6, 5) or (), got (1, 3, 6, 5)"),
    "blocks of a vector": (IMAGE | {"xs": np.ones(2, S), "xz": byte(2)}, "DequantizeLinear", "x,xs,xz", {"block_size": 2}, "blocks of 2 need an axis, and a scale of rank 4, got (2,)"),
    "two dtypes": (ROWS | {"f": random.standard_normal((3, 8), S)}, "QuantizeLinear", "f,xs,xz", {"output_dtype": TensorProto.INT8}, "QuantizeLinear: output_dtype must be that of the zero point, uint8, got int8"),
    "weights of floats": (IMAGE | {"w": np.ones((6, 4, 3, 3), S)}, "ConvInteger", "x,w", {}, "expected integers of uint8, int8 or int16, got uint8 and float32"),
    "a kernel that is another": (IMAGE | CHANNELS, "ConvInteger", "x,w", {"group": 2, "kernel_shape": [5, 5]}, "ConvInteger: kernel_shape must be that of the weights, (3, 3), got (5, 5)"),
    "depths that differ": (ROWS | {"w": byte((7, 5), I)}, "MatMulInteger", "x,w", {}, "inner dimensions must be equal, got 8 and 7"),
    "a dtype that is no grid": (ROWS | {"f": random.standard_normal((3, 8), S)}, "QuantizeLinear", "f,xs", {"output_dtype": TensorProto.INT32}, "expected floats or int32 to become uint8, int8, uint16 or int16, got float32 and int32"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_not_valid_is_refused(case):
    values, operator, inputs, attributes, problem = BAD[case]
    held = {name: np.asarray(values[name]) for name in inputs.split(",")}
    given = {name: held.pop(name) for name in list(held) if name in "xf"}
    proto = model([helper.make_node(operator, inputs.split(","), ["y"], name="bad", **attributes)], given, held)
    with pytest.raises(MiniccError) as refused:
        load(proto)
    assert problem in str(refused.value) and "bad" in str(refused.value) and "hint:" in str(refused.value)


def test_a_concat_without_pairs_is_refused():
    node = helper.make_node("QLinearConcat", ["ys", "yz", "x", "xs"], ["y"], domain="com.microsoft", axis=1)
    held = {name: np.asarray((GRID | IMAGE)[name]) for name in ("ys", "yz", "xs")}
    with pytest.raises(LoadError, match="three inputs for each tensor, got 4 inputs"):
        load(model([node], {"x": IMAGE["x"]}, held))
