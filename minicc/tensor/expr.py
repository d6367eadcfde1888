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
from functools import partial
from operator import is_
from typing import Any

import numpy as np

from minicc.errors import TeError
from minicc.ir.node import postorder
from minicc.tensor.integers import FOLDS
from minicc.tensor.nodes import COMMUTATIVE as COMMUTATIVE
from minicc.tensor.nodes import COMPARISONS as COMPARISONS
from minicc.tensor.nodes import LOGICAL as LOGICAL
from minicc.tensor.nodes import OF_TE as OF_TE
from minicc.tensor.nodes import Axis as Axis
from minicc.tensor.nodes import Binary as Binary
from minicc.tensor.nodes import Call as Call
from minicc.tensor.nodes import Convert as Convert
from minicc.tensor.nodes import Combiner as Combiner
from minicc.tensor.nodes import Const as Const
from minicc.tensor.nodes import Expr as Expr
from minicc.tensor.nodes import Load as Load
from minicc.tensor.nodes import Mark as Mark
from minicc.tensor.nodes import Printer as Printer
from minicc.tensor.nodes import Reduce as Reduce
from minicc.tensor.nodes import Select as Select
from minicc.tensor.nodes import Unary as Unary
from minicc.tensor.nodes import Var as Var
from minicc.tensor.nodes import children as children
from minicc.tensor.nodes import of_te as of_te
from minicc.tensor.nodes import text as text
from minicc.tensor.operators import BUILDERS, Operators, refusal, shown
from minicc.tensor.promote import WEAK, Kind, fits, kind_of, meet, number
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
        raise TeError(
            f"const({shown(value)}, {dtype})",
            f"expected a number, got {type(value).__name__}",
            where=f"{shown(value)}: {type(value).__name__}",
            hint='te.const(0.5, "float32")',
        )
    kind = meet(kind_of(value)) if dtype is None else DType.of(dtype)
    assert kind is not None  # a number has a dtype
    if not fits(known, kind):
        low, high = kind.range
        raise TeError(
            f"const({shown(value)}, {kind})",
            f"expected an integer from {low} to {high}, got {known}",
            where=f"{known}: {type(value).__name__}",
            hint="round it, or take a dtype that holds it",
        )
    return const(known, kind)


def wrap(value: Any, dtype: DType | None = None) -> Expr:
    """`value` as an expression: a number becomes a literal, one of Python of `dtype` if that is given."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, Axis):
        return value.var
    if hasattr(value, "scalar"):  # a 0-d tensor stands for its element
        return value.scalar()  # type: ignore[no-any-return]
    if number(value) is None:
        raise TeError(
            f"wrap({shown(value)})",
            f"expected an expression or a number, got {type(value).__name__}",
            where=f"{shown(value)}: {type(value).__name__}",
            hint="A[i] is an element of a tensor, 0.5 a number; arrays are passed when it is called",
        )
    return literal(value, dtype)


def together(call: str, *values: Any) -> tuple[Expr, ...]:
    """The operands of `call` in the dtype they meet in (`te.promote`). Raises TeError when there is none."""
    parts = [value if isinstance(value, Expr) or type(value) in WEAK else wrap(value) for value in values]
    kinds: list[Kind] = [part.dtype if isinstance(part, Expr) else type(part) for part in parts]
    dtype = meet(*kinds)
    if dtype is None:
        raise refusal(
            _called(call, values),
            f"expected operands that have a dtype in common, got {' and '.join(map(str, kinds))}",
            "convert one: x.astype('int64')",
            *parts,
        )
    for part in parts:
        if not isinstance(part, Expr) and not fits(part, dtype):
            low, high = dtype.range
            raise refusal(
                _called(call, values),
                f"expected a number from {low} to {high} beside {dtype}, got {part}",
                "convert the expression first: x.astype('int64')",
                *parts,
            )
    return tuple([cast(part, dtype) if isinstance(part, Expr) else const(part, dtype) for part in parts])


def _called(op: str, values: Sequence[Any]) -> str:
    return f"{op}({', '.join(map(shown, values))})"


def fold_integers(op: str, a: int, b: int, dtype: DType) -> Const:
    """`a op b` of two integers of `dtype`."""
    return const(FOLDS[op](a, b), boolean if op in COMPARISONS else dtype)


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
    if not ACCEPTS.get(op, _any_kind)(kind):
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


def _any_kind(kind: DType) -> bool:
    return True


ACCEPTS: dict[str, Callable[[DType], bool]] = {  # the dtypes of operands, where not all will do
    "div": lambda kind: kind.is_float,
    **dict.fromkeys(("and", "or"), lambda kind: kind is boolean),
    **dict.fromkeys(("bitand", "bitor", "bitxor", "shl", "shr"), lambda kind: kind.is_integer),
    **dict.fromkeys(
        ("add", "sub", "mul", "floordiv", "floormod", "truncdiv", "truncmod", "min", "max"),
        lambda kind: kind is not boolean,
    ),
}
OF_BOOLEANS = {"bitand": "and", "bitor": "or", "bitxor": "ne", "min": "and", "max": "or"}


def _of_other_kind(op: str, a: Expr, b: Expr) -> Expr:
    """What an operator means on a dtype that it is not for: integers divide as float64, `&` of booleans is `and`."""
    kind = a.dtype
    if op == "div":
        return Binary(op, cast(a, float64), cast(b, float64))
    if kind is boolean and op in OF_BOOLEANS:
        return _fold(OF_BOOLEANS[op], a, b)
    wanted = "booleans" if op in LOGICAL else "integers" if kind.is_float else "numbers"
    raise refusal(
        _called(op, (a, b)),
        f"expected {wanted}, got {kind}",
        "compare to get booleans: x != 0" if op in LOGICAL else 'convert first: x.astype("int32")',
        a,
        b,
    )


def _decided(op: str, a: Any, b: Any) -> Expr | None:
    """A comparison of an integer with a Python integer that its dtype cannot hold: it is the same for all values."""
    for value, other in ((a, b), (b, a)):
        if type(value) is int and isinstance(other, Expr) and other.dtype.is_integer and not fits(value, other.dtype):
            middle = other.dtype.range[value < 0]
            return const(FOLDS[op](*((value, middle) if value is a else (middle, value))), boolean)
    return None


def _fold(op: str, a: Expr, b: Expr) -> Expr:  # noqa: C901 - one flat match over the identities
    """Integer and boolean identities that keep index arithmetic short."""
    known_a, known_b = isinstance(a, Const), isinstance(b, Const)
    if known_a and known_b and op in FOLDS:
        return fold_integers(op, a.value, b.value, a.dtype)  # type: ignore[attr-defined]
    if known_a and op in COMMUTATIVE:
        a, b, known_a, known_b = b, a, known_b, known_a
    if not isinstance(b, Const):
        if known_a and a.value == 0 and op in ("floordiv", "floormod"):  # type: ignore[attr-defined]
            return a
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
    a = made = wrap(a)
    if (op == "not" and a.dtype.is_float) or (op == "neg" and a.dtype is boolean):
        raise refusal(
            _called(op, (a,)),
            f"expected {'a bool or an integer' if op == 'not' else 'a number'}, got {a.dtype}",
            "te.if_then_else(x, -1, 0) is a number" if op == "neg" else "x == 0 tells whether it is zero",
            a,
        )
    if op == "abs" and a.dtype.kind in ("uint", "bool"):
        return made
    if isinstance(a, Const) and op == "not":
        return const(not a.value if a.dtype is boolean else ~a.value, a.dtype)
    if isinstance(a, Const) and op == "neg" and a.dtype is int64:
        return const(-a.value)
    return Unary(op, a)


def cast(a: Any, dtype: DType) -> Expr:
    """`a` converted to `dtype`."""
    e = wrap(a)
    if e.dtype is dtype:
        return e
    if isinstance(e, Const) and (e.dtype.is_integer or e.dtype is boolean):
        return const(e.value, dtype)
    return Convert(e, dtype)


def select(cond: Any, then: Any, other: Any) -> Expr:
    """`then` where `cond` holds, else `other`. TVM calls it `te.if_then_else`."""
    cond = wrap(cond) if isinstance(cond, Operators) else wrap(bool(cond) if number(cond) is not None else cond)
    if not (isinstance(then, Expr) and isinstance(other, Expr) and then.dtype is other.dtype):
        then, other = together("select", then, other)
    if cond.dtype is not boolean:
        raise refusal(
            _called("select", (cond, then, other)),
            f"expected a bool as the condition, got {cond.dtype}",
            "compare: x != 0",
            cond,
            then,
            other,
        )
    if isinstance(cond, Const):
        taken: Expr = then if cond.value else other
        return taken
    return other if then is other else Select(cond, then, other)


def call(name: str, *args: Any, dtype: DType | None = None) -> Expr:
    """The intrinsic `name`; its dtype is that of the first argument unless given."""
    exprs = tuple(wrap(a) for a in args)
    return Call(name, exprs, dtype or exprs[0].dtype)


def minimum(a: Any, b: Any) -> Expr:
    return binary("min", a, b)


def maximum(a: Any, b: Any) -> Expr:
    return binary("max", a, b)


def all_of(*conds: Any) -> Expr:
    """The conjunction; true when empty. TVM calls it `te.all`."""
    result: Expr = const(True, boolean)
    for cond in conds:
        result = binary("and", result, cond)
    return result


def any_of(*conds: Any) -> Expr:
    """The disjunction; false when empty. TVM calls it `te.any`."""
    result: Expr = const(False, boolean)
    for cond in conds:
        result = binary("or", result, cond)
    return result


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


def free_vars(*roots: Expr) -> set[Var]:
    return {e for e in walk(*roots) if isinstance(e, Var)}


def loads(*roots: Expr) -> list[Load]:
    """Every distinct load, children first."""
    return [e for e in walk(*roots) if isinstance(e, Load)]
