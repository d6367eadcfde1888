"""What printed loop programs import: dtypes as functions, kinds of loops, arithmetic that cannot raise.

In: Python and NumPy scalars. Out: scalars of exactly the dtype that the machine would compute.
Every name of `PRELUDE` can be imported from here, the intrinsics of `te.intrinsics` included.

>>> from minicc.loop.prelude import exp, float32, int8, truncdiv
>>> int8(300), truncdiv(-7, 2), truncdiv(7, 0), exp(float32(0))
(np.int8(44), -3, 0, np.float32(1.0))
"""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import numpy as np

from minicc import types
from minicc.tensor.foreign import ExternNames
from minicc.tensor.intrinsics import INTRINSICS

Array = np.ndarray[Any, np.dtype[Any]]


class Scalar:
    """A dtype as a function: `int8(300)` is 44; nothing raises, whatever the value."""

    def __init__(self, dtype: types.DType) -> None:
        self.dtype, self.numpy = dtype, dtype.numpy

    def __call__(self, value: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(value).astype(self.numpy)[()]

    def __repr__(self) -> str:
        return repr(self.dtype)


def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """An uninitialised array: NaN or -1 everywhere, so that a read before a write shows."""
    kind = np.dtype(getattr(dtype, "numpy", dtype))
    filler = -1 if kind.kind in "iu" else math.nan
    return np.full(shape, np.asarray(filler).astype(kind))


def first(*axes: int) -> bool:
    """Whether a reduction over these loops is at its first step."""
    return not any(axes)


def prefetch(buffer: Array, *indices: int) -> None:
    """A hint that an element, which need not exist, will be read soon."""


def floordiv(a: Any, b: Any) -> Any:
    """Rounds towards minus infinity; 0 where b is 0."""
    return a // b if b else a * b


def floormod(a: Any, b: Any) -> Any:
    """The remainder of `floordiv`, which has the sign of b; 0 where b is 0."""
    return a % b if b else a * b


def truncdiv(a: Any, b: Any) -> Any:
    """Rounds towards zero; 0 where b is 0."""
    if not b:
        return a * b
    quotient = a // b
    return quotient + 1 if (a < 0) != (b < 0) and quotient * b != a else quotient


def truncmod(a: Any, b: Any) -> Any:
    """The remainder of `truncdiv`, which has the sign of a; 0 where b is 0."""
    return a - truncdiv(a, b) * b if b else a * b


def bitcast(a: Any, dtype: Scalar) -> Any:
    """The bits of `a` as another dtype of the same width."""
    return np.asarray(a).reshape(1).view(dtype.numpy)[0]


def _scalar(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` giving scalars, not 0-d arrays."""
    return lambda *values: function(*values)[()]


PRELUDE: dict[str, Any] = {
    **{name: _scalar(intrinsic.numpy) for name, intrinsic in INTRINSICS.items()},
    **{name: Scalar(dtype) for name, dtype in types.DType.table.items() if name != "bool"},  # Python's bool serves
    **{f.__name__: f for f in (empty, first, floordiv, floormod, truncdiv, truncmod, bitcast, prefetch)},
    "minimum": np.minimum, "maximum": np.maximum, "inf": math.inf, "nan": math.nan,
    "parallel": range, "vectorize": range, "unroll": range, "vthread": range,
    "extern": ExternNames(),
    "blockIdx": SimpleNamespace(x=range, y=range, z=range),
    "threadIdx": SimpleNamespace(x=range, y=range, z=range),
}  # fmt: skip

RESERVED = frozenset(PRELUDE) | frozenset(keyword.kwlist) | {"abs", "bool", "range"}  # no loop or buffer may have it


class Names:
    """Names made unique, and legal in the printed Python."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = {*taken, *RESERVED}

    def __call__(self, wanted: str) -> str:
        base = re.sub(r"\W", "_", wanted, flags=re.ASCII) or "_"
        name = base = f"_{base}" if base[0].isdigit() else base
        count = 0
        while name in self.taken:
            count += 1
            name = f"{base}_{count}"
        self.taken.add(name)
        return name


def __getattr__(name: str) -> Any:
    """So that the intrinsics and dtypes can be imported by name."""
    try:
        return PRELUDE[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
