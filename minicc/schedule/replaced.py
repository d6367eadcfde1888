"""Other functions in the place of primitives, for a while: how a reader's own `split` schedules a whole model.

In: functions `(program, step) -> program` by the names of primitives. Each does what its step asks for, makes the loops and
buffers that `step.names(program)` tells, and raises Illegal or ScheduleError where that is not legal. It holds wherever the
step is made: by hand, by a recipe, by `tile`, in `moves`.

>>> from minicc.schedule.examples import doubled
>>> from minicc.schedule.step import Illegal
>>> def never(program, step):
...     raise Illegal("expected another idea")
>>> with replaced({"unroll": never}):
...     [str(step) for step in doubled(4).moves() if step.name == "unroll"]
[]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from minicc.errors import ConfigError, ScheduleError, nearest
from minicc.loop.ir import loops
from minicc.loop.program import Program
from minicc.loop.queries import buffers_of
from minicc.schedule.step import INSTEAD, STEPS, Primitive, Step, loops_text


@contextmanager
def replaced(primitives: Mapping[str, Primitive]) -> Iterator[None]:
    """These functions stand for the primitives of these names. Raises ConfigError when there is none of a name."""
    check_primitives("replaced(...)", primitives)
    token = INSTEAD.set({**INSTEAD.get(), **{name: _checked(function) for name, function in primitives.items()}})
    try:
        yield
    finally:
        INSTEAD.reset(token)


def _checked(function: Primitive) -> Primitive:
    """The function, and ScheduleError where it gives no program, or one without what the step makes."""

    def primitive(program: Program, step: Step) -> Program:
        made, wanted = function(program, step), step.names(program) or ()
        got = "" if isinstance(made, Program) else f"{made!r:.80}"
        if not got:
            known = {*loops(made.body), *buffers_of(made)}
            missing = [name for name in ((wanted,) if isinstance(wanted, str) else wanted) if name not in known]
            got = f"one without {' and '.join(missing)}" if missing else ""
        if got:
            problem = (
                f"expected a program with what the step makes from the function that stands for {step.name}, got {got}"
            )
            raise ScheduleError(
                str(step).removeprefix("s."), problem, loops_text(program), "return the changed program"
            )
        return made

    return primitive


def check_primitives(call: str, primitives: Mapping[str, Primitive]) -> None:
    """Raise ConfigError unless these are functions by the names of primitives."""
    for name, function in primitives.items():
        if name not in STEPS:
            near = nearest(name, STEPS)
            hint = f"did you mean {near!r}?" if near else "give one of these names"
            raise ConfigError(call, f"expected the name of a primitive, got {name!r}", ", ".join(STEPS), hint)
        if not callable(function):
            problem = f"expected a function for {name}, got {function!r}"
            raise ConfigError(call, problem, hint="give one that takes a program and a step, and gives a program")
