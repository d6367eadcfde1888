"""`minicc bench`: a model's latency beside that of other compilers and runtimes, in turns."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from minicc.cli.options import (
    DimOption,
    ModelArgument,
    check_output,
    check_shapes_known,
    messages,
    print_profile,
    read_dims,
    table_text,
)
from minicc.compile import compile
from minicc.errors import ConfigError, printable
from minicc.explain.draw_bench import report
from minicc.explain.report import ENDINGS
from minicc.frontend import load
from minicc.graph import bind, runtime_operands
from minicc.runtime.profile import Profile, profile
from minicc.testing.bench import BenchResult, check_peers, columns, measure, rows
from minicc.testing.peers import PEERS, BenchJob, samples

MODULES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "torch": "torch", "torch.compile": "torch"}
NEEDS_PROGRAM = ("torch", "torch.compile")


def bench_command(
    model: ModelArgument,
    vs: Annotated[
        str | None,
        typer.Option(
            "--vs",
            help=f"Which of {', '.join(p for p in PEERS if p != 'minicc')}; default: onnxruntime and openvino where installed.",
        ),
    ] = None,
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of each.")] = 1,
    runs: Annotated[int, typer.Option(min=1, help="Calls of each.")] = 15,
    program: Annotated[
        Path | None,
        typer.Option("--torch-program", help="The same network as torch.export.save wrote it; torch needs it."),
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="An .npz of inputs by name; floats are drawn anew. Default: random.")
    ] = None,
    dim: DimOption = None,
    kernels: Annotated[
        bool, typer.Option("--kernels", help="Profile each kernel of ours: GFLOP/s, share of the roofline.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help=f"Write a report; the ending says what: {', '.join(ENDINGS)}.")
    ] = None,
) -> None:
    """Time a model by minicc and by its peers, batch as the model has it, equal threads, fresh inputs.

    One thread: all in one process, in turns, call by call. More: a process each, which take turns, as their pools of threads disturb each
    other. Every answer is compared with the first peer's before it is timed. OpenVINO computes in float32 here, whatever the processor offers.
    `torch.export` programs are data and code of PyTorch's: give those that you trust.

    Examples:

        minicc bench model.onnx --vs onnxruntime,openvino
        minicc bench model.onnx --threads 2 --kernels -o bench.html
        minicc bench model.onnx --vs torch,torch.compile --torch-program model.pt2
    """
    check_output("--output", output, *ENDINGS)
    names = chosen_peers(vs, program)
    dims = tuple(read_dims(dim).items())
    check_shapes_known("minicc bench", runtime_operands(bind(load(model), dict(dims))), "freeze them in the model")
    job = BenchJob(str(model), threads, str(program or ""), str(inputs or ""), dims)
    columns_of = (
        TextColumn("{task.description:28}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
    )
    with Progress(*columns_of, console=messages, transient=True, disable=not messages.is_terminal) as progress:
        task = progress.add_task("starting", total=None)
        result = measure(
            job,
            names,
            runs=runs,
            report=lambda text, done, total: progress.update(task, description=text, completed=done, total=total),
        )
    show([result])
    found = kernels_of(job) if kernels else None
    if output is not None:
        record = result.record() | ({"profile": found.record()} if found else {})
        report([result], {result.model: found} if found else {}, record).save(output)
        print(f"wrote {printable(output)}")


def chosen_peers(vs: str | None, program: Path | None) -> list[str]:
    """The peers of --vs, or those that are installed. Raises ConfigError for one that cannot be had."""
    if vs is None:
        return [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(MODULES[name])]
    names = list(dict.fromkeys(filter(None, map(str.strip, vs.split(",")))))
    check_peers(names)
    for name in names:
        if name in MODULES and not importlib.util.find_spec(MODULES[name]):
            raise ConfigError(
                f"--vs {vs}",
                f"expected {name} to be installed, got no module {MODULES[name]}",
                hint=f"pip install {MODULES[name]}",
            )
        if name in NEEDS_PROGRAM and program is None:
            problem = f"expected --torch-program for {name}, which reads no ONNX"
            raise ConfigError(
                f"--vs {vs}", problem, hint="torch.export.save(torch.export.export(module, inputs), 'model.pt2')"
            )
    return names


def show(results: Sequence[BenchResult]) -> None:
    """Print the table, and what went wrong."""
    print(table_text(list(rows(results)), ["model", "batch", "threads", *columns(results), "ratio"]))
    print(f"{results[0].processor}; medians in ms; ratio: the fastest other's time by ours")
    for result in results:
        for timing in result.timings:
            if timing.problem:
                messages.print(f"{result.model}: no {timing.peer}: {timing.problem}", soft_wrap=True)
        if result.note:
            messages.print(result.note, soft_wrap=True)


def kernels_of(job: BenchJob) -> Profile:
    """Profile the kernels of a model, and print the table."""
    made = compile(job.model, dims=dict(job.dims), threads=job.threads)
    feeds = samples(job)[0]
    found = profile(made, [np.asarray(feeds[port.name]) for port in made.inputs])
    print_profile(found)
    return found
