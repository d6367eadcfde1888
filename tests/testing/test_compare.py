"""Comparisons tell agreement from disagreement, and name the node at which it starts."""

import functools
import importlib
from dataclasses import replace as changed
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from minicc import backend, load
from minicc.bridge import _tvm
from minicc.bridge.environment import has_relay
from minicc.errors import BridgeError, ConfigError
from minicc.graph import ir
from minicc.graph.simplify_graph import RULES, simplify_graph
from minicc.ops import Add, Div, Exp, MatMul, Mul, ReduceSum, Relu, Sigmoid, Softmax, Sub
from minicc.testing import compare
from minicc.testing.compare import PEERS, Comparison, NoValues, Peer, Subject, check_peers, installed_peers
from minicc.testing.oracle import run_machine_code
from minicc.testing.reduce import operators
from minicc.testing.worker import Engine
from minicc.types import TensorType, float32

ALL = ("relax", "onnxruntime", "reference", "numpy")


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
    monkeypatch.setattr(compare, "run_apart", run_machine_code)  # in the process that has the fault
    plain = Relu.compute
    monkeypatch.setattr(Relu, "compute", lambda self, x: Add()(plain(self, x), Mul()(x, np.float32([0.5]))))


@pytest.fixture
def wrong_subtraction(monkeypatch):
    """Simplification makes x + c of x - c."""
    monkeypatch.setattr(compare, "run_apart", run_machine_code)
    rules = [changed(rule, rhs=lambda x, c: Add()(x, c)) if rule.name == "subtract" else rule for rule in RULES]
    monkeypatch.setattr(
        importlib.import_module("minicc.compile"), "simplify_graph", functools.partial(simplify_graph, rules=rules)
    )


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
        assert found.ours - found.theirs == pytest.approx(
            m[found.index] / 2, rel=1e-4
        ) and found.expected == pytest.approx(found.theirs, abs=1e-6)
        text = str(found)
        assert (
            f"the first node that diverges from {peer}:\n    %2 = Relu(%1) : float32[3,5]    # model:1 Relu 'rectify'\n"
            in text
        )
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
    wrong = changed(
        compare.PEERS["numpy"], outputs=lambda s: {"y": np.zeros((3, 5), np.float32), "z": np.zeros((3, 5), np.float32)}
    )
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
    monkeypatch.setitem(
        compare.PEERS, "numpy", peer_that(lambda s: {"y": np.zeros(15, np.float32), "z": np.zeros((3, 5))})
    )
    assert [r.verdict for r in Comparison(subject()).rows("numpy")] == [
        "differs: float32[3,5] is float32[15] there",
        "differs: float32[3,5] is float64[3,5] there",
    ]


@pytest.mark.parametrize("value, share", [(np.nan, np.inf), (np.inf, np.inf), (1.0, 0.0)])
def test_special_values(monkeypatch, value, share):
    one = graph_subject(Exp(), np.float32([0, np.nan, np.inf, -np.inf]))
    monkeypatch.setitem(compare.PEERS, "numpy", peer_that(lambda s: {"y": np.float32([value, np.nan, np.inf, 0])}))
    (row,) = Comparison(one).rows("numpy")
    assert row.share == share and row.disagrees == (share > 1)


def test_integers_are_equal_or_not(monkeypatch):
    whole = graph_subject(lambda x: Add()(x, x), np.int64([2**60, 1]))
    monkeypatch.setitem(compare.PEERS, "numpy", peer_that(lambda s: {"y": np.int64([2**61 + 1, 2])}))
    (row,) = Comparison(whole).rows("numpy")
    assert row.disagrees and row.absolute == 1 and row.share == np.inf


def test_twice_the_tolerance_is_allowed(monkeypatch):
    one = graph_subject(Exp(), np.float32([0.5]))
    comparison = Comparison(one)
    tolerance = comparison.known[1][0][0]
    for times, agrees in ((1.9, True), (2.6, False)):
        value = (comparison.ours["y"].astype(np.float64) + times * tolerance).astype(np.float32)
        monkeypatch.setitem(compare.PEERS, "numpy", peer_that(lambda s, value=value: {"y": value}))
        (row,) = comparison.rows("numpy")
        assert row.disagrees is not agrees and abs(row.share - times / 2) < 0.1


def test_known_differences_of_tvm_are_named():
    (row,) = Comparison(graph_subject(lambda x: Add()(Relu()(x), x), np.float32([1, np.nan]))).rows("relax")
    assert not row.disagrees
    nothing = graph_subject(lambda x: Softmax(axis=-1)(Relu()(x)), np.float32([1, np.nan]))
    (row,) = Comparison(nothing).rows("relax")
    assert not row.disagrees and row.verdict == "known difference: activation of NaN"


def division():
    return graph_subject(lambda a, b: Div()(a, b), np.int32([1, 2]), np.int32([0, 1]))


def test_what_tvm_would_die_of_is_not_run(monkeypatch):
    monkeypatch.setattr(compare, "run_fast", None)
    comparison = Comparison(division())
    (row,) = comparison.rows("relax")
    assert not row.disagrees and row.verdict == "known difference: integer division by zero" and np.isnan(row.share)
    assert comparison.explain([row]) == ""


def test_a_known_difference_of_tvm_excuses_no_fault_of_minicc(monkeypatch):
    """What TVM means otherwise is judged by the float64 reference, and the node is found beside NumPy."""

    def wrong(graph, inputs):
        return {name: value + value.dtype.type(1) for name, value in run_machine_code(graph, inputs).items()}

    monkeypatch.setattr(compare, "run_apart", wrong)
    for one, name, node in (
        (division(), "integer division by zero", "Div"),
        (graph_subject(Relu(), np.float32([1, np.nan])), "activation of NaN", "Relu"),
    ):
        comparison = Comparison(one)
        (row,) = comparison.rows("relax")
        assert row.disagrees and row.verdict == f"minicc differs from the float64 reference; known difference: {name}"
        assert f"diverges from numpy:\n    %0 = {node}(" in comparison.explain([row])


def test_a_crash_of_minicc_is_a_row(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr("minicc.testing.reduce.MINICC", Engine("worker_engines:faulty"))
    x = np.float32([1])
    graph = ir.Graph("main", (n := ir.input("crash_run", TensorType.of(x)),), (Exp()(n),), ("y",))
    comparison = Comparison(Subject(graph, {"crash_run": x}))
    (row,) = comparison.rows("numpy")
    assert row.disagrees and not row.answered and row.verdict == "minicc gave no answer: crash: SIGSEGV"
    assert (
        "about to crash" in comparison.failed
        and "hint: minicc reduce" in comparison.failed
        and comparison.explain([row]) == ""
    )


@pytest.mark.parametrize("name", ["run_apart", "reference"])
def test_whatever_minicc_raises_is_a_row(monkeypatch, name):
    monkeypatch.setattr(compare, name, lambda *_: {}["a"])
    (row,) = Comparison(division()).rows("numpy")
    assert row.disagrees and row.verdict == "minicc gave no answer: KeyError: 'a'"


def test_without_values_of_nodes_the_rows_hold(monkeypatch):
    def fails(subject):
        raise ValueError("out of memory")

    wrong = changed(
        compare.PEERS["numpy"], outputs=lambda s: {"y": np.zeros((3, 5), np.float32), "z": np.zeros((3, 5), np.float32)}
    )
    monkeypatch.setitem(compare.PEERS, "numpy", changed(wrong, values=fails))
    comparison = Comparison(subject())
    rows = comparison.rows("numpy")
    assert comparison.explain(rows) == "the values of the nodes cannot be had from numpy: ValueError: out of memory"
    with pytest.raises(NoValues, match=r"compare with numpy: .* ValueError: out of memory\nhint: the table"):
        comparison.divergence("numpy", "y")
    monkeypatch.setitem(compare.PEERS, "numpy", wrong)
    monkeypatch.setattr(compare, "OURS", changed(compare.OURS, values=fails))
    assert comparison.explain(rows) == "the values of the nodes cannot be had from minicc: ValueError: out of memory"


def explained(monkeypatch, one, answer, values=None):
    monkeypatch.setitem(
        compare.PEERS,
        "numpy",
        changed(compare.PEERS["numpy"], outputs=lambda s: answer, **({"values": values} if values else {})),
    )
    comparison = Comparison(one)
    return comparison.explain(comparison.rows("numpy"))


def test_where_no_node_diverges_what_is_true_is_said(monkeypatch):
    zeros = {"y": np.zeros((3, 5), np.float32), "z": np.zeros((3, 5), np.float32)}
    looked = "no node diverges from numpy where the values of nodes are looked at"
    assert explained(monkeypatch, subject(), zeros).startswith(
        f"{looked}: minicc or numpy makes another thing of the whole"
    )
    alone = graph_subject(Exp(), np.float32([1]))
    assert explained(monkeypatch, alone, {"y": np.float32([0])}) == (
        f"{looked}: what computes y agrees when it is run again, alone:\n    %0 = Exp(x0) : float32[1]"
    )
    assert explained(monkeypatch, alone, {"y": np.float32([0])}, lambda s: {}) == (
        f"{looked}, but numpy does not show what computes y:\n    %0 = Exp(x0) : float32[1]"
    )
    through = graph_subject(lambda x: x, np.float32([1]))
    assert (
        explained(monkeypatch, through, {"y": np.float32([0])})
        == "no node diverges from numpy: y is an input of the model, which no node computes"
    )
    held = Subject(ir.Graph("main", (), (ir.constant(np.float32([1])),), ("y",)), {})
    assert (
        explained(monkeypatch, held, {"y": np.float32([0])})
        == "no node diverges from numpy: y is a constant of the model, which no node computes"
    )


def test_the_node_of_another_type_is_named(monkeypatch):
    one = graph_subject(lambda x: Exp()(Relu()(x)), np.float32([1]))
    values = compare.PEERS["numpy"].values
    for wide, line in (
        (operators(one.graph), "%0 = Relu(x0)"),
        (operators(one.graph)[1:], "%1 = Exp(%0)"),
        ([], "%1 = Exp(%0)"),
    ):
        text = explained(
            monkeypatch,
            one,
            {"y": np.float64([2])},
            lambda s, wide=wide: {n: v.astype(np.float64) if n in wide else v for n, v in values(s).items()},
        )
        assert text == f"the first node of another type than in numpy:\n    {line} : float32[1]"


@pytest.mark.parametrize("suffix", ["json", "textproto", "onnx", "bin"])
def test_models_are_read_whatever_their_suffix(tmp_path, suffix):
    path = tmp_path / f"m.{suffix}"
    path.write_bytes(model().SerializeToString())
    assert load(backend.read_model(path)).same_as(load(path))


def test_the_answer_of_tvm_is_its_own():
    """A long row we sum in vector lanes, and TVM one by one: both are right, and not the same."""
    (row,) = Comparison(
        graph_subject(ReduceSum(axes=(1,)), np.random.default_rng(0).random((4, 4096), np.float32))
    ).rows("relax")
    assert not row.disagrees and row.absolute > 0


def test_peers_without_a_model_say_so():
    (row,) = Comparison(graph_subject(Sigmoid(), np.float32([1]))).rows("onnxruntime")
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


def test_unknown_and_absent_peers(monkeypatch, tmp_path):
    with pytest.raises(
        ConfigError,
        match=r"--with torch: expected one of relax, relay, onnxruntime, reference, numpy, got 'torch'\nhint: ",
    ):
        check_peers(["numpy", "torch"])
    assert installed_peers() == [name for name in PEERS if name != "relay" or has_relay()]
    monkeypatch.setattr(compare.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"(?s)expected onnxruntime to be installed.*hint: pip install onnxruntime"):
        check_peers(["onnxruntime"])
    monkeypatch.setattr(_tvm, "installed", lambda: {"apache-tvm": None, "apache-tvm-ffi": None})
    with pytest.raises(BridgeError, match=r"(?s)got no apache-tvm and no apache-tvm-ffi.*hint: pip install"):
        check_peers(["relax"])
    monkeypatch.setenv("MINICC_RELAY", str(tmp_path / "none"))
    assert installed_peers() == ["reference", "numpy"]


def test_the_node_is_the_first_of_several(wrong_relu):
    w = np.eye(3, dtype=np.float32)
    s = graph_subject(lambda x: Sub()(Relu()(MatMul()(Relu()(x), w)), x), np.float32([[1, 2, 3]]))
    found = Comparison(s).divergence("numpy", "y")
    assert found.node is next(n for n in operators(s.graph) if n.op.name == "Relu")
    assert found.index == (0, 0) and found.node.inputs[0].type == TensorType(float32, (1, 3))
