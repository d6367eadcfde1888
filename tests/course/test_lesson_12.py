"""The exercises of lesson 12: right answers are accepted, wrong ones are told why."""

import numpy as np
import pytest

from minicc.course.checks import lesson_12 as check


@pytest.mark.parametrize(
    ("exercise", "answer", "right", "why"),
    [
        ("ex1", lambda j, k: ..., None, "Which element"),
        ("ex1", lambda j, k: 6 * k + j, True, "sums of the columns"),
        ("ex1", lambda j, k: np.ravel_multi_index((k, j), (10, 6)), True, "sums of the columns"),
        ("ex1", lambda j, k: str(6 * k + j), False, "expected a number, got '0'"),
        ("ex1", lambda j, k: 4 * (6 * k + j), False, "in bytes"),
        ("ex1", lambda j, k: 6 * j + k, False, "along a row"),
        ("ex1", lambda j, k: 10 * j + k, False, "along a row"),
        ("ex1", lambda j, k: 10 * k + j, False, "10 are the trips of k"),
        ("ex1", lambda j, k: k, False, "j, k = (0, 1)"),
        ("ex2", {1: False, 2: True, 3: True}, True, "only inside of a sum"),
        ("ex2", {1: True, 2: True, 3: True}, False, "formula 1"),
        ("ex2", {1: False, 2: False, 3: True}, False, "formula 2"),
        ("ex2", {1: False, 2: True, 3: False}, False, "formula 3"),
        ("ex2", [False, np.True_, True], True, "only inside of a sum"),
        ("ex2", {1: "no", 2: "yes", 3: "yes"}, False, "expected True or False"),
        ("ex2", {"one": False, 2: True, 3: True}, False, "expected True or False"),
        ("ex2", {1: ..., 2: True, 3: True}, None, "three formulas"),
        ("ex2", {1: False}, False, "1, 2 and 3"),
        ("ex4", 896, True, "kernels 3 and 4"),
        ("ex4", 1280, False, "the sum of all"),
        ("ex4", 640, False, "its last reader"),
        ("ex4", 512, False, "cannot hold"),
        ("ex4", 1024, False, "a smaller one"),
    ],
)
def test_reply(exercise, answer, right, why):
    reply = getattr(check, exercise)(answer)
    assert (reply.right, why in reply.why) == (right, True), reply


@pytest.mark.course
@pytest.mark.parametrize(
    ("answer", "right", "why"),
    [
        ((0, 3), True, "in calls 3 to 4 never meet"),
        ([4, 2.0], True, "never meet"),
        ("43", False, "expected 2 numbers"),
        ((-1, 3), False, "numbered from 0"),
        ((0, 2), False, "in call 2 both are alive: one is written while the other is read still"),
        ((4, 5), False, "in call 4 both are alive: they must lie apart"),
        ((0, 8), False, "40 bytes only"),
        ((2, 2), False, "two values"),
        ((0, 99), False, "numbered from 0"),
    ],
)
def test_values_of_the_digits_network(answer, right, why):
    test_reply("ex3", answer, right, why)


def test_formulas_become_what_the_answer_says():
    assert [check._fuses(n) for n in (1, 2, 3)] == [False, True, True]
