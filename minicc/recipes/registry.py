"""Recipes: how a family of kernels is scheduled. The first one that matches a kernel makes its schedule.

In: a naive program and a target. Out: a schedule, the name of the recipe that made it, and why that one. `matches` says
in a few words why a recipe suits a program, or gives None; `schedule` takes steps on a `Schedule` of it. Numbers that it
picks are recorded by `s.choose`, so it can be run again with others.

>>> from minicc import te
>>> from minicc.loop.lower import lower
>>> def reason(program, target):
...     return "its loops go around nothing but a store" if "first" not in str(program) else None
>>> def unrolled(s, target):
...     _, inner = s.split("i", factor=s.choose("steps", (2, 4, 8), 4))
...     s.unroll(inner)
>>> register(Recipe("unrolled", reason, unrolled))
>>> x = te.placeholder((64,), name="x")
>>> y = te.compute((64,), lambda i: x[i] * 2.0, name="y")
>>> naive = lower([y], [x, y], "double").program
>>> print(scheduled(naive, Target.of("haswell")))
# recipe unrolled: its loops go around nothing but a store
steps = s.choose("steps", [2, 4, 8], 4)
s.split("i", factor=steps)
s.unroll("i_i")
>>> scheduled(naive, Target.of("haswell"), {"steps": 8}).schedule.choices
{'steps': 8}
>>> unregister("unrolled")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from minicc.errors import MiniccError, ScheduleError, Task
from minicc.loop.program import Program
from minicc.recipes import attention, convolution, default, depthwise, exact, gemm, reduced_rows, winograd
from minicc.schedule import Schedule, Trace
from minicc.target import Target

T = TypeVar("T")


@dataclass(frozen=True)
class Recipe:
    """`matches(program, target)` says why it suits a naive program, or None; `schedule(s, target)` takes the steps."""

    name: str
    matches: Callable[[Program, Target], str | None]
    schedule: Callable[[Schedule, Target], None]

    def apply(self, program: Program, target: Target, choices: Mapping[str, int] | None = None) -> Schedule:
        """A schedule of `program`, with other numbers for some of its choices. Raises ScheduleError when the recipe raises."""
        s = Schedule(program, choices)
        self._run(program, lambda: self.schedule(s, target))
        s.check_choices()
        return s

    def reason(self, program: Program, target: Target) -> str | None:
        """Why it suits `program`; None if it does not. Raises ScheduleError when the recipe raises."""
        return self._run(program, lambda: self.matches(program, target))

    def _run(self, program: Program, work: Callable[[], T]) -> T:
        try:
            return work()
        except Task:
            raise
        except Exception as error:
            told = isinstance(error, MiniccError)
            problem = f"expected a schedule, got {str(error).splitlines()[0] if told else repr(error)}"
            where, hint = (error.where, error.hint) if isinstance(error, MiniccError) else ("", "")
            hint = hint or f"correct the recipe {self.name}, or unregister({self.name!r})"
            raise ScheduleError(
                f"recipe {self.name} of {program.name}", problem, where or str(program), hint
            ) from error


@dataclass(frozen=True)
class Scheduled:
    """The schedule of a kernel, the recipe that made it, and why it was that one. `str` is the trace below both."""

    schedule: Schedule
    recipe: str
    reason: str

    def __str__(self) -> str:
        return f"# recipe {self.recipe}: {self.reason}\n{self.schedule.trace}".rstrip()


FAMILIES = (attention, reduced_rows, winograd, convolution, gemm, depthwise)  # the first that matches is taken
BY_FAMILY = tuple(Recipe(m.__name__.split(".")[-1], m.matches, m.schedule) for m in FAMILIES)
ATTENTION, REDUCED_ROWS, WINOGRAD, CONVOLUTION, GEMM, DEPTHWISE = BY_FAMILY
DEFAULT = Recipe("default", lambda program, target: "no other recipe matches", default.schedule)
EXACT = Recipe("exact", lambda program, target: "each sum has one order" if target.exact else None, exact.schedule)
RECIPES: tuple[Recipe, ...] = (*BY_FAMILY, DEFAULT)
PREFERRED: ContextVar[tuple[Recipe, ...]] = ContextVar(
    "PREFERRED", default=()
)  # tried before these (`kernels.replacements`)


def register(recipe: Recipe) -> None:
    """Try `recipe` before all others. Raises ScheduleError when there is one of its name."""
    global RECIPES
    names = [r.name for r in RECIPES]
    if recipe.name in names:
        problem = f"expected a new name, got {recipe.name}"
        raise ScheduleError(f"register({recipe.name!r})", problem, f"recipes: {', '.join(names)}", "take another name")
    RECIPES = (recipe, *RECIPES)


def unregister(name: str) -> None:
    """Forget a recipe. Raises ScheduleError when there is none of the name, or it is the one that all is left to."""
    global RECIPES
    names = [r.name for r in RECIPES if r is not DEFAULT]
    if name not in names:
        problem = f"expected the name of a recipe, got {name!r}"
        raise ScheduleError(f"unregister({name!r})", problem, f"recipes: {', '.join(names)}", "one of these")
    RECIPES = tuple(r for r in RECIPES if r.name != name)


def scheduled(program: Program, target: Target, given: Trace | Mapping[str, int] | None = None) -> Scheduled:
    """A naive program scheduled by the trace that is given; else by the first recipe that matches it, with the choices given.

    Raises ScheduleError when a step is not legal, a recipe raises, or a choice is none of its own.
    """
    if isinstance(given, Trace):
        return Scheduled(given.replay(program), "none", "the trace was given")
    if not isinstance(given, Mapping | None):
        problem = f"expected a Trace or a table of choices, got {given!r}"
        raise ScheduleError(f"schedule of {program.name}", problem, str(program), 'for example {"rows": 4}')
    for recipe in (EXACT, *PREFERRED.get(), *RECIPES):
        if (reason := recipe.reason(program, target)) is not None:
            break
    return Scheduled(recipe.apply(program, target, given), recipe.name, str(reason))
