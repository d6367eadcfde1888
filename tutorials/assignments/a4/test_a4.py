"""The visible tests: `pytest -m task4_1`. The grader has other graphs, shapes, dtypes and data."""

import numpy as np
import pytest

import rules
from minicc import ops
from minicc.graph import Graph, constant, evaluate, input
from minicc.types import DType, TensorType

SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.5]


def of(shape, dtype="float32", name="x"):
    return input(name, TensorType(DType.table[dtype], shape))


def check(rule, y, *inputs, operators, data=None, close=0.0):
    """Whether the rule leaves these operators, and what they compute is the same, bit for bit unless `close`."""
    graph = Graph(
        "g", inputs, (y,) if not isinstance(y, tuple) else y, ("y", "z")[: 1 if not isinstance(y, tuple) else 2]
    )
    made = rules.apply(rule, graph)
    found = sorted(n.op.name for n in made.nodes if n.op.name not in ("Input", "Constant"))
    assert found == sorted(operators), f"expected the operators {operators}, got {found}\n{made}"
    random = np.random.default_rng(0)
    arrays = {
        n.op.label: data if data is not None else random.integers(-9, 9, n.shape).astype(n.dtype.numpy) for n in inputs
    }
    before, after = evaluate(graph, arrays), evaluate(made, arrays)
    for name, right in before.items():
        if close:
            np.testing.assert_allclose(after[name], right, rtol=close, atol=close)
        else:
            np.testing.assert_array_equal(after[name], right)
            numbers = ~np.isnan(right) if right.dtype.kind == "f" else np.ones(right.shape, bool)
            assert after[name][numbers].tobytes() == right[numbers].tobytes()


@pytest.mark.task4_1
def test_transposes():
    x = of((2, 3, 4))
    turned = ops.Transpose((1, 2, 0))(x)
    check("transposes", ops.Transpose((2, 0, 1))(turned), x, operators=[])
    check("transposes", ops.Transpose((1, 2, 0))(turned), x, operators=["Transpose"])
    check("transposes", ops.Transpose()(ops.Transpose()(ops.Transpose()(x))), x, operators=["Transpose"])
    check("transposes", ops.Transpose()(ops.Relu()(turned)), x, operators=["Relu", "Transpose", "Transpose"])


@pytest.mark.task4_2
def test_what_changes_nothing():
    x, data = of((6,)), np.float32(SPECIAL)
    for op, c in ((ops.Add(), -0.0), (ops.Sub(), 0.0), (ops.Mul(), 1.0), (ops.Div(), 1.0)):
        check("neutral", op(x, np.float32(c)), x, operators=[], data=data)
    check("neutral", ops.Mul()(np.float32([1] * 6), x), x, operators=[], data=data)


@pytest.mark.task4_2
def test_what_only_seems_to():
    x, data = of((6,)), np.float32(SPECIAL)
    check("neutral", ops.Add()(x, np.float32(0.0)), x, operators=["Add"], data=data)
    check("neutral", ops.Sub()(np.float32(0.0), x), x, operators=["Sub"], data=data)
    check("neutral", ops.Mul()(x, np.ones((2, 6), np.float32)), x, operators=["Mul"], data=data)


@pytest.mark.task4_3
def test_reshapes():
    x = of((2, 12))
    check("reshapes", ops.Reshape((0, -1))(ops.Reshape((6, 4))(x)), x, operators=["Reshape"])
    check("reshapes", ops.Reshape((2, -1))(ops.Reshape((3, 8))(ops.Reshape((24,))(x))), x, operators=[])
    empty = of((0, 3))
    check("reshapes", ops.Reshape((3, 0), True)(ops.Reshape((0, 5), True)(empty)), empty, operators=["Reshape"])


def convolved(x, epsilon=1e-5):
    random = np.random.default_rng(1)
    y = ops.Conv()(x, random.standard_normal((4, 3, 2, 2)).astype(np.float32))
    scale, bias, mean = random.standard_normal((3, 4)).astype(np.float32)
    return y, ops.BatchNormalization(epsilon)(y, scale, bias, mean, np.float32([0.5, 1, 2, 4]))


@pytest.mark.task4_4
def test_normalization():
    x = of((2, 3, 4, 4))
    check("normalization", convolved(x)[1], x, operators=["Add", "Conv"], close=1e-4)
    check("normalization", convolved(x, 0.25)[1], x, operators=["Add", "Conv"], close=1e-4)


@pytest.mark.task4_4
def test_a_convolution_that_others_read_stays():
    x = of((2, 3, 4, 4))
    check("normalization", convolved(x), x, operators=["BatchNormalization", "Conv"], close=1e-4)


@pytest.mark.task4_5
def test_integers():
    x = of((3,), "int8")
    check("integers_only", ops.Mul()(x, np.int8(0)), x, operators=[])
    check("integers_only", ops.Sub()(x, x), x, operators=[])


@pytest.mark.task4_5
def test_floats_are_no_integers():
    x, data = of((6,)), np.float32(SPECIAL)
    check("integers_only", ops.Mul()(x, np.float32(0)), x, operators=["Mul"], data=data)
    check("integers_only", ops.Sub()(x, x), x, operators=["Sub"], data=data)


@pytest.mark.task4_5
def test_a_constant_is_no_operator():
    x = of((3,), "int32")
    check("integers_only", ops.Add()(x, constant(np.zeros(3, np.int32))), x, operators=["Add"])
