"""ATen operators that compute each element for itself: arithmetic, comparisons, functions, activations, casts.

In: an `AtenCall`, and its arguments in the order of the schema. Out: the graph node of the result. Dtypes promote as in PyTorch:
both operands are brought to the dtype in which it computes. What it computes in float32 for 16-bit floats, we do, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from minicc import ops
from minicc.frontend.torch.call import AtenCall, Translation, AtenValue
from minicc.graph.ir import Node
from minicc.ops.base import Operator
from minicc.types import DType, boolean, float32, float64

Formula = Callable[[AtenCall, AtenValue], Node | AtenValue]


def _wide(dtype: DType) -> DType:
    """The dtype in which PyTorch computes for results in `dtype`."""
    return float32 if dtype.is_float and dtype.bits == 16 else dtype


def unary(operator: type[Operator], call: AtenCall, x: AtenValue, *_: Any) -> Node:
    return call(operator, call.cast(x, call.dtype))


def formula(function: Formula, call: AtenCall, x: AtenValue, *rest: Any, **keywords: Any) -> Node:
    """A function of several operators: rounded once, at its end."""
    wide = _wide(call.dtype)
    return call.rounded(function(call, call.cast(x, wide), *rest, **keywords), call.dtype, wide)


def arithmetic(operator: type[Operator], call: AtenCall, a: Any, b: Any, *_: Any) -> Node:
    """Two operands, of which one may be a number: then a 16-bit float is computed in float32, in which that is exact."""
    made = call.dtype if isinstance(a, AtenValue) and isinstance(b, AtenValue) else _wide(call.dtype)
    return call.rounded(call(operator, call.cast(a, made), call.cast(b, made)), call.dtype, made)


def boolean_or(other: type[Operator], operator: type[Operator], call: AtenCall, a: Any, b: Any, *rest: Any) -> Node:
    """`other` for truth values, which have no arithmetic."""
    return arithmetic(other if call.dtype is boolean else operator, call, a, b, *rest)


def add(operator: type[Operator], call: AtenCall, a: Any, b: Any, alpha: Any = 1) -> Node:
    if call.dtype is boolean:
        return arithmetic(ops.Or, call, a, b)
    if alpha != 1:
        wide = _wide(call.dtype)
        b = AtenValue(call(ops.Mul, call.cast(b, wide), call.cast(alpha, wide)), wide, ())
        return call.rounded(call(operator, call.cast(a, wide), b), call.dtype, wide)
    return arithmetic(operator, call, a, b)


def rsub(call: AtenCall, a: Any, b: Any, alpha: Any = 1) -> Node:
    wide = _wide(call.dtype)
    scaled = call.cast(a, wide) if alpha == 1 else call(ops.Mul, call.cast(a, wide), call.cast(alpha, wide))
    return call.rounded(call(ops.Sub, call.cast(b, wide), scaled), call.dtype, wide)


def divide(call: AtenCall, a: Any, b: Any, rounding_mode: str | None = None) -> Node:
    """True division, or rounded to zero ("trunc") or down ("floor")."""
    if rounding_mode is None:
        return arithmetic(ops.Div, call, a, b)
    wide = _wide(call.dtype)
    a, b = call.cast(a, wide), call.cast(b, wide)
    if not wide.is_float:
        top = call(ops.Sub, a, call(ops.Mod, a, b)) if rounding_mode == "floor" else a
        return call(ops.Div, top, b)
    if rounding_mode == "trunc":
        return call.rounded(truncated(call, call(ops.Div, a, b), wide), call.dtype, wide)
    return call.rounded(_floor_divide(call, a, b, wide), call.dtype, wide)


def _floor_divide(call: AtenCall, a: AtenValue, b: AtenValue, dtype: DType) -> Node:
    """As in Python: (a - remainder) / b, which is near an integer and becomes it; where b is 0, a / b."""
    zero, one = call.constant(0, dtype), call.constant(1, dtype)
    fmod = call(ops.Mod, a, b, fmod=True)
    near = call(ops.Div, call(ops.Sub, a, fmod), b)
    differs = call(ops.Xor, call(ops.Less, b, zero), call(ops.Less, fmod, zero))
    below = call(ops.And, call(ops.Not, call(ops.Equal, fmod, zero)), differs)
    near = call(ops.Where, below, call(ops.Sub, near, one), near)
    down = call(ops.Floor, near)
    up = call(ops.Greater, call(ops.Sub, near, down), call.constant(0.5, dtype))
    found = call(ops.Where, up, call(ops.Add, down, one), down)
    return call(ops.Where, call(ops.Equal, b, zero), call(ops.Div, a, b), found)


def remainder(call: AtenCall, a: Any, b: Any) -> Node:
    """With the sign of the divisor."""
    wide = _wide(call.dtype)
    a, b = call.cast(a, wide), call.cast(b, wide)
    if not wide.is_float:
        return call(ops.Mod, a, b)
    zero, fmod = call.constant(0, wide), call(ops.Mod, a, b, fmod=True)
    differs = call(ops.Xor, call(ops.Less, b, zero), call(ops.Less, fmod, zero))
    wrong = call(ops.And, call(ops.Not, call(ops.Equal, fmod, zero)), differs)
    return call.rounded(call(ops.Where, wrong, call(ops.Add, fmod, b), fmod), call.dtype, wide)


def fmod(call: AtenCall, a: Any, b: Any) -> Node:
    wide = _wide(call.dtype)
    return call.rounded(call(ops.Mod, call.cast(a, wide), call.cast(b, wide), fmod=True), call.dtype, wide)


def compare(operator: type[Operator] | None, call: AtenCall, a: Any, b: Any) -> Node:
    common = call.common(a, b)
    a, b = call.cast(a, common), call.cast(b, common)
    if operator is None:
        return call(ops.Not, call(ops.Equal, a, b))
    if common is boolean and operator is not ops.Equal:
        a, b = call.cast(a, DType.of("uint8")), call.cast(b, DType.of("uint8"))
    return call(operator, a, b)


def logical(operator: type[Operator], call: AtenCall, *values: Any) -> Node:
    return call(operator, *[call.cast(x, boolean) for x in values])


def bitwise(operator: type[Operator], of_truths: type[Operator], call: AtenCall, *values: Any) -> Node:
    """Truth values are of one bit."""
    return call(of_truths if call.dtype is boolean else operator, *[call.cast(x, call.dtype) for x in values])


def shift(direction: str, call: AtenCall, a: Any, b: Any) -> Node:
    """A shift to the right of a negative number rounds down, as a division by a power of two does."""
    made = call.dtype
    a, b = call.cast(a, made), call.cast(b, made)
    if made.kind == "uint":
        return call(ops.BitShift, a, b, direction=direction)
    factor = call(ops.Pow, call.constant(2, made), b)
    if direction == "LEFT":
        return call(ops.Mul, a, factor)
    return call(ops.Div, call(ops.Sub, a, call(ops.Mod, a, factor)), factor)


def power(call: AtenCall, a: Any, b: Any) -> Node:
    """A number as exponent that is a product, a root or a quotient is one."""
    wide = _wide(call.dtype)
    x = call.cast(a, wide)
    if isinstance(b, (int, float)) and wide.is_float:
        if b == 2:
            return call.rounded(call(ops.Mul, x, x), call.dtype, wide)
        if b in (0.5, -0.5, -1):
            root = x if b == -1 else call(ops.Sqrt, x)
            return call.rounded(root if b == 0.5 else call(ops.Reciprocal, root), call.dtype, wide)
    if wide is boolean:
        return call(ops.Or, x, call(ops.Not, call.cast(b, boolean)))
    return call.rounded(call(ops.Pow, x, call.cast(b, wide)), call.dtype, wide)


def clamp(call: AtenCall, x: AtenValue, low: Any = None, high: Any = None) -> Node:
    made = call.dtype
    found: Any = call.cast(x, made)
    for operator, limit in ((ops.Or, low), (ops.And, high)) if made is boolean else ((ops.Max, low), (ops.Min, high)):
        if limit is not None:
            found = call(operator, found, call.cast(limit, made))
    return call.rounded(found, made, made)


def hardtanh(call: AtenCall, x: AtenValue, low: Any = -1.0, high: Any = 1.0) -> Node:
    return clamp(call, x, low, high)


def where(call: AtenCall, condition: AtenValue, a: Any, b: Any) -> Node:
    return call(ops.Where, call.cast(condition, boolean), call.cast(a, call.dtype), call.cast(b, call.dtype))


def masked_fill(call: AtenCall, x: AtenValue, mask: AtenValue, value: Any) -> Node:
    return call(ops.Where, mask, call.cast(value, x.dtype), x)


def addcmul(operator: type[Operator], call: AtenCall, x: AtenValue, a: AtenValue, b: AtenValue, value: Any = 1) -> Node:
    wide = _wide(call.dtype)
    x, a, b = (call.cast(v, wide) for v in (x, a, b))
    a = a if value == 1 else call.of(call(ops.Mul, call.cast(value, wide), a), a)
    return call.rounded(call(ops.Add, x, call(operator, a, b)), call.dtype, wide)


def negative(call: AtenCall, x: Any, dtype: DType) -> Node:
    """Whether the sign is set: of a zero, too, which 1 / x tells."""
    number = call.constant(0, dtype)
    if not dtype.is_float:
        return call(ops.Less, x, number)
    return call(ops.Less, call(ops.Where, call(ops.Equal, x, number), call(ops.Reciprocal, x), x), number)


def sign_bit(call: AtenCall, x: AtenValue) -> Node:
    return negative(call, x, x.dtype) if x.dtype is not boolean else call(ops.Xor, x, x)


def copy_sign(call: AtenCall, a: Any, b: Any) -> Node:
    wide = _wide(call.dtype)
    size, b = call(ops.Abs, call.cast(a, wide)), call.cast(b, wide)
    return call.rounded(call(ops.Where, negative(call, b, wide), call(ops.Neg, size), size), call.dtype, wide)


def extreme_number(operator: type[Operator], call: AtenCall, a: AtenValue, b: AtenValue) -> Node:
    """`fmax`, `fmin`: where one is not a number, the other."""
    made = call.dtype
    a, b = call.cast(a, made), call.cast(b, made)
    if not made.is_float:
        return boolean_or(ops.Or if operator is ops.Max else ops.And, operator, call, a, b)
    found = call(ops.Where, call(ops.IsNaN, b), a, call(operator, a, b))
    return call(ops.Where, call(ops.IsNaN, a), b, found)


def hypotenuse(call: AtenCall, a: AtenValue, b: AtenValue) -> Node:
    """By the larger of both, so that no square overflows."""
    made, wide = call.dtype, _wide(call.dtype)
    a, b = (call.of(call(ops.Abs, call.cast(v, wide)), v) for v in (a, b))
    large, small = call(ops.Max, a, b), call(ops.Min, a, b)
    ratio = call(ops.Where, call(ops.Equal, small, large), call.constant(1, wide), call(ops.Div, small, large))
    one = call.constant(1, wide)
    root = call(ops.Sqrt, call(ops.Add, one, call(ops.Mul, ratio, ratio)))
    found = call(ops.Where, call(ops.Equal, large, call.constant(0, wide)), large, call(ops.Mul, large, root))
    infinite = call(ops.Or, call(ops.IsInf, a), call(ops.IsInf, b))
    return call.rounded(call(ops.Where, infinite, call.constant(math.inf, wide), found), made, wide)


# Functions


def truncated(call: AtenCall, x: Any, dtype: DType) -> Node:
    """Towards zero. A zero keeps its sign: -0.3 is -0.0."""
    negative = call(ops.Less, x, call.constant(0, dtype))
    return call(ops.Where, negative, call(ops.Ceil, x), call(ops.Floor, x))


def rounding(function: Formula, call: AtenCall, x: AtenValue, **keywords: Any) -> Node:
    """Integers are round."""
    return formula(function, call, x, **keywords) if x.dtype.is_float else x.node


def round_(call: AtenCall, x: AtenValue, decimals: int = 0) -> Node:
    if decimals == 0:
        return call(ops.Round, x)
    scale = call.constant(10.0 ** abs(decimals), x.dtype)
    up, down = (ops.Mul, ops.Div) if decimals > 0 else (ops.Div, ops.Mul)
    return call(down, call(ops.Round, call(up, x, scale)), scale)


def log_to(base: float, call: AtenCall, x: AtenValue) -> Node:
    """The logarithm to a base, by the natural one in float64: exact for powers of the base."""
    wide = call.cast(x, float64)
    found = call(ops.Div, call(ops.Log, wide), call.constant(math.log(base), float64))
    return call.rounded(found, x.dtype, float64)


def expm1(call: AtenCall, x: AtenValue) -> Node:
    """tanh(x / 2) * (exp(x) + 1), which keeps its digits near 0; x itself where that is infinite times 0."""
    half = call(ops.Tanh, call(ops.Mul, x, call.constant(0.5, x.dtype)))
    return call(ops.Mul, half, call(ops.Add, call(ops.Exp, x), call.constant(1, x.dtype)))


def log1p(call: AtenCall, x: AtenValue) -> Node:
    """2 atanh(x / (2 + x)) near 0, where log(1 + x) loses its digits."""
    one, two = call.constant(1, x.dtype), call.constant(2, x.dtype)
    near = call(ops.Less, call(ops.Abs, x), call.constant(0.5, x.dtype))
    series = call(ops.Mul, two, call(ops.Atanh, call(ops.Div, x, call(ops.Add, two, x))))
    return call(ops.Where, near, series, call(ops.Log, call(ops.Add, one, x)))


def rsqrt(call: AtenCall, x: AtenValue) -> Node:
    return call(ops.Reciprocal, call(ops.Sqrt, x))


def erfc(call: AtenCall, x: AtenValue) -> Node:
    return call(ops.Sub, call.constant(1, x.dtype), call(ops.Erf, x))


def exp2(call: AtenCall, x: AtenValue) -> Node:
    return call(ops.Pow, call.constant(2, x.dtype), x)


def atan2(call: AtenCall, y: Any, x: Any) -> Node:
    """The angle of (x, y): of the larger part by the smaller, then turned. Signs of zeros count, by 1 / x."""
    wide = _wide(call.dtype)
    y, x = call.cast(y, wide), call.cast(x, wide)

    def number(value: float) -> Node:
        return call.constant(value, wide)

    ax, ay = call(ops.Abs, x), call(ops.Abs, y)
    steep = call(ops.Greater, ay, ax)
    small, large = call(ops.Where, steep, ax, ay), call(ops.Where, steep, ay, ax)
    ratio = call(ops.Where, call(ops.Equal, small, large), number(1), call(ops.Div, small, large))
    ratio = call(ops.Where, call(ops.Equal, large, number(0)), number(0), ratio)
    angle = call(ops.Atan, ratio)
    angle = call(ops.Where, steep, call(ops.Sub, number(math.pi / 2), angle), angle)
    angle = call(ops.Where, negative(call, x, wide), call(ops.Sub, number(math.pi), angle), angle)
    angle = call(ops.Where, negative(call, y, wide), call(ops.Neg, angle), angle)
    unknown = call(ops.Or, call(ops.IsNaN, x), call(ops.IsNaN, y))
    return call.rounded(call(ops.Where, unknown, number(math.nan), angle), call.dtype, wide)


def test(operator: type[Operator], call: AtenCall, x: AtenValue) -> Node:
    """IsNaN or IsInf, which integers are never."""
    return call(operator, call.cast(x, float32 if not x.dtype.is_float else x.dtype))


def is_finite(call: AtenCall, x: AtenValue) -> Node:
    x = call.cast(x, float32 if not x.dtype.is_float else x.dtype)
    return call(ops.Not, call(ops.Or, call(ops.IsNaN, x), call(ops.IsInf, x)))


def sign(call: AtenCall, x: AtenValue) -> Node:
    """PyTorch's sign of NaN is 0."""
    if x.dtype is boolean:
        return x.node
    found = call(ops.Sign, x)
    return call(ops.Where, call(ops.IsNaN, x), call.constant(0, x.dtype), found) if x.dtype.is_float else found


def absolute(call: AtenCall, x: AtenValue) -> Node:
    return call(ops.Abs, x) if x.dtype is not boolean else x.node


# Activations


def gelu(call: AtenCall, x: AtenValue, approximate: str = "none") -> Node:
    return call(ops.Gelu, x, approximate=approximate)


def elu(call: AtenCall, x: AtenValue, alpha: Any = 1, scale: Any = 1, input_scale: Any = 1) -> Node:
    """scale * (x, or alpha * (exp(input_scale * x) - 1) at 0 and below)."""
    zero = call.constant(0, x.dtype)
    inner = expm1(call, x if input_scale == 1 else call.of(call(ops.Mul, x, call.constant(input_scale, x.dtype)), x))
    curve = call(ops.Mul, inner, call.constant(alpha, x.dtype))
    found = call(ops.Where, call(ops.Greater, x, zero), x, curve)
    return found if scale == 1 else call(ops.Mul, found, call.constant(scale, x.dtype))


def silu(call: AtenCall, x: AtenValue) -> Node:
    return call(ops.Mul, x, call(ops.Sigmoid, x))


def softplus(call: AtenCall, x: AtenValue, beta: Any = 1, threshold: Any = 20) -> Node:
    """log(1 + exp(beta * x)) / beta, and x above the threshold."""
    scaled = x if beta == 1 else call(ops.Mul, x, call.constant(beta, x.dtype))
    curve = call(ops.Softplus, scaled)
    curve = curve if beta == 1 else call(ops.Div, curve, call.constant(beta, x.dtype))
    return call(ops.Where, call(ops.Greater, scaled, call.constant(threshold, x.dtype)), x, curve)


def hard_sigmoid(call: AtenCall, x: AtenValue) -> Node:
    return call(ops.HardSigmoid, x, alpha=1 / 6, beta=0.5)


def leaky_relu(call: AtenCall, x: AtenValue, slope: Any = 0.01) -> Node:
    return call(ops.LeakyRelu, x, alpha=float(slope))


def prelu(call: AtenCall, x: AtenValue, slope: AtenValue) -> Node:
    if slope.rank and x.rank > 2 and slope.rank == 1:  # one for each channel, axis 1
        slope = call.of(call.reshape(slope, (-1, *[1] * (x.rank - 2))), slope)
    return call(ops.PRelu, x, slope)


# Copies and casts


def same(call: AtenCall, x: AtenValue, *_: Any) -> AtenValue:
    return x


def to_copy(call: AtenCall, x: AtenValue, *_: Any) -> Node:
    return call.rounded(call.cast(x, call.dtype), call.dtype, call.dtype)


def copy(call: AtenCall, x: AtenValue, source: Any, *_: Any) -> Node:
    """The source in the dtype and the shape of what it is copied to."""
    value = call.cast(source, x.dtype)
    return value.node if value.shape == x.shape else call(ops.Expand, value, shape=x.shape)


def fill(call: AtenCall, x: AtenValue, value: Any) -> Node:
    return call(ops.Expand, call.cast(value, x.dtype), shape=x.shape)


def _named(operators: dict[str, type[Operator]], how: Callable[..., Any]) -> dict[str, Translation]:
    return {name: partial(how, operator) for name, operator in operators.items()}


def _formulas(functions: dict[str, Formula]) -> dict[str, Translation]:
    return {name: partial(formula, function) for name, function in functions.items()}


_UNARY = ("acos", "acosh", "asin", "asinh", "atan", "atanh", "cos", "cosh", "erf", "exp", "log", "mish", "neg", "reciprocal",
          "relu", "sigmoid", "sin", "sinh", "sqrt", "tan", "tanh")  # fmt: skip
_ROUNDING: dict[str, Formula] = {
    "ceil": lambda call, x: call(ops.Ceil, x),
    "floor": lambda call, x: call(ops.Floor, x),
    "trunc": lambda call, x: truncated(call, x, x.dtype),
    "round": round_,
}
_COMPARE = {
    "eq": ops.Equal,
    "lt": ops.Less,
    "le": ops.LessOrEqual,
    "gt": ops.Greater,
    "ge": ops.GreaterOrEqual,
    "ne": None,
}

TRANSLATIONS: dict[str, Translation] = {
    **_named({name: getattr(ops, name.capitalize()) for name in _UNARY}, unary),
    **{name: partial(compare, operator) for name, operator in _COMPARE.items()},
    **_named({"logical_and": ops.And, "logical_or": ops.Or, "logical_xor": ops.Xor, "logical_not": ops.Not}, logical),
    **_named({"isnan": ops.IsNaN, "isinf": ops.IsInf}, test),
    **_named({"add": ops.Add, "sub": ops.Sub}, add),
    **_named({"addcmul": ops.Mul, "addcdiv": ops.Div}, addcmul),
    **{name: partial(rounding, function) for name, function in _ROUNDING.items()},
    **_formulas({"elu": elu, "expm1": expm1, "log1p": log1p, "rsqrt": rsqrt, "erfc": erfc, "special_erfc": erfc, "exp2": exp2,
                 "silu": silu, "softplus": softplus, "hardsigmoid": hard_sigmoid, "leaky_relu": leaky_relu,
                 "log2": partial(log_to, 2.0), "log10": partial(log_to, 10.0), "gelu": gelu,
                 "hardswish": lambda call, x: call(ops.HardSwish, x)}),
    **dict.fromkeys(("alias", "clone", "contiguous", "detach", "dropout", "lift", "lift_fresh", "lift_fresh_copy", "_assert_tensor_metadata", "positive", "feature_dropout"), same),
    "_prelu_kernel": prelu,
    "_to_copy": to_copy,
    "abs": absolute,
    "atan2": atan2,
    "bitwise_and": partial(bitwise, ops.BitwiseAnd, ops.And),
    "bitwise_left_shift": partial(shift, "LEFT"),
    "bitwise_not": partial(bitwise, ops.BitwiseNot, ops.Not),
    "bitwise_or": partial(bitwise, ops.BitwiseOr, ops.Or),
    "bitwise_right_shift": partial(shift, "RIGHT"),
    "bitwise_xor": partial(bitwise, ops.BitwiseXor, ops.Xor),
    "clamp": clamp,
    "clamp_max": lambda call, x, high: clamp(call, x, None, high),
    "clamp_min": clamp,
    "copy": copy,
    "copysign": copy_sign,
    "div": divide,
    "fill": fill,
    "floor_divide": partial(divide, rounding_mode="floor"),
    "fmax": partial(extreme_number, ops.Max),
    "fmin": partial(extreme_number, ops.Min),
    "fmod": fmod,
    "hardtanh": hardtanh,
    "hypot": hypotenuse,
    "isfinite": is_finite,
    "masked_fill": masked_fill,
    "max.other": partial(boolean_or, ops.Or, ops.Max),
    "maximum": partial(boolean_or, ops.Or, ops.Max),
    "min.other": partial(boolean_or, ops.And, ops.Min),
    "minimum": partial(boolean_or, ops.And, ops.Min),
    "mul": partial(boolean_or, ops.And, ops.Mul),
    "pow": power,
    "prelu": prelu,
    "relu6": partial(hardtanh, low=0.0, high=6.0),
    "remainder": remainder,
    "rsub": rsub,
    "sign": sign,
    "signbit": sign_bit,
    "where": where,
}  # fmt: skip
