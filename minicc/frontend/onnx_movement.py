"""The ONNX operators that move elements: shapes, slices, indices, padding, resizing, generating.

Part of the table in `onnx_ops`. What ONNX moved over the years from attributes to inputs becomes
an operand here: a field where the value is a constant, one more input where it is computed.

>>> "Reshape" in MOVEMENT
True
"""

from __future__ import annotations

from typing import Any

from minicc import ops
from minicc.frontend.onnx_call import Call, Result, Translation, numbers
from minicc.graph.ir import Node
from minicc.types import DType


def reshape(call: Call) -> Node:
    return call(ops.Reshape, call[0], shape=call.vector(1), allow_zero=call["allowzero"])


def squeeze(call: Call) -> Node:
    return call(ops.Squeeze, call[0], axes=call.vector(1) if call.version >= 13 else call["axes"])


def unsqueeze(call: Call) -> Node:
    return call(ops.Unsqueeze, call[0], axes=call.vector(1) if call.version >= 13 else call["axes"])


def split(call: Call) -> Result:
    """Sizes were an attribute before opset 13; without them the parts are as equal as can be."""
    parts = len(call.asked)
    sizes = call.vector(1) if call.version >= 13 else call["split"]
    if call["num_outputs"] not in (None, parts):
        raise call.error(
            f"num_outputs must be the number of outputs, {parts}, got {call['num_outputs']}",
            f"num_outputs={parts}, or leave it out",
        )
    return [call(ops.Split, call[0], axis=call["axis"], sizes=sizes, parts=parts, index=i) for i in range(parts)]


def slice_(call: Call) -> Node:
    if call.version < 10:
        return call(ops.Slice, call[0], starts=call["starts"], ends=call["ends"], axes=call["axes"])
    starts, ends, axes, steps = (call.vector(i) for i in range(1, 5))
    return call(ops.Slice, call[0], starts=starts, ends=ends, axes=axes, steps=steps)


def pad(call: Call) -> Node:
    if call.version < 11:
        return call(ops.Pad, call[0], pads=call["pads"], value=call["value"], mode=call["mode"])
    return call(ops.Pad, call[0], pads=call.vector(1), value=call.scalar(2), axes=call.vector(3), mode=call["mode"])


def one_hot(call: Call) -> Node:
    return call(ops.OneHot, call[0], call[2], depth=call.scalar(1), axis=call["axis"])


def range_(call: Call) -> Node:
    start, limit, delta = (call.scalar(i) for i in range(3))
    dtype = next((x.dtype for x in call.data if x.inferred is not None), None)
    return call(ops.Range, start=start, limit=limit, delta=delta, dtype=dtype)


def constant_of_shape(call: Call) -> Node:
    value = call.tensor("value")
    if value is None:
        return call(ops.ConstantOfShape, shape=call.vector(0))
    if value.size != 1:
        raise call.error(
            f"value must have one element, got {value.size}", "value=onnx.numpy_helper.from_array(numpy.float32([0]))"
        )
    return call(
        ops.ConstantOfShape, shape=call.vector(0), value=numbers(value.reshape(())), dtype=DType.of(value.dtype)
    )


def eye_like(call: Call) -> Node:
    """A diagonal is what the upper and the lower triangle of ones share."""
    x, k = call[0], call["k"]
    ones = call(ops.ConstantOfShape, shape=call.shape(x), value=1.0)
    eye = call(ops.Trilu, call(ops.Trilu, ones, k=k, upper=True), k=k, upper=False)
    if call["dtype"] is not None:
        return call(ops.Cast, eye, dtype=call.dtype("dtype"))
    return call(ops.CastLike, eye, x)


def resize(call: Call) -> Node:
    """Opset 10 has scales only, and the coordinates of Upsample.

    Exporters write `nearest_mode` into every Resize; the files that pin the ONNX reference's own
    meaning of align_corners do not (`ops.resize`).
    """
    if call.version < 11:
        return _upsample(call, call.vector(1))
    mode = call["coordinate_transformation_mode"]
    roi = call.vector(1) if mode == "tf_crop_and_resize" else None
    scales, sizes = (_unless_empty(call, i) for i in (2, 3))
    if mode == "align_corners" and call["mode"] != "nearest" and not call.given("nearest_mode") and sizes is None:
        mode = "align_corners_by_scale"
    fields: dict[str, Any] = {
        name: call[name]
        for name in (
            "mode",
            "nearest_mode",
            "cubic_coeff_a",
            "exclude_outside",
            "extrapolation_value",
            "antialias",
            "axes",
            "keep_aspect_ratio_policy",
        )
    }
    return call(ops.Resize, call[0], scales=scales, sizes=sizes, roi=roi, coordinate_transformation_mode=mode, **fields)


def _unless_empty(call: Call, position: int) -> Node | None:
    """An empty list of scales or sizes says the same as an absent one."""
    found = call.vector(position)
    return None if found is None or (found.inferred is not None and found.shape == (0,)) else found


def upsample(call: Call) -> Node:
    return _upsample(call, call.vector(1) if call.version >= 9 else call["scales"])


def _upsample(call: Call, scales: Any) -> Node:
    return call(
        ops.Resize,
        call[0],
        scales=scales,
        mode=call["mode"],
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )


def top_k(call: Call) -> Result:
    k = call["k"] if call.version < 10 else call.scalar(1)
    fields = {name: call[name] for name in ("axis", "largest", "sorted")}
    return tuple(
        call(operator, call[0], k=k, **fields) if asked else None
        for operator, asked in zip((ops.TopK, ops.TopKIndices), call.asked, strict=True)
    )


MOVEMENT: dict[str, Translation] = {
    "Concat": lambda call: call(ops.Concat, *call.data, axis=call["axis"]),
    "ConstantOfShape": constant_of_shape,
    "DepthToSpace": lambda call: call(ops.DepthToSpace, call[0], blocksize=call["blocksize"], mode=call["mode"]),
    "Expand": lambda call: call(ops.Expand, call[0], shape=call.vector(1)),
    "EyeLike": eye_like,
    "Flatten": lambda call: call(ops.Flatten, call[0], axis=call["axis"]),
    "Gather": lambda call: call(ops.Gather, *call.data, axis=call["axis"]),
    "GatherElements": lambda call: call(ops.GatherElements, *call.data, axis=call["axis"]),
    "GatherND": lambda call: call(ops.GatherND, *call.data, batch_dims=call["batch_dims"]),
    "OneHot": one_hot,
    "Pad": pad,
    "Range": range_,
    "Reshape": reshape,
    "Resize": resize,
    "ReverseSequence": lambda call: call(
        ops.ReverseSequence, *call.data, batch_axis=call["batch_axis"], time_axis=call["time_axis"]
    ),
    "Scatter": lambda call: call(ops.ScatterElements, *call.data, axis=call["axis"]),
    "ScatterElements": lambda call: call(
        ops.ScatterElements, *call.data, axis=call["axis"], reduction=call["reduction"]
    ),
    "ScatterND": lambda call: call(ops.ScatterND, *call.data, reduction=call["reduction"]),
    "Shape": lambda call: call(ops.Shape, call[0], start=call["start"], end=call["end"]),
    "Size": lambda call: call(ops.Size, call[0]),
    "Slice": slice_,
    "SpaceToDepth": lambda call: call(ops.SpaceToDepth, call[0], blocksize=call["blocksize"], mode=call["mode"]),
    "Split": split,
    "Squeeze": squeeze,
    "Tile": lambda call: call(ops.Tile, call[0], repeats=call.vector(1)),
    "TopK": top_k,
    "Transpose": lambda call: call(ops.Transpose, call[0], perm=call["perm"]),
    "Trilu": lambda call: call(ops.Trilu, call[0], k=call.scalar(1), upper=call["upper"]),
    "Unsqueeze": unsqueeze,
    "Upsample": upsample,
}
