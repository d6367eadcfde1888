"""`minicc course start | test | milestone | status`: begin an assignment, test it, run a model on it, see what comes next."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from minicc.cli.options import check_output
from minicc.course.assignment import assignment
from minicc.course.handout import write_handout
from minicc.course.milestones import MILESTONES
from minicc.course.progress import Started, all_started, remember, started
from minicc.course.visible import run_visible
from minicc.explain.save import ENDINGS, save
from minicc.errors import ConfigError, MiniccError, RunError, nearest, printable

SIGNS = {"solved": "[green]✓ solved[/]", "wrong": "[red]✗ wrong[/]", "open": "… open", "untested": "? not tested yet"}


def start_command(
    name: Annotated[str, typer.Argument(help="The assignment, such as a1.", show_default=False)],
    folder: Annotated[Path | None, typer.Argument(help="Where to put it. Default: a folder of its name, here.")] = None,
) -> None:
    """Begin an assignment: its page, its files with holes, its visible tests.

    Examples:

        minicc course start a1
        minicc course start a3 homework/loops
    """
    into = folder or Path(name)
    write_handout(assignment(name), into)
    begun = started(into)
    print(f"{begun.assignment.title}: about {begun.assignment.hours:g} hours, {begun.assignment.points:g} points")
    print(f"read   {into / 'page.html'}")
    print(f"write  {', '.join(str(into / file) for file in begun.assignment.files)}")
    print(f"test   minicc course test {into}")
    print(f"next   {printable(begun.next)}")


def test_command(
    folder: Annotated[Path, typer.Argument(help="The folder that the assignment was started in.")] = Path(),
    task: Annotated[str | None, typer.Option(help="Only this task, such as 3.1.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show pytest's own report.")] = False,
) -> None:
    """Run the visible tests of an assignment, and say what they say of each task.

    Where every task is solved, and the assignment has a milestone, a real model runs on the parts that were written. The exit
    code is 0 when all that was tested is solved.

    Examples:

        minicc course test a3
        minicc course test a3 --task 3.1 -v
    """
    begun = started(folder)
    names = [t.name for t in begun.assignment.tasks]
    if task and task not in names:
        near = nearest(task, names)
        hint = f"did you mean {near}?" if near else "give one of these"
        raise ConfigError(f"--task {task}", f"expected a task of {begun.assignment.name}", ", ".join(names), hint)
    found = run_visible(folder, begun.assignment, task or "", verbose)
    remember(folder, found)
    _show(begun)
    for name, counts in found.items():
        if counts.wrong:
            print(f"{name}: {printable(counts.problem)}")
            print(f"     more: minicc course test {folder} --task {name} -v")
    print(f"next   {printable(begun.next)}")
    if begun.solved and begun.assignment.name in MILESTONES:
        _reach(begun)
    raise typer.Exit(0 if all(counts.solved for counts in found.values()) and found else 1)


def milestone_command(
    folder: Annotated[Path, typer.Argument(help="The folder that the assignment was started in.")] = Path(),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The picture. Default: milestone.svg, in the folder.")
    ] = None,
) -> None:
    """Run a real model on the parts that were written, and draw what came out.

    What is open still is done by something slower, as a warning tells: the answer is right all the same.

    Examples:

        minicc course milestone a3
        minicc course milestone a6 -o layer.png
    """
    begun = started(folder)
    if begun.assignment.name not in MILESTONES:
        problem = f"expected an assignment with a milestone, got {begun.assignment.name}"
        raise ConfigError("course milestone", problem, ", ".join(MILESTONES), "these have one")
    _reach(begun, output)


def _reach(begun: Started, output: Path | None = None) -> None:
    milestone, picture = MILESTONES[begun.assignment.name], output or begun.folder / "milestone.svg"
    check_output("--output", picture, *ENDINGS)
    print(f"milestone: {milestone.title}")
    try:
        reached = milestone.reach(begun.folder.absolute())
    except MiniccError:
        raise
    except Exception as error:  # whatever the student's parts end with
        frames = traceback.extract_tb(error.__traceback__)
        own = [
            f"{Path(f.filename).name}:{f.lineno}: {f.line}"
            for f in frames
            if Path(f.filename).parent.name == begun.folder.absolute().name
        ]
        problem = f"expected your parts to run, got {type(error).__name__}: {error}"
        raise RunError(
            "course milestone", problem, "\n".join(own[-3:]), f"minicc course test {begun.folder} says more"
        ) from error
    for line in reached.lines:
        print(f"  {printable(line)}")
    save(reached.picture, picture)
    print(f"picture {picture}")


def status_command(folder: Annotated[Path, typer.Argument(help="Where assignments were started.")] = Path()) -> None:
    """What is solved, what is open, and the next step, of every assignment that was started here.

    Example:

        minicc course status
    """
    begun = all_started(folder)
    if not begun:
        print(f"no assignment was started in {folder}; minicc course start a1 starts the first")
    for each in begun:
        _show(each)
        if each.assignment.name in MILESTONES:
            reached = (each.folder / "milestone.svg").is_file()
            title = MILESTONES[each.assignment.name].title
            print(f"milestone: {title}, {'reached' if reached else 'once all tasks are solved'}")
        print(f"next   {printable(each.next)}\n")


def _show(begun: Started) -> None:
    standings = begun.standings
    solved = sum(s.state == "solved" for s in standings)
    table = Table(title=f"{begun.assignment.name}: {begun.assignment.title}, {solved} of {len(standings)} tasks solved")
    for column in ("task", "", "points", "state", "visible tests"):
        table.add_column(column)
    for s in standings:
        tests = f"{s.tests.passed} of {s.tests.passed + s.tests.open + s.tests.wrong}" if s.tests else ""
        table.add_row(s.task.name, s.task.title, f"{s.task.points:g}", SIGNS[s.state], tests)
    Console().print(table)
