from pathlib import Path

import pytest
from cli_cases import Minicc, saved, small_network

from minicc.bridge.old_tvm import old_tvm


@pytest.fixture
def minicc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Minicc:
    return Minicc(monkeypatch, capsys)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """The file of a small network, alone in a folder of its own."""
    folder = tmp_path / "models"
    folder.mkdir()
    return saved(small_network(), folder / "small.onnx")


@pytest.fixture
def no_relay(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if the old TVM were not installed."""
    monkeypatch.setenv("MINICC_RELAY", str(tmp_path / "none"))
    old_tvm().close()  # one that runs needs no environment
