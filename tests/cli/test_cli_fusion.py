"""`minicc fusion` and `minicc ops --tvm`: what they print and write, and what they refuse."""

from __future__ import annotations

import json

import pytest
from cli_cases import saved, waiting_network

from minicc.bridge import _tvm


@pytest.fixture
def no_tvm(monkeypatch):
    """As if TVM were not installed."""
    _tvm.load.cache_clear()
    monkeypatch.setattr(_tvm, "installed", lambda: dict.fromkeys(_tvm.PAIR))
    yield
    _tvm.load.cache_clear()


def test_fusion_prints_both_and_the_reasons(minicc, network):
    text = minicc.good("fusion", network, "--dim", "batch=3")
    first = text.splitlines()[0]
    assert first == "4 operators: 2 kernels of minicc, 2 groups of Relax (2 same)"
    assert "matmul_add_relu" in text and "fused_matmul_add_relu" in text and "Where they differ" not in text


def test_fusion_as_json(minicc, network):
    found = json.loads(minicc.good("fusion", network, "--dim", "batch=3", "--json"))
    assert [k["name"] for k in found["kernels"]] == ["matmul_add_relu", "softmax"]
    assert found["differences"] == []


def test_fusion_draws_a_picture(minicc, network, tmp_path):
    outcome = minicc("fusion", network, "--dim", "batch=3", "--picture", tmp_path / "fusion.svg", "--all")
    assert outcome.code == 0 and "wrote" in outcome.err
    assert (tmp_path / "fusion.svg").read_text(encoding="utf-8").startswith("<svg ")


def test_fusion_refuses_what_it_cannot_do(minicc, network, tmp_path, monkeypatch):
    waiting = minicc("fusion", saved(waiting_network(), tmp_path / "waiting.onnx"))
    assert waiting.code == 2 and "values of inputs decide" in waiting.err and "hint: " in waiting.err
    nowhere = minicc("fusion", network, "--dim", "batch=3", "--picture", tmp_path / "none" / "fusion.svg")
    assert nowhere.code == 2 and "ConfigError" in nowhere.err
    model = network.read_bytes()
    for name in (network, tmp_path / "fusion.png", tmp_path / "fusion"):
        wrong = minicc("fusion", network, "--dim", "batch=3", "--picture", name)
        assert wrong.code == 2 and "expected a name that ends in .svg" in wrong.err and "hint: " in wrong.err
    assert network.read_bytes() == model and not (tmp_path / "fusion.png").exists()
    unbound = minicc("fusion", network)
    assert unbound.code == 2 and "batch" in unbound.err


def test_fusion_without_tvm_says_what_to_install(minicc, network, no_tvm):
    outcome = minicc("fusion", network, "--dim", "batch=3")
    assert outcome.code == 2 and outcome.out == "" and "pip install" in outcome.err
