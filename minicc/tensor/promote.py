"""What an operator means: the dtype in which its operands meet (NumPy's rules, NEP 50), and its value of integers.

In: dtypes, and the types of Python's numbers. Out: a dtype, or None where there is no sensible one.
A Python number is weak: it takes the dtype of what it stands beside, unless that cannot hold its
kind, as a `float` beside an integer, which meet in float64. Alone, an `int` is int64 and a `float`
is float32. Values of two dtypes meet in the smallest that holds both. uint64 and a signed integer
have none (NumPy takes float64, which loses bits). A NumPy scalar is not weak: it keeps its dtype.

>>> from minicc.types import int8, int32, uint8
>>> meet(int32, float), meet(float16, float), meet(uint8, int), meet(int8, uint8), meet(float32, int64)
(float64, float16, uint8, int16, float64)

`FOLDS` is what each operator computes of integers and booleans, of any size, before the result is wrapped into its
dtype. A quotient or remainder by 0 is 0, and a shift by less than nothing, or by more than any width, shifts everything out.

>>> FOLDS["floordiv"](-7, 2), FOLDS["truncdiv"](-7, 2), FOLDS["floormod"](5, 0)
(-4, -3, 0)
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minicc.types import DType, boolean, float16, float32, float64, int64

Kind = DType | type  # a dtype, or bool, int or float: the type of a Python number
WEAK: dict[type, DType] = {bool: boolean, int: int64, float: float32}  # and what each is alone


@cache
def meet(*kinds: Kind) -> DType | None:
    """The dtype of an operator on operands of these kinds; None when they have none in common."""
    found: DType | None = None
    for kind in kinds:
        if isinstance(kind, DType):
            found = kind if found is None else _both(found, kind)
            if found is None:
                return None
    weak = [bool, int, float]
    rank = max((weak.index(kind) for kind in kinds if not isinstance(kind, DType)), default=0)
    if found is None:
        return WEAK[weak[rank]]
    if weak[rank] is float and not found.is_float:
        return float64
    return int64 if weak[rank] is int and found is boolean else found


def _both(a: DType, b: DType) -> DType | None:
    """The smallest dtype that holds the values of both."""
    if a is b:
        return a
    made = DType.of(np.promote_types(a.numpy, b.numpy))
    return None if made.is_float and not a.is_float and not b.is_float else made


def floating(kind: DType) -> DType:
    """The float in which a function such as `exp` is computed: wide enough for an integer of `kind`."""
    if kind.is_float:
        return kind
    return float16 if kind.bits == 8 else float32 if kind.bits == 16 else float64


def number(value: Any) -> Any:
    """`value` as a Python number if it is one of Python or NumPy; None if it is no number."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.item() if np.ndim(value) == 0 and value.dtype.name in DType.table else None
    return value if isinstance(value, (bool, int, float)) else None


def kind_of(value: Any) -> Kind:
    """The kind of a number: a NumPy scalar has a dtype, one of Python's is weak."""
    if isinstance(value, (np.generic, np.ndarray)):
        return DType.of(value.dtype)
    return bool if isinstance(value, bool) else int if isinstance(value, int) else float


def fits(value: Any, dtype: DType) -> bool:
    """Whether a literal of `dtype` means the number `value`, a float up to rounding."""
    if dtype.is_float:
        return True
    if dtype is boolean:
        return value in (0, 1)
    low, high = dtype.range
    return bool(low <= value <= high and int(value) == value)


def truncdiv(a: int, b: int) -> int:
    """The quotient rounded towards zero; 0 by 0."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if b else 0


FOLDS: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b,
    "floordiv": lambda a, b: a // b if b else 0, "floormod": lambda a, b: a % b if b else 0,
    "truncdiv": truncdiv, "truncmod": lambda a, b: a - truncdiv(a, b) * b if b else 0,
    "min": min, "max": max, "eq": lambda a, b: a == b, "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b, "le": lambda a, b: a <= b, "and": lambda a, b: a and b, "or": lambda a, b: a or b,
    "bitand": lambda a, b: a & b, "bitor": lambda a, b: a | b, "bitxor": lambda a, b: a ^ b,
    "shl": lambda a, b: a << b if 0 <= b < 64 else 0, "shr": lambda a, b: a >> b if 0 <= b < 64 else -(a < 0),
}  # fmt: skip
