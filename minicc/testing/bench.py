"""A model's latency beside that of its peers, in turns.

In: a `BenchJob` (a model file, threads, inputs), names of peers. Out: a `BenchTiming` for each: median and spread of its calls, what building it
took, how far its answer is from the others'. With one thread all peers live in one process, and take turns call by call, so that a slow
moment of the machine hits all alike. With more they live in a process each, as their pools of threads spin for a while after a call and
would take the processors from the others; turns are some calls long, after a pause in which pools fall asleep.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minicc.config import with_threads
from minicc.errors import ConfigError, nearest
from minicc.runtime.load import Watch
from minicc.target import Target
from minicc.testing.peers import PEERS, BenchJob, message

OURS = "minicc"
PAUSE = 0.05  # seconds until the pool of another peer sleeps
TURN = 4  # calls of a turn, where peers live in a process each; the first warms up


@dataclass
class BenchTiming:
    """The calls of one peer. Times are seconds; `memory` bytes at most held by its process, 0 where it is not alone there."""

    peer: str
    build: float = 0.0
    seconds: list[float] = field(default_factory=list)
    apart: float = (
        0.0  # the greatest distance of an element from the first peer's, as a share of the output's greatest magnitude
    )
    memory: int = 0
    problem: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.seconds) if self.seconds else float("nan")

    @property
    def spread(self) -> float:
        """Half of the distance from the lower to the upper quartile, as a share of the median."""
        low, high = np.quantile(self.seconds, [0.25, 0.75]) if self.seconds else (0.0, 0.0)
        return float(high - low) / 2 / self.median if self.seconds else 0.0


@dataclass
class BenchResult:
    """All peers on one model."""

    model: str
    batch: int
    threads: int
    timings: list[BenchTiming]
    processor: str = field(default_factory=lambda: Target.native().cpu)
    note: str = ""

    def of(self, peer: str) -> BenchTiming | None:
        return next((t for t in self.timings if t.peer == peer and t.seconds), None)

    @property
    def fastest(self) -> BenchTiming | None:
        """The fastest of the others."""
        return min((t for t in self.timings if t.peer != OURS and t.seconds), key=lambda t: t.median, default=None)

    @property
    def ratio(self) -> float:
        """The time of the fastest other by ours: above 1 we are ahead."""
        ours, other = self.of(OURS), self.fastest
        return other.median / ours.median if ours and other else float("nan")

    def record(self) -> dict[str, Any]:
        """As JSON has it."""
        more = [{"median": t.median, "spread": t.spread} for t in self.timings]
        timings = [asdict(t) | extra for t, extra in zip(self.timings, more, strict=True)]
        return asdict(self) | {"timings": timings, "ratio": self.ratio}


class Process:
    """The other end of `minicc.testing.peers`, pinned to nothing, with so many threads."""

    def __init__(self, job: BenchJob) -> None:
        command = [sys.executable, "-m", "minicc.testing.peers"]
        self.child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=with_threads(job.threads))  # fmt: skip
        self._say(message(job))

    def _say(self, line: str) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()

    def ask(self, *question: Any) -> Any:
        """The answer. Raises RuntimeError with the reason when there is none."""
        assert self.child.stdout is not None
        try:
            self._say(json.dumps(question))
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = ""
        reply = json.loads(line) if line else {"error": f"the process died with status {self.child.wait()}"}
        if "error" in reply:
            raise RuntimeError(reply["error"])
        return reply["ok"]

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *args: object) -> None:
        self.child.kill()
        self.child.communicate()


def check_peers(names: Sequence[str]) -> None:
    """Raise ConfigError when a name is no peer's."""
    for name in names:
        if name not in PEERS:
            near = nearest(name, list(PEERS))
            hint = f"did you mean {near!r}?" if near else f"one or more of {', '.join(PEERS)}"
            raise ConfigError(f"--vs {','.join(names)}", f"expected names of peers, got {name!r}", hint=hint)


Report = Callable[[str, int, int], None]  # what is done now, steps done, steps in all


def measure(
    job: BenchJob,
    peers: Sequence[str],
    *,
    runs: int = 15,
    batch: int = 1,
    name: str = "",
    report: Report = lambda *_: None,
) -> BenchResult:
    """Time minicc and the peers on a model, each `runs` times at least, in turns."""
    check_peers(peers)
    everyone = [OURS, *(p for p in dict.fromkeys(peers) if p != OURS)]
    timings = {peer: BenchTiming(peer) for peer in everyone}
    turn = 1 if job.threads == 1 else TURN
    steps, done = len(everyone) * (1 + -(-runs // turn)), 0
    watch = Watch()
    with ExitStack() as stack:
        together = stack.enter_context(Process(job)) if job.threads == 1 else None
        processes = {peer: together or stack.enter_context(Process(job)) for peer in everyone}
        for peer, process in processes.items():
            report(f"building {peer}", done, steps)
            timings[peer].problem = _attempt(partial(_build, timings[peer], process))
            done += 1
        _check_answers(timings, processes, job.apart)
        for _ in range(-(-runs // turn)):
            for peer, process in processes.items():
                report(f"timing {peer}", done, steps)
                if not timings[peer].problem:
                    time.sleep(0.0 if together else PAUSE)
                    timings[peer].problem = _attempt(partial(_take, timings[peer], process, turn))
                done += 1
        for peer, process in processes.items():
            if not together and not timings[peer].problem:
                timings[peer].memory = process.ask("memory")
    return BenchResult(
        name or Path(job.model).stem, batch, job.threads, list(timings.values()), note=watch.note() or ""
    )


def _attempt(work: Callable[[], Any]) -> str:
    try:
        work()
    except RuntimeError as error:
        return str(error) or "no answer"
    return ""


def _build(timing: BenchTiming, process: Process) -> None:
    timing.build = process.ask("build", timing.peer)
    process.ask("time", timing.peer, 2)


def _take(timing: BenchTiming, process: Process, turn: int) -> None:
    found = process.ask("time", timing.peer, turn)
    timing.seconds += found[1:] or found


def _check_answers(timings: dict[str, BenchTiming], processes: dict[str, Process], most: float) -> None:
    """How far each answer is from that of the first other peer that gives one."""
    with tempfile.TemporaryDirectory() as folder:
        answers: dict[str, list[Any]] = {}
        for peer, timing in timings.items():
            path = str(Path(folder) / f"{len(answers)}.npz")
            timing.problem = timing.problem or _attempt(partial(processes[peer].ask, "answer", peer, path))
            if not timing.problem:
                with np.load(path) as found:
                    answers[peer] = [found[str(n)] for n in range(len(found))]
        first = next((peer for peer in answers if peer != OURS), OURS)
        for peer, arrays in answers.items():
            timings[peer].apart = max(map(_apart, arrays, answers[first]), default=0.0)
            if not timings[peer].apart <= most:
                timings[peer].problem = f"wrong: {timings[peer].apart:.1e} of the greatest magnitude from {first}"


def _apart(got: Any, expected: Any) -> float:
    if got.shape != expected.shape or not np.array_equal(np.isnan(got), np.isnan(expected)):
        return float("inf")
    scale = float(np.nanmax(np.abs(expected), initial=0)) or 1.0
    return float(np.nanmax(np.abs(got.astype(np.float64) - expected), initial=0)) / scale


def rows(results: Sequence[BenchResult]) -> Iterator[list[str]]:
    """The table: a row for each model, a column for each peer of COLUMNS, in milliseconds."""
    for result in results:
        cells = [_cell(next((t for t in result.timings if t.peer == peer), None)) for peer in columns(results)]
        yield [result.model, str(result.batch), str(result.threads), *cells, f"{result.ratio:.2f}"]


def columns(results: Sequence[BenchResult]) -> list[str]:
    """The peers of a table."""
    return [peer for peer in PEERS if any(t.peer == peer for r in results for t in r.timings)]


def _cell(timing: BenchTiming | None) -> str:
    return "-" if timing is None or not timing.seconds else f"{timing.median * 1e3:.2f} ±{timing.spread:.0%}"
