"""Both surfaces of every primitive, made from its record: `s.split("i", factor=4)` and `s[C].split(axis, factor=4)`.

In: the steps, as they are registered. Out: two base classes with a method for each, of `Schedule` and of `Stage`. The
signature is the fields of the record, the documentation its docstring, what is returned is `Step.result`. On a stage,
the buffer is left out, and axes stand for loops, unless `Step.at_stage` says otherwise. What editors and mypy know of
these methods stands in `surface.pyi`, which `python tests/schedule/surface_stub.py` writes.

>>> from minicc.schedule.cache_read import CacheReadStep
>>> print(*parameters(CacheReadStep), sep=", ")
buffer: 'str', scope: 'Scope' = 'local', readers: 'tuple[str, ...]' = ()
>>> print(*stage_parameters(CacheReadStep), sep=", ")
scope: 'Scope' = 'local', readers: 'Any' = ()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature, signature
from typing import Any

from minicc.schedule.arguments import Face
from minicc.schedule.step import Step, each_step


class LoopSurface(Face):
    """A method for every primitive, on loops and buffers by name."""


class StageSurface(Face):
    """A method for every primitive, on the axes of a stage."""


def parameters(kind: type[Step]) -> list[Parameter]:
    """Those of a schedule's method: the fields; a tuple that a step writes without its name is given one by one."""
    found = [p.replace(annotation=kind.takes.get(p.name, p.annotation)) for p in signature(kind).parameters.values()]
    return [
        p.replace(kind=Parameter.VAR_POSITIONAL) if n < kind.positional and str(p.annotation).startswith("tuple") else p
        for n, p in enumerate(found)
    ]


def stage_parameters(kind: type[Step]) -> list[Parameter]:
    """Those of a stage's method."""
    own = list(signature(kind.at_stage).parameters.values())[1:]
    if own[-1].kind is not Parameter.VAR_KEYWORD:
        return own
    fields = [p for p in parameters(kind) if p.name != "buffer"]
    return [p.replace(name=kind.axes[p.name], annotation="Any") if p.name in kind.axes else p for p in fields]


def _give(face: type[Face], kind: type[Step], own: Sequence[Parameter], do: Callable[..., Any]) -> None:
    known = Signature([Parameter("self", Parameter.POSITIONAL_OR_KEYWORD), *own])

    def method(*args: Any, **options: Any) -> Any:
        given = known.bind(*args, **options)
        given.apply_defaults()
        return do(**given.arguments)

    method.__name__, method.__doc__ = kind.name, kind.__doc__
    vars(method)["__signature__"] = known  # inspect reads it
    face._add(method)


def _add(kind: type[Step]) -> None:
    def by_name(self: Any, **given: Any) -> Any:
        return self.apply(kind(**given))

    def by_axis(self: Any, **given: Any) -> Any:
        return self.schedule.apply(kind.at_stage(self, **given))

    _give(LoopSurface, kind, parameters(kind), by_name)
    _give(StageSurface, kind, stage_parameters(kind), by_axis)


each_step(_add)
