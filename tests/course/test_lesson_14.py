"""The exercises of lesson 14: right answers are accepted, wrong ones are told why."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from minicc.course.checks import lesson_14 as check

OPTIONS: dict[str, tuple[int, ...]] = {f"tile_{loop}": (1, 2, 4, 8, 16) for loop in "ijk"}
OPTIONS |= {"outer": tuple(range(6)), "inner": tuple(range(6))}
Choices = dict[str, int]
Options = Mapping[str, Sequence[int]]


def test_a_space_is_counted() -> None:
    assert check.ex1(19 * 180, OPTIONS).right
    assert "whole space" in check.ex1(4500, OPTIONS).why
    assert "pairs" in check.ex1(19, OPTIONS).why
    assert "itself is allowed" in check.ex1(15 * 180, OPTIONS).why
    assert check.ex1(7, OPTIONS).right is False and check.ex1(..., OPTIONS).right is None


def change_one(choices: Choices, options: Options, rng: Random) -> Choices:
    name = rng.choice(list(options))
    return {**choices, name: rng.choice([value for value in options[name] if value != choices[name]])}


def idle(choices: Choices, options: Options, rng: Random) -> Choices:
    name = rng.choice(list(options))
    return {**choices, name: rng.choice(options[name])}


def forget(choices: Choices, options: Options, rng: Random) -> Choices:
    return {name: rng.choice([value for value in options[name] if value != choices[name]]) for name in options}


def one_knob(choices: Choices, options: Options, rng: Random) -> Choices:
    return {**choices, "outer": (choices["outer"] + 1) % 6}


def outside(choices: Choices, options: Options, rng: Random) -> Choices:
    return {**choices, "tile_i": 3}


def cheap_search(cost: Callable[[Choices], int], options: Options, mutate: Any, rng: Random, trials: int) -> list[int]:
    return [cost(mutate({name: values[0] for name, values in options.items()}, options, rng)) for _ in range(trials)]


@pytest.mark.parametrize(
    "mutate, why",
    [
        (idle, "its parent again"),
        (forget, "has 5 other numbers"),
        (one_knob, "never became"),
        (outside, "none of its options"),
        (lambda choices, options, rng: 7, "expected choices of"),
    ],
)
def test_a_mutation(mutate: Any, why: str) -> None:
    def costs(n: int, lines: int) -> Callable[[Choices], int]:
        return lambda choices: sum(choices.values())

    assert check.ex2(change_one, cheap_search, costs, OPTIONS, forget).right
    wrong = check.ex2(mutate, cheap_search, costs, OPTIONS, forget)
    assert wrong.right is False and why in wrong.why
    assert check.ex2(lambda *given: ..., cheap_search, costs, OPTIONS, forget).right is None


def test_the_place_of_an_element() -> None:
    assert check.ex3(lambda i, threads: divmod(i // 4, threads)).right
    assert check.ex3(lambda i, threads: list(np.divmod(i // 4, threads))).right
    assert "the block comes first" in check.ex3(lambda i, threads: divmod(i // 4, threads)[::-1]).why
    assert "one element for each thread" in check.ex3(lambda i, threads: divmod(i, threads)).why
    assert "within it" in check.ex3(lambda i, threads: divmod(i, 4 * threads)).why
    assert "2 numbers" in check.ex3(lambda i, threads: i // 4).why


def launch(kernel: Callable[..., Any], blocks: int, threads: int, *arrays: Any) -> None:
    for block in range(blocks):
        for thread in range(threads):
            kernel(block, thread, threads, None, *arrays)


def guarded(low: bool, high: bool, last: bool) -> Callable[..., None]:
    """The kernel with guards for: the end of y, the end of x, and a value for the last element."""

    def kernel(block: int, thread: int, threads: int, shared: Any, x: Any, y: Any) -> None:
        i = block * threads + thread
        if low and i >= y.shape[0]:
            return
        if not high or i + 1 < len(x):
            y[i] = x[i + 1] - x[i]
        elif last:
            y[i] = 0

    return kernel


def alone(block: int, thread: int, threads: int, shared: Any, x: Any, y: Any) -> None:
    for i in range(len(y)):
        y[i] = x[i + 1] - x[i] if i + 1 < len(x) else 0


def test_guards() -> None:
    assert check.ex4(guarded(True, True, True), launch).right
    assert "was read" in check.ex4(guarded(False, False, False), launch).why
    assert check.ex4(lambda *given: guarded(True, True, True)(*given) or 7, launch).right
    assert "no counting from the end" in check.ex4(lambda b, t, n, s, x, y: y[-1], launch).why
    assert "each thread has one element" in check.ex4(alone, launch).why
    assert "x was written" in check.ex4(lambda b, t, n, s, x, y: x.__setitem__(0, 1), launch).why
    assert "one element at a time" in check.ex4(lambda b, t, n, s, x, y: y[0:1], launch).why
    assert "was read" in check.ex4(guarded(True, False, True), launch).why
    assert "nobody wrote" in check.ex4(guarded(True, True, False), launch).why
    assert "was written" in check.ex4(guarded(False, True, True), launch).why
    assert check.ex4(lambda *given: ..., launch).right is None
