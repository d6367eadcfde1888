"""The exercises of lesson 6: right answers are accepted, wrong ones are told why."""

import pytest

from minicc.course.checks import lesson_06 as check


def tiled(rows, columns):
    return lambda s, B: s[B].tile(*B.op.axis, rows, columns)


def copied(s, B):
    s.schedule.cache_read("A", "local")


@pytest.mark.parametrize(
    ("exercise", "answer", "right", "why"),
    [
        ("ex1", ..., None, "How many"),
        ("ex1", 1024, True, "LRU has always thrown out"),
        ("ex1", 64, False, "64 are the lines of A"),
        ("ex1", 32, False, "right for the first column"),
        ("ex1", 512, False, "half of a column"),
        ("ex1", 7, False, "got 7"),
        ("ex1", "1024", False, "expected a number"),
        ("ex2", (16, 16), True, "fit into 20"),
        ("ex2", (32, 16), True, "fit into 20"),
        ("ex2", (32, 32), False, "34 in all"),
        ("ex2", (8, 8), False, "use only 8"),
        ("ex2", (0, 8), False, "1 to 64"),
        ("ex2", 16, False, "expected 2 numbers"),
        ("ex2", (16.0, 16.0), True, "fit into 20"),
        ("ex2", (16.5, 16), False, "are whole"),
        ("ex2", (16, 2), True, "16 lines of B fit beside 2 of A"),
        ("ex3", lambda s, B: ..., None, "at most 1,500"),
        ("ex3", tiled(16, 8), True, "1440 misses"),
        ("ex3", tiled(16, 16), False, "into 2 of the 4"),
        ("ex3", tiled(4, 4), False, "whose lines leave"),
        ("ex3", lambda s, B: None, False, "has no step"),
        ("ex3", copied, False, "A_local is a copy"),
        ("ex3", lambda s, B: s[B].vectorise("i"), False, "minicc refuses it|AttributeError"),
        ("ex4", 1 / 12, True, "memory is the limit"),
        ("ex4", 0.083, True, "memory is the limit"),
        ("ex4", 1 / 8, False, "left out a vector"),
        ("ex4", 12.0, False, "turn it around"),
        ("ex4", 1 / 3, False, "4 bytes"),
        ("ex4", 2, False, "divide the additions"),
        ("ex4", float("nan"), False, "expected a number"),
    ],
)
def test_reply(exercise, answer, right, why):
    reply = getattr(check, exercise)(answer)
    assert reply.right is right
    assert any(part in reply.why for part in why.split("|"))
