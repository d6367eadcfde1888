"""`minicc compile`: compile a model and say what came out."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Annotated

import typer

from minicc.cli.options import (
    DimOption,
    ModelArgument,
    ShapesOption,
    TargetOption,
    ThreadsOption,
    TimesOption,
    compile_model,
    console,
    megabytes,
    table_text,
)
from minicc.runtime.files import write_file


def compile_command(
    model: ModelArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write the object code (.o) or a stage as text (.ll, .s, .py, .txt).")] = None,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = "native",
    threads: ThreadsOption = None,
    print_pass_times: TimesOption = False,
) -> None:
    """Compile a model; print its kernels, the memory it needs and the time it took.

    Examples:

        minicc compile model.onnx

        minicc compile model.onnx --dim batch=4 --print-pass-times

        minicc compile model.onnx -o model.s
    """
    made = compile_model(model, dim, input_shapes, target, threads, print_pass_times)
    rows = [[k.label, k.count, f"{k.flops / 1e6:.2f}", f"{k.bytes / 1e6:.2f}"] for k in made.kernels]
    console.print(table_text(rows, ["kernel", "calls", "MFLOP", "MB"]))
    console.print(f"{len(made.kernels)} kernels, arena {megabytes(made.arena_bytes)}, weights {megabytes(made.constant_bytes)}, "
                  f"compiled in {made.compile_seconds:.2f} s, peak memory of the process "
                  f"{megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)}")
    if output is not None:
        stage = {".o": "object", ".ll": "llvm", ".s": "asm", ".py": "loop", ".txt": "fused"}.get(output.suffix)
        write_file(output, made.object_code() if stage == "object" else made.stage(stage or "asm", None).encode())
        console.print(f"wrote {output}")
