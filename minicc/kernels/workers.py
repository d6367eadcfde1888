"""Processes that compile kernels beside this one: the Python of a compilation takes longer than its LLVM, and holds one core.

In: tasks, and what does one here. Out: the results of all. A worker is a Python of its own, started with the path of
this one, that reads a task and writes its result until its input ends. Tasks are done here at the same time. What a
worker cannot do, because it does not start, fails or is killed, is done here, so errors are those of a compilation
in one process. All workers are gone when `spread` returns or raises.

    results = spread(tasks, 3, lambda task: compiled(*task))
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from minicc.errors import OpenTaskWarning

START = "import sys; sys.path[:] = {path!r}; from minicc.kernels.workers import serve; serve()"


def spread(
    tasks: Sequence[Any],
    workers: int,
    here: Callable[[Any], Any],
    there: str,
    told: Callable[[Any], None] | None = None,
) -> list[Any]:
    """The result of each task: `here(task)`, or that of the function of the name `there`, `module:function`, in a worker.

    `told` is called with each task that is done, in no order, by any thread.
    """
    results: list[Any] = [None] * len(tasks)
    waiting = deque(range(len(tasks)))
    started = [process for _ in range(workers) if (process := _start()) is not None]
    feeders = [
        threading.Thread(target=_feed, args=(p, there, tasks, waiting, results, told), daemon=True) for p in started
    ]
    try:
        for feeder in feeders:
            feeder.start()
        _work(waiting, tasks, results, here, told)
        for feeder in feeders:
            feeder.join()
        _work(waiting, tasks, results, here, told)  # what workers have given back
    finally:
        for process in started:
            _end(process)
    return results


def _work(
    waiting: deque[int], tasks: Sequence[Any], results: list[Any], here: Callable[[Any], Any], told: Callable[[Any], None] | None
) -> None:  # fmt: skip
    while True:
        try:
            n = waiting.popleft()
        except IndexError:  # asked for so, because a feeder may take the last one
            return
        results[n] = here(tasks[n])
        if told:
            told(tasks[n])


def _start() -> subprocess.Popen[bytes] | None:
    """A worker, if one can be started."""
    if not sys.executable:
        return None
    command = [sys.executable, "-c", START.format(path=sys.path)]
    try:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except OSError:
        return None


def _feed(
    process: subprocess.Popen[bytes], there: str, tasks: Sequence[Any], waiting: deque[int], results: list[Any],
    told: Callable[[Any], None] | None,
) -> None:  # fmt: skip
    """Give tasks to a worker, one at a time, until there are none or it fails."""
    n = None
    try:
        assert process.stdin and process.stdout
        while waiting:
            if n is None:  # a worker that is not up yet takes no task away
                pickle.dump(there, process.stdin)
                process.stdin.flush()
                pickle.load(process.stdout)
            n = waiting.pop()
            pickle.dump(tasks[n], process.stdin)
            process.stdin.flush()
            results[n] = pickle.load(process.stdout)
            if told:
                told(tasks[n])
    except IndexError:  # another took the last one
        return
    except Exception:  # whatever it is: the task is done here
        if n is not None:
            waiting.append(n)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe:
                pipe.close()
        except OSError:  # what was not written yet has no reader
            continue
    process.wait()


def serve() -> None:
    """What a worker does: the name of a function, then tasks for it, until the input ends or a task fails."""
    warnings.simplefilter("error", OpenTaskWarning)  # who started us does that kernel, and tells
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the one who started us, and who ends us
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nobody else writes there
    module, _, name = pickle.load(sys.stdin.buffer).partition(":")
    __import__(module)
    function = getattr(sys.modules[module], name)
    result: Any = "ready"
    while True:
        pickle.dump(result, answers)
        answers.flush()
        try:
            task = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        result = function(task)
