"""What a report says, as a file for Gradescope and as statistics of many."""

import json
from pathlib import Path

import pytest

from minicc.course import judging
from minicc.course.assignment import read
from minicc.course.grading import Grades, Judged, TaskReport, seeded
from minicc.course.judging import Judgment
from minicc.course.results import gather, results
from minicc.errors import ConfigError

A0 = read(Path(__file__).parent / "data" / "a0")


def judged(*shares, trouble=""):
    cases = [
        Judgment(f"twice({17 * k})", share, "" if share == 1 else f"expected {k}, got \x1b[31m3")
        for k, share in enumerate(shares)
    ]
    return Judged(tuple(cases), 0.5, trouble)


def report(*hidden, public=None, student="ada"):
    public = public or [judged(1, 1)] * 4
    return Grades(
        A0,
        student,
        tuple(TaskReport(t, p, *([h] if h else [])) for t, p, h in zip(A0.tasks, public, hidden, strict=True)),
        3.4,
    )


def test_a_share_is_from_0_to_1():
    given = (None, 0.5, 2.0, -1.0, float("nan"), float("inf"), True)
    assert [judging.judged("x", lambda share=s: share).share for s in given] == [1, 0.5, 1, 0, 0, 1, 1]
    long = judging.judged("x", lambda: judging.equal("\0" * 10_000_000, 1))
    assert len(long.problem) < 20_000 and "characters" in long.problem


def test_points_are_those_of_hidden_cases():
    made = report(judged(1, 1), judged(1, 0.5), judged(0, 0), judged(1, trouble="the judge ended"))
    assert [t.earned for t in made.tasks] == [1, 1.5, 0, 0] and (made.total, made.points) == (2.5, 10)
    assert made.summary == "public tests passed; total: 2.5 of 10 points"
    assert made.tasks[3].hidden.problems == ["the judge ended"]
    assert Judged(()).share == 0
    alike = Judged(tuple(Judgment(f"f({n})", 0.0, "expected 2\nhint: 2") for n in range(3)))
    assert alike.problems == ["f(0), and 2 more: expected 2\nhint: 2"]
    wrong = report(*[None] * 4, public=[judged(0), *[judged(1)] * 3])
    assert wrong.summary == "public tests of 3 of 4 tasks passed; 4 hidden not run. They decide: up to 9 of 10 points"


def test_results_are_what_gradescope_reads():
    second = Judged(
        (Judgment("a", 1.0, figure=9.0), Judgment("b", 0.5, figure=9.0))
    )  # on no leaderboard: they are hidden
    shown = [judged(1), Judged((Judgment("a", 1.0, figure=2.0), Judgment("b", 1.0, figure=1.0))), judged(1), judged(1)]
    data = json.loads(json.dumps(results(report(judged(1, 1), second, judged(*[0] * 9), judged(1), public=shown))))
    assert data["execution_time"] == 3 and "points" not in data["output"]
    public, hidden = data["tests"][:4], data["tests"][4:]
    assert {t["visibility"] for t in public} == {"visible"} and {t["visibility"] for t in hidden} == {"after_due_date"}
    assert [(t["score"], t["max_score"], t["status"]) for t in hidden] == [
        (1, 1, "passed"),
        (1.5, 2, "failed"),
        (0, 3, "failed"),
        (4, 4, "passed"),
    ]
    assert all(t["max_score"] == 0 and t["status"] == "passed" for t in public)
    lines = hidden[2]["output"].split("\n")
    assert (
        lines[0] == "0 of 9 cases passed"
        and lines[1] == r"twice(0): expected 0, got \x1b[31m3"
        and lines[-1] == "... and 4 more"
    )
    assert data["leaderboard"] == [{"name": "scale an array", "value": 1.5, "order": "desc"}]
    assert {*data} <= {"output", "execution_time", "stdout_visibility", "tests", "leaderboard", "extra_data"}
    alone = results(report(*[None] * 4))
    assert len(alone["tests"]) == 4 and "4 hidden not run" in alone["output"] and "leaderboard" not in alone


def test_statistics_of_a_folder(tmp_path):
    for k, shares in enumerate([(1, 1), (0, 1), (0, 0), (1, 0.5)]):
        (tmp_path / f"{k}").mkdir()
        made = report(judged(*shares), judged(1), judged(0), judged(1))
        (tmp_path / f"{k}" / "results.json").write_text(json.dumps(results(made)))
    for name, text in {
        "other": "[1]",
        "broken": "{",
        "deep": "[" * 9999,
        "odd": '{"extra_data": {"tasks": [{"share": 7}]}}',
    }.items():
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "link.json").symlink_to("/etc/passwd")
    stats = gather(tmp_path)
    first = stats.tasks[0]
    assert (stats.count, stats.mean, stats.median) == (4, 6.56, 6.62) and len(stats.left_out) == 5
    assert (first.mean, first.median) == (0.5625, 0.625) and first.tenths == (1, 0, 0, 0, 0, 1, 0, 1, 0, 1)
    assert first.failed == (("twice(#)", 3),) and stats.tasks[2].tenths[0] == 4
    text = str(stats)
    assert (
        "a0: 4 results, mean 6.56, median 6.62 of 10 points" in text
        and "3 x twice(#)" in text
        and "left out: link.json" in text
    )
    picture = stats.picture()
    assert "0.1: mean 56%, median 62%" in picture.words and picture.svg().count("<rect") == 1 + 4 * 11
    with pytest.raises(ConfigError, match=r"expected results of one assignment, got none[\s\S]*hint: "):
        gather(tmp_path / "none")


def test_cases_are_drawn_for_a_student_and_a_task_from_the_secret():
    draws = {
        (key, who, task): seeded(key, who, task).random()
        for key in (b"a", b"b", b"public")
        for who in ("ada", "bob")
        for task in ("1.1", "1.2")
    }
    assert len({*draws.values()}) == 10  # the public ones are the same for all
    assert (
        draws[b"public", "ada", "1.1"] == draws[b"public", "bob", "1.1"]
        and seeded(b"a", "ada", "1.1").random() == draws[b"a", "ada", "1.1"]
    )
