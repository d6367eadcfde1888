"""What the tests of the command line share: small model files, and a call of `minicc` with its outcome."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from minicc import cli


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


class Minicc:
    """`minicc(*arguments)` runs the command line in this process."""

    def __init__(self, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.patch, self.capture = patch, capture

    def __call__(self, *arguments: Any) -> Outcome:
        self.patch.setattr(sys, "argv", ["minicc", *map(str, arguments)])
        self.patch.setenv("COLUMNS", "120")
        self.capture.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Outcome(code, *self.capture.readouterr())

    def good(self, *arguments: Any) -> str:
        """The output of a command that must succeed."""
        outcome = self(*arguments)
        assert outcome.code == 0, outcome.err
        return outcome.out


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[tuple[str, int, Sequence[int | str]]],
    outputs: Sequence[str],
    weights: dict[str, np.ndarray] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "net",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def small_network() -> onnx.ModelProto:
    """y = softmax(relu(x @ w + b)) for x[batch, 6], and x comes out again: two kernels."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.standard_normal((6, 5)).astype(np.float32),
        "b": random.standard_normal(5).astype(np.float32),
    }
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["m", "b"], ["a"]),
             helper.make_node("Relu", ["a"], ["r"]), helper.make_node("Softmax", ["r"], ["y"], axis=-1)]  # fmt: skip
    return model(nodes, [("x", TensorProto.FLOAT, ["batch", 6])], ["y", "r"], weights)


def small_network_reference(x: np.ndarray) -> dict[str, np.ndarray]:
    weights = {t.name: numpy_helper.to_array(t).astype(np.float64) for t in small_network().graph.initializer}
    r = np.maximum(x.astype(np.float64) @ weights["w"] + weights["b"], 0)
    e = np.exp(r - r.max(-1, keepdims=True))
    return {"y": e / e.sum(-1, keepdims=True), "r": r}


def waiting_network() -> onnx.ModelProto:
    """z = relu(reshape(x, s)): the value of an input decides a shape."""
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    return model(nodes, [("x", TensorProto.FLOAT, [2, 3]), ("s", TensorProto.INT64, [2])], ["z"])


def saved(proto: onnx.ModelProto, path: Path) -> Path:
    path.write_bytes(proto.SerializeToString())
    return path
