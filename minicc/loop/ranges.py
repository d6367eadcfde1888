"""What is known of the variables at a place of a loop program, as intervals for `te.bounds`.

In: a program, or a loop and what is known around it. Out: the intervals of symbolic sizes, and of
the loop variables in the body of the loop. What guards say is added by `te.bounds.assume`.

>>> from minicc.te.expr import Var
>>> from minicc.loop.ir import Seq
>>> inside(For(Var("i"), 8, Seq(())), {})
{i: (0, 7)}
"""

from __future__ import annotations

from minicc.loop.ir import For
from minicc.loop.program import Program
from minicc.te.bounds import Interval, assume, bounds
from minicc.te.expr import Expr, Var, free_vars

Ranges = dict[Expr, Interval]

LARGEST = 1 << 40  # no symbolic size is larger, so that sums and small multiples of sizes do not wrap around


def size_vars(program: Program) -> list[Var]:
    """The symbolic sizes of the parameters and outputs."""
    dims = [d for b in (*program.params, *program.outputs) for d in b.shape if isinstance(d, Expr)]
    return sorted(free_vars(*dims), key=lambda v: v.name)


def sizes(program: Program) -> Ranges:
    """The intervals of the symbolic sizes."""
    return dict.fromkeys(size_vars(program), (0, LARGEST))


def inside(loop: For, ranges: Ranges) -> Ranges:
    """What is known in the body of a loop, given what is known around it."""
    if isinstance(loop.extent, int):
        return {**ranges, loop.var: (0, max(loop.extent - 1, 0))}
    _, most = bounds(loop.extent, ranges)
    return assume(loop.var < loop.extent, {**ranges, loop.var: (0, max(most - 1, 0))})
