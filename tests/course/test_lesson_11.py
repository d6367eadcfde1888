"""The exercises of lesson 11: right answers are accepted, wrong ones are told why."""

import numpy as np
import pytest

from minicc import ops
from minicc.course.checks import lesson_11 as check
from minicc.graph import Graph, input
from minicc.types import TensorType, float32


def ones(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def puzzle() -> Graph:
    x = input("picture", TensorType(float32, (1, 4, 12, 12)))
    biased = ops.Add()(ops.Conv()(ops.Abs()(x), ones(4, 4, 3, 3)), ones(1, 4, 1, 1))
    return Graph("puzzle", (x,), (ops.Exp()(ops.MaxPool(kernel=(2, 2))(ops.Relu()(biased))),), ("y",))


def stopped() -> Graph:
    rows = input("rows", TensorType(float32, (8, 32)))
    activated = ops.Relu()(ops.Add()(ops.MatMul()(rows, ones(32, 16)), ones(16)))
    return Graph("stopped", (rows,), (ops.Tanh()(ops.Mul()(activated, ones(4, 8, 16))),), ("y",))


def savings() -> Graph:
    grey = input("grey", TensorType(float32, (256, 256)))
    scaled = ops.Sigmoid()(grey)
    return Graph("savings", (grey,), (ops.Add()(ops.Mul()(scaled, grey), ops.Tanh()(scaled)),), ("y",))


@pytest.mark.parametrize(
    "kernels, why",
    [
        ([["Abs", "Conv", "Add", "Relu"], ["MaxPool", "Exp"]], "Abs and Conv are apart: nothing joins what an anchor"),
        ([["Abs"], ["Conv", "Add", "Relu", "MaxPool", "Exp"]], "Relu and MaxPool are apart"),
        ([["Abs"], ["Conv"], ["Add", "Relu"], ["MaxPool", "Exp"]], "Conv and Add run together"),
        ([["Conv", "Add", "Relu"], ["Abs", "MaxPool", "Exp"]], "nothing to do with each other"),
        ([["Conv", "Add", "Relu"], ["MaxPool", "Exp"]], "expected each of"),
        (["Abs", ["Conv", "Add", "Relu"], ["MaxPool", "Exp"]], "in lists of a list, got 'Abs'"),
        ([["Abs"], ["Conv", "Add", "Relu"], ["Pool", "Exp"]], "got 'Pool'"),
        (None, "in lists of a list, got None"),
    ],
)
def test_kernels_are_predicted(kernels: list[list[str]], why: str) -> None:
    assert check.ex1([["Abs"], ["Conv", "Add", "Relu"], ["MaxPool", "Exp"]], puzzle()).right
    assert check.ex1((["maxpool", "Exp "], ("Conv", "Relu", "Add"), ["Abs"]), puzzle()).right
    wrong = check.ex1(kernels, puzzle())
    assert wrong.right is False and why in wrong.why


def test_the_end_of_an_epilogue() -> None:
    assert check.ex2(("Relu", "Mul", "b"), stopped()).right
    assert check.ex2(["relu", "mul", "B"], stopped()).right
    assert "got 'e'" in check.ex2(("Relu", "Mul", "e"), stopped()).why
    assert "run together" in check.ex2(("Add", "Relu", "b"), stopped()).why
    assert "no edge" in check.ex2(("MatMul", "Tanh", "b"), stopped()).why
    assert "another one" in check.ex2(("Relu", "Mul", "c"), stopped()).why
    assert "expected two names" in check.ex2("b", stopped()).why


def test_bytes_are_counted() -> None:
    size = 256 * 256 * 4
    assert check.ex3(8 * size, savings()).right
    assert "elements" in check.ex3(2 * size, savings()).why  # 8 values of a quarter as many elements
    assert "no longer read either" in check.ex3(3 * size, savings()).why
    assert "read once" in check.ex3(6 * size, savings()).why
    assert "expected bytes" in check.ex3(5, savings()).why
