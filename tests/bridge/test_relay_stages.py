"""The stages of a Relay program as text: the passes, the fused functions, and for each its loops and machine code."""

from __future__ import annotations

import json

import numpy as np
import pytest

from minicc.bridge.old_tvm import OldTvmFailure, old_tvm
from minicc.target import Target

SOURCE = """
x = relay.var("x", shape=(1, 8, 6, 6), dtype="float32")
y = relay.nn.conv2d(x, c0, channels=16, kernel_size=(3, 3))
main = relay.Function([x], relay.Tuple([relay.nn.softmax(relay.nn.relu(relay.add(y, c1)))]))
"""
CONSTANTS = {"c0": np.ones((16, 8, 3, 3), np.float32), "c1": np.ones((16, 1, 1), np.float32)}


@pytest.fixture(scope="module")
def stages():
    return old_tvm().ask("stages.texts", {"source": SOURCE, "cpu": "haswell"}, CONSTANTS)[0]


@pytest.mark.relay
def test_a_pass_is_listed_where_it_changes_which_operators_are_called(stages):
    passes = stages["passes"]
    assert passes[0] == ["", 4] and passes[-1][0] == "FuseOps"
    assert "AlterOpLayout" in dict(passes) and "InferType" not in dict(passes)


@pytest.mark.relay
def test_every_fused_function_has_its_loops_its_code_and_its_call(stages):
    called = [node["name"] for node in json.loads(stages["executor"])["nodes"] if node["op"] == "tvm_op"]
    (fused,) = [name for name in called if "conv2d" in name]
    assert fused.endswith("_add_nn_relu") and set(called) == set(stages["tir"])
    assert stages["fused"].count("Primitive=1") == len(called) and "virtual_device" not in stages["fused"]
    for name in called:
        assert f"def {name}(" in stages["tir"][name] and "T.vectorized(8)" in stages["tir"][fused]
        assert f"\n{name}:" in stages["asm"] and f"@{name}(" in stages["llvm"]
    assert "vfmadd" in stages["asm"]


@pytest.mark.relay
@pytest.mark.skipif(not Target.native().has("avx2"), reason="a processor without AVX2")
def test_a_processor_that_the_old_llvm_does_not_know_has_the_vectors_of_this_machine():
    texts = old_tvm().ask("stages.texts", {"source": SOURCE, "cpu": "a processor of next year"}, CONSTANTS)[0]
    assert "ymm" in texts["asm"] or "zmm" in texts["asm"]


@pytest.mark.relay
def test_what_the_old_tvm_refuses_is_an_error():
    with pytest.raises(OldTvmFailure, match="dimension 1 conflicts: 8 does not match 7") as caught:
        old_tvm().ask(
            "stages.texts", {"source": SOURCE, "cpu": "haswell"}, CONSTANTS | {"c0": np.ones((16, 7, 3, 3), np.float32)}
        )
    assert caught.value.kind == "error"
