"""Pools axis by axis: the same maxima bit by bit, the same means, and only where that saves taps."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minicc
from minicc.graph.choose_layouts import choose_layouts
from minicc.graph.ir import Graph, input
from minicc.graph.split_pools import split_pools
from minicc.ops import AveragePool, MaxPool
from minicc.target import Target
from minicc.types import TensorType, float32, float64

TARGETS = [Target.native(), Target.of("haswell")]


def graph_of(op, shape, dtype=float32):
    x = input("x", TensorType(dtype, shape))
    return Graph("main", (x,), (op(x),), ("y",))


def kernels(graph):
    return [n.op.kernel for n in graph.nodes if hasattr(n.op, "kernel")]


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


@settings(max_examples=40, deadline=None)
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


def test_the_estimate_looks_at_strides_layout_and_size():
    def split(shape, k, stride, last=False, kind=MaxPool):
        op = kind(kernel=(k, k), strides=(stride, stride), channels_last=last)
        return kernels(split_pools(graph_of(op, shape)))

    assert split((1, 24, 100, 100), 3, 1) == [(3, 1), (1, 3)]
    assert split((1, 100, 100, 24), 3, 1, last=True) == [(3, 1), (1, 3)]
    assert split((1, 64, 112, 112), 3, 2) == [(3, 1), (1, 3)]
    assert split((1, 112, 112, 64), 3, 2, last=True) == [(3, 3)]  # nothing is saved
    assert split((1, 1, 6, 6), 3, 1) == [(3, 3)]  # too small
    assert split((1, 100, 100, 24), 3, 1, last=True, kind=AveragePool) == [(3, 3)]  # float64 on the way costs more
    assert split((1, 30, 30, 24), 7, 1, last=True, kind=AveragePool) == [(7, 1), (1, 7)]


def test_means_stay_as_they_are_where_exactness_or_float64_is_asked_for():
    pool = AveragePool(kernel=(7, 7))
    assert kernels(split_pools(graph_of(pool, (1, 24, 30, 30)), exact=True)) == [(7, 7)]
    assert kernels(split_pools(graph_of(pool, (1, 24, 30, 30), float64))) == [(7, 7)]
    assert kernels(split_pools(graph_of(MaxPool(kernel=(7, 7)), (1, 24, 30, 30)), exact=True)) == [(7, 1), (1, 7)]


@pytest.mark.parametrize(("shape", "k", "stride", "moves"), [
    ((1, 256, 13, 13), 5, 1, True), ((1, 512, 7, 7), 3, 2, True), ((1, 3, 13, 13), 5, 1, False),
    ((1, 256, 12, 12), 2, 2, False), ((1, 64, 112, 112), 3, 2, False),
])  # fmt: skip
def test_a_pool_of_short_rows_goes_channels_last_alone(shape, k, stride, moves):
    graph = choose_layouts(
        graph_of(MaxPool(kernel=(k, k), strides=(stride, stride)), shape), Target.of("skylake-avx512")
    )
    assert any(n.op.name == "Transpose" for n in graph.nodes) == moves
