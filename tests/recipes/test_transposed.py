"""Transposed copies go through registers in squares, and are right for every shape, order and type."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.loop.lower import lower
from minicc.ops import Transpose
from minicc.recipes.registry import Scheduled, scheduled
from minicc.target import Target

CPUS = ("native", "llvm -mcpu=haswell", "llvm -mcpu=x86-64-v2")


def kernel(order, shape, cpu, dtype="float32") -> Scheduled:
    x = te.placeholder(shape, name="x", dtype=dtype)
    out = Transpose(order).compute(x)
    return scheduled(lower([out], [x, out], "kernel").program, Target.of(cpu))


@settings(deadline=None)
@given(
    order=st.permutations(range(4)),
    shape=st.lists(st.sampled_from([1, 2, 3, 4, 7, 8, 12, 17, 33]), min_size=4, max_size=4),
    dtype=st.sampled_from(["float32", "float64", "float16", "int8", "int64", "bool"]),
    cpu=st.sampled_from(CPUS),
)
@example(
    order=(1, 2, 3, 0), shape=(8, 1, 3, 1), dtype="float32", cpu=CPUS[2]
)  # an axis of 1 between two that are copied
def test_any_order(order, shape, dtype, cpu):
    x = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, shape).astype(dtype)
    (got,) = minicc.compile(kernel(tuple(order), shape, cpu, dtype).schedule, target=cpu)(x)
    np.testing.assert_array_equal(got, x.transpose(order))


@pytest.mark.slow
@settings(deadline=None)
@given(rows=st.integers(1, 40), columns=st.integers(1, 40))
def test_what_is_computed_with_a_transposed_operand(rows, columns):
    a, b = te.placeholder((rows, columns), name="a"), te.placeholder((columns, rows), name="b")
    c = te.compute((columns, rows), lambda i, j: te.maximum(a[j, i] * 2.0 + b[i, j], 0.0), name="c")
    made = minicc.compile(scheduled(lower([c], [a, b, c], "kernel").program, Target.native()).schedule)
    rng = np.random.default_rng(rows)
    x, y = rng.normal(size=(rows, columns)).astype("float32"), rng.normal(size=(columns, rows)).astype("float32")
    (got,) = made(x, y)
    np.testing.assert_allclose(got, np.maximum(x.T * 2 + y, 0), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("cpu", ["haswell", "skylake-avx512"])
@pytest.mark.parametrize(
    "shape, order", [((1, 24, 30, 28), (0, 2, 3, 1)), ((1, 56, 56, 24), (0, 3, 1, 2)), ((768, 768), (1, 0))]
)
def test_nothing_is_stored_lane_by_lane(shape, order, cpu):
    """What is stored are vectors of columns; no element goes through memory by itself."""
    made = minicc.compile(kernel(order, shape, f"llvm -mcpu={cpu}").schedule, target=f"llvm -mcpu={cpu}")
    text = made.stages["asm"]
    text = text[text.index("kernel:") : text.index("minicc_main:")]
    assert not re.search(r"v?(movss|extractps|pextrd)\t[^\n]*, -?\d*\(", text)
    assert re.search(r"vmovup[sd]\t%ymm\d+, ", text)


@pytest.mark.parametrize("cpu", ["haswell", "skylake-avx512"])
@pytest.mark.parametrize("shape, order", [((1, 3, 48, 48), (0, 2, 3, 1)), ((1, 48, 48, 3), (0, 3, 1, 2))])
def test_colours_are_taken_together_and_apart_by_shuffles(shape, order, cpu):
    """An axis of three elements is read and written in whole vectors, as it lies in a row with the next."""
    made = minicc.compile(kernel(order, shape, f"llvm -mcpu={cpu}").schedule, target=f"llvm -mcpu={cpu}")
    text = made.stages["asm"]
    text = text[text.index("kernel:") : text.index("minicc_main:")]
    assert not re.search(r"v?(movss|insertps|extractps|pextrd|pinsrd|gather\w+)\t[^\n]*\(", text)
    assert re.search(r"vmovup[sd]\t%[yz]mm\d+, ", text)
