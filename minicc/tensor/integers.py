"""What each operator computes of integers and booleans, before the result is wrapped into its dtype.

In: two Python integers, of any size. Out: one. A quotient or remainder by 0 is 0, and a shift by less
than nothing, or by more than any width, shifts everything out.

>>> FOLDS["floordiv"](-7, 2), FOLDS["truncdiv"](-7, 2), FOLDS["floormod"](5, 0)
(-4, -3, 0)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


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
