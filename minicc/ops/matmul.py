"""Matrix products.

In: tensors of one numeric dtype. Out: that dtype. float16 and bfloat16 are multiplied and summed
in float32, and rounded once; integers wrap around.

>>> import numpy as np
>>> MatMul()(np.ones((2, 3)), np.ones(3))
array([3., 3.])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ops.arithmetic import Add, Mul
from minicc.ops.base import NUMERIC, Array, Draw, Example, Kind, Operator, dtype_of, like, operator, same_dim, type_of
from minicc.ops.cast import Cast
from minicc.ops.conv import rounded
from minicc.ops.elementwise import Widening, at
from minicc.ops.movement import Transpose
from minicc.ops.scalar import accumulator, widened
from minicc.tensor.expr import Expr
from minicc.types import TensorType, broadcast


def _check_dtypes(op: Operator, *types: TensorType) -> None:
    """Raise unless all are of one numeric dtype."""
    dtypes = [t.dtype for t in types]
    if len(set(dtypes)) > 1 or dtypes[0].kind not in NUMERIC:
        problem = f"expected tensors of one numeric dtype, got {' and '.join(map(str, dtypes))}"
        raise op.error(problem, *types, hint="insert a Cast")


@operator
class MatMul(Widening):
    """The product of matrices, over all leading axes, which broadcast.

    As in NumPy, a vector is a row on the left and a column on the right, and that axis is dropped.
    """

    kind = Kind.ANCHOR
    contraction = True
    tvm_name = "matmul"

    def wide(self, operand: Any) -> Any:
        """An array, or an expression, in the dtype of the sum."""
        return widened(operand)

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        _check_dtypes(self, a, b)
        return self.product(a, b)

    def product(self, a: TensorType, b: TensorType) -> TensorType:
        """The type of the product, in the dtype of `a`; raises where the shapes do not fit."""
        if not a.rank or not b.rank:
            raise self.error("expected at least one axis each, got a scalar", a, b, hint="use Mul")
        inner = a.shape[-1], b.shape[-2] if b.rank > 1 else b.shape[0]
        if not same_dim(*inner):
            hint = "transpose one of them: the last axis of the left meets the last but one of the right"
            raise self.error(f"inner dimensions must be equal, got {inner[0]} and {inner[1]}", a, b, hint=hint)
        batch = broadcast(str(self), a.shape[:-2], b.shape[:-2])
        return TensorType(a.dtype, (*batch, *a.shape[-2:-1], *(b.shape[-1:] if b.rank > 1 else ())))

    def numpy(self, a: Array, b: Array) -> Array:
        with np.errstate(all="ignore"):
            product = np.asarray(np.matmul(self.wide(a), self.wide(b)))
        return product.astype(self.infer(type_of(a), type_of(b)).dtype.numpy, copy=False)

    def compute(self, a: te.Tensor, b: te.Tensor) -> te.Tensor:
        batch = broadcast(str(self), a.shape[:-2], b.shape[:-2])
        rows, columns = a.shape[-2:-1], b.shape[-1:] if b.rank > 1 else ()
        k = te.reduce_axis((0, a.shape[-1]), name="k")
        extent = a.shape[-1]

        def element(*indices: Expr) -> Expr:
            outer, rest = indices[: len(batch)], list(indices[len(batch) :])
            row = (rest.pop(0),) if rows else ()
            left = at(a, (*(outer if a.rank > 1 else ()), *row, k.var), (*(batch if a.rank > 1 else ()), *rows, extent))
            right = at(
                b, (*(outer if b.rank > 1 else ()), k.var, *rest), (*(batch if b.rank > 1 else ()), extent, *columns)
            )
            return te.sum(self.wide(left) * self.wide(right), axis=k)

        names = [*[f"b{d}" for d in range(len(batch))], *("i" for _ in rows), *("j" for _ in columns)]
        product = te.compute((*batch, *rows, *columns), element, name="matmul", names=names)
        return rounded(product, self.infer(type_of(a), type_of(b)).dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        dtype, inner = draw.dtype(NUMERIC), draw.integer(0, 7)
        batch = draw.shape((0, 2))
        left = (*draw.broadcastable(batch), draw.integer(0, 7), inner) if draw.integer(0, 4) else (inner,)
        right = (*batch, inner, draw.integer(0, 7)) if draw.integer(0, 4) else (inner,)
        return cls(), [TensorType(dtype, left), TensorType(dtype, right)]


@operator
class Gemm(Operator):
    """alpha * a @ b + beta * c, with a and b transposed where asked for; c, optional, broadcasts."""

    kind = Kind.ANCHOR
    composite = True
    onnx_fields = {"transA": "trans_a", "transB": "trans_b"}

    alpha: float = 1.0
    beta: float = 1.0
    trans_a: bool = False
    trans_b: bool = False

    def infer(self, a: TensorType, b: TensorType, c: TensorType | None = None) -> TensorType:
        types = (a, b) if c is None else (a, b, c)
        _check_dtypes(self, *types)
        if a.rank != 2 or b.rank != 2:
            hint = "use MatMul for more or fewer dimensions, or Flatten first"
            raise self.error(f"a and b must be matrices, got ranks {a.rank} and {b.rank}", *types, hint=hint)
        if a.dtype.is_integer and (self.alpha % 1 or self.beta % 1):
            hint = "insert a Cast"
            raise self.error(f"integers need whole alpha and beta, got {self.alpha} and {self.beta}", *types, hint=hint)
        rows, inner = a.shape[::-1] if self.trans_a else a.shape
        inner_b, columns = b.shape[::-1] if self.trans_b else b.shape
        if not same_dim(inner, inner_b):
            hint = "set transA or transB, or transpose the data"
            raise self.error(f"inner dimensions must be equal, got {inner} and {inner_b}", *types, hint=hint)
        result = TensorType(a.dtype, (rows, columns))
        if c is not None and broadcast(str(self), result.shape, c.shape) != result.shape:
            hint = "give c one value for each column, or one for all"
            raise self.error(f"c must broadcast to {result.shape}, got {c.shape}", *types, hint=hint)
        return result

    def expand(self, a: Any, b: Any, c: Any = None) -> Any:
        dtype = dtype_of(a)
        wide = accumulator(dtype)
        if wide is not dtype:
            a, b = Cast(wide)(a), Cast(wide)(b)
            c = c if c is None else Cast(wide)(c)
        product = MatMul()(Transpose((1, 0))(a) if self.trans_a else a, Transpose((1, 0))(b) if self.trans_b else b)
        if self.alpha != 1:
            product = Mul()(product, like(product, self.alpha))
        if c is not None and self.beta != 0:
            product = Add()(product, Mul()(c, like(c, self.beta)) if self.beta != 1 else c)
        return product if wide is dtype else Cast(dtype)(product)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        dtype = draw.dtype(NUMERIC)
        rows, inner, columns = (draw.integer(0, 7) for _ in range(3))
        alpha, beta = (draw.choice((1.0, 0.0, 2.0) if dtype.is_integer else (1.0, 0.0, -0.5)) for _ in range(2))
        op = cls(alpha, beta, draw.boolean(), draw.boolean())
        shapes: list[tuple[int, ...]] = [
            (inner, rows) if op.trans_a else (rows, inner),
            (columns, inner) if op.trans_b else (inner, columns),
        ]
        if draw.boolean():
            shapes.append(draw.broadcastable((rows, columns)))
        return op, [TensorType(dtype, shape) for shape in shapes]
