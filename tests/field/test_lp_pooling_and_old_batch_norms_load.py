"""LpPool of every opset, and BatchNormalization with statistics for each element, as opsets before 9 have it."""

import random

import numpy as np
import pytest
from onnx import helper, numpy_helper

import minicc
from minicc.errors import LoadError, MiniccError
from minicc.testing.oracle import STAGES


def model(op, x, arrays=(), opset=18, outputs=("y",), **attributes) -> bytes:
    """The bytes of an ONNX file of one node on `x` and constants."""
    names = [f"c{k}" for k in range(len(arrays))]
    held = [numpy_helper.from_array(array, name) for array, name in zip(arrays, names, strict=True)]
    node = helper.make_node(op, ["x", *names], list(outputs), **attributes)
    info = [
        helper.make_tensor_value_info(name, 1, shape)
        for name, shape in [("x", x.shape), *[(name, None) for name in outputs]]
    ]
    version = 4 if opset >= 9 else 3
    graph = helper.make_graph(
        [node],
        "g",
        [info[0], *[helper.make_tensor_value_info(n, 1, a.shape) for n, a in zip(names, arrays, strict=True)]],
        info[1:],
        held,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=version
    ).SerializeToString()


def results(content, x):
    """Its result by the references, after checking that the loop program and machine code agree."""
    graph = minicc.load(content)
    got = STAGES["numpy"](graph, {"x": x})["y"]
    for stage in ("loop", "llvm"):
        np.testing.assert_allclose(STAGES[stage](graph, {"x": x})["y"], got, rtol=1e-5, atol=1e-6)
    return got


@pytest.mark.parametrize("opset", [7, 11, 18, 22])
def test_lp_pool_is_the_norm_of_each_window(opset):
    x = np.float32([[[3, -4, 12, 0, 5]]])
    got = results(model("LpPool", x, opset=opset, kernel_shape=[2]), x)
    np.testing.assert_allclose(got, [[[5, np.sqrt(160), 12, 5]]], rtol=1e-6)
    got = results(model("LpPool", x, opset=opset, kernel_shape=[2], strides=[2], pads=[1, 0], p=1), x)
    np.testing.assert_allclose(got, [[[3, 16, 5]]], rtol=1e-6)


def test_lp_pool_agrees_with_onnxruntime():
    runtime = pytest.importorskip("onnxruntime")
    source, compared = random.Random(1), 0
    for number in range(80):
        rank = source.randint(1, 3)
        x = (
            np.random.default_rng(number)
            .standard_normal((1, 2, *[source.randint(3, 6) for _ in range(rank)]))
            .astype(np.float32)
        )
        fields = {"kernel_shape": [source.randint(1, 3) for _ in range(rank)], "strides": [source.randint(1, 3) for _ in range(rank)],
                  "p": source.randint(1, 4), "ceil_mode": source.randint(0, 1), "dilations": [source.randint(1, 2) for _ in range(rank)]}  # fmt: skip
        where = source.choice(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"])
        fields |= (
            {"pads": [source.randint(0, min(fields["kernel_shape"]) - 1) for _ in range(2 * rank)]}
            if where == "NOTSET"
            else {"auto_pad": where}
        )
        if where.startswith("SAME"):
            fields["dilations"] = [
                1
            ] * rank  # onnxruntime pads as if there were none, and by negative numbers below the stride
            fields["strides"] = list(map(min, fields["strides"], fields["kernel_shape"]))
        content = model("LpPool", x, **fields)
        try:
            (expected,) = runtime.InferenceSession(content).run(None, {"x": x})
        except runtime.capi.onnxruntime_pybind11_state.Fail:
            continue
        graph = minicc.load(content)
        if graph.outputs[0].shape != expected.shape:
            continue  # onnxruntime counts a window that starts in the end padding
        got = STAGES["numpy"](graph, {"x": x})["y"]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5, err_msg=str(fields))
        compared += 1
    assert compared > 40


@pytest.mark.parametrize("opset", [7, 8])
@pytest.mark.parametrize("space", [(), (3,), (2, 3)])
def test_batch_norm_with_statistics_for_each_element(opset, space):
    draw = np.random.default_rng(0)
    x = draw.standard_normal((2, 4, *space)).astype(np.float32)
    scale, bias, mean, variance = (draw.uniform(0.5, 2, (4, *space)).astype(np.float32) for _ in range(4))
    got = results(model("BatchNormalization", x, (scale, bias, mean, variance), opset, spatial=0, epsilon=1e-2), x)
    np.testing.assert_allclose(
        got, (x - mean) / np.sqrt(variance + np.float32(1e-2)) * scale + bias, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("op", "fields", "problem"), [
    ("LpPool", {"kernel_shape": [2], "p": 0}, "at least 1"), ("GlobalLpPool", {"p": 0}, "at least 1"), ("GlobalLpPool", {"p": -2}, "at least 1"),
    ("LpPool", {"kernel_shape": [2, 2]}, "a kernel of 1 extents"),
])  # fmt: skip
def test_what_has_no_norm_is_refused(op, fields, problem):
    with pytest.raises(MiniccError, match=problem):
        minicc.load(model(op, np.zeros((1, 1, 4), np.float32), **fields))


def test_statistics_of_another_size_and_training_are_refused():
    x = np.zeros((1, 2, 3), np.float32)
    with pytest.raises(MiniccError, match="vectors of 6 channels"):
        minicc.load(model("BatchNormalization", x, [np.ones((2, 2), np.float32)] * 4, 7, spatial=0))
    with pytest.raises(LoadError, match="training mode"):
        minicc.load(model("BatchNormalization", x, [np.ones(2, np.float32)] * 4, 8, ("y", "m", "v"), spatial=0))
