"""How long the compiler itself takes for the 1024 x 1024 x 1024 product, stage by stage.

    python -m benchmarks.lowering                 a table: the first time in a process, and the best of ten
    python -m benchmarks.lowering --functions     also the functions that take longest, by cProfile

CPU time; `and schedule` lowers once more. The first time pays for caches that are filled (rules are indexed, LLVM's code generator
is made); the best is what each further kernel of its kind costs. Imports are not counted.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm

from minicc import te
from minicc.codegen.llvm import emit
from minicc.kernels.lower import finish
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.recipes.gemm import gemm
from minicc.runtime import jit
from minicc.schedule import Schedule
from minicc.target import Target

SIZE, STEPS = 1024, 50


class Clock:
    """Milliseconds of each stage."""

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}

    def time(self, stage: str, work: Callable[[], Any]) -> Any:
        started = time.process_time()
        made = work()
        self.stages[stage] = 1e3 * (time.process_time() - started)
        return made


def compile_once(target: Target) -> dict[str, float]:
    """From tensor expressions to loaded machine code."""
    clock = Clock()
    clock.time("te and lower", naive_product)
    schedule: Schedule = clock.time("and schedule", lambda: gemm(SIZE, SIZE, SIZE, target))
    program = clock.time("loop passes", lambda: finish(schedule.program))
    module = clock.time("emit", lambda: _emitted(program, target))
    source = clock.time("print", lambda: str(module))
    parsed = clock.time("LLVM parse", lambda: _parsed(source))
    generator = target.machine()
    clock.time("LLVM passes", lambda: _optimized(parsed, generator))
    code = clock.time("LLVM code", lambda: generator.emit_object(parsed))
    clock.time("link", lambda: jit.load([code], ["gemm"], target))
    return clock.stages


def _emitted(program: Program, target: Target) -> Any:
    module = jit.new_module("gemm", target)
    emit(module, program, target)
    return module


def _parsed(source: str) -> Any:
    parsed = llvm.parse_assembly(source)
    parsed.verify()
    return parsed


def _optimized(parsed: Any, generator: Any) -> None:
    options = llvm.create_pipeline_tuning_options(speed_level=jit.SPEED_LEVEL)
    options.loop_vectorization = options.slp_vectorization = False
    options.loop_unrolling = options.loop_interleaving = False
    builder = llvm.create_pass_builder(generator, options)
    builder.getModulePassManager().run(parsed, builder)


def naive_product() -> Program:
    """The product of two square matrices, as it comes from tensor expressions."""
    a, b = te.placeholder((SIZE, SIZE), name="A"), te.placeholder((SIZE, SIZE), name="B")
    k = te.reduce_axis((0, SIZE), name="k")
    c = te.compute((SIZE, SIZE), lambda i, j: te.sum(a[i, k] * b[k, j], axis=k), name="C")
    return lower([c], [a, b, c], "matmul").program


def long_trace() -> tuple[Program, Schedule]:
    """A naive product and a schedule of it in STEPS steps: splits, then reorders of all loops."""
    s = Schedule(naive_product())
    loops: dict[str, list[str]] = {"i": ["i"], "j": ["j"], "k": ["k"]}
    for round in range(2):
        for name, factor in (("i", 4), ("j", 16), ("k", 8)):
            outer, inner = s.split(loops[name][0], factor=factor)
            loops[name][0:1] = [outer, inner]
        s.reorder(*[loops[name][level] for level in range(round + 2) for name in ("i", "j", "k")])
    while len(s.trace) < STEPS - 2:
        inner, outer = s.loops_of("C")[3:5]
        s.reorder(outer, inner)
    s.unroll(loops["i"][-1])
    s.vectorize(loops["j"][-1])
    return s.start, s


def table(runs: list[dict[str, float]], python: tuple[str, ...]) -> None:
    print(f"{'stage':16} {'first ms':>9} {'best ms':>9}")
    for stage in runs[0]:
        print(f"{stage:16} {runs[0][stage]:9.1f} {min(r[stage] for r in runs):9.1f}")
    for name, chosen in (("Python", [s for s in runs[0] if s in python]), ("all", list(runs[0]))):
        totals = [sum(r[s] for s in chosen) for r in runs]
        print(f"{name:16} {totals[0]:9.1f} {min(totals):9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lowering", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--functions", action="store_true", help="print where Python spends its time")
    options = parser.parse_args()
    target = Target.native()
    table([compile_once(target) for _ in range(10)], ("te and lower", "and schedule", "loop passes", "emit", "print"))
    start, schedule = long_trace()
    taken = []
    for _ in range(10):
        started = time.process_time()
        schedule.trace.replay(start)
        taken.append(1e3 * (time.process_time() - started))
    print(f"\na trace of {len(schedule.trace)} steps replays in {min(taken):.1f} ms (first {taken[0]:.1f})")
    if options.functions:
        profile = cProfile.Profile()
        profile.runcall(lambda: [compile_once(target) for _ in range(5)])
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)


if __name__ == "__main__":
    main()
