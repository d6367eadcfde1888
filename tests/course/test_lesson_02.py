"""The exercises of lesson 2: right answers are accepted, wrong ones are told why."""

import numpy as np
import pytest

from minicc import te
from minicc.course.checks import lesson_02 as check


def replied(reply, right, why):
    assert reply.right is right and why in reply.why, reply


def distances(f, turned=False):
    def answer(a, b):
        n, m = a.shape[0], b.shape[0]
        return (
            te.compute((m, n), lambda j, i: f(a[i], b[j])) if turned else te.compute((n, m), lambda i, j: f(a[i], b[j]))
        )

    return answer


@pytest.mark.parametrize(
    ("answer", "right", "why"),
    [
        (lambda a, b: ..., None, "absolute difference"),
        (distances(lambda p, q: te.abs(p - q)), True, "each index says"),
        (distances(lambda p, q: p - q), False, "are negative"),
        (distances(lambda p, q: (p - q) * (p - q)), False, "the square"),
        (distances(lambda p, q: te.abs(p + q)), False, "is not |a["),
        (distances(lambda p, q: te.abs(p - q), turned=True), False, "of shape (n, m), got (m, n)"),
        (lambda a, b: 3, False, "expected a tensor"),
        (lambda a, b: te.compute((a.shape[0], b.shape[0]), lambda i, j: te.abs(a[i] - b[i])), False, "is not |a[0] - b[1]|"),
    ],
)  # fmt: skip
def test_distances(answer, right, why):
    replied(check.ex1(answer), right, why)


def means(divide=lambda total, n, m: total / n, rows=False):
    def answer(a):
        n, m = a.shape
        k = te.reduce_axis((0, m if rows else n), name="k")
        total = te.compute((n if rows else m,), lambda x: te.sum(a[x, k] if rows else a[k, x], axis=k))
        return te.compute(total.shape, lambda x: divide(total[x], n, m))

    return answer


@pytest.mark.parametrize(
    ("answer", "right", "why"),
    [
        (lambda a: ..., None, "mean of each column"),
        (means(), True, "uses up the axis of rows"),
        (means(lambda total, n, m: total), False, "sum of each column"),
        (means(lambda total, n, m: total / m), False, "you divide by m"),
        (means(lambda total, n, m: total / n + 1.0), False, "is not the mean of each column"),
        (means(rows=True), False, "for each of the n rows"),
    ],
)
def test_column_means(answer, right, why):
    replied(check.ex2(answer), right, why)


ROUNDED = [np.random.default_rng(n).permutation([1e10, 1.5, -1e10, 3e3, 7, 9]) for n in range(6)]  # of equal means


@pytest.mark.parametrize(
    ("answer", "right", "why"),
    [
        (..., None, "Give a matrix"),
        ([[0, 1], [2, 3]], True, "one kind of input"),
        (np.eye(3), False, "same mean"),
        (np.ones((4, 4)) + np.diag([0, 0, 0, 1e-7]), False, "rounding"),
        ([[0, 0], [0, 1e-6]], False, "rounding"),
        ([1, 2], False, "a square matrix, got (2,)"),
        ([[0, np.nan], [1, 2]], False, "plain numbers"),
        ("matrix", False, "square matrix of numbers"),
        (ROUNDED, False, "same mean"),
        ([[3e38, 3e38], [1, 1]], False, "plain numbers"),
        (((0, 1), (5, 3)), True, "one kind of input"),
    ],
)
def test_what_shows_the_error(answer, right, why):
    replied(check.ex3(answer), right, why)


def both(x, y):
    return te.minimum(x[0], y[0]), te.maximum(x[1], y[1])


def ends(p, q):
    return te.max_value(p), te.min_value(q)


@pytest.mark.parametrize(
    ("combine", "start", "right", "why"),
    [
        (lambda x, y: ..., ends, None, "Write a combiner"),
        (both, lambda p, q: ..., None, "Write a combiner"),
        (both, ends, True, "one pass"),
        (both, lambda p, q: (te.const(0, p), te.const(0, q)), False, "the least became 0, a number that is not there"),
        (both, lambda p, q: (te.max_value(p), te.const(0, q)), False, "the greatest became 0"),
        (both, lambda p, q: (1000, -1000), False, "the least became 1000"),
        (both, lambda p, q: (np.inf, -np.inf), True, "one pass"),
        (lambda x, y: (te.minimum(x[0], y[1]), te.maximum(x[1], y[0])), ends, False, "two parts of a row give"),
        (lambda x, y: both(x, y)[::-1], lambda p, q: (te.min_value(p), te.max_value(q)), False, "is not"),
        (lambda x, y: (te.maximum(x[0], y[0]), te.minimum(x[1], y[1])), lambda p, q: ends(p, q)[::-1], False, "the wrong way around"),
        (both, lambda p, q: te.max_value(p), False, ""),
        (3, ends, False, "expected a function"),
    ],
)  # fmt: skip
def test_extremes(combine, start, right, why):
    replied(check.ex4(combine, start), right, why)
