"""Comparisons tell agreement from disagreement, and name the node at which it starts."""

import functools
import importlib
from dataclasses import replace as changed

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from minicc import backend, load
from minicc.bridge import _tvm
from minicc.errors import BridgeError, ConfigError
from minicc.graph import ir
from minicc.graph.simplify_graph import RULES, simplify_graph
from minicc.ops import Add, Exp, MatMul, Mul, ReduceSum, Relu, Sigmoid, Softmax, Sub
from minicc.testing import compare
from minicc.testing.compare import Comparison, Peer, Subject, check_peers, installed_peers
from minicc.testing.reduce import operators
from minicc.types import TensorType, float32

ALL = ("tvm", "onnxruntime", "reference", "numpy")


def weights():
    random = np.random.default_rng(0)
    return {name: random.standard_normal(shape).astype(np.float32) for name, shape in (("w", (4, 5)), ("c", (5,)))}


def model():
    """y = softmax(relu(x @ w) - c), and z = exp(relu(x @ w)), as an ONNX file with names."""
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"], name="product"), helper.make_node("Relu", ["m"], ["r"], name="rectify"),
             helper.make_node("Sub", ["r", "c"], ["s"], name="shift"), helper.make_node("Softmax", ["s"], ["y"], axis=-1),
             helper.make_node("Exp", ["r"], ["z"])]  # fmt: skip
    graph = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4])],
                              [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in ("y", "z")],
                              [numpy_helper.from_array(array, name) for name, array in weights().items()])  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def subject():
    proto = model()
    return Subject(load(proto), {"x": np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)}, proto)


def graph_subject(f, *arrays):
    inputs = tuple(ir.input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays))
    return Subject(ir.Graph("main", inputs, (f(*inputs),), ("y",)), {f"x{k}": a for k, a in enumerate(arrays)})


@pytest.fixture
def wrong_relu(monkeypatch):
    """Our machine code computes relu(x) + x / 2."""
    plain = Relu.compute
    monkeypatch.setattr(Relu, "compute", lambda self, x: Add()(plain(self, x), Mul()(x, np.float32([0.5]))))


@pytest.fixture
def wrong_subtraction(monkeypatch):
    """Simplification makes x + c of x - c."""
    rules = [changed(rule, rhs=lambda x, c: Add()(x, c)) if rule.name == "subtract" else rule for rule in RULES]
    monkeypatch.setattr(importlib.import_module("minicc.compile"), "simplify_graph", functools.partial(simplify_graph, rules=rules))


@pytest.mark.parametrize("peer", ALL)
def test_peers_agree(peer):
    rows = Comparison(subject()).rows(peer)
    assert [(r.output, r.peer, r.verdict) for r in rows] == [("y", peer, "agrees"), ("z", peer, "agrees")]
    assert all(0 <= r.share < 0.5 and r.absolute < 1e-5 and r.relative < 1e-5 for r in rows)


@pytest.mark.parametrize("peer", ALL)
def test_the_first_node_that_diverges_is_found(wrong_relu, peer):
    comparison = Comparison(subject())
    rows = comparison.rows(peer)
    assert all(r.disagrees and r.verdict == "differs" and r.share > 1 for r in rows)
    r = np.maximum(m := comparison.subject.inputs["x"] @ weights()["w"], 0)
    assert rows[1].absolute == pytest.approx(np.abs(np.exp(r + m / 2) - np.exp(r)).max(), rel=1e-4)
    for row in rows:
        found = comparison.divergence(peer, row.output)
        assert found.node.op.name == "Relu"
        assert found.ours - found.theirs == pytest.approx(m[found.index] / 2, rel=1e-4) and found.expected == pytest.approx(found.theirs, abs=1e-6)
        text = str(found)
        assert f"the first node that diverges from {peer}:\n    %2 = Relu(%1) : float32[3,5]    # model:1 Relu 'rectify'\n" in text
        assert f"at [0, 0]: minicc {found.ours!r}, {peer} {found.theirs!r}, float64 reference" in text
        assert "inputs: MatMul: float32[3,5]" in text
        assert "minicc compiled the graph with every node as an output" in text


def test_a_fault_of_optimisation_is_found_though_it_hides(wrong_relu, monkeypatch):
    """Machine code that is wrong only where values of nodes are not looked at: bisection finds the node."""
    monkeypatch.setattr(compare, "OURS", changed(compare.OURS, values=compare.PEERS["numpy"].values))
    comparison = Comparison(subject())
    found = comparison.divergence("onnxruntime", "y")
    assert found.node.op.name == "Relu" and "bisection" in found.how


def test_a_fault_of_simplification(wrong_subtraction):
    comparison = Comparison(subject())
    assert [r.disagrees for r in comparison.rows("reference")] == [True, False]
    assert comparison.divergence("reference", "y").node.op.name == "Sub"


def test_what_only_the_whole_gets_wrong_has_no_node(monkeypatch):
    wrong = changed(compare.PEERS["numpy"], outputs=lambda s: {"y": np.zeros((3, 5), np.float32), "z": np.zeros((3, 5), np.float32)})
    monkeypatch.setitem(compare.PEERS, "numpy", wrong)
    comparison = Comparison(subject())
    assert all(r.disagrees for r in comparison.rows("numpy"))
    assert comparison.divergence("numpy", "y") is None


def peer_that(answer):
    return Peer("numpy", answer, lambda s: {}, "")


def test_a_peer_that_gives_no_answer_disagrees(monkeypatch):
    def fails(subject):
        raise ValueError("no such operator\nat line 3")

    monkeypatch.setitem(compare.PEERS, "numpy", peer_that(fails))
    row = Comparison(subject()).rows("numpy")[0]
    assert row.disagrees and row.verdict == "no answer: ValueError: no such operator" and np.isnan(row.absolute)


def test_another_dtype_or_shape_is_a_difference(monkeypatch):
    monkeypatch.setitem(compare.PEERS, "numpy", peer_that(lambda s: {"y": np.zeros(15, np.float32), "z": np.zeros((3, 5))}))
    assert [r.verdict for r in Comparison(subject()).rows("numpy")] == [
        "differs: float32[3,5] is float32[15] there", "differs: float32[3,5] is float64[3,5] there"]


@pytest.mark.parametrize("value, share", [(np.nan, np.inf), (np.inf, np.inf), (1.0, 0.0)])
def test_special_values(monkeypatch, value, share):
    one = graph_subject(Exp(), np.float32([0, np.nan, np.inf, -np.inf]))
    monkeypatch.setitem(compare.PEERS, "numpy", peer_that(lambda s: {"y": np.float32([value, np.nan, np.inf, 0])}))
    row, = Comparison(one).rows("numpy")
    assert row.share == share and row.disagrees == (share > 1)


def test_integers_are_equal_or_not(monkeypatch):
    whole = graph_subject(lambda x: Add()(x, x), np.int64([2**60, 1]))
    monkeypatch.setitem(compare.PEERS, "numpy", peer_that(lambda s: {"y": np.int64([2**61 + 1, 2])}))
    row, = Comparison(whole).rows("numpy")
    assert row.disagrees and row.absolute == 1 and row.share == np.inf


def test_twice_the_tolerance_is_allowed(monkeypatch):
    one = graph_subject(Exp(), np.float32([0.5]))
    comparison = Comparison(one)
    tolerance = comparison.known[1][0][0]
    for times, agrees in ((1.9, True), (2.6, False)):
        value = (comparison.ours["y"].astype(np.float64) + times * tolerance).astype(np.float32)
        monkeypatch.setitem(compare.PEERS, "numpy", peer_that(lambda s, value=value: {"y": value}))
        row, = comparison.rows("numpy")
        assert row.disagrees is not agrees and abs(row.share - times / 2) < 0.1


def test_known_differences_of_tvm_are_named():
    row, = Comparison(graph_subject(lambda x: Add()(Relu()(x), x), np.float32([1, np.nan]))).rows("tvm")
    assert not row.disagrees
    nothing = graph_subject(lambda x: Softmax(axis=-1)(Relu()(x)), np.float32([1, np.nan]))
    row, = Comparison(nothing).rows("tvm")
    assert not row.disagrees and row.verdict == "known difference: activation of NaN"


def test_the_answer_of_tvm_is_its_own():
    """A long row we sum in vector lanes, and TVM one by one: both are right, and not the same."""
    row, = Comparison(graph_subject(ReduceSum(axes=(1,)), np.random.default_rng(0).random((4, 4096), np.float32))).rows("tvm")
    assert not row.disagrees and row.absolute > 0


def test_peers_without_a_model_say_so():
    row, = Comparison(graph_subject(Sigmoid(), np.float32([1]))).rows("onnxruntime")
    assert row.verdict.startswith("no answer: ")


def test_every_onnx_value_is_exposed_once():
    proto = model()
    names = [o.name for o in backend.expose(proto).graph.output]
    assert names == ["y", "z", "m", "r", "s"] and [o.name for o in proto.graph.output] == ["y", "z"]
    graph = load(backend.expose(proto))
    assert set(graph.outputs) == set(operators(load(proto)))  # the very same nodes: a value is found by its node


def test_reading_brings_what_lies_beside_the_file(tmp_path):
    onnx.save(model(), tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    proto = backend.read_model(tmp_path / "m.onnx")
    assert load(proto).same_as(load(tmp_path / "m.onnx"))
    assert set(backend.run_reference(proto, {"x": np.ones((3, 4), np.float32)})) == {"y", "z"}


def test_unknown_and_absent_peers(monkeypatch):
    with pytest.raises(ConfigError, match=r"--with torch: expected one of tvm, onnxruntime, reference, numpy, got 'torch'\nhint: "):
        check_peers(["numpy", "torch"])
    assert installed_peers() == list(ALL)
    monkeypatch.setattr(compare.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"(?s)expected onnxruntime to be installed.*hint: pip install onnxruntime"):
        check_peers(["onnxruntime"])
    monkeypatch.setattr(_tvm, "installed", lambda: {"apache-tvm": None, "apache-tvm-ffi": None})
    with pytest.raises(BridgeError, match=r"(?s)got no apache-tvm and no apache-tvm-ffi.*hint: pip install"):
        check_peers(["tvm"])
    assert installed_peers() == ["reference", "numpy"]


def test_the_node_is_the_first_of_several(wrong_relu):
    w = np.eye(3, dtype=np.float32)
    s = graph_subject(lambda x: Sub()(Relu()(MatMul()(Relu()(x), w)), x), np.float32([[1, 2, 3]]))
    found = Comparison(s).divergence("numpy", "y")
    assert found.node is next(n for n in operators(s.graph) if n.op.name == "Relu")
    assert found.index == (0, 0) and found.node.inputs[0].type == TensorType(float32, (1, 3))
