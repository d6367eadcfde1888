"""float32 matrix products beside NumPy's and TVM's, interleaved in one run.

    python -m benchmarks.gemm                     every size, 1 thread and 2 threads
    python -m benchmarks.gemm --sizes 49x1000x2048 --threads 1 --trace

TVM runs the same schedule through its own code generator; its column is absent where it is not
installed. A library reads its number of threads when it is loaded, so each number of threads is a
process of its own, with OPENBLAS_NUM_THREADS and the like set before NumPy is imported. One thread
is timed by its CPU time, which others on the machine do not change; several by the wall clock.
Medians of all runs are shown, and the best as a share of the limit: what the measured peak and the
measured bandwidth allow.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import minicc
from minicc.config import with_threads
from minicc.recipes.gemm import FEW_ROWS, gemm
from minicc.runtime.load import Watch
from minicc.runtime.roofline import Roofline
from minicc.target import Target

SIZES = ("1024x1024x1024", "1000x1000x1000", "777x777x777", "49x1000x2048", "1x4096x4096")
Call = Callable[[], object]


def peer(
    m: int, n: int, k: int, target: Target, a: np.ndarray, b: np.ndarray
) -> tuple[Call, Callable[[], np.ndarray]] | None:
    """A call of TVM and its result, where TVM is installed and has this schedule."""
    try:
        from benchmarks.tvm_gemm import tvm_gemm
    except ImportError:
        return None
    return tvm_gemm(m, n, k, target)(a, b) if m >= FEW_ROWS else None


def measure(m: int, n: int, k: int, target: Target, runs: int) -> dict[str, list[float]]:
    """Seconds of each run of each peer; they take turns. All results are compared with NumPy's."""
    rng = np.random.default_rng(0)
    a, b = rng.random((m, k), np.float32), rng.random((k, n), np.float32)
    c, expected = np.zeros((m, n), np.float32), np.zeros((m, n), np.float32)
    built = minicc.build(gemm(m, n, k, target), target=target, name="gemm")
    calls: dict[str, Call] = {"minicc": lambda: built(a, b, c), "numpy": lambda: np.matmul(a, b, out=expected)}
    other = peer(m, n, k, target, a, b)
    if other:
        calls["tvm"] = other[0]
    for call in calls.values():
        call()
    for got in [c, *([other[1]()] if other else [])]:
        np.testing.assert_allclose(got, expected, rtol=1e-4)
    clock = time.process_time if target.threads == 1 else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return seconds


def report(sizes: list[str], threads: int, runs: int, trace: bool) -> None:
    target, watch = Target.native().with_threads(threads), Watch()
    roofline = Roofline(target, [touched_by(*map(int, size.split("x"))) for size in sizes])
    print(f"{threads} thread(s), which peak at {roofline.peak / 1e9:.1f} GFLOP/s")
    print(
        f"{'m x n x k':16} {'minicc':>8} {'numpy':>8} {'tvm':>8} GFLOP/s {'to numpy':>9} {'to tvm':>7} {'of limit':>9}"
    )
    for size in sizes:
        m, n, k = map(int, size.split("x"))
        seconds = measure(m, n, k, target, runs)
        middle = {name: statistics.median(taken) for name, taken in seconds.items()}
        rates = {name: f"{2 * m * n * k / taken / 1e9:.1f}" for name, taken in middle.items()}
        versus = {name: f"{taken / middle['minicc']:.2f}" for name, taken in middle.items()}
        print(
            f"{size:16} {rates['minicc']:>8} {rates['numpy']:>8} {rates.get('tvm', '-'):>8} {'':7} {versus['numpy']:>9} "
            f"{versus.get('tvm', '-'):>7} {roofline.share(2 * m * n * k, touched_by(m, n, k), min(seconds['minicc'])):>9.1%}",
            flush=True,
        )
        if trace:
            print(gemm(m, n, k, target).trace)
    for note in filter(None, (roofline.settle([]), watch.note())):
        print(note)


def touched_by(m: int, n: int, k: int) -> int:
    """The bytes of the three matrices."""
    return 4 * (m * k + k * n + m * n)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gemm", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", nargs="*", default=list(SIZES), metavar="MxNxK")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--runs", type=int, default=25)
    parser.add_argument("--trace", action="store_true", help="print each schedule")
    parser.add_argument("--here", action="store_true", help="measure in this process, whatever the libraries use")
    options = parser.parse_args()
    for threads in options.threads:
        if options.here:
            report(options.sizes, threads, options.runs, options.trace)
            continue
        command = [
            sys.executable,
            "-m",
            "benchmarks.gemm",
            "--here",
            "--threads",
            str(threads),
            "--runs",
            str(options.runs),
            "--sizes",
            *options.sizes,
            *(["--trace"] if options.trace else []),
        ]
        subprocess.run(command, cwd=Path(__file__).parent.parent, env=with_threads(threads), check=True)


if __name__ == "__main__":
    main()
