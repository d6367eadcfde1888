"""Scalar intrinsics: what `Call(name, args)` means, and how it becomes machine code.

Each intrinsic is defined once: its NumPy function (the reference, for every float dtype), its
expansion into arithmetic for float32 (what the code generator emits, and can vectorize), the
libm symbol that serves float64, and the largest error of the expansion in units in the last
place. A `primitive` one is an instruction of the machine and needs no expansion.

>>> INTRINSICS["exp"].numpy(np.float32([0, 1]))
array([1.       , 2.7182817], dtype=float32)
>>> INTRINSICS["exp"].ulp, INTRINSICS["sqrt"].primitive
(2.0, True)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.te.expr import Expr
from minicc.types import DType, bfloat16

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Intrinsic:
    """A scalar function.

    `numpy` maps arrays of any float dtype to one of the same dtype (`isnan` and `isinf`: to bool;
    `bitcast(x, dtype)` takes the dtype as its second argument). `expand` maps float32 expressions
    to an expression of arithmetic and primitive calls, free of loads and branches. `ulp` bounds
    the error of `expand` over all of float32; 0.5 is correctly rounded.
    """

    name: str
    numpy: Callable[..., Any]
    expand: Callable[..., Expr] | None = None
    libm: str | None = None
    ulp: float = 0.5
    primitive: bool = False


def _quiet(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` without floating point warnings, on bfloat16 through float32."""

    @functools.wraps(f)
    def run(*arrays: Any) -> Any:
        arrays = tuple(np.asarray(a) for a in arrays)
        with np.errstate(all="ignore"):
            if arrays[0].dtype == bfloat16.numpy:
                result = f(*[a.astype(np.float32) for a in arrays])
                return result if result.dtype == np.bool_ else result.astype(bfloat16.numpy)
            return f(*arrays)

    return run


_erf = np.frompyfunc(math.erf, 1, 1)


def _numpy_erf(x: Array) -> Any:
    """The error function, by the C library's in float64; NumPy has none."""
    return np.asarray(_erf(x.astype(np.float64))).astype(x.dtype)


def _numpy_fma(x: Array, y: Array, z: Array) -> Any:
    """x * y + z, rounded once; for float64 the product's rounding error is added back (Dekker)."""
    if x.dtype != np.float64:
        return (x.astype(np.float64) * y + z).astype(x.dtype)
    split = 134217729.0  # 2**27 + 1
    x_high = x * split - (x * split - x)
    y_high = y * split - (y * split - y)
    product = x * y
    error = ((x_high * y_high - product) + x_high * (y - y_high) + (x - x_high) * y_high) + (x - x_high) * (y - y_high)
    total = product + z
    back = total - product
    error = error + ((product - (total - back)) + (z - back))
    return np.where(np.isfinite(error), total + error, total)


def _numpy_bitcast(x: Any, dtype: DType | str) -> Any:
    return np.asarray(x).view(DType.of(dtype).numpy)


_TABLE = (
    Intrinsic("exp", _quiet(np.exp), None, "exp", 2.0),
    Intrinsic("log", _quiet(np.log), None, "log", 2.0),
    Intrinsic("log1p", _quiet(np.log1p), None, "log1p", 2.0),
    Intrinsic("expm1", _quiet(np.expm1), None, "expm1", 2.0),
    Intrinsic("sin", _quiet(np.sin), None, "sin", 2.0),
    Intrinsic("cos", _quiet(np.cos), None, "cos", 2.0),
    Intrinsic("tan", _quiet(np.tan), None, "tan", 2.0),
    Intrinsic("asin", _quiet(np.arcsin), None, "asin", 2.0),
    Intrinsic("acos", _quiet(np.arccos), None, "acos", 2.0),
    Intrinsic("atan", _quiet(np.arctan), None, "atan", 2.0),
    Intrinsic("sinh", _quiet(np.sinh), None, "sinh", 2.0),
    Intrinsic("cosh", _quiet(np.cosh), None, "cosh", 2.0),
    Intrinsic("tanh", _quiet(np.tanh), None, "tanh", 4.0),
    Intrinsic("asinh", _quiet(np.arcsinh), None, "asinh", 2.0),
    Intrinsic("acosh", _quiet(np.arccosh), None, "acosh", 2.0),
    Intrinsic("atanh", _quiet(np.arctanh), None, "atanh", 2.0),
    Intrinsic("erf", _quiet(_numpy_erf), None, "erf", 4.0),
    Intrinsic("pow", _quiet(np.power), None, "pow", 2.0),
    Intrinsic("fmod", _quiet(np.fmod), None, "fmod"),
    Intrinsic("sqrt", _quiet(np.sqrt), None, "sqrt", primitive=True),
    Intrinsic("floor", _quiet(np.floor), None, "floor", primitive=True),
    Intrinsic("ceil", _quiet(np.ceil), None, "ceil", primitive=True),
    Intrinsic("round", _quiet(np.rint), None, "rint", primitive=True),  # halves to even
    Intrinsic("trunc", _quiet(np.trunc), None, "trunc", primitive=True),
    Intrinsic("fma", _quiet(_numpy_fma), None, "fma", primitive=True),
    Intrinsic("copysign", _quiet(np.copysign), None, "copysign", primitive=True),
    Intrinsic("isnan", _quiet(np.isnan), primitive=True),
    Intrinsic("isinf", _quiet(np.isinf), primitive=True),
    Intrinsic("bitcast", _numpy_bitcast, primitive=True),
)

INTRINSICS: dict[str, Intrinsic] = {intrinsic.name: intrinsic for intrinsic in _TABLE}
