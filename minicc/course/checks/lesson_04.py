"""The exercises of lesson 4, split, reorder, fuse: puzzles, each an order of visits that steps shall reach.

A puzzle knows one way to its order, and ways that readers often take instead, each with what it does. Any way
that visits the elements in that order is right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from minicc import te
from minicc.course.exercise import WrongAnswer, called, exercise, expect, number
from minicc.course.orders import Index, goal, order
from minicc.explain.picture import Picture, count
from minicc.loop.ir import If, loops, walk
from minicc.loop.verify import verify
from minicc.schedule.schedule import Schedule

Way = Callable[[Schedule], Any]


def plain(*shape: int) -> Schedule:
    """The schedule of G, which is twice A, in the order in which it is written down."""
    A = te.placeholder(shape, name="A")
    G = te.compute(shape, (lambda i: A[i] * 2.0) if len(shape) == 1 else (lambda i, j: A[i, j] * 2.0), name="G")
    return te.create_schedule(G.op).schedule


def after(way: Way, *shape: int) -> Schedule:
    """The schedule that a way leads to."""
    s = plain(*shape)
    way(s)
    return s


@dataclass(frozen=True)
class OrderPuzzle:
    """An order to reach: of `shape`, as `way` does in the fewest steps; `near` are other ways and what each misses."""

    title: str
    shape: Index
    way: Way
    near: tuple[tuple[Way, str], ...]
    fewest: bool = False  # whether more steps than these are no solution

    @property
    def order(self) -> list[Index]:
        return order(after(self.way, *self.shape), "G")

    @property
    def steps(self) -> int:
        return len(after(self.way, *self.shape).trace)

    def judge(self, answer: Way, praise: str) -> str:
        """Why an answer is right. Raises WrongAnswer."""
        s = plain(*self.shape)
        called(answer, s)
        verify(s.program)
        expect(len(s.trace) > 0, "no step was taken: s is as it was")
        got, wanted = order(s, "G"), self.order
        for way, why in self.near if got != wanted else ():
            if got == order(after(way, *self.shape), "G"):
                raise WrongAnswer(why)
        expect(len(got) == len(wanted), f"expected {len(wanted)} stores, got {len(got)}: is a tail in it?")
        wrong = next((n for n in range(len(wanted)) if got[n] != wanted[n]), None)
        if wrong is not None:
            raise WrongAnswer(
                f"number {wrong + 1} is G{list(wanted[wrong])}, with your steps it is G{list(got[wrong])}"
            )
        many, least = len(s.trace), self.steps
        if self.fewest and many > least:
            raise WrongAnswer(f"the order is right, in {many} steps; it can be done in {least}")
        return f"{praise} You took {count(many, 'step')}" + ("." if many <= least else f"; {least} are enough.")


def _tiled(*names: str) -> Way:
    """Tiles of 2 by 3, with the loops in this order."""

    def way(s: Schedule) -> None:
        s.tile("i", "j", 2, 3)
        s.reorder(*names)

    return way


def _strided(factor: int) -> Way:
    def way(s: Schedule) -> None:
        s.split("i", factor=factor)
        s.reorder("i_i", "i_o")

    return way


def _pairs(s: Schedule) -> None:
    s.split("j", factor=2)
    s.reorder("j_o", "i", "j_i")


def _halves(s: Schedule) -> None:
    s.split("j", nparts=2)
    s.reorder("j_o", "i", "j_i")


def _columns_of_tiles(s: Schedule) -> None:
    s.split("i", factor=2)
    s.split("j", factor=3)
    s.reorder("j_o", "i_o", "j_i", "i_i")


def _reversed_bits(s: Schedule) -> None:
    s.split("i", factor=4)
    s.split("i_i", factor=2)
    s.reorder("i_i_i", "i_i_o", "i_o")


ROWS = "the order is still row by row: a split or a fuse alone changes no order, a reorder does"
PUZZLES = {
    1: OrderPuzzle(
        "Pairs of columns", (4, 6), _pairs,
        ((lambda s: None, ROWS),
         (lambda s: s.reorder("j", "i"), "these are single columns; both elements of a pair come before the next row"),
         (_halves, "your parts are 3 wide: nparts is how many parts there are, factor is how wide each is")),
    ),
    2: OrderPuzzle(
        "In jumps of 3", (12,), _strided(3),
        ((lambda s: None, ROWS),
         (_strided(4), "yours jumps by 4; the jump of the outer loop is the factor, not the number of jumps")),
    ),
    3: OrderPuzzle(
        "Tiles of 2 x 3, everything by columns", (4, 6), _columns_of_tiles,
        ((lambda s: None, ROWS),
         (_tiled("i_o", "j_o", "i_i", "j_i"), "the next tile is to the right of the first; inside of each you go by rows"),
         (_tiled("j_o", "i_o", "i_i", "j_i"), "the tiles come in the right order, but inside of each you go by rows"),
         (_tiled("i_o", "j_o", "j_i", "i_i"), "inside of a tile you go by columns; the tiles still come by rows"),
         (lambda s: s.reorder("j", "i"), "these are whole columns of 4; a tile has columns of 2")),
    ),
    4: OrderPuzzle(
        "Halves of halves", (8,), _reversed_bits,
        ((lambda s: None, ROWS),
         (_strided(2), "you have the jumps of 2; but the first jump is of 4: after 0 comes 4"),
         (_strided(4), "you have the jump of 4; the next pair begins at 2, so the part of 4 has to be cut again")),
        fewest=True,
    ),
}  # fmt: skip


def picture(puzzle: int) -> Picture:
    """The order that a puzzle asks for."""
    asked = PUZZLES[puzzle]
    return goal(f"{puzzle}. {asked.title}", asked.shape, asked.order)


@exercise
def ex1(answer: Way) -> str:
    """Visit pairs of columns, each row by row."""
    return PUZZLES[1].judge(answer, "The pair is the outermost loop, the two of it are the innermost.")


@exercise
def ex2(answer: Way) -> str:
    """Visit every third element, then start again one further."""
    return PUZZLES[2].judge(
        answer, "Within a part neighbours are 1 apart, parts are 3 apart; so the loop over parts went inside."
    )


@exercise
def ex3(answer: Way) -> str:
    """Visit tiles of 2 x 3, column by column, outside and inside."""
    return PUZZLES[3].judge(answer, "Two loops go over tiles, two inside of one, and each pair has its own order.")


@exercise
def ex4(answer: Way) -> str:
    """Reach 0, 4, 2, 6, 1, 5, 3, 7 in the fewest steps."""
    return PUZZLES[4].judge(
        answer, "A fast Fourier transform visits its inputs so: it is the order of the bits turned around."
    )


@exercise
def ex5(answer: Way) -> str:
    """Make two loops, of 10 and of 3 trips, that keep the order and test nothing."""
    s = plain(5, 6)
    called(answer, s)
    extents = [loop.extent for loop in loops(s.program.body).values()]
    if any(isinstance(part, If) for part in walk(s.program.body)):
        raise WrongAnswer("there is an `if`, so one of your factors does not divide what it cuts")
    if extents == [3, 10]:
        raise WrongAnswer("these are 3 trips outside and 10 inside: nparts=10, or factor=3, is the other way around")
    if len(extents) > 2:
        raise WrongAnswer(
            f"these are {len(extents)} loops, of {', '.join(map(str, extents))} trips: which two make one of 10?"
        )
    expect(extents == [10, 3], f"expected loops of 10 and 3 trips, got {', '.join(map(str, extents))}")
    expect(
        order(s, "G") == order(plain(5, 6), "G"), "the loops are right, but the order has changed: no reorder is needed"
    )
    return f"neither 5 nor 6 is 10, but 5 * 6 = 10 * 3. You took {count(len(s.trace), 'step')}; 2 are enough."


@exercise
def ex6(answer: Any) -> str:
    """Which elements of 11 are stored twice by s.split("i", factor=8, tail="overlap")?"""
    s = plain(11)
    s.split("i", factor=8, tail="overlap")
    stores = [index for (index,) in order(s, "G")]
    twice = sorted({index for index in stores if stores.count(index) > 1})
    listed = isinstance(answer, Collection) and not isinstance(answer, str)
    expect(listed, f"expected a list of numbers, got {answer!r:.80}")
    given = sorted(map(number, answer))
    if given == list(range(8, 11)):
        raise WrongAnswer(
            "these are what is left over after one whole tile; the second tile has to be as long as the first"
        )
    if not given:
        raise WrongAnswer("2 tiles of 8 are 16 stores, into 11 elements")
    expect(
        len(given) == len(twice),
        f"2 tiles of 8 are 16 stores, into 11 elements: {16 - 11} are stored twice, got {len(given)}",
    )
    expect(given == twice, f"the second tile ends at 10 and is 8 long: it begins at {11 - 8}")
    return f"the second tile begins at {twice[0]}, so that it is whole; both tiles have {twice[0]} to {twice[-1]}"
