"""`minicc show`: one stage of a compilation as text."""

from __future__ import annotations

from typing import Annotated

import typer

from minicc.cli.options import AfterOption, BeforeOption, DimOption, ModelArgument, Prints, ShapesOption, TargetOption
from minicc.cli.options import compile_model, stage_text
from minicc.errors import ConfigError, nearest, plain_lines

STAGES = ("graph", "fused", "memory", "te", "naive", "schedule", "trace", "loop", "llvm", "asm")


def show_command(
    model: ModelArgument,
    stage: Annotated[str, typer.Option(help=" | ".join(STAGES))] = "fused",
    kernel: Annotated[str | None, typer.Option(help="Only this kernel, by its name.")] = None,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = "native",
    print_ir_before: BeforeOption = None,
    print_ir_after: AfterOption = None,
) -> None:
    """Print one stage of the compilation of a model.

    Stages, in order:

        graph   what to compute
        fused   which operators run together, as kernels
        memory  where in memory each kernel finds its values
        te      the mathematics of each kernel
        naive   its loops, before the schedule
        schedule  which recipe chose the steps, why, the steps, and the trips of each thread
        trace   the steps of the schedule
        loop    its loops, after the schedule
        llvm    the optimized LLVM IR
        asm     the machine's own language

    Examples:

        minicc show model.onnx --stage graph
        minicc show model.onnx --stage loop --kernel conv_add_relu
    """
    if stage not in STAGES:
        hint = f"did you mean {near}?" if (near := nearest(stage, STAGES)) else "--stage loop, for example"
        raise ConfigError(f"show --stage {stage}", f"expected one of {', '.join(STAGES)}, got {stage!r}", hint=hint)
    made = compile_model(model, dim, input_shapes, target, prints=Prints(False, print_ir_before, print_ir_after))
    print(plain_lines(stage_text(made, stage, kernel)))
