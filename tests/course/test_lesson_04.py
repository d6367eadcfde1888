"""Lesson 4: each puzzle has more than one way, and wrong orders are told apart."""

import contextlib
import itertools

import pytest
from lesson_runs import wrong

from minicc.course.checks import lesson_04 as check
from minicc.errors import ScheduleError
from minicc.schedule.split import SplitStep


def steps(*taken):
    """An answer that takes steps, written as Python."""

    def answer(s):
        for step in taken:
            eval(step, {"s": s})

    return answer


SPLIT_PAIRS, TILE = 's.split("j", 2)', 's.tile("i", "j", 2, 3)'
BITS = ('s.split("i", 4)', 's.split("i_i", 2)', 's.reorder("i_i_i", "i_i_o", "i_o")')
RIGHT = {
    1: [
        (SPLIT_PAIRS, 's.reorder("j_o", "i", "j_i")'),
        (SPLIT_PAIRS, 's.reorder("j_o", "i")'),
        ('s.split("j", nparts=3)', 's.reorder("j_o", "i")'),
    ],
    2: [('s.split("i", 3)', 's.reorder("i_i", "i_o")'), ('s.split("i", nparts=4)', 's.reorder("i_i", "i_o")')],
    3: [
        (TILE, 's.reorder("j_o", "i_o")', 's.reorder("j_i", "i_i")'),
        ('s.split("i", 2)', 's.split("j", 3)', 's.reorder("j_o", "i_o", "j_i", "i_i")'),
    ],
    4: [BITS, ('s.split("i", 2)', 's.split("i_o", 2)', 's.reorder("i_i", "i_o_i", "i_o_o")')],
}
WRONG = {
    1: [
        ((), "no step was taken"),
        ((SPLIT_PAIRS,), "row by row"),
        (('s.reorder("j", "i")',), "single columns"),
        (('s.split("j", nparts=2)', 's.reorder("j_o", "i")'), "3 wide"),
        (('s.reorder("k", "i")',), "minicc refuses it"),
        (('s.split("i", 2)', 's.reorder("i_i", "i_o")'), "number 3 is G[1, 0], with your steps it is G[0, 2]"),
    ],
    2: [
        (('s.split("i", 4)', 's.reorder("i_i", "i_o")'), "jumps by 4"),
        (('s.split("i", 3)',), "row by row"),
        (('s.split("i", 5, tail="overlap")',), "expected 12 stores, got 15"),
    ],
    3: [
        ((TILE,), "to the right of the first"),
        ((TILE, 's.reorder("j_o", "i_o")'), "you go by rows"),
        ((TILE, 's.reorder("j_i", "i_i")'), "still come by rows"),
    ],
    4: [
        (('s.split("i", 2)', 's.reorder("i_i", "i_o")'), "after 0 comes 4"),
        (('s.split("i", 4)', 's.reorder("i_i", "i_o")'), "begins at 2"),
        (
            (*BITS[:2], 's.reorder("i_i_i", "i_i_o")', 's.reorder("i_i_i", "i_o")', 's.reorder("i_i_o", "i_o")'),
            "it can be done in 3",
        ),
    ],
}
CHECKS = {1: check.ex1, 2: check.ex2, 3: check.ex3, 4: check.ex4}


@pytest.mark.parametrize(("puzzle", "taken"), [(n, one) for n, many in RIGHT.items() for one in many])
def test_order(puzzle, taken):
    assert CHECKS[puzzle](steps(*taken)).right


@pytest.mark.parametrize(("puzzle", "taken", "why"), [(n, *one) for n, many in WRONG.items() for one in many])
def test_order_is_wrong(puzzle, taken, why):
    wrong(CHECKS[puzzle](steps(*taken)), why)


def test_open():
    assert all(ask(lambda s: ...).right is None and ask(...).right is None for ask in CHECKS.values())
    assert check.ex6(...).right is None


@pytest.mark.parametrize("puzzle", check.PUZZLES)
def test_near_ways_are_other_orders(puzzle):
    asked = check.PUZZLES[puzzle]
    orders = [check.order(check.after(way, *asked.shape), "G") for way, _ in asked.near]
    assert asked.order not in orders and len({*map(tuple, orders)}) == len(orders)


@pytest.mark.course
def test_fewer_steps_do_not_do():
    """Two steps never lead to the order of the fourth puzzle."""
    asked = check.PUZZLES[4]
    kinds = ("split", "reorder", "fuse")
    start = check.plain(*asked.shape)
    for first in [move for move in start.moves() if move.name in kinds]:
        s = check.after(lambda s, first=first: s.apply(first), *asked.shape)
        loops = s.loops_of("G")
        orders = [steps(f"s.reorder{names}") for names in itertools.permutations(loops)] if len(loops) > 1 else []
        seconds = [lambda s, move=move: s.apply(move) for move in s.moves() if isinstance(move, SplitStep)]
        for second in (*orders, *seconds):
            with contextlib.suppress(ScheduleError):  # not every pair is legal
                s = check.after(lambda s, f=first, g=second: (s.apply(f), g(s)), *asked.shape)
                assert check.order(s, "G") != asked.order


def test_the_picture_of_a_puzzle():
    assert check.picture(4).words == "4. Halves of halves, row by row: 1 5 3 7 2 6 4 8."


@pytest.mark.parametrize(
    "taken", [('s.fuse("i", "j")', 's.split("i_j_f", 3)'), ('s.split("j", 3)', 's.fuse("i", "j_o")')]
)
def test_loops(taken):
    assert check.ex5(steps(*taken)).right


@pytest.mark.parametrize(
    ("taken", "why"),
    [
        (('s.fuse("i", "j")', 's.split("i_j_f", 10)'), "the other way around"),
        (('s.fuse("i", "j")', 's.split("i_j_f", 4)'), "there is an `if`"),
        (('s.split("j", 3)',), "which two make one of 10"),
        (('s.fuse("i", "j")',), "got 30"),
        (('s.reorder("j", "i")', 's.fuse("j", "i")', 's.split("j_i_f", 3)'), "the order has changed"),
    ],
)
def test_loops_are_wrong(taken, why):
    wrong(check.ex5(steps(*taken)), why)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([8, 9, 10], "left over"),
        ([], "16 stores"),
        (5, "expected a list of numbers"),
        ([3.9, 4.9, 5.9, 6.9, 7.9], "begins at 3"),
        ("34567", "expected a list of numbers"),
        ([3, 4], "5 are stored twice, got 2"),
        ([4, 5, 6, 7, 8], "begins at 3"),
    ],
)
def test_twice_is_wrong(answer, why):
    wrong(check.ex6(answer), why)


def test_twice():
    assert check.ex6([3, 4, 5, 6, 7]).right
