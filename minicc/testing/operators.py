"""The campaign of operators: each over random attributes, shapes and dtypes, TVM beside the reference.

In: how many examples of each operator, and a seed. Out: a table with a row per operator, and every
example on which TVM gives another answer, unexcused, or fails.

    python -m minicc.testing.operators --count 50 --operators MatMul,Conv --save found

>>> [sorted(e.inputs) for e in examples("Add", 2)]
[['x0', 'x1'], ['x0', 'x1']]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from minicc.ops.base import REGISTRY
from minicc.testing.campaign import Report, Show, Verdict, check_names, judge
from minicc.testing.draws import Example, drawn, graph_of
from minicc.testing.progress import batches, run
from minicc.testing.worker import BATCH, Worker

COUNT = 50


def examples(name: str, count: int = COUNT, seed: int = 0) -> list[Example]:
    """Random instances of an operator, each as a graph: the same in every run."""
    return [graph_of(*drawn(name, seed + k)) for k in range(count)]


def campaign(
    count: int = COUNT, seed: int = 0, names: Sequence[str] = (), stages: Sequence[str] = ("relax",)
) -> Iterator[tuple[str, list[Verdict]]]:
    """The verdicts on `count` examples of each operator, by default of all that are registered.

    A batch of each operator in turn, small ones first: there is something to see of all of them soon.
    """
    with Worker() as worker:
        for first, size in batches(count, BATCH):
            for name in names or sorted(REGISTRY):
                yield name, judge(examples(name, size, seed + first), stages, {"relax": worker})


def table(reports: dict[str, Report]) -> Table:
    """A row per operator."""
    shown = Table("operator", box=None, title_justify="left")
    for column in ("examples", "compared", "excused", "no answer", "wrong", "differences"):
        shown.add_column(column, justify="left" if column == "differences" else "right")
    for name, report in reports.items():
        cells = [report.examples, report.compared["relax"], report.with_excuse]
        cells += [sum(report.findings.values()), sum(report.wrong.values())]
        shown.add_row(name, *map(str, cells), ", ".join([*report.findings, *report.excused]))
    return shown


def main(
    count: Annotated[int, typer.Option(help="How many examples of each operator.", min=1)] = COUNT,
    seed: Annotated[int, typer.Option(help="The number of the first example.")] = 0,
    operators: Annotated[str, typer.Option(help="Only these, separated by commas.")] = "",
    save: Annotated[Path | None, typer.Option(help="Write what is found to this folder.")] = None,
) -> None:
    """Compare TVM with the reference, operator by operator."""
    names = check_names(operators)
    show, reports = Show(Console(), "operators", len(names) * count, save), dict[str, Report]()
    with show:
        for name, verdicts in campaign(count, seed, names):
            reports.setdefault(name, Report()).extend(verdicts)
            show.add(verdicts)
    show.console.print(table(reports))
    show.finish()


if __name__ == "__main__":
    run(main)
