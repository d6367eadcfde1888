"""Resize: a tensor sampled on a finer or a coarser grid, axis by axis.

In: a tensor, and along each resized axis a scale or a size. Out: the samples. Shapes are static,
so where each sample lies and what its neighbours weigh are tables, computed here once: nearest is
a Gather with the table as its indices (by a whole scale an Expand, which needs no table), linear and cubic are a Gather of the neighbours and a
weighted sum over them. As tables are constants, this is a composite of the graph room.

The coordinates follow the ONNX specification of Resize-19, but where its reference disagrees with
what exporters mean, that is PyTorch and TensorFlow, they follow the exporters:

- `align_corners` and `tf_crop_and_resize` spread the samples that there are; the reference spreads
  scale * size of them, a fraction. `align_corners_by_scale` is the reference's meaning where a scale
  is below 1: the ONNX backend tests ask for it, in files that no exporter writes.
- A linear resize to the size that is there changes nothing, whatever the scale, nor does `nearest` of
  images, which have four axes (PyTorch copies there, and samples series and volumes).
- A scale is the decimal number that its author wrote, not the float32 next to it: `nearest` of 7
  elements and 0.6 takes number 5 = 3 / 0.6, not number 4. Where float32 decides which element is the
  nearest, `asymmetric` computes as PyTorch and TensorFlow do it, and the others as if it were exact.

>>> import numpy as np
>>> Resize(scales=(2.0,), mode="linear")(np.array([1.0, 3.0]))
array([1. , 1.5, 2.5, 3. ])
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.ops.activation import Clip
from minicc.ops.arithmetic import Mul
from minicc.ops.base import Array, Draw, Example, Kind, Operand, Operator, dtype_of, operator, type_of
from minicc.ops.cast import Cast
from minicc.ops.comparison import Where
from minicc.ops.elementwise import Round
from minicc.ops.indexing import Gather
from minicc.ops.movement import Slice
from minicc.ops.reduction import ReduceSum
from minicc.ops.scalar import accumulator
from minicc.ops.shape import Expand, Reshape, axes_of
from minicc.types import DType, TensorType, float32, float64

CHOICES = {
    "mode": ("nearest", "linear", "cubic"),
    "coordinate_transformation_mode": (
        "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners",
        "align_corners_by_scale", "asymmetric", "tf_half_pixel_for_nn", "tf_crop_and_resize",
    ),
    "nearest_mode": ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"),
    "keep_aspect_ratio_policy": ("stretch", "not_larger", "not_smaller"),
}  # fmt: skip


@dataclass(frozen=True)
class Sampling:
    """Along one axis: `count` samples of `size` elements; `width` is the count before rounding."""

    axis: int
    size: int
    count: int
    width: float
    scale: float
    roi: tuple[float, float]

    def coordinates(self, mode: str) -> Array:
        """Where each sample lies, in elements of the input."""
        x, last = np.arange(self.count, dtype=np.float64), self.size - 1
        match mode:
            case "align_corners_by_scale" if self.scale < 1 and self.width != 1:
                return x * last / (self.width - 1)
            case "align_corners" | "align_corners_by_scale":
                return x * last / max(self.count - 1, 1)
            case "asymmetric":
                return (x.astype(np.float32) * np.float32(1 / self.scale)).astype(np.float64)
            case "tf_half_pixel_for_nn":
                return (x + 0.5) / self.scale
            case "pytorch_half_pixel" if self.count <= 1:
                return x * 0
            case "tf_crop_and_resize":
                start, end = self.roi
                if self.count <= 1:
                    return x * 0 + 0.5 * (start + end) * last
                return start * last + x * (end - start) * last / (self.count - 1)
            case "half_pixel_symmetric":
                offset = self.size / 2 * (1 - self.count / self.width)
                return offset + (x + 0.5) / self.scale - 0.5
        return (x + 0.5) / self.scale - 0.5

    def is_identity(self, mode: str, copies: bool) -> bool:
        """Whether every sample is the element it started from; `copies`: of an axis that keeps its size it is."""
        whole = mode != "tf_crop_and_resize" or self.roi == (0.0, 1.0)
        return whole and self.size == self.count and (copies or math.isclose(self.scale, 1.0))


MOST_TAPS = 2**24  # elements that all samples along an axis read: tables of them are made here


@operator
class Resize(Operator):
    """Of `scales` and `sizes` one is given, for each of `axes` (all, when empty).

    `roi` (starts, then ends, as fractions of an axis) serves `tf_crop_and_resize` alone. Of 16-bit
    floats and of integers samples are computed in float32 (32-bit integers and wider: float64), and
    integers rounded to the nearest, ties to even, and saturated.
    """

    kind = Kind.OPAQUE
    composite = True
    operands = ("roi", "scales", "sizes")

    scales: tuple[float, ...] | Operand | None = None
    sizes: tuple[int, ...] | Operand | None = None
    roi: tuple[float, ...] | Operand | None = None
    mode: str = "nearest"
    coordinate_transformation_mode: str = "half_pixel"
    nearest_mode: str = "round_prefer_floor"
    cubic_coeff_a: float = -0.75
    exclude_outside: bool = False
    extrapolation_value: float = 0.0
    antialias: bool = False
    axes: tuple[int, ...] = ()
    keep_aspect_ratio_policy: str = "stretch"

    def samplings(self, x: TensorType) -> list[Sampling]:
        """What happens along each of `axes`."""
        scales, sizes, roi = (v or None for v in (self.scales, self.sizes, self.roi))  # an empty list is an absent one
        assert not any(isinstance(given, Operand) for given in (scales, sizes, roi))
        axes = axes_of(self, self.axes, x, x.rank) if self.axes else tuple(range(x.rank))
        given: Any = scales if sizes is None else sizes
        if given is None or (scales and sizes) or len(given) != len(axes):
            problem = f"expected {len(axes)} scales or {len(axes)} sizes, got {scales} and {sizes}"
            hint = "give one number for each axis, 1.0 (or the size it has) where nothing changes"
            raise self.error(problem, x, hint=hint)
        if min(given, default=1) < 0 or (scales and not all(0 < s < math.inf for s in given)):
            problem = f"scales must be positive and finite, sizes not negative, got {given}"
            raise self.error(problem, x, hint="2.0 doubles an axis, 0.5 halves it")
        if self.coordinate_transformation_mode != "tf_crop_and_resize":
            roi = (0.0,) * len(axes) + (1.0,) * len(axes)
        bounds: Any = roi or ()
        if len(bounds) != 2 * len(axes):
            problem = f"expected a roi of {2 * len(axes)} numbers, got {roi}"
            raise self.error(problem, x, hint="first the starts of all axes, then the ends")
        extents = [x.shape[axis] for axis in axes]
        grids = self._sized(extents, given) if sizes else [_scaled(d, s) for d, s in zip(extents, given, strict=True)]
        rois = zip(map(float, bounds[: len(axes)]), map(float, bounds[len(axes) :]), strict=True)
        return [Sampling(a, d, *grid, roi) for a, d, grid, roi in zip(axes, extents, grids, rois, strict=True)]

    def _sized(self, extents: list[int], sizes: tuple[int, ...]) -> list[tuple[int, float, float]]:
        """Count, width and scale along each axis, from the sizes."""
        pairs = list(zip(map(int, sizes), extents, strict=True))
        ratios = [1.0 if size == dim else 0.0 if dim == 0 else size / dim for size, dim in pairs]
        if self.keep_aspect_ratio_policy == "stretch":
            return [(size, float(size), ratio) for (size, _), ratio in zip(pairs, ratios, strict=True)]
        scale = min(ratios) if self.keep_aspect_ratio_policy == "not_larger" else max(ratios)
        return [(math.floor(scale * dim + 0.5), scale * dim, scale) for _, dim in pairs]

    def infer(self, x: TensorType) -> TensorType:
        for name, options in CHOICES.items():
            if getattr(self, name) not in options:
                raise self.error(f"no {name} {getattr(self, name)!r}", x, hint=f"one of {', '.join(options)}")
        if x.dtype.kind == "bool" and self.mode != "nearest":
            hint = 'cast it to float32, or use mode="nearest"'
            raise self.error(f"bool has no {self.mode} interpolation", x, hint=hint)
        shape = list(x.shape)
        for s in self.samplings(x):
            if s.size == 0 and s.count != 0:
                problem = f"axis {s.axis} is empty and cannot become {s.count}"
                raise self.error(problem, x, hint="give data that has elements")
            shape[s.axis] = s.count
        return TensorType(x.dtype, tuple(shape))

    def _changing(self, x: TensorType) -> list[Sampling]:
        """The axes along which anything happens."""
        copies = self.mode == "linear" or (self.mode == "nearest" and x.rank == 4)
        return [s for s in self.samplings(x) if not s.is_identity(self.coordinate_transformation_mode, copies)]

    def expand(self, x: Any) -> Any:
        dtype, samplings = dtype_of(x), self._changing(type_of(x))
        for s in samplings:
            x = x if s.count else Slice((0,), (0,), (s.axis,))(x)
        samplings = [s for s in samplings if s.count]
        wide = dtype if self.mode == "nearest" or not samplings else _wide(dtype)
        x = Cast(wide)(x) if wide is not dtype else x
        for s in samplings:
            x = self._resampled(x, s, len(x.shape) - 1 - s.axis)
        if wide is dtype:
            return x
        if not dtype.is_float:
            x = Clip()(Round()(x), *[np.asarray(limit, wide.numpy) for limit in dtype.range])
        return Cast(dtype)(x)

    def _resampled(self, x: Any, s: Sampling, inner: int) -> Any:
        """`x` sampled along one axis, with `inner` axes after it."""
        if s.count * self._taps(s) > MOST_TAPS:
            problem = f"expected at most {MOST_TAPS:,} elements read along an axis, got {s.count:,} samples"
            problem += f" of {self._taps(s):,} elements each along axis {s.axis}"
            raise self.error(problem, type_of(x), hint="resize to fewer elements, or in two steps")
        where = s.coordinates(self.coordinate_transformation_mode)
        wide = dtype_of(x).numpy
        if self.mode == "nearest":
            result = _picked(x, s.axis, self._nearest(where, s.size))
        else:
            indices, weights = self._neighbours(where, s)
            taps = Gather(s.axis)(x, indices)
            weighted = Mul()(taps, weights.astype(wide).reshape(weights.shape + (1,) * inner))
            result = ReduceSum((s.axis + 1,), keepdims=False)(weighted)
        if self.coordinate_transformation_mode == "tf_crop_and_resize":
            outside = (where < 0) | (where > s.size - 1)
            if outside.any():
                fill = np.asarray(self.extrapolation_value).astype(wide)
                result = Where()(outside.reshape((-1,) + (1,) * inner), fill, result)
        return result

    def _nearest(self, where: Array, size: int) -> Array:
        if self.coordinate_transformation_mode != "asymmetric":
            half, unit = np.round(2 * where) / 2, np.finfo(np.float32).eps
            where = np.where(np.abs(where - half) <= unit * np.maximum(np.abs(where), 1), half, where)
        rounding = {
            "floor": np.floor(where), "ceil": np.ceil(where),
            "round_prefer_floor": np.ceil(where - 0.5), "round_prefer_ceil": np.floor(where + 0.5),
        }  # fmt: skip
        return np.clip(rounding[self.nearest_mode], 0, size - 1).astype(np.int64)

    def _reach(self, s: Sampling) -> tuple[int, float]:
        """The first tap of a sample, counted from its left neighbour, and how much closer together taps seem."""
        stretch = min(s.scale, 1.0) if self.antialias else 1.0
        return math.floor(-(1 if self.mode == "linear" else 2) / stretch) + 1, stretch

    def _taps(self, s: Sampling) -> int:
        """The elements that a sample reads."""
        return 1 if self.mode == "nearest" else 2 - 2 * self._reach(s)[0]

    def _neighbours(self, where: Array, s: Sampling) -> tuple[Array, Array]:
        """Indices and weights `[samples, taps]`; weights of one sample add up to 1."""
        first, stretch = self._reach(s)
        left = np.ceil(where) - 1  # so that a sample on an element takes it as its right neighbour
        offsets = np.arange(first, 2 - first)
        distance = np.abs((where - left)[:, None] - offsets) * stretch
        weights = np.clip(1 - distance, 0, 1) if self.mode == "linear" else _cubic(distance, self.cubic_coeff_a)
        indices = left[:, None].astype(np.int64) + offsets
        if self.antialias:
            weights /= weights.sum(1, keepdims=True)
        if self.exclude_outside:
            weights = np.where((indices < 0) | (indices >= s.size), 0.0, weights)
            total = weights.sum(1, keepdims=True)
            weights /= np.where(total == 0, 1.0, total)
        return np.clip(indices, 0, s.size - 1), weights

    def tvm(self, R: Any, x: Any) -> Any:
        """By TVM's resize2d where that means the same, else by definition."""
        if not self._is_resize2d(x.type):
            return self.expand(x)
        mode, shape = self.coordinate_transformation_mode, self.infer(x.type).shape
        image = R.reshape(x.astype(float32), (1, math.prod(shape[:-2]), *((1, *x.shape)[-2:])))
        method = "nearest_neighbor" if self.mode == "nearest" else self.mode
        options = {"cubic_alpha": self.cubic_coeff_a, "cubic_exclude": int(self.exclude_outside)}
        resized = R.image.resize2d(image, (1, *shape)[-2:], None, "NCHW", method, mode, self.nearest_mode, **options)
        return R.reshape(resized, shape).astype(x.dtype)

    def _is_resize2d(self, x: TensorType) -> bool:
        """Whether TVM's operator for images gives the samples of ONNX: it knows sizes, not scales, and works in float32."""
        mode = self.coordinate_transformation_mode
        samplings = self._changing(x)
        known = mode in ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric") and not self.antialias
        image = x.dtype.is_float and x.dtype.bits <= 32 and all(s.axis >= x.rank - 2 for s in samplings)
        by_size = all(s.width == s.count and s.size > 1 for s in samplings)
        if mode == "align_corners":  # TVM divides by count - 1
            image = image and x.rank > 1 and 1 not in self.infer(x).shape[-2:]
        if self.mode == "nearest":  # where two elements are equally near, rounding must not decide
            ratios = [s.size / s.count for s in samplings if s.count]
            by_size = by_size and mode != "align_corners" and all(np.float32(ratio) == ratio for ratio in ratios)
        return bool(samplings) and known and image and by_size and (self.mode == "cubic" or not self.exclude_outside)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        mode = draw.choice(CHOICES["mode"])
        shape = draw.shape((1, 3), 1, 6)
        axes = tuple(a for a in range(len(shape)) if draw.boolean()) or (0,)
        resize = [draw.choice([0.3, 0.6, 1.0, 1.5, 2.0, 2.6]) for _ in axes]
        scales = tuple(max(s, 1 / shape[a]) for a, s in zip(axes, resize, strict=True))
        sizes = tuple(draw.integer(1, 8) for _ in axes)
        by_scale = draw.boolean()
        starts, ends = ([draw.number(*bounds) for _ in axes] for bounds in ((-0.25, 0.375), (0.5, 1.25)))
        modes = [m for m in CHOICES["coordinate_transformation_mode"] if m != "tf_half_pixel_for_nn"]
        op = cls(
            scales=scales if by_scale else None,
            sizes=None if by_scale else sizes,
            roi=(*starts, *ends),
            mode=mode,
            coordinate_transformation_mode=draw.choice(modes),
            nearest_mode=draw.choice(CHOICES["nearest_mode"]),
            cubic_coeff_a=draw.choice([-0.75, -0.5]),
            exclude_outside=mode == "cubic" and draw.boolean(),
            extrapolation_value=draw.number(-1, 1),
            antialias=mode != "nearest" and draw.boolean(),
            axes=axes,
            keep_aspect_ratio_policy=draw.choice(CHOICES["keep_aspect_ratio_policy"]),
        )
        return op, (TensorType(draw.dtype(("float", "int", "uint") if mode == "nearest" else ("float",)), shape),)


def _picked(x: Any, axis: int, places: Array) -> Any:
    """The elements of an axis at these places; without a table where each is repeated as often as the others."""
    shape, count = tuple(x.shape), len(places) // x.shape[axis]
    if not np.array_equal(places, np.repeat(np.arange(shape[axis]), count)):
        return Gather(axis)(x, places)
    before, after = shape[: axis + 1], shape[axis + 1 :]
    repeated = Expand((*before, count, *after))(Reshape((*before, 1, *after), True)(x))
    return Reshape((*before[:-1], len(places), *after), True)(repeated)


def _wide(dtype: DType) -> DType:
    """What samples of `dtype` are computed in."""
    if dtype.is_float:
        return accumulator(dtype)
    return float32 if dtype.bits <= 16 else float64


def _scaled(size: int, scale: float) -> tuple[int, float, float]:
    """Count, width and scale along an axis, from the scale."""
    single = np.float32(scale)
    if scale == 1:
        return size, size, 1.0  # a symbol may keep its extent
    # rounded down in float32, as the shape inference of ONNX does it
    return math.floor(single * np.float32(size)), float(single) * size, float(str(single))


def _cubic(distance: Array, a: float) -> Array:
    """The cubic convolution kernel (Keys, 1981)."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
