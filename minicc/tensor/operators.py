"""What Python's operators and NumPy's functions make of te things: an expression, or an error that says why not.

`Operators` is the base of all that stands for a value in an expression: `Expr`, `Axis`, `Tensor`. Each operator
calls the builder of its name in `BUILDERS`, NumPy's functions that have an equal do the same, and what would
need the value before the program runs (`if`, `float`, `len`, iteration) raises TeError.

`==` builds a comparison, too, and asking for its truth raises, in te: `1.0 if i == j else 0.0` is not what it
says. In a loop program, where expressions are the compiler's own, the truth of `a == b` is `a is b`, as equal nodes
are one object, and `extent == 1` of a symbolic extent is false. Dicts and sets never ask: a node hashes by its
address, and is found by identity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minicc.errors import TeError
from minicc.ir.node import Interned
from minicc.types import DType

BUILDERS: dict[str, Callable[..., Any]] = {}  # filled by `te.expr` and `te.functions`, which stand on this


def shown(value: Any) -> str:
    """`value` on one short line of an error."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def refusal(call: str, problem: str, hint: str, *operands: Any) -> TeError:
    """The error of an operator; where: its operands with their dtypes, or their classes."""
    where = [f"{shown(x)}: {getattr(x, 'dtype', None) or type(x).__name__}" for x in operands]
    return TeError(call, problem, "\n".join(where), hint)


def built(op: str, *operands: Any) -> Expr:
    """What the builder `op` makes of operands."""
    made: Expr = BUILDERS[op](*operands)
    return made


def _prefix(*op: str) -> Callable[[Any], Expr]:
    return lambda self: built(*op, self)


def _infix(op: str, swap: bool = False) -> Callable[[Any, Any], Expr]:
    """The method of a Python operator; `swap` where the expression stands on its right."""
    return (lambda self, other: built(op, other, self)) if swap else (lambda self, other: built(op, self, other))


def _comparison(op: str) -> Callable[[Any, Any], Any]:
    """`==` or `!=`: with what is no number and no array, Python's own, by identity."""

    def compare(self: Any, other: Any) -> Any:
        known = isinstance(other, (Operators, bool, int, float, complex, np.generic, np.ndarray))
        return built(op, self, other) if known else NotImplemented

    return compare


def _refused(call: str, problem: str, hint: str) -> Callable[..., Any]:
    """A method that raises TeError; `call` has a place for the value and for each argument."""

    def refuse(self: Any, *given: Any, **_: Any) -> Any:
        raise refusal(call.format(*map(shown, (self, *given))), problem, hint, self)

    return refuse


_VALUE = "expected a value, got an expression, which has none before it runs"
_TRUTH = (
    "for `if`, `and`, `or`, `not`, `a < b < c`, min and max: te.if_then_else, te.all, te.any, ~, "
    "te.minimum, te.maximum; to ask whether two expressions are one object: `is`"
)


class Operators:
    """Operators that build expressions."""

    __slots__ = ()

    __add__, __radd__ = _infix("add"), _infix("add", swap=True)
    __sub__, __rsub__ = _infix("sub"), _infix("sub", swap=True)
    __mul__, __rmul__ = _infix("mul"), _infix("mul", swap=True)
    __truediv__, __rtruediv__ = _infix("div"), _infix("div", swap=True)
    __floordiv__, __rfloordiv__ = _infix("floordiv"), _infix("floordiv", swap=True)
    __mod__, __rmod__ = _infix("floormod"), _infix("floormod", swap=True)
    __divmod__, __rdivmod__ = _infix("divmod"), _infix("divmod", swap=True)
    __lt__, __gt__ = _infix("lt"), _infix("lt", swap=True)
    __le__, __ge__ = _infix("le"), _infix("le", swap=True)
    __and__, __rand__ = _infix("bitand"), _infix("bitand", swap=True)
    __or__, __ror__ = _infix("bitor"), _infix("bitor", swap=True)
    __xor__, __rxor__ = _infix("bitxor"), _infix("bitxor", swap=True)
    __lshift__, __rlshift__ = _infix("shl"), _infix("shl", swap=True)
    __rshift__, __rrshift__ = _infix("shr"), _infix("shr", swap=True)
    __matmul__, __rmatmul__ = _infix("matmul"), _infix("matmul", swap=True)
    __neg__, __pos__, __abs__, __invert__ = _prefix("neg"), _prefix("pos"), _prefix("abs"), _prefix("not")
    __floor__, __ceil__, __trunc__ = _prefix("whole", "floor"), _prefix("whole", "ceil"), _prefix("whole", "trunc")
    __eq__, __ne__ = _comparison("eq"), _comparison("ne")
    __hash__ = object.__hash__
    equal, not_equal = _infix("eq"), _infix("ne")  # in the words of TVM

    def astype(self, dtype: DType | str) -> Expr:
        """The value converted."""
        return built("cast", built("pos", self), DType.of(dtype))

    def __pow__(self, other: Any, modulus: Any = None) -> Expr:
        power = built("pow", self, other)
        return power if modulus is None else power % modulus

    def __rpow__(self, other: Any, modulus: Any = None) -> Expr:
        return built("pow", other, self)

    def __round__(self, digits: Any = None) -> Expr:
        if digits is not None:
            problem, hint = (
                f"expected no number of digits, got {digits}",
                "te.round(x * 100) / 100 rounds to two digits",
            )
            raise refusal(f"round({shown(self)}, {digits})", problem, hint, self)
        return built("whole", "round", self)

    def __format__(self, spec: str) -> str:
        if spec:
            raise refusal(f"format({shown(self)})", _VALUE, f"leave out {spec!r} to see the expression", self)
        return str(self)

    # ---- what would need the value

    __bool__: Callable[..., bool] = _refused("bool({})", _VALUE, _TRUTH)
    __float__ = _refused(
        "float({})", _VALUE, 'x.astype("float32") converts it when it runs, and te.exp(x) is its exponential'
    )
    __int__ = _refused("int({})", _VALUE, 'x.astype("int32") converts it when it runs')
    __index__ = _refused("index({})", _VALUE, "index a te tensor with it, or use a Python number")
    __complex__ = _refused("complex({})", _VALUE, "te has no complex numbers")
    __array__ = _refused("numpy.asarray({})", _VALUE, "build the program with minicc.build and call it with arrays")
    __iter__ = _refused(
        "iter({})", "expected something to iterate over, got a te value",
        "index a tensor inside te.compute; te.sum(x, axis=k) sums over an axis",
    )  # fmt: skip
    __len__ = _refused(
        "len({})", "expected something of a length, got a scalar", "A.shape[0] is the extent of a tensor"
    )
    __contains__ = _refused(
        "{1} in {0}", "expected a container, got a te value",
        "te.any(x == 1, x == 2) asks whether x is one of several numbers",
    )  # fmt: skip
    __getitem__ = _refused(
        "{}[{}]", "expected a tensor to index, got a scalar", "give all indices of a tensor at once: A[i, j]"
    )
    __setitem__ = _refused(
        "{}[{}] = {}", "expected a tensor to be read, got an assignment: tensors do not change",
        "the function of te.compute returns the element; te.scatter writes at places",
    )  # fmt: skip

    # ---- NumPy

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        builder = BUILDERS.get(UFUNCS.get(ufunc.__name__, ufunc.__name__))
        if builder is not None and method == "__call__" and not options:
            return builder(*operands)
        what = f"numpy.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
        extra = "".join(f", {key}=..." for key in options)
        problem = f"expected a function that te has, got {what}" + (f" with {', '.join(options)}" if options else "")
        raise refusal(f"{what}({', '.join(map(shown, operands))}{extra})", problem, FUNCTIONS, *operands)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        op, count = {"where": ("select", 3), "clip": ("clip", 3), "round": ("round", 1), "around": ("round", 1)}.get(
            function.__name__, ("", 0)
        )
        if op and not options and len(args) == count:
            return BUILDERS[op](*args)
        given = ", ".join([*map(shown, args), *[f"{key}={shown(value)}" for key, value in options.items()]])
        problem = f"expected a function of elements, got numpy.{function.__name__}"
        raise refusal(f"numpy.{function.__name__}({given})", problem, FUNCTIONS, *args)


class Expr(Interned, Operators):
    """Base of every expression; `dtype` is the type of its value."""

    __slots__ = ()

    if TYPE_CHECKING:

        @property
        def dtype(self) -> DType: ...

    def __repr__(self) -> str:
        return str(BUILDERS["text"](self))


FUNCTIONS = (
    "of NumPy, te understands functions of one element or two, as in np.exp(A[i]); see te.exp, te.sum, te.if_then_else"
)
UFUNCS = {  # NumPy's function: its builder, where that has another name
    "subtract": "sub", "multiply": "mul", "divide": "div", "floor_divide": "floordiv", "remainder": "floormod",
    "power": "pow", "negative": "neg", "positive": "pos", "absolute": "abs", "maximum": "max", "minimum": "min",
    "invert": "not", "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt",
    "greater_equal": "ge", "bitwise_and": "bitand", "bitwise_or": "bitor", "bitwise_xor": "bitxor", "left_shift": "shl",
    "right_shift": "shr", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh",
}  # fmt: skip
