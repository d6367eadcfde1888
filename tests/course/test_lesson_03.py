"""Lesson 3: right answers are taken, and wrong ones are told apart."""

import functools

import numpy as np
import pytest
from lesson_runs import lesson, wrong

from minicc import te
from minicc.course.checks import lesson_03 as check

names = functools.partial(lesson, "03_loops_are_python")
BY_COLUMNS = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]


def test_open():
    assert check.ex1(..., names()["turned"]).right is None
    assert check.ex4(names()["answer"], names()["columns"]).right is False  # that of another exercise
    assert check.ex4(lambda X, D: ..., names()["columns"]).right is None
    assert check.ex5(names()["answer"]).right is None


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)], "order in which T is *written*"),
        (sorted(BY_COLUMNS), "row by row of Y"),
        (BY_COLUMNS[:4], "got 4"),
        ([*BY_COLUMNS[:4], (2, 1), (1, 1)], "trip 5 has i = 1, j = 1"),
        (7, "expected a list of pairs"),
        (set(BY_COLUMNS), "expected a list of pairs"),
        ([(0.4, 0.4), *BY_COLUMNS[1:]], "does not read Y[0.4, 0.4]"),
        ([0, 0, 1, 0], "expected 2 numbers"),
    ],
)
def test_order_is_wrong(answer, why):
    wrong(check.ex1(answer, names()["turned"]), why)


def test_order():
    assert check.ex1([list(pair) for pair in BY_COLUMNS], names()["turned"]).right


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([3] * 10, "belong to a *window*"),
        ([1, 2, 3, 3, 3, 3, 3, 3, 2, 1], "steps of 1"),
        ([1, 1, 2, 1, 2, 1, 2, 1, 1, 1], "is the last element read"),
        ([1, 1, 1, 1, 2, 1, 2, 1, 1, 0], "look at Z[2]"),
        ([1, 1], "expected 10 numbers"),
        ([1.5, 1, 2, 1, 2, 1, 2, 1, 1, 0], "look at Z[0]"),
    ],
)
def test_times_are_wrong(answer, why):
    wrong(check.ex2(answer, names()["strided"]), why)


def test_times():
    assert check.ex2([1, 1, 2, 1, 2, 1, 2, 1, 1, 0], names()["strided"]).right


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (24, "these are the additions"), (2, "how many sums"), (48, "a zero is stored once a page"), (30, "not only q"),
        (32, "not only p"), (25, "got 25"), ([26], "expected a number"),
    ],
)  # fmt: skip
def test_stores_are_wrong(answer, why):
    wrong(check.ex3(answer, names()["pages"]), why)


def test_stores():
    assert check.ex3(26, names()["pages"]).right


def naive(X, D):
    for j in range(4):
        for h in range(3):
            if h == 0:
                D[j] = 0.0
            D[j] = D[j] + X[h, j]


def kept_outside(X, D):
    for j in range(4):
        total = 0.0
        for h in range(3):
            total += X[h, j]
        D[j] = total


def together(X, D):
    for h in range(3):
        for j in range(4):
            D[j] = X[h, j] if h == 0 else D[j] + X[h, j]


def of_rows(X, D):
    for j in range(3):
        D[j] = X[j, 0] + X[j, 1] + X[j, 2] + X[j, 3]
    D[3] = 0.0


def without_zero(X, D):
    for j in range(4):
        for h in range(3):
            D[j] += X[h, j]


def too_short(X, D):
    for j in range(4):
        D[j] = X[0, j] + X[1, j]


def with_slices(X, D):
    D[:] = 0.0


def with_rows(X, D):
    for j in range(4):
        D[j] = 0.0
        for row in X:
            D[j] += row[j]


def zeros_first(X, D):
    for j in range(4):
        D[j] = 0.0
    for j in range(4):
        for h in range(3):
            D[j] += X[h][j]


def chained(X, D):
    for j in range(len(D)):
        D[j] = 0.0
        for h in range(len(X)):
            D[j] += X[h][j]


def of_numpy(X, D):
    for j in range(4):
        D[j] = np.sum(X, axis=0)[j]


def outside(X, D):
    D[4] = 0.0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (together, "the order is another"), (of_rows, "sums of rows"), (without_zero, "read before it was written"),
        (too_short, "4 elements of X were never read"), (with_slices, "one element at a time"),
        (outside, "D[4] lies outside"), (lambda X, D: None, "D[0] was never written"), (3, "expected a function"),
        (zeros_first, "where its own sum begins"), (with_rows, "a loop over numbers"), (of_numpy, "one element at a time"),
    ],
)  # fmt: skip
def test_loops_are_wrong(answer, why):
    wrong(check.ex4(answer, names()["columns"]), why)


def test_loops():
    assert "same stores" in check.ex4(naive, names()["columns"]).why
    assert "same stores" in check.ex4(chained, names()["columns"]).why
    assert "outside of D" in check.ex4(kept_outside, names()["columns"]).why
    assert check.ex4(kept_outside, names()["columns"]).right


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda before, paid, t, i: before[t - 1, i] + paid[t, i], "the sum so far"),
        (lambda before, paid, t, i: paid[t, i], "forgets"),
        (lambda before, paid, t, i: te.maximum(paid[t - 1, i], paid[t, i]), "what `before` holds"),
        (lambda before, paid, t, i: te.maximum(before[t, i], paid[t, i]), "read before at t - 1"),
        (lambda before, paid, t, i: te.minimum(before[t - 1, i], paid[t, i]), "gave"),
        (lambda before, paid, t, i: 0.0, "expected a formula"),
    ],
)
def test_scan_is_wrong(answer, why):
    wrong(check.ex5(answer), why)


def test_scan():
    assert check.ex5(lambda before, paid, t, i: te.maximum(before[t - 1, i], paid[t, i])).right
