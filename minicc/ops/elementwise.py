"""Operators whose element at a point is one expression of the inputs' elements there.

In: tensors that broadcast as in NumPy. Out: a tensor of the broadcast shape. A subclass of
`Elementwise` gives `reference`, on arrays, and `scalar`, on expressions; the rest follows.
Here: the base classes, and the functions of one input that need no attributes.

float16 and bfloat16 are computed in float32 and rounded once at the end.

>>> import numpy as np
>>> Round()(np.array([0.5, 1.5, -0.5]))
array([ 0.,  2., -0.])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Array, Draw, Example, Kind, Operator, dtype_of, like, operator
from minicc.tensor.expr import Const, Expr, binary, call, cast, const, select
from minicc.tensor.intrinsics import INTRINSICS
from minicc.types import DType, TensorType, broadcast, float32

NUMERIC = ("float", "int", "uint")
INTEGER = ("int", "uint")
SIGNED = ("float", "int")
ANY = ("float", "int", "uint", "bool")


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


def at(tensor: te.Tensor, indices: Sequence[Any], shape: Sequence[Any]) -> Expr:
    """The element of `tensor` that broadcasting to `shape` puts at `indices`; a constant is its literal."""
    body = getattr(tensor.op, "body", ())
    if not tensor.shape and body and isinstance(body[0], Const):
        return body[0]
    skipped = len(shape) - tensor.rank
    pairs = zip(tensor.shape, shape[skipped:], indices[skipped:], strict=True)
    return tensor[tuple(0 if dim == 1 != extent else index for dim, extent, index in pairs)]


class Widening(Operator):
    """Base of what computes 16-bit floats in float32 and rounds once, here on its way to TVM."""

    __slots__ = ()
    widens: ClassVar[bool] = True  # whether 16-bit floats must be float32 inside the definition
    tvm_name: ClassVar[str] = ""  # of the TVM operator that means the same, such as nn.relu, if there is one

    def form(self, R: Any, *values: Any, **_: Any) -> Any:
        """The form in TVM, where no 16-bit float occurs if the operator widens; rounded afterwards."""
        return R[self.tvm_name](*values) if self.tvm_name else super().tvm(R, *values)

    def tvm(self, R: Any, *values: Any, **_: Any) -> Any:
        result = self.form(R, *(map(widened, values) if self.widens else values))
        return result.astype(values[0].dtype) if result.dtype.is_float and values[0].dtype.is_float else result


class Elementwise(Widening):
    """Base: one input unless `arity` says otherwise, all of one dtype whose kind is in `accepts`."""

    __slots__ = ()
    kind: ClassVar[Kind] = Kind.ELEMENTWISE
    arity: ClassVar[int] = 1
    accepts: ClassVar[tuple[str, ...]] = NUMERIC
    widens: ClassVar[bool] = False

    def reference(self, *arrays: Any, **_: Any) -> Any:
        """The result on arrays, where no 16-bit float occurs; cast to the result's dtype afterwards."""
        raise NotImplementedError(self.name)

    def scalar(self, *operands: Any, **_: Any) -> Expr:
        """The result on expressions; cast to the result's dtype afterwards."""
        raise NotImplementedError(self.name)

    def result_dtype(self, *dtypes: DType) -> DType:
        """The dtype of the result."""
        return dtypes[0]

    def check(self, *types: Any, **_: Any) -> None:
        """Raise TypeInferenceError unless the types are acceptable."""
        first = types[0].dtype
        if any(t.dtype is not first for t in types):
            raise self.error(
                f"inputs must have one dtype, got {' and '.join(str(t.dtype) for t in types)}",
                *types,
                hint="insert a Cast",
            )
        self.accept(*types)

    def accept(self, *types: TensorType) -> None:
        """Raise TypeInferenceError unless every dtype is of an accepted kind."""
        for t in types:
            if t.dtype.kind not in self.accepts:
                raise self.error(
                    f"expected a dtype of kind {' or '.join(self.accepts)}, got {t.dtype}", *types, hint="insert a Cast"
                )

    def infer(self, *types: TensorType) -> TensorType:
        if len(types) != self.arity:
            raise self.error(
                f"expected {self.arity} inputs, got {len(types)}", *types, hint=f"give {self.arity} inputs"
            )
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

        return te.compute(shape, element, name=self.name.lower())  # type: ignore[no-any-return]

    @classmethod
    def attributes(cls, draw: Draw) -> dict[str, Any]:
        """Random values for the fields."""
        return {}

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        first = draw.type(cls.accepts)
        inputs = [first, *[TensorType(first.dtype, draw.broadcastable(first.shape)) for _ in range(cls.arity - 1)]]
        return cls(**cls.attributes(draw)), inputs[::-1] if draw.boolean() else inputs


class Binary(Elementwise):
    """Base of the operators on two tensors that broadcast."""

    __slots__ = ()
    kind: ClassVar[Kind] = Kind.BROADCAST
    arity: ClassVar[int] = 2


class Intrinsic(Elementwise):
    """Base of the functions that `te.intrinsics`, and TVM, know by the operator's name in lower case."""

    __slots__ = ()
    accepts: ClassVar[tuple[str, ...]] = ("float",)
    widens: ClassVar[bool] = True

    def scalar(self, x: Expr) -> Expr:
        return call(self.name.lower(), x)

    def form(self, R: Any, x: Any) -> Any:
        return R[self.name.lower()](x)


@operator
class Identity(Elementwise):
    """The input."""

    accepts: ClassVar[tuple[str, ...]] = ANY

    def numpy(self, x: Array) -> Array:
        return x

    def scalar(self, x: Expr) -> Expr:
        return x

    def form(self, R: Any, x: Any) -> Any:
        return x


@operator
class Neg(Elementwise):
    """-x; the least integer stays itself."""

    accepts: ClassVar[tuple[str, ...]] = SIGNED
    reference = staticmethod(np.negative)
    tvm_name: ClassVar[str] = "negative"

    def scalar(self, x: Expr) -> Expr:
        return -x


@operator
class Abs(Elementwise):
    """|x|; the least integer stays itself."""

    reference = staticmethod(np.absolute)

    def scalar(self, x: Expr) -> Expr:
        return x if x.dtype.kind == "uint" else abs(x)

    def form(self, R: Any, x: Any) -> Any:
        return x if x.dtype.kind == "uint" else R.abs(x)


@operator
class Sign(Elementwise):
    """-1, 0 or 1; NaN for NaN."""

    reference = staticmethod(np.sign)

    def scalar(self, x: Expr) -> Expr:
        below = const(0, x.dtype) if x.dtype.kind == "uint" else select(x < 0, -1, const(0, x.dtype))
        sign = select(x > 0, 1, below)
        return select(x.not_equal(x), x, sign) if x.dtype.is_float else sign

    def form(self, R: Any, x: Any) -> Any:
        return R.minimum(x, like(x, 1)) if x.dtype.kind == "uint" else R.sign(x)


@operator
class Reciprocal(Elementwise):
    """1 / x."""

    accepts: ClassVar[tuple[str, ...]] = ("float",)

    def reference(self, x: Array) -> Any:
        return 1 / x

    def scalar(self, x: Expr) -> Expr:
        return 1.0 / x

    def form(self, R: Any, x: Any) -> Any:
        return R.divide(like(x, 1), x)


@operator
class Floor(Intrinsic):
    """The greatest integer not above x."""

    reference = staticmethod(np.floor)


@operator
class Ceil(Intrinsic):
    """The least integer not below x."""

    reference = staticmethod(np.ceil)


@operator
class Round(Intrinsic):
    """The nearest integer, the even one of two."""

    reference = staticmethod(np.rint)


@operator
class Exp(Intrinsic):
    """e to the power x."""

    reference = staticmethod(np.exp)


@operator
class Log(Intrinsic):
    """The natural logarithm: NaN below 0, minus infinity at 0."""

    reference = staticmethod(np.log)


@operator
class Sqrt(Intrinsic):
    """The square root: NaN below 0."""

    reference = staticmethod(np.sqrt)


@operator
class Sin(Intrinsic):
    """The sine of x radians."""

    reference = staticmethod(np.sin)


@operator
class Cos(Intrinsic):
    """The cosine of x radians."""

    reference = staticmethod(np.cos)


@operator
class Tan(Intrinsic):
    """The tangent of x radians."""

    reference = staticmethod(np.tan)


@operator
class Asin(Intrinsic):
    """The arc sine: NaN outside of [-1, 1]."""

    reference = staticmethod(np.arcsin)


@operator
class Acos(Intrinsic):
    """The arc cosine: NaN outside of [-1, 1]."""

    reference = staticmethod(np.arccos)


@operator
class Atan(Intrinsic):
    """The arc tangent."""

    reference = staticmethod(np.arctan)


@operator
class Sinh(Intrinsic):
    """The hyperbolic sine."""

    reference = staticmethod(np.sinh)


@operator
class Cosh(Intrinsic):
    """The hyperbolic cosine."""

    reference = staticmethod(np.cosh)


@operator
class Tanh(Intrinsic):
    """The hyperbolic tangent."""

    reference = staticmethod(np.tanh)


@operator
class Asinh(Intrinsic):
    """The inverse hyperbolic sine."""

    reference = staticmethod(np.arcsinh)


@operator
class Acosh(Intrinsic):
    """The inverse hyperbolic cosine: NaN below 1."""

    reference = staticmethod(np.arccosh)


@operator
class Atanh(Intrinsic):
    """The inverse hyperbolic tangent: NaN outside of [-1, 1]."""

    reference = staticmethod(np.arctanh)


@operator
class Erf(Intrinsic):
    """The error function, 2/sqrt(pi) times the integral of exp(-t*t) from 0 to x."""

    def reference(self, x: Array) -> Any:
        return INTRINSICS["erf"].numpy(x)


@operator
class BitwiseNot(Elementwise):
    """Every bit of an integer flipped."""

    accepts: ClassVar[tuple[str, ...]] = INTEGER
    reference = staticmethod(np.invert)
    tvm_name: ClassVar[str] = "bitwise_not"

    def scalar(self, x: Expr) -> Expr:
        return binary("bitxor", x, const(-1, x.dtype))


__all__ = [
    "ANY", "INTEGER", "NUMERIC", "SIGNED", "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Binary",
    "BitwiseNot", "Ceil", "Cos", "Cosh", "Elementwise", "Erf", "Exp", "Floor", "Identity", "Intrinsic", "Log", "Neg",
    "Reciprocal", "Round", "Sign", "Sin", "Sinh", "Sqrt", "Tan", "Tanh",
    "Widening", "accumulator", "at", "widened",
]  # fmt: skip
