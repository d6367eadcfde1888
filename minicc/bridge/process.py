"""A process of its own for a compiler, which may crash or hang there and is then replaced.

In: the name of a function there, a message that JSON can say, and arrays. Out: its answer, or a `ChildFailure` that says how
the child failed: a crash (with its signal or exit status), a timeout, or an error that it raised; the last with what was
written to its standard error. Nothing is pickled. The loop at the other end is `minicc.bridge.inside.serve`.

    with ChildProcess("minicc.bridge.relax") as child:
        answer, arrays = child.ask("minicc.testing.engines:relax.lower", [0, str(graph)], graph.constants, timeout=60.0)

The child runs this very package, wherever that lies, and looks for modules in PYTHONPATH and among what is installed, never in
the current folder. One that says nothing when it has been started is a `WorkerError`, and no failure of the compiler.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any, Self

from minicc.bridge.frames import Arrays, FrameError, Frames, Message, pack
from minicc.bridge.inside.serve import DETAIL, FailureKind
from minicc.errors import WorkerError

START = 300.0  # seconds that a process may take to start: TVM is large, and the machine may be busy
LAST_LINES = 8  # of standard error in a WorkerError: the innermost frames of a traceback, and what was raised
PACKAGE = Path(__file__).parents[1] / "__init__.py"
# Of `minicc` the parent's, by its file: a folder of that name in the current folder, or another one that is installed, is not it.
# Without minicc's own requirements the package is bare: its modules can be imported, and nothing is before.
BOOT = """\
import importlib.util, sys
_, path, needed, *bare = sys.argv
spec = importlib.util.spec_from_file_location("minicc", path)
sys.modules["minicc"] = importlib.util.module_from_spec(spec)
if not bare:
    spec.loader.exec_module(sys.modules["minicc"])
importlib.import_module("minicc.bridge.inside.serve").main(needed)
"""


class ChildFailure(Exception):
    """The child gave no answer, and after a crash or a timeout has ended; `origin` of an error names what raised it."""

    def __init__(self, kind: FailureKind, detail: str, origin: str = "") -> None:
        super().__init__(kind, detail, origin)
        self.kind, self.detail, self.origin = kind, detail, origin
        self.ended = kind in ("crash", "timeout")


def this_python(needed: str) -> list[str]:
    """The command that starts a child of this Python, with the whole of minicc."""
    return [sys.executable, "-P", "-c", BOOT, str(PACKAGE), needed]


class ChildProcess:
    """A process that answers questions; started at the first one, and again after a crash. A context manager.

    `needed` names what is imported there before it is ready, as "module" or "module:object", and called if it is a function.
    `command(needed)` starts it. `starts` counts processes. Threads may share a child: they take turns.
    """

    def __init__(self, needed: str, command: Callable[[str], list[str]] = this_python) -> None:
        self.needed, self.command, self.starts = needed, command, 0
        self.turn = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stream: Frames
        self._messages: IO[bytes]  # the standard error of the child
        self._interrupted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child. It may be asked again: then another is started."""
        process, self._process = self._process, None
        if process:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, self._messages):
                with suppress(OSError):  # what was not sent is of no use
                    assert pipe is not None
                    pipe.close()

    def interrupt(self) -> None:
        """End a question of another thread, or the next one if it has not begun: it raises InterruptedError."""
        self._interrupted = True
        if process := self._process:
            process.kill()

    def resume(self) -> None:
        """Forget an interrupt that came too late to end a question: the next one goes on, in another process."""
        with self.turn:
            if self._interrupted:
                self.close()
                self._interrupted = False

    def ask(self, name: str, message: Any, arrays: Arrays, timeout: float) -> Message:
        """What the function `name` of the child gives for a message and arrays.

        Raises ChildFailure, and WorkerError when the child does not start. `timeout` is how many seconds it may do nothing.
        However a question ends early, by Ctrl-C for instance, the child is ended, too.
        """
        parts = pack([name, message, timeout], arrays)
        with self.turn:
            self.check()
            process = self._process or self._start()
            try:
                (what, *payload), results = self._exchange(parts, timeout)
            except TimeoutError:
                raise self._ended("timeout", f"no answer within {timeout:g} seconds") from None
            except FrameError as error:
                raise self._ended("crash", f"an answer that is none: {error}") from None
            except (EOFError, BrokenPipeError):
                self.check()
                raise self._ended("crash", _end_of(process.wait())) from None
            except BaseException:
                self.close()
                raise
        if what == "failed":
            raise ChildFailure(*payload)
        return payload[0], results

    def check(self) -> None:
        """Raise InterruptedError if `interrupt` was called."""
        if self._interrupted:
            self.close()
            self._interrupted = False
            raise InterruptedError("interrupt() was called")

    def _exchange(self, parts: list[bytes | memoryview], timeout: float) -> Message:
        self._stream.write(parts, timeout)
        answer = self._stream.read(timeout)
        self._forget_messages()
        return answer

    def _forget_messages(self) -> None:
        """Empty the standard error of a child that is well, so that what is in it when the child has ended is about that."""
        self._messages.seek(0)  # the child's position, too: both share the open file
        self._messages.truncate()

    def _ended(self, kind: FailureKind, detail: str) -> ChildFailure:
        """The failure, with what the child has said. The child is ended."""
        text = self._stderr()
        self.close()
        return ChildFailure(kind, detail + text)

    def _start(self) -> subprocess.Popen[bytes]:
        """Start a child, and wait until it is ready. Raises WorkerError."""
        command = self.command(self.needed)
        self._messages = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        try:
            # A session of its own, so that Ctrl-C reaches the parent only, which then ends the child.
            process = subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=self._messages, start_new_session=True)
        except OSError as error:
            raise self._no_start(str(error)) from None
        assert process.stdin is not None
        assert process.stdout is not None
        self._process, self._stream = process, Frames(process.stdout.fileno(), process.stdin.fileno())
        self.starts += 1
        try:
            self.check()  # interrupt() found no process to end
            self._stream.read(START)
        except TimeoutError:
            raise self._no_start(f"one that is not ready within {START:g} seconds") from None
        except FrameError as error:
            raise self._no_start(f"one that says something else: {error}") from None
        except EOFError:
            self.check()
            raise self._no_start(_end_of(process.wait())) from None
        except BaseException:
            self.close()
            raise
        self._forget_messages()
        os.set_blocking(process.stdin.fileno(), False)  # it may not read
        return process

    def _no_start(self, got: str) -> WorkerError:
        where = "\n".join(self._stderr().split("\n")[-LAST_LINES:])
        self.close()
        self._messages.close()  # if there is no process
        what = "a module on PYTHONPATH, a package that is missing or damaged, too little memory"
        problem = f"expected a process that imports it, got {got}"
        return WorkerError(f"start {self.needed}", problem, where, f"what it says is at fault: {what}")

    def _stderr(self) -> str:
        """The end of what the child wrote to its standard error, on lines of its own."""
        self._messages.seek(0)
        text = self._messages.read().decode(errors="replace").strip()
        return f"\n{text[-DETAIL:]}" if text else ""


def _end_of(status: int) -> str:
    """How a process ended: its signal, or its exit status."""
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"
