"""Winograd's convolution: its matrices are exact, its reference is the convolution, its error has a bound."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import minicc
from minicc import ops
from minicc.compile import optimize
from minicc.errors import TypeInferenceError
from minicc.graph import ir
from minicc.ops.winograd import WinogradConv, WinogradWeights, matrices
from minicc.target import Target
from minicc.testing.oracle import agree
from minicc.types import TensorType, float16, float32


@pytest.mark.parametrize("tile", [2, 4])
def test_matrices_are_a_correlation(tile: int) -> None:
    data, weights, result = matrices(tile)
    d, w = np.random.default_rng(0).standard_normal((2, tile + 2))
    made = result @ ((data @ d) * (weights @ w[:3]))
    np.testing.assert_allclose(made, np.correlate(d, w[:3]), atol=1e-13)
    for matrix in (data, result):  # the machine computes with these numbers, not with rounded ones
        assert (matrix == matrix.astype(np.float32)).all()


@pytest.mark.parametrize("padding", [(), (1, 1, 1, 1), (0, 2, 1, 0)])
@pytest.mark.parametrize("shape", [(1, 3, 3, 1), (2, 7, 10, 5)])
@pytest.mark.parametrize("tile", [2, 4])
def test_reference_is_the_convolution(tile, shape, padding) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(shape), rng.standard_normal((5, shape[3], 3, 3))
    expected = ops.Conv(padding=padding)(x.transpose(0, 3, 1, 2), w).transpose(0, 2, 3, 1)
    u = WinogradWeights(tile, block=4)(w)
    assert u.shape == (2, tile + 2, tile + 2, shape[3], 4)
    np.testing.assert_allclose(WinogradConv(5, tile, padding)(x, u), expected, atol=1e-12)


def test_what_it_refuses() -> None:
    x, u = TensorType(float32, (1, 8, 8, 3)), TensorType(float32, (2, 6, 6, 3, 4))
    assert WinogradConv(7)(np.zeros(x.shape, np.float32), np.zeros(u.shape, np.float32)).shape == (1, 6, 6, 7)
    wrong = [(WinogradConv(9), x, u), (WinogradConv(7, 3), x, u), (WinogradConv(7, 2), x, u), (WinogradConv(7, 4, (1, 1)), x, u),
             (WinogradConv(7), TensorType(float16, x.shape), u), (WinogradConv(7), TensorType(float32, (1, 2, 8, 3)), u)]  # fmt: skip
    for op, *types in wrong:
        with pytest.raises(TypeInferenceError):
            op.infer(*types)
    for weights in (WinogradWeights(3, 4), WinogradWeights(4, 0)):
        with pytest.raises(TypeInferenceError, match="tile of 2 or 4"):
            weights.infer(TensorType(float32, (8, 3, 3, 3)))


def bound(x: np.ndarray, u: np.ndarray, op: WinogradConv) -> np.ndarray:
    """Barabasz et al. 2018, section 3: each element is off by at most the number of roundings on its way times the same
    computation of magnitudes. Roundings grow with the square root of the terms (Higham and Mary 2019)."""
    data, _, result = (np.abs(m) for m in matrices(op.tile))
    whole = np.pad(np.abs(x).astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    tiles = np.lib.stride_tricks.sliding_window_view(whole, (op.size, op.size), (1, 2))[:, :: op.tile, :: op.tile]
    v = np.einsum("ai,nhwcij,bj->abnhwc", data, tiles, data)
    products = np.einsum("abnhwc,Oabco->abnhwOo", v, np.abs(u).astype(np.float64))
    y = np.einsum("pa,abnhwOo,qb->nhpwqOo", result, products, result)
    roundings = 2 * op.size + np.sqrt(x.shape[3]) + 2 * op.size + 1  # transforms, sum, transform, weights
    return roundings * np.finfo(np.float32).eps / 2 * y.reshape(x.shape[0], *x.shape[1:3], -1)[..., : op.channels]


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("depth", [16, 256])
@pytest.mark.parametrize("target", ["native", "haswell"])
def test_the_error_of_machine_code_has_a_bound(tile, depth, target) -> None:
    machine = replace(Target.of(target), triple=Target.native().triple, threads=1)
    if machine.lacking():
        pytest.skip(f"this machine has no {machine.lacking()}")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 8, 8, depth)).astype(np.float32)
    w = (rng.standard_normal((32, depth, 3, 3)) / (9 * depth) ** 0.5).astype(np.float32)
    u, op = WinogradWeights(tile, 32)(w), WinogradConv(32, tile, (1, 1, 1, 1))
    node = op(ir.input("x", TensorType.of(x)), ir.constant(u))
    got = minicc.compile(ir.Graph("main", (node.inputs[0],), (node,), ("y",)), machine).run({"x": x})["y"]
    conv = ops.Conv(padding=(1, 1, 1, 1))(x.transpose(0, 3, 1, 2).astype(np.float64), w.astype(np.float64))
    error, limit = np.abs(got - conv.transpose(0, 2, 3, 1)), bound(x, u, op)
    assert (error < limit).all() and limit.max() < 5e-3  # it is no bound that anything would keep
    assert error.max() < (1e-5 if tile == 2 else 4e-5)  # what is measured: about 3 and 10 times that of a direct sum


def test_its_node_keeps_the_tolerance_of_any_sum() -> None:
    """The policy of the oracle holds as it is: the terms of the sum are those of the transformed weights."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 9, 7, 64)).astype(np.float32)
    w = (rng.standard_normal((40, 64, 3, 3)) / 24).astype(np.float32)
    node = WinogradConv(40, 4, (1, 1, 1, 1))(ir.input("x", TensorType.of(x)), ir.constant(WinogradWeights(4, 32)(w)))
    agree(ir.Graph("main", (node.inputs[0],), (node,), ("y",)), {"x": x}, stages=("llvm",))


@pytest.mark.parametrize("channels", [16, 64])
def test_a_convolution_that_becomes_one_keeps_its_own_tolerance(channels) -> None:
    """That of the oracle for convolutions of 3x3 taps, WINOGRAD times that of other sums."""
    rng = np.random.default_rng(channels)
    x = rng.standard_normal((1, channels, 12, 12)).astype(np.float32)
    conv = ops.Conv(padding=(1, 1, 1, 1))
    node = conv(
        ir.input("x", TensorType.of(x)), ir.constant(rng.standard_normal((channels, channels, 3, 3)).astype(np.float32))
    )
    graph = ir.Graph("main", (node.inputs[0],), (node,), ("y",))
    assert "Winograd" in str(optimize(graph, "skylake-avx512"))
    agree(graph, {"x": x}, stages=("llvm",))
