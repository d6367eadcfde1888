"""Modules of TVM's graph IR come over as graphs, and what they compute stays the same."""

import importlib

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, given, seed, settings
from onnx import helper

import minicc
from minicc.bridge import _tvm
from minicc.bridge.from_relax import from_relax
from minicc.bridge.relax import build_relax, to_relax
from minicc.bridge.tvm_layers import TRANSLATIONS
from minicc.errors import BridgeError
from minicc.graph import Graph, evaluate, input, make, verify
from minicc.ops.base import REGISTRY
from minicc.testing.strategies import graphs, operators
from minicc.types import Symbol, TensorType, float32

tvm = _tvm.load()
relax, op, nn = tvm.relax, tvm.relax.op, tvm.relax.op.nn
ROUNDED = ("Celu", "Elu", "Selu", "Mish", "LRN", "LpNormalization", "MeanVarianceNormalization", "GroupNormalization",
           "InstanceNormalization", "LayerNormalization", "RMSNormalization", "BatchNormalization", "Gelu", "ReduceLogSumExp",
           "ReduceL2", "LogSoftmax", "Softmax", "Resize", "HardSwish", "HardSigmoid", "Softplus", "PackedMatMul",
           "Det", "PackedConv", "ConvTranspose", "Gemm", "Einsum", "Pow")  # fmt: skip
CANDIDATES = sorted(set(REGISTRY) - {"Input", "Constant", "Kernel"})
QUIET = settings(max_examples=6, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def f32(*shape):
    return relax.TensorType(list(shape), "float32")


def there_and_back(graph):
    """The graph from the module of `graph`, or None where an operator has no form in TVM."""
    try:
        module = to_relax(graph)
    except BridgeError:
        return None
    back = from_relax(module)
    verify(back)
    return back


def assert_same(graph, back, arrays, exact=True):
    with np.errstate(all="ignore"):
        expected = list(evaluate(graph, dict(zip(graph.input_names, arrays, strict=True))).values())
        got = list(evaluate(back, dict(zip(back.input_names, arrays, strict=True))).values())
    assert [g.dtype for g in got] == [e.dtype for e in expected]
    for g, e in zip(got, expected, strict=True):
        if exact or e.dtype.kind in "biu":
            np.testing.assert_array_equal(*(a.astype(np.float64) if a.dtype.kind == "V" else a for a in (g, e)))
        else:
            near = 2e-2 if e.dtype.itemsize == 2 else 1e-4
            np.testing.assert_allclose(g.astype(np.float64), e.astype(np.float64), rtol=near, atol=near)


# ---- there and back -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", CANDIDATES)
def test_an_operator_comes_back_as_it_went(name):
    @QUIET
    @given(operators(name))
    def check(example):
        made, arrays = example
        assume(name not in ROUNDED or all(np.isfinite(a.astype(np.float64)).all() for a in arrays))
        inputs = tuple(input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays))
        graph = Graph("main", inputs, (make(made, inputs),), ("y",))
        if (back := there_and_back(graph)) is not None:
            assert_same(graph, back, arrays, exact=name not in ROUNDED)

    check()


@seed(0)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(max_nodes=8, names=[n for n in CANDIDATES if n not in ROUNDED]))
def test_a_random_graph_comes_back_as_it_went(example):
    back = there_and_back(example.graph)
    assume(back is not None)
    assert_same(example.graph, back, list(example.inputs.values()))


# ---- modules by hand ----------------------------------------------------------------------------


def module_of(build, *params):
    """A module whose main function returns what `build(bb, *params)` gives."""
    bb = relax.BlockBuilder()
    variables = [relax.Var(f"x{k}", p) for k, p in enumerate(params)]
    with bb.function("main", variables):
        with bb.dataflow():
            made = build(bb, *variables)
            result = bb.emit_output(relax.Tuple(made) if isinstance(made, (list, tuple)) else made)
        bb.emit_func_output(result)
    return bb.finalize()


def run_tvm(module, arrays):
    out = build_relax(module)["main"](*[tvm.runtime.tensor(a) for a in arrays])
    return [o.numpy() for o in (out if isinstance(out, (tuple, list)) or not hasattr(out, "numpy") else [out])]


def arrays_for(module, seed=0):
    random = np.random.default_rng(seed)
    found = []
    for p in module["main"].params:
        shape = [int(d) for d in p.ty.shape.values]
        is_index = str(p.ty.dtype).startswith("int")
        found.append(
            (random.integers(0, 3, shape) if is_index else random.standard_normal(shape)).astype(str(p.ty.dtype))
        )
    return found


def assert_agrees(module, arrays=None):
    """minicc's graph of a module and TVM's code of it give the same."""
    arrays = arrays_for(module) if arrays is None else arrays
    graph = from_relax(module)
    verify(graph)
    got = list(evaluate(graph, dict(zip(graph.input_names, arrays, strict=True))).values())
    for g, e in zip(got, run_tvm(module, arrays), strict=True):
        assert (g.dtype, g.shape) == (e.dtype, e.shape)
        np.testing.assert_allclose(g.astype(np.float64), e.astype(np.float64), rtol=2e-4, atol=2e-4)
    return graph


def vector(bb, values):
    return bb.emit(relax.const(np.asarray(values, np.float32)))


IMAGE, KERNEL, MATRIX = f32(1, 4, 6, 6), f32(6, 4, 3, 3), f32(4, 6)
ONES = np.ones(4, np.float32)
INDICES = relax.TensorType([3], "int64")
MODULES = {
    "conv, bias, relu": (lambda bb, x, w: nn.relu(bb.emit(op.add(bb.emit(nn.conv2d(x, w, padding=1)), relax.const(np.ones((6, 1, 1), np.float32))))), IMAGE, KERNEL),
    "conv NHWC HWIO": (lambda bb, x, w: nn.conv2d(x, w, strides=2, padding=(1, 0, 2, 1), data_layout="NHWC", kernel_layout="HWIO"), f32(1, 6, 6, 4), f32(3, 3, 4, 6)),
    "conv in groups": (lambda bb, x, w: nn.conv2d(x, w, groups=2, dilation=2), IMAGE, f32(6, 2, 2, 2)),
    "conv1d": (lambda bb, x, w: nn.conv1d(x, w, padding=1), f32(1, 4, 9), f32(6, 4, 3)),
    "conv transposed": (lambda bb, x, w: nn.conv2d_transpose(x, w, strides=2, padding=1, output_padding=1), IMAGE, f32(4, 3, 3, 3)),
    "pools": (lambda bb, x: [bb.emit(nn.max_pool2d(x, (3, 2), (2, 2), (1, 0, 1, 0))), bb.emit(nn.avg_pool2d(x, (3, 3), (2, 2), (1, 1, 1, 1), count_include_pad=True)), bb.emit(nn.adaptive_avg_pool2d(x, (1, 1))), bb.emit(nn.adaptive_avg_pool2d(x, (3, 2)))], IMAGE),
    "pool NHWC": (lambda bb, x: nn.max_pool2d(x, (2, 2), (2, 2), layout="NHWC"), IMAGE),
    "batch norm": (lambda bb, x: bb.emit(nn.batch_norm(x, relax.const(ONES), relax.const(ONES), relax.const(ONES), relax.const(2 * ONES), axis=1, training=False))[0], IMAGE),
    "batch norm, channels last": (lambda bb, x: bb.emit(nn.batch_norm(x, relax.const(2 * ONES), relax.const(ONES), relax.const(ONES), relax.const(2 * ONES), axis=3, scale=False, training=False))[0], f32(2, 3, 3, 4)),
    "normalisations": (lambda bb, x, g: [bb.emit(nn.layer_norm(x, g, g, [-1])), bb.emit(nn.rms_norm(x, g, [-1]))], MATRIX, f32(6)),
    "group norm": (lambda bb, x: nn.group_norm(x, relax.const(ONES), relax.const(2 * ONES), 2, 1, [2, 3]), IMAGE),
    "softmaxes": (lambda bb, x: [bb.emit(nn.softmax(x, 0)), bb.emit(nn.log_softmax(x))], MATRIX),
    "reductions": (lambda bb, x: [bb.emit(op.sum(x, [1], keepdims=True)), bb.emit(op.mean(x)), bb.emit(op.max(x, [0])), bb.emit(op.min(x, [-1])), bb.emit(op.prod(x, [0])), bb.emit(op.variance(x, [1])), bb.emit(op.std(x, [1], keepdims=True)), bb.emit(op.argmax(x, 1)), bb.emit(op.argmin(x))], MATRIX),
    "tuples": (lambda bb, x: (lambda parts: [parts[1], bb.emit(op.add(parts[0], parts[1]))])(bb.emit(op.split(x, 2, 1))), MATRIX),
    "split at points": (lambda bb, x: (lambda parts: [bb.emit(parts[0]), bb.emit(parts[2])])(bb.emit(op.split(x, [1, 3], 1))), MATRIX),
    "concat and stack": (lambda bb, x: [bb.emit(op.concat([x, x], 1)), bb.emit(op.stack([x, x], 1))], MATRIX),
    "slices": (lambda bb, x: [bb.emit(op.strided_slice(x, [1], [1], [5], [2])), bb.emit(op.strided_slice(x, [0, 1], [-1, -2], [-5, 100], [-2, 1])), bb.emit(op.flip(x, 1))], MATRIX),
    "movement": (lambda bb, x: [bb.emit(op.permute_dims(x)), bb.emit(op.permute_dims(x, [-1, 0])), bb.emit(op.reshape(x, (2, -1))), bb.emit(op.expand_dims(x, [0, 3])), bb.emit(op.flatten(x)), bb.emit(op.tile(x, (2, 1, 3))), bb.emit(op.repeat(x, 2, 1)), bb.emit(op.tril(x, 1)), bb.emit(op.triu(x))], MATRIX),
    "squeeze and broadcast": (lambda bb, x: [bb.emit(op.squeeze(x)), bb.emit(op.broadcast_to(x, (2, 4, 6)))], f32(1, 4, 1)),
    "pads": (lambda bb, x: [bb.emit(nn.pad(x, [1, 2, 0, 1], "constant", 3.0)), bb.emit(nn.pad(x, [1, 2, 0, 1], "reflect")), bb.emit(nn.pad(x, [1, 2, 0, 1], "replicate")), bb.emit(nn.pad(x, [1, 2, 0, 1], "circular"))], MATRIX),
    "take": (lambda bb, x, i: [bb.emit(op.take(x, i, axis=1)), bb.emit(op.take(bb.emit(op.flatten(x)), i)), bb.emit(op.take(x, bb.emit(op.subtract(i, relax.const(2, "int64"))), axis=0, mode="wrap")), bb.emit(op.take(x, bb.emit(op.multiply(i, relax.const(3, "int64"))), axis=0, mode="clip"))], MATRIX, INDICES),
    "gathers": (lambda bb, x, i: [bb.emit(op.gather_elements(x, i, 1)), bb.emit(op.gather_nd(x, i))], MATRIX, relax.TensorType([4, 2], "int64")),
    "one hot": (lambda bb, i: op.one_hot(bb.emit(op.subtract(i, relax.const(1, "int64"))), relax.prim_value(tvm.tirx.FloatImm("float32", 2)), relax.prim_value(tvm.tirx.FloatImm("float32", -1)), 2), INDICES),
    "sums and sorts": (lambda bb, x: [bb.emit(op.cumsum(x, 1)), bb.emit(op.cumsum(x, 0, exclusive=True)), bb.emit(op.sort(x, 0)), bb.emit(op.argsort(x, 1, descending=True)), *(lambda t: [bb.emit(t[0]), bb.emit(t[1])])(bb.emit(op.topk(x, 2)))], MATRIX),
    "selection": (lambda bb, x: [bb.emit(op.where(bb.emit(op.greater(x, relax.const(0.0, "float32"))), x, bb.emit(op.exp(x)))), bb.emit(op.clip(x, -0.5, 0.5)), bb.emit(op.astype(x, "int32"))], MATRIX),
    "activations": (lambda bb, x: [bb.emit(f(x)) for f in (nn.gelu, nn.gelu_tanh, nn.silu, nn.relu6, nn.leakyrelu, nn.softplus, nn.selu, op.sigmoid, op.rsqrt, op.square, op.trunc)], MATRIX),
    "division": (lambda bb, x: [bb.emit(f(x, relax.const(2.5, "float32"))) for f in (op.divide, op.floor_divide, op.floor_mod, op.mod, op.power)], MATRIX),
    "division of integers": (lambda bb, x: [bb.emit(f(bb.emit(op.subtract(x, relax.const(1, "int64"))), relax.const(-2, "int64"))) for f in (op.divide, op.floor_divide, op.floor_mod, op.mod)], INDICES),
    "filled": (lambda bb, x: [bb.emit(op.full((2, 3), relax.const(1.5, "float32"))), bb.emit(op.zeros((2,), "int32")), bb.emit(op.ones_like(x)), bb.emit(op.zeros_like(x)), bb.emit(op.arange(1, 8, 3, "int64"))], MATRIX),
    "products": (lambda bb, x: [bb.emit(op.matmul(x, op.permute_dims(x))), bb.emit(op.einsum([x, x], "ij,kj->ik"))], MATRIX),
    "resize": (lambda bb, x: [bb.emit(op.image.resize2d(x, (12, 9))), bb.emit(op.image.resize2d(x, (3, 12), method="nearest_neighbor", coordinate_transformation_mode="asymmetric", rounding_method="floor")), bb.emit(op.image.resize2d(x, (9, 9), method="cubic", coordinate_transformation_mode="align_corners"))], IMAGE),
    "shapes": (lambda bb, x: [bb.emit(op.shape_to_tensor(bb.emit(op.shape_of(x))))], MATRIX),
    "prelu": (lambda bb, x, s: nn.prelu(x, s, 1), IMAGE, f32(4)),
    "scatter": (lambda bb, x, i: op.scatter_elements(x, i, x, 0, "add"), f32(3), INDICES),
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_a_module_by_hand_agrees_with_tvm(name):
    build, *params = MODULES[name]
    assert_agrees(module_of(lambda bb, *xs: _emitted(bb, build(bb, *xs)), *params))


def _emitted(bb, made):
    return made if isinstance(made, (list, tuple, relax.Var)) else bb.emit(made)


def test_a_module_in_tvmscript_comes_over():
    module = tvm.script.from_source("""
@I.ir_module
class Module:
    @R.function
    def scaled(x: R.Tensor((2, 3), "float32")) -> R.Tensor((2, 3), "float32"):
        y = R.multiply(x, x)
        return y

    @R.function
    def main(x: R.Tensor((2, 3), "float32"), w: R.Tensor((3, 4), "float32")) -> R.Tensor((2, 4), "float32"):
        cls = Module
        a = cls.scaled(x)
        with R.dataflow():
            b = R.matmul(a, w)
            c = R.nn.relu(b)
            R.output(c)
        return c
""")
    graph = assert_agrees(module)
    assert graph.input_names == ("x", "w") and graph.output_names == ("out",)
    assert [n.op.name for n in graph.nodes[2:]] == ["Mul", "MatMul", "Relu"]
    assert graph.where(graph.nodes[3]) == "main:0 relax.matmul 'b'"


def test_a_shape_may_be_a_constant_tensor():
    module = module_of(
        lambda bb, x: bb.emit(op.reshape(x, bb.emit(op.tensor_to_shape(relax.const(np.array([3, 8])))))), MATRIX
    )
    assert from_relax(module).outputs[0].type.shape == (3, 8)


def test_what_tvm_imported_comes_over():
    """The same ONNX model by TVM's importer and from_relax, and by minicc's own."""
    random = np.random.default_rng(0)
    weights = {"w": random.standard_normal((5, 3, 3, 3), np.float32), "b": random.standard_normal(5, np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]), helper.make_node("Relu", ["c"], ["r"]),
             helper.make_node("GlobalAveragePool", ["r"], ["p"]), helper.make_node("Flatten", ["p"], ["f"]),
             helper.make_node("Softmax", ["f"], ["y"])]  # fmt: skip
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3, 8, 8])],
                              [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 5])],
                              [onnx.numpy_helper.from_array(a, name) for name, a in weights.items()])  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    from_onnx = importlib.import_module("tvm.relax.frontend.onnx").from_onnx
    x = random.standard_normal((2, 3, 8, 8), np.float32)
    got = evaluate(from_relax(from_onnx(model, keep_params_in_input=False)), {"x": x})["out"]
    np.testing.assert_allclose(got, minicc.compile(model).run({"x": x})["y"], rtol=1e-5, atol=1e-6)


def test_symbolic_dimensions_stay_symbols():
    n = tvm.tirx.Var("n", "int64")
    module = module_of(
        lambda bb, x: bb.emit(op.reshape(bb.emit(nn.relu(x)), (n, 2, 3))), relax.TensorType([n, 6], "float32")
    )
    graph = from_relax(module)
    assert graph.inputs[0].type == TensorType(float32, (Symbol("n"), 6))
    assert graph.outputs[0].type == TensorType(float32, (Symbol("n"), 2, 3))


def test_parameters_with_a_value_become_constants():
    module = module_of(lambda bb, x, w: bb.emit(op.add(x, w)), f32(2), f32(2))
    graph = from_relax(module, params={"x1": np.float32([1, 2])})
    assert graph.input_names == ("x0",)
    np.testing.assert_array_equal(evaluate(graph, {"x0": np.float32([1, 1])})["out"], [2, 3])


def test_a_function_without_a_module_comes_over():
    module = module_of(lambda bb, x: bb.emit(nn.relu(x)), f32(2))
    assert [n.op.name for n in from_relax(module["main"]).nodes] == ["Input", "Relu"]


# ---- what does not come over --------------------------------------------------------------------


def test_all_that_is_not_supported_is_reported_at_once():
    def build(bb, x):
        a, b = bb.emit(op.erf(x)), bb.emit(op.unique(x, return_index=False))
        c = bb.emit(op.log_add_exp(a, a), name_hint="odd")
        d = bb.emit(op.log_add_exp(c, a))
        return [d, bb.emit(nn.pad(x, [1, 1], "symmetric"))] if b is not None else [d]

    with pytest.raises(BridgeError) as caught:
        from_relax(module_of(build, f32(4)))
    assert "not supported: 3, on 4 variables" in caught.value.problem
    assert "relax.log_add_exp: 2 x (odd, " in caught.value.where
    assert (
        "relax.unique" in caught.value.where and 'pad_mode="symmetric", which TVM takes for zero' in caught.value.where
    )
    assert caught.value.hint


def test_tir_functions_are_named_and_never_run():
    module = module_of(lambda bb, x: bb.emit(nn.relu(x)), f32(4))
    with pytest.raises(BridgeError, match=r"relax\.call_tir of the TIR function relu: 1 x"):
        from_relax(relax.transform.LegalizeOps()(module))


REFUSED = {
    "training": (lambda bb, x: bb.emit(nn.batch_norm(x, relax.const(ONES), relax.const(ONES), relax.const(ONES), relax.const(ONES), axis=1))[0], IMAGE),
    "layout": (lambda bb, x: nn.max_pool2d(x, (2, 2), layout="NCHW2c", out_layout="NCHW2c"), f32(1, 2, 4, 4, 2)),
    "unequal size": (lambda bb, x: nn.adaptive_avg_pool2d(x, (4, 4)), IMAGE),
    "last ones": (lambda bb, x: nn.layer_norm(x, relax.const(ONES), relax.const(ONES), [0]), MATRIX),
    "channels elsewhere": (lambda bb, x: nn.instance_norm(x, relax.const(np.ones(6, np.float32)), relax.const(np.ones(6, np.float32)), 3, [1, 2]), IMAGE),
    'reduction="mean"': (lambda bb, x, i: op.scatter_elements(x, i, x, 0, "mean"), f32(3), INDICES),
    'mode="nan"': (lambda bb, x, i: op.take(x, i, 0, mode="nan"), MATRIX, INDICES),
    "of a tensor that is computed": (lambda bb, i: bb.emit(op.zeros(bb.emit(op.tensor_to_shape(bb.emit(op.add(i, i)))), "float32")), INDICES),
    "tf_crop_and_resize": (lambda bb, x: op.image.resize2d(x, (3, 3), roi=(0.0, 0.0, 1.0, 1.0), coordinate_transformation_mode="tf_crop_and_resize"), IMAGE),
}  # fmt: skip


@pytest.mark.parametrize("reason", REFUSED)
def test_what_minicc_cannot_express_says_why(reason):
    build, *params = REFUSED[reason]
    with pytest.raises(BridgeError) as caught:
        from_relax(module_of(lambda bb, *xs: _emitted(bb, build(bb, *xs)), *params))
    assert reason in caught.value.where


@pytest.mark.parametrize(("channels", "axes"), [(1, [2]), (3, [1, 2])])
def test_a_spatial_norm_needs_its_channels_and_its_axes_where_they_are(channels, axes):
    ones = relax.const(np.ones((2, 4, 6, 6)[channels], np.float32))
    with pytest.raises(BridgeError) as caught:
        from_relax(module_of(lambda bb, x: bb.emit(nn.instance_norm(x, ones, ones, channels, axes)), f32(2, 4, 6, 6)))
    assert "channels elsewhere" in caught.value.where


N = tvm.tirx.Var("n", "int64")
UNKNOWN_SHAPES = {
    "dimensions that are not known": lambda bb, x: op.repeat(x, 2, 0),
    "of a shape that is not known": lambda bb, x: op.ones_like(x),
    "to a shape that is not known": lambda bb, x: op.reshape(x, (2, N * 3, N - N + 1)),
    "on a tensor of a shape that is not known": lambda bb, x: op.sum(
        bb.emit(op.reshape(bb.emit(op.concat([x, x])), (12, N))), [-1]
    ),
    "along an axis that is not known": lambda bb, x: op.sort(x, 0),
    "bounds that are not known": lambda bb, x: op.arange(N),
}


@pytest.mark.parametrize("reason", UNKNOWN_SHAPES)
def test_what_a_symbol_leaves_open_says_so(reason):
    with pytest.raises(BridgeError) as caught:
        from_relax(module_of(lambda bb, x: bb.emit(UNKNOWN_SHAPES[reason](bb, x)), relax.TensorType([N, 6], "float32")))
    assert reason in caught.value.where


def test_wrong_calls_are_refused():
    module = module_of(lambda bb, x: bb.emit(nn.relu(x)), f32(4))
    for wrong, said in [
        (lambda: from_relax("module"), "expected an IRModule or a relax.Function, got str"),
        (lambda: from_relax(module, "other"), "expected one of the Relax functions main, got 'other'"),
        (lambda: from_relax(module, params={"w": ONES}), "expected one of the parameters x0, got a value for 'w'"),
        (
            lambda: from_relax(module_of(lambda bb: relax.const(ONES)), params={"x": ONES}),
            "expected no values of parameters, as there are none",
        ),
        (lambda: from_relax(module, params=["x0"]), "expected params as a mapping from names to arrays, got list"),
        (lambda: from_relax(5), "expected an IRModule or a relax.Function, got int"),
        *(
            (
                lambda dtype=dtype: from_relax(module_of(lambda bb, x: x, relax.TensorType([4], dtype))),
                "of the dtypes of minicc, got x0: ",
            )
            for dtype in ("float8_e4m3fn", "int4")
        ),
        (
            lambda: from_relax(module, params={"x0": np.ones(5, np.float32)}),
            "expected float32[4] for the parameter x0, got float32[5]",
        ),
        (
            lambda: from_relax(module_of(lambda bb, x: bb.emit(nn.relu(x)), relax.TensorType(dtype="float32", ndim=2))),
            "known rank",
        ),
        (
            lambda: from_relax(module_of(lambda bb, x: bb.emit(relax.ShapeExpr([2])), f32(1))),
            "expected a result of tensors",
        ),
    ]:
        with pytest.raises(BridgeError) as caught:
            wrong()
        assert said in caught.value.problem and caught.value.hint and caught.value.call.startswith("from_relax(")


def test_two_variables_of_one_name_are_two_symbols():
    first, second = (tvm.tirx.Var("n", "int64") for _ in range(2))
    taken = tvm.tirx.Var("n_1", "int64")
    shapes = [relax.TensorType([n, 6], "float32") for n in (first, taken, second, first)]
    graph = from_relax(module_of(lambda bb, *xs: [bb.emit(nn.relu(x)) for x in xs], *shapes))
    names = [n.type.shape[0].name for n in graph.inputs]
    assert names[0] == names[3] == "n" and names[1] == "n_1" and len(set(names)) == 3
    arrays = [np.full((size, 6), -1, np.float32) for size in (2, 3, 4, 2)]
    assert [out.shape[0] for out in evaluate(graph, dict(zip(graph.input_names, arrays, strict=True))).values()] == [
        2,
        3,
        4,
        2,
    ]


def test_a_computed_dimension_is_no_symbol():
    shapes = [relax.TensorType([N, 6], "float32"), relax.TensorType([N * 2, 6], "float32")]
    module = module_of(lambda bb, x, y: bb.emit(op.add(bb.emit(op.concat([x, x])), y)), *shapes)
    with pytest.raises(BridgeError, match=r"numbers or variables, got x1 with n \* T.int64\(2\)") as caught:
        from_relax(module)
    assert "give its value in params" in caught.value.hint
    graph = from_relax(module, params={"x1": np.ones((4, 6), np.float32)})
    assert list(graph.input_names) == ["x0"]
    (got,) = evaluate(graph, {"x0": np.ones((2, 6), np.float32)}).values()
    assert got.shape == (4, 6) and (got == 2).all()


def test_a_computed_dimension_inside_may_be_unknown():
    module = module_of(lambda bb, x: bb.emit(op.reshape(x, (N * 2, 3))), relax.TensorType([N, 6], "float32"))
    (got,) = evaluate(from_relax(module), {"x0": np.ones((2, 6), np.float32)}).values()
    assert got.shape == (4, 3)
    with pytest.raises(BridgeError, match="not supported") as caught:
        from_relax(
            module_of(
                lambda bb, x: bb.emit(op.reshape(x, (N * 2, 3, N - N + 1, N * 4))),
                relax.TensorType([N * 1, 6], "float32"),
            )
        )
    assert "to a shape that is not known" in caught.value.where


def test_a_called_function_has_the_dimensions_of_its_arguments():
    module = tvm.script.from_source("""
@I.ir_module
class Module:
    @R.function
    def rows(x: R.Tensor(("n", "k"), "float32")) -> R.Tensor(("n", "k", 1), "float32"):
        n, k = T.int64(), T.int64()
        y: R.Tensor((n, k, 1), "float32") = R.reshape(x, R.shape([n, k, 1]))
        return y
    @R.function
    def main(a: R.Tensor(("n", 6), "float32"), b: R.Tensor(("m", 4), "float32")):
        n, m = T.int64(), T.int64()
        cls = Module
        y: R.Tensor((n, 6, 1), "float32") = cls.rows(a)
        z: R.Tensor((m, 4, 1), "float32") = cls.rows(b)
        return (y, z)
""")
    graph = from_relax(module)
    assert [str(n.type) for n in graph.inputs] == ["float32[n,6]", "float32[m,4]"]
    arrays = {"a": np.ones((2, 6), np.float32), "b": np.ones((3, 4), np.float32)}
    assert [o.shape for o in evaluate(graph, arrays).values()] == [(2, 6, 1), (3, 4, 1)]


def test_a_result_that_is_not_supported_is_reported():
    x = relax.Var("x", f32(2))
    with pytest.raises(BridgeError, match="not supported") as caught:
        from_relax(relax.Function([x], relax.Call(tvm.ir.Op.get("relax.unique"), [x]), ret_ty=f32(2)))
    assert "relax.unique: 1 x (result)" in caught.value.where


def test_a_function_that_calls_itself_ends():
    module = tvm.script.from_source("""
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((2,), "float32")) -> R.Tensor((2,), "float32"):
        cls = Module
        y: R.Tensor((2,), "float32") = cls.main(x)
        return y
""")
    with pytest.raises(BridgeError, match="too deep"):
        from_relax(module)


def test_the_table_has_the_names_of_relax():
    for name in TRANSLATIONS:
        tvm.ir.Op.get(f"relax.{name}")
