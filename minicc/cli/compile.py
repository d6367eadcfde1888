"""`minicc compile`: compile a model and say what came out."""

from __future__ import annotations

import resource
from pathlib import Path
from typing import Annotated

import typer

from minicc.cli.device import ArchOption, CubinOption, compile_bundle, refuse_options
from minicc.cli.options import AfterOption, BeforeOption, DimOption, ModelArgument, Prints, ShapesOption, TargetOption
from minicc.cli.options import ThreadsOption, TimesOption, compile_model, kernel_rows, megabytes, stage_text, table_text
from minicc.errors import ConfigError, printable
from minicc.package import write
from minicc.runtime.files import check_folder, write_file
from minicc.runtime.specialize import SpecializingExecutable
from minicc.target import Target

STAGE_OF = {".txt": "fused", ".py": "loop", ".ll": "llvm", ".s": "asm"}
PACKAGE = ".tar"


def compile_command(
    model: ModelArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write a package for minicc run, .tar; or a stage: .txt fused graph, .py loops, .ll LLVM, .s assembly.",
        ),
    ] = None,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = "native",
    threads: ThreadsOption = None,
    print_pass_times: TimesOption = False,
    print_ir_before: BeforeOption = None,
    print_ir_after: AfterOption = None,
    arch: Annotated[list[str] | None, ArchOption] = None,
    cubin: Annotated[bool, CubinOption] = True,
) -> None:
    """Compile a model; print its kernels, the memory it needs and the time it took.

    Examples:

        minicc compile model.onnx
        minicc compile model.onnx --dim batch=4 --print-pass-times
        minicc compile model.onnx -o model.tar
        minicc compile model.onnx -o model.s --target "llvm -mcpu=skylake-avx512 -mattr=-avx512f"
        minicc compile model.onnx --print-ir-after fuse --print-ir-before "place init"
        minicc compile model.onnx --target cuda --arch sm_80 --arch sm_90 -o device.tar
    """
    call, prints = (
        f"minicc compile {model} --target {target}",
        Prints(print_pass_times, print_ir_before, print_ir_after),
    )
    if not Target.of(target).is_cpu:
        refuse_options(call, {"--threads": threads is not None, "--print-pass-times": print_pass_times}, "TVM compiles for a device, which has its own threads",
                       "leave them out")  # fmt: skip
        words = [target, *([f"-arch={','.join(arch)}"] if arch else []), *([] if cubin else ["-code=source"])]
        compile_bundle(model, output, Target.of(" ".join(words)), dim, input_shapes, prints)
        return
    refuse_options(
        call, {"--arch": arch, "--no-cubin": not cubin}, "they are for a GPU", "add --target cuda, or leave them out"
    )
    if output is not None:
        if output.suffix not in (PACKAGE, *STAGE_OF):
            raise ConfigError(
                f"--output {output}",
                f"expected a name that ends in {', '.join((PACKAGE, *STAGE_OF))}, got {output.name!r}",
                hint=f"--output {output.with_suffix('.s') if output.name else 'model.s'} for assembly; the end of the name chooses the stage",
            )
        check_folder(output)
    made = compile_model(model, dim, input_shapes, target, threads, prints)
    if output is not None and output.suffix == PACKAGE:
        write(made.image, output)
    elif output is not None:
        write_file(output, f"{stage_text(made, STAGE_OF[output.suffix])}\n".encode())
    if isinstance(made, SpecializingExecutable):
        print(
            f"shapes depend on the values of {', '.join(map(printable, made.waiting))}: a run compiles when it brings them"
        )
        return
    rows = [[k.name, k.calls, f"{k.flops / 1e6:.2f}", f"{k.bytes / 1e6:.2f}"] for k in kernel_rows(made)]
    print(table_text(rows, ["kernel", "calls", "MFLOP", "MB"]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{len(rows)} kernels, arena {megabytes(made.arena_bytes)}, weights {megabytes(made.constant_bytes)}, "
        f"compiled in {made.compile_seconds:.2f} s, peak memory of the process {megabytes(peak)}"
    )
    if output is not None:
        print(f"wrote {printable(output)}")
