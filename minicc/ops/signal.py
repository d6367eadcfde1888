"""Fourier transforms: DFT and STFT, as products with the matrix of the transform.

In: a signal whose last axis holds real numbers (extent 1), or real and imaginary parts (extent 2). Out: its transform in
the same form. Of the lengths that models have (a frame of some hundred samples), a product with a matrix takes less than
what goes around a fast transform; its terms are computed in 64 bits and rounded once.

>>> import numpy as np
>>> DFT(onesided=True)(np.float64([[[1], [2]]])).round(6).tolist()
[[[3.0, 0.0], [-1.0, -0.0]]]
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicc.ops.arithmetic import Add, Mul, Sub
from minicc.ops.base import FLOAT, OPERAND, Array, Draw, Example, Operand, Operator, axis_of, dtype_of, number, operator
from minicc.ops.given import Given
from minicc.ops.indexing import Gather
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Concat, Slice, Transpose
from minicc.ops.shape import Reshape
from minicc.types import TensorType, float32, float64

LONGEST = 8192  # samples of a transform: its matrix has as many rows and columns


def matrix(length: int, rows: int, inverse: bool) -> Array:
    """exp(-2 pi i k n / length) for n of `rows` and every k; the inverse has the other sign, and is divided by the length."""
    turns = np.outer(np.arange(rows), np.arange(length)) % length / length
    terms = np.exp(2j * np.pi * turns * (1 if inverse else -1))
    return np.asarray(terms / length if inverse else terms)


def transformed(x: Any, terms: Array, real: bool) -> Any:
    """Rows `[..., n, parts]` times the matrix; with `real` only the real part."""
    kind, parts = dtype_of(x).numpy, x.shape[-1]
    cosine, sine = terms.real.astype(kind), terms.imag.astype(kind)
    shape = tuple(x.shape[:-1])
    a = Reshape(shape, True)(Slice((0,), (1,), (len(shape),))(x))
    first, second = MatMul()(a, cosine), None if real else MatMul()(a, sine)
    if parts == 2:
        b = Reshape(shape, True)(Slice((1,), (2,), (len(shape),))(x))
        first = Sub()(first, MatMul()(b, sine))
        second = None if second is None else Add()(second, MatMul()(b, cosine))
    results = [first] if second is None else [first, second]
    columns = [Reshape((*shape[:-1], terms.shape[1], 1), True)(part) for part in results]
    return columns[0] if second is None else Concat(len(shape))(*columns)


@operator
class DFT(Operator):
    """The discrete Fourier transform along `axis` of `dft_length` samples, cut or filled up with zeros.

    With `onesided` only the frequencies up to the half come out; of an inverse they go in, and real samples come out.
    """

    composite = True
    accepts = FLOAT
    operands = ("dft_length", "axis")

    dft_length: int | Operand | None = None
    axis: int | Operand = -2
    inverse: bool = False
    onesided: bool = False

    def _plan(self, x: TensorType) -> tuple[int, int, int, int]:
        """The axis, the samples that are read, the length of the transform, and the samples that come out."""
        axis = axis_of(self, int(number(self.axis)), x)
        extent = x.shape[axis]
        folded = self.inverse and self.onesided
        length = int(number(self.dft_length)) if self.dft_length is not None else 2 * (extent - 1) if folded else extent
        half = length // 2 + 1
        read = min(extent, half if folded else length)
        return axis, read, length, half if self.onesided and not self.inverse else length

    def infer(self, x: TensorType) -> TensorType:
        self.accept(x)
        if x.rank < 2 or x.shape[-1] not in (1, 2):
            raise self.error(f"expected an axis of 1 or 2 parts behind a signal, got {x}", x)
        axis, _, length, count = self._plan(x)
        if axis == x.rank - 1 or not 0 < length <= LONGEST:
            raise self.error(f"expected 1 to {LONGEST} samples along another axis than the last one, got {length}", x)
        if self.onesided and not self.inverse and x.shape[-1] == 2:
            raise self.error("half of the frequencies say all of real signals only", x, hint="onesided=0")
        shape = list(x.shape)
        shape[axis], shape[-1] = count, 1 if self.inverse and self.onesided else 2
        return TensorType(x.dtype, tuple(shape))

    def expand(self, x: Any) -> Any:
        axis, read, length, count = self._plan(TensorType(dtype_of(x), tuple(x.shape)))
        rank = len(x.shape)
        order = (*[d for d in range(rank - 1) if d != axis], axis, rank - 1)
        rows = Slice((0,), (read,), (rank - 2,))(Transpose(order)(x))
        terms = matrix(length, read, self.inverse)
        folded = self.inverse and self.onesided
        if folded:  # each frequency but the first, and the last of an even length, stands for two
            twice = np.where((np.arange(read) == 0) | (2 * np.arange(read) == length), 1.0, 2.0)
            terms = terms * twice[:, None]
        back = tuple(order.index(d) for d in range(rank))
        return Transpose(back)(transformed(rows, terms[:, :count], folded))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        inverse, onesided = draw.boolean(), draw.boolean()
        parts = 1 if onesided and not inverse else draw.integer(1, 2)
        shape = (*draw.shape((1, 2), 1, 4), parts)
        axis = draw.integer(0, len(shape) - 2)
        least = 2 if inverse and onesided else 1
        shape = (*shape[:axis], max(shape[axis], least), *shape[axis + 1 :])
        length = draw.choice((None, draw.integer(1, 6)))
        return cls(length, axis - draw.choice((0, len(shape))), inverse, onesided), (
            TensorType(draw.choice((float32, float64)), shape),
        )


@operator
class STFT(Given):
    """The transforms of windows of a signal `[batch, samples, parts]`, one each `frame_step`: `[batch, frames, bins, 2]`."""

    accepts = FLOAT
    inputs: ClassVar[tuple[str, ...]] = ("signal", "window")
    required: ClassVar[int] = 1
    operands = ("frame_step", "frame_length")

    given: tuple[str, ...] = ("signal",)
    frame_step: int | Operand = OPERAND
    frame_length: int | Operand | None = None
    onesided: bool = True

    def _plan(self, *types: TensorType) -> tuple[int, int, int]:
        """The frames, the samples of each, and their step."""
        samples, step = types[0].shape[1], int(number(self.frame_step))
        length = int(number(self.frame_length)) if self.frame_length is not None else 0
        length = length or (types[1].shape[0] if len(types) > 1 else samples)
        if step < 1 or not 0 < length <= min(samples, LONGEST):
            raise self.error(
                f"expected steps and frames of 1 to {min(samples, LONGEST)} samples, got {step}, {length}", *types
            )
        return (samples - length) // step + 1, length, step

    def infer(self, *types: TensorType) -> TensorType:
        signal = self.check(types)["signal"]
        self.accept(*types)
        if signal.rank != 3 or signal.shape[2] not in (1, 2) or (self.onesided and signal.shape[2] == 2):
            raise self.error(f"expected [batch, samples, 1], or 2 parts and onesided=0, got {signal}", *types)
        if len(types) > 1 and (types[1].rank != 1 or types[1].dtype is not signal.dtype):
            raise self.error(f"expected a window [samples] of {signal.dtype}, got {types[1]}", *types)
        frames, length, _ = self._plan(*types)
        if len(types) > 1 and types[1].shape[0] != length:
            raise self.error(f"expected a window of {length} samples, got {types[1]}", *types)
        return TensorType(signal.dtype, (signal.shape[0], frames, length // 2 + 1 if self.onesided else length, 2))

    def expand(self, *values: Any) -> Any:
        types = [TensorType(dtype_of(v), tuple(v.shape)) for v in values]
        frames, length, step = self._plan(*types)
        x = Gather(1)(
            values[0], np.arange(frames)[:, None] * step + np.arange(length)
        )  # [batch, frames, length, parts]
        if len(values) > 1:
            x = Mul()(x, Reshape((length, 1), True)(values[1]))
        count = length // 2 + 1 if self.onesided else length
        return transformed(x, matrix(length, length, False)[:, :count], False)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        onesided, length = draw.boolean(), draw.integer(1, 4)
        samples = draw.integer(length, 8)
        dtype = draw.choice((float32, float64))
        signal = TensorType(dtype, (draw.integer(1, 2), samples, 1 if onesided else draw.integer(1, 2)))
        given = draw.choice((("signal",), cls.inputs))
        window = TensorType(dtype, (length,))
        known = draw.choice((None, length)) if len(given) > 1 else length
        return cls(given, draw.integer(1, 3), known, onesided), (signal, window)[: len(given)]
