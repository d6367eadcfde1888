"""bind: the iterations of a loop become blocks or threads of a GPU.

Meaning: the loop's kind becomes a thread axis: `blockIdx.x` to `blockIdx.z`, `threadIdx.x` to
`threadIdx.z`, or `vthread` for work that one thread does in turn. On a CPU it stays a loop.

Legality: as for `parallel`. Around and inside of the loop, no other is bound to the same axis
(`vthread` may repeat), none is parallel, none around is vectorized, and blocks are around threads.
An inner loop that fills shared buffers of the body of a loop around it, and nothing else, may be
bound to the thread axis of that loop: the threads of a block then fill together what each of them reads.
On a CPU each iteration of the outer loop fills its own for itself, which is redundant, and right.

>>> from minicc.schedule.examples import doubled, show
>>> s = doubled(32)
>>> _ = s.split("i", factor=8)
>>> show(s, BindStep("i_o", "blockIdx.x"), BindStep("i_i", "threadIdx.x"))
- for i_o in range(4):
-     for i_i in range(8):
+ for i_o in blockIdx.x(4):
+     for i_i in threadIdx.x(8):
          B[i_o*8 + i_i] = A[i_o*8 + i_i]*2.0
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.errors import ScheduleError, caret

from minicc.loop.ir import PARALLEL, SERIAL, THREAD_AXES, VECTORIZE, Alloc, For, loops, walk
from minicc.loop.program import Program
from minicc.loop.queries import loops_around, targets
from minicc.schedule.loop_kind import LoopKindStep, check_independent
from minicc.schedule.step import Illegal
from minicc.tensor.expr import Const, Expr, const
from minicc.tensor.simplify import simplify
from minicc.types import int64


@dataclass(frozen=True)
class ThreadAxis:
    """A thread axis of a GPU, such as `threadIdx.x`; `extent` is its number of threads if that is given."""

    tag: str
    extent: Any = None


def thread_axis(dom: Any, tag: str = "") -> ThreadAxis:
    """`thread_axis("blockIdx.x")`, or with an extent: `thread_axis((0, 64), "threadIdx.x")`."""
    if isinstance(dom, str) and not tag:
        return _axis(dom)
    low, extent = dom if isinstance(dom, (tuple, list)) and len(dom) == 2 else (0, dom)
    extent = int(extent) if isinstance(extent, np.integer) else extent
    whole = (
        extent is None or (isinstance(extent, Expr) and extent.dtype is int64) or (type(extent) is int and extent > 0)
    )
    if not (whole and isinstance(low, (int, np.integer)) and low == 0):
        call = f"thread_axis({dom!r}, {tag!r})"
        problem = f"expected a domain (0, number of threads), got {dom!r}"
        raise ScheduleError(call, problem, "thread_axis(dom, tag)", 'te.thread_axis((0, 64), "threadIdx.x")')
    return _axis(tag, extent)


def _axis(tag: Any, extent: Any = None) -> ThreadAxis:
    if not isinstance(tag, str) or tag not in THREAD_AXES:
        problem = f"expected the name of a thread axis, got {tag!r}"
        hint = f"one of {', '.join(THREAD_AXES)}"
        raise ScheduleError(f"thread_axis({tag!r})", problem, "thread_axis(dom, tag)", hint)
    return ThreadAxis(tag, extent)


class BindStep(LoopKindStep, positional=2):
    """Run a loop over a thread axis, such as `blockIdx.x`. On a CPU it is an ordinary loop."""

    axis: str

    @classmethod
    def at_stage(cls, stage: Any, axis: Any, thread: ThreadAxis | str) -> BindStep:
        """A thread axis of known extent has as many threads as the loop iterations. Raises ScheduleError."""
        name = stage.loop(axis)
        thread = thread if isinstance(thread, ThreadAxis) else _axis(thread)
        program = stage.schedule.program
        found = loops(program.body).get(name)
        threads = stage.schedule.in_sizes(thread.extent)
        if found is not None and threads is not None and not _same(found.extent, threads):
            got = f"got {name} of {found.extent}"
            problem = f"expected a loop of the {thread.extent} iterations that the thread axis has, {got}"
            hint = f"split {name} by {thread.extent} first, or leave the extent out: te.thread_axis({thread.tag!r})"
            raise ScheduleError(f'bind("{name}", "{thread.tag}")', problem, caret(str(program), name), hint)
        return cls(name, thread.tag)

    def new_kind(self) -> str:
        return self.axis

    def check_loop(self, program: Program, loop: For) -> None:
        if self.axis not in THREAD_AXES:
            raise Illegal(f"expected a thread axis, got {self.axis!r}", self.loop, f"one of {', '.join(THREAD_AXES)}")
        check_independent(program, loop)
        for other in loops_around(program.body, loop):
            self._check_other(other, "around", (PARALLEL, VECTORIZE), ("blockIdx", "threadIdx"), (other, loop))
        for other in loops(loop.body).values():
            self._check_other(other, "inside", (PARALLEL,), ("threadIdx", "blockIdx"), (loop, other))

    def _check_other(
        self, other: For, where: str, kinds: tuple[str, ...], order: tuple[str, str], nest: tuple[For, For]
    ) -> None:
        """Raises Illegal when a loop around or inside is of one of `kinds`, of the same axis, or blocks and threads are not in order."""
        which, own = f"loop {other.name} {where} it is", self.axis.partition(".")[0]
        if other.kind in kinds:
            raise Illegal(f"{which} of kind {other.kind}", self.loop, f"bind {self.loop} instead of it")
        if other.kind == self.axis != "vthread" and not (own == "threadIdx" and fills_together(*nest)):
            raise Illegal(f"{which} bound to {self.axis}", self.loop, "choose another axis, or fuse the loops")
        if (own, other.kind.partition(".")[0]) == order:
            raise Illegal(f"{which} bound to {other.kind}", self.loop, "blocks are around threads")

    @classmethod
    def candidates(cls, program: Program) -> Iterator[BindStep]:
        for loop in loops(program.body).values():
            if loop.kind == SERIAL:
                yield cls(loop.name, "blockIdx.x")
                yield cls(loop.name, "threadIdx.x")


def _same(extent: Any, threads: Any) -> bool:
    """Whether two extents are one number, whatever the symbolic sizes are."""
    difference = simplify((extent if isinstance(extent, Expr) else const(extent)) - threads)
    return isinstance(difference, Const) and difference.value == 0


def fills_together(outer: For, inner: For) -> bool:
    """Whether all that `inner` writes lives inside of it, or is shared memory that lives inside of `outer`."""
    own, around = ({s.buffer for s in walk(loop) if isinstance(s, Alloc)} for loop in (inner, outer))
    return all(b in own or (b.scope == "shared" and b in around) for s in walk(inner) for b in targets(s))
