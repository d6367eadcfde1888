"""Matrix products as models have them: constant or computed operands, epilogues, batches, ragged sizes, against float64."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc
from minicc.graph.ir import Graph, Node, constant, input
from minicc.ops import Add, Einsum, Gelu, MatMul, Relu, Transpose
from minicc.target import Caches, Target
from minicc.types import DType, TensorType, bfloat16, float16, float32

ROWS, DEPTHS, COLUMNS = (1, 2, 3, 7, 15, 49, 130), (1, 7, 31, 64, 1024, 1536), (1, 3, 16, 17, 31, 33, 64, 100, 255)
Array = np.ndarray[Any, np.dtype[Any]]


def targets() -> list[Target]:
    """The machine we run on, and what it has of older ones."""
    haswell = Target.of("haswell")
    return [Target.native(), *([haswell] if not haswell.lacking() else [])]


def small(target: Target, threads: int) -> Target:
    """With a small second cache, so that a small product is cut into blocks, too."""
    return replace(target, caches=Caches(l2=64 << 10), threads=threads)


def check(out: Node, feeds: dict[str, Array], inputs: tuple[Node, ...], expected: Array, target: Target) -> None:
    exe = minicc.compile(Graph("main", inputs, (out,), ("y",)), target=target)
    got = exe.run(feeds)["y"]
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(expected).max(initial=0))))


def drawn(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


@settings(max_examples=12)
@given(
    st.sampled_from([(), (2,), (3, 1)]), st.sampled_from(ROWS), st.sampled_from(DEPTHS), st.sampled_from(COLUMNS),
    st.sampled_from(targets()), st.integers(1, 2), st.sampled_from([None, "relu", "gelu"]),
)  # fmt: skip
def test_weights(
    batch: tuple[int, ...], m: int, k: int, n: int, target: Target, threads: int, epilogue: str | None
) -> None:
    x, w, bias = drawn(*batch, m, k), drawn(k, n), drawn(n)
    node = input("x", TensorType(float32, x.shape))
    out: Any = Add()(MatMul()(node, constant(w)), constant(bias))
    expected = x.astype(np.float64) @ w + bias
    if epilogue == "relu":
        out, expected = Relu()(out), np.maximum(expected, 0)
    if epilogue == "gelu":
        out, expected = Gelu()(out), Gelu().numpy(expected)
    check(out, {"x": x}, (node,), expected, small(target, threads))


@settings(max_examples=12)
@given(
    st.sampled_from([(), (2,), (3, 1)]), st.sampled_from(ROWS), st.sampled_from(DEPTHS), st.sampled_from(COLUMNS),
    st.sampled_from(targets()), st.integers(1, 2), st.booleans(), st.booleans(),
)  # fmt: skip
def test_computed(
    batch: tuple[int, ...], m: int, k: int, n: int, target: Target, threads: int, across: bool, add: bool
) -> None:
    x, w = drawn(*batch, m, k), drawn(*batch, *((n, k) if across else (k, n)))
    left, right = input("x", TensorType(float32, x.shape)), input("w", TensorType(float32, w.shape))
    swapped = (*range(len(batch)), len(batch) + 1, len(batch))
    out: Any = MatMul()(left, Transpose(swapped)(right) if across else right)
    expected = x.astype(np.float64) @ (np.swapaxes(w, -1, -2) if across else w)
    if add:
        out, expected = Add()(out, constant(np.float32(1.5))), expected + 1.5
    check(out, {"x": x, "w": w}, (left, right), expected, small(target, threads))


@pytest.mark.parametrize("target", targets(), ids=str)
@pytest.mark.parametrize("m, n, k", [(1, 50, 64), (3, 17, 65), (2, 7, 1000)])
def test_few_rows_read_a_transposed_operand_as_it_is(m: int, n: int, k: int, target: Target) -> None:
    x, w = drawn(2, 3, m, k), drawn(2, 3, n, k)
    left, right = input("x", TensorType(float32, x.shape)), input("w", TensorType(float32, w.shape))
    out = MatMul()(left, Transpose((0, 1, 3, 2))(right))
    (kernel,) = minicc.compile(Graph("main", (left, right), (out,), ("y",)), target=target).kernels
    assert kernel.label == "matmul_transposed"
    check(out, {"x": x, "w": w}, (left, right), np.einsum("bhik,bhjk->bhij", x.astype(np.float64), w), target)


@pytest.mark.parametrize("equation", ["ij,jk->ik", "ij,kj->ki", "bhqd,bhkd->bhqk", "bqhd,bkhd->bhqk", "bhqk,bkhd->bqhd",
                                      "abc,bcd->ad", "abc,cd", "...ij,...jk->...ik", "ij,j->i", "i,ij->j", "b,b->", "ab,ab->a",
                                      "ab,cb->c", "aab,bc->ac", "i,j->ij"])  # fmt: skip
@pytest.mark.parametrize("target", targets(), ids=str)
def test_einsum(equation: str, target: Target) -> None:
    extents = dict(zip("abcdhijkq", (2, 3, 17, 33, 4, 5, 18, 40, 19), strict=True))
    shapes = [
        tuple((2, 3) if part == "." else extents[part] for part in term.replace("...", "."))
        for term in equation.partition("->")[0].split(",")
    ]
    x, w = (drawn(*np.hstack([*shape, []]).astype(int)) for shape in shapes)
    left, right = input("x", TensorType(float32, x.shape)), input("w", TensorType(float32, w.shape))
    expected = np.einsum(equation, x.astype(np.float64), w.astype(np.float64))
    check(Einsum(equation)(left, right), {"x": x, "w": w}, (left, right), expected, target.with_threads(1))


@pytest.mark.parametrize("dtype", [float16, bfloat16], ids=str)
@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize("shape", [(1, 64, 64), (5, 40, 70), (33, 1024, 48), (4, 3, 2)], ids=str)
def test_16_bits(dtype: DType, known: bool, shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    x, w = drawn(m, k).astype(dtype.numpy), drawn(k, n).astype(dtype.numpy)
    left, right = input("x", TensorType(dtype, x.shape)), input("w", TensorType(dtype, w.shape))
    inputs = (left,) if known else (left, right)
    graph = Graph("main", inputs, (MatMul()(left, constant(w) if known else right),), ("y",))
    got = minicc.compile(graph, threads=1).run({"x": x} if known else {"x": x, "w": w})["y"]
    expected = x.astype(np.float64) @ w.astype(np.float64)
    step = 2.0**-11 if dtype is float16 else 2.0**-8
    np.testing.assert_allclose(got.astype(np.float64), expected, rtol=1.1 * step, atol=1e-4 * k**0.5)


@pytest.mark.parametrize("m", [1, 13, 14, 27, 128])
@pytest.mark.parametrize("k", [1024, 2048])
def test_rows_a_page_apart(m: int, k: int) -> None:
    x, w = drawn(m, k), drawn(k, 70)
    node = input("x", TensorType(float32, x.shape))
    check(MatMul()(node, constant(w)), {"x": x}, (node,), x.astype(np.float64) @ w, Target.native().with_threads(1))
