"""`minicc course`: what the course is made of, for those who teach and those who take it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from minicc.cli.grade import bundle_command, stats_command
from minicc.cli.progress import milestone_command, start_command, status_command, test_command
from minicc.course.assignment import assignments, found
from minicc.course.handout import index, write_handout
from minicc.errors import ConfigError, printable
from minicc.runtime.files import make_folder, write_file

app = typer.Typer(
    help="Assignments: begin one, test it, see what comes next; hand-outs, bundles, results.",
    no_args_is_help=True,
    add_completion=False,
)
app.command("start")(start_command)
app.command("test")(test_command)
app.command("milestone")(milestone_command)
app.command("status")(status_command)
app.command("bundle")(bundle_command)
app.command("stats")(stats_command)


@app.command("handout")
def handout_command(
    words: Annotated[
        list[str],
        typer.Argument(metavar="[NAME] OUT", help="An assignment, such as a1 or course/a9, and a new folder."),
    ],
    everything: Annotated[
        bool, typer.Option("--all", help="All assignments, each in a folder of its own in OUT.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that were changed.")] = False,
) -> None:
    """Write the hand-out of an assignment: its files without their solutions, the visible tests, the page.

    Examples:

        minicc course handout a1 loops
        minicc course handout --all tutorials/assignments
    """
    *names, out = words
    if len(names) != (not everything):
        expected = "the name of a folder" if everything else "the name of an assignment and that of a folder"
        problem = f"expected {expected}, got {' '.join(words)!r}"
        raise ConfigError(
            "course handout", problem, f"assignments: {', '.join(assignments())}", "minicc course handout a1 OUT"
        )
    if everything:
        make_folder(Path(out))
        write_file(Path(out, "README.md"), index(assignments().values()).encode("utf-8"))
    for name in names or assignments():
        folder = Path(out) / name if everything else Path(out)
        written = write_handout(found(name), folder, force)
        print(f"{name}: {len(written)} files written to {printable(folder)}")
