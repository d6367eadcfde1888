"""Contractions of small integers, summed in int32: the hearts of quantised networks.

In: data and weights of 8 or 16 bits each, signed or not, of two dtypes if one likes. Out: int32. A sum that does not fit
wraps around. Zero points are none of their business: a product of values with zero points is `ConvInteger(x - zx, w - wz)`
of differences in int16, from which `graph.quantize_products` takes the zero points out again, into `fill` and a term
for each output channel (Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference, section 2.3).

>>> import numpy as np
>>> MatMulInteger()(np.full((1, 3), 200, np.uint8), np.full((3, 1), -100, np.int8))
array([[-60000]], dtype=int32)
"""

from __future__ import annotations

from typing import Any, ClassVar

from minicc.ops.base import INTEGER, Draw, Example, operator
from minicc.ops.cast import Cast, convert
from minicc.ops.conv import Conv, Correlation
from minicc.ops.matmul import MatMul
from minicc.ops.padding import Pad
from minicc.ops.window import draw_windows
from minicc.tensor.expr import Expr
from minicc.types import DType, TensorType, int8, int16, int32, uint8

SMALL = (uint8, int8, int16)  # dtypes of the factors


def mixed(*dtypes: DType) -> str:
    """What is wrong with the dtypes of factors; empty when nothing is."""
    if all(dtype in SMALL for dtype in dtypes):
        return ""
    return (
        f"expected integers of {', '.join(map(str, SMALL[:-1]))} or {SMALL[-1]}, got {' and '.join(map(str, dtypes))}"
    )


@operator
class ConvInteger(Correlation):
    """Cross-correlation of `x[N, C, ...]` with `w[O, C/groups, kernel...]`, `fill` as padding, in int32.

    ONNX has the zero points as inputs (ConvInteger-10), and pads with that of the data.
    """

    contraction = False  # what scales its result cannot move into integer weights

    fill: int = 0

    @property
    def padded_by(self) -> int:
        return self.fill

    def mixed(self, x: DType, w: DType) -> str:
        low, high = x.range
        return mixed(x, w) or ("" if low <= self.fill <= high else f"expected a fill that {x} holds, got {self.fill}")

    def dtypes(self, x: DType) -> tuple[DType, DType]:
        return int32, int32

    def tvm(self, R: Any, x: Any, w: Any) -> Any:
        windows = self.windows(x.shape[2:], w.shape[2:])
        if any(v.far for v in windows):
            raise R.refuse(self, "TVM stores the padding")
        around = (0, 0, *[v.begin for v in windows], 0, 0, *[v.end for v in windows])
        whole = Pad(around, value=self.fill)(x.astype(int32))
        return Conv(self.strides, (), self.dilation, self.groups).tvm(R, whole, w.astype(int32))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank = draw.integer(1, 2)
        groups, inner, outer = draw.integer(1, 3), draw.integer(1, 3), draw.integer(1, 3)
        kernel = draw.shape(rank, 1, 3)
        dtypes = [draw.choice(SMALL) for _ in range(2)]
        x = TensorType(dtypes[0], (draw.integer(0, 2), groups * inner, *[2 * k + draw.integer(0, 3) for k in kernel]))
        fill = draw.integer(0, 1) * draw.integer(*map(int, x.dtype.range))
        op = cls(groups=groups, fill=fill, **draw_windows(draw, rank))
        return op, (x, TensorType(dtypes[1], (groups * outer, inner, *kernel)))


@operator
class MatMulInteger(MatMul):
    """The product of matrices, over all leading axes, which broadcast, in int32; vectors as MatMul takes them."""

    contraction: ClassVar[bool] = False
    accepts = INTEGER

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        if problem := mixed(a.dtype, b.dtype):
            raise self.error(problem, a, b, hint="quantise the factors, or use MatMul")
        return TensorType(int32, self.product(a, b).shape)

    def wide(self, operand: Any) -> Any:
        return convert(operand, int32) if isinstance(operand, Expr) else Cast(int32)(operand)

    def tvm(self, R: Any, a: Any, b: Any) -> Any:
        return R[self.tvm_name](a.astype(int32), b.astype(int32))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        _, types = MatMul.draw(draw)
        return cls(), [TensorType(draw.choice(SMALL), t.shape) for t in types]
