"""`minicc grade`, `minicc course bundle | stats`: what a submission earns, here or at Gradescope, and what all of them earned."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from minicc.cli.options import check_output, messages
from minicc.course.assignment import found
from minicc.course.bundle import write_bundle
from minicc.course.grading import Grades, TaskReport, check_handed_in, grade
from minicc.course.results import gather, results, shortened
from minicc.errors import ConfigError, printable
from minicc.explain.save import save
from minicc.paths import read_start
from minicc.runtime.files import write_file

AssignmentOption = Annotated[
    str, typer.Option("--assignment", "-a", help="Its name, such as a3, or a folder.", show_default=False)
]
SeedFileOption = Annotated[
    Path | None,
    typer.Option(
        "--seed-file", help="The secret that hidden cases are drawn from; default: a new one, which is printed."
    ),
]
MOST_SECRET = 4096  # bytes
app = typer.Typer(add_completion=False)


@app.command()
def grade_command(
    submission: Annotated[Path, typer.Argument(help="The folder that was handed in.", show_default=False)],
    assignment: AssignmentOption,
    student: Annotated[str, typer.Option("--student", help="Whose hidden cases are asked.")] = "",
    seed_file: SeedFileOption = None,
    into: Annotated[Path | None, typer.Option("--json", help="Write results.json, as Gradescope reads it.")] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Ask the public cases only, which are worth no points.")
    ] = False,
) -> None:
    """Say what a submission earns of the points of each task.

    It runs in a process that can compute and nothing else; where that cannot be had, nothing is graded.

    Examples:

        minicc grade handed_in --assignment a3 --public
        minicc grade handed_in -a a3 --student ada --seed-file secret.txt --json results.json
    """
    check_output("--json", into, ".json")
    asked = found(assignment)
    check_handed_in(asked, submission)
    secret = None if public else read_secret(seed_file)

    def told(done: TaskReport) -> None:
        seconds = done.public.seconds + (done.hidden.seconds if done.hidden else 0)
        messages.print(f"judged {done.task.name}: {seconds:.1f} s")

    report = grade(asked, submission, student, secret, told)
    Console().print(table(report))
    for task in report.tasks:
        for problem in shortened(task.hidden if task.hidden and task.hidden.problems else task.public):
            print(f"{task.task.name}  {problem}".replace("\n", "\n      "))
    print(report.summary)
    if into is not None:
        write_file(into, json.dumps(results(report), indent=1).encode())
        messages.print(f"wrote {printable(into)}")


def read_secret(path: Path | None) -> bytes:
    """The content of a file, or a new secret. Raises LoadError where it cannot be read, ConfigError where it is empty."""
    if path is None:
        made = secrets.token_hex(16)
        messages.print(
            f"hidden cases are drawn from {made}: keep it in a file, and give that as --seed-file, to ask them again"
        )
        return made.encode()
    content = read_start(path, ".txt", MOST_SECRET, f"--seed-file {path}", "a file with a secret").strip()
    if not content:
        raise ConfigError(
            f"--seed-file {path}",
            "expected a secret, got an empty file",
            hint="python -c 'import secrets; print(secrets.token_hex())'",
        )
    return content


def table(report: Grades) -> Table:
    """A row for each task, and the total."""
    who = f", {printable(report.student)}" if report.student else ""
    made = Table(title=Text(f"{report.assignment.name}: {printable(report.assignment.title)}{who}"))
    for column in ("task", "", "public", "hidden", "points"):
        made.add_column(column, justify="right" if column in ("public", "hidden", "points") else "left")
    for t in report.tasks:
        cases = [f"{j.passed} of {len(j.judgments)}" if j else "not run" for j in (t.public, t.hidden)]
        made.add_row(t.task.name, Text(t.task.title), *cases, f"{t.earned:g} of {t.task.points:g}")
    made.add_section()
    made.add_row("", "total", "", "", f"{'up to ' if report.is_public else ''}{report.total:g} of {report.points:g}")
    return made


def bundle_command(
    assignment: Annotated[str, typer.Argument(help="An assignment, such as a3, or a folder.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The .zip to write.", show_default=False)],
    seed_file: Annotated[
        Path, typer.Option("--seed-file", help="The secret that hidden cases are drawn from.", show_default=False)
    ],
) -> None:
    """Write the autograder of an assignment for Gradescope: what it installs, what it runs, all of minicc.

    Example:

        minicc course bundle a3 a3.zip --seed-file secret.txt
    """
    check_output("OUT", out, ".zip")
    size = write_bundle(found(assignment), out, read_secret(seed_file))
    print(f"wrote {printable(out)}: {size:,} bytes. Upload it as the autograder of the assignment")


def stats_command(
    folder: Annotated[Path, typer.Argument(help="Where results.json of many submissions are.", show_default=False)],
    into: Annotated[Path | None, typer.Option("--picture", help="Draw it: .svg or .png.")] = None,
) -> None:
    """Say how the results of an assignment are spread, task by task, and which cases fail most often.

    Example:

        minicc course stats results --picture spread.svg
    """
    check_output("--picture", into, ".svg", ".png")
    stats = gather(folder)
    print(stats)
    if into is not None:
        save(stats.picture(), into)
        messages.print(f"wrote {printable(into)}")
