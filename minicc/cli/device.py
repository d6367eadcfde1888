"""Bundles for CUDA devices: what `minicc compile --target cuda` and `minicc run --device` do.

In: the path of a model or of a bundle, and the options of those commands. Out: a bundle file; or
the outputs of a run on a CUDA device, or on the CPU in its place.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from minicc.cli.options import Prints, check_shapes_known, compile_model, megabytes, messages, table_text
from minicc.device.bundle import Bundle, Port, load
from minicc.device.cuda_device import open_device
from minicc.device.nvcc import ARCHITECTURES
from minicc.device.session import Device, Emulated, Session
from minicc.errors import ConfigError, printable
from minicc.ops.base import Array
from minicc.runtime.files import check_folder, write_file
from minicc.target import Target


class DeviceName(StrEnum):
    """Where a run happens."""

    cpu = "cpu"
    cuda = "cuda"
    emulated = "emulated"


ArchOption = typer.Option(
    "--arch",
    help="With --target cuda: a GPU architecture, as in sm_90. May be repeated; "
    f"default: those of {', '.join(ARCHITECTURES)} that nvcc compiles for.",
)
CubinOption = typer.Option(
    "--cubin/--no-cubin", help="With --target cuda: whether nvcc compiles; without, the bundle holds source only."
)
DeviceOption = typer.Option(
    "--device", help="cpu, or cuda or emulated (the CPU in its place) for a bundle of minicc compile --target cuda."
)


def refuse_options(call: str, given: Mapping[str, object], why: str, hint: str) -> None:
    """Raise ConfigError when one of these options, by name, is given: it would be ignored."""
    if names := [name for name, value in given.items() if value]:
        raise ConfigError(call, f"expected no {', '.join(names)}: {why}", hint=hint)


# ---- compiling --------------------------------------------------------------------------------------------------


def compile_bundle(
    model: Path, output: Path | None, target: Target, dims: list[str] | None, shapes: str | None, prints: Prints
) -> None:
    """Compile a model for a device, write the bundle and say what is in it."""
    if output is not None:
        if output.suffix != ".tar":
            problem = f"expected a name that ends in .tar, got {output.name!r}"
            raise ConfigError(f"--output {output}", problem, hint="a bundle is a tar file")
        check_folder(output)
    made: Any = compile_model(model, dims, shapes, target, prints=prints)
    check_shapes_known(made, f"minicc compile {model}")
    content = made.bundle.save()
    if output is not None:
        write_file(output, content)
    print(summary(made.bundle, len(content)))
    print(f"wrote {printable(output)}" if output is not None else "nothing is written: give --output FILE.tar")


def summary(bundle: Bundle, size: int) -> str:
    """What a bundle holds, as text."""
    rows = [[step.name, len(step.launches), "x".join(map(str, k.grid)), "x".join(map(str, k.block)), k.shared_bytes]
            for step in bundle.steps for k in step.launches]  # fmt: skip
    code = [*bundle.cubins, *([f"PTX of {bundle.ptx_arch}"] if bundle.ptx else [])]
    return (f"{table_text(rows, ['step', 'launches', 'grid', 'block', 'dynamic shared'])}\n{len(bundle.kernels)} kernels, "
            f"{len(rows)} launches, device memory {megabytes(bundle.memory_bytes)}, code for {', '.join(code) or 'no device: source only'}, "
            f"bundle {megabytes(size)}")  # fmt: skip


# ---- running ----------------------------------------------------------------------------------------------------


class BundleRunner:
    """A bundle on a device, with what `minicc run` asks of an executable."""

    def __init__(self, path: Path, device: DeviceName) -> None:
        bundle = load(path)
        chosen: Device = Emulated() if device is DeviceName.emulated else open_device()
        messages.print(f"{printable(bundle.name)} on {chosen.name}")
        self.session = Session(bundle, chosen)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self.session.bundle.inputs

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return self.session.run(inputs)

    def kernel_seconds(self, repeat: int) -> float:
        """The median over `repeat` passes of the time in kernels, by the device's clock."""
        return statistics.median(self.session.seconds() for _ in range(repeat))

    def profile_text(self) -> str:
        """The time of each step as a table, the slowest first."""
        steps = sorted(self.session.profile(), key=lambda row: -row[1])
        total = max(sum(seconds for _, seconds in steps), 1e-9)
        return table_text(
            [[name, f"{seconds * 1e6:.1f}", f"{seconds / total:.1%}"] for name, seconds in steps],
            ["step", "us", "share"],
        )


def check_device(model: Path, device: DeviceName) -> None:
    """Raise ConfigError when a bundle is to run on the CPU, or a model on a device."""
    if (model.suffix == ".tar") == (device is DeviceName.cpu):
        wanted = (
            "--device cuda or --device emulated for a bundle"
            if device is DeviceName.cpu
            else "a bundle, which ends in .tar"
        )
        raise ConfigError(
            f"minicc run {model} --device {device}",
            f"expected {wanted}, got {model.name} and --device {device}",
            hint="minicc compile MODEL --target cuda --output FILE.tar makes a bundle",
        )
