"""Mistakes of minicc that came to light when its operators were compared with TVM's."""

from __future__ import annotations

import numpy as np
import pytest

from minicc import ops
from minicc.graph import ir
from minicc.testing.oracle import agree
from minicc.types import TensorType


def single(op, *arrays):
    """The graph of one operator on these arrays, and its inputs by name."""
    nodes = [ir.input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays)]
    return ir.Graph(op.name, tuple(nodes), (ir.make(op, nodes),), ("y",)), {f"x{k}": a for k, a in enumerate(arrays)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("op", [ops.Elu(), ops.Selu(), ops.Celu(alpha=0.5)], ids=str)
def test_exponential_units_keep_their_digits_near_zero(op, dtype):
    """exp(x) - 1 loses all that expm1(x) keeps: 5 of 7 digits at -1e-5."""
    agree(*single(op, np.full((), -1e-5, dtype)))
    agree(*single(op, np.array([-1e-3, -1e-6, -1e-20, -0.0, 1e-20, -1e3, 1e3, -np.inf, np.inf, np.nan], dtype)))


def test_shifts_of_64_bits_are_exact():
    """The reference went through float64, which holds 53 bits."""
    a, b = np.array([5016590570097497610, 2**64 - 1], np.uint64), np.array([9, 1], np.uint64)
    assert list(ops.BitShift(direction="RIGHT")(a, b)) == [5016590570097497610 >> 9, 2**63 - 1]
    agree(*single(ops.BitShift(direction="RIGHT"), a, b))
    agree(*single(ops.BitShift(direction="LEFT"), a, b))


@pytest.mark.parametrize(
    ("dtype", "value", "expected"), [("int8", 1, 1), ("uint8", 100, 100), ("int8", 100, 100), ("int32", -7, -7)]
)
def test_the_mean_of_more_elements_than_the_dtype_can_count(dtype, value, expected):
    """The count of 300 did not fit 8 bits, nor does the sum."""
    x = np.full((2, 300), value, dtype)
    assert ops.ReduceMean(axes=(1,), keepdims=False)(x).tolist() == [expected] * 2
    agree(*single(ops.ReduceMean(axes=(1,)), x))
    agree(*single(ops.ReduceMean(), np.full(128, -1, "int8")))
