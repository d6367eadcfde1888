"""`minicc show`: one stage of a compilation as text."""

from __future__ import annotations

from typing import Annotated

import typer

from minicc.cli.options import DimOption, ModelArgument, ShapesOption, TargetOption, compile_model
from minicc.errors import ConfigError

STAGES = ("graph", "fused", "te", "loop", "llvm", "asm")


def show_command(
    model: ModelArgument,
    stage: Annotated[str, typer.Option(help=" | ".join(STAGES))] = "fused",
    kernel: Annotated[str | None, typer.Option(help="Only this kernel, by its name.")] = None,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = "native",
) -> None:
    """Print one stage of the compilation of a model.

    Examples:

        minicc show model.onnx --stage graph

        minicc show model.onnx --stage loop --kernel conv_add_relu
    """
    if stage not in STAGES:
        raise ConfigError(f"show --stage {stage}", f"expected one of {', '.join(STAGES)}, got {stage!r}")
    made = compile_model(model, dim, input_shapes, target)
    print(made.stage(stage, kernel))
