"""`minicc ops --tvm`: every operator has a form in TVM, or says why not."""

from typer.testing import CliRunner

from minicc import cli
from minicc.bridge import _tvm
from minicc.cli import ops
from minicc.cli.ops import tvm_form
from minicc.errors import BridgeError, ConfigError
from minicc.ops.base import REGISTRY


def test_every_operator_is_listed_and_none_is_blank():
    done = CliRunner().invoke(cli.app, ["ops", "--tvm"])
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows if row} >= set(REGISTRY) - {"Input", "Constant", "Kernel"}
    assert all(len(row) > 1 for row in rows if row)


def test_two_tables_at_once_are_refused():
    done = CliRunner().invoke(cli.app, ["ops", "--tvm", "--suite", "--operator", "Relu"])
    assert isinstance(done.exception, ConfigError) and done.stdout == ""
    assert "expected one of the two tables, got both" in str(done.exception) and done.exception.hint


def test_forms_and_differences():
    assert tvm_form("Relu") == ("nn.relu", "activation of NaN")
    assert "conv2d" in tvm_form("Conv")[0]


def test_empty_results_are_no_form():
    """A result without elements becomes zeros, whatever the operator."""
    assert tvm_form("Add")[0] == "add" and tvm_form("Shape")[0] == "a constant, or its input"


def test_what_tvm_has_not_says_why(monkeypatch):
    calls = []

    def refusing(name, example):
        calls.append(name)
        if name == "Conv" or len(calls) > 1:
            raise BridgeError(f"relax({name})", "expected an operator that TVM has")
        return ["multiply"]

    monkeypatch.setattr(ops, "operators_used", refusing)
    assert tvm_form("Conv")[0] == "no form: expected an operator that TVM has"
    calls.clear()
    assert tvm_form("Mul")[0] == "multiply; of some attributes no form: expected an operator that TVM has"


def test_without_tvm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_tvm, "installed", lambda: dict.fromkeys(_tvm.PAIR))
    _tvm.load.cache_clear()
    try:
        done = CliRunner().invoke(cli.app, ["ops", "--tvm", "--operator", "Relu"])
    finally:
        _tvm.load.cache_clear()
    assert "no apache-tvm" in str(done.exception)
    assert "pip install" in str(done.exception)
