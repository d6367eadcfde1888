"""An executable of several stages, for models in which data decide shapes, branches or the number of trips.

What does not depend on such data is compiled when the model is. A call runs that, then the operators that decide,
then what follows: code for the types that the values turned out to have, made when they are first met, and kept.
A body of a loop is run from here, trip by trip, so that Ctrl-C ends it. A value is an array, or a tuple of values.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from minicc.errors import MiniccError, RunError
from minicc.ir.arrays import Array, apart
from minicc.runtime import plan, stamps
from minicc.runtime.executable import Executable
from minicc.runtime.image import Port, Stages, Text
from minicc.runtime.plan import ArenaPlan
from minicc.runtime.specialize import WithoutImage
from minicc.types import TensorType

KEPT = 64  # what is made for different types; the oldest goes first
Value = Any


class Runner(Protocol):
    """What gives values from values. `latest` are its executables, with what each was given; None that did not run yet."""

    def __call__(self, values: Sequence[Value], /) -> Sequence[Value]: ...
    def latest(self) -> Iterator[tuple[Executable, Sequence[Array] | None]]: ...


def leaves(values: Sequence[Value]) -> Iterator[Array]:
    """The arrays in values, in order."""
    for value in values:
        if isinstance(value, tuple):
            yield from leaves(value)
        elif value is not None:
            yield value


class Compiled:
    """An executable that `make()` gives when it is first run; sequences go in as their elements, unless `whole`."""

    def __init__(self, make: Callable[[], Executable], whole: bool = False) -> None:
        self._make, self._whole = make, whole
        self._made: Executable | None = None
        self._given: Sequence[Any] | None = None

    @property
    def executable(self) -> Executable:
        """What is run, made if it is not there."""
        self._made = self._made or self._make()
        return self._made

    def __call__(self, values: Sequence[Value]) -> Sequence[Value]:
        given = self._given = values if self._whole else tuple(leaves(values))
        return self.executable(*given)

    def latest(self) -> Iterator[tuple[Executable, Sequence[Array] | None]]:
        if self._made is not None:
            yield self._made, self._given

    def __reduce__(self) -> tuple[Any, ...]:
        return Compiled, (self._make, self._whole)


class ByTypes:
    """Runs values by what `make(values)` gave for values of the same types."""

    def __init__(self, make: Callable[[Sequence[Value]], Runner]) -> None:
        self._make = make
        self._made: dict[Hashable, Runner] = {}
        self._last: Runner | None = None
        self._lock = threading.Lock()

    def __call__(self, values: Sequence[Value]) -> Sequence[Value]:
        self._last = self.made(values)
        return self._last(values)

    def made(self, values: Sequence[Value]) -> Runner:
        """What runs values of these types, made if there is none."""
        key = _key(tuple(values))
        if (made := self._made.get(key)) is None:
            with self._lock:
                if key not in self._made:
                    if len(self._made) >= KEPT:
                        del self._made[next(iter(self._made))]
                    self._made[key] = self._make(values)
                made = self._made[key]
        return made

    def latest(self) -> Iterator[tuple[Executable, Sequence[Array] | None]]:
        if self._last is not None:
            yield from self._last.latest()

    def __reduce__(self) -> tuple[Any, ...]:
        return ByTypes, (self._make,)


def _key(value: Value) -> Hashable:
    """What is equal of values for which the same code is right."""
    if isinstance(value, tuple):
        return tuple([_key(element) for element in value])
    return value if value is None else (value.dtype, value.shape)


@dataclass(frozen=True)
class Action:
    """Values from values, all by their numbers: what it is called, what runs it, and where it comes from."""

    name: str
    run: Runner
    reads: tuple[int, ...]
    writes: tuple[int, ...]
    where: str = ""


class StagedExecutable(WithoutImage):
    """Runs `steps`, one after the other, on numbered values: the first are the inputs, then the constants.

    `outputs`, `kernels` and `stages` are those of the latest call. Before the first one there are those of what was
    compiled with the model.
    """

    def __init__(
        self,
        name: str,
        inputs: Sequence[Port],
        outputs: Sequence[Port],
        constants: Sequence[Array],
        steps: Sequence[Action],
        results: Sequence[int],
        threads: int,
        texts: Mapping[str, Text],
    ) -> None:
        self.name, self.inputs, self.outputs, self.threads = name, list(inputs), list(outputs), threads
        self._texts = Stages(texts)
        self.kernels, self.stages, self._deciding = [], Stages({}), "data"
        self._constants, self._steps, self._results = list(constants), list(steps), list(results)
        last = {k: n for n, step in enumerate(steps) for k in step.reads}
        self._dropped = [[k for k in set(s.reads) if last[k] == n and k not in results] for n, s in enumerate(steps)]
        self._told: list[Executable] | None = None
        self._note()

    def __reduce__(self) -> tuple[Any, ...]:
        arguments = self.inputs, self.outputs, self._constants, self._steps, self._results, self.threads, self._texts
        return StagedExecutable, (self.name, *arguments), self._kept()

    def _run(self, arrays: list[Array]) -> tuple[Array, ...]:
        values: dict[int, Value] = dict(enumerate([*arrays, *self._constants]))
        for step, dropped in zip(self._steps, self._dropped, strict=True):
            values.update(zip(step.writes, self._stepped(step, [values[k] for k in step.reads]), strict=True))
            for k in dropped:
                del values[k]
        results = apart([values[k] for k in self._results], (*arrays, *self._constants))
        self.outputs = [Port(port.name, _type(v)) for port, v in zip(self.outputs, results, strict=True)]
        self._note()
        return tuple(results)

    def _stepped(self, step: Action, values: Sequence[Value]) -> Sequence[Value]:
        """What a step gives. Raises RunError, which names where it comes from."""
        try:
            return step.run(values)
        except MiniccError as error:
            error.where = error.where or step.where
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            hint = "look at the inputs that it depends on: the model has no answer for these"
            raise RunError(f"{self.name}(...)", f"{step.name} failed: {error}", step.where, hint) from error

    def stamps(self, *arrays: Any) -> Array:
        """Of each executable that a run ends with, on what it was last given: a body of a loop counts one trip, or none."""
        self._run(self._positional(arrays))
        parts = [
            np.zeros((1, len(made.kernels) + 1)) if given is None else made.stamps(*given)
            for made, given in self._latest()
        ]
        return stamps.one_after_the_other(parts)

    @property
    def memory_plan(self) -> ArenaPlan:
        return plan.one_after_the_other([(made.memory_plan, len(made.kernels)) for made, _ in self._latest()])

    def _latest(self) -> list[tuple[Executable, Sequence[Array] | None]]:
        return [found for step in self._steps for found in step.run.latest()]

    def _note(self) -> None:
        """Tell what the executables of the latest call tell."""
        made = [executable for executable, _ in self._latest()]
        if made != self._told:
            self._told, self.kernels = made, [kernel for each in made for kernel in each.kernels]
            self.stages = Stages(_joined(made), {"fused": self._plan}, self._texts)
            self.arena_bytes = sum(each.arena_bytes for each in made)

    def _plan(self) -> str:
        """What is run, one after the other, and the kernels of what is compiled by now."""
        lines = []
        for k, step in enumerate(self._steps, 1):
            lines.append(f"# {k}. {step.name}{f', {step.where}' * bool(step.where)}")
            lines += [each.stages.get("fused", "") for each, _ in step.run.latest()]
        return "\n".join(filter(None, lines))

    @property
    def constant_bytes(self) -> int:
        return sum(each.constant_bytes for each in self._told or ())


def _joined(made: Sequence[Executable]) -> Stages:
    """The texts of several executables, one after the other."""
    names = dict.fromkeys(name for each in made for name in each.stages)
    texts = {name: [each.stages for each in made if name in each.stages] for name in names}

    def text(name: str) -> Callable[[], str]:
        return lambda: "\n\n".join(stages[name] for stages in texts[name])

    return Stages({name: text(name) for name in names})


def _type(value: Value) -> TensorType | None:
    return None if value is None or isinstance(value, tuple) else TensorType.of(value)
