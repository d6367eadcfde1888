"""The exercises of lesson 9: right answers are accepted, wrong ones are told why; a race tells its ratio."""

from fractions import Fraction

import numpy as np
import pytest

from minicc.course.checks import lesson_09 as check


def tiled(s, C):
    s[C].tile(*C.op.axis, 32, 32)


def wrong(s, C):
    raise ValueError("a slip")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(check, "SIZE", 96)
    monkeypatch.setattr(check, "TURNS", 1)


@pytest.mark.parametrize(
    ("exercise", "answer", "right", "why"),
    [
        ("ex1", ..., None, "How many"),
        ("ex1", 9216, True, "8 loads for 96"),
        ("ex1", 384, False, "right for one tile"),
        ("ex1", 192, False, "one step of k"),
        ("ex1", 25344, False, "8 neighbours of B"),
        ("ex1", 221184, False, "two numbers for each product"),
        ("ex1", 2304, False, "numbers of A are loaded, too"),
        ("ex1", 6912, False, "vectors of B are loaded, too"),
        ("ex1", 1, False, "got 1"),
        ("ex1", [9216], False, "expected a number, got [9216]"),
        ("ex2", 0.9, True, "5 rounds"),
        ("ex2", Fraction(18, 20), True, "5 rounds"),
        ("ex2", 90, False, "a number from 0 to 1; got 90"),
        ("ex2", float("nan"), False, "got nan"),
        ("ex2", 1, False, "last 2"),
        ("ex2", 0.25, False, "one core that works alone"),
        ("ex2", 0.5, False, "got 0.5"),
        ("ex3", {"rows": 4}, True, "times the speed of the recipe"),
        ("ex3", {"rows": np.int64(4)}, True, "times the speed of the recipe"),
        ("ex3", {"rows": "4"}, False, "expected a number, got '4'"),
        ("ex3", "rows", False, "expected a dictionary"),
        ("ex3", {"row": 4}, False, "and no row"),
        ("ex3", {"rows": 99}, False, "may be one of"),
        ("ex3", {}, False, "defaults"),
        ("ex4", lambda s, C: ..., None, "faster than the recipe"),
        ("ex4", tiled, True, "times the speed of the recipe"),
        ("ex4", lambda s, C: None, False, "naive product"),
        ("ex4", wrong, False, "a slip"),
        ("ex4", lambda s, C: s[C].parallel(C.op.reduce_axis[0]), False, "minicc refuses it"),
    ],
)
def test_reply(exercise, answer, right, why):
    reply = getattr(check, exercise)(answer)
    assert (reply.right, why in reply.why) == (right, True), reply


def test_what_a_race_says():
    assert "you win" in check._told(1.1) and "a tie" in check._told(1.0) and "still ahead" in check._told(0.5)
