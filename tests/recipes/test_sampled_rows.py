"""Sums whose lanes read where a table says: samples of the last axis, against float64, on several targets."""

import pytest
import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc.graph.ir import Graph, input
from minicc.ops import Resize
from minicc.target import Target
from minicc.types import TensorType, float32

LENGTHS = st.sampled_from((1, 2, 3, 7, 17, 24, 33, 130))


def compiled(op, shape, target="native", threads=1):
    x = input("x", TensorType(float32, shape))
    return minicc.compile(Graph("samples", (x,), (op(x),), ("y",)), Target.of(target).with_threads(threads))


@pytest.mark.slow
@given(st.data())
def test_any_rows_are_sampled(data):
    draw = data.draw
    shape = (*draw(st.lists(st.integers(1, 19), min_size=0, max_size=3)), draw(LENGTHS))
    mode, scale = draw(st.sampled_from(("linear", "cubic"))), draw(st.sampled_from((0.5, 1.5, 2.0, 2.7)))
    scale = scale if shape[-1] > 1 else 3.0
    op = Resize(scales=(*[1.0] * (len(shape) - 1), scale), mode=mode, antialias=draw(st.booleans()))
    made = compiled(op, shape, draw(st.sampled_from(("native", "haswell"))), draw(st.sampled_from((1, 2))))
    x = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(made(x)[0], op.numpy(x.astype(np.float64)), rtol=1e-5, atol=1e-5)


def test_places_are_outside_of_some_rows():
    made = compiled(Resize(scales=(1.0, 1.0, 2.0), mode="linear"), (24, 50, 25), "haswell")
    schedule = str(made.kernels[0].stages["schedule"])
    assert "recipe default" in schedule
    loops = made.kernels[0].stages["loop"]
    first, second = (str(loops).index(text) for text in ("_o in range(6)", "in range(50)"))
    assert first < second


@given(st.data())
def test_memory_is_walked_in_a_row_where_channels_are_last(data):
    """Neighbours of an axis before the last share no element that is known: a tile of them would only jump between rows."""
    draw = data.draw
    shape = (
        draw(st.integers(1, 3)),
        draw(st.integers(2, 9)),
        draw(st.integers(2, 9)),
        draw(st.sampled_from((16, 20, 64))),
    )
    scales = draw(st.sampled_from(((1.0, 1.0, 2.0, 1.0), (1.0, 2.0, 1.0, 1.0), (1.0, 1.5, 2.0, 1.0))))
    op = Resize(scales=scales, mode="linear")
    made = compiled(op, shape, draw(st.sampled_from(("native", "haswell"))), draw(st.sampled_from((1, 2))))
    x = np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)
    np.testing.assert_allclose(made(x)[0], op.numpy(x.astype(np.float64)), rtol=1e-5, atol=1e-5)
    traces = [str(kernel.stages["trace"]) for kernel in made.kernels if "reduce" in kernel.label]
    assert traces and all(re.search(r'choose\("columns", \[[^]]*\], 1\)', trace) for trace in traces)
