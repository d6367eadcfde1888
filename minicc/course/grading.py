"""The grader: what each task of an assignment earns, by what its judge says of a submission.

In: an assignment, a folder that was handed in, a secret. Out: `Grades`. A task is judged twice: on public cases, which are the same
for everybody, and on hidden ones, which are drawn for this student from the secret and which alone are worth points. The submission
runs in a sandbox (`course.sandbox`). The judge has a process of its own, too, so that no data can end the grader, or keep it for
ever; it has all clocks and answers, and says what it saw case by case.

    report = grade(assignment("a3"), Path("handed_in"), student="ada", secret=b"...")
    print(report.total, "of", report.points)
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import json
import os
import random
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

from minicc.course.assignment import FOLDER, AssignedTask, Assignment
from minicc.course.handed_in import read_handed_in
from minicc.course.judging import Failed, Judge, Judgment
from minicc.course.sandbox import Sandbox, SandboxedAnswers
from minicc.device.sandbox import end_with_parent
from minicc.errors import ConfigError, WorkerError, plain_lines, printable

PUBLIC = b"public"  # the secret of the public cases
JUDGE_SECONDS = 60  # that a judge may take beside the submission's time
JUDGE_MEMORY = 8 << 30  # bytes of address space that it may take beside what the grader has
LONGEST = 16 << 20  # bytes that it may say


@dataclass(frozen=True)
class Judged:
    """What a judge saw of a task, and `trouble`: why it did not come to its end."""

    judgments: tuple[Judgment, ...]
    seconds: float = 0.0
    trouble: str = ""

    @property
    def share(self) -> float:
        """What is earned of the points, from 0 to 1."""
        weight = sum(j.weight for j in self.judgments)
        return 0.0 if self.trouble or not weight else sum(j.share * j.weight for j in self.judgments) / weight

    @property
    def passed(self) -> int:
        """How many cases earned all that they are worth."""
        return sum(j.share == 1 for j in self.judgments)

    @property
    def problems(self) -> list[str]:
        """What was wrong, each with the first case that shows it, which is the smallest, and how many others do."""
        cases: dict[str, list[str]] = {}
        for j in self.judgments:
            if j.share < 1:
                cases.setdefault(j.problem or f"{j.share:.0%} of its points", []).append(j.name)
        told = [
            f"{names[0]}{f', and {len(names) - 1} more' if names[1:] else ''}: {problem}"
            for problem, names in cases.items()
        ]
        return [*([self.trouble] if self.trouble else []), *map(plain_lines, told)]


@dataclass(frozen=True)
class TaskReport:
    """A task, judged on public cases and, unless that was not asked for, on hidden ones."""

    task: AssignedTask
    public: Judged
    hidden: Judged | None = None

    @property
    def earned(self) -> float:
        """Points by the hidden cases; where they did not run, none but what is promised by the public ones."""
        return round(self.task.points * (self.hidden or self.public).share, 2)


@dataclass(frozen=True)
class Grades:
    """What a submission earned."""

    assignment: Assignment
    student: str
    tasks: tuple[TaskReport, ...]
    seconds: float

    @property
    def points(self) -> float:
        return self.assignment.points

    @property
    def total(self) -> float:
        return round(sum(t.earned for t in self.tasks), 2)

    @property
    def is_public(self) -> bool:
        """Whether hidden cases did not run."""
        return any(t.hidden is None for t in self.tasks)

    @property
    def summary(self) -> str:
        """The result in a line."""
        passed = sum(t.public.share == 1 for t in self.tasks)
        public = (
            "public tests passed"
            if passed == len(self.tasks)
            else f"public tests of {passed} of {len(self.tasks)} tasks passed"
        )
        if self.is_public:
            return f"{public}; {len(self.tasks)} hidden not run. They decide: up to {self.total:g} of {self.points:g} points"
        return f"{public}; total: {self.total:g} of {self.points:g} points"


def check_handed_in(assignment: Assignment, folder: Path) -> None:
    """Raise ConfigError where there is no folder."""
    if not folder.is_dir():
        got = "a file: unpack it first" if folder.exists() else "none"
        problem = f"expected a folder with {', '.join(assignment.files)}, which was handed in, got {got}"
        raise ConfigError(
            f"grade {folder}", problem, str(folder), f"minicc grade FOLDER --assignment {assignment.name}"
        )


def grade(assignment: Assignment, folder: Path, student: str = "", secret: bytes | None = None,
          watch: Callable[[TaskReport], None] | None = None) -> Grades:  # fmt: skip
    """The report on a folder that was handed in; without a secret, of public cases alone. `watch` is told of each task.

    Raises ConfigError where there is no folder, WorkerError where submissions cannot be isolated.
    """
    check_handed_in(assignment, folder)
    started = time.monotonic()
    judges, files, missing = judges_of(assignment), dict[str, bytes](), dict[str, str]()
    for name in assignment.files:
        try:
            files[name] = read_handed_in(folder, name)
        except Failed as problem:
            missing[name] = str(problem)
    files |= {name: (assignment.folder / name).read_bytes() for name in assignment.given}
    reports = []
    with Sandbox(assignment.hollow, assignment.name) as box:
        for task in assignment.tasks:
            public, *hidden = [
                judged_by(judges[task.name], box, files, missing, assignment.seconds, seeded(key, student, task.name))
                for key in (PUBLIC, secret)
                if key is not None
            ]
            reports.append(TaskReport(task, public, *hidden))
            if watch:
                watch(reports[-1])
    return Grades(assignment, student, tuple(reports), time.monotonic() - started)


def seeded(secret: bytes, student: str, task: str) -> random.Random:
    """The generator from which the cases of a task are drawn; the public ones are the same for all students."""
    who = json.dumps(["" if secret == PUBLIC else student, task]).encode()
    return random.Random(int.from_bytes(hmac.new(secret, who, hashlib.sha256).digest()))


def judges_of(assignment: Assignment) -> dict[str, Judge]:
    """The judge of each task. Raises ConfigError where one is missing."""
    module, judges = _judge_module(assignment), dict[str, Judge]()
    for task in assignment.tasks:
        if (judge := getattr(module, task.mark, None)) is None:
            call, where = f"grade {assignment.name}", str(assignment.folder / "judge.py")
            raise ConfigError(
                call, f"expected a judge of task {task.name}, got none", where, f"def {task.mark}(answers, draw)"
            )
        judges[task.name] = judge
    return judges


def _judge_module(assignment: Assignment) -> ModuleType:
    if assignment.folder.parent == FOLDER:
        return importlib.import_module(f"minicc.course.assignments.{assignment.name}.judge")
    spec = spec_from_file_location(f"judge_of_{assignment.name}", assignment.folder / "judge.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- a judge in its process -------------------------------------------------------------------------------------


def judged_by(judge: Judge, box: Sandbox, files: Mapping[str, bytes], missing: Mapping[str, str], seconds: float,
              draw: random.Random) -> Judged:  # fmt: skip
    """What a judge says of files. It runs in a fork of this process, which is ended when it takes too long."""
    started = time.monotonic()
    read, write = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
        os.close(read)
        _judge_here(write, judge, lambda: box.answers(files, seconds, missing=missing), draw)
    os.close(write)
    judgments, trouble = list[Judgment](), "the judge did not come to its end"
    try:
        for line in _lines(read, started + seconds + JUDGE_SECONDS):
            said = json.loads(line)
            if "judgment" in said:
                judgments.append(Judgment(**said["judgment"]))
            elif "refused" in said:
                call, problem, where, hint = said["refused"]
                raise WorkerError(call, problem, where, hint)
            else:
                trouble = said["trouble"]
    finally:
        os.close(read)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if trouble:
            box.restart()  # whatever it left running
    return Judged(tuple(judgments), time.monotonic() - started, trouble)


def _judge_here(write: int, judge: Judge, begin: Callable[[], SandboxedAnswers], draw: random.Random) -> None:
    """Be the judge's process, up to its end."""

    def say(message: dict[str, Any]) -> None:
        os.write(write, json.dumps(message).encode() + b"\n")

    answers, said = None, dict[str, Any]()
    try:
        end_with_parent()
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most, hard = used + JUDGE_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
        answers = begin()
        with answers:
            for judgment in judge(answers, draw):
                say({"judgment": asdict(judgment)})
        said = {"trouble": ""}
    except WorkerError as error:
        said = {"refused": error.args}
    except BaseException as error:
        said = {"trouble": f"the judge ended with {type(error).__name__}: {printable(error)[:2000]}"}
    finally:
        say({"refused": answers.refused.args} if answers and answers.refused else said)
        os._exit(0)


def _lines(read: int, until: float) -> Iterator[bytes]:
    """What the judge says, line by line, up to a time."""
    held = b""
    while select.select([read], [], [], max(until - time.monotonic(), 0))[0]:
        part = os.read(read, 1 << 16)
        if not part or len(held) > LONGEST:
            return
        *whole, held = (held + part).split(b"\n")
        yield from whole
