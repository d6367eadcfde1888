"""Packages, and CUDA devices: what `minicc compile --target cuda`, `minicc run FILE.tar` and `--device` do.

In: the path of a model or of a package, and the options of those commands. Out: a package; or
an executable on the CPU, on a CUDA device, or on the CPU in its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import typer

from minicc.cli.options import SILENT, Prints, compile_model, megabytes, messages, table_text
from minicc.device.architectures import ARCHITECTURES, held_by
from minicc.device.driver import CudaDevice
from minicc.device.emulated import Emulated
from minicc.device.session import Device, DeviceExecutable
from minicc.errors import ConfigError, printable
from minicc.package import load_package, read
from minicc.runtime.executable import Executable
from minicc.runtime.image import Image
from minicc.runtime.profile import Profile, profile


class DeviceName(StrEnum):
    """Where a run happens."""

    cpu = "cpu"
    cuda = "cuda"
    emulated = "emulated"


NATIVE = "native"  # the --target that is the default
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


def open_package(command: str, path: Path, device: DeviceName) -> Executable:
    """A package on a device. Raises ConfigError when it is one for another."""
    image = read(path)
    if image.target.is_cpu != (device is DeviceName.cpu):
        wanted = "--device cpu" if image.target.is_cpu else "--device cuda or --device emulated"
        problem = f"expected {wanted} for a package of kind {image.kind}, got --device {device}"
        hint = "minicc compile MODEL --output FILE.tar makes a package, with --target cuda one for a device"
        raise ConfigError(f"minicc {command} {path} --device {device}", problem, hint=hint)
    if device is DeviceName.cpu:
        return load_package(path)
    chosen: Device = Emulated() if device is DeviceName.emulated else CudaDevice()
    messages.print(f"{printable(image.name)} on {chosen.name}")
    return DeviceExecutable(image, chosen)


def open_model(
    command: str,
    model: Path,
    device: DeviceName,
    dim: list[str] | None,
    shapes: str | None,
    target: str,
    threads: int | None,
    prints: Prints = SILENT,
    exact: bool = False,
    any_size: bool = False,
) -> Executable:
    """A model, compiled, or a package, on a device. Raises ConfigError for options that a package has no use for, and for a model on a device."""
    check_device(command, model, device)
    if model.suffix != ".tar":
        return compile_model(model, dim, shapes, target, threads, prints, exact, any_size)
    options = {
        "--dim": dim, "--input-shapes": shapes is not None, "--target": target != NATIVE, "--threads": threads is not None,
        "--exact": exact, "--print-pass-times": prints.times, "--print-ir-before": prints.before, "--print-ir-after": prints.after,
    }  # fmt: skip
    hint = f"give them to minicc compile, or {command} the model: --device cpu"
    refuse_options(f"minicc {command} {model} --device {device}", options, "a package is compiled already", hint)
    return open_package(command, model, device)


def profiled(made: Executable, given: Mapping[str, Any]) -> Profile:
    """The profile of an executable on these inputs; that of a device is by its own clock."""
    arrays = [given[port.name] for port in made.inputs]
    if isinstance(made, DeviceExecutable):
        return profile(made, arrays, processor=made.device.name if made.device else made.image.kind, limits=False)
    return profile(made, arrays)


def check_device(command: str, model: Path, device: DeviceName) -> None:
    """Raise ConfigError when a model is to run on a device."""
    if model.suffix != ".tar" and device is not DeviceName.cpu:
        problem = f"expected a package, which ends in .tar, got {model.name} and --device {device}"
        hint = "minicc compile MODEL --target cuda --output FILE.tar makes a package"
        raise ConfigError(f"minicc {command} {model} --device {device}", problem, hint=hint)
