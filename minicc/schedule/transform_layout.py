"""transform_layout: the elements of a buffer lie in memory in another order, split into tiles or permuted.

Meaning: `order` gives each new axis by the old ones: `"1"` is old axis 1, `"1//16"` its tile of
16, `"1%16"` the place within the tile, `"1//16%4"` a tile within a block of 4. Every
`buffer[indices]` is rewritten. Where a tile does not divide the extent, the buffer is allocated
larger, by elements that nobody touches. A read cache in the order of its reader is a packed operand.

Legality: the buffer is inside of the program and no statement reduces it along with another, and
`order` takes each old axis apart completely: `"1//16"` goes with `"1%16"`. Do it after
`compute_at` and its like, which look for loops over whole axes.

>>> from minicc.schedule.examples import transposed, show
>>> show(transposed(4, 32), TransformLayoutStep("T", ("1//16", "0", "1%16")))
- T = empty((4, 32), float32)
+ T = empty((2, 4, 16), float32)
  for i in range(4):
      for j in range(32):
-         T[i, j] = A[i, j]
+         T[j//16, i, j%16] = A[i, j]
  for k in range(32):
      for l in range(4):
-         B[k, l] = T[l, k]
+         B[k, l] = T[k//16, l, k%16]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from minicc.ir.node import replace
from minicc.loop.ir import Update, walk
from minicc.loop.program import Program
from minicc.loop.queries import allocations
from minicc.schedule.nest import get_alloc, graft, moved
from minicc.schedule.step import Illegal, Step
from minicc.tensor.expr import Expr

TILES = (4, 16)  # what moves tries


class NewAxis(NamedTuple):
    """A new axis: `old axis // divisor % modulus`; no modulus is the outermost piece of its axis."""

    axis: int
    divisor: int
    modulus: int | None

    def __str__(self) -> str:
        divisor = f"//{self.divisor}" if self.divisor > 1 else ""
        return f"{self.axis}{divisor}" + ("" if self.modulus is None else f"%{self.modulus}")

    def of(self, index: Expr) -> Expr:
        """Where the old `index` lies along this axis."""
        tile = index // self.divisor
        return tile if self.modulus is None else tile % self.modulus

    def extent(self, extent: Any) -> Any:
        """How long this axis is, for an old one of `extent`."""
        return (extent + (self.divisor - 1)) // self.divisor if self.modulus is None else self.modulus


class TransformLayoutStep(Step, checked_here=("order",), positional=2):
    """Lay a buffer out by new axes, each given by the old ones: `"1//16", "0", "1%16"`."""

    buffer: str
    order: tuple[str, ...]

    def transform(self, program: Program) -> Program:
        alloc = get_alloc(program, self.buffer)
        old = alloc.buffer
        pieces = [self._piece(text) for text in self.order]
        for axis in range(len(old.shape)):
            self._check_axis(axis, [p for p in pieces if p.axis == axis])
        if foreign := [p.axis for p in pieces if p.axis >= len(old.shape)]:
            problem = f"{self.buffer} has {len(old.shape)} axes, got axis {foreign[0]}"
            raise Illegal(problem, self.buffer, "the first axis is 0")
        for s in walk(alloc.body):
            if isinstance(s, Update) and old in s.buffers and len(s.buffers) > 1:
                others = ", ".join(b.name for b in s.buffers if b is not old)
                problem = f"{self.buffer} is reduced at the same indices as {others}"
                raise Illegal(problem, self.buffer, f'lay out a copy of it: s.cache_read("{self.buffer}")')
        new = replace(old, shape=tuple(p.extent(old.shape[p.axis]) for p in pieces))

        made = moved(alloc, old, new, lambda at: tuple(p.of(at[p.axis]) for p in pieces) if at else ())
        return graft(program, alloc, made)

    def _piece(self, text: str) -> NewAxis:
        """The new axis that `text` describes. Raises Illegal."""
        found = re.fullmatch(r"(\d+)(?://(\d+))?(?:%(\d+))?", text.replace(" ", "")) if isinstance(text, str) else None
        divisor, modulus = (int(found[2] or 1), int(found[3]) if found[3] else None) if found else (0, None)
        if not found or divisor < 1 or modulus == 0:
            hint = 'an old axis, its tiles of 16, or the place in one: s.transform_layout("T", "0//16", "1", "0%16")'
            raise Illegal(f"expected a new axis such as '1', '1//16' or '1%16', got {text!r}", self.buffer, hint)
        return NewAxis(int(found[1]), divisor, modulus)

    def _check_axis(self, axis: int, pieces: Sequence[NewAxis]) -> None:
        """The pieces tell every place along an axis apart, and leave no gaps. Raises Illegal."""
        innermost = sorted(pieces, key=lambda p: p.divisor)
        if not pieces:
            raise Illegal(f"axis {axis} of {self.buffer} is missing in order", self.buffer, f'add "{axis}"')
        size = 1
        for number, piece in enumerate(innermost):
            last = number == len(innermost) - 1
            if piece.divisor != size or (piece.modulus is None) != last:
                got = " and ".join(map(str, innermost))
                problem = f"the pieces of axis {axis} must make it up, got {got}"
                raise Illegal(problem, self.buffer, f'a tile and the place in it: "{axis}//16" and "{axis}%16"')
            size *= piece.modulus or 1

    @classmethod
    def candidates(cls, program: Program) -> Iterator[TransformLayoutStep]:
        for name, alloc in allocations(program).items():
            shape = alloc.buffer.shape
            axes = [str(axis) for axis in range(len(shape))]
            if len(shape) > 1:
                yield cls(name, (*axes[:-2], axes[-1], axes[-2]))
            for axis, extent in enumerate(shape):
                for tile in TILES:
                    if isinstance(extent, int) and extent > tile:
                        yield cls(name, (f"{axis}//{tile}", *[a for a in axes if a != str(axis)], f"{axis}%{tile}"))
