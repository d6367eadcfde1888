"""The references of windows, movement, indexing and resizing against the reference evaluator of ONNX.

Each instance that `draw` gives is written as an ONNX node. Left out are the places where that
evaluator itself departs from the specification; the cases by hand below cover them.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from op_cases import assert_agree

from minicc.ir.node import replace
from minicc.ops import AveragePool, Conv, ConvTranspose, GatherElements, GlobalMaxPool, MaxPool, MaxPoolIndices, Pad
from minicc.ops import Range, Resize, Slice
from minicc.ops.base import ints
from minicc.testing.draws import drawn
from minicc.types import DType, TensorType, bfloat16, float16, float32

ATTRIBUTES = {
    "kernel": "kernel_shape", "padding": "pads", "dilation": "dilations", "groups": "group", "allow_zero": "allowzero",
}  # fmt: skip
OPERANDS = {
    "Reshape": ("shape",), "Expand": ("shape",), "Tile": ("repeats",), "Squeeze": ("axes",), "Unsqueeze": ("axes",),
    "Slice": ("starts", "ends", "axes", "steps"), "Pad": ("pads", "value", "axes"), "Trilu": ("k",), "OneHot": ("depth",),
    "Resize": ("roi", "scales", "sizes"), "TopK": ("k",), "TopKIndices": ("k",), "ConstantOfShape": ("shape",),
    "Range": ("start", "limit", "delta"), "Split": ("sizes",),
}  # fmt: skip
NAMES = (
    "AveragePool", "Concat", "ConstantOfShape", "Conv", "ConvTranspose", "DepthToSpace", "Expand", "Flatten", "Gather",
    "GatherElements", "GatherND", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "MaxPoolIndices", "OneHot", "Pad",
    "Range", "Reshape", "Resize", "ReverseSequence", "ScatterElements", "ScatterND", "Shape", "Size", "Slice", "SpaceToDepth",
    "Split", "Squeeze", "Tile", "TopK", "TopKIndices", "Transpose", "Trilu", "Unsqueeze",
)  # fmt: skip


def operand(op, name, value, arrays):
    """An operand as the array that ONNX has for it; None when absent."""
    if value is None or (value == () and name in ("roi", "scales", "sizes")):
        return None
    if op.name == "Range":
        return np.asarray(value, op.infer().dtype.numpy)
    if name == "value":
        return np.asarray(value, arrays[0].dtype)
    kind = np.float32 if name in ("roi", "scales") else np.int64
    return np.asarray([value] if name == "k" and op.name.startswith("TopK") else value, kind)


def model(op, arrays):
    """An ONNX model of one node, and its feeds."""
    fields = {
        n: getattr(op, n)
        for n in op.__match_args__
        if n not in OPERANDS.get(op.name, ()) and getattr(op, n) is not None
    }
    number, kind, parts = 0, op.name, 1
    if op.name in ("TopKIndices", "MaxPoolIndices"):
        kind, number, parts = op.name.removesuffix("Indices"), 1, 2
    if op.name == "Split":
        number, parts = fields.pop("index"), fields.pop("parts")
        fields |= {"num_outputs": parts} if op.sizes is None else {}
    if op.name == "ConstantOfShape":
        dtype = helper.np_dtype_to_tensor_dtype(fields.pop("dtype").numpy)
        fields = {"value": helper.make_tensor("v", dtype, [1], [fields["value"]])}
    fields = {ATTRIBUTES.get(n, n): list(v) if isinstance(v, tuple) else int(v) if isinstance(v, bool) else v
              for n, v in fields.items() if v != () and n not in ("dtype", "channels_last")}  # fmt: skip
    if fields.get("auto_pad", "NOTSET") != "NOTSET":
        fields.pop("pads", None)
    extra = [operand(op, n, getattr(op, n), arrays) for n in OPERANDS.get(op.name, ())]
    values = [*arrays[:1], *extra, *arrays[1:]] if kind == "OneHot" else [*arrays, *extra]
    names = [f"i{n}" if v is not None else "" for n, v in enumerate(values)]
    outputs = [f"o{n}" for n in range(parts)]
    node = helper.make_node(kind, names, outputs, **fields)
    feeds = {n: v for n, v in zip(names, values, strict=True) if n}
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in feeds.items()
    ]
    result = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in outputs]
    graph = helper.make_graph([node], "g", infos, result)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)], ir_version=10), feeds, number


def departs(op, arrays) -> bool:  # noqa: C901 - one flat match over the operators
    """Whether the reference evaluator departs from the specification on this instance."""
    types = [TensorType.of(a) for a in arrays]
    if 0 in (op.infer(*types).size, *[t.size for t in types]):
        return True  # it fails on many empty tensors
    match op:
        case MaxPool() | MaxPoolIndices() | AveragePool():
            reach = max((k - 1) * d + 1 for k, d in zip(op.kernel, op.dilation or (1,) * 9, strict=False))
            # it ignores dilation under SAME, NaN, and windows that are clipped, and pads for ceil_mode in front
            odd = (
                op.auto_pad != "NOTSET"
                or op.ceil_mode
                or reach > min(types[0].shape[2:])
                or not np.isfinite(arrays[0]).all()
            )
            by_ones = set(op.strides) | set(op.dilation) <= {1}  # then it takes another path, for floats only
            return bool(odd or (by_ones and (isinstance(op, MaxPoolIndices) or not types[0].dtype.is_float)))
        case ConvTranspose():
            return op.groups > 1 or op.auto_pad.startswith("SAME")
        case Conv():
            return op.auto_pad == "SAME_LOWER" or bool(op.dilation) or not np.isfinite(arrays[0]).all()
        case GlobalMaxPool():
            return types[0].rank != 4
        case GatherElements():
            return types[0].shape != types[1].shape or min(types[0].shape) < 2
        case Pad():
            return min(ints(op.pads), default=-1) < 0  # NumPy has no negative pads
        case Slice():
            beyond = any(start < -types[0].shape[axis] for start, axis in zip(op.starts, op.axes or (), strict=False))
            return not op.axes or (beyond and min(op.steps) < 0)  # it slices as Python does
        case Resize():
            mode = op.coordinate_transformation_mode  # one sample lies in the middle, by the specification
            one = 1 in op.infer(*types).shape
            grids = op.samplings(types[0])
            fraction = mode in ("align_corners", "tf_crop_and_resize") and any(s.width != s.count for s in grids)
            same = any(s.size == s.count and s.scale != 1 for s in grids)  # exporters mean something else by these two
            return fraction or same or not np.isfinite(arrays[0]).all() or (one and mode.startswith(("tf", "pytorch")))
        case Range():
            return op.infer().dtype in (float16, bfloat16)
    return False


@pytest.mark.parametrize("name", NAMES)
def test_reference_is_that_of_onnx(name: str) -> None:
    compared = 0
    for case in range(400):
        op, arrays = drawn(name, case + 1000, extremes=False)
        if getattr(op, "scales", None):
            op = replace(op, scales=tuple(float(np.float32(scale)) for scale in op.scales))  # ONNX has float32
        if getattr(op, "channels_last", False):  # ONNX has no such pools
            op, arrays = replace(op, channels_last=False), [np.moveaxis(arrays[0], -1, 1)]
        if departs(op, arrays) or any(a.dtype == bfloat16.numpy for a in arrays):
            continue
        proto, feeds, number = model(op, arrays)
        try:
            with np.errstate(all="ignore"):
                expected = np.asarray(ReferenceEvaluator(proto).run(None, feeds)[number])
        except (IndexError, ValueError, RuntimeError):
            continue  # it fails on some valid instances
        got = op.numpy(*arrays)
        dtype = float32 if name == "Resize" else DType.of(got.dtype)  # it has float32 coefficients
        assert got.shape == expected.shape, f"{op} {feeds}"
        assert_agree(got, expected.astype(np.float64) if dtype.is_float else expected, dtype, f"{op} case {case}")
        compared += 1
        if compared == 12:
            break
    assert compared >= 5
