"""The exercises of lesson 5, what is allowed: steps are tried, and what minicc says to them is the judge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicc import te
from minicc.course.exercise import WrongAnswer, called, exercise, expect, words
from minicc.errors import ScheduleError
from minicc.explain.picture import count
from minicc.ir.node import replace
from minicc.loop.accesses import accesses
from minicc.loop.ir import PARALLEL, For, Update, loops, walk
from minicc.loop.marks import LOAD
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.schedule.nest import graft
from minicc.schedule.parallel import ParallelStep
from minicc.schedule.schedule import Schedule
from minicc.tensor.expr import loads

ROWS, COLUMNS = 4, 6
REASONS = {  # words of errors, by what they mean
    "dependence": ("depend on each other", "the order of"),
    "sum": ("is reduced over", "reduced over loop"),
    "nest": ("not perfectly nested", "must be all that loop", "does not enclose"),
}


@exercise
def ex1(answer: Any, s: Schedule) -> str:
    """Which of the loops may be parallel?"""
    names = list(loops(s.program.body))
    right = {name for name in names if ParallelStep(name).is_legal(s.program)}
    given = set(words(answer))
    expect(given <= set(names), f"the loops are {', '.join(names)}, got {', '.join(sorted(given - set(names)))}")
    for name in sorted(given - right):
        try:
            Schedule(s.program).parallel(name)
        except ScheduleError as error:
            raise WrongAnswer(f"{name} may not: {error.problem}") from None
    for name in sorted(right - given):
        trips = loops(s.program.body)[name].extent
        why = (
            "it makes a single trip, which has nobody to disturb"
            if trips == 1
            else "does any trip of it write what another one touches?"
        )
        raise WrongAnswer(f"{name} is missing: {why}")
    return "what a trip of these loops writes, no other trip of the same loop reads or writes"


@exercise
def ex2(answer: Callable[..., Any], total: te.Tensor) -> str:
    """Give 4 cores 16 neighbours each to add up."""
    s = te.create_schedule(total.op).schedule
    called(answer, s)
    verify(s.program)
    shared = [loop for loop in loops(s.program.body).values() if loop.kind == PARALLEL]
    expect(len(shared) > 0, "no loop is parallel yet" if len(s.trace) else "no step was taken")
    expect(len(shared) == 1, f"{len(shared)} loops are parallel; one is to be")
    (loop,) = shared
    sums = [part for part in walk(loop.body) if isinstance(part, Update)]
    expect(
        loop.extent != 1,
        f"{loop.name} makes a single trip, so one core does all the work; the loop over k is the long one",
    )
    expect(bool(sums), f"{loop.name} adds nothing up: the partial sums are computed elsewhere")
    expect(
        loop.extent == 4,
        f"{loop.name} makes {loop.extent} trips; 4 cores shall share them, so 4 parts: see factor and nparts",
    )
    read = _read_by_first(s.program, loop)
    if read != list(range(16)):
        raise WrongAnswer(
            f"the first core reads Y{read[:3]}, which are no neighbours: parts are the *outer* loop of a split"
        )
    data, result = np.random.default_rng(0).integers(-99, 99, 64).astype(np.float32), np.empty(1, np.float32)
    run_python(s.program, data, result)
    expect(result[0] == data.sum(), f"expected {data.sum()}, got {result[0]}")
    return "each core has a sum of its own, and 4 numbers are left to add"


def _read_by_first(program: Program, loop: For) -> list[int]:
    """What the first trip of a loop reads from the input."""
    found = accesses(graft(program, loop, replace(loop, extent=1)))
    return [int(e) for e in found.element[(found.buffer == 0) & (found.kind == LOAD)]]


@exercise
def ex3(answer: Mapping[str, Any], s: Schedule) -> str:
    """Find three steps that are refused, each for another reason."""
    expect(isinstance(answer, Mapping), f"expected a dictionary of steps by reason, got {answer!r:.80}")
    for reason, step in answer.items():
        expect(reason in REASONS, f"the reasons are {', '.join(REASONS)}, got {reason}")
        tried = Schedule(s.program)
        try:
            called(step, tried)
        except ScheduleError as error:
            meant = [name for name, words in REASONS.items() if any(part in error.problem for part in words)]
            expect(bool(meant), f"{reason}: it is refused for something else: {error.problem}")
            expect(reason in meant, f"{reason}: it is refused because of {' and '.join(meant)}: {error.problem}")
        else:
            raise WrongAnswer(f"{reason}: this step is legal; it was done: {tried.trace}")
    missing = [reason for reason in REASONS if reason not in answer]
    expect(not missing, f"no step for {', '.join(missing)}")
    return "two trips that need each other, a sum that would be torn apart, and loops that are no nest"


def scanned(formula: Callable[..., Any]) -> Schedule:
    """The schedule of a scan over rows t, by a formula of `before`, X, t and j."""
    X, before = (te.placeholder((ROWS, COLUMNS), name=name) for name in ("X", "before"))
    top = te.compute((1, COLUMNS), lambda _, i: X[0, i], name="top")
    later = te.compute((ROWS, COLUMNS), lambda t, j: called(formula, before, X, t, j), name="later")
    return te.create_schedule(te.scan(top, later, before, name="S").op).schedule


def exchanged(program: Program) -> str:
    """The text of such a program with the loops over t and j exchanged, right or wrong."""
    t, j = f"    for t in range({ROWS - 1}):\n", f"        for j in range({COLUMNS}):\n"
    return str(program).replace(t + j, j[4:] + "    " + t)


@exercise
def ex4(answer: Callable[..., Any]) -> str:
    """Write a scan of two elements of the row before, for which exchanging t and j is wrong."""
    X, before = (te.placeholder((ROWS, COLUMNS), name=name) for name in ("X", "before"))
    row = called(answer, before, X, te.var("t"), te.var("j"))
    expect(isinstance(row, te.Expr), f"expected a formula of te, got {row!r:.80}")
    read = {str(load) for load in loads(row) if load.source is before}
    s = scanned(answer)
    verify(s.program)
    x = np.random.default_rng(0).integers(1, 9, (ROWS, COLUMNS)).astype(np.float32)
    right, wrong, names = np.empty_like(x), np.full_like(x, np.nan), dict[str, Any]()
    run_python(s.program, x, right)
    found = accesses(s.program)
    number = [b.name for b in found.buffers].index("S")
    reads = int(((found.buffer == number) & (found.kind == LOAD)).sum())
    inside = (ROWS - 1) * COLUMNS
    expect(reads > 0, "it reads nothing of `before`, so its rows do not know each other")
    places = count(len(read), "place")
    expect(len(read) == 2, f"it reads `before` in {places}, {', '.join(sorted(read))}; two are asked for")
    expect(
        reads > inside,
        f"it reads {reads} elements of `before` in {inside} trips; two in a trip are asked for, but at an edge",
    )
    exec(exchanged(s.program), names)
    names[s.program.name](x, wrong)
    try:
        s.reorder("j", "t")
    except ScheduleError:
        same = (right == wrong) | (np.isnan(right) & np.isnan(wrong))
        if same.all():
            raise WrongAnswer(
                "minicc refuses it, but the numbers stay the same: every distance is positive in the new order, too. "
                "Read something further to the right"
            ) from None
        return f"exchanged, {int((~same).sum())} of {right.size} elements are wrong: what they read comes later in the new order"
    raise WrongAnswer("minicc allows it: straight from above, the distance is (1, 0), or (0, 1) in the new order")
