"""The table of the ONNX frontend: `{ONNX operator: function}`.

A function takes a `Call` (one ONNX node) and returns the graph node of its output, or a tuple of
them. Most operators are `direct`: the ONNX attributes are the fields. The others hide what
changed between opsets, so that `ops` has one form of each operator.

>>> sorted(set(TRANSLATIONS) & {"Relu", "Upsample", "Loop"})
['Relu', 'Upsample']
"""

from __future__ import annotations

from functools import reduce

from minicc import ops
from minicc.frontend.onnx_call import Call, Result, Translation
from minicc.frontend.onnx_movement import MOVEMENT
from minicc.frontend.onnx_tensors import dense
from minicc.graph.ir import Node
from minicc.ops.base import Operator
from minicc.types import DType


def direct(operator: type[Operator], *same: str, **renamed: str) -> Translation:
    """All inputs are data, and each field is the attribute of the same name, or as `renamed` says."""
    attributes = {name: name for name in same} | renamed

    def translate(call: Call) -> Node:
        return call(operator, *call.data, **{field: call[name] for field, name in attributes.items()})

    return translate


def variadic(operator: type[Operator]) -> Translation:
    """Any number of inputs by an operator of two."""
    return lambda call: reduce(lambda a, b: call(operator, a, b), call.data)


def mean(call: Call) -> Node:
    total: Node = reduce(lambda a, b: call(ops.Add, a, b), call.data)
    return call(ops.Div, total, call.like(len(call.inputs), total))


def clip(call: Call) -> Node:
    """Limits are attributes before opset 11 and optional inputs since; with one limit it is a Max or a Min."""
    x = call[0]
    if call.version < 11:
        low, high = (call.like(call[name], x) for name in ("min", "max"))
        return call(ops.Clip, x, low, high)
    least, most = call.input(1), call.input(2)
    if least is not None and most is not None:
        return call(ops.Clip, x, least, most)
    if least is not None:
        return call(ops.Max, x, least)
    return call(ops.Min, x, most) if most is not None else x


def swish(call: Call) -> Node:
    x, alpha = call[0], call["alpha"]
    gate = x if alpha == 1 else call(ops.Mul, x, call.like(alpha, x))
    return call(ops.Mul, x, call(ops.Sigmoid, gate))


def cast(call: Call) -> Node:
    call.ignore("round_mode")  # concerns float8 only
    return call(ops.Cast, call[0], dtype=call.dtype("to"), saturate=call["saturate"])


def cast_like(call: Call) -> Node:
    call.ignore("round_mode", "saturate")
    return call(ops.CastLike, call[0], call[1])


def constant(call: Call) -> Node:
    if (value := call.tensor("value")) is not None:
        return call.constant(value, DType.of(value.dtype))
    if (sparse := call["sparse_value"]) is not None:
        value = dense(sparse, (), call.span.source, f"attribute sparse_value of {call.span}")
        return call.constant(value, DType.of(value.dtype))
    for name, dtype in (
        ("value_float", "float32"),
        ("value_floats", "float32"),
        ("value_int", "int64"),
        ("value_ints", "int64"),
    ):
        if (number := call[name]) is not None:
            return call.constant(number, dtype)
    raise call.error("expected a tensor or a number as value", "text constants are not supported")


def dropout(call: Call) -> Result:
    """Inference: the input as it is, and a mask of ones."""
    call.ignore("seed", "ratio")
    x: Node = call[0]
    training = call.input(2)
    if training is not None:
        mode, ratio = call.known(2), call.known(1)
        if mode is None or (mode.any() and (ratio is None or ratio.any())):
            raise call.error("training mode is not supported", "export the model for inference")
    if len(call.asked) == 1:
        return x
    mask = call(ops.ConstantOfShape, shape=call.shape(x), value=1, dtype=DType.of("bool"))
    return [x, mask if call.version >= 10 else call(ops.CastLike, mask, x)]


# Contractions and windows


def _biased(call: Call, y: Node) -> Node:
    """`y` plus the third input, one number per channel."""
    bias = call.input(2)
    if bias is None:
        return y
    known = call[1] if call[1].inferred is not None else call[0]
    rank = call.type(known, "a bias").rank
    return call(ops.Add, y, call(ops.Reshape, bias, shape=(1, -1, *[1] * (rank - 2))))


def _check_kernel(call: Call) -> None:
    """`kernel_shape` repeats what the weights say."""
    given, weights = call["kernel_shape"], call[1].inferred
    if given is not None and weights is not None and weights.is_bound and weights.shape[2:] != given:
        raise call.error(
            f"kernel_shape must be that of the weights, {weights.shape[2:]}, got {given}",
            "leave kernel_shape out: the weights say it",
        )


_WINDOW = {"strides": "strides", "padding": "pads", "dilation": "dilations"}
_POOL = {"kernel": "kernel_shape", "strides": "strides", "padding": "pads", "ceil_mode": "ceil_mode"}


def conv(call: Call) -> Node:
    _check_kernel(call)
    fields = {field: call[name] for field, name in _WINDOW.items()}
    return _biased(call, call(ops.Conv, call[0], call[1], groups=call["group"], auto_pad=call["auto_pad"], **fields))


def conv_transpose(call: Call) -> Node:
    _check_kernel(call)
    fields = {field: call[name] for field, name in _WINDOW.items()}
    for name in ("output_padding", "output_shape"):
        fields[name] = call[name]
    y = call(ops.ConvTranspose, call[0], call[1], groups=call["group"], auto_pad=call["auto_pad"], **fields)
    return _biased(call, y)


def max_pool(call: Call) -> Result:
    fields = {field: call[name] for field, name in _POOL.items()}
    fields |= {"dilation": call["dilations"], "auto_pad": call["auto_pad"]}
    order = call["storage_order"]
    y = call(ops.MaxPool, call[0], **fields)
    return (y, call(ops.MaxPoolIndices, call[0], storage_order=order, **fields)) if len(call.asked) > 1 else y


def _norm(call: Call) -> int:
    if call["p"] < 1:
        raise call.error(
            f"p must be at least 1, got {call['p']}", "p=1 sums absolute values, p=2 is the Euclidean length"
        )
    return int(call["p"])


def lp_pool(call: Call) -> Node:
    fields = {field: call[name] for field, name in _POOL.items()}
    return call(ops.LpPool, call[0], p=_norm(call), dilation=call["dilations"], auto_pad=call["auto_pad"], **fields)


def global_lp_pool(call: Call) -> Node:
    x, p = call[0], _norm(call)
    axes = tuple(range(2, call.type(x, "GlobalLpPool").rank))
    if p in (1, 2):
        return call(ops.ReduceL1 if p == 1 else ops.ReduceL2, x, axes=axes)
    total = call(ops.ReduceSum, call(ops.Pow, call(ops.Abs, x), call.like(p, x)), axes=axes)
    return call(ops.Pow, total, call.like(1 / p, x))


# Normalization


def batch_normalization(call: Call) -> Node:
    """Without `spatial`, before opset 9, every element of an image is a channel with statistics of its own."""
    call.ignore("momentum")
    if call["training_mode"] or any(call.asked[1:]):
        raise call.error("training mode is not supported", "export the model for inference")
    if call["spatial"] != 0:
        return call(ops.BatchNormalization, *call.data, epsilon=call["epsilon"])
    x, *statistics = call.data
    vectors = [call(ops.Reshape, v, shape=(-1,)) for v in statistics]
    flat = call(ops.BatchNormalization, call(ops.Flatten, x, axis=1), *vectors, epsilon=call["epsilon"])
    return call(ops.Reshape, flat, shape=call.shape(x))


def group_normalization(call: Call) -> Node:
    call.ignore("stash_type")
    groups, epsilon = call["num_groups"], call["epsilon"]
    if call.version >= 21:
        return call(ops.GroupNormalization, *call.data, num_groups=groups, epsilon=epsilon)
    # Opset 18 has one scale per group: the groups are then the channels of an instance normalization.
    x, scale, bias = call.data
    grouped = call(ops.Reshape, x, shape=(0, groups, -1))
    return call(
        ops.Reshape, call(ops.InstanceNormalization, grouped, scale, bias, epsilon=epsilon), shape=call.shape(x)
    )


def layer_normalization(call: Call) -> Result:
    """The two statistics are float32 outputs that few models ask for."""
    call.ignore("stash_type")
    axis, epsilon = call["axis"], call["epsilon"]
    y = call(ops.LayerNormalization, *call.data, axis=axis, epsilon=epsilon)
    if not any(call.asked[1:]):
        return y
    rank = 0 if axis < 0 else call.type(call[0], "axis >= 0").rank
    axes = tuple(range(axis, rank))
    x = call(ops.Cast, call[0], dtype=DType.of("float32"))
    center = call(ops.ReduceMean, x, axes=axes)
    apart = call(ops.Sub, x, center)
    variance = call(ops.ReduceMean, call(ops.Mul, apart, apart), axes=axes)
    inverse = call(ops.Reciprocal, call(ops.Sqrt, call(ops.Add, variance, call.constant(epsilon))))
    return y, center, inverse


def rms_normalization(call: Call) -> Node:
    call.ignore("stash_type")
    return call(ops.RMSNormalization, *call.data, axis=call["axis"], epsilon=call["epsilon"])


# Reductions


def reduction(operator: type[Operator], since: int) -> Translation:
    """`since`: the opset that made the axes an input."""

    def translate(call: Call) -> Node:
        axes = call.vector(1) if call.version >= since else call["axes"]
        return call(
            operator, call[0], axes=axes, keepdims=call["keepdims"], noop_with_empty_axes=call["noop_with_empty_axes"]
        )

    return translate


def softmax(operator: type[Operator]) -> Translation:
    """Before opset 13 the input is a matrix, all axes from `axis` on being its columns."""

    def translate(call: Call) -> Node:
        x, axis = call[0], call["axis"]
        last = axis == -1 or (x.inferred is not None and axis == x.inferred.rank - 1)
        if call.version >= 13 or last:
            return call(operator, x, axis=axis)
        matrix = call(operator, call(ops.Flatten, x, axis=axis), axis=-1)
        return call(ops.Reshape, matrix, shape=call.shape(x))

    return translate


def cumulative_sum(call: Call) -> Node:
    return call(ops.CumSum, call[0], axis=call.scalar(1), exclusive=call["exclusive"], reverse=call["reverse"])


_PLAIN = (
    ops.Abs,
    ops.Acos,
    ops.Acosh,
    ops.Add,
    ops.And,
    ops.Asin,
    ops.Asinh,
    ops.Atan,
    ops.Atanh,
    ops.BitwiseAnd,
    ops.BitwiseNot,
    ops.BitwiseOr,
    ops.BitwiseXor,
    ops.Ceil,
    ops.Cos,
    ops.Cosh,
    ops.Div,
    ops.Equal,
    ops.Erf,
    ops.Exp,
    ops.Floor,
    ops.GlobalAveragePool,
    ops.GlobalMaxPool,
    ops.Greater,
    ops.GreaterOrEqual,
    ops.HardSwish,
    ops.IsNaN,
    ops.Less,
    ops.LessOrEqual,
    ops.Log,
    ops.MatMul,
    ops.Mish,
    ops.Mul,
    ops.Neg,
    ops.Not,
    ops.Or,
    ops.PRelu,
    ops.Pow,
    ops.Reciprocal,
    ops.Relu,
    ops.Round,
    ops.Sigmoid,
    ops.Sign,
    ops.Sin,
    ops.Sinh,
    ops.Softplus,
    ops.Softsign,
    ops.Sqrt,
    ops.Sub,
    ops.Tan,
    ops.Tanh,
    ops.Where,
    ops.Xor,
)
_REDUCTIONS = (
    ops.ReduceL1,
    ops.ReduceL2,
    ops.ReduceLogSum,
    ops.ReduceLogSumExp,
    ops.ReduceMax,
    ops.ReduceMean,
    ops.ReduceMin,
    ops.ReduceProd,
    ops.ReduceSumSquare,
)

TRANSLATIONS: dict[str, Translation] = {
    **{operator.__name__: direct(operator) for operator in _PLAIN},
    **{operator.__name__: reduction(operator, since=18) for operator in _REDUCTIONS},
    "ReduceSum": reduction(ops.ReduceSum, since=13),
    "ArgMax": direct(ops.ArgMax, "axis", "keepdims", "select_last_index"),
    "ArgMin": direct(ops.ArgMin, "axis", "keepdims", "select_last_index"),
    "AveragePool": direct(ops.AveragePool, "count_include_pad", "auto_pad", dilation="dilations", **_POOL),
    "BatchNormalization": batch_normalization,
    "BitShift": direct(ops.BitShift, "direction"),
    "Cast": cast,
    "CastLike": cast_like,
    "Celu": direct(ops.Celu, "alpha"),
    "Clip": clip,
    "Constant": constant,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "CumSum": cumulative_sum,
    "Dropout": dropout,
    "Einsum": direct(ops.Einsum, "equation"),
    "Elu": direct(ops.Elu, "alpha"),
    "Gelu": direct(ops.Gelu, "approximate"),
    "Gemm": direct(ops.Gemm, "alpha", "beta", trans_a="transA", trans_b="transB"),
    "GlobalLpPool": global_lp_pool,
    "GroupNormalization": group_normalization,
    "HardSigmoid": direct(ops.HardSigmoid, "alpha", "beta"),
    "Hardmax": softmax(ops.Hardmax),
    "Identity": lambda call: call[0],
    "InstanceNormalization": direct(ops.InstanceNormalization, "epsilon"),
    "IsInf": direct(ops.IsInf, "detect_negative", "detect_positive"),
    "LRN": direct(ops.LRN, "size", "alpha", "beta", "bias"),
    "LayerNormalization": layer_normalization,
    "LeakyRelu": direct(ops.LeakyRelu, "alpha"),
    "LogSoftmax": softmax(ops.LogSoftmax),
    "LpPool": lp_pool,
    "LpNormalization": direct(ops.LpNormalization, "axis", "p"),
    "Max": variadic(ops.Max),
    "MaxPool": max_pool,
    "Mean": mean,
    "MeanVarianceNormalization": direct(ops.MeanVarianceNormalization, "axes"),
    "Min": variadic(ops.Min),
    "Mod": direct(ops.Mod, "fmod"),
    "RMSNormalization": rms_normalization,
    "Selu": direct(ops.Selu, "alpha", "gamma"),
    "Shrink": direct(ops.Shrink, "bias", "lambd"),
    "Softmax": softmax(ops.Softmax),
    "Sum": variadic(ops.Add),
    "Swish": swish,
    "ThresholdedRelu": direct(ops.ThresholdedRelu, "alpha"),
    **MOVEMENT,
}
