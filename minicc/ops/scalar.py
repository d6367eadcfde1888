"""From the scalar definition of an operator to its reference on arrays, and to its form in TVM.

In: a function of scalar expressions, and arrays or values of TVM for its operands. Out: an array, or a value: each node
of the expression is an operator of TVM, of `R`, on whole tensors. Where TVM's operator is undefined, or not what ours
is, the form avoids the place: a NaN survives the comparison with a limit, and a shift stays below the width.

>>> class Text(str):
...     dtype = boolean
>>> class R:
...     def __getitem__(self, name):
...         return lambda *values: f"{name}({', '.join(values)})"
>>> by_tvm(R(), lambda a, b: ~(a & b), [Text("p"), Text("q")])
'logical_not(logical_and(p, q))'
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicc.ops.base import Array, dtype_of, like
from minicc.tensor.evaluate import evaluate_expr
from minicc.tensor.expr import Binary, Call, Const, Convert, Expr, Select, Unary, Var, cast, children, walk
from minicc.types import DType, boolean, float32

NAMES = {
    "add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "truncdiv": "divide", "truncmod": "mod",
    "floormod": "floor_mod", "fmod": "mod", "min": "minimum", "max": "maximum", "eq": "equal", "ne": "not_equal",
    "lt": "less", "le": "less_equal", "and": "logical_and", "or": "logical_or", "bitand": "bitwise_and",
    "bitor": "bitwise_or", "bitxor": "bitwise_xor", "shl": "left_shift", "shr": "right_shift", "pow": "power",
    "neg": "negative", "abs": "abs", "not": "bitwise_not",
}  # fmt: skip
OF_BOOLEANS = {"eq": "logical_xor", "ne": "logical_xor", "bitand": "logical_and", "bitor": "logical_or",
               "bitxor": "logical_xor", "not": "logical_not"}  # fmt: skip


def accumulator(dtype: DType) -> DType:
    """The dtype to compute in: float32 for the 16-bit floats, else the dtype itself."""
    return float32 if dtype.is_float and dtype.bits == 16 else dtype


def widened(value: Any) -> Any:
    """An array, an expression or a value of TVM's, in the dtype to compute in."""
    dtype = dtype_of(value)
    wide = accumulator(dtype)
    if wide is dtype:
        return value
    return cast(value, wide) if isinstance(value, Expr) else value.astype(wide.numpy)


def by_numpy(definition: Callable[..., Expr], arrays: Sequence[Any]) -> Array:
    """`definition` of arrays, by NumPy."""
    operands = [Var(f"x{k}", dtype_of(array)) for k, array in enumerate(arrays)]
    return evaluate_expr(definition(*operands), dict(zip(operands, arrays, strict=True)))


def by_tvm(R: Any, definition: Callable[..., Expr], values: Sequence[Any]) -> Any:
    """`definition` of `values`, by the operators of `R`."""
    operands = [Var(f"x{k}", value.dtype) for k, value in enumerate(values)]
    made: dict[Expr, Any] = dict(zip(operands, values, strict=True))
    definition_of = definition(*operands)
    for e in walk(definition_of):
        if e not in made:
            made[e] = _made(R, e, made)
    return made[definition_of]


def _made(R: Any, e: Expr, made: dict[Expr, Any]) -> Any:  # noqa: C901 - one flat match over the grammar
    match e:
        case Const(value, dtype):
            return R.constant(np.asarray(value).astype(dtype.numpy))
        case Convert(a, dtype):
            return made[a].astype(dtype)
        case Select(cond, then, other):
            return R["where"](made[cond], made[then], made[other])
        case Binary(("eq" | "ne") as op, a, b) if a is b:  # TVM takes each number for its own equal
            return R["isnan"](widened(made[a])) if op == "ne" else R["logical_not"](R["isnan"](widened(made[a])))
        case Binary("min", a, Const() as b):
            return R["where"](R["less"](made[b], made[a]), made[b], made[a])
        case Binary("max", a, Const() as b):
            return R["where"](R["less"](made[a], made[b]), made[b], made[a])
        case Binary(("shl" | "shr") as op, a, b):
            return R[NAMES[op]](made[a], R["bitwise_and"](made[b], like(made[b], b.dtype.bits - 1)))
        case Binary(op, a, b) if a.dtype is boolean:
            result = R[OF_BOOLEANS.get(op, NAMES[op])](made[a], made[b])
            return R["logical_not"](result) if op == "eq" else result
        case Unary("abs", a) if a.dtype.kind == "uint":
            return made[a]
        case Unary(op, a):
            return R[OF_BOOLEANS[op] if a.dtype is boolean else NAMES[op]](made[a])
        case Call("expm1", (a,), _):
            return R["exp"](made[a]) - 1
        case Call("isinf", (a,), _):
            return R["isinf"](widened(made[a]))
        case Call("int_pow", (x, y), _):
            return _int_pow(R, made[x], made[y])
        case Call(op, _, _) | Binary(op, _, _):
            return R[NAMES.get(op, op)](*[made[a] for a in children(e)])
    raise NotImplementedError(f"{e}")


def _int_pow(R: Any, x: Any, y: Any) -> Any:
    """The power of integers, as products of squares: one for each bit of the exponent."""
    one, result = like(x, 1), like(x, 1)
    for bit in range(y.dtype.bits):
        x, y = (x * x, R["right_shift"](y, one)) if bit else (x, y)
        result = R["where"](R["equal"](R["bitwise_and"](y, one), one), x, one) * result
    return result
