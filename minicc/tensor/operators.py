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
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from minicc.errors import TeError

if TYPE_CHECKING:
    from minicc.tensor.nodes import Expr

Operator = Callable[[Any, Any], "Expr"]
BUILDERS: dict[str, Callable[..., Any]] = {}  # filled by `te.expr` and `te.functions`, which stand on this


def shown(value: Any) -> str:
    """`value` on one short line of an error."""
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def refusal(call: str, problem: str, hint: str, *operands: Any) -> TeError:
    """The error of an operator; where: its operands with their dtypes."""
    known = [(shown(x), x) for x in operands]
    where = "\n".join(
        f"{text}: {dtype}" for text, x in known if (dtype := getattr(x, "dtype", None) or type(x).__name__)
    )
    return TeError(call, problem, where=where, hint=hint)


def _infix(op: str, swap: bool = False) -> Operator:
    """The method of a Python operator; `swap` where the expression stands on its right."""
    return (lambda self, other: BUILDERS[op](other, self)) if swap else (lambda self, other: BUILDERS[op](self, other))


def _comparison(op: str) -> Callable[[Any, Any], Any]:
    """`==` or `!=`: with what is no number and no array, Python's own, by identity."""

    def compare(self: Any, other: Any) -> Any:
        known = isinstance(other, (Operators, bool, int, float, complex, np.generic, np.ndarray))
        return BUILDERS[op](self, other) if known else NotImplemented

    return compare


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
    __eq__, __ne__ = _comparison("eq"), _comparison("ne")
    __hash__ = object.__hash__

    def __pow__(self, other: Any, modulus: Any = None) -> Expr:
        power: Expr = BUILDERS["pow"](self, other)
        return power if modulus is None else power % modulus

    def __rpow__(self, other: Any, modulus: Any = None) -> Expr:
        return BUILDERS["pow"](other, self)  # type: ignore[no-any-return]

    def __neg__(self) -> Expr:
        return BUILDERS["neg"](self)  # type: ignore[no-any-return]

    def __pos__(self) -> Expr:
        return BUILDERS["pos"](self)  # type: ignore[no-any-return]

    def __abs__(self) -> Expr:
        return BUILDERS["abs"](self)  # type: ignore[no-any-return]

    def __invert__(self) -> Expr:
        return BUILDERS["not"](self)  # type: ignore[no-any-return]

    def __round__(self, digits: Any = None) -> Expr:
        if digits is not None:
            raise self._refused(
                f"round({shown(self)}, {digits})",
                f"expected no number of digits, got {digits}",
                "te.round(x * 100) / 100 rounds to two digits",
            )
        return BUILDERS["whole"]("round", self)  # type: ignore[no-any-return]

    def __floor__(self) -> Expr:
        return BUILDERS["whole"]("floor", self)  # type: ignore[no-any-return]

    def __ceil__(self) -> Expr:
        return BUILDERS["whole"]("ceil", self)  # type: ignore[no-any-return]

    def __trunc__(self) -> Expr:
        return BUILDERS["whole"]("trunc", self)  # type: ignore[no-any-return]

    # ---- what would need the value

    def _refused(self, call: str, problem: str, hint: str) -> TeError:
        return refusal(call, problem, hint, self)

    def _valueless(self, function: str, hint: str) -> TeError:
        return self._refused(
            f"{function}({shown(self)})", "expected a value, got an expression, which has none before it runs", hint
        )

    def __bool__(self) -> bool:
        raise self._valueless(
            "bool",
            "for `if`, `and`, `or`, `not`, `a < b < c`, min and max: te.if_then_else, te.all, te.any, ~, "
            "te.minimum, te.maximum; to ask whether two expressions are one object: `is`",
        )

    def __float__(self) -> float:
        raise self._valueless("float", 'x.astype("float32") converts it when it runs, and te.exp(x) is its exponential')

    def __int__(self) -> int:
        raise self._valueless("int", 'x.astype("int32") converts it when it runs')

    def __index__(self) -> int:
        raise self._valueless("index", "index a te tensor with it, or use a Python number")

    def __complex__(self) -> complex:
        raise self._valueless("complex", "te has no complex numbers")

    def __format__(self, spec: str) -> str:
        if spec:
            raise self._valueless("format", f"leave out {spec!r} to see the expression")
        return str(self)

    def __array__(self, *_: Any, **__: Any) -> NoReturn:
        raise self._valueless("numpy.asarray", "build the program with minicc.build and call it with arrays")

    def __iter__(self) -> Any:
        raise self._refused(
            f"iter({shown(self)})",
            "expected something to iterate over, got a te value",
            "index a tensor inside te.compute; te.sum(x, axis=k) sums over an axis",
        )

    def __len__(self) -> int:
        raise self._refused(
            f"len({shown(self)})",
            "expected something of a length, got a scalar",
            "A.shape[0] is the extent of a tensor",
        )

    def __contains__(self, item: Any) -> bool:
        raise self._refused(
            f"{shown(item)} in {shown(self)}",
            "expected a container, got a te value",
            "te.any(x == 1, x == 2) asks whether x is one of several numbers",
        )

    def __getitem__(self, indices: Any) -> Any:
        raise self._refused(
            f"{shown(self)}[{shown(indices)}]",
            "expected a tensor to index, got a scalar",
            "give all indices of a tensor at once: A[i, j]",
        )

    def __setitem__(self, indices: Any, value: Any) -> NoReturn:
        raise self._refused(
            f"{shown(self)}[{shown(indices)}] = {shown(value)}",
            "expected a tensor to be read, got an assignment: tensors do not change",
            "the function of te.compute returns the element; te.scatter writes at places",
        )

    # ---- NumPy

    def __array_ufunc__(self, ufunc: Any, method: str, *operands: Any, **options: Any) -> Any:
        op = UFUNCS.get(ufunc.__name__)
        if op is None or method != "__call__" or options:
            what = f"numpy.{ufunc.__name__}" + (f".{method}" if method != "__call__" else "")
            extra = "".join(f", {key}=..." for key in options)
            raise refusal(
                f"{what}({', '.join(map(shown, operands))}{extra})",
                f"expected a function that te has, got {what}" + (f" with {', '.join(options)}" if options else ""),
                FUNCTIONS,
                *operands,
            )
        return BUILDERS[op](*operands)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        op = {"where": "select", "clip": "clip", "round": "round", "around": "round"}.get(function.__name__)
        if op is None or options or (op != "round" and len(args) != 3) or (op == "round" and len(args) != 1):
            given = ", ".join([*map(shown, args), *[f"{key}={shown(value)}" for key, value in options.items()]])
            raise refusal(
                f"numpy.{function.__name__}({given})",
                f"expected a function of elements, got numpy.{function.__name__}",
                FUNCTIONS,
                *args,
            )
        return BUILDERS[op](*args)


FUNCTIONS = (
    "of NumPy, te understands functions of one element or two, as in np.exp(A[i]); see te.exp, te.sum, te.if_then_else"
)

UFUNCS = {  # NumPy's function: its builder
    "add": "add", "subtract": "sub", "multiply": "mul", "divide": "div", "floor_divide": "floordiv",
    "remainder": "floormod", "fmod": "fmod", "power": "pow", "divmod": "divmod", "negative": "neg", "positive": "pos",
    "absolute": "abs", "fabs": "fabs", "square": "square", "reciprocal": "reciprocal", "sign": "sign",
    "maximum": "max", "minimum": "min", "copysign": "copysign", "invert": "not", "matmul": "matmul",
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt", "greater_equal": "ge",
    "logical_and": "logical_and", "logical_or": "logical_or", "logical_not": "logical_not", "logical_xor": "logical_xor",
    "bitwise_and": "bitand", "bitwise_or": "bitor", "bitwise_xor": "bitxor", "left_shift": "shl", "right_shift": "shr",
    "rint": "rint", "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arcsinh": "asinh", "arccosh": "acosh",
    "arctanh": "atanh", "isfinite": "isfinite",
    **{name: name for name in ("exp", "expm1", "log", "log1p", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh",
                               "floor", "ceil", "trunc", "isnan", "isinf", "erf")},
}  # fmt: skip
