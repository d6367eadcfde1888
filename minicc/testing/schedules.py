"""Random legal schedules: whatever the steps, the program means the same.

In: how many schedules, and a seed. Each takes a workload of `testing.workloads` and up to twelve
steps of `Schedule.moves()`: first a kind of step, all alike, then an instance, so that rare
primitives come up as often as common ones. The verifier runs after every step; the scheduled
program is run as Python, and for a part of them as machine code, ours or TVM's, and must give what
the unscheduled one gives. Out: `ScheduleFailure`s, shrunk to the fewest steps that still fail and
printed as Python that reproduces them. With `--tvm-every` TVM compiles some, too, in this process.

    python -m minicc.testing.schedules --count 20000 --seed 0 --workload gemm --tvm-every 10

>>> len(random_schedule("transpose", seed=1)) <= 12
True
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from minicc.bridge.tir import build_tir
from minicc.compile import build
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.schedule import STEPS, Schedule, Step, Trace
from minicc.schedule.step import Illegal
from minicc.schedule.tidy import tidy
from minicc.testing.oracle import assert_close
from minicc.testing.progress import Running, interrupted, run
from minicc.testing.shrink import shrink
from minicc.testing.workloads import EXTENTS, WORKLOADS, Array, Workload

MOST_STEPS = 12
ATTEMPTS = 6  # instances of a kind that are tried before another kind is
LLVM_EVERY = 10
EVERY = "every so-manieth schedule"
LIBRARY_TERMS = 64  # the functions of machine code round as often as a sum of so many terms does

Extents = tuple[int, int]


class ScheduleFailure(Exception):
    """Steps that change what a program means, break a rule, or crash. `stage` is where it shows: see `STAGES`."""

    def __init__(self, workload: str, extents: Extents, seed: int, trace: Trace, problem: str, stage: str = "python"):
        super().__init__(workload, extents, seed, trace, problem, stage)
        self.workload, self.extents, self.seed = workload, extents, seed
        self.trace, self.problem, self.stage = trace, problem, stage

    def source(self) -> str:
        """Python that raises what was found."""
        where = f'"{self.workload}", {self.extents}'
        last = "s.moves()" if self.stage == "moves" else f'check(s.program, {where}, "{self.stage}")'
        imported = "from minicc.testing.schedules import check, start"
        return "\n".join([imported, f"s = start({where})", *map(str, self.trace), last])

    def __str__(self) -> str:
        return f"{self.workload} {self.extents}, seed {self.seed}: {self.problem}\n{self.source()}"


# ---- the same program?


def start(workload: str, extents: Extents) -> Schedule:
    """The schedule of a workload with no steps."""
    return Schedule(WORKLOADS[workload].program(*extents))


@lru_cache(maxsize=512)
def _expected(workload: Workload, extents: Extents, size: int) -> tuple[list[Array], list[Array]]:
    """Inputs, and what the unscheduled program computes of them."""
    program = workload.program(*extents)
    inputs, outputs = workload.inputs(program, size), workload.outputs(program, size)
    run_python(program, *inputs, *outputs)
    return inputs, outputs


def check(program: Program, workload: str, extents: Extents, stage: str = "python") -> None:
    """Raise LoopError or Disagreement unless `program` keeps the rules and computes what the workload is."""
    verify(program)
    STAGES[stage](program, workload, extents)


def _compare(program: Program, workload: str, extents: Extents, stage: str = "python") -> None:
    made = WORKLOADS[workload]
    run = BUILDERS[stage](program)
    terms = made.terms(*extents) + (0 if stage == "python" else LIBRARY_TERMS)
    for size in made.sizes:
        inputs, wanted = _expected(made, extents, size)
        outputs = made.outputs(program, size)
        run(*inputs, *outputs)
        for buffer, got, want in zip(program.outputs, outputs, wanted, strict=True):
            if not np.array_equal(got, want):
                call = f"check({workload!r}, {extents}, {stage!r})"
                assert_close(got, want, buffer.dtype, terms, call=call, label=buffer.name)


BUILDERS: dict[str, Callable[[Program], Callable[..., None]]] = {
    "python": lambda program: partial(run_python, program),
    "llvm": build,
    "tvm": partial(build_tir, fast=False),
}
STAGES: dict[str, Callable[[Program, str, Extents], Any]] = {
    "python": _compare,  # the result of the program run as Python
    "llvm": partial(_compare, stage="llvm"),  # the result of its machine code
    "tvm": partial(_compare, stage="tvm"),  # the result of TVM's machine code, by way of TIR
    "moves": lambda program, workload, extents: Schedule(program).moves(),  # the list of its legal next steps
}


# ---- one schedule


@dataclass
class Walk:
    """A schedule on its way; every step is verified."""

    program: Program
    steps: list[Step] = field(default_factory=list)

    def take(self, step: Step) -> bool:
        """Do a step; False when it is not legal. One that crashes counts as taken."""
        self.steps.append(step)
        try:
            made = tidy(step.transform(self.program))
        except Illegal:
            self.steps.pop()
            return False
        self.program = made
        verify(made)
        return True


def extend(walk: Walk, rng: random.Random) -> bool:
    """One more step, of a random kind; False when no kind has any."""
    kinds = list(STEPS.values())
    rng.shuffle(kinds)
    for kind in kinds:
        candidates = list(kind.candidates(walk.program))
        for step in rng.sample(candidates, min(ATTEMPTS, len(candidates))):
            if walk.take(step):
                return True
    return False


def random_schedule(workload: str, seed: int, stages: Sequence[str] = ("python",), most: int = MOST_STEPS) -> Trace:
    """Draw up to `most` steps, and check what they do. Raises ScheduleFailure, shrunk, when anything is wrong."""
    rng = random.Random(f"{workload} {seed}")
    extents = rng.choice(EXTENTS), rng.choice(EXTENTS)
    walk = Walk(start(workload, extents).program)
    try:
        for _ in range(rng.randint(1, most)):
            if not extend(walk, rng):
                break
        for stage in stages:
            STAGES[stage](walk.program, workload, extents)
    except Exception as error:
        if interrupted():  # TVM makes an error of its own of Ctrl-C
            raise KeyboardInterrupt from error
        raise _shrunk(workload, extents, seed, walk.steps, error, stages) from error
    return Trace(tuple(walk.steps))


# ---- what is wrong, in the fewest steps


@dataclass(frozen=True)
class _Attempt:
    """Steps tried on a workload: those that were legal, and what was wrong where."""

    steps: tuple[Step, ...]
    problem: str
    stage: str


def _attempt(workload: str, extents: Extents, steps: Sequence[Step], stages: Sequence[str]) -> _Attempt | None:
    """The first thing that goes wrong when the legal ones of `steps` are done; None when nothing does."""
    walk = Walk(start(workload, extents).program)
    stage = stages[0]
    try:
        for step in steps:
            walk.take(step)
        for stage in stages:
            STAGES[stage](walk.program, workload, extents)
    except Exception as error:
        if interrupted():
            raise KeyboardInterrupt from error
        return _Attempt(tuple(walk.steps), _text(error), stage)
    return None


def _shrunk(
    workload: str, extents: Extents, seed: int, steps: Sequence[Step], error: Exception, stages: Sequence[str]
) -> ScheduleFailure:
    """The failure with steps dropped for as long as something is wrong without them."""
    tried = partial(_attempt, workload, extents)
    found = next((a for stage in dict.fromkeys((*stages, "llvm", "moves")) if (a := tried(steps, [stage]))), None)
    if found is None:  # it depends on what ran before
        return ScheduleFailure(workload, extents, seed, Trace(tuple(steps)), f"only once: {_text(error)}")
    where = [found.stage]
    changes = (lambda attempt: fewer(attempt.steps), partial(_others, start(workload, extents).program))
    *_, found = found, *shrink(found, changes, lambda steps, best: tried(steps, where))
    return ScheduleFailure(workload, extents, seed, Trace(found.steps), found.problem, found.stage)


def fewer(steps: Sequence[Step]) -> Iterator[Sequence[Step]]:
    """The steps without some, most of them first."""
    size = len(steps)
    while size:
        for first in range(0, len(steps), size):
            yield [*steps[:first], *steps[first + size :]]
        size //= 2


def _others(program: Program, attempt: _Attempt) -> Iterator[Sequence[Step]]:
    """One step, of the kinds of several, on other loops: a fault that needs many steps may show after one."""
    if len(attempt.steps) > 1:
        for kind in dict.fromkeys(type(step) for step in reversed(attempt.steps)):
            yield from ([step] for step in kind.candidates(program))


def _text(error: Exception) -> str:
    """An error in one paragraph."""
    text = str(error) or repr(error)
    return text if text.startswith(type(error).__name__) else f"{type(error).__name__}: {text}"


# ---- the campaign


def campaign(
    count: int, seed: int = 0, workloads: Sequence[str] = (), llvm_every: int = LLVM_EVERY, tvm_every: int = 0
) -> Iterator[ScheduleFailure | None]:
    """Try `count` schedules, workload after workload, and yield failures as found.

    Every `llvm_every`-th is run as machine code, too, and every `tvm_every`-th as TVM's; 0 is none.
    """
    names = list(workloads) or list(WORKLOADS)
    for number in range(count):
        name, turn = names[number % len(names)], number // len(names)
        some = [stage for stage, every in (("llvm", llvm_every), ("tvm", tvm_every)) if every and turn % every == 0]
        try:
            random_schedule(name, seed + turn, ("python", *some))
        except ScheduleFailure as failure:
            yield failure
        else:
            yield None


def main(
    count: Annotated[int, typer.Option(help="How many schedules to try.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="The first seed; each workload takes the ones after it in turn.")] = 0,
    workload: Annotated[list[str] | None, typer.Option(help="Only this workload; may be repeated.")] = None,
    llvm_every: Annotated[int, typer.Option(help=f"Run {EVERY} as machine code, too; 0 for none.", min=0)] = LLVM_EVERY,
    tvm_every: Annotated[int, typer.Option(help=f"Let TVM compile {EVERY}, too; 0 for none.", min=0)] = 0,
) -> None:
    """Try random legal schedules, and print each failure as Python that reproduces it."""
    if unknown := [name for name in workload or () if name not in WORKLOADS]:
        problem = f"expected one of {', '.join(WORKLOADS)}, got {', '.join(unknown)}"
        raise typer.BadParameter(problem, param_hint="--workload")
    console, failures = Console(), list[ScheduleFailure]()
    with Running(console, "schedules", count) as running:
        for failure in campaign(count, seed, workload or (), llvm_every, tvm_every):
            if failure:
                failures.append(failure)
                console.print(f"\n{failure}", markup=False, highlight=False, soft_wrap=True)
            running.advance(1, len(failures))
    tried = "tried before you stopped" if running.stopped else "tried"
    console.print(f"{running.done} of {count} schedules {tried}, {len(failures)} failures")
    raise typer.Exit(130 if running.stopped else 1 if failures else 0)


if __name__ == "__main__":
    run(main)
