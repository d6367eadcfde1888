"""Model files that somebody has damaged, cleverly or not: a reader refuses each in words, or takes it.

In: the name of a reader, and how many files. Out: a `FileReport`: how many were refused, and how many were compiled and run; what
crashed, hung, asked for more memory than there was, or raised what is no error of ours. Each file is a number's: drawn by
`draw(random)` of the reader's module here, which gives the files of a model by name, the model first. A child process loads, compiles and
runs it, with a limit to its memory and a clock, and is replaced when it ends.

    python -m minicc.testing.mutate_files --reader onnx --count 5000
    python -m minicc.testing.mutate_files --reader onnx --show 1234
"""

from __future__ import annotations

import random
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from minicc import compile, load
from minicc.bridge.frames import Arrays, Message
from minicc.bridge.inside.serve import origin
from minicc.bridge.process import ChildFailure, ChildProcess
from minicc.errors import ConfigError, MiniccError
from minicc.ops.base import Array
from minicc.runtime.executable import Executable
from minicc.testing.progress import Running, run

READERS = {  # name: the module whose `draw(random)` gives files
    "onnx": "minicc.testing.mutate_onnx",
    "darknet": "minicc.testing.mutate_darknet",
    "tflite": "minicc.testing.mutate_tflite",
}
CPU_SECONDS, SECONDS = (
    10.0,
    120.0,
)  # of a file: more is a hang; on a busy machine the second one may pass while others work
MEMORY = 2 << 30  # bytes that a file may cost, beyond what a process has when it begins
WORK, DATA = 10**8, 10**7  # operations and bytes of inputs that are worth a run
SYMBOL = 3  # what every symbolic dimension is

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Fate:
    """What came of a file: `refused`, `compiled` or `ran`; or a fault: `crash`, `timeout`, `slow`, `memory`, `error` or `words`."""

    number: int
    kind: str
    detail: str = ""

    @property
    def fine(self) -> bool:
        return self.kind in ("refused", "compiled", "ran")

    def __str__(self) -> str:
        return f"{self.number}: {self.kind}: {self.detail}"


@dataclass
class FileReport:
    """Counts of outcomes, and of what was refused by which error; all faults."""

    tried: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    faults: list[Fate] = field(default_factory=list)

    def add(self, outcome: Fate) -> None:
        """Count this, too."""
        self.tried += 1
        self.kinds[outcome.kind] += 1
        if outcome.kind == "refused":
            self.refusals[outcome.detail] += 1
        if not outcome.fine:
            self.faults.append(outcome)

    def __str__(self) -> str:
        rows = [("files", self.tried), *self.kinds.most_common(), *self.refusals.most_common()]
        return "\n".join(f"{name:<30} {count:>6}" for name, count in rows)


# ---- the child ----------------------------------------------------------------------------------


def draw(reader: str, number: int) -> Files:
    """The files of a number: by name, the model first. Raises ConfigError when there is no such reader."""
    if reader not in READERS:
        problem = f"expected a reader of {', '.join(READERS)}, got {reader!r}"
        raise ConfigError(f"draw({reader!r})", problem, hint="--reader onnx, for example")
    found: Files = import_module(READERS[reader]).draw(random.Random(f"{reader} {number}"))
    return found


def attempt(message: Any, arrays: Arrays) -> Message:
    """What the child is asked: how the file of a number fares. Gives the kind and the detail of its outcome."""
    reader, number = message
    _limit_memory()
    with tempfile.TemporaryDirectory() as folder:
        files = draw(reader, number)
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        started = time.process_time()
        kind, detail = _judged(Path(folder) / next(iter(files)))
        if (passed := time.process_time() - started) > CPU_SECONDS:
            kind, detail = "slow", f"{passed:.1f} seconds: {kind} {detail}"
    return (kind, detail), {}


def _judged(path: Path) -> tuple[str, str]:
    try:
        return _ran(path), ""
    except MiniccError as error:
        whole = error.call and error.problem and error.hint and len(str(error)) < 10_000
        internal = error.problem.startswith("expected well-formed") and "UTF-8" not in error.problem
        said = type(error).__name__ if whole and not internal else f"{error.__cause__!r}: {error}"
        return ("refused" if whole and not internal else "words"), said
    except MemoryError as error:
        return "memory", f"{origin(error)}: {error}"
    except Exception as error:
        return "error", f"{origin(error)}: {error}"


def _ran(path: Path) -> str:
    """Load, compile and, if that is little work, run the model."""
    graph = load(path)
    made = compile(graph, dims=dict.fromkeys(graph.symbols, SYMBOL), threads=1, cache=False)
    types = [port.type for port in made.inputs]  # that of a sequence is None
    if not all(types) or sum(type.bytes for type in types) > DATA or sum(k.flops for k in made.kernels) > WORK:
        return "compiled"
    made(*_inputs(made))
    return "ran"


def _inputs(made: Executable) -> list[Array]:
    """Small numbers: where they are shapes or indices, they often are good ones."""
    return [(np.arange(port.type.size) % 3).reshape(port.shape).astype(port.dtype.numpy) for port in made.inputs]


def _limit_memory() -> None:
    """Once: what this process has, and MEMORY."""
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY,) * 2)


# ---- the campaign -------------------------------------------------------------------------------


def campaign(reader: str, count: int, first: int = 0) -> Iterator[Fate]:
    """The outcomes of `count` files from number `first` on. Raises ConfigError when there is no such reader."""
    draw(reader, first)
    with ChildProcess(READERS[reader]) as child:
        for number in range(first, first + count):
            try:
                (kind, detail), _ = child.ask("minicc.testing.mutate_files:attempt", [reader, number], {}, SECONDS)
            except ChildFailure as failure:
                kind, detail = failure.kind, failure.detail
            yield Fate(number, kind, detail)


def main(
    reader: Annotated[str, typer.Option(help=f"Of {', '.join(READERS)}.")] = "onnx",
    count: Annotated[int, typer.Option(help="How many files.", min=1)] = 500,
    first: Annotated[int, typer.Option(help="The number of the first one.", min=0)] = 0,
    show: Annotated[int | None, typer.Option(help="Write the files of this number into the current folder.")] = None,
) -> None:
    """Give damaged model files to a reader, and what it takes to the compiler.

    Examples:

        python -m minicc.testing.mutate_files --reader onnx --count 5000
        python -m minicc.testing.mutate_files --reader onnx --show 1234
    """
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if show is not None:
        for name, content in draw(reader, show).items():
            Path(name).write_bytes(content)
            console.print(f"{name}: {len(content):,} bytes")
        return
    report = FileReport()
    with Running(console, f"{reader} files", count) as running, suppress(KeyboardInterrupt):
        for outcome in campaign(reader, count, first):
            report.add(outcome)
            if not outcome.fine:
                console.print(str(outcome))
            running.advance(1, len(report.faults))
    console.print(str(report))
    if report.tried < count:
        console.print(f"go on with --first {first + report.tried} --count {count - report.tried}")
    raise typer.Exit(130 if report.tried < count else int(bool(report.faults)))


if __name__ == "__main__":
    run(main)
