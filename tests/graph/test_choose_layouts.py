"""Channels last: the same values, no more transposes than at the borders, and the same graph the second time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graph_cases import arrays_for, f32, graph_of
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc
from minicc import ops
from minicc.graph import Graph, Node, constant, evaluate, input, parse, verify
from minicc.graph.choose_layouts import choose_layouts, is_slow_pool, suits
from minicc.graph.fold_constants import fold_constants
from minicc.graph.simplify_graph import simplify_graph
from minicc.target import Target
from minicc.types import TensorType, float16, float32, float64

TARGET = Target.of("haswell")
rng = np.random.default_rng(0)


def weights(*shape: int, dtype: Any = np.float32) -> Node:
    return constant((rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))).astype(dtype))


def conv(x: Node, outputs: int, kernel: int = 3, groups: int = 1, **attributes: Any) -> Node:
    rank = x.type.rank - 2
    w = weights(outputs, x.shape[1] // groups, *[kernel] * rank, dtype=x.dtype.numpy)
    return ops.Conv(padding=(kernel // 2,) * (2 * rank), groups=groups, **attributes)(x, w)


def moving(graph: Graph) -> int:
    """How many transposes of computed values move something."""
    return sum(n.op.name == "Transpose" and n.inputs[0].op.name != "Constant" for n in graph.nodes)


def chosen(graph: Graph) -> Graph:
    """The graph after the pass, and what follows it in the pipeline before fusion."""
    return simplify_graph(fold_constants(choose_layouts(graph, TARGET)))


def checked(*outputs: Node, borders: int = 2, exact: bool = False) -> Graph:
    """The outputs with layouts chosen, which are the same values, with so many transposes at most."""
    graph = graph_of(*outputs)
    before = evaluate(graph, arrays_for(graph))
    made = chosen(graph)
    verify(made)
    got = evaluate(made, arrays_for(graph))
    for name, expected in before.items():
        assert got[name].dtype == expected.dtype and got[name].shape == expected.shape
        np.testing.assert_allclose(got[name], expected, rtol=1e-4, atol=1e-5)
    assert moving(made) <= borders, made
    assert parse(str(made), made.constants).same_as(made)
    again = choose_layouts(made, TARGET)
    assert moving(simplify_graph(again)) <= moving(made)
    return made


def names(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes if n.inputs]


image = input("x", f32(1, 8, 9, 7))


def test_a_convolution_has_channels_last_between_two_transposes() -> None:
    assert names(checked(conv(image, 16))) == ["Transpose", "PackedConv", "Transpose"]


@pytest.mark.parametrize("shape", [(2, 8, 11), (1, 3, 6, 5), (1, 3, 4, 5, 6)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_to_three_dimensions(shape: tuple[int, ...], dtype: str) -> None:
    x = input("x", TensorType(minicc.types.DType.of(dtype), shape))
    assert "PackedConv" in names(checked(conv(conv(x, 5), 17, 1)))


def test_what_does_not_suit_stays() -> None:
    half = input("x", TensorType(float16, (1, 4, 5, 5)))
    small = input("x", f32(1, 4, 2, 2))
    computed = ops.Conv()(small, input("w", f32(5, 4, 1, 1)))
    for n in (conv(half, 8), computed):
        graph = graph_of(n)
        assert not suits(n) and choose_layouts(graph, TARGET) is graph


def test_computed_weights_are_packed_where_the_result_is_large() -> None:
    checked(ops.Conv(padding=(1,) * 4)(image, input("w", f32(16, 8, 3, 3))), borders=3)


def test_elementwise_operators_follow_with_their_constants() -> None:
    x = conv(image, 16)
    x = ops.PRelu()(ops.Add()(x, weights(16, 1, 1)), weights(16, 1, 1))
    x = ops.Clip()(ops.Mul()(x, weights(1, 16, 1, 1)), constant(np.float32(0)), constant(np.float32(6)))
    made = checked(ops.Add()(x, weights(1, 16, 9, 7)))
    assert names(made)[-1] == "Transpose"


def test_a_residual_network_has_two_transposes() -> None:
    x = ops.Relu()(conv(image, 16))
    for _ in range(3):
        x = ops.Relu()(ops.Add()(conv(ops.Relu()(conv(x, 16)), 16), x))
    checked(x)


def test_a_value_read_in_both_orders_is_brought_back_once() -> None:
    x = conv(image, 16)
    flat = ops.Reshape((1, 16 * 63))(x)
    made = checked(ops.MatMul()(flat, weights(16 * 63, 4)), ops.Softmax(-1)(flat), x)
    assert names(made).count("Transpose") == 2


def test_squeeze_and_excite() -> None:
    x = conv(image, 16)
    s = ops.Relu()(conv(ops.ReduceMean((2, 3))(x), 4, 1))
    checked(conv(ops.Mul()(x, ops.HardSigmoid()(conv(s, 16, 1))), 8, 1))
    pooled = ops.Reshape((1, 16))(ops.ReduceMean((2, 3), keepdims=False)(x))
    gate = ops.Sigmoid()(ops.MatMul()(pooled, weights(16, 16)))
    checked(conv(ops.Mul()(x, ops.Reshape((1, 16, 1, 1))(gate)), 8, 1))


def test_axes_are_mapped() -> None:
    x = conv(image, 16)
    parts = [ops.Split(1, (4, 12), 2, k)(x) for k in range(2)]
    x = ops.Concat(1)(parts[1], parts[0], ops.Slice((2,), (6,), (1,))(x))
    x = ops.Softmax(1)(ops.Pad((0, 0, 1, 2, 0, 0, 0, 1))(x))
    x = ops.Gather(2)(x, constant(np.array([3, 1, 1, 2])))
    made = checked(conv(x, 8))
    assert next(n.op for n in made.nodes if n.op.name == "Softmax") == ops.Softmax(3)


def test_a_transpose_to_channels_last_is_nothing() -> None:
    x = conv(image, 16)
    last = ops.LayerNormalization(-1)(ops.Transpose((0, 2, 3, 1))(x), weights(16), weights(16))
    y = ops.MatMul()(ops.Mul()(last, weights(16)), weights(16, 16))
    x = ops.Add()(x, ops.Transpose((0, 3, 1, 2))(y))
    scaled = ops.Mul()(ops.Transpose((0, 3, 1, 2))(ops.Transpose((0, 2, 3, 1))(x)), weights(16, 1, 1))
    checked(conv(ops.Add()(x, scaled), 8))


def test_patches_become_tokens_and_images_again_without_moving() -> None:
    x = conv(image, 16)
    tokens = ops.Transpose((0, 2, 1))(ops.Reshape((1, 16, 63))(x))
    mixed = ops.MatMul()(ops.LayerNormalization()(tokens, weights(16)), weights(16, 16))
    back = ops.Reshape((1, 16, 9, 7))(ops.Transpose((0, 2, 1))(mixed))
    checked(ops.Transpose((0, 2, 1))(ops.Reshape((1, 16, 63))(conv(back, 16, groups=16))), borders=1)


def test_detection_heads_and_pixel_shuffles() -> None:
    x = conv(conv(image, 16), 24)
    head = ops.Transpose((0, 1, 3, 4, 2))(ops.Reshape((1, 3, 8, 9, 7))(x))
    checked(ops.Reshape((1, 189, 8))(ops.Sigmoid()(head)))
    depth = simplify_graph(minicc.graph.expand_composites(graph_of(ops.DepthToSpace(2)(x)))).outputs[0]
    checked(conv(depth, 8), borders=3)  # one moves the pixels


def test_a_graph_without_convolutions_is_itself() -> None:
    graph = graph_of(ops.MatMul()(ops.Relu()(ops.Transpose((1, 0))(input("x", f32(4, 5)))), weights(4, 3)))
    assert choose_layouts(graph, TARGET) is graph


def test_operators_that_cannot_follow_get_what_they_ask_for() -> None:
    x = ops.Relu()(conv(image, 16))
    checked(conv(ops.LRN(3)(x), 8), borders=4)
    checked(ops.GatherND()(x, constant(np.zeros((1, 4), np.int64))))


# ---- random networks --------------------------------------------------------------------------------------------


Draw = Callable[..., Any]


def _conv(draw: Draw, x: Node, made: list[Node]) -> Node:
    fields = {"strides": (2, 2)} if draw(st.booleans()) else {}
    return conv(x, draw(st.sampled_from([1, 3, 8, 17])), draw(st.sampled_from([1, 3])), **fields)


def _groups(draw: Draw, x: Node, made: list[Node]) -> Node:
    return conv(x, x.shape[1] * draw(st.sampled_from([1, 1, 2, 3])), groups=x.shape[1])


def _activation(draw: Draw, x: Node, made: list[Node]) -> Node:
    return draw(st.sampled_from([ops.Relu(), ops.LeakyRelu(), ops.HardSwish(), ops.Tanh(), ops.Softmax(1)]))(x)


def _scale(draw: Draw, x: Node, made: list[Node]) -> Node:
    return draw(st.sampled_from([ops.Add(), ops.Mul()]))(x, weights(x.shape[1], 1, 1, dtype=x.dtype.numpy))


def _residual(draw: Draw, x: Node, made: list[Node]) -> Node:
    same = [y for y in made if y.shape == x.shape]
    return draw(st.sampled_from([ops.Add(), ops.Mul(), ops.Sub()]))(x, draw(st.sampled_from(same)))


def _concat(draw: Draw, x: Node, made: list[Node]) -> Node:
    fitting = [y for y in made if (y.shape[0], *y.shape[2:]) == (x.shape[0], *x.shape[2:])]
    return ops.Concat(1)(draw(st.sampled_from(fitting)), x)


def _excite(draw: Draw, x: Node, made: list[Node]) -> Node:
    return ops.Mul()(x, ops.Sigmoid()(conv(ops.ReduceMean((2, 3))(x), x.shape[1], 1)))


def _pool(draw: Draw, x: Node, made: list[Node]) -> Node:
    pool, strides = draw(st.sampled_from([ops.MaxPool, ops.AveragePool])), draw(st.sampled_from([(1, 1), (2, 2)]))
    return pool(kernel=(2, 2), strides=strides, padding=(0, 0, 1, 1))(x)


def _resize(draw: Draw, x: Node, made: list[Node]) -> Node:
    return ops.Gather(2)(x, constant(np.arange(2 * x.shape[2]) // 2)) if x.shape[2] < 12 else x


def _norm(draw: Draw, x: Node, made: list[Node]) -> Node:
    last = ops.Transpose((0, 2, 3, 1))(x)
    return ops.Transpose((0, 3, 1, 2))(ops.LayerNormalization()(last, weights(x.shape[1], dtype=x.dtype.numpy)))


def _pad(draw: Draw, x: Node, made: list[Node]) -> Node:
    return ops.Pad((0, 0, 0, 1, 0, 0, 1, 0))(x)


def _slice(draw: Draw, x: Node, made: list[Node]) -> Node:
    return ops.Slice((x.shape[1] // 2,), (x.shape[1],), (1,))(x)


def _tokens(draw: Draw, x: Node, made: list[Node]) -> Node:
    batch, channels, *spatial = x.shape
    tokens = ops.Transpose((0, 2, 1))(ops.Reshape((batch, channels, spatial[0] * spatial[1]))(x))
    tokens = ops.MatMul()(tokens, weights(channels, channels, dtype=x.dtype.numpy))
    return ops.Reshape(x.shape)(ops.Transpose((0, 2, 1))(tokens))


BLOCKS = (_conv, _conv, _groups, _activation, _scale, _residual, _concat, _excite, _pool, _resize, _norm, _pad, _slice,
          _tokens)  # fmt: skip


@st.composite
def networks(draw: Callable[..., Any], dtype: Any = float64) -> Graph:
    """A random convolutional network of one input and one or two outputs."""
    start = (
        draw(st.integers(1, 2)),
        draw(st.sampled_from([1, 3, 8])),
        draw(st.integers(1, 7)),
        draw(st.integers(1, 7)),
    )
    x = input("x", TensorType(dtype, start))
    made = [x]
    for _ in range(draw(st.integers(1, 8))):
        y = draw(st.sampled_from(BLOCKS))(draw, made[-1], made)
        if 0 not in y.shape and y.dtype is dtype:
            made.append(y)
    outputs = [made[-1]]
    if len(made) > 2 and draw(st.booleans()):
        outputs.append(draw(st.sampled_from(made[1:-1])))
    return graph_of(*dict.fromkeys(outputs))


@given(networks())
def test_random_networks_keep_their_values(graph: Graph) -> None:
    graph = simplify_graph(graph)
    before, made = evaluate(graph, arrays_for(graph)), chosen(graph)
    verify(made)
    got = evaluate(made, arrays_for(graph))
    for name, expected in before.items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-9, atol=1e-9)
    assert moving(simplify_graph(choose_layouts(made, TARGET))) <= moving(made)
    borders = len(graph.inputs) + len(graph.outputs)
    borders += 2 * sum(n.op.name == "Conv" for n in made.nodes)  # of few outputs: their channels stay first
    borders += 2 * sum(is_slow_pool(n, TARGET) for n in graph.nodes)
    assert moving(made) <= moving(graph) + borders, f"{graph}\n{made}"


@settings(max_examples=max(3, settings().max_examples // 8))
@given(networks(float32))
def test_compiled_networks_give_what_the_graph_gives(graph: Graph) -> None:
    arrays = arrays_for(graph)
    got = minicc.compile(graph, threads=1).run(arrays)
    for name, expected in evaluate(graph, arrays).items():
        np.testing.assert_allclose(got[name], expected, rtol=2e-3, atol=2e-3 * max(1, np.abs(expected).max(initial=0)))


@pytest.mark.parametrize("kind", [ops.MaxPool, ops.AveragePool])
@pytest.mark.parametrize(("shape", "k", "stride", "moves"), [
    ((1, 256, 13, 13), 5, 1, True), ((1, 512, 7, 7), 3, 2, True), ((1, 3, 13, 13), 5, 1, False),
    ((1, 256, 12, 12), 2, 2, False), ((1, 64, 112, 112), 3, 2, False), ((1, 192, 35, 35), 3, 1, False),
])  # fmt: skip
def test_a_pool_of_short_rows_goes_channels_last_alone(kind, shape, k, stride, moves) -> None:
    y = kind(kernel=(k, k), strides=(stride, stride))(input("x", TensorType(float32, shape)))
    graph = choose_layouts(Graph("main", y.inputs, (y,), ("y",)), Target.of("skylake-avx512"))
    assert any(n.op.name == "Transpose" for n in graph.nodes) == moves


@pytest.mark.parametrize(("behind", "outputs", "kernel", "groups", "stays", "moves"), [
    (False, 1, 3, 1, True, 0), (False, 1, 1, 1, True, 0), (False, 2, 3, 1, True, 0), (False, 3, 3, 1, False, 2),
    (True, 1, 3, 1, True, 2), (True, 4, 3, 4, True, 2), (True, 1, 1, 1, False, 1), (True, 2, 3, 1, False, 2),
])  # fmt: skip
def test_a_convolution_of_few_outputs_has_channels_first(behind, outputs, kernel, groups, stays, moves) -> None:
    """Its outputs fill no vector, its positions do; behind channels last only where nothing else is fast."""
    x = input("x", TensorType(float32, (2, 8, 9, 19)))
    y = conv(conv(x, 16) if behind else x, outputs, kernel, groups)
    graph = graph_of(y)
    made = chosen(graph)
    assert any(n.op.name == "Conv" for n in made.nodes) == stays
    assert moving(made) == moves
    arrays = arrays_for(graph)
    (expected,), (got,) = evaluate(graph, arrays).values(), minicc.compile(graph, threads=1).run(arrays).values()
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)
