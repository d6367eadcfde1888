"""`minicc ops --tvm`: every operator has a form in TVM, or says why not."""

from typer.testing import CliRunner

from minicc import cli
from minicc.bridge import _tvm
from minicc.bridge.relax import relax_operators
from minicc.bridge.relay import relay_operators
from minicc.cli.ops import known, tvm_form
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
    assert tvm_form("Relu", relax_operators) == tvm_form("Relu", relay_operators) == "nn.relu"
    assert "conv2d" in tvm_form("Conv", relax_operators) and "nn.dense" in tvm_form("Gemm", relay_operators)
    assert "activation of NaN" in known("Relu")


def test_empty_results_are_no_form():
    """A result without elements becomes zeros, whatever the operator."""
    assert [tvm_form(name, relax_operators) for name in ("Add", "Shape")] == ["add", "a constant, or its input"]


def test_what_tvm_has_not_says_why():
    calls = []

    def refusing(op, types):
        calls.append(op)
        if op.name == "Conv" or len(calls) > 1:
            raise BridgeError(f"relax({op})", "expected an operator that TVM has")
        return ["multiply"]

    assert tvm_form("Conv", refusing) == "no form: expected an operator that TVM has"
    calls.clear()
    assert tvm_form("Mul", refusing) == "multiply; of some attributes no form: expected an operator that TVM has"


def test_without_tvm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_tvm, "installed", lambda: dict.fromkeys(_tvm.PAIR))
    _tvm.load.cache_clear()
    try:
        done = CliRunner().invoke(cli.app, ["ops", "--tvm", "--operator", "Relu"])
    finally:
        _tvm.load.cache_clear()
    assert "no apache-tvm" in str(done.exception)
    assert "pip install" in str(done.exception)
