"""ONNX models in which data decide: branches, trips, sequences, shapes. Right are onnx's own tests, and onnxruntime."""

import pickle
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import GraphProto, TensorProto, ValueInfoProto, helper, numpy_helper

import minicc
from minicc.backend import node_tests
from minicc.errors import LoadError, MiniccError, RunError, TooLargeError
from minicc.frontend.onnx import load
from minicc.graph import evaluate, parse, verify
from minicc.runtime.executable import CpuExecutable
from minicc.runtime.specialize import SpecializingExecutable
from minicc.runtime.staged import StagedExecutable

FLOAT, INT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
X = np.float32([1, -2, 3])

KINDS = (  # of the node tests of the onnx package
    "test_compress", "test_if", "test_loop", "test_nonmaxsuppression", "test_nonzero", "test_optional_", "test_scan",
    "test_sequence_", "test_split_to_sequence", "test_unique", "test_range_", "test_affine_grid", "test_linear_attention",
)  # fmt: skip


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, **attributes)


def info(name, dtype=FLOAT, shape=None):
    return helper.make_tensor_value_info(name, dtype, shape)


def held(name, value):
    return numpy_helper.from_array(np.asarray(value), name)


def body(nodes, inputs, outputs, initializers=()):
    """A graph in a graph; inputs are (name, dtype)."""
    results = [ValueInfoProto(name=o) for o in outputs]
    return helper.make_graph(
        nodes, "body", [info(n, d, None if d == FLOAT else []) for n, d in inputs], results, initializers
    )


def model(nodes, inputs, outputs, initializers=(), version=18, functions=()):
    infos = [info(name, dtype, shape) for name, dtype, shape in inputs]
    graph = helper.make_graph(nodes, "g", infos, [ValueInfoProto(name=o) for o in outputs], list(initializers))
    imports = [helper.make_opsetid("", version), helper.make_opsetid("local", 1)]
    return helper.make_model(graph, opset_imports=imports, functions=functions, ir_version=10)


def agrees(proto, *calls, rtol=1e-5):
    """The executable, whose results on each of the calls are those of onnxruntime."""
    session = pytest.importorskip("onnxruntime").InferenceSession(proto.SerializeToString())
    exe, graph = minicc.compile(proto), load(proto)
    verify(graph)
    assert parse(str(graph), graph.constants).same_as(graph)
    for k, feeds in enumerate(calls):
        again = [] if k else [pickle.loads(pickle.dumps(exe)).run(feeds)]
        for got in (exe.run(feeds), evaluate(graph, feeds), *again):
            for name, right in zip(graph.output_names, session.run(None, feeds), strict=True):
                np.testing.assert_allclose(got[name], right, rtol=rtol)
                assert got[name].dtype == right.dtype and got[name].shape == right.shape
    return exe


# ---- onnx's own tests ---------------------------------------------------------------------------


def value(array):
    if isinstance(array, list):
        return tuple(map(value, array))
    return None if array.dtype == object else array


def compare(got, right, test):
    if isinstance(right, list):
        assert isinstance(got, tuple) and len(got) == len(right)
        for pair in zip(got, right, strict=True):
            compare(*pair, test)
        return
    assert (got.dtype, got.shape) == (right.dtype, right.shape)
    wide = np.float64 if right.dtype.kind in "fV" else right.dtype
    np.testing.assert_allclose(got.astype(wide), right.astype(wide), rtol=test.rtol, atol=test.atol)


def check_node_test(test, compiled):
    graph = load(test.model)
    verify(graph)
    for inputs, outputs in test.data_sets:
        feeds = dict(zip(graph.input_names, map(value, inputs), strict=True))
        shapes = {
            name: a.shape
            for name, n, a in zip(graph.input_names, graph.inputs, feeds.values(), strict=True)
            if n.inferred
        }
        got = minicc.compile(graph, input_shapes=shapes).run(feeds) if compiled else evaluate(graph, feeds)
        for pair in zip(got.values(), outputs, strict=True):
            compare(*pair, test)


def chosen():
    names = sorted(name for name in node_tests() if name.startswith(KINDS))
    twins = ("range", "affine", "linear")  # these are known by their definitions
    return [name for name in names if name.endswith("_expanded") or not any(part in name for part in twins)]


@pytest.mark.slow
def test_the_node_tests_mean_what_they_mean():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        failed = {}
        for name in chosen():
            try:
                check_node_test(node_tests()[name], compiled=False)
            except Exception as error:
                failed[name] = str(error).splitlines()[0]
    assert not failed and len(chosen()) > 80


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_node_tests_compiled(kind):
    for name in chosen():
        if name.startswith(kind):
            check_node_test(node_tests()[name], compiled=True)


# ---- branches -----------------------------------------------------------------------------------


def nested():
    """A condition in a loop in a condition; all read names from around, and of all constants."""
    deep = [body([node("Mul", ["s", "two"], ["m"])], [], ["m"]), body([node("Sub", ["s", "x"], ["d"])], [], ["d"])]
    trips = body(
        [
            node("ReduceSum", ["s"], ["total"], keepdims=0),
            node("Greater", ["total", "limit"], ["much"]),
            node("If", ["much"], ["t"], then_branch=deep[1], else_branch=deep[0]),
            node("Identity", ["go"], ["on"]),
        ],
        [("k", INT), ("go", BOOL), ("s", FLOAT)],
        ["on", "t", "total"],
    )
    then = body([node("Loop", ["n", "", "y"], ["last", "sums"], body=trips)], [], ["last", "sums"])
    otherwise = body([node("Neg", ["y"], ["last"]), node("Abs", ["x"], ["sums"])], [], ["last", "sums"])
    nodes = [
        node("Add", ["x", "two"], ["y"]),
        node("ReduceMax", ["x"], ["most"], keepdims=0),
        node("Greater", ["most", "limit"], ["c"]),
        node("If", ["c"], ["a", "b"], then_branch=then, else_branch=otherwise),
        node("Exp", ["a"], ["z"]),
    ]
    constants = [held("two", np.float32(2)), held("limit", np.float32(2.5))]
    return model(nodes, [("x", FLOAT, [3]), ("n", INT, [])], ["z", "b"], constants)


def test_a_condition_in_a_loop_in_a_condition():
    calls = [{"x": x, "n": np.array(n)} for x, n in ((X, 1), (X, 4), (-X, 4), (X / 2, 1))]
    assert isinstance(agrees(nested(), *calls), StagedExecutable)


def test_a_condition_that_an_input_gives_makes_code_for_each_value():
    then, otherwise = body([node("Exp", ["x"], ["r"])], [], ["r"]), body([node("Neg", ["x"], ["r"])], [], ["r"])
    nodes = [
        node("Equal", ["rate", "sixteen"], ["c"]),
        node("If", ["c"], ["y"], then_branch=then, else_branch=otherwise),
    ]
    proto = model(nodes, [("x", FLOAT, [3]), ("rate", INT, [])], ["y"], [held("sixteen", np.int64(16000))])
    exe = agrees(proto, {"x": X, "rate": np.array(16000)}, {"x": X, "rate": np.array(8000)})
    assert isinstance(exe, SpecializingExecutable) and exe.waiting == ("rate",)
    assert isinstance(exe.specialize({"rate": np.array(8000)}), CpuExecutable)


@pytest.mark.parametrize("shape", [[3], ["n"]])
def test_a_branch_that_does_not_fit_is_no_fault_until_it_is_taken(shape):
    then = body([node("Reshape", ["x", "two"], ["q"]), node("Neg", ["q"], ["r"])], [], ["r"], [held("two", [2, 2])])
    otherwise = body([node("Neg", ["x"], ["r"])], [], ["r"])
    choice = node("If", ["c"], ["y"], then_branch=then, else_branch=otherwise)
    by_data = [node("ReduceSum", ["x"], ["s"], keepdims=0), node("Cast", ["s"], ["c"], to=BOOL), choice]
    for nodes, inputs, taken in ([choice], [("c", BOOL, [])], [np.array(True)]), (by_data, [], []):
        exe = minicc.compile(model(nodes, [("x", FLOAT, shape), *inputs], ["y"]), input_shapes={"x": (3,)})
        np.testing.assert_array_equal(exe(X * 0, *[~a for a in taken])[0], -X * 0)
        with pytest.raises(MiniccError, match=r"Reshape.*expected a shape of 3 elements"):
            exe(X, *taken)


def test_control_flow_in_functions_with_attributes():
    power = node("Constant", [], ["p"])
    power.attribute.add(name="value_float", type=1, ref_attr_name="by")
    then, otherwise = (
        body([power, node("Mul", ["v", "p"], ["r"])], [], ["r"]),
        body([node("Neg", ["v"], ["r"])], [], ["r"]),
    )
    inner = [
        node("ReduceSum", ["v"], ["total"], keepdims=0),
        node("Cast", ["total"], ["c"], to=BOOL),
        node("If", ["c"], ["w"], then_branch=then, else_branch=otherwise),
    ]
    function = helper.make_function("local", "F", ["v"], ["w"], inner, [helper.make_opsetid("", 18)], ["by"])
    nodes = [node("F", ["x"], ["u"], domain="local", by=3.0), node("F", ["u"], ["y"], domain="local", by=5.0)]
    proto = model(nodes, [("x", FLOAT, [3])], ["y"], functions=[function])
    exe = minicc.compile(proto)
    np.testing.assert_array_equal(exe(X)[0], X * 15)
    np.testing.assert_array_equal(exe(np.zeros(3, np.float32))[0], np.zeros(3))


# ---- loops --------------------------------------------------------------------------------------


def while_less():
    """while sum(s) < 100: s = s * s + 1."""
    trips = body(
        [
            node("Mul", ["s", "s"], ["q"]),
            node("Add", ["q", "one"], ["t"]),
            node("ReduceSum", ["t"], ["total"], keepdims=0),
            node("Less", ["total", "limit"], ["on"]),
        ],
        [("k", INT), ("go", BOOL), ("s", FLOAT)],
        ["on", "t", "total"],
        [held("one", np.float32(1)), held("limit", np.float32(100))],
    )
    return model([node("Loop", ["", "yes", "x"], ["y", "sums"], body=trips)], [("x", FLOAT, [3])], ["y", "sums"], [held("yes", True)])  # fmt: skip


def test_data_say_when_a_loop_ends():
    agrees(while_less(), {"x": X}, {"x": X * 0}, {"x": X * 100})


def growing():
    """Carried values that grow: rows joined by Concat, beside a product of a fixed type."""
    trips = body(
        [
            node("MatMul", ["s", "w"], ["t"]),
            node("Concat", ["rows", "t"], ["more"], axis=0),
            node("Identity", ["go"], ["on"]),
            node("Shape", ["more"], ["size"]),
            node("Gather", ["size", "zero"], ["count"]),
        ],
        [("k", INT), ("go", BOOL), ("s", FLOAT), ("rows", FLOAT)],
        ["on", "t", "more", "count"],
        [held("zero", np.int64(0))],
    )
    weights = held("w", (np.arange(9, dtype=np.float32).reshape(3, 3) - 4) / 9)
    nodes = [
        node("Loop", ["n", "", "x", "x"], ["last", "all", "counts"], body=trips),
        node("MatMul", ["all", "w"], ["y"]),
    ]
    return model(nodes, [("x", FLOAT, [1, 3]), ("n", INT, [])], ["y", "counts"], [weights])


@pytest.mark.slow
def test_a_carried_value_that_grows():
    exe = agrees(growing(), *[{"x": X[None], "n": np.array(n)} for n in (2, 7)])
    assert exe.outputs[0].type.shape == (8, 3) and exe.kernels and "graph" in exe.stages
    assert len(exe.profile(X[None], np.array(3))) == len(exe.kernels)


def test_a_loop_of_no_trip():
    exe = minicc.compile(growing())
    y, counts = exe(X[None], np.array(0))
    assert y.shape == (1, 3) and counts.shape == (0,) and counts.dtype == np.int64


@pytest.mark.slow
def test_a_loop_of_few_trips_is_code_alone():
    proto = growing()
    proto.graph.input.pop()
    proto.graph.initializer.append(held("n", np.int64(5)))
    assert isinstance(agrees(proto, {"x": X[None]}), CpuExecutable)


def random_body(draw):
    """A few nodes over carried vectors, the trip number, a captured vector and a constant."""
    names, nodes = ["a", "b", "x", "c"], [node("Cast", ["k"], ["kf"], to=FLOAT), node("Mul", ["kf", "c"], ["kx"])]
    names.append("kx")
    for n in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["Add", "Sub", "Mul", "Max", "Tanh", "Sigmoid", "Where"]))
        picks = [draw(st.sampled_from(names)) for _ in range(2)]
        if kind == "Where":
            nodes += [node("Less", picks, [f"m{n}"]), node("Where", [f"m{n}", *picks], [f"v{n}"])]
        else:
            nodes.append(node(kind, picks[: 1 if kind in ("Tanh", "Sigmoid") else 2], [f"v{n}"]))
        names.append(f"v{n}")
    nodes += [node("Tanh", [draw(st.sampled_from(names))], [out]) for out in ("ta", "tb")]
    nodes += [node("ReduceSum", ["ta"], ["total"], keepdims=0), node("Less", ["total", "most"], ["on"])]
    scanned = draw(st.sampled_from(names))
    nodes.append(node("Identity", [scanned], ["scan"]))
    most = held("most", np.float32(draw(st.sampled_from([-1.0, 0.5, 9.0]))))
    return body(nodes, [("k", INT), ("go", BOOL), ("a", FLOAT), ("b", FLOAT)], ["on", "ta", "tb", "scan"], [most])


@pytest.mark.slow
@settings(max_examples=20)
@given(st.data())
def test_random_bodies_agree_with_onnxruntime(data):
    ort = pytest.importorskip("onnxruntime")
    trips = random_body(data.draw)
    nodes = [node("Loop", ["n", "", "x", "x"], ["y", "z", "all"], body=trips)]
    proto = model(
        nodes, [("x", FLOAT, [4]), ("n", INT, [])], ["y", "z", "all"], [held("c", np.float32([0.5, -1, 2, 0]))]
    )
    x = np.float32(data.draw(st.lists(st.integers(-3, 3), min_size=4, max_size=4))) / 2
    feeds = {"x": x, "n": np.array(data.draw(st.integers(1, 5)))}
    right = ort.InferenceSession(proto.SerializeToString()).run(None, feeds)
    graph = load(proto)
    for got in (evaluate(graph, feeds), minicc.compile(graph).run(feeds)):
        for a, b in zip(got.values(), right, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# ---- shapes that data decide --------------------------------------------------------------------


@pytest.mark.slow
def test_a_product_of_what_was_found():
    nodes = [
        node("Relu", ["x"], ["r"]),
        node("NonZero", ["r"], ["at"]),
        node("Transpose", ["at"], ["rows"], perm=[1, 0]),
        node("GatherND", ["x", "rows"], ["found"]),
        node("Unsqueeze", ["found", "one"], ["column"]),
        node("MatMul", ["column", "w"], ["y"]),
        node("Shape", ["column"], ["size"]),
        node("ConstantOfShape", ["size"], ["zeros"]),
        node("Add", ["zeros", "column"], ["z"]),
    ]
    constants = [held("one", np.int64([1])), held("w", np.float32([[1, 2, 3]]))]
    proto = model(nodes, [("x", FLOAT, [4, 5])], ["y", "z"], constants)
    random = np.random.default_rng(0)
    exe = agrees(proto, *[{"x": random.standard_normal((4, 5)).astype(np.float32) - k} for k in (0, 1, 1, 9)])
    assert isinstance(exe, StagedExecutable)


def test_a_result_that_is_an_input_or_a_constant_is_memory_of_its_own():
    then, otherwise = (
        body([node("Identity", ["x"], ["r"])], [], ["r"]),
        body([node("Identity", ["k"], ["r"])], [], ["r"]),
    )
    nodes = [
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Cast", ["s"], ["c"], to=BOOL),
        node("If", ["c"], ["y"], then_branch=then, else_branch=otherwise),
    ]
    exe = minicc.compile(model(nodes, [("x", FLOAT, [3])], ["y"], [held("k", X)]))
    for x in (X.copy(), X * 0):
        (y,) = exe(x)
        before = x.copy()
        y += 7
        np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(exe(X * 0)[0], X)


@pytest.mark.slow
def test_exact_has_the_same_bits_staged_as_in_one_piece():
    proto = growing()
    whole = growing()
    whole.graph.input.pop()
    whole.graph.initializer.append(held("n", np.int64(5)))
    staged, single = minicc.compile(proto, exact=True), minicc.compile(whole, exact=True)
    for a, b in zip(staged(X[None], np.array(5)), single(X[None]), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_sequences_as_inputs_and_outputs():
    exe = minicc.compile(node_tests()["test_loop13_seq"].model)
    inputs, (right,) = node_tests()["test_loop13_seq"].data_sets[0]
    got = exe.run(dict(zip(("trip_count", "cond", "seq_empty"), map(value, inputs), strict=True)))["seq_res"]
    assert isinstance(got, tuple) and all(np.array_equal(a, b) for a, b in zip(got, right, strict=True))


# ---- what is refused ----------------------------------------------------------------------------


def deep(depth):
    inner = body([node("Neg", ["x"], ["r"])], [], ["r"])
    for _ in range(depth):
        inner = body([node("If", ["c"], ["r"], then_branch=inner, else_branch=inner)], [], ["r"]) if depth < 4 else body(
            [node("If", ["c"], ["r"], then_branch=inner, else_branch=body([node("Neg", ["x"], ["r"])], [], ["r"]))], [], ["r"]
        )  # fmt: skip
    return inner


NEG = body([node("Neg", ["x"], ["r"])], [], ["r"])
TRIPS = body([node("Identity", ["go"], ["on"]), node("Neg", ["s"], ["t"])], [("k", INT), ("go", BOOL), ("s", FLOAT)], ["on", "t"])  # fmt: skip
HOSTILE = {
    "a branch reads the result of its condition": (
        node("If", ["c"], ["y"], then_branch=body([node("Neg", ["y"], ["r"])], [], ["r"]), else_branch=NEG),
        "no cycle",
    ),
    "a branch of two results": (
        node("If", ["c"], ["y"], then_branch=body([node("Neg", ["x"], ["r"])], [], ["r", "r"]), else_branch=NEG),
        "got 0 and 2",
    ),
    "a branch of another dtype": (
        node("If", ["c"], ["y"], then_branch=body([node("Shape", ["x"], ["r"])], [], ["r"]), else_branch=NEG),
        "one dtype in both branches, got int64 and float32",
    ),
    "a branch reads what is nowhere": (
        node("If", ["c"], ["y"], then_branch=body([node("Neg", ["nowhere"], ["r"])], [], ["r"]), else_branch=NEG),
        "'nowhere' must be",
    ),
    "a branch is missing": (node("If", ["c"], ["y"], then_branch=NEG), "'else_branch' is required"),
    "a body takes too few": (node("Loop", ["n", "c", "x", "x"], ["y"], body=TRIPS), "must have 4 inputs"),
    "a body gives too few": (node("Loop", ["n", "c", "x"], ["y", "z"], body=TRIPS), "at least 3 outputs"),
    "a carried value is absent": (node("Loop", ["n", "c", ""], ["y"], body=TRIPS), "input 2 is required"),
    "a scan of nothing": (node("Scan", ["x"], ["y"], body=NEG, num_scan_inputs=0), "num_scan_inputs must be"),
    "nesting without end": (node("If", ["c"], ["y"], then_branch=deep(20), else_branch=NEG), "at most 16 deep"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_control_flow_is_refused(case):
    bad, message = HOSTILE[case]
    inputs = [("x", FLOAT, [3]), ("c", BOOL, []), ("n", INT, [])]
    with pytest.raises(LoadError, match=message) as caught:
        load(model([bad], inputs, ["y"]))
    assert caught.value.where and caught.value.hint


def test_nesting_of_10_000_is_refused():
    proto, inner = model([node("If", ["c"], ["y"], else_branch=NEG)], [("x", FLOAT, [3]), ("c", BOOL, [])], ["y"]), None
    inner = proto.graph.node[0].attribute.add(name="then_branch", type=5).g
    for _ in range(10_000):
        below = inner.node.add(op_type="If", input=["c"], output=["r"])
        inner.output.add(name="r")
        below.attribute.add(name="else_branch", type=5).g.CopyFrom(NEG)
        inner = below.attribute.add(name="then_branch", type=5).g
    inner.CopyFrom(NEG)
    assert isinstance(inner, GraphProto)
    with pytest.raises(LoadError, match="at most 16 deep"):
        load(proto)


def test_a_function_that_calls_itself_in_a_branch_is_refused():
    again = body([node("F", ["v"], ["r"], domain="local")], [], ["r"])
    inner = [
        node("ReduceSum", ["v"], ["s"], keepdims=0),
        node("Cast", ["s"], ["c"], to=BOOL),
        node("If", ["c"], ["w"], then_branch=again, else_branch=again),
    ]
    function = helper.make_function("local", "F", ["v"], ["w"], inner, [helper.make_opsetid("", 18)])
    proto = model([node("F", ["x"], ["y"], domain="local")], [("x", FLOAT, [3])], ["y"], functions=[function])
    with pytest.raises(LoadError, match=r"at most (16 deep|200,000 nodes)"):
        load(proto)


def test_a_loop_without_an_end_is_refused():
    proto = model([node("Loop", ["n", "c", "x"], ["y"], body=TRIPS)], [("x", FLOAT, [3]), ("c", BOOL, []), ("n", INT, [])], ["y"])  # fmt: skip
    exe = minicc.compile(proto)
    for trips in (2**62, 2**63 - 1):
        with pytest.raises(RunError, match="expected a loop that ends, got"):
            exe(X, np.array(True), np.array(trips))
    np.testing.assert_array_equal(exe(X, np.array(False), np.array(2**62))[0], X)
    np.testing.assert_array_equal(exe(X, np.array(True), np.array(3))[0], -X)


def test_a_loop_that_does_not_end_is_interrupted():
    """while sum(s) < 100: s = s; the signal of Ctrl-C comes between two trips."""
    trips = body(
        [node("ReduceSum", ["s"], ["total"], keepdims=0), node("Less", ["total", "limit"], ["on"])],
        [("k", INT), ("go", BOOL), ("s", FLOAT)],
        ["on", "s"],
        [held("limit", np.float32(100))],
    )
    exe = minicc.compile(model([node("Loop", ["", "yes", "x"], ["y"], body=trips)], [("x", FLOAT, [3])], ["y"], [held("yes", True)]))  # fmt: skip
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(KeyboardInterrupt):
            exe(X)
    finally:
        signal.signal(signal.SIGALRM, before)
    np.testing.assert_array_equal(exe(X * 100)[0], X * 100)


def test_what_trips_scan_is_measured_before_it_is_stacked(monkeypatch):
    trips = body(
        [node("Identity", ["go"], ["on"]), node("Neg", ["s"], ["t"]), node("Expand", ["t", "large"], ["wide"])],
        [("k", INT), ("go", BOOL), ("s", FLOAT)],
        ["on", "t", "wide"],
        [held("large", [1 << 20, 3])],
    )
    proto = model([node("Loop", ["n", "", "x"], ["y", "all"], body=trips)], [("x", FLOAT, [3]), ("n", INT, [])], ["y", "all"])  # fmt: skip
    exe = minicc.compile(proto)
    monkeypatch.setattr("minicc.runtime.memory.available", lambda: 100 << 20)
    with pytest.raises(TooLargeError, match="expected a need of at most"):
        exe(X, np.array(10**9))


# ---- a real model -------------------------------------------------------------------------------


@pytest.mark.jobs
@pytest.mark.parametrize("name", ["silero_vad_16k_sequence", "silero_vad_op18_ifless"])
def test_forms_of_a_detector_of_speech(name):
    """If on the sampling rate, nested; a loop over the pieces of a recording."""
    folder = Path(pytest.importorskip("silero_vad").__file__).parent
    path, random = folder / "data" / f"{name}.onnx", np.random.default_rng(0)
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    sizes = {"state": (2, 1, 128), "h": (1, 1, 128), "c": (1, 1, 128), "sr": ()}
    feeds = {}
    for port in session.get_inputs():
        shape = sizes.get(port.name, (3 if "sequence" in name else 1, 576))
        feeds[port.name] = (random.standard_normal(shape) / 10).astype(np.float32)
    feeds |= {"sr": np.array(16000)} if "sr" in feeds else {}
    exe = minicc.compile(path, input_shapes={key: a.shape for key, a in feeds.items()})
    for got, right in zip(exe.run(feeds).values(), session.run(None, feeds), strict=True):
        np.testing.assert_allclose(got, right, atol=1e-5)
