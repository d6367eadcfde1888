"""What computes numbers: elementwise, reductions, products, and the conversions between dtypes."""

from __future__ import annotations

from functools import partial
from typing import Any

from minicc import ops
from minicc.frontend.tflite.call import Meaning, Result, TfliteCall
from minicc.frontend.tflite.movement import axis_of
from minicc.frontend.tflite.windows import activated, clipped
from minicc.graph.ir import Node
from minicc.ops.base import Operator

EPSILON = 1e-6  # the least length that L2_NORMALIZATION divides by


def elementwise(operator: type[Operator], call: TfliteCall, **fields: Any) -> Node:
    """An operator on all inputs."""
    return call(operator, *[call[k] for k in range(len(call.nodes))], **fields)


def binary(operator: type[Operator], call: TfliteCall) -> Node:
    """An operator of two inputs, and its activation."""
    return activated(call, call(operator, call[0], call[1]))


def not_equal(call: TfliteCall) -> Node:
    """The contrary of Equal."""
    return call(ops.Not, call(ops.Equal, call[0], call[1]))


def floor_mod(call: TfliteCall) -> Node:
    """The rest has the sign of the divisor; of floats, too."""
    a, b = call[0], call[1]
    if not call.type_of(a).dtype.is_float:
        return call(ops.Mod, a, b)
    rest, zero = call(ops.Mod, a, b, fmod=True), call.like(0, a)
    other = call(ops.Xor, call(ops.Less, rest, zero), call(ops.Less, b, zero))
    wrong = call(ops.And, call(ops.Not, call(ops.Equal, rest, zero)), other)
    return call(ops.Where, wrong, call(ops.Add, rest, b), rest)


def floor_div(call: TfliteCall) -> Node:
    """Rounded down; Div truncates integers, exactly where the rest is taken away first."""
    a, b = call[0], call[1]
    if call.type_of(a).dtype.is_float:
        return call(ops.Floor, call(ops.Div, a, b))
    return call(ops.Div, call(ops.Sub, a, call(ops.Mod, a, b)), b)


def squared_difference(call: TfliteCall) -> Node:
    """The difference times itself."""
    apart = call(ops.Sub, call[0], call[1])
    return call(ops.Mul, apart, apart)


def square(call: TfliteCall) -> Node:
    """The input times itself."""
    return call(ops.Mul, call[0], call[0])


def rsqrt(call: TfliteCall) -> Node:
    """One by the square root."""
    return call(ops.Reciprocal, call(ops.Sqrt, call[0]))


def clip(least: float, most: float, call: TfliteCall) -> Node:
    """The input between two bounds."""
    return clipped(call, call[0], least, most)


def select(call: TfliteCall) -> Node:
    """A condition of one axis chooses whole rows in the first form of the operator."""
    condition = call.stored(0)
    rank = call.rank(1)
    if call.kind == "SELECT" and call.rank(0) == 1 < rank:
        condition = call(ops.Reshape, condition, shape=(-1, *[1] * (rank - 1)))
    return call(ops.Where, condition, call[1], call[2])


def add_n(call: TfliteCall) -> Node:
    """The sum of all inputs."""
    total: Node = call[0]
    for k in range(1, len(call.nodes)):
        total = call(ops.Add, total, call[k])
    return total


def softmax(call: TfliteCall) -> Node:
    """Along the last axis, of the input times beta."""
    x, beta = call[0], call["Beta"]
    return call(ops.Softmax, x if beta == 1 else call(ops.Mul, x, call.like(beta, x)), axis=-1)


def l2_normalization(call: TfliteCall) -> Node:
    """Rows of length 1 along the last axis; those that are shorter than EPSILON grow no more."""
    x = call[0]
    length = call(ops.Max, call(ops.ReduceL2, x, axes=(-1,)), call.like(EPSILON, x))
    return activated(call, call(ops.Div, x, length))


def reduction(operator: type[Operator], call: TfliteCall) -> Node:
    """Over the axes of an input; over none of them nothing happens."""
    return call(operator, call[0], axes=call.numbers(1), keepdims=call["KeepDims"], noop_with_empty_axes=True)


def arg(operator: type[Operator], call: TfliteCall) -> Node:
    """Where the extreme is along an axis that an input says; the first of equal ones."""
    axis = axis_of(call, call.numbers(1, 1)[0], call.rank(0))
    return call.cast(call(operator, call[0], axis=axis, keepdims=False))


def top_k(call: TfliteCall) -> Result:
    """The greatest along the last axis, and where they are."""
    x, k = call[0], call.operand(1, rank=0)
    return call(ops.TopK, x, k=k), call.cast(call(ops.TopKIndices, x, k=k), 1)


def cumsum(call: TfliteCall) -> Node:
    """Sums of all before, along an axis that an input says."""
    return call(ops.CumSum, call[0], axis=call.numbers(1, 1)[0], exclusive=call["Exclusive"], reverse=call["Reverse"])


def fully_connected(call: TfliteCall) -> Node:
    """Weights are [O, I]. Without `KeepNumDims` the data is a matrix with rows of I elements."""
    if call["WeightsFormat"]:
        raise call.error("expected weights as they are, got shuffled ones", "convert the model again")
    w = call.moved(1, (1, 0))
    x = call.stored(0)
    if not call["KeepNumDims"] and call.rank(0) != 2:
        x = call(ops.Reshape, x, shape=(-1, call.extent(w, 0)))
    y = call(ops.MatMul, call.real(x, 0), w)
    return activated(call, call(ops.Add, y, call[2]) if call.given(2) else y)


def batch_matmul(call: TfliteCall) -> Node:
    """Each side may be transposed."""
    sides = []
    for position, option in ((0, "AdjX"), (1, "AdjY")):
        rank = call.rank(position)
        turned = call[option] and rank > 1
        sides.append(call.moved(position, (*range(rank - 2), rank - 1, rank - 2)) if turned else call[position])
    return call(ops.MatMul, *sides)


def dequantize(call: TfliteCall) -> Node:
    """Of 16-bit floats, too, as which files keep weights."""
    return call.cast(call[0])


FLOAT_BOUNDS = {"RELU6": (0, 6), "RELU_N1_TO_1": (-1, 1), "RELU_0_TO_1": (0, 1)}
UNARY: dict[str, type[Operator]] = {
    "ABS": ops.Abs, "CEIL": ops.Ceil, "COS": ops.Cos, "EXP": ops.Exp, "FLOOR": ops.Floor, "HARD_SWISH": ops.HardSwish,
    "LOG": ops.Log, "LOGICAL_AND": ops.And, "LOGICAL_NOT": ops.Not, "LOGICAL_OR": ops.Or, "LOGISTIC": ops.Sigmoid,
    "MAXIMUM": ops.Max, "MINIMUM": ops.Min, "NEG": ops.Neg, "POW": ops.Pow, "PRELU": ops.PRelu, "RELU": ops.Relu,
    "ROUND": ops.Round, "SIGN": ops.Sign, "SIN": ops.Sin, "SQRT": ops.Sqrt, "TANH": ops.Tanh, "EQUAL": ops.Equal,
    "GREATER": ops.Greater, "GREATER_EQUAL": ops.GreaterOrEqual, "LESS": ops.Less, "LESS_EQUAL": ops.LessOrEqual,
    "LOG_SOFTMAX": ops.LogSoftmax, "ELU": ops.Elu,
}  # fmt: skip
ARITHMETIC: dict[str, Meaning] = {
    **{name: Meaning(partial(elementwise, operator)) for name, operator in UNARY.items()},
    **{name: Meaning(partial(clip, *bounds)) for name, bounds in FLOAT_BOUNDS.items()},
    "ADD": Meaning(partial(binary, ops.Add), "AddOptions"),
    "ADD_N": Meaning(add_n),
    "ARG_MAX": Meaning(partial(arg, ops.ArgMax), "ArgMaxOptions"),
    "ARG_MIN": Meaning(partial(arg, ops.ArgMin), "ArgMinOptions"),
    "BATCH_MATMUL": Meaning(batch_matmul, "BatchMatMulOptions"),
    "CAST": Meaning(lambda call: call.cast(call.stored(0))),
    "CUMSUM": Meaning(cumsum, "CumsumOptions"),
    "DENSIFY": Meaning(lambda call: call.stored(0), moves=True),  # the loader has put the zeros back
    "DEQUANTIZE": Meaning(dequantize),
    "DIV": Meaning(partial(binary, ops.Div), "DivOptions"),
    "FLOOR_DIV": Meaning(floor_div),
    "FLOOR_MOD": Meaning(floor_mod),
    "FULLY_CONNECTED": Meaning(fully_connected, "FullyConnectedOptions"),
    "GELU": Meaning(
        lambda call: call(ops.Gelu, call[0], approximate="tanh" if call["Approximate"] else "none"), "GeluOptions"
    ),
    "L2_NORMALIZATION": Meaning(l2_normalization, "L2NormOptions"),
    "LEAKY_RELU": Meaning(lambda call: call(ops.LeakyRelu, call[0], alpha=call["Alpha"]), "LeakyReluOptions"),
    "MEAN": Meaning(partial(reduction, ops.ReduceMean), "ReducerOptions"),
    "MUL": Meaning(partial(binary, ops.Mul), "MulOptions"),
    "NOT_EQUAL": Meaning(not_equal),
    "QUANTIZE": Meaning(lambda call: call[0]),
    "REDUCE_ALL": Meaning(partial(reduction, ops.ReduceMin), "ReducerOptions"),
    "REDUCE_ANY": Meaning(partial(reduction, ops.ReduceMax), "ReducerOptions"),
    "REDUCE_MAX": Meaning(partial(reduction, ops.ReduceMax), "ReducerOptions"),
    "REDUCE_MIN": Meaning(partial(reduction, ops.ReduceMin), "ReducerOptions"),
    "REDUCE_PROD": Meaning(partial(reduction, ops.ReduceProd), "ReducerOptions"),
    "RSQRT": Meaning(rsqrt),
    "SELECT": Meaning(select),
    "SELECT_V2": Meaning(select),
    "SOFTMAX": Meaning(softmax, "SoftmaxOptions"),
    "SQUARE": Meaning(square),
    "SQUARED_DIFFERENCE": Meaning(squared_difference),
    "SUB": Meaning(partial(binary, ops.Sub), "SubOptions"),
    "SUM": Meaning(partial(reduction, ops.ReduceSum), "ReducerOptions"),
    "TOPK_V2": Meaning(top_k),
}
