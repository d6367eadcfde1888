"""Scalar intrinsics: what `Call(name, args)` means, and how it becomes machine code.

Each intrinsic is defined once: its NumPy function (the reference, for every float dtype), its
expansion into arithmetic for float32 (what the code generator emits, and can vectorize), the
libm symbol that serves float64, and the largest error of the expansion in units in the last
place. A `primitive` one is an instruction of the machine and needs no expansion.

>>> INTRINSICS["exp"].numpy(np.float32([0, 1])).round(4).tolist()
[1.0, 2.7183001041412354]
>>> INTRINSICS["exp"].ulp, INTRINSICS["sqrt"].primitive
(1.0, True)

The expansions use add, sub, mul, div, fma, comparisons, select and integer arithmetic on the bits,
never a load or a branch, so that a vector of them is a vector of instructions. They are exact at
infinities, NaN and signed zeros, and round gradually to denormals. exp, sigmoid, log, log1p,
expm1, tanh and erf stay in float32; the others compute in float64 and round once, so their accuracy is plain.
Polynomials are minimax for the relative error (Remez; the rationals by Sanathanan-Koerner
iteration with Lawson weights), fitted in 80-bit arithmetic, float32 coefficients rounded one
after another with the rest refitted. The range reductions follow Cody and Waite, *Software Manual
for the Elementary Functions*, and Payne and Hanek, *Radian Reduction for Trigonometric Functions*.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.tensor.expr import Expr, all_of, any_of, binary, call, cast, const, select, wrap
from minicc.types import DType, bfloat16, float32, float64, int32, int64

Array = np.ndarray[Any, np.dtype[Any]]
INFINITY, NAN = math.inf, math.nan


@dataclass(frozen=True)
class Intrinsic:
    """A scalar function.

    `numpy` maps arrays of any float dtype to one of the same dtype (`isnan` and `isinf`: to bool;
    `bitcast(x, dtype)` takes the dtype as its second argument). `expand` maps float32 expressions
    to an expression of arithmetic and primitive calls, free of loads and branches. `ulp` bounds
    the error of `expand` over all of float32; 0.5 is correctly rounded.
    """

    name: str
    numpy: Callable[..., Any]
    expand: Callable[..., Expr] | None = None
    libm: str | None = None
    ulp: float = 0.5
    primitive: bool = False


# ---- building blocks ----------------------------------------------------------------------------


def _fma(a: Expr, b: Any, c: Any) -> Expr:
    return call("fma", a, wrap(b, a.dtype), wrap(c, a.dtype))


def _bits(x: Expr) -> Expr:
    """The bits of a float as a signed integer."""
    return call("bitcast", x, dtype=int32 if x.dtype is float32 else int64)


def _float(bits: Expr) -> Expr:
    return call("bitcast", bits, dtype=float32 if bits.dtype is int32 else float64)


def _horner(x: Expr, coefficients: Sequence[float]) -> Expr:
    """The polynomial with the coefficient of the lowest power first."""
    value = wrap(coefficients[-1], x.dtype)
    for c in reversed(coefficients[:-1]):
        value = _fma(value, x, c)
    return value


def _clamp(x: Expr, low: float, high: float) -> Expr:
    """`x` in [low, high]; the comparisons stand so that NaN stays NaN."""
    x = select(wrap(high, x.dtype) < x, high, x)
    return select(x < wrap(low, x.dtype), low, x)


def _keep_zero(x: Expr, value: Expr) -> Expr:
    """`value`, but a zero `x` as it is, with its sign."""
    return select(x.equal(0.0), x, value)


def _log_domain(x: Expr, value: Expr, infinite: Expr) -> Expr:
    """`value` for finite x > 0; inf for inf, -inf for 0, NaN for negative numbers and NaN."""
    at_most_zero = select(x.equal(0.0), wrap(-INFINITY, value.dtype), wrap(NAN, value.dtype))
    return select(x > 0.0, select(x < INFINITY, value, infinite), at_most_zero)


# Adding 1.5 * 2**23 (2**52) rounds to an integer and leaves it in the low bits of the sum: round
# and float-to-int conversion in one addition, defined for NaN as well.
MAGIC32, MAGIC32_BITS = 12582912.0, 0x4B400000
MAGIC64 = 6755399441055744.0

LOG2_E = 1.4426950408889634
LN2 = 0.6931471805599453
LN2_HIGH, LN2_LOW = 0.693359375, -2.12194440e-4  # the high part has 10 bits: n * LN2_HIGH is exact
HALF_PI = 1.5707963267948966


# ---- float32: exp, sigmoid, expm1, log, log1p, tanh, erf ----------------------------------------


def _reduce_exp(x: Expr) -> tuple[Expr, Expr, Expr]:
    """x = n ln 2 + r with |r| <= ln(2) / 2: the sum that holds n in its low bits, n, and r."""
    held = _fma(x, LOG2_E, MAGIC32)
    n = held - MAGIC32
    return held, n, _fma(n, -LN2_LOW, _fma(n, -LN2_HIGH, x))


def _exp(x: Expr) -> Expr:
    """2**n * p(r). Scaling by 2**n reaches denormals and infinity with one rounding."""
    held, _, r = _reduce_exp(_clamp(x, -104.0, 89.0))
    p = _horner(r, (1.0, 1.0, 0.49999994, 0.16666517, 0.041668106, 0.00836914, 0.0013836714))
    return call("ldexp", p, _bits(held) - MAGIC32_BITS)


def _sigmoid(x: Expr) -> Expr:
    """e / (1 + e) with e = exp(x), which keeps its digits where it is small.

    In float32 e is computed in fewer steps than `exp`: one for n ln 2, whose constant happens to be right to 2**-29 of
    itself, and a polynomial of a lower degree.
    """
    if x.dtype is not float32:
        e = call("exp", _clamp(x, -746.0, 40.0))
    else:
        x = _clamp(x, -104.0, 30.0)
        held = _fma(x, LOG2_E, MAGIC32)
        p = _horner(_fma(held - MAGIC32, -LN2, x), (1.0, 0.9999997, 0.4999915, 0.16667648, 0.041897837, 0.008289715))
        e = call("ldexp", p, _bits(held) - MAGIC32_BITS)
    return e / (e + 1.0)


def _expm1(x: Expr) -> Expr:
    """2 * (s * (exp(r) - 1) + (s - 1/2)) with s = 2**(n - 1), which stays finite for n = 128."""
    held, _, r = _reduce_exp(_clamp(x, -18.0, 89.0))
    q = _horner(r, (0.5, 0.16666636, 0.04166651, 0.00834151, 0.001393054, 0.00015045566))
    p = _fma(r * r, q, r)
    s = _float((_bits(held) - (MAGIC32_BITS - 126)) << 23)
    return _keep_zero(x, _fma(p, s, s - 0.5) * 2.0)


def _log_sum(f: Expr, k: Expr) -> Expr:
    """log(1 + f) + k ln 2 for f in [-1/4, 1/2]."""
    q = _horner(f, (-0.5, 0.33333334, -0.2500044, 0.20000759, -0.16649297, 0.14238936, -0.1272682, 0.12016616,
                    -0.09770519, 0.041746125))  # fmt: skip
    return _fma(k, LN2_HIGH, f + _fma(f * f, q, k * LN2_LOW))


def _log(x: Expr) -> Expr:
    """x = 2**k (1 + f) with 1 + f in [3/4, 3/2); denormals are scaled up first."""
    tiny = x < 1.17549435e-38
    bits = _bits(select(tiny, x * 8388608.0, x))
    exponent = (bits - 0x3F400000) & -0x800000
    k = _fma(cast(exponent, float32), 2.0**-23, select(tiny, const(-23.0, float32), 0.0))
    return _log_domain(x, _log_sum(_float(bits - exponent) - 1.0, k), x)


def _log1p(x: Expr) -> Expr:
    """1 + x = 2**k (1 + f), where f comes from x itself and so loses nothing when x is small."""
    exponent = (_bits(x + 1.0) - 0x3F400000) & -0x800000
    scale = _float(0x40800000 - exponent)  # 4 * 2**-k, a normal number for every k
    f = _fma(x * scale, 0.25, _fma(scale, 0.25, -1.0))
    k = cast(exponent, float32) * 2.0**-23
    return _keep_zero(x, _log_domain(x + 1.0, _log_sum(f, k), x))


def _saturated(x: Expr, bound: float, value: Expr) -> Expr:
    """`value` in [-1, 1], and exactly 1 or -1 where |x| is over `bound`: 1 - erf(x) is 0 there."""
    return select(x > bound, 1.0, select(x < -bound, -1.0, _clamp(value, -1.0, 1.0)))


def _tanh(x: Expr) -> Expr:
    """x P(x^2) / Q(x^2) on [-9.02, 9.02], beyond which float32 has only 1."""
    t = x * x
    p = _horner(t, (1.0, 0.13785362, 0.004008507, 3.1589023e-05, 5.07621e-08))
    q = _horner(t, (1.0, 0.47118695, 0.027737505, 0.00042074041, 1.6174827e-06, 7.3744127e-10))
    return _saturated(x, 9.02, x * p / q)


def _erf(x: Expr) -> Expr:
    """x P(x^2) / Q(x^2) on [-3.93, 3.93], beyond which float32 has only 1."""
    t = x * x
    p = _horner(t, (1.1283791696, 0.19249087, 0.055593737, 0.0041967783, 0.00040609862, 6.6016687e-06))
    q = _horner(t, (1.0, 0.50392402, 0.11724276, 0.016218822, 0.0014084521, 7.1204284e-05, 2.4974407e-07))
    return _saturated(x, 3.93, x * p / q)


# ---- float64 cores, accurate to about 1e-11 -----------------------------------------------------


def _exp2_wide(x: Expr) -> Expr:
    """2**x for a float64 x, which is clamped to [-300, 300]: beyond that float32 has 0 and infinity."""
    x = _clamp(x, -300.0, 300.0)
    held = x + MAGIC64
    p = _horner(x - (held - MAGIC64), (1.0, 0.6931471805464928, 0.24022650698885112, 0.055504109394285094,
                                       0.009618128542185795, 0.001333345197786328, 0.00015403852005465784,
                                       1.530976012583762e-05, 1.3175842280325467e-06))  # fmt: skip
    return p * _float((_bits(held) + 1023) << 52)  # a product, so that NaN stays NaN


def _log_wide(x: Expr) -> Expr:
    """log of a float64: x = 2**k m, log m = 2 artanh((m - 1) / (m + 1)), m in [sqrt(1/2), sqrt(2))."""
    exponent = (_bits(x) - 0x3FE6A09E667F3BCD) & -(1 << 52)
    m = _float(_bits(x) - exponent)
    s = (m - 1.0) / (m + 1.0)
    t = s * s
    q = _horner(t, (2.0, 0.6666666667584646, 0.3999999560464366, 0.28572111147245255, 0.22176099122276086,
                    0.19585528144367143))  # fmt: skip
    k = cast(exponent >> 52, float64)
    return _log_domain(x, _fma(k, LN2, s * q), wrap(INFINITY, float64))


def _in_float64(f: Callable[..., Expr]) -> Callable[..., Expr]:
    """A float32 function by float64 arithmetic, rounded at the end."""

    @functools.wraps(f)
    def run(*args: Expr) -> Expr:
        return cast(f(*[cast(a, float64) for a in args]), float32)

    return run


@_in_float64
def _sinh(x: Expr) -> Expr:
    e = _exp2_wide(x * LOG2_E)
    small = _fma(x * x, x * (1 / 6), x)
    return select(abs(x) < 2.0**-10, small, (e - 1.0 / e) * 0.5)


@_in_float64
def _cosh(x: Expr) -> Expr:
    e = _exp2_wide(x * LOG2_E)
    return (e + 1.0 / e) * 0.5


@_in_float64
def _asinh(x: Expr) -> Expr:
    a = abs(x)
    small = _fma(a * a, a * (-1 / 6), a)
    return call("copysign", select(a < 2.0**-10, small, _log_wide(a + call("sqrt", _fma(a, a, 1.0)))), x)


@_in_float64
def _acosh(x: Expr) -> Expr:
    return select(x < 1.0, const(NAN, float64), _log_wide(x + call("sqrt", (x - 1.0) * (x + 1.0))))


@_in_float64
def _atanh(x: Expr) -> Expr:
    small = _fma(x * x, x * (1 / 3), x)
    return select(abs(x) < 2.0**-10, small, _log_wide((1.0 + x) / (1.0 - x)) * 0.5)


@_in_float64
def _atan(x: Expr) -> Expr:
    """Odd polynomial on [0, 1]; atan(x) = pi/2 - atan(1/x) above."""
    a = abs(x)
    large = a > 1.0
    z = select(large, 1.0 / a, a)
    y = z * z
    q = _horner(y, (-0.33333332234480967, 0.1999993215237032, -0.14284250032493215, 0.1109519488241859,
                    -0.08988752830181643, 0.07269259190341597, -0.0547019526167475, 0.03470138383552557,
                    -0.016468846332397667, 0.004998146255433567, -0.0007110790789806866))  # fmt: skip
    p = _fma(z * y, q, z)
    return call("copysign", select(large, HALF_PI - p, p), x)


def _asin_core(x: Expr) -> tuple[Expr, Expr]:
    """Whether |x| > 1/2, and asin(|x|), or then asin(sqrt((1 - |x|) / 2)) = acos(|x|) / 2."""
    a = abs(x)
    large = a > 0.5
    y = select(large, (1.0 - a) * 0.5, a * a)
    s = select(large, call("sqrt", y), a)
    q = _horner(y, (0.16666666626575527, 0.07500005058797792, 0.04464068141436801, 0.030426954206087077,
                    0.021861950931739968, 0.020664483079441746, 0.0019339896026198515, 0.03295726008755588))  # fmt: skip
    return large, _fma(s * y, q, s)


@_in_float64
def _asin(x: Expr) -> Expr:
    large, p = _asin_core(x)
    return call("copysign", select(large, HALF_PI - 2.0 * p, p), x)


@_in_float64
def _acos(x: Expr) -> Expr:
    large, p = _asin_core(x)
    folded = select(x < 0.0, 2.0 * (HALF_PI - p), 2.0 * p)
    return select(large, folded, HALF_PI - call("copysign", p, x))


@_in_float64
def _pow(x: Expr, y: Expr) -> Expr:
    """|x|**y = 2**(y log2 |x|), then the sign and the special cases of IEEE 754 pow."""
    a = abs(x)
    size = _exp2_wide(y * (_log_wide(a) * LOG2_E))
    whole = y.equal(call("floor", y))
    half = y * 0.5
    odd = all_of(whole, half.not_equal(call("floor", half)))
    signed = select(odd, call("copysign", size, x), size)
    undefined = all_of(x < 0.0, a < INFINITY, ~whole)  # infinite y are whole
    value = select(undefined, const(NAN, float64), signed)
    unit = all_of(a.equal(1.0), abs(y).equal(INFINITY))  # (-1)**inf is 1
    return select(any_of(y.equal(0.0), x.equal(1.0), unit), const(1.0, float64), value)


# ---- sin, cos, tan ------------------------------------------------------------------------------

TWO_OVER_PI = 0x517CC1B727220A94FE13ABE8FA9A6EE06DB14ACC9E21C820FF2  # its first 203 bits
_CHUNKS = [math.ldexp((TWO_OVER_PI >> 29 * (6 - k)) & ((1 << 29) - 1), -29 * (k + 1)) for k in range(7)]


def _quadrant(x: Expr) -> tuple[Expr, Expr]:
    """x = (4 m + n + r) pi/2 with |r| <= 1/2, for a float64 that holds a float32: n in 0..3, and r.

    Payne and Hanek without a table: 2/pi is cut into chunks of 29 bits, so their products with
    the 24 bits of x are exact in float64, and so is dropping multiples of 4 from each. All that
    a huge x multiplies above 4 goes to 0 exactly; the rest is summed from the greatest, after
    its integer part is taken away.
    """
    products = [x * c for c in _CHUNKS]
    parts = [_fma(call("round", p * 0.25), -4.0, p) for p in products[:5]]  # the last two are below 2**-16
    parts.append(products[5] + products[6])
    held = functools.reduce(operator.add, parts) + MAGIC64
    rest = functools.reduce(operator.add, parts[1:], parts[0] - (held - MAGIC64))
    return cast(_bits(held), int32) & 3, rest


def _sine_cosine(x: Expr) -> tuple[Expr, Expr, Expr]:
    """The quadrant of a float32, and sine and cosine of the angle within it."""
    quadrant, rest = _quadrant(cast(x, float64))
    r = cast(rest * HALF_PI, float32)
    t = r * r
    sine = _fma(r * t, _horner(t, (-0.16666655, 0.008332191, -0.00019518599)), r)
    cosine = _fma(t * t, _horner(t, (0.041666646, -0.0013887301, 2.443067e-05)), _fma(t, -0.5, 1.0))
    return quadrant, sine, cosine


def _has_bit(x: Expr, bit: int) -> Expr:
    return (x & bit).not_equal(0)


def _sin(x: Expr) -> Expr:
    quadrant, sine, cosine = _sine_cosine(x)
    value = select(_has_bit(quadrant, 1), cosine, sine)
    return _keep_zero(x, select(_has_bit(quadrant, 2), -value, value))


def _cos(x: Expr) -> Expr:
    quadrant, sine, cosine = _sine_cosine(x)
    value = select(_has_bit(quadrant, 1), sine, cosine)
    return select(_has_bit(quadrant + 1, 2), -value, value)


@_in_float64
def _tan(x: Expr) -> Expr:
    quadrant, rest = _quadrant(x)
    r = rest * HALF_PI
    t = r * r
    sine = _fma(r * t, _horner(t, (-0.1666666666663145, 0.008333333325244996, -0.00019841263807856137,
                                   2.7555354453065936e-06, -2.4761407123042213e-08)), r)  # fmt: skip
    cosine = _fma(t, _horner(t, (-0.49999999999542855, 0.04166666656166631, -0.0013888881055684227,
                                 2.4799036034035016e-05, -2.7179730586545253e-07)), 1.0)  # fmt: skip
    odd = _has_bit(quadrant, 1)
    return _keep_zero(x, select(odd, -cosine, sine) / select(odd, sine, cosine))


# ---- the references -----------------------------------------------------------------------------


def _quiet(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` without floating point warnings, on bfloat16 through float32."""

    @functools.wraps(f)
    def run(*arrays: Any) -> Any:
        arrays = tuple(np.asarray(a) for a in arrays)
        with np.errstate(all="ignore"):
            if arrays[0].dtype == bfloat16.numpy:
                result = f(*[a.astype(np.float32) for a in arrays])
                return result if result.dtype == np.bool_ else result.astype(bfloat16.numpy)
            return f(*arrays)

    return run


def _numpy_sigmoid(x: Array) -> Any:
    """1 / (1 + exp(-x)), which keeps its digits where it is small."""
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.absolute(x)))


def _numpy_erf(x: Array) -> Any:
    """The error function by the C library, in float64; NumPy has none."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x.astype(np.float64))).astype(x.dtype)


def _in_parts(x: Any, y: Any, z: Any) -> tuple[Any, Any]:
    """The sum x * y + z of arrays or expressions of float64, and what rounding took from it (Dekker)."""
    split = 134217729.0  # 2**27 + 1
    x_high = x * split - (x * split - x)
    y_high = y * split - (y * split - y)
    x_low, y_low = x - x_high, y - y_high
    product = x * y
    error = ((x_high * y_high - product) + x_high * y_low + x_low * y_high) + x_low * y_low
    total = product + z
    back = total - product
    return total, error + ((product - (total - back)) + (z - back))


def _numpy_fma(x: Array, y: Array, z: Array) -> Any:
    """x * y + z, rounded once; a zero keeps its sign."""
    if x.dtype != np.float64:
        return (x.astype(np.float64) * y + z).astype(x.dtype)
    total, error = _in_parts(x, y, z)
    return np.where(np.isfinite(error) & (error != 0), total + error, total)


def unfused(x: Expr, y: Expr, z: Expr) -> Expr:
    """`fma` by multiplications and additions: what a machine without such an instruction can do in vectors."""
    if x.dtype is not float64:
        return cast(cast(x, float64) * cast(y, float64) + cast(z, float64), x.dtype)
    total, error = _in_parts(x, y, z)
    return select(all_of(abs(error) < INFINITY, binary("ne", error, 0.0)), total + error, total)


def in_two_factors(x: Expr, n: Expr) -> Expr:
    """`ldexp` of an x about 1, |n| <= 252: what a machine without such an instruction can do in vectors."""
    half = n >> 1
    return x * _float((half + 127) << 23) * _float((n - half + 127) << 23)


def four_products(x: Any, y: Any) -> Any:
    """`dot4` of arrays or expressions, by shifts: byte `k` of a word is its bits from 8 k on."""
    return functools.reduce(operator.add, [((x >> 8 * k) & 255) * (y << (24 - 8 * k) >> 24) for k in range(4)])


def two_products(x: Any, y: Any) -> Any:
    """`dot2` of arrays or expressions, by shifts."""
    return (x << 16 >> 16) * (y << 16 >> 16) + (x >> 16) * (y >> 16)


MISSING: dict[str, Callable[..., Expr]] = {  # what stands for a primitive that is no instruction
    "fma": unfused, "ldexp": in_two_factors, "dot4": four_products, "dot2": two_products,
}  # fmt: skip


def _numpy_int_pow(x: Any, y: Any) -> Any:
    """x to the power of y by squaring, modulo 2**64; the exponent is read as an unsigned number."""
    return np.power(x.astype(np.uint64), y.astype(f"u{y.dtype.itemsize}").astype(np.uint64)).astype(x.dtype)


_TABLE = (
    Intrinsic("exp", _quiet(np.exp), _exp, "exp", 1.0),
    Intrinsic("log", _quiet(np.log), _log, "log", 1.3),
    Intrinsic("log1p", _quiet(np.log1p), _log1p, "log1p", 1.3),
    Intrinsic("expm1", _quiet(np.expm1), _expm1, "expm1", 1.5),
    Intrinsic("sigmoid", _quiet(_numpy_sigmoid), _sigmoid, ulp=5.0),
    Intrinsic("sin", _quiet(np.sin), _sin, "sin", 1.7),
    Intrinsic("cos", _quiet(np.cos), _cos, "cos", 1.7),
    Intrinsic("tan", _quiet(np.tan), _tan, "tan", 0.51),
    Intrinsic("asin", _quiet(np.arcsin), _asin, "asin", 0.51),
    Intrinsic("acos", _quiet(np.arccos), _acos, "acos", 0.51),
    Intrinsic("atan", _quiet(np.arctan), _atan, "atan", 0.51),
    Intrinsic("sinh", _quiet(np.sinh), _sinh, "sinh", 0.51),
    Intrinsic("cosh", _quiet(np.cosh), _cosh, "cosh", 0.51),
    Intrinsic("tanh", _quiet(np.tanh), _tanh, "tanh", 6.0),
    Intrinsic("asinh", _quiet(np.arcsinh), _asinh, "asinh", 0.51),
    Intrinsic("acosh", _quiet(np.arccosh), _acosh, "acosh", 0.51),
    Intrinsic("atanh", _quiet(np.arctanh), _atanh, "atanh", 0.51),
    Intrinsic("erf", _quiet(_numpy_erf), _erf, "erf", 6.0),
    Intrinsic("pow", _quiet(np.power), _pow, "pow", 0.51),
    Intrinsic("int_pow", _quiet(_numpy_int_pow), primitive=True),  # of two integers of one dtype; wraps around
    Intrinsic("dot4", _quiet(four_products), primitive=True),  # of four uint8 and four int8, each four an int32
    Intrinsic("dot2", _quiet(two_products), primitive=True),  # of two int16 and two int16, each two an int32
    Intrinsic("fmod", _quiet(np.fmod), None, "fmod", primitive=True),  # LLVM's frem
    Intrinsic("sqrt", _quiet(np.sqrt), None, "sqrt", primitive=True),
    Intrinsic("floor", _quiet(np.floor), None, "floor", primitive=True),
    Intrinsic("ceil", _quiet(np.ceil), None, "ceil", primitive=True),
    Intrinsic("round", _quiet(np.rint), None, "rint", primitive=True),  # halves to even
    Intrinsic("trunc", _quiet(np.trunc), None, "trunc", primitive=True),
    Intrinsic("ldexp", _quiet(np.ldexp), primitive=True),  # a float32 times a power of two, of int32
    Intrinsic("fma", _quiet(_numpy_fma), None, "fma", primitive=True),
    Intrinsic("copysign", _quiet(np.copysign), None, "copysign", primitive=True),
    Intrinsic("isnan", _quiet(np.isnan), primitive=True),
    Intrinsic("isinf", _quiet(np.isinf), primitive=True),
    Intrinsic("bitcast", lambda x, dtype: np.asarray(x).view(DType.of(dtype).numpy), primitive=True),
)
INTRINSICS: dict[str, Intrinsic] = {intrinsic.name: intrinsic for intrinsic in _TABLE}
