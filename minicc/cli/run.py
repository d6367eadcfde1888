"""`minicc run`: compile a model and run it on given or random inputs."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import track

from minicc.cli.device import NATIVE, DeviceName, DeviceOption, open_model, profiled
from minicc.cli.options import (
    AfterOption,
    BeforeOption,
    DimOption,
    ExactOption,
    InputsOption,
    ModelArgument,
    Prints,
    SeedOption,
    ShapesOption,
    TargetOption,
    ThreadsOption,
    TimesOption,
    check_output,
    given_inputs,
    messages,
    print_profile,
)
from minicc.device.session import DeviceExecutable
from minicc.errors import ConfigError, printable
from minicc.ops.base import Array
from minicc.runtime.files import write_arrays
from minicc.runtime.load import Watch


def run_command(
    model: ModelArgument,
    inputs: InputsOption = None,
    outputs: Annotated[Path | None, typer.Option(help="Write the outputs to this .npz.")] = None,
    repeat: Annotated[int, typer.Option(help="Run so often and report the median.")] = 1,
    profile: Annotated[bool, typer.Option("--profile", help="Print the time of each kernel.")] = False,
    seed: SeedOption = 0,
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
    check_output("--outputs", outputs, ".npz")
    if repeat < 1:
        problem = f"expected 1 or more runs, got {repeat}"
        raise ConfigError(f"--repeat {repeat}", problem, hint="--repeat 100, for example")
    prints = Prints(print_pass_times, print_ir_before, print_ir_after)
    made = open_model("run", model, device, dim, input_shapes, target, threads, prints, exact, inputs is not None)
    given = given_inputs(made, inputs, seed)
    results: dict[str, Array] = made.run(given)
    for name, array in results.items():
        print(f"{printable(name)}: {array.dtype}{list(array.shape)} {_summary(array)}")
    if repeat > 1:
        _measure(made, given, repeat)
    if profile:
        print_profile(profiled(made, given))
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
