"""What steps share that move the nest of a buffer: `compute_at`, `reverse_compute_at` and `compute_root`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from minicc.ir.node import replace
from minicc.loop.ir import PARALLEL, SERIAL, VECTORIZE, Buffer, For, If, Stmt, Store, rewrite
from minicc.loop.program import Program
from minicc.loop.queries import Write, all_reads, in_order, loops_around, targets, written
from minicc.schedule.step import Illegal
from minicc.tensor.expr import Expr

LOCAL_ELEMENTS = 1024  # the largest box that is local by default


def is_small(shape: Sequence[Any]) -> bool:
    """Whether a box is local by default."""
    return all(isinstance(d, int) for d in shape) and math.prod(shape) <= LOCAL_ELEMENTS


def minus(indices: Sequence[Expr], starts: Sequence[Expr]) -> tuple[Expr, ...]:
    """Where elements lie in a box that starts at `starts`."""
    return tuple(index - start for index, start in zip(indices, starts, strict=True))


def shortened(nest: Stmt, extents: Mapping[Expr, Any], guards: Mapping[Expr, Expr] = {}) -> Stmt:
    """`nest` with loops of these extents, their bodies guarded; what is moved into a loop is parallel no more."""

    def shrink(s: Stmt) -> Stmt:
        if not isinstance(s, For):
            return s
        body = If(guards[s.var], s.body) if s.var in guards else s.body
        kind = SERIAL if s.kind == PARALLEL else s.kind
        return replace(s, extent=extents.get(s.var, s.extent), body=body, kind=kind)

    return rewrite(nest, shrink)


def reads_itself(nest: Stmt, write: Write) -> bool:
    """Whether what `write` fills is read in `nest`, other than by a reduction at its own place."""
    found = all_reads(nest, targets(write)[0])
    return any(isinstance(write, Store) or load.indices != write.indices for load in found)


def written_from(root: Stmt, start: Stmt, buffers: set[Buffer]) -> Buffer | None:
    """The first of some buffers that is written in `root` from the statement `start` on."""
    later = False
    for s in in_order(root):
        later = later or s is start
        if later and (found := buffers & set(targets(s))):
            return min(found, key=lambda b: b.name)
    return None


def check_not_vectorized(program: Program, loop: For) -> None:
    """Raises Illegal when `loop` or one around it is vectorized."""
    for s in (*loops_around(program.body, loop), loop):
        if s.kind == VECTORIZE:
            raise Illegal(f"loop {s.name} is vectorized", loop.name, "choose a loop around it")


def check_alone(nest: Stmt, own: set[Buffer], culprit: str, hint: str) -> None:
    """Raises Illegal when `nest` fills other buffers than its own; `{}` in the hint is the first of them."""
    if others := written(nest) - own:
        first = min(b.name for b in others)
        raise Illegal(f"its nest also fills {first}", culprit, hint.format(first))
