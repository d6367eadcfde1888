"""`minicc ops`: which operators there are, and which of ONNX's own tests each of them passes."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Annotated

import typer
from rich.progress import track

from minicc import backend
from minicc.cli.options import messages, table_text
from minicc.errors import ConfigError
from minicc.ops.base import REGISTRY
from minicc.testing.backend_suite import listed, run_suite, table


def ops_command(
    operator: Annotated[list[str] | None, typer.Option("--operator", help="Only this operator; may be repeated.")] = None,
    suite: Annotated[bool, typer.Option("--suite", help="Run the ONNX backend tests, and count what passes.")] = False,
) -> None:
    """List every operator with its attributes and its fusion kind, or what it passes of the ONNX backend tests.

    Examples:

        minicc ops
        minicc ops --suite
        minicc ops --suite --operator Conv --operator Gemm
    """
    if suite:
        chosen = _chosen(operator, {test.operator for test in listed()})
        tests = [test for test in listed() if test.operator in chosen]
        messages.print(f"compiling and running {len(tests)} tests")
        hidden = not messages.is_terminal
        print(table(run_suite(backend.run_model, backend.node_tests(),
                              track(tests, "testing", console=messages, transient=True, disable=hidden))))
        return
    rows = []
    for name in sorted(_chosen(operator, REGISTRY)):
        made = REGISTRY[name]
        rows.append([name, made.kind.name.lower(), ", ".join(made.__match_args__), (made.__doc__ or "").split("\n")[0]])  # type: ignore[attr-defined]
    print(table_text(rows, ["operator", "kind", "attributes", "meaning"]))


def _chosen(asked: list[str] | None, known: Collection[str]) -> set[str]:
    """The operators asked for, or all. Raises ConfigError."""
    for name in asked or []:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            raise ConfigError(f"--operator {name}", f"expected the name of an operator, got {name!r}",
                              hint=f"did you mean {close[0]}?" if close else "minicc ops lists them all")
    return set(asked or known)
