"""Views: operators whose every result is one element of the first input.

A subclass gives the place once, of expressions and of arrays alike, and its forms are derived. Where the
place comes from another input (Gather), it is of that input's elements. A view fuses into its neighbours.

>>> from minicc import te
>>> from minicc.ops import Transpose
>>> str(Transpose()(te.placeholder((2, 3), name="A")).op.body[0])
'A[i1, i0]'
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Kind, Operator, type_of
from minicc.ops.generate import filled
from minicc.tensor.expr import Expr, cast, maximum, minimum, select
from minicc.types import int64


def at_least(value: Any, bound: int) -> Any:
    """The greater one, of expressions or of arrays."""
    return maximum(value, bound) if isinstance(value, Expr) else np.maximum(value, bound)


def at_most(value: Any, bound: int) -> Any:
    """The lesser one, of expressions or of arrays."""
    return minimum(value, bound) if isinstance(value, Expr) else np.minimum(value, bound)


def from_front(index: Any, extent: int) -> Any:
    """An index of any integer type as int64, a negative one counted from the end; of expressions or of arrays."""
    if isinstance(index, Expr):
        index = cast(index, int64)
        return select(index < 0, index + extent, index)
    wide = index.astype(np.int64)
    return np.where(wide < 0, wide + extent, wide)


def safe(index: Any, extent: int) -> Any:
    """`from_front`, and clamped into range: what memory safety needs of an index that is data."""
    return at_most(at_least(from_front(index, extent), 0), extent - 1)


class View(Operator):
    """Base of the views. A subclass gives `infer`, `place`, and what NumPy has a function for."""

    __slots__ = ()
    kind = Kind.INJECTIVE

    def place(self, i: tuple[Any, ...], *inputs: Any, **_: Any) -> Sequence[Any]:
        """Where in the first input the element `i` of a result is that is not empty."""
        raise NotImplementedError(self.name)

    def numpy(self, *arrays: Any, **_: Any) -> Any:
        shape = self.infer(*map(type_of, arrays)).shape
        if 0 in shape:
            return np.zeros(shape, arrays[0].dtype)
        return np.asarray(arrays[0][tuple(self.place(np.indices(shape, sparse=True), *arrays))])

    def compute(self, *tensors: Any, **_: Any) -> Any:
        shape, name = self.infer(*map(type_of, tensors)).shape, in_words(self)
        if 0 in shape:
            return filled(shape, 0, tensors[0].dtype, name)
        return te.compute(shape, lambda *i: tensors[0][tuple(self.place(i, *tensors))], name=name)


def in_words(op: Operator) -> str:
    """The name of an operator in lower case: what its tensor in te is called."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", op.name).lower()
