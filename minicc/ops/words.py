"""Contractions of bytes, four products a step: their operands are read as words of four bytes.

The bytes of the data have no sign, those of the weights have one, and lie four in a row along what is summed up; a word
is an int32 that holds four, the first lowest. So the operands have the shapes of the packed contractions of floats
(`ops.packed`), with a quarter of the depth, and a step is the intrinsic `dot4`: exact, modulo 2**32. Data with a sign and
weights without one are brought to this form by 128 (`graph.pack_bytes`). The method is that of gemmlowp and of the
instructions that were made for it (VNNI: Rodriguez et al. 2018, Lower Numerical Precision Deep Learning Inference).

>>> import numpy as np
>>> x = np.arange(8, dtype=np.uint8).reshape(2, 4)
>>> w = np.array([[[[1, -1, 0, 2]]]], np.int8)
>>> PackedMatMulInteger(columns=1)(AsWords()(x), AsWords()(w)[..., 0])
array([[ 5],
       [13]], dtype=int32)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Array, Draw, Example, Kind, Operator, operator, type_of
from minicc.ops.packed import PackedConv, PackedMatMul
from minicc.tensor.expr import Expr, call, cast, const, select, wrap
from minicc.types import TensorType, int8, int32, uint8

BYTES = 4  # of a word


def as_bytes(words: Array, dtype: Any, axis: int) -> Array:
    """The bytes of words, of this dtype, four times as many along an axis, as float64: sums of their products are exact."""
    last = np.ascontiguousarray(np.moveaxis(words, axis, -1)).view(dtype)
    return np.asarray(np.moveaxis(last, -1, axis), np.float64)


def word(x: te.Tensor, index: Sequence[Expr]) -> Expr:
    """The word at an index, of bytes along the last axis of `x`, of zeros behind its end."""
    *outer, i = index
    depth, total = x.shape[-1], wrap(0, int32)
    for k in range(min(BYTES, depth)):
        byte = (cast(x[(*outer, i * BYTES + k)], int32) & 255) << 8 * k
        whole = depth % BYTES == 0 or k < depth <= BYTES
        total = total | (byte if whole else select(i * BYTES + k < depth, byte, const(0, int32)))
    return total


@operator
class AsWords(Operator):
    """Four bytes in a row along the last axis, as one int32."""

    kind = Kind.INJECTIVE
    view = True

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype not in (int8, uint8) or not x.rank or x.shape[-1] % BYTES:
            raise self.error("expected int8 or uint8, multiples of 4 of them in a row", x, hint="pad the last axis")
        return TensorType(int32, (*x.shape[:-1], x.shape[-1] // BYTES))

    def numpy(self, x: Array) -> Array:
        return np.ascontiguousarray(x).view("<i4").astype(np.int32)

    def compute(self, x: te.Tensor) -> Any:
        return te.compute(self.infer(type_of(x)).shape, lambda *i: word(x, i), name="words")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(), (TensorType(draw.choice([int8, uint8]), (*draw.shape((0, 2)), BYTES * draw.integer(0, 3))),)


@operator
class PadToWords(Operator):
    """Bytes along the last axis, each four as one int32, zeros behind the end: a kernel that writes words, not bytes."""

    kind = Kind.INJECTIVE

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype not in (int8, uint8) or not x.rank:
            raise self.error("expected an axis of int8 or uint8", x)
        return TensorType(int32, (*x.shape[:-1], -(-x.shape[-1] // BYTES)))

    def numpy(self, x: Array) -> Array:
        return AsWords().numpy(np.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, -x.shape[-1] % BYTES)]))

    def compute(self, x: te.Tensor) -> Any:
        return te.compute(self.infer(type_of(x)).shape, lambda *i: word(x, i), name="words")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(), (TensorType(draw.choice([int8, uint8]), (*draw.shape((0, 2)), draw.integer(1, 9))),)


@operator
class PackedConvInteger(PackedConv):
    """A `PackedConv` of words of bytes, giving int32: `x[N, spatial..., C/4]`, `[blocks, kernel..., C/groups/4, block]`.

    The bytes around the data are `padding_byte`, what stands for 0 there.
    """

    padding_byte: int = 0

    @property
    def filling(self) -> int:
        return int(np.full(BYTES, self.padding_byte, np.uint8).view(np.int32)[0])

    def product(self, x: Expr, w: Expr) -> Expr:
        return call("dot4", x, w)

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        _check(self, x, w)
        if not 0 <= self.padding_byte < 256:
            raise self.error(f"expected a byte around the data, 0 to 255, got {self.padding_byte}", x, w)
        return PackedConv.infer(self, x, w)

    def numpy(self, x: Array, w: Array) -> Array:
        """The data less what is around it, with zeros around; and what that takes away."""
        data, weights = as_bytes(x, np.uint8, -1) - self.padding_byte, as_bytes(w, np.int8, -2)
        plain = PackedConv(self.channels, self.strides, self.padding, self.dilation, self.groups, self.auto_pad)
        around = weights.sum(axis=tuple(range(1, w.ndim - 1))).reshape(self.groups, -1)
        less = around[:, : self.channels // self.groups].reshape(-1) * self.padding_byte
        return np.asarray((plain.numpy(data, weights) + less).astype(np.int64).astype(np.int32))

    def expand(self, x: Any, w: Any) -> Any:
        raise NotImplementedError(self.name)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        plain, types = PackedConv.draw(draw)
        assert isinstance(plain, PackedConv)
        fields = {name: getattr(plain, name) for name in PackedConv.__match_args__}
        return cls(**fields, padding_byte=draw.integer(0, 255)), _words(draw, types)


@operator
class PackedMatMulInteger(PackedMatMul):
    """A `PackedMatMul` of words of bytes, giving int32: `[..., M, K/4]`, `[..., blocks, K/4, block]`."""

    def product(self, a: Expr, b: Expr) -> Expr:
        return call("dot4", a, b)

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        _check(self, a, b)
        return PackedMatMul.infer(self, a, b)

    def numpy(self, a: Array, b: Array) -> Array:
        found = PackedMatMul(self.columns).numpy(as_bytes(a, np.uint8, -1), as_bytes(b, np.int8, -2))
        return np.asarray(found.astype(np.int64).astype(np.int32))

    def expand(self, a: Any, b: Any) -> Any:
        raise NotImplementedError(self.name)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        plain, types = PackedMatMul.draw(draw)
        assert isinstance(plain, PackedMatMul)
        return cls(plain.columns), _words(draw, types)


def _check(op: Operator, x: TensorType, w: TensorType) -> None:
    if x.dtype is not int32 or w.dtype is not int32:
        raise op.error(f"expected words of bytes, which are int32, got {x.dtype} and {w.dtype}", x, w, hint="AsWords")


def _words(draw: Draw, types: Sequence[Any]) -> tuple[Array, ...]:
    """Any bits, of these shapes."""
    full = (TensorType(uint8, (*t.shape[:-1], BYTES * t.shape[-1])) for t in types)
    return tuple(AsWords().numpy(draw.array(t)) for t in full)
