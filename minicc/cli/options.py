"""The options that several commands share, and how their text is read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from minicc.compile import check_stage, compile
from minicc.errors import ConfigError, plain_lines, printable
from minicc.explain.browser import find_browser
from minicc.frontend import load
from minicc.graph.ir import Graph
from minicc.ir.passes import Event, Observer, Times, both
from minicc.ops.base import Array
from minicc.runtime.executable import Executable
from minicc.runtime.files import check_folder, read_arrays
from minicc.runtime.profile import EFFECTIVE, Profile
from minicc.runtime.specialize import SpecializingExecutable
from minicc.target import Target
from minicc.testing.draws import plain
from minicc.types import TensorType

messages = Console(stderr=True, highlight=False, markup=False)

ModelArgument = Annotated[Path, typer.Argument(help="A model: .onnx, .tflite, or a Darknet .cfg.", show_default=False)]
InputsOption = Annotated[
    Path | None, typer.Option("--inputs", help="An .npz of inputs by name (or an .npy); default: random.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of the random inputs.")]
DimOption = Annotated[list[str] | None, typer.Option("--dim", help="Bind a symbolic dimension, as in batch=4.")]
ShapesOption = Annotated[
    str | None, typer.Option("--input-shapes", help='Bind whole shapes, as in "x:[1,3,224,224] mask:[1,77]".')
]
TargetOption = Annotated[
    str, typer.Option("--target", help="native, portable, a processor, 'llvm -mcpu=... -mattr=...', cuda or emulated.")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", help="Threads at run time; default: all that we may use.")
]
ExactOption = Annotated[
    bool, typer.Option("--exact", help="No other order of a sum, no rounding less: the same bits anywhere.")
]
TimesOption = Annotated[
    bool, typer.Option("--print-pass-times", help="Print how long each pass took, all kernels compiled anew.")
]
BeforeOption = Annotated[
    list[str] | None, typer.Option("--print-ir-before", help="Print what a pass gets, as in fuse; may be repeated.")
]
AfterOption = Annotated[
    list[str] | None, typer.Option("--print-ir-after", help="Print what a pass makes, as in fuse; may be repeated.")
]

NUMBER = "[0-9]{1,18}"


def read_dims(dims: list[str] | None) -> dict[str, int]:
    """`["batch=4"]` as `{"batch": 4}`. Raises ConfigError."""
    found: dict[str, int] = {}
    for text in dims or []:
        match = re.fullmatch(rf"(.+)=\s*({NUMBER})", text.strip())
        if match is None:
            raise ConfigError(f"--dim {text}", f"expected NAME=NUMBER, got {text!r}", hint="for example --dim batch=4")
        found[match[1].strip()] = int(match[2])
    return found


def read_shapes(text: str | None) -> dict[str, tuple[int, ...]]:
    """`"x:[1,3] y:[2]"` as `{"x": (1, 3), "y": (2,)}`. Raises ConfigError."""
    found: dict[str, tuple[int, ...]] = {}
    rest = (text or "").strip()
    while rest:
        match = re.match(r"(.+?):\s*\[([^]]*)\][\s,]*", rest, re.DOTALL)
        dims = [d.strip() for d in match[2].split(",") if match[2].strip()] if match else []
        if match is None or not all(re.fullmatch(NUMBER, d) for d in dims):
            problem = f"expected NAME:[DIM,DIM,...], got {rest!r}"
            raise ConfigError(f"--input-shapes {text!r}", problem, hint='for example --input-shapes "x:[1,3,224,224]"')
        found[match[1].strip()] = tuple(map(int, dims))
        rest = rest[match.end() :]
    return found


class Prints(NamedTuple):
    """What is printed on stderr while a model is compiled: how long passes take, the IR before some, and after some."""

    times: bool = False
    before: Sequence[str] | None = None
    after: Sequence[str] | None = None


SILENT = Prints()


@contextmanager
def progress() -> Iterator[Observer]:
    """A progress bar, and the observer that moves it."""
    columns = (TextColumn("{task.description:28}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TextColumn("eta"), TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bar:
        task = bar.add_task("compiling", total=None)

        def observe(event: Event) -> None:
            bar.update(task, description=f"{event.stage} {event.subject}"[:28])
            if event.total:
                bar.update(task, completed=event.done, total=event.total)

        yield observe


def compile_model(
    model: Path | Graph,
    dims: list[str] | None = None,
    shapes: str | None = None,
    target: str | Target = "native",
    threads: int | None = None,
    prints: Prints = SILENT,
    exact: bool = False,
    any_size: bool = False,
) -> Executable:
    """Load and compile a model under a progress bar; with `any_size`, what `dims` and `shapes` leave open is left to each call."""
    bound, given = read_dims(dims), read_shapes(shapes)
    for option, names in (("before", prints.before), ("after", prints.after)):
        for name in names or ():
            check_stage(f"--print-ir-{option} {name}", name)
    graph, times = model if isinstance(model, Graph) else load(model), Times()

    def watch(event: Event) -> None:
        when, names = ("before", prints.before) if event.seconds is None else ("after", prints.after)
        if event.stage in (names or ()):
            messages.print(
                f"# {printable(event.subject)} {when} {event.stage}\n{plain_lines(event.ir)}", soft_wrap=True
            )

    with progress() as observe:
        whole = bool(prints.times or prints.before or prints.after)  # then every stage of every kernel is wanted
        sizes: Any = "any" if any_size and not bound and not given else bound
        watched = both(times, watch, observe)
        made = compile(graph, target, given, dims=sizes, threads=threads, exact=exact, observe=watched, cache=not whole)
    if prints.times:
        messages.print(str(made.compile_report), soft_wrap=True)
    return made


def given_inputs(made: Executable, inputs: Path | None, seed: int) -> dict[str, Array]:
    """The inputs of an executable by name: those of a file, or random ones."""
    if inputs is not None:
        return read_arrays(inputs, {port.name: port.dtype for port in made.inputs})
    messages.print("random inputs; give real ones with --inputs")
    random = np.random.default_rng(seed)
    return {port.name: random_input(port.type, random) for port in made.inputs}


def random_input(type: TensorType | None, random: np.random.Generator) -> Array:
    """An array as `testing.draws.plain` has it. Raises ConfigError for a sequence or an optional."""
    if type is None:
        problem = "expected inputs that are tensors, got a sequence or an optional"
        raise ConfigError("random inputs", problem, hint="call the model from Python: exe.run({name: [array, ...]})")
    return plain(type, random)


def print_profile(found: Profile) -> None:
    """A table of the kernels, and on stderr what makes the figures doubtful."""
    head, rows = found.table()
    print(table_text(rows, head))
    if EFFECTIVE in head:
        print("effective: as if the operations were those of the direct computation that the kernel stands for")
    print(f"medians of repeated runs after a first one; {found.total * 1e6:.1f} us in kernels together")
    for note in found.notes:
        messages.print(note, soft_wrap=True)


def check_output(option: str, path: Path | None, *endings: str) -> None:
    """Raise ConfigError when a file of this name cannot be written, its ending is none of those that say what it is, or who makes it is not there."""
    if path is not None and path.suffix not in endings:
        problem = f"expected a name that ends in {', '.join(endings)}, got {path.name!r}"
        better = path.with_suffix(endings[0]) if path.name else f"made{endings[0]}"
        raise ConfigError(
            f"{option} {path}", problem, hint=f"{option} {better}, for example: the ending says what it is"
        )
    if path is not None:
        check_folder(path)
    if path is not None and path.suffix in (".png", ".pdf"):
        find_browser(f"{option} {path}")


def check_shapes_known(
    call: str, waiting: Sequence[str], hint: str = "minicc run compiles it, with --inputs FILE.npz"
) -> None:
    """Raise ConfigError when there are inputs whose values decide shapes."""
    if waiting:
        problem = "expected a model whose shapes are known, got one in which the values of inputs decide them: "
        raise ConfigError(call, problem + ", ".join(waiting), hint=hint)


def undecided(made: Executable) -> Sequence[str]:
    """The inputs whose values are still to decide shapes."""
    return made.waiting if isinstance(made, SpecializingExecutable) and not made.kernels else ()


def stage_text(made: Executable, stage: str, kernel: str | None = None) -> str:
    """A stage of the whole model, or of one kernel. Raises ConfigError when there is no such kernel or stage."""
    check_shapes_known(f"stage {stage}", undecided(made))
    kernels = {k.symbol: k for k in made.kernels}
    if kernel is None and stage in made.stages:
        return made.stages[stage].rstrip("\n")
    if kernel is None and kernels:
        return "\n\n".join(f"# {name}\n{k.stages[stage]}".rstrip("\n") for name, k in kernels.items())
    if kernel is None and "cuda" in made.stages:
        problem = f"expected one of {', '.join(made.stages)} for a device, got {stage!r}"
        raise ConfigError(f"stage {stage}", problem, hint="--stage cuda, or another target")
    if kernel is None:
        return ""
    if kernel not in kernels:
        problem, hint = (
            f"expected the name of a kernel, got {kernel!r}",
            f"the kernels are {', '.join(kernels) or 'none'}",
        )
        raise ConfigError(f"--kernel {kernel}", problem, hint=hint)
    return kernels[kernel].stages["graph" if stage == "fused" else stage].rstrip("\n")


def megabytes(count: float) -> str:
    return f"{count / 1e6:.1f} MB"


def table_text(rows: list[list[Any]], head: list[str]) -> str:
    """Rows in aligned columns: text to the left, numbers to the right."""
    cells = [[printable(c) for c in row] for row in [head, *rows]]
    widths = [max(len(row[k]) for row in cells) for k in range(len(head))]
    numeric = [
        all(row[k] == "" or isinstance(row[k], (int, float)) or str(row[k])[:1].isdigit() for row in rows)
        for k in range(len(head))
    ]
    lines = ["  ".join(c.rjust(w) if n else c.ljust(w) for c, w, n in zip(row, widths, numeric, strict=True)).rstrip()
             for row in cells]  # fmt: skip
    return "\n".join(lines)
