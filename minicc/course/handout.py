"""A hand-out is a solution with holes: what stands between two markers goes, and a `Task` takes its place.

In: the text of a solved file. Out: that of the hand-out. A marker names the task, and says what is to be written:

>>> print(hollowed('''
... def twice(x):
...     # solution 1.1: x, two times
...     return x + x
...     # end
... '''.strip()))
def twice(x):
    raise Task("1.1", "x, two times")

Lines `# handout: TEXT` between the markers stand in the hand-out as TEXT, before the Task: a beginning to go on from.
With `# solution` alone nothing takes the place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from minicc.errors import ConfigError

BEGIN = re.compile(r"^(?P<indent>\s*)# solution(?: (?P<task>[\d.]+): (?P<what>.+))?$")
END, KEPT = re.compile(r"^\s*# end$"), re.compile(r"^(?P<indent>\s*)# handout: (?P<text>.*)$")


def hollowed(text: str, where: str = "") -> str:
    """The text without its solutions. Raises ConfigError where the markers do not pair."""
    return "\n".join(_lines(text.split("\n"), where))


def _lines(lines: list[str], where: str) -> Iterator[str]:
    begun: re.Match[str] | None = None
    for number, line in enumerate(lines, 1):
        begin, end = BEGIN.match(line), END.match(line)
        if (begin and begun) or (end and not begun):
            raise _unpaired(line, f"{where}:{number}")
        if begin:
            begun = begin
        elif end and begun:
            if begun["task"]:
                yield f"{begun['indent']}raise Task({_quoted(begun['task'])}, {_quoted(begun['what'])})"
            begun = None
        elif not begun:
            yield line
        elif kept := KEPT.match(line):
            yield kept["indent"] + kept["text"]
    if begun:
        raise _unpaired(begun[0], where)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _unpaired(line: str, where: str) -> ConfigError:
    problem = f"expected `# solution` and `# end` in pairs, got {line.strip()!r}"
    return ConfigError("hollowed(text)", problem, where, "markers do not nest")
