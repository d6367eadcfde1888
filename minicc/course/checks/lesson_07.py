"""The exercises of lesson 7: accumulators, registers, spills, intrinsics.

In: an answer. Out: a `Reply`. What a schedule becomes is read in the assembly of a named target, so that the machine that
checks does not matter; what it computes is compared with NumPy.

>>> ex3((4, 3)).right, ex3((6, 2)).right
(True, False)
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any

import numpy as np

import minicc
from minicc import te
from minicc.course.exercise import WrongAnswer, called, exercise, expect, numbers
from minicc.errors import CodegenError
from minicc.explain.hot_loop import hot_loop, multiply_adds, stack_places, sums
from minicc.schedule.te_schedule import TeSchedule
from minicc.target import Target

LATENCY, STARTED, LOADS = (
    5,
    2,
    2,
)  # of haswell: cycles of a multiply-add; how many of these, and of loads, start in a cycle
REGISTERS = Target.of("haswell").registers
LANES = Target.of("haswell").lanes("float32")


@exercise
def ex1(answer: tuple[float, float]) -> str:
    """How many multiply-adds of two loads can start in a cycle, and how many accumulators are enough?"""
    rate, accumulators = numbers(answer, 2)
    most = min(STARTED, LOADS / 2)
    expect(rate != STARTED, f"{STARTED} could start, but they would need {2 * STARTED} loads, and {LOADS} can start")
    expect(rate == most, f"{LOADS} loads in a cycle, and 2 for each multiply-add: that is not {rate}")
    enough = int(LATENCY * most)
    expect(
        accumulators != LATENCY * STARTED,
        f"{accumulators} are for {STARTED} in each cycle; now only {most:g} starts in each, so fewer are on their way",
    )
    expect(
        accumulators == enough,
        f"{most:g} starts in each cycle and takes {LATENCY}: how many are on their way at a time?",
    )
    return f"the loads allow one in each cycle, and {enough} are on their way: more sums would not help"


def _scalar_product(n: int) -> tuple[TeSchedule, list[te.Tensor]]:
    A, B = te.placeholder((n,), name="A"), te.placeholder((n,), name="B")
    k = te.reduce_axis((0, n), name="k")
    C = te.compute((), lambda: te.sum(A[k] * B[k], axis=k), name="C")
    return te.create_schedule(C.op), [A, B, C]


def _agrees(s: TeSchedule, tensors: list[te.Tensor], given: list[Any], expected: Any) -> None:
    """Raise WrongAnswer unless a schedule computes what it should on the machine that checks."""
    made = np.zeros_like(expected, np.float32)
    minicc.build(s, tensors)(*given, made)
    expect(
        bool(np.allclose(made, expected, rtol=1e-3)), f"it computes {made.ravel()[:3]}, and not {expected.ravel()[:3]}"
    )


@exercise
def ex2(answer: Callable[[TeSchedule, te.Tensor], Any]) -> str:
    """Schedule the scalar product for haswell, in vectors, with enough accumulators."""
    s, tensors = _scalar_product(2400)
    called(answer, s, tensors[-1])
    guarded = re.search(r"\bif (?!first\()", str(s.program))
    expect(not guarded, "2,400 elements are no multiple of what one trip adds up, so a test stands in the loop")
    loop = hot_loop(minicc.build(s, tensors, target="haswell").source("asm"))
    adds, found, enough = multiply_adds(loop), len(sums(loop)), LATENCY
    if any("ss\t" in row or "%xmm" in row for row in adds) or not adds:
        raise WrongAnswer(
            "the loop adds numbers one by one or four by four; 8 lanes want a loop of 8 trips, which is vectorized"
            if adds
            else "no innermost loop multiplies and adds; are the partial sums unrolled, and the steps of k a loop around?"
        )
    expect(
        not stack_places(loop),
        f"sums are on the stack: more than {REGISTERS} registers do not exist, and a loop over them that is not unrolled "
        "cannot say which it means",
    )
    expect(
        found >= enough,
        f"{found} accumulator{'s' * (found > 1)}: each is ready after {LATENCY} cycles only, and one multiply-add could start in each cycle",
    )
    a, b = np.random.default_rng(0).random((2, 2400), np.float32)
    _agrees(s, tensors, [a, b], np.asarray(a.astype(np.float64) @ b))
    return f"{found} vectors of sums, {len(adds)} multiply-adds in a trip: the loads are the limit now, not the sums"


@exercise
def ex3(answer: tuple[float, float]) -> str:
    """Which tile, (rows, vectors), has the fewest loads for each multiply-add?"""
    rows, vectors = numbers(answer, 2)
    whole = isinstance(rows, int) and isinstance(vectors, int) and min(rows, vectors) > 0
    expect(whole, f"rows and vectors are counted from 1, got {rows} x {vectors}")
    needed, accumulators = rows * vectors + vectors + 1, rows * vectors
    fits = [
        (r, v)
        for r, v in itertools.product(range(1, REGISTERS), repeat=2)
        if r * v + v + 1 <= REGISTERS and r * v >= LATENCY * STARTED
    ]
    best = min((r + v) / (r * v) for r, v in fits)
    expect(
        needed <= REGISTERS, f"{rows} x {vectors} needs {accumulators} + {vectors} + 1 = {needed} registers: it spills"
    )
    expect(
        accumulators >= LATENCY * STARTED,
        f"{accumulators} accumulators are too few: {LATENCY} cycles times {STARTED} in each",
    )
    loads = rows + vectors
    expect(
        loads / accumulators <= best,
        f"{rows} x {vectors} fits, with {loads} loads for {accumulators} multiply-adds; there is a tile with {best:.3f} for each, not {loads / accumulators:.3f}",
    )
    return f"{loads} loads for {accumulators} multiply-adds, and {needed} registers: not one is left"


@exercise
def ex4(answer: str, assembly: str) -> str:
    """Which place in memory holds the sum that found no register?"""
    given, loop = "".join(str(answer).split()).casefold(), hot_loop(assembly)
    places, others = stack_places(loop), {place for row in loop for place in re.findall(r"[-\w]*\([^)]*\)", row)}
    expect(
        re.fullmatch(r"%?\w*mm\d+|%r\w+", given) is None,
        f"{given} is a register; the question is for the place in memory where it is kept meanwhile",
    )
    expect(
        given in places or given not in {place.replace(" ", "") for place in others},
        f"{given} is a place of A or B, which is loaded and never stored; look for a place that is both",
    )
    expect(given in places, f"{given} is no place that the loop stores to; the stack is what lies around %rsp")
    rows = [row.split(maxsplit=1) for row in loop if given in row]
    return f"{' and '.join(name for name, _ in rows)} there: one sum travels to memory and back in each step"


@exercise
def ex5(answer: Callable[[TeSchedule, te.Tensor], Any]) -> str:
    """Make a nest that means gemv_4x4_float32, and tensorize it."""
    rows, columns = 8, 12
    W, x = te.placeholder((rows, columns), name="W"), te.placeholder((columns,), name="x")
    k = te.reduce_axis((0, columns), name="k")
    y = te.compute((rows,), lambda i: te.sum(W[i, k] * x[k], axis=k), name="y")
    s = te.create_schedule(y.op)
    called(answer, s, y)
    try:
        text = str(minicc.lower(s, [W, x, y]))
        w, v = np.random.default_rng(0).random((rows, columns), np.float32), np.arange(columns, dtype=np.float32)
        _agrees(s, [W, x, y], [w, v], w.astype(np.float64) @ v)
    except CodegenError as error:
        raise WrongAnswer(f"it cannot be built: {error.problem}") from None
    expect(
        "gemv_4x4" in text,
        "the nest is tiled, perhaps, but no intrinsic is in it: s[y].tensorize(loop, 'gemv_4x4_float32')",
    )
    return "each tile of 4 x 4 is the intrinsic's, and what it computes is the same"
