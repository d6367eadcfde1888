"""`minicc run` and `minicc compile` with bundles: what is printed, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from gpu_cases import buffers, device_image, saved

from minicc.runtime.image import KernelLaunch, Port
from minicc.types import TensorType, float32

SOURCE = 'extern "C" __global__ void twice(float* y, float* x) { y[threadIdx.x] = 2 * x[threadIdx.x]; }\n'
FOUR = TensorType(float32, (4,))
TWICE = device_image("twice", (Port("x", FOUR, 0),), (Port("y", FOUR, 1),), buffers(16, 16),
                     [KernelLaunch("twice", (1, 1, 1), (4, 1, 1), 0, (1, 0))], SOURCE)  # fmt: skip


@pytest.fixture
def bundle(tmp_path):
    path = tmp_path / "twice.tar"
    path.write_bytes(saved(TWICE))
    return path


@pytest.mark.parametrize("name", ["[/red]", "[bold]x", "a [link=file:///etc] b"])
def test_names_are_printed_as_they_are(minicc, bundle, name):
    made = replace(TWICE, name=name, outputs=(Port(name, FOUR, 1),), kernels=(replace(TWICE.kernels[0], label=name),))
    bundle.write_bytes(saved(made))
    outcome = minicc("run", bundle, "--device", "emulated", "--profile")
    assert outcome.code == 0 and f"{name} on emulated" in outcome.err
    assert f"{name}: float32[4]" in outcome.out and outcome.out.splitlines()[-2].startswith(name)


def test_a_device_is_profiled_by_its_own_clock_and_has_no_roofline(minicc, bundle, tmp_path):
    out = minicc.good("profile", bundle, "--device", "emulated", "-o", tmp_path / "p.html")
    text = (tmp_path / "p.html").read_text()
    assert out.split("\n")[0].split() == ["kernel", "calls", "us", "share"] and "Roofline" not in text
    assert "One run" in text and '<p class="lead">emulated, 1 thread: ' in text


@pytest.mark.parametrize("options, said", [
    (["--dim", "n=3"], "--dim: a package"),
    (["--input-shapes", "x:[4]"], "--input-shapes: a package"),
    (["--threads", 3], "--threads: a package"),
    (["--target", "avx2"], "--target: a package"),
    (["--print-pass-times"], "--print-pass-times: a package"),
    (["--print-ir-before", "fuse"], "--print-ir-before: a package"),
    (["--print-ir-after", "fuse", "--print-ir-after", "simplify"], "--print-ir-after: a package"),
    (["--dim", "n=3", "--threads", 3], "--dim, --threads: a package"),
])  # fmt: skip
def test_options_of_compiling_do_not_go_with_a_bundle(minicc, bundle, tmp_path, options, said):
    outcome = minicc("run", bundle, "--device", "emulated", *options, "--outputs", tmp_path / "y.npz")
    assert outcome.code == 2 and outcome.out == "" and not (tmp_path / "y.npz").exists()
    assert outcome.err.startswith(
        f"ConfigError: minicc run {bundle} --device emulated: expected no {said} is compiled already\nhint: "
    )


@pytest.mark.parametrize("options, said", [
    (["--arch", "sm_90"], "--arch"),
    (["--no-cubin"], "--no-cubin"),
    (["--target", "native", "--arch", "sm_80", "--arch", "sm_90", "--no-cubin"], "--arch, --no-cubin"),
])  # fmt: skip
def test_options_for_cuda_do_not_go_with_the_cpu(minicc, network, options, said):
    outcome = minicc("compile", network, "--dim", "batch=2", *options)
    assert outcome.code == 2 and outcome.out == ""
    assert (
        outcome.err.startswith(f"ConfigError: minicc compile {network} --target native: expected no {said}: ")
        and "hint: add --target cuda" in outcome.err
    )


@pytest.mark.parametrize(
    "options, said", [(["--threads", 2], "--threads"), (["--print-pass-times"], "--print-pass-times")]
)
def test_options_for_the_cpu_do_not_go_with_cuda(minicc, network, options, said):
    outcome = minicc("compile", network, "--dim", "batch=2", "--target", "cuda", "--no-cubin", *options)
    assert outcome.code == 2 and outcome.out == ""
    assert (
        outcome.err.startswith(f"ConfigError: minicc compile {network} --target cuda: expected no {said}: ")
        and "hint: " in outcome.err
    )


def test_the_help_says_which_architectures(minicc):
    assert "sm_75, sm_80, sm_86, sm_89, sm_90, sm_90a that nvcc" in " ".join(
        minicc.good("compile", "--help").replace("│", " ").split()
    )
