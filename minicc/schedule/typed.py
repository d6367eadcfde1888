"""Steps as one types them: parsed, never run. The name of a primitive, and literals.

In: texts such as `s.split("i", factor=16)`, one step each, as `print(s.trace)` writes them. Out: the steps, done.

>>> from minicc.schedule.examples import doubled
>>> s = doubled(64)
>>> type_steps(s, '''
... # what begins with # is a remark
... outer, inner = s.split("i", factor=16)
... s.vectorize("i_i")
... ''')
>>> print(s.trace)
s.split("i", factor=16)
s.vectorize("i_i")
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from minicc.errors import MiniccError, ScheduleError, nearest
from minicc.schedule.choice import Choice
from minicc.schedule.schedule import Schedule
from minicc.schedule.step import STEPS

MOST_TEXT = 1_000  # characters of a step


def type_step(schedule: Schedule, text: str) -> None:
    """Do a step as one types it. Raises ScheduleError, and does nothing, where it is none, or is not legal."""
    name, arguments, options = parsed(text, schedule.choices)
    try:
        getattr(schedule, name)(*arguments, **options)
    except MiniccError:
        raise
    except Exception as error:  # such as numbers that no index can hold
        problem = f"expected a step that can be done, got {type(error).__name__}: {error}"
        raise ScheduleError("step", problem, text, "take smaller numbers") from error


def type_steps(schedule: Schedule, text: str, after: Callable[[Schedule], None] = lambda _: None) -> None:
    """Do the steps of a text, one in each line that is not empty and no remark; `after` each, look at what has become."""
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            type_step(schedule, line)
            after(schedule)


class NoStep(Exception):
    """What is wrong with a text, in which line of it, and after how many bytes of that, as `ast` counts."""

    def __init__(self, problem: str, line: int = 1, column: int = 0) -> None:
        super().__init__(problem)
        self.problem, self.line, self.column = problem, line, column


def parsed(text: str, choices: Mapping[str, int]) -> tuple[str, list[Any], dict[str, Any]]:
    """The primitive, the arguments and the options of a step such as `s.split("i", factor=7)`; nothing is evaluated.

    Raises ScheduleError for what is no such call.

    >>> parsed("a, b = s.split('i', factor=rows)", {"rows": 4})
    ('split', ['i'], {'factor': 4})
    """
    call = text.strip()[:MOST_TEXT]
    try:
        if len(text) > MOST_TEXT:
            raise NoStep(f"expected at most {MOST_TEXT} characters, got {len(text)}")
        found = _call(call)
        options = {_keyword(k): _value(k.value, choices) for k in found.keywords}
        return _primitive(found.func), [_value(a, choices) for a in found.args], options
    except NoStep as wrong:
        line = (call.splitlines() or [""])[wrong.line - 1]
        before = len(line.encode("utf-8", "replace")[: wrong.column].decode("utf-8", "ignore"))
        where = f"{line}\n{' ' * before}^ here" if line else ""
        raise ScheduleError("step", wrong.problem, where, 'for example s.split("i", factor=8)') from None


def _call(text: str) -> ast.Call:
    """The one call that a text is. The names that it gives to what is returned do not matter: loops go by their own."""
    try:
        match ast.parse(text).body:
            case [ast.Assign(value=ast.Call() as call) | ast.Expr(value=ast.Call() as call)]:
                return call
    except SyntaxError as error:
        line, before = min(error.lineno or 1, len(text.splitlines())), (error.text or "")[: (error.offset or 1) - 1]
        raise NoStep(f"expected Python: {error.msg}", line, len(before.encode("utf-8", "replace"))) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise NoStep(f"expected Python: {error or 'it is nested too deep'}") from None
    raise NoStep(f"expected one call of a primitive, got {'something else' if text else 'nothing'}")


def _primitive(function: ast.expr) -> str:
    match function:
        case ast.Attribute(value=ast.Name(id="s"), attr=name) | ast.Name(id=name):
            if name in STEPS:
                return name
            near = nearest(name, STEPS)
            meant = f"did you mean {near}?" if near else f"one of {', '.join(STEPS)}"
            raise _wrong(function, f"expected a primitive, got {name!r}; {meant}")
    raise _wrong(function, "expected a primitive of s, as in s.fuse(...)")


def _keyword(keyword: ast.keyword) -> str:
    if keyword.arg is None:
        raise _wrong(keyword.value, "expected a literal, got **")
    return keyword.arg


def _value(node: ast.expr, choices: Mapping[str, int]) -> Any:
    """A literal, or a number that was chosen, by its name."""
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.List(elts=parts) | ast.Tuple(elts=parts):
            return tuple([_value(part, choices) for part in parts])
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Name(id=name) if name in choices:
            return Choice(name, choices[name])
        case ast.Name(id=name):
            raise _wrong(
                node, f'expected a literal, got the name {name}; loops and buffers are named as texts: "{name}"'
            )
    raise _wrong(node, "expected a literal")


def _wrong(node: ast.expr, problem: str) -> NoStep:
    return NoStep(problem, node.lineno, node.col_offset)
