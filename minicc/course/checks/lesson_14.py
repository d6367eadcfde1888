"""Checks of lesson 14: a space is counted, a mutation must beat another on unseen costs, threads find their elements, guards stand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from numbers import Integral
from random import Random
from statistics import mean
from typing import Any

import numpy as np

from minicc.course.exercise import WrongAnswer, called, exercise, expect, number, numbers

MOST = 32  # elements of a tile that fit into registers
TRIALS, SEEDS, DRAWS = 40, 4, 1000
EACH = 4  # elements of a thread
Choices = dict[str, int]
Mutation = Callable[[Choices, Mapping[str, Sequence[int]], Random], Any]


@exercise
def ex1(answer: Any, options: Mapping[str, Sequence[int]]) -> str:
    """How many schedules are left if tile_i * tile_j may be 32 at most?"""
    given = number(answer)
    points = [dict(zip(options, values, strict=True)) for values in itertools.product(*options.values())]
    left = sum(p["tile_i"] * p["tile_j"] <= MOST for p in points)
    pairs = {(p["tile_i"], p["tile_j"]) for p in points if p["tile_i"] * p["tile_j"] <= MOST}
    if given == len(points):
        raise WrongAnswer("that is the whole space, without the condition")
    if given == len(pairs):
        raise WrongAnswer(
            "that is how many pairs of tile_i and tile_j are allowed; each goes with every tile_k and all orders"
        )
    if given == sum(p["tile_i"] * p["tile_j"] < MOST for p in points):
        raise WrongAnswer(f"{MOST} itself is allowed")
    expect(
        given == left, f"{given} is not it: count the pairs of tile_i and tile_j whose product is at most {MOST} first"
    )
    return f"{len(pairs)} pairs, each with {left // len(pairs)} combinations of the rest: conditions make a space smaller, and its counting harder"


def _one_is_changed(mutate: Mutation, options: Mapping[str, Sequence[int]]) -> None:
    """Raise WrongAnswer unless a mutation changes one number to another of its options, whichever that is."""
    rng, reached = Random(0), set[tuple[str, int]]()
    for _ in range(DRAWS):
        parent = {name: rng.choice(values) for name, values in options.items()}
        child = called(mutate, dict(parent), dict(options), rng)
        expect(
            isinstance(child, Mapping) and set(child) == set(options),
            f"expected choices of {', '.join(options)}, got {child!r:.200}",
        )
        changed = [name for name in options if child[name] != parent[name]]
        for name in changed:
            expect(
                child[name] in options[name], f"{name} = {child[name]!r} is none of its options {tuple(options[name])}"
            )
        expect(
            len(changed) > 0,
            "a child is its parent again: that trial is wasted. Is the new number another one than before?",
        )
        expect(len(changed) == 1, f"a child of {parent} has {len(changed)} other numbers: {', '.join(changed)}")
        reached.add((changed[0], child[changed[0]]))
    for name, values in options.items():
        for value in values:
            expect(
                (name, value) in reached,
                f"in {DRAWS} children {name} never became {value}: that part of the space is lost",
            )


@exercise
def ex2(
    mutate: Mutation,
    evolve: Callable[..., Any],
    costs: Callable[..., Callable[[Choices], int]],
    options: Mapping[str, Sequence[int]],
    redraw: Mutation,
) -> str:
    """Write a mutation that changes exactly one number."""
    _one_is_changed(mutate, options)
    cost = costs(8, 5)
    mine, theirs = (
        mean(min(evolve(cost, options, m, Random(seed), TRIALS)) for seed in range(SEEDS)) for m in (mutate, redraw)
    )
    return f"each child is a neighbour of its parent. After {TRIALS} trials, mean of {SEEDS} seeds, it finds {mine:,.0f}, and redraw {theirs:,.0f}"


@exercise
def ex3(place: Callable[[int, int], Any]) -> str:
    """Which block and thread compute element i, if each thread computes four in a row?"""
    for threads, i in itertools.product((1, 4, 8), (0, 1, 3, 4, 5, 15, 16, 31, 32, 100)):
        got, right = numbers(called(place, i, threads), 2), divmod(i // EACH, threads)
        if got == right:
            continue
        why = f"element {i}, with {threads} threads a block, is that of block {right[0]}, thread {right[1]}, not {got}"
        if got == right[::-1]:
            raise WrongAnswer(f"{why}: the block comes first")
        if got == divmod(i, threads):
            raise WrongAnswer(f"{why}: that would be one element for each thread, here it is {EACH}")
        if got == divmod(i, threads * EACH):
            raise WrongAnswer(f"{why}: the block is right; within it, {EACH} elements belong to one thread")
        raise WrongAnswer(why)
    return f"elements in fours are threads, threads in rows are blocks: divmod(i // {EACH}, threads)"


class _Watched:
    """An array as a thread sees it: it refuses to be touched where it has no element, and written but at the place of the thread."""

    def __init__(self, array: Any, own: int | None) -> None:
        self.array, self.own = array, own

    def __len__(self) -> int:
        return len(self.array)

    def __getattr__(self, name: str) -> Any:  # such as its shape
        return getattr(self.array, name)

    def _at(self, i: Any, what: str) -> int:
        expect(isinstance(i, Integral), f"a thread touches one element at a time, by a whole number; got {i!r:.80}")
        from_the_end = ", and there is no counting from the end on a GPU" * (i < 0)
        expect(0 <= i < len(self), f"element {i} of an array of {len(self)} was {what}{from_the_end}")
        return int(i)

    def __getitem__(self, i: Any) -> Any:
        return self.array[self._at(i, "read")]

    def __setitem__(self, i: Any, value: Any) -> None:
        at = self._at(i, "written")
        expect(self.own is not None, "x was written: other threads read it")
        expect(at == self.own, f"y[{at}] was written by the thread of y[{self.own}]: each thread has one element")
        self.array[at] = value


@exercise
def ex4(kernel: Callable[..., Any], launch: Callable[..., None]) -> str:
    """Which guards does the kernel need?"""

    def watched(block: int, thread: int, threads: int, shared: Any, x: Any, y: Any) -> Any:
        ran = called(kernel, block, thread, threads, shared, _Watched(x, None), _Watched(y, block * threads + thread))
        return ran if isinstance(ran, Generator) else None

    for threads, n in itertools.product((4, 8), (1, 4, 7, 8, 9, 16, 17)):
        x, y = np.arange(n, dtype=np.float32) ** 2, np.full(n, np.nan, np.float32)
        where = f"n = {n}, {threads} threads a block"
        try:
            launch(watched, -(-n // threads), threads, x, y)
        except WrongAnswer as touched:
            raise WrongAnswer(f"{where}: {touched}") from None
        wanted = np.append(np.diff(x), np.float32(0))
        if not np.array_equal(y, wanted):
            at = int(np.flatnonzero(y != wanted)[0])
            raise WrongAnswer(
                f"{where}: y[{at}] must be {wanted[at]}, got {y[at]}{', which nobody wrote' * bool(np.isnan(y[at]))}"
            )
    return "two guards: one for threads beyond the end, one for the element that has no neighbour"
