"""pragma: a note on a loop, for what comes after scheduling.

Meaning: none; the note stays on the loop, whatever else happens to it, and is printed as a
comment. A second note with the same key takes the place of the first.

Legality: the key is a word, the value a number or a word.

>>> from minicc.schedule.examples import doubled, show
>>> show(doubled(8), PragmaStep("i", "unroll", 4))
- for i in range(8):
+ for i in range(8):  # unroll=4
      B[i] = A[i]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator

from minicc.ir.node import replace
from minicc.loop.ir import loops
from minicc.loop.program import Program
from minicc.schedule.nest import get_loop, graft
from minicc.schedule.step import Illegal, Step


class PragmaStep(Step, checked_here=("value",), positional=3):
    """Note something on a loop, for what comes after scheduling."""

    loop: str
    key: str
    value: int | str = 1

    def transform(self, program: Program) -> Program:
        loop = get_loop(program, self.loop)
        if not self.key.isidentifier():
            problem = f"expected a key that is a word, got {self.key!r}"
            raise Illegal(problem, loop.name, f'letters, digits and _, as in s.pragma("{loop.name}", "unroll", 4)')
        word = isinstance(self.value, str) and self.value.isidentifier()
        if not word and type(self.value) is not int:
            hint = f'an integer, or letters, digits and _, as in s.pragma("{loop.name}", "{self.key}", 4)'
            raise Illegal(f"expected a value that is a number or a word, got {self.value!r}", loop.name, hint)
        others = tuple(note for note in loop.notes if note[0] != self.key)
        return graft(program, loop, replace(loop, notes=(*others, (self.key, self.value))))

    @classmethod
    def candidates(cls, program: Program) -> Iterator[PragmaStep]:
        for loop in loops(program.body).values():
            if not loop.notes:
                yield cls(loop.name, "unroll", 4)
