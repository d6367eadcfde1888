"""The exercises of lesson 9: what a register tile loads, how panels are shared, and two races with the recipe of products.

In: an answer. Out: a `Reply`. A race is fair: both are built for one core of this machine and run in turns. Its ratio is told, and
decides nothing.

>>> ex2(0.9).right, ex2(1).right
(True, False)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

import minicc
from minicc import te
from minicc.course.exercise import called, equals, exercise, expect, number
from minicc.recipes.gemm import gemm
from minicc.runtime.function import Function
from minicc.schedule.choose import ChooseStep
from minicc.schedule.te_schedule import TeSchedule
from minicc.target import Target

SIZE, TURNS = 480, 9


@exercise
def ex1(answer: Any) -> str:
    """How many instructions load, in a product of 48 x 48 by tiles of 6 x 16, in vectors of 8?"""
    given, n, rows, columns, lanes = number(answer), 48, 6, 16, 8
    tiles, a_step = (n // rows) * (n // columns), columns // lanes + rows
    right = tiles * n * a_step
    slips = {
        n * a_step: f"{given} is right for one tile; there are {n} / {rows} times {n} / {columns} of them",
        tiles * a_step: f"{given} is right for one step of k; each tile makes {n}",
        tiles * n * (rows + columns): f"{given} are the numbers; {lanes} neighbours of B come in one load",
        2
        * n
        ** 3: f"{given} is what the loop program has: two numbers for each product; the machine code shares them within a tile",
        tiles * n * columns // lanes: "these are those of B; the numbers of A are loaded, too, each into all lanes",
        tiles * n * rows: "these are those of A; the vectors of B are loaded, too",
    }
    step = f"{columns // lanes} vectors of B and {rows} numbers of A in a step"
    equals(given, right, slips, f"got {given}; {tiles} tiles, {n} steps of k in each, {step}")
    return f"{a_step} loads for {rows * columns} products; a loop without a tile would have {2 * rows * columns}"


@exercise
def ex2(answer: Any) -> str:
    """Which share of four cores can 18 equal panels keep busy?"""
    given, panels, cores = number(answer), 18, 4
    rounds = math.ceil(panels / cores)
    right = panels / (rounds * cores)
    expect(0 <= given <= 1, f"a share is a number from 0 to 1; got {given}")
    expect(
        given != 1,
        f"{panels} is no multiple of {cores}: what do the others do while the last {panels % cores} are computed?",
    )
    expect(abs(given - 1 / cores) > 1e-6, "this is the share of one core that works alone")
    expect(
        abs(given - right) < 1e-3,
        f"got {given}; how many rounds are there, and how many panels could {cores} cores do in them?",
    )
    return f"{rounds} rounds of {cores} could do {rounds * cores} panels, and there are {panels}: smaller pieces share better"


def _ratio(mine: Function, recipe: Function) -> float:
    """How much faster mine is than the recipe, each in the best of its turns, after both compute what NumPy does. Raises WrongAnswer."""
    a, b = np.random.default_rng(0).random((2, SIZE, SIZE), np.float32)
    outputs = np.zeros((2, SIZE, SIZE), np.float32)
    calls = [partial(f, a, b, c) for f, c in zip((mine, recipe), outputs, strict=True)]
    for call in calls:
        call()
    right = bool(np.allclose(outputs[0], a.astype(np.float64) @ b, rtol=1e-3))
    expect(right, f"it is not the product: element [0, 0] is {outputs[0, 0, 0]}, and should be {outputs[1, 0, 0]}")
    times = [
        [f.time_evaluator(number=2, repeat=1)(a, b, c).min for f, c in zip((mine, recipe), outputs, strict=True)]
        for _ in range(TURNS)
    ]
    own, theirs = map(min, zip(*times, strict=True))
    return float(theirs / own)


def _told(ratio: float) -> str:
    speed = f"it runs at {ratio:.2f} times the speed of the recipe"
    if ratio > 1.02:
        return f"{speed}: you win, on this machine and in these seconds"
    return f"{speed}: {'a tie' if ratio > 0.98 else 'it computes the product, and the recipe is still ahead'}"


@exercise
def ex3(answer: Any) -> str:
    """Which choices make the recipe faster?"""
    form = 'expected a dictionary of names and numbers, such as {"rows": 4}'
    expect(isinstance(answer, Mapping), f"{form}, got {answer!r:.80}")
    target = Target.native().with_threads(1)
    recipe = gemm(SIZE, SIZE, SIZE, target)
    known = {step.key: step for step in recipe.trace if isinstance(step, ChooseStep)}
    chosen = {name: number(n) for name, n in answer.items()}
    for name, n in chosen.items():
        expect(name in known, f"the recipe chooses {', '.join(known)}, and no {name}")
        expect(n in known[name].options, f"{name} may be one of {', '.join(map(str, known[name].options))}, not {n}")
    changed = {name: int(n) for name, n in chosen.items() if n != known[name].value}
    expect(bool(changed), "these are the defaults: the recipe would race with itself")
    mine = recipe.trace.replay(recipe.start, choices=changed)
    return _told(_ratio(minicc.build(mine.program, target=target), minicc.build(recipe.program, target=target)))


@exercise
def ex4(answer: Callable[[TeSchedule, te.Tensor], Any]) -> str:
    """Schedule a product of 480 x 480 that is faster than the recipe."""
    target = Target.native().with_threads(1)
    A, B = te.placeholder((SIZE, SIZE), name="A"), te.placeholder((SIZE, SIZE), name="B")
    k = te.reduce_axis((0, SIZE), name="k")
    C = te.compute((SIZE, SIZE), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    s = te.create_schedule(C.op)
    called(answer, s, C)
    expect(bool(s.trace), "the schedule has no step yet: it is the naive product")
    mine = minicc.build(s, [A, B, C], target=target)
    return _told(_ratio(mine, minicc.build(gemm(SIZE, SIZE, SIZE, target).program, target=target)))
