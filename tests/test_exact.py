"""`exact=True`: the plain order of every sum, every operation rounded, whatever the machine and the number of threads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import minicc
from minicc import ops
from minicc.cli import app
from minicc.graph import ir
from minicc.target import Target
from minicc.types import TensorType

RANDOM = np.random.default_rng(0)
NATIVE = Target.native()
TARGETS = [replace(Target.of(name), triple=NATIVE.triple) for name in ("haswell", "x86-64", "skylake-avx512")]
RUNNABLE = [NATIVE, *[target for target in TARGETS if not target.lacking()]]


def array(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def run(graph: ir.Graph, x: np.ndarray, **how) -> np.ndarray:
    return next(iter(minicc.compile(graph, **how).run({"x": x}).values()))


def graph(make, x: np.ndarray) -> ir.Graph:
    node = ir.input("x", TensorType.of(x))
    return ir.Graph("main", (node,), (make(node),), ("y",))


def added_up(terms) -> np.ndarray:
    """Term by term in float32."""
    total = np.float32(0)
    for term in terms:
        total = total + term
    return np.asarray(total)


def test_a_sum_is_in_plain_order() -> None:
    x = array(3, 5000)
    got = run(graph(ops.ReduceSum(axes=(1,), keepdims=False), x), x, exact=True)
    np.testing.assert_array_equal(got, added_up(x.T))


def test_a_product_is_in_plain_order() -> None:
    x, w = array(7, 1500), array(1500, 40)
    got = run(graph(lambda n: ops.MatMul()(n, ir.constant(w)), x), x, exact=True)
    np.testing.assert_array_equal(got, added_up(x[:, k, None] * w[k] for k in range(1500)))


def test_a_convolution_is_in_plain_order() -> None:
    x, w = array(1, 32, 14, 14), array(64, 32, 3, 3)
    scale = array(64, 1, 1)
    made = graph(lambda n: ops.Mul()(ops.Conv(padding=(1, 1, 1, 1))(n, ir.constant(w)), ir.constant(scale)), x)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    taps = np.ndindex(32, 3, 3)
    terms = (padded[:, c, None, i : i + 14, j : j + 14] * w[:, c, i, j, None, None] for c, i, j in taps)
    np.testing.assert_array_equal(run(made, x, exact=True), added_up(terms) * scale)


@pytest.mark.parametrize("make", [
    lambda n: ops.Softmax(axis=-1)(ops.MatMul()(n, ir.constant(array(96, 80)))),
    lambda n: ops.LayerNormalization()(n, ir.constant(np.ones(96, np.float32))),
    lambda n: ops.Tanh()(ops.ReduceMean(axes=(1,))(n)),
])  # fmt: skip
def test_the_same_bits_everywhere(make) -> None:
    x = array(64, 96)
    made = graph(make, x)
    wanted = run(made, x, exact=True, threads=1)
    for target in RUNNABLE:
        for threads in (1, 2):
            np.testing.assert_array_equal(run(made, x, target=target, threads=threads, exact=True), wanted, str(target))


def test_commands(tmp_path) -> None:
    onnx = pytest.importorskip("onnx")
    nodes = [onnx.helper.make_node("MatMul", ["x", "x"], ["y"])]
    ports = [onnx.helper.make_tensor_value_info(name, 1, (64, 64)) for name in "xy"]
    made = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", ports[:1], ports[1:]))
    onnx.save(made, tmp_path / "m.onnx")
    for command in ("compile", "run"):
        result = CliRunner().invoke(app, [command, str(tmp_path / "m.onnx"), "--exact"])
        assert result.exit_code == 0, result.output
