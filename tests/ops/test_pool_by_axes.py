"""Pools axis by axis: the same maxima bit by bit, the same means, and only where that saves taps."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minicc
from minicc.graph.ir import Graph, input
from minicc import te
from minicc.loop.ir import VECTORIZE, loops
from minicc.loop.lower import lower
from minicc.ops import AveragePool, MaxPool
from minicc.recipes.registry import DEFAULT
from minicc.recipes.structure import nests
from minicc.target import Target
from minicc.types import DType, TensorType, float32

TARGETS = [Target.native(), Target.of("haswell")]


def graph_of(op, shape, dtype=float32):
    x = input("x", TensorType(dtype, shape))
    return Graph("main", (x,), (op(x),), ("y",))


@st.composite
def cases(draw):
    kernel = tuple(draw(st.integers(1, 6)) for _ in range(draw(st.integers(2, 3))))
    size = [draw(st.integers(k, 20 if len(kernel) == 2 else 8)) for k in kernel]
    fields = {
        "kernel": kernel,
        "strides": tuple(draw(st.sampled_from([1, 1, 2, 3])) for _ in kernel),
        "padding": tuple(draw(st.integers(0, k - 1)) for k in kernel * 2),
        "dilation": tuple(draw(st.sampled_from([1, 1, 2])) for _ in kernel),
        "ceil_mode": draw(st.booleans()),
    }
    if draw(st.integers(0, 3)) == 0:
        fields |= {"auto_pad": draw(st.sampled_from(["VALID", "SAME_UPPER", "SAME_LOWER"])), "padding": ()}
    channels = draw(st.sampled_from([1, 3, 7, 17, 24]))
    last = draw(st.booleans())
    batch = draw(st.integers(1, 2))
    size = [max(s, (k - 1) * d + 1) for s, k, d in zip(size, kernel, fields["dilation"], strict=True)]
    return (batch, *size, channels) if last else (batch, channels, *size), fields | {"channels_last": last}


@pytest.mark.slow
@settings(max_examples=max(12, settings().max_examples // 2))
@given(cases(), st.sampled_from(TARGETS), st.integers(1, 2), st.booleans())
@example(((1, 24, 13, 13), {"kernel": (5, 5), "padding": (2,) * 4}), TARGETS[0], 1, True)
def test_maxima_and_means_are_those_of_whole_windows(case, target, threads, flag):
    shape, fields = case
    x = np.random.default_rng(3).standard_normal(shape).astype(np.float32)
    odd = x.copy()
    odd.reshape(-1)[:: max(x.size // 7, 1)] = np.resize(
        [np.nan, -np.inf, np.inf], len(x.reshape(-1)[:: max(x.size // 7, 1)])
    )
    for op, data in (
        (MaxPool(**fields), x),
        (MaxPool(**fields), odd),
        (AveragePool(**fields, count_include_pad=flag), x),
    ):
        (y,) = minicc.compile(graph_of(op, shape), target.with_threads(threads)).run({"x": data}).values()
        expected = op(data)  # in NumPy: all taps of a window at once
        if isinstance(op, MaxPool):
            np.testing.assert_array_equal(y, expected)
        else:
            np.testing.assert_allclose(y, expected, rtol=2e-7, atol=1e-30)


def stages(op, shape):
    """The extents of the taps of each stage, by name."""
    x = te.placeholder(shape, name="x")
    y = op.compute(x)
    found = nests(lower([y], [x, y], "pool").program)
    return [tuple(f.extent for f in nest.reductions) for nest in found if nest.reductions]


def test_the_estimate_looks_at_strides_and_layout():
    def taps(shape, k, stride, last=False):
        made = [stages(kind((k, k), (stride, stride), channels_last=last), shape) for kind in (MaxPool, AveragePool)]
        assert made[0] == made[1]
        return [tuple(t for t in stage if t > 1) for stage in made[0]]

    assert taps((1, 24, 100, 100), 3, 1) == [(3,), (3,)]
    assert taps((1, 100, 100, 24), 3, 1, last=True) == [(3,), (3,)]
    assert taps((1, 64, 112, 112), 3, 2) == [(3,), (3,)]
    assert taps((1, 112, 112, 64), 3, 2, last=True) == [(3, 3)]  # nothing is saved
    assert taps((1, 112, 112, 64), 2, 2, last=True) == [(2, 2)]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_the_mean_of_equal_numbers_is_that_number(dtype):
    """Whatever part of a window is padding: float32 and less are multiplied with the inverse of the count."""
    for k in range(2, 12):
        x = np.full((1, 3, 16, 19), 585.9, dtype)
        op = AveragePool((k, k - 1), (2, 1), ((k - 1) // 2,) * 4)
        (y,) = minicc.compile(graph_of(op, x.shape, DType.of(dtype))).run({"x": x}).values()
        np.testing.assert_array_equal(y, x[0, 0, 0, 0])


@pytest.mark.parametrize("side", [7, 13, 35, 51])
def test_no_sum_of_a_ragged_row_is_made_piece_by_piece(side):
    """The last vector begins earlier: a row of 35 sums is 5 vectors of 8, not one of 32, of 2 and of 1."""
    target = Target.of("skylake-avx512")
    x = te.placeholder((4, 8, side, side), name="x")
    y = AveragePool((3, 3), (1, 1), (1,) * 4).compute(x)
    made = DEFAULT.apply(lower([y], [x, y], "pool").program, target).program
    widths = {f.extent for f in loops(made.body).values() if f.kind == VECTORIZE}
    assert min(widths) >= min(8, 1 << (side.bit_length() - 1))
