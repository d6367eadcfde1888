"""An answer that is a function is called; while it returns `...` its exercise is open. Numbers come in many forms."""

import itertools
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest

from minicc.course.exercise import Reply, WrongAnswer, called, exercise, expect, number, numbers, words


@exercise
def ex7(answer):
    """Double it."""
    expect(called(answer, 4) == 8, "expected 8")
    return "twice 4 is 8"


@pytest.mark.parametrize(
    ("answer", "right", "why"),
    [
        (..., None, "Double it."),
        (lambda x: ..., None, "Double it."),
        ((..., 1), None, "Double it."),
        ({1: [...]}, None, "Double it."),
        (lambda x: (x, ...), None, "Double it."),
        (lambda x: exit(), False, "SystemExit"),
        (lambda x: 2 * x, True, "twice 4 is 8"),
        (lambda x: x, False, "expected 8"),
        (8, False, "expected a function, got 8"),
        (lambda: 8, False, "TypeError"),
    ],
)
def test_reply(answer, right, why):
    reply = ex7(answer)
    assert (reply.exercise, reply.right) == ("7", right) and why in reply.why


@pytest.mark.parametrize(
    "answer", [7, 7.0, np.int64(7), np.float32(7), np.uint8(7), np.array(7), np.array([7]), Fraction(7)]
)
def test_a_number(answer):
    assert number(answer) == 7 and type(number(answer)) is int


@pytest.mark.parametrize(
    "answer", ["7", "", None, True, np.bool_(True), np.nan, np.inf, -np.inf, 7j, [7], (), np.zeros(2), mock.ANY, len]
)
def test_no_number(answer):
    with pytest.raises(WrongAnswer, match="expected a number, got"):
        number(answer)


def test_a_number_of_any_size_or_kind():
    assert number(10**400) == 10**400 and type(number(np.float64(0.5))) is float


@pytest.mark.parametrize("answer", [(3, 4), [3, 4], np.array([3, 4]), range(3, 5), iter((3.0, np.int8(4)))])
def test_numbers(answer):
    assert numbers(answer, 2) == (3, 4)


@pytest.mark.parametrize(
    "answer", [3, None, "34", {3: 1, 4: 1}, {3, 4}, (3,), [3, 4, 5], itertools.count(), [3, "4"], mock.ANY]
)
def test_no_numbers(answer):
    with pytest.raises(WrongAnswer, match=r"expected (2 numbers, such as|a number, got)"):
        numbers(answer, 2)


def test_words():
    assert words(" i, j k") == words(["i ", "j", np.str_("k")]) == words(part for part in "ijk") == ["i", "j", "k"]
    with pytest.raises(WrongAnswer, match="expected words, such as"):
        words(7)


def test_a_reply_shows_code_as_code():
    shown = Reply("1", False, "no `<a>` here:\n    for i in range(2):")._repr_html_()
    assert "no <code>&lt;a&gt;</code> here:<pre>    for i in range(2):</pre>" in shown
