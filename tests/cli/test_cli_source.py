"""`minicc compile --target relay-c` and relay-opencl: a text is printed or written, and nothing else is done."""

from __future__ import annotations

import pytest
from cli_cases import saved, waiting_network

BATCH = ("--dim", "batch=3")


@pytest.mark.relay
def test_the_source_is_printed(minicc, network):
    text = minicc.good("compile", network, *BATCH, "--target", "relay-c")
    assert (
        "// input x: float32[3,6]" in text and "int32_t tvmgen_default_run(struct tvmgen_default_inputs* inputs" in text
    )
    assert "__kernel void tvmgen_default_" in minicc.good("compile", network, *BATCH, "--target", "relay-opencl")


@pytest.mark.relay
def test_the_source_is_written(minicc, network, tmp_path):
    assert (
        minicc.good("compile", network, *BATCH, "--target", "relay-c", "-o", tmp_path / "n.c")
        == f"wrote {tmp_path / 'n.c'}\n"
    )
    assert "tvmgen_default_run" in (tmp_path / "n.c").read_text()


@pytest.mark.parametrize("options, said", [
    (["--threads", 2], "--threads"), (["--arch", "sm_90", "--no-cubin"], "--arch, --no-cubin"),
    (["--print-pass-times"], "--print-..."), (["--print-ir-after", "fuse"], "--print-..."),
])  # fmt: skip
def test_options_that_would_be_ignored_are_refused(minicc, network, options, said):
    outcome = minicc("compile", network, *BATCH, "--target", "relay-c", *options)
    assert outcome.code == 2 and outcome.out == ""
    assert f"expected no {said}: TVM makes a text" in outcome.err and "hint: leave them out" in outcome.err


def test_a_file_has_the_ending_of_the_language(minicc, network, tmp_path):
    for target, ending in (("relay-c", ".c"), ("relay-opencl", ".cl")):
        outcome = minicc("compile", network, *BATCH, "--target", target, "-o", tmp_path / "n.tar")
        assert outcome.code == 2 and f"expected a name that ends in {ending}, got 'n.tar'" in outcome.err


def test_without_the_old_tvm_an_error_says_how_to_get_it(minicc, network, no_relay, tmp_path):
    outcome = minicc("compile", network, *BATCH, "--target", "relay-c", "-o", tmp_path / "n.c")
    assert (
        outcome.code == 2
        and "expected an environment for TVM 0.16" in outcome.err
        and "hint: make relay" in outcome.err
    )
    assert not (tmp_path / "n.c").exists()


def test_shapes_must_be_known(minicc, network, tmp_path):
    waiting = minicc("compile", saved(waiting_network(), tmp_path / "waiting.onnx"), "--target", "relay-c")
    assert waiting.code == 2 and "values of inputs decide" in waiting.err and "hint: " in waiting.err
    unbound = minicc("compile", network, "--target", "relay-c")
    assert unbound.code == 2 and "no number for the symbol batch" in unbound.err


@pytest.mark.parametrize("target", ["relay-c", "relay-opencl"])
def test_a_text_does_not_run(minicc, network, target):
    outcome = minicc("run", network, *BATCH, "--target", target)
    assert outcome.code == 2 and f"expected a target whose code runs, got {target}, which is text only" in outcome.err
    assert f"hint: minicc compile MODEL --target {target} prints it" in outcome.err


def test_cuda_is_not_for_relay(minicc, network):
    outcome = minicc("compile", network, *BATCH, "--target", "relay-cuda")
    assert outcome.code == 2 and "today's TVM generates code, through Relax" in outcome.err
