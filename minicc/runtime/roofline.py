"""The machine's measured limits: what no kernel can exceed.

Peak arithmetic is measured with a loop of independent vector multiply-adds that stay in
registers; bandwidth with a copy between two arrays far larger than the last-level cache. A kernel
of `flops` and `bytes` cannot be faster than `max(flops / peak, bytes / bandwidth)` (Williams,
Waterman and Patterson 2009, the roofline model).
"""

from __future__ import annotations

import functools
import time

import numpy as np

from minicc.loop.ir import UNROLL, VECTORIZE, Alloc, Buffer, For, Stmt, Store, seq
from minicc.loop.program import Program
from minicc.runtime.assemble import KernelCall, Values, assemble
from minicc.runtime.executable import Port
from minicc.target import Target
from minicc.te.expr import Expr, Var
from minicc.types import float32

CHAINS = 10  # more than latency x issue width (4 x 2), fewer than the smallest register file
STEPS = 2_000_000
COPIED = 256 << 20  # bytes per array of the copy


def peak_program(lanes: int) -> Program:
    """STEPS times CHAINS independent vector multiply-adds, on accumulators that stay in registers."""
    x = Buffer("x", float32, (CHAINS, lanes))
    y = Buffer("y", float32, (CHAINS, lanes))
    total = Buffer("total", float32, (CHAINS, lanes), "local")

    def each(name: str, target: Buffer, value: Expr) -> Stmt:
        chain, lane = Var(f"chain{name}"), Var(f"lane{name}")
        inside = For(lane, lanes, Store(target, (chain, lane), value), VECTORIZE)
        return For(chain, CHAINS, inside, UNROLL)

    start, step, end = ((Var(f"chain{n}"), Var(f"lane{n}")) for n in ("0", "1", "2"))
    body = seq(
        each("0", total, x[start]),
        For(Var("step"), STEPS, each("1", total, total[step] * x[step] + x[step])),
        each("2", y, total[end]),
    )
    return Program("peak", (x,), (y,), Alloc(total, body))


@functools.cache
def measure_peak(target: Target) -> float:
    """float32 FLOP/s of one core, the best of a few short runs; by CPU time, as other work may share the core."""
    lanes = target.lanes(float32)
    program = peak_program(lanes)
    (x,), (y,) = program.params, program.outputs
    values = Values({x: Port("x", x.type)}, [(y, Port("y", y.type))], {})
    run = assemble("peak", [KernelCall(program, "peak", (x, y))], values, target)
    data = np.full((CHAINS, lanes), 0.5, np.float32)
    best = 0.0
    for _ in range(25):
        start = time.thread_time()
        run(data)
        best = max(best, 2 * lanes * CHAINS * STEPS / (time.thread_time() - start))
    return best


@functools.cache
def measure_bandwidth() -> float:
    """Bytes read and written per second by one core, the best of a few copies; by CPU time."""
    source, destination = np.ones(COPIED, np.uint8), np.zeros(COPIED, np.uint8)
    best = 0.0
    for _ in range(4):
        start = time.thread_time()
        np.copyto(destination, source)
        best = max(best, 2 * COPIED / (time.thread_time() - start))
    return best
