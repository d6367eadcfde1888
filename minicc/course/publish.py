"""Execute the lessons and write the pages of the course: `python -m minicc.course.publish OUT`, or `--only 04 OUT` for one lesson.

In: the folder of the lessons. Out: a folder with a page and a notebook for each lesson, the pages of hand-outs, an index, a
glossary and a search; and `zh/` with the same of those that are translated. Lessons run in processes of their own, as many at a time
as there are cores. One that fails leaves no page, and the command ends with 1, after all others have theirs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from minicc.course.assignment import assignments
from minicc.course.execute import Executed, executed
from minicc.course.form import malformed, misbehaved
from minicc.course.lesson import FOLDER, Lesson, lessons, translated
from minicc.course.notebook import notebook
from minicc.course.pages import CoursePages
from minicc.errors import ConfigError, MiniccError
from minicc.runtime.files import make_folder, write_file
from minicc.target.host import available_threads

ALL = ("index", "glossary", "search")  # pages that are there in each language


def publish(found: Sequence[Lesson], ran: dict[str, Executed], out: Path, folder: Path = FOLDER) -> None:
    """Write all pages, those of lessons where `ran` has what they showed, or where they cannot run here.

    Those of hand-outs are there already, in `folder/assignments`.
    """
    given = {
        a: page for a in assignments().values() if (page := folder / "assignments" / a.name / "page.html").is_file()
    }
    chinese = [twin for lesson in found if (twin := translated(lesson, folder=folder))]
    others = {twin.name for twin in chinese}
    _write(CoursePages(found, {*others, *ALL} if others else (), list(given)), ran, out)
    for assignment, page in given.items():
        write_file(out / f"{assignment.name}.html", page.read_bytes())
    if chinese:
        _write(CoursePages(chinese, {*others, *ALL}), ran, out / "zh")


def _write(site: CoursePages, ran: dict[str, Executed], out: Path) -> None:
    make_folder(out)
    texts = {f"{name}.html": getattr(site, name)() for name in ALL}
    for lesson in site.lessons:
        if lesson.name in ran or lesson.missing:
            texts[f"{lesson.name}.html"] = site.lesson(lesson, ran.get(lesson.name))
            texts[f"{lesson.name}.ipynb"] = notebook(lesson)
    for name, text in texts.items():
        write_file(out / name, text.encode("utf-8", "replace"))


def run_all(found: Sequence[Lesson], folder: Path, console: Console) -> Iterator[tuple[Lesson, Executed | MiniccError]]:
    """What each lesson showed, or its error, as they come; with a bar that says how long the rest may take."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar, ThreadPoolExecutor(available_threads()) as pool:
        task = bar.add_task("cells", total=sum(len(lesson.cells) for lesson in found))
        futures: dict[Future[Executed], Lesson] = {
            pool.submit(executed, folder / f"{lesson.name}.py"): lesson for lesson in found
        }
        for future in as_completed(futures):
            lesson = futures[future]
            bar.advance(task, len(lesson.cells))
            error = future.exception()
            if error and not isinstance(error, MiniccError):
                raise error
            yield lesson, error if isinstance(error, MiniccError) else future.result()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m minicc.course.publish", description="Execute lessons and write their pages."
    )
    parser.add_argument("out", type=Path, help="the folder of the pages")
    parser.add_argument("--only", action="append", default=[], metavar="NN", help="execute this lesson, and no other")
    parser.add_argument("--lessons", type=Path, default=FOLDER, help="the folder of the lessons")
    given, console = parser.parse_args(arguments), Console()
    found = lessons(given.lessons)
    chosen = _chosen(found, given.only)
    ran, failed = dict[str, Executed](), False
    for lesson, told in run_all([lesson for lesson in chosen if not lesson.missing], given.lessons, console):
        if isinstance(told, Executed):
            ran[lesson.name] = told
            console.print(f"{lesson.name}: {told.seconds:.1f} s", highlight=False)
        failed |= isinstance(told, MiniccError)
        for problem in [told] if isinstance(told, MiniccError) else [*malformed(lesson), *misbehaved(lesson, told)]:
            console.print(f"  {problem}", markup=False, highlight=False)
    for lesson in chosen:
        if lesson.missing:
            console.print(f"{lesson.name}: not executed, it needs {', '.join(lesson.missing)}", highlight=False)
    publish(found, ran, given.out, given.lessons)
    console.print(f"{len(ran)} lessons: {given.out / 'index.html'}", highlight=False)
    return int(failed)


def _chosen(found: Sequence[Lesson], only: Collection[str]) -> list[Lesson]:
    chosen = [lesson for lesson in found if not only or lesson.number in only]
    if unknown := set(only) - {lesson.number for lesson in chosen}:
        known = ", ".join(lesson.number for lesson in found)
        raise ConfigError(
            f"--only {min(unknown)}",
            f"expected the number of a lesson, got {min(unknown)!r}",
            known,
            "give one of these",
        )
    return chosen


if __name__ == "__main__":
    try:
        sys.exit(main())
    except MiniccError as error:
        sys.exit(str(error))
