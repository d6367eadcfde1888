"""GridSample, DeformConv and RoiAlign against onnxruntime, on places in and far outside of images; and what is refused."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from minicc.errors import TypeInferenceError
from minicc.frontend import load
from minicc.graph.interpret import evaluate
from minicc.ops import DeformConv, GridSample, RoiAlign
from minicc.types import TensorType, float32, int64

random = np.random.default_rng(0)


def agree(op, arrays, opset=20, near=2e-5, **attributes):
    names = [f"x{k}" if a is not None else "" for k, a in enumerate(arrays)]
    given = {name: a for name, a in zip(names, arrays, strict=True) if name}
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in given.items()
    ]
    node = helper.make_node(op, names, ["y"], **attributes)
    graph = helper.make_graph([node], "net", infos, [onnx.ValueInfoProto(name="y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    (expected,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, given)
    got = evaluate(load(model), given)["y"]
    np.testing.assert_allclose(got, expected, rtol=near, atol=near)


def floats(*shape, low=-1.0, high=1.0):
    return random.uniform(low, high, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("mode", "padding"), list(itertools.product(("nearest", "linear", "cubic"), ("zeros", "border", "reflection")))
)
def test_grids(mode, padding):
    for corners, size in itertools.product((0, 1), (1, 5)):
        grid = floats(2, 6, 7, 2, low=-2.5, high=2.5)
        attributes = {"mode": mode, "padding_mode": padding, "align_corners": corners}
        agree("GridSample", [floats(2, 3, size, 4), grid], **attributes)
        if mode != "cubic":
            agree("GridSample", [floats(1, 2, 3, size, 4), floats(1, 2, 3, 4, 3, low=-2, high=2)], **attributes)


def test_a_grid_of_old_opsets_names_its_modes_otherwise():
    agree("GridSample", [floats(1, 2, 4, 4), floats(1, 3, 3, 2)], opset=16, mode="bilinear")
    agree("GridSample", [floats(1, 2, 4, 4), floats(1, 3, 3, 2)], opset=16, mode="bicubic")


def test_places_that_are_no_numbers_are_outside():
    x, grid = floats(1, 2, 4, 4), np.float32([[[[np.nan, 0], [np.inf, 0], [-np.inf, np.nan], [3e38, 0]]]])
    for mode in ("nearest", "linear", "cubic"):
        got = GridSample(mode)(x, grid)
        assert np.isfinite(got).all() and not got.any()


@pytest.mark.parametrize(("group", "groups"), list(itertools.product((1, 2), (1, 2))))
def test_deformed_convolutions(group, groups):
    x, w = floats(2, 4, 6, 7), floats(6, 4 // group, 3, 2)
    attributes = {"group": group, "offset_group": groups, "pads": [1, 0, 1, 1], "strides": [2, 1], "dilations": [1, 2]}
    rows, columns = (6 + 2 - 3) // 2 + 1, (7 + 1 - 3) // 1 + 1
    offset = floats(2, groups * 12, rows, columns, low=-3, high=3)
    mask = floats(2, groups * 6, rows, columns)
    agree("DeformConv", [x, w, offset], near=1e-4, opset=19, **attributes)
    agree("DeformConv", [x, w, offset, floats(6), mask], near=1e-4, opset=19, **attributes)


@pytest.mark.parametrize(("mode", "ratio"), [("avg", 0), ("avg", 1), ("avg", 2), ("max", 2)])
def test_regions(mode, ratio):
    for transformation, scale in itertools.product(("half_pixel", "output_half_pixel"), (1.0, 0.25)):
        corners = floats(7, 2, 2, low=-4, high=40 / scale)
        rois = np.sort(corners, axis=1).reshape(7, 4)
        attributes = {
            "output_height": 3,
            "output_width": 2,
            "sampling_ratio": ratio,
            "spatial_scale": scale,
            "mode": mode,
        }
        agree("RoiAlign", [floats(2, 3, 11, 9), rois, random.integers(0, 2, 7)], opset=16,
              coordinate_transformation_mode=transformation, **attributes)  # fmt: skip


X, INTS = TensorType(float32, (1, 2, 4, 4)), TensorType(int64, (3,))


@pytest.mark.parametrize(
    ("op", "types", "problem"),
    [
        (GridSample("area"), (X, TensorType(float32, (1, 2, 2, 2))), "no mode 'area'"),
        (GridSample(), (X, TensorType(float32, (1, 2, 2, 3))), "a place for each of its axes"),
        (GridSample(), (X, TensorType(int64, (1, 2, 2, 2))), "expected floats"),
        (GridSample(), (TensorType(float32, (1, 2, 0, 4)), TensorType(float32, (1, 2, 2, 2))), "empty image"),
        (DeformConv(), (X, X, TensorType(float32, (1, 32, 2, 2))), r"offset must have shape \(1, 32, 1, 1\)"),
        (DeformConv(strides=(1,)), (X, X, X), "2 strides"),
        (DeformConv(group=3), (X, X, X), "groups that divide"),
        (RoiAlign(mode="sum"), (X, TensorType(float32, (3, 4)), INTS), "no mode 'sum'"),
        (RoiAlign(mode="max"), (X, TensorType(float32, (3, 4)), INTS), "that the regions decide"),
        (RoiAlign(), (X, TensorType(float32, (3, 5)), INTS), "4 numbers"),
        (RoiAlign(output_width=0), (X, TensorType(float32, (3, 4)), INTS), "expected bins"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(op, types, problem):
    with pytest.raises(TypeInferenceError, match=problem):
        op.infer(*types)
