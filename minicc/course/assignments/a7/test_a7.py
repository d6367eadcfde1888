"""The visible tests: `pytest -m task7_1`. Right candidates must pass, and each of these faults must be found. The grader has others."""

import checks
import pytest
import subject

KINDS = {
    "task7_1": (checks.check_elements, subject.RIGHT, subject.that_forgets_signs),
    "task7_2": (checks.check_many, subject.RIGHT, subject.that_sums_squares),
    "task7_3": (checks.check_graphs, subject.RIGHT_OF_GRAPHS, subject.that_adds_for_sub),
}


def limited(candidate):
    """A candidate that answers 400 questions."""
    left = iter(range(400))

    def answer(*question):
        if next(left, None) is None:
            pytest.fail("it asks more than 400 questions")
        return candidate(*question)

    return answer


def try_out(task):
    check, right, wrong = KINDS[task]
    for candidate in right:
        check(limited(candidate))
    with pytest.raises(AssertionError):
        check(limited(wrong))


@pytest.mark.task7_1
def test_elements():
    try_out("task7_1")


@pytest.mark.task7_2
def test_many():
    try_out("task7_2")


@pytest.mark.task7_3
def test_graphs():
    try_out("task7_3")
