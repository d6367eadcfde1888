"""What takes long about a loop program, in a process of its own: its legal next moves, its counts, its measured time.

In: a question, and the program that it is about. Out: what JSON can say; `{"refused": ...}` where there is no answer, with the
reason. `answer` is what a child process runs, which a program that hangs or crashes takes down alone. A `Workbench` asks one
question at a time, so that a measurement has the machine for itself.

>>> from minicc.schedule.examples import doubled
>>> moves = Workbench(here).ask("moves", doubled(64).program)
>>> [move for move in moves if move["step"] == "parallel"]
[{'step': 'parallel', 'loop': 'i'}]
"""

from __future__ import annotations

import pickle
import pkgutil
import statistics
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicc.bridge.frames import Arrays, Message
from minicc.bridge.process import ChildFailure, ChildProcess
from minicc.compile import build
from minicc.errors import LoopError, MiniccError, RunError, WorkerError
from minicc.loop.caches import Cache
from minicc.loop.counts import count
from minicc.loop.program import Program
from minicc.runtime import memory
from minicc.schedule import STEPS, Schedule
from minicc.target import Target
from minicc.tensor.expr import Const, Expr, Var, const, substitute
from minicc.testing.draws import plain
from minicc.types import TensorType

SECONDS = {"moves": 60.0, "count": 20.0, "measure": 30.0}  # that an answer may take
ENOUGH, MOST_CALLS = 0.01, 1 << 14  # seconds of the calls that are timed together, and their number
LONG, MOST_TIMES = 0.4, 25  # seconds of all such times, and their number
MOST_ACCESSES = 1 << 21  # that are counted: about half a second

Ask = Callable[[str, Any, Arrays, float], Message]
Extent = int | Expr


# ---- the answers


def answer(message: Any, arrays: Arrays) -> Message:
    """What is asked for, about the program that is given, after a step if there is one."""
    try:
        program, target = pickle.loads(arrays["asked"].tobytes())  # the parent's own: nobody else asks
        if step := message["step"]:
            program = STEPS[step["step"]].from_json(step).apply(program)
        return ANSWERS[message["do"]](program, target, message), {}
    except MiniccError as error:
        return {"refused": str(error)}, {}


def moves(program: Program, target: Target, message: Any) -> Any:
    """Every legal next step."""
    return [step.to_json() for step in Schedule(program).moves()]


def measure(program: Program, target: Target, message: Any) -> Any:
    """Seconds of a call of its machine code on random arrays of the real sizes: the median, the least and the most."""
    buffers = (*program.params, *program.outputs)
    types = [TensorType(b.dtype, tuple([number(extent, message["sizes"]) for extent in b.shape])) for b in buffers]
    memory.check("measure", {b.name: t.bytes for b, t in zip(buffers, types, strict=True)})
    random = np.random.default_rng(0)
    given = [plain(t, random) for t in types]
    function = build(program, target=target)
    calls, times = 1, [function.time_evaluator(1, 1)(*given).mean]
    while times[0] * calls < ENOUGH and calls < MOST_CALLS:
        calls *= 2  # by small steps: on a busy machine the next call may take long
        times[0] = function.time_evaluator(calls, 1)(*given).mean
    until = time.monotonic() + LONG
    while len(times) < MOST_TIMES and time.monotonic() < until:
        times.append(function.time_evaluator(calls, 1)(*given).mean)
    return {"seconds": statistics.median(times), "least": min(times), "most": max(times)}


def counts(program: Program, target: Target, message: Any) -> Any:
    """What a run costs, with caches of these `(bytes, line, ways)`; no misses, and why, for a program that is too large for them."""
    caches, why = [Cache(*cache) for cache in message["caches"]], ""
    try:
        found = count(program, message["sizes"], caches, limit=MOST_ACCESSES)
    except LoopError as error:  # where not even totals are known, they say so
        found, why = count(program, message["sizes"], (), limit=MOST_ACCESSES), error.problem
    return {"loads": found.loads, "stores": found.stores, "flops": found.flops, "misses": found.misses, "why": why}


ANSWERS = {"moves": moves, "count": counts, "measure": measure}


def number(extent: Extent, sizes: Mapping[str, int]) -> int:
    """An extent as a number. Raises RunError where a size has none."""
    values: dict[Expr, Expr] = {Var(name): const(n) for name, n in sizes.items()}
    found = substitute(extent, values) if isinstance(extent, Expr) else const(extent)
    if not isinstance(found, Const):
        raise RunError("measure", f"expected a number for each size, got none for {extent}", hint="give the size one")
    return int(found.value)


# ---- the questions


class Cancelled(Exception):
    """Nobody wants the answer any more."""


def here(name: str, message: Any, arrays: Arrays, timeout: float) -> Message:
    """The answer, given in this process, however long it takes."""
    found: Message = pkgutil.resolve_name(name)(message, arrays)
    return found


class Workbench:
    """Asks for what takes long, by default in a child process. Threads take turns."""

    def __init__(self, ask: Ask | None = None) -> None:
        self._child = ChildProcess(__name__)
        self._ask = ask or self._child.ask
        self._turn, self._state = threading.Lock(), threading.Lock()
        self._for: object = None  # whose question may be cancelled now
        self._closed = False

    def ask(
        self, do: str, program: Program, target: Target | None = None, step: Any = None, sizes: Mapping[str, int] = {}, *,
        caches: Any = (), wanted: Callable[[], bool] = lambda: True, owner: object = None,
    ) -> Any:  # fmt: skip
        """The answer about `program`, after the step if one is given as JSON.

        `wanted` is asked when it is one's turn. Raises Cancelled where it says no, and where `cancel(owner)` is called then.
        """
        message = {"do": do, "step": step, "sizes": dict(sizes), "caches": caches}
        with self._turn:
            if self._closed or not wanted():
                raise Cancelled
            self._set(owner)
            try:
                asked = {"asked": np.frombuffer(pickle.dumps((program, target)), np.uint8)}
                return self._ask(f"{__name__}:answer", message, asked, SECONDS[do])[0]
            except InterruptedError:
                raise Cancelled from None
            except (ChildFailure, WorkerError, pickle.PicklingError, AttributeError) as error:
                return {"refused": f"{do}: {error.detail if isinstance(error, ChildFailure) else error}"}
            finally:
                self._set(None)
                self._child.resume()

    def _set(self, owner: object) -> None:
        with self._state:
            self._for = owner

    def cancel(self, owner: object) -> None:
        """End the question of `owner`, if it is answered now."""
        with self._state:
            if owner is not None and self._for is owner:
                self._child.interrupt()

    def stop(self) -> None:
        """End what is done now; nothing is answered any more. Does not wait, so a signal's handler may call it."""
        self._closed = True
        self._child.interrupt()

    def close(self) -> None:
        """`stop`, and wait until the child is gone."""
        self.stop()
        with self._turn:
            self._child.close()
