"""Exercises that check themselves, and say why an answer is wrong.

In: an answer. Out: a `Reply`, which a notebook shows: right, not yet, or open, each with its reason. A check is a function
that returns why the answer is right, or raises `WrongAnswer` with what it shows to be misunderstood. `...` is no answer yet,
nor is a list with `...` in it, or a function that returns either, which a check therefore calls by `called`. Answers come in many
forms: `number`, `numbers`, `word`, `words` and `parts` make Python's own of them, and refuse what only looks like one.

>>> @exercise
... def ex1(answer: int) -> str:
...     \"\"\"How often is `A` read in 4 x 8 trips?\"\"\"
...     if answer == 12:
...         raise WrongAnswer("4 + 8 trips are two loops after each other; these are inside each other")
...     expect(answer == 32, f"expected the product of the extents, got {answer}")
...     return "each trip of the outer loop makes all trips of the inner one"
>>> ex1(12)
exercise 1: not yet. 4 + 8 trips are two loops after each other; these are inside each other
>>> ex1(32)
exercise 1: right! each trip of the outer loop makes all trips of the inner one
>>> ex1(...)
exercise 1: open. How often is `A` read in 4 x 8 trips?
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from html import escape
from itertools import islice
from math import isclose
from numbers import Real
from typing import Any

import numpy as np

from minicc.errors import MiniccError, printable


class WrongAnswer(Exception):
    """An answer is wrong, and why."""


class OpenAnswer(Exception):
    """A function that is to be filled in returns `...` still."""


def called(answer: Callable[..., Any], *given: Any) -> Any:
    """What an answer that is a function returns. Raises OpenAnswer while this is open, WrongAnswer where it is no function."""
    expect(callable(answer), f"expected a function, got {answer!r:.80}")
    if _is_open(result := answer(*given)):
        raise OpenAnswer
    return result


def _is_open(answer: Any, depth: int = 3) -> bool:
    """Whether an answer is `...`, or a list, tuple or dictionary with that in it somewhere."""
    if answer is ... or not depth or not isinstance(answer, list | tuple | dict):
        return answer is ...
    return any(_is_open(part, depth - 1) for part in (answer.values() if isinstance(answer, dict) else answer))


def number(answer: Any, finite: bool = True) -> int | float:
    """An answer as a number of Python, an int where it is whole. Raises WrongAnswer for text and truth values, NaN and infinities.

    >>> number(np.float32(2)), number(0.5)
    (2, 0.5)
    """
    value = answer.item() if isinstance(answer, np.ndarray | np.generic) and answer.size == 1 else answer
    fits = isinstance(value, Real) and not isinstance(value, bool) and (not finite or value - value == 0)
    expect(fits, f"expected a number, got {answer!r:.80}")
    return int(value) if value - value == 0 and value == int(value) else float(value)


def numbers(answer: Any, count: int) -> tuple[int | float, ...]:
    """An answer as a tuple of so many numbers. Raises WrongAnswer."""
    return tuple(map(number, parts(answer, f"{count} numbers, such as {tuple(range(1, count + 1))}", count)))


def parts(answer: Any, form: str, count: int | None = None) -> list[Any]:
    """What is in a list, an array or whatever else has an order, so many if that is given. Raises WrongAnswer, with the form."""
    has_order = isinstance(answer, Iterable) and not isinstance(answer, str | bytes | Mapping | set | frozenset)
    found = list(islice(answer, 1000)) if has_order else []
    expect(has_order and count in (None, len(found)), f"expected {form}, got {answer!r:.80}")
    return found


def word(answer: Any, known: Iterable[str]) -> str:
    """Which of the known words an answer is, in capitals or not, with spaces around or not. Raises WrongAnswer.

    >>> word(" both", ["A", "B", "both"])
    'both'
    """
    found = {each.casefold(): each for each in known}
    said = answer.strip().casefold() if isinstance(answer, str) else None
    expect(said in found, f"expected one of {', '.join(found.values())}, got {answer!r:.80}")
    return found[str(said)]


def words(answer: Any) -> list[str]:
    """An answer as a list of words, from a list of them, or from a text that has blanks or commas between. Raises WrongAnswer.

    >>> words("i, j"), words(("i ", "j"))
    (['i', 'j'], ['i', 'j'])
    """
    given = answer.replace(",", " ").split() if isinstance(answer, str) else answer
    expect(isinstance(given, Iterable), f"expected words, such as ['one', 'two'], got {answer!r:.80}")
    return [str(each).strip() for each in islice(given, 1000)]


def expect(right: bool, why_not: str) -> None:
    """Raise WrongAnswer, with the reason, unless what must hold of an answer holds."""
    if not right:
        raise WrongAnswer(why_not)


Slips = Mapping[int, str] | Mapping[float, str]  # wrong numbers, and which misunderstanding leads to each


def equals(answer: float, right: float, slips: Slips, otherwise: str, within: float = 0.0) -> None:
    """Raise WrongAnswer unless a number is right, with the reason of the slip that leads to it, or `otherwise`.

    >>> equals(12, 32, {12: "4 + 8 trips are two loops after each other"}, "count the trips")
    Traceback (most recent call last):
    minicc.course.exercise.WrongAnswer: 4 + 8 trips are two loops after each other
    """
    if not isclose(answer, right, abs_tol=within):
        raise WrongAnswer(
            next((why for slip, why in slips.items() if isclose(answer, slip, abs_tol=within)), otherwise)
        )


@dataclass(frozen=True)
class Reply:
    """What a check says of an answer: `right` is None while the exercise is open."""

    exercise: str
    right: bool | None
    why: str

    def __repr__(self) -> str:
        word = {True: "right!", False: "not yet.", None: "open."}[self.right]
        return f"exercise {self.exercise}: {word} {self.why}"

    def _repr_html_(self) -> str:
        kind = {True: "right", False: "wrong", None: "open"}[self.right]
        said, _, place = repr(self).partition("\n")  # the place is code, where minicc refuses an answer
        text, more = (
            re.sub("`([^`]+)`", r"<code>\1</code>", escape(said)),
            f"<pre>{escape(place)}</pre>" if place else "",
        )
        edge = {"right": "#2c8a43", "wrong": "#c2571a", "open": "#7c8594"}[kind]  # a notebook has no style of ours
        return f'<div class="reply {kind}" style="border-left: 5px solid {edge}; padding: 6px 12px">{text}{more}</div>'


def exercise(check: Callable[..., str]) -> Callable[..., Reply]:
    """A check as a function of `exN` that gives a verdict. An answer that raises is wrong for that reason."""
    number = check.__name__.removeprefix("ex")
    question = " ".join((check.__doc__ or "").split())

    @functools.wraps(check)
    def checked(*answer: Any) -> Reply:
        if any(map(_is_open, answer)):
            return Reply(number, None, question)
        try:
            return Reply(number, True, check(*answer))
        except OpenAnswer:
            return Reply(number, None, f"{question} (Your function still returns `...`.)")
        except WrongAnswer as wrong:
            return Reply(number, False, str(wrong))
        except MiniccError as error:
            return Reply(number, False, f"minicc refuses it: {error}")
        except (Exception, SystemExit) as error:  # an answer may be anything
            return Reply(number, False, printable(f"it ended with {type(error).__name__}: {error}"))

    return checked
