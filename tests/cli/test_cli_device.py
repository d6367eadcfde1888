"""`minicc run` and `minicc compile` with bundles: what is printed, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from minicc.bridge.bundle import Buffer, Bundle, KernelLaunch, Port, Step
from minicc.types import TensorType, float32

SOURCE = 'extern "C" __global__ void twice(float* y, float* x) { y[threadIdx.x] = 2 * x[threadIdx.x]; }\n'
FOUR = TensorType(float32, (4,))
BUNDLE = Bundle("twice", (Port("x", FOUR, 0),), (Port("y", FOUR, 1),), (Buffer(16), Buffer(16)),
                (Step("twice", (KernelLaunch("twice", (1, 1, 1), (4, 1, 1), 0, (1, 0)),)),), SOURCE)  # fmt: skip


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "twice.tar"
    path.write_bytes(BUNDLE.save())
    return path


@pytest.mark.parametrize("name", ["[/red]", "[bold]x", "a [link=file:///etc] b"])
def test_names_are_printed_as_they_are(minicc, bundle, name):
    made = replace(BUNDLE, name=name, outputs=(Port(name, FOUR, 1),), steps=(replace(BUNDLE.steps[0], name=name),))
    bundle.write_bytes(made.save())
    outcome = minicc("run", bundle, "--device", "emulated", "--profile")
    assert outcome.code == 0 and f"{name} on emulated" in outcome.err
    assert f"{name}: float32[4]" in outcome.out and outcome.out.splitlines()[-1].startswith(name)
