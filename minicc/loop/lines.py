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

from collections.abc import Iterator
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


class Lines(dict[Stmt, int]):
    """How many lines each statement takes, those inside of it included."""

    def __missing__(self, s: Stmt) -> int:
        self[s] = len(PythonPrinter().stmt(s))
        return self[s]


def heads(program: Program) -> tuple[int, int]:
    """The line of the function's head, and that of the first statement, which is the last part of the text."""
    text, body = str(program).splitlines(), PythonPrinter().block(program.body, 1)
    return 1 + next(n for n, line in enumerate(text) if line.startswith("def ")), len(text) - len(body) + 1


def places(program: Program) -> Iterator[Position]:
    """The place of every statement, in the order of the text."""
    yield from _places(program.body, heads(program)[1], 0, Lines())


def _places(s: Stmt, line: int, loop: int, lines: Lines) -> Iterator[Position]:
    if not isinstance(s, Seq):
        inside = bodies(s)
        yield Position(s, line, 1 if inside else lines[s], loop)
        line, loop = line + 1, line if isinstance(s, For) else loop
    for inner in bodies(s):
        yield from _places(inner, line, loop, lines)
        line += lines[inner]
