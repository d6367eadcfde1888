"""`minicc profile`: where the time of a model goes, as a table, and as a page, a picture or figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from minicc.cli.device import NATIVE, DeviceName, DeviceOption, open_model, profiled
from minicc.cli.options import (
    SILENT,
    DimOption,
    ExactOption,
    InputsOption,
    ModelArgument,
    SeedOption,
    ShapesOption,
    TargetOption,
    ThreadsOption,
    check_output,
    given_inputs,
    print_profile,
)
from minicc.errors import printable
from minicc.explain.report import ENDINGS, report


def profile_command(
    model: ModelArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=f"Write a report; the ending says what: {', '.join(ENDINGS)}.")
    ] = None,
    inputs: InputsOption = None,
    seed: SeedOption = 0,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = NATIVE,
    threads: ThreadsOption = None,
    exact: ExactOption = False,
    device: Annotated[DeviceName, DeviceOption] = DeviceName.cpu,
) -> None:
    """Time each kernel of a model or a package, beside the limits of this machine, which are measured before and after.

    The report has a bar for each kernel, a roofline, one run in time with the memory that it uses, and the memory plan.
    A package (.tar) holds machine code, which runs with your rights: profile packages that you trust.

    Examples:

        minicc profile model.onnx --input-shapes "x:[1,3,224,224]" -o profile.html
        minicc profile model.onnx --threads 1 -o profile.png
        minicc profile model.tar --inputs images.npz
    """
    check_output("--output", output, *ENDINGS)
    made = open_model("profile", model, device, dim, input_shapes, target, threads, SILENT, exact, inputs is not None)
    found = replace(profiled(made, given_inputs(made, inputs, seed)), name=model.name)
    print_profile(found)
    if output is not None:
        report(found).save(output)
        print(f"wrote {printable(output)}")
