"""`minicc run`: compile a model and run it on given or random inputs."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

from minicc.cli.device import DeviceName, DeviceOption, check_device, device_profile, open_package, refuse_options
from minicc.cli.options import AfterOption, BeforeOption, DimOption, ModelArgument, Prints, ShapesOption, TargetOption
from minicc.cli.options import (
    ThreadsOption,
    ExactOption,
    TimesOption,
    check_output,
    compile_model,
    messages,
    print_profile,
)
from minicc.cli.options import random_input
from minicc.cli.options import profile as measure_kernels
from minicc.device.session import DeviceExecutable
from minicc.errors import ConfigError, printable
from minicc.ops.base import Array
from minicc.runtime.files import read_arrays, write_arrays
from minicc.runtime.load import Watch

NATIVE = "native"  # the --target that is the default


def run_command(
    model: ModelArgument,
    inputs: Annotated[
        Path | None, typer.Option(help="An .npz of inputs by name (or an .npy); default: random.")
    ] = None,
    outputs: Annotated[Path | None, typer.Option(help="Write the outputs to this .npz.")] = None,
    repeat: Annotated[int, typer.Option(help="Run so often and report the median.")] = 1,
    profile: Annotated[bool, typer.Option("--profile", help="Print the time of each kernel.")] = False,
    seed: Annotated[int, typer.Option(help="Of the random inputs.")] = 0,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = NATIVE,
    threads: ThreadsOption = None,
    exact: ExactOption = False,
    print_pass_times: TimesOption = False,
    print_ir_before: BeforeOption = None,
    print_ir_after: AfterOption = None,
    device: Annotated[DeviceName, DeviceOption] = DeviceName.cpu,
) -> None:
    """Compile a model, or load a package, run it, and print a summary of each output.

    A package (.tar) holds machine code, which runs with your rights: run packages that you trust.

    Examples:

        minicc run model.onnx --input-shapes "x:[1,3,224,224]" --repeat 20 --profile
        minicc run model.onnx --inputs images.npz --outputs answers.npz
        minicc run model.tar --inputs images.npz
        minicc run device.tar --device cuda --repeat 100
    """
    check_device(model, device)
    if is_package := model.suffix == ".tar":
        options = {
            "--dim": dim, "--input-shapes": input_shapes is not None, "--target": target != NATIVE,
            "--threads": threads is not None, "--exact": exact, "--print-pass-times": print_pass_times,
            "--print-ir-before": print_ir_before, "--print-ir-after": print_ir_after,
        }  # fmt: skip
        hint = "give them to minicc compile, or run the model: --device cpu"
        refuse_options(f"minicc run {model} --device {device}", options, "a package is compiled already", hint)
    check_output("--outputs", outputs, ".npz")
    if repeat < 1:
        problem = f"expected 1 or more runs, got {repeat}"
        raise ConfigError(f"--repeat {repeat}", problem, hint="--repeat 100, for example")
    prints = Prints(print_pass_times, print_ir_before, print_ir_after)
    made: Any = (
        open_package(model, device)
        if is_package
        else compile_model(model, dim, input_shapes, target, threads, prints, exact, inputs is not None)
    )
    given = read_arrays(inputs, {spec.name: spec.type.dtype for spec in made.inputs}) if inputs is not None else {}
    if inputs is None:
        messages.print("random inputs; give real ones with --inputs")
        random = np.random.default_rng(seed)
        given = {spec.name: random_input(spec.type, random) for spec in made.inputs}
    results: dict[str, Array] = made.run(given)
    for name, array in results.items():
        print(f"{printable(name)}: {array.dtype}{list(array.shape)} {_summary(array)}")
    if repeat > 1:
        _measure(made, given, repeat)
    if profile and isinstance(made, DeviceExecutable):
        print(device_profile(made))
    elif profile:
        print_profile(measure_kernels(made, [given[port.name] for port in made.inputs]))
    if outputs is not None:
        write_arrays(outputs, results)
        print(f"wrote {printable(outputs)}")


def _summary(array: Array) -> str:
    if array.size == 0:
        return "(empty)"
    wide = array.astype(np.float64)
    first = ", ".join(f"{v:.5g}" for v in wide.reshape(-1)[:4])
    with np.errstate(all="ignore"):
        return f"min {wide.min():.5g} mean {wide.mean():.5g} max {wide.max():.5g}, first {first}"


def _measure(made: Any, given: dict[str, Array], repeat: int) -> None:
    watch, seconds = Watch(), []
    try:
        for _ in track(range(repeat), "running", console=messages, transient=True):
            start = time.perf_counter()
            made.run(given)
            seconds.append(time.perf_counter() - start)
    finally:  # after Ctrl-C, too
        if seconds:
            count = f"{repeat} runs" if len(seconds) == repeat else f"the {len(seconds)} runs of {repeat} that ended"
            median, best = statistics.median(seconds) * 1e3, min(seconds) * 1e3
            print(f"latency: median {median:.3f} ms, best {best:.3f} ms of {count}")
    if note := watch.note():
        messages.print(note, soft_wrap=True)
    if isinstance(made, DeviceExecutable):
        median = statistics.median(made.seconds() for _ in range(repeat))
        print(f"in kernels, by the device's clock: median {median * 1e3:.3f} ms")
