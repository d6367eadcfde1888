"""Contractions of small integers, several products a step: their operands are read as words.

A word is an int32 that holds integers that lie in a row along what is summed up, the first lowest: four bytes, without a
sign in the data and with one in the weights, or two int16. So the operands have the shapes of the packed contractions of
floats (`ops.packed`), with a quarter or half of the depth, and a step is the intrinsic `dot4` or `dot2`: exact, modulo
2**32. `graph.pack_integers` chooses between them. The method is that of gemmlowp and of the instructions that were made
for it (VNNI: Rodriguez et al. 2018, Lower Numerical Precision Deep Learning Inference).

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
from minicc.types import DType, TensorType, int8, int16, int32, uint8

SMALL = (uint8, int8, int16)  # what a word may hold


def per_word(dtype: DType) -> int:
    """How many of such integers a word holds."""
    return int32.bytes // dtype.bytes


def held(words: Array, dtype: DType, axis: int) -> Array:
    """The integers in words, that many times as many along an axis, as float64: sums of their products are exact."""
    last = np.ascontiguousarray(np.moveaxis(words, axis, -1)).view(dtype.numpy)
    return np.asarray(np.moveaxis(last, -1, axis), np.float64)


def word(x: te.Tensor, index: Sequence[Expr]) -> Expr:
    """The word at an index, of integers along the last axis of `x`, of zeros behind its end."""
    *outer, i = index
    depth, each, bits, total = x.shape[-1], per_word(x.dtype), x.dtype.bits, wrap(0, int32)
    for k in range(min(each, depth)):
        part = (cast(x[(*outer, i * each + k)], int32) & (1 << bits) - 1) << bits * k
        whole = depth % each == 0 or k < depth <= each
        total = total | (part if whole else select(i * each + k < depth, part, const(0, int32)))
    return total


@operator
class AsWords(Operator):
    """Four bytes, or two int16, in a row along the last axis, as one int32."""

    kind = Kind.INJECTIVE
    view = True

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype not in SMALL or not x.rank or x.shape[-1] % per_word(x.dtype):
            raise self.error("expected bytes or int16, whole words of them in a row", x, hint="use PadToWords")
        return TensorType(int32, (*x.shape[:-1], x.shape[-1] // per_word(x.dtype)))

    def numpy(self, x: Array) -> Array:
        return np.ascontiguousarray(x).view("<i4").astype(np.int32)

    def compute(self, x: te.Tensor) -> Any:
        return te.compute(self.infer(type_of(x)).shape, lambda *i: word(x, i), name="words")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        dtype = draw.choice(SMALL)
        return cls(), (TensorType(dtype, (*draw.shape((0, 2)), per_word(dtype) * draw.integer(0, 3))),)


@operator
class PadToWords(Operator):
    """`AsWords` with zeros behind the end of the last axis: a kernel that writes words, not integers and then more."""

    kind = Kind.INJECTIVE

    def infer(self, x: TensorType) -> TensorType:
        if x.dtype not in SMALL or not x.rank:
            raise self.error("expected an axis of bytes or int16", x)
        return TensorType(int32, (*x.shape[:-1], -(-x.shape[-1] // per_word(x.dtype))))

    def numpy(self, x: Array) -> Array:
        return AsWords().numpy(np.pad(x, [*[(0, 0)] * (x.ndim - 1), (0, -x.shape[-1] % per_word(type_of(x).dtype))]))

    def compute(self, x: te.Tensor) -> Any:
        return te.compute(self.infer(type_of(x)).shape, lambda *i: word(x, i), name="words")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(), (TensorType(draw.choice(SMALL), (*draw.shape((0, 2)), draw.integer(1, 9))),)


@operator
class PackedConvInteger(PackedConv):
    """A `PackedConv` of words, giving int32: `x[N, spatial..., words]`, `[blocks, kernel..., words of a group, block]`.

    The words hold bytes, or int16 if they are `halves`; an integer around the data is `fill`, what stands for 0 there.
    """

    fill: int = 0
    halves: bool = False

    @property
    def filling(self) -> int:
        dtype = factors(self.halves)[0]
        return int(np.full(per_word(dtype), self.fill, dtype.numpy).view(np.int32)[0])

    def product(self, x: Expr, w: Expr) -> Expr:
        return call("dot2" if self.halves else "dot4", x, w)

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        _check(self, x, w)
        low, high = factors(self.halves)[0].range
        if not low <= self.fill <= high:
            raise self.error(f"expected an integer around the data, {low} to {high}, got {self.fill}", x, w)
        return PackedConv.infer(self, x, w)

    def numpy(self, x: Array, w: Array) -> Array:
        """The data less what is around it, with zeros around; and what that takes away."""
        data, weights = (held(v, t, -1 - k) for k, (v, t) in enumerate(zip((x, w), factors(self.halves), strict=True)))
        plain = PackedConv(self.channels, self.strides, self.padding, self.dilation, self.groups, self.auto_pad)
        around = weights.sum(axis=tuple(range(1, w.ndim - 1))).reshape(self.groups, -1)
        less = around[:, : self.channels // self.groups].reshape(-1) * self.fill
        return np.asarray((plain.numpy(data - self.fill, weights) + less).astype(np.int64).astype(np.int32))

    def expand(self, x: Any, w: Any) -> Any:
        raise NotImplementedError(self.name)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        plain, types = PackedConv.draw(draw)
        assert isinstance(plain, PackedConv)
        fields = {name: getattr(plain, name) for name in PackedConv.__match_args__}
        return cls(**fields, fill=draw.integer(0, 255), halves=draw.boolean()), _words(draw, types)


@operator
class PackedMatMulInteger(PackedMatMul):
    """A `PackedMatMul` of words, giving int32: `[..., M, words]`, `[..., blocks, words, block]`, of bytes or of `halves`."""

    halves: bool = False

    def product(self, a: Expr, b: Expr) -> Expr:
        return call("dot2" if self.halves else "dot4", a, b)

    def infer(self, a: TensorType, b: TensorType) -> TensorType:
        _check(self, a, b)
        return PackedMatMul.infer(self, a, b)

    def numpy(self, a: Array, b: Array) -> Array:
        left, right = (held(v, t, -1 - k) for k, (v, t) in enumerate(zip((a, b), factors(self.halves), strict=True)))
        return np.asarray(PackedMatMul(self.columns).numpy(left, right).astype(np.int64).astype(np.int32))

    def expand(self, a: Any, b: Any) -> Any:
        raise NotImplementedError(self.name)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        plain, types = PackedMatMul.draw(draw)
        assert isinstance(plain, PackedMatMul)
        return cls(plain.columns, draw.boolean()), _words(draw, types)


def factors(halves: bool) -> tuple[DType, DType]:
    """The dtypes of data and weights in words."""
    return (int16, int16) if halves else (uint8, int8)


def _check(op: Operator, x: TensorType, w: TensorType) -> None:
    if x.dtype is not int32 or w.dtype is not int32:
        raise op.error(f"expected words, which are int32, got {x.dtype} and {w.dtype}", x, w, hint="AsWords")


def _words(draw: Draw, types: Sequence[Any]) -> tuple[Array, ...]:
    """Any bits, of these shapes."""
    full = (TensorType(uint8, (*t.shape[:-1], per_word(uint8) * t.shape[-1])) for t in types)
    return tuple(AsWords().numpy(draw.array(t)) for t in full)
