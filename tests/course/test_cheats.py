"""Nobody gets points for what is no answer: each cheat scores as an honest zero does, and nothing of it stays."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cheats import CHEATS, HONEST_ZERO, RIGHT, thief

import minicc
from minicc.course import sandbox
from minicc.course.assignment import read
from minicc.course.grading import PUBLIC, grade, judged_by, judges_of, seeded
from minicc.course.sandbox import Sandbox
from minicc.errors import WorkerError

pytestmark = pytest.mark.course
A0 = read(Path(__file__).parent / "data" / "a0")
SECRET = b"of the teacher"


@pytest.fixture(scope="module")
def box():
    with Sandbox(A0.hollow, A0.name) as made:
        yield made


@pytest.fixture(scope="module")
def port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def shares(box, text, key=SECRET, seconds=A0.seconds):
    """What a submission earns of each task."""
    judges = judges_of(A0)
    return [
        judged_by(judges[t.name], box, {"puzzle.py": text.encode()}, {}, seconds, seeded(key, "ada", t.name)).share
        for t in A0.tasks
    ]


def processes():
    """The processes that descend from this one."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(words[1]) if words[0] != "Z" else 0
    ours, found = {os.getpid()}, set()
    while ours:
        ours = {pid for pid, parent in parents.items() if parent in ours} - found
        found |= ours
    return found


def test_what_is_right_earns_all_and_what_is_wrong_nothing(box):
    assert shares(box, RIGHT) == [1.0] * 4
    assert shares(box, HONEST_ZERO) == [0.0] * 4
    assert shares(box, thief("return True")) == [1.0] * 4  # so that a theft would be seen


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_earns_nothing_and_leaves_nothing(name, box, port, tmp_path):
    marker, secret = tmp_path / "marker", tmp_path / "secret.txt"
    secret.write_bytes(SECRET)
    tmp_path.chmod(0o777)
    words = {"JUDGE": A0.folder / "judge.py", "SECRET": secret, "MARKER": marker, "PORT": port}
    text = CHEATS[name]
    for word, stands in words.items():
        text = text.replace(word, str(stands))
    compile(text, name, "exec")
    before, clock = processes(), time.perf_counter
    assert shares(box, text, seconds=0.7) == [0.0] * 4
    deadline = time.monotonic() + 5
    while processes() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not processes() - before
    assert not marker.exists() and time.perf_counter is clock
    assert sorted(p.name for p in box.folder.iterdir()) == ["handed_in", "minicc", box.folder.parts[1]]
    assert not list((box.folder / "handed_in").iterdir())


def test_public_cases_alone_are_worth_nothing(box):
    known = CHEATS["a hard-coded public seed"]
    assert shares(box, known, PUBLIC) == [1.0, 0.0, 0.0, 1.0]
    assert shares(box, known) == [0.0] * 4


def test_folders_that_lead_out_or_hold_too_much_are_no_submissions(tmp_path):
    def refused(make):
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        make(folder / "puzzle.py")
        report = grade(A0, folder)
        assert report.total == 0
        return report.tasks[0].public.problems[0]

    solved = A0.folder / "puzzle.py"
    assert "got a link" in refused(lambda path: path.symlink_to(solved))
    assert "expected a file" in refused(os.mkfifo)
    assert "expected a file" in refused(Path.mkdir)
    assert "at most 1,048,576 bytes" in refused(lambda path: path.write_bytes(b"#" * (2 << 20)))
    assert "No such file" in refused(lambda path: None)


def test_nothing_is_graded_where_nothing_can_be_isolated(box, monkeypatch):
    monkeypatch.setattr(sandbox, "__file__", str(box.folder / "minicc" / "__init__.py"))  # a file that can be read
    with pytest.raises(
        WorkerError, match=r"expected a process that is isolated.*a file of the grader can be read\nhint: on Linux"
    ):
        grade_here(box)


def grade_here(box):
    with box.answers({"puzzle.py": RIGHT.encode()}, 5) as answers:
        answers.call("puzzle.py", "twice", 1)


def test_a_child_starts_within_a_second(box):
    start = time.perf_counter()
    for _ in range(10):
        grade_here(box)
    assert time.perf_counter() - start < 10
    assert Path(minicc.__file__).exists()


DOCKER = (
    "+chown,+dac_override,+fowner,+fsetid,+kill,+mknod,+net_bind_service,+net_raw,+setfcap,+setgid,+setpcap,+setuid"
)
READS = "+dac_read_search"  # so that another user may run the Python of this one
WITHOUT = {  # what root gives up, so that the process is isolated by other means
    "as in Docker": ["--bounding-set", f"-all,{DOCKER},+sys_chroot"],
    "without chroot": ["--bounding-set", f"-all,{DOCKER}"],
    "another user": ["--reuid", "1000", "--regid", "1000", "--clear-groups", "--inh-caps", f"-all,{READS}", "--ambient-caps", READS],
}  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="gives up rights that root has")
@pytest.mark.parametrize("rights", WITHOUT)
def test_a_process_is_isolated_whoever_starts_it(rights):
    names = (
        "read the judge",
        "read the grader's memory",
        "a fork bomb",
        "a full disk",
        "a network call",
        "the grader is killed",
    )
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_cheats as t
with t.Sandbox() as box:
    assert t.shares(box, t.RIGHT) == [1.0] * 4
    for name in {names!r}:
        text = t.CHEATS[name].replace("JUDGE", str(t.A0.folder / "judge.py")).replace("PORT", "1")
        assert t.shares(box, text) == [0.0] * 4, name
print("isolated")
"""
    command = ["setpriv", *WITHOUT[rights], sys.executable, "-B", "-c", script]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "HOME": "/tmp", "MINICC_CACHE": "off"}
    )
    assert done.stdout == "isolated\n", done.stderr
