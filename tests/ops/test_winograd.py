"""Winograd's convolution: its matrices are exact, its reference is the convolution, its error has a bound."""

from __future__ import annotations

import numpy as np
import pytest

from minicc import ops
from minicc.errors import TypeInferenceError
from minicc.ops.winograd import WinogradConv, WinogradWeights, matrices
from minicc.types import TensorType, float16, float32


@pytest.mark.parametrize("tile", [2, 4])
def test_matrices_are_a_correlation(tile: int) -> None:
    data, weights, result = matrices(tile)
    d, w = np.random.default_rng(0).standard_normal((2, tile + 2))
    made = result @ ((data @ d) * (weights @ w[:3]))
    np.testing.assert_allclose(made, np.correlate(d, w[:3]), atol=1e-13)
    for matrix in (data, result):  # the machine computes with these numbers, not with rounded ones
        assert (matrix == matrix.astype(np.float32)).all()


@pytest.mark.parametrize("padding", [(), (1, 1, 1, 1), (0, 2, 1, 0)])
@pytest.mark.parametrize("shape", [(1, 3, 3, 1), (2, 7, 10, 5)])
@pytest.mark.parametrize("tile", [2, 4])
def test_reference_is_the_convolution(tile, shape, padding) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(shape), rng.standard_normal((5, shape[3], 3, 3))
    expected = ops.Conv(padding=padding)(x.transpose(0, 3, 1, 2), w).transpose(0, 2, 3, 1)
    u = WinogradWeights(tile, block=4)(w)
    assert u.shape == (2, tile + 2, tile + 2, shape[3], 4)
    np.testing.assert_allclose(WinogradConv(5, tile, padding)(x, u), expected, atol=1e-12)


def test_what_it_refuses() -> None:
    x, u = TensorType(float32, (1, 8, 8, 3)), TensorType(float32, (2, 6, 6, 3, 4))
    assert WinogradConv(7)(np.zeros(x.shape, np.float32), np.zeros(u.shape, np.float32)).shape == (1, 6, 6, 7)
    wrong = [(WinogradConv(9), x, u), (WinogradConv(7, 3), x, u), (WinogradConv(7, 2), x, u), (WinogradConv(7, 4, (1, 1)), x, u),
             (WinogradConv(7), TensorType(float16, x.shape), u), (WinogradConv(7), TensorType(float32, (1, 2, 8, 3)), u)]  # fmt: skip
    for op, *types in wrong:
        with pytest.raises(TypeInferenceError):
            op.infer(*types)
    for weights in (WinogradWeights(3, 4), WinogradWeights(4, 0)):
        with pytest.raises(TypeInferenceError, match="tile of 2 or 4"):
            weights.infer(TensorType(float32, (8, 3, 3, 3)))
