"""Submissions in a process that can compute, and do nothing else: the grader's side.

In: the handed-in files. Out: `SandboxedAnswers`, which a judge calls. The processes are those of `course.inside`; what they are
isolated by stands in `device.sandbox`: an unprivileged user, a root folder of their own, no system calls but for memory, reading and
threads, limits on time, memory and files. Where that cannot be had, which is tried at each start, nothing is graded.

    with Sandbox(assignment.hollow) as box:
        answers = box.answers({"puzzle.py": text}, seconds=10)
        answers.call("puzzle.py", "twice", 4)

What comes from there may be anything: it is read up to a size and a time, must repeat the number of the question, and is data
(`course.wire`) or a failure. After any failure of the process the next call has a new one, as long as time is left.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from minicc import config
from minicc.course.answers import called_back, received
from minicc.course.hollow import copied
from minicc.course.inside import CONTROL, LONGEST, boot, ticket
from minicc.course.judging import Failed
from minicc.course.wire import encoded
from minicc.device.emulate import Gone
from minicc.errors import WorkerError

MEMORY = 2 << 30  # bytes of address space of a child, with what is loaded
START_SECONDS = 60  # that it may take to load everything, or to isolate a child
UNIX = "on Linux, as root, or where user namespaces or Landlock are allowed; course test runs what is your own"


class Sandbox:
    """A folder with a copy of minicc, and the nursery that makes children of it. A context manager.

    Raises WorkerError when the process does not start.
    """

    def __init__(self, hollow: Iterable[str] = (), name: str = "") -> None:
        if sys.platform != "linux":
            problem = f"expected Linux, which can isolate a submission, got {sys.platform}"
            raise WorkerError("sandbox", problem, hint=UNIX)
        self._made = tempfile.TemporaryDirectory(prefix="minicc-course-")
        self.folder = Path(self._made.name).resolve()
        self.count = 0
        self.process: subprocess.Popen[bytes] | None = None
        try:
            copied(self.folder, hollow, name)
            mirror = self.folder.joinpath(*self.folder.parts[1:])  # where the folder is the root, its name leads to it
            mirror.parent.mkdir(parents=True, exist_ok=True)
            mirror.symlink_to("/")
            readable(self.folder)
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._nursery, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._nursery.settimeout(START_SECONDS)
        paths = [path for path in sys.path if path and Path(path).name in ("site-packages", "dist-packages")]
        with far:
            command = [sys.executable, "-I", "-S", "-c", boot(self.folder, paths, far.fileno())]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                            start_new_session=True, env=config.for_submissions(), pass_fds=[far.fileno()])  # fmt: skip
        self._told()

    def asked(self, request: dict[str, Any], hand: int | None = None) -> dict[str, Any]:
        """What the nursery says to a request; `hand` is a socket for a child. Raises WorkerError."""
        with suppress(BrokenPipeError):
            socket.send_fds(self._nursery, [json.dumps(request).encode()], [] if hand is None else [hand])
        return self._told()

    def _told(self) -> dict[str, Any]:
        try:
            said = self._nursery.recv(CONTROL)
        except TimeoutError:
            said = b""
        if said:
            told: dict[str, Any] = json.loads(said)
            return told
        assert self.process and self.process.stderr
        self.process.kill()
        why = self.process.stderr.read().decode(errors="replace").strip().rpartition("\n")[2]
        raise WorkerError("sandbox", f"expected a process that loads minicc, got none: {why}", sys.executable, UNIX)

    def restart(self) -> None:
        """End every process, and start again."""
        self._end()
        self._start()

    def answers(
        self, files: Mapping[str, bytes], seconds: float, memory: int = MEMORY, missing: Mapping[str, str] | None = None
    ) -> SandboxedAnswers:
        """What handed-in files, by name, answer: `seconds` of it in all. `missing` are why others are not there.

        Raises WorkerError where they cannot be written.
        """
        self.count += 1
        within = f"handed_in/{self.count}"
        try:
            (self.folder / within).mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                path = self.folder / within / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            readable(self.folder / "handed_in")
        except OSError as error:
            problem = f"expected room for what was handed in, got none: {error.strerror}"
            raise WorkerError("sandbox", problem, str(self.folder), "TMPDIR=a folder with room") from None
        return SandboxedAnswers(self, within, files, missing or {}, seconds, memory)

    def close(self) -> None:
        """End every process, and remove the folder."""
        self._end()
        self._made.cleanup()

    def _end(self) -> None:
        if self.process is not None:
            with suppress(OSError):
                self._nursery.send(b"{}")  # the nursery ends all children, then itself
            self._nursery.close()
            try:
                self.process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
            assert self.process.stderr
            self.process.stderr.close()
            self.process = None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def readable(folder: Path) -> None:
    """Let everybody read a folder, and what is in it, whatever the umask: children are nobody."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)


class SandboxedAnswers:
    """The answers of files in a sandbox. A context manager; `left` are the seconds that calls may still take.

    `refused` is why nothing could be isolated, if so: a judge may have taken that for an answer that is wrong.
    """

    def __init__(
        self,
        box: Sandbox,
        within: str,
        files: Mapping[str, bytes],
        missing: Mapping[str, str],
        seconds: float,
        memory: int,
    ) -> None:
        self.box, self.within, self.files, self.left, self.memory = box, within, files, seconds, memory
        self.missing = missing
        self.child: Isolated | None = None
        self.refused: WorkerError | None = None

    def call(self, file: str, function: str, *args: Any) -> Any:
        """What a function of a file returns. Raises Failed, and WorkerError where nothing can be isolated."""
        functions: list[Callable[..., Any]] = []
        request = [file, function, encoded(list(args), functions)]
        self._check(file)
        if self.left <= 0:
            raise Failed("no time is left for it")
        started = time.monotonic()
        try:
            self.child = self.child or Isolated(self.box, self.within, self.left, self.memory)
            answer = self.child.ask(request, functions, started + self.left)
        except Gone as gone:
            self.close()
            raise Failed(str(gone)) from None
        except WorkerError as refused:
            self.refused = refused
            raise
        finally:
            self.left -= time.monotonic() - started
        return received(answer)

    def text(self, file: str) -> str:
        """A file that is data. Raises Failed."""
        self._check(file)
        return self.files[file].decode(errors="replace")

    def _check(self, file: str) -> None:
        if file not in self.files:
            raise Failed(self.missing.get(file, f"{file}: it was not handed in"))

    def close(self) -> None:
        """End the process; another call starts one again."""
        if self.child is not None:
            self.child.close()
            self.child = None

    def __enter__(self) -> SandboxedAnswers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        shutil.rmtree(self.box.folder / self.within, ignore_errors=True)


class Isolated:
    """A process of its own for some files. Raises WorkerError when it cannot be isolated."""

    def __init__(self, box: Sandbox, within: str, seconds: float, memory: int) -> None:
        self.box = box
        self._socket, far = socket.socketpair()
        start = {"within": within, "seconds": math.ceil(seconds) + 1, "memory": memory, "secret": __file__}
        with far:
            self.pid = box.asked({"start": start}, far.fileno())["pid"]
        try:
            state = self._line(time.monotonic() + START_SECONDS)
        except Gone as gone:
            state = {"refused": str(gone)}
        if state.get("ready") is not True:
            self.close()
            problem = f"expected a process that is isolated, as a submission may be anything, got none: {state.get('refused')}"
            raise WorkerError("sandbox", problem, "", UNIX)

    def ask(self, request: list[Any], functions: list[Callable[..., Any]], until: float) -> dict[str, Any]:
        """Its answer; what it asks the judge's functions meanwhile is answered. Raises Gone."""
        identity = ticket()
        self._say({"id": identity, "ask": request}, until)
        while True:
            message = self._line(until)
            if message.pop("id", None) != identity:
                raise Gone("it wrote what is no answer to what was asked")
            if "call" not in message:
                return message
            self._say(called_back(functions, message["call"], message.get("arguments")), until)

    def _say(self, message: dict[str, Any], until: float) -> None:
        self._socket.settimeout(max(until - time.monotonic(), 1e-3))
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except TimeoutError:
            raise Gone("it took too long") from None
        except OSError:
            raise Gone(self._end()) from None

    def _line(self, until: float) -> dict[str, Any]:
        held = bytearray()
        while not held.endswith(b"\n"):
            self._socket.settimeout(max(until - time.monotonic(), 1e-3))
            try:
                part = self._socket.recv(1 << 20)
            except TimeoutError:
                raise Gone("it took too long") from None
            except OSError:
                part = b""
            if not part:
                raise Gone(self._end())
            held += part
            if len(held) > LONGEST:
                raise Gone(f"its answer has more than {LONGEST:,} bytes")
        try:
            message = json.loads(bytes(held))
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            raise Gone("it wrote what is no answer")
        return message

    def _end(self) -> str:
        status = os.waitstatus_to_exitcode(self.box.asked({"end": self.pid})["status"])
        self.pid = 0
        with suppress(ValueError):
            return (
                f"its process ended with the signal {signal.Signals(-status).name}"
                if status < 0
                else "its process ended"
            )
        return "its process ended"

    def close(self) -> None:
        """End the process."""
        self._socket.close()
        if self.pid:
            self.box.asked({"end": self.pid})
            self.pid = 0
