"""Wherever a grader runs: what is right earns all, and where that cannot be said, nothing is graded."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from minicc.course import sandbox
from minicc.course.assignment import read
from minicc.course.grading import judged_by, judges_of, seeded
from minicc.course.hollow import copied
from minicc.course.sandbox import Sandbox
from minicc.errors import WorkerError

pytestmark = pytest.mark.course
A0 = read(Path(__file__).parent / "data" / "a0")
GRADE = [sys.executable, "-m", "minicc", "grade", "-a", str(A0.folder), "--public"]


def strict_umask():
    os.umask(0o077)


def little_memory():
    resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))


@pytest.mark.parametrize("prepare", [strict_umask, little_memory])
def test_what_is_right_earns_all(prepare):
    done = subprocess.run(
        [*GRADE, str(A0.folder)], preexec_fn=prepare, env={}, capture_output=True, text=True, check=False
    )
    assert "up to 10 of 10 points" in done.stdout, done.stdout + done.stderr


def test_who_cannot_be_isolated_has_no_points_and_no_zero_either(monkeypatch):
    with Sandbox(A0.hollow, A0.name) as box:
        monkeypatch.setattr(sandbox, "__file__", str(box.folder / "minicc" / "__init__.py"))  # a file that can be read
        solved = {"puzzle.py": (A0.folder / "puzzle.py").read_bytes()}
        with pytest.raises(
            WorkerError, match="expected a process that is isolated"
        ):  # not what judges take for a wrong answer
            judged_by(judges_of(A0)["0.1"], box, solved, {}, 2, seeded(b"s", "ada", "0.1"))


def test_a_full_disk_is_no_wrong_answer(monkeypatch):
    def full(folder):
        raise OSError(28, "No space left on device")

    with Sandbox(A0.hollow, A0.name) as box:
        monkeypatch.setattr(sandbox, "readable", full)
        with pytest.raises(WorkerError, match=r"expected room for what was handed in.*No space left"):
            judged_by(judges_of(A0)["0.1"], box, {"puzzle.py": b""}, {}, 2, seeded(b"s", "ada", "0.1"))


def test_what_is_left_out_is_in_no_compiled_file(tmp_path, monkeypatch):
    package = tmp_path / "minicc"
    cached = package / "schedule" / "__pycache__"
    cached.mkdir(parents=True)
    (package / "course" / "__pycache__").mkdir(parents=True)
    (package / "schedule" / "split.py").write_text("def f():\n    return 1\n")
    for made in (cached / "split.cpython-311.pyc", cached / "other.cpython-311.pyc", package / "course" / "__pycache__" / "grading.pyc"):  # fmt: skip
        made.write_bytes(b"")
    monkeypatch.setattr("minicc.course.hollow.PACKAGE", package)
    copied(tmp_path / "copy", ["schedule/split.py:f"], "a3")
    assert [path.name for path in (tmp_path / "copy").rglob("*.pyc")] == ["other.cpython-311.pyc"]


def test_numbers_and_errors_that_are_too_long_are_refused_at_once():
    from minicc.course.wire import NotData, decoded_error, encoded

    with pytest.raises(NotData, match="at most 8,192 bits, got one of 16,610"):
        encoded({"n": [10**5000]})
    for name in ("ExceptionGroup", "UnicodeDecodeError", "BaseExceptionGroup"):
        error, kind = decoded_error([name, ["x", "y"]])
        assert kind == name and type(error) is RuntimeError
    with pytest.raises(NotData):
        decoded_error(["ValueError", ["x" * 5000]])
