"""The exercises of lesson 12: a loop read in LLVM, fused multiply-adds, lifetimes, and the smallest arena.

In: an answer. Out: a `Reply`. What is right is asked of the compiler: addresses of the loop program, instructions in the assembly
of a named target, and the planner of arenas.

>>> ex4(896).right, ex4(1280).right
(True, False)
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Any

import numpy as np

import minicc
from minicc import te
from minicc.codegen.llvm import emit
from minicc.course.exercise import called, exercise, expect, number, numbers
from minicc.graph import bind
from minicc.kernels.lower import finish
from minicc.runtime import jit
from minicc.runtime.plan import ArenaPlan, Lifetime, plan
from minicc.schedule.te_schedule import TeSchedule
from minicc.target import Target

HASWELL = Target.of("haswell")
ROWS, COLUMNS = 10, 6


def _column_sums() -> tuple[TeSchedule, list[te.Tensor]]:
    A, k = te.placeholder((ROWS, COLUMNS), name="A"), te.reduce_axis((0, ROWS), name="k")
    total = te.compute((COLUMNS,), lambda j: te.sum(A[k, j], axis=k), name="total")
    return te.create_schedule(total.op), [A, total]


def _emitted() -> str:
    s, tensors = _column_sums()
    module = jit.new_module("puzzle", HASWELL)
    emit(module, finish(minicc.lower(s, tensors, "puzzle")), HASWELL)
    return str(module)


PUZZLE = _emitted()


@exercise
def ex1(answer: Callable[[int, int], int]) -> str:
    """Which element of A is loaded in trip j of the outer and trip k of the inner loop?"""
    trips = list(itertools.product(range(COLUMNS), range(ROWS)))
    given = [number(called(answer, j, k)) for j, k in trips]
    right = [k * COLUMNS + j for j, k in trips]
    expect(given != [4 * n for n in right], "this is in bytes; the getelementptr of a float counts in floats")
    expect(
        given not in ([j * ROWS + k for j, k in trips], [j * COLUMNS + k for j, k in trips]),
        "this would go along a row while k runs; look which of the two variables is multiplied",
    )
    expect(
        given != [k * ROWS + j for j, k in trips],
        f"{ROWS} are the trips of k; by what is it multiplied in the address?",
    )
    wrong = next((n for n, (got, want) in enumerate(zip(given, right, strict=True)) if got != want), None)
    expect(
        wrong is None,
        f"for j, k = {trips[wrong or 0]} it is not {given[wrong or 0]}: that trip loads element {right[wrong or 0]}",
    )
    return f"{COLUMNS} elements are a row, and k runs down a column: these are the sums of the columns"


@functools.cache
def _fuses(formula: int) -> bool:
    """Whether the assembly of a formula of exercise 2 has a fused multiply-add behind its sum, or anywhere."""
    n = 64
    A, B = te.placeholder((n,), name="A"), te.placeholder((n,), name="B")
    k = te.reduce_axis((0, n), name="k")
    M = te.placeholder((n, n), name="M")
    squares = te.compute((n,), lambda i: te.sum(M[i, k] * M[i, k], axis=k), name="squares")
    inputs, output = {
        1: ([A, B], te.compute((n,), lambda i: A[i] * B[i] + 1.0, name="C")),
        2: ([A, B], te.compute((), lambda: te.sum(A[k] * B[k], axis=k), name="c")),
        3: ([M], te.compute((n,), lambda i: squares[i] * 2.5 + 1.0, name="C")),
    }[formula]
    s = te.create_schedule(output.op)
    if formula == 3:
        s[squares].compute_at(s[output], output.op.axis[0])
    return "vfmadd" in minicc.build(s, [*inputs, output], target=HASWELL).source("asm")


@exercise
def ex2(answer: Any) -> str:
    """Which of the three formulas may use a fused multiply-add?"""
    said = dict(enumerate(answer, 1)) if isinstance(answer, list | tuple) else answer
    fits = (
        isinstance(said, Mapping)
        and set(said) == {1, 2, 3}
        and all(isinstance(v, bool | np.bool_) for v in said.values())
    )
    expect(fits, f"expected True or False for each of 1, 2 and 3, got {answer!r:.80}")
    right = {formula: _fuses(formula) for formula in (1, 2, 3)}
    reasons = {
        1: "the product and the sum of formula 1 are two operations of the model, and each is rounded to float32, as NumPy does",
        2: "formula 2 adds up products: only such a sum has `contract`",
        3: "in formula 3 the sum of products may; what comes behind it, times and plus, may not",
    }
    for formula, reason in reasons.items():
        expect(said[formula] == right[formula], f"formula {formula}: {reason}")
    return "only inside of a sum, as only there the order of rounding is free; what is fused behind it is rounded as before"


@functools.cache
def _digits() -> ArenaPlan:
    model = minicc.load(resources.files("minicc.cli").joinpath("digits/digits.onnx").read_bytes())
    return minicc.compile(bind(model, {"batch": 1}), target=HASWELL).memory_plan


@exercise
def ex3(answer: Any) -> str:
    """Which two values of the digits network, of more than 2,000 bytes each, may share memory?"""
    given, lives = numbers(answer, 2), _digits().lifetimes
    expect(all(n in range(len(lives)) for n in given), f"the values are numbered from 0 to {len(lives) - 1}")
    a, b = map(int, given)
    expect(a != b, "two values are asked for")
    small = [n for n in (a, b) if lives[n].size <= 2000]
    expect(not small, f"value {small[0] if small else ''} has {lives[small[0] if small else 0].size} bytes only")
    first, last = max(lives[a].first, lives[b].first), min(lives[a].last, lives[b].last)
    read_then = first == last and lives[a].first != lives[b].first
    why = "one is written while the other is read still" if read_then else "they must lie apart"
    expect(first > last, f"in call {first + 1} both are alive: {why}")
    told = [f"{lives[n].name} in calls {lives[n].first + 1} to {lives[n].last + 1}" for n in (a, b)]
    return f"{' and '.join(told)} never meet"


@exercise
def ex4(answer: Any) -> str:
    """How many bytes has the smallest arena for p, q, r, s and t?"""
    given = number(answer)
    values = [Lifetime(256, 0, 2, "p"), Lifetime(128, 1, 4, "q"), Lifetime(512, 2, 3, "r"), Lifetime(256, 3, 4, "s"), Lifetime(128, 4, 5, "t")]  # fmt: skip
    made = plan(values)
    least = max(made.in_use())
    busiest = [n + 1 for n, use in enumerate(made.in_use()) if use == least]
    expect(given != made.unshared, f"{given} is the sum of all: no two share")
    early = [Lifetime(v.size, v.first, v.last - 1, v.name) for v in values]
    expect(
        given != max(plan(early).in_use()),
        "a value is alive still while its last reader runs: it must not be where that one writes",
    )
    expect(given >= least, f"{given} cannot hold what is alive while kernel {busiest[0]} runs: {least} bytes")
    expect(given == made.size == least, f"{given} is enough, and there is a smaller one: put t where p was")
    return f"kernels {' and '.join(map(str, busiest))} need {least} bytes, and a plan of that size exists"
