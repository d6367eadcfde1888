"""Shapes from operands are judged, and nothing of their size is made while a model is compiled.

The right values are sums of arithmetic series, written as numbers.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import minicc
from minicc import ops
from minicc.errors import MiniccError
from minicc.graph import Graph, bind, constant, evaluate, input, make
from minicc.ops.base import OPERAND
from minicc.types import TensorType, float32, int64


def model(nodes, constants, inputs=(("x", TensorProto.FLOAT, [1, 3, 1, 1]),)):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def of_shape(operator, shape):
    inputs = ["s"] if operator == "ConstantOfShape" else ["x", "s"]
    return model([helper.make_node(operator, inputs, ["y"])], {"s": np.int64(shape)})


def of_range(start, limit, delta, dtype):
    nodes = [
        helper.make_node("Range", ["a", "b", "c"], ["r"]),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT),
    ]
    return model(
        nodes, {name: np.array(value, dtype) for name, value in zip("abc", (start, limit, delta), strict=True)}
    )


REFUSED = {
    "Expand to -1": (of_shape("Expand", [-1, 1, 1, 1]), "dimensions must not be negative, got (-1, 1, 1, 1)"),
    "Expand to -1 of a 3": (of_shape("Expand", [1, -1, 4, 4]), "dimensions must not be negative"),
    "Expand to -5 in front": (of_shape("Expand", [-5, 1, 3, 1, 1]), "dimensions must not be negative"),
    "Expand to a lot": (of_shape("Expand", [2**62, 1, 1, 1]), "more than 2**40 elements"),
    "ConstantOfShape of -1": (of_shape("ConstantOfShape", [-1]), "dimensions must not be negative"),
    "Tile by -1": (of_shape("Tile", [-1, 1, 1, 1]), "repeats >= 0"),
    "Reshape to -2": (of_shape("Reshape", [-2, 3]), "at most one -1"),
    "Range to a lot": (of_range(0, 2**62, 1, np.int64), "more than 2**40 elements"),
    "Range in tiny steps": (of_range(0, 1, 1e-30, np.float32), "more than 2**40 elements"),
    "Range of more than any number": (of_range(0, 1e308, 1e-308, np.float64), "a number of elements that is finite"),
    "Range of NaN": (of_range(0, np.nan, 1, np.float32), "expected finite numbers"),
    "Range in steps of 0": (of_range(0, 1, 0, np.int64), "a delta that is not 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_absurd_operands_are_errors_of_the_node(case):
    proto, words = REFUSED[case]
    with pytest.raises(MiniccError) as caught:
        minicc.compile(proto)
    assert words in caught.value.problem and caught.value.where.startswith("model:0 ")


@pytest.mark.parametrize("shape", [(-1, 1, 1, 1), (3, -1)])
def test_a_shape_that_a_call_brings(shape):
    x, s = input("x", TensorType(float32, (1, 3))), input("s", TensorType(int64, (len(shape),)))
    graph = Graph("main", (x, s), (ops.Expand(OPERAND)(x, s),), ("y",))
    given = {"x": np.zeros((1, 3), np.float32), "s": np.int64(shape)}
    for call in (
        minicc.compile(graph).run,
        lambda feeds: evaluate(graph, feeds),
        lambda feeds: bind(graph, values={"s": feeds["s"]}),
    ):
        with pytest.raises(MiniccError, match="dimensions must not be negative"):
            call(given)


LARGE = 10**7  # more than constants are folded to


def total(op) -> Graph:
    return Graph("main", (), (ops.ReduceSum(keepdims=False)(make(op, ())),), ("y",))


@pytest.mark.parametrize(
    ("op", "right"),
    [
        (ops.Range(0, LARGE, 1), LARGE * (LARGE - 1) // 2),
        (ops.Range(LARGE, 0, -1), LARGE * (LARGE + 1) // 2),
        (ops.ConstantOfShape((1000, LARGE // 1000), 3, int64), 3 * LARGE),
    ],
)
def test_what_is_too_large_to_fold_is_computed_where_it_is_read(op, right):
    tracemalloc.start()
    exe = minicc.compile(total(op))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert exe()[0].item() == right
    assert peak < LARGE, f"an array of {LARGE} elements is never made"
    assert exe.arena_bytes + exe.constant_bytes < LARGE


def test_a_range_of_ten_to_the_twelve_compiles_without_its_memory():
    tracemalloc.start()
    minicc.compile(total(ops.Range(0, 10**12, 1)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**8


def test_a_product_of_constants_that_is_too_large_is_left_to_the_call():
    column, row = constant(np.ones((20_000, 1), np.float32)), constant(np.ones((1, 20_000), np.float32))
    graph = Graph("main", (), (ops.ReduceMax(keepdims=False)(ops.Add()(column, row)),), ("y",))
    exe = minicc.compile(graph)
    assert exe.constant_bytes < 10**6 and exe()[0] == 2
