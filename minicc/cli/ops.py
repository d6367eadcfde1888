"""`minicc ops`: which operators there are, and which of ONNX's own tests each of them passes."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import islice
from typing import Annotated

import typer
from rich.progress import track

from minicc import backend
from minicc.bridge.relax import relax_operators
from minicc.bridge.relay import relay_operators
from minicc.cli.options import messages, table_text
from minicc.errors import BridgeError, ConfigError, nearest
from minicc.ops.base import INTERPRETED, REGISTRY, Array, Operator, infer
from minicc.testing.backend_suite import listed, run_suite, table
from minicc.testing.differences import DIFFERENCES
from minicc.testing.draws import drawn
from minicc.testing.oracle import JUDGES
from minicc.types import TensorType


def ops_command(
    operator: Annotated[list[str] | None, typer.Option(help="Only this operator; may be repeated.")] = None,
    suite: Annotated[bool, typer.Option("--suite", help="Run the ONNX backend tests, and count what passes.")] = False,
    tvm: Annotated[bool, typer.Option("--tvm", help="What each operator is in TVM, and where TVM differs.")] = False,
) -> None:
    """List every operator with its attributes and its fusion kind, its form in TVM, or what it passes of the ONNX backend tests.

    Examples:

        minicc ops
        minicc ops --suite
        minicc ops --suite --operator Conv --operator Gemm
        minicc ops --tvm
    """
    if tvm and suite:
        raise ConfigError("--suite --tvm", "expected one of the two tables, got both", hint="call minicc ops twice")
    if tvm:
        names = sorted(_chosen(operator, REGISTRY))
        rows = [
            [name, *[tvm_form(name, becomes) for becomes in (relax_operators, relay_operators)], known(name)]
            for name in names
        ]
        print(table_text(rows, ["operator", "in Relax", "in Relay", "known differences"]))
        return
    if suite:
        chosen = _chosen(operator, {test.operator for test in listed()})
        tests = [test for test in listed() if test.operator in chosen]
        messages.print(f"compiling and running {len(tests)} tests")
        hidden = not messages.is_terminal
        tracked = track(tests, "testing", console=messages, transient=True, disable=hidden)
        print(table(run_suite(backend.run_model, backend.node_tests(), tracked)))
        return
    rows = []
    operators: dict[str, type[Operator]] = REGISTRY | INTERPRETED
    for name in sorted(_chosen(operator, operators)):
        made = operators[name]
        kind = "interpreted" if made.interpreted else made.kind.name.lower()
        rows.append([name, kind, ", ".join(made.__match_args__), (made.__doc__ or "").split("\n")[0]])
    print(table_text(rows, ["operator", "kind", "attributes", "meaning"]))


def tvm_form(name: str, becomes: Callable[[Operator, list[TensorType]], list[str]], examples: int = 5) -> str:
    """TVM's operators that drawn examples of an operator become in a dialect, or why there are none."""
    used: dict[str, None] = {}
    refused: dict[str, None] = {}
    for op, arrays in islice(filter(_has_elements, (drawn(name, case) for case in range(10 * examples))), examples):
        try:
            used |= dict.fromkeys(becomes(op, [TensorType.of(a) for a in arrays]))
        except BridgeError as error:
            if error.call == "import tvm":
                raise
            refused[error.problem] = None
    form = ", ".join(used) or ("" if refused else "a constant, or its input")
    partly = "; of some attributes " if used and refused else ""
    return form + partly + (f"no form: {next(iter(refused))}" if refused else "")


def known(name: str) -> str:
    """The known differences of an operator; behind those of one judge only, which."""
    differing = [(d.name, [judge for judge in JUDGES if d.by(judge)]) for d in DIFFERENCES if name in d.operators]
    return ", ".join(what if len(judges) == len(JUDGES) else f"{what} ({judges[0]})" for what, judges in differing)


def _has_elements(example: tuple[Operator, list[Array]]) -> bool:
    """Whether the result has any: one without becomes zeros, whatever the operator."""
    op, arrays = example
    result = infer(op, [TensorType.of(a) for a in arrays])
    return result is not None and 0 not in result.shape


def _chosen(asked: list[str] | None, names: Collection[str]) -> set[str]:
    """The operators asked for, or all. Raises ConfigError."""
    for name in asked or []:
        if name not in names:
            close = nearest(name, names)
            hint = f"did you mean {close}?" if close else "minicc ops lists them all"
            raise ConfigError(f"--operator {name}", f"expected the name of an operator, got {name!r}", hint=hint)
    return set(asked or names)
