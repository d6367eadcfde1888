"""The visible tests: `pytest -m task5_1`. The grader has other graphs."""

import numpy as np
import pytest

import fusion
from plan import REASONS

from minicc import ops
from minicc.graph import Graph, evaluate, input
from minicc.types import TensorType, float32

WEIGHTS = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)


def of(*shape, name="x"):
    return input(name, TensorType(float32, shape or (4, 4)))


def product(x):
    return ops.MatMul()(x, WEIGHTS)


def total(x):
    return ops.ReduceSum(axes=(1,), keepdims=True)(x)


def check(inputs, outputs, expected):
    """Whether the kernels are made of these operators, and compute what the graph does."""
    graph = Graph("g", tuple(inputs), tuple(outputs), ("y", "z")[: len(outputs)])
    groups = [sorted(graph.nodes[k].op.name for k in group) for group in fusion.kernels(graph)]
    assert sorted(groups) == sorted(expected)
    arrays = {n.op.label: np.random.default_rng(1).standard_normal(n.shape).astype(np.float32) for n in inputs}
    before, after = evaluate(graph, arrays), evaluate(fusion.fuse(graph), arrays)
    for name, right in before.items():
        np.testing.assert_array_equal(after[name], right)


@pytest.mark.task5_1
def test_a_chain():
    x = of()
    check([x], [ops.Tanh()(ops.Neg()(ops.Relu()(x)))], [["Neg", "Relu", "Tanh"]])
    check([x], [ops.Neg()(ops.Transpose()(ops.Relu()(x)))], [["Neg", "Relu", "Transpose"]])


@pytest.mark.task5_1
def test_what_is_stretched_is_computed_once():
    x, row = of(), of(4, name="row")
    check([x, row], [ops.Add()(ops.Relu()(x), ops.Neg()(row))], [["Add", "Relu"], ["Neg"]])


@pytest.mark.task5_2
def test_an_epilogue():
    x = of()
    check([x], [ops.Relu()(product(x))], [["MatMul", "Relu"]])
    check([x], [ops.Relu()(product(product(x)))], [["MatMul"], ["MatMul", "Relu"]])


@pytest.mark.task5_2
def test_no_epilogue():
    x = of()
    check([x], [ops.Transpose()(product(x))], [["MatMul"], ["Transpose"]])
    check([x], [ops.Sub()(x, total(x))], [["ReduceSum"], ["Sub"]])


@pytest.mark.task5_3
def test_a_diamond():
    x = of()
    y = product(x)
    check([x], [ops.Mul()(y, ops.Sigmoid()(y))], [["MatMul", "Mul", "Sigmoid"]])


@pytest.mark.task5_3
def test_out_and_back():
    x = of()
    y = ops.Relu()(x)
    check([x], [ops.Add()(y, product(y))], [["Add", "MatMul"], ["Relu"]])


@pytest.mark.task5_3
def test_an_output_is_one_value():
    x = of()
    y = ops.Relu()(x)
    check([x], [y, ops.Neg()(y)], [["Neg"], ["Relu"]])


@pytest.mark.task5_4
def test_beside_a_heart():
    x, z = of(), of(name="z")
    check([x], [total(ops.Exp()(x))], [["Exp", "ReduceSum"]])
    check([x], [product(ops.Exp()(x))], [["Exp"], ["MatMul"]])
    check([x, z], [ops.Add()(product(x), ops.Relu()(z))], [["Add", "MatMul", "Relu"]])
    check([z, x], [ops.Add()(ops.Transpose()(z), product(x))], [["Add", "MatMul"], ["Transpose"]])


@pytest.mark.task5_5
def test_reasons():
    x = of()
    y = product(x)
    graph = Graph("g", (x,), (ops.Transpose()(y),), ("y",))
    assert [row[2] for row in fusion.reasons(graph)] in (["moves"],)
    graph = Graph("g", (x,), (product(ops.Relu()(x)),), ("y",))
    assert [row[2] for row in fusion.reasons(graph)] == ["anchor"]
    graph = Graph("g", (x,), (y, ops.Relu()(y)), ("y", "z"))
    assert [row[2] for row in fusion.reasons(graph)] == ["output"]
    assert {"output", "anchor", "moves"} <= set(REASONS)
