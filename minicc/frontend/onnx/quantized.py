"""What the quantised ONNX operators mean in `ops`: those of ONNX itself, and those that onnxruntime adds.

A product of integers with zero points is that of their differences, in int32 (`ops.integer`); a requantisation is one
factor and a rounding. What else is quantised (QLinearAdd) is the operator on real numbers between DequantizeLinear and
QuantizeLinear. `graph.quantize_products` makes of these what runs fast.

As the onnx text says, scales are positive; a constant one that is not is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from minicc import ops
from minicc.frontend.onnx.call import OnnxCall, Translation
from minicc.graph.ir import Node
from minicc.ops.base import Operator
from minicc.types import DType, float32, int16, uint8

Real = Callable[[OnnxCall, Node], Node]  # what a quantised operator does to real numbers

# ---- scales and zero points -------------------------------------------------------------------------------------


def scale(call: OnnxCall, position: int) -> Node:
    """The input at this position, a scale."""
    known = call.known(position)
    if known is not None and not (np.isfinite(known) & (known > 0)).all():
        wrong = known[~(np.isfinite(known) & (known > 0))].ravel()[0]
        raise call.error(
            f"a scale must be positive and finite, got {wrong} in input {position}", "quantise the model again"
        )
    found: Node = call[position]
    return found


def real(call: OnnxCall, x: int, scale_at: int, zero_at: int) -> Node:
    """The input `x` as real numbers."""
    zero = call.input(zero_at)
    return call(ops.DequantizeLinear, call[x], scale(call, scale_at), *([] if zero is None else [zero]))


def on_grid(call: OnnxCall, y: Node, scale_at: int, zero_at: int) -> Node:
    """Real numbers as integers; without a zero point of the dtype of the first input."""
    zero = call.input(zero_at)
    data = [] if zero is None else [zero]
    dtype = call.type(call[0], "a result without a zero point").dtype if zero is None else uint8
    return call(ops.QuantizeLinear, y, scale(call, scale_at), *data, dtype=dtype)


def centered(call: OnnxCall, x: int, zero_at: int, shape: tuple[int, ...]) -> Node:
    """The input `x` without its zero point, which has this shape where it is a vector."""
    value: Node = call[x]
    zero = call.input(zero_at)
    if zero is None:
        return value
    if None not in (value.inferred, zero.inferred) and value.dtype is not zero.dtype:
        problem = f"input {zero_at}, the zero point of input {x}, must be {value.dtype} as that, got {zero.dtype}"
        raise call.error(problem, "quantise the model again")
    known = call.known(zero_at)
    if known is not None and not known.any():
        return value
    return minus(call, value, shaped(call, zero, shape))


def minus(call: OnnxCall, x: Node, zero: Node) -> Node:
    """x - zero, which 16 bits hold."""
    return call(ops.Sub, call(ops.Cast, x, dtype=int16), call(ops.Cast, zero, dtype=int16))


def shaped(call: OnnxCall, values: Node, shape: tuple[int, ...]) -> Node:
    """A scale or a zero point: of a vector one number for each row, column or channel."""
    rank = call.type(values, "a scale or a zero point").rank
    return call(ops.Reshape, values, shape=shape) if rank == 1 else values


# ---- products ---------------------------------------------------------------------------------------------------


def columns(call: OnnxCall, position: int) -> tuple[int, ...]:
    """The shape of one number for each output channel of convolution weights."""
    rank = call.type(call[position], "a convolution").rank
    return -1, *[1] * (rank - 1)


def convolved(call: OnnxCall, x: int, w: int, zeros: tuple[int, int]) -> Node:
    """The products of a convolution, in int32."""
    given, weights = call["kernel_shape"], call.type(call[w], "a convolution")
    if given is not None and weights.is_bound and weights.shape[2:] != given:
        problem = f"kernel_shape must be that of the weights, {weights.shape[2:]}, got {given}"
        raise call.error(problem, "leave kernel_shape out: the weights say it")
    data, kernel = centered(call, x, zeros[0], (1,)), centered(call, w, zeros[1], columns(call, w))
    fields = {
        "strides": "strides",
        "pads": "padding",
        "dilations": "dilation",
        "group": "groups",
        "auto_pad": "auto_pad",
    }
    return call(ops.ConvInteger, data, kernel, **{field: call[name] for name, field in fields.items()})


def multiplied(call: OnnxCall, a: int, b: int, zeros: tuple[int, int]) -> Node:
    """The products of matrices, in int32."""
    return call(ops.MatMulInteger, centered(call, a, zeros[0], (-1, 1)), centered(call, b, zeros[1], (-1,)))


def scaled(call: OnnxCall, total: Node, *scales: Node) -> Node:
    """Sums of products as real numbers."""
    factor = scales[0] if len(scales) == 1 else call(ops.Mul, *[call(ops.Cast, s, dtype=float32) for s in scales])
    return call(ops.Mul, call(ops.Cast, total, dtype=float32), factor)


def requantized(call: OnnxCall, total: Node, left: Node, right: Node, scale_at: int, zero_at: int) -> Node:
    """Sums of products as integers of another scale: times left * right / scale."""
    wide = [call(ops.Cast, s, dtype=float32) for s in (left, right, scale(call, scale_at))]
    factor = call(ops.Div, call(ops.Mul, *wide[:2]), wide[2])
    return call(ops.Quantize, call(ops.Mul, call(ops.Cast, total, dtype=float32), factor), call[zero_at])


def qlinear_conv(call: OnnxCall) -> Node:
    total, bias = convolved(call, 0, 3, (2, 5)), call.input(8)
    shape = columns(call, 3)[:-1]  # of a result, but for the batch
    if bias is not None:
        total = call(ops.Add, total, call(ops.Reshape, bias, shape=shape))
    return requantized(call, total, shaped(call, scale(call, 1), ()), shaped(call, scale(call, 4), shape), 6, 7)


def qlinear_matmul(call: OnnxCall) -> Node:
    left, right = shaped(call, scale(call, 1), (-1, 1)), shaped(call, scale(call, 4), (-1,))
    return requantized(call, multiplied(call, 0, 3, (2, 5)), left, right, 6, 7)


def qgemm(call: OnnxCall) -> Node:
    """alpha * a @ b + c, where c has the scale of the product; without a scale of the result, real numbers."""
    a, b = centered(call, 0, 2, (-1, 1)), centered(call, 3, 5, (1, -1) if not call["transB"] else (-1, 1))
    turn = partial(call, ops.Transpose, perm=(1, 0))
    total = call(ops.MatMulInteger, turn(a) if call["transA"] else a, turn(b) if call["transB"] else b)
    if (c := call.input(6)) is not None:
        total = call(ops.Add, total, c)
    alpha = call["alpha"]
    left = scale(call, 1) if alpha == 1 else call(ops.Mul, scale(call, 1), call.constant(alpha))
    if call.input(7) is None:
        return scaled(call, total, left, scale(call, 4))
    return requantized(call, total, left, scale(call, 4), 7, 8)


def matmul_integer_to_float(call: OnnxCall) -> Node:
    left, right = shaped(call, scale(call, 2), (-1, 1)), shaped(call, scale(call, 3), (-1,))
    y, bias = scaled(call, multiplied(call, 0, 1, (4, 5)), left, right), call.input(6)
    return y if bias is None else call(ops.Add, y, bias)


def dynamic_quantize_matmul(call: OnnxCall) -> Node:
    a, left, zero = dynamically(call, call[0])
    total = call(ops.MatMulInteger, minus(call, a, zero), centered(call, 1, 3, (-1,)))
    y, bias = scaled(call, total, left, shaped(call, scale(call, 2), (-1,))), call.input(4)
    return y if bias is None else call(ops.Add, y, bias)


def dynamically(call: OnnxCall, x: Node) -> tuple[Node, Node, Node]:
    """`x` in uint8, its scale and its zero point: the range of its values, and 0, becomes that of uint8."""
    nothing, grid = call.constant(0.0), call.constant(255.0)
    most = call(ops.Max, call(ops.ReduceMax, x, keepdims=False), nothing)
    least = call(ops.Min, call(ops.ReduceMin, x, keepdims=False), nothing)
    span = call(ops.Sub, most, least)
    span = call(ops.Where, call(ops.Equal, span, nothing), call.constant(1.0), span)
    by = call(ops.Div, span, grid)
    zero = call(ops.Quantize, call(ops.Div, call(ops.Neg, least), by), call.constant(0, uint8))
    return call(ops.QuantizeLinear, x, by, zero), by, zero


# ---- between real numbers and integers --------------------------------------------------------------------------


def grid_dtype(call: OnnxCall, zero: Node | None, name: str) -> DType | None:
    """What the attribute says; raises where the zero point is of another."""
    dtype = call.dtype(name) if call[name] else None
    if zero is not None and zero.inferred is not None and dtype not in (None, zero.dtype):
        raise call.error(f"{name} must be that of the zero point, {zero.dtype}, got {dtype}", f"leave {name} out")
    return dtype


def quantize_linear(call: OnnxCall) -> Node:
    """The quotient is computed in float32 whatever `precision` says, and rounded once."""
    call["precision"]
    zero = call.input(2)
    data = [call[0], scale(call, 1), *([] if zero is None else [zero])]
    return call.direct(ops.QuantizeLinear, *data, dtype=grid_dtype(call, zero, "output_dtype"))


def dequantize_linear(call: OnnxCall) -> Node:
    zero = call.input(2)
    data = [call[0], scale(call, 1), *([] if zero is None else [zero])]
    return call.direct(ops.DequantizeLinear, *data, dtype=call.dtype("output_dtype") if call["output_dtype"] else None)


def binary(operator: type[Operator], call: OnnxCall) -> Node:
    """Of two quantised tensors."""
    return on_grid(call, call(operator, real(call, 0, 1, 2), real(call, 3, 4, 5)), 6, 7)


def unary(function: Real, call: OnnxCall) -> Node:
    """Of one quantised tensor."""
    return on_grid(call, function(call, real(call, 0, 1, 2)), 3, 4)


def average_pool(call: OnnxCall, x: Node) -> Node:
    return call.direct(ops.AveragePool, x, channels_last=bool(call["channels_last"]))


def global_average_pool(call: OnnxCall, x: Node) -> Node:
    rank = call.type(x, "GlobalAveragePool").rank
    axes = tuple(range(1, rank - 1) if call["channels_last"] else range(2, rank))
    return call(ops.ReduceMean, x, axes=axes)


def where(call: OnnxCall) -> Node:
    """Of a condition and two quantised tensors."""
    return on_grid(call, call(ops.Where, call[0], real(call, 1, 2, 3), real(call, 4, 5, 6)), 7, 8)


def concat(call: OnnxCall) -> Node:
    """Scale and zero point of the result come first, then a tensor, its scale and its zero point, again and again."""
    count = len(call.inputs) - 2
    if count < 3 or count % 3:
        raise call.error(f"expected a scale, a zero point, and three inputs for each tensor, got {count + 2} inputs")
    parts = [real(call, at, at + 1, at + 2) for at in range(2, count + 2, 3)]
    return call(ops.QuantizeLinear, call(ops.Concat, *parts, axis=call["axis"]), scale(call, 0), call[1])


def softmax(call: OnnxCall, x: Node) -> Node:
    """Before opset 13 the input is a matrix, all axes from `axis` on being its columns."""
    axis, rank = call["axis"], call.type(x, "QLinearSoftmax").rank
    if call["opset"] >= 13 or axis in (-1, rank - 1):
        return call(ops.Softmax, x, axis=axis)
    return call(ops.Reshape, call(ops.Softmax, call(ops.Flatten, x, axis=axis), axis=-1), shape=call.shape(x))


ONNX: dict[str, Translation] = {
    "ConvInteger": lambda call: convolved(call, 0, 1, (2, 3)),
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": lambda call: dynamically(call, call[0]),
    "MatMulInteger": lambda call: multiplied(call, 0, 1, (2, 3)),
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QuantizeLinear": quantize_linear,
}
MICROSOFT: dict[str, Translation] = {
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "MatMulIntegerToFloat": matmul_integer_to_float,
    "QGemm": qgemm,
    "QLinearAdd": partial(binary, ops.Add),
    "QLinearAveragePool": partial(unary, average_pool),
    "QLinearConcat": concat,
    "QLinearGlobalAveragePool": partial(unary, global_average_pool),
    "QLinearLeakyRelu": partial(unary, lambda call, x: call(ops.LeakyRelu, x, alpha=call["alpha"])),
    "QLinearMul": partial(binary, ops.Mul),
    "QLinearSigmoid": partial(unary, lambda call, x: call(ops.Sigmoid, x)),
    "QLinearSoftmax": partial(unary, softmax),
    "QLinearWhere": where,
    "QuantizeLinear": quantize_linear,
}
TRANSLATIONS = ONNX | {f"com.microsoft::{name}": made for name, made in MICROSOFT.items()}
