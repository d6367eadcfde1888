"""What users saw as 79792266297612000: powers of integers that went through float64."""

from __future__ import annotations

import numpy as np
import pytest

import minicc
from minicc import ops, te
from minicc.graph import Graph, constant, input
from minicc.graph.fold_constants import fold_constants
from minicc.types import DType, TensorType

INTEGERS = [DType.of(f"{kind}{bits}") for kind in ("int", "uint") for bits in (8, 16, 32, 64)]


def wrapped(value: int, dtype: DType) -> int:
    low, high = dtype.range
    return (value - low) % (high - low + 1) + low


def power(x: int, y: int, dtype: DType) -> int:
    """1/x**-y rounded towards zero where y is negative, 0 for 0; modulo the width of the dtype."""
    if y < 0:
        return (1 if y % 2 == 0 else x) if abs(x) == 1 else 0
    width = dtype.range[1] - dtype.range[0] + 1
    return wrapped(pow(x, y, width), dtype)


def samples(dtype: DType, exponent: DType) -> tuple[np.ndarray, np.ndarray]:
    low, high = dtype.range
    bases = [0, 1, 2, 3, 7, 10, 255, high, high - 1, low, low + 1, -1, -2, -3, -7, 46341]
    limit = exponent.range
    exponents = [0, 1, 2, 3, 4, 5, 20, 31, 32, 33, 39, 62, 63, 64, 65, 127, 128, 255, 1000, 2**53 + 1, 2**62, -1, -2, -3,
                 limit[0], limit[0] + 1, limit[1], limit[1] - 1]  # fmt: skip
    x = [v for v in bases if low <= v <= high]
    y = [v for v in exponents if limit[0] <= v <= limit[1]]
    return np.array(x, dtype.numpy)[:, None], np.array(y, exponent.numpy)[None, :]


def compiled(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    a, b = (input(name, TensorType.of(v)) for name, v in (("x", x), ("y", y)))
    return minicc.compile(Graph("power", (a, b), (ops.Pow()(a, b),), ("z",)))(x, y)[0]


def folded(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    graph = fold_constants(Graph("power", (), (ops.Pow()(constant(x), constant(y)),), ("z",)))
    return graph.outputs[0].op.data.array


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_every_pair_of_dtypes_is_exact_and_wraps_around(dtype: DType) -> None:
    for exponent in (dtype, DType.of("uint8" if dtype.name == "int64" else "int64")):
        x, y = samples(dtype, exponent)
        expected = [[power(int(a), int(b), dtype) for b in y[0]] for a in x[:, 0]]
        for found in (ops.Pow()(x, y), folded(x, y), compiled(x, y)):
            assert found.dtype == dtype.numpy and found.tolist() == expected, exponent


def test_a_known_exponent_is_exact() -> None:
    x = input("x", TensorType.of(np.int64([7, -7, 3])))
    for n in (0, 1, 4, 5, 20, 63, -1, 2**40):
        exe = minicc.compile(Graph("power", (x,), (ops.Pow()(x, constant(np.int64(n))),), ("z",)))
        assert exe(np.int64([7, -7, 3]))[0].tolist() == [power(v, n, DType.of("int64")) for v in (7, -7, 3)]


def test_a_power_of_floats_is_computed_in_float64_whether_or_not_it_is_known() -> None:
    """As onnxruntime does it: no product that wraps around stands for a float exponent of 2."""
    x = np.int64([46341, 3, -5, 10])
    a = input("x", TensorType.of(x))
    for y in (np.float32(2), np.float64(3), np.float32(0.5), np.float32(4)):
        known = minicc.compile(Graph("power", (a,), (ops.Pow()(a, constant(y)),), ("z",)))(np.abs(x))[0]
        assert (
            known.tolist() == [int(float(abs(v)) ** float(y)) for v in x] == compiled(np.abs(x), y[None])[0:4].tolist()
        )


def test_the_parity_of_an_exponent_above_2_to_the_24_is_seen() -> None:
    x, y = np.float32([-1, -1, -1]), np.int32([2**24 + 1, 2**24 + 2, -(2**24) - 1])
    assert compiled(x, y).tolist() == ops.Pow()(x, y).tolist() == [-1, 1, -1]


def test_te_power_of_integers() -> None:
    A = te.placeholder((3,), "int64", "A")
    B = te.compute((3,), lambda i: te.power(A[i], 20), "B")
    f = minicc.build(te.create_schedule(B.op), [A, B])
    out = np.zeros(3, np.int64)
    f(np.int64([7, -3, 0]), out)
    assert out.tolist() == [7**20, 3**20, 0]
