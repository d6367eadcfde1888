"""Frontends: each translates a source format to calls of `ops`, and nothing else.

`load` takes a model (a path, bytes, or an ONNX `ModelProto`) and gives a `Graph`. A model file is
hostile until proven otherwise: loading executes nothing of it and reads nothing outside its folder.
What a format needs is imported when the first model of it is loaded. `from_torch` takes a module of PyTorch.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from minicc.errors import LoadError
from minicc.frontend.formats import HEAD
from minicc.graph.ir import Graph
from minicc.paths import unreadable

if TYPE_CHECKING:
    from onnx import ModelProto


class ModelFormat(NamedTuple):
    """A format of models: the room of its reader, the ends of names of its files, and how these begin."""

    module: str
    ends: tuple[str, ...]
    begins: re.Pattern[bytes]
    has_weights: bool = False  # in a file beside the model


FORMATS: tuple[ModelFormat, ...] = (
    ModelFormat("minicc.frontend.tflite", (".tflite",), re.compile(rb".{4}TFL3", re.DOTALL)),
    ModelFormat(
        "minicc.frontend.darknet",
        (".cfg",),
        re.compile(rb"(\xef\xbb\xbf)?(\s*[#;].*\n)*\s*\[net(work)?\]"),
        has_weights=True,
    ),
    ModelFormat("minicc.frontend.onnx", (), re.compile(b"")),  # last, as it has what nothing else takes
)


def load(
    source: str | Path | bytes | ModelProto, keep: bool = True, weights: str | Path | bytes | None = None
) -> Graph:
    """The graph of a model of one of `FORMATS`, known by how its file begins, or by its name.

    `weights` are those of a Darknet network (default: of the file beside the `.cfg` that is called as it is). If it
    need not `keep` large weights, they are read from the file whenever they are used. Raises LoadError; its promises
    are those of the reader's `load`.
    """
    form = format_of(source)
    if form.has_weights:
        return cast(Graph, import_module(form.module).load(source, keep, weights))
    if weights is not None:
        problem, hint = (
            "expected a network of Darknet with weights= of its own, got another model",
            "leave weights= out",
        )
        raise LoadError(f"load({str(source)[:80]!r}, weights=...)", problem, hint=hint)
    return cast(Graph, import_module(form.module).load(source, keep))


def format_of(source: object) -> ModelFormat:
    """The format of a model; that of ONNX where nothing says another."""
    path = Path(source) if isinstance(source, (str, Path)) else None
    head = bytes(source[:HEAD]) if isinstance(source, bytes) else _head(path) if path else b""
    begun = [form for form in FORMATS[:-1] if form.begins.match(head)]
    named = [form for form in FORMATS[:-1] if path and path.suffix.lower() in form.ends]
    return (begun or named or FORMATS[-1:])[0]


def _head(path: Path) -> bytes:
    """How a file begins; nothing where there is none to read, which its reader says."""
    if unreadable(path, path.suffix):
        return b""
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def from_torch(module: Any, example_inputs: Any = (), dynamic_shapes: Any = None) -> Graph:
    """The graph of a module of PyTorch, as `minicc.frontend.torch.load.from_torch` makes it."""
    return cast(Graph, import_module("minicc.frontend.torch").from_torch(module, example_inputs, dynamic_shapes))


__all__ = ["from_torch", "load"]
