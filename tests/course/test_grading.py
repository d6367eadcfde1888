"""A submission is graded from end to end, whatever its judge, and a sandbox is what it says."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest
from typer.testing import CliRunner

from minicc.cli import app
from minicc.course import grading
from minicc.course.assignment import assignment, assignments, read
from minicc.course.grading import grade, judged_by
from minicc.course.handed_in import read_handed_in
from minicc.course.hollow import copied, without
from minicc.course.judging import Failed, Judgment
from minicc.course.sandbox import Sandbox
from minicc.errors import ConfigError, WorkerError
from minicc.schedule.examples import product

A0 = read(Path(__file__).parent / "data" / "a0")
HOLLOW = ["schedule/split.py:SplitStep.transform"]
SOURCE = b"""
import minicc, sys, threading, time
from minicc import te
import numpy as np
from minicc.schedule.examples import product

def compiled(x):
    n = len(x)
    A = te.placeholder((n,), name="A")
    B = te.compute((n,), lambda i: A[i] * 2.0, name="B")
    out = np.empty_like(x)
    minicc.build(te.create_schedule(B.op), [A, B])(x, out)
    return out

def for_haswell(): return minicc.build(product(8, 8), target="haswell").source("asm")

def split(): return product(8, 8).split("i", factor=4)
def reordered():
    s = product(8, 8)
    s.reorder("k", "i")
    return s.program

def threads():
    seen = []
    each = [threading.Thread(target=seen.append, args=(n,)) for n in range(4)]
    for one in each: one.start()
    for one in each: one.join()
    return sorted(seen)

def asks(measure): return [measure(np.ones(2)), measure(None)]
def counts(): counts.n = getattr(counts, "n", 0) + 1; return counts.n
def prints():
    for _ in range(2000): print("x" * 1000); sys.stderr.write("x" * 1000)
    return 1
"""


@pytest.fixture(scope="module")
def box():
    with Sandbox(HOLLOW, "a3") as made:
        yield made


@pytest.mark.course
def test_a_sandbox_computes(box):
    x = np.arange(5, dtype=np.float32)
    program = product(8, 8)
    program.reorder("k", "i")
    with box.answers({"p.py": SOURCE}, 20) as answers:
        assert (answers.call("p.py", "compiled", x) == 2 * x).all()
        assert "vmovss" in answers.call("p.py", "for_haswell")
        assert answers.call("p.py", "reordered") is program.program
        assert answers.call("p.py", "threads") == [0, 1, 2, 3]
        with pytest.raises(Failed, match=r"p.py:\d+: Task: task a3: SplitStep.transform is left out") as failed:
            answers.call("p.py", "split")
        assert failed.value.kind == "Task"
        with pytest.raises(Failed, match=r"p\.py:\d+: ValueError: no numbers") as failed:
            answers.call("p.py", "asks", measured)
        assert failed.value.kind == "ValueError"
        assert [answers.call("p.py", "counts") for _ in range(2)] == [1, 2]
        assert answers.call("p.py", "prints") == 1
        with pytest.raises(Failed, match="not handed in"):
            answers.call("q.py", "counts")
    with box.answers({"p.py": SOURCE}, 5) as answers:
        assert answers.call("p.py", "counts") == 1 and answers.text("p.py") == SOURCE.decode()


def measured(array):
    if array is None:
        raise ValueError("no numbers")
    return float(array.sum())


@pytest.mark.course
@pytest.mark.parametrize("name", assignments())
def test_solutions_are_right_in_a_sandbox_too(name):
    """Of two tasks: those who wrote an assignment test all of it, in their own process."""
    whole = assignment(name)
    some = replace(whole, tasks=whole.tasks[:2])
    report = grade(some, whole.folder)
    assert report.total == report.points > 0, [t.public.problems for t in report.tasks]


@pytest.mark.course
def test_a_judge_that_does_not_end_or_dies_costs_its_task_alone(box, monkeypatch):
    monkeypatch.setattr(grading, "JUDGE_SECONDS", 0.5)

    def judge(end):
        def run(answers, draw):
            answers.call("p.py", "counts")
            yield Judgment("first", 1.0)
            end()

        return run

    ends = {
        time.sleep: "did not come to its end",
        os._exit: "did not come to its end",
        [].index: "the judge ended with ValueError",
    }
    for end, said in ends.items():
        got = judged_by(judge(lambda end=end: end(9)), box, {"p.py": SOURCE}, {}, 0.5, Random(0))
        assert got.share == 0 and len(got.judgments) == 1 and said in got.trouble
    got = judged_by(judge(lambda: None), box, {"p.py": SOURCE}, {}, 5, Random(0))
    assert got.share == 1 and not got.trouble

    def refuses(answers, draw):
        yield Judgment("x", 1.0)
        raise WorkerError("sandbox", "expected a process", "here", "there")

    with pytest.raises(WorkerError, match=r"expected a process\n    here\nhint: there"):
        judged_by(refuses, box, {}, {}, 1, Random(0))


@pytest.mark.course
def test_grade_by_the_command_line(tmp_path):
    (tmp_path / "puzzle.py").write_text("def twice(x): return 2 * x\n")
    (tmp_path / "secret.txt").write_text("of the teacher")
    given = ["grade", str(tmp_path), "-a", str(A0.folder)]
    done = CliRunner().invoke(
        app,
        [*given, "--seed-file", str(tmp_path / "secret.txt"), "--student", "ada", "--json", str(tmp_path / "r.json")],
    )
    assert done.exit_code == 0 and "1 of 10" in done.output and "no attribute 'scaled'" in done.output
    again = grade(A0, tmp_path, "ada", b"of the teacher")
    kept = json.loads((tmp_path / "r.json").read_text())["extra_data"]
    assert (
        kept["tasks"][1]["failed"] == [j.name for j in again.tasks[1].hidden.judgments]
        and kept["total"] == again.total == 1
    )
    alone = CliRunner().invoke(app, [*given, "--public"])
    assert "4 hidden not run" in alone.output and "up to 1 of 10" in alone.output
    stats = CliRunner().invoke(app, ["course", "stats", str(tmp_path), "--picture", str(tmp_path / "spread.svg")])
    assert (
        stats.exit_code == 0
        and "1 results" in stats.output
        and (tmp_path / "spread.svg").read_text().startswith("<svg")
    )


@pytest.mark.course
@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_grader_that_is_killed(kind, tmp_path):
    (tmp_path / "puzzle.py").write_text("while True: pass\n")
    (tmp_path / "tmp").mkdir(mode=0o755)
    command = [sys.executable, "-m", "minicc", "grade", str(tmp_path), "-a", str(A0.folder)]
    grader = subprocess.Popen(command, env={**os.environ, "TMPDIR": str(tmp_path / "tmp")}, stderr=subprocess.DEVNULL)
    within_time(lambda: list((tmp_path / "tmp").glob("*/handed_in/1")))
    grader.send_signal(kind)
    grader.wait()
    within_time(lambda: not list((tmp_path / "tmp").iterdir()))
    within_time(
        lambda: not [p for p in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in read_bytes(p)]
    )


def within_time(holds, seconds=20):
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def read_bytes(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_what_cannot_be_graded_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"expected a folder with puzzle.py, .* got none[\s\S]*hint: "):
        grade(A0, tmp_path / "none")
    (tmp_path / "a.zip").write_bytes(b"PK")
    with pytest.raises(ConfigError, match="got a file: unpack it first"):
        grade(A0, tmp_path / "a.zip")
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "Puzzle.py").write_text("")
    with pytest.raises(Failed, match=r"No such file or directory; did you mean 'inner/Puzzle\.py'\?"):
        read_handed_in(tmp_path, "puzzle.py")
    (tmp_path / "assignment.toml").write_text(
        'title = "x"\nhours = 1\nfiles = []\ntasks = [{ name = "9.1", title = "x", points = 1 }]\n'
    )
    (tmp_path / "judge.py").write_text("")
    with pytest.raises(ConfigError, match=r"expected a judge of task 9.1, got none[\s\S]*hint: def task9_1"):
        grade(read(tmp_path), tmp_path)


@pytest.mark.course
def test_parts_are_left_out_of_the_copy(tmp_path):
    copied(tmp_path, HOLLOW, "a3")
    made = tmp_path / "minicc"
    assert 'raise Task("a3"' in (made / "schedule" / "split.py").read_text()
    assert (
        not (made / "course" / "grading.py").exists()
        and not (made / "course" / "assignments").exists()
        and not (made / "cli").exists()
    )
    for part in ("schedule/none.py:f", "../x.py:f"):
        with pytest.raises(ConfigError, match=r"expected a file of minicc[\s\S]*hint: "):
            copied(tmp_path / part.replace("/", "_"), [part])


def test_the_body_of_a_function_is_left_out():
    source = "class A:\n    @staticmethod\n    def f(x):\n        return (\n            x\n        )\n\n    def g(self): return 1\n"
    text = without(source, "A.f", "a")
    assert "return (" not in text and "def g(self): return 1" in text and compile(text, "a", "exec")
    for function in ("None", "A", "", "A.h", "f"):
        with pytest.raises(ConfigError, match=r"expected the name of a function[\s\S]*hint: "):
            without(source, function, "a")
