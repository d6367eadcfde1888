"""TopK, compiled: keys that share an integer with their places, at the ends of every type, on several targets."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc.graph.ir import Graph, input
from minicc.ops import TopKIndices
from minicc.target import Target
from minicc.types import TensorType, float16, float32, float64, int8, int32, int64, uint8, uint32

DTYPES = (float32, float16, float64, int8, uint8, int32, uint32, int64)


def places(x, dtype, op, target="native", threads=1):
    node = input("x", TensorType(dtype, x.shape))
    return minicc.compile(Graph("top", (node,), (op(node),), ("y",)), Target.of(target).with_threads(threads))(x)[0]


def drawn(dtype, shape, seed):
    """Few different numbers, the ends of the type among them, so that many are equal."""
    if dtype.is_float:
        values = [-np.inf, np.inf, np.nan, -np.nan, 0.0, -0.0, 1.5, -1.5, 3e4]
    else:
        values = [*dtype.range, 0, 1, 2, dtype.range[1] - 1]
    return np.random.default_rng(seed).choice(np.array(values, dtype.numpy), shape)


@pytest.mark.slow
@given(st.data())
def test_places_are_those_of_a_stable_sort(data):
    draw = data.draw
    shape = draw(st.lists(st.sampled_from((1, 2, 3, 7, 17, 24, 33)), min_size=1, max_size=3))
    axis = draw(st.integers(0, len(shape) - 1))
    op = TopKIndices(draw(st.integers(1, min(9, shape[axis]))), axis, draw(st.booleans()))
    dtype, target = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(("native", "haswell")))
    x = drawn(dtype, shape, sum(shape))
    np.testing.assert_array_equal(places(x, dtype, op, target, draw(st.sampled_from((1, 2)))), op.numpy(x))


@pytest.mark.parametrize("largest", [True, False])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_ends_of_a_type_have_their_place(dtype, largest):
    x = drawn(dtype, (3, 130), 1)
    op = TopKIndices(20, -1, largest)
    np.testing.assert_array_equal(places(x, dtype, op), op.numpy(x))
