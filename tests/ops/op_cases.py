"""What the tests of this folder share: the reference in float64, the comparison, and loop programs run as Python."""

from __future__ import annotations

import numpy as np

from minicc import te
from minicc.loop.lower import lower
from minicc.loop.python import run_python
from minicc.ops import activation, argreduce, arithmetic, cast, comparison, cumulative, einsum, elementwise, matmul
from minicc.ops import normalization, reduction, softmax
from minicc.ops.base import REGISTRY
from minicc.types import DType, bfloat16, float16, float32, float64

MODULES = (activation, argreduce, arithmetic, cast, comparison, cumulative, einsum, elementwise, matmul, normalization,
           reduction, softmax)  # fmt: skip
OPERATORS = sorted(name for name, op in REGISTRY.items() if op.__module__ in {m.__name__ for m in MODULES})
EPSILON = {float16: 2e-3, bfloat16: 1.6e-2, float32: 2e-5, float64: 1e-9}


def reference(op, arrays, dtype):
    """The result on float64 where `dtype` is a float, so that rounding is no part of the expectation."""
    wide = [a.astype(np.float64) if DType.of(a.dtype).is_float else a for a in arrays]
    return np.asarray(op.numpy(*wide) if dtype.is_float else op.numpy(*arrays))


def assert_agree(got, expected, dtype, what):
    if not dtype.is_float:
        np.testing.assert_array_equal(got, expected, err_msg=what)
        return
    with np.errstate(all="ignore"):
        expected = expected.astype(dtype.numpy).astype(np.float64)
    tolerance = EPSILON[dtype]
    np.testing.assert_allclose(got.astype(np.float64), expected, rtol=tolerance, atol=tolerance, err_msg=what)


def run_loops(output, tensors, arrays):
    """The tensor `output` of placeholders, by its naive loop program run as Python."""
    result = np.zeros(output.shape, output.dtype.numpy)
    run_python(lower([output], [*tensors, output]).program, *arrays, result)
    return result


def both(op, *arrays):
    """The result of the reference, checked to be that of the loop program."""
    arrays = [np.asarray(a) for a in arrays]
    expected = op(*arrays)
    tensors = [te.placeholder(a.shape, a.dtype, name=f"A{n}") for n, a in enumerate(arrays)]
    assert_agree(run_loops(op(*tensors), tensors, arrays), expected, DType.of(expected.dtype), str(op))
    return expected
