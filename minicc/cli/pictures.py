"""What the commands that look at a picture share: options, and times."""

from __future__ import annotations

import re
import statistics
import time
from typing import Annotated, Any

import typer

from minicc.errors import ConfigError
from minicc.runtime.executable import Executable

SizeOption = Annotated[
    str | None, typer.Option("--size", help="The network's picture: 416, or HEIGHTxWIDTH; for one that takes any.")
]
RepeatOption = Annotated[
    int, typer.Option("--repeat", min=1, help="Run the network so often; the median time is told.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def timed(made: Executable, inputs: dict[str, Any], repeat: int) -> tuple[dict[str, Any], float]:
    """The outputs of a network, and the median time of its runs, the first one left out where there are more."""
    seconds, outputs = [], {}
    for _ in range(repeat + (repeat > 1)):
        started = time.perf_counter()
        outputs = made.run(inputs)
        seconds.append(time.perf_counter() - started)
    return outputs, statistics.median(seconds[repeat > 1 :])


def times(taken: dict[str, float], made: Executable) -> str:
    """What each part took, in words."""
    parts = ", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in taken.items())
    return f"{parts}; {made.threads} threads, compiled in {made.compile_seconds:.2f} s"


def read_size(text: str | None) -> tuple[int, int] | None:
    """`416`, or `320x416`, as height and width. Raises ConfigError."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})(?:[x,]([0-9]{1,5}))?", text)
    if match is None or not min(int(match[1]), int(match[2] or match[1])) > 0:
        raise ConfigError(f"--size {text}", f"expected a number, or HEIGHTxWIDTH, got {text!r}", hint="--size 416")
    return int(match[1]), int(match[2] or match[1])
