"""Relay texts come over as graphs that compute the same; what cannot is refused, all at once.

What the old TVM lists and computes of the calls in `relay_cases` is recorded, so that most of this needs no environment. With
one, the tests marked `relay` compare it anew. Record it again, after a change of `inside/read.py` or of the cases:

    python tests/bridge/test_from_relay.py --regenerate
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest
from hypothesis import HealthCheck, assume, given, settings

from relay_cases import CASES, described, inputs
from relay_onnx_models import MODELS

import minicc
from minicc.bridge import from_relay as bridge
from minicc.bridge.environment import python_of_relay
from minicc.bridge.from_relay import from_relay
from minicc.bridge.old_tvm import old_tvm
from minicc.bridge.relay import to_relay
from minicc.bridge.relay_calls import RELAY
from minicc.errors import BridgeError
from minicc.graph import Graph, evaluate, input, make, verify
from minicc.testing.operators import JUDGED
from minicc.testing.strategies import graphs, operators
from minicc.types import TensorType

HERE = Path(__file__).parent
RECORD = HERE / "relay_cases.json"


def array(said):
    return np.asarray(said["data"]).astype(said["dtype"]).reshape(said["shape"])


def record():
    """For each case the values that the old TVM lists, the constants among them, and what it computes."""
    command = [str(python_of_relay()), "-I", str(HERE / "relay_cases.py")]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    made = {}
    for name, case in said.items():
        answer, constants = old_tvm().ask(
            "read.calls", "main", {"calls": np.frombuffer(case["text"].encode(), np.uint8)}
        )
        held = {k: described(v) for k, v in constants.items()}
        made[name] = {**answer, "constants": held, "outputs": case["outputs"]}
    return made


def regenerate():
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(case, separators=(',', ':'))}" for name, case in record().items()
    )
    RECORD.write_text(f"{{\n{lines}\n}}\n")


RECORDED = json.loads(RECORD.read_text()) if RECORD.exists() else {}


@pytest.fixture
def listed(monkeypatch):
    """A function that makes the old TVM say what it is given, for any text."""

    def say(values, result=-1, constants=()):
        answer = {"values": values, "result": result % len(values)}
        monkeypatch.setattr(bridge, "old_tvm", lambda: SimpleNamespace(ask=lambda *_: (answer, dict(constants))))

    return say


def assert_computes(graph, case, params):
    with np.errstate(all="ignore"):
        got = list(evaluate(graph, inputs(params)).values())
    for g, said in zip(got, case["outputs"], strict=True):
        wanted = array(said)
        assert (g.dtype, g.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_allclose(g, wanted, rtol=1e-5, atol=1e-5)


# ---- operators ----------------------------------------------------------------------------------


def test_there_is_a_case_of_every_operator():
    assert {name.split()[0] for name in CASES} == set(RELAY)


@pytest.mark.parametrize("name", CASES)
def test_a_recorded_call_computes_what_the_old_tvm_computed(name, listed):
    case = RECORDED[name]
    listed(case["values"], case["result"], {k: array(v) for k, v in case["constants"].items()})
    graph = from_relay("")
    verify(graph)
    assert_computes(graph, case, CASES[name][1])


@pytest.mark.slow
@pytest.mark.relay
def test_the_old_tvm_says_what_is_recorded():
    fresh = record()
    assert fresh.keys() == RECORDED.keys()
    for name, case in json.loads(json.dumps(fresh)).items():
        outputs, recorded = case.pop("outputs"), dict(RECORDED[name])
        for new, old in zip(outputs, recorded.pop("outputs"), strict=True):
            np.testing.assert_allclose(array(new), array(old), rtol=1e-5, atol=1e-5)
        assert case == recorded


# ---- what is not supported ----------------------------------------------------------------------

MATRIX = {"dtype": "float32", "shape": [2, 3]}


def value(op, args=(), type=MATRIX, name="", **attributes):
    return {"op": op, "args": list(args), "attributes": attributes, "type": type, "name": name}


X = value("parameter", name="x")
X["attributes"]["name"] = "x"


def test_all_that_is_not_supported_is_reported_at_once(listed):
    unknown = {"dtype": "float32", "shape": [None, 3]}
    listed([X, value("If"), value("nn.relu", [1]), value("nn.foo", [0], name="%2"), value("nn.foo", [3], name="%3"),
            value("nn.relu", [0], unknown), value("nn.relu", [0], {"dtype": "int4", "shape": []}), value("Tuple", [2, 5])])  # fmt: skip
    with pytest.raises(BridgeError) as caught:
        from_relay("")
    assert str(caught.value).splitlines() == [
        'BridgeError: from_relay("main"): operators that are not supported: 4, on 5 variables',
        "    nn.foo: 2 x (%2, %3)",
        "    If: 1 x (value 1)",
        "    nn.relu of the shape (?, 3): 1 x (value 5)",
        "    nn.relu where no such dtype: 1 x (value 6)",
        f"hint: {len(RELAY)} Relay operators are supported; {bridge.HINT}",
    ]


INDEX = {"dtype": "int64", "shape": [2]}
AXES = {"axis": [0, 1], "keepdims": 0, "select_last_index": 0, "exclude": 0}
REFUSED = {
    "a computed bound": (value("arange", [0, 0, 0], INDEX, dtype="int64"), "with a bound that is computed"),
    "a computed pad value": (value("nn.pad", [0, 0], pad_width=[[0, 0], [0, 0]], pad_mode="constant"), "with a pad_value that is computed"),
    "take by batches": (value("take", [0, 0], batch_dims=1, axis=1, mode="clip"), "with batch_dims=1"),
    "symmetric padding": (value("nn.mirror_pad", [0], mode="SYMMETRIC", pad_width=[[0, 0], [1, 0]]), 'with mode="SYMMETRIC"'),
    "places along two axes": (value("argmax", [0], {"dtype": "int32", "shape": []}, **AXES), "over the axes (0, 1)"),
    "lrn along the rows": (value("nn.lrn", [0], size=3, axis=0, alpha=1.0, beta=0.5, bias=1.0), "along the axis 0"),
    "another type": (value("nn.relu", [0], INDEX), "whose result is int64[2] for TVM, float32[2,3] for minicc"),
    "a packed layout": (value("layout_transform", [0], src_layout="NC", dst_layout="NC4c"), 'with the layout "NC"'),
    "integers rounded": (value("round", [1]), "where"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_meaning_that_minicc_lacks_is_refused(case, listed):
    entry, why = REFUSED[case]
    ints = value("parameter", type={"dtype": "int32", "shape": [2, 3]}, name="i")
    listed([X, {**ints, "attributes": {"name": "i"}}, entry])
    with pytest.raises(BridgeError, match=f"{re.escape(entry['op'])} .*{re.escape(why)}"):
        from_relay("")


def test_a_result_that_only_training_needs_is_refused(listed):
    listed([X, value("nn.dropout", [0], [MATRIX, MATRIX]), value("TupleGetItem", [1], index=1)])
    with pytest.raises(BridgeError, match="TupleGetItem with index=1, a result that only training needs: 1 x"):
        from_relay("")


def test_a_parameter_that_is_given_is_a_constant(listed):
    listed([X, value("nn.relu", [0])])
    (result,) = evaluate(from_relay("", {"x": np.array([[-1, 2, 3]] * 2, np.float32)}), {}).values()
    np.testing.assert_array_equal(result, [[0, 2, 3]] * 2)


def test_two_parameters_of_one_name_are_refused(listed):
    listed([X, X, value("add", [0, 1])])
    with pytest.raises(BridgeError, match="expected names of one parameter each, got 'x' of more"):
        from_relay("")


@pytest.mark.parametrize(("params", "problem"), [
    ({"y": np.zeros(3)}, "expected one of the parameters x, got a value for 'y'"),
    ({"x": np.zeros(3)}, "expected float32[2,3] for the parameter x, got float64[3]"),
    ([np.zeros(3)], "expected params as a mapping from names to arrays, got list"),
])  # fmt: skip
def test_wrong_params_are_refused(params, problem, listed):
    listed([X, value("nn.relu", [0])])
    with pytest.raises(BridgeError, match=re.escape(problem)):
        from_relay("", params)


# ---- texts --------------------------------------------------------------------------------------

VERSION = '#[version = "0.0.5"]\n'
F3 = "Tensor[(3), float32]"
TEXTS = {
    "let and a function": f"""def @twice(%x: {F3}) {{ add(%x, %x) }}
        def @main(%x: {F3}) {{ let %a = @twice(%x); %0 = (%a, @twice(%a)); %0.1 }}""",
    "a closure": f"fn (%x: {F3}) {{ let %f = fn (%y: {F3}) {{ multiply(%y, 2f) }}; %f(%f(%x)) }}",
    "fused": f"def @main(%x: {F3}) {{ %0 = fn (%p0: {F3}, %p1: float32, Primitive=1) {{ multiply(%p0, %p1) }}; %0(%x, 4f) }}",
    "graph form": f"def @main(%x: {F3}) {{\n  %0 = add(%x, %x);\n  %1 = add(%0, 0f);\n  add(%0, %1)\n}}",
    "ADT beside": f"type Box[A] {{ Box(A), }}\ndef @main(%x: {F3}) {{ multiply(4f, %x) }}",
}  # fmt: skip


@pytest.mark.relay
@pytest.mark.parametrize("name", TEXTS)
def test_texts_by_hand_come_over(name):
    (result,) = evaluate(from_relay(VERSION + TEXTS[name]), {"x": np.arange(3, dtype=np.float32)}).values()
    np.testing.assert_array_equal(result, [0, 4, 8])


@pytest.mark.relay
def test_values_are_called_as_in_the_text():
    graph = from_relay(VERSION + TEXTS["graph form"])
    assert [str(graph.spans[n]) for n in graph.nodes if n in graph.spans and n.inputs] == [
        "main:1 add '%0'", "main:3 add '%1'", "main:4 add 'value 4'"
    ]  # fmt: skip


@pytest.mark.relay
def test_control_flow_is_counted_as_unsupported():
    text = f"""type List[A] {{ Cons(A, List[A]), Nil, }}
        def @loop(%x: {F3}) -> {F3} {{ @loop(exp(%x)) }}
        def @main(%x: {F3}, %b: bool, %f: fn ({F3}) -> {F3}, %n: Tensor[(-1, ?), int32]) {{
          let %r = ref(%x);
          let %list = Cons(%x, Nil);
          (if (%b) {{ %x }} else {{ @loop(%x) }}, @loop(%x), %f(%x), ref_read(%r), match? (%list) {{ Nil => %x, }}) }}"""
    with pytest.raises(BridgeError) as caught:
        from_relay(VERSION + text)
    said = str(caught.value)
    for what in (
        "If",
        "recursion",
        "call of Var",
        "RefRead",
        "Match",
        "parameter that is no tensor",
        "parameter of the shape (?, ?)",
    ):
        assert f"    {what}: 1 x" in said


WIDE = "".join(
    f"def @f{k}(%x: {F3}) -> {F3} {{ add({f'@f{k - 1}(%x), @f{k - 1}(%x)' if k else '%x, %x'}) }}\n" for k in range(30)
)
HOSTILE = {
    "empty": ("", "expected text format semantic version"),
    "garbage": ("\0garbage\ud800", "expected text format semantic version"),
    "no main": (VERSION + "def @f() { 1 }", "expected one of the functions f, got 'main'"),
    "no operator": (VERSION + f"def @main(%x: {F3}) {{\n nn.foo(%x) }}", "line 3: operator `nn.foo` not found"),
    "arguments": (VERSION + f"def @main(%x: {F3}) {{ add(%x, %x, %x) }}", "too many arguments"),
    "bracket": (VERSION + f"fn (%x: {F3}) {{ nn.relu(%x }}", "expected a `)`"),
    "no constant": (VERSION + f"def @main(%x: {F3}) {{ meta[relay.Constant][7] }}", "error from it: ValueError"),
    "damaged": (VERSION + f'def @main(%x: {F3}) {{ %x }}\n#[metadata]\n{{"root": 9, "nodes": []}}', "error from it: ValueError"),
    "deep": (VERSION + f"def @main(%x: {F3}) {{ {'(' * 200_000} }}", "crash from it: SIGSEGV"),
}  # fmt: skip


@pytest.mark.relay
@pytest.mark.parametrize("name", HOSTILE)
def test_a_broken_or_hostile_text_is_an_error(name):
    text, said = HOSTILE[name]
    with pytest.raises(BridgeError, match=re.escape(said)):
        from_relay(text)
    assert from_relay(VERSION + TEXTS["fused"]).inputs  # the next one is read


@pytest.mark.slow
@pytest.mark.relay
def test_a_short_text_of_many_calls_is_an_error():
    with pytest.raises(BridgeError, match="expected at most 20000 values after functions are called"):
        from_relay(VERSION + WIDE, function="f29")


def test_what_is_no_text_is_refused():
    with pytest.raises(BridgeError, match="expected a text, got bytes"):
        from_relay(b"")


@pytest.mark.relay
@pytest.mark.parametrize("name", MODELS)
def test_models_that_relay_read_from_onnx_compute_the_same(name):
    model = MODELS[name]()
    graph = from_relay((HERE / f"{name}.relay").read_text())
    x = np.random.RandomState(1).randn(*graph.inputs[0].type.shape).astype(np.float32)
    (wanted,) = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    np.testing.assert_allclose(minicc.compile(graph)(x)[0], wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.relay
def test_a_chain_of_thousands_of_calls_comes_over():
    lines = "".join(f"  %{k} = nn.relu({f'%{k - 1}' if k else '%x'});\n" for k in range(3000))
    graph = from_relay(f"{VERSION}def @main(%x: {F3}) {{\n{lines}  %2999\n}}")
    assert len(graph.nodes) == 3001


# ---- there and back -----------------------------------------------------------------------------

CANDIDATES = [name for name in JUDGED if name not in ("Input", "Constant", "Kernel")]
QUIET = settings(
    max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def assert_comes_back(graph, arrays):
    """The graph that Relay's text of `graph` is computes the same."""
    try:
        module = to_relay(graph)
    except BridgeError as error:
        assume("expected an operator that TVM has" not in error.problem)
        raise
    assume("bfloat16" not in module.text)  # of which TVM's parser knows nothing
    back = from_relay(module.text, module.params)
    verify(back)
    with np.errstate(all="ignore"):
        wanted = evaluate(graph, dict(zip(graph.input_names, arrays, strict=True))).values()
        got = evaluate(back, dict(zip(back.input_names, arrays, strict=True))).values()
    for g, w in zip(got, wanted, strict=True):
        assert (g.dtype, g.shape) == (w.dtype, w.shape)
        near = 0 if w.dtype.kind in "biu" else 2e-2 if w.dtype.itemsize == 2 else 1e-4
        np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=near, atol=near)


@pytest.mark.slow
@pytest.mark.relay
@pytest.mark.parametrize("name", CANDIDATES)
def test_an_operator_comes_back_as_it_went(name):
    @QUIET
    @given(operators(name))
    def check(example):
        made, arrays = example
        params = tuple(input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays))
        assert_comes_back(Graph("main", params, (make(made, params),), ("y",)), arrays)

    check()


@pytest.mark.slow
@pytest.mark.relay
@settings(QUIET, max_examples=40)
@given(graphs(max_nodes=8))
def test_a_random_graph_comes_back_as_it_went(example):
    assert_comes_back(example.graph, list(example.inputs.values()))


@pytest.mark.relay
def test_params_may_be_the_bytes_that_tvm_saved():
    command = "import sys, numpy, tvm; sys.stdout.buffer.write(tvm.runtime.save_param_dict({'w': numpy.float32([[1, 2], [3, 4]])}))"
    saved = subprocess.run([str(python_of_relay()), "-I", "-c", command], capture_output=True, check=True).stdout
    matrix = "Tensor[(2, 2), float32]"
    text = VERSION + f"def @main(%x: {matrix}, %w: {matrix}) {{ nn.dense(%x, %w, units=2) }}"
    (result,) = evaluate(from_relay(text, saved), {"x": np.eye(2, dtype=np.float32)}).values()
    np.testing.assert_array_equal(result, [[1, 3], [2, 4]])
    with pytest.raises(
        BridgeError, match=r"error from it: ValueError: expected [0-9]+ bytes of parameters, got [0-9]+"
    ):
        from_relay(text, saved[:-9])
    with pytest.raises(BridgeError, match="expected a text and params that the old TVM reads, got error from it"):
        from_relay(text, b"garbage")


if __name__ == "__main__":
    assert sys.argv[1:] == ["--regenerate"], __doc__
    regenerate()
