"""`minicc reduce`: shrink a graph on which stages disagree to a minimal one, and write it as a test."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from minicc.bridge.groups import operators
from minicc.cli.compare import Bound, bind_inputs, read_inputs
from minicc.cli.options import DimOption, ShapesOption, check_output, messages
from minicc.errors import ConfigError, LoadError, plain_lines, printable
from minicc.frontend import load
from minicc.graph import Graph, parse
from minicc.ops.base import Array
from minicc.paths import unreadable
from minicc.runtime.files import write_arrays, write_file
from minicc.testing.oracle import STAGES
from minicc.testing.reduce import TITLE, Inputs, arrays_of, fails_like, pytest_source, read_case, reduce, run_apart

RUNS = {**STAGES, "llvm": run_apart}  # machine code may crash, and is then to be reduced
INLINE = 4096  # elements that a test holds; more go into a file beside it


def read_graph(path: Path, inputs: Path | None, seed: int, dims: list[str] | None, shapes: str | None) -> Bound:
    """The graph of a model (`.onnx`, `.tflite`, `.cfg`) or of a text file, bound to the arrays of `inputs` or to random ones.

    A text file's arrays hold its large constants, too, by digest. Raises LoadError when the file cannot be read.
    """
    if path.suffix in (".onnx", ".tflite", ".cfg"):
        graph = load(path)
        return bind_inputs(graph, None if inputs is None else read_inputs(inputs, graph), seed, dims, shapes)
    if refused := unreadable(path, ".onnx"):
        raise LoadError(
            f"reduce {path}", f"expected an .onnx model or the text of a graph, got {refused[0]}", hint=refused[1]
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        problem = f"expected an .onnx model or the text of a graph, got a file that cannot be read: {error}"
        hint = "minicc show model.onnx --stage graph prints the text of a graph"
        raise LoadError(f"reduce {path}", problem, hint=hint) from None
    graph, given = (parse(text), None) if inputs is None else read_case(text, inputs)
    return bind_inputs(graph, given, seed, dims, shapes)


def check_replaces(path: Path) -> None:
    """Raise ConfigError when a test, and arrays beside it, cannot be written, or would replace files that `reduce` did not write."""
    check_output("--output", path, ".py")
    text = path.read_text(errors="replace") if path.exists() else ""
    beside = path.with_suffix(".npz")
    for file, ours in ((path, text.startswith(TITLE)), (beside, text.startswith(TITLE) and repr(beside.name) in text)):
        if file.exists() and not ours:
            problem = f"expected a new file, or a test that minicc reduce wrote, got one that is there: {file}"
            raise ConfigError(f"--output {path}", problem, hint="name another test with --output, or remove that file")


def reduce_command(
    source: Annotated[
        Path, typer.Argument(help="An ONNX model, or a file with the text of a graph.", show_default=False)
    ],
    stages: Annotated[str, typer.Option(help=f"What must agree: of {', '.join(STAGES)}.")] = "numpy,llvm",
    inputs: Annotated[
        Path | None, typer.Option(help="An .npz of inputs by name, and of constants by digest; default: random.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The test to write.")] = Path("test_reduced.py"),
    seed: Annotated[int, typer.Option(help="Of the random inputs.")] = 0,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
) -> None:
    """Find the smallest graph that fails as this one does, and write it as a pytest file.

    A graph fails when its stages disagree, or one of them raises or crashes. It is cut before and behind the fault,
    bypassed, its axes shortened and its numbers simplified, as long as it fails in the same way. Ctrl-C
    ends the search and keeps the smallest graph so far.

    Examples:

        minicc reduce graph.txt --inputs arrays.npz --stages numpy,llvm
        minicc reduce model.onnx --stages numpy,relax --seed 7 --output tests/test_conv.py
    """
    check_replaces(output)
    named = tuple(dict.fromkeys(filter(None, map(str.strip, stages.split(",")))))
    if not named:
        raise ConfigError(
            f"--stages {stages!r}", "expected the name of a stage, got none", hint=f"one or more of {', '.join(STAGES)}"
        )
    bound = read_graph(source, inputs, seed, dim, input_shapes)
    graph, arrays = _reduced(bound, named)
    print(plain_lines(graph))  # first: it took long to find
    _write(output, graph, arrays, named)
    count = len(operators(graph))
    print(
        f"wrote {printable(output)}: {count} operator{'' if count == 1 else 's'}; run it with pytest {printable(output)}"
    )


def _reduced(bound: Bound, stages: tuple[str, ...]) -> tuple[Graph, dict[str, Array]]:
    """The smallest graph, under a spinner that counts the graphs tried."""
    arrays = {name: bound.inputs[name] for name in bound.graph.input_names}
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed} graphs tried"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as progress:
        task = progress.add_task("does it fail", total=None)
        fails = fails_like(bound.graph, arrays, stages, RUNS)

        def counted(graph: Graph, inputs: Inputs) -> bool:
            progress.advance(task)
            return fails(graph, inputs)

        def report(text: str) -> None:
            progress.update(task, description=text)
            messages.print(text)

        return reduce(bound.graph, arrays, counted, report)


def _write(path: Path, graph: Graph, inputs: dict[str, Array], stages: tuple[str, ...]) -> None:
    """The test, and beside it the arrays if they are many."""
    arrays, beside = arrays_of(graph, inputs), path.with_suffix(".npz")
    many = sum(a.size for a in arrays.values()) > INLINE
    if many:
        write_arrays(beside, arrays)
    write_file(path, pytest_source(graph, inputs, stages, beside.name if many else "").encode())
    if not many:
        beside.unlink(missing_ok=True)  # of the test that was replaced
