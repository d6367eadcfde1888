"""`minicc compare`: a model's outputs beside those of other compilers, and the first node that diverges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from minicc import backend
from minicc.cli.options import DimOption, ModelArgument, ShapesOption, messages, random_input, read_dims, read_shapes
from minicc.cli.options import check_shapes_known, table_text
from minicc.errors import ConfigError, plain_lines
from minicc.frontend import load
from minicc.graph import Graph, bind, runtime_operands
from minicc.graph.interpret import checked_inputs
from minicc.ops.base import Array
from minicc.runtime.files import read_arrays
from minicc.testing.compare import PEERS, Comparison, Subject, check_peers, installed_peers


@dataclass(frozen=True)
class Bound:
    """A graph with arrays for its inputs; `bind` binds another graph of the same inputs likewise."""

    graph: Graph
    inputs: dict[str, Array]
    bind: Callable[[Graph], Graph]


def bind_inputs(
    graph: Graph, given: Mapping[str, Array] | None, seed: int, dims: list[str] | None, shapes: str | None
) -> Bound:
    """The graph bound to the arrays that are given, or to random ones, and these.

    Raises ConfigError when an input decides a shape, and none is given.
    """
    numbers, stated = read_dims(dims), read_shapes(shapes)
    if given is None:
        whole = bind(graph, numbers, stated)
        check_shapes_known("random inputs", runtime_operands(whole), "give all inputs with --inputs FILE.npz")
        messages.print("random inputs; give real ones with --inputs")
        random = np.random.default_rng(seed)
        inputs = {
            name: random_input(n.inferred, random) for name, n in zip(whole.input_names, whole.inputs, strict=True)
        }
        return Bound(whole, inputs, partial(bind, dims=numbers, shapes=stated))
    inputs = checked_inputs("--inputs", graph, given)
    known = {name: array.shape for name, array in inputs.items()} | stated
    values = {name: inputs[name] for name in runtime_operands(bind(graph, numbers, known))}
    again = partial(bind, dims=numbers, shapes=known, values=values)
    return Bound(again(graph), inputs, again)


def read_inputs(path: Path, graph: Graph) -> dict[str, Array]:
    """The arrays of a file, in the dtypes of the inputs that are named so. Raises RunError when it cannot be read."""
    return read_arrays(path, {name: n.dtype for name, n in zip(graph.input_names, graph.inputs, strict=True)})


def compare_command(
    model: ModelArgument,
    peers: Annotated[
        str | None, typer.Option("--with", help=f"Which of {', '.join(PEERS)}; default: all that are installed.")
    ] = None,
    inputs: Annotated[
        Path | None, typer.Option(help="An .npz of inputs by name (or an .npy); default: random.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random inputs.")] = 0,
    dim: DimOption = None,
    input_shapes: ShapesOption = None,
) -> None:
    """Run a model by minicc and by its peers, and compare every output.

    The tolerance is that of the tests: how far rounding can move an element, around a reference in float64. Both
    sides may be off by it, so 100% of the tolerance is twice that. On disagreement the first node that diverges
    is printed, and the exit code is 1; a peer that gives no answer counts as one that disagrees. Differences
    of TVM that are known do not, where minicc gives what the reference gives; it is not run where it would die of one.
    All of them compile and run in processes of their own, so that a crash is an answer, too.

    Examples:

        minicc compare model.onnx --with relay,relax,onnxruntime
        minicc compare model.onnx --with onnxruntime --inputs images.npz
        minicc compare model.onnx --dim batch=2 --seed 7
    """
    names = installed_peers() if peers is None else list(dict.fromkeys(filter(None, map(str.strip, peers.split(",")))))
    if not names:
        raise ConfigError(
            f"--with {peers!r}", "expected the name of a peer, got none", hint=f"one or more of {', '.join(PEERS)}"
        )
    check_peers(names)
    graph = load(model)
    bound = bind_inputs(graph, None if inputs is None else read_inputs(inputs, graph), seed, dim, input_shapes)
    subject = Subject(bound.graph, bound.inputs, backend.read_model(model), bound.bind)
    with messages.status("reading") as status:
        comparison = Comparison(subject, status.update)
        rows = {name: comparison.rows(name) for name in names}
    made = [row for k in range(len(graph.output_names)) for row in (rows[name][k] for name in names)]
    print(
        table_text(
            [[r.output, r.peer, _number(r.absolute), _number(r.relative), _percent(r.share), r.verdict] for r in made],
            ["output", "peer", "greatest difference", "relative", "of tolerance", "verdict"],
        )
    )
    if comparison.failed:
        print(f"\n{plain_lines(comparison.failed)}")
    with messages.status("looking for the first node that diverges") as status:
        comparison.report = status.update
        texts = [comparison.explain(rows[name]) for name in names]
    for text in filter(None, texts):
        print(f"\n{plain_lines(text)}")
    if any(row.disagrees for row in made):
        raise typer.Exit(1)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else "over" if math.isinf(share) else f"{share:.1%}"
