"""Whole models by all five: NumPy, minicc, Relay, Relax and onnxruntime; times and answers in one table.

    python -m benchmarks.judges                   five models, one thread
    python -m benchmarks.judges resnet18 --threads 2 --runs 15
    python -m benchmarks.judges --smoke           a small model, few runs: does it still work?

Batch 1, random weights, equal threads. All take turns, round by round, so that a slow moment hits all alike; `ms` is the median, and
`ratio` compares it with minicc's. `build s` leads from the bound graph (for onnxruntime: the model) to what runs. `apart` is the
greatest distance of an element from minicc's, as a share of the greatest magnitude in that output; above APART the run fails.

NumPy is our reference, node by node. Relay and Relax get our graph by the operators' own forms. Relay is built at opt_level 3 with the
schedules that it falls back to, untuned; it runs in a process of its own and keeps its own time there, copies of inputs and outputs left
out. Relax gives CPU code no schedule unless it is tuned: plain loops, one thread. A library reads its number of threads when it is loaded,
so the measuring is done by a second process, with OPENBLAS_NUM_THREADS and the like set.
"""

from __future__ import annotations

import argparse
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import minicc
from benchmarks.models import MODELS, Array, sample_inputs
from minicc.bridge.old_tvm import old_tvm
from minicc.bridge.relax import build_relax, call_relax, to_relax
from minicc.bridge.relay import relay_program
from minicc.config import with_threads
from minicc.errors import MiniccError
from minicc.graph import bind, evaluate
from minicc.runtime.load import Watch
from minicc.target import Target
from minicc.testing.compare import PATIENCE, Subject

FIVE = ("resnet18", "resnet50", "mobilenet_v2", "bert_layer", "yolov3_tiny")
SMALL = functools.partial(MODELS["bert_layer"], length=16, width=48)
APART = 1e-4  # of the greatest magnitude: float32 by other orders of summation is ten times closer
Run = Callable[[], tuple[float, Mapping[str, Array]]]  # seconds and outputs by name of one run


def timed(call: Callable[[], Mapping[str, Array]]) -> Run:
    """A run of this process, by the clock on the wall."""

    def run() -> tuple[float, Mapping[str, Array]]:
        start = time.perf_counter()
        outputs = call()
        return time.perf_counter() - start, outputs

    return run


def by_numpy(subject: Subject, threads: int) -> Run:
    return timed(lambda: evaluate(subject.graph, subject.inputs))


def by_minicc(subject: Subject, threads: int) -> Run:
    exe = minicc.compile(subject.graph, threads=threads)
    return timed(lambda: exe.run(subject.inputs))


def by_relay(subject: Subject, threads: int) -> Run:
    program, old = relay_program(subject.graph), old_tvm()
    message = program.message(opt_level=3, cpu=Target.native().cpu)
    old.ask("graphs.jobs.lower", [0, message], program.constants, PATIENCE)
    old.ask("graphs.jobs.compile", None)

    def run() -> tuple[float, Mapping[str, Array]]:
        (seconds,), _ = old.ask("graphs.time", {"job": 0, "threads": threads, "calls": 1}, subject.inputs, PATIENCE)
        return seconds, old.ask("graphs.jobs.run", 0, subject.inputs, PATIENCE)[1]

    return run


def by_relax(subject: Subject, threads: int) -> Run:
    machine = build_relax(to_relax(subject.graph), fast=True)
    return timed(lambda: call_relax(machine, 0, subject.graph, subject.inputs))


def by_onnxruntime(subject: Subject, threads: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(
        subject.model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return timed(lambda: dict(zip(names, session.run(names, subject.inputs), strict=True)))


JUDGES = {"numpy": by_numpy, "minicc": by_minicc, "relay": by_relay, "relax": by_relax, "onnxruntime": by_onnxruntime}


def apart(got: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The greatest distance of an element, as a share of the greatest magnitude of its output."""
    return max(float(np.abs(got[name] - y).max() / np.abs(y).max()) for name, y in expected.items())


def prepare(subject: Subject, threads: int) -> tuple[dict[str, Run], dict[str, float], list[str]]:
    """A run and the seconds to build it, of each judge; why another gives none."""
    runs, seconds, notes = {}, {}, []
    for judge, build in JUDGES.items():
        start = time.perf_counter()
        try:
            runs[judge] = build(subject, threads)
            seconds[judge] = time.perf_counter() - start
        except MiniccError as error:
            notes.append(f"no {judge}: {error}")
    return runs, seconds, notes


def subject_of(model: Any) -> Subject:
    return Subject(bind(minicc.load(model)), sample_inputs(model), model)


def measure(name: str, subject: Subject, threads: int, rounds: int) -> bool:
    """Print the four lines of a model; whether all five answer alike."""
    runs, build, notes = prepare(subject, threads)
    answers = {judge: run()[1] for judge, run in runs.items()}
    distances = {judge: apart(answer, answers["minicc"]) for judge, answer in answers.items()}
    watch, seconds = Watch(), {judge: [] for judge in runs}
    for _ in range(rounds):
        for judge, run in runs.items():
            seconds[judge].append(run()[0])
    middle = {judge: statistics.median(taken) for judge, taken in seconds.items()}
    ratio = {judge: taken / middle["minicc"] for judge, taken in middle.items()}
    ms = {judge: taken * 1e3 for judge, taken in middle.items()}
    rows = (("ms", ms, ".2f"), ("ratio", ratio, ".2f"), ("build s", build, ".1f"), ("apart", distances, ".1e"))
    for k, (row, cells, form) in enumerate(rows):
        shown = (format(cells[judge], form) if judge in cells else "-" for judge in JUDGES)
        print(f"{'' if k else name:14} {row:8}" + "".join(f"{cell:>12}" for cell in shown))
    for note in filter(None, [*notes, watch.note()]):
        print(note, flush=True)
    return len(runs) == len(JUDGES) and max(distances.values()) <= APART


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.judges", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", metavar="model", help=f"default: {', '.join(FIVE)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--smoke", action="store_true", help="one small model, three runs")
    parser.add_argument("--here", action="store_true", help="measure in this process, whatever the libraries use")
    options = parser.parse_args()
    if unknown := [name for name in options.models if name not in MODELS]:
        parser.error(f"no such model: {', '.join(unknown)}")
    if not options.here:
        command = [sys.executable, "-m", "benchmarks.judges", *sys.argv[1:], "--here"]
        environment = with_threads(options.threads)
        sys.exit(subprocess.run(command, cwd=Path(__file__).parent.parent, env=environment).returncode)
    print(f"{Target.native().cpu}, {options.threads} thread(s), batch 1")
    print(f"{'model':23}" + "".join(f"{judge:>12}" for judge in JUDGES))
    named = {name: MODELS[name] for name in options.models or FIVE}
    models = {"small bert": SMALL} if options.smoke else named
    prepare(subject_of(SMALL()), options.threads)  # starts what is started once
    alike = [
        measure(name, subject_of(build()), options.threads, 3 if options.smoke else options.runs)
        for name, build in models.items()
    ]
    sys.exit(0 if all(alike) else "an answer is missing, or too far apart")


if __name__ == "__main__":
    main()
