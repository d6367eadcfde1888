"""bind: the iterations of a loop become blocks or threads of a GPU.

Meaning: the loop's kind becomes a thread axis: `blockIdx.x` to `blockIdx.z`, `threadIdx.x` to
`threadIdx.z`, or `vthread` for work that one thread does in turn. On a CPU it stays a loop.

Legality: as for `parallel`. Around and inside of the loop, no other is bound to the same axis
(`vthread` may repeat), none is parallel, none around is vectorized, and blocks are around threads.
An inner loop that fills shared buffers of the body of a loop around it, and nothing else, may be
bound to the thread axis of that loop: the threads of a block then fill together what each of them reads.
On a CPU each iteration of the outer loop fills its own for itself, which is redundant, and right.

>>> before, after = _example()
>>> print(before)
for i_o in range(4):
    for i_i in range(8):
        B[i_o*8 + i_i] = A[i_o*8 + i_i]*2.0
>>> print(after)
for i_o in blockIdx.x(4):
    for i_i in threadIdx.x(8):
        B[i_o*8 + i_i] = A[i_o*8 + i_i]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from minicc.ir.node import replace
from minicc.loop.ir import PARALLEL, SERIAL, THREAD_AXES, VECTORIZE, Alloc, Buffer, For, Store, loops, walk
from minicc.loop.program import Program
from minicc.schedule.nest import graft, loops_around, targets
from minicc.schedule.parallel import check_independent, serial_loop
from minicc.schedule.step import Illegal, Step, loops_text
from minicc.tensor.expr import Var
from minicc.types import float32


@dataclass(frozen=True)
class Bind(Step):
    """`loop` runs over the thread axis `axis`."""

    loop: str
    axis: str
    name: ClassVar[str] = "bind"
    positional: ClassVar[int] = 2

    def transform(self, program: Program) -> Program:
        if self.axis not in THREAD_AXES:
            raise Illegal(f"expected a thread axis, got {self.axis!r}", self.loop, f"one of {', '.join(THREAD_AXES)}")
        loop = serial_loop(program, self.loop)
        check_independent(program, loop)
        for other in loops_around(program.body, loop):
            self._check_other(
                other,
                "around",
                (PARALLEL, VECTORIZE),
                "threadIdx" if self.axis.startswith("blockIdx") else "",
                (other, loop),
            )
        for other in loops(loop.body).values():
            self._check_other(
                other, "inside", (PARALLEL,), "blockIdx" if self.axis.startswith("threadIdx") else "", (loop, other)
            )
        return graft(program, loop, replace(loop, kind=self.axis))

    def _check_other(self, other: For, where: str, kinds: tuple[str, ...], index: str, nest: tuple[For, For]) -> None:
        """Raises Illegal when a loop around or inside is of one of `kinds`, of the same axis, or of axes of `index`."""
        if other.kind in kinds:
            raise Illegal(
                f"loop {other.name} {where} it is of kind {other.kind}", self.loop, f"bind {self.loop} instead of it"
            )
        if other.kind == self.axis != "vthread" and not (self.axis.startswith("threadIdx") and fills_together(*nest)):
            raise Illegal(
                f"loop {other.name} {where} it is bound to {self.axis}",
                self.loop,
                "choose another axis, or fuse the loops",
            )
        if index and other.kind.startswith(index):
            raise Illegal(
                f"loop {other.name} {where} it is bound to {other.kind}", self.loop, "blocks are around threads"
            )

    @classmethod
    def candidates(cls, program: Program) -> Iterator[Bind]:
        for loop in loops(program.body).values():
            if loop.kind == SERIAL:
                yield cls(loop.name, "blockIdx.x")
                yield cls(loop.name, "threadIdx.x")


def fills_together(outer: For, inner: For) -> bool:
    """Whether all that `inner` writes lives inside of it, or is shared memory that lives inside of `outer`."""
    own, around = ({s.buffer for s in walk(loop) if isinstance(s, Alloc)} for loop in (inner, outer))
    return all(b in own or (b.scope == "shared" and b in around) for s in walk(inner) for b in targets(s))


def _example() -> tuple[str, str]:
    """The program of the docstring, before and after."""
    a, b, i = Buffer("A", float32, (32,)), Buffer("B", float32, (32,)), Var("i_o") * 8 + Var("i_i")
    before = Program("double", (a,), (b,), For(Var("i_o"), 4, For(Var("i_i"), 8, Store(b, (i,), a[i] * 2.0))))
    return loops_text(before), loops_text(Bind("i_i", "threadIdx.x").apply(Bind("i_o", "blockIdx.x").apply(before)))
