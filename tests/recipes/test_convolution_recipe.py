"""Direct convolution: the recipe against NumPy in float64, over generated shapes, targets and threads."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc
from minicc import ops, te
from minicc.graph.ir import Graph, constant, input
from minicc.loop.lower import lower
from minicc.ops.packed import PackedConv
from minicc.recipes.registry import CONVOLUTION
from minicc.target import Caches, Target
from minicc.types import TensorType, float32

TARGETS = [name for name in ("native", "haswell", "skylake-avx512", "x86-64-v2") if not Target.of(name).lacking()]

CACHES = [Caches(), Caches(l2=4 << 10), Caches(l2=64 << 10, l3=8 << 10)]  # small: weights, or all, come from far away


def packed(w, groups, block):
    """Weights `[O, C/groups, kernel...]` as PackedConv takes them."""
    outputs, inputs, *kernel = w.shape
    each = outputs // groups
    padded = np.zeros((groups, -(-each // block) * block, inputs, *kernel), w.dtype)
    padded[:, :each] = w.reshape(groups, each, inputs, *kernel)
    blocks = padded.reshape(-1, block, inputs, *kernel)
    return np.ascontiguousarray(np.moveaxis(blocks, (1, 2), (-1, -2)))


def layer(draw):
    """An operator, its data and its weights, drawn."""
    rank = draw(st.integers(1, 3))
    kernel = [draw(st.sampled_from([1, 1, 2, 3, 5])) for _ in range(rank)] if draw(st.booleans()) else [1] * rank
    groups = draw(st.sampled_from([1, 1, 1, 2, 4]))
    inputs, each = draw(st.sampled_from([1, 3, 4, 7, 16, 32])), draw(st.sampled_from([1, 4, 17, 24, 32, 40, 70]))
    plain = draw(st.booleans())
    strides = [1] * rank if plain else [draw(st.integers(1, 2)) for _ in range(rank)]
    dilation = [1] * rank if plain else [draw(st.integers(1, 2)) for _ in range(rank)]
    padding = [0] * (2 * rank) if plain else [draw(st.integers(0, 2)) for _ in range(2 * rank)]
    most = {1: 40, 2: 17, 3: 6}[rank]
    size = [max((k - 1) * d + 1, draw(st.integers(1, most))) for k, d in zip(kernel, dilation, strict=True)]
    batch = draw(st.sampled_from([1, 1, 3]))
    op = PackedConv(groups * each, tuple(strides), tuple(padding), tuple(dilation), groups)
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    x = rng.standard_normal((batch, *size, groups * inputs)).astype(np.float32)
    w = rng.standard_normal((groups * each, inputs, *kernel)).astype(np.float32)
    return op, x, packed(w, groups, draw(st.sampled_from([4, 16, 32]))), w


@given(st.data(), st.sampled_from(TARGETS), st.sampled_from([1, 2]), st.sampled_from(["", "bias", "residual", "silu"]))
@settings(deadline=None)
def test_it_is_right(data, name, threads, epilogue):
    op, x, weights, w = layer(data.draw)
    a = input("x", TensorType(float32, x.shape))
    y, expected = op(a, constant(weights)), exact(op, x, w)
    inputs, arrays = [a], [x]
    if epilogue:
        bias = np.linspace(-1, 1, op.channels, dtype=np.float32)
        y, expected = ops.Relu()(ops.Add()(y, constant(bias))), np.maximum(expected + bias, 0)
    if epilogue == "residual":
        more = np.random.default_rng(1).standard_normal(expected.shape).astype(np.float32)
        inputs.append(input("more", TensorType(float32, more.shape)))
        arrays.append(more)
        y, expected = ops.Add()(y, inputs[1]), expected + more
    if epilogue == "silu":
        y, expected = ops.Mul()(y, ops.Sigmoid()(y)), expected / (1 + np.exp(-expected))
    target = replace(Target.of(name).with_threads(threads), caches=data.draw(st.sampled_from(CACHES)))
    (result,) = minicc.compile(Graph("main", tuple(inputs), (y,), ("y",)), target=target)(*arrays)
    assert result.shape == expected.shape
    terms = w[0].size
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=2e-6 * terms**0.5 * (1 + np.abs(expected).max()))


def exact(op, x, w):
    """The convolution in float64, channels last."""
    return np.moveaxis(op.conv(np.moveaxis(x, -1, 1).astype(np.float64), w.astype(np.float64)), 1, -1)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_large_layer_is_shared_out(threads):
    x = np.random.default_rng(0).standard_normal((1, 20, 20, 1024)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((40, 1024, 1, 1)).astype(np.float32)
    op = PackedConv(40)
    graph = Graph(
        "main", (a := input("x", TensorType(float32, x.shape)),), (op(a, constant(packed(w, 1, 32))),), ("y",)
    )
    exe = minicc.compile(graph, target=Target.native().with_threads(threads))
    np.testing.assert_allclose(exe(x)[0], exact(op, x, w), rtol=1e-3, atol=1e-3)
    said = "recipe convolution: a convolution of 1 x 1 taps, 1024 to 40 channels at 400 positions"
    assert said in exe.kernels[0].stages["schedule"]


@pytest.mark.parametrize("choices", [{"columns": 5}, {"columns": 3, "blocks": 7}, {"blocks": 13, "parts": 1}])
@pytest.mark.parametrize("inputs", [40, 1024])  # the weights of many are taken a piece at a time
def test_other_choices_are_right(choices, inputs):
    x = np.random.default_rng(0).standard_normal((1, 13, 13, inputs)).astype(np.float32)
    w = np.random.default_rng(1).standard_normal((70, inputs, 3, 3)).astype(np.float32)
    op = PackedConv(70, padding=(1, 1, 1, 1))
    graph = Graph(
        "main", (a := input("x", TensorType(float32, x.shape)),), (op(a, constant(packed(w, 1, 16))),), ("y",)
    )
    exe = minicc.compile(graph, target="haswell", schedules={"packed_conv": choices})
    np.testing.assert_allclose(exe(x)[0], exact(op, x, w), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("inputs", [672, 1024, 1152])
def test_blocks_are_whole_tiles(inputs):
    x, w = te.placeholder((1, 14, 14, inputs), name="x"), te.placeholder((7, 1, 1, inputs, 16), name="w")
    conv = PackedConv(112).compute(x, w)
    y = te.compute(conv.shape, lambda *i: -conv[i], name="y")
    target = replace(Target.of("skylake-avx512"), caches=Caches(l2=1 << 20))
    s = CONVOLUTION.apply(lower([y], [x, w, y], "pointwise").program, target)
    assert 196 // s.choices["blocks"] % s.choices["columns"] == 0, s.choices


@pytest.mark.parametrize("outputs", [17, 24, 33, 48])
def test_weights_from_far_away_for_vectors_with_a_rest(outputs):
    target = replace(Target.of("skylake-avx512"), caches=Caches(l2=16 << 10))
    x = te.placeholder((1, 9, 9, 64), name="x")
    w = te.placeholder((2, 3, 3, 64, outputs), name="w")
    y = PackedConv(2 * outputs)(x, w)
    made = CONVOLUTION.apply(lower([y], [x, w, y], "conv").program, target)
    assert "s.prefetch(" in str(made.trace)
