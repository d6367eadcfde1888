"""Elementwise operators, reductions, contractions and normalisations through TVM, against NumPy in float64.

One module holds the graphs of all instances, so TVM compiles once. Every formula is written out here.
"""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from minicc import ops
from minicc.bridge.relax import build_relax, call_relax, relax_operators, run_relax, to_relax
from minicc.graph.ir import Graph, input, make
from minicc.ops.base import REGISTRY
from minicc.ops.packed import MatMulTransposed, PackedConv, PackedMatMul
from minicc.types import DType, TensorType, bfloat16, boolean, float16, float32, float64, int64

RANDOM = np.random.default_rng(7)
FLOATS = (float32, float16, bfloat16, float64)
EPSILON = {float16: 1e-3, bfloat16: 8e-3, float32: 2e-6, float64: 1e-14}
NAN, INF = np.nan, np.inf

CASES: dict[str, tuple[ops.base.Operator, list, np.ndarray]] = {}


def some(*shape, dtype="float32", low=-2.0, high=2.0):
    """Random values, for integers whole ones."""
    return np.asarray(RANDOM.uniform(low, high, shape)).astype(DType.of(dtype).numpy)


def whole(*shape, dtype="int32", low=-9, high=9):
    dtype = DType.of(dtype)
    return np.asarray(RANDOM.integers(max(low, dtype.range[0]), high, shape)).astype(dtype.numpy)


def array(*values, dtype="float32"):
    return np.array(values, DType.of(dtype).numpy)


def case(op, arrays, expected, label=""):
    """One instance: `expected` is an array, or a function of the arrays, floats in float64."""
    wide = [a.astype(np.float64) if DType.of(a.dtype).is_float else a for a in arrays]
    with np.errstate(all="ignore"):
        wanted = np.asarray(expected(*wide) if callable(expected) else expected)
    name = f"{op.name}-{'-'.join(str(TensorType.of(a)) for a in arrays)}{label and '-' + label}"
    while name in CASES:
        name += "+"
    CASES[name] = (op, list(arrays), wanted)


# ---- functions of one tensor ------------------------------------------------------------------------

erf = np.vectorize(math.erf, otypes=[float])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


UNARY = {
    ops.Neg(): np.negative, ops.Abs(): np.abs, ops.Sign(): np.sign, ops.Reciprocal(): lambda x: 1 / x, ops.Floor(): np.floor,
    ops.Ceil(): np.ceil, ops.Round(): np.rint, ops.Exp(): np.exp, ops.Log(): np.log, ops.Sqrt(): np.sqrt, ops.Sin(): np.sin,
    ops.Cos(): np.cos, ops.Tan(): np.tan, ops.Asin(): np.arcsin, ops.Acos(): np.arccos, ops.Atan(): np.arctan,
    ops.Sinh(): np.sinh, ops.Cosh(): np.cosh, ops.Tanh(): np.tanh, ops.Asinh(): np.arcsinh, ops.Acosh(): np.arccosh,
    ops.Atanh(): np.arctanh, ops.Erf(): erf, ops.Identity(): lambda x: x, ops.Relu(): lambda x: np.where(x > 0, x, 0),
    ops.Sigmoid(): sigmoid, ops.Softplus(): softplus, ops.Softsign(): lambda x: x / (1 + abs(x)),
    ops.Mish(): lambda x: x * np.tanh(softplus(x)), ops.HardSigmoid(alpha=0.3, beta=0.4): lambda x: np.clip(0.3 * x + 0.4, 0, 1),
    ops.HardSwish(): lambda x: x * np.clip(x / 6 + 0.5, 0, 1), ops.Gelu(): lambda x: x * (1 + erf(x / math.sqrt(2))) / 2,
    ops.Gelu(approximate="tanh"): lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ops.LeakyRelu(alpha=0.25): lambda x: np.where(x < 0, 0.25 * x, x),
    ops.Elu(alpha=0.5): lambda x: np.where(x > 0, x, 0.5 * np.expm1(x)),
    ops.Selu(): lambda x: 1.0507010221481323 * np.where(x > 0, x, 1.6732631921768188 * np.expm1(x)),
    ops.Selu(alpha=0.5, gamma=2.0): lambda x: 2 * np.where(x > 0, x, 0.5 * np.expm1(x)),
    ops.Celu(alpha=0.5): lambda x: np.maximum(0, x) + np.minimum(0, 0.5 * np.expm1(x / 0.5)),
    ops.ThresholdedRelu(alpha=0.5): lambda x: np.where(x > 0.5, x, 0),
    ops.Shrink(bias=0.25, lambd=0.75): lambda x: np.where(x < -0.75, x + 0.25, np.where(x > 0.75, x - 0.25, 0)),
}  # fmt: skip

for (unary, formula), of in product(UNARY.items(), FLOATS):
    if of in (float16, float64) and unary.name not in ("Erf", "Gelu", "Selu", "Tanh"):
        continue
    domain = {
        "Acosh": (1.25, 3),
        "Asin": (-0.9, 0.9),
        "Acos": (-0.9, 0.9),
        "Atanh": (-0.9, 0.9),
        "Log": (0.1, 3),
        "Sqrt": (0, 3),
    }
    low, high = domain.get(unary.name, (-2, 2))
    case(unary, [some(2, 5, dtype=of, low=low, high=high)], formula)

case(ops.Exp(), [array(NAN, INF, -INF, 0)], array(NAN, INF, 0, 1))
case(ops.Round(), [array(0.5, 1.5, 2.5, -0.5, -1.5)], array(0, 2, 2, 0, -2))
case(ops.Sqrt(), [array(-1, 4, INF)], array(NAN, 2, INF))
case(ops.Celu(alpha=2.0), [array(NAN, INF, -INF)], array(NAN, INF, -2))
case(ops.Elu(), [array(NAN, INF, -INF)], array(NAN, INF, -1))
for of in ("int8", "int32", "int64", "uint8", "uint32", "uint64"):
    case(ops.Abs(), [whole(5, dtype=of)], np.abs)
    case(ops.Sign(), [np.append(whole(5, dtype=of), 0).astype(of)], np.sign)
    case(ops.BitwiseNot(), [whole(5, dtype=of)], np.invert)
    case(ops.Shrink(lambd=3.0), [whole(5, dtype=of)], lambda x: np.where((x > 3) | (x.astype(np.float64) < -3), x, 0))
    case(ops.PRelu(), [whole(2, 3, dtype=of), whole(3, dtype=of)], lambda x, slope: np.where(x > 0, x, x * slope))
case(ops.Relu(), [whole(7)], lambda x: np.where(x > 0, x, 0))
case(ops.Neg(), [array(-128, 5, dtype="int8")], array(-128, -5, dtype="int8"))
case(ops.Abs(), [array(-128, 5, dtype="int8")], array(-128, 5, dtype="int8"))
case(ops.Not(), [array(True, False, dtype="bool")], array(False, True, dtype="bool"))
for of in FLOATS:
    odd = array(NAN, INF, -INF, 1, -0.0, dtype=of)
    case(ops.IsNaN(), [odd], array(True, False, False, False, False, dtype="bool"))
    case(ops.IsInf(), [odd], array(False, True, True, False, False, dtype="bool"))
    case(ops.IsInf(detect_negative=False), [odd], array(False, True, False, False, False, dtype="bool"), "+")
    case(ops.IsInf(detect_positive=False), [odd], array(False, False, True, False, False, dtype="bool"), "-")
    case(ops.IsInf(False, False), [odd], np.zeros(5, bool), "none")

# ---- functions of several tensors -------------------------------------------------------------------

BINARY = {
    ops.Add(): np.add,
    ops.Sub(): np.subtract,
    ops.Mul(): np.multiply,
    ops.Max(): np.maximum,
    ops.Min(): np.minimum,
}
COMPARE = {ops.Equal(): np.equal, ops.Less(): np.less, ops.LessOrEqual(): np.less_equal, ops.Greater(): np.greater,
           ops.GreaterOrEqual(): np.greater_equal}  # fmt: skip
BITS = {ops.BitwiseAnd(): np.bitwise_and, ops.BitwiseOr(): np.bitwise_or, ops.BitwiseXor(): np.bitwise_xor}
LOGIC = {ops.And(): np.logical_and, ops.Or(): np.logical_or, ops.Xor(): np.logical_xor, ops.Equal(): np.equal}

for (binary, formula), of in product(
    [*BINARY.items(), (ops.Div(), np.divide), (ops.Mod(fmod=True), np.fmod)], FLOATS[::2]
):
    case(binary, [some(2, 3, dtype=of), some(3, dtype=of, low=1)], formula)
for (binary, formula), of in product([*BINARY.items(), *BITS.items()], ("int8", "int64", "uint64")):
    case(binary, [whole(3, 1, dtype=of, low=-99, high=99), whole(1, 4, dtype=of, low=-99, high=99)], formula)
for (compare, formula), of in product(COMPARE.items(), ("float32", "bfloat16", "int8", "uint64")):
    case(
        compare,
        [whole(3, 4, dtype="int8").astype(DType.of(of).numpy), whole(4, dtype="int8").astype(DType.of(of).numpy)],
        formula,
    )
for compare, formula in COMPARE.items():
    case(compare, [array(NAN, 1, INF), array(NAN, NAN, INF)], formula)
for logic, formula in LOGIC.items():
    case(logic, [array(True, True, False, False, dtype="bool"), array(True, False, True, False, dtype="bool")], formula)

dividend, divisor = array(7, -7, 7, -7, 6, dtype="int32"), array(2, 2, -2, -2, 3, dtype="int32")
case(ops.Div(), [dividend, divisor], array(3, -3, -3, 3, 2, dtype="int32"))
case(ops.Mod(), [dividend, divisor], array(1, 1, -1, -1, 0, dtype="int32"))
case(ops.Mod(fmod=True), [dividend, divisor], array(1, -1, 1, -1, 0, dtype="int32"))
case(ops.Add(), [some(2, 0), some(1, 1)], np.zeros((2, 0)))
case(ops.Add(), [some(), some(3)], np.add)
case(ops.Where(), [array(True, False, dtype="bool"), array(NAN, 1), array(2, NAN)], array(NAN, NAN))
case(ops.Where(), [array(True, False, dtype="bool"), whole(3, 1, dtype="int64"), whole(dtype="int64")], np.where)
case(ops.Clip(), [whole(9), whole(low=-3, high=0), whole(low=0, high=3)], lambda x, low, high: np.clip(x, low, high))
case(ops.Clip(), [array(-5, 0, 5), array(3).reshape(()), array(1).reshape(())], array(1, 1, 1), "crossed")

case(ops.Pow(), [some(5, low=0), some(5)], np.power)
case(ops.Pow(), [some(5, dtype="bfloat16", low=0), whole(5, dtype="int64", low=0, high=3)], np.power)
case(ops.Pow(), [array(0, -2, -2, 0, NAN, 1), array(0, 0.5, 3, -1, 0, NAN)], array(1, NAN, -8, INF, 1, 1))
case(
    ops.Pow(),
    [array(2, -3, 0, 0, -1, 2, dtype="int32"), array(10, 3, 0, -1, -3, -1, dtype="int32")],
    array(1024, -27, 1, 0, -1, 0, dtype="int32"),
)
case(ops.Pow(), [array(3, dtype="int64"), array(33, dtype="int64")], array(3**33, dtype="int64"))
case(ops.Pow(), [array(4, 9, dtype="int32"), array(0.5, 1.5)], array(2, 27, dtype="int32"))
case(
    ops.BitShift("LEFT"),
    [array(1, 255, 3, dtype="uint8"), array(7, 1, 8, dtype="uint8")],
    array(128, 254, 0, dtype="uint8"),
)
case(
    ops.BitShift("RIGHT"),
    [array(-8, -8, 8, -8, dtype="int32"), array(1, 32, 99, -1, dtype="int32")],
    array(-4, -1, 0, -1, dtype="int32"),
)
case(
    ops.BitShift("RIGHT"),
    [array(2**64 - 1, dtype="uint64"), array(1, dtype="uint64")],
    array(2**63 - 1, dtype="uint64"),
)

for slope_shape in ((3, 1), (), (2, 1, 4), (1,), (4,), (2, 1, 1)):
    case(ops.PRelu(), [some(2, 3, 4), some(*slope_shape)], lambda x, slope: np.where(x > 0, x, x * slope))
case(
    ops.PRelu(),
    [some(2, 3, dtype="bfloat16"), some(3, dtype="bfloat16")],
    lambda x, slope: np.where(x > 0, x, x * slope),
)

for source, target in product(("float32", "bfloat16", "float64", "int8", "uint64", "bool"), repeat=2):
    values = np.array([0, 1, 2.75, 100]).astype(DType.of(source).numpy)
    case(ops.Cast(DType.of(target)), [values], values.astype(DType.of(target).numpy), target)
case(ops.Cast(bfloat16), [array(1 + 2**-8, 1 + 3 * 2**-8, 3.4e38, NAN)], array(1, 1 + 2**-6, INF, NAN))
case(ops.CastLike(), [array(2.5, -2.5), whole(1)], array(2, -2, dtype="int32"))

# ---- reductions -------------------------------------------------------------------------------------


def log_sum_exp(x, **over):
    return np.log(np.sum(np.exp(x), **over))


REDUCE = {
    ops.ReduceSum: np.sum, ops.ReduceMean: np.mean, ops.ReduceMax: np.max, ops.ReduceMin: np.min, ops.ReduceProd: np.prod,
    ops.ReduceL1: lambda x, **over: np.sum(abs(x), **over), ops.ReduceL2: lambda x, **over: np.sqrt(np.sum(x * x, **over)),
    ops.ReduceSumSquare: lambda x, **over: np.sum(x * x, **over), ops.ReduceLogSum: lambda x, **over: np.log(np.sum(x, **over)),
    ops.ReduceLogSumExp: log_sum_exp,
}  # fmt: skip
FLOAT_ONLY = (ops.ReduceLogSum, ops.ReduceLogSumExp)
EMPTY = {
    ops.ReduceMean: NAN,
    ops.ReduceMax: -INF,
    ops.ReduceMin: INF,
    ops.ReduceProd: 1.0,
    ops.ReduceLogSum: -INF,
    ops.ReduceLogSumExp: -INF,
}

for reduce, formula in REDUCE.items():
    for of in FLOATS[::2]:
        case(
            reduce(axes=(-1, 0), keepdims=False),
            [some(2, 3, 4, dtype=of, low=0.5)],
            lambda x, f=formula: f(x, axis=(0, 2)),
        )
    case(reduce(), [some(2, 3, low=0.5)], lambda x, f=formula: f(x, axis=(0, 1), keepdims=True), "all")
    case(reduce(axes=(), noop_with_empty_axes=True), [some(2, 3, low=0.5)], lambda x, f=formula: f(x, axis=()), "none")
    case(reduce(), [some(low=0.5)], formula, "scalar")
    case(reduce(axes=(1,)), [some(2, 0, 3)], np.full((2, 1, 3), EMPTY.get(reduce, 0.0)), "of-nothing")
    case(reduce(axes=(0,)), [some(2, 0, 3)], np.zeros((1, 0, 3)), "to-nothing")
    if reduce not in FLOAT_ONLY:
        for of in ("int32", "uint8"):
            case(reduce(axes=(1,)), [whole(3, 4, dtype=of, low=0, high=3)],
                 lambda x, f=formula: np.trunc(f(x.astype(np.int64), axis=1, keepdims=True)))  # fmt: skip
case(ops.ReduceMean(), [array(-7, 2, 1, dtype="int32")], array(-1, dtype="int32"))
case(ops.ReduceMean(keepdims=False), [np.full(300, -1, np.int8)], np.int8(-1))
case(ops.ReduceMean(), [np.zeros((0,), np.int32)], array(0, dtype="int32"))
case(ops.ReduceMax(), [np.zeros((0,), np.int8)], array(-128, dtype="int8"))
case(ops.ReduceMin(), [np.zeros((0,), np.uint8)], array(255, dtype="uint8"))
case(ops.ReduceMax(axes=(1,)), [np.eye(3, dtype=bool)[:2]], np.ones((2, 1), bool))
case(ops.ReduceMin(axes=(1,)), [np.eye(3, dtype=bool)[:2]], np.zeros((2, 1), bool))
case(ops.ReduceSum(), [np.full(4096, 15, np.float16)], array(61440))
case(ops.ReduceSum(), [array(100, 100, dtype="int8")], array(-56, dtype="int8"))
case(ops.ReduceLogSumExp(keepdims=False), [array(1000, 1000, 999)], np.float64(1000 + math.log(2 + math.exp(-1))))
case(ops.ReduceLogSumExp(), [array(INF, 1)], array(INF))
case(ops.ReduceLogSumExp(), [array(-INF, -INF)], array(-INF))

for find, of in product((ops.ArgMax, ops.ArgMin), (*FLOATS, "int8", "uint64")):
    ties = array([1, 3, 3, 2], [1, 3, 1, 3], dtype=of)
    first = np.argmax if find is ops.ArgMax else np.argmin
    case(find(axis=-1), [ties], lambda x, f=first: f(x, axis=1, keepdims=True))
    case(
        find(axis=1, keepdims=False, select_last_index=True),
        [ties],
        lambda x, f=first: 3 - f(x[:, ::-1], axis=1),
        "last",
    )
case(ops.ArgMax(axis=0), [some()], np.int64(0), "scalar")
case(ops.ArgMax(axis=1), [some(0, 3)], np.zeros((0, 1), np.int64))


def softmax(x, axis):
    powers = np.exp(x - x.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


for of in FLOATS:
    for along in (-1, 0):
        case(ops.Softmax(along), [some(2, 3, 4, dtype=of)], lambda x, a=along: softmax(x, a))
        case(ops.LogSoftmax(along), [some(2, 3, 4, dtype=of)], lambda x, a=along: np.log(softmax(x, a)))
    case(ops.Hardmax(1), [array([1, 3, 3], [2, 2, 1], dtype=of)], array([0, 1, 0], [1, 0, 0]))
    case(ops.CumSum(axis=1), [some(3, 4, dtype=of)], lambda x: np.cumsum(x, 1))
for along, expected in ((ops.Softmax, 1), (ops.LogSoftmax, 0), (ops.Hardmax, 1)):
    case(along(0), [some()], np.float64(expected))
    case(along(0), [some(2, 0)], np.zeros((2, 0)))
case(ops.Softmax(), [array([-INF, -INF], [INF, 1], [1e4, -1e4])], array([NAN, NAN], [NAN, NAN], [1, 0]))
case(ops.CumSum(axis=-1, exclusive=True), [array([1, 2, 3], dtype="int32")], array([0, 1, 3], dtype="int32"))
case(ops.CumSum(axis=0, reverse=True), [array(1, 2, 3, dtype="int64")], array(6, 5, 3, dtype="int64"))
case(ops.CumSum(axis=0, reverse=True, exclusive=True), [array(1, 2, 3, dtype="uint8")], array(5, 3, 0, dtype="uint8"))
case(ops.CumSum(axis=0), [array(100, 100, dtype="int8")], array(100, -56, dtype="int8"))
case(ops.CumSum(axis=0), [some(0, 3)], np.zeros((0, 3)))

# ---- contractions -----------------------------------------------------------------------------------

SHAPES = [((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 1, 4, 3), (5, 3, 2)), ((2, 0), (0, 3)),
          ((0, 2, 3), (3, 1)), ((2, 2, 3), (3,))]  # fmt: skip
for left, right in SHAPES:
    case(ops.MatMul(), [some(*left), some(*right)], np.matmul)
for of in FLOATS[1:]:
    case(ops.MatMul(), [some(2, 99, dtype=of), some(99, 3, dtype=of)], np.matmul)
case(
    ops.MatMul(), [np.full((1, 200), 100, np.int8), np.full((200, 1), 99, np.int8)], array([96], dtype="int8")
)  # 1,980,000 modulo 256
case(
    ops.Gemm(alpha=0.5, beta=2.0, trans_a=True),
    [some(3, 2), some(3, 4), some(4)],
    lambda a, b, c: 0.5 * a.T @ b + 2 * c,
)
case(ops.Gemm(trans_b=True), [some(2, 3, dtype="bfloat16"), some(4, 3, dtype="bfloat16")], lambda a, b: a @ b.T)
case(PackedMatMul(columns=5), [some(2, 3), np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 8],
     lambda a, b: (a @ b.transpose(1, 0, 2).reshape(3, 8))[:, :5])  # fmt: skip
case(MatMulTransposed(), [some(2, 3), some(4, 3)], lambda a, b: a @ b.T)
case(PackedConv(channels=3), [some(1, 4, 2), some(2, 1, 2, 2)],
     lambda x, w: np.einsum("nkc,oc->nko", x, w.transpose(0, 3, 2, 1).reshape(4, 2)[:3]))  # fmt: skip

for equation, *extents in (
    ("ij->ji", (2, 3)), ("ii", (3, 3)), ("ii->i", (3, 3)), ("i,i", (3,), (3,)), ("i,j->ij", (2,), (3,)), ("ij,jk", (2, 3), (3, 4)),
    ("bij,bjk->bik", (2, 2, 3), (2, 3, 2)), ("...ij,...jk->...ik", (2, 1, 2, 3), (4, 3, 2)), ("a...->...a", (2, 3, 4)), ("ij->", (2, 3)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 2)), ("iij->j", (2, 2, 3)), ("ba", (2, 3)), (",", (), ()), ("Aa,a->A", (2, 3), (3,)),
    (" i j , j k -> i k ", (2, 3), (3, 4)), ("ij,jk", (2, 0), (0, 3)), ("i,i", (0,), (0,)), ("i,j->ij", (0,), (3,)),
):  # fmt: skip
    case(ops.Einsum(equation), [some(*s) for s in extents], lambda *xs, e=equation: np.einsum(e, *xs), equation)
for of in (*FLOATS[1:], "int8"):
    case(ops.Einsum("ij,ij->i"), [some(2, 3, dtype=of), some(2, 3, dtype=of)], lambda a, b: np.einsum("ij,ij->i", a, b))

# ---- normalisations ---------------------------------------------------------------------------------


def standard(x, axes, epsilon=1e-5):
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


def columns(v, x):
    return v.reshape(-1, *(1,) * (x.ndim - 2))


for of in (float32, bfloat16, float64):
    x, v = some(2, 4, 3, dtype=of), [some(4, dtype=of) for _ in range(3)]
    positive = some(4, dtype=of, low=0.5)
    case(ops.LayerNormalization(), [x, some(3, dtype=of), some(3, dtype=of)], lambda x, s, b: standard(x, (2,)) * s + b)
    case(ops.LayerNormalization(axis=1), [x, some(4, 3, dtype=of)], lambda x, s: standard(x, (1, 2)) * s)
    case(
        ops.RMSNormalization(),
        [x, some(3, dtype=of)],
        lambda x, s: x / np.sqrt((x * x).mean(2, keepdims=True) + 1e-5) * s,
    )
    case(
        ops.RMSNormalization(axis=0), [x, some(2, 4, 3, dtype=of)], lambda x, s: x / np.sqrt((x * x).mean() + 1e-5) * s
    )
    case(ops.BatchNormalization(), [x, *v, positive],
         lambda x, s, b, m, v: (x - columns(m, x)) / np.sqrt(columns(v, x) + 1e-5) * columns(s, x) + columns(b, x))  # fmt: skip
    case(ops.InstanceNormalization(), [x, *v[:2]], lambda x, s, b: standard(x, (2,)) * columns(s, x) + columns(b, x))
    case(ops.GroupNormalization(2), [x, *v[:2]],
         lambda x, s, b: standard(x.reshape(2, 2, 2, 3), (2, 3)).reshape(2, 4, 3) * columns(s, x) + columns(b, x))  # fmt: skip
    case(
        ops.MeanVarianceNormalization(axes=(0, -1)),
        [x],
        lambda x: (x - x.mean((0, 2), keepdims=True)) / (x.std((0, 2), keepdims=True) + 1e-9),
    )
    case(ops.LpNormalization(axis=1), [x], lambda x: x / np.sqrt((x * x).sum(1, keepdims=True)))
    case(ops.LpNormalization(axis=-1, p=1), [x], lambda x: x / abs(x).sum(2, keepdims=True))
    case(ops.LRN(size=3, alpha=0.5, beta=0.75, bias=2.0), [x],
         lambda x: x / (2 + 0.5 / 3 * sum(np.pad(x * x, ((0, 0), (1, 1), (0, 0)))[:, k : k + 4] for k in range(3))) ** 0.75)  # fmt: skip
for scale_shape, bias_shape in (((1,), ()), ((3, 1), (4,)), ((2, 3, 4), (1, 1))):
    case(
        ops.LayerNormalization(),
        [some(2, 3, 4), some(*scale_shape), some(*bias_shape)],
        lambda x, s, b: standard(x, (2,)) * s + b,
    )
case(ops.LayerNormalization(), [some(2, 3), some(3, dtype="float64")], lambda x, s: standard(x, (1,)) * s)
case(
    ops.LayerNormalization(),
    [array([10000, 10001, 10002, 10003]), np.ones(4, np.float32)],
    array([-1.341635, -0.4472119, 0.4472119, 1.341635]),
)
case(
    ops.RMSNormalization(),
    [some(2, 3), some(2, 1)],
    lambda x, s: x / np.sqrt((x * x).mean(1, keepdims=True) + 1e-5) * s,
)
case(
    ops.BatchNormalization(),
    [some(3), *[some(1, low=1) for _ in range(4)]],
    lambda x, s, b, m, v: (x - m) / np.sqrt(v + 1e-5) * s + b,
)
case(ops.InstanceNormalization(), [some(2, 3), some(3), some(3)], lambda x, s, b: np.zeros_like(x) + b)
case(ops.GroupNormalization(1), [some(0, 2, 3), some(2), some(2)], np.zeros((0, 2, 3)))
case(ops.LayerNormalization(), [some(3, 0), some(0)], np.zeros((3, 0)))
case(ops.LpNormalization(axis=0), [array(0, 0)], array(0, 0))
case(ops.MeanVarianceNormalization(axes=()), [some(2, 3)], np.zeros((2, 3)))
case(ops.LRN(size=4), [some(1, 3, 2, 2)],
     lambda x: x / (1 + 1e-4 / 4 * sum(np.pad(x * x, ((0, 0), (1, 2), (0, 0), (0, 0)))[:, k : k + 3] for k in range(4))) ** 0.75)  # fmt: skip

# ---- generators -------------------------------------------------------------------------------------

case(ops.Range(start=3, limit=9, delta=2), [], array(3, 5, 7, dtype="int64"))
case(ops.Range(start=5.0, limit=0, delta=-1.5), [], array(5, 3.5, 2, 0.5))
case(ops.Range(start=4, limit=4), [], np.zeros(0, np.int64), "empty")
case(ops.Range(start=0, limit=3, dtype=bfloat16), [], array(0, 1, 2), "bfloat16")
case(ops.ConstantOfShape(shape=(2, 3), value=2.5), [], np.full((2, 3), 2.5))
case(ops.ConstantOfShape(shape=(), value=-INF), [], np.float64(-INF), "infinity")
case(ops.ConstantOfShape(shape=(2, 0), value=1, dtype=int64), [], np.zeros((2, 0), np.int64), "empty")
case(ops.ConstantOfShape(shape=(2,), value=1, dtype=boolean), [], np.ones(2, bool), "bool")


def graph_of(op, arrays):
    inputs = [input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays)]
    return Graph(op.name, tuple(inputs), (make(op, inputs),), ("y",)), {f"x{k}": a for k, a in enumerate(arrays)}


@pytest.fixture(scope="module")
def results():
    """What TVM gives for every case, by name."""
    made = {name: graph_of(op, arrays) for name, (op, arrays, _) in CASES.items()}
    machine = build_relax(to_relax(*[graph for graph, _ in made.values()]))
    return {name: call_relax(machine, k, graph, inputs)["y"] for k, (name, (graph, inputs)) in enumerate(made.items())}


def test_every_operator_of_these_files_is_covered():
    files = ("elementwise", "arithmetic", "comparison", "activation", "cast", "reduction", "argreduce", "softmax", "normalization",
             "cumulative", "einsum", "matmul", "packed", "generate")  # fmt: skip
    modules = {f"minicc.ops.{name}" for name in files}
    known = {name for name, op in REGISTRY.items() if op.__module__ in modules}
    assert known - {"CumProd"} == {op.name for op, *_ in CASES.values()}  # TVM's cumprod keeps another dtype


@pytest.mark.parametrize("name", CASES)
def test_tvm_computes_what_the_definition_says(name, results):
    op, arrays, expected = CASES[name]
    got, wanted = results[name], op.infer(*map(TensorType.of, arrays))
    assert TensorType.of(got) == wanted
    if not wanted.dtype.is_float:
        np.testing.assert_array_equal(got, expected.astype(wanted.dtype.numpy))
        return
    tolerance = EPSILON[wanted.dtype]
    np.testing.assert_allclose(got.astype(np.float64), expected, rtol=4 * tolerance, atol=tolerance)


OWN = {
    "nn.softmax": (ops.Softmax(), ["float32[2,3]"]), "nn.log_softmax": (ops.LogSoftmax(), ["float32[2,3]"]),
    "nn.layer_norm": (ops.LayerNormalization(), ["float32[2,3]", "float32[3]"]), "nn.selu": (ops.Selu(), ["float32[2]"]),
    "nn.rms_norm": (ops.RMSNormalization(), ["float32[2,3]", "float32[3]"]), "nn.gelu": (ops.Gelu(), ["float32[2]"]),
    "nn.group_norm": (ops.GroupNormalization(2), ["float32[2,4,3]", "float32[4]", "float32[4]"]),
    "nn.instance_norm": (ops.InstanceNormalization(), ["float32[2,4,3]", "float32[4]", "float32[4]"]),
    "nn.batch_norm": (ops.BatchNormalization(), ["float32[2,4]", *["float32[4]"] * 4]), "nn.leakyrelu": (ops.LeakyRelu(), ["float32[2]"]),
    "nn.prelu": (ops.PRelu(), ["float32[2,3]", "float32[3]"]), "einsum": (ops.Einsum("ij,jk"), ["float32[2,3]", "float32[3,2]"]),
    "matmul": (ops.Gemm(), ["float32[2,3]", "float32[3,2]"]), "cumsum": (ops.CumSum(axis=0), ["float32[3]"]),
    "argmax": (ops.ArgMax(), ["float32[3]"]), "mean": (ops.ReduceMean(), ["float32[3]"]), "nn.softplus": (ops.Softplus(), ["float32[3]"]),
}  # fmt: skip


@pytest.mark.parametrize("own", OWN)
def test_where_tvm_has_an_operator_of_its_own_it_is_used(own):
    """Otherwise TVM would judge our definition, not our result."""
    op, types = OWN[own]
    shapes = [TensorType(float32, tuple(map(int, t[8:-1].split(",")))) for t in types]
    assert own in relax_operators(op, shapes)


@pytest.mark.parametrize("op", [ops.Exp(), ops.ReduceSum(), ops.Softmax(), ops.Elu()], ids=lambda op: op.name)
def test_16_bit_floats_are_computed_in_float32_and_rounded_once(op):
    x = TensorType(float16, (3, 4))
    assert relax_operators(op, [x])[0] == "astype"
    values = some(3, 4, dtype="float16")
    once = run_relax(*graph_of(op, [values.astype(np.float32)]))["y"].astype(np.float16)
    np.testing.assert_array_equal(run_relax(*graph_of(op, [values]))["y"], once)
