"""Expressions evaluated on NumPy arrays: the reference for what an `Expr` means.

In: an expression without loads, and an array for each of its variables. Out: an array. A whole
array is evaluated at a time and shared sub-expressions once, so millions of points are cheap.

>>> from minicc.types import float32
>>> x = Var("x", float32)
>>> evaluate_expr(x * x + 1.0, {x: np.float32([1, 2, 3])})
array([ 2.,  5., 10.], dtype=float32)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from minicc.tensor.expr import Binary, Call, Convert, Const, Expr, Select, Unary, Var, children, walk
from minicc.tensor.intrinsics import INTRINSICS

Array = np.ndarray[Any, np.dtype[Any]]


def _guarded(divide: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """An integer operation that gives 0 where the divisor is 0."""

    def run(a: Array, b: Array) -> Array:
        return np.where(b == 0, np.zeros_like(a), divide(a, np.where(b == 0, np.ones_like(b), b)))

    return run


def _truncdiv(a: Array, b: Array) -> Array:
    quotient = a // b
    rounded_down = (a - quotient * b != 0) & ((a < 0) != (b < 0))
    return np.asarray(quotient + rounded_down.astype(a.dtype))


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
    "floordiv": _guarded(np.floor_divide), "floormod": _guarded(np.remainder),
    "truncdiv": _guarded(_truncdiv), "truncmod": _guarded(np.fmod),
    "min": np.minimum, "max": np.maximum,
    "bitand": np.bitwise_and, "bitor": np.bitwise_or, "bitxor": np.bitwise_xor,
    "shl": np.left_shift, "shr": np.right_shift,
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal,
    "and": np.logical_and, "or": np.logical_or,
}  # fmt: skip
UNARY: dict[str, Callable[[Any], Any]] = {"neg": np.negative, "abs": np.abs, "not": np.invert}  # of a bool: not


def evaluate_expr(e: Expr, env: Mapping[Var, Array]) -> Array:
    """The value of `e` where each variable has the array that `env` gives; all arrays broadcast.

    Both branches of a `Select` are computed. Raises KeyError on a variable that `env` lacks and
    TypeError on a load or a reduction.
    """
    memo: dict[Expr, Any] = {}
    uses: dict[Expr, int] = {}
    for item in walk(e):
        for part in children(item):
            uses[part] = uses.get(part, 0) + 1
    with np.errstate(all="ignore"):
        for item in walk(e):
            memo[item] = _step(item, memo, env)
            for part in children(item):  # large arrays: let go of what nobody needs any more
                uses[part] -= 1
                if not uses[part]:
                    del memo[part]
    return np.asarray(memo[e])


def _step(e: Expr, memo: Mapping[Expr, Any], env: Mapping[Var, Array]) -> Any:
    match e:
        case Var():
            return env[e]
        case Const(value, dtype):
            return np.array(value, dtype.numpy)
        case Binary(op, a, b):
            return BINARY[op](memo[a], memo[b])
        case Unary(op, a):
            return UNARY[op](memo[a])
        case Convert(a, dtype):
            return np.asarray(memo[a]).astype(dtype.numpy)
        case Select(cond, then, other):
            return np.where(memo[cond], memo[then], memo[other])
        case Call("bitcast", (a,), dtype):
            return INTRINSICS["bitcast"].numpy(memo[a], dtype)
        case Call(name, args, _):
            return INTRINSICS[name].numpy(*[memo[a] for a in args])
    raise TypeError(e)
