"""Milestones: a real model runs on the parts that a student wrote, and there is a picture of it to keep.

In: the folder in which an assignment was started. Out: `Reached`: what there is to tell, and a picture. The files are run in
this process, as they are the student's own; the answers of the model are compared with the reference, whatever ran.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from minicc.compile import compile
from minicc.course.answers import Submission
from minicc.explain.draw_digits import draw_digits
from minicc.explain.page import Pictures
from minicc.explain.picture import Picture
from minicc.frontend import load
from minicc.graph.bind import bind
from minicc.testing.oracle import compare, reference


@dataclass(frozen=True)
class Reached:
    """What a milestone has to show."""

    lines: tuple[str, ...]
    picture: Picture | Pictures


@dataclass(frozen=True)
class Milestone:
    """What runs once an assignment is solved; `reach(folder)` raises what the student's parts raise."""

    title: str
    reach: Callable[[Path], Reached]


def counting(functions: Mapping[str, Callable[..., Any]], calls: Counter[str]) -> dict[str, Callable[..., Any]]:
    """The functions, each of which counts its calls by its name."""

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            calls[name] += 1
            return function(*args)

        return call

    return {name: counted(name, function) for name, function in functions.items()}


def digits_on_own_loops(folder: Path) -> Reached:
    """The network of the demo, every split and fuse of whose schedules is the student's."""
    calls: Counter[str] = Counter()
    primitives = counting(Submission(folder).module("primitives.py").PRIMITIVES, calls)
    with resources.as_file(resources.files("minicc.cli") / "digits") as path:
        graph = load(path / "digits.onnx")
        with np.load(path / "heldout.npz", allow_pickle=False) as held:
            images, labels = (held["images"] / np.float32(16)).astype(np.float32), held["labels"]
    made = compile(graph, dims={"batch": len(images)}, primitives=primitives)
    (probability,) = made(images)
    bound = bind(graph, {"batch": len(images)})
    known = reference(bound, {"image": images})
    compare(bound, {"probability": probability}, known, "your loops")
    answers, expected = probability.argmax(1), known[0][0].argmax(1)
    used = " and ".join(f"{count} of {name}" for name, count in sorted(calls.items())) or "none"
    lines = (
        f"{len(images)} handwritten digits went through {len(made.kernels)} kernels, whose schedules called your primitives: {used}",
        f"{np.mean(answers == labels):.2%} of the answers are right, as many as the reference has: {np.mean(expected == labels):.2%}",
    )
    return Reached(lines, draw_digits(images, labels, answers, probability.max(1)))


MILESTONES = {"a3": Milestone("the digits network on your own loops", digits_on_own_loops)}
