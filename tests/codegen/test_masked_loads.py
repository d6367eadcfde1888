"""Loads under a mask read the lanes of the mask, and give them, however many registers they take and whatever the mask."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.target import Target
from minicc.types import DType, float32, float64, int32

TARGETS = [name for name in ("native", "haswell", "skylake-avx512", "x86-64") if not Target.of(name).lacking()]


def padded(dtype: DType, sizes: tuple[int, int], before: tuple[int, int], shape: tuple[int, int], lanes: int):
    """Rows with zeros around them, some of which are outside of the data, by vectors of `lanes`."""
    x = te.placeholder(sizes, dtype, name="x")

    def element(i, j):
        inside = te.all(i >= before[0], i < before[0] + sizes[0], j >= before[1], j < before[1] + sizes[1])
        return te.if_then_else(inside, x[i - before[0], j - before[1]], te.const(0, dtype))

    y = te.compute(shape, element, name="y")
    s = te.create_schedule(y.op)
    _, inner = s[y].split(y.op.axis[1], factor=lanes)
    s[y].vectorize(inner)
    return s, [x, y]


@given(
    st.sampled_from(TARGETS),
    st.sampled_from((float32, float64, int32)),
    st.tuples(st.integers(1, 3), st.integers(1, 40)),
    st.tuples(st.integers(0, 3), st.integers(0, 40)),
    st.tuples(st.integers(1, 6), st.integers(1, 80)),
    st.sampled_from((2, 4, 8, 9, 12, 16, 17, 18, 24, 32, 64)),
)
@example("haswell", float32, (2, 6), (2, 2), (4, 10), 16)
@example("haswell", float32, (2, 8), (2, 8), (4, 16), 16)
@example("haswell", float32, (2, 6), (2, 0), (4, 9), 9)
def test_zeros_around_rows(target, dtype, sizes, before, shape, lanes):
    if target not in TARGETS:
        pytest.skip(f"this machine runs no code for {target}")
    around = np.full((sizes[0] + 20) * sizes[1] + 200, 77, dtype.numpy)  # what is no part of x
    x = around[100 + 10 * sizes[1] :][: sizes[0] * sizes[1]].reshape(sizes)
    x[:] = np.arange(1, x.size + 1).reshape(sizes)
    s, arguments = padded(dtype, sizes, before, shape, lanes)
    y = np.full(shape, 99, dtype.numpy)
    minicc.build(s, arguments, target=target, name="padded")(x, y)
    whole = np.zeros(np.add(before, sizes) + shape, dtype.numpy)
    whole[before[0] :, before[1] :][: sizes[0], : sizes[1]] = x
    np.testing.assert_array_equal(y, whole[: shape[0], : shape[1]])
