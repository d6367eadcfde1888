"""choose: a number that a schedule picks, with what else it may be, stands in the trace by its name.

Meaning: the program stays as it is. Steps that are given the number print and store its name, as does a text with the
name in braces; what they do follows the number. A trace is replayed with other choices, and a recipe run again with
others. What is derived from a choice is a plain number, and stays what it was when a trace is replayed: choose it, too,
or run the recipe again.

Legality: the name is that of a Python variable and not chosen before, the number is among the options.

>>> from minicc.schedule.examples import doubled
>>> s = doubled(32)
>>> rows = s.choose("rows", (2, 4, 8), 4)
>>> s.split("i", factor=rows)
('i_o', 'i_i')
>>> print(s.trace)
rows = s.choose("rows", [2, 4, 8], 4)
s.split("i", factor=rows)
>>> s.trace.replay(s.start, {"rows": 8}).trace.steps[1]
SplitStep(loop='i', factor=8, nparts=None, tail='guard')
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator

from minicc.loop.program import Program
from minicc.schedule.choice import Choice
from minicc.schedule.step import Illegal, Step


class ChooseStep(Step):
    """A number that is recorded by its name: `value`, or what the schedule was given for it. Returns the number."""

    key: str
    options: tuple[int, ...]
    value: int

    def result(self, before: Program, after: Program) -> int:
        return Choice(self.key, self.value)

    def transform(self, program: Program) -> Program:
        if not self.key.isidentifier() or keyword.iskeyword(self.key) or self.key == "s":
            problem = f"expected the name of a variable other than s, got {self.key!r}"
            raise Illegal(problem, hint='a word, as in s.choose("rows", (4, 6, 8), 6)')
        if self.value not in self.options:
            options = ", ".join(map(str, self.options)) or "none"
            problem = f"expected {self.key} to be among its options {options}, got {self.value}"
            raise Illegal(problem, hint="one of them")
        return program

    def apply(self, program: Program) -> Program:
        self.check(program)
        return program

    @classmethod
    def candidates(cls, program: Program) -> Iterator[ChooseStep]:
        return iter(())

    def __str__(self) -> str:
        return f's.choose("{self.key}", {list(self.options)}, {self.value})'
