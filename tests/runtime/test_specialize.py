"""An executable that compiles itself for the values of its inputs looks at all of them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from onnx import helper, numpy_helper

import minicc
from minicc import ops
from minicc.errors import GraphError, RunError
from minicc.graph.ir import Graph, input
from minicc.ops.base import OPERAND
from minicc.runtime.specialize import SpecializingExecutable
from minicc.types import Symbol, TensorType, float32, int64


def test_every_value_that_decides_a_shape_makes_its_own_code():
    x, shape, repeats = (
        input("x", TensorType(float32, (6,))),
        input("shape", TensorType(int64, (2,))),
        input("repeats", TensorType(int64, (2,))),
    )
    tiled = ops.Tile(OPERAND)(ops.Reshape(OPERAND)(x, shape), repeats)
    exe = minicc.compile(Graph("g", (x, shape, repeats), (tiled,), ("y",)))
    assert isinstance(exe, SpecializingExecutable) and exe.waiting == ("shape", "repeats")
    data = np.arange(6, dtype=np.float32)
    for _ in range(2):  # the second time all of them are there
        for rows, columns in ((2, 3), (3, 2), (6, 1)):
            for times in ((1, 1), (2, 1), (1, 2)):
                (got,) = exe(data, np.array([rows, columns]), np.array(times))
                np.testing.assert_array_equal(got, np.tile(data.reshape(rows, columns), times))


N, M = Symbol("n"), Symbol("m")


def product_of_any_sizes(dims="any"):
    a, b = input("a", TensorType(float32, (N, M))), input("b", TensorType(float32, (M, 3)))
    return minicc.compile(Graph("g", (a, b), (ops.MatMul()(a, b),), ("y",)), dims=dims)


def test_shapes_of_each_call_make_their_own_code():
    exe = product_of_any_sizes()
    assert str(exe.inputs) == "[a: float32[n,m], b: float32[m,3]]" and not exe.kernels
    for n, m in ((2, 5), (1, 7), (0, 5), (2, 5)):
        a, b = np.random.rand(n, m).astype(np.float32), np.random.rand(m, 3).astype(np.float32)
        np.testing.assert_allclose(exe(a, b)[0], a @ b, rtol=1e-5)
        np.testing.assert_allclose(exe.run({"b": b, "a": a})["y"], a @ b, rtol=1e-5)
    again = pickle.loads(pickle.dumps(exe))
    np.testing.assert_allclose(again(a, b)[0], a @ b, rtol=1e-5)
    assert len(exe.profile(a, b)) == len(exe.kernels) == 1 and exe(a.tolist(), b)[0].shape == (2, 3)
    assert exe.specialize({"a": a, "b": b}).image.inputs[0].shape == (2, 5)


def test_shapes_of_a_call_and_then_values():
    x, shape = input("x", TensorType(float32, (N, 6))), input("shape", TensorType(int64, (2,)))
    exe = minicc.compile(Graph("g", (x, shape), (ops.Reshape(OPERAND)(x, shape),), ("y",)), dims="any")
    for n, rows in ((1, 2), (2, 4), (1, 3)):
        data = np.random.rand(n, 6).astype(np.float32)
        got = exe.run({"x": data, "shape": np.array([rows, -1])})
        np.testing.assert_array_equal(got["y"], data.reshape(rows, -1))
        assert exe.outputs[0].shape == got["y"].shape


def test_shapes_that_no_number_for_the_symbols_gives():
    exe = product_of_any_sizes()
    a, b = np.zeros((2, 5), np.float32), np.zeros((5, 3), np.float32)
    with pytest.raises(RunError, match=r"input 'b' must have shape \(m, 3\), got \(5, 4\)"):
        exe(a, np.zeros((5, 4), np.float32))
    with pytest.raises(RunError, match=r"shape \(n, m\), got \(5,\)"):
        exe(b[:, 0].copy(), b)
    with pytest.raises(GraphError, match="where m is 5, got shape"):
        exe(a, b[:4].copy())
    with pytest.raises(RunError, match="the shapes of a call decide them"):
        exe.image  # noqa: B018
    with pytest.raises(GraphError, match="expected dims by name, got str"):
        product_of_any_sizes("all")


def test_any_sizes_of_a_model_of_fixed_sizes_or_with_shapes_given_are_those():
    x = input("x", TensorType(float32, (2,)))
    assert minicc.compile(Graph("g", (x,), (ops.Relu()(x),), ("y",)), dims="any").kernels
    assert minicc.compile(Graph("g", (x,), (ops.Relu()(x),), ("y",)), input_shapes={"x": (2,)}, dims="any").kernels


def test_the_oldest_goes_when_memory_would(monkeypatch):
    exe = product_of_any_sizes()
    monkeypatch.setattr(exe, "_bytes", lambda: 2**62)
    for n in (1, 2):
        exe(np.zeros((n, 2), np.float32), np.zeros((2, 3), np.float32))
    assert len(exe._made) == 1


def test_any_sizes_and_a_default():
    graph = minicc.load(model_with_default())
    exe = minicc.compile(graph, dims="any")
    x = np.ones((4,), np.float32)
    np.testing.assert_array_equal(exe.run({"x": x})["y"], x + 2)
    np.testing.assert_array_equal(exe.run({"x": x, "w": np.float32([5])})["y"], x + 5)


def model_with_default():
    info = [helper.make_tensor_value_info(name, 1, shape) for name, shape in (("x", ["n"]), ("w", [1]), ("y", ["n"]))]
    weights = numpy_helper.from_array(np.float32([2]), "w")
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", info[:2], info[2:], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
