"""Translations that the backend tests do not reach, against onnxruntime: old opsets, rare attributes, exporters' glue."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from minicc.errors import LoadError
from minicc.frontend import load
from minicc.graph.bind import bind
from minicc.graph.interpret import evaluate

random = np.random.default_rng(0)


def model(nodes, inputs, outputs, constants=None, opset=18, dims=None):
    """A model of `nodes`; `inputs` are arrays by name, `dims` names their symbolic dimensions."""
    dims = dims or {}
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), dims.get(n, a.shape))
        for n, a in inputs.items()
    ]
    results = [onnx.ValueInfoProto(name=name) for name in outputs]
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(nodes, "net", infos, results, held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def agree(nodes, inputs, outputs, constants=None, opset=18, dims=None):
    """The graph gives what onnxruntime gives, with constants and with every input at run time."""
    proto = model(nodes, inputs, outputs, constants, opset, dims)
    expected = onnxruntime.InferenceSession(proto.SerializeToString()).run(list(outputs), inputs)
    graph = load(proto)
    for got in (evaluate(graph, inputs), bound(graph, inputs)):
        for name, array in zip(outputs, expected, strict=True):
            assert got[name].dtype == array.dtype and got[name].shape == array.shape
            np.testing.assert_allclose(got[name], array, rtol=1e-4, atol=1e-5)


def bound(graph, inputs):
    """The outputs of the graph bound to these inputs' shapes, where every type must be known."""
    values = {
        name: inputs[name]
        for name, n in zip(graph.input_names, graph.inputs, strict=True)
        if n.type.dtype.name == "int64"
    }
    ready = bind(graph, shapes={name: a.shape for name, a in inputs.items()}, values=values)
    assert all(n.type.is_bound for n in ready.nodes)
    return evaluate(ready, {name: a for name, a in inputs.items() if name not in values})


def floats(*shape):
    return random.standard_normal(shape, np.float32)


def node(op, inputs, outputs="y", **attributes):
    return helper.make_node(op, inputs.split(","), outputs.split(","), **attributes)


X = {"x": floats(2, 3, 4, 5)}


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [None, 0, 2, 3, -1, -2])
def test_softmax_of_a_matrix_before_opset_13(op, axis):
    attributes = {} if axis is None else {"axis": axis}
    agree([node(op, "x", **attributes)], X, ["y"], opset=11)
    agree([node(op, "x", **attributes)], X, ["y"], opset=11, dims={"x": ("n", 3, "h", 5)})
    agree([node(op, "x", **attributes)], X, ["y"], opset=13)


@pytest.mark.parametrize("limits", [{}, {"min": -0.5}, {"max": 0.25}, {"min": -0.5, "max": 0.25}])
def test_clip_limits_as_attributes(limits):
    agree([node("Clip", "x", **limits)], X, ["y"], opset=7)


@pytest.mark.parametrize("inputs", ["x", "x,low", "x,,high", "x,low,high"])
def test_clip_limits_as_inputs(inputs):
    agree([node("Clip", inputs)], X, ["y"], {"low": np.float32(-0.5), "high": np.float32(0.25)}, opset=13)


def test_axes_as_attributes():
    agree(
        [
            node("Squeeze", "x", "a", axes=[0, -1]),
            node("Unsqueeze", "a", "b", axes=[0, 3]),
            node("ReduceSum", "b", axes=[0, -1]),
            node("ReduceMax", "b", "z", axes=[1], keepdims=0),
        ],
        {"x": floats(1, 3, 4, 1)},
        ["y", "z", "b"],
        opset=11,
    )


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceL2", "ReduceLogSumExp"])
def test_axes_as_inputs(op):
    agree([node(op, "x,axes")], X, ["y"], {"axes": np.int64([1, -1])})
    agree([node(op, "x,axes", keepdims=0)], {**X, "axes": np.int64([0, 2])}, ["y"])
    agree([node(op, "x")], X, ["y"])
    agree([node(op, "x,none", noop_with_empty_axes=1)], X, ["y"], {"none": np.int64([])}) if op == "ReduceSum" else None


def test_slice_with_attributes():
    agree([node("Slice", "x", starts=[1, -2], ends=[99, -1], axes=[2, 3])], X, ["y"], opset=9)
    agree([node("Slice", "x", starts=[0, 1], ends=[1, 3])], X, ["y"], opset=7)


def test_slice_at_run_time():
    operands = {
        "starts": np.int64([3, 0]),
        "ends": np.int64([-99, 4]),
        "axes": np.int64([-2, 3]),
        "steps": np.int64([-1, 2]),
    }
    agree([node("Slice", "x,starts,ends,axes,steps")], {**X, **operands}, ["y"])
    agree([node("Slice", "x,starts,ends,axes,steps")], {**X, "starts": operands.pop("starts")}, ["y"], operands)


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
def test_pad(mode):
    pads = [0, 0, 1, 2, 0, 0, 2, 1]
    agree([node("Pad", "x", pads=pads, mode=mode, value=1.5)], X, ["y"], opset=8)
    agree(
        [node("Pad", "x,pads,value", mode=mode)], X, ["y"], {"pads": np.int64(pads), "value": np.float32(2)}, opset=13
    )
    agree([node("Pad", "x,pads,,axes", mode=mode)], {**X, "pads": np.int64([1, 1])}, ["y"], {"axes": np.int64([2])})


def test_split():
    agree([node("Split", "x", "a,b", axis=2, split=[1, 3])], X, ["a", "b"], opset=11)
    agree([node("Split", "x", "a,b", axis=-2)], X, ["a", "b"], opset=11)
    agree([node("Split", "x,sizes", "a,b,c", axis=3)], X, ["a", "b", "c"], {"sizes": np.int64([1, 0, 4])}, opset=13)
    agree([node("Split", "x,sizes", "a,b", axis=1)], {**X, "sizes": np.int64([1, 2])}, ["b"])
    agree([node("Split", "x", "a,b", axis=3, num_outputs=2)], X, ["a", "b"])


def test_top_k():
    agree([node("TopK", "x", "v,i", k=2, axis=1)], X, ["v", "i"], opset=9)
    agree([node("TopK", "x,k", "v,i")], X, ["v", "i"], {"k": np.int64([3])}, opset=10)
    agree([node("TopK", "x,k", "v,i", largest=0, axis=2)], {**X, "k": np.int64([2])}, ["v", "i"], opset=11)
    agree([node("TopK", "x,k", "v,i")], X, ["i"], {"k": np.int64([1])}, opset=11)


def test_dropout_at_inference():
    agree([node("Dropout", "x", "y,m", ratio=0.3)], X, ["y"], opset=10)
    mask = evaluate(load(model([node("Dropout", "x", "y,m")], X, ["m"], opset=7)), X)["m"]
    assert (
        mask.dtype == np.float32 and mask.all()
    )  # a mask of the input's dtype; the specification leaves its value open
    agree([node("Dropout", "x,r,t", "y,m")], X, ["y", "m"], {"r": np.float32(0.3), "t": np.bool_(False)}, opset=13)
    agree([node("Dropout", "x,r,t", "y,m")], X, ["y", "m"], {"r": np.float32(0), "t": np.bool_(True)}, opset=13)


@pytest.mark.parametrize("opset", [7, 8, 9, 13, 15])
def test_batch_normalization(opset):
    statistics = {"s": floats(3), "b": floats(3), "m": floats(3), "v": np.abs(floats(3))}
    agree([node("BatchNormalization", "x,s,b,m,v", epsilon=1e-3)], X, ["y"], statistics, opset=opset)


@pytest.mark.parametrize("opset", [7, 9])
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_upsample(opset, mode):
    scales = [1.0, 1.0, 2.0, 3.0]
    if opset == 7:
        agree([node("Upsample", "x", mode=mode, scales=scales)], X, ["y"], opset=7)
    else:
        agree([node("Upsample", "x,s", mode=mode)], X, ["y"], {"s": np.float32(scales)}, opset=9)


def test_resize():
    scales = np.float32([1, 1, 2, 1.5])
    agree([node("Resize", "x,s", mode="nearest")], X, ["y"], {"s": scales}, opset=10)
    agree([node("Resize", "x,s", mode="linear")], X, ["y"], {"s": scales}, opset=10)
    agree([node("Resize", "x,,s", mode="linear")], X, ["y"], {"s": scales}, opset=11 + 2)
    agree(
        [node("Resize", "x,e,e,z", mode="cubic")],
        X,
        ["y"],
        {"e": np.float32([]), "z": np.int64([2, 3, 6, 7])},
        opset=11,
    )
    agree(
        [node("Resize", "x,,,z", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")],
        {**X, "z": np.int64([2, 3, 8, 10])},
        ["y"],
        opset=13,
    )


def test_sums_of_many():
    inputs = {"a": floats(2, 3), "b": floats(3), "c": floats(2, 1)}
    for op in ("Sum", "Mean", "Max", "Min"):
        agree([node(op, "a,b,c")], inputs, ["y"], opset=8)
        agree([node(op, "a")], inputs, ["y"], opset=8)


def test_layer_normalization_with_statistics():
    inputs = {"x": floats(2, 3, 8), "s": floats(8), "b": floats(8)}
    agree([node("LayerNormalization", "x,s,b", "y,m,d")], inputs, ["y", "m", "d"], opset=17)
    two = {"x": inputs["x"], "s": floats(3, 8)}
    agree([node("LayerNormalization", "x,s", "y,m,d", axis=1)], two, ["y", "m", "d"], opset=17)


def test_group_normalization_with_a_scale_per_group():
    """Opset 18; onnxruntime has the form of 21 only, so the reference is the definition."""
    x, scale, bias = floats(2, 6, 4, 5), floats(3), floats(3)
    y = evaluate(
        load(model([node("GroupNormalization", "x,s,b", num_groups=3)], {"x": x}, ["y"], {"s": scale, "b": bias})),
        {"x": x},
    )["y"]
    groups = x.reshape(2, 3, -1).astype(np.float64)
    normal = (groups - groups.mean(-1, keepdims=True)) / np.sqrt(groups.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, (normal * scale[:, None] + bias[:, None]).reshape(x.shape), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_convolution_with_bias(rank):
    inputs = {"x": floats(1, 4, *[6] * rank)}
    constants = {"w": floats(6, 2, *[3] * rank), "b": floats(6), "t": floats(4, 3, *[2] * rank), "c": floats(6)}
    agree(
        [
            node("Conv", "x,w,b", group=2, kernel_shape=[3] * rank, pads=[1, 0] * rank),
            node("ConvTranspose", "x,t,c", "z", group=2),
        ],
        inputs,
        ["y", "z"],
        constants,
        opset=11,
    )


def test_pools():
    agree(
        [
            node("MaxPool", "x", "y,i", kernel_shape=[2, 2], strides=[2, 2], storage_order=0),
            node("AveragePool", "x", "z", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1),
            node("GlobalLpPool", "x", "p", p=3),
            node("GlobalLpPool", "x", "q"),
        ],
        X,
        ["y", "i", "z", "p", "q"],
        opset=11,
    )


def test_generators():
    agree(
        [node("EyeLike", "x", k=1, dtype=TensorProto.INT64), node("EyeLike", "x", "z", k=-1)],
        {"x": floats(3, 4)},
        ["y", "z"],
    )
    agree([node("Range", "a,b,c")], {}, ["y"], {"a": np.int64(2), "b": np.int64(11), "c": np.int64(3)})
    agree(
        [node("OneHot", "i,d,v", axis=0)],
        {"i": np.int64([1, -1, 7])},
        ["y"],
        {"d": np.int64([4]), "v": np.float32([-1, 2])},
    )
    agree([node("ConstantOfShape", "s", value=numpy_helper.from_array(np.int64([7])))], {"s": np.int64([2, 3])}, ["y"])


def test_kinds_of_constants():
    nodes = [
        helper.make_node("Constant", [], [f"c{i}"], **value)
        for i, value in enumerate(
            [
                {"value_float": 1.5},
                {"value_floats": [1.0, 2.0]},
                {"value_int": 3},
                {"value_ints": [4, 5]},
                {"value": numpy_helper.from_array(np.bool_([True]))},
            ]
        )
    ]
    agree(nodes, {}, [f"c{i}" for i in range(5)], opset=13)


def test_swish():
    x = floats(3)
    for alpha in (1.0, 0.5):
        got = evaluate(load(model([node("Swish", "x", alpha=alpha)], {"x": x}, ["y"], opset=24)), {"x": x})["y"]
        np.testing.assert_allclose(got, x / (1 + np.exp(-alpha * x.astype(np.float64))), rtol=1e-6)


def test_scatter_before_opset_11():
    agree(
        [node("Scatter", "x,i,u", axis=1)],
        {"x": floats(2, 4), "u": floats(2, 1)},
        ["y"],
        {"i": np.int64([[1], [3]])},
        opset=9,
    )


# What exporters leave around the arithmetic

BATCH = {"x": ("batch", 3, 4, 5)}


def test_flatten_by_shape_arithmetic():
    """torch's `x.view(x.size(0), -1)`."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape,zero", "n", axis=0),
        node("Unsqueeze", "n,axes", "n1"),
        node("Concat", "n1,rest", "target", axis=0),
        node("Reshape", "x,target"),
    ]
    constants = {"zero": np.int64(0), "axes": np.int64([0]), "rest": np.int64([-1])}
    agree(nodes, X, ["y"], constants)
    agree(nodes, X, ["y"], constants, dims=BATCH)


def test_heads_by_shape_arithmetic():
    """The reshapes of attention: sizes sliced, divided, cast and put together again."""
    nodes = [
        node("Shape", "x", "shape"),
        node("Slice", "shape,zero,two", "front"),
        node("Gather", "shape,last", "width"),
        node("Cast", "width", "wide", to=TensorProto.FLOAT),
        node("Div", "wide,heads", "each"),
        node("Cast", "each", "size", to=TensorProto.INT64),
        node("Concat", "front,many,size", "target", axis=0),
        node("Reshape", "x,target", "split"),
        node("Transpose", "split", perm=[0, 2, 1, 3]),
    ]
    constants = {
        "zero": np.int64([0]),
        "two": np.int64([2]),
        "last": np.int64([-1]),
        "heads": np.float32(4),
        "many": np.int64([4]),
    }
    agree(nodes, {"x": floats(2, 5, 8)}, ["y"], constants, dims={"x": ("batch", "seq", 8)})


def test_a_causal_mask_from_shapes():
    nodes = [
        node("Shape", "x", "shape"),
        node("ConstantOfShape", "shape", "ones", value=numpy_helper.from_array(np.float32([1]))),
        node("Trilu", "ones", "lower", upper=0),
        node("Equal", "lower,zero", "hidden"),
        node("Where", "hidden,low,x", "masked"),
        node("Softmax", "masked", axis=-1),
    ]
    agree(
        nodes,
        {"x": floats(2, 4, 4)},
        ["y"],
        {"zero": np.float32(0), "low": np.float32(-1e9)},
        dims={"x": ("batch", "seq", "seq")},
    )


def test_expand_to_a_computed_shape():
    """`expand(-1, n)` as exported: ConstantOfShape, Mul, Equal and Where choose the dimensions."""
    nodes = [
        node("Shape", "size", "rank"),
        node("ConstantOfShape", "rank", "one", value=numpy_helper.from_array(np.int64([1]))),
        node("Mul", "one,minus", "unset"),
        node("Equal", "size,unset", "open"),
        node("Where", "open,one,size", "target"),
        node("Expand", "x,target"),
    ]
    constants = {"size": np.int64([2, -1, 6]), "minus": np.int64(-1)}
    agree(nodes, {"x": floats(1, 3, 1)}, ["y"], constants, dims={"x": (1, "n", 1)})


def test_a_range_of_positions():
    nodes = [
        node("Shape", "x", "shape"),
        node("Gather", "shape,one", "length"),
        node("Range", "zero,length,one", "places"),
        node("Gather", "table,places", "rows"),
        node("Add", "x,rows"),
    ]
    agree(
        nodes,
        {"x": floats(2, 5, 3)},
        ["y"],
        {"one": np.int64(1), "zero": np.int64(0), "table": floats(9, 3)},
        dims={"x": ("batch", "seq", 3)},
    )


def test_resize_to_the_size_of_another():
    nodes = [
        node("Shape", "z", "shape"),
        node("Slice", "shape,two,four", "space"),
        node("Concat", "front,space", "sizes", axis=0),
        node("Resize", "x,,,sizes", mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
    ]
    agree(
        nodes,
        {**X, "z": floats(1, 1, 8, 15)},
        ["y"],
        {"two": np.int64([2]), "four": np.int64([4]), "front": np.int64([2, 3])},
        dims={"x": (2, 3, 4, 5), "z": (1, 1, "h", "w")},
    )


def legacy(op, arrays, opset=6, **attributes):
    """What one node of an old opset gives."""
    names = [f"x{k}" for k in range(len(arrays))]
    proto = model(
        [helper.make_node(op, names, ["y"], **attributes)], dict(zip(names, arrays, strict=True)), ["y"], opset=opset
    )
    return evaluate(load(proto), dict(zip(names, arrays, strict=True)))["y"]


@pytest.mark.parametrize(("axis", "shape"), [(1, (3, 4)), (0, (2,)), (-2, (4,)), (None, (4, 5)), (None, (5,)), (3, ())])
def test_before_opset_7_the_axes_of_the_second_operand_are_placed(axis, shape):
    x, y = X["x"], floats(*shape)
    start = 4 - len(shape) if axis is None else axis % 4
    expected = x * y.reshape(*shape, *[1] * (4 - start - len(shape)))
    placed = {} if axis is None else {"axis": axis}
    np.testing.assert_array_equal(legacy("Mul", [x, y], broadcast=1, **placed), expected)


def test_before_opset_7_a_slope_is_of_channels():
    x, slope = X["x"], floats(3)
    expected = np.where(x < 0, x * slope[:, None, None], x)
    np.testing.assert_array_equal(legacy("PRelu", [x, slope]), expected)
    np.testing.assert_array_equal(legacy("PRelu", [x[0, 0, 0], slope[:1]]), np.where(x < 0, x * slope[0], x)[0, 0, 0])


@pytest.mark.parametrize("op", ["Dropout", "BatchNormalization"])
def test_before_opset_7_a_node_may_be_for_training(op):
    arrays = [X["x"]] + [np.ones(3, np.float32)] * 4 * (op != "Dropout")
    with pytest.raises(LoadError, match="training mode is not supported"):
        legacy(op, arrays)
    np.testing.assert_allclose(legacy("Dropout", [X["x"]], is_test=1), X["x"])


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "problem"),
    [
        ("NegativeLogLikelihoodLoss", [("x", (2, 3), 1), ("t", (2,), 7)], {"reduction": "max"}, "none, sum or mean"),
        ("CausalConvWithState", [("x", (1, 2, 4), 1), ("w", (2, 1, 3), 1)], {"activation": "relu"}, "silu or no activation"),
        ("MelWeightMatrix", [(name, (), 7) for name in "abc"] + [(name, (), 1) for name in "de"], {}, "expected constants"),
    ],
)  # fmt: skip
def test_what_a_translation_refuses(op, inputs, attributes, problem):
    infos = [helper.make_tensor_value_info(name, kind, shape) for name, shape, kind in inputs]
    outputs = ["y", "state"] if op == "CausalConvWithState" else ["y"]
    made = helper.make_node(op, [name for name, *_ in inputs], outputs, **attributes)
    graph = helper.make_graph([made], "net", infos, [onnx.ValueInfoProto(name="y")])
    with pytest.raises(LoadError, match=problem):
        load(helper.make_model(graph))


def test_windows_and_filters_of_signals():
    size = {"n": np.int64(9)}
    for op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
        agree([node(op, "n", periodic=0)], {}, ["y"], size)
        agree([node(op, "n")], {}, ["y"], size)
    numbers = {"a": np.int64(8), "b": np.int64(256), "c": np.int64(8000), "d": np.float32(50), "e": np.float32(4000)}
    agree([node("MelWeightMatrix", "a,b,c,d,e")], {}, ["y"], numbers)
