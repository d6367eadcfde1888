"""What users saw as integers that were a little off: means that wrapped around, and whatever goes through float64.

Every operator on integers, on the greatest and least of every dtype and beside 2**53, against Python's integers.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import minicc
from minicc import ops
from minicc.graph import Graph, evaluate, input
from minicc.types import DType, TensorType

INTEGERS = [DType.of(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)]


def wrapped(value: int, dtype: DType) -> int:
    low, high = dtype.range
    return (value - low) % (high - low + 1) + low


def quotient(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if b else 0


def numbers(dtype: DType) -> list[int]:
    low, high = dtype.range
    near = [0, 1, 2, 3, 7, 100, high, high - 1, high // 3, low, low + 1, -1, -2, -7, 2**53 + 1, 2**60 + 1, -(2**53) - 1]
    return sorted({v for v in near if low <= v <= high})


PAIRS = {
    ops.Add(): lambda a, b: a + b, ops.Sub(): lambda a, b: a - b, ops.Mul(): lambda a, b: a * b, ops.Div(): quotient,
    ops.Mod(): lambda a, b: a % b if b else 0, ops.Mod(True): lambda a, b: a - quotient(a, b) * b if b else 0,
    ops.Min(): min, ops.Max(): max, ops.Equal(): lambda a, b: a == b, ops.Less(): lambda a, b: a < b,
    ops.GreaterOrEqual(): lambda a, b: a >= b,
}  # fmt: skip
ROWS = {
    ops.ReduceSum: sum, ops.ReduceProd: math.prod, ops.ReduceMin: min, ops.ReduceMax: max, ops.ReduceL1: lambda r: sum(map(abs, r)),
    ops.ReduceSumSquare: lambda r: sum(a * a for a in r),
}  # fmt: skip


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_every_operator_on_integers_is_that_of_python(dtype: DType) -> None:
    values = numbers(dtype)
    x, y = (np.array([pair[side] for pair in ((a, b) for a in values for b in values)], dtype.numpy) for side in (0, 1))
    m = np.resize(np.array(values, dtype.numpy), (4, 6))
    a, b, c = (input(name, TensorType.of(v)) for name, v in (("x", x), ("y", y), ("m", m)))
    rows = [[int(v) for v in row] for row in m]
    expected = [(op(a, b), [f(int(p), int(q)) for p, q in zip(x, y, strict=True)]) for op, f in PAIRS.items()]
    expected += [(op((1,), False)(c), [f(row) for row in rows]) for op, f in ROWS.items()]
    expected += [(ops.CumSum(axis=1)(c), [sum(row[: k + 1]) for row in rows for k in range(6)])]
    expected += [(ops.MatMul()(c, ops.Transpose((1, 0))(c)), [sum(map(int.__mul__, r, s)) for r in rows for s in rows])]
    expected += [(ops.Cast(other)(a), [wrapped(int(v), other) for v in x]) for other in INTEGERS if other is not dtype]
    graph = Graph("integers", (a, b, c), tuple(n for n, _ in expected), tuple(f"y{k}" for k in range(len(expected))))
    for results in (minicc.compile(graph)(x, y, m), evaluate(graph, {"x": x, "y": y, "m": m}).values()):
        for got, (node, wanted) in zip(results, expected, strict=True):
            assert got.ravel().tolist() == [w if isinstance(w, bool) else wrapped(w, node.dtype) for w in wanted], (
                node.op
            )


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_a_mean_lies_between_the_least_and_the_greatest(dtype: DType) -> None:
    """As in onnxruntime; only a sum that leaves 64 bits wraps around."""
    high = dtype.range[1] if dtype.bits < 64 else dtype.range[1] // 8
    low = max(dtype.range[0], -high)
    m = np.array([[high] * 7, [low] * 7, [high, low, 0, 1, 2, 3, high - 1]], dtype.numpy)
    x = input("x", TensorType.of(m))
    nodes = (ops.ReduceMean((1,), False)(x), ops.ReduceL2((1,), False)(x))
    nodes = nodes[: 1 if dtype.bits == 64 else 2]
    graph = Graph("mean", (x,), nodes, ("mean", "root")[: len(nodes)])
    for mean, *root in (minicc.compile(graph)(m), evaluate(graph, {"x": m}).values()):
        assert mean.tolist() == [quotient(sum(map(int, row)), 7) for row in m]
        if root and dtype.bits < 32:
            assert root[0].tolist() == [wrapped(math.isqrt(sum(int(v) ** 2 for v in row)), dtype) for row in m]
