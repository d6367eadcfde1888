"""Packages, and CUDA devices: what `minicc compile --target cuda`, `minicc run FILE.tar` and `--device` do.

In: the path of a model or of a package, and the options of those commands. Out: a package; or
an executable on the CPU, on a CUDA device, or on the CPU in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import typer

from minicc.cli.options import megabytes, messages, table_text
from minicc.device.architectures import ARCHITECTURES, held_by
from minicc.device.driver import CudaDevice
from minicc.device.emulated import Emulated
from minicc.device.session import Device, DeviceExecutable
from minicc.errors import ConfigError, printable
from minicc.package import load_package, read
from minicc.runtime.executable import Executable
from minicc.runtime.image import Image


class DeviceName(StrEnum):
    """Where a run happens."""

    cpu = "cpu"
    cuda = "cuda"
    emulated = "emulated"


KNOWN = f"those of {', '.join(ARCHITECTURES)} that nvcc compiles for"
ArchOption = typer.Option(
    "--arch", help=f"With --target cuda: an architecture, as in sm_90; may be repeated. Default: {KNOWN}."
)
CubinOption = typer.Option(
    "--cubin/--no-cubin", help="With --target cuda: whether nvcc compiles; else there is source only."
)
DeviceOption = typer.Option("--device", help="For a package of --target cuda: cuda, or emulated, the CPU in its place.")


def refuse_options(call: str, given: Mapping[str, object], why: str, hint: str) -> None:
    """Raise ConfigError when one of these options, by name, is given: it would be ignored."""
    if names := [name for name, value in given.items() if value]:
        raise ConfigError(call, f"expected no {', '.join(names)}: {why}", hint=hint)


def summary(image: Image, size: int) -> str:
    """What an image holds, as text, and the size of its package if it has one."""
    rows = [[kernel.label, len(kernel.launches), "x".join(map(str, k.grid)), "x".join(map(str, k.block)), k.shared_bytes]
            for kernel in image.kernels for k in kernel.launches]  # fmt: skip
    cubins, ptx = held_by(image)
    code = ", ".join([*cubins, *(f"PTX of {arch}" for arch in ptx)]) or "no device: source only"
    return (f"{table_text(rows, ['kernel', 'launches', 'grid', 'block', 'dynamic shared'])}\n{len(image.symbols)} kernels, "
            f"{len(rows)} launches, device memory {megabytes(image.arena)}, code for {code}"
            + (f", package {megabytes(size)}" if size else ""))  # fmt: skip


def open_package(path: Path, device: DeviceName) -> Executable:
    """A package on a device. Raises ConfigError when it is one for another."""
    image = read(path)
    if image.target.is_cpu != (device is DeviceName.cpu):
        wanted = "--device cpu" if image.target.is_cpu else "--device cuda or --device emulated"
        problem = f"expected {wanted} for a package of kind {image.kind}, got --device {device}"
        hint = "minicc compile MODEL --output FILE.tar makes a package, with --target cuda one for a device"
        raise ConfigError(f"minicc run {path} --device {device}", problem, hint=hint)
    if device is DeviceName.cpu:
        return load_package(path)
    chosen: Device = Emulated() if device is DeviceName.emulated else CudaDevice()
    messages.print(f"{printable(image.name)} on {chosen.name}")
    return DeviceExecutable(image, chosen)


def device_profile(made: DeviceExecutable) -> str:
    """The time of each kernel as a table, the slowest first."""
    steps = sorted(zip([k.label for k in made.kernels], made.profile(), strict=True), key=lambda row: -row[1])
    total = max(sum(seconds for _, seconds in steps), 1e-9)
    rows = [[name, f"{seconds * 1e6:.1f}", f"{seconds / total:.1%}"] for name, seconds in steps]
    return table_text(rows, ["kernel", "us", "share"])


def check_device(model: Path, device: DeviceName) -> None:
    """Raise ConfigError when a model is to run on a device."""
    if model.suffix != ".tar" and device is not DeviceName.cpu:
        problem = f"expected a package, which ends in .tar, got {model.name} and --device {device}"
        hint = "minicc compile MODEL --target cuda --output FILE.tar makes a package"
        raise ConfigError(f"minicc run {model} --device {device}", problem, hint=hint)
