"""Addresses: where the elements that loops touch lie in memory.

In: a buffer and the indices of an element. Out: its row-major offset as a linear form of the loop variables. The digits
of one loop, as `fuse` and reshaped indices leave them, are put together again, so that its stride is seen.

>>> from minicc.types import float32
>>> A, f, j = Buffer("A", float32, (6, 4, 8)), Var("f"), Var("j")
>>> address(A, (f // 4, f % 4, j + 1), Simplifier({f: (0, 23), j: (0, 6)}))
({f: 8, j: 1}, 1)
>>> stride(({f: 8, j: 1}, 1), f), stride(({f // 4: 8, j: 1}, 1), f)
(8, None)
"""

from __future__ import annotations

from collections.abc import Sequence

from minicc.loop.ir import Buffer
from minicc.tensor.expr import Expr, Var, binary, const, free_vars
from minicc.tensor.linear import Linear, linear
from minicc.tensor.simplify import Simplifier


def offset(buffer: Buffer, indices: Sequence[Expr]) -> Expr:
    """The row-major position of an element."""
    total: Expr = const(0)
    for index, extent in zip(indices, buffer.shape, strict=True):
        total = binary("add", binary("mul", total, extent), index)
    return total


def address(buffer: Buffer, indices: Sequence[Expr], simplify: Simplifier) -> Linear:
    """The offset of an element, in elements, as a linear form."""
    return linear(simplify(offset(buffer, indices)))


def stride(form: Linear, var: Var) -> int | None:
    """By how many elements an address moves with each step of `var`; None when it is not the same number for all."""
    terms, _ = form
    return None if any(t is not var and var in free_vars(t) for t in terms) else terms.get(var, 0)


__all__ = ["address", "offset", "stride"]
