"""A schedule that is made by clicks: the program, its legal next moves, what each would change and cost, and the way back.

In: a kernel, which is a naive program with the steps that it begins with. Out: a `Session`, whose answers are what JSON can say.
It takes a move by its number, or a step as one types it; that is parsed, never run: the name of a primitive, and literals.
What was done is exported as Python that makes the same program. A page shows all this (`minicc.explain.serve`), a test clicks.

>>> from minicc.explain.workbench import here
>>> from minicc.schedule.examples import doubled
>>> session = Session(LiveKernel("doubled", doubled(64).program), Workbench(here))
>>> session.type('s.split("i", factor=16)')
>>> texts = [move["text"] for move in session.moves()["moves"]]
>>> session.move(session.version, texts.index('s.vectorize("i_i")'))
>>> session.go(1)
>>> session.state()["steps"], session.state()["position"]
(['s.split("i", factor=16)', 's.vectorize("i_i")'], 1)
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from minicc.errors import ScheduleError
from minicc.explain.explored import Explored, ExploredKernel
from minicc.explain.workbench import Cancelled, Workbench
from minicc.loop.ir import loops, walk
from minicc.loop.program import Program
from minicc.loop.queries import buffers_of
from minicc.loop.ranges import size_vars
from minicc.schedule import STEPS, Step, Trace
from minicc.schedule.typed import type_step
from minicc.target import Target

MOST_STATEMENTS = 1_000  # of a program: what makes copies of loops could go on for ever
MOST_STEPS = 500


@dataclass(frozen=True)
class LiveKernel:
    """What sessions begin with. `source` is Python that makes `s`, a schedule of the naive program with no steps."""

    name: str
    naive: Program
    trace: Trace = field(default_factory=Trace)
    source: str = "s = ...  # a schedule of the naive program"
    target: Target = field(default_factory=Target.native)


def script_kernels(found: Explored, path: Path, name: str | None) -> list[LiveKernel]:
    """The schedule that a script leaves in a name, or in the last one."""
    source = (
        "from pathlib import Path",
        "from minicc.explain.scripts import schedule_of",
        "from minicc.schedule import Schedule",
        f"s = schedule_of(Path({str(path)!r}){f', {name!r}' if name else ''})",
        's = Schedule(getattr(s, "schedule", s).start)',
    )
    return [_live(found, kernel, source) for kernel in found.kernels]


def model_kernels(found: Explored, path: Path, target: str, options: Mapping[str, Any]) -> list[LiveKernel]:
    """The kernels of a model that `explore_model` found with these options of `compile`."""
    given = "".join(f", {key}={value!r}" for key, value in options.items() if value)
    head = (
        "import minicc",
        "from minicc.explain.explored import explore_model",
        "from minicc.schedule import Schedule",
        f"model, target = minicc.load({str(path)!r}), minicc.Target.of({target!r})",
    )
    explored = "(kernel,) = explore_model(model, target, only={!r}{}).kernels"
    last = "s = Schedule(kernel.schedule.start)"
    return [_live(found, each, (*head, explored.format(each.name, given), last)) for each in found.kernels]


def _live(found: Explored, kernel: ExploredKernel, source: Sequence[str]) -> LiveKernel:
    schedule = kernel.schedule
    return LiveKernel(kernel.name, schedule.start, schedule.trace, "\n".join(source), found.target)


class Stale(Exception):
    """A request is about a program that is no longer the present one."""


# ---- a session


class Session:
    """One schedule under work. `version` counts its changes: what was asked about an older program is `Stale`."""

    def __init__(self, kernel: LiveKernel, workbench: Workbench) -> None:
        self.kernel, self.version = kernel, 0
        self._bench, self._lock = workbench, threading.RLock()
        self._schedule = kernel.trace.replay(kernel.naive)
        self._later: list[Step] = []  # what was undone, the next one last
        self._moves: tuple[int, list[Step]] = (-1, [])  # of a version

    @property
    def program(self) -> Program:
        """The program after all steps that are done."""
        return self._schedule.program

    def state(self) -> dict[str, Any]:
        """All that a page shows at once: the program, its names, and the steps, of which the first `position` are done."""
        with self._lock:
            program, done = self._schedule.program, self._schedule.trace
            return {
                "version": self.version,
                "name": self.kernel.name,
                "program": _lines(program),
                "loops": list(loops(program.body)),
                "buffers": _buffers(program),
                "sizes": [v.name for v in size_vars(program)],
                "steps": str(Trace((*done, *reversed(self._later)))).splitlines(),
                "position": len(done),
                "python": self.source(),
                "json": done.to_json(),
            }

    # ---- changes

    def move(self, version: int, index: int) -> None:
        """Do a move by its number in `moves()`. Raises Stale, and ScheduleError as `Schedule.apply`."""
        with self._lock:
            step = self._listed(version, index)
            self._change(lambda: self._schedule.apply(step))

    def type(self, text: str) -> None:
        """Do a step as one types it. Raises ScheduleError."""
        with self._lock:
            self._change(lambda: type_step(self._schedule, text))

    def go(self, position: int) -> None:
        """Undo, or do again, until so many steps are done. Raises ScheduleError where there are not so many."""
        with self._lock:
            steps = len(self._schedule.trace) + len(self._later)
            if not 0 <= position <= steps:
                raise ScheduleError(
                    f"go({position})", f"expected a number from 0 to {steps}, got {position}", hint="undo, or redo"
                )
            while len(self._schedule.trace) > position:
                self._later.append(self._schedule.undo())
            while len(self._schedule.trace) < position:
                self._schedule.apply(self._later[-1])
                self._later.pop()
            self._changed()

    def _change(self, act: Callable[[], Any]) -> None:
        """Do something to the schedule, all of it or nothing."""
        before = len(self._schedule.trace)
        act()
        size = sum(1 for _ in walk(self.program.body))
        if size > MOST_STATEMENTS or before >= MOST_STEPS:
            self._schedule.undo()
            problem = (
                f"expected at most {MOST_STATEMENTS} statements and {MOST_STEPS} steps, got {size} and {before + 1}"
            )
            raise ScheduleError("step", problem, hint="undo some steps")
        self._later.clear()
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        self._bench.cancel(self)

    # ---- moves

    def moves(self) -> dict[str, Any]:
        """Every legal next step: its text, its primitive, and the loops and buffers that it is about. Raises Stale."""
        with self._lock:
            version, program = self.version, self.program
        if (found := self._moves)[0] != version:
            answer = self._ask("moves", version, program)
            if "refused" in answer:
                return {"version": version, **answer}
            found = self._moves = version, [STEPS[data["step"]].from_json(data) for data in answer]
        names = {*loops(program.body), *_buffers(program)}
        listed = [{"text": str(s), "primitive": s.name, "about": _about(s.to_json().values(), names)} for s in found[1]]
        return {"version": version, "moves": listed}

    def _listed(self, version: int, index: int) -> Step:
        """A move of the present program by its number."""
        if version != self.version or self._moves[0] != version:
            raise Stale
        if not 0 <= index < len(self._moves[1]):
            problem = f"expected the number of a move, from 0 to {len(self._moves[1]) - 1}, got {index}"
            raise ScheduleError(f"move({index})", problem, hint="ask for the moves")
        return self._moves[1][index]

    def preview(self, version: int, index: int) -> list[str]:
        """The program with what a move would take away (`-`) and bring (`+`). Raises Stale, and ScheduleError."""
        with self._lock:
            step, program = self._listed(version, index), self.program
        before, after = _lines(program), _lines(step.apply(program))
        lines = list(difflib.unified_diff(before, after, n=len(before), lineterm=""))
        return lines[3:] or [f" {line}" for line in before]

    # ---- costs

    def count(
        self, version: int, indices: Sequence[int | None], sizes: Mapping[str, int], caches: Sequence[Sequence[int]]
    ) -> dict[str, Any]:
        """Counted costs of what some moves make of the program; None is the program as it is. Raises Stale."""
        with self._lock:
            steps = [None if index is None else self._listed(version, index).to_json() for index in indices]
            program = self.program
        return {"counts": [self._ask("count", version, program, s, sizes=sizes, caches=caches) for s in steps]}

    def measure(self, version: int, index: int | None, sizes: Mapping[str, int]) -> dict[str, Any]:
        """Seconds of a call of the program, or of what a move makes of it. Raises Stale."""
        with self._lock:
            step = None if index is None else self._listed(version, index).to_json()
            program = self.program
        return dict(self._ask("measure", version, program, step, sizes=sizes))

    def _ask(self, do: str, version: int, program: Program, step: Any = None, **more: Any) -> Any:
        owner = self if do == "measure" else None
        current = lambda: self.version == version  # noqa: E731
        try:
            return self._bench.ask(do, program, self.kernel.target, step, wanted=current, owner=owner, **more)
        except Cancelled:
            raise Stale from None

    def source(self) -> str:
        """Python that makes the program: run, it leaves a schedule `s`."""
        return "\n".join([self.kernel.source, *filter(None, [str(self._schedule.trace)]), "print(s.program)", ""])


def _lines(program: Program) -> list[str]:
    """The text, without the line that imports what it needs to run."""
    text = str(program).rstrip("\n")
    return text[text.index(f"def {program.name}(") :].split("\n")


def _buffers(program: Program) -> list[str]:
    return list(dict.fromkeys([*(b.name for b in (*program.params, *program.outputs)), *buffers_of(program)]))


def _about(values: Sequence[Any] | Any, names: set[str]) -> list[str]:
    """The names among the fields of a step, and in tuples of them."""
    found = [v for v in values if isinstance(v, str) and v in names]
    found += [name for v in values if isinstance(v, (list, tuple)) for name in _about(v, names)]
    return list(dict.fromkeys(found))
