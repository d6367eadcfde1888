"""Operators that read an image between its elements, where another tensor says: GridSample, DeformConv, RoiAlign.

In: an image `[batch, channels, ...]` and places, as floats. Out: what lies there, interpolated. The image is read with its
channels last, so that a place is looked up once for all of them; a place is the same number of taps for every element,
each the product of an index and a weight along each axis.

>>> import numpy as np
>>> x, grid = np.arange(4.0).reshape(1, 1, 2, 2), np.zeros((1, 1, 1, 2))
>>> GridSample()(x, grid)
array([[[[1.5]]]])
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minicc.ops.arithmetic import Add, Div, Max, Min, Mul, Sub
from minicc.ops.base import FLOAT, NUMERIC, Draw, Example, Operator, dtype_of, like, operator, same_dim
from minicc.ops.cast import Cast
from minicc.ops.comparison import And, IsNaN, Less, Not, Where
from minicc.ops.elementwise import Abs, Ceil, Floor, Round
from minicc.ops.given import Given
from minicc.ops.indexing import Gather, GatherND
from minicc.ops.matmul import MatMul
from minicc.ops.movement import Transpose
from minicc.ops.reduction import ReduceMax, ReduceSum
from minicc.ops.scalar import accumulator
from minicc.ops.shape import Expand, Reshape
from minicc.types import TensorType, float32, int64

FAR = 10.0  # how far outside of an image a place may be: farther ones are read there
CUBIC = -0.75  # a of the cubic convolution kernel (Keys 1981)


class Tap(NamedTuple):
    """Along one axis: which elements are read, as floats within the image, their weights, and whether they exist."""

    index: Any
    weight: Any
    inside: Any


def _const(op: type[Operator], x: Any, number: float) -> Any:
    """A binary operator on a value and a number."""
    return op()(x, like(x, number))


def _limited(x: Any, low: float, high: float) -> Any:
    return _const(Min, _const(Max, x, low), high)


def _near(x: Any, size: int) -> Any:
    """A place, NaN and far ones brought to where nothing is."""
    return _limited(Where()(IsNaN()(x), like(x, -FAR), x), -FAR, size + FAR)


def _reflected(x: Any, low: float, high: float) -> Any:
    """A place, reflected at the borders until it is between them."""
    if high <= low:
        return _const(Mul, x, 0.0)
    span = high - low
    along = Abs()(_const(Sub, x, low))
    turns = Floor()(_const(Div, along, span))
    rest = Sub()(along, _const(Mul, turns, span))
    odd = Less()(like(x, 0.25), Sub()(_const(Mul, turns, 0.5), Floor()(_const(Mul, turns, 0.5))))
    return Where()(odd, Sub()(like(x, high), rest), _const(Add, rest, low))


def _linear(x: Any, size: int) -> list[Tap]:
    """The two elements around a place."""
    first = Floor()(x)
    part = Sub()(x, first)
    return [_tap(first, Sub()(like(x, 1.0), part), size), _tap(_const(Add, first, 1.0), part, size)]


def _tap(index: Any, weight: Any, size: int) -> Tap:
    inside = And()(Not()(Less()(index, like(index, 0.0))), Less()(index, like(index, float(size))))
    return Tap(_limited(index, 0.0, max(size - 1.0, 0.0)), weight, inside)


def _looked_up(x: Any, taps: Sequence[Tap], sizes: Sequence[int]) -> tuple[Any, Any, Any]:
    """The elements of `x` `[batch, places, channels]` at one tap for each axis, its weight and whether it exists."""
    flat, weight, inside = None, None, None
    for tap, size in zip(taps, sizes, strict=True):
        index = Cast(int64)(tap.index)
        flat = index if flat is None else Add()(Mul()(flat, np.int64(size)), index)
        weight = tap.weight if weight is None or tap.weight is None else Mul()(weight, tap.weight)
        inside = tap.inside if inside is None or tap.inside is None else And()(inside, tap.inside)
    assert flat is not None
    return GatherND(1)(x, _column(flat)), weight, inside


def _column(x: Any) -> Any:
    return Reshape((*x.shape, 1), True)(x)


def _interpolated(x: Any, taps: Sequence[Sequence[Tap]], sizes: Sequence[int], zeros: bool) -> Any:
    """The sum over all combinations of taps along the axes, `[batch, places, channels]`."""
    parts = []
    for chosen in itertools.product(*taps):
        found, weight, inside = _looked_up(x, chosen, sizes)
        if zeros:
            weight = Where()(inside, weight, like(weight, 0.0))
        parts.append(Mul()(found, _column(weight)))
    return reduce(lambda a, b: Add()(a, b), parts)


def _channels_last(x: Any, wide: Any) -> Any:
    """An image as `[batch, elements, channels]` in the dtype that it is computed in."""
    batch, channels, *spatial = x.shape
    flat = Transpose((0, 2, 1))(Reshape((batch, channels, math.prod(spatial)), True)(x))
    return flat if dtype_of(x) is wide else Cast(wide)(flat)


@operator
class GridSample(Operator):
    """The image at the places of `grid` `[batch, ..., axes]`, -1 to 1 along each axis, the last axis of the image first.

    What is outside is 0 (`zeros`), the nearest element (`border`) or a reflection of the image (`reflection`). Where the
    ONNX reference moves a place to the border before a cubic kernel reads around it, PyTorch and onnxruntime do not.
    """

    composite = True
    accepts = NUMERIC

    mode: str = "linear"
    padding_mode: str = "zeros"
    align_corners: bool = False

    def infer(self, x: TensorType, grid: TensorType) -> TensorType:
        modes = {"nearest": 1, "linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}
        if self.mode not in modes or self.padding_mode not in ("zeros", "border", "reflection"):
            hint = f"modes are {', '.join(modes)}; zeros, border and reflection are padding modes"
            raise self.error(f"no mode {self.mode!r} with {self.padding_mode!r}", x, grid, hint=hint)
        self.accept(x)
        if not grid.dtype.is_float or (not x.dtype.is_float and self.mode != "nearest"):
            raise self.error(f"expected floats, got {x.dtype} at {grid.dtype}", x, grid, hint="insert a Cast")
        axes = x.rank - 2
        if (
            axes not in (1, 2, 3)
            or grid.rank != x.rank
            or not same_dim(grid.shape[-1], axes)
            or not same_dim(x.shape[0], grid.shape[0])
        ):
            problem = (
                "expected an image of 1 to 3 axes, and a grid of its batch and rank with a place for each of its axes"
            )
            raise self.error(problem, x, grid)
        if 0 in x.shape[2:] and 0 not in grid.shape:
            raise self.error("cannot read from an empty image", x, grid)
        return TensorType(x.dtype, (*x.shape[:2], *grid.shape[1:-1]))

    def expand(self, x: Any, grid: Any) -> Any:
        batch, channels, *sizes = x.shape
        shape, count = tuple(grid.shape[1:-1]), math.prod(grid.shape[1:-1])
        if 0 in (batch, channels, count):
            return Reshape((batch, channels, *shape), True)(Expand((batch, channels, 0))(like(x, 0)))
        places = accumulator(dtype_of(grid))
        flat = Reshape((batch, count, len(sizes)), True)(grid if dtype_of(grid) is places else Cast(places)(grid))
        taps = []
        for axis, size in enumerate(sizes):
            at = Reshape((batch, count), True)(Gather(2)(flat, np.array([len(sizes) - 1 - axis])))
            taps.append(self._taps(at, size))
        nearest = self.mode == "nearest"
        wide = dtype_of(x) if nearest else accumulator(dtype_of(x))
        image = _channels_last(x, wide)
        if nearest:
            result, _, inside = _looked_up(image, [tap for (tap,) in taps], sizes)
            if self.padding_mode == "zeros":
                result = Where()(_column(inside), result, like(result, 0))
        else:
            taps = [
                [Tap(t.index, t.weight if wide is places else Cast(wide)(t.weight), t.inside) for t in axis]
                for axis in taps
            ]
            result = _interpolated(image, taps, sizes, self.padding_mode == "zeros")
        result = result if wide is dtype_of(x) else Cast(dtype_of(x))(result)
        return Reshape((batch, channels, *shape), True)(Transpose((0, 2, 1))(result))

    def _taps(self, at: Any, size: int) -> list[Tap]:
        """Those of one axis, of places from -1 to 1."""
        moved = _const(Add, at, 1.0)
        if self.align_corners:
            low, high, x = 0.0, size - 1.0, _const(Mul, _const(Div, moved, 2.0), size - 1.0)
        else:
            low, high, x = -0.5, size - 0.5, _const(Div, _const(Sub, _const(Mul, moved, float(size)), 1.0), 2.0)
        if self.mode == "nearest":
            x = Round()(x)
        if self.padding_mode == "reflection" or (self.padding_mode == "border" and "cubic" not in self.mode):
            outside = Not()(And()(Not()(Less()(x, like(x, low))), Not()(Less()(like(x, high), x))))
            back = _limited(x, 0.0, size - 1.0) if self.padding_mode == "border" else _reflected(x, low, high)
            x = Where()(outside, back, x)
        x = _near(x, size)
        if self.mode == "nearest":
            return [_tap(x, None, size)]
        return _linear(x, size) if "linear" in self.mode else self._cubic(x, size, low, high)

    def _cubic(self, x: Any, size: int, low: float, high: float) -> list[Tap]:
        first = Floor()(x)
        taps = []
        for offset in (-1.0, 0.0, 1.0, 2.0):
            index = _const(Add, first, offset)
            distance = Abs()(Sub()(x, index))
            if offset in (0.0, 1.0):  # (a + 2) d^3 - (a + 3) d^2 + 1
                inner = _const(Sub, _const(Mul, distance, CUBIC + 2), CUBIC + 3)
                weight = _const(Add, Mul()(Mul()(inner, distance), distance), 1.0)
            else:  # a d^3 - 5 a d^2 + 8 a d - 4 a
                inner = _const(Sub, _const(Mul, distance, CUBIC), 5 * CUBIC)
                inner = _const(Add, Mul()(inner, distance), 8 * CUBIC)
                weight = _const(Sub, Mul()(inner, distance), 4 * CUBIC)
            if self.padding_mode == "reflection":
                index = _reflected(index, low, high)
            taps.append(_tap(index, weight, size))
        return taps

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        mode = draw.choice(("nearest", "linear", "bilinear", "cubic", "bicubic"))
        axes = draw.integer(1, 2 if "cubic" in mode else 3)
        batch, channels = draw.integer(1, 2), draw.integer(1, 2)
        x = TensorType(draw.dtype(NUMERIC if mode == "nearest" else FLOAT), (batch, channels, *draw.shape(axes, 1, 3)))
        grid = draw.array(TensorType(float32, (batch, *draw.shape(axes, 1, 2), axes)), -2, 2)
        return cls(mode, draw.choice(("zeros", "border", "reflection")), draw.boolean()), (x, grid)


@operator
class DeformConv(Given):
    """A convolution whose windows read the image at offsets, bilinearly, each tap times a mask.

    `offset` is `[batch, offset_group * taps * 2, rows, columns]`, the row before the column, `mask`
    `[batch, offset_group * taps, rows, columns]`.
    """

    accepts = FLOAT
    inputs: ClassVar[tuple[str, ...]] = ("X", "W", "offset", "B", "mask")

    given: tuple[str, ...] = ("X", "W", "offset")
    dilations: tuple[int, ...] | None = None
    group: int = 1
    kernel_shape: tuple[int, ...] | None = None
    offset_group: int = 1
    pads: tuple[int, ...] | None = None
    strides: tuple[int, ...] | None = None

    @property
    def _steps(self) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        return self.strides or (1, 1), self.dilations or (1, 1), self.pads or (0,) * 4

    def infer(self, *types: TensorType) -> TensorType:
        named = self.check(types)
        self.accept(*types)
        x, w = types[:2]
        if any(t.rank != 4 for t in types[:3]) or len({t.dtype for t in types}) > 1:
            raise self.error("expected X, W and offset of rank 4, and one dtype", *types)
        strides, dilations, pads = self._steps
        if len(strides) != 2 or len(dilations) != 2 or len(pads) != 4 or min(*strides, *dilations) < 1 or min(pads) < 0:
            raise self.error("expected 2 strides and dilations >= 1, and 4 pads >= 0", *types)
        kernel, (batch, channels) = w.shape[2:], x.shape[:2]
        if self.kernel_shape not in (None, kernel) or min(self.group, self.offset_group) < 1:
            raise self.error(f"kernel_shape must be that of W, {kernel}, and groups positive", *types)
        if channels != w.shape[1] * self.group or w.shape[0] % self.group or channels % self.offset_group:
            raise self.error(f"expected groups that divide {channels} channels and those of W", *types)
        padded = [x.shape[2 + a] + pads[a] + pads[2 + a] - (kernel[a] - 1) * dilations[a] - 1 for a in (0, 1)]
        result = tuple(p // s + 1 for p, s in zip(padded, strides, strict=True))
        taps = self.offset_group * math.prod(kernel)
        forms = {"offset": (batch, 2 * taps, *result), "mask": (batch, taps, *result), "B": w.shape[:1]}
        for name, shape in forms.items():
            if name in named and named[name].shape != shape:
                raise self.error(f"{name} must have shape {shape}, got {named[name].shape}", *types)
        if min(result) < 0 or min(*x.shape[1:], *w.shape) < 1:
            raise self.error("expected windows that fit into the image", *types)
        return TensorType(x.dtype, (batch, w.shape[0], *result))

    def expand(self, *values: Any) -> Any:
        named = self.named(values)
        x, w, offset = values[:3]
        (batch, channels, *sizes), (rows, columns), out = x.shape, w.shape[2:], tuple(offset.shape[2:])
        groups, count, places = self.offset_group, rows * columns, math.prod(out)
        wide, dtype = accumulator(dtype_of(x)), dtype_of(x)
        apart = Reshape((batch * groups, count, 2, *out), True)(offset)
        apart = apart if wide is dtype else Cast(wide)(apart)
        taps = []
        for axis, base in enumerate(self._bases((rows, columns), out)):
            moved = Reshape((batch * groups, count, *out), True)(Gather(2)(apart, np.array([axis])))
            at = Add()(moved, base.astype(wide.numpy))
            taps.append(_linear(_near(Reshape((batch * groups, count * places), True)(at), sizes[axis]), sizes[axis]))
        image = _channels_last(Reshape((batch * groups, channels // groups, *sizes), True)(x), wide)
        read = _interpolated(image, taps, sizes, True)  # [batch * groups, count * places, channels / groups]
        if "mask" in named:
            mask = Reshape((batch * groups, count * places, 1), True)(named["mask"])
            read = Mul()(read, mask if wide is dtype else Cast(wide)(mask))
        inner = channels // self.group * count
        matrix = Reshape((batch, self.group, inner, places), True)(Transpose((0, 2, 1))(read))
        weights = Reshape((self.group, w.shape[0] // self.group, inner), True)(w)
        y = MatMul()(weights if wide is dtype else Cast(wide)(weights), matrix)
        y = Reshape((batch, w.shape[0], *out), True)(y)
        y = y if wide is dtype else Cast(dtype)(y)
        return Add()(y, Reshape((-1, 1, 1))(named["B"])) if "B" in named else y

    def _bases(self, kernel: tuple[int, int], out: tuple[int, ...]) -> list[Any]:
        """Where each tap of each window is without an offset, along each axis, `[taps, rows, columns]`."""
        strides, dilations, pads = self._steps
        tap = np.indices(kernel).reshape(2, -1)
        starts = np.indices(out)
        return [(tap[a] * dilations[a])[:, None, None] + (starts[a] * strides[a] - pads[a])[None] for a in (0, 1)]

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        batch, group, groups, kernel = (draw.integer(1, 2) for _ in range(4))
        dtype, channels = draw.choice((float32,)), 2
        stride, dilation, pad = draw.integer(1, 2), draw.integer(1, 2), draw.integer(0, 1)
        size = (kernel - 1) * dilation + 1
        spatial = [max((n - 1) * stride + size - 2 * pad, 1) for n in (1, 2)]
        out = tuple((n + 2 * pad - size) // stride + 1 for n in spatial)
        taps = groups * kernel * kernel
        shapes = {"X": (batch, channels, *spatial), "W": (2, channels // group, kernel, kernel), "offset": (batch, 2 * taps, *out),
                  "B": (2,), "mask": (batch, taps, *out)}  # fmt: skip
        kept = tuple(name for name in cls.inputs if name in cls.inputs[:3] or draw.boolean())
        values = [draw.array(TensorType(dtype, shapes[n]), -2, 2) for n in kept]
        return cls(kept, draw.choice((None, (1, 1))) if dilation == 1 else (2, 2), group, draw.choice((None, (kernel, kernel))),
                   groups, (pad,) * 4 if pad else draw.choice((None, (0,) * 4)), (stride, stride) if stride > 1 else None), values  # fmt: skip


@operator
class RoiAlign(Operator):
    """The mean (or greatest) of bilinear samples of bins of regions `[regions, 4]`: x1, y1, x2, y2, of images `batch`.

    A bin has `sampling_ratio` samples along each axis, or with 0 as many as its extent, rounded up. Then the mean is a
    product with a matrix for each axis, since weights of an axis do not depend on the other.
    """

    composite = True
    accepts = FLOAT
    onnx_fields: ClassVar[dict[str, str]] = {"coordinate_transformation_mode": "transformation"}

    transformation: str = "half_pixel"
    mode: str = "avg"
    output_height: int = 1
    output_width: int = 1
    sampling_ratio: int = 0
    spatial_scale: float = 1.0

    def infer(self, x: TensorType, rois: TensorType, batch: TensorType) -> TensorType:
        types = x, rois, batch
        self.accept(x, rois)
        if self.transformation not in ("half_pixel", "output_half_pixel") or self.mode not in ("avg", "max"):
            raise self.error(
                f"no mode {self.mode!r} with {self.transformation!r}",
                *types,
                hint="avg or max; half_pixel or output_half_pixel",
            )
        if x.rank != 4 or rois.rank != 2 or batch.rank != 1 or not batch.dtype.is_integer or rois.dtype is not x.dtype:
            raise self.error("expected an image of rank 4, regions [n, 4] of its dtype and n integers", *types)
        if not same_dim(rois.shape[1], 4) or not same_dim(rois.shape[0], batch.shape[0]):
            raise self.error(f"expected 4 numbers and an image for each region, got {rois} and {batch}", *types)
        if min(self.output_height, self.output_width) < 1 or not 0 <= self.sampling_ratio <= 64:
            raise self.error("expected bins, and a sampling_ratio of 0 to 64", *types)
        if self.mode == "max" and not self.sampling_ratio:
            raise self.error(
                "the greatest of a number of samples that the regions decide is not supported",
                *types,
                hint="give a sampling_ratio",
            )
        if 0 in x.shape:
            raise self.error("cannot read from an empty image", *types)
        return TensorType(x.dtype, (rois.shape[0], x.shape[1], self.output_height, self.output_width))

    def expand(self, x: Any, rois: Any, batch: Any) -> Any:
        wide, dtype = accumulator(dtype_of(x)), dtype_of(x)
        if wide is not dtype:
            x, rois = Cast(wide)(x), Cast(wide)(rois)
        if 0 in rois.shape:
            return Cast(dtype)(Expand((0, x.shape[1], self.output_height, self.output_width))(like(x, 0.0)))
        axes = [self._axis(rois, at, n, x.shape[2 + at]) for at, n in ((0, self.output_height), (1, self.output_width))]
        result = self._sampled(x, axes, batch) if self.sampling_ratio else self._means(x, axes, batch)
        return result if wide is dtype else Cast(dtype)(result)

    def _axis(self, rois: Any, axis: int, bins: int, size: int) -> list[Tap]:
        """The taps of all samples of an axis, `[regions, bins, samples]`; of a sample that is not there both weights are 0."""
        shift = 0.5 if self.transformation == "half_pixel" else 0.0
        ends = [Gather(1)(rois, np.array([column])) for column in (1 - axis, 3 - axis)]
        start, end = (_const(Sub, _const(Mul, e, self.spatial_scale), shift) for e in ends)
        length = Sub()(end, start)
        if not shift:
            length = _const(Max, length, 1.0)
        bin_size = _column(_const(Div, length, float(bins)))  # [regions, 1, 1]
        begin = Add()(_column(start), Mul()(bin_size, np.arange(bins, dtype=dtype_of(rois).numpy)[None, :, None]))
        if self.sampling_ratio:
            count, first, most = like(rois, float(self.sampling_ratio)), None, self.sampling_ratio
            real = count
        else:  # samples are at most 1 apart and at least 1/2: no more can be in the image, from the first one that is
            real, most = Ceil()(bin_size), 2 * size + 5
            count = _const(Max, real, 1.0)
            first = Floor()(
                Div()(Mul()(_const(Sub, _const(Mul, begin, -1.0), 1.0), count), _const(Max, bin_size, 1e-30))
            )
            first = _limited(first, 0.0, float(2**20))
        number = np.arange(most, dtype=dtype_of(rois).numpy)[None, None, :]
        index = Expand((1, 1, most))(number) if first is None else Add()(first, number)
        at = Add()(begin, Div()(Mul()(_const(Add, index, 0.5), bin_size), count))
        exists = And()(Not()(Less()(at, like(at, -1.0))), Not()(Less()(like(at, float(size)), at)))
        if first is not None:
            exists = And()(exists, Less()(index, real))
        at = _limited(Where()(IsNaN()(at), like(at, 0.0), at), 0.0, size - 1.0)
        return [Tap(t.index, Where()(exists, t.weight, like(at, 0.0)), count) for t in _linear(at, size)]

    def _means(self, x: Any, axes: Sequence[Sequence[Tap]], batch: Any) -> Any:
        rows, columns = (self._matrix(taps, x.shape[2 + at]) for at, taps in enumerate(axes))
        images = x if x.shape[0] == 1 else Gather(0)(x, batch)  # [regions, channels, height, width]
        count, height, width = rows.shape[0], x.shape[2], x.shape[3]
        left = Reshape((count, 1, self.output_height, height), True)(rows)
        right = Reshape((count, 1, width, self.output_width), True)(Transpose((0, 2, 1))(columns))
        return MatMul()(left, MatMul()(images, right))

    @staticmethod
    def _matrix(taps: Sequence[Tap], size: int) -> Any:
        """What each element of an axis counts in the mean of each bin, `[regions, bins, size]`."""
        places = np.arange(size)
        total = None
        for tap in taps:
            hit = Less()(
                Abs()(Sub()(_column(tap.index), places.astype(dtype_of(tap.index).numpy))), like(tap.index, 0.5)
            )
            part = Where()(hit, _column(tap.weight), like(tap.weight, 0.0))
            total = part if total is None else Add()(total, part)
        return Div()(ReduceSum((2,), keepdims=False)(total), taps[0].inside)

    def _sampled(self, x: Any, axes: Sequence[Sequence[Tap]], batch: Any) -> Any:
        """The mean of all samples of a bin; or of the greatest weighted elements the greatest, as onnxruntime has it."""
        regions, channels, n = batch.shape[0], x.shape[1], self.sampling_ratio
        image = Reshape((math.prod(x.shape) // channels, channels), True)(Transpose((0, 2, 3, 1))(x))
        first = Mul()(Reshape((regions, 1, 1, 1, 1), True)(Cast(int64)(batch)), np.int64(x.shape[2] * x.shape[3]))
        forms = [(regions, self.output_height, n, 1, 1), (regions, 1, 1, self.output_width, n)]
        parts = []
        for chosen in itertools.product(*axes):
            rows, columns = (
                Reshape(form, True)(Cast(int64)(tap.index)) for form, tap in zip(forms, chosen, strict=True)
            )
            weight = Mul()(*[Reshape(form, True)(tap.weight) for form, tap in zip(forms, chosen, strict=True)])
            found = Gather(0)(image, Add()(Add()(first, Mul()(rows, np.int64(x.shape[3]))), columns))
            parts.append(Mul()(found, _column(weight)))
        if self.mode == "max":
            bins = ReduceMax((2, 4), keepdims=False)(reduce(lambda a, b: Max()(a, b), parts))
        else:
            bins = ReduceSum((2, 4), keepdims=False)(reduce(lambda a, b: Add()(a, b), parts))
            bins = _const(Div, bins, float(n * n))
        return Transpose((0, 3, 1, 2))(bins)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        images, regions = draw.integer(1, 2), draw.integer(1, 2)
        x = TensorType(draw.choice((float32,)), (images, draw.integer(1, 2), draw.integer(1, 4), draw.integer(1, 4)))
        corners = np.asarray(draw.array(TensorType(x.dtype, (regions, 2, 2)), 0, 6))
        rois = np.sort(np.nan_to_num(np.clip(corners, -2, 8)), axis=1).reshape(regions, 4)
        mode = draw.choice(("avg", "max"))
        op = cls(draw.choice(("half_pixel", "output_half_pixel")), mode, draw.integer(1, 2), draw.integer(1, 2),
                 draw.integer(1 if mode == "max" else 0, 2), draw.choice((1.0, 0.5)))  # fmt: skip
        return op, (x, rois, draw.array(TensorType(int64, (regions,)), 0, images - 1))
