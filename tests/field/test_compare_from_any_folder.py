"""`minicc compare` gives the same answer wherever it is started; a process that does not start is no disagreement."""

import subprocess
import sys
from importlib import resources

import numpy as np
import pytest

from minicc import cli
from minicc.errors import WorkerError
from minicc.graph import parse
from minicc.graph.interpret import evaluate
from minicc.testing.reduce import failure, run_apart
from minicc.testing.worker import MINICC, Engine, Worker

GRAPH = parse("graph main(x: float32[3]) {\n  %0 = Neg(x) : float32[3]\n  return y=%0\n}")
X = np.float32([1, -2, 3])
OTHERS = ("numpy", "onnx", "rich", "typer", "llvmlite", "networkx")


@pytest.fixture
def hostile_folder(tmp_path, monkeypatch):
    """The current folder has a file of the name of every module there is, and a folder `minicc`, as the parent of a clone has."""
    for name in (*sys.stdlib_module_names, *OTHERS):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('this is not the module {name}')\n")
    (tmp_path / "minicc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_worker_starts_beside_files_that_are_named_as_modules(hostile_folder):
    with Worker(MINICC) as worker:
        np.testing.assert_array_equal(worker.run([(GRAPH, {"x": X})])[0]["y"], -X)


def test_python_m_minicc_beside_files_that_are_named_as_modules(tmp_path):
    for name in ("random", "select", "string", "signal", "numpy"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is another module')\n")
    done = subprocess.run([sys.executable, "-m", "minicc", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "compare" in done.stdout, done.stderr


def broken_numpy(tmp_path, monkeypatch):
    """Processes that are started find a NumPy that cannot be imported."""
    (tmp_path / "numpy.py").write_text("raise ImportError('a numpy that is damaged')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))


@pytest.mark.parametrize("engine", [MINICC, Engine("no.such.module:Engine")])
def test_a_worker_that_does_not_start_says_so(engine, tmp_path, monkeypatch):
    broken_numpy(tmp_path, monkeypatch)
    with (
        Worker(engine) as worker,
        pytest.raises(
            WorkerError, match=r"got exit status 1\n[\s\S]*a numpy that is damaged[\s\S]*\nhint: .*PYTHONPATH"
        ),
    ):
        worker.run([(GRAPH, {"x": X})])


def test_a_worker_that_says_nothing_is_ended(tmp_path, monkeypatch):
    (tmp_path / "sleeper.py").write_text("import time\ntime.sleep(100)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr("minicc.bridge.process.START", 0.5)
    with Worker(Engine("sleeper:Engine")) as worker, pytest.raises(WorkerError, match=r"not ready within 0\.5 seconds"):
        worker.run([(GRAPH, {"x": X})])


def test_a_python_that_is_gone_is_no_finding(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with Worker(MINICC) as worker, pytest.raises(WorkerError, match="No such file"):
        worker.run([(GRAPH, {"x": X})])


def test_compare_and_reduce_end_with_2_when_no_process_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("minicc.testing.reduce.MINICC", Engine("no.such.module:Engine"))
    model = str(resources.files("minicc.cli") / "digits/digits.onnx")
    for command in ("compare", "reduce"):
        options = ["--with", "reference"] if command == "compare" else ["--output", str(tmp_path / "test_it.py")]
        monkeypatch.setattr(sys, "argv", ["minicc", command, model, "--dim", "batch=1", *options])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        assert end.value.code == 2 and "WorkerError: start no.such.module:Engine: expected a process" in said.err
        assert "disagree" not in said.out + said.err and not list(tmp_path.iterdir())


def test_a_stage_whose_process_does_not_start_does_not_fail(monkeypatch):
    monkeypatch.setattr("minicc.testing.reduce.MINICC", Engine("no.such.module:Other"))
    with pytest.raises(WorkerError):
        failure(GRAPH, {"x": X}, ("numpy", "llvm"), {"numpy": evaluate, "llvm": run_apart})
