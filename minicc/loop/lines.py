"""Which line of a program's text each statement has.

In: a program. Out: its statements in the order of the text, each with its line, counted from 1. The printer is asked
how many lines a statement takes, so that whoever counts here agrees with `str(program)`.

>>> from minicc.schedule.examples import row_sums
>>> program = row_sums(4, 8).program
>>> print(program)
from minicc.loop.prelude import first
<BLANKLINE>
def example(A, B):
    # A: float32[4,8] -> B: float32[4]
    for i in range(4):
        for k in range(8):
            if first(k):
                B[i] = 0.0
            B[i] = B[i] + A[i, k]
<BLANKLINE>
>>> [(place.line, place.lines, place.loop) for place in places(program)]
[(5, 1, 0), (6, 1, 5), (7, 3, 6)]
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from minicc.loop.ir import For, Seq, Stmt, bodies
from minicc.loop.printer import PythonPrinter
from minicc.loop.program import Program


class Position(NamedTuple):
    """A statement, the first line of it, how many lines it takes without those inside, and the line of the loop around it, or 0."""

    stmt: Stmt
    line: int
    lines: int
    loop: int


class _Measuring(PythonPrinter):
    """Prints, and notes how many lines each statement took, those inside of it included."""

    def __init__(self) -> None:
        super().__init__()
        self.took: dict[Stmt, int] = {}

    def stmt(self, s: Stmt, depth: int = 1) -> list[str]:
        made = super().stmt(s, depth)
        self.took[s] = len(made)
        return made


def measured(program: Program) -> tuple[int, int, dict[Stmt, int]]:
    """The line of the function's head, that of its first statement, and how many lines each statement takes.

    The statements are the last part of the text.
    """
    printer, text = _Measuring(), str(program).splitlines()
    body = printer.block(program.body, 1)
    head = next(n for n, line in enumerate(text, 1) if line.startswith("def "))
    return head, len(text) - len(body) + 1, printer.took


def places(program: Program) -> Iterator[Position]:
    """The place of every statement, in the order of the text."""
    _, begin, took = measured(program)
    yield from _places(program.body, begin, 0, took)


def _places(s: Stmt, line: int, loop: int, took: Mapping[Stmt, int]) -> Iterator[Position]:
    if not isinstance(s, Seq):
        inside = bodies(s)
        yield Position(s, line, 1 if inside else took[s], loop)
        line, loop = line + 1, line if isinstance(s, For) else loop
    for inner in bodies(s):
        yield from _places(inner, line, loop, took)
        line += took[inner]
