"""Convolution and its transpose, in one to three spatial dimensions, with groups.

In: data `[N, C, spatial...]` and weights. Out: `[N, O, spatial...]`. The bias that ONNX allows as
a third input is an Add, which fuses. 16-bit floats are summed in float32.

>>> import numpy as np
>>> Conv(padding=(1, 1))(np.ones((1, 1, 4)), np.ones((1, 1, 3)))
array([[[2., 3., 3., 2.]]])
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Array, Draw, Example, Kind, operator, same_dim, type_of
from minicc.ops.padding import Pad, padded_with
from minicc.ops.scalar import accumulator
from minicc.ops.window import AUTO_PADS, LETTERS, LONGEST, Sliding, Window, Windowed, longest, views
from minicc.tensor.expr import Expr, all_of, cast, const, select
from minicc.types import DType, TensorType


def rounded(x: Any, dtype: DType) -> Any:
    """`x` in `dtype`: a stage of its own, as a sum must be the whole body of its tensor."""
    return x if x.dtype is dtype else te.compute(x.shape, lambda *i: cast(x[i], dtype), name="cast")


def reduce_axes(channels: int, kernel: Sequence[int]) -> tuple[te.Axis, list[te.Axis]]:
    """The reduction axes `ic` and `kd, kh, kw`."""
    taps = [te.reduce_axis((0, k), name=f"k{letter}") for k, letter in zip(kernel, LETTERS[len(kernel)], strict=True)]
    return te.reduce_axis((0, channels), name="ic"), taps


def result_names(rank: int) -> list[str]:
    """The names of the spatial axes of a result: n, oc, and od, oh, ow."""
    return ["n", "oc", *[f"o{letter}" for letter in LETTERS[rank]]]


def _check(op: Any, x: TensorType, w: TensorType, channels: int) -> None:
    """What Conv and ConvTranspose ask alike; `channels` are those of `x` that `w` says."""
    problem = (
        op.sliding.problem(x.rank - 2, w.shape[2:]) if x.rank == w.rank else "expected data and weights of one rank"
    )
    if not problem and x.dtype is not w.dtype:
        problem = f"expected weights of {x.dtype} as the data, got {w.dtype}"
    if not problem and (op.groups < 1 or not same_dim(x.shape[1], channels) or w.shape[0] % op.groups):
        problem = f"expected {channels} input channels, and channels that {op.groups} groups divide"
    if problem:
        raise op.error(problem, x, w)


def tvm_attributes(windows: Sequence[Window]) -> tuple[list[int], list[int], list[int]]:
    """Strides, padding (all begins, then all ends) and dilation, as TVM takes them."""
    padding = [v.begin for v in windows] + [v.end for v in windows]
    return [v.stride for v in windows], padding, [v.dilation for v in windows]


@operator
class Conv(Windowed):
    """Cross-correlation of `x[N, C, ...]` with `w[O, C/groups, kernel...]`, zeros as padding."""

    kind: ClassVar[Kind] = Kind.ANCHOR
    contraction = True

    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    auto_pad: str = "NOTSET"

    @property
    def sliding(self) -> Sliding:
        return Sliding(self.strides, self.padding, self.dilation, self.auto_pad)

    def _cut(self, x: Any, w: Any) -> list[Window]:
        return [window.cut() for window in self.sliding.windows(x.shape[2:], w.shape[2:])]

    def is_whole(self, x: Any, w: Any) -> bool:
        """Whether every tap of the weights meets data, and the padding is small."""
        return all(v.kernel == taps and not v.far for v, taps in zip(self._cut(x, w), w.shape[2:], strict=True))

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        _check(self, x, w, w.shape[1] * self.groups if w.rank > 1 else 0)
        windows = self.sliding.windows(x.shape[2:], w.shape[2:])
        if problem := longest(windows):
            raise self.error(problem, x, w, hint="pad by less")
        if any(window.count == 0 for window in windows):
            raise self.error(
                f"the kernel {w.shape[2:]} is larger than the padded data",
                x,
                w,
                hint="choose a smaller kernel or dilation, or larger pads",
            )
        return TensorType(x.dtype, (x.shape[0], w.shape[0], *[window.count for window in windows]))

    def numpy(self, x: Array, w: Array) -> Array:
        result = self.infer(type_of(x), type_of(w))
        wide = accumulator(result.dtype).numpy
        windows = self._cut(x, w)
        w = w[(slice(None), slice(None), *[slice(v.first, v.first + v.kernel) for v in windows])]
        seen = views(x.astype(wide, copy=False), windows, 0)
        groups, rank, points = self.groups, x.ndim - 2, math.prod(result.shape[2:])
        seen = seen.reshape(x.shape[0], groups, w.shape[1], *seen.shape[2:])
        # [N, groups, points, C/groups * taps] @ [groups, C/groups * taps, O/groups]
        order = (0, 1, *range(3, 3 + rank), 2, *range(3 + rank, 3 + 2 * rank))
        depth = math.prod(w.shape[1:])
        columns = seen.transpose(order).reshape(x.shape[0], groups, points, depth)
        weights = w.astype(wide, copy=False).reshape(groups, w.shape[0] // groups, depth).transpose(0, 2, 1)
        with np.errstate(all="ignore"):
            product = np.matmul(columns, weights).swapaxes(2, 3)
            rows: Array = product.reshape(result.shape).astype(result.dtype.numpy)
        return rows

    def compute(self, x: Any, w: Any) -> Any:
        result = self.infer(type_of(x), type_of(w))
        windows, wide = self._cut(x, w), accumulator(x.dtype)
        far = any(v.far for v in windows)  # then padding is a condition
        if not far and any(v.begin > 0 or v.overhang > 0 for v in windows):
            x = padded_with(x, [(0, 0), (0, 0), *[(max(v.begin, 0), max(v.overhang, 0)) for v in windows]], 0)
            windows = [replace(v, begin=min(v.begin, 0)) for v in windows]
        ic, taps = reduce_axes(w.shape[1], [v.kernel for v in windows])
        per_group = w.shape[0] // self.groups

        def element(n: Expr, oc: Expr, *o: Expr) -> Expr:
            channel = ic.var if self.groups == 1 else oc // per_group * w.shape[1] + ic.var
            places = [v.place(i, k.var) for i, k, v in zip(o, taps, windows, strict=True)]
            left, right = (
                x[(n, channel, *places)],
                w[(oc, ic.var, *[k.var + v.first for k, v in zip(taps, windows, strict=True)])],
            )
            product = cast(left, wide) * cast(right, wide)
            if far:
                inside = [cond for i, p, v in zip(o, places, windows, strict=True) for cond in v.inside(i, p)]
                product = select(all_of(*inside), product, const(0, wide))
            return te.sum(product, axis=[ic, *taps])

        conv = te.compute(result.shape, element, name="conv", names=result_names(len(windows)))
        return rounded(conv, result.dtype)

    def tvm(self, R: Any, x: Any, w: Any) -> Any:
        windows, wide = self.sliding.windows(x.shape[2:], w.shape[2:]), accumulator(x.dtype)
        if any(v.far for v in windows):
            raise R.refuse(self, "TVM stores the padding")
        convolve = R[f"nn.conv{len(windows)}d"]
        strides, padding, dilation = tvm_attributes(windows)
        return convolve(x.astype(wide), w.astype(wide), strides, padding, dilation, self.groups).astype(x.dtype)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank = draw.integer(1, 2)
        attributes = draw_sliding(draw, rank)
        groups, inner, outer = draw.integer(1, 3), draw.integer(1, 3), draw.integer(1, 3)
        kernel = draw.shape(rank, 1, 3)
        dtype = draw.dtype(("float",))
        spatial = tuple(2 * k + draw.integer(0, 3) for k in kernel)
        x = TensorType(dtype, (draw.integer(0, 2), groups * inner, *spatial))
        return cls(*attributes[:3], groups, attributes[3]), (x, TensorType(dtype, (groups * outer, inner, *kernel)))


def draw_sliding(draw: Draw, rank: int, dilations: int = 2) -> tuple[Any, Any, Any, str]:
    """Strides, padding, dilation and auto_pad, each the default now and then."""
    auto_pad = draw.choice(["NOTSET", *AUTO_PADS])
    padding = draw.shape(2 * rank, 0, 2) if auto_pad == "NOTSET" and draw.boolean() else ()
    strides = draw.shape(rank, 1, 3) if draw.boolean() else ()
    return strides, padding, draw.shape(rank, 1, dilations) if draw.boolean() else (), auto_pad


def _falls(v: Window, tap: int) -> tuple[int, slice, slice] | None:
    """The tap, which elements it spreads onto the result, and where they fall; None where none does."""
    ahead = v.begin - tap * v.dilation
    low, high = max(0, -(-ahead // v.stride)), min(v.count - 1, (v.size - 1 + ahead) // v.stride)
    if low > high:
        return None
    start = low * v.stride - ahead
    return tap, slice(low, high + 1), slice(start, start + (high - low) * v.stride + 1, v.stride)


@operator
class ConvTranspose(Windowed):
    """The transpose of a convolution: every element of `x` spreads `w[C, O/groups, kernel...]`.

    Of the full result `padding` is cropped, and `output_padding` added at the end. An
    `output_shape` decides the padding instead: half on each side, the odd one at the end for
    SAME_UPPER, else at the begin.
    """

    kind: ClassVar[Kind] = Kind.ANCHOR
    contraction = True

    strides: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    auto_pad: str = "NOTSET"
    output_padding: tuple[int, ...] = ()
    output_shape: tuple[int, ...] = ()

    @property
    def sliding(self) -> Sliding:
        return Sliding(self.strides, self.padding, self.dilation, self.auto_pad)

    def windows(self, spatial: Sequence[int], kernel: Sequence[int]) -> tuple[Window, ...]:
        """Along each axis the window of the convolution that this transposes: it slides over the result."""
        rank = len(spatial)
        strides, padding, dilation = self.sliding.attributes(rank)
        extra = self.output_padding or (0,) * rank
        found = []
        for a, (count, taps) in enumerate(zip(spatial, kernel, strict=True)):
            full = (count - 1) * strides[a] + (taps - 1) * dilation[a] + 1 + extra[a]
            begin, end = (0, 0) if self.auto_pad == "VALID" else (padding[a], padding[a + rank])
            size = full - begin - end
            if self.output_shape or self.auto_pad.startswith("SAME"):
                size = self.output_shape[a - rank] if self.output_shape else count * strides[a]
                total = max(full - size, 0)
                begin = total // 2 if self.auto_pad == "SAME_UPPER" else total - total // 2
            # of one element or one tap the distance means nothing, however large it is
            found.append(
                Window(size, taps, strides[a] if count > 1 else 1, dilation[a] if taps > 1 else 1, begin, 0, count)
            )
        return tuple(found)

    def _problem(self, x: TensorType, w: TensorType) -> str:
        """What is wrong with the attributes that Conv does not have; empty when nothing is."""
        rank = x.rank - 2
        if len(self.output_padding) not in (0, rank) or len(self.output_shape) not in (0, rank, rank + 2):
            return f"expected {rank} of output_padding and of output_shape, got {self.output_padding} and {self.output_shape}"
        whole = (x.shape[0], w.shape[1] * self.groups)
        if len(self.output_shape) > rank and not all(map(same_dim, whole, self.output_shape)):
            return f"output_shape must begin with batch and channels, {whole}, got {self.output_shape}"
        strides, _, dilation = self.sliding.attributes(rank)
        limits = [max(pair) for pair in zip(strides, dilation, strict=True)]
        if any(not 0 <= extra < limit for extra, limit in zip(self.output_padding, limits, strict=False)):
            return f"output_padding must be at least 0 and less than stride or dilation, {tuple(limits)}, got {self.output_padding}"
        return ""

    def infer(self, x: TensorType, w: TensorType) -> TensorType:
        _check(self, x, w, w.shape[0] if w.rank else 0)
        if problem := self._problem(x, w):
            raise self.error(problem, x, w)
        windows = self.windows(x.shape[2:], w.shape[2:])
        shape = tuple(window.size for window in windows)
        if min(shape) < 0:
            raise self.error(
                f"the padding leaves nothing: {shape}",
                x,
                w,
                hint="choose smaller pads, or a larger output_padding or stride",
            )
        if max(max(v.size, v.begin + v.size, (v.count - 1) * v.stride + v.reach) for v in windows) > LONGEST:
            raise self.error(
                f"an axis of the result, before it is cropped to {shape}, is more than 2**48 elements",
                x,
                w,
                hint="choose smaller strides or dilations",
            )
        return TensorType(x.dtype, (x.shape[0], w.shape[1] * self.groups, *shape))

    def numpy(self, x: Array, w: Array) -> Array:
        result = self.infer(type_of(x), type_of(w))
        wide = accumulator(result.dtype).numpy
        windows = self.windows(x.shape[2:], w.shape[2:])
        spatial, kernel = x.shape[2:], w.shape[2:]
        # [N, groups, points, C/groups] @ [groups, C/groups, O/groups] for each tap, added where the tap falls
        inner = x.shape[1] // self.groups
        columns = x.astype(wide).reshape(x.shape[0], self.groups, inner, math.prod(spatial)).swapaxes(2, 3)
        weights: Any = w.astype(wide).reshape(self.groups, inner, w.shape[1], *kernel)
        total: Any = np.zeros(result.shape, wide)
        falls = [[where for k in range(v.kernel) if (where := _falls(v, k))] for v in windows]
        with np.errstate(all="ignore"):
            for hits in itertools.product(*falls) if x.size and w.size else ():
                taps, sources, targets = zip(*hits, strict=True)
                part = np.matmul(columns, weights[(..., *taps)]).swapaxes(2, 3).reshape(*result.shape[:2], *spatial)
                total[(..., *targets)] += part[(..., *sources)]
        rows: Array = total.astype(result.dtype.numpy)
        return rows

    def compute(self, x: Any, w: Any) -> Any:
        result = self.infer(type_of(x), type_of(w))
        windows, wide = self.windows(x.shape[2:], w.shape[2:]), accumulator(x.dtype)
        inner = w.shape[0] // self.groups
        ic, taps = reduce_axes(inner, w.shape[2:])

        def element(n: Expr, oc: Expr, *o: Expr) -> Expr:
            channel = oc // w.shape[1] * inner + ic.var
            conds, places = [], []
            for i, k, v in zip(o, taps, windows, strict=True):
                ahead = i + v.begin - k.var * v.dilation  # the tap falls here from element ahead / stride
                place = ahead // v.stride
                conds += [(ahead % v.stride).equal(0)] * (v.stride > 1) + [ahead >= 0, place < v.count]
                places.append(place)
            left, right = x[(n, channel, *places)], w[(channel, oc % w.shape[1], *[k.var for k in taps])]
            product = cast(left, wide) * cast(right, wide)
            return te.sum(select(all_of(*conds), product, const(0, wide)), axis=[ic, *taps])

        conv = te.compute(result.shape, element, name="conv_transpose", names=result_names(len(windows)))
        return rounded(conv, result.dtype)

    def tvm(self, R: Any, x: Any, w: Any) -> Any:
        windows, wide = self.windows(x.shape[2:], w.shape[2:]), accumulator(x.dtype)
        if any(v.far for v in windows):
            raise R.refuse(self, "TVM stores what is cropped")
        strides, _, dilation = tvm_attributes(windows)
        convolve = R[f"nn.conv{len(windows)}d_transpose"]
        ends = [(v.count - 1) * v.stride + v.reach - v.begin - v.size for v in windows]  # what is cropped there
        full = convolve(x.astype(wide), w.astype(wide), strides, dilation=dilation, groups=self.groups).astype(x.dtype)
        return Pad((0, 0, *[-v.begin for v in windows], 0, 0, *[-end for end in ends]))(full)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        rank = draw.integer(1, 2)
        strides, padding, dilation, auto_pad = draw_sliding(draw, rank)
        kernel = tuple(draw.integer(2, 3) for _ in range(rank))
        groups, inner, outer = draw.integer(1, 3), draw.integer(1, 2), draw.integer(1, 2)
        dtype = draw.dtype(("float",))
        x = TensorType(dtype, (draw.integer(0, 2), groups * inner, *draw.shape(rank, 3, 4)))
        extra = tuple(draw.integer(0, s - 1) for s in strides)
        full = [s * d + draw.integer(-1, 1) for s, d in zip(strides or (1,) * rank, x.shape[2:], strict=True)]
        shape = tuple(full) if draw.integer(0, 3) == 3 else ()
        op = cls(strides, padding, dilation, groups, auto_pad, extra, shape)
        return op, (x, TensorType(dtype, (groups * inner, outer, *kernel)))


__all__ = ["Conv", "ConvTranspose", "draw_sliding", "rounded"]
