"""`minicc fusion` and `minicc ops --tvm`: what they print and write, and what they refuse."""

from __future__ import annotations

import json

import pytest
from cli_cases import saved, waiting_network

from minicc.bridge import _tvm
from minicc.errors import BridgeError
from minicc.explain import fusion


@pytest.fixture
def no_tvm(monkeypatch):
    """As if TVM were not installed."""
    _tvm.load.cache_clear()
    monkeypatch.setattr(_tvm, "installed", lambda: dict.fromkeys(_tvm.PAIR))
    yield
    _tvm.load.cache_clear()


def test_fusion_prints_both_and_the_reasons(minicc, network):
    text = minicc.good("fusion", network, "--dim", "batch=3", "--with", "relax")
    first = text.splitlines()[0]
    assert first == "4 operators: 2 kernels of minicc, 2 groups of Relax (2 same)"
    assert "matmul_add_relu" in text and "fused_matmul_add_relu" in text and "Where they differ" not in text


def test_fusion_prints_the_rules_and_what_operators_are_to_them(minicc, network):
    text = minicc.good("fusion", network, "--dim", "batch=3", "--with", "relax", "--rules")
    assert "GraphPartitioner" in text and "at most 256 steps" in text and max(map(len, text.splitlines())) <= 120
    assert [line.split() for line in text.splitlines()[-4:]][1] == [
        "MatMul",
        "anchor",
        "matmul",
        "(out-elementwise-fusable)",
    ]


@pytest.mark.relay
def test_fusion_prints_all_that_is_installed(minicc, network):
    outcome = minicc("fusion", network, "--dim", "batch=3")
    assert (
        outcome.code == 0 and outcome.out.splitlines()[2].split() == ["minicc", "Relay", "Relax"] and outcome.err == ""
    )
    found = json.loads(minicc.good("fusion", network, "--dim", "batch=3", "--with", "relay", "--json"))
    assert list(found["groups"]) == ["relay"]


def test_fusion_without_relay_has_two_columns_and_says_how_to_get_the_third(minicc, network, no_relay):
    outcome = minicc("fusion", network, "--dim", "batch=3")
    assert outcome.code == 0 and outcome.out.splitlines()[2].split() == ["minicc", "Relax"]
    assert outcome.err.splitlines()[0].startswith(
        "no column for Relay: expected an environment for TVM 0.16, which has Relay"
    )
    assert outcome.err.splitlines()[1:] == ["hint: make relay"]
    asked = minicc("fusion", network, "--dim", "batch=3", "--with", "relay,relax")
    assert (
        asked.code == 2
        and asked.out == ""
        and "expected an environment for TVM 0.16" in asked.err
        and "hint: make relay" in asked.err
    )


def test_a_dialect_that_fails_has_no_column_unless_it_is_asked_for(minicc, network, monkeypatch):
    def fails(graph):
        raise BridgeError("relay_groups(net)", "expected an operator that TVM has", hint="leave it out")

    monkeypatch.setitem(fusion.GROUPINGS, "relay", fails)
    outcome = minicc("fusion", network, "--dim", "batch=3")
    assert outcome.code == 0 and outcome.out.splitlines()[2].split() == ["minicc", "Relax"]
    assert outcome.err == "no column for Relay: expected an operator that TVM has\nhint: leave it out\n"
    asked = minicc("fusion", network, "--dim", "batch=3", "--with", "relay")
    assert asked.code == 2 and asked.out == "" and "expected an operator that TVM has" in asked.err


def test_fusion_prints_json_alone(minicc, network):
    outcome = minicc("fusion", network, "--dim", "batch=3", "--json", "--rules")
    assert outcome.code == 2 and "expected no --rules: JSON has no place for text" in outcome.err


def test_fusion_knows_two_dialects(minicc, network):
    for names in ("tvm", "", "relax,"):
        outcome = minicc("fusion", network, "--with", names)
        assert outcome.code == 2 and "expected dialects of TVM, got" in outcome.err and "relay, relax" in outcome.err


def test_fusion_as_json(minicc, network):
    found = json.loads(minicc.good("fusion", network, "--dim", "batch=3", "--json", "--with", "relax"))
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
    for name in (network, tmp_path / "fusion.jpeg", tmp_path / "fusion"):
        wrong = minicc("fusion", network, "--dim", "batch=3", "--picture", name)
        assert wrong.code == 2 and "expected a name that ends in .svg" in wrong.err and "hint: " in wrong.err
    assert network.read_bytes() == model and not (tmp_path / "fusion.jpeg").exists()
    unbound = minicc("fusion", network)
    assert unbound.code == 2 and "batch" in unbound.err


def test_fusion_without_tvm_says_what_to_install(minicc, network, no_tvm, no_relay):
    outcome = minicc("fusion", network, "--dim", "batch=3")
    assert outcome.code == 2 and outcome.out == "" and "pip install" in outcome.err
