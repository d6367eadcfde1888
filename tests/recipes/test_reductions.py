"""Reductions over any axes: right for every shape and type, with vectors along what lies in a row."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.loop.lower import lower
from minicc.ops import ArgMax, ReduceL1, ReduceL2, ReduceLogSumExp, ReduceMax, ReduceMean, ReduceMin, ReduceProd
from minicc.ops import ReduceSum
from minicc.recipes.registry import Scheduled, scheduled
from minicc.target import Target

KINDS = (ReduceMax, ReduceMin, ReduceSum, ReduceMean, ReduceProd, ReduceL1, ReduceL2, ReduceLogSumExp)
CPUS = ("native", "llvm -mcpu=haswell", "llvm -mcpu=x86-64-v2")


def kernel(op, shape, cpu, dtype="float32") -> Scheduled:
    x = te.placeholder(shape, name="x", dtype=dtype)
    out = op.compute(x)
    return scheduled(lower([out], [x, out], "kernel").program, Target.of(cpu))


@pytest.mark.slow
@settings(deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    shape=st.lists(st.sampled_from([1, 2, 3, 7, 16, 17, 28, 33, 65]), min_size=1, max_size=4),
    data=st.data(),
    cpu=st.sampled_from(CPUS),
)
def test_any_axes(kind, shape, data, cpu):
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    types = (
        ["float32", "float64"]
        if kind in (ReduceMean, ReduceL2, ReduceLogSumExp)
        else ["float32", "float64", "int32", "int8"]
    )
    dtype = data.draw(st.sampled_from(types))
    if kind not in (ReduceMax, ReduceMin) and dtype == "int8":
        dtype = "int32"
    op = kind(axes=axes)
    x = np.random.default_rng(0).integers(-3, 4, shape).astype(dtype)
    if kind is ReduceProd:
        x = np.sign(x) | 1 if dtype == "int32" else np.where(x > 0, 1, -1).astype(dtype)
    (got,) = minicc.compile(kernel(op, shape, cpu, dtype).schedule, target=cpu)(x)
    expected = op.numpy(x.astype("float64") if np.dtype(dtype).kind == "f" else x)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.slow
@settings(deadline=None)
@given(rows=st.integers(1, 40), row=st.integers(1, 300), axis=st.integers(0, 1), cpu=st.sampled_from(CPUS))
def test_the_first_of_equal_elements_is_found(rows, row, axis, cpu):
    x = np.random.default_rng(row).integers(0, 5, (rows, row)).astype("float32")
    (got,) = minicc.compile(kernel(ArgMax(axis=axis), x.shape, cpu).schedule, target=cpu)(x)
    np.testing.assert_array_equal(got, np.argmax(x, axis).reshape(got.shape))


def test_a_nan_is_the_greatest_wherever_it_stands():
    for place in (0, 5, 63, 64, 700, 783):
        x = np.zeros((2, 28, 28), "float32")
        x[1].flat[place] = np.nan
        (got,) = minicc.compile(kernel(ReduceMax(axes=(1, 2)), x.shape, "native").schedule)(x)
        assert got.ravel()[0] == 0 and np.isnan(got.ravel()[1])


@pytest.mark.parametrize("cpu, register", [("haswell", "ymm"), ("skylake-avx512", "zmm")])
@pytest.mark.parametrize(
    "shape, axes", [((8, 28, 28), (1, 2)), ((8, 784), (1,)), ((100, 64), (0,)), ((2, 7, 7, 64), (1, 2))]
)
def test_accumulators_are_registers(shape, axes, cpu, register):
    """The innermost loop has four vectors, which do not wait for each other, and stores none of them."""
    made = minicc.compile(kernel(ReduceSum(axes=axes), shape, f"llvm -mcpu={cpu}").schedule, target=f"llvm -mcpu={cpu}")
    text = made.stages["asm"]
    loops = re.findall(
        r"(\.LBB\d+_\d+):[^\n]*\n((?:(?!\.LBB\d+_\d+:).)*?)\tj\w+\t\1\n", text[: text.index("minicc_main:")], re.S
    )
    sums = [body for _, body in loops if re.search(rf"vaddps\t.*%{register}", body)]
    assert sums
    for body in sums:
        assert len({line.split(",")[-1] for line in body.splitlines() if "vaddps" in line}) >= 2
        assert not re.search(rf"vmov\w+\t%{register}\d+, ", body)
