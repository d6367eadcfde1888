"""An answer that is a function is called; while it returns `...` its exercise is open."""

import pytest

from minicc.course.exercise import called, exercise, expect


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
        (lambda x: 2 * x, True, "twice 4 is 8"),
        (lambda x: x, False, "expected 8"),
        (8, False, "expected a function, got 8"),
        (lambda: 8, False, "TypeError"),
    ],
)
def test_reply(answer, right, why):
    reply = ex7(answer)
    assert (reply.exercise, reply.right) == ("7", right) and why in reply.why
