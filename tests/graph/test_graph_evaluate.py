"""Evaluation is NumPy, and refuses inputs that do not fit."""

import weakref
from typing import Any

import numpy as np
import pytest
from graph_cases import f32, graph_of

from minicc import ops
from minicc.errors import GraphError
from minicc.graph import evaluate, input
from minicc.ir.node import node
from minicc.ops.base import OPERAND, Kind, Operator
from minicc.types import Symbol, TensorType, int64

x, y = input("x", f32(Symbol("n"), 3)), input("y", f32(Symbol("n"), 1))
ONES = np.ones((2, 3), np.float32)


def test_values() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3)).astype(np.float32), rng.normal(size=(2, 1)).astype(np.float32)
    graph = graph_of(ops.Mul()(ops.Add()(x, y), x), x, ops.Relu()(y))
    got = evaluate(graph, {"x": a, "y": b})
    np.testing.assert_array_equal(got["out0"], (a + b) * a)
    np.testing.assert_array_equal(got["out1"], a)
    np.testing.assert_array_equal(got["out2"], np.maximum(b, 0))


def test_operands_take_their_values_at_run_time() -> None:
    n = input("n", TensorType(int64, (2,)))
    graph = graph_of(ops.Relu()(ops.Reshape(OPERAND)(x, n)))
    assert graph.outputs[0].inferred is None
    assert evaluate(graph, {"x": ONES, "n": np.int64([3, -1])})["out0"].shape == (3, 2)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"x": ONES}, "no array for input y"),
    ({"x": ONES, "y": ONES, "z": ONES}, "no such input: z"),
    ({"x": ONES.astype(np.float64), "y": ONES[:, :1]}, r"input x must be float32\[n,3\], got float64\[2,3\]"),
    ({"x": np.array([["a"] * 3] * 2), "y": ONES[:, :1]}, "input x must be"),
    ({"x": ONES[:, :2], "y": ONES[:, :1]}, r"input x must be float32\[n,3\] where n is 2, got shape \(2, 2\)"),
    ({"x": ONES[0], "y": ONES[:, :1]}, r"got shape \(3,\)"),
    ({"x": ONES, "y": ONES[:1, :1]}, r"input y must be float32\[n,1\] where n is 2, got shape \(1, 1\)"),
]


@pytest.mark.parametrize(("inputs", "message"), BAD)
def test_bad_inputs(inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        evaluate(graph_of(ops.Add()(x, y)), inputs)


@node
class Liar(Operator):
    """An operator whose reference does not keep what inference promised."""

    kind = Kind.OPAQUE

    def infer(self, x: TensorType) -> TensorType:
        return f32(7)

    def numpy(self, x: Any) -> Any:
        return x


def test_a_reference_that_breaks_its_promise() -> None:
    graph = graph_of(Liar()(input("x", f32(2, 3))))
    with pytest.raises(GraphError, match=r"must give float32\[7\], its reference gave float32\[2,3\]"):
        evaluate(graph, {"x": ONES})


def test_dead_values_are_dropped() -> None:
    alive: list[Any] = []

    @node
    class Watch(Operator):
        def infer(self, x: TensorType) -> TensorType:
            return x

        def numpy(self, x: Any) -> Any:
            alive.append(weakref.ref(result := x + 1))
            assert sum(a() is not None for a in alive) <= 2
            return result

    value = input("x", f32(2, 3))
    for _ in range(10):
        value = Watch()(value)
    evaluate(graph_of(value), {"x": ONES})
