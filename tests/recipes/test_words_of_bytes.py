"""Contractions of bytes by the recipes of floats: exact on every processor, four products a step."""

from __future__ import annotations

import numpy as np
import pytest

import minicc
from minicc import ops
from minicc.graph.ir import Graph, constant, input
from minicc.target import Target
from minicc.types import TensorType, uint8

PROCESSORS = ("native", "haswell", "cascadelake")


def run(graph: Graph, target: str, *arrays: np.ndarray) -> np.ndarray:
    if Target.of(target).lacking():
        pytest.skip("this machine does not run such code")
    (result,) = minicc.compile(graph, target=target)(*arrays)
    return result


@pytest.mark.parametrize("target", PROCESSORS)
@pytest.mark.parametrize(("kernel", "stride", "channels"), [(1, 1, 40), (3, 1, 64), (3, 2, 24)])
def test_convolutions(kernel: int, stride: int, channels: int, target: str) -> None:
    random = np.random.default_rng(kernel)
    x = random.integers(0, 256, (1, 13, 14, 32)).astype(np.uint8)
    w = random.integers(-128, 128, (channels // 8, kernel, kernel, 8, 8, 4)).astype(np.int8)
    pad = kernel // 2
    data = input("x", TensorType(uint8, x.shape))
    op = ops.PackedConvInteger(channels, (stride,) * 2, (pad,) * 4, fill=7)
    result = op(ops.AsWords()(data), constant(ops.AsWords().numpy(w)[..., 0]))
    graph = Graph("convolution", (data,), (result,), ("y",))
    around = np.pad(x.astype(np.int64), ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=7)
    seen = np.lib.stride_tricks.sliding_window_view(around, (kernel, kernel), (1, 2))[:, ::stride, ::stride]
    weights = w.transpose(0, 4, 3, 5, 1, 2).reshape(channels, 32, kernel, kernel).astype(np.int64)
    expected = np.einsum("nhwcij,ocij->nhwo", seen, weights)
    np.testing.assert_array_equal(run(graph, target, x), expected)


@pytest.mark.parametrize("target", PROCESSORS)
@pytest.mark.parametrize("rows", [1, 50])
def test_products_of_matrices(rows: int, target: str) -> None:
    random = np.random.default_rng(rows)
    a = random.integers(0, 256, (rows, 1100)).astype(np.uint8)
    b = random.integers(-128, 128, (3, 275, 32, 4)).astype(np.int8)
    data = input("a", TensorType(uint8, a.shape))
    result = ops.PackedMatMulInteger(90)(ops.AsWords()(data), constant(ops.AsWords().numpy(b)[..., 0]))
    graph = Graph("product", (data,), (result,), ("c",))
    whole = b.transpose(1, 3, 0, 2).reshape(1100, 96)[:, :90]
    np.testing.assert_array_equal(run(graph, target, a), a.astype(np.int64) @ whole.astype(np.int64))


def test_a_step_is_one_instruction_where_there_is_one() -> None:
    a, b = input("a", TensorType(uint8, (64, 256))), np.zeros((2, 64, 32), np.int32)
    graph = Graph("product", (a,), (ops.PackedMatMulInteger(64)(ops.AsWords()(a), constant(b)),), ("c",))
    assembly = minicc.compile(graph, target="cascadelake").stages["asm"]
    assert "vpdpbusd" in assembly and "vpmulld" not in assembly
