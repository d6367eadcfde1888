"""The arguments of a schedule's methods, checked: what is no schedule is told in four parts, never by a bare TypeError.

In: a call. Out: the call, with NumPy's integers as Python's; or a ScheduleError, which shows the
signature, or the program where there is one. A `Face` is a class whose public methods are checked so, and which
suggests a name for one that it does not have.

>>> from minicc.schedule.split import SplitStep
>>> SplitStep("i", 2.5)
Traceback (most recent call last):
minicc.schedule.arguments.KindError: KindError: split(...): expected factor to be int | None, got 2.5
    split(loop: str, factor: int | None, nparts: int | None, tail: str)
hint: give an integer
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from minicc.errors import ScheduleError
from minicc.schedule.choice import Choice
from minicc.tensor.arguments import checked

WORDS = {"int": "an integer", "str": "a name", "tuple[str, ...]": "names", "tuple[int, ...]": "integers"}  # of kinds
KINDS = {"int": (int, Choice), "str": (str,), "None": (type(None),)}


class KindError(ScheduleError):
    """A field of a step has a value of another kind than it takes."""


class UnknownMethod(ScheduleError, AttributeError):
    """A name that a schedule or a stage does not have."""


def normal(value: Any) -> Any:
    """NumPy's integers as Python's, and lists as tuples."""
    if isinstance(value, (list, tuple)):
        return tuple(map(normal, value))
    return int(value) if isinstance(value, np.integer) else value


def kind_of(field: Field[Any]) -> str:
    """The kind of a field, by its annotation; one of some words, such as `Scope`, is a `str`."""
    text = field.type if isinstance(field.type, str) else inspect.formatannotation(field.type)
    return re.sub(r"\b(?!None)[A-Z]\w+", "str", text)


def fits(value: Any, kind: str) -> bool:
    """Whether a value is of the kind that an annotation names."""
    if kind.startswith("tuple["):
        return isinstance(value, tuple) and all(fits(v, kind[6:].partition(",")[0]) for v in value)
    return any(type(value) in KINDS[k] for k in kind.split(" | "))


def check_fields(step: Any) -> None:
    """Make the fields of a step plain values. Raises ScheduleError where one is of another kind."""
    for field in fields(step):
        value, kind = normal(getattr(step, field.name)), kind_of(field)
        if field.name not in step.checked_here and not fits(value, kind):
            problem = f"expected {field.name} to be {kind}, got {value!r}"
            where = f"{step.name}({', '.join(f'{f.name}: {kind_of(f)}' for f in fields(step))})"
            words = [WORDS[k] for k in kind.split(" | ") if k != "None"]
            raise KindError(f"{step.name}(...)", problem, where, f"give {' or '.join(words)}")
        object.__setattr__(step, field.name, value)


def _placed(method: Callable[..., Any]) -> Callable[..., Any]:
    """`method`, whose errors about the kinds of its arguments show the program."""

    @functools.wraps(method)
    def call(self: Face, *args: Any, **options: Any) -> Any:
        try:
            return method(self, *args, **options)
        except KindError as error:
            raise ScheduleError(error.call, error.problem, self._where(args) or error.where, error.hint) from None

    return call


class Face:
    """A class whose public methods check what they are called with."""

    def __init_subclass__(cls) -> None:
        for name, method in list(vars(cls).items()):
            if inspect.isfunction(method) and not name.startswith("_"):
                cls._add(method)

    @classmethod
    def _add(cls, method: Callable[..., Any]) -> None:
        setattr(cls, method.__name__, _placed(checked(ScheduleError)(method)))

    def _where(self, args: tuple[Any, ...]) -> str:
        """The program that a method was called on with `args`, a caret under the name among them; "" if it is not at hand."""
        return ""

    def _unknown(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        known = [n for n in dir(type(self)) if not n.startswith("_")]
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else "one of these"
        own = type(self).__name__
        problem = f"expected a method of a {own}, got {name!r}"
        raise UnknownMethod(f"{own}.{name}", problem, ", ".join(known), hint)

    if not TYPE_CHECKING:  # which knows every method
        __getattr__ = _unknown
