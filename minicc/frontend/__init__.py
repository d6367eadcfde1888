"""Frontends: each translates a source format to calls of `ops`, and nothing else.

`load` takes an ONNX model (a path, bytes or a `ModelProto`) and gives a `Graph`. A model file is
hostile until proven otherwise: loading executes nothing of it and reads nothing outside its folder.
What a format needs is imported when the first model of it is loaded.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from minicc.graph.ir import Graph

if TYPE_CHECKING:
    from onnx import ModelProto


def load(source: str | Path | bytes | ModelProto, keep: bool = True) -> Graph:
    """The graph of an ONNX model, with errors and promises as those of `minicc.frontend.onnx.load`."""
    return cast(Graph, import_module("minicc.frontend.onnx").load(source, keep))


__all__ = ["load"]
