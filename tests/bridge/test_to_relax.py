"""Graphs with symbolic shapes become modules of TVM's graph IR, or an error that names the node; so do errors of TVM."""

import numpy as np
import pytest

from minicc import ops
from minicc.bridge import _tvm, relax
from minicc.bridge.relax import run_relax, to_relax
from minicc.bridge.relax_groups import relax_groups
from minicc.errors import BridgeError
from minicc.graph import Graph, bind, evaluate, input
from minicc.types import Symbol, TensorType, float32

N = Symbol("batch size")  # which TVM writes otherwise
x, y = (input(name, TensorType(float32, (N, 6))) for name in "xy")
BOUND = {
    "x": np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6),
    "y": np.linspace(2, 1, 24, dtype=np.float32).reshape(4, 6),
}
OPEN = {
    "Reshape": ops.Reshape((-1, 3)), "Flatten": ops.Flatten(), "Slice": ops.Slice((0,), (2,), (0,)), "ReduceMean": ops.ReduceMean((0,)),
    "Gather": ops.Gather(0), "Split": ops.Split(0),
}  # fmt: skip
WORKS = {
    "reshape": ops.Reshape((0, 2, 3))(x), "expand": ops.Expand((1, 6))(x), "relu": ops.Relu()(x), "transpose": ops.Transpose()(x),
    "mean of rows": ops.ReduceMean((1,))(x), "add": ops.Add()(x, y), "softmax": ops.Softmax()(ops.Exp()(x)),
    "two reshapes": ops.Reshape((0, 6))(ops.Reshape((0, 3, 2))(ops.Neg()(x))),
}  # fmt: skip


def graph_of(*outputs):
    inputs = [n for n in Graph("main", (), outputs, ("",) * len(outputs)).nodes if n.op.name == "Input"]
    return Graph("main", tuple(inputs), outputs, tuple(f"out{k}" for k in range(len(outputs))))


def opened(name):
    made = OPEN[name](x, np.array([1, 0])) if name == "Gather" else OPEN[name](x)
    return graph_of(*(made if isinstance(made, tuple) else (made,)))


@pytest.mark.parametrize("name", OPEN)
@pytest.mark.parametrize("function", [to_relax, lambda g: run_relax(g, {"x": BOUND["x"]})])
def test_a_shape_that_stays_open_is_an_error_at_the_node(name, function, capfd):
    graph = opened(name)
    with pytest.raises(BridgeError) as caught:
        function(graph)
    assert (
        "batch size" in caught.value.problem
        and f": {name}" in caught.value.where
        and "minicc.graph.bind" in caught.value.hint
    )
    assert "BlockBuilder" not in capfd.readouterr().err
    inputs = {"x": BOUND["x"]}
    for got, wanted in zip(
        *(list(f(bind(graph, {"batch size": 4}), inputs).values()) for f in (run_relax, evaluate)), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("name", WORKS)
def test_what_works_on_symbols_works(name):
    graph = graph_of(WORKS[name])
    inputs = {n: BOUND[n] for n in graph.input_names}
    (got,), (wanted,) = (
        list(f(g, inputs).values()) for f, g in ((run_relax, graph), (evaluate, bind(graph, {"batch size": 4})))
    )
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_a_failure_inside_of_an_operator_leaves_no_open_block(monkeypatch, capfd):
    monkeypatch.setattr(ops.Relu, "tvm", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        to_relax(graph_of(ops.Relu()(x)))
    assert "BlockBuilder" not in capfd.readouterr().err


def test_errors_of_tvm_have_a_hint(monkeypatch):
    tvm = _tvm.load()
    room = relax.Relax(tvm.relax.BlockBuilder())
    with pytest.raises(BridgeError, match="TVM refuses") as caught:
        room.add(np.zeros(2, np.float32), np.zeros(3, np.float32))
    assert caught.value.hint
    bound = bind(graph_of(ops.Relu()(x)), {"batch size": 4})
    monkeypatch.setattr(relax, "build_relax", lambda _: int("no number"))
    with pytest.raises(BridgeError, match="TVM fails: ValueError") as caught:
        run_relax(bound, {"x": BOUND["x"]})
    assert caught.value.hint
    monkeypatch.setattr("minicc.bridge.relax_groups.to_relax", lambda _: 5)
    with pytest.raises(BridgeError, match="TVM fails") as caught:
        relax_groups(bound)
    assert caught.value.hint
