"""Numbers that stand in a trace by their names, so that it can be replayed with others.

In: the fields of a step. Out: the same with other values in place of the names. A `Choice` is an integer that remembers
its name. Within a text its name in braces stands for it, and an f-string writes it so: `f"1//{rows}"` is `"1//{rows}"`.

>>> rows = Choice("rows", 6)
>>> rows + 1, shown((rows, "i", 2)), stored(rows)
(7, '[rows, "i", 2]', {'choice': 'rows', 'value': 6})
>>> resolved((rows, f"1//{rows}"), {"rows": 4})
(4, '1//4')
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

NAMED = re.compile(r"\{(\w+)\}")


class Choice(int):
    """A number and the name by which it was chosen."""

    name: str

    def __new__(cls, name: str, value: int) -> Choice:
        made = super().__new__(cls, value)
        made.name = name
        return made

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec else f"{{{self.name}}}"

    def __reduce__(self) -> tuple[type[Choice], tuple[str, int]]:
        return Choice, (self.name, int(self))


def shown(value: Any) -> str:
    """A field of a step as Python: a choice by its name."""
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(shown, value))}]"
    return value.name if isinstance(value, Choice) else json.dumps(value, default=repr)


def stored(value: Any) -> Any:
    """A field of a step as plain data; `loaded` reads it."""
    if isinstance(value, tuple):
        return [stored(v) for v in value]
    return {"choice": value.name, "value": int(value)} if isinstance(value, Choice) else value


def loaded(data: Any) -> Any:
    """The field that `stored` made plain."""
    if isinstance(data, list):
        return tuple(map(loaded, data))
    return Choice(data["choice"], data["value"]) if isinstance(data, dict) else data


def names(value: Any) -> set[str]:
    """The choices that a field of a step names."""
    if isinstance(value, tuple):
        return set().union(*map(names, value))
    return {value.name} if isinstance(value, Choice) else set(NAMED.findall(value)) if isinstance(value, str) else set()


def rebound(value: Any, values: Mapping[str, int]) -> Any:
    """A field of a step whose choices are those of `values`."""
    if isinstance(value, tuple):
        return tuple(rebound(v, values) for v in value)
    return Choice(value.name, values[value.name]) if isinstance(value, Choice) else value


def resolved(value: Any, values: Mapping[str, int]) -> Any:
    """A field of a step with plain numbers in place of names."""
    if isinstance(value, tuple):
        return tuple(resolved(v, values) for v in value)
    if isinstance(value, str):
        return NAMED.sub(lambda found: str(values[found[1]]), value)
    return values[value.name] if isinstance(value, Choice) else value
