"""te against te: one program and one schedule, built by minicc and by the old TVM, and computed by NumPy.

In: how many, and a seed. Each is a random program (`testing.te_programs`) and up to twelve random steps of
`Schedule.moves()`, translated step by step for the old TVM (`bridge.te_lesson`). NumPy computes the text itself, and says how
far each element is decided (`testing.te_numpy`). Out: a report: how many steps have a counterpart, which have none, which the
old TVM refuses and why, and whose results are wrong; what is wrong is shrunk to the fewest steps, and printed as Python that
runs both.

    python -m minicc.testing.te_campaign --count 2000 --seed 0
    python -m minicc.testing.te_campaign --show 7
"""

from __future__ import annotations

import random
import re
import textwrap
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from types import SimpleNamespace
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from minicc import te
from minicc.bridge.old_tvm import OldTvmFailure, old_tvm
from minicc.bridge.te_lesson import Counterpart, counterparts
from minicc.compile import build
from minicc.errors import MiniccError
from minicc.loop.lower import Lowered, lower
from minicc.schedule import Schedule, Step, Trace
from minicc.schedule.step import loops_text
from minicc.testing.oracle import assert_close, epsilon
from minicc.testing.progress import Running, batches, interrupted, run
from minicc.testing.schedules import Walk, extend, fewer
from minicc.testing.shrink import shrink
from minicc.testing.te_numpy import Noise, NumpyTe
from minicc.testing.te_programs import TeProgram, random_inputs, random_program
from minicc.types import DType

Array = np.ndarray[Any, np.dtype[Any]]
MINICC, OLD_TVM = "minicc", "the old TVM"
MINICC_TE = SimpleNamespace(**vars(te), select=te.if_then_else)
MOST_STEPS, BATCH = 12, 16
PROGRAM, AXES = 0, -1  # the numbers of what is before the steps
TIMEOUT = 300.0  # seconds for a batch, which takes a few where nothing else runs
WIDE = 160  # columns of what is shown side by side, where it goes to a file
NOISES: tuple[Noise, ...] = (
    lambda shape: 1.0, lambda shape: -1.0, lambda shape: np.random.default_rng(0).uniform(-1, 1, shape),
    lambda shape: -np.random.default_rng(0).uniform(-1, 1, shape),
)  # fmt: skip
REASONS = {  # what an error of the old TVM says: what it means
    r"NameError": "it needs what a refused step makes",
    r"^(crash|timeout)": r"\1",
    r"undefined buffer|Prefetch dim": "prefetch of what is no argument is not lowered",
    r"extent=1": "prefetch in a loop of one iteration",
    r"iterations do not traverse": "transform_layout by tiles that do not divide",
    r"already been split|already been fused": "the loops of the stage were split or fused before",
    r"is_zero": "a loop of what is computed at a loop does not start at 0, as a thread axis must",
    r"allow_missing|state.count|attach|allocated buffer|_Map_base": "the loops of the stage were changed before",
    r"relayout": "cache_write after the reduction is split",
    r"before definition|thread_scope_": "a thread axis, or parallel, stays with the stage where minicc moves it on",
    r"Cannot find Tensor": "the readers read another tensor there",
}


class Wrong(MiniccError, AssertionError):
    """A te gave another result than NumPy, or none."""


@dataclass(frozen=True)
class Theirs:
    """What came of a case in the old TVM: results, the steps that it refuses, each with its error, and its loops."""

    results: tuple[Array, ...] = ()
    refused: dict[int, str] = field(default_factory=dict)
    loops: str = ""
    error: str = ""  # it gives no results


@dataclass(frozen=True)
class Case:
    """A te program, arrays by a seed, and steps."""

    program: TeProgram
    seed: int
    steps: tuple[Step, ...] = ()

    @cached_property
    def made(self) -> Lowered:
        """The naive program, as minicc lowers the text."""
        tensors = self.program.tensors(MINICC_TE)
        return lower([tensors[name] for name in self.program.outputs], list(tensors.values()))

    @cached_property
    def inputs(self) -> dict[str, Array]:
        return random_inputs({b.name: (b.dtype, b.shape) for b in self.made.program.params}, self.seed)

    @cached_property
    def expected(self) -> list[tuple[Array, Array]]:
        """What NumPy computes for each output, and the tolerance at each element."""
        values, *others = [self.program.tensors(NumpyTe(self.inputs, noise)) for noise in (None, *NOISES)]
        return [_decided(values[name].array, [o[name].array for o in others]) for name in self.program.outputs]

    @cached_property
    def counterparts(self) -> list[Counterpart]:
        return counterparts(self.made, self.steps)

    def schedule(self) -> Schedule:
        """The schedule of the program after the steps."""
        return Trace(self.steps).replay(self.made.program)

    def compare(self, who: str, results: Sequence[Array]) -> None:
        """Raise Disagreement where a result is not within the tolerance."""
        for name, got, (wanted, tolerance) in zip(self.program.outputs, results, self.expected, strict=True):
            assert_close(got, wanted, tolerance=tolerance, call=f"te in {who}", label=name)

    def ours(self) -> None:
        """Build and run it in minicc. Raises Disagreement where a result is wrong."""
        program = self.schedule().program
        results = [np.full(b.shape, 77, b.dtype.numpy) for b in program.outputs]
        build(program)(*[self.inputs[b.name] for b in program.params], *results)
        self.compare(MINICC, results)

    def theirs(self, found: Theirs) -> None:
        """Compare what came of it in the old TVM. Raises Wrong where nothing did, and Disagreement."""
        if found.error:
            raise Wrong(f"te in {OLD_TVM}", found.error)
        self.compare(OLD_TVM, found.results)

    def check(self) -> None:
        """Raise what is wrong in minicc, or in the old TVM."""
        self.ours()
        self.theirs(run_old([self])[0])

    def __str__(self) -> str:
        """Python that checks it."""
        schedule = "\n".join(["s = Schedule(case.made.program)", *map(str, self.steps)]) if self.steps else ""
        calls = [f"#     {line}" for c in self.counterparts for line in c.calls]  # for who has an old TVM at hand
        imports = ["from minicc.schedule import Schedule", "from minicc.testing.te_campaign import Case, TeProgram", ""]
        program = f'case = Case(TeProgram("""\\\n{self.program.text}""", {self.program.inputs}, {self.program.outputs}), {self.seed})'
        last = f"Case(case.program, {self.seed}, s.trace.steps).check()" if self.steps else "case.check()"
        return "\n".join([*imports, program, *([schedule] if schedule else []), f"# for {OLD_TVM}:", *calls, last])


def _decided(value: Array, others: Sequence[Array]) -> tuple[Array, Array]:
    """A value of NumPy, and its tolerance, from what it is with other roundings."""
    dtype, wide = DType.of(value.dtype), value.astype(np.float64)
    if not dtype.is_float:
        assert all(np.array_equal(value, other) for other in others), "an integer hangs on a rounding"
        return value, np.zeros(value.shape)
    spread = np.max([np.abs(other.astype(np.float64) - wide) for other in others], axis=0)
    size = np.abs(wide) + min(1.0, float(np.abs(wide).max(initial=0)))
    return value, 4 * spread + 4 * epsilon(dtype) * size


def draw(seed: int) -> Case:
    """A random program, and up to twelve random steps. Raises Failure when minicc breaks a rule on the way."""
    rng = random.Random(seed)
    case = Case(random_program(rng), seed)
    most = rng.randint(1, MOST_STEPS)
    return walked(case, lambda walk: len(walk.steps) < most and extend(walk, rng))


def walked(case: Case, more: Callable[[Walk], bool]) -> Case:
    """The case with the steps that `more` takes until it gives False. Raises Failure when minicc breaks a rule on the way."""
    walk = Walk(case.made.program)
    try:
        while more(walk):
            pass
    except Exception as error:
        raise Failure(Case(case.program, case.seed, tuple(walk.steps)), MINICC, error) from error
    return Case(case.program, case.seed, tuple(walk.steps))


# ---- the old TVM


def run_old(cases: Sequence[Case], lowered: bool = False) -> list[Theirs]:
    """What comes of each case. A step at which the old TVM crashes or hangs is one that it refuses."""
    programs = []
    for case in cases:
        p, (first, *rest) = case.program, case.counterparts
        schedule, *axes = first.calls
        steps = [(PROGRAM, f"{p.text}\n{schedule}"), (AXES, "\n".join(axes))]
        steps += [(n, "\n".join(part.calls)) for n, part in enumerate(rest, 1) if part.calls]
        programs.append(({"inputs": p.inputs, "outputs": p.outputs, "steps": steps}, case.inputs))
    return _ask(programs, lowered)


Question = tuple[dict[str, Any], dict[str, Array]]  # a program with its steps, and its inputs


def _ask(questions: Sequence[Question], lowered: bool) -> list[Theirs]:
    """The answers; where the old TVM ends, each program is asked for by itself, and then step by step."""
    try:
        return _answers(questions, lowered)
    except OldTvmFailure:
        if len(questions) > 1:
            return [found for question in questions for found in _ask([question], lowered)]
    [(program, inputs)] = questions
    kept, ended, found = list[Any](), dict[int, str](), Theirs()
    for step in program["steps"]:
        try:
            [found] = _answers([({**program, "steps": [*kept, step]}, inputs)], lowered)
            kept.append(step)
        except OldTvmFailure as failure:
            ended[step[0]] = f"{failure.kind}: {failure.problem}"
            if not kept:
                break
    return [replace(found, refused=found.refused | ended, error=ended.get(PROGRAM, found.error))]


def _answers(questions: Sequence[Question], lowered: bool) -> list[Theirs]:
    """The answers. Raises OldTvmFailure."""
    arrays = {f"{n}.{name}": array for n, (_, inputs) in enumerate(questions) for name, array in inputs.items()}
    message = {"programs": [program for program, _ in questions], "lowered": lowered}
    outcomes, made = old_tvm().ask("te.run", message, arrays, timeout=TIMEOUT)
    return [
        Theirs(
            tuple(made[f"{n}.{name}"] for name in program["outputs"] if "error" not in outcome),
            {int(step): reason for step, reason in outcome["refused"].items()},
            outcome.get("loops", ""),
            outcome.get("error", ""),
        )
        for n, ((program, _), outcome) in enumerate(zip(questions, outcomes, strict=True))
    ]


def meaning(reason: str) -> str:
    """An error of the old TVM in words, or what is left of it without what is the case's own."""
    for pattern, words in REASONS.items():
        if found := re.search(pattern, reason):
            return found.expand(words)
    return re.sub(r"T\.iter_var\(.*|\b\d+\b", "...", reason)[:120]


# ---- what is wrong


class Failure(Exception):
    """A case that is wrong in minicc or in the old TVM."""

    def __init__(self, case: Case, who: str, error: Exception) -> None:
        super().__init__(case, who, error)
        self.case, self.who, self.error = case, who, error

    def __str__(self) -> str:
        return f"seed {self.case.seed}, {self.who}: {self.error}\n{self.case}"


def failure_of(case: Case, who: str, found: Theirs | None = None) -> Failure | None:
    """The case as a failure, where a result of minicc or of the old TVM is wrong; a program that the latter refuses has none."""
    try:
        if who == MINICC:
            case.ours()
        elif not (found := found or run_old([case])[0]).error:
            case.theirs(found)
    except Exception as error:
        if interrupted():
            raise KeyboardInterrupt from error
        return Failure(case, who, error)
    return None


def shrunk(failure: Failure) -> Failure:
    """The failure in the fewest steps."""

    def accept(steps: Sequence[Step], best: Failure) -> Failure | None:
        rest = iter(steps)
        try:
            case = walked(best.case, lambda walk: any(walk.take(step) or True for step in islice(rest, 1)))
        except Failure as found:
            return found if best.who == MINICC and len(found.case.steps) < len(best.case.steps) else None
        return failure_of(case, best.who) if len(case.steps) < len(best.case.steps) else None

    *_, best = failure, *shrink(failure, [lambda f: fewer(f.case.steps)], accept)
    return best


# ---- the campaign


@dataclass
class TeReport:
    """What a campaign has found."""

    tried: int = 0
    translated: int = 0
    missing: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))  # by kind and reason: the seeds
    refused: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    failures: list[Failure] = field(default_factory=list)

    def add(self, case: Case, found: Theirs) -> None:
        """Count the steps of a case; of a program that the old TVM refuses, none."""
        if found.error:
            self.refused[f"the program: {meaning(found.error)}"].append(case.seed)
            return
        for number, part in enumerate(case.counterparts[1:], 1):
            assert part.step
            if part.reason:
                self.missing[f"{part.step.name}: {part.reason}"].append(case.seed)
            elif number in found.refused:
                self.refused[f"{part.step.name}: {meaning(found.refused[number])}"].append(case.seed)
            else:
                self.translated += 1

    def lines(self) -> Iterator[str]:
        """The report as text."""
        missing, refused = (sum(map(len, found.values())) for found in (self.missing, self.refused))
        wrong = Counter(failure.who for failure in self.failures)
        yield f"{self.tried} programs, {self.translated + missing + refused} steps: {self.translated} done by both"
        yield f"wrong: {wrong[MINICC]} in {MINICC}, {wrong[OLD_TVM]} in {OLD_TVM}"
        for title, found in ((f"{missing} have no counterpart", self.missing), (f"{refused} refused", self.refused)):
            yield f"{title} in {OLD_TVM}, with the first seed of each"
            yield from (
                f"{len(n):5} {what} ({n[0]})" for what, n in sorted(found.items(), key=lambda item: -len(item[1]))
            )


def campaign(count: int, seed: int = 0) -> Iterator[TeReport]:
    """Try `count` cases; the report so far after each batch."""
    report = TeReport()
    for first, size in batches(count, BATCH):
        cases = []
        for number in range(seed + first, seed + first + size):
            try:
                cases.append(draw(number))
            except Failure as failure:
                report.failures.append(shrunk(failure))
        for case, found in zip(cases, run_old(cases), strict=True):
            report.add(case, found)
            judged = (failure_of(case, MINICC), failure_of(case, OLD_TVM, found))
            report.failures += [shrunk(failure) for failure in judged if failure]
        report.tried += size
        yield report


def show(case: Case, console: Console) -> None:
    """The text, the steps in both, and the loops of both, side by side."""
    [found] = run_old([case], lowered=True)
    steps, sides = Table(MINICC, OLD_TVM, box=None), Table(MINICC, OLD_TVM, box=None)
    for number, part in enumerate(case.counterparts):
        reason = part.reason or (f"refused: {found.refused[number]}" if number in found.refused else "")
        lines = [*part.calls, *([f"# {reason}"] if reason else [])]
        steps.add_row(Text(str(part.step or "")), Text("\n".join(lines)))
    theirs = textwrap.dedent(
        found.loops.partition("T.func_attr(")[2].partition("\n")[2]
    )  # without the lines that make it a module
    sides.add_row(*(Text(t, overflow="fold") for t in (loops_text(case.schedule().program), theirs or found.error)))
    console.print(Text(f"{case.program.text}\n"), soft_wrap=True)  # to be copied
    console.print(steps, "", sides)


def main(
    count: Annotated[int, typer.Option(help="How many programs to try.", min=1)] = 200,
    seed: Annotated[int, typer.Option(help="The first seed; each program takes the next.")] = 0,
    shown: Annotated[
        int | None, typer.Option("--show", help="Show the program of this seed in both, and try no other.")
    ] = None,
) -> None:
    """Try random te programs and schedules in minicc and in the old TVM.

    Examples:

        python -m minicc.testing.te_campaign --count 2000

        python -m minicc.testing.te_campaign --show 7
    """
    console = Console()
    if shown is not None:
        show(draw(shown), console if console.is_terminal else Console(width=WIDE))
        return
    report = TeReport()
    with Running(console, "te programs", count) as running:
        printed = 0
        for report in campaign(count, seed):
            for failure in report.failures[printed:]:
                console.print(f"\n{failure}", markup=False, highlight=False, soft_wrap=True)
            printed = len(report.failures)
            running.advance(report.tried - running.done, printed)
    console.print("\n".join(report.lines()), markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(130 if running.stopped else 1 if report.failures else 0)


if __name__ == "__main__":
    run(main)
