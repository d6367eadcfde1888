"""Matrix products and Einstein summation: shapes, precision, and the form of the expression."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import both

from minicc import ops, te
from minicc.ops.base import Kind
from minicc.types import float16, float32

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(("left", "right"), [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (4, 3, 2)), ((3,), (2, 3, 4)), ((2, 2, 3), (3,)), ((2, 0), (0, 3)), ((0, 2), (2, 3)),
])  # fmt: skip
def test_matmul_is_that_of_numpy(left, right) -> None:
    a, b = RANDOM.normal(size=left), RANDOM.normal(size=right)
    np.testing.assert_allclose(both(ops.MatMul(), a, b), a @ b, rtol=1e-12)


def test_matmul_wraps_integers_and_sums_small_floats_in_float32() -> None:
    assert both(ops.MatMul(), np.uint8([[200, 100]]), np.uint8([[1], [1]])).tolist() == [[44]]
    ones = np.ones((1, 3000), np.float16)
    assert both(ops.MatMul(), ones, ones.T).tolist() == [[3000]]


def test_matmul_expression() -> None:
    a, b = te.placeholder((2, 3), name="a"), te.placeholder((3, 4), name="b")
    expected = "matmul[i in range(2), j in range(4)] = sum(a[i, k]*b[k, j] for k in range(3))"
    assert str(ops.MatMul()(a, b).op) == expected
    half = te.placeholder((2, 3), float16, name="half")
    assert ops.MatMul()(half, te.placeholder((3, 4), float16, name="b")).name == "cast"
    assert ops.MatMul.kind is Kind.ANCHOR and float32 is a.dtype


def test_gemm() -> None:
    a, b, c = (RANDOM.normal(size=s).astype(np.float32) for s in ((3, 2), (4, 3), (4,)))
    expected = 0.5 * a.T @ b.T + 2 * c
    np.testing.assert_allclose(both(ops.Gemm(0.5, 2.0, True, True), a, b, c), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("equation", [
    "ij,jk", "ij,jk->ki", "...ij,...jk->...ik", "bij , bjk -> bik", "ii->i", "ii", "i,i", "...", "...->...", "i...->...i",
    "ij,kj,lk->il", "B...,A->B...A", "a...,...->a...", ",ij->ji", "ij->",
])  # fmt: skip
def test_einsum_is_that_of_numpy(equation: str) -> None:
    extents = dict(zip("ijklbaBA", (2, 3, 4, 2, 3, 2, 2, 3), strict=True))
    shapes = [
        tuple(d for p in term.strip().replace("...", ".") for d in ((3, 2) if p == "." else (extents[p],)))
        for term in equation.partition("->")[0].split(",")
    ]
    arrays = [RANDOM.normal(size=shape) for shape in shapes]
    np.testing.assert_allclose(both(ops.Einsum(equation), *arrays), np.einsum(equation, *arrays), rtol=1e-12)


def test_einsum_broadcasts_only_the_axes_of_the_ellipsis() -> None:
    a, b = RANDOM.normal(size=(4, 1, 2)), RANDOM.normal(size=(3, 2))
    np.testing.assert_allclose(both(ops.Einsum("...i,...i->..."), a, b), np.einsum("...i,...i->...", a, b), rtol=1e-12)
