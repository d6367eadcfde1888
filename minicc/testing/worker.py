"""Batches of graphs for a compiler in a process of its own, which may crash or hang: today's TVM, the old TVM, or minicc.

In: jobs, that is graphs with arrays for their inputs. Out: for each the outputs by name, or a
`Finding` that says how the compiler failed: crash, timeout, error (it raises), or unsupported (an operator
of the graph has no form in TVM). Many graphs are compiled as one module, as that takes a fraction of the
time; a batch that fails is bisected, so a bad graph costs the others nothing but time. What
the compiler writes to its standard error goes into the finding.

    with Worker(RELAX) as worker:
        for outcome in worker.run([(graph, {"x": array})]):
            print(outcome)

A job is lowered, a batch is compiled, a job is run: each is a question to the child (`minicc.bridge.process`), so what it fails
at is known. The other end is `minicc.bridge.inside.jobs`, with the compilers of `minicc.testing.engines` or the old TVM's.
"""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from minicc.bridge.frames import Arrays, Message
from minicc.bridge.inside.serve import FailureKind, failure
from minicc.bridge.old_tvm import old_python
from minicc.bridge.process import ChildFailure, ChildProcess, this_python
from minicc.bridge.relay import relay_program
from minicc.graph.ir import Graph
from minicc.ops.base import Array
from minicc.target import Target

Inputs: TypeAlias = Mapping[str, Array]
Job: TypeAlias = tuple[Graph, Inputs]

BATCH = 64  # jobs that are compiled as one module
TIMEOUT = 60.0  # seconds
MOST_JOBS = 1000  # of one process: LLVM keeps some memory of all that it compiles


@dataclass(frozen=True, eq=False)
class Finding:
    """How a compiler failed on a graph: a crash (`detail` begins with the signal), a timeout, an error, or no form."""

    kind: FailureKind
    detail: str
    graph: Graph
    inputs: Inputs
    origin: str = ""  # of an error: what raised it, in words that a smaller graph shares

    def __str__(self) -> str:
        arrays = "".join(f"\n{name} = {array!r}" for name, array in self.inputs.items())
        return f"{self.kind}: {self.detail}\n{self.graph}{arrays}"


Outcome: TypeAlias = dict[str, Array] | Finding


def _text(graph: Graph) -> tuple[Any, Arrays]:
    return str(graph), graph.constants


def _relay(graph: Graph, **options: Any) -> tuple[Any, Arrays]:
    program = relay_program(graph)
    return program.message(**options), program.constants


def _fast_relay(graph: Graph) -> tuple[Any, Arrays]:
    return _relay(graph, opt_level=3, cpu=Target.native().cpu)


@dataclass(frozen=True, eq=False)
class Engine:
    """A compiler: the name of its `Jobs` in the child, and what the child needs; how it is started; how a graph is sent."""

    jobs: str
    needed: str = ""  # to be ready; the jobs, if nothing is said
    command: Callable[[str], list[str]] = this_python
    sent: Callable[[Graph], tuple[Any, Arrays]] = _text


RELAX = Engine("minicc.testing.engines:relax", needed="minicc.bridge._tvm:load")
RELAY = Engine("minicc.bridge.inside.graphs:jobs", command=old_python, sent=_relay)
# those that take their time to compile code that takes little to run
FAST_RELAX = replace(RELAX, jobs="minicc.testing.engines:fast_relax")
FAST_RELAY = replace(RELAY, sent=_fast_relay)
MINICC = Engine("minicc.testing.engines:machine_code")


class Worker(ChildProcess):
    """A child process that runs jobs of an engine: started at the first one, and again after a crash."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine.needed or engine.jobs, engine.command)
        self.engine = engine
        self._jobs = 0  # that the process has been given

    def close(self) -> None:
        super().close()
        self._jobs = 0

    def run(self, jobs: Sequence[Job], timeout: float = TIMEOUT) -> list[Outcome]:
        """An outcome for each job, in order. Raises WorkerError when the child does not start.

        `timeout` is how many seconds the compiler may take to compile a batch, and again to lower and to run each job.
        """
        outcomes: dict[int, Outcome] = {}
        waiting = [list(range(first, min(first + BATCH, len(jobs)))) for first in range(0, len(jobs), BATCH)][::-1]
        with self.turn:
            self.check()
            while waiting:
                if self._jobs >= MOST_JOBS:
                    self.close()
                waiting += reversed(self._batch(jobs, waiting.pop(), outcomes, timeout))
                self.check()
        return [outcomes[k] for k in range(len(jobs))]

    def _batch(
        self, jobs: Sequence[Job], batch: list[int], outcomes: dict[int, Outcome], timeout: float
    ) -> list[list[int]]:
        """Run a batch: put what is known into `outcomes`, and give the batches that are still to run."""
        self._jobs += len(batch)
        attempt = functools.partial(self._attempt, jobs, outcomes, timeout)
        with suppress(ChildFailure):  # what is left of the batch runs again, in another child
            ready: list[int] = []
            for k in batch:
                if attempt(k, self._lower, len(ready), jobs[k][0]):
                    ready.append(k)
            if len(ready) > 1 and not self._compile_together(timeout):
                return [ready[: len(ready) // 2], ready[len(ready) // 2 :]]
            if len(ready) == 1 and not attempt(ready[0], self._ask, "compile", None, {}):
                return []
            for number, k in enumerate(ready):
                if answered := attempt(k, self._ask, "run", number, jobs[k][1]):
                    outcomes[k] = answered[1]
        rest = [k for k in batch if k not in outcomes]
        return [rest] if rest else []

    def _attempt(
        self,
        jobs: Sequence[Job],
        outcomes: dict[int, Outcome],
        timeout: float,
        k: int,
        ask: Callable[..., Message],
        *args: Any,
    ) -> Message | None:
        """The child's answer; None where it fails, which is the outcome of job k. Raises ChildFailure where it has ended."""
        try:
            return ask(*args, timeout)
        except ChildFailure as failed:
            outcomes[k] = Finding(failed.kind, failed.detail, *jobs[k], failed.origin)
            if failed.ended:
                raise
            return None

    def _ask(self, step: str, message: Any, arrays: Arrays, timeout: float) -> Message:
        return self.ask(f"{self.engine.jobs}.{step}", message, arrays, timeout)

    def _compile_together(self, timeout: float) -> bool:
        """Whether all jobs that are lowered can be compiled. If not, no job is to blame."""
        try:
            self._ask("compile", None, {}, timeout)
        except ChildFailure:
            return False
        return True

    def _lower(self, number: int, graph: Graph, timeout: float) -> Message:
        """Send a graph. Raises ChildFailure where it has no form, too."""
        try:
            sent, constants = self.engine.sent(graph)
        except Exception as error:
            raise ChildFailure(*failure(error)) from error
        return self._ask("lower", (number, sent), constants, timeout)


@functools.cache
def shared_worker(engine: Engine) -> Worker:
    """One worker for this whole process and this engine, ended with it."""
    worker = Worker(engine)
    atexit.register(worker.close)
    return worker
