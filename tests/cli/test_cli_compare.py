"""`minicc compare` and `minicc reduce`, from the command line."""

from __future__ import annotations

import functools
import importlib
import runpy
import subprocess
import sys
from dataclasses import replace as changed
from pathlib import Path

import numpy as np
import pytest
from cli_cases import model, saved, waiting_network
from onnx import TensorProto, helper

from minicc import load
from minicc.bridge import _tvm
from minicc.errors import ConfigError
from minicc.graph import bind
from minicc.graph.simplify_graph import RULES, simplify_graph
from minicc.ops import Add
from minicc.runtime.files import write_arrays
from minicc.testing import compare
from minicc.testing.oracle import STAGES, run_machine_code
from minicc.testing.worker import Engine

FLOAT = TensorProto.FLOAT


@pytest.fixture
def wrong_subtraction(monkeypatch):
    """Simplification makes x + c of x - c."""
    monkeypatch.setattr(compare, "run_apart", run_machine_code)  # in the process that has the fault
    monkeypatch.setattr("minicc.cli.reduce.RUNS", STAGES)
    rules = [changed(rule, rhs=lambda x, c: Add()(x, c)) if rule.name == "subtract" else rule for rule in RULES]
    monkeypatch.setattr(
        importlib.import_module("minicc.compile"), "simplify_graph", functools.partial(simplify_graph, rules=rules)
    )


def subtracting_network():
    """y = relu(abs(x) - 1) for x[n, 20], and z = -x."""
    nodes = [helper.make_node("Abs", ["x"], ["a"]), helper.make_node("Sub", ["a", "one"], ["d"], name="shift"),
             helper.make_node("Relu", ["d"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]  # fmt: skip
    return model(nodes, [("x", FLOAT, ["n", 20])], ["y", "z"], {"one": np.ones(20, np.float32)})


def four_parts(outcome, *words):
    assert outcome.code == 2 and outcome.out == "" and "Traceback" not in outcome.err
    assert "hint: " in outcome.err
    for word in words:
        assert word in outcome.err


# ---- compare ------------------------------------------------------------------------------------


def test_compare_prints_a_row_for_every_output_and_peer(minicc, network):
    outcome = minicc("compare", network, "--dim", "batch=3", "--with", "onnxruntime, reference,numpy")
    assert outcome.code == 0 and outcome.err == "random inputs; give real ones with --inputs\n"
    head, *rows = outcome.out.splitlines()
    assert head.split("  ")[0] == "output" and "of tolerance" in head
    assert [row.split()[:2] for row in rows] == [
        [o, p] for o in ("y", "r") for p in ("onnxruntime", "reference", "numpy")
    ]
    assert all(row.endswith("agrees") for row in rows)


def test_compare_with_all_that_are_installed(minicc, network, monkeypatch, tmp_path):
    monkeypatch.setenv("MINICC_RELAY", str(tmp_path / "none"))
    monkeypatch.setattr(_tvm, "installed", lambda: {"apache-tvm": None, "apache-tvm-ffi": None})
    out = minicc.good("compare", network, "--dim", "batch=1")
    assert [row.split()[1] for row in out.splitlines()[1:4]] == ["onnxruntime", "reference", "numpy"]


def test_compare_names_the_node_that_diverges(minicc, tmp_path, wrong_subtraction):
    path = saved(subtracting_network(), tmp_path / "s.onnx")
    outcome = minicc("compare", path, "--dim", "n=2", "--with", "onnxruntime,reference")
    assert outcome.code == 1
    rows = [line.split() for line in outcome.out.splitlines()[1:5]]
    assert [row[-1] for row in rows] == ["differs", "differs", "agrees", "agrees"]
    assert outcome.out.count("the first node that diverges from") == 2
    assert "= Sub(%0, %1) : float32[2,20]    # s.onnx:1 Sub 'shift'\n    at [0, 0]: minicc " in outcome.out
    assert "inputs: Abs: float32[2,20], Constant: float32[20]" in outcome.out


def test_compare_takes_given_inputs_and_their_shapes(minicc, network, tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((4, 6), np.float32))
    assert "agrees" in minicc.good("compare", network, "--inputs", tmp_path / "x.npz", "--with", "numpy")
    np.save(tmp_path / "one.npy", np.ones((2, 6), np.float32))
    assert "agrees" in minicc.good("compare", network, "--inputs", tmp_path / "one.npy", "--with", "reference")


def test_compare_where_an_input_decides_a_shape(minicc, tmp_path):
    path = saved(waiting_network(), tmp_path / "w.onnx")
    np.savez(tmp_path / "x.npz", x=np.ones((2, 3), np.float32), s=np.int64([3, 2]))
    out = minicc.good("compare", path, "--inputs", tmp_path / "x.npz", "--with", "onnxruntime,reference,numpy")
    assert out.count("agrees") == 3
    four_parts(minicc("compare", path, "--with", "numpy"), "the values of inputs decide them: s", "--inputs FILE.npz")


def test_compare_counts_a_peer_without_an_answer(minicc, network, monkeypatch):
    def fails(subject):
        raise RuntimeError("it is out of order")

    monkeypatch.setitem(compare.PEERS, "reference", changed(compare.PEERS["reference"], outputs=fails))
    outcome = minicc("compare", network, "--dim", "batch=1", "--with", "reference,numpy")
    assert (
        outcome.code == 1
        and "no answer: RuntimeError: it is out of order" in outcome.out
        and "diverges" not in outcome.out
    )


FAULTY = str(Path(__file__).parents[1] / "testing")  # where the engines are that fail on purpose


def test_compare_and_reduce_live_on_when_machine_code_crashes(minicc, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", FAULTY)
    monkeypatch.setattr("minicc.testing.reduce.MINICC", Engine("worker_engines:faulty"))
    nodes = [helper.make_node("Abs", ["crash_run"], ["a"]), helper.make_node("Exp", ["a"], ["y"])]
    path, file = (
        saved(model(nodes, [("crash_run", FLOAT, [2])], ["y"], {}), tmp_path / "c.onnx"),
        tmp_path / "test_it.py",
    )
    outcome = minicc("compare", path, "--with", "numpy,reference")
    assert (
        outcome.code == 1
        and outcome.out.count("minicc gave no answer: crash: SIGSEGV") == 3
        and "hint: minicc reduce" in outcome.out
    )
    out = minicc.good("reduce", path, "--output", file)
    assert "wrote" in out and "crash_run" in file.read_text() and ": 1 operator;" in out


def test_compare_and_reduce_name_what_tvm_would_die_of(minicc, tmp_path):
    path = saved(
        model([helper.make_node("Div", ["a", "b"], ["y"])], [(n, TensorProto.INT32, [2]) for n in "ab"], ["y"], {}),
        tmp_path / "d.onnx",
    )
    np.savez(tmp_path / "x.npz", a=np.int32([1, 2]), b=np.int32([0, 1]))
    out = minicc.good("compare", path, "--with", "relax", "--inputs", tmp_path / "x.npz")
    assert out.splitlines()[1].endswith("known difference: integer division by zero")
    four_parts(
        minicc(
            "reduce", path, "--stages", "numpy,relax", "--inputs", tmp_path / "x.npz", "-o", tmp_path / "test_it.py"
        ),
        "they agree; relax was not run, as it dies of a known difference: integer division by zero",
    )


def test_compare_prints_the_table_though_the_nodes_cannot_be_had(minicc, network, monkeypatch):
    wrong = changed(
        compare.PEERS["numpy"],
        outputs=lambda s: {"y": np.ones((1, 5), np.float32), "r": np.ones((1, 5), np.float32)},
        values=lambda s: {}["a"],
    )
    monkeypatch.setitem(compare.PEERS, "numpy", wrong)
    outcome = minicc("compare", network, "--dim", "batch=1", "--with", "numpy")
    assert outcome.code == 1 and outcome.out.splitlines()[0].startswith("output")
    assert outcome.out.endswith("\n\nthe values of the nodes cannot be had from numpy: KeyError: 'a'\n")


def test_compare_reads_a_model_of_any_suffix(minicc, network, tmp_path):
    (tmp_path / "m.json").write_bytes(Path(network).read_bytes())
    assert "agrees" in minicc.good("compare", tmp_path / "m.json", "--dim", "batch=1", "--with", "reference")


def test_compare_says_when_the_whole_is_at_fault(minicc, network, monkeypatch):
    wrong = changed(
        compare.PEERS["numpy"], outputs=lambda s: {"y": np.ones((1, 5), np.float32), "r": np.ones((1, 5), np.float32)}
    )
    monkeypatch.setitem(compare.PEERS, "numpy", wrong)
    outcome = minicc("compare", network, "--dim", "batch=1", "--with", "numpy")
    assert outcome.code == 1 and "no node diverges from numpy where the values of nodes are looked at" in outcome.out


def test_compare_refuses_what_it_cannot_do(minicc, network, tmp_path, monkeypatch):
    four_parts(
        minicc("compare", network, "--with", "pytorch"),
        "--with pytorch: expected one of relax, relay, onnxruntime, reference, numpy",
    )
    four_parts(minicc("compare", network, "--with", " , "), "expected the name of a peer, got none")
    four_parts(minicc("compare", network, "--with", "numpy"), "no number for the symbol batch", "--dim batch=1")
    np.savez(tmp_path / "x.npz", other=np.ones((4, 6), np.float32), more=np.ones(3))
    four_parts(
        minicc("compare", network, "--with", "numpy", "--inputs", tmp_path / "x.npz"), "no such input: other, more"
    )
    np.savez(tmp_path / "x.npz", x=np.ones((4, 6)))
    four_parts(
        minicc("compare", network, "--with", "numpy", "--inputs", tmp_path / "x.npz"),
        "must be float32[batch,6], got float64[4,6]",
    )
    four_parts(minicc("compare", tmp_path / "no.onnx", "--with", "numpy"), "nothing called 'no.onnx'")
    monkeypatch.setattr(compare.importlib.util, "find_spec", lambda name: None)
    four_parts(
        minicc("compare", network, "--with", "onnxruntime"),
        "expected onnxruntime to be installed",
        "pip install onnxruntime",
    )
    monkeypatch.setattr(_tvm, "installed", lambda: {"apache-tvm": "0.20.0", "apache-tvm-ffi": None})
    four_parts(
        minicc("compare", network, "--with", "relax"), "got apache-tvm 0.20.0 and no apache-tvm-ffi", "pip install"
    )


def test_help_has_examples(minicc):
    for command in ("compare", "reduce"):
        assert f"minicc {command} model.onnx" in minicc.good(command, "--help")


# ---- reduce -------------------------------------------------------------------------------------


def run_written(file):
    return runpy.run_path(str(file))["test_stages_agree"]


def test_reduce_a_model(minicc, tmp_path, wrong_subtraction, monkeypatch):
    path, file = saved(subtracting_network(), tmp_path / "s.onnx"), tmp_path / "test_it.py"
    out = minicc.good("reduce", path, "--dim", "n=3", "--output", file)
    assert "Sub(" in out and "Abs" not in out and f"wrote {file}: 1 operator; run it with pytest {file}" in out
    with pytest.raises(AssertionError, match="stage llvm"):
        run_written(file)()
    monkeypatch.undo()
    run_written(file)()


def test_reduce_the_text_of_a_graph(minicc, tmp_path, wrong_subtraction, monkeypatch):
    monkeypatch.chdir(tmp_path)
    graph = bind(load(subtracting_network()), {"n": 3})
    Path("graph.txt").write_text(str(graph))
    np.savez("arrays.npz", x=np.zeros((3, 20), np.float32), **graph.constants)
    assert len(graph.constants) == 1
    outcome = minicc("reduce", "graph.txt", "--inputs", "arrays.npz", "--stages", "numpy,llvm")
    assert outcome.code == 0 and "1 operator, " in outcome.err
    with pytest.raises(AssertionError, match="stage llvm"):
        run_written("test_reduced.py")()


def test_reduce_stopped_by_ctrl_c_writes_the_best(minicc, tmp_path, monkeypatch):
    calls = []

    def interrupted(graph, inputs):
        calls.append(graph)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return True

    monkeypatch.setattr("minicc.cli.reduce.fails_like", lambda *_: interrupted)
    path, file = saved(subtracting_network(), tmp_path / "s.onnx"), tmp_path / "test_it.py"
    outcome = minicc("reduce", path, "--dim", "n=3", "--output", file)
    assert outcome.code == 0 and "stopped at " in outcome.err
    run_written(file)()


def test_reduce_takes_a_text_without_arrays(minicc, tmp_path):
    (tmp_path / "g.txt").write_text("graph main(x: float32[n]) {\n  %0 = Relu(x) : float32[n]\n  return y=%0\n}")
    four_parts(
        minicc("reduce", tmp_path / "g.txt", "--dim", "n=2"),
        "the stages numpy, llvm disagree, got one on which they agree",
    )
    np.save(tmp_path / "x.npy", np.ones(3, np.float32))
    four_parts(
        minicc("reduce", tmp_path / "g.txt", "--inputs", tmp_path / "x.npy"), "disagree, got one on which they agree"
    )


def test_arrays_that_are_many_lie_beside_the_test(minicc, tmp_path, monkeypatch, wrong_subtraction):
    monkeypatch.setattr("minicc.cli.reduce.INLINE", 0)
    path, file = saved(subtracting_network(), tmp_path / "s.onnx"), tmp_path / "test_it.py"
    minicc.good("reduce", path, "--dim", "n=3", "--output", file)
    assert (tmp_path / "test_it.npz").exists() and "ARRAYS" in file.read_text()
    with pytest.raises(AssertionError, match="stage llvm"):
        run_written(file)()


@pytest.mark.parametrize("inline", [0, 4096])
@pytest.mark.parametrize("name, dtype", [("file", FLOAT), ("allow_pickle", FLOAT), ("x", TensorProto.BFLOAT16)])
def test_inputs_of_any_name_and_dtype_are_written(
    minicc, tmp_path, monkeypatch, wrong_subtraction, inline, name, dtype
):
    monkeypatch.setattr("minicc.cli.reduce.INLINE", inline)
    one = np.ones(20, np.float32).astype(helper.tensor_dtype_to_np_dtype(dtype))
    nodes = [helper.make_node("Sub", [name, "one"], ["d"]), helper.make_node("Relu", ["d"], ["y"])]
    path, file = (
        saved(model(nodes, [(name, dtype, [20])], ["y"], {"one": one}), tmp_path / "s.onnx"),
        tmp_path / "test_it.py",
    )
    write_arrays(tmp_path / "x.npz", {name: 3 * one})
    minicc.good("reduce", path, "--inputs", tmp_path / "x.npz", "--output", file)
    assert (tmp_path / "test_it.npz").exists() is (inline == 0)
    with pytest.raises(AssertionError, match="stage llvm"):
        run_written(file)()
    monkeypatch.undo()
    run_written(file)()
    assert "agrees" in minicc.good("compare", path, "--inputs", tmp_path / "x.npz", "--with", "numpy")


def test_reduce_replaces_only_what_it_wrote(minicc, tmp_path, monkeypatch, wrong_subtraction):
    path, file, arrays = (
        saved(subtracting_network(), tmp_path / "s.onnx"),
        tmp_path / "test_it.py",
        tmp_path / "test_it.npz",
    )
    file.write_text("# mine\n")
    four_parts(
        minicc("reduce", path, "--dim", "n=3", "--output", file),
        f"a test that minicc reduce wrote, got one that is there: {file}",
    )
    assert file.read_text() == "# mine\n"
    file.unlink()
    arrays.write_bytes(b"mine")
    four_parts(minicc("reduce", path, "--dim", "n=3", "--output", file), f"got one that is there: {arrays}")
    assert arrays.read_bytes() == b"mine"
    arrays.unlink()
    for inline in (0, 4096, 4096):
        monkeypatch.setattr("minicc.cli.reduce.INLINE", inline)
        minicc.good("reduce", path, "--dim", "n=3", "--output", file)
        assert arrays.exists() is (inline == 0), "the arrays of the test that was replaced are of no use"
    arrays.write_bytes(b"mine")
    four_parts(minicc("reduce", path, "--dim", "n=3", "--output", file), f"got one that is there: {arrays}")


def test_reduce_shows_what_it_found_before_it_writes(minicc, tmp_path, monkeypatch, wrong_subtraction):
    def full(path, content):
        raise ConfigError(f"write {path}", "No space left on device", hint="is it a folder, or the disk full?")

    monkeypatch.setattr("minicc.cli.reduce.write_file", full)
    path, file = saved(subtracting_network(), tmp_path / "s.onnx"), tmp_path / "test_it.py"
    outcome = minicc("reduce", path, "--dim", "n=3", "--output", file)
    assert outcome.code == 2 and "= Sub(" in outcome.out and "No space left" in outcome.err


def test_pytest_runs_what_is_written(minicc, tmp_path, wrong_subtraction):
    path, file = saved(subtracting_network(), tmp_path / "s.onnx"), tmp_path / "test_it.py"
    minicc.good("reduce", path, "--dim", "n=3", "--output", file)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout


def test_reduce_refuses_what_it_cannot_do(minicc, network, tmp_path):
    four_parts(minicc("reduce", network, "--dim", "batch=1"), "disagree, got one on which they agree", "--inputs")
    four_parts(
        minicc("reduce", network, "--stages", "numpy,jax", "--dim", "batch=1"),
        "stage jax: expected one of numpy, loop, llvm, relax, relay",
    )
    four_parts(minicc("reduce", network, "--stages", ","), "expected the name of a stage, got none")
    four_parts(minicc("reduce", network, "--output", tmp_path / "test.txt"), "expected a name that ends in .py")
    four_parts(minicc("reduce", network, "--output", tmp_path / "none" / "test.py"), "does not exist")
    four_parts(minicc("reduce", tmp_path / "none.txt"), "expected an .onnx model or the text of a graph")
    (tmp_path / "bad.txt").write_text("graph main(x: float32[2]) {\n  %0 = Rleu(x) : float32[2]\n  return y=%0\n}")
    four_parts(minicc("reduce", tmp_path / "bad.txt"), "no operator is called Rleu", "did you mean Relu?")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.txt", "models"]
