"""The campaign of operators: each over random attributes, shapes and dtypes, the judges beside the reference.

In: how many examples of each operator, a seed, and judges. Out: a table with a row per operator and judge, and
every example on which a judge gives another answer, unexcused, or fails.

    python -m minicc.testing.operators --count 50 --operators MatMul,Conv --judges relax,relay --save found

>>> [sorted(e.inputs) for e in examples("Add", 2)]
[['x0', 'x1'], ['x0', 'x1']]
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from minicc.ops.base import REGISTRY
from minicc.testing.campaign import Report, Show, Verdict, check_judges, check_names, judge
from minicc.testing.draws import Example, drawn, graph_of
from minicc.testing.oracle import JUDGES
from minicc.testing.progress import batches, run
from minicc.testing.worker import BATCH, Worker

COUNT = 50
UNJUDGED = {  # operators that TVM has not, or means otherwise, and why
    **dict.fromkeys(("AsWords", "PadToWords", "PackedConvInteger", "PackedMatMulInteger"), "for machine code alone"),
    "Attention": "a row without keys is NaN in TVM; double precision is narrowed for the Softmax, if asked for",
    "CumProd": "TVM's product has another dtype",
}
JUDGED = sorted(REGISTRY.keys() - UNJUDGED.keys())


def examples(name: str, count: int = COUNT, seed: int = 0) -> list[Example]:
    """Random instances of an operator, each as a graph: the same in every run."""
    return [graph_of(*drawn(name, seed + k)) for k in range(count)]


def campaign(
    judges: Sequence[str], count: int = COUNT, seed: int = 0, names: Sequence[str] = ()
) -> Iterator[tuple[str, list[Verdict]]]:
    """The verdicts on `count` examples of each operator, by default of all that are registered.

    A batch of each operator in turn, small ones first: there is something to see of all of them soon.
    """
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(JUDGES[name].engine)) for name in judges}
        for first, size in batches(count, BATCH):
            for name in names or JUDGED:
                yield name, judge(examples(name, size, seed + first), judges, workers)


def table(reports: dict[str, Report], judges: Sequence[str]) -> Table:
    """A row per operator and judge."""
    shown = Table("operator", "judge", box=None, title_justify="left")
    for column in ("examples", "compared", "excused", "no answer", "wrong", "differences"):
        shown.add_column(column, justify="left" if column == "differences" else "right")
    for (name, report), one in itertools.product(reports.items(), judges):
        failed = {kind: count for (judge, kind), count in report.findings.items() if judge == one}
        cells = [
            report.examples,
            report.compared[one],
            report.with_excuse[one],
            sum(failed.values()),
            report.wrong[one],
        ]
        differences = [difference for judge, difference in report.excused if judge == one]
        shown.add_row(name, one, *map(str, cells), ", ".join([*failed, *differences]))
    return shown


def main(
    count: Annotated[int, typer.Option(help="How many examples of each operator.", min=1)] = COUNT,
    seed: Annotated[int, typer.Option(help="The number of the first example.")] = 0,
    operators: Annotated[str, typer.Option(help="Only these, separated by commas.")] = "",
    judges: Annotated[
        str | None, typer.Option(help=f"Which of {', '.join(JUDGES)}; default: all that are installed.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write what is found to this folder.")] = None,
) -> None:
    """Compare the judges with the reference, operator by operator.

    Examples:

        python -m minicc.testing.operators --count 500 --judges relay,relax

        python -m minicc.testing.operators --operators Softmax,Conv
    """
    names, chosen = check_names(operators), check_judges(judges)
    show, reports = Show(Console(), "operators", len(names) * count, save), dict[str, Report]()
    with show:
        for name, verdicts in campaign(chosen, count, seed, names):
            reports.setdefault(name, Report()).extend(verdicts)
            show.add(verdicts)
    show.console.print(table(reports, chosen))
    show.finish()


if __name__ == "__main__":
    run(main)
