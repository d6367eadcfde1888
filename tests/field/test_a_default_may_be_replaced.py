"""An initializer that is listed as an input, too, is a default: constant unless a call gives another array (ONNX IR 4 and later).

The right values are plain sums and products of the numbers that are given.
"""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import minicc
from minicc import backend
from minicc.errors import GraphError, MiniccError, RunError
from minicc.frontend import load
from minicc.graph import bind, evaluate

X = np.float32([1, 2])


def model(ir_version: int = 8):
    """y = x * w + b; w and b hold the same numbers, and only w and n are listed; z = x repeated n times."""
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["y"]),
        helper.make_node("Tile", ["x", "n"], ["z"]),
    ]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in ("x", "w")]
    infos.append(helper.make_tensor_value_info("n", TensorProto.INT64, [1]))
    weights = [numpy_helper.from_array(np.float32([3, 4]), name) for name in "wb"] + [
        numpy_helper.from_array(np.int64([1]), "n")
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "yz"]
    graph = helper.make_graph(nodes, "net", infos, outputs, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=ir_version)


def runs():
    proto = model()
    graph = load(proto)
    exe = minicc.compile(graph)
    return {
        "evaluate": lambda feeds: evaluate(graph, feeds),
        "compiled graph": exe.run,
        "compiled model": minicc.compile(proto).run,
        "backend": lambda feeds: dict(zip("yz", backend.prepare(proto).run(feeds), strict=True)),
        "pickled": pickle.loads(pickle.dumps(exe)).run,
        "bound": lambda feeds: evaluate(
            bind(graph, values={k: v for k, v in feeds.items() if k != "x"}), {"x": feeds["x"]}
        ),
    }


FEEDS = [{}, {"w": np.float32([10, 20])}, {"n": np.int64([3])}, {"w": np.float32([0, 1]), "n": np.int64([0])}]


@pytest.mark.parametrize("how", runs())
def test_a_default_is_used_or_replaced(how):
    run = runs()[how]
    for feeds in (*FEEDS, FEEDS[0], FEEDS[1]):
        got, expected = (
            run({"x": X, **feeds}),
            ReferenceEvaluator(model()).run(None, {"w": np.float32([3, 4]), "n": np.int64([1]), "x": X, **feeds}),
        )
        assert [got["y"].tolist(), got["z"].tolist()] == [e.tolist() for e in expected], feeds


def test_the_signature_is_that_of_what_must_be_given():
    graph = load(model())
    exe = minicc.compile(graph)
    assert graph.input_names == ("x",) and [port.name for port in exe.inputs] == ["x"] and exe.defaults == ("w", "n")
    assert [a.tolist() for a in exe(X)] == [[6, 12], [1, 2]]


def test_each_combination_is_compiled_once():
    exe = minicc.compile(load(model()))
    one = exe.variant(("w",))
    exe.run({"x": X, "w": X})
    assert exe.variant(("w",)) is one and len(one._made) == 1


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({"x": X, "w": np.float64([1, 2])}, "w"),
        ({"x": X, "w": np.float32([1])}, "w"),
        ({"w": X}, "x"),
        ({"x": X, "b": X}, "b"),
        ({"x": X, "W": X}, "W"),
        ({"x": X, "w": None}, "w"),
    ],
)
def test_what_does_not_fit_is_refused(feeds, words):
    for call in (minicc.compile(load(model())).run, lambda given: evaluate(load(model()), given)):
        with pytest.raises((RunError, GraphError), match=words) as caught:
            call(feeds)
        assert caught.value.problem


@pytest.mark.parametrize("version", [3])
def test_before_ir_version_4_initializers_are_constants(version):
    exe = minicc.compile(model(version))
    assert exe.defaults == ()
    with pytest.raises(MiniccError, match="unknown: 'w'"):
        exe.run({"x": X, "w": X})
