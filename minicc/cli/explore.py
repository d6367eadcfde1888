"""`minicc explore`: a page of all stages of a compilation, side by side and linked."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from minicc.cli.options import (
    DimOption,
    ExactOption,
    InputsOption,
    SeedOption,
    ShapesOption,
    TargetOption,
    ThreadsOption,
    check_output,
    given_inputs,
    megabytes,
    progress,
    read_dims,
    read_shapes,
)
from minicc.errors import ConfigError, printable
from minicc.explain.explored import Explored, explore_model, explore_schedule
from minicc.explain.explorer import explorer_page
from minicc.explain.live import model_kernels, script_kernels
from minicc.explain.picture import count
from minicc.explain.scripts import schedule_of
from minicc.explain.serve import listen, serve
from minicc.frontend import load
from minicc.runtime.executable import Executable
from minicc.runtime.files import write_file
from minicc.target import Target


def explore_command(
    source: Annotated[
        Path,
        typer.Argument(
            help="A model (.onnx, .tflite, .cfg), or a script of yours with a schedule (.py).", show_default=False
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page. Default: MODEL.explore.html, here.")
    ] = None,
    kernel: Annotated[str | None, typer.Option(help="Only this kernel of a model, by its name.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The name of the schedule in the script. Default: the last one.")
    ] = None,
    run: Annotated[bool, typer.Option("--run/--no-run", help="Time each kernel of a model.")] = True,
    inputs: InputsOption = None,
    seed: SeedOption = 0,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = "native",
    threads: ThreadsOption = None,
    exact: ExactOption = False,
    live: Annotated[
        bool, typer.Option("--serve", help="Serve the page to this machine: schedules can be changed, move by move.")
    ] = False,
    port: Annotated[int, typer.Option(help="Of --serve; 0 is any that is free.", min=0, max=65535)] = 0,
    opens: Annotated[bool, typer.Option("--open/--no-open", help="Of --serve: open a browser.")] = True,
) -> None:
    """Write a page that shows all stages of a compilation side by side, and what in them belongs together.

    Click an operator: its kernel, its loops, its lines of LLVM and of assembly light up, and the other way round. Each pass over the graph and
    each step of a schedule has its before and after. The page is one file, and opens without a network. A script is a program: give one that you trust.
    With --serve no file is written, unless -o names one: a button of each kernel lists the moves that are legal next, with what each
    would change, its counted costs and its measured time. It ends with Ctrl-C, and when the page is closed.

    Examples:

        minicc explore model.onnx
        minicc explore model.onnx --kernel conv_add_relu --no-run -o conv.html
        minicc explore tutorials/gemm_schedule.py
        minicc explore tutorials/gemm_schedule.py --serve
    """
    bound = listen(port) if live else None
    output = output or (None if live else Path(f"{source.stem}.explore.html"))
    check_output("--output", output, ".html")
    machine = Target.of(target)
    if source.suffix == ".py":
        found = _script(source, name, machine, kernel=kernel, dim=dim, input_shapes=input_shapes)
        kernels = script_kernels(found, source, name)
    else:
        options = {
            "dims": read_dims(dim),
            "input_shapes": read_shapes(input_shapes),
            "threads": threads,
            "exact": exact,
        }
        runs = run and machine.is_cpu and not machine.lacking()
        arrays = partial(given_inputs, inputs=inputs, seed=seed) if runs else None
        found = _model(source, name, machine, kernel, arrays, options)
        kernels = model_kernels(found, source, target, options)
    steps = sum(len(each.schedule.trace) for each in found.kernels)
    counts = (f"{len(found.stages)} passes", count(len(found.kernels), "kernel"), count(steps, "step"))
    print(f"{printable(found.title)}: {', '.join(counts)}")
    if output is not None:
        page = explorer_page(found).encode("utf-8", "replace")
        write_file(output, page)
        print(f"{output}: {megabytes(len(page))}; open it in a browser")
    if bound is not None:
        serve(explorer_page(found, live=True), kernels, bound, _show if opens else _tell)


def _tell(address: str) -> None:
    print(f"serving {address}\nCtrl-C, or closing the page, ends it", flush=True)


def _show(address: str) -> None:
    """Open a browser, too; one in a terminal does not return."""
    _tell(address)
    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _script(source: Path, name: str | None, target: Target, **others: Any) -> Explored:
    """The last schedule of a script, or the one of a name."""
    for option in (key for key, value in others.items() if value):
        _refuse(f"--{option.replace('_', '-')}", source, "a schedule has its shapes, and is one kernel")
    with progress() as observe:
        return explore_schedule(source.stem, schedule_of(source, name), target, observe)


def _model(
    source: Path,
    name: str | None,
    target: Target,
    kernel: str | None,
    run: Callable[[Executable], Mapping[str, Any]] | None,
    options: dict[str, Any],
) -> Explored:
    """All of a model, or one of its kernels."""
    if name is not None:
        _refuse("--name", source, "--kernel NAME is for models")
    with progress() as observe:
        return replace(explore_model(load(source), target, observe, kernel, run, **options), title=source.stem)


def _refuse(option: str, source: Path, hint: str) -> None:
    raise ConfigError(
        f"explore {source} {option}",
        f"expected no {option} for a {source.suffix or 'file without an ending'}",
        hint=hint,
    )
