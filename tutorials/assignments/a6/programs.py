"""The programs that are to be scheduled, how a file of steps is read, and what a program costs.

Nothing here is to be changed: the grader has its own.

    s = scheduled("matmul", Path("matmul.trace").read_text(), (48, 48, 48))
    print(s.program, cost(s.program))
    print(milliseconds("matmul", s.program))
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minicc import te
from minicc.compile import build
from minicc.course.costs import room, rounds, written_out
from minicc.course.judging import Unequal, check_steps, replayed
from minicc.loop.counts import count
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.schedule import Schedule, Trace
from minicc.schedule.typed import type_steps
from minicc.target import Target

PRIMITIVES = ("split", "reorder", "fuse", "unroll", "vectorize", "cache_read", "cache_write", "compute_at", "compute_inline",
              "compute_root", "reverse_compute_at", "decompose_reduction", "rfactor", "partition_loop", "unswitch", "prefetch")  # fmt: skip
CACHE = te.Cache(2 << 10, line=64, ways=None)
MISS, REGISTERS = (
    4,
    256,
)  # what a miss costs, in rounds; elements of scope local that registers and the stack have room for
MOST_WRITTEN, MOST_BYTES, MOST_WORK = (
    4096,
    64 << 20,
    20,
)  # statements written out; bytes; trips, for each of the naive program


@dataclass(frozen=True)
class StatedKernel:
    """A program of some sizes: those at which it is timed, those at which it is counted, and what it computes, in float64."""

    program: Callable[..., Program]
    timed: tuple[int, ...]
    counted: tuple[int, ...]
    expected: Callable[..., np.ndarray]


def matmul(rows, columns, depth):
    """C[i, j] is the sum over k of A[i, k] * B[k, j]."""
    A, B = te.placeholder((rows, depth), name="A"), te.placeholder((depth, columns), name="B")
    k = te.reduce_axis((0, depth), name="k")
    C = te.compute((rows, columns), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    return lower([C], [A, B, C], "matmul").program


def conv(height, width, channels, filters):
    """A convolution of 3 x 3, channels last, over an image that has its frame already."""
    I = te.placeholder((height + 2, width + 2, channels), name="I")  # noqa: E741
    W = te.placeholder((3, 3, channels, filters), name="W")
    dy, dx = te.reduce_axis((0, 3), name="dy"), te.reduce_axis((0, 3), name="dx")
    c = te.reduce_axis((0, channels), name="c")
    O = te.compute((height, width, filters),  # noqa: E741
                   lambda y, x, f: te.sum(I[y + dy, x + dx, c] * W[dy, dx, c, f], axis=[dy, dx, c]), name="O")  # fmt: skip
    return lower([O], [I, W, O], "conv").program


def softmax(rows, columns):
    """P[p, q] is exp(A[p, q]) by the sum of these of a row; the greatest element of a row is taken away before."""
    A = te.placeholder((rows, columns), name="A")
    k, l = te.reduce_axis((0, columns), name="k"), te.reduce_axis((0, columns), name="l")  # noqa: E741
    M = te.compute((rows,), lambda i: te.max(A[i, k], axis=k), name="M")
    E = te.compute((rows, columns), lambda y, x: te.exp(A[y, x] - M[y]), name="E")
    S = te.compute((rows,), lambda r: te.sum(E[r, l], axis=l), name="S")
    P = te.compute((rows, columns), lambda p, q: E[p, q] * (1.0 / S[p]), name="P")
    return lower([P], [A, P], "softmax").program


def right_conv(I, W):  # noqa: E741
    height, width = I.shape[0] - 2, I.shape[1] - 2
    return sum(I[y : y + height, x : x + width] @ W[y, x] for y in range(3) for x in range(3))


def right_softmax(A):
    powers = np.exp(A - A.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


KERNELS = {
    "matmul": StatedKernel(matmul, (384, 384, 384), (48, 48, 48), lambda A, B: A @ B),
    "conv": StatedKernel(conv, (28, 28, 32, 64), (7, 12, 8, 16), right_conv),
    "softmax": StatedKernel(softmax, (256, 512), (8, 96), right_softmax),
}


# ---- from a file to a program


def scheduled(name, text, sizes):
    """A schedule of a kernel at some sizes with the steps of a text done: one in each line, or all as JSON. Nothing is evaluated.

    Raises ScheduleError for what is no step, or is not legal, and Unequal for a step that is not allowed, and for too much of it.
    """
    naive = KERNELS[name].program(*sizes)
    if text.lstrip().startswith("["):
        s = replayed(Trace.from_json(text), naive, PRIMITIVES)
    else:
        s = Schedule(naive)
        type_steps(s, text, lambda done: check_steps(done, PRIMITIVES))
    check_size(s.program, naive)
    return s


def check_size(program, naive):
    """Raise Unequal where a program is larger than machine code should be, takes too much memory, or does much too much."""
    small = written_out(program.body) <= MOST_WRITTEN and 4 * room(program.body) <= MOST_BYTES
    if not small or count(program, caches=()).trips > MOST_WORK * max(count(naive, caches=()).trips, 10_000):
        limits = f"{MOST_WRITTEN:,} statements, {MOST_BYTES:,} bytes, {MOST_WORK} times the trips of the naive program"
        raise Unequal(f"expected at most {limits}, got more")


# ---- what it costs


def cost(program):
    """Rounds of vectors, 4 for each miss of a cache of 32 lines, and all accesses to buffers of scope local that are too large."""
    counts = count(program, caches=[CACHE])
    spilled = counts.local.loads + counts.local.stores if room(program.body, ["local"]) > REGISTERS else 0
    return rounds(program.body) + MISS * counts.misses[0] + spilled


def target():
    """One core with AVX2, which has 16 registers of 8 numbers; where there is none, one core as it is."""
    haswell = Target.of("haswell")
    return (Target.native() if haswell.lacking() else haswell).with_threads(1)


def inputs(program, seed=0):
    """Arrays for the inputs of a program."""
    random = np.random.default_rng(seed)
    return [random.standard_normal(b.shape, np.float32) for b in program.params]


def milliseconds(name, *programs, turns=15):
    """How long a call of each program takes, at the sizes of all of them: the medians of calls in turns."""
    arrays = inputs(programs[0])
    output = np.empty(programs[0].outputs[0].shape, np.float32)
    functions = [build(program, target=target(), name=name) for program in programs]
    times = [[] for _ in programs]
    for _ in range(turns + 1):
        for function, taken in zip(functions, times, strict=True):
            started = time.perf_counter()
            function(*arrays, output)
            taken.append(time.perf_counter() - started)
    return [1000 * statistics.median(taken[1:]) for taken in times]
