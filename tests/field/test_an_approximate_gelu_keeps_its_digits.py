"""Gelu(approximate="tanh") of -4.23526 in float32 must be -2.175e-05, not -2.146e-05: nothing is left of 1 + tanh near -1."""

import numpy as np
import pytest

from minicc import ops
from minicc.testing.draws import graph_of
from minicc.testing.oracle import agree

SMALL = np.float32([-4.23526])


@pytest.mark.parametrize("x", [SMALL, np.linspace(-5, -3, 64, dtype=np.float32)[:, None]], ids=["met", "sweep"])
def test_gelu(x):
    """The true value is x / (1 + exp(-2 u)), whose terms have one sign, in float64."""
    wide = x.astype(np.float64)
    expected = wide / (1 + np.exp(-2 * np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
    np.testing.assert_allclose(ops.Gelu("tanh")(x), expected, rtol=1e-5)
    for row in np.atleast_2d(x):  # alone, as the greatest element of a tensor decides what the others may be off by
        example = graph_of(ops.Gelu("tanh"), [row])
        agree(example.graph, example.inputs, ("numpy", "llvm"))
