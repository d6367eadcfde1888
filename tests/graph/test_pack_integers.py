"""Contractions of bytes, packed: any signs, depths that are no words, groups, padding that stands for 0, on any target."""

from __future__ import annotations

import numpy as np
import pytest

import minicc
from minicc import ops
from minicc.compile import optimize
from minicc.graph import Graph, Kernel, Node, constant, evaluate, input
from minicc.target import Target
from minicc.types import DType, TensorType, int8, uint8

TARGETS = Target.of("haswell"), Target.of("cascadelake")
DTYPES = [(uint8, int8), (int8, uint8)]


def any_of(dtype: DType, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    low, high = dtype.range
    return np.random.default_rng(seed).integers(low, high + 1, shape).astype(dtype.numpy)


def check(inputs: tuple[Node, ...], result: Node, *arrays: np.ndarray) -> set[str]:
    """The names of the operators that are left; the values are exact before and after, and so is machine code."""
    graph = Graph("bytes", inputs, (result,), ("y",))
    given = dict(zip(graph.input_names, arrays, strict=True))
    expected = evaluate(graph, given)["y"]
    for target in TARGETS:
        made = optimize(graph, target)
        np.testing.assert_array_equal(evaluate(made, given)["y"], expected)
        if not target.lacking():
            np.testing.assert_array_equal(minicc.compile(graph, target)(*arrays)[0], expected)
    kernels = [n.op.body for n in made.nodes if isinstance(n.op, Kernel)]
    return {n.op.name for body in kernels for n in body.nodes}


@pytest.mark.parametrize(("left", "right"), DTYPES)
@pytest.mark.parametrize(("rows", "depth", "columns", "constants"), [((5,), 8, 20, True), ((2, 3), 7, 33, False)])
def test_products(rows: tuple[int, ...], depth: int, columns: int, constants: bool, left: DType, right: DType) -> None:
    a, b = any_of(left, (*rows, depth)), any_of(right, (depth, columns), 1)
    x, y = input("a", TensorType(left, a.shape)), input("b", TensorType(right, b.shape))
    if constants:
        assert "PackedMatMulInteger" in check((x,), ops.MatMulInteger()(x, constant(b)), a)
    else:
        assert "PackedMatMulInteger" in check((x, y), ops.MatMulInteger()(x, y), a, b)


@pytest.mark.parametrize(
    ("channels", "groups", "kernel", "dtype"), [(3, 1, 3, uint8), (16, 1, 1, int8), (16, 2, 2, int8)]
)
def test_convolutions(channels: int, groups: int, kernel: int, dtype: DType) -> None:
    a, w = any_of(dtype, (2, channels, 9, 7)), any_of(int8, (24, channels // groups, kernel, kernel), 1)
    x = input("x", TensorType(dtype, a.shape))
    op = ops.ConvInteger(strides=(1, 2), padding=(1, 0, 2, 1), groups=groups, fill=5)
    narrow = np.minimum(w, 0).astype(np.int16)  # as weights without their zero point are
    assert "PackedConvInteger" in check((x,), op(x, constant(narrow)), a)


def test_a_kernel_for_each_channel() -> None:
    a, w = any_of(int8, (1, 20, 9, 7)), any_of(int8, (20, 1, 3, 3), 1)
    x = input("x", TensorType(int8, a.shape))
    result = ops.ConvInteger(padding=(1, 1, 1, 1), groups=20, fill=-7)(x, constant(w))
    assert "DepthwiseConvInteger" in check((x,), result, a)


def test_weights_of_nine_bits_are_multiplied_in_pairs() -> None:
    a, w = any_of(uint8, (1, 6, 5, 5)), any_of(uint8, (24, 6, 3, 3), 1).astype(np.int16) - 200
    x = input("x", TensorType(uint8, a.shape))
    assert "PackedConvInteger" in check((x,), ops.ConvInteger()(x, constant(w)), a)
    m, b = any_of(uint8, (7, 9)), any_of(uint8, (9, 20), 1).astype(np.int16) - 200
    y = input("m", TensorType(uint8, m.shape))
    assert "PackedMatMulInteger" in check((y,), ops.MatMulInteger()(y, constant(b)), m)


@pytest.mark.parametrize("groups", [1, 4])
def test_padding_that_is_not_0_counts_under_taps_that_meet_no_data(groups: int) -> None:
    a, w = any_of(uint8, (1, 4, 3, 5)), any_of(int8, (8 if groups == 1 else 4, 4 // groups, 7, 1), 1)
    x = input("x", TensorType(uint8, a.shape))
    result = ops.ConvInteger(strides=(2, 2), padding=(3, 0, 3, 0), groups=groups, fill=28)(x, constant(w))
    around = np.pad(a.astype(np.int64), ((0, 0), (0, 0), (3, 3), (0, 0)), constant_values=28)
    seen = np.lib.stride_tricks.sliding_window_view(around, (7, 1), (2, 3))[:, :, ::2, ::2]
    parts = zip(np.split(seen, groups, axis=1), np.split(w.astype(np.int64), groups), strict=True)
    expected = np.concatenate([np.einsum("nchwij,ocij->nohw", s, v) for s, v in parts], axis=1)
    np.testing.assert_array_equal(evaluate(Graph("g", (x,), (result,), ("y",)), {"x": a})["y"], expected)
    check((x,), result, a)
