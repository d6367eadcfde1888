"""The corners of reductions, arg reductions, softmax and cumulative sums."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import both

from minicc import ops
from minicc.ops.base import OPERAND
from minicc.types import TensorType, float32

nan, inf = np.nan, np.inf


@pytest.mark.parametrize(("op", "x", "expected"), [
    (ops.ReduceMax(), np.zeros((2, 0), np.float32), [[-inf]]),
    (ops.ReduceMin(), np.zeros((2, 0), np.int8), [[127]]),
    (ops.ReduceMax(keepdims=False), np.zeros((0,), bool), False),
    (ops.ReduceSum((1,)), np.zeros((2, 0), np.float32), [[0], [0]]),
    (ops.ReduceProd((1,), False), np.zeros((2, 0), np.int32), [1, 1]),
    (ops.ReduceMean((0,), False), np.zeros((0, 2), np.float32), [nan, nan]),
    (ops.ReduceMean(keepdims=False), np.int32([-7, 2, 1]), -1),
    (ops.ReduceMax(keepdims=False), np.float32([1, nan, 3]), nan),
    (ops.ReduceLogSumExp(keepdims=False), np.float32([1000, 1000]), 1000 + np.log(2)),
    (ops.ReduceLogSumExp(keepdims=False), np.float32([-inf, -inf]), -inf),
    (ops.ReduceLogSumExp(keepdims=False), np.float32([inf, 1]), inf),
    (ops.ReduceLogSum((0,), False), np.zeros((0, 1), np.float32), [-inf]),
    (ops.ReduceL2(keepdims=False), np.int32([3, 3]), 4),
    (ops.ReduceSum((), False), np.float32([1, 2]), 3),
    (ops.ReduceSum((), False, True), np.float32([1, 2]), [1, 2]),
    (ops.ReduceSumSquare(None, True, True), np.float32([2, 3]), [4, 9]),
    (ops.ReduceSum((-1,), False), np.float32([[1, 2], [3, 4]]), [3, 7]),
    (ops.ReduceSum(keepdims=False), np.uint8([200, 100]), 44),
    (ops.ArgMax(0, False), np.float32([1, 3, 3]), 1),
    (ops.ArgMax(0, False, True), np.float32([1, 3, 3]), 2),
    (ops.ArgMin(0, False), np.float32([1, nan, 0, nan]), 1),
    (ops.ArgMax(0, False, True), np.float32([1, nan, 0, nan]), 3),
    (ops.ArgMin(1), np.int8([[-128, 127], [3, 3]]), [[0], [0]]),
    (ops.ArgMax(0), np.float32(4), 0),
    (ops.CumSum(0), np.float32([1, nan, 3]), [1, nan, nan]),
    (ops.CumSum(0, True), np.float32([1, nan, 3]), [0, 1, nan]),
    (ops.CumSum(0, False, True), np.uint8([200, 100]), [44, 100]),
    (ops.CumSum(-1, True, True), np.int32([[1, 2, 3], [4, 5, 6]]), [[5, 3, 0], [11, 6, 0]]),
    (ops.CumSum(0), np.zeros((0, 2), np.int32), np.zeros((0, 2))),
    (ops.Softmax(), np.float32([1000, 1000]), [0.5, 0.5]),
    (ops.Softmax(0), np.float32([[0, nan], [0, 1]]), [[0.5, nan], [0.5, nan]]),
    (ops.Softmax(), np.zeros((2, 0), np.float32), np.zeros((2, 0))),
    (ops.LogSoftmax(), np.float32([1000, 0]), [0, -1000]),
    (ops.Hardmax(), np.float32([1, 3, 3]), [0, 1, 0]),
    (ops.Hardmax(0), np.float32(5), 1),
])  # fmt: skip
def test_corners(op, x, expected) -> None:
    got = both(op, x)
    np.testing.assert_allclose(got.astype(float), np.float64(expected), rtol=1e-6)


def test_small_floats_accumulate_in_float32() -> None:
    x = np.full(4096, 1, np.float16)
    assert both(ops.ReduceSum(keepdims=False), x) == 4096
    assert both(ops.CumSum(0), x)[-1] == 4096


def test_axes_may_be_an_operand() -> None:
    op = ops.ReduceSum(OPERAND)
    assert op.pending == ("axes",)
    assert op.bind([np.array([0, -1])]) is ops.ReduceSum((0, -1))
    assert op.bind([np.array(1)]).infer(TensorType(float32, (2, 3))) == TensorType(float32, (2, 1))
    assert ops.CumSum(OPERAND).bind([np.array([1])]).infer(TensorType(float32, (2, 3))) == TensorType(float32, (2, 3))
