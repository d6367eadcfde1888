"""The old TVM, the last with Relay, in a process of its own.

In: the name of a function of `minicc.bridge.inside`, a message that JSON can say, and arrays. Out: its answer, with arrays; or
an `OldTvmFailure` that says how the old TVM failed. It runs in the environment of `minicc.bridge.environment`.

    text, _ = old_tvm().ask("graphs.text", {"source": "main = relay.Function([], relay.Tuple([]))"})
"""

from __future__ import annotations

import atexit
import functools
import tempfile
from typing import Any

from minicc.bridge.environment import python_of_relay
from minicc.bridge.frames import Arrays, Message
from minicc.bridge.process import BOOT, PACKAGE, ChildFailure, ChildProcess
from minicc.errors import BridgeError


class OldTvmFailure(BridgeError):
    """The old TVM gave no answer. `kind` is crash, timeout or error; `origin` of an error names what raised it."""

    has_lines = True

    def __init__(self, call: str, failed: ChildFailure) -> None:
        hint = "the old TVM runs in a process of its own: minicc goes on without it, and the next call starts another if it has ended"
        super().__init__(call, f"TVM 0.16 gave no answer: {failed.kind}: {failed.detail}", hint=hint)
        self.failed, self.kind, self.origin = failed, failed.kind, failed.origin

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.call, self.failed)


def old_python(needed: str) -> list[str]:
    """The command that starts a child with the old TVM, which asks no network for schedules. Raises BridgeError where it is not installed."""
    start = [str(python_of_relay()), "-I", "-c", BOOT, str(PACKAGE), needed, "bare"]
    return ["env", f"--chdir={_folder().name}", "TOPHUB_LOCATION=NONE", *start]


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """The current folder of such children: the old TVM unpickles what lies in a folder there when it is imported, and leaves it behind."""
    return tempfile.TemporaryDirectory(prefix="minicc-")


class OldTvm:
    """A child that holds the old TVM; started at the first question, and again after a crash. A context manager that ends it."""

    def __init__(self) -> None:
        self.child = ChildProcess("tvm.relay", old_python)

    def __enter__(self) -> OldTvm:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child, and forget what it keeps."""
        self.child.close()

    def ask(self, name: str, message: Any, arrays: Arrays | None = None, timeout: float = 60.0) -> Message:
        """What the function "file.function" of `minicc.bridge.inside` gives: its answer, and arrays by name.

        Raises OldTvmFailure; BridgeError where the old TVM is not installed, and WorkerError where it does not start.
        """
        try:
            return self.child.ask(f"minicc.bridge.inside.{name}", message, arrays or {}, timeout)
        except ChildFailure as failed:
            raise OldTvmFailure(f"old_tvm().ask({name!r})", failed) from None


@functools.cache
def old_tvm() -> OldTvm:
    """One for this whole process, ended with it."""
    made = OldTvm()
    atexit.register(made.close)
    return made
