"""A compiler in a process of its own, which may crash or hang and is then replaced: TVM, or minicc.

In: jobs, that is graphs with arrays for their inputs. Out: for each the outputs by name, or a
`Finding` that says how TVM failed: crash, timeout, error (TVM raises), or unsupported (an operator
of the graph has no form in TVM). Many graphs are compiled as one module, as that takes a fraction of the
time; a batch that fails is bisected, so a bad graph costs the others nothing but time. What
TVM writes to its standard error goes into the finding.

    with Worker() as worker:
        for outcome in worker.run([(graph, {"x": array})]):
            print(outcome)

The protocol: frames of eight bytes of length and a pickle, on the standard input and output of the child. A
request is a list of jobs; the replies are `("unsupported" | "error", k, (detail, origin))` or
`("outputs", k, arrays)` for job k, `("running", k, "")` before it is lowered or called, `("running", -1, "")` before
the rest is compiled together, `("failed", -1, (detail, origin))` when it cannot be, and `("end", -1, "")`. First of all the child
says `("ready", -1, "")`; one that does not is a `WorkerError` and no finding. The child is ours, so pickles are safe. It runs this
very package, wherever that lies, and looks for modules in PYTHONPATH and among what is installed, never in the current folder.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import os
import pickle
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from subprocess import PIPE
from typing import IO, Any, Literal, Protocol, TypeAlias

import numpy as np

import minicc
from minicc.bridge import _tvm
from minicc.bridge.relax import build_relax, call_relax, merge, to_relax
from minicc.errors import BridgeError, MiniccError, WorkerError
from minicc.graph.ir import Graph
from minicc.graph.text import parse
from minicc.ops.base import Array

Inputs: TypeAlias = Mapping[str, Array]
Job: TypeAlias = tuple[Graph, Inputs]
FindingKind = Literal["crash", "timeout", "error", "unsupported"]
Run: TypeAlias = Callable[[Graph, Inputs], dict[str, Array]]

BATCH = 64  # jobs that are compiled as one module
TIMEOUT = 60.0  # seconds
START = 300.0  # seconds that a process may take to start: TVM is large, and the machine may be busy
MOST_JOBS = 1000  # of one process: LLVM keeps some memory of all that it compiles
LAST_LINES = 8  # of standard error in a WorkerError: the innermost frames of a traceback, and what was raised
DETAIL = 4000  # characters of standard error in a finding: the top of a backtrace, which names the culprit, is its end
NO_FORM = ("expected an operator that TVM has", "expected known operands")  # of a BridgeError
TVM, MINICC = "minicc.testing.worker:Tvm", "minicc.testing.worker:Minicc"
# Of `minicc` the parent's, by its file: a folder of that name in the current folder, or another one that is installed, is not it.
BOOT = """\
import importlib.util, sys
spec = importlib.util.spec_from_file_location("minicc", sys.argv[1])
sys.modules["minicc"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["minicc"])
importlib.import_module("minicc.testing.worker").main(sys.argv[2])
"""


@dataclass(frozen=True, eq=False)
class Finding:
    """How TVM failed on a graph: a crash (`detail` begins with the signal), a timeout, an error, or no form."""

    kind: FindingKind
    detail: str
    graph: Graph
    inputs: Inputs
    origin: str = ""  # of an error: what raised it, in words that a smaller graph shares

    def __str__(self) -> str:
        arrays = "".join(f"\n{name} = {array!r}" for name, array in self.inputs.items())
        return f"{self.kind}: {self.detail}\n{self.graph}{arrays}"


Outcome: TypeAlias = dict[str, Array] | Finding

# ---- the parent's side --------------------------------------------------------------------------


class Worker:
    """A child process that runs jobs; started at the first one, and again after a crash. A context manager.

    `engine` names what runs there, as "module:class" of an `Engine`. `starts` counts processes. Threads may
    share a worker: their runs take turns.
    """

    def __init__(self, engine: str = TVM) -> None:
        self.engine, self.starts = engine, 0
        self._process: subprocess.Popen[bytes] | None = None
        self._messages: IO[bytes]  # the standard error of the child
        self._jobs = 0
        self._turn = threading.Lock()
        self._interrupted = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child. The worker may be used again: then another is started."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, self._messages):
                with suppress(OSError):  # what was not sent is of no use
                    assert pipe is not None
                    pipe.close()

    def interrupt(self) -> None:
        """End a `run` of another thread, or the next one if it has not begun: it raises InterruptedError."""
        self._interrupted = True
        if process := self._process:
            process.kill()

    def resume(self) -> None:
        """Forget an interrupt that came too late to end a run: the next one goes on, in another process."""
        with self._turn:
            if self._interrupted:
                self.close()
                self._interrupted = False

    def run(self, jobs: Sequence[Job], timeout: float = TIMEOUT) -> list[Outcome]:
        """An outcome for each job, in order. Raises WorkerError when the child does not start.

        `timeout` is how many seconds TVM may take to compile a batch, and again to run each job. When
        a call ends early, by Ctrl-C for instance, the child is killed.
        """
        outcomes: dict[int, Outcome] = {}
        waiting = [list(range(first, min(first + BATCH, len(jobs)))) for first in range(0, len(jobs), BATCH)][::-1]
        with self._turn:
            try:
                self._check()
                while waiting:
                    waiting += reversed(self._batch(jobs, waiting.pop(), outcomes, timeout))
                    self._check()
            except BaseException:
                self.close()
                raise
            finally:
                self._interrupted = False
        return [outcomes[k] for k in range(len(jobs))]

    def _check(self) -> None:
        if self._interrupted:
            raise InterruptedError("interrupt() was called")

    def _batch(
        self, jobs: Sequence[Job], batch: list[int], outcomes: dict[int, Outcome], timeout: float
    ) -> list[list[int]]:
        """Run a batch: put what is known into `outcomes`, and give the batches that are still to run."""
        running: int | None = None  # the job that is lowered or called
        failed: tuple[str, str] | None = None

        def rest() -> list[int]:
            return [k for k in batch if k not in outcomes]

        try:
            for what, place, payload in self._replies([jobs[k] for k in batch], timeout):
                k = batch[place] if place >= 0 else None
                if what == "running":
                    running = k
                elif what == "outputs" and k is not None:
                    outcomes[k], running = payload, None
                elif k is not None:
                    outcomes[k], running = Finding(what, payload[0], *jobs[k], payload[1]), None
                else:
                    failed = payload
            if failed:
                raise _Stopped("error", *failed)
        except _Stopped as stop:
            if running is None and len(rest()) > 1:
                middle = len(rest()) // 2
                return [rest()[:middle], rest()[middle:]]
            guilty = rest()[0] if running is None else running
            outcomes[guilty] = Finding(stop.kind, stop.detail, *jobs[guilty], stop.origin)
        return [rest()] if rest() else []

    def _replies(self, jobs: Sequence[Job], timeout: float) -> Iterator[tuple[Any, int, Any]]:
        """Send jobs, and give the replies up to the end. Raises _Stopped when the child crashes or hangs."""
        process = self._started()
        self._messages.seek(0)  # the child's position, too: both share the open file
        self._messages.truncate()
        self._jobs += len(jobs)
        sent = [(str(graph), graph.constants, dict(inputs)) for graph, inputs in jobs]
        assert process.stdin is not None
        assert process.stdout is not None
        stream = _Frames(process.stdin.fileno(), process.stdout.fileno())
        try:
            stream.write((timeout, sent), timeout)
            while (reply := stream.read(timeout))[0] != "end":
                yield reply
        except TimeoutError:
            text = self._stderr()
            self.close()
            raise _Stopped("timeout", f"no answer within {timeout:g} seconds{text}") from None
        except (EOFError, BrokenPipeError):
            status, text = process.wait(), self._stderr()
            self.close()
            raise _Stopped("crash", _end_of(status) + text) from None

    def _started(self) -> subprocess.Popen[bytes]:
        """The child; another when it has run many jobs."""
        if self._process and self._jobs >= MOST_JOBS:
            self.close()
        return self._process or self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a child, and wait until it is ready. Raises WorkerError."""
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        command = [sys.executable, "-P", "-c", BOOT, minicc.__file__, self.engine]
        try:
            # A session of its own, so that Ctrl-C reaches the parent only, which then ends the child.
            process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=self._messages, start_new_session=True)
        except OSError as error:
            raise self._no_start(str(error)) from None
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self.starts, self._jobs = self.starts + 1, 0
        self._check()  # interrupt() found no process to end
        try:
            _Frames(-1, process.stdout.fileno()).read(START)
        except TimeoutError:
            raise self._no_start(f"one that is not ready within {START:g} seconds") from None
        except EOFError:
            self._check()
            raise self._no_start(_end_of(process.wait())) from None
        os.set_blocking(process.stdin.fileno(), False)  # it may not read
        return process

    def _no_start(self, got: str) -> WorkerError:
        where = "\n".join(self._stderr().split("\n")[-LAST_LINES:])
        what = "a module on PYTHONPATH, a package that is missing or damaged, too little memory"
        problem = f"expected a process that imports it, got {got}"
        return WorkerError(f"start {self.engine}", problem, where, f"what it says is at fault: {what}")

    def _stderr(self) -> str:
        """The end of what the child wrote to its standard error, on lines of its own."""
        self._messages.seek(0)
        text = self._messages.read().decode(errors="replace").strip()
        return f"\n{text[-DETAIL:]}" if text else ""


def _end_of(status: int) -> str:
    """How a process ended: its signal, or its exit status."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


@functools.cache
def shared_worker(engine: str = TVM) -> Worker:
    """One worker for this whole process and this engine, ended with it."""
    worker = Worker(engine)
    atexit.register(worker.close)
    return worker


class _Stopped(Exception):
    """The child gave no more replies, or could not compile the batch."""

    def __init__(self, kind: FindingKind, detail: str, origin: str = "") -> None:
        super().__init__(kind, detail)
        self.kind, self.detail, self.origin = kind, detail, origin


@dataclass
class _Frames:
    """Pickles with their lengths, to and from the other process. A timeout is for how long that may do nothing."""

    out: int
    into: int

    def write(self, message: Any, timeout: float | None = None) -> None:
        """Send a message. Raises TimeoutError where the pipe does not block, and BrokenPipeError when the other end is closed."""
        body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        for part in (struct.pack("<Q", len(body)), body):
            left = memoryview(part)
            while left:
                if not select.select([], [self.out], [], timeout)[1]:
                    raise TimeoutError
                left = left[os.write(self.out, left) :]

    def read(self, timeout: float | None = None) -> Any:
        """The next message. Raises TimeoutError, and EOFError when the other end is closed."""
        (size,) = struct.unpack("<Q", self._take(8, timeout))
        return pickle.loads(self._take(size, timeout))

    def _take(self, size: int, timeout: float | None) -> bytearray:
        taken = bytearray(size)
        left = memoryview(taken)
        while left:
            if not select.select([self.into], [], [], timeout)[0]:
                raise TimeoutError
            count = os.readv(self.into, [left])
            if not count:
                raise EOFError
            left = left[count:]
        return taken


# ---- the child's side ---------------------------------------------------------------------------


class Engine(Protocol):
    """What runs in the child: a compiler."""

    def lower(self, graph: Graph) -> Any:
        """The graph as the compiler takes it. Raises BridgeError where it has no form."""

    def compile(self, lowered: list[Any]) -> list[Run]:
        """A function for each."""


class Tvm:
    """TVM."""

    def __init__(self) -> None:
        _tvm.load()

    def lower(self, graph: Graph) -> Any:
        return to_relax(graph)

    def compile(self, lowered: list[Any]) -> list[Run]:
        """What runs each of the lowered graphs."""
        machine = build_relax(merge(lowered))
        return [functools.partial(call_relax, machine, k) for k in range(len(lowered))]


class Minicc:
    """The whole of minicc."""

    def lower(self, graph: Graph) -> Any:
        return minicc.compile(graph)

    def compile(self, lowered: list[Any]) -> list[Run]:
        """What runs each of the lowered graphs."""
        return [functools.partial(self.run, executable) for executable in lowered]

    def run(self, executable: Any, graph: Graph, inputs: Inputs) -> dict[str, Array]:
        return {name: np.asarray(array) for name, array in executable.run(dict(inputs)).items()}


def reason(error: Exception) -> str:
    """An error as a finding's detail."""
    text = str(error).strip()
    return (text if isinstance(error, MiniccError) else f"{type(error).__name__}: {text}")[-DETAIL:]


def origin(error: BaseException) -> str:
    """An error's class, and the function called or the innermost of minicc's: the same for a smaller graph.

    >>> origin(MiniccError('bind("j_1_i", 3)', "no such loop"))
    'MiniccError in bind'
    """
    name = type(error).__name__
    if isinstance(error, MiniccError):
        return f"{name} in {general(error.call.partition('(')[0])}"
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    frames = [frame for frame in frames if str(frame.f_globals.get("__name__")).startswith("minicc.")]
    if not frames or isinstance(error, RecursionError):  # whichever function was the last one
        return name
    return f"{name} in {frames[-1].f_globals['__name__']}.{frames[-1].f_code.co_qualname}"


def general(text: str) -> str:
    """Words without quoted names, shapes and numbers, which differ from graph to graph."""
    return re.sub(r"\"[^\"]*\"|'[^']*'|\[[^\]]*\]|\d+", "", text).strip()


def serve(engine: Engine, stream: _Frames) -> None:
    """Answer requests until the parent closes the pipe."""
    while True:
        try:
            timeout, jobs = stream.read()
        except EOFError:
            return
        _answer(engine, jobs, stream, timeout)
        stream.write(("end", -1, ""))


Sent: TypeAlias = Sequence[tuple[str, dict[str, Array], Inputs]]  # the text of a graph, its constants, its inputs


def _answer(engine: Engine, sent: Sent, stream: _Frames, timeout: float) -> None:
    """Lower every job by itself, compile all together, run each."""

    def tried(k: int, work: Callable[..., Any], *args: Any) -> Any:
        """What `work` gives; None where it raises, which the parent is told."""
        stream.write(("running", k, ""))
        try:
            with _watched(timeout):
                return work(*args)
        except Exception as error:
            no_form = isinstance(error, BridgeError) and error.problem.startswith(NO_FORM)
            kind = "failed" if k < 0 else "unsupported" if no_form else "error"
            stream.write((kind, k, (reason(error), origin(error))))
            return None

    def lowered(text: str, constants: dict[str, Array], inputs: Inputs) -> tuple[Graph, Inputs, Any]:
        graph = parse(text, constants)
        return graph, inputs, engine.lower(graph)

    ready = [(k, *made) for k, job in enumerate(sent) if (made := tried(k, lowered, *job))]
    compiled = tried(-1, engine.compile, [made for *_, made in ready]) if ready else None
    for (k, graph, inputs, _), run in zip(ready, compiled, strict=True) if compiled else ():
        if (outputs := tried(k, run, graph, inputs)) is not None:
            stream.write(("outputs", k, outputs))


@contextmanager
def _watched(timeout: float) -> Iterator[None]:
    """Let the operating system end this process if it hangs here and no parent is left to do so.

    Sending and receiving are not watched: without a parent they end by themselves.
    """
    signal.setitimer(signal.ITIMER_REAL, timeout + 10)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def main(engine: str = TVM) -> None:
    """Be the child."""
    out = os.dup(1)
    os.dup2(2, 1)  # what the compiler prints must not mix with the frames
    module, name = engine.split(":")
    made: Engine = getattr(importlib.import_module(module), name)()
    stream = _Frames(out, 0)
    stream.write(("ready", -1, ""))
    with np.errstate(all="ignore"):
        serve(made, stream)
    os._exit(0)  # no destructors: they are of no use, and may crash
