"""What counts elements: the extents of a shape, and the indices of an element.

In: what a user writes. Out: extents as `int` or int64 expressions, indices as int64 expressions, or a TeError that
says what cannot count: a float, a boolean, a slice, a negative extent. An index of any integer dtype is converted.

>>> extents_of((4, const(2) + 1)), index_of("A[...]", 3)
((4, 3), 3)
"""

from __future__ import annotations

import operator
from typing import Any

from minicc.tensor.expr import Const, Expr, cast, const, wrap
from minicc.tensor.operators import Operators, refusal, shown
from minicc.types import int64


def extents_of(shape: Any) -> tuple[Any, ...]:
    """The extents of a shape, or of one that is a single number."""
    dims = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    return tuple(extent_of(f"shape ({', '.join(map(shown, dims))})", dim) for dim in dims)


def extent_of(call: str, dim: Any) -> Any:
    """An extent: an integer that is not negative, or an int64 expression."""
    if isinstance(dim, Operators) and not isinstance(dim, Const):
        e = wrap(dim)
        if e.dtype is int64:
            return e
        problem = f"an extent must be int64, got {e} of {e.dtype}"
        raise refusal(call, problem, 'te.var("n"), or n.astype("int64")', e)
    if (found := extent(dim)) is None:
        problem = f"an extent must be an integer and not negative, got {shown(dim)}"
        raise refusal(call, problem, "round it, or divide by // to stay whole", dim)
    return found


def extent(value: Any) -> int | None:
    """The number of elements that `value` means: an integer that is not negative, else None."""
    try:
        found = operator.index(value)
    except TypeError:
        return None
    return found if found >= 0 else None


def index_of(call: str, index: Any) -> Expr:
    """`index` as int64, whatever its integer dtype. Raises TeError for what counts no elements."""
    if isinstance(index, int) and not isinstance(index, bool):
        return const(index)
    if isinstance(index, slice) or index is None or index is ...:
        hint = "te.compute((n,), lambda i: A[begin + i]) is a part of a tensor"
        raise refusal(call, f"expected an index, got {index}", hint, index)
    e = wrap(index)
    if not e.dtype.is_integer:
        problem = f"expected an integer as index, got {e} of {e.dtype}"
        raise refusal(call, problem, 'divide by //, or convert it: x.astype("int64")', e)
    return cast(e, int64)


def same_shape(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Whether two shapes are equal for all sizes: an extent that is an expression equals itself."""
    return len(a) == len(b) and all(
        x is y or (isinstance(x, int) and isinstance(y, int) and x == y) for x, y in zip(a, b, strict=True)
    )
