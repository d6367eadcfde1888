"""Each intrinsic keeps the error bound that it promises, and is exact at the special values."""

import math

import numpy as np
import pytest

from minicc.tensor.evaluate import evaluate_expr
from minicc.tensor.expr import Binary, Call, Convert, Const, Select, Unary, Var, const, walk
from minicc.tensor.intrinsics import INTRINSICS, MISSING
from minicc.types import bfloat16, float16, float32, float64, int32

X, Y = Var("x", float32), Var("y", float32)
REFERENCES = {
    "exp": np.exp, "log": np.log, "log1p": np.log1p, "expm1": np.expm1, "sin": np.sin, "cos": np.cos, "tan": np.tan,
    "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
    "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
    "erf": lambda x: np.fromiter(map(math.erf, x.tolist()), np.float64, x.size),
}  # fmt: skip
SPECIAL = np.float32([
    0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38, 3.4028235e38, -3.4028235e38, 1, -1,
    0.5, -0.5, 0.99999994, 1.0000001, -0.99999994, 2, -2, 3, -3, 1.5, -1.5, 88.72283, 88.72284, -103.97, -103.98, -87.34,
    16777215, 16777216,
])  # fmt: skip


def ulp_error(got, expected):
    """The distance from the exact result (float64) in ULPs of float32; inf on a wrong NaN or sign of zero.

    Beyond the largest float32, 2**128 stands for infinity, as if the exponent had no end.
    """
    limit = 2.0**128
    with np.errstate(all="ignore"):
        nearest = np.minimum(np.abs(expected.astype(np.float32)), np.finfo(np.float32).max)
        distance = np.abs(np.clip(got.astype(np.float64), -limit, limit) - np.clip(expected, -limit, limit))
        error = distance / np.spacing(nearest).astype(np.float64)
    error = np.where(np.isnan(got) & np.isnan(expected), 0.0, np.where(np.isnan(error), np.inf, error))
    flipped = (got == 0) & (expected == 0) & (np.signbit(got) != np.signbit(expected))
    return np.where(flipped, np.inf, error)


def points(stride):
    """Every `stride`-th float32 bit pattern, the special values, and the neighbours of powers of two and of pi/2."""
    patterns = np.arange(0, 2**32, stride, dtype=np.uint64).astype(np.uint32).view(np.float32)
    powers = np.ldexp(np.float32(1), np.arange(-149, 128)).astype(np.float32)
    angles = (np.arange(1, 20000) * (np.pi / 4)).astype(np.float32)
    near = np.concatenate([powers, angles])
    near = np.concatenate([near, np.nextafter(near, np.float32(0)), np.nextafter(near, np.float32(np.inf))])
    return np.concatenate([SPECIAL, near, -near, patterns])


def check(name, x):
    with np.errstate(all="ignore"):
        expected = REFERENCES[name](x.astype(np.float64))
    got = evaluate_expr(INTRINSICS[name].expand(X), {X: x})
    assert got.dtype == np.float32
    error = ulp_error(got, expected)
    worst = int(np.argmax(error))
    assert error[worst] <= INTRINSICS[name].ulp, (
        f"{name}({x[worst]!r}) = {got[worst]!r}, expected {expected[worst]!r}: {error[worst]} ULP"
    )


@pytest.mark.parametrize("name", REFERENCES)
def test_error_bound_over_the_float32_range(name):
    check(name, points(10007))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["exp", "log", "tanh"])
def test_error_bound_at_every_float32(name):
    step = 1 << 22
    for start in range(0, 1 << 32, step):
        check(name, np.arange(start, start + step, dtype=np.uint64).astype(np.uint32).view(np.float32))


def check_pow(x, y):
    with np.errstate(all="ignore"):
        expected = np.power(x.astype(np.float64), y.astype(np.float64))
    got = evaluate_expr(INTRINSICS["pow"].expand(X, Y), {X: x, Y: y})
    error = ulp_error(got, expected)
    worst = int(np.argmax(error))
    assert error[worst] <= INTRINSICS["pow"].ulp, (
        f"pow({x[worst]!r}, {y[worst]!r}) = {got[worst]!r}: {error[worst]} ULP"
    )


def test_pow():
    random = np.random.default_rng(0)
    check_pow(*[side.ravel() for side in np.meshgrid(SPECIAL, SPECIAL)])
    check_pow(*random.integers(0, 2**32, (2, 200_000), dtype=np.uint32).view(np.float32))
    check_pow(
        np.exp(random.normal(size=200_000) * 10).astype(np.float32), random.normal(size=200_000).astype(np.float32)
    )
    check_pow(random.normal(size=50_000).astype(np.float32) * 9, random.integers(-30, 30, 50_000).astype(np.float32))


@pytest.mark.parametrize("name", [i.name for i in INTRINSICS.values() if i.expand])
def test_expansions_use_only_what_vectorizes(name):
    arguments = (X, Y) if name == "pow" else (X,)
    for e in walk(INTRINSICS[name].expand(*arguments)):
        assert isinstance(e, (Var, Const, Unary, Binary, Convert, Select, Call)), e
        if isinstance(e, Call):
            assert INTRINSICS[e.name].primitive, e
        if isinstance(e, Convert):  # a float that is cast to an integer could be NaN
            assert e.dtype.is_float or e.a.dtype.is_integer, e


@pytest.mark.parametrize("name, bound", [("tanh", 9.03), ("erf", 3.94)])
def test_saturation_is_exact(name, bound):
    x = np.float32([bound, 10, 1e10, 3e38, np.inf])
    got = evaluate_expr(INTRINSICS[name].expand(X), {X: np.concatenate([x, -x])})
    assert got.tolist() == [1.0] * 5 + [-1.0] * 5


def test_every_intrinsic_is_primitive_or_expands():
    assert all(i.primitive != (i.expand is not None) for i in INTRINSICS.values())
    assert all(i.name == name for name, i in INTRINSICS.items())


@pytest.mark.parametrize("dtype", [float16, bfloat16, float32, float64], ids=str)
@pytest.mark.parametrize("name", [*REFERENCES, "sqrt", "floor", "ceil", "round", "trunc"])
def test_references_keep_every_float_dtype(name, dtype):
    x = np.array([0.0, 0.25, 0.5, 1.0, -0.75, np.nan]).astype(dtype.numpy)
    got = INTRINSICS[name].numpy(x)
    assert got.dtype == dtype.numpy
    wide = INTRINSICS[name].numpy(x.astype(np.float64))
    tolerance = {float16: 2e-3, bfloat16: 2e-2, float32: 1e-6, float64: 0}[dtype]
    np.testing.assert_allclose(got.astype(np.float64), wide, rtol=tolerance, atol=tolerance * 1e-3)


def test_a_power_of_two_in_two_factors_is_rounded_once():
    n = Var("n", int32)
    powers = np.arange(-160, 130).astype(np.int32)
    for x in np.float32([1.0, -1.9999999, 0.75, np.inf]):
        got = evaluate_expr(MISSING["ldexp"](X, n), {X: np.full(powers.shape, x), n: powers})
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(got, np.ldexp(np.float64(x), powers).astype(np.float32))


def test_references_of_two_and_three_arguments():
    x, y = np.float32([7.5, -7.5, 2.0]), np.float32([2.0, 2.0, -3.0])
    assert INTRINSICS["fmod"].numpy(x, y).tolist() == [1.5, -1.5, 2.0]
    assert INTRINSICS["pow"].numpy(x, y).tolist() == [56.25, 56.25, 0.125]
    assert INTRINSICS["copysign"].numpy(x, y).tolist() == [7.5, 7.5, -2.0]
    assert INTRINSICS["isnan"].numpy(np.array([np.nan, 1]).astype(bfloat16.numpy)).tolist() == [True, False]
    assert INTRINSICS["isinf"].numpy(np.float16([np.inf, -np.inf, 1])).tolist() == [True, True, False]
    assert INTRINSICS["bitcast"].numpy(np.float32(1), int32) == 0x3F800000


def test_fma_rounds_once():
    tiny = np.float32(2**-12)
    one = np.float32(1)
    assert INTRINSICS["fma"].numpy(one + tiny, one - tiny, -one) == -np.float32(2**-24)
    wide = np.float64(2.0**-30)
    assert INTRINSICS["fma"].numpy(1 + wide, 1 - wide, np.float64(-1)) == -(2.0**-60)
    assert INTRINSICS["fma"].numpy(np.float64(1e308), np.float64(10), np.float64(1)) == np.inf


def test_the_evaluator_divides_integers_as_the_grammar_says():
    a, b = Var("a", int32), Var("b", int32)
    env = {a: np.int32([7, -7, 7, -7, 5]), b: np.int32([2, 2, -2, -2, 0])}
    for op, expected in {
        "floordiv": [3, -4, -4, 3, 0],
        "floormod": [1, 1, -1, -1, 0],
        "truncdiv": [3, -3, -3, 3, 0],
        "truncmod": [1, -1, 1, -1, 0],
    }.items():
        assert evaluate_expr(Binary(op, a, b), env).tolist() == expected
    assert evaluate_expr(const(3, int32) + a, env).dtype == np.int32
