"""Whatever is given as an answer, a check refuses it with a reason of its own, and never raises."""

import importlib
import inspect
import re

import numpy as np
import pytest

CHECKS = [
    getattr(module, name)
    for module in (importlib.import_module(f"minicc.course.checks.lesson_{n:02}") for n in range(15))
    for name in sorted(vars(module))
    if re.fullmatch(r"ex\d+", name) and len(inspect.signature(getattr(module, name)).parameters) == 1
]
WRONG = [
    None, True, "x", "", b"x", -1, 0, np.int64(5), 10**30, np.nan, np.inf, 1j, [], [1], [[1], [1, 2]], [None, None], ("a", "b"),
    {}, {1}, range(3), np.zeros((2, 2)), object(),
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.__module__[-2:]}-{check.__name__}")
def test_reason(check):
    for answer in WRONG:
        reply = check(answer)
        assert reply.right is False and "it ended with" not in reply.why, (answer, reply)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.__module__[-2:]}-{check.__name__}")
def test_a_function_that_raises(check):
    assert check(lambda *_: 1 / 0).right is False
