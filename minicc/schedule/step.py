"""What every schedule primitive is: a frozen record that rewrites a loop program, or says why not.

In: a `Program`. Out: a program of the same meaning. A primitive's file defines one `Step`, whose fields are the
arguments, with `transform`, which raises `Illegal` where the step would change the meaning, and `candidates`, from
which `moves` keeps what is legal. `check` and `apply` add the four-part error and tidy the result. A step prints as
the Python that applies it to a schedule called `s`. To define the class is to register it: `SplitStep` is known as
"split", and a schedule and its stages have a method `split` (`schedule.surface`).

>>> from minicc.schedule.split import SplitStep
>>> str(SplitStep("i", factor=4)), SplitStep("i", factor=4).to_json()
('s.split("i", factor=4)', {'step': 'split', 'loop': 'i', 'factor': 4, 'nparts': None, 'tail': 'guard'})
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, TypeVar, dataclass_transform

from minicc.errors import ScheduleError, caret
from minicc.loop.program import Program
from minicc.schedule.arguments import check_fields
from minicc.schedule.choice import loaded, names, shown, stored
from minicc.schedule.tidy import tidy

S = TypeVar("S", bound="Step")
NewBuffer = str  # the name of a buffer that a step made; on the surface of stages, the stage of it

Primitive = Callable[[Program, Any], Program]  # what takes the place of a primitive: a program and a step, to a program

STEPS: dict[str, type[Step]] = {}  # every primitive by its name
INSTEAD: ContextVar[Mapping[str, Primitive]] = ContextVar("INSTEAD", default={})  # noqa: B039 - only `replaced` sets it
_watchers: list[Callable[[type[Step]], None]] = []


def each_step(do: Callable[[type[Step]], None]) -> None:
    """Do something with every primitive, those to come included."""
    for kind in STEPS.values():
        do(kind)
    _watchers.append(do)


def loops_text(program: Program) -> str:
    """The statements of a program as Python, without the lines that make it a function."""
    return textwrap.dedent(str(program).partition("    # ")[2].partition("\n")[2]).rstrip()


class Illegal(Exception):
    """A step cannot be done: why, the loop or buffer at fault, and the way out (a function where that takes a search),
    and what to show beside the program."""

    def __init__(self, problem: str, culprit: str = "", hint: str | Callable[[], str] = "", beside: str = "") -> None:
        super().__init__(problem)
        self.problem, self.culprit, self.hint, self.beside = problem, culprit, hint, beside


@dataclass_transform(frozen_default=True)
@dataclass(frozen=True)
class Step:
    """One move of a schedule. A subclass is a frozen dataclass, called after its primitive: `FuseStep` is "fuse".

    What else holds of the kind stands in the head of its class: `class FuseStep(Step, positional=2)`.
    """

    name: ClassVar[str]
    positional: ClassVar[int] = 1  # how many fields are written without their name; a tuple among them, one by one
    checked_here: ClassVar[tuple[str, ...]] = ()  # fields whose kind `transform` checks
    takes: ClassVar[dict[str, str]] = {}  # what a method takes as a field, where that is more than its kind
    axes: ClassVar[dict[str, str]] = {"loop": "axis"}  # fields that name loops, and what a stage calls them

    def __init_subclass__(cls, abstract: bool = False, **facts: Any) -> None:
        for fact, value in facts.items():
            setattr(cls, fact, value)
        dataclass(frozen=True)(cls)
        if not abstract:
            cls.name = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__.removesuffix("Step")).lower()
            STEPS[cls.name] = cls
            for do in _watchers:
                do(cls)

    def __post_init__(self) -> None:
        check_fields(self)

    def transform(self, program: Program) -> Program:
        """The program after the step. Raises Illegal."""
        raise NotImplementedError(self.name)

    def rewritten(self, program: Program) -> Program:
        """`transform`, or what takes its place (`schedule.replaced`)."""
        function = INSTEAD.get().get(self.name)
        return function(program, self) if function else self.transform(program)

    @classmethod
    def candidates(cls: type[S], program: Program) -> Iterator[S]:
        """Instances that are worth trying on `program`, legal or not."""
        raise NotImplementedError(cls.name)

    def names(self, program: Program) -> Any:
        """The names of what the step makes of `program`: what the method of a schedule returns."""

    def result(self, before: Program, after: Program) -> Any:
        """What the method returns, where the names are known afterwards only."""
        return self.names(before)

    @classmethod
    def at_stage(cls: type[S], stage: Any, *_: Any, **given: Any) -> S:
        """The step that a stage means: it is the buffer, and its axes are loops. Another signature is that of its method."""
        names = {f.name: cls.axes.get(f.name, f.name) for f in fields(cls)}
        values = {name: given[known] for name, known in names.items() if known in given}
        for name in cls.axes.keys() & values.keys():
            value = values[name]
            values[name] = tuple(map(stage.loop, value)) if isinstance(value, tuple) else stage.loop(value)
        return cls(**({"buffer": stage.name} if "buffer" in names else {}), **values)

    def check(self, program: Program) -> None:
        """Raises ScheduleError when the step is not legal on `program`."""
        self._transformed(program)

    def apply(self, program: Program) -> Program:
        """The program after the step, indices simplified. Raises ScheduleError when not legal."""
        return tidy(self._transformed(program))

    @classmethod
    def moves(cls: type[S], program: Program) -> list[S]:
        """Every legal instance on `program`, over a small set of factors."""
        return [step for step in cls.candidates(program) if step.is_legal(program)]

    def is_legal(self, program: Program) -> bool:
        """Whether the step can be done on `program`."""
        try:
            self.rewritten(program)
        except (Illegal, ScheduleError):
            return False
        return True

    def _transformed(self, program: Program) -> Program:
        try:
            return self.rewritten(program)
        except Illegal as illegal:
            text = loops_text(program)
            where = caret(text, illegal.culprit) if illegal.culprit else text
            where = f"{where}\n{illegal.beside}" if illegal.beside else where
            hint = illegal.hint() if callable(illegal.hint) else illegal.hint
            raise ScheduleError(str(self).removeprefix("s."), illegal.problem, where, hint) from None

    def __str__(self) -> str:
        parts: list[str] = []
        for number, field in enumerate(fields(self)):
            value = getattr(self, field.name)
            if number < self.positional:
                parts += map(shown, value if isinstance(value, tuple) else (value,))
            elif field.default is MISSING or value != field.default:
                parts.append(f"{field.name}={shown(value)}")
        return f"s.{self.name}({', '.join(parts)})"

    def to_json(self) -> dict[str, Any]:
        """The step as plain data; `Trace.from_json` reads it."""
        return {"step": self.name, **{f.name: stored(getattr(self, f.name)) for f in fields(self)}}

    @classmethod
    def from_json(cls: type[S], data: dict[str, Any]) -> S:
        """The step of these fields."""
        return cls(**{k: loaded(v) for k, v in data.items() if k != "step"})

    def chosen(self) -> set[str]:
        """The names of choices in its fields."""
        return set().union(*[names(getattr(self, f.name)) for f in fields(self)])

    def map(self: S, change: Callable[[Any], Any]) -> S:
        """The step with each field changed."""
        return type(self)(**{f.name: change(getattr(self, f.name)) for f in fields(self)})
