"""TopK of the sizes that detectors and samplers have: right, in the order of ONNX, and in near-linear work."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.graph.ir import Graph, input
from minicc.loop.lower import lower
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.ops import TopK, TopKIndices, sorting
from minicc.recipes.registry import DEFAULT
from minicc.recipes.structure import work
from minicc.target import Target
from minicc.types import DType, TensorType, float32

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1.0, -1.0, 2.0]


def naive_order(row, largest):
    """Python's sort, by value, then by index; NaN is greater than every number."""
    keys = [(math.isnan(v), 0.0 if math.isnan(v) else v + 0.0) for v in map(float, row)]
    return (
        sorted(range(len(keys)), key=lambda i: keys[i])
        if not largest
        else sorted(range(len(keys)), key=lambda i: (not keys[i][0], -keys[i][1]))
    )


def expected(x, k, axis, largest):
    """The places of the k first along an axis."""
    rows = np.moveaxis(x, axis, -1)
    places = [naive_order(row, largest)[:k] for row in rows.reshape(-1, rows.shape[-1])]
    return np.moveaxis(np.array(places, np.int64).reshape(*rows.shape[:-1], k), -1, axis)


def lowered(op, type):
    x = te.placeholder(type.shape, type.dtype, name="x")
    result = op.compute(x)
    return lower([result], [x, result], "top_k").program


def compiled(op, x):
    node = input("x", TensorType(DType.of(x.dtype), x.shape))
    return minicc.compile(Graph("main", (node,), (op(node),), ("y",)))(x)[0]


@pytest.mark.parametrize(
    ("shape", "k", "axis", "largest"),
    [
        ((32,), 1, 0, True),
        ((64, 600), 5, -1, True),
        ((1000,), 100, 0, True),
        ((1, 8400), 300, 1, True),
        ((1000,), 1000, 0, False),
        ((90, 7), 80, 0, True),
        ((2, 3), 2, 0, False),
        ((3, 100, 5), 60, 1, False),
        ((1,), 1, 0, True),
    ],
)
def test_places_are_those_of_a_sort(shape, k, axis, largest):
    x = np.random.default_rng(k).integers(-40, 40, shape).astype(np.float32) / 4  # with many ties
    assert (compiled(TopKIndices(k, axis, largest), x) == expected(x, k, axis, largest)).all()
    assert (TopKIndices(k, axis, largest).numpy(x) == expected(x, k, axis, largest)).all()
    values = compiled(TopK(k, axis, largest), x)
    assert (values == np.take_along_axis(x, expected(x, k, axis, largest), axis)).all()


@given(st.lists(st.sampled_from(SPECIAL), min_size=1, max_size=90), st.booleans(), st.data())
def test_nan_is_the_greatest_and_zeros_are_equal(values, largest, data):
    x, k = np.array(values, np.float32), data.draw(st.integers(1, len(values)))
    want = expected(x, k, 0, largest)
    assert (TopKIndices(k, 0, largest).numpy(x) == want).all()
    program = lowered(TopKIndices(k, 0, largest), TensorType(float32, x.shape))
    got = np.zeros(k, np.int64)
    run_python(program, x, got)
    assert (got == want).all()


@pytest.mark.parametrize("dtype", [
    "float16", "int8", "uint64", *[pytest.param(t, marks=pytest.mark.slow) for t in ("float64", "uint8", "int64")]])  # fmt: skip
@pytest.mark.parametrize("times", [0, 8, 10**9], ids=["sorted", "as the rule says", "selected"])
def test_both_ways_and_all_dtypes(dtype, times, monkeypatch):
    monkeypatch.setattr(sorting, "SELECTED", times)
    limits = np.finfo(dtype) if dtype.startswith("float") else np.iinfo(dtype)
    x = np.array([[3, 0, limits.max, limits.min, 3, 1, 0], [1, 1, limits.min, 2, limits.max, limits.max, 5]], dtype)
    for largest in (True, False):
        order = np.argsort(x, 1, kind="stable")
        if largest:  # stable from the far end
            order = 6 - np.flip(np.argsort(np.flip(x, 1), 1, kind="stable"), 1)
        assert (compiled(TopKIndices(7, 1, largest), x) == order).all()


@pytest.mark.parametrize("k", ["1", "32", "n // 10", "n"])
def test_work_grows_almost_linearly(k):
    works, texts = [], []
    for n in (100, 1_000, 10_000, 100_000):
        naive = lowered(TopKIndices(eval(k, {"n": n})), TensorType(float32, (n,)))
        verify(naive)
        scheduled = DEFAULT.apply(naive, Target.native()).program
        works.append(work(scheduled) / n)
        texts.append(len(str(scheduled)))
    assert works[-1] <= 2.5 * works[1]  # log2(100,000) is 1.7 times log2(1,000)
    assert max(texts) <= 1.5 * min(texts[1:])  # and neither the code nor the time to make it grows
