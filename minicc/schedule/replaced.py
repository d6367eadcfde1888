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

from minicc.errors import ConfigError, nearest
from minicc.schedule.step import INSTEAD, STEPS, Primitive


@contextmanager
def replaced(primitives: Mapping[str, Primitive]) -> Iterator[None]:
    """These functions stand for the primitives of these names. Raises ConfigError when there is none of a name."""
    check_primitives("replaced(...)", primitives)
    token = INSTEAD.set({**INSTEAD.get(), **primitives})
    try:
        yield
    finally:
        INSTEAD.reset(token)


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
