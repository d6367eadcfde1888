"""What ONNX operators mean in `ops`, where a node is not one operator whose fields are its attributes and inputs.

Most operators are translated by `OnnxCall.direct` and need nothing here: the ONNX names of an operator and its
fields stand in its class. A function of this table takes an `OnnxCall` (one ONNX node) and returns the graph node
of its output, or a tuple of them. It hides what changed between opsets, so that `ops` has one form of each operator.

>>> sorted(TRANSLATIONS)[:3]
['BatchNormalization', 'Cast', 'CausalConvWithState']
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any

from minicc import ops
from minicc.frontend.apply import numbers
from minicc.frontend.onnx.call import OnnxCall, Result, Translation
from minicc.graph.ir import Node
from minicc.ops.base import Operator
from minicc.types import DType


def variadic(operator: type[Operator], call: OnnxCall) -> Node:
    """Any number of inputs by an operator of two."""
    return reduce(lambda a, b: call(operator, a, b), call.data)


def mean(call: OnnxCall) -> Node:
    total = variadic(ops.Add, call)
    return call(ops.Div, total, call.like(len(call.inputs), total))


def clip(call: OnnxCall) -> Node:
    """Limits are attributes before opset 11 and optional inputs since; with one limit it is a Max or a Min."""
    x = call[0]
    if call.version < 11:
        return call(ops.Clip, x, *[call.like(call[name], x) for name in ("min", "max")])
    least, most = call.input(1), call.input(2)
    if least is not None and most is not None:
        return call(ops.Clip, x, least, most)
    if least is not None:
        return call(ops.Max, x, least)
    return call(ops.Min, x, most) if most is not None else x


def swish(call: OnnxCall) -> Node:
    x, alpha = call[0], call["alpha"]
    gate = x if alpha == 1 else call(ops.Mul, x, call.like(alpha, x))
    return call(ops.Mul, x, call(ops.Sigmoid, gate))


def swiglu(call: OnnxCall) -> Node:
    """Swish of the gate, times the other input."""
    return call(ops.Mul, swish(call), call[1])


def constant(call: OnnxCall) -> Node:
    value = call.tensor("value")
    if value is None and (sparse := call["sparse_value"]) is not None:
        value = call.file.dense(sparse, f"attribute sparse_value of {call.span}")
    if value is not None:
        return call.constant(value, DType.of(value.dtype))
    for kind, dtype in (("float", "float32"), ("int", "int64")):
        for name in (f"value_{kind}", f"value_{kind}s"):
            if (number := call[name]) is not None:
                return call.constant(number, dtype)
    raise call.error("expected a tensor or a number as value", "text constants are not supported")


def constant_of_shape(call: OnnxCall) -> Node:
    value = call.tensor("value")
    if value is None:
        return call.direct(ops.ConstantOfShape, value=None)
    if value.size != 1:
        hint = "value=onnx.numpy_helper.from_array(numpy.float32([0]))"
        raise call.error(f"value must have one element, got {value.size}", hint)
    return call.direct(ops.ConstantOfShape, value=numbers(value.reshape(())), dtype=DType.of(value.dtype))


def eye_like(call: OnnxCall) -> Node:
    """A diagonal is what the upper and the lower triangle of ones share."""
    x, k = call[0], call["k"]
    ones = call(ops.ConstantOfShape, shape=call.shape(x), value=1.0)
    eye = call(ops.Trilu, call(ops.Trilu, ones, k=k, upper=True), k=k, upper=False)
    if call["dtype"] is not None:
        return call(ops.Cast, eye, dtype=call.dtype("dtype"))
    return call(ops.CastLike, eye, x)


def range_(call: OnnxCall) -> Node:
    return call.direct(ops.Range, dtype=next((x.dtype for x in call.data if x.inferred is not None), None))


def dropout(call: OnnxCall) -> Result:
    """Inference: the input as it is, and a mask of ones."""
    x: Node = call[0]
    if call.input(2) is not None:
        mode, ratio = call.known(2), call.known(1)
        if mode is None or (mode.any() and (ratio is None or ratio.any())):
            raise call.error("training mode is not supported", "export the model for inference")
    if len(call.asked) == 1:
        return x
    mask = call(ops.ConstantOfShape, shape=call.shape(x), value=1, dtype=DType.of("bool"))
    return [x, mask if call.version >= 10 else call(ops.CastLike, mask, x)]


# Outputs that are operators of their own


def split(call: OnnxCall) -> Result:
    """Without sizes the parts are as equal as can be."""
    parts = len(call.asked)
    if call["num_outputs"] not in (None, parts):
        hint = f"num_outputs={parts}, or leave it out"
        raise call.error(f"num_outputs must be the number of outputs, {parts}, got {call['num_outputs']}", hint)
    return [call.direct(ops.Split, parts=parts, index=i) for i in range(parts)]


def top_k(call: OnnxCall) -> Result:
    both = zip((ops.TopK, ops.TopKIndices), call.asked, strict=True)
    return [call.direct(operator) if asked else None for operator, asked in both]


def max_pool(call: OnnxCall) -> Result:
    y, order = call.direct(ops.MaxPool), call["storage_order"]
    return (y, call.direct(ops.MaxPoolIndices, storage_order=order)) if len(call.asked) > 1 else y


# Windows


def conv(operator: type[Operator], call: OnnxCall) -> Node:
    """`kernel_shape` repeats what the weights say. A bias, the third input, is one number per channel."""
    given, weights = call["kernel_shape"], call[1].inferred
    if given is not None and weights is not None and weights.is_bound and weights.shape[2:] != given:
        problem = f"kernel_shape must be that of the weights, {weights.shape[2:]}, got {given}"
        raise call.error(problem, "leave kernel_shape out: the weights say it")
    y, bias = call.direct(operator, call[0], call[1]), call.input(2)
    if bias is None:
        return y
    rank = call.type(call[1] if weights is not None else call[0], "a bias").rank
    return call(ops.Add, y, call(ops.Reshape, bias, shape=(1, -1, *[1] * (rank - 2))))


def causal_conv(call: OnnxCall) -> Result:
    """A depthwise convolution of a sequence with what came before it, which is a result: the last elements of both."""
    x, weights, activation = call[0], call[1], call["activation"]
    shape = call.type(weights, "a convolution by channels").shape
    if len(shape) != 3 or not all(isinstance(n, int) for n in shape) or activation not in ("none", "silu", "swish"):
        problem = f"expected weights [channels, 1, taps], and silu or no activation, got {shape} and {activation!r}"
        raise call.error(problem, "export the model with weights of a fixed shape")
    channels, _, taps = shape
    past, bias = call.input(3), call.input(2)
    whole = call(ops.Pad, x, pads=(taps - 1, 0), axes=(2,)) if past is None else call(ops.Concat, past, x, axis=2)
    y = call(ops.Conv, whole, weights, groups=channels)
    y = y if bias is None else call(ops.Add, y, call(ops.Reshape, bias, shape=(1, -1, 1)))
    y = y if activation == "none" else call(ops.Mul, y, call(ops.Sigmoid, y))
    return y, call(ops.Slice, whole, starts=(1 - taps if taps > 1 else 2**31 - 1,), ends=(2**31 - 1,), axes=(2,))


def _norm(call: OnnxCall) -> int:
    if call["p"] < 1:
        hint = "p=1 sums absolute values, p=2 is the Euclidean length"
        raise call.error(f"p must be at least 1, got {call['p']}", hint)
    return int(call["p"])


def global_lp_pool(call: OnnxCall) -> Node:
    x, p = call[0], _norm(call)
    axes = tuple(range(2, call.type(x, "GlobalLpPool").rank))
    if p in (1, 2):
        return call(ops.ReduceL1 if p == 1 else ops.ReduceL2, x, axes=axes)
    total = call(ops.ReduceSum, call(ops.Pow, call(ops.Abs, x), call.like(p, x)), axes=axes)
    return call(ops.Pow, total, call.like(1 / p, x))


def resize(call: OnnxCall) -> Node:
    """Opset 10 has scales only, and the coordinates of Upsample; an empty list of scales or sizes is an absent one.

    Exporters write `nearest_mode` into every Resize; the files that pin the ONNX reference's own
    meaning of align_corners do not (`ops.resize`).
    """
    if call.version < 11:
        return upsample(call)
    mode = call["coordinate_transformation_mode"]
    roi, *given = (call.operand(position, rank=1) for position in (1, 2, 3))
    scales, sizes = (v if v is None or v.inferred is None or v.shape != (0,) else None for v in given)
    if mode == "align_corners" and call["mode"] != "nearest" and not call.given("nearest_mode") and sizes is None:
        mode = "align_corners_by_scale"
    fields: dict[str, Any] = {"scales": scales, "sizes": sizes, "roi": roi if mode == "tf_crop_and_resize" else None}
    return call.direct(ops.Resize, call[0], coordinate_transformation_mode=mode, **fields)


def upsample(call: OnnxCall) -> Node:
    return call.direct(ops.Resize, coordinate_transformation_mode="asymmetric", nearest_mode="floor")


# Normalization


def batch_normalization(call: OnnxCall) -> Node:
    """Without `spatial`, before opset 9, every element of an image is a channel with statistics of its own."""
    if call["training_mode"] or any(call.asked[1:]):
        raise call.error("training mode is not supported", "export the model for inference")
    if call["spatial"] != 0:
        return call.direct(ops.BatchNormalization)
    x, *statistics = call.data
    vectors = [call(ops.Reshape, v, shape=(-1,)) for v in statistics]
    flat = call.direct(ops.BatchNormalization, call(ops.Flatten, x, axis=1), *vectors)
    return call(ops.Reshape, flat, shape=call.shape(x))


def group_normalization(call: OnnxCall) -> Node:
    """Opset 18 has one scale per group: the groups are then the channels of an instance normalization."""
    if call.version >= 21:
        return call.direct(ops.GroupNormalization)
    x, scale, bias = call.data
    grouped = call(ops.Reshape, x, shape=(0, call["num_groups"], -1))
    return call(ops.Reshape, call.direct(ops.InstanceNormalization, grouped, scale, bias), shape=call.shape(x))


def layer_normalization(call: OnnxCall) -> Result:
    """The two statistics are float32 outputs that few models ask for."""
    y, axis = call.direct(ops.LayerNormalization), call["axis"]
    if not any(call.asked[1:]):
        return y
    rank = 0 if axis < 0 else call.type(call[0], "axis >= 0").rank
    axes = tuple(range(axis, rank))
    x = call(ops.Cast, call[0], dtype=DType.of("float32"))
    center = call(ops.ReduceMean, x, axes=axes)
    apart = call(ops.Sub, x, center)
    variance = call(ops.ReduceMean, call(ops.Mul, apart, apart), axes=axes)
    inverse = call(ops.Reciprocal, call(ops.Sqrt, call(ops.Add, variance, call.constant(call["epsilon"]))))
    return y, center, inverse


def softmax(operator: type[Operator], call: OnnxCall) -> Node:
    """Before opset 13 the input is a matrix, all axes from `axis` on being its columns."""
    x, axis = call[0], call["axis"]
    if call.version >= 13 or axis == -1 or (x.inferred is not None and axis == x.inferred.rank - 1):
        return call.direct(operator)
    matrix = call(operator, call(ops.Flatten, x, axis=axis), axis=-1)
    return call(ops.Reshape, matrix, shape=call.shape(x))


TRANSLATIONS: dict[str, Translation] = {
    "BatchNormalization": batch_normalization,
    "Cast": lambda call: call.direct(ops.Cast, dtype=call.dtype("to")),
    "CausalConvWithState": causal_conv,
    "Clip": clip,
    "Constant": constant,
    "ConstantOfShape": constant_of_shape,
    "Conv": partial(conv, ops.Conv),
    "ConvTranspose": partial(conv, ops.ConvTranspose),
    "Dropout": dropout,
    "EyeLike": eye_like,
    "GlobalLpPool": global_lp_pool,
    "GroupNormalization": group_normalization,
    "Hardmax": partial(softmax, ops.Hardmax),
    "Identity": lambda call: call[0],
    "LayerNormalization": layer_normalization,
    "LogSoftmax": partial(softmax, ops.LogSoftmax),
    "LpPool": lambda call: call.direct(ops.LpPool, p=_norm(call)),
    "Max": partial(variadic, ops.Max),
    "MaxPool": max_pool,
    "Mean": mean,
    "Min": partial(variadic, ops.Min),
    "Range": range_,
    "Resize": resize,
    "Softmax": partial(softmax, ops.Softmax),
    "Split": split,
    "Sum": partial(variadic, ops.Add),
    "SwiGLU": swiglu,
    "Swish": swish,
    "TopK": top_k,
    "Upsample": upsample,
}
