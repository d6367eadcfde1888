"""`minicc ops --tvm`: every operator has a form in TVM, or says why not."""

from typer.testing import CliRunner

from minicc import cli
from minicc.bridge import _tvm
from minicc.cli.ops import tvm_form
from minicc.ops.base import REGISTRY


def test_every_operator_is_listed_and_none_is_blank():
    done = CliRunner().invoke(cli.app, ["ops", "--tvm"])
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()[1:]]
    assert {row[0] for row in rows if row} >= set(REGISTRY) - {"Input", "Constant", "Kernel"}
    assert all(len(row) > 1 for row in rows if row)


def test_forms_and_differences():
    assert tvm_form("Relu") == ("nn.relu", "activation of NaN")
    assert "conv2d" in tvm_form("Conv")[0]


def test_without_tvm_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(_tvm, "installed", lambda: dict.fromkeys(_tvm.PAIR))
    _tvm.load.cache_clear()
    try:
        done = CliRunner().invoke(cli.app, ["ops", "--tvm", "--operator", "Relu"])
    finally:
        _tvm.load.cache_clear()
    assert "no apache-tvm" in str(done.exception)
    assert "pip install" in str(done.exception)
