"""The autograder as Gradescope runs it: unpacked into an empty tree, set up once, run for a submission."""

import json
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from minicc.course.assignment import found, read
from minicc.course.bundle import pinned, write_bundle

pytestmark = pytest.mark.course
A0 = read(Path(__file__).parent / "data" / "a0")
PATHS = [path for path in sys.path if path.endswith("site-packages")]


def tree(tmp_path, bundle, python):
    """`/autograder` as the specification lays it out, below another root, once setup.sh has run with a Python that has everything."""
    root = tmp_path / "autograder"
    for folder in ("source", "submission", "results"):
        (root / folder).mkdir(parents=True)
    with zipfile.ZipFile(bundle) as archive:
        for entry in archive.infolist():
            archive.extract(entry, root / "source")
            (root / "source" / entry.filename).chmod(entry.external_attr >> 16)
    (root / "run_autograder").write_bytes((root / "source" / "run_autograder").read_bytes())
    (root / "run_autograder").chmod(0o755)
    (root / "submission_metadata.json").write_text('{"users": [{"id": 7, "name": "\\u0022; touch /"}, {"id": 3}]}')
    python.mkdir()
    (python / "python3.11").write_text(
        f"#!{sys.executable} -B\nimport os, pathlib, sys\n"
        "if sys.argv[1:3] == ['-m', 'venv']:\n"
        "    made = pathlib.Path(sys.argv[3], 'bin')\n"
        "    made.mkdir(parents=True)\n"
        "    (made / 'python').symlink_to(__file__)\n"
        "elif sys.argv[1:4] != ['-m', 'pip', 'install']:\n"  # all of it is there
        f"    os.environ['PYTHONPATH'] = {os.pathsep.join(PATHS)!r}\n"
        f"    os.execv({sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])\n"
    )
    (python / "python3.11").chmod(0o755)
    environment = {"PATH": f"{python}:/usr/bin:/bin", "HOME": str(tmp_path)}
    subprocess.run(["bash", root / "source" / "setup.sh"], cwd="/", env=environment, check=True)
    return root, environment


def graded(root, environment, files):
    """results.json for some files."""
    for name, text in files.items():
        (root / "submission" / name).write_text(text)
    done = subprocess.run(
        [root / "run_autograder"], cwd=root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((root / "results" / "results.json").read_text()), done.stdout


def test_a_bundle_runs_in_an_empty_tree(tmp_path):
    write_bundle(A0, tmp_path / "a0.zip", b"of the teacher")
    root, environment = tree(tmp_path, tmp_path / "a0.zip", tmp_path / "bin")
    assert stat.S_IMODE((root / "source" / "secret.txt").stat().st_mode) == 0o600
    right, _ = graded(root, environment, {"puzzle.py": (A0.folder / "puzzle.py").read_text()})
    hidden = [t for t in right["tests"] if t["visibility"] == "after_due_date"]
    assert sum(t["score"] for t in hidden) == sum(t["max_score"] for t in hidden) == 10
    assert right["extra_data"]["student"] == "3+7" and right["extra_data"]["total"] == 10
    assert [row["name"] for row in right["leaderboard"]] == ["in time"] and right["leaderboard"][0]["value"] > 1
    text = "def twice(x):\n    return 2 * x if x < 3 else 0\ndef scaled(array, factor):\n    return array * factor\n"
    wrong, said = graded(root, environment, {"puzzle.py": text})
    assert wrong["extra_data"]["total"] == 2 and "total: 2 of 10 points" in said
    assert [t["status"] for t in wrong["tests"]] == ["failed", "passed", "failed", "failed"] * 2
    assert "twice(" in wrong["tests"][4]["output"] and "expected" in wrong["tests"][4]["output"]
    assert "after the due date" in wrong["output"] and "points" not in wrong["output"]


def test_a_bundle_has_the_same_bytes_again(tmp_path):
    for name in ("one.zip", "two.zip"):
        write_bundle(found("a1"), tmp_path / name, b"secret")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        names = archive.namelist()
        assert {
            "setup.sh",
            "run_autograder",
            "requirements.txt",
            "secret.txt",
            "minicc/course/assignments/a1/judge.py",
        } <= {*names}
        assert not [name for name in names if name.endswith(".pyc")]
        assert b"--assignment a1 " in archive.read("run_autograder")


def test_what_is_pinned_is_what_is_installed():
    lines = pinned("minicc")
    assert all(line.count("==") == 1 for line in lines)
    assert {"numpy", "llvmlite", "networkx", "onnx", "typer", "rich", "mdurl", "ml-dtypes"} <= {
        line.partition("==")[0] for line in lines
    }
