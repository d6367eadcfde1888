"""The exercises of lesson 3, loops are Python. What is right is read from the accesses of the programs at hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from minicc import te
from minicc.course.exercise import called, equals, exercise, expect, number, numbers, WrongAnswer
from minicc.course.orders import LOAD, Index, order
from minicc.loop.marks import STORE
from minicc.loop.python import run_python
from minicc.schedule.te_schedule import TeSchedule


@exercise
def ex1(answer: Any, s: TeSchedule) -> str:
    """In which order are the elements of Y read?"""
    reads, stores = order(s, "Y", LOAD), order(s, "T")
    ordered = isinstance(answer, Iterable) and not isinstance(answer, str | set | dict)
    expect(ordered, f"expected a list of pairs, such as [(0, 0), (0, 1)], got {answer!r:.80}")
    given = [numbers(pair, 2) for pair in answer]
    if given == stores:
        raise WrongAnswer("this is the order in which T is *written*; the indices of Y stand the other way around")
    if given == sorted(reads):
        raise WrongAnswer("this is row by row of Y; but the inner loop is over j, which is the *first* index of Y")
    expect(len(given) == len(reads), f"there are {len(reads)} trips, each reads one element of Y; got {len(given)}")
    wrong = next((n for n, pairs in enumerate(zip(given, reads, strict=True)) if pairs[0] != pairs[1]), None)
    if wrong is not None:
        i, j = stores[wrong]
        raise WrongAnswer(f"trip {wrong + 1} has i = {i}, j = {j}: it does not read Y{list(given[wrong])}")
    return "T is written along its rows, so Y is read along its columns"


@exercise
def ex2(answer: Any, s: TeSchedule) -> str:
    """How often is each element of Z read?"""
    times = Counter(order(s, "Z", LOAD))
    right = [times[element,] for element in range(s.program.params[0].shape[0])]
    given = list(numbers(answer, len(right)))
    if set(given) == {3}:
        raise WrongAnswer("3 loads belong to a *window*; an element is read once for each window that it is in")
    if given == [1, 2, 3, 3, 3, 3, 3, 3, 2, 1]:
        raise WrongAnswer(
            "so it is for windows in steps of 1; here the next window begins 2 further, and they share one element"
        )
    if given[:-1] == right[:-1] and given != right:
        raise WrongAnswer("the last window ends at Z[2*3 + 2]: is the last element read at all?")
    wrong = next((n for n, (got, wanted) in enumerate(zip(given, right, strict=True)) if got != wanted), None)
    expect(wrong is None, f"look at Z[{wrong}]: for which i and w is 2*i + w equal to {wrong}?")
    return "neighbouring windows share one element, which is read twice; the last element is in none"


@exercise
def ex3(answer: Any, s: TeSchedule) -> str:
    """How many stores does this program do?"""
    answer, counts = number(answer), s.counts(caches=[])
    pages, rows, columns = s.program.params[0].shape
    trips = pages * rows * columns
    slips = {
        trips: "these are the additions; `M[i] = 0.0` stores, too, where first(p, q) holds",
        pages: "this is how many sums there are; but each addition stores the sum so far",
        2 * trips: "so many loads there are; a zero is stored once a page, where first(p, q) holds",
        trips + pages * rows: "first(p, q) asks whether *both* loops are at their first trip, not only q",
        trips + pages * columns: "first(p, q) asks whether *both* loops are at their first trip, not only p",
    }
    what_else = "what else is stored, and how often?"
    equals(
        answer,
        counts.stores,
        slips,
        f"{pages} * {rows} * {columns} trips each store a sum so far; {what_else} got {answer}",
    )
    return f"{trips} additions and {pages} zeros, one for each page"


def shown(index: Any) -> str:
    """An index as it was written, `:` included."""
    parts = index if isinstance(index, tuple) else (index,)
    return ", ".join(":" if part == slice(None) else repr(part) for part in parts)


class Watched:
    """An array that keeps a log of the elements that are read and written; `row` are the indices that are known already."""

    def __init__(
        self, name: str, array: np.ndarray[Any, Any], log: list[tuple[str, int, Index]], row: tuple[Any, ...] = ()
    ) -> None:
        self.name, self.array, self.log, self.row, self.shape = name, array, log, row, array.shape[len(row) :]

    def _index(self, index: Any) -> Index:
        found = self.row + (index if isinstance(index, tuple) else (index,))
        shape = self.array.shape
        single = len(found) == len(shape) and all(isinstance(i, (int, np.integer)) for i in found)
        expect(
            single,
            f"a loop touches one element at a time, got {self.name}[{shown(index)}]: write a loop for each index",
        )
        at = tuple(map(int, found))
        inside = all(0 <= i < extent for i, extent in zip(at, shape, strict=True))
        expect(inside, f"{self.name}{list(at)} lies outside: the shape of {self.name} is {shape}")
        return at

    def __getitem__(self, index: Any) -> Any:
        if len(self.shape) > 1 and isinstance(index, int | np.integer):  # X[h][j] is X[h, j]
            return Watched(self.name, self.array, self.log, (*self.row, index))
        at = self._index(index)
        self.log.append((self.name, LOAD, at))
        return self.array[at]

    def __setitem__(self, index: Any, value: Any) -> None:
        at = self._index(index)
        self.log.append((self.name, STORE, at))
        self.array[at] = value

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> Any:
        raise WrongAnswer(f"say which element is next: a loop over numbers, and {self.name} at these numbers")

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise WrongAnswer(f"NumPy would do it all at once; here you say it, {self.name} one element at a time")


@exercise
def ex4(answer: Callable[..., Any], s: TeSchedule) -> str:
    """Write the loops of D, as minicc.lower would."""
    given, result = s.program.params[0], s.program.outputs[0]
    x = np.random.default_rng(0).integers(1, 9, given.shape).astype(np.float32)
    wanted, got = np.empty(result.shape, np.float32), np.full(result.shape, np.nan, np.float32)
    log = list[tuple[str, int, Index]]()
    run_python(s.program, x, wanted)
    called(answer, Watched(given.name, x, log), Watched(result.name, got, log))
    reads = [index for name, _, index in log if name == given.name]
    stores = [index for name, kind, index in log if (name, kind) == (result.name, STORE)]
    if np.isnan(got).any():
        started = "read before it was written, so it never became a number" if stores else "never written"
        raise WrongAnswer(f"{result.name}[{np.flatnonzero(np.isnan(got))[0]}] was {started}")
    if np.array_equal(got[: len(x)], x.sum(axis=1)[: len(got)]):
        raise WrongAnswer("these are sums of rows; a column keeps its last index and runs over the first")
    unread = x.size - len({*reads})
    expect(not unread, f"{unread} elements of {given.name} were never read: look at the extents of your loops")
    expect(np.array_equal(got, wanted), f"expected D = {wanted.tolist()} for X = {x.tolist()}, got {got.tolist()}")
    if reads != order(s, given.name, LOAD):
        raise WrongAnswer(
            "the numbers are right, but the order is another: yours adds up all columns together; minicc.lower "
            "ends one element of D before it begins the next. (Lesson 4 is about such other orders.)"
        )
    wanted_stores = order(s, result.name)
    if len(stores) < len(wanted_stores):
        return "right in numbers and order; yours keeps a sum outside of D, and so stores less, as lesson 8 does"
    expect(stores == wanted_stores, "the reads are right; but D is to get each 0 where its own sum begins")
    return "element by element this is what minicc.lower made: same loads, same stores, same order"


@exercise
def ex5(answer: Callable[..., Any]) -> str:
    """Give the formula of row t of the largest payment so far."""
    x = np.random.default_rng(1).integers(-9, 9, (6, 3)).astype(np.float32)
    paid, before = te.placeholder(x.shape, name="paid"), te.placeholder(x.shape, name="before")
    t, i = te.var("t"), te.var("i")
    row = called(answer, before, paid, t, i)
    kind = type(row).__name__
    expect(isinstance(row, te.Expr), f"expected a formula of te, got {kind}: the larger of two is te.maximum")
    opening = te.compute((1, 3), lambda _, i: paid[0, i], name="opening")
    later = te.compute(x.shape, lambda t, i: answer(before, paid, t, i), name="later")
    s = te.create_schedule(te.scan(opening, later, before, name="most").op)
    got = np.empty_like(x)
    run_python(s.program, x, got)
    if np.array_equal(got, np.cumsum(x, axis=0)):
        raise WrongAnswer("this is the sum so far")
    if np.array_equal(got, x):
        raise WrongAnswer("this forgets: each row is its own payment, nothing is kept from the row before")
    if np.array_equal(got[1:], np.maximum(x[1:], x[:-1])):
        raise WrongAnswer(
            "this compares with the *payment* of the day before; the largest so far is what `before` holds"
        )
    wanted = np.maximum.accumulate(x, axis=0)
    for account in range(x.shape[1]):
        right = np.array_equal(got[:, account], wanted[:, account])
        expect(right, f"payments {x[:, account].tolist()} gave {got[:, account].tolist()}")
    return "each row needs the row before it, and no more: a scan"
