"""ScaledAttention, its recipe, and the pass that finds it, against attention in float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc.compile import pipeline
from minicc.errors import TypeInferenceError
from minicc.graph.fuse_attention import fuse_attention
from minicc.graph.ir import Graph, Node, input
from minicc.ops import Add, And, Div, IsNaN, MatMul, Mul, Reshape, Softmax, Split, Transpose, Where
from minicc.ops.attention import ScaledAttention
from minicc.target import Target
from minicc.types import TensorType, boolean, float32, float64

TARGETS = ("native", "haswell")


def exact(q, k, v, scale, masks=(), absent=False):
    """Of `[batch, heads, rows, depth]`, in float64."""
    with np.errstate(all="ignore"):
        scores = np.float64(q) @ np.float64(k).swapaxes(-1, -2) * scale
        for mask in masks:
            scores = scores + np.float64(mask)
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        weights = powers / powers.sum(-1, keepdims=True)
        return np.where(np.isnan(weights), 0, weights) @ np.float64(v) if absent else weights @ np.float64(v)


def variables(dtype=float32, **shapes):
    return [input(name, TensorType(dtype, shape)) for name, shape in shapes.items()]


def arrays(nodes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(n.shape).astype(n.dtype.numpy) for n in nodes]


def heads_of(x: Node, heads: int) -> Node:
    """`[B, L, C]` as `[B, H, L, D]`, as exporters write it."""
    batch, length, width = x.shape
    return Transpose((0, 2, 1, 3))(Reshape((batch, length, heads, width // heads))(x))


def turned(k: Node) -> Node:
    """`[B, H, S, D]` as `[B, H, D, S]` by way of three axes, as torch's exporter writes it."""
    batch, heads, keys, depth = k.shape
    flat = Transpose((0, 2, 1))(Reshape((batch * heads, keys, depth))(k))
    return Reshape((batch, heads, depth, keys))(flat)


def merged(y: Node) -> Node:
    batch, heads, length, depth = y.shape
    return Reshape((batch, length, heads * depth))(Transpose((0, 2, 1, 3))(y))


def split(a, heads):
    return a.reshape(*a.shape[:2], heads, -1).transpose(0, 2, 1, 3)


def together(a):
    return a.transpose(0, 2, 1, 3).reshape(a.shape[0], a.shape[2], -1)


def found(graph: Graph) -> list[str]:
    """The operators after the pass alone, but for views."""
    nodes = fuse_attention(graph, 16).nodes
    return [n.op.name for n in nodes if n.inputs and not isinstance(n.op, (Reshape, Transpose))]


def run(graph: Graph, given, target="native", threads=1, **options):
    (got,) = minicc.compile(graph, Target.of(target).with_threads(threads), **options)(*given)
    return got


def projected(batch, heads, queries, keys, depth, scores, v=None):
    """The graph of attention on projections, where `scores(q, k)` are made from heads `[B, H, L, D]`."""
    width = heads * depth
    q, k, v = variables(q=(batch, queries, width), k=(batch, keys, width), v=(batch, keys, width))
    made = scores(heads_of(q, heads), heads_of(k, heads))
    return Graph("attention", (q, k, v), (merged(MatMul()(Softmax()(made), heads_of(v, heads))),), ("y",))


SIZES = [
    (1, 2, 128, 128, 64),
    (4, 1, 7, 7, 32),
    (2, 3, 49, 49, 32),
    (1, 1, 77, 130, 40),
    (1, 2, 197, 64, 24),
    (1, 1, 5, 700, 7),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_every_length_and_depth(sizes, threads, target):
    heads = sizes[1]
    graph = projected(*sizes, lambda q, k: Mul()(MatMul()(q, turned(k)), np.float32(0.3)))
    given = arrays(graph.inputs)
    expected = together(exact(*[split(a, heads) for a in given], 0.3))
    np.testing.assert_allclose(run(graph, given, target, threads), expected, atol=4e-6)
    assert found(graph) == ["ScaledAttention"]


@pytest.mark.parametrize(
    ("scores", "scale"),
    [
        (lambda q, k: Div()(MatMul()(q, turned(k)), np.float32(4)), 0.25),
        (lambda q, k: MatMul()(Mul()(q, np.float32(0.5)), Mul()(turned(k), np.float32(0.5))), 0.25),
        (lambda q, k: MatMul()(Mul()(np.float32([[0.25]]), q), Transpose((0, 1, 3, 2))(k)), 0.25),
        (lambda q, k: MatMul()(q, Transpose((0, 1, 3, 2))(k)), 1.0),
    ],
)
def test_factors_on_either_operand_or_on_the_scores(scores, scale):
    graph = projected(2, 3, 12, 20, 8, scores)
    given = arrays(graph.inputs)
    np.testing.assert_allclose(run(graph, given), together(exact(*[split(a, 3) for a in given], scale)), atol=3e-6)
    assert found(graph) == ["ScaledAttention"]


def causal(length):
    return np.triu(np.full((1, 1, length, length), -np.inf, np.float32), 1)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("length", [4, 16, 37])
def test_a_causal_mask_by_add_or_by_where(length, target):
    keep = np.tril(np.ones((1, 1, length, length), bool))

    def by_where(q, k):
        return Where()(keep, MatMul()(q, turned(k)), np.float32(-np.inf))

    for scores in (by_where, lambda q, k: Add()(MatMul()(q, turned(k)), causal(length))):
        graph = projected(1, 2, length, length, 8, scores)
        given = arrays(graph.inputs)
        expected = together(exact(*[split(a, 2) for a in given], 1.0, [causal(length)]))
        np.testing.assert_allclose(run(graph, given, target), expected, atol=3e-6)
        assert found(graph)[-1] == "ScaledAttention"


def test_masks_of_windows_repeat_along_the_batch():
    images, windows, heads, length, depth = 2, 4, 3, 9, 8
    bias, mask = arrays(variables(b=(1, heads, length, length), m=(1, windows, 1, length, length)))

    def scores(q, k):
        x = Add()(MatMul()(q, turned(k)), bias)
        apart = Reshape((images, windows, heads, length, length))(x)
        return Reshape((images * windows, heads, length, length))(Add()(apart, mask))

    graph = projected(images * windows, heads, length, length, depth, scores)
    given = arrays(graph.inputs)
    masks = [bias, np.tile(mask[0], (images, 1, 1, 1))]
    expected = together(exact(*[split(a, heads) for a in given], 1.0, masks))
    np.testing.assert_allclose(run(graph, given), expected, atol=3e-6)
    assert found(graph) == ["ScaledAttention"]


def test_a_mask_of_keys_is_not_stretched():
    q, k, v = variables(q=(2, 4, 8, 16), k=(2, 4, 8, 16), v=(2, 4, 8, 16))
    (keep,) = variables(boolean, keep=(2, 1, 1, 8))
    whole = And()(keep, np.ones((1, 1, 8, 1), bool))
    mask = Where()(whole, np.float32(0), np.finfo(np.float32).min)
    weights = Softmax()(Add()(MatMul()(q, Transpose((0, 1, 3, 2))(k)), mask))
    graph = Graph(
        "attention", (q, k, v, keep), (MatMul()(Where()(IsNaN()(weights), np.float32(0), weights), v),), ("y",)
    )
    given = [*arrays((q, k, v)), np.arange(16).reshape(2, 1, 1, 8) % 3 > 0]
    masks = [np.where(given[3], 0.0, -np.inf)]
    np.testing.assert_allclose(run(graph, given), exact(*given[:3], 1.0, masks), atol=3e-6)
    (attention,) = [n for n in fuse_attention(graph, 16).nodes if isinstance(n.op, ScaledAttention)]
    assert attention.inputs[3].shape == (2, 1, 8, 1) and attention.op.absent


@pytest.mark.parametrize("absent", [False, True])
def test_a_row_without_keys_is_nan_or_cleared(absent):
    q, k, v, mask = variables(q=(1, 8, 4), k=(1, 8, 4), v=(1, 8, 4), mask=(8, 8))
    weights = Softmax()(Add()(MatMul()(q, Transpose((0, 2, 1))(k)), mask))
    weights = Where()(IsNaN()(weights), np.float32(0), weights) if absent else weights
    graph = Graph("attention", (q, k, v, mask), (MatMul()(weights, v),), ("y",))
    given = [*arrays((q, k, v)), np.zeros((8, 8), np.float32)]
    given[3][2], given[3][5, :7] = -np.inf, -np.inf
    got, plain = run(graph, given), run(graph, given, passes=pipeline(without=["fuse attention"]))
    np.testing.assert_allclose(got, exact(*given[:3], 1.0, given[3:], absent), atol=1e-6)
    np.testing.assert_allclose(got, plain, atol=1e-6)
    assert np.isnan(got[0, 2]).all() != absent
    assert any("# recipe attention: " in kernel.stages["schedule"] for kernel in minicc.compile(graph).kernels)


def test_heads_of_one_projection_are_read_where_they_lie():
    (x,) = variables(x=(1, 16, 3 * 24))
    q, k, v = (heads_of(Split(2, None, 3, part)(x), 3) for part in range(3))
    y = merged(MatMul()(Softmax()(MatMul()(q, turned(k))), v))
    graph = Graph("attention", (x,), (y,), ("y",))
    (given,) = arrays((x,))
    expected = together(exact(*[split(a, 3) for a in np.split(given, 3, axis=2)], 1.0))
    np.testing.assert_allclose(run(graph, [given]), expected, atol=3e-6)
    (attention,) = [n for n in fuse_attention(graph, 16).nodes if isinstance(n.op, ScaledAttention)]
    assert [strides[-1] for strides in (attention.op.q, attention.op.k, attention.op.v)] == [0, 24, 48]
    assert {i.inputs[0] for i in attention.inputs} == {x}


@pytest.mark.parametrize("dtype", [float32, float64])
def test_operands_that_no_strides_describe_are_copied(dtype):
    q, k, v = variables(dtype, q=(2, 3, 5, 4), k=(1, 3, 4, 6), v=(2, 1, 6, 4))
    graph = Graph("attention", (q, k, v), (MatMul()(Softmax()(MatMul()(q, k)), v),), ("y",))
    given = arrays(graph.inputs)
    np.testing.assert_allclose(run(graph, given), exact(given[0], given[1].swapaxes(2, 3), given[2], 1.0), atol=3e-6)
    assert "ScaledAttention" in found(graph)


def test_what_is_no_attention_stays():
    q, k, v = variables(q=(1, 8, 4), k=(1, 8, 4), v=(1, 8, 4))
    weights = Softmax()(MatMul()(q, Transpose((0, 2, 1))(k)))
    y = MatMul()(weights, v)
    seen = Graph("attention", (q, k, v), (y, weights), ("y", "weights"))
    other_axis = MatMul()(Softmax(1)(MatMul()(q, Transpose((0, 2, 1))(k))), v)
    clipped = MatMul()(Where()(IsNaN()(weights), np.float32(1), weights), v)
    scaled_mask = MatMul()(
        Softmax()(Mul()(Add()(MatMul()(q, Transpose((0, 2, 1))(k)), causal(8)[0]), np.float32(2))), v
    )
    for graph in (seen, *(Graph("attention", (q, k, v), (n,), ("y",)) for n in (other_axis, clipped, scaled_mask))):
        assert fuse_attention(graph, 16) is graph
        given = arrays(graph.inputs)
        np.testing.assert_allclose(
            minicc.compile(graph)(*given)[0], graph.interpret(given, lambda n, a: n.op.numpy(*a))[0], atol=1e-5
        )


@given(st.data())
def test_any_sizes_masks_and_strides(data):
    draw = data.draw
    batch, heads, queries, keys = (draw(st.integers(1, n)) for n in (3, 3, 40, 40))
    queries, depth, target = (
        max(queries, 4),
        draw(st.sampled_from((1, 3, 8, 16, 24, 40))),
        draw(st.sampled_from(TARGETS)),
    )
    shapes = draw(st.lists(st.tuples(*[st.sampled_from((1, n)) for n in (batch, heads, queries, keys)]), max_size=2))

    def scores(q, k):
        x = MatMul()(q, turned(k))
        for mask in masks:
            x = Add()(x, mask)
        return x

    masks = [np.random.default_rng(n).standard_normal(shape).astype(np.float32) for n, shape in enumerate(shapes)]
    graph = projected(batch, heads, queries, keys, depth, scores)
    given = arrays(graph.inputs)
    expected = together(exact(*[split(a, heads) for a in given], 1.0, masks))
    np.testing.assert_allclose(run(graph, given, target, draw(st.sampled_from((1, 2)))), expected, atol=1e-5)
    assert found(graph) == ["ScaledAttention"]


def test_errors_say_what_is_expected():
    op = ScaledAttention(1, 1, 4, 4, 2, 1.0, (8, 8, 2, 0), (8, 8, 2, 0), (8, 8, 2, 0))
    flat = TensorType(float32, (8,))
    for types, words in (
        ((flat, flat, TensorType(float64, (8,))), "masks of float32"),
        ((flat, flat, TensorType(float32, (7,))), "more than 7 elements"),
        ((flat, flat, flat, TensorType(float32, (1, 1, 3, 4))), "a mask that repeats to"),
    ):
        with pytest.raises(TypeInferenceError, match=words):
            op.infer(*types)
    with pytest.raises(TypeInferenceError, match="sizes of 1 or more"):
        ScaledAttention(0, 1, 4, 4, 2, 1.0, op.q, op.k, op.v).infer(flat, flat, flat)
