"""The known differences in meaning between TVM and NumPy or ONNX, in one table with a column for each judge.

In: an operator, its attributes bound, the arrays that it is applied to, and a judge: `relax`, today's
TVM, or `relay`, the old one. Out: the differences that apply: on those very values that judge may give
another answer than the reference, or die. The oracle excuses the judge from what such a node computes,
and from all that depends on it, and from nothing else. `example` is the smallest instance that shows the
difference; the tests run it, so an entry that TVM's next version repairs is found. Where the two differ
on other values, each has a row of its own.

>>> op, arrays = BY_NAME["maximum of NaN"].example()
>>> op, *arrays
(Max, array([nan,  1.], dtype=float32), array([1., 2.], dtype=float32))
>>> [d.name for d in differences_of(op, arrays, "relax")]
['maximum of NaN']
>>> differences_of(op, [np.float32([1, 2]), np.float32([3, 4])], "relax")
[]
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc import ops
from minicc.ir.node import replace
from minicc.ops.base import Array, Operator
from minicc.types import DType, boolean, float64, uint64

Applies = Callable[[Any, Sequence[Array]], bool]
Example = Callable[[], tuple[Operator, list[Array]]]


@dataclass(frozen=True)
class Difference:
    """One difference: which operators, on which values, what the reference gives and what each judge does."""

    name: str
    operators: tuple[str, ...]
    applies: Applies  # (operator, arrays) -> whether a judge may give another answer on these arrays
    ours: str
    relax: str  # "" where that judge gives what the reference gives
    relay: str
    example: Example  # an operator and arrays that show it
    kills: tuple[str, ...] = ()  # the judges whose process dies of it

    def by(self, judge: str) -> str:
        """What that judge does; "" where it gives what the reference gives."""
        return {"relax": self.relax, "relay": self.relay}[judge]


def differences_of(op: Operator, arrays: Sequence[Array], judge: str) -> list[Difference]:
    """The differences of a judge that apply to an operator on these arrays."""
    return [d for d in BY_OPERATOR.get(op.name, ()) if d.by(judge) and d.applies(op, arrays)]


# ---- conditions ---------------------------------------------------------------------------------


def _any_float(test: Callable[[Array], Array]) -> Applies:
    """Whether `test` holds for one of the floats among the values."""

    def holds(op: Operator, arrays: Sequence[Array]) -> bool:
        return any(bool(test(a.astype(np.float64)).any()) for a in arrays if DType.of(a.dtype).is_float)

    return holds


has_nan, has_infinity, has_special = _any_float(np.isnan), _any_float(np.isinf), _any_float(lambda x: ~np.isfinite(x))
has_zero = _any_float(lambda x: x == 0)


def out_of_range(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether a float is cast to an integer that does not hold it."""
    source, target = arrays[0], op.dtype if hasattr(op, "dtype") else DType.of(arrays[1].dtype)
    if not (DType.of(source.dtype).is_float and target.is_integer):
        return False
    low, high = target.range
    with np.errstate(all="ignore"):
        whole = np.trunc(source.astype(np.float64))
        return not bool(((whole >= low) & (whole <= high)).all())


def is_true_as_nan(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether NaN is cast to a truth value."""
    return (op.dtype if hasattr(op, "dtype") else DType.of(arrays[1].dtype)) is boolean and has_nan(op, arrays[:1])


def reflects_again(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether a mirror image is wider than what it mirrors."""
    extents = arrays[0].shape
    widths = op.widths(ops.base.type_of(arrays[0]))
    kept = [d + min(before, 0) + min(after, 0) for d, (before, after) in zip(extents, widths, strict=True)]
    return op.mode == "reflect" and any(max(w) >= max(k, 1) for w, k in zip(widths, kept, strict=True))


def is_tiny(op: Operator, arrays: Sequence[Array]) -> bool:
    """Whether every result is below 1/4: an error of one unit of 1 is none of theirs."""
    sizes = np.abs(op(*arrays).astype(np.float64))
    return bool(0 < sizes[np.isfinite(sizes)].max(initial=0.0) < 0.25)


def cancels(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether the mean of what is standardised is far from 0 for its deviation, or a square overflows.

    float64 is not left to TVM's operator.
    """
    x = arrays[0].astype(np.float64)
    groups = op.num_groups if hasattr(op, "num_groups") else x.shape[1]
    grouped = x.reshape(x.shape[0], groups, math.prod(x.shape[1:]) // max(groups, 1))
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        squares, variances = grouped.mean(axis=2) ** 2, grouped.var(axis=2)
        far = (squares > 8 * (variances + op.epsilon)) & (grouped.shape[2] > 1)
        overflows = np.isinf((x * x).astype(np.float32)) & np.isfinite(x)
    return arrays[0].dtype != np.float64 and bool(far.any() or overflows.any())


def overflows_before_scale(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether what is standardised overflows before the scale has made it small."""
    x, *vectors = (a.astype(np.float64) for a in arrays)
    mean, variance = (v.reshape(-1, *(1,) * (x.ndim - 2)) for v in vectors[2:])
    with np.errstate(all="ignore"):
        standardised = ((x - mean) / np.sqrt(variance + op.epsilon)).astype(arrays[0].dtype)
        return bool((np.isinf(standardised) & np.isfinite(x)).any())


def shifts_without_end(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether the mean, scaled as the elements are, is no finite number of the dtype to compute in."""
    scale, _, mean, variance = (a.astype(np.float64) for a in arrays[1:])
    with np.errstate(all="ignore"):
        shift = (mean * (scale / np.sqrt(variance + op.epsilon))).astype(np.promote_types(arrays[1].dtype, np.float32))
    return not bool(np.isfinite(shift).all())


def shift_cancels(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether the terms of x * s + (bias - mean * s) are so much larger than a result that their rounding is more than what it may be off by."""
    x, *vectors = (a.astype(np.float64) for a in arrays)
    scale, bias, mean, variance = (v.reshape(-1, *(1,) * (x.ndim - 2)) for v in vectors)
    with np.errstate(all="ignore"):
        factor = scale / np.sqrt(variance + op.epsilon)
        shift = bias - mean * factor
        result, terms = np.abs(x * factor + shift), np.abs(x * factor) + np.abs(mean * factor) + np.abs(shift)
        greatest = result[np.isfinite(result)].max(initial=0.0)
        return bool((np.isfinite(result) & (terms > 16 * (result + min(1.0, greatest)))).any())


def all_lowest(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether a vector along the axis has only the lowest number, or -inf; for ArgMin the highest."""
    x, dtype = np.atleast_1d(arrays[0]), DType.of(arrays[0].dtype)
    low, high = dtype.range if dtype.is_integer else (-greatest_float(dtype), greatest_float(dtype))
    wide = x.astype(np.float64) if dtype.is_float else x
    lowest = wide >= high if op.name == "ArgMin" else wide <= low
    return bool(lowest.all(axis=op.axis).any())


def greatest_float(dtype: DType) -> float:
    """The greatest number of a float's dtype; of the 16-bit floats that of float32, in which they are computed."""
    return float(np.finfo(np.float64 if dtype is float64 else np.float32).max)


def meets_itself(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether what is no finite number may be subtracted from itself: as the mean of one, for instance."""
    x = arrays[0]
    if op.name == "Sub":
        left, right = (a.astype(np.float64) for a in arrays)
        meets = ~np.isfinite(left) & ~np.isfinite(right) & ~(left == -right)
        return DType.of(x.dtype).is_float and bool(meets.any())
    axes = range(2, x.ndim) if op.name == "InstanceNormalization" else op.axes
    return has_special(op, [x]) and math.prod(x.shape[d] for d in axes) == 1


def compares_itself(op: Operator, arrays: Sequence[Array]) -> bool:
    """Whether NaN may be compared with itself."""
    floats = all(DType.of(a.dtype).is_float for a in arrays[:2])
    return floats and bool((np.isnan(arrays[0]) & np.isnan(arrays[1])).any())


def times_zero(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether a number that may be a literal 0 meets NaN, infinity or, as a dividend, 0."""
    scalars = (getattr(op, "alpha", 1), getattr(op, "gamma", 1), *(a for a in arrays if a.size == 1))
    odd = has_special(op, arrays) or (op.name == "Div" and not np.all(arrays[1]))
    if op.name == "Gemm":
        with np.errstate(all="ignore"):
            odd = not np.isfinite(replace(op, alpha=1.0)(*[a.astype(np.float64) for a in arrays[:2]])).all() or odd
    return odd and any(bool(np.all(s == 0)) for s in scalars)


def wraps(op: Operator, arrays: Sequence[Array]) -> bool:
    """Whether a result is too large for its 32 or 64 bits."""
    dtype = DType.of(arrays[0].dtype)
    if dtype.kind != "int" or dtype.bits < 32:
        return False
    with np.errstate(all="ignore"):
        sizes = np.abs(op(*[a.astype(np.float64) if DType.of(a.dtype) is dtype else a for a in arrays]))
    return bool((sizes >= 2.0 ** (dtype.bits - 1)).any())


def divides_least(op: Operator, arrays: Sequence[Array]) -> bool:
    """Whether the least integer is divided by -1, which has no result."""
    dtype = DType.of(arrays[0].dtype)
    return dtype.kind == "int" and bool(((arrays[0] == dtype.range[0]) & (arrays[1] == -1)).any())


def sees_padding_alone(op: Any, arrays: Sequence[Array]) -> bool:
    """Whether a window has no element of the tensor under it, nor zeros around it that count."""
    if getattr(op, "count_include_pad", False):
        return False
    inside = ops.MaxPoolIndices(op.kernel, op.strides, op.padding, op.dilation, op.ceil_mode, op.auto_pad)
    return DType.of(arrays[0].dtype).is_float and bool((inside(np.zeros_like(arrays[0])) < 0).any())


# ---- the table ----------------------------------------------------------------------------------


def f32(*values: Any) -> Array:
    """A float32 array."""
    return np.array(values, np.float32)


def i32(*values: Any) -> Array:
    """An int32 array."""
    return np.array(values, np.int32)


NAN, INF = np.nan, np.inf
SAME = "the same"  # as Relax does

MAXIMA = (
    Difference("maximum of NaN", ("Max", "Min"), has_nan, "NaN", "the second operand (a > b ? a : b)", SAME,
               lambda: (ops.Max(), [f32(NAN, 1), f32(1, 2)])),
    Difference("activation of NaN", ("Relu", "Clip", "HardSigmoid"), has_nan, "NaN",
               "a bound of the interval", SAME, lambda: (ops.Relu(), [f32(NAN, 1)])),
    Difference("greatest of NaN", ("ReduceMax", "ReduceMin", "GlobalMaxPool", "MaxPool", "ScatterElements", "ScatterND"), has_nan,
               "NaN", "NaN only if it comes last", SAME, lambda: (ops.ReduceMax(axes=(0,)), [f32(NAN, 1, 2)])),
    Difference("greatest of infinities", ("ReduceMax", "ReduceMin", "GlobalMaxPool", "MaxPool"), has_infinity,
               "-inf where all are (the least: inf)", "the lowest finite number (the greatest)", SAME,
               lambda: (ops.ReduceMax(axes=(0,)), [f32(-INF, -INF)])),
    Difference("position of NaN", ("ArgMax", "ArgMin", "Hardmax", "MaxPoolIndices"), has_nan, "the first NaN", "NaN is passed over", SAME,
               lambda: (ops.ArgMax(axis=0), [f32(NAN, 1, 2)])),
    Difference("position of the lowest", ("ArgMax", "ArgMin", "Hardmax"), all_lowest,
               "0 where all are the lowest number, or -inf", "-1", SAME, lambda: (ops.ArgMax(axis=0), [np.zeros(3, np.uint8)])),
    Difference("order of NaN", ("TopK", "TopKIndices"), has_nan, "NaN is greater than every number", "NaN stays where it is", SAME,
               lambda: (ops.TopK(k=2, axis=0), [f32(1, NAN, 2)])),
    Difference("greatest of padding alone", ("MaxPool",), sees_padding_alone, "-inf", "the lowest finite number", SAME,
               lambda: (ops.MaxPool(kernel=(2,), padding=(1, 0), dilation=(2,)), [f32(5).reshape(1, 1, 1)])),
    Difference("average of padding alone", ("AveragePool",), sees_padding_alone, "NaN: 0 / 0", "0", SAME,
               lambda: (ops.AveragePool(kernel=(2,), padding=(1, 1), dilation=(2,)), [f32(5).reshape(1, 1, 1)])),
    Difference("samples of weight 0", ("Resize",), lambda op, arrays: op.mode != "nearest" and has_special(op, arrays),
               "count for nothing", "make NaN of an infinity: 0 * inf", SAME,
               lambda: (ops.Resize(scales=(2.0,), mode="linear", coordinate_transformation_mode="asymmetric"), [f32(1, INF)])),
    Difference("infinite weights of a ConvTranspose", ("ConvTranspose",), has_special, "reach as far as their taps",
               "meet the zeros between and around the elements: NaN there, too", SAME,
               lambda: (ops.ConvTranspose(), [f32(1, 2).reshape(1, 1, 2), f32(INF, 1).reshape(1, 1, 2)])),
)  # fmt: skip

ARITHMETIC = (
    Difference("integer division by zero", ("Div", "Mod"),
               lambda op, arrays: DType.of(arrays[1].dtype).is_integer and not arrays[1].all(), "0", "SIGFPE", SAME,
               lambda: (ops.Div(), [i32(1, 2), i32(0, 1)]), kills=("relax", "relay")),
    Difference("least integer divided by -1", ("Div", "Mod"), divides_least, "the least integer; as remainder 0", "SIGFPE", SAME,
               lambda: (ops.Div(), [i32(-(2**31)), i32(-1)]), kills=("relax", "relay")),
    Difference("overflow of signed integers", ("Add", "Sub", "Mul", "ReduceSum", "ReduceSumSquare", "ReduceProd"), wraps, "wraps around",
               "has no meaning: LLVM takes a square to be no less than 0, which shows in what is fused with it", SAME,
               lambda: (ops.Mul(), [np.array([-2302884128204360087])] * 2)),
    Difference("literal zero times NaN", ("Mul", "Div", "Gemm", "LeakyRelu", "Elu", "Selu", "Celu", "HardSigmoid", "LRN"), times_zero,
               "NaN, also for infinity", "0: x * 0 and 0 / x are simplified", SAME, lambda: (ops.LeakyRelu(alpha=0.0), [f32(NAN, 1)])),
    Difference("difference of itself", ("Sub", "MeanVarianceNormalization", "InstanceNormalization"), meets_itself,
               "NaN, of infinity and of NaN", "0 where TVM sees that both operands are one expression: x - x is simplified", SAME,
               lambda: (ops.MeanVarianceNormalization(axes=()), [f32(INF, NAN)])),
    Difference("comparison with itself", ("Equal", "LessOrEqual", "GreaterOrEqual"), compares_itself, "false, of NaN",
               "true where it is fused with what computes the operands, and sees that both are one expression", "",
               lambda: (ops.Equal(), [f32(NAN), f32(NAN)])),
    Difference("sign of NaN", ("Sign",), has_nan, "NaN", "0", SAME, lambda: (ops.Sign(), [f32(NAN, -2)])),
    Difference("digits of small results", ("Tanh", "Atanh", "Softplus", "Elu", "Selu", "Celu", "Gelu"), is_tiny,
               "as many digits as of others", "those of exp(x) - 1, log(1 + x) or 1 + tanh(x)", SAME, lambda: (ops.Elu(), [f32(-1e-5)])),
    Difference("variance that cancels", ("InstanceNormalization", "GroupNormalization"), cancels, "the mean of squared distances",
               "E[x * x] - E[x] * E[x], of which nothing may be left", "", lambda: (ops.InstanceNormalization(),
               [1000 + np.arange(9, dtype=np.float32).reshape(1, 1, 9), f32(1), f32(0)])),
    Difference("overflow before the scale", ("BatchNormalization",), overflows_before_scale, "scale / sqrt(variance) first",
               "the scale last, when all is infinite", "", lambda: (ops.BatchNormalization(),
               [f32(3e38).reshape(1, 1), f32(0.1), f32(0), f32(0), f32(0.25)])),
    Difference("mean that is scaled", ("BatchNormalization",), shifts_without_end, "the distance from the mean is scaled", "",
               "both are: NaN, where they are infinite", lambda: (ops.BatchNormalization(),
               [f32(3).reshape(1, 1), f32(INF), f32(0), f32(1), f32(1)])),
    Difference("shift that cancels", ("BatchNormalization",), shift_cancels, "the distance from the mean is scaled", "",
               "x * s + (bias - mean * s), of which few digits may be left", lambda: (ops.BatchNormalization(),
               [1000 + np.arange(9, dtype=np.float32).reshape(9, 1) / 7, f32(3), f32(0), f32(1000), f32(1)])),
    Difference("sign of zero", ("Neg",), has_zero, "-0.0 of 0, which shows where one divides by it", "", "0: 0 - x",
               lambda: (ops.Neg(), [f32(0)])),
    Difference("cast out of range", ("Cast", "CastLike"), out_of_range, "as the machine has it: mostly wraps",
               "wraps or saturates: it depends on the target", SAME, lambda: (ops.Cast(uint64), [f32(INF)])),
    Difference("truth of NaN", ("Cast", "CastLike"), is_true_as_nan, "true, as NaN is not 0", "false", SAME,
               lambda: (ops.Cast(boolean), [f32(NAN, 1)])),
    Difference("reflection of a reflection", ("Pad",), reflects_again, "forth and back as often as it takes", "zeros", SAME,
               lambda: (ops.Pad(pads=(3, 3), mode="reflect"), [f32(1, 2, 3)])),
)  # fmt: skip

DIFFERENCES: tuple[Difference, ...] = (*MAXIMA, *ARITHMETIC)
BY_NAME = {d.name: d for d in DIFFERENCES}
BY_OPERATOR = {name: [d for d in DIFFERENCES if name in d.operators] for d in DIFFERENCES for name in d.operators}
