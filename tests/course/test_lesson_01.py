"""The exercises of lesson 1: right answers are accepted, wrong ones are told why."""

import numpy as np
import pytest

from minicc.course.checks import lesson_01 as check
from minicc.course.digits import answered, drawn
from minicc.errors import ConfigError

SEVEN = """
........
..#####.
..++##+.
....##..
..+###+.
...##...
...##...
...#+...
"""
TWO = "..+###..\n..#++##.\n.....##.\n....+#+.\n...+##..\n..+##...\n..##+++.\n..+####."


def close(got, expected):
    return got.shape == expected.shape and np.allclose(got, expected, rtol=1e-4, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize(
    ("exercise", "answer", "right", "why"),
    [
        pytest.param("ex1", SEVEN, True, "read as a 7", marks=pytest.mark.course),
        pytest.param("ex1", TWO, False, "read as a 2", marks=pytest.mark.course),
        pytest.param("ex1", "........\n" * 2 + "....##..\n" * 4 + "........\n" * 2, False, "larger", marks=pytest.mark.course),
        ("ex1", ..., None, "Draw a 7"),
        ("ex1", "........\n" * 8, False, "clean sheet"),
        ("ex1", 7, False, "as text, got int"),
        ("ex1", "..##\n" * 8, False, "line 1 with 4 signs"),
        ("ex2", ["graph", "te", "loop", "loop", "LLVM"], True, "one home"),
        ("ex2", ["graph", "te", "loop", "LLVM", "LLVM"], False, '4, eight elements at the same time: not in LLVM; a step'),
        ("ex2", ["te", "te", "loop", "loop", "LLVM"], False, "1, Relu reads"),
        ("ex2", ["graph", "te", "te", "loop", "LLVM"], False, "formulas have no order"),
        ("ex2", ["graph", "te", "loop", "loop", "asm"], False, "got 'asm' in place 5"),
        ("ex2", "graph", False, "a list of five"),
        ("ex2", "Graph, te, loop, loop, llvm", True, "one home"),
        ("ex2", np.array(["graph", "te ", "loop", "loop", "LLVM"]), True, "one home"),
        ("ex2", None, False, "expected words"),
        ("ex2", [1, 2, 3, 3, 4], False, "got '1' in place 1"),
        ("ex2", ..., None, "which room"),
        ("ex3", lambda got, expected: ..., None, "Write same"),
        ("ex3", close, True, "no test of a compiler needs more"),
        ("ex3", np.array_equal, False, "round a little differently"),
        ("ex3", lambda a, b: np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True), False, "NumPy stretched one"),
        ("ex3", lambda a, b: a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=1e-6), False, "equal_nan"),
        ("ex3", lambda a, b: a.shape == b.shape and not (abs(a - b) > 1e-4 * abs(b) + 1e-6).any(), False, "ask the right way round"),
        ("ex3", lambda a, b: bool((abs(a - b) <= 1e-4).all()), False, "round a little|relative"),
        ("ex3", lambda a, b: np.isclose(a, b, rtol=1e-4, atol=1e-6).mean() > 0.6, False, "one element of six"),
        ("ex3", lambda a, b: bool((a - b <= 1e-4 * abs(b) + 1e-6).all()), False, "its absolute value"),
        ("ex3", 5, False, "expected a function"),
        ("ex3", lambda a, b: a.shape == b.shape and np.allclose(a, b, rtol=1e-4, atol=0.01, equal_nan=True), False, "0.002 for 0.001"),
        ("ex3", lambda a, b: a.shape == b.shape and np.allclose(a, b, rtol=9e-4, atol=1e-6, equal_nan=True), False, "five parts in ten"),
        ("ex3", lambda a, b: a.size == b.size and close(a.ravel(), b.ravel()), False, "in another shape"),
        ("ex3", lambda a, b: a.shape == b.shape and np.allclose(np.nan_to_num(a), np.nan_to_num(b), rtol=1e-4, atol=1e-6), False, "NaN is no 0"),
        ("ex3", lambda a, b: np.isnan(a).any() == np.isnan(b).any() and close(np.nan_to_num(a), np.nan_to_num(b)), False, "one has another"),
        ("ex4", ["matmul"], False, "expected a number"),
        pytest.param("ex4", 3, True, "matmul_relu, matmul, softmax", marks=pytest.mark.course),
        pytest.param("ex4", 4, False, "computed right where", marks=pytest.mark.course),
        pytest.param("ex4", 2, False, "stands alone", marks=pytest.mark.course),
        pytest.param("ex4", 1, False, "three times", marks=pytest.mark.course),
    ],
)  # fmt: skip
def test_reply(exercise, answer, right, why):
    reply = getattr(check, exercise)(answer)
    assert reply.right is right
    assert any(part in reply.why for part in why.split("|")), reply.why


def test_a_drawing():
    image = drawn(SEVEN)
    assert image.dtype == np.float32 and image.shape == (1, 1, 8, 8)
    assert sorted(set(image.ravel().tolist())) == [0, 0.5, 1]
    assert "7 60%, then 1 40%" in answered(image, [0, 0.4, 0, 0, 0, 0, 0, 0.6, 0, 0]).words


@pytest.mark.parametrize(
    ("drawing", "problem"),
    [("", "got 0 lines"), ("........\n" * 7 + ".......x", "the sign 'x'"), ("....", "got 1 lines")],
)
def test_what_is_no_drawing(drawing, problem):
    with pytest.raises(ConfigError, match=r"expected 8 lines of 8 signs") as caught:
        drawn(drawing)
    assert problem in str(caught.value)
