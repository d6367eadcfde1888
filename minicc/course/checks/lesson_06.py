"""The exercises of lesson 6: misses of simulated caches.

In: an answer. Out: a `Reply`; what is right is counted here, by the caches of `minicc.loop.caches`.

>>> ex1(1024).right, ex1(64).right
(True, False)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicc import te
from minicc.course.exercise import called, equals, exercise, expect, number, numbers, WrongAnswer
from minicc.schedule.te_schedule import TeSchedule

LINE = 64  # bytes


def _misses(s: TeSchedule, lines: int, ways: int | None = None) -> tuple[int, ...]:
    """The misses of each buffer in a cache of so many lines, in the order of the counts."""
    counts = s.counts(caches=[te.Cache(lines * LINE, line=LINE, ways=ways)])
    return tuple(b.misses[0] for b in counts.buffers)


def _transposition(n: int) -> tuple[TeSchedule, te.Tensor]:
    A = te.placeholder((n, n), name="A")
    B = te.compute((n, n), lambda i, j: A[j, i], name="B")
    return te.create_schedule(B.op), B


@exercise
def ex1(answer: float) -> str:
    """How many loads of `A` miss?"""
    answer, n, lines = number(answer), 32, 16
    A, k = te.placeholder((n, n), name="A"), te.reduce_axis((0, n), name="k")
    s = te.create_schedule(te.compute((n,), lambda j: te.sum(A[k, j], axis=k), name="total").op)
    right, each_once = _misses(s, lines)[0], n * n * 4 // LINE
    if answer == each_once:
        raise WrongAnswer(
            f"{each_once} are the lines of A; each comes once only if it stays until all of its elements are used"
        )
    if answer == n:
        raise WrongAnswer(
            f"{n} is right for the first column; what does the second one find of the lines of the first?"
        )
    if answer == n * n // 2:
        raise WrongAnswer(
            "half of them: you let half of a column stay, but LRU throws out what is needed next, not what is needed last"
        )
    expect(
        answer == right,
        f"got {answer}; a column touches {n} lines, and the cache holds {lines}: which are left at its end?",
    )
    return f"a column touches {n} lines and only {lines} fit, so that LRU has always thrown out the one that comes next: all {n} * {n} miss"


@exercise
def ex2(answer: tuple[float, float]) -> str:
    """Which tile of `B`, (rows, columns), has 512 misses in a cache of 20 lines?"""
    n, lines = 64, 20
    rows, columns = numbers(answer, 2)
    expect(isinstance(rows, int) and isinstance(columns, int), f"rows and columns are whole, got {rows} x {columns}")
    expect(0 < rows <= n and 0 < columns <= n, f"a tile has 1 to {n} rows and columns, got {rows} x {columns}")
    s, B = _transposition(n)
    i, j = B.op.axis
    s[B].tile(i, j, int(rows), int(columns))
    of_a, of_b = _misses(s, lines)
    least = n * n * 4 // LINE
    if (of_a, of_b) == (least, least):
        if columns < 16:
            return (
                f"{rows} lines of B fit beside {columns} of A, and stay until the tiles to the right have filled them"
            )
        row = columns * 4 // LINE
        return f"{columns} lines of A and {row} of B fit into {lines}, and {rows} rows use each line of A to its end"
    needs = columns + max(columns // 16, 1)
    if needs > lines:
        raise WrongAnswer(
            f"{of_a} + {of_b} misses: for each row of the tile {columns} lines of A and {needs - columns} of B are touched, {needs} in all, "
            f"and {lines} fit: when the next row wants them, they are gone"
        )
    if rows < 16:
        raise WrongAnswer(
            f"{of_a} + {of_b} misses: it fits, but a line of A has 16 elements, and {rows} rows use only {rows} of them before it goes"
        )
    raise WrongAnswer(
        f"{of_a} + {of_b} misses: the lines of {'B' if of_b > least else 'A'} are left before they are used to their end"
    )


@exercise
def ex3(answer: Callable[[TeSchedule, te.Tensor], Any]) -> str:
    """Schedule the transposition of 96 x 96 for a cache of 2 KB in sets of 8 ways: at most 1,500 misses."""
    n, lines, ways, most = 96, 32, 8, 1500
    s, B = _transposition(n)
    called(answer, s, B)
    expect(bool(s.trace), "the schedule has no step; begin with s[B].tile(*B.op.axis, rows, columns)")
    copies = [b.name for b in s.counts(caches=[]).buffers if b.name not in ("A", "B")]
    expect(
        not copies,
        f"an order is wanted; {', '.join(copies)} is a copy, which needs memory itself, and lesson 8 has those",
    )
    of_a, of_b = _misses(s, lines, ways)
    total, anywhere = of_a + of_b, sum(_misses(s, lines))
    if total > most >= anywhere:
        raise WrongAnswer(
            f"{total} misses: in a cache without sets they were only {anywhere}. Rows of 6 lines put a column into 2 of the {lines // ways} "
            f"sets, which hold {2 * ways} lines together, and a line of B needs one of them, too"
        )
    expect(
        total <= most,
        f"{total} misses, {of_a} of A and {of_b} of B, {most} are wanted: whose lines leave before they are used up?",
    )
    return (
        f"{total} misses: the tile is narrow enough for the two sets of a column, and high enough to use its lines up"
    )


@exercise
def ex4(answer: float) -> str:
    """How many operations for a byte has `C[i] = A[i] + B[i]` in float32?"""
    answer, n = number(answer), 1 << 10
    A, B = te.placeholder((n,), name="A"), te.placeholder((n,), name="B")
    s = te.create_schedule(te.compute((n,), lambda i: A[i] + B[i], name="C").op)
    counts = s.counts(caches=[te.Cache(32 * LINE, line=LINE, ways=None)])
    right = counts.flops / (counts.misses[0] * LINE)
    slips = {
        1 / 8: "you left out a vector: two are read, and one is written",
        1 / 4: "you counted one vector; two are read, and one is written",
        1 / 3: "this is operations for a number; a float32 has 4 bytes",
        12.0: "this is bytes for an operation: turn it around",
        1 / 24: "these are 8 bytes a number, as float64 has; float32 has 4",
        1
        / 16: "you brought C before it is written, and wrote it back: a real processor may, but we count each line of it once",
    }
    otherwise = f"got {answer}; divide the additions of one element by the bytes that come and go for it"
    equals(answer, right, slips, otherwise, within=1e-3)
    return "one addition for three numbers of 4 bytes: memory is the limit, on every machine"
