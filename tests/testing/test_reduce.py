"""Delta debugging gives the smallest graph that still fails, with inputs, and writes it as a test that runs."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from minicc.bridge.inside.serve import general, origin
from minicc.errors import ConfigError, LoopError
from minicc.graph import evaluate, ir, parse
from minicc.graph.verify import verify
from minicc.ops import Add, Concat, Div, Exp, MatMul, Mul, Relu, Reshape, Softmax, Transpose
from minicc.runtime.files import write_arrays
from minicc.testing import oracle
from minicc.testing.oracle import Disagreement, TvmFailure
from minicc.testing.reduce import MiniccFailure, arrays_of, fails_like, failure, operators, pytest_source, read_case
from minicc.testing.reduce import reduce, run_apart, with_every_value
from minicc.testing.worker import Engine, Finding, Worker
from minicc.types import TensorType, float32

RANDOM = np.random.default_rng(0)


def tower():
    """Twelve operators around a Softmax, two outputs, a constant."""
    x, w = ir.input("x", TensorType(float32, (6, 8))), ir.input("w", TensorType(float32, (8, 8)))
    h = Add()(Relu()(MatMul()(x, w)), RANDOM.standard_normal(8).astype(np.float32))
    h = Transpose()(Reshape((8, 6))(Mul()(h, x)))
    middle = Softmax(axis=-1)(Concat(axis=1)(h, Exp()(h)))
    y = Relu()(Transpose()(Add()(middle, middle)))
    inputs = {
        "x": RANDOM.standard_normal((6, 8)).astype(np.float32),
        "w": RANDOM.standard_normal((8, 8)).astype(np.float32),
    }
    return ir.Graph("tower", (x, w), (y, Exp()(h)), ("y", "z")), inputs


def has(name):
    return lambda graph, inputs: name in [n.op.name for n in graph.nodes]


@pytest.mark.parametrize("name", ["MatMul", "Softmax", "Reshape", "Concat", "Exp", "Mul"])
def test_what_fails_is_left_alone(name):
    graph, inputs = reduce(*tower(), has(name))
    verify(graph)
    evaluate(graph, inputs)
    assert [n.op.name for n in operators(graph)] == [name]
    assert len(graph.outputs) == 1 and len(inputs) == len(graph.inputs) <= 2
    assert all(not array.any() for array in inputs.values())


def test_two_operators_that_fail_together_stay():
    graph, _ = reduce(*tower(), lambda g, x: has("MatMul")(g, x) and has("Softmax")(g, x))
    assert sorted(n.op.name for n in operators(graph) if n.op.name in ("MatMul", "Softmax")) == ["MatMul", "Softmax"]
    assert len(operators(graph)) <= 6  # what leads from one to the other changes the shape


def test_axes_and_numbers_shrink_as_far_as_the_failure_allows():
    def fails(graph, inputs):
        (result,) = evaluate(graph, inputs).values()
        return bool(result.ndim == 2 and result.shape[1] >= 3 and result.max() > 2) and has("Add")(graph, inputs)

    x = ir.input("x", TensorType(float32, (4, 9)))
    graph, inputs = reduce(
        ir.Graph("g", (x,), (Add()(x, x),), ("y",)), {"x": RANDOM.standard_normal((4, 9)).astype(np.float32) * 3}, fails
    )
    assert graph.outputs[0].shape == (1, 3)
    assert (
        sorted(inputs["x"].flat)[:2] == [0, 0]
        and inputs["x"].max() <= 9
        and inputs["x"].max() == np.rint(inputs["x"].max())
    )


def test_a_constant_that_matters_stays_and_others_become_inputs():
    graph, inputs = reduce(*tower(), lambda g, x: has("Constant")(g, x) and has("Add")(g, x))
    assert [n.op.name for n in graph.nodes if n.op.name != "Input"] in (["Constant", "Add"], ["Add", "Constant"])
    graph, inputs = reduce(*tower(), lambda g, x: has("Add")(g, x))
    assert not graph.constants and not has("Constant")(graph, inputs)


def test_candidates_without_a_value_are_not_tried():
    seen = []

    def fails(graph, inputs):
        seen.append(evaluate(graph, inputs))  # raises where a candidate makes no sense
        return has("Reshape")(graph, inputs)

    reduce(*tower(), fails)
    assert seen


def test_ctrl_c_keeps_the_best(capsys):
    lines, count = [], [0]

    def fails(graph, inputs):
        count[0] += 1
        if count[0] == 6:
            raise KeyboardInterrupt
        return has("Softmax")(graph, inputs)

    graph, inputs = reduce(*tower(), fails, lines.append)
    assert len(operators(graph)) < len(operators(tower()[0])) and has("Softmax")(graph, inputs)
    assert lines[-1] == "stopped at " + lines[-2]


def test_a_graph_that_does_not_fail_is_refused():
    with pytest.raises(ConfigError, match=r"reduce\(tower\): expected a graph that fails, got one that does not"):
        reduce(*tower(), lambda graph, inputs: False)
    with pytest.raises(
        ConfigError, match=r"expected a graph on which the stages numpy disagree, got one on which they agree\nhint"
    ):
        fails_like(*tower(), ("numpy",))
    with pytest.raises(ConfigError, match="stage nympy: expected one of numpy, loop, llvm, relax, relay, got 'nympy'"):
        failure(*tower(), ("nympy",))


def broken(graph, inputs):
    """A stage that doubles what comes out of every Softmax."""
    return {
        name: value * (2 if has("Softmax")(graph, inputs) else 1) for name, value in evaluate(graph, inputs).items()
    }


def test_the_written_test_fails_as_the_graph_does(monkeypatch, tmp_path):
    monkeypatch.setitem(oracle.STAGES, "broken", broken)
    graph, inputs = tower()
    assert failure(graph, inputs, ("numpy", "broken")) == "Disagreement: stage broken: value"
    graph, inputs = reduce(graph, inputs, fails_like(graph, inputs, ("numpy", "broken")))
    file = tmp_path / "test_it.py"
    file.write_text(pytest_source(graph, inputs, ("numpy", "broken")))
    test = runpy.run_path(str(file))["test_stages_agree"]
    with pytest.raises(Disagreement, match="stage broken"):
        test()
    monkeypatch.setitem(oracle.STAGES, "broken", evaluate)
    test()


def test_only_the_same_failure_counts(monkeypatch):
    def stage(graph, inputs):
        if not has("MatMul")(graph, inputs):
            raise ValueError("another failure")
        return broken(graph, inputs)

    monkeypatch.setitem(oracle.STAGES, "broken", stage)
    graph, _ = reduce(*tower(), fails_like(*tower(), ("broken",)))
    assert {"MatMul", "Softmax"} <= {n.op.name for n in operators(graph)}
    monkeypatch.setitem(oracle.STAGES, "broken", lambda g, x: 1 / 0)
    graph, _ = reduce(*tower(), fails_like(*tower(), ("broken",)))
    assert len(operators(graph)) == 1


def test_a_crash_of_tvm_is_told_by_its_signal(monkeypatch):
    def stage(graph, inputs):
        raise TvmFailure("relax", Finding("crash", "SIGFPE\nlast words", graph, inputs))

    monkeypatch.setitem(oracle.STAGES, "broken", stage)
    assert failure(*tower(), ("broken",)) == "stage broken: crash SIGFPE"


def test_the_text_of_an_error_of_tvm_tells_it_from_others(monkeypatch):
    def stage(graph, inputs):
        detail = "InternalError: no variable 'v_17' of shape [3, 4]\n  at line 5"
        origin = "InternalError in minicc.bridge.relax.build_relax"
        raise TvmFailure("relax", Finding("error", detail, graph, inputs, origin))

    monkeypatch.setitem(oracle.STAGES, "broken", stage)
    assert failure(*tower(), ("broken",)) == "stage broken: error InternalError: no variable  of shape"


def test_an_error_is_told_by_its_class_and_the_function_that_raised_it(monkeypatch):
    """What differs from graph to graph, names and shapes, does not count; where it was raised does."""
    calls = iter(['bind("j_1_i", 3)', 'bind("k", 4)', "lower(relu_float32[4,5])", "lower(add_int8[])", "fuse(x)"])

    def stage(graph, inputs):
        raise LoopError(next(calls), "expected another")

    monkeypatch.setitem(oracle.STAGES, "broken", stage)
    assert [failure(*tower(), ("broken",)) for _ in range(5)] == [
        f"stage broken: LoopError in {name}" for name in ("bind", "bind", "lower", "lower", "fuse")
    ]
    monkeypatch.setitem(oracle.STAGES, "broken", lambda g, x: Relu().infer(3))
    assert "Error in minicc.ops." in failure(*tower(), ("broken",))
    assert failure(*tower(), ("numpy", "broken")).startswith("stage broken: ")
    assert general("no loop 'i_3' in [4, 5] \"x\"") == "no loop  in"

    def deep():
        return deep()

    monkeypatch.setitem(oracle.STAGES, "broken", lambda g, x: deep())
    assert failure(*tower(), ("broken",)) == "stage broken: RecursionError"
    assert origin(ValueError("never raised")) == "ValueError"


@pytest.mark.parametrize("spoil, kind", [
    (lambda y: y * 2, "value"), (lambda y: y * np.float32(np.nan), "NaN or infinity"), (lambda y: np.full_like(y, np.inf), "NaN or infinity"),
    (lambda y: y.astype(np.float64), "dtype or shape"), (lambda y: y[None], "dtype or shape")])  # fmt: skip
def test_disagreements_are_told_apart(monkeypatch, spoil, kind):
    monkeypatch.setitem(oracle.STAGES, "broken", lambda g, x: {name: spoil(y) for name, y in evaluate(g, x).items()})
    assert failure(*tower(), ("broken",)) == f"Disagreement: stage broken: {kind}"


def test_nan_is_not_reduced_to_another_value(monkeypatch):
    """Exp gives NaN and Relu twice the value: what is left of the NaN is the Exp."""

    def stage(graph, inputs):
        factor = np.float32(np.nan if has("Exp")(graph, inputs) else 2)
        return {name: value * factor for name, value in evaluate(graph, inputs).items()}

    monkeypatch.setitem(oracle.STAGES, "broken", stage)
    x = ir.input("x", TensorType(float32, (2,)))
    graph, _ = reduce(
        ir.Graph("g", (x,), (Relu()(Exp()(Relu()(x))),), ("y",)),
        {"x": np.ones(2, np.float32)},
        fails_like(
            ir.Graph("g", (x,), (Relu()(Exp()(Relu()(x))),), ("y",)), {"x": np.ones(2, np.float32)}, ("broken",)
        ),
    )
    assert [n.op.name for n in operators(graph)] == ["Exp"]


@pytest.mark.parametrize(
    "name, kind",
    [("crash_run", "crash SIGSEGV"), ("raise_run", "error ValueError"), ("refuse_lower", "unsupported BridgeError")],
)
def test_machine_code_runs_in_a_process_of_its_own(monkeypatch, name, kind):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setattr("minicc.testing.reduce.MINICC", Engine("worker_engines:faulty"))
    x = ir.input(name, TensorType(float32, (1,)))
    graph, inputs = ir.Graph("g", (x,), (Relu()(x),), ("y",)), {name: np.zeros(1, np.float32)}
    with pytest.raises(MiniccFailure, match=r"run\(g\): minicc gave no answer: "):
        run_apart(graph, inputs)
    assert failure(graph, inputs, ("numpy", "llvm"), {**oracle.STAGES, "llvm": run_apart}).startswith(
        f"stage llvm: {kind}"
    )


def test_machine_code_of_that_process_is_minicc(tmp_path):
    graph, inputs = tower()
    assert failure(graph, inputs, ("llvm",), {"llvm": run_apart}) == ""


def test_what_tvm_is_excused_from_is_named():
    a, b = ir.input("a", TensorType.of(np.int32([1]))), ir.input("b", TensorType.of(np.int32([1])))
    with pytest.raises(
        ConfigError,
        match="they agree; relax was not run, as it dies of a known difference: integer division by zero\nhint",
    ):
        fails_like(
            ir.Graph("g", (a, b), (Div()(a, b),), ("y",)), {"a": np.int32([1]), "b": np.int32([0])}, ("numpy", "relax")
        )
    x = ir.input("x", TensorType(float32, (1,)))
    with pytest.raises(
        ConfigError, match=r"they agree; relax was excused by known differences from y \(activation of NaN\)\nhint"
    ):
        fails_like(ir.Graph("g", (x,), (Relu()(x),), ("y",)), {"x": np.float32([np.nan])}, ("numpy", "relax"))


def test_a_crash_in_another_process_is_reduced(monkeypatch):
    """The judge dies of SIGFPE on each graph that reads one input: that input is what is left."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    x, guilty = ir.input("x", TensorType(float32, (1,))), ir.input("divide_run", TensorType(float32, (1,)))
    graph = ir.Graph("g", (x, guilty), (Add()(x, Relu()(guilty)),), ("y",))
    inputs = {"x": np.zeros(1, np.float32), "divide_run": np.zeros(1, np.float32)}
    with Worker(Engine("worker_engines:faulty")) as worker:
        monkeypatch.setitem(oracle.STAGES, "faulty", lambda g, x: oracle.answer(g, worker.run([(g, x)])[0]))
        graph, inputs = reduce(graph, inputs, fails_like(graph, inputs, ("numpy", "faulty")))
        assert worker.starts > 2
        assert failure(graph, inputs, ("numpy", "faulty")) == "stage faulty: crash SIGFPE"
    assert graph.input_names == ("divide_run",) and [n.op.name for n in operators(graph)] == ["Relu"]


SPECIAL = [np.float32([np.nan, np.inf, -np.inf, -0.0, 1e-45, 0.1]), np.float64([0.1, 5e-324]), np.float16([0.1, -0.0]),
           TensorType.of(np.float32([0])).dtype.numpy.type(3), np.zeros((0, 3), np.int8), np.zeros((3, 0), bool), np.uint64([2**64 - 1, 0]),
           np.bool_([[True, False]]), np.full((4, 5), -0.0, np.float32), np.int64([-(2**63)])]  # fmt: skip


def made_by(source):
    names = {}
    exec(source, names)
    return names


@pytest.mark.parametrize(
    "array", [*map(np.asarray, SPECIAL), np.float32([1.5, np.nan, 3e38]).astype(ir.DType.of("bfloat16").numpy)], ids=str
)
def test_arrays_are_written_bit_by_bit(array):
    x = ir.input("x", TensorType.of(array))
    graph = ir.Graph("g", (x,), (Concat(axis=0)(x, x) if array.ndim else x,), ("y",))
    names = made_by(pytest_source(graph, {"x": array}, ("numpy",)))
    got = names["INPUTS"]["x"]
    assert got.dtype == array.dtype and got.shape == array.shape and got.tobytes() == array.tobytes()
    assert parse(names["TEXT"], names["CONSTANTS"]).same_as(graph)
    names["test_stages_agree"]()


def test_constants_and_odd_names_are_written(tmp_path):
    x = ir.input('a """ \\ \'name\'', TensorType(float32, (40,)))
    graph = ir.Graph("g", (x,), (Add()(x, np.arange(40, dtype=np.float32)),), ("y",))
    inputs = {'a """ \\ \'name\'': np.ones(40, np.float32)}
    names = made_by(pytest_source(graph, inputs, ("numpy",)))
    assert parse(names["TEXT"], names["CONSTANTS"]).same_as(graph)
    names["test_stages_agree"]()


def test_large_arrays_lie_in_a_file_beside(tmp_path):
    x = ir.input("x", TensorType(float32, (40,)))
    graph = ir.Graph("g", (x,), (Add()(x, np.arange(40, dtype=np.float32)),), ("y",))
    inputs = {"x": np.ones(40, np.float32)}
    write_arrays(tmp_path / "test_it.npz", arrays_of(graph, inputs))
    file = tmp_path / "test_it.py"
    file.write_text(pytest_source(graph, inputs, ("numpy",), "test_it.npz"))
    assert len(file.read_text()) < 900
    runpy.run_path(str(file))["test_stages_agree"]()


@pytest.mark.parametrize("name", ["file", "allow_pickle", "self", "a/b"])
def test_arrays_of_any_name_and_of_bfloat16_lie_in_a_file_beside(tmp_path, name):
    bfloat16 = ir.DType.of("bfloat16").numpy
    x, y = ir.input(name, TensorType.of(held := np.ones(40, bfloat16))), ir.input("y", TensorType(float32, (40,)))
    graph = ir.Graph("g", (x, y), (Add()(x, np.arange(40).astype(bfloat16)), Relu()(y)), ("p", "q"))
    inputs = {name: held, "y": np.full(40, np.nan, np.float32)}
    write_arrays(tmp_path / "test_it.npz", arrays_of(graph, inputs))
    (tmp_path / "test_it.py").write_text(pytest_source(graph, inputs, ("numpy",), "test_it.npz"))
    names = runpy.run_path(str(tmp_path / "test_it.py"))
    assert names["INPUTS"][name].dtype == bfloat16 and parse(names["TEXT"], names["CONSTANTS"]).same_as(graph)
    names["test_stages_agree"]()
    again, arrays = read_case(str(graph), tmp_path / "test_it.npz")
    assert again.same_as(graph) and {key: array.dtype for key, array in arrays.items()} == {
        key: array.dtype for key, array in inputs.items()
    }


def test_every_value_is_an_output():
    graph, inputs = tower()
    every = with_every_value(graph)
    assert every.outputs == tuple(operators(graph)) and every.output_names[0] == "n0"
    assert len(evaluate(every, inputs)) == len(operators(graph))
