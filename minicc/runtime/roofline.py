"""The machine's measured limits: what no kernel can exceed.

Peak arithmetic is measured with a loop of independent vector multiply-adds that stay in
registers; bandwidth with sums over an array as large as what a kernel works on, over and over, so
that it comes from the cache that holds it. A kernel of `flops` and `bytes` cannot be faster than
`max(flops / peak, bytes / bandwidth)` (Williams, Waterman and Patterson 2009, the roofline model).
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable

import numpy as np

from minicc.ir.drawn import Drawn
from minicc.loop.ir import PARALLEL, SERIAL, UNROLL, VECTORIZE, Alloc, Buffer, For, Stmt, Store, seq
from minicc.loop.place_buffers import place_buffers
from minicc.loop.program import Program
from minicc.runtime.assemble import KernelCall, Values, assemble
from minicc.runtime.executable import Executable, load
from minicc.runtime.image import Port
from minicc.target import Target
from minicc.tensor.expr import Expr, Var, const
from minicc.types import float32

CHAINS = 10  # more than latency x issue width (4 x 2), fewer than the smallest register file
STEPS = 2_000_000
RUNS = 10
LEAST, MOST = 1 << 14, 1 << 26  # bytes of an array that is read: a part of the first cache, and of a large last one
MEMORY = 1 << 28  # of one that is mostly in memory
READ = 1 << 26  # bytes that are read in one go
TINY = 1e-9  # what is computed on: x + x*TINY is x again, neither huge nor denormal
CHANGED = 0.1  # a share by which limits that differ are told


def _chains(name: str, target: Buffer, at: tuple[Expr, ...], value: Callable[[Var, Var], Expr], lanes: int) -> Stmt:
    """`target[*at, chain, lane] = value(chain, lane)` for all chains, unrolled, and lanes, as a vector."""
    chain, lane = Var(f"chain{name}"), Var(f"lane{name}")
    inside = For(lane, lanes, Store(target, (*at, chain, lane), value(chain, lane)), VECTORIZE)
    return For(chain, CHAINS, inside, UNROLL)


def peak_program(lanes: int, threads: int = 1) -> Program:
    """STEPS times CHAINS independent vector multiply-adds on each thread, on accumulators that stay in registers."""
    x = Buffer("x", float32, (CHAINS, lanes))
    y = Buffer("y", float32, (threads, CHAINS, lanes))
    total, thread = Buffer("total", float32, (CHAINS, lanes), "local"), Var("thread")
    body = seq(
        _chains("0", total, (), lambda c, v: x[c, v], lanes),
        For(Var("step"), STEPS, _chains("1", total, (), lambda c, v: total[c, v] + total[c, v] * x[0, v], lanes)),
        _chains("2", y, (thread,), lambda c, v: total[c, v], lanes),
    )
    return Program("peak", (x,), (y,), For(thread, threads, Alloc(total, body), PARALLEL if threads > 1 else SERIAL))


def read_program(size: int, target: Target) -> Program:
    """Sums over `size` bytes, READ bytes in all; each thread has a part of its own."""
    lanes, threads = target.lanes(float32), target.threads
    steps = max(1, size // (4 * CHAINS * lanes * threads))
    x = Buffer("x", float32, (threads, steps, CHAINS, lanes))
    y = Buffer("y", float32, (threads, CHAINS, lanes))
    total = Buffer("total", float32, (CHAINS, lanes), "local")
    thread, turn, step = Var("thread"), Var("turn"), Var("step")
    sums = _chains("1", total, (), lambda c, v: total[c, v] + x[thread, step, c, v], lanes)
    body = seq(
        _chains("0", total, (), lambda c, v: const(0.0, float32), lanes),
        For(turn, max(1, READ // size), For(step, steps, sums)),
        _chains("2", y, (thread,), lambda c, v: total[c, v], lanes),
    )
    return Program("read", (x,), (y,), For(thread, threads, Alloc(total, body), PARALLEL if threads > 1 else SERIAL))


def _executable(program: Program, target: Target) -> Executable:
    (x,), (y,) = program.params, program.outputs
    values = Values({x: Port("x", x.type)}, [(y, Port("y", y.type))], {})
    return load(assemble(program.name, [KernelCall(place_buffers(program), program.name, (x, y))], values, target))


@functools.lru_cache(maxsize=16)
def _made(size: int, target: Target) -> tuple[Executable, int]:
    """The program that reads `size` bytes, or of the peak for 0, and how many bytes its input has."""
    program = read_program(size, target) if size else peak_program(target.lanes(float32), target.threads)
    made = _executable(program, target)
    return made, made.inputs[0].type.bytes


def _fastest(size: int, target: Target, clock: Callable[[], float]) -> float:
    """Seconds of the fastest of a few runs."""
    made, _ = _made(size, target)
    data = np.full(made.inputs[0].shape, TINY, np.float32)
    best = float("inf")
    for _ in range(RUNS if size <= READ else 3):
        start = clock()
        made(data)
        best = min(best, clock() - start)
    return best


def measure_peak(target: Target) -> float:
    """float32 FLOP/s of the threads of a target, all at once, the best of a few short runs: cores that work together are
    slower than one alone. That of one thread by CPU time, as other work may share the core."""
    clock = time.thread_time if target.threads == 1 else time.perf_counter
    return 2 * target.lanes(float32) * CHAINS * STEPS * target.threads / _fastest(0, target, clock)


def measure_bandwidth(target: Target, size: int = MEMORY) -> float:
    """Bytes per second that the threads of a target read together, over and over from an array of `size` bytes."""
    clock = (
        time.thread_time if target.threads == 1 else time.perf_counter
    )  # of one thread by CPU time, as with the peak
    _, held = _made(size, target)
    return held * max(1, READ // size) / _fastest(size, target, clock)


class Roofline(Drawn):
    """The limits of a target: its peak, and the bandwidth to memory and to where so many bytes lie, for each of `sizes`, or of the
    caches; all threads together.

    They are measured at once, and again at the end. The larger of what was found counts: other work
    makes a measurement worse, never better.
    """

    def __init__(self, target: Target, sizes: Iterable[int] = ()) -> None:
        self.target = target
        caches, threads = target.caches, target.threads
        self._levels = {"L1": caches.l1 * threads, "L2": caches.l2 * threads, "L3": caches.l3}
        asked = list(sizes) or [size // 2 for size in self._levels.values()]
        self._limits = self._measure({0, MEMORY, *map(_class_of, asked)})

    @property
    def peak(self) -> float:
        """FLOP/s."""
        return self._limits[0]

    def limits(self) -> dict[str, float]:
        """Bytes/s by where they come from, the nearest first: the caches that were asked of, and memory; and FLOP/s as `peak`."""
        found: dict[str, float] = {}
        for size, speed in sorted(self._limits.items()):
            inner = (name for name, most in self._levels.items() if size <= most)
            name = "peak" if not size else "memory" if size == MEMORY else next(inner, "memory")
            found[name] = max(speed, found.get(name, 0.0))
        return {**found, "peak": found.pop("peak")}

    def _measure(self, sizes: Iterable[int]) -> dict[int, float]:
        """The bandwidth of each size; that of 0 is the peak."""
        return {size: measure_bandwidth(self.target, size) if size else measure_peak(self.target) for size in sizes}

    def share(self, flops: int, bytes: int, seconds: float) -> float:
        """Of the limits, what a kernel of so many operations on so many bytes reached."""
        return max(flops / self.peak, bytes / self._limits[_class_of(bytes)]) / seconds if seconds > 0 else 0.0

    def settle(self, kernels: Iterable[tuple[int, int, float]]) -> str | None:
        """Measure again, and take what the kernels of flops, bytes and seconds that ran meanwhile reached as a proof, too.

        Gives a line when a limit has changed.
        """
        before = self._limits
        again = self._measure(before)
        self._limits = {size: max(speed, again[size]) for size, speed in before.items()}
        for flops, bytes, seconds in kernels:
            if seconds > 0:
                size = _class_of(bytes)
                self._limits[0] = max(self._limits[0], flops / seconds)
                self._limits[size] = max(self._limits[size], bytes / seconds)
        change = max(self._limits[size] / min(before[size], again[size]) - 1 for size in before)
        if change <= CHANGED:
            return None
        return f"note: the machine's limits changed by {change:.0%} between two measurements, so shares of the roofline are rough"


def _class_of(bytes: int) -> int:
    """The size of the array by which the bandwidth to so many bytes is measured: not more of them, so as fast at least."""
    size = LEAST
    while 4 * size <= min(bytes, MOST):
        size *= 4
    return size
