"""The campaign of graphs: random ones of up to ten operators, through every stage.

In: how many, and the first seed. Out: what was compared, excused and found, and every graph on which a stage
is wrong or fails, as text. Loop programs are run as Python where the graph is small.

    python -m minicc.testing.graphs --count 10000 --seed 0 --operators MatMul,Softmax,Add --judges relay --save found

>>> [e.graph.name for e in examples(2)]
['main', 'main']
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from minicc.testing.campaign import Show, Verdict, check_judges, check_names, judge
from minicc.testing.draws import Example, drawn_graph
from minicc.testing.operators import JUDGED
from minicc.testing.oracle import JUDGES
from minicc.testing.progress import batches, run
from minicc.testing.worker import MINICC, Worker

COUNT = 300
MOST_NODES = 10
BATCH = 50  # graphs judged at a time, at most
OURS = ("numpy", "loop", "llvm")


def examples(count: int, seed: int = 0, names: Sequence[str] = (), max_nodes: int = MOST_NODES) -> list[Example]:
    """The random graphs of `count` seeds: the same in every run."""
    return [drawn_graph(seed + k, max_nodes, names or None) for k in range(count)]


def campaign(judges: Sequence[str], count: int = COUNT, seed: int = 0, names: Sequence[str] = (),
             max_nodes: int = MOST_NODES) -> Iterator[list[Verdict]]:  # fmt: skip
    """The verdicts on `count` random graphs, batch after batch."""
    engines = {"llvm": MINICC, **{name: JUDGES[name].engine for name in judges}}
    with ExitStack() as stack:
        workers = {stage: stack.enter_context(Worker(engine)) for stage, engine in engines.items()}
        for first, size in batches(count, BATCH):
            yield judge(examples(size, seed + first, names or JUDGED, max_nodes), (*OURS, *judges), workers)


def main(
    count: Annotated[int, typer.Option(help="How many graphs.", min=1)] = COUNT,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 0,
    operators: Annotated[str, typer.Option(help="Of these operators only, separated by commas.")] = "",
    max_nodes: Annotated[int, typer.Option(help="Operators in a graph, at most.", min=1)] = MOST_NODES,
    judges: Annotated[
        str | None, typer.Option(help=f"Which of {', '.join(JUDGES)}; default: all that are installed.")
    ] = None,
    save: Annotated[Path | None, typer.Option(help="Write what is found to this folder.")] = None,
) -> None:
    """Run random graphs through NumPy, loop programs, machine code and the judges, and compare.

    Examples:

        python -m minicc.testing.graphs --count 1000 --judges relay --save found

        python -m minicc.testing.graphs --operators Conv,Relu --max-nodes 4
    """
    show = Show(Console(), "graphs", count, save)
    names, chosen = check_names(operators), check_judges(judges)
    with show:
        for verdicts in campaign(chosen, count, seed, names, max_nodes):
            show.add(verdicts)
    show.finish()


if __name__ == "__main__":
    run(main)
