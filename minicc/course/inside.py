"""The process in which a submission runs: it can compute, and say what comes of it.

In: a folder with a copy of minicc, from which parts may be left out, and the handed-in files; a socket. Out: answers. Two processes
take turns. The *nursery* loads what submissions may use, and nothing of theirs; whenever the grader asks for it, it forks. A *child*
gives up all rights, by the steps of `device.sandbox`, tries what must not be possible, and only then loads what was handed in. So a
child starts within milliseconds, knows no file but those of the folder, and holds nothing worth stealing: judges, seeds and clocks are the grader's.

The grader has each child killed: it believes nothing that comes from one, not even that it ended.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import secrets
import shutil
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from minicc.course.answers import Submission, returned
from minicc.course.wire import encoded
from minicc.device import sandbox

# What submissions may import, beside the rest of minicc: files of the system are out of sight later.
PRELOADED = (
    "abc", "array", "ast", "bisect", "calendar", "cmath", "collections.abc", "colorsys", "contextlib", "copy", "csv", "dataclasses",
    "datetime", "decimal", "difflib", "enum", "fractions", "functools", "gc", "glob", "graphlib", "hashlib", "heapq", "html", "inspect",
    "io", "itertools", "json", "linecache", "logging", "math", "numbers", "operator", "pathlib", "pickle", "pprint", "queue", "random",
    "re", "reprlib", "secrets", "shutil", "statistics", "string", "struct", "tempfile", "textwrap", "threading", "time", "timeit",
    "traceback", "types", "typing", "unittest", "unittest.mock", "uuid", "warnings", "weakref", "zlib",
    "numpy", "numpy.fft", "numpy.linalg", "numpy.ma", "numpy.polynomial", "numpy.random", "numpy.testing", "networkx",
    "minicc.te", "minicc.tensor.evaluate", "minicc.loop.python", "minicc.loop.counts", "minicc.testing.oracle", "minicc.explain.draw_schedule",
)  # fmt: skip
FILES, PROCESSES = 64, 4096  # that a child may have open; threads of all children
CONNECTION = 3
LONGEST = 96 << 20  # bytes of a message
CONTROL = 4096  # of one to the nursery


def nursery(folder: str, control: int) -> NoReturn:
    """Load what submissions use, and make children until the grader says so; if it ends before, nothing of it is left."""
    for name in PRELOADED:
        with suppress(ImportError):
            importlib.import_module(name)
    grader, running = socket.socket(fileno=control), set[int]()
    try:
        grader.send(b"{}")
        left = _serve(grader, running, Path(folder))
    except OSError:  # it ended amid a request
        left = False
    for pid in running:
        _ended(pid)
    if not left:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)  # at once


def _serve(grader: socket.socket, running: set[int], folder: Path) -> bool:
    """Start and end children as the grader asks; whether it says that it leaves, rather than ending."""
    while data := socket.recv_fds(grader, CONTROL, 1):
        request, handed = json.loads(data[0] or "{}"), data[1]
        if pid := request.get("end"):
            grader.send(json.dumps({"status": _ended(pid)}).encode())
            running.discard(pid)
        elif "start" not in request:
            break
        elif pid := os.fork():
            running.add(pid)
            os.close(handed[0])
            grader.send(json.dumps({"pid": pid}).encode())
        else:
            try:
                child(handed[0], folder, **request["start"])
            finally:
                os._exit(1)
    return bool(data[0])


def _ended(pid: int) -> int:
    os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def child(connection: int, folder: Path, within: str, seconds: int, memory: int, secret: str) -> None:
    """Give everything up, and answer what is asked of the files in `within`. `secret` is a file that must not be seen."""
    os.dup2(1, 2)  # what is printed goes nowhere: a pipe that nobody reads would stop it
    os.dup2(connection, CONNECTION)
    os.closerange(CONNECTION + 1, 1 << 20)
    os.chdir(folder)
    sandbox.limit(seconds, memory, 0, FILES, PROCESSES)
    steps = [
        enter_namespaces_if_allowed,
        sandbox.leave_files,
        sandbox.become_nobody,
        sandbox.end_with_parent,
        sandbox.filter_calls_but_threads,
    ]
    if refused := sandbox.give_up(steps, trusted=False) or possible(secret, memory):
        return say({"refused": refused})
    say({"ready": True})
    submission = Submission(folder / within)
    for request in lines():
        say({"id": request["id"], **submission.answer(request["ask"], _asks(request["id"]))})
    return None


def enter_namespaces_if_allowed() -> None:
    """Where that is refused, the steps that come next do without."""
    with suppress(OSError):
        sandbox.enter_namespaces()


def possible(secret: str, memory: int) -> str:
    """The first thing that must not be possible, and is; "" where all is refused."""
    attempts: dict[str, Callable[[], object]] = {
        "a file of the grader can be read": lambda: os.open(secret, os.O_RDONLY),
        "files of the system can be read": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "other processes can be seen": lambda: os.open("/proc/self/maps", os.O_RDONLY),
        "files can be written": lambda: os.open("written", os.O_CREAT | os.O_WRONLY),
        "a socket opens": lambda: socket.socket(),
        "signals reach other processes": lambda: os.kill(os.getppid(), 0),
        "limits can be raised": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
        "memory is without limit": lambda: bytearray(memory),
        "a process starts": _forks,
    }
    for what, attempt in attempts.items():
        try:
            attempt()
        except (OSError, ValueError, MemoryError):
            continue
        return what
    return ""


def _forks() -> None:
    if not os.fork():
        os._exit(0)


def lines() -> Iterator[Any]:
    """What the grader says, up to its end."""
    held = bytearray()
    while part := os.read(CONNECTION, 1 << 16):
        held += part
        while (end := held.find(b"\n", max(len(held) - len(part), 0))) >= 0:
            yield json.loads(bytes(held[:end]))
            del held[: end + 1]


def say(message: dict[str, Any]) -> None:
    """Send a line to the grader."""
    line = memoryview(json.dumps(message).encode() + b"\n")
    while line:
        line = line[os.write(CONNECTION, line) :]


def _asks(identity: str) -> Callable[[int, tuple[Any, ...]], Any]:
    def call(number: int, arguments: tuple[Any, ...]) -> Any:
        say({"id": identity, "call": number, "arguments": encoded(list(arguments))})
        return returned(next(lines()))

    return call


def ticket() -> str:
    """What an answer must repeat, so that one to another question is none."""
    return secrets.token_hex(8)


def boot(folder: Path, paths: Sequence[str], control: int) -> str:
    """The Python that makes a process the nursery: it sees the copy of minicc first, and what is installed."""
    return (
        f"import sys; sys.path[:] = [{str(folder)!r}, *sys.path, *{list(paths)!r}]\n"
        f"from minicc.course.inside import nursery; nursery({str(folder)!r}, {control})"
    )
