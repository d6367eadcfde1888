"""Checks of lesson 2: operators in te, each built and compared with NumPy on arrays of random sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import minicc
from minicc import te
from minicc.course.exercise import WrongAnswer, called, expect, exercise
from minicc.te import Tensor

Array = np.ndarray[Any, np.dtype[Any]]
RANDOM = np.random.default_rng(2)
SIZES = ((3, 5), (4, 1), (1, 7), (6, 6))  # of the arrays that are tried


def tensor(made: object, *shape: object) -> Tensor:
    """An answer that must be a tensor of a shape."""
    expect(isinstance(made, Tensor), f"expected a tensor, as te.compute gives one, got {type(made).__name__}")
    assert isinstance(made, Tensor)
    got, right = ", ".join(map(str, made.shape)), ", ".join(map(str, shape))
    expect(got == right, f"expected a result of shape ({right}), got ({got})")
    return made


def function(arguments: list[Tensor], *results: Tensor) -> Callable[..., list[Array]]:
    """The results as a function of arrays, and of the shape of all results."""
    built = minicc.build(te.create_schedule(list(results)), [*arguments, *results])

    def run(shape: tuple[int, ...], *arrays: Array) -> list[Array]:
        made = [np.empty(shape, r.dtype.numpy) for r in results]
        built(*arrays, *made)
        return made

    return run


def close(got: Array, right: Array) -> bool:
    return bool(np.allclose(got, right, rtol=1e-4, atol=1e-5))


@exercise
def ex1(distances: Callable[[Tensor, Tensor], Tensor]) -> str:
    """Write distances(a, b) in te: the absolute difference of each a[i] and each b[j]."""
    n, m = te.var("n"), te.var("m")
    a, b = te.placeholder((n,), name="a"), te.placeholder((m,), name="b")
    made = tensor(called(distances, a, b), n, m)
    run = function([a, b], made)
    for rows, columns in SIZES:
        p, q = RANDOM.standard_normal(rows, np.float32), RANDOM.standard_normal(columns, np.float32)
        (got,), difference = run((rows, columns), p, q), p[:, None] - q
        negative = close(got, difference) and bool((difference < 0).any())
        expect(not negative, "some distances are negative: take the absolute value")
        expect(not close(got, difference**2), "that is the square of the difference")
        for i, j in np.argwhere(~np.isclose(got, abs(difference), rtol=1e-4, atol=1e-5)):
            expect(False, f"element ({i}, {j}) of {rows} by {columns} is not |a[{i}] - b[{j}]|")
    return "NumPy needs a[:, None] for it; here each index says where it belongs"


@exercise
def ex2(column_means: Callable[[Tensor], Tensor]) -> str:
    """Write column_means(a) in te: the mean of each column."""
    n, m = te.var("n"), te.var("m")
    a = te.placeholder((n, m), name="a")
    made = called(column_means, a)
    if isinstance(made, Tensor) and str(made.shape) == str((n,)):
        expect(False, "that is a number for each of the n rows; there are m columns")
    run = function([a], tensor(made, m))
    for rows, columns in SIZES:
        p = RANDOM.standard_normal((rows, columns), np.float32) + np.float32(1)
        (got,) = run((columns,), p)
        expect(rows == 1 or not close(got, p.sum(0)), "that is the sum of each column; a mean divides it")
        expect(rows == columns or not close(got, p.sum(0) / columns), "you divide by m; a column has n elements")
        expect(close(got, p.mean(0)), f"for {rows} rows and {columns} columns it is not the mean of each column")
    return "the sum uses up the axis of rows, and what is left has one element for each column"


def centred(a: Tensor) -> Tensor:
    """Of each element of a square matrix the mean of its row is taken away; or is it?"""
    n = a.shape[0]
    k = te.reduce_axis((0, n), name="k")
    total = te.compute((n,), lambda y: te.sum(a[y, k], axis=k), name="total")
    mean = te.compute((n,), lambda y: total[y] / n, name="mean")
    result: Tensor = te.compute((n, n), lambda y, x: a[y, x] - mean[x], name="centred")
    return result


@exercise
def ex3(answer: Any) -> str:
    """Give a matrix for which check.centred is wrong."""
    try:
        with np.errstate(over="ignore"):  # what is too large is told below
            matrix = np.asarray(answer, np.float32)
    except (TypeError, ValueError):
        raise WrongAnswer(f"expected a square matrix of numbers, got {answer!r:.80}") from None
    expect(matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1] > 0, f"expected a square matrix, got {matrix.shape}")
    plain = bool((abs(matrix) < 1e30).all())  # neither is NaN
    expect(plain, "take plain numbers: with NaN, infinity, or what is nearly as large, both sides are NaN")
    n = te.var("n")
    a = te.placeholder((n, n), name="a")
    (got,), exact = function([a], centred(a))(matrix.shape, matrix), matrix.astype(np.float64)
    means = exact.mean(1)
    right = exact - means[:, None]
    if close(got, right) or close(exact - means, right):  # the second: without what float32 rounds
        why = "the rows of your matrix have the same mean, so it does not matter whose is taken"
        expect(bool(np.ptp(means) > 1e-12 * abs(exact).max()), why)
        expect(False, "the means of your rows are so near each other that it may be rounding; make them differ")
    y, x = np.unravel_index(abs(got - right).argmax(), right.shape)
    return f"element ({y}, {x}) became {got[y, x]:g}, not {right[y, x]:g}; tests of one kind of input see one kind of error"


@exercise
def ex4(combine: Callable[..., Any], start: Callable[..., Any]) -> str:
    """Write a combiner, and what it starts from, for the least and the greatest of a row."""
    n, m = te.var("n"), te.var("m")
    a, k = te.placeholder((n, m), name="a"), te.reduce_axis((0, m), name="k")
    extremes = te.comm_reducer(lambda x, y: called(combine, x, y), lambda p, q: called(start, p, q), name="extremes")
    made = te.compute((n,), lambda y: extremes((a[y, k], a[y, k]), axis=k), name="extremes")
    expect(isinstance(made, tuple) and len(made) == 2, "expected pairs: both functions give two values")
    run = function([a], *made)
    for rows, columns in SIZES:
        for offset in (3e38, 10, 0, -10, -3e38):
            p = RANDOM.standard_normal((rows, columns), np.float32) + np.float32(offset)
            least, greatest = run((rows,), p)
            turned = close(least, p.max(1)) and close(greatest, p.min(1)) and not close(p.min(1), p.max(1))
            expect(not turned, "they are the wrong way around: the least comes first")
            started = "a number that is not there: it came from the start"
            expect(
                least.min() >= p.min(), f"of numbers from {p.min():g} on, the least became {least.min():g}, {started}"
            )
            expect(
                greatest.max() <= p.max(),
                f"of numbers up to {p.max():g}, the greatest became {greatest.max():g}, {started}",
            )
            expect(close(least, p.min(1)), f"the least of {p[0].tolist()} is not {least[0]:g}")
            expect(close(greatest, p.max(1)), f"the greatest of {p[0].tolist()} is not {greatest[0]:g}")
    _of_pairs(combine)
    return "one pass over the row for both; and an empty row would give what it starts from"


def _of_pairs(combine: Callable[..., Any]) -> None:
    """Raise WrongAnswer unless a combiner takes pairs in which the two differ, as they do where parts of a row are combined."""
    inputs = [te.placeholder((8,), name=name) for name in ("p", "q", "r", "s")]
    p, q, r, s = inputs
    made = te.compute((8,), lambda i: combine((p[i], q[i]), (r[i], s[i])), name="pairs")
    (a, c), high = RANDOM.standard_normal((2, 8), np.float32), RANDOM.standard_normal((2, 8), np.float32)
    b, d = high + np.float32(4)
    least, greatest = function(inputs, *made)((8,), a, b, c, d)
    for i, got in enumerate(zip(least, greatest, strict=True)):
        right = (min(a[i], c[i]), max(b[i], d[i]))
        why = f"two parts of a row give ({a[i]:g}, {b[i]:g}) and ({c[i]:g}, {d[i]:g}), of which yours makes"
        expect(got == right, f"{why} ({got[0]:g}, {got[1]:g})")
