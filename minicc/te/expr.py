"""The expression language that tensor expressions and loop programs share.

    expr   ::= Var | Const | Unary | Binary | Call | Cast | Select | Load | Reduce
    Unary  ::= neg a | abs a | not a
    Binary ::= a (add sub mul div floordiv floormod truncdiv truncmod min max
                  bitand bitor bitxor shl shr eq ne lt le and or) b

Semantics. Both operands of a `Binary` have one dtype; nothing is promoted silently. Integers wrap around. `floordiv`
and `floormod` round towards minus infinity (Python), `truncdiv` and `truncmod` towards zero (C, ONNX); an integer
divided by zero is 0, and so is its remainder. `div` is for floats. `min` and `max` return NaN when either operand is
NaN. Comparisons with NaN are false, except `ne`. `Select` evaluates only the branch it takes, so a branch may load
what would be out of bounds in the other. A `Cast` from float to integer truncates; out of range it wraps or
saturates, as the machine does; one to its own dtype marks the value of a stage (`te.rounding`). Everything is pure, so
evaluation order cannot be seen. Index arithmetic is `int64`.

>>> i = Var("i")
>>> (i * 4 + 0) // 2 < 10
i*4//2 < 10
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field
from typing import Any, ClassVar

import numpy as np

from minicc.errors import TeError
from minicc.ir.node import Node, node, postorder
from minicc.te.integers import FOLDS
from minicc.types import DType, boolean, float32, int64

COMPARISONS = frozenset({"eq", "ne", "lt", "le"})
LOGICAL = frozenset({"and", "or"})
COMMUTATIVE = frozenset({"add", "mul", "min", "max", "eq", "ne", "and", "or", "bitand", "bitor", "bitxor"})


def _infix(op: str, swap: bool = False) -> Callable[[Expr, Any], Expr]:
    """The method of a Python operator; `swap` where the expression stands on its right."""
    return (lambda self, other: binary(op, other, self)) if swap else (lambda self, other: binary(op, self, other))


class Expr(Node):
    """Base of every expression; `dtype` is the type of its value."""

    __slots__ = ()
    dtype: DType

    __add__, __radd__ = _infix("add"), _infix("add", swap=True)
    __sub__, __rsub__ = _infix("sub"), _infix("sub", swap=True)
    __mul__, __rmul__ = _infix("mul"), _infix("mul", swap=True)
    __truediv__, __rtruediv__ = _infix("div"), _infix("div", swap=True)
    __floordiv__, __rfloordiv__ = _infix("floordiv"), _infix("floordiv", swap=True)
    __mod__, __rmod__ = _infix("floormod"), _infix("floormod", swap=True)
    __lt__, __gt__ = _infix("lt"), _infix("lt", swap=True)
    __le__, __ge__ = _infix("le"), _infix("le", swap=True)

    def __neg__(self) -> Expr:
        return unary("neg", self)

    def __abs__(self) -> Expr:
        return unary("abs", self)

    def __invert__(self) -> Expr:
        return unary("not", self)

    def __and__(self, other: Any) -> Expr:
        return binary("and" if self.dtype is boolean else "bitand", self, other)

    def __or__(self, other: Any) -> Expr:
        return binary("or" if self.dtype is boolean else "bitor", self, other)

    def equal(self, other: Any) -> Expr:
        """`self == other` as an expression; `==` itself compares identity."""
        return binary("eq", self, other)

    def not_equal(self, other: Any) -> Expr:
        return binary("ne", self, other)

    def astype(self, dtype: DType | str) -> Expr:
        return cast(self, DType.of(dtype))

    def __bool__(self) -> bool:
        raise TeError(f"bool({self})", "an expression has no truth value before it runs",
                      hint="use te.if_then_else, te.all, te.any, or .equal(...)")

    def __repr__(self) -> str:
        return text(self)


@node
class Var(Expr):
    """A scalar variable; a loop index when `int64`. Two of one name and dtype are the same."""

    name: str
    dtype: DType = int64


@node
class Const(Expr):
    """A literal, keyed by dtype and bits. Make one with `const`."""

    exact_key: ClassVar[bool] = True

    value: Any  # bool, int, or float
    dtype: DType


@node
class Unary(Expr):
    """`neg`, `abs` or `not` of an operand."""

    op: str
    a: Expr
    dtype: DType = field(init=False)  # held, as a chain of operators may be long

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", self.a.dtype)


@node
class Binary(Expr):
    """An operator of the grammar above between two operands of one dtype."""

    op: str
    a: Expr
    b: Expr
    dtype: DType = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", boolean if self.op in COMPARISONS else self.a.dtype)


@node
class Call(Expr):
    """An intrinsic of `te.intrinsics`, by name."""

    name: str
    args: tuple[Expr, ...]
    dtype: DType


@node
class Cast(Expr):
    """The value converted; `Call("bitcast", ...)` keeps the bits instead."""

    a: Expr
    dtype: DType


@node
class Select(Expr):
    """`then` if `cond` else `other`; only the branch that is taken is evaluated."""

    cond: Expr
    then: Expr
    other: Expr

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.then.dtype


@node
class Load(Expr):
    """One element: `source[indices]`."""

    source: Any  # a te.Tensor, or a loop.Buffer after lowering: it has a name, a dtype and a shape
    indices: tuple[Expr, ...]

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.source.dtype  # type: ignore[no-any-return]


@node
class Axis(Node):
    """An iteration variable `var` over `range(extent)`; `reduce` tells a reduction axis."""

    var: Var
    extent: Any  # int, or an int64 Expr
    reduce: bool = False

    def __repr__(self) -> str:
        return f"{self.var.name} in range({self.extent})"


@node
class Combiner(Node):
    """A commutative, associative reduction of tuples: `result` combines `left` with `right`."""

    name: str
    left: tuple[Var, ...]
    right: tuple[Var, ...]
    result: tuple[Expr, ...]
    identity: tuple[Expr, ...]


@node
class Reduce(Expr):
    """`combiner` over all points of `axes`, of the tuple `values`; its value is component `index`.

    Stands only at the top of a `te.compute` body; lowering makes a loop nest of it.
    """

    combiner: Combiner
    values: tuple[Expr, ...]
    axes: tuple[Axis, ...]
    index: int = 0

    @property
    def dtype(self) -> DType:  # type: ignore[override]
        return self.values[self.index].dtype


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


def wrap(value: Any, dtype: DType | None = None) -> Expr:
    """`value` as an expression: a Python or NumPy scalar becomes a literal of `dtype`."""
    if isinstance(value, Expr):
        return value
    if isinstance(value, Axis):
        return value.var
    if isinstance(value, (bool, int, float, np.generic)):
        if dtype is None:
            dtype = (
                DType.of(value.dtype) if isinstance(value, np.generic)
                else boolean if isinstance(value, bool) else int64 if isinstance(value, int) else float32
            )
        return const(value, dtype)
    if hasattr(value, "scalar"):  # a 0-d tensor stands for its element
        return value.scalar()  # type: ignore[no-any-return]
    raise TeError(f"wrap({value!r})", f"expected an expression or a number, got {type(value).__name__}")


def fold_integers(op: str, a: int, b: int, dtype: DType) -> Const:
    """`a op b` of two integers of `dtype`."""
    return const(FOLDS[op](a, b), boolean if op in COMPARISONS else dtype)


def binary(op: str, a: Any, b: Any) -> Expr:
    """`Binary(op, a, b)`, with numbers lifted to the other's dtype and integer identities applied.

    Only integers and booleans are folded here, so that index arithmetic stays readable; all else
    is `te.simplify`. Raises TeError when the dtypes differ.
    """
    if not isinstance(a, Expr):
        a = wrap(a, b.dtype if isinstance(b, Expr) else None)
    if not isinstance(b, Expr):
        b = wrap(b, a.dtype)
    kind = a.dtype
    if b.dtype is not kind:
        raise TeError(f"{op}({a}, {b})", f"operands must have one dtype, got {kind} and {b.dtype}",
                      hint=f"cast one: x.astype({str(kind)!r})")
    if kind is int64 or kind is boolean:
        return _fold(op, a, b)
    return Binary(op, a, b)


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


def unary(op: str, a: Any) -> Expr:
    """`op` of `a`, computed at once where `a` is an index."""
    a = wrap(a)
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
    return Cast(e, dtype)


def select(cond: Any, then: Any, other: Any) -> Expr:
    """`then` where `cond` holds, else `other`. TVM calls it `te.if_then_else`."""
    cond = wrap(cond, boolean)
    if not isinstance(then, Expr):
        then = wrap(then, other.dtype if isinstance(other, Expr) else None)
    other = wrap(other, then.dtype)
    if cond.dtype is not boolean or other.dtype is not then.dtype:
        raise TeError(f"select({cond}, {then}, {other})",
                      f"expected a bool and two of one dtype, got {cond.dtype}, {then.dtype}, {other.dtype}")
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


# ---- walking and rebuilding ---------------------------------------------------------------------


def children(e: Expr) -> tuple[Expr, ...]:
    """The direct sub-expressions."""
    match e:
        case Binary(_, a, b):
            return a, b
        case Unary(_, a) | Cast(a, _):
            return (a,)
        case Call(_, args, _) | Load(_, args):
            return args
        case Select(cond, then, other):
            return cond, then, other
        case Reduce(_, values, _, _):
            return values
    return ()


def rebuild(e: Expr, parts: tuple[Expr, ...]) -> Expr:
    """`e` with its sub-expressions replaced, folding as the constructors do."""
    match e:
        case Binary(op, _, _):
            return binary(op, *parts)
        case Unary(op, _):
            return unary(op, *parts)
        case Cast(a, dtype):
            return Cast(parts[0], dtype) if a.dtype is dtype else cast(parts[0], dtype)
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
        memo[item] = change(item if new == old else rebuild(item, new))
    return memo[e]


def substitute(e: Expr, values: Mapping[Expr, Expr]) -> Expr:
    """Replace variables (or any sub-expressions) simultaneously."""
    return transform(e, lambda x: values.get(x, x)) if values else e


def free_vars(*roots: Expr) -> set[Var]:
    return {e for e in walk(*roots) if isinstance(e, Var)}


def loads(*roots: Expr) -> list[Load]:
    """Every distinct load, children first."""
    return [e for e in walk(*roots) if isinstance(e, Load)]


# ---- printing -----------------------------------------------------------------------------------


class Printer:
    """Expressions as Python source. The loop room extends it; what it prints can be evaluated."""

    SYMBOLS: ClassVar[dict[str, tuple[str, int]]] = {
        "or": (" or ", 1), "and": (" and ", 2),
        "eq": (" == ", 4), "ne": (" != ", 4), "lt": (" < ", 4), "le": (" <= ", 4),
        "bitor": (" | ", 5), "bitxor": (" ^ ", 6), "bitand": (" & ", 7), "shl": (" << ", 8), "shr": (" >> ", 8),
        "add": (" + ", 9), "sub": (" - ", 9), "mul": ("*", 10), "div": ("/", 10),
        "floordiv": ("//", 10), "floormod": ("%", 10),
    }  # fmt: skip

    def expr(self, e: Expr, level: int = 0) -> str:  # noqa: C901 - one flat match over the grammar
        """`e`, in parentheses if it binds less tightly than `level`."""
        match e:
            case Var(name, _):
                return name
            case Const(value, dtype):
                return self.literal(value, dtype)
            case Binary(op, a, b) if op in self.SYMBOLS:
                symbol, rank = self.SYMBOLS[op]
                left, right = (rank + 1, rank + 1) if rank == 4 else (rank, rank + 1)
                out = f"{self.expr(a, left)}{symbol}{self.expr(b, right)}"
                return f"({out})" if rank < level else out
            case Binary(op, a, b):
                return f"{ {'min': 'minimum', 'max': 'maximum'}.get(op, op)}({self.expr(a)}, {self.expr(b)})".strip()
            case Unary("neg", a):
                return f"(-{self.expr(a, 12)})" if level > 11 else f"-{self.expr(a, 12)}"
            case Unary("not", a):
                return f"(not {self.expr(a, 4)})" if level > 3 else f"not {self.expr(a, 4)}"
            case Unary(op, a):
                return f"{op}({self.expr(a)})"
            case Cast(a, dtype):
                return f"{dtype}({self.expr(a)})"
            case Call("bitcast", (a,), dtype):
                return f"bitcast({self.expr(a)}, {dtype})"
            case Call(name, args, _):
                return f"{name}({', '.join(map(self.expr, args))})"
            case Load(source, indices):
                return f"{source.name}[{', '.join(map(self.expr, indices)) or '()'}]"
            case Select(cond, then, other):
                out = f"{self.expr(then, 1)} if {self.expr(cond, 1)} else {self.expr(other)}"
                return f"({out})" if level > 0 else out
            case Reduce(combiner, values, axes, index):
                inner = ", ".join(self.expr(v, 1) for v in values)
                loops = " ".join(f"for {axis}" for axis in axes)
                return f"{combiner.name}({inner} {loops})" + (f"[{index}]" if len(values) > 1 else "")
        return str(getattr(e, "name", type(e).__name__))  # the hole of a pattern

    def literal(self, value: Any, dtype: DType) -> str:
        return f"{value!r}" if dtype in (int64, boolean, float32) else f"{dtype}({value!r})"


def text(e: Expr) -> str:
    return Printer().expr(e)
