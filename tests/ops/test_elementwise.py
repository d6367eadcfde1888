"""The corners of elementwise operators, on the reference and on the loop program."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import both

from minicc import ops, te
from minicc.ops.base import Kind
from minicc.types import TensorType, bfloat16, boolean, float16, float32, int8, int32, uint8

nan, inf = np.nan, np.inf


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("op", "inputs", "expected"), [
    (ops.Div(), (np.int32([-7, 7, 7, 1, -8]), np.int32([2, -2, 2, 0, 2])), [-3, -3, 3, 0, -4]),
    (ops.Div(), (np.float32([1, -1, 0]), np.float32([0, 0, 0])), [inf, -inf, nan]),
    (ops.Mod(), (np.int32([-7, 7, 7, 1]), np.int32([3, -3, 3, 0])), [2, -2, 1, 0]),
    (ops.Mod(fmod=True), (np.int32([-7, 7]), np.int32([3, -3])), [-1, 1]),
    (ops.Mod(fmod=True), (np.float32([-7.5, 7.5, 1]), np.float32([3, -3, 0])), [-1.5, 1.5, nan]),
    (ops.Pow(), (np.int32([2, -3, 0, 5, 7]), np.int32([10, 3, 0, 3, 4])), [1024, -27, 1, 125, 2401]),
    (ops.Pow(), (np.int32([2, 1, -1, -1, 0]), np.int32([-1, -2, -3, -2, -1])), [0, 1, -1, 1, 0]),
    (ops.Pow(), (np.float32([4, 2, -8]), np.int64([-1, 3, 3])), [0.25, 8, -512]),
    (ops.Min(), (np.float32([nan, 1, -inf]), np.float32([1, nan, 3])), [nan, nan, -inf]),
    (ops.Max(), (np.float32([nan, 1, inf]), np.float32([1, nan, 3])), [nan, nan, inf]),
    (ops.Round(), (np.float32([0.5, 1.5, 2.5, -0.5, -1.5, nan]),), [0, 2, 2, 0, -2, nan]),
    (ops.Sign(), (np.float32([nan, -3, 0, 2, -inf]),), [nan, -1, 0, 1, -1]),
    (ops.Sign(), (np.uint8([0, 7]),), [0, 1]),
    (ops.Abs(), (np.int8([-128, -1, 5]),), [-128, 1, 5]),
    (ops.Neg(), (np.int8([-128, 1]),), [-128, -1]),
    (ops.Add(), (np.uint8([250]), np.uint8([10])), [4]),
    (ops.BitwiseNot(), (np.uint8([0, 255, 1]),), [255, 0, 254]),
    (ops.BitShift("LEFT"), (np.uint8([1, 255, 3]), np.uint8([7, 1, 8])), [128, 254, 0]),
    (ops.BitShift("RIGHT"), (np.int8([-128, 64, -1]), np.int8([1, 6, 9])), [-64, 1, -1]),
    (ops.Relu(), (np.float32([nan, -1, 2]),), [nan, 0, 2]),
    (ops.Clip(), (np.float32([nan, -5, 0, 5]), np.float32(-1), np.float32(1)), [nan, -1, 0, 1]),
    (ops.Clip(), (np.float32([0]), np.float32(2), np.float32(1)), [1]),
    (ops.Sigmoid(), (np.float32([-1000, 0, 1000, nan]),), [0, 0.5, 1, nan]),
    (ops.Softplus(), (np.float32([-1000, 0, 1000]),), [0, np.log(2), 1000]),
    (ops.Elu(), (np.float32([-1000, 0, 1000]),), [-1, 0, 1000]),
    (ops.Shrink(0.5, 1.0), (np.int32([-3, 0, 3]),), [-2, 0, 2]),
    (ops.IsInf(detect_negative=False), (np.float32([inf, -inf, nan]),), [True, False, False]),
    (ops.IsInf(detect_positive=False), (np.float32([inf, -inf, nan]),), [False, True, False]),
    (ops.IsInf(False, False), (np.float32([inf, -inf, nan]),), [False, False, False]),
    (ops.Equal(), (np.float32([nan, 0.0]), np.float32([nan, -0.0])), [False, True]),
    (ops.Where(), (np.array([True, False]), np.int32([1, 2]), np.int32(7)), [1, 7]),
    (ops.Cast(boolean), (np.float32([0, -0.0, 0.25, nan]),), [False, False, True, True]),
    (ops.Cast(int32), (np.float32([-1.9, 1.9]),), [-1, 1]),
    (ops.Cast(uint8), (np.int32([-1, 257]),), [255, 1]),
    (ops.Cast(float32), (np.array([True, False]),), [1, 0]),
    (ops.CastLike(), (np.float32([2.7]), np.int8([0])), [2]),
])  # fmt: skip
def test_corners(op, inputs, expected) -> None:
    np.testing.assert_allclose(both(op, *inputs).astype(float), np.float64(expected), rtol=1e-6)


def test_integer_powers_wrap_in_the_reference() -> None:
    assert ops.Pow()(np.int8([3, -3]), np.int8([40, 41])).tolist() == [
        (v + 128) % 256 - 128 for v in (3**40, (-3) ** 41)
    ]
    assert ops.Pow()(np.int64([3]), np.int64([39])).tolist() == [3**39]


def test_a_literal_exponent_becomes_products() -> None:
    x = te.placeholder((4,), name="x")
    assert str(ops.Pow()(x, np.float32(2)).op) == "pow[i0 in range(4)] = x[i0]*x[i0]"


@pytest.mark.parametrize("dtype", [float16, bfloat16])
def test_small_floats_round_once(dtype) -> None:
    x = np.linspace(-4, 4, 41).astype(dtype.numpy)
    for op in (ops.Gelu(), ops.Mish(), ops.Selu(), ops.Sigmoid(), ops.Exp()):
        exact = op(x.astype(np.float64)).astype(dtype.numpy)
        wrong = np.flatnonzero(op(x) != exact)
        spacing = np.abs(exact.astype(float)) * (2.0**-10 if dtype is float16 else 2.0**-7) + 1e-6
        assert len(wrong) <= 1 and (np.abs(op(x).astype(float) - exact.astype(float)) <= spacing).all(), op


def test_casts_between_small_floats_round_to_even() -> None:
    x = np.float32([1 + 2**-11, 1 + 3 * 2**-11, 65519, 65520])
    assert both(ops.Cast(float16), x).tolist() == [1, 1 + 2**-9, 65504, inf]
    y = np.float32([1 + 2**-8, 1 + 3 * 2**-8])
    assert both(ops.Cast(bfloat16), y).astype(float).tolist() == [1, 1 + 2**-6]


def test_broadcasting_indexes_stretched_axes_with_zero() -> None:
    a, b = te.placeholder((2, 1), name="a"), te.placeholder((3,), name="b")
    assert str(ops.Add()(a, b).op) == "add[i0 in range(2), i1 in range(3)] = a[i0, 0] + b[i1]"


def test_kinds() -> None:
    assert ops.Exp.kind is Kind.ELEMENTWISE and ops.Add.kind is ops.Where.kind is ops.Clip.kind is Kind.BROADCAST


def test_result_types() -> None:
    assert ops.Less().infer(TensorType(int8, (2, 1)), TensorType(int8, (3,))) == TensorType(boolean, (2, 3))
    assert ops.Pow().infer(TensorType(float16, (2,)), TensorType(int32, ())) == TensorType(float16, (2,))
