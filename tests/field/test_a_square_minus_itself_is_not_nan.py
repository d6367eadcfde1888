"""What users saw as NaN: a product that reached the next node before it was rounded to float32."""

from __future__ import annotations

import numpy as np
import pytest

import minicc
from minicc import ops
from minicc.graph import Graph, Node, constant, input
from minicc.types import TensorType, float32

F32 = np.float32


def run(make, *arrays):
    """The graph `make(inputs)` compiled, on arrays."""
    inputs = [input(f"x{n}", TensorType.of(a)) for n, a in enumerate(arrays)]
    return minicc.compile(Graph("field", tuple(inputs), (make(*inputs),), ("y",)))(*arrays)[0]


def eps(x: Node, value: float) -> Node:
    return ops.Add()(x, constant(F32(value)))


def test_the_difference_of_equal_squares_is_0() -> None:
    x = np.full((37,), 0.1, F32)
    got = run(lambda a, b: ops.Sqrt()(ops.Sub()(ops.Mul()(a, a), ops.Mul()(b, b))), x, x.copy())
    assert got.tolist() == [0.0] * 37


VARIANCES = {
    "ReduceMean": lambda x, mean: mean(ops.Mul()(x, x)),
    "ReduceMean of Pow": lambda x, mean: mean(ops.Pow()(x, constant(F32(2)))),
    "ReduceMean of halves": lambda x, mean: mean(ops.Mul()(ops.Mul()(x, x), constant(F32(1)))),
}


@pytest.mark.parametrize("size", [2, 5, 25, 49, 100, 1000])
@pytest.mark.parametrize("form", VARIANCES)
def test_the_deviation_of_a_constant_patch_is_that_of_epsilon(form: str, size: int) -> None:
    """E[x*x] - E[x]*E[x] is 0, as the mean of equal numbers is that number."""

    def deviation(x: Node) -> Node:
        def mean(v: Node) -> Node:
            return ops.ReduceMean((-1,))(v)

        e = mean(x)
        return ops.Sqrt()(eps(ops.Sub()(VARIANCES[form](x, mean), ops.Mul()(e, e)), 1e-5))

    values = F32([585.9, 0.1, 1e12, -3.3333])
    got = run(deviation, np.repeat(values[:, None], size, axis=1))
    np.testing.assert_array_equal(got, np.full((4, 1), np.sqrt(F32(1e-5))))


@pytest.mark.parametrize("window", [2, 3, 5, 7, 11])
@pytest.mark.parametrize("image", [14, 16])
def test_the_deviation_in_a_window_is_that_of_epsilon(window: int, image: int) -> None:
    def deviation(x: Node) -> Node:
        pool = ops.AveragePool((window, window), (1, 1))
        e = pool(x)
        return ops.Sqrt()(eps(ops.Sub()(pool(ops.Mul()(x, x)), ops.Mul()(e, e)), 1e-5))

    patches = np.full((1, 2, image, image), 585.9, F32) * F32([1.0, 0.37]).reshape(1, 2, 1, 1)
    got = run(deviation, patches)
    np.testing.assert_array_equal(got, np.sqrt(F32(1e-5)))


def test_the_deviation_in_a_padded_window_is_no_nan() -> None:
    """The guard of the padding is around the product, and is proven away inside of the image."""

    def deviation(x: Node) -> Node:
        pool = ops.AveragePool((3, 3), (2, 2), (1, 1, 1, 1))
        e = pool(x)
        return ops.Sqrt()(eps(ops.Sub()(pool(ops.Mul()(x, x)), ops.Mul()(e, e)), 1e-5))

    got = run(deviation, np.full((1, 1, 14, 14), 585.9, F32))
    np.testing.assert_array_equal(got, np.sqrt(F32(1e-5)))


@pytest.mark.parametrize("n", [1, 3, 8, 17, 64, 197])
@pytest.mark.parametrize("least", [np.finfo(F32).min, F32(-1e38)])
def test_the_softmax_of_a_masked_row_is_uniform(n: int, least: np.float32) -> None:
    got = run(lambda z: ops.Softmax()(ops.Mul()(z, constant(F32(0.17677669)))), np.full((2, n), least, F32))
    np.testing.assert_allclose(got, np.full((2, n), 1 / n), rtol=1e-6)


@pytest.mark.parametrize("n", [5, 16, 33])
def test_attention_of_padding_is_uniform(n: int) -> None:
    """Row 0 sees all, row 1 its first half, row 2 nothing: masks as exporters add them, and as they choose by them."""
    rng = np.random.default_rng(n)
    scores = rng.normal(size=(3, n)).astype(F32)
    least = np.finfo(F32).min
    mask = np.stack([np.zeros(n), np.where(np.arange(n) < n // 2, 0, least), np.full(n, least)]).astype(F32)
    scale = constant(F32(0.17677669))
    added = run(lambda z, m: ops.Softmax()(ops.Add()(ops.Mul()(z, scale), m)), scores, mask)
    chosen = run(lambda z, m: ops.Softmax()(ops.Mul()(ops.Where()(m, constant(least), z), scale)), scores, mask != 0)
    for got in (added, chosen):
        np.testing.assert_allclose(got[2], np.full(n, 1 / n), rtol=1e-6)
        wide = np.exp(scores[1, : n // 2].astype(np.float64) * F32(0.17677669))
        np.testing.assert_allclose(got[1, : n // 2], wide / wide.sum(), rtol=1e-5)
        assert not got[1, n // 2 :].any()


def test_a_row_of_minus_infinity_is_nan_as_in_onnxruntime_and_numpy() -> None:
    row = np.full((1, 9), -np.inf, F32)
    assert np.isnan(run(lambda z: ops.Softmax()(ops.Mul()(z, constant(F32(0.5)))), row)).all()


def test_the_product_of_another_node_is_marked_where_a_sum_adds_it() -> None:
    """The mark stands in the program; the reduction's own product has none."""
    x = input("x", TensorType(float32, (3, 24)))
    node = ops.ReduceSum((1,))(ops.Mul()(x, x))
    own = ops.ReduceSumSquare((1,))(x)
    loops = [minicc.compile(Graph("g", (x,), (y,), ("y",))).kernels[0].stages["loop"] for y in (node, own)]
    assert ["+ float32(" in text for text in loops] == [True, False]
