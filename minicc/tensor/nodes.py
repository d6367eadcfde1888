"""The expression language that tensor expressions and loop programs share.

    expr   ::= Var | Const | Unary | Binary | Call | Convert | Select | Load | Reduce
    Unary  ::= neg a | abs a | not a
    Binary ::= a (add sub mul div floordiv floormod truncdiv truncmod min max
                  bitand bitor bitxor shl shr eq ne lt le and or) b

Semantics. Both operands of a `Binary` have one dtype, which the builders of `te.expr` bring them to. Integers wrap
around. `floordiv` and `floormod` round towards minus infinity (Python), `truncdiv` and `truncmod` towards zero (C,
ONNX); an integer divided by zero is 0, and so is its remainder. A shift by the width or more, or by less than
nothing, shifts everything out. `div` is for floats. `min` and `max` return NaN when either operand is NaN.
Comparisons with NaN are false, except `ne`. `Select` evaluates only the branch it takes, so a branch may load what
would be out of bounds in the other. A `Convert` from float to integer truncates; out of range it wraps or saturates, as
the machine does; one to its own dtype marks the value of a stage (`te.rounding`). Everything is pure, so evaluation
order cannot be seen. Index arithmetic is `int64`.

>>> Binary("lt", Binary("mul", Var("i"), Const(4, int64)), Const(10, int64))
i*4 < 10
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import field
from typing import Any, ClassVar

from minicc.ir.node import Interned, node
from minicc.tensor.operators import BUILDERS, Expr, Operators
from minicc.types import DType, boolean, float32, int64

COMPARISONS = frozenset({"eq", "ne", "lt", "le"})
LOGICAL = frozenset({"and", "or"})
COMMUTATIVE = frozenset({"add", "mul", "min", "max", "eq", "ne", "and", "or", "bitand", "bitor", "bitxor"})


class Mark:
    """What makes a node another than all of its fields; one that is unpickled is a new one."""

    __slots__ = ("__weakref__",)

    def __reduce__(self) -> Any:
        return "OF_TE" if self is OF_TE else (Mark, ())


OF_TE = Mark()  # of the variables of a tensor expression, where one name is one variable


@node
class Var(Expr):
    """A scalar variable; a loop index when `int64`. In a loop program, two of one name and dtype are the same.

    One of a tensor expression has a mark in `own`: `OF_TE`, or where each is another whatever its name, a `Mark` of its own.
    """

    name: str
    dtype: DType = int64
    own: Mark | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", DType.of(self.dtype))


@node
class Const(Expr):
    """A literal, keyed by dtype and bits. Make one with `const`."""

    exact_key: ClassVar[bool] = True

    value: Any  # bool, int, or float
    dtype: DType

    def __bool__(self) -> bool:
        return bool(self.value)

    def __int__(self) -> int:
        return int(self.value)

    def __float__(self) -> float:
        return float(self.value)

    def __index__(self) -> int:
        return operator.index(self.value)


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

    def __bool__(self) -> bool:
        """Of `==` and `!=` in a loop program: whether both sides are, or are not, one object."""
        if self.op not in ("eq", "ne") or of_te(self):
            return Expr.__bool__(self)
        return (self.a is self.b) == (self.op == "eq")


@node
class Call(Expr):
    """An intrinsic of `te.intrinsics`, by name."""

    name: str
    args: tuple[Expr, ...]
    dtype: DType


@node
class Convert(Expr):
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
    def dtype(self) -> DType:
        return self.then.dtype


@node
class Load(Expr):
    """One element: `source[indices]`."""

    source: Any  # a te.Tensor, or a loop.Buffer after lowering: it has a name, a dtype and a shape
    indices: tuple[Expr, ...]

    @property
    def dtype(self) -> DType:
        """That of the source."""
        dtype: DType = self.source.dtype
        return dtype


@node
class Axis(Interned, Operators):
    """An iteration variable `var` over `range(extent)`; `reduce` tells a reduction axis. In an expression it is `var`."""

    var: Var
    extent: Any  # int, or an int64 Expr
    reduce: bool = False

    def __repr__(self) -> str:
        return Printer().axis(self)


@node
class Combiner(Interned):
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
    def dtype(self) -> DType:
        return self.values[self.index].dtype


_CHILDREN: dict[type[Expr], Callable[[Any], tuple[Expr, ...]]] = {
    Binary: lambda e: (e.a, e.b),
    Unary: lambda e: (e.a,),
    Convert: lambda e: (e.a,),
    Call: lambda e: e.args,
    Load: lambda e: e.indices,
    Select: lambda e: (e.cond, e.then, e.other),
    Reduce: lambda e: e.values,
}


def children(e: Expr) -> tuple[Expr, ...]:
    """The direct sub-expressions."""
    found = _CHILDREN.get(type(e))
    return found(e) if found else ()


def of_te(e: Expr) -> bool:
    """Whether `e` is part of a tensor expression, not of a loop program: any of its leaves tells."""
    stack = [e]
    while stack:
        match stack.pop():
            case Var(_, _, own):
                return own is not None
            case Load(source, _):
                return isinstance(source, Operators)
            case other:
                stack += children(other)
    return False


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

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}  # what each name stands for in this text

    def name_of(self, thing: Any) -> str:
        """The name of a variable or tensor; with a number where another thing of this text has it."""
        if getattr(thing, "own", OF_TE if isinstance(thing, Operators) else None) is None:
            return str(thing.name)  # names of a loop program are unique
        name, count = thing.name, 0
        while self.names.setdefault(name, thing) is not thing:
            count += 1
            name = f"{thing.name}_{count}"
        return str(name)

    def expr(self, e: Expr, level: int = 0) -> str:  # noqa: C901 - one flat match over the grammar
        """`e`, in parentheses if it binds less tightly than `level`."""
        match e:
            case Var():
                return self.name_of(e)
            case Const(value, dtype):
                return self.literal(value, dtype)
            case Binary(op, a, b) if op in self.SYMBOLS:
                symbol, rank = self.SYMBOLS[op]
                left, right = (rank + 1, rank + 1) if rank == 4 else (rank, rank + 1)
                out = f"{self.expr(a, left)}{symbol}{self.expr(b, right)}"
                return f"({out})" if rank < level else out
            case Binary(op, a, b):
                return f"{ {'min': 'minimum', 'max': 'maximum'}.get(op, op) }({self.expr(a)}, {self.expr(b)})".strip()
            case Unary("neg", a):
                return f"(-{self.expr(a, 12)})" if level > 11 else f"-{self.expr(a, 12)}"
            case Unary("not", a):
                return f"(not {self.expr(a, 4)})" if level > 3 else f"not {self.expr(a, 4)}"
            case Unary(op, a):
                return f"{op}({self.expr(a)})"
            case Convert(a, dtype):
                return f"{dtype}({self.expr(a)})"
            case Call("bitcast", (a,), dtype):
                return f"bitcast({self.expr(a)}, {dtype})"
            case Call(name, args, _):
                return f"{name}({', '.join(map(self.expr, args))})"
            case Load(source, indices):
                return f"{self.name_of(source)}[{', '.join(map(self.expr, indices)) or '()'}]"
            case Select(cond, then, other):
                out = f"{self.expr(then, 1)} if {self.expr(cond, 1)} else {self.expr(other)}"
                return f"({out})" if level > 0 else out
            case Reduce(combiner, values, axes, index):
                inner = ", ".join(self.expr(v, 1) for v in values)
                loops = " ".join(f"for {self.axis(axis)}" for axis in axes)
                return f"{combiner.name}({inner} {loops})" + (f"[{index}]" if len(values) > 1 else "")
        return str(getattr(e, "name", type(e).__name__))  # the hole of a pattern

    def axis(self, axis: Axis) -> str:
        """An axis as the head of a loop."""
        return f"{self.name_of(axis.var)} in range({self.shape((axis.extent,))})"

    def shape(self, extents: tuple[Any, ...]) -> str:
        return ",".join([self.expr(e) if isinstance(e, Expr) else str(e) for e in extents])

    def literal(self, value: Any, dtype: DType) -> str:
        return f"{value!r}" if dtype in (int64, boolean, float32) else f"{dtype}({value!r})"


def text(e: Expr) -> str:
    """`e` as Python source."""
    return Printer().expr(e)


BUILDERS["text"] = text
