"""Operators whose element at a point is one expression of the inputs' elements there.

In: tensors that broadcast as in NumPy. Out: a tensor of the broadcast shape. A subclass of
`Elementwise` gives `scalar`, on expressions; the rest follows: its tensor expression, the reference on
arrays, and its form in TVM. Here: the base classes, and the functions of one input without attributes.

float16 and bfloat16 are computed in float32 and rounded once at the end.

>>> import numpy as np
>>> Round()(np.array([0.5, 1.5, -0.5]))
array([ 0.,  2., -0.])
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import new_class
from typing import Any, ClassVar, TypeVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import ANY, FLOAT, INTEGER, NUMERIC, SIGNED, Array, Draw, Example, Kind, Kinds, Operator, dtype_of
from minicc.ops.base import operator
from minicc.ops.order import Order, Permuted, lifted
from minicc.ops.scalar import by_numpy, by_tvm, widened
from minicc.tensor.expr import Const, Expr, binary, call, cast, const, select
from minicc.tensor.operators import BUILDERS
from minicc.types import DType, TensorType, broadcast


def at(tensor: te.Tensor, indices: Sequence[Any], shape: Sequence[Any]) -> Expr:
    """The element of `tensor` that broadcasting to `shape` puts at `indices`; a constant is its literal."""
    body = getattr(tensor.op, "body", ())
    if not tensor.shape and body and isinstance(body[0], Const):
        return body[0]
    skipped = len(shape) - tensor.rank
    pairs = zip(tensor.shape, shape[skipped:], indices[skipped:], strict=True)
    return tensor[tuple(0 if dim == 1 != extent else index for dim, extent, index in pairs)]


E = TypeVar("E", bound="Elementwise")


class Widening(Operator):
    """Base of what computes 16-bit floats in float32 and rounds once, here on its way to TVM."""

    __slots__ = ()
    widens: ClassVar[bool] = True  # whether 16-bit floats must be float32 inside the definition

    def form(self, R: Any, *values: Any, **_: Any) -> Any:
        """The form in TVM, where no 16-bit float occurs if the operator widens; rounded afterwards."""
        return R[self.tvm_name](*values) if self.tvm_name else super().tvm(R, *values)

    def tvm(self, R: Any, *values: Any, **_: Any) -> Any:
        result = self.form(R, *(map(widened, values) if self.widens else values))
        return result.astype(values[0].dtype) if result.dtype.is_float and values[0].dtype.is_float else result


class Elementwise(Widening):
    """Base: one input unless `arity` says otherwise, all of one dtype whose kind is in `accepts`."""

    __slots__ = ()
    kind = Kind.ELEMENTWISE
    arity: ClassVar[int] = 1
    accepts = NUMERIC
    widens = False
    scalar_name: ClassVar[str] = ""  # of the builder of expressions that is the definition, if one is
    tvm_accepts: ClassVar[Kinds] = ANY  # the kinds on which `tvm_name` means the same
    drawn: ClassVar[Mapping[str, tuple[Any, ...]]] = {}  # the range of each field that `draw` sets, or its choices

    def reference(self, *arrays: Any, **_: Any) -> Any:
        """The result on arrays, where no 16-bit float occurs; cast to the result's dtype afterwards."""
        return by_numpy(self.scalar, arrays)

    def scalar(self, *operands: Any, **_: Any) -> Expr:
        """The result on expressions; cast to the result's dtype afterwards."""
        built: Expr = BUILDERS[self.scalar_name](*operands)
        return built

    def result_dtype(self, *dtypes: DType) -> DType:
        """The dtype of the result."""
        return dtypes[0]

    def check(self, *types: Any, **_: Any) -> None:
        """Raise TypeInferenceError unless the types are acceptable."""
        if len({t.dtype for t in types}) > 1:
            got = " and ".join(str(t.dtype) for t in types)
            raise self.error(f"inputs must have one dtype, got {got}", *types, hint="insert a Cast")
        self.accept(*types)

    def infer(self, *types: TensorType) -> TensorType:
        if len(types) != self.arity:
            wanted = f"{self.arity} inputs"
            raise self.error(f"expected {wanted}, got {len(types)}", *types, hint=f"give {wanted}")
        self.check(*types)
        return TensorType(self.result_dtype(*[t.dtype for t in types]), broadcast(str(self), *[t.shape for t in types]))

    def numpy(self, *arrays: Any, **_: Any) -> Array:
        dtype = self.result_dtype(*map(dtype_of, arrays))
        with np.errstate(all="ignore"):
            return np.asarray(np.asarray(self.reference(*map(widened, arrays))).astype(dtype.numpy, copy=False))

    def compute(self, *tensors: te.Tensor) -> te.Tensor:
        shape = broadcast(str(self), *[t.shape for t in tensors])
        dtype = self.result_dtype(*map(dtype_of, tensors))

        def element(*indices: Expr) -> Expr:
            operands = [at(t, indices, shape) for t in tensors]
            return cast(self.scalar(*map(widened, operands) if self.widens else operands), dtype)

        return te.compute(shape, element, name=self.name.lower())

    def form(self, R: Any, *values: Any, **_: Any) -> Any:
        """TVM's operator of the same meaning, or what it makes of the scalar definition."""
        own = self.tvm_name and values[0].dtype.kind in self.tvm_accepts
        return R[self.tvm_name](*values) if own else by_tvm(R, self.scalar, values)

    def tvm(self, R: Any, *values: Any, **_: Any) -> Any:
        made = self.form(R, *(map(widened, values) if self.widens else values))
        return made.astype(self.result_dtype(*[v.dtype for v in values]))

    def permuted(self, at: int, order: Order, *types: TensorType) -> Permuted:
        order = lifted(order, max(t.rank for t in types))
        return Permuted(self, (order,) * len(types), order)

    @classmethod
    def attributes(cls, draw: Draw) -> dict[str, Any]:
        """Random values for the fields."""
        return {name: _drawn(draw, options) for name, options in cls.drawn.items()}

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        first = draw.type(cls.accepts)
        inputs = [first, *[TensorType(first.dtype, draw.broadcastable(first.shape)) for _ in range(cls.arity - 1)]]
        return cls(**cls.attributes(draw)), inputs[::-1] if draw.boolean() else inputs


def _drawn(draw: Draw, options: tuple[Any, ...]) -> Any:
    """A number between two floats, a flag, or one of the choices."""
    if isinstance(options[0], float):
        return draw.number(*options)
    return draw.boolean() if isinstance(options[0], bool) else draw.choice(options)


def named(base: type[E], name: str, meaning: str, scalar: str = "", tvm: str = "", **facts: Any) -> type[E]:
    """The operator `name`, which names define: of the builder of its expression, and of TVM's operator.

    Its module is the one that calls, as with `namedtuple`.
    """
    names = {"scalar_name": scalar, "tvm_name": tvm} if scalar else {}
    body = {"__module__": sys._getframe(1).f_globals["__name__"], "__doc__": meaning, **names, **facts}
    made: Any = new_class(name, (base,), {}, lambda namespace: namespace.update(body))
    return operator(made)


class BinaryOperator(Elementwise):
    """Base of the operators on two tensors that broadcast."""

    __slots__ = ()
    kind = Kind.BROADCAST
    arity = 2


class IntrinsicOperator(Elementwise):
    """Base of the functions that `te.intrinsics`, and TVM, know by the operator's name in lower case."""

    __slots__ = ()
    accepts = FLOAT
    widens = True

    def __init_subclass__(cls) -> None:
        cls.tvm_name = cls.__name__.lower()

    def scalar(self, x: Expr) -> Expr:
        return call(self.tvm_name, x)


@operator
class Identity(Elementwise):
    """The input."""

    accepts = ANY

    def numpy(self, x: Array) -> Array:
        return x

    def scalar(self, x: Expr) -> Expr:
        return x


@operator
class Abs(Elementwise):
    """|x|; the least integer stays itself."""

    reference, tvm_name, tvm_accepts = np.absolute, "abs", SIGNED

    def scalar(self, x: Expr) -> Expr:
        return x if x.dtype.kind == "uint" else abs(x)


@operator
class Sign(Elementwise):
    """-1, 0 or 1; NaN for NaN."""

    reference, tvm_name, tvm_accepts = np.sign, "sign", SIGNED

    def scalar(self, x: Expr) -> Expr:
        below = const(0, x.dtype) if x.dtype.kind == "uint" else select(x < 0, -1, const(0, x.dtype))
        sign = select(x > 0, 1, below)
        return select(x.not_equal(x), x, sign) if x.dtype.is_float else sign


@operator
class Reciprocal(Elementwise):
    """1 / x."""

    accepts = FLOAT

    def reference(self, x: Array) -> Any:
        return 1 / x

    def scalar(self, x: Expr) -> Expr:
        return 1.0 / x


@operator
class BitwiseNot(Elementwise):
    """Every bit of an integer flipped."""

    accepts = INTEGER
    reference, tvm_name = np.invert, "bitwise_not"

    def scalar(self, x: Expr) -> Expr:
        return binary("bitxor", x, const(-1, x.dtype))


Neg = named(
    Elementwise, "Neg", "-x; the least integer stays itself.", "neg", "negative", reference=np.negative, accepts=SIGNED
)
Floor = named(IntrinsicOperator, "Floor", "The greatest integer not above x.")
Ceil = named(IntrinsicOperator, "Ceil", "The least integer not below x.")
Round = named(IntrinsicOperator, "Round", "The nearest integer, the even one of two.")
Exp = named(IntrinsicOperator, "Exp", "e to the power x.")
Log = named(IntrinsicOperator, "Log", "The natural logarithm: NaN below 0, minus infinity at 0.")
Sqrt = named(IntrinsicOperator, "Sqrt", "The square root: NaN below 0.")
Sin = named(IntrinsicOperator, "Sin", "The sine of x radians.")
Cos = named(IntrinsicOperator, "Cos", "The cosine of x radians.")
Tan = named(IntrinsicOperator, "Tan", "The tangent of x radians.")
Asin = named(IntrinsicOperator, "Asin", "The arc sine: NaN outside of [-1, 1].")
Acos = named(IntrinsicOperator, "Acos", "The arc cosine: NaN outside of [-1, 1].")
Atan = named(IntrinsicOperator, "Atan", "The arc tangent.")
Sinh = named(IntrinsicOperator, "Sinh", "The hyperbolic sine.")
Cosh = named(IntrinsicOperator, "Cosh", "The hyperbolic cosine.")
Tanh = named(IntrinsicOperator, "Tanh", "The hyperbolic tangent.")
Asinh = named(IntrinsicOperator, "Asinh", "The inverse hyperbolic sine.")
Acosh = named(IntrinsicOperator, "Acosh", "The inverse hyperbolic cosine: NaN below 1.")
Atanh = named(IntrinsicOperator, "Atanh", "The inverse hyperbolic tangent: NaN outside of [-1, 1].")
Erf = named(IntrinsicOperator, "Erf", "The error function, 2/sqrt(pi) times the integral of exp(-t*t) from 0 to x.")
