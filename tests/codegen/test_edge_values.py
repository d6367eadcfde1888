"""Values at which machine code and NumPy easily part: NaN in extrema, floats that an integer cannot hold."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from codegen_cases import build

import minicc
from minicc import ops
from minicc.graph.ir import Graph, input
from minicc.loop.ir import SERIAL, VECTORIZE, Buffer, For, Store
from minicc.loop.program import Program
from minicc.tensor.expr import Expr, Var, cast, const, maximum, minimum
from minicc.types import DType, TensorType, float16, float32, float64, int8, int16, uint8, uint16

EDGES = [np.nan, -np.inf, -1.0, -0.0, 0.0, 1.0, np.inf]
PAIRS = np.array(list(itertools.product(EDGES, EDGES)))
i = Var("i")


@pytest.mark.parametrize("kind", [SERIAL, VECTORIZE])
@pytest.mark.parametrize("dtype", [float16, float32, float64], ids=str)
def test_extrema_keep_every_nan(dtype: DType, kind: str) -> None:
    """Two loads, and a load beside each number, on either side."""
    n = len(PAIRS)
    a, b = (np.ascontiguousarray(PAIRS[:, side]).astype(dtype.numpy) for side in (0, 1))
    left, right = Buffer("A", dtype, (n,)), Buffer("B", dtype, (n,))
    forms: list[tuple[Expr, Expr, np.ndarray, np.ndarray]] = [(left[i], right[i], a, b)]
    for number in EDGES:
        forms += [
            (left[i], const(number, dtype), a, np.full_like(a, number)),
            (const(number, dtype), right[i], np.full_like(a, number), b),
        ]
    for (x, y, first, second), (ours, theirs) in itertools.product(
        forms, [(maximum, np.maximum), (minimum, np.minimum)]
    ):
        out = Buffer("C", dtype, (n,))
        (got,) = build(Program("edge", (left, right), (out,), For(i, n, Store(out, (i,), ours(x, y)), kind)))(a, b)
        np.testing.assert_array_equal(got, theirs(first, second))


@pytest.mark.parametrize("op", [ops.ReduceMax, ops.ReduceMin])
@pytest.mark.parametrize("length", [1, 7, 40, 300])
def test_a_nan_anywhere_in_a_row_is_its_extremum(op: type, length: int) -> None:
    x = np.random.default_rng(0).normal(size=(length, length)).astype(np.float32)
    np.fill_diagonal(x, np.nan)
    for axis in (0, 1):
        value = input("x", TensorType(float32, x.shape))
        exe = minicc.compile(Graph("g", (value,), (op(axes=(axis,), keepdims=False)(value),), ("y",)))
        assert np.isnan(exe(x)[0]).all()


@pytest.mark.parametrize("kind", [SERIAL, VECTORIZE])
@pytest.mark.parametrize("target", [int8, uint8, int16, uint16], ids=str)
@pytest.mark.parametrize("source", [float32, float64], ids=str)
def test_a_short_integer_takes_the_low_bits_of_the_int32(source: DType, target: DType, kind: str) -> None:
    """By the rule of `codegen.arithmetic`: int32 saturates, and NaN gives 0."""
    data = np.array(
        [
            127,
            128,
            129.9,
            255,
            256,
            300,
            -1,
            -128.9,
            -129,
            -300,
            32768,
            65535,
            65537,
            -40000,
            1e10,
            -1e10,
            np.inf,
            -np.inf,
            np.nan,
        ]
    )
    wide = [0 if np.isnan(v) else int(max(-(2**31), min(2**31 - 1, v))) for v in data]
    bits = target.bits
    expected = [
        w % (1 << bits) - ((1 << bits) if target.kind == "int" and w % (1 << bits) >> (bits - 1) else 0) for w in wide
    ]
    a, c = Buffer("A", source, (len(data),)), Buffer("C", target, (len(data),))
    (got,) = build(Program("short", (a,), (c,), For(i, len(data), Store(c, (i,), cast(a[i], target)), kind)))(
        data.astype(source.numpy)
    )
    assert got.tolist() == expected
