"""`minicc fusion`: the kernels of minicc beside the groups that TVM makes of the same graph, in Relay and in Relax."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from minicc.cli.device import refuse_options
from minicc.cli.options import DimOption, ModelArgument, ShapesOption, TargetOption, check_output, check_shapes_known
from minicc.cli.options import messages, read_dims, read_shapes, table_text
from minicc.errors import BridgeError, ConfigError, plain_lines, printable
from minicc.explain.fusion import GROUPINGS, before_fusion, compare_fusion
from minicc.explain.fusion_rules import NAMES, RULES
from minicc.explain.save import ENDINGS, save
from minicc.frontend import load
from minicc.graph import bind, runtime_operands
from minicc.graph.split_stages import is_open


def fusion_command(
    model: ModelArgument,
    dialects: Annotated[
        str | None, typer.Option("--with", help=f"Which of {', '.join(GROUPINGS)}; default: all that can.")
    ] = None,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
    target: TargetOption = "native",
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Print every region, those that are alike too.")] = False,
    rules: Annotated[
        bool, typer.Option("--rules", help="Print the rules of TVM, too, and what each operator is to them.")
    ] = False,
    into: Annotated[
        Path | None, typer.Option("--picture", help=f"Draw them all: {', '.join(ENDINGS)}; .svg if they are few.")
    ] = None,
) -> None:
    """Print which operators minicc runs together, beside what TVM does in Relay and in Relax, and why they differ.

    All get the same graph: that before minicc fuses it, with plain weights. One of the two must be installed.

    Examples:

        minicc fusion model.onnx
        minicc fusion model.onnx --with relax --picture fusion.html
        minicc fusion model.onnx --rules
        minicc fusion model.onnx --json
    """
    if as_json:
        refuse_options(
            f"minicc fusion {model} --json", {"--rules": rules}, "JSON has no place for text", "leave one out"
        )
    chosen = GROUPINGS if dialects is None else named(dialects)
    check_output("--picture", into, *ENDINGS)
    dims, shapes = read_dims(dim), read_shapes(input_shapes)
    graph = bind(load(model), dims, shapes)
    check_shapes_known(f"fusion {model}", runtime_operands(graph), "export the model with fixed shapes")
    if any(map(is_open, graph.nodes)):
        problem = "expected a model of kernels alone, got one in which data decide branches, trips or shapes"
        raise ConfigError(f"fusion {model}", problem, hint="minicc show MODEL --stage graph shows what stays to be run")
    errors: dict[str, BridgeError] = {}
    made = compare_fusion(before_fusion(graph, target), chosen, errors.__setitem__ if dialects is None else None)
    if not made.groupings:
        raise errors["relax"]
    for name, error in errors.items():
        messages.print(f"no column for {NAMES[name]}: {error.problem}\nhint: {error.hint}", soft_wrap=True)
    if into is not None:
        save(made.picture(), into)
        messages.print(f"wrote {printable(into)}")
    print(json.dumps(made.as_json(), indent=1) if as_json else plain_lines(made.text(every)))
    if rules:
        head = ["operator", "minicc", *(NAMES[g.dialect] for g in made.groupings)]
        print(f"\n{RULES}\n\n{table_text(made.patterns(), head)}")


def named(dialects: str) -> list[str]:
    """The dialects of a list of names. Raises ConfigError for a name that is none."""
    names = list(dict.fromkeys(map(str.strip, dialects.split(","))))
    if unknown := [name for name in names if name not in GROUPINGS]:
        problem = f"expected dialects of TVM, got {unknown[0]!r}"
        raise ConfigError(f"--with {dialects!r}", problem, hint=f"one or more of {', '.join(GROUPINGS)}")
    return names
