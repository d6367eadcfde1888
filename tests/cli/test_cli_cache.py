"""`minicc cache`: what is kept, and that it goes."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

import minicc
from minicc.cli import app
from minicc.graph.ir import Graph, input
from minicc.ops import Relu
from minicc.types import TensorType, float32


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINICC_CACHE", "on")
    monkeypatch.setenv("MINICC_CACHE_DIR", str(tmp_path))
    return tmp_path / "kernels"


def told(*words: str) -> str:
    result = CliRunner().invoke(app, ["cache", *words])
    assert result.exit_code == 0, result.output
    return result.output


def test_what_is_kept_is_told_and_removed(folder) -> None:
    assert told() == f"0 kernels in {folder}, 0.0 MB of at most 536.9 MB\n"
    x = input("x", TensorType(float32, (5,)))
    exe = minicc.compile(Graph("one", (x,), (Relu()(x),), ("y",)))
    assert exe(np.ones(5, np.float32))[0].sum() == 5 and exe.compile_report.kernels == 1
    assert told().startswith("2 kernels in ")  # that of the operator, and the function that calls it
    assert told("--clear") == f"removed 2 kernels from {folder}\n"
    assert told().startswith("0 kernels in ")


def test_why_it_is_not_used(folder, monkeypatch) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    assert "others may write to the folder" in told()
    monkeypatch.setenv("MINICC_CACHE", "off")
    assert "MINICC_CACHE is off" in told()
