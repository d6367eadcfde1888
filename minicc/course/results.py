"""Reports as files, and what many of them say together.

In: `Grades`. Out: `results.json` as Gradescope reads it: what is public at once, what is hidden after the due date. In: a folder of
such files. Out: `Statistics`: per task the mean, the median, how results are spread, and the cases that fail most often.
Source: gradescope-autograders.readthedocs.io, Autograder Specifications.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minicc.course.grading import Judged, Grades, TaskReport
from minicc.errors import ConfigError, printable
from minicc.explain.picture import Picture, cut, rect, text
from minicc.ir.drawn import Drawn

MOST_PROBLEMS, MOST_FAILED = 5, 50  # that are shown of a task; that are kept of it
LARGEST = 16 << 20  # bytes of a file of results
TENTHS = 10
BLOCKS = " ▁▂▃▄▅▆▇█"


def results(report: Grades) -> dict[str, Any]:
    """The content of `results.json`."""
    hidden = [_test(t, t.hidden, "after_due_date", t.task.points) for t in report.tasks if t.hidden]
    shown = report.summary.partition("; ")[0] if hidden else report.summary
    leaders = [leader for t in report.tasks for leader in _leaders(t)]
    return {
        "output": f"{shown}; {len(hidden)} hidden: after the due date" if hidden else shown,
        "execution_time": round(report.seconds),
        "stdout_visibility": "hidden",
        "tests": [*[_test(t, t.public, "visible", 0) for t in report.tasks], *hidden],
        **({"leaderboard": leaders} if leaders else {}),
        "extra_data": {
            "assignment": report.assignment.name,
            "student": report.student,
            "total": report.total,
            "points": report.points,
            "public": report.is_public,
            "tasks": [_kept(t) for t in report.tasks],
        },
    }  # fmt: skip


def _test(report: TaskReport, judged: Judged, visibility: str, points: float) -> dict[str, Any]:
    kind = "public" if visibility == "visible" else "hidden"
    return {
        "name": f"{report.task.name} {report.task.title} ({kind})",
        "score": round(points * judged.share, 2),
        "max_score": points,
        "status": "passed" if judged.share == 1 else "failed",
        "output": "\n".join([f"{judged.passed} of {len(judged.judgments)} cases passed", *shortened(judged)]),
        "visibility": visibility,
    }


def _leaders(report: TaskReport) -> list[dict[str, Any]]:
    """What a task's public cases bring to the leaderboard, which all see at once: the mean of their figures, if they have any."""
    figures = [j.figure for j in report.public.judgments if j.figure is not None] if report.hidden else []
    return (
        [{"name": report.task.title, "value": round(statistics.fmean(figures), 3), "order": "desc"}] if figures else []
    )


def shortened(judged: Judged) -> list[str]:
    """The first problems of a task, and how many more there are."""
    problems = judged.problems
    more = [f"... and {len(problems) - MOST_PROBLEMS} more"] if len(problems) > MOST_PROBLEMS else []
    return [*problems[:MOST_PROBLEMS], *more]


def _kept(report: TaskReport) -> dict[str, Any]:
    judged = report.hidden or report.public
    failed = [j.name for j in judged.judgments if j.share < 1][:MOST_FAILED]
    task = report.task
    return {
        "name": task.name,
        "title": task.title,
        "points": task.points,
        "share": round(judged.share, 4),
        "failed": failed,
    }


# ---- many of them -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TaskStatistics:
    """A task over all results: `tenths` counts the results with up to 10 %, 20 % ... of its points."""

    name: str
    title: str
    points: float
    mean: float
    median: float
    tenths: tuple[int, ...]
    failed: tuple[tuple[str, int], ...]  # names of cases without their numbers, and how many results they failed in


@dataclass(frozen=True)
class Statistics(Drawn):
    """What `count` results say of an assignment; `left_out` are files that are none of its results, and why."""

    assignment: str
    count: int
    mean: float
    median: float
    points: float
    tasks: tuple[TaskStatistics, ...]
    left_out: tuple[str, ...] = ()

    def picture(self, *given: Any, **options: Any) -> Picture:
        """A row for each task: how its results are spread, from none of its points to all of them."""
        return draw(self)

    def __str__(self) -> str:
        lines = [
            f"{self.assignment}: {self.count} results, mean {self.mean:g}, median {self.median:g} of {self.points:g} points"
        ]
        for t in self.tasks:
            most = max(*t.tenths, 1)
            spread = "".join(BLOCKS[-(-n * (len(BLOCKS) - 1) // most)] for n in t.tenths)
            lines.append(f"{t.name:>5}  |{spread}|  mean {t.mean:.0%}, median {t.median:.0%}  {t.title}")
            lines += [f"         {count:>3} x {case}" for case, count in t.failed]
        return "\n".join([*lines, *[f"left out: {each}" for each in self.left_out]])


def gather(folder: Path) -> Statistics:
    """The statistics of all results below a folder. Raises ConfigError where there are none, or of several assignments."""
    found: list[dict[str, Any]] = []
    left_out: list[str] = []
    for path in sorted(folder.rglob("*.json")):
        try:
            found.append(_read(path))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            left_out.append(printable(f"{path.relative_to(folder)}: {error}")[:200])
    names = sorted({data["assignment"] for data in found})
    if len(names) != 1:
        problem = f"expected results of one assignment, got {', '.join(names) or 'none'}"
        raise ConfigError(
            f"course stats {folder}", problem, "\n".join(left_out), "minicc grade FOLDER --assignment a3 --json FILE"
        )
    totals = [sum(t["share"] * t["points"] for t in data["tasks"]) for data in found]
    tasks = [_statistics([t for data in found for t in data["tasks"] if t["name"] == name]) for name in _names(found)]
    mean, median = round(statistics.fmean(totals), 2), round(statistics.median(totals), 2)
    return Statistics(names[0], len(found), mean, median, sum(t.points for t in tasks), tuple(tasks), tuple(left_out))


def _names(found: list[dict[str, Any]]) -> Iterable[str]:
    return dict.fromkeys(t["name"] for data in found for t in data["tasks"])


def _read(path: Path) -> dict[str, Any]:
    """What is kept in a file of results. Raises ValueError and the like for any other file."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
        raise ValueError("expected a file of results, got none")
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict) or not isinstance(data.get("extra_data"), dict):
        raise ValueError("expected results, got other data")
    kept: dict[str, Any] = data["extra_data"]
    kinds: dict[str, Any] = {"name": str, "title": str, "points": (int, float), "share": (int, float), "failed": list}
    for task in kept["tasks"]:
        if not all(isinstance(task[key], kind) for key, kind in kinds.items()) or not 0 <= task["share"] <= 1:
            raise ValueError("expected results, got other data")
    if not isinstance(kept["assignment"], str):
        raise ValueError("expected the name of an assignment")
    return kept


def _statistics(rows: list[dict[str, Any]]) -> TaskStatistics:
    shares = [row["share"] for row in rows]
    tenths = Counter(min(int(share * TENTHS), TENTHS - 1) for share in shares)
    cases = Counter(case for row in rows for case in {re.sub(r"\d+", "#", str(name)) for name in row["failed"]})
    first = rows[0]
    return TaskStatistics(first["name"], printable(first["title"]), first["points"], statistics.fmean(shares), statistics.median(shares),
                          tuple(tenths[k] for k in range(TENTHS)), tuple((printable(c), n) for c, n in cases.most_common(3)))  # fmt: skip


ROW, TALL, CELL, LEFT, WIDE = (
    78,
    36,
    20,
    8,
    360,
)  # pixels: of a task, of the highest bar, of a tenth; of the margin and all


def draw(stats: Statistics) -> Picture:
    """The spread of each task's results as ten bars, from none of its points to all of them."""
    shapes, words = list[str](), list[str]()
    for k, t in enumerate(stats.tasks):
        head, base = k * ROW + 16, k * ROW + 26 + TALL
        shapes += [text(LEFT, head, cut(f"{t.name} {t.title}", WIDE - 2 * LEFT), "bold"),
                   rect(LEFT, base, TENTHS * CELL, 1, "soft"),
                   text(LEFT + TENTHS * CELL + 12, base - 18, f"mean {t.mean:.0%}"),
                   text(LEFT + TENTHS * CELL + 12, base - 2, f"median {t.median:.0%}"),
                   text(LEFT, base + 11, "none", "muted small"),
                   text(LEFT + TENTHS * CELL, base + 11, "all points", "muted small", "end")]  # fmt: skip
        for tenth, n in enumerate(t.tenths):
            high, hover = TALL * n / max(*t.tenths, 1), f"{n} results with {tenth * 10} to {tenth * 10 + 10} %"
            shapes.append(rect(LEFT + tenth * CELL + 1, base - high, CELL - 2, high, "c1", hover))
        words.append(f"{t.name}: mean {t.mean:.0%}, median {t.median:.0%}")
    title = f"{stats.assignment}: {stats.count} results"
    return Picture(title, f"{title}. {'; '.join(words)}.", WIDE, len(stats.tasks) * ROW + 8, shapes)
