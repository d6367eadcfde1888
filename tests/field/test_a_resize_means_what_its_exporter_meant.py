"""Resize gives what PyTorch computes, whose exporters write it so, and what onnxruntime does.

The numbers are those of torch 2.13, `torch.nn.functional.interpolate`. Where onnxruntime departs from
torch, torch's meaning holds, and `departs` says where.
"""

import random

import numpy as np
import pytest
from onnx import helper

import minicc
from minicc import ops
from minicc.testing.draws import graph_of
from minicc.testing.oracle import STAGES

SQUARES = np.float32([0, 1, 4, 9, 16, 25, 36])
IMAGE = np.float32([0, 1, 4])[:, None] + np.float32([0, 1, 4, 9, 16]) / 2


def model(shape, scales=None, sizes=None, roi=None, opset=19, **attributes) -> bytes:
    """The bytes of an ONNX file of one Resize."""
    given = {"roi": (1, roi), "scales": (1, scales), "sizes": (7, sizes)}
    tensors = [helper.make_tensor(name, kind, [len(v)], v) for name, (kind, v) in given.items() if v is not None]
    names = ["x", *[name if v is not None else "" for name, (_, v) in given.items()]]
    info = [helper.make_tensor_value_info(name, 1, dims) for name, dims in (("x", shape), ("y", None))]
    graph = helper.make_graph(
        [helper.make_node("Resize", names, ["y"], **attributes)], "g", info[:1], info[1:], tensors
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10).SerializeToString()


def resized(x, **attributes):
    """`x` after batch and channel, resized by the references, and by machine code."""
    x = x[None, None]
    for name in ("scales", "sizes"):
        if name in attributes:
            attributes[name] = [1, 1, *attributes[name]]
    graph = minicc.load(model(x.shape, **attributes))
    got, compiled = (STAGES[stage](graph, {"x": x})["y"] for stage in ("numpy", "llvm"))
    np.testing.assert_allclose(compiled, got, rtol=1e-5, atol=1e-5)
    return got[0, 0]


def exported(mode, align_corners=False, antialias=False):
    """The attributes that both exporters of torch write."""
    where = "asymmetric" if mode == "nearest" else "align_corners" if align_corners else "half_pixel"
    smooth = {"antialias": 1, "exclude_outside": 1, "cubic_coeff_a": -0.5} if antialias else {"cubic_coeff_a": -0.75}
    return {"mode": mode, "coordinate_transformation_mode": where, "nearest_mode": "floor", **smooth}


@pytest.mark.parametrize("attributes", [{}, {"nearest_mode": "floor"}])
def test_the_last_sample_of_aligned_corners_is_the_last_element(attributes):
    got = resized(
        np.float32([0, 1, 2]), mode="linear", coordinate_transformation_mode="align_corners", scales=[1.5], **attributes
    )
    np.testing.assert_allclose(got, [0, 2 / 3, 4 / 3, 2], rtol=1e-6)


LINES = [
    ("nearest", None, {"scales": [1.5]}, [0, 0, 1, 4, 4, 9, 16, 16, 25, 36]),
    ("nearest", None, {"scales": [0.6]}, [0, 1, 9, 25]),
    ("nearest", None, {"scales": [1.1]}, [0, 0, 1, 4, 9, 16, 25]),
    ("nearest", None, {"scales": [0.8]}, [0, 1, 4, 9, 25]),
    ("nearest", None, {"sizes": [4]}, [0, 1, 9, 25]),
    ("linear", True, {"scales": [1.5]}, [0, 0.66667, 2, 4, 7.33333, 11.33333, 16, 22, 28.66667, 36]),
    ("linear", False, {"scales": [1.5]}, [0, 0.5, 1.5, 3.5, 6.5, 10.16667, 14.83333, 20.5, 26.83334, 34.16667]),
    ("linear", True, {"scales": [0.6]}, [0, 4, 16, 36]),
    ("linear", False, {"scales": [0.6]}, [0.33333, 4, 13.66667, 28.66666]),
    ("linear", True, {"sizes": [4]}, [0, 4, 16, 36]),
    ("linear", False, {"sizes": [4]}, [0.375, 4.625, 15.125, 31.875]),
    ("linear", True, {"scales": [1.1]}, [0, 1, 4, 9, 16, 25, 36]),
    ("linear", False, {"scales": [1.1]}, [0, 1, 4, 9, 16, 25, 36]),
    ("linear", True, {"scales": [0.8]}, [0, 2.5, 9, 20.5, 36]),
]
IMAGES = [
    ("cubic", True, False, {"scales": [0.7, 1.3]}, [0, 0.268, 1.184, 2.88, 5.356, 8, 4, 4.268, 5.184, 6.88, 9.356, 12]),
    ("cubic", False, False, {"scales": [0.7, 1.3]},
     [0.0752, 0.2782, 1.08878, 2.59282, 4.4425, 7.34553, 3.00541, 3.20841, 4.01899, 5.52303, 7.3727, 10.27573]),
    ("linear", False, True, {"sizes": [2, 3]}, [0.58929, 2.59722, 6.875, 3.08929, 5.09722, 9.375]),
    ("cubic", False, True, {"sizes": [2, 3]}, [0.31415, 2.32721, 6.89876, 3.07498, 5.08804, 9.6596]),
    ("cubic", False, True, {"scales": [0.7, 1.3]},
     [0.13015, 0.37913, 1.16716, 2.55769, 4.53994, 7.4855, 2.81545, 3.06443, 3.85245, 5.24299, 7.22523, 10.17079]),
]  # fmt: skip


@pytest.mark.parametrize(("mode", "align_corners", "grid", "expected"), LINES)
def test_a_line_is_resized_as_torch_does_it(mode, align_corners, grid, expected):
    np.testing.assert_allclose(
        resized(SQUARES, **exported(mode, align_corners), **grid), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("mode", "align_corners", "antialias", "grid", "expected"), IMAGES)
def test_an_image_is_resized_as_torch_does_it(mode, align_corners, antialias, grid, expected):
    got = resized(IMAGE, **exported(mode, align_corners, antialias), **grid)
    np.testing.assert_allclose(got.ravel(), expected, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    ("size", "count", "number", "element"), [(2, 82, 41, 0), (3, 123, 82, 1), (4, 82, 41, 1), (3, 9, 3, 1)]
)
def test_the_nearest_element_is_that_of_torch_where_float32_decides(size, count, number, element):
    got = resized(np.arange(size, dtype=np.float32), sizes=[count], **exported("nearest"))
    assert got[number] == element


def test_a_third_is_a_third():
    """3 / float32(1 / 3) is 9 to whoever wrote it."""
    got = resized(np.arange(30, dtype=np.float32), scales=[1 / 3], **exported("nearest"))
    np.testing.assert_array_equal(got, np.arange(0, 30, 3))


def test_the_reference_of_onnx_is_followed_where_its_tests_pin_it():
    """A file that shrinks and does not write nearest_mode, as no exporter does it."""
    got = resized(np.float32([1, 2, 3, 4]), mode="linear", coordinate_transformation_mode="align_corners", scales=[0.6])
    np.testing.assert_allclose(got, [1, 1 + 3 / 1.4], rtol=1e-6)


# ---- a sweep beside onnxruntime ------------------------------------------------------------------

TRANSFORMS = (
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "align_corners",
    "asymmetric",
    "tf_crop_and_resize",
)
SCALES = (0.3, 0.5, 0.6, 0.7, 0.8, 1.0, 1.1, 1.3, 1.5, 1.7, 2.0, 2.6, 3.0, 3.3)


def draw(source: random.Random):
    """The shape and the attributes of one Resize."""
    mode, where = source.choice(["nearest", "linear", "cubic"]), source.choice(TRANSFORMS)
    spatial = [source.randint(1, 9) for _ in range(2 if mode == "cubic" else source.randint(1, 3))]
    rank = len(spatial)
    drawn = {"mode": mode, "coordinate_transformation_mode": where,
             "nearest_mode": source.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])}  # fmt: skip
    if mode != "nearest" and source.random() < 0.4:
        drawn["antialias"] = 1
    if mode == "cubic":
        drawn |= {"exclude_outside": source.randint(0, 1), "cubic_coeff_a": source.choice([-0.75, -0.5, -0.6])}
    if where == "tf_crop_and_resize":
        starts, ends = (
            [source.choice([0, 0.1, 0.25, -0.2]) for _ in spatial],
            [source.choice([1, 0.8, 0.6, 1.3]) for _ in spatial],
        )
        drawn |= {"roi": starts + ends, "extrapolation_value": 7.0}
    if source.random() < 0.5:
        drawn["scales"] = [max(source.choice(SCALES), 1.001 / d) for d in spatial]
    else:
        drawn |= {"sizes": [source.randint(1, 14) for _ in spatial],
                  "keep_aspect_ratio_policy": source.choice(["stretch", "not_larger", "not_smaller"])}  # fmt: skip
    return (1, 2, *spatial), drawn | {"axes": list(range(2, 2 + rank))}


def departs(op, x) -> bool:
    """Whether onnxruntime departs from torch or from itself."""
    for s in op.samplings(x):
        if s.size == s.count and s.scale != 1:
            return True  # it copies where torch samples, or samples where torch copies
        if op.coordinate_transformation_mode == "tf_crop_and_resize" and s.scale == 1:
            return True  # it forgets the region
        where = s.coordinates(op.coordinate_transformation_mode)
        edge = np.abs(2 * where - np.round(2 * where)) < 1e-4
        crop = op.coordinate_transformation_mode == "tf_crop_and_resize"
        if edge.any() and (op.mode == "nearest" or crop) and any(np.log2(n) % 1 for n in (s.scale, s.count - 1 or 1)):
            return True  # its float32 may fall to the other side
    return False


@pytest.mark.parametrize("seed", range(4))
def test_any_resize_agrees_with_onnxruntime(seed):
    runtime = pytest.importorskip("onnxruntime")
    runtime.set_default_logger_severity(4)
    source, compared = random.Random(seed), 0
    for number in range(150):
        shape, attributes = draw(source)
        content = model(shape, **attributes)
        graph = minicc.load(content)
        x = np.random.default_rng(number).standard_normal(shape).astype(np.float32)
        op = graph.outputs[0].op
        if departs(op, graph.inputs[0].type):
            continue
        try:
            (expected,) = runtime.InferenceSession(content).run(None, {"x": x})
        except runtime.capi.onnxruntime_pybind11_state.Fail:
            continue  # it has no kernel for some ranks
        np.testing.assert_allclose(op(x), expected, rtol=2e-4, atol=2e-4, err_msg=f"{op} of {shape}")
        compared += 1
    assert compared > 40


def test_the_loop_program_of_a_resize_agrees():
    x = np.random.default_rng(0).standard_normal((2, 5)).astype(np.float32)
    for where in TRANSFORMS:
        op = ops.Resize(
            scales=(1.5, 0.7), roi=(0.1, 0.0, 0.9, 1.2), mode="linear", coordinate_transformation_mode=where
        )
        made = graph_of(op, [x])
        np.testing.assert_allclose(STAGES["loop"](made.graph, made.inputs)["y"], op(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rounding", "expected"), [
    ("round_prefer_floor", [0, 0, 1, 1, 2, 2]), ("round_prefer_ceil", [0, 1, 1, 2, 2, 2]), ("floor", [0, 0, 1, 1, 2, 2]), ("ceil", [0, 1, 1, 2, 2, 2]),
])  # fmt: skip
def test_in_the_middle_the_rounding_decides(rounding, expected):
    got = resized(
        np.float32([0, 1, 2]), scales=[2.0], coordinate_transformation_mode="asymmetric", nearest_mode=rounding
    )
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("rounding", "expected"), [
    ("round_prefer_floor", [0, 0, 1, 1]), ("round_prefer_ceil", [0, 0, 1, 1]), ("floor", [0, 0, 0, 1]), ("ceil", [0, 1, 1, 1]),
])  # fmt: skip
def test_elsewhere_the_nearest_is_taken(rounding, expected):
    """Samples at 0, 1/3, 2/3 and 1."""
    got = resized(
        np.float32([0, 1, 2]), scales=[3.0], coordinate_transformation_mode="asymmetric", nearest_mode=rounding
    )
    np.testing.assert_array_equal(got[:4], expected)
