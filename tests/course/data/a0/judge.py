"""The judge of the small assignment that the grader's tests use."""

import time
from dataclasses import replace
from functools import partial

import numpy as np

from minicc.course.judging import Unequal, equal, judged, replayed
from minicc.schedule.examples import product

SOON = 0.5  # seconds that three sums may take


def task0_1(answers, draw):
    for n in sorted(draw.sample(range(1 << 20), 3)):
        yield judged(f"twice({n})", lambda n=n: equal(answers.call("puzzle.py", "twice", n), 2 * n))


def task0_2(answers, draw):
    for size in (2, 5, 9):
        array, factor = np.float32([draw.random() for _ in range(size)]), float(draw.randrange(2, 9))

        def check(array=array, factor=factor):
            got, wanted = answers.call("puzzle.py", "scaled", array, factor), array * np.float32(factor)
            if not isinstance(got, np.ndarray) or got.dtype != wanted.dtype or not np.array_equal(got, wanted):
                raise Unequal(f"expected {wanted}, got {got}")

        yield judged(f"scaled({array.tolist()}, {factor})", check)


def task0_3(answers, draw):
    for size in sorted(draw.sample(range(3, 40), 2)):
        program = product(size, size + 1).program

        def check(program=program):
            made = replayed(answers.call("puzzle.py", "k_first", program), program, ("reorder",)).program
            if made.body.name != "k":
                raise Unequal(f"expected k first, got {made.body.name}")

        yield judged(f"k_first(product({size}, {size + 1}))", check)


def task0_4(answers, draw):
    numbers = [draw.sample(range(1 << 20), 4) for _ in range(3)]
    start = time.perf_counter()
    right = [
        judged(f"total({n})", partial(lambda n: equal(answers.call("puzzle.py", "total", n), sum(n)), n))
        for n in numbers
    ]
    seconds = time.perf_counter() - start

    def soon():
        if wrong := [j for j in right if j.share < 1]:
            raise Unequal(wrong[0].problem)
        if seconds > SOON:
            raise Unequal(f"expected three sums in {SOON} s, got them in {seconds:.2f} s")

    yield replace(judged("three sums", soon), figure=SOON / max(seconds, 1e-6))
