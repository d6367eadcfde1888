"""Latency of whole models beside onnxruntime, interleaved in one run, equal threads, medians.

    python -m benchmarks                          every model, one thread
    python -m benchmarks resnet50 --kernels       one model, with GFLOP/s of each kernel
    python -m benchmarks --smoke                  one small model, few runs: does it still work?

Random weights, batch 1. Every answer is checked against onnxruntime's before it is timed. Memory is
the peak of the process when the model has been compiled, and when it has run: exact for the first
model of a run, the model file and its weights included.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime

import minicc
from benchmarks.models import MODELS, sample_inputs
from minicc.cli.options import profile
from minicc.runtime.load import Watch
from minicc.runtime.roofline import measure_bandwidth, measure_peak
from minicc.target import Target


def peer(model: onnx.ModelProto, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def peak_memory() -> float:
    """The most memory that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def interleaved(calls: dict[str, Callable[[], Any]], runs: int) -> dict[str, float]:
    """Median seconds of each call; they take turns, so that a slow moment hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(runs):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def worst(got: dict[str, Any], expected: dict[str, Any]) -> float:
    """The largest difference as a share of what rtol 1e-3 and atol 1e-4 x max(1, max|y|) allow."""
    found = 0.0
    for name, y in expected.items():
        allowed = 1e-3 * np.abs(y) + 1e-4 * max(1.0, float(np.abs(y).max()))
        found = max(found, float((np.abs(got[name] - y) / allowed).max()))
    return found


def measure(name: str, glue: bool, threads: int, runs: int, kernels: bool) -> None:
    model = MODELS[name](glue)
    inputs = sample_inputs(model)
    exe = minicc.compile(model, threads=threads)
    compiling = peak_memory()
    exe.run(inputs)
    running = peak_memory()
    session = peer(model, threads)
    expected = dict(zip([port.name for port in exe.outputs], session.run(None, inputs), strict=True))
    error = worst(exe.run(inputs), expected)
    watch = Watch()
    taken = interleaved({"minicc": lambda: exe.run(inputs), "onnxruntime": lambda: session.run(None, inputs)}, runs)
    note, flops = watch.note(), sum(k.flops for k in exe.kernels)
    print(
        f"{name + (' glue' if glue else ''):22} {taken['minicc'] * 1e3:9.1f} {taken['onnxruntime'] * 1e3:9.1f} "
        f"{taken['minicc'] / taken['onnxruntime']:6.2f} {flops / taken['minicc'] / 1e9:8.1f} {exe.compile_seconds:8.1f} "
        f"{len({k.symbol for k in exe.kernels}):8d} {exe.arena_bytes / 1e6:8.1f} {compiling:8.0f} {running:8.0f} {error:8.3f}",
        flush=True,
    )
    if note:
        print(f"    {note}", flush=True)
    if kernels:
        print_kernels(exe, inputs)


def print_kernels(exe: Any, inputs: dict[str, Any]) -> None:
    found = profile(exe, [inputs[port.name] for port in exe.inputs])
    print(f"    {'kernel':44} {'calls':>5} {'us':>9} {'share':>6} {'GFLOP/s':>8} {'of roofline':>11}")
    total = sum(k.seconds for k in found.rows)
    for k, share in zip(found.rows, found.shares, strict=True):
        print(
            f"    {k.name[:44]:44} {k.calls:5d} {k.seconds * 1e6:9.0f} {k.seconds / total:6.1%} "
            f"{k.flops / k.seconds / 1e9:8.1f} {share:11.0%}"
        )
    for note in found.notes:
        print(f"    {note}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="model", help=f"default: all of {', '.join(MODELS)}")
    parser.add_argument(
        "--glue", action="store_true", help="graphs as exporters leave them, BatchNorm and shape glue kept"
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument(
        "--kernels", action="store_true", help="print each kernel's time, GFLOP/s and share of the roofline"
    )
    parser.add_argument("--smoke", action="store_true", help="one small model, three runs")
    options = parser.parse_args()
    names = options.models or (["resnet18"] if options.smoke else list(MODELS))
    if unknown := [name for name in names if name not in MODELS]:
        parser.error(f"no such model: {', '.join(unknown)}")
    print(
        f"batch 1, {options.threads} thread(s), one core peaks at {measure_peak(Target.native()) / 1e9:.0f} GFLOP/s, "
        f"reads {measure_bandwidth(Target.native().with_threads(1)) / 1e9:.1f} GB/s; error: 1 is the tolerance"
    )
    print(
        f"{'model':22} {'minicc ms':>9} {'ort ms':>9} {'ratio':>6} {'GFLOP/s':>8} {'build s':>8} {'kernels':>8} "
        f"{'arena MB':>8} {'build MB':>8} {'run MB':>8} {'error':>8}"
    )
    for name in names:
        measure(name, options.glue, options.threads, 3 if options.smoke else options.runs, options.kernels)


if __name__ == "__main__":
    main()
