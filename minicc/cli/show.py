"""`minicc show`: one stage of a compilation as text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from minicc.cli.device import refuse_options
from minicc.cli.options import AfterOption, BeforeOption, DimOption, ModelArgument, Prints, ShapesOption, TargetOption
from minicc.cli.options import check_output, compile_model, messages, progress, read_dims, read_shapes, stage_text
from minicc.errors import ConfigError, nearest, plain_lines, printable
from minicc.explain.save import ENDINGS, save
from minicc.explain.stage_picture import stage_picture
from minicc.frontend import load
from minicc.target import Target

STAGES = ("graph", "fused", "memory", "te", "naive", "schedule", "trace", "loop", "llvm", "asm")


def show_command(
    model: ModelArgument,
    stage: Annotated[str, typer.Option(help=" | ".join(STAGES))] = "fused",
    kernel: Annotated[str | None, typer.Option(help="Only this kernel, by its name.")] = None,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = "native",
    picture: Annotated[
        Path | None, typer.Option("--picture", help=f"Draw it into a file: {', '.join(ENDINGS)}.")
    ] = None,
    print_ir_before: BeforeOption = None,
    print_ir_after: AfterOption = None,
) -> None:
    """Print one stage of the compilation of a model, or draw it.

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
        minicc show model.onnx --stage fused --picture fused.html
    """
    if stage not in STAGES:
        hint = f"did you mean {near}?" if (near := nearest(stage, STAGES)) else "--stage loop, for example"
        raise ConfigError(f"show --stage {stage}", f"expected one of {', '.join(STAGES)}, got {stage!r}", hint=hint)
    if picture is not None:
        check_output("--picture", picture, *ENDINGS)
        prints = {"--print-ir-before": print_ir_before, "--print-ir-after": print_ir_after}
        refuse_options(f"show {model} --picture", prints, "a picture prints nothing", "leave one out")
        _draw(
            model,
            stage,
            kernel,
            picture,
            Target.of(target),
            dims=read_dims(dim),
            input_shapes=read_shapes(input_shapes),
        )
        return
    made = compile_model(model, dim, input_shapes, target, prints=Prints(False, print_ir_before, print_ir_after))
    print(plain_lines(stage_text(made, stage, kernel)))


def _draw(model: Path, stage: str, kernel: str | None, picture: Path, target: Target, **options: Any) -> None:
    loaded = load(model)
    with progress() as observe:
        shown = stage_picture(loaded, stage, kernel, target, observe, **options)
    save(shown, picture)
    messages.print(f"wrote {printable(picture)}", soft_wrap=True)
