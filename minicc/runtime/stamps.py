"""When each kernel of a call begins: runs of an executable with a clock between its kernels.

In: a function that runs all kernels once and notes the time before each, and after the last. Out: `[runs, kernels + 1]` seconds since
the first kernel of each run began. The first run warms up and is not counted; then come as many as fit in half a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicc.ir.arrays import Array

SECONDS, LEAST_RUNS, MOST_RUNS = 0.5, 3, 100  # as many runs as fit, at least and at most so many


def warm_stamps(run: Callable[..., Any], kernels: int) -> Array:
    """The stamps of runs after the first; `run(times)` notes nanoseconds in `times`, `[kernels + 1]` integers."""
    run()
    times: list[Array] = []
    until = time.perf_counter() + SECONDS
    while len(times) < LEAST_RUNS or (len(times) < MOST_RUNS and time.perf_counter() < until):
        times.append(np.zeros(kernels + 1, np.int64))
        run(times[-1])
    found = np.array(times)
    return np.asarray((found - found[:, :1]) / 1e9)


def medians(stamps: Array) -> tuple[float, ...]:
    """The median seconds of each kernel."""
    return tuple(np.median(np.diff(stamps), axis=0).tolist())


def usual(stamps: Array) -> Array:
    """The stamps of one run: that whose kernels are nearest to their medians, so that other work disturbed it least."""
    each = np.diff(stamps)
    return np.asarray(stamps[np.abs(each - np.median(each, axis=0)).sum(axis=1).argmin()])


def one_after_the_other(parts: Sequence[Array]) -> Array:
    """The stamps of several executables that run in turn, as those of one; the runs of those that had fewer are taken again."""
    runs = max(map(len, parts), default=1)
    found, end = [], np.zeros((runs, 1))
    for part in parts:
        rows = part[np.arange(runs) % len(part)]
        found.append(rows[:, :-1] + end)
        end = end + rows[:, -1:]
    return np.hstack([*found, end])
