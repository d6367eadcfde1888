"""Many random examples through every stage: what agrees, what is excused, what a judge cannot do, what is wrong.

In: examples, that is graphs with arrays for their inputs. Out: a `Verdict` on each, and a `Report` that
counts them. Each judge compiles a batch of examples as one module in its own process, and so may minicc, while this one
computes the references. `testing.operators` and `testing.graphs` are the campaigns.

    with Worker(JUDGES["relax"].engine) as worker:
        verdicts = judge([drawn_graph(k) for k in range(20)], ("numpy", "llvm", "relax"), {"relax": worker})
    report = Report(); report.extend(verdicts); print(report)
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import typer
from rich.console import Console

from minicc.bridge.inside.serve import reason
from minicc.errors import ConfigError, RunError, plain_lines
from minicc.ops.base import REGISTRY, Array
from minicc.runtime.files import write_arrays, write_file
from minicc.testing.draws import Example
from minicc.testing.oracle import JUDGES, NOTHING, STAGES, Disagreement, Excuses, compare, excuses
from minicc.testing.oracle import installed_judges, reference
from minicc.testing.progress import Running
from minicc.testing.reduce import arrays_of, read_case
from minicc.testing.worker import TIMEOUT, Finding, Outcome, Worker

LOOPS = 2000  # elements that a graph's values may have for stage loop, a microsecond or more for each operation


@dataclass(frozen=True)
class Trouble:
    """A stage that disagrees with the reference, or failed."""

    stage: str
    problem: str


@dataclass
class Verdict:
    """What came of one example."""

    example: Example
    compared: dict[str, int] = field(default_factory=dict)  # stage: how many outputs were compared
    # judge: differences that excuse it from an output or from running
    excused: dict[str, tuple[str, ...]] = field(default_factory=dict)
    findings: dict[str, Finding] = field(default_factory=dict)  # judge: how it failed
    troubles: list[Trouble] = field(default_factory=list)

    @property
    def fine(self) -> bool:
        """Whether all that was compared agrees; a judge may have failed."""
        return not self.troubles

    @property
    def is_shown(self) -> bool:
        """Whether a person should see it: something is wrong, or a judge failed on what it has a form for."""
        return not self.fine or any(finding.kind != "unsupported" for finding in self.findings.values())

    def __str__(self) -> str:
        problems = [f"stage {t.stage}: {t.problem}" for t in self.troubles]
        problems += [f"{judge}: {finding.kind}: {finding.detail}" for judge, finding in self.findings.items()]
        return "\n".join([*problems, str(self.example)])


# ---- one batch ----------------------------------------------------------------------------------


def judge(
    examples: Sequence[Example], stages: Sequence[str], workers: Mapping[str, Worker], timeout: float = TIMEOUT
) -> list[Verdict]:
    """A verdict on each example. The stages that have a worker run there, all at the same time as the others here.

    Stage `loop` passes over graphs of more than LOOPS elements. Raises ConfigError when there is no such stage, and when
    a judge has no worker: only there it is excused from its known differences.
    """
    _check_stages(stages, workers)
    excused = {stage: [excuses(e.graph, e.inputs, stage) for e in examples] for stage in stages}
    verdicts = [Verdict(e, excused={stage: found[k].names for stage, found in excused.items() if found[k].names})
                for k, e in enumerate(examples)]  # fmt: skip
    asked = {
        stage: [k for k, excuse in enumerate(excused[stage]) if not excuse.kills]
        for stage in stages
        if stage in workers
    }
    with ThreadPoolExecutor(max(1, len(asked))) as pool:
        jobs = {stage: [(examples[k].graph, examples[k].inputs) for k in which] for stage, which in asked.items()}
        answers = {stage: pool.submit(workers[stage].run, jobs[stage], timeout) for stage in asked}
        try:
            known = [reference(e.graph, e.inputs) for e in examples]
            for verdict, expected in zip(verdicts, known, strict=True):
                _run_here(verdict, [stage for stage in stages if stage not in workers], expected)
            outcomes = {stage: answer.result() for stage, answer in answers.items()}
        except BaseException:
            for stage in asked:
                workers[stage].interrupt()
            wait(answers.values())
            for stage in asked:  # a run may have ended before
                workers[stage].resume()
            raise
    for stage, which in asked.items():
        for k, outcome in zip(which, outcomes[stage], strict=True):
            _hear(verdicts[k], stage, outcome, known[k], excused[stage][k])
    return verdicts


def _check_stages(stages: Sequence[str], workers: Mapping[str, Worker]) -> None:
    call = f"judge({', '.join(stages)})"
    if unknown := [stage for stage in stages if stage not in STAGES]:
        problem = f"expected stages of {', '.join(STAGES)}, got {', '.join(unknown)}"
        raise ConfigError(call, problem, hint="for example numpy, llvm")
    if lonely := [stage for stage in stages if stage in JUDGES and stage not in workers]:
        problem = f"expected a worker for stage {lonely[0]}, got workers for {', '.join(workers) or 'none'}"
        raise ConfigError(call, problem, hint=f'{{"{lonely[0]}": Worker(JUDGES["{lonely[0]}"].engine)}}')


Known = tuple[list[Array], list[Array]]  # what the reference gives, and the tolerances


def _run_here(verdict: Verdict, stages: Sequence[str], known: Known) -> None:
    graph, inputs = verdict.example.graph, verdict.example.inputs
    for stage in stages:
        if stage == "loop" and sum(n.type.size for n in graph.nodes) > LOOPS:
            continue
        try:
            got = STAGES[stage](graph, inputs)
        except Exception as error:
            verdict.troubles.append(Trouble(stage, f"{type(error).__name__}: {error}"))
        else:
            _compare(verdict, stage, got, known, NOTHING)


def _hear(verdict: Verdict, stage: str, outcome: Outcome, known: Known, excused: Excuses) -> None:
    """Take down what a worker answers: when a judge fails that is a finding, when minicc does it is wrong."""
    if not isinstance(outcome, Finding):
        _compare(verdict, stage, outcome, known, excused)
    elif stage in JUDGES:
        verdict.findings[stage] = outcome
    else:
        verdict.troubles.append(Trouble(stage, f"{outcome.kind}: {outcome.detail}"))


def _compare(verdict: Verdict, stage: str, got: Mapping[str, Array], known: Known, excused: Excuses) -> None:
    try:
        verdict.compared[stage] = compare(verdict.example.graph, got, known, stage, excused)
    except Disagreement as error:
        verdict.compared[stage] = 1
        error.where = ""  # the example is shown beside it
        verdict.troubles.append(Trouble(stage, str(error)))


# ---- all of them --------------------------------------------------------------------------------


@dataclass
class Report:
    """Counts, and the examples with which something is wrong."""

    examples: int = 0
    compared: Counter[str] = field(default_factory=Counter)  # by stage: examples of which an output was compared
    excused: Counter[tuple[str, str]] = field(default_factory=Counter)  # by judge and difference: examples
    with_excuse: Counter[str] = field(default_factory=Counter)  # by judge: examples with any
    findings: Counter[tuple[str, str]] = field(
        default_factory=Counter
    )  # by judge and kind: examples on which it failed
    wrong: Counter[str] = field(default_factory=Counter)  # by stage: examples where it is wrong, or minicc failed
    shown: list[Verdict] = field(default_factory=list)

    def extend(self, verdicts: Iterable[Verdict]) -> None:
        """Count these, too."""
        for verdict in verdicts:
            self.examples += 1
            self.compared.update(stage for stage, outputs in verdict.compared.items() if outputs)
            self.excused.update((judge, name) for judge, names in verdict.excused.items() for name in names)
            self.with_excuse.update(verdict.excused.keys())
            self.wrong.update(trouble.stage for trouble in verdict.troubles)
            self.findings.update((judge, finding.kind) for judge, finding in verdict.findings.items())
            if verdict.is_shown:
                self.shown.append(verdict)

    @property
    def fine(self) -> bool:
        """Whether nothing disagrees, unexcused, and minicc failed nowhere."""
        return not self.wrong

    def rows(self) -> list[tuple[str, int]]:
        """What was counted, in words."""
        rows = [("examples", self.examples)]
        rows += [(f"compared: {stage}", self.compared[stage]) for stage in STAGES if self.compared[stage]]
        heard = {*self.compared, *self.with_excuse, *self.wrong, *(judge for judge, _ in self.findings)}
        for judge in filter(heard.__contains__, JUDGES):
            rows += [(f"{judge}: excused: {name}", self.excused[j, name]) for j, name in self.excused if j == judge]
            rows += [(f"{judge}: {kind}", self.findings[j, kind]) for j, kind in self.findings if j == judge]
            rows += [(f"{judge}: wrong answer", self.wrong[judge])]
        ours = sum(count for stage, count in self.wrong.items() if stage not in JUDGES)
        return [*rows, ("minicc: wrong or failed", ours)]

    def __str__(self) -> str:
        width = max(len(name) for name, _ in self.rows())
        return "\n".join(f"{name:<{width}}  {count:>6}" for name, count in self.rows())


# ---- the command ---------------------------------------------------------------------------------


def check_judges(judges: str | None) -> list[str]:
    """The judges of a comma-separated list; None means those that are installed. Raises typer.BadParameter, and BridgeError on one that is not."""
    names = installed_judges() if judges is None else [name.strip() for name in judges.split(",") if name.strip()]
    unknown = [name for name in names if name not in JUDGES]
    if unknown or not names:
        problem = f"expected judges among {', '.join(JUDGES)}, got {', '.join(unknown) or 'none'}"
        raise typer.BadParameter(problem, param_hint="--judges")
    for name in names:
        JUDGES[name].check()
    return names


def check_names(operators: str) -> list[str]:
    """The operators of a comma-separated list; all where it is empty. Raises typer.BadParameter on others."""
    names = [name.strip() for name in operators.split(",") if name.strip()]
    if unknown := [name for name in names if name not in REGISTRY]:
        near = difflib.get_close_matches(unknown[0], REGISTRY)
        problem = f"expected operators, got {', '.join(unknown)}{f'; did you mean {near[0]}?' if near else ''}"
        raise typer.BadParameter(problem, param_hint="--operators")
    return names or sorted(REGISTRY)


class Show(Running):
    """A running campaign on the console: progress, what is found as it is found, and the report."""

    def __init__(self, console: Console, what: str, total: int, folder: Path | None = None) -> None:
        super().__init__(console, what, total)
        self.folder, self.report = folder, Report()
        try:
            if folder:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            problem = f"expected a folder to write in, got {folder}: {error.strerror}"
            raise typer.BadParameter(problem, param_hint="--save") from None

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Count these; show and save what is found."""
        self.report.extend(verdicts)
        for verdict in filter(lambda v: v.is_shown, verdicts):
            self.console.print(f"\n{plain_lines(verdict)}", markup=False, highlight=False, soft_wrap=True)
            if self.folder:
                found = [t.stage for t in verdict.troubles] + [f"{j}-{f.kind}" for j, f in verdict.findings.items()]
                save(verdict, self.folder, f"{sum(1 for _ in self.folder.glob('*.txt')) + 1:04}-{found[0]}")
        self.advance(len(verdicts), len(self.report.shown))

    def finish(self) -> None:
        """Print the report and end: 1 when something is wrong, 130 after Ctrl-C."""
        self.console.print(f"\n{self.report}", markup=False, highlight=False)
        if self.stopped:
            self.console.print(f"stopped after {self.report.examples} of {self.total}")
        raise typer.Exit(130 if self.stopped else 0 if self.report.fine else 1)


# ---- files --------------------------------------------------------------------------------------


def save(verdict: Verdict, folder: Path, name: str) -> None:
    """Write the graph's text to NAME.txt, what is wrong to NAME.problem, and its inputs by name and constants by digest to NAME.npz."""
    write_arrays(folder / f"{name}.npz", arrays_of(verdict.example.graph, verdict.example.inputs))
    write_file(folder / f"{name}.problem", f"{verdict}\n".encode())
    write_file(folder / f"{name}.txt", f"{verdict.example.graph}\n".encode())


def load(path: Path) -> Example:
    """The example of a NAME.txt with the NAME.npz beside it. Raises GraphError where the text is no graph, ConfigError where a file is amiss."""
    beside = path.with_suffix(".npz")
    try:
        graph, inputs = read_case(path.read_text(), beside)
        return Example(graph, {name: inputs[name] for name in graph.input_names})
    except (OSError, ValueError, LookupError, RunError) as error:
        problem = f"expected the text of a graph and {beside.name} beside it, got {reason(error)}"
        raise ConfigError(f"load({path})", problem, hint="both are written by --save") from None
