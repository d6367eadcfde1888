"""`minicc compile`: compile a model and say what came out."""

from __future__ import annotations

import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from minicc.bridge.relay_code import LANGUAGES, relay_code
from minicc.cli.device import ArchOption, CubinOption, refuse_options, summary
from minicc.cli.options import AfterOption, BeforeOption, DimOption, ExactOption, ModelArgument, Prints, ShapesOption
from minicc.cli.options import TargetOption, ThreadsOption, TimesOption, check_output, check_shapes_known, compile_model
from minicc.cli.options import megabytes, read_dims, read_shapes, stage_text, table_text, undecided
from minicc.errors import plain_lines, printable
from minicc.explain.fusion import before_fusion
from minicc.frontend import load
from minicc.graph import bind, runtime_operands
from minicc.package import write
from minicc.runtime.executable import Executable
from minicc.runtime.files import write_file
from minicc.runtime.profile import kernel_rows
from minicc.runtime.staged import StagedExecutable
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
            help="Write a package, .tar; or a stage: .txt fused graph, .py loops, .ll LLVM, .s assembly; or a source, .c or .cl.",
        ),
    ] = None,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = "native",
    threads: ThreadsOption = None,
    exact: ExactOption = False,
    print_pass_times: TimesOption = False,
    print_ir_before: BeforeOption = None,
    print_ir_after: AfterOption = None,
    arch: Annotated[list[str] | None, ArchOption] = None,
    cubin: Annotated[bool, CubinOption] = True,
) -> None:
    """Compile a model; print its kernels, the memory it needs and the time it took.

    For the targets relay-c and relay-opencl, print the source code that the generators of the old TVM make, through Relay.

    Examples:

        minicc compile model.onnx
        minicc compile model.onnx --dim batch=4 --print-pass-times
        minicc compile model.onnx -o model.tar
        minicc compile model.onnx -o model.s --target "llvm -mcpu=skylake-avx512 -mattr=-avx512f"
        minicc compile model.onnx --print-ir-after fuse --print-ir-before "place init"
        minicc compile model.onnx --target cuda --arch sm_80 --arch sm_90 -o device.tar
        minicc compile model.onnx --target relay-c -o model.c
    """
    call = f"minicc compile {model} --target {target}"
    prints = Prints(print_pass_times, print_ir_before, print_ir_after)
    if target in LANGUAGES:
        given = {"--threads": threads is not None, "--exact": exact, "--arch": arch, "--no-cubin": not cubin,
                 "--print-...": any(prints)}  # fmt: skip
        refuse_options(call, given, "TVM makes a text, which has none of this", "leave them out")
        write_source(model, output, target, read_dims(dim), read_shapes(input_shapes))
        return
    words = [target, *([f"-arch={','.join(arch)}"] if arch else []), *([] if cubin else ["-code=source"])]
    if is_cpu := Target.of(target).is_cpu:
        given = {"--arch": arch, "--no-cubin": not cubin}
        refuse_options(call, given, "they are for a GPU", "add --target cuda, or leave them out")
    else:
        given = {"--threads": threads is not None, "--exact": exact, "--print-pass-times": print_pass_times}
        refuse_options(call, given, "TVM compiles for a device, which has its own threads", "leave them out")
    check_output("--output", output, PACKAGE, *(STAGE_OF if is_cpu else ()))
    made = compile_model(model, dim, input_shapes, Target.of(" ".join(words)), threads, prints, exact)
    if output is not None and output.suffix == PACKAGE:
        check_shapes_known(call, undecided(made))
        write(made.image, output)
    elif output is not None:
        write_file(output, f"{stage_text(made, STAGE_OF[output.suffix])}\n".encode())
    if waiting := undecided(made):
        waited = ", ".join(map(printable, waiting))
        print(f"shapes depend on the values of {waited}: a run compiles when it brings them")
    elif is_cpu:
        print(_kernels(made))
        if isinstance(made, StagedExecutable):
            print("data decide branches, trips or shapes: what depends on them compiles when a run meets it")
    else:
        print(summary(made.image, 0 if output is None else output.stat().st_size))
    if output is not None:
        print(f"wrote {printable(output)}")
    elif not is_cpu:
        print("nothing is written: give --output FILE.tar")


def write_source(
    model: Path, output: Path | None, target: str, dims: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Write the source code of a model for a target of LANGUAGES to a file, or print it."""
    language, ending = LANGUAGES[target]
    check_output("--output", output, ending)
    graph = bind(load(model), dims, shapes)
    check_shapes_known(
        f"minicc compile {model} --target {target}", runtime_operands(graph), "export it with fixed shapes"
    )
    text = relay_code(before_fusion(graph), language)
    if output is None:
        print(plain_lines(text))
    else:
        write_file(output, text.encode())
        print(f"wrote {printable(output)}")


def _kernels(made: Executable) -> str:
    """The kernels for a processor, what they need, and what compiling took."""
    rows = [[k.name, k.calls, f"{k.flops / 1e6:.2f}", f"{k.bytes / 1e6:.2f}"] for k in kernel_rows(made.kernels)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    needs = f"arena {megabytes(made.arena_bytes)}, weights {megabytes(made.constant_bytes)}"
    took = f"compiled in {made.compile_seconds:.2f} s, peak memory of the process {megabytes(peak)}"
    return f"{table_text(rows, ['kernel', 'calls', 'MFLOP', 'MB'])}\n{len(rows)} kernels, {needs}, {took}"
