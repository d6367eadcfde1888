"""`minicc fusion`: the kernels of minicc beside the groups that TVM makes of the same graph."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from minicc.bridge import _tvm
from minicc.cli.options import DimOption, ModelArgument, ShapesOption, TargetOption, check_output, check_shapes_known
from minicc.cli.options import messages, read_dims, read_shapes
from minicc.errors import plain_lines, printable
from minicc.explain.fusion import before_fusion, compare_fusion
from minicc.explain.fusion_picture import picture
from minicc.frontend import load
from minicc.graph import bind, runtime_operands
from minicc.runtime.files import write_file


def fusion_command(
    model: ModelArgument,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = "native",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Print every region, those that are alike too.")] = False,
    into: Annotated[Path | None, typer.Option("--picture", help="Draw both as an SVG file.")] = None,
) -> None:
    """Print which operators minicc runs together, beside what TVM does with the same graph, and why they differ.

    Both get the graph as it is before minicc fuses it, with plain weights. Needs TVM.

    Examples:

        minicc fusion model.onnx
        minicc fusion model.onnx --picture fusion.svg
        minicc fusion model.onnx --json
    """
    _tvm.load()  # before any work
    check_output("--picture", into, ".svg")
    dims, shapes = read_dims(dim), read_shapes(input_shapes)
    graph = bind(load(model), dims, shapes)
    check_shapes_known(f"fusion {model}", runtime_operands(graph), "export the model with fixed shapes")
    made = compare_fusion(before_fusion(graph, target))
    if into is not None:
        write_file(into, picture(made).encode())
        messages.print(f"wrote {printable(into)}")
    print(json.dumps(made.as_json(), indent=1) if as_json else plain_lines(made.text(every)))
