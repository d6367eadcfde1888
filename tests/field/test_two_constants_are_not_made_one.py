"""What users saw as a finite number where the nodes overflow: two constants that were multiplied, or added, too early."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import minicc
from minicc import ops
from minicc.graph import Graph, Node, constant, evaluate, input
from minicc.types import DType, TensorType

NUMBERS = (1e20, -1e20, 1e-20, 0.1, 3.0, 0.5, -0.0, 12582912.0)
PAIRS = [
    (first, second)
    for first in (ops.Mul(), ops.Div(), ops.Add(), ops.Sub())
    for second in (ops.Mul(), ops.Div(), ops.Add(), ops.Sub())
]


def same_bits(graph: Graph, x: np.ndarray) -> None:
    (expected,) = evaluate(graph, {"x": x}).values()
    (got,) = minicc.compile(graph)(x)
    number = ~np.isnan(expected)
    assert (np.isnan(got) == ~number).all(), graph
    assert got[number].tobytes() == expected[number].tobytes(), graph


@pytest.mark.parametrize("dtype", [DType.of(name) for name in ("float32", "float64")], ids=str)
def test_each_node_rounds_and_overflows_for_itself(dtype: DType) -> None:
    """All pairs of operators with all pairs of constants."""
    x = np.array([1e30, -1e30, 1e-30, 1.1, -3.3, 0.0, -0.0, 7e-39, np.inf, np.nan], dtype.numpy)
    a = input("x", TensorType.of(x))
    made: list[Node] = []
    for (first, second), (c, d) in itertools.product(PAIRS, itertools.product(NUMBERS, NUMBERS[::4])):
        made.append(second(first(a, constant(np.asarray(c, dtype.numpy))), constant(np.asarray(d, dtype.numpy))))
    for n in range(0, len(made), 64):
        same_bits(Graph("chain", (a,), (ops.Concat(0)(*made[n : n + 64]),), ("y",)), x)


def test_a_sum_behind_a_product_rounds_for_itself() -> None:
    """Adding and subtracting 1.5 * 2**23 rounds to an integer, behind a matrix product as anywhere."""
    magic = np.float32(1.5 * 2**23)
    a = input("x", TensorType.of(np.zeros((3, 1), np.float32)))
    product = ops.MatMul()(a, constant(np.ones((1, 4), np.float32)))
    graph = Graph("round", (a,), (ops.Sub()(ops.Add()(product, constant(magic)), constant(magic)),), ("y",))
    (got,) = minicc.compile(graph)(np.float32([[0.6], [1.4], [-2.7]]))
    assert got.tolist() == [[1.0] * 4, [1.0] * 4, [-3.0] * 4]


def test_x_times_c_times_d_overflows() -> None:
    a = input("x", TensorType.of(np.zeros(2, np.float32)))
    graph = Graph(
        "scale", (a,), (ops.Mul()(ops.Mul()(a, constant(np.float32(1e10))), constant(np.float32(1e-10))),), ("y",)
    )
    assert minicc.compile(graph)(np.float32([1e30, 1.0]))[0].tolist() == [
        np.inf,
        np.float32(np.float32(1e10) * np.float32(1e-10)),
    ]
