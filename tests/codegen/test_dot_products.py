"""Sums of products in words: exact by each of the instructions, at every width, where any sum in between would saturate."""

from __future__ import annotations

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.runtime.function import CpuFunction
from minicc.target import Target
from minicc.tensor.expr import call
from minicc.tensor.intrinsics import INTRINSICS

ROWS, DEPTH = 3, 7
PROCESSORS = {
    "x86-64": ("", ""), "haswell": ("", "vpmaddwd"), "skylake-avx512": ("", "vpmaddwd"),
    "cascadelake": ("vpdpbusd", "vpdpwssd"), "alderlake": ("vpdpbusd", "vpdpwssd"),
}  # fmt: skip
FACTORS = {"dot4": (np.uint8, np.int8), "dot2": (np.int16, np.int16)}


def of_parts(name: str, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of the words of two matrices, by the integers in them."""
    left, right = FACTORS[name]
    whole = a.view(left).astype(np.int64) @ np.ascontiguousarray(b.T).view(right).astype(np.int64).T
    return np.asarray(whole.astype(np.int32))


def product(name: str, columns: int, target: str) -> CpuFunction:
    a, b = te.placeholder((ROWS, DEPTH), "int32", "a"), te.placeholder((DEPTH, columns), "int32", "b")
    k = te.reduce_axis((0, DEPTH), name="k")
    c = te.compute((ROWS, columns), lambda i, j: te.sum(call(name, a[i, k.var], b[k.var, j]), axis=k), name="c")
    s = te.create_schedule(c.op)
    i, j = s[c].op.axis
    s[c].reorder(i, k, j)
    if columns > 1:
        s[c].vectorize(j)
    return minicc.build(s, [a, b, c], target=target)


@pytest.mark.parametrize("name", FACTORS)
@pytest.mark.parametrize("target", ["native", *PROCESSORS])
def test_sums_of_products_are_exact(name: str, target: str) -> None:
    if Target.of(target).lacking():
        pytest.skip("this machine does not run such code")
    for columns in (1, 2, 5, 8, 16, 24):
        random = np.random.default_rng(columns)
        a = random.choice([0, -1, 0x7F7F7F7F, -0x80000000, 0x7FFF7FFF, 5], (ROWS, DEPTH)).astype(np.int32)
        b = random.integers(-(2**31), 2**31, (DEPTH, columns)).astype(np.int32)
        a[0], b[:, 0] = -1, -0x7F7F7F80  # the greatest bytes, and the least
        c = np.zeros((ROWS, columns), np.int32)
        product(name, columns, target)(a, b, c)
        np.testing.assert_array_equal(c, of_parts(name, a, b))


@pytest.mark.parametrize("target", PROCESSORS)
def test_the_instruction_that_a_processor_has_is_used(target: str) -> None:
    for name, instruction in zip(FACTORS, PROCESSORS[target], strict=True):
        assert instruction in product(name, 16, target).stages["asm"]


def test_the_references_see_the_parts_of_words() -> None:
    x, y = np.array([-1, 0x01020304], np.int32), np.array([-1, 0x7F7F7F80], np.int32)
    np.testing.assert_array_equal(INTRINSICS["dot4"].numpy(x, y), [-4 * 255, (1 + 2 + 3) * 127 - 4 * 128])
    np.testing.assert_array_equal(INTRINSICS["dot2"].numpy(x, y), [2, 0x0102 * 0x7F7F + 0x0304 * 0x7F80])
