"""Normalisations where ONNX's evaluator is of no help, and where precision is at stake."""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import both

from minicc import ops

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("size", "channels", "space"), [(1, 3, ()), (2, 4, (2,)), (3, 1, (2, 2)), (5, 4, (1, 2)), (7, 3, ())]
)
def test_lrn_sums_over_a_clipped_window(size: int, channels: int, space: tuple[int, ...]) -> None:
    x = RANDOM.normal(size=(2, channels, *space)).astype(np.float32)
    expected = np.empty(x.shape)
    for c in range(channels):
        low, high = max(0, c - (size - 1) // 2), min(channels, c + size // 2 + 1)
        total = (x[:, low:high].astype(float) ** 2).sum(axis=1)
        expected[:, c] = x[:, c] / (1.5 + 0.1 / size * total) ** 0.6
    np.testing.assert_allclose(both(ops.LRN(size, 0.1, 0.6, 1.5), x), expected, rtol=1e-5)


def test_lp_normalization() -> None:
    x = np.float32([[3, -4], [0, 0]])
    np.testing.assert_allclose(both(ops.LpNormalization(1, 2), x), [[0.6, -0.8], [0, 0]], rtol=1e-6)
    np.testing.assert_allclose(both(ops.LpNormalization(1, 1), x), [[3 / 7, -4 / 7], [0, 0]], rtol=1e-6)


def test_mean_variance_normalization() -> None:
    x = RANDOM.normal(3, 2, size=(3, 2, 4, 5)).astype(np.float32)
    wide = x.astype(float)
    expected = (wide - wide.mean((0, 2, 3), keepdims=True)) / (wide.std((0, 2, 3), keepdims=True) + 1e-9)
    np.testing.assert_allclose(both(ops.MeanVarianceNormalization(), x), expected, rtol=1e-5, atol=1e-6)


def test_a_large_mean_does_not_cancel() -> None:
    x = np.float32([[1e4, 1e4 + 1, 1e4 + 2]])
    one = np.ones(3, np.float32)
    np.testing.assert_allclose(both(ops.LayerNormalization(), x, one)[0], [-1.2247, 0, 1.2247], atol=1e-3)


def test_small_floats_have_statistics_in_float32() -> None:
    x = RANDOM.normal(100, 1, size=(2, 300)).astype(np.float16)
    scale, bias = np.ones(300, np.float16), np.zeros(300, np.float16)
    wide = x.astype(float)
    expected = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    np.testing.assert_allclose(
        both(ops.LayerNormalization(), x, scale, bias).astype(float), expected, rtol=2e-3, atol=2e-3
    )


def test_batch_normalization_of_a_vector_has_one_channel() -> None:
    x = np.float32([1, 2])
    scale, bias, mean, variance = (np.float32([v]) for v in (2, 1, 1, 4))
    np.testing.assert_allclose(both(ops.BatchNormalization(0.0), x, scale, bias, mean, variance), [1, 2], rtol=1e-6)
