"""The loop of a child: it is asked for functions by name, and answers.

In: on the standard input, frames `[name, message, timeout]` with arrays. Out: on what was the standard output, for each a
frame `["answer", what the function gives]` with arrays, or `["failed", kind, detail, origin]` when it raises; first of all one
frame `["ready"]`. What the functions print goes to the standard error. The loop ends when the parent closes the pipe.

    answer = pkgutil.resolve_name("minicc.bridge.inside.graphs:text")({"source": "..."}, {})
"""

from __future__ import annotations

import os
import pkgutil
import re
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np

from minicc.bridge.frames import Frames, pack
from minicc.errors import BridgeError, MiniccError

FailureKind = Literal["crash", "timeout", "error", "unsupported"]
DETAIL = 4000  # characters of what is said of a failure: the top of a backtrace, which names the culprit, is its end
NO_FORM = ("expected an operator that TVM has", "expected known operands")  # of a BridgeError


def main(needed: str) -> None:
    """Be the child. `needed` names what must be imported before it is ready, and called if it is a function."""
    stream = Frames(os.dup(0), os.dup(1))
    os.dup2(2, 1)  # what a compiler prints must not mix with the frames
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # nor may what it starts read them
    found = pkgutil.resolve_name(needed)
    if callable(found):
        found()
    stream.write(pack(["ready"], {}))
    with np.errstate(all="ignore"):
        serve(stream)
    os._exit(0)  # no destructors: they are of no use, and may crash


def serve(stream: Frames) -> None:
    """Answer until the parent closes the pipe. Raises FrameError where it sends what is no frame."""
    while True:
        try:
            (name, message, timeout), arrays = stream.read()
        except EOFError:
            return
        try:
            with _watched(timeout):
                answer, results = pkgutil.resolve_name(name)(message, arrays)
            parts = pack(["answer", answer], results)
        except Exception as error:
            parts = pack(["failed", *failure(error)], {})
        stream.write(parts)


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


def failure(error: Exception) -> tuple[FailureKind, str, str]:
    """An error as the kind, the detail and the origin of a finding: "unsupported" where TVM has no form of an operator."""
    no_form = isinstance(error, BridgeError) and error.problem.startswith(NO_FORM)
    return "unsupported" if no_form else "error", reason(error), origin(error)


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
