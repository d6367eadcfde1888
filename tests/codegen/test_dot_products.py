"""Sums of four products of bytes: exact by each of the instructions, at every width, where any sum in between would saturate."""

from __future__ import annotations

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.target import Target
from minicc.tensor.expr import call
from minicc.tensor.intrinsics import INTRINSICS

ROWS, DEPTH = 3, 7
PROCESSORS = {"x86-64": "", "haswell": "vpmaddwd", "skylake-avx512": "vpmaddwd", "cascadelake": "vpdpbusd"}


def of_bytes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the words of two matrices, by their bytes."""
    left = a.view(np.uint8).astype(np.int64)
    right = np.ascontiguousarray(b.T).view(np.int8).astype(np.int64)
    return np.asarray((left @ right.T).astype(np.int32))


def product(columns: int, target: str) -> minicc.runtime.function.CpuFunction:
    a, b = te.placeholder((ROWS, DEPTH), "int32", "a"), te.placeholder((DEPTH, columns), "int32", "b")
    k = te.reduce_axis((0, DEPTH), name="k")
    c = te.compute((ROWS, columns), lambda i, j: te.sum(call("dot4", a[i, k.var], b[k.var, j]), axis=k), name="c")
    s = te.create_schedule(c.op)
    i, j = s[c].op.axis
    s[c].reorder(i, k, j)
    if columns > 1:
        s[c].vectorize(j)
    return minicc.build(s, [a, b, c], target=target)


@pytest.mark.parametrize("target", ["native", *PROCESSORS])
@pytest.mark.parametrize("columns", [1, 2, 5, 8, 16, 24, 32])
def test_sums_of_four_products_are_exact(columns: int, target: str) -> None:
    if Target.of(target).lacking():
        pytest.skip("this machine does not run such code")
    random = np.random.default_rng(columns)
    a, b = (
        random.choice([0, -1, 0x7F7F7F7F, -0x7F7F7F80, 5], (ROWS, DEPTH)),
        random.integers(-(2**31), 2**31, (DEPTH, columns)),
    )
    a[0], b[:, 0] = -1, -0x7F7F7F80  # the greatest bytes, and the least
    a, b = a.astype(np.int32), b.astype(np.int32)
    c = np.zeros((ROWS, columns), np.int32)
    product(columns, target)(a, b, c)
    np.testing.assert_array_equal(c, of_bytes(a, b))


@pytest.mark.parametrize("target", PROCESSORS)
def test_the_instruction_that_a_processor_has_is_used(target: str) -> None:
    assert PROCESSORS[target] in product(16, target).stages["asm"]


def test_the_reference_sees_bytes_with_and_without_sign() -> None:
    x, y = np.array([-1, 0x01020304], np.int32), np.array([-1, 0x7F7F7F80], np.int32)
    np.testing.assert_array_equal(INTRINSICS["dot4"].numpy(x, y), [-4 * 255, (1 + 2 + 3) * 127 - 4 * 128])
