"""How expressions are built, walked and rebuilt; the language is in `te.nodes`.

In: expressions, and numbers beside them. Out: an expression, whose operands have been brought to one dtype by the
rules of NumPy (`te.promote`): `I[i] * 0.5` of an int32 is a float64, `H[i] * 0.5` of a float16 a float16. What has no
meaning is refused: a number out of the range of the integer beside it, `+` on booleans, a shift of floats. Integers
divide by `/` as float64; `//` rounds down. A comparison with an integer out of range is decided at once.

>>> i = Var("i")
>>> (i * 4 + 0) // 2 < 10
i*4//2 < 10
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial, reduce
from operator import is_
from typing import Any

import numpy as np

from minicc.ir.node import postorder
from minicc.tensor.nodes import COMMUTATIVE as COMMUTATIVE, COMPARISONS as COMPARISONS, LOGICAL as LOGICAL
from minicc.tensor.nodes import OF_TE as OF_TE, Axis as Axis, Binary as Binary, Call as Call, Combiner as Combiner
from minicc.tensor.nodes import Const as Const, Convert as Convert, Load as Load, Mark as Mark, Printer as Printer
from minicc.tensor.nodes import Reduce as Reduce, Select as Select, Unary as Unary, Var as Var, children as children
from minicc.tensor.nodes import of_te as of_te, text as text
from minicc.tensor.operators import BUILDERS, Operators, refusal, shown, Expr as Expr
from minicc.tensor.promote import FOLDS, WEAK, Kind, fits, kind_of, meet, number
from minicc.types import DType, boolean, float64, int64

# ---- building -----------------------------------------------------------------------------------


def const(value: Any, dtype: DType | str = int64) -> Const:
    """A literal of `dtype`: rounded to it when a float, wrapped into it when an integer."""
    kind = DType.of(dtype)
    if kind.kind == "bool":
        return Const(bool(value), kind)
    if kind.is_float:
        with np.errstate(over="ignore"):
            return Const(float(kind.numpy.type(value)), kind)
    value = int(value)
    low, high = kind.range
    if not low <= value <= high:
        value = (value - low) % (high - low + 1) + low
    return Const(value, kind)


def literal(value: Any, dtype: DType | str | None = None) -> Const:
    """The number `value`, of its own dtype or of one that holds it: what `te.const` is. Raises TeError."""
    known = number(value)
    if known is None:
        problem = f"expected a number, got {type(value).__name__}"
        raise refusal(f"const({shown(value)}, {dtype})", problem, 'te.const(0.5, "float32")', value)
    kind = meet(kind_of(value)) if dtype is None else DType.of(dtype)
    assert kind is not None  # a number has a dtype
    if not fits(known, kind):
        problem = f"expected an integer from {kind.range[0]} to {kind.range[1]}, got {known}"
        raise refusal(f"const({shown(value)}, {kind})", problem, "round it, or take a dtype that holds it", known)
    return const(known, kind)


def wrap(value: Any, dtype: DType | None = None) -> Expr:
    """`value` as an expression: a number becomes a literal, one of Python of `dtype` if that is given."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, Axis):
        return value.var
    if hasattr(value, "scalar"):  # a 0-d tensor stands for its element
        element: Expr = value.scalar()
        return element
    if number(value) is None:
        problem = f"expected an expression or a number, got {type(value).__name__}"
        hint = "A[i] is an element of a tensor, 0.5 a number; arrays are passed when it is called"
        raise refusal(f"wrap({shown(value)})", problem, hint, value)
    return literal(value, dtype)


def together(call: str, *values: Any) -> tuple[Expr, ...]:
    """The operands of `call` in the dtype they meet in (`te.promote`). Raises TeError when there is none."""
    parts = [value if isinstance(value, Expr) or type(value) in WEAK else wrap(value) for value in values]
    kinds: list[Kind] = [part.dtype if isinstance(part, Expr) else type(part) for part in parts]
    dtype = meet(*kinds)
    if dtype is None:
        problem = f"expected operands that have a dtype in common, got {' and '.join(map(str, kinds))}"
        raise refusal(_called(call, values), problem, "convert one: x.astype('int64')", *parts)
    for part in parts:
        if not isinstance(part, Expr) and not fits(part, dtype):
            problem = f"expected a number from {dtype.range[0]} to {dtype.range[1]} beside {dtype}, got {part}"
            raise refusal(_called(call, values), problem, "convert the expression first: x.astype('int64')", *parts)
    return tuple([cast(part, dtype) if isinstance(part, Expr) else const(part, dtype) for part in parts])


def _called(op: str, values: Sequence[Any]) -> str:
    return f"{op}({', '.join(map(shown, values))})"


def fold_integers(op: str, a: int, b: int, dtype: DType) -> Const:
    """`a op b` of two integers of `dtype`."""
    return const(FOLDS[op](a, b), boolean if op in COMPARISONS else dtype)


ACCEPTS: dict[str, tuple[str, ...]] = {  # the kinds of dtypes that an operator is for; comparisons are for all
    "div": ("float",),
    **dict.fromkeys(LOGICAL, ("bool",)),
    **dict.fromkeys(("bitand", "bitor", "bitxor", "shl", "shr"), ("int", "uint")),
    **dict.fromkeys(
        ("add", "sub", "mul", "floordiv", "floormod", "truncdiv", "truncmod", "min", "max"), ("float", "int", "uint")
    ),
}
OF_BOOLEANS = {"bitand": "and", "bitor": "or", "bitxor": "ne", "min": "and", "max": "or"}


def binary(op: str, a: Any, b: Any) -> Expr:
    """`Binary(op, a, b)`, with operands brought to one dtype and integer identities applied.

    Only integers and booleans are folded here, so that index arithmetic stays readable; all else
    is `te.simplify`. Raises TeError when the dtypes have none in common, or the operator none of that kind.
    """
    if not (isinstance(a, Expr) and isinstance(b, Expr) and a.dtype is b.dtype):
        a, b = wrap(a) if isinstance(a, Operators) else a, wrap(b) if isinstance(b, Operators) else b
        if op in COMPARISONS and (decided := _decided(op, a, b)) is not None:
            return decided
        a, b = _beside(a, b) or together(op, a, b)
    kind = a.dtype
    if (accepted := ACCEPTS.get(op)) and kind.kind not in accepted:
        return _of_other_kind(op, a, b)
    if kind is int64 or kind is boolean or (op in COMPARISONS and isinstance(a, Const) and isinstance(b, Const)):
        return _fold(op, a, b)
    return Binary(op, a, b)


def _beside(a: Any, b: Any) -> tuple[Expr, Expr] | None:
    """`together` for its most frequent case: an expression and a Python number that its dtype holds."""
    e, value = (a, b) if isinstance(a, Expr) else (b, a)
    kind = e.dtype if isinstance(e, Expr) else boolean
    if type(value) is not int and not (type(value) is float and kind.is_float):
        return None
    if kind is boolean or (not kind.range[0] <= value <= kind.range[1] and kind.is_integer):
        return None
    made = const(value, kind)
    return (e, made) if e is a else (made, e)


def _of_other_kind(op: str, a: Expr, b: Expr) -> Expr:
    """What an operator means on a dtype that it is not for: integers divide as float64, `&` of booleans is `and`."""
    kind = a.dtype
    if op == "div":
        return Binary(op, cast(a, float64), cast(b, float64))
    if kind is boolean and op in OF_BOOLEANS:
        return _fold(OF_BOOLEANS[op], a, b)
    wanted = "booleans" if op in LOGICAL else "integers" if kind.is_float else "numbers"
    hint = "compare to get booleans: x != 0" if op in LOGICAL else 'convert first: x.astype("int32")'
    raise refusal(_called(op, (a, b)), f"expected {wanted}, got {kind}", hint, a, b)


def _decided(op: str, a: Any, b: Any) -> Expr | None:
    """A comparison of an integer with a Python integer that its dtype cannot hold: it is the same for all values."""
    for value, other in ((a, b), (b, a)):
        if type(value) is int and isinstance(other, Expr) and other.dtype.is_integer and not fits(value, other.dtype):
            middle = other.dtype.range[value < 0]
            return const(FOLDS[op](*((value, middle) if value is a else (middle, value))), boolean)
    return None


def _fold(op: str, a: Expr, b: Expr) -> Expr:  # noqa: C901 - one flat match over the identities
    """Integer and boolean identities that keep index arithmetic short."""
    if isinstance(a, Const):
        if isinstance(b, Const):
            return fold_integers(op, a.value, b.value, a.dtype)
        if op in COMMUTATIVE:
            a, b = b, a
        elif a.value == 0 and op in ("floordiv", "floormod"):  # 0 // x -> 0
            return a
    if not isinstance(b, Const):
        return Binary(op, a, b)
    value = b.value
    match op:
        case "add" | "sub" if value == 0:  # x + 0 -> x
            return a
        case "mul" | "floordiv" if value == 1:  # x * 1 -> x
            return a
        case "mul" if value == 0:  # x * 0 -> 0
            return b
        case "floormod" if value == 1:  # x % 1 -> 0
            return const(0)
        case "and":  # x and true -> x
            return a if value else b
        case "or":  # x or false -> x
            return b if value else a
    return Binary(op, a, b)


def compare(op: str, a: Any, b: Any) -> Any:
    """`==` or `!=`: an expression; of two dtypes in a loop program, whether they are one object."""
    apart = isinstance(a, Expr) and isinstance(b, Expr) and a.dtype is not b.dtype
    return op == "ne" if apart and not of_te(a) and not of_te(b) else binary(op, a, b)


def unary(op: str, a: Any) -> Expr:
    """`op` of `a`, computed at once where `a` is an index."""
    e = wrap(a)
    if op == "not" and e.dtype.is_float:
        problem = f"expected a bool or an integer, got {e.dtype}"
        raise refusal(_called(op, (e,)), problem, "x == 0 tells whether it is zero", e)
    if op == "neg" and e.dtype is boolean:
        raise refusal(_called(op, (e,)), "expected a number, got bool", "te.if_then_else(x, -1, 0) is a number", e)
    if op == "abs" and e.dtype.kind in ("uint", "bool"):
        return e
    if isinstance(e, Const) and op == "not":
        return const(not e.value if e.dtype is boolean else ~e.value, e.dtype)
    if isinstance(e, Const) and op == "neg" and e.dtype is int64:
        return const(-e.value)
    return Unary(op, e)


def cast(a: Any, dtype: DType) -> Expr:
    """`a` converted to `dtype`."""
    e = wrap(a)
    if e.dtype is dtype:
        return e
    return const(e.value, dtype) if isinstance(e, Const) and not e.dtype.is_float else Convert(e, dtype)


def select(cond: Any, then: Any, other: Any) -> Expr:
    """`then` where `cond` holds, else `other`. TVM calls it `te.if_then_else`."""
    cond = wrap(cond) if isinstance(cond, Operators) else wrap(bool(cond) if number(cond) is not None else cond)
    if not (isinstance(then, Expr) and isinstance(other, Expr) and then.dtype is other.dtype):
        then, other = together("select", then, other)
    if cond.dtype is not boolean:
        operands = cond, then, other
        problem = f"expected a bool as the condition, got {cond.dtype}"
        raise refusal(_called("select", operands), problem, "compare: x != 0", *operands)
    if isinstance(cond, Const):
        taken: Expr = then if cond.value else other
        return taken
    return other if then is other else Select(cond, then, other)


def call(name: str, *args: Any, dtype: DType | None = None) -> Expr:
    """The intrinsic `name`; its dtype is that of the first argument unless given."""
    exprs = tuple(wrap(a) for a in args)
    return Call(name, exprs, dtype or exprs[0].dtype)


def minimum(a: Any, b: Any) -> Expr:
    """The less of two; NaN if either is."""
    return binary("min", a, b)


def maximum(a: Any, b: Any) -> Expr:
    """The greater of two; NaN if either is."""
    return binary("max", a, b)


def all_of(*conds: Any) -> Expr:
    """The conjunction; true when empty. TVM calls it `te.all`."""
    return reduce(partial(binary, "and"), conds, wrap(True))


def any_of(*conds: Any) -> Expr:
    """The disjunction; false when empty. TVM calls it `te.any`."""
    return reduce(partial(binary, "or"), conds, wrap(False))


BUILDERS.update(
    {op: partial(binary, op) for op in (*ACCEPTS, *COMPARISONS)},
    eq=partial(compare, "eq"),
    ne=partial(compare, "ne"),
    cast=cast,
    gt=lambda a, b: binary("lt", b, a),
    ge=lambda a, b: binary("le", b, a),
    select=select,
    divmod=lambda a, b: (binary("floordiv", a, b), binary("floormod", a, b)),
    **{op: partial(unary, op) for op in ("neg", "abs", "not")},
)

# ---- walking and rebuilding ---------------------------------------------------------------------


def rebuild(e: Expr, parts: tuple[Expr, ...]) -> Expr:
    """`e` with its sub-expressions replaced, folding as the constructors do."""
    match e:
        case Binary(op, _, _):
            return binary(op, *parts)
        case Unary(op, _):
            return unary(op, *parts)
        case Convert(a, dtype):
            return Convert(parts[0], dtype) if a.dtype is dtype else cast(parts[0], dtype)
        case Call(name, _, dtype):
            return Call(name, parts, dtype)
        case Load(source, _):
            return Load(source, parts)
        case Select():
            return select(*parts)
        case Reduce(combiner, _, axes, index):
            return Reduce(combiner, parts, axes, index)
    return e


def walk(*roots: Expr) -> Iterator[Expr]:
    """Every distinct sub-expression, children first."""
    return postorder(roots, children)


def transform(e: Expr, change: Callable[[Expr], Expr], memo: dict[Expr, Expr] | None = None) -> Expr:
    """Rebuild bottom-up, replacing each node by `change(node)`; shared nodes are visited once."""
    memo = {} if memo is None else memo
    if e in memo:
        return memo[e]
    for item in postorder([e], lambda x: [c for c in children(x) if c not in memo]):
        old = children(item)
        new = tuple([memo[c] for c in old])
        memo[item] = change(item if all(map(is_, new, old)) else rebuild(item, new))
    return memo[e]


def substitute(e: Expr, values: Mapping[Expr, Expr]) -> Expr:
    """Replace variables (or any sub-expressions) simultaneously."""
    return transform(e, lambda x: values.get(x, x)) if values else e


@lru_cache(maxsize=1 << 9)
def free_vars(*roots: Expr) -> frozenset[Var]:
    """The variables in expressions."""
    return frozenset([e for e in walk(*roots) if isinstance(e, Var)])


@lru_cache(maxsize=1 << 9)
def loads(*roots: Expr) -> tuple[Load, ...]:
    """Every distinct load, children first."""
    return tuple([e for e in walk(*roots) if isinstance(e, Load)])
