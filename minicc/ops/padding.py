"""Pad: elements put around a tensor, or cropped from it where a pad is negative.

In: a tensor. Out: along each axis `pads[axis]` elements more before it, and so many after it.

>>> import numpy as np
>>> Pad(pads=(2, -1), mode="reflect")(np.arange(4))
array([2, 1, 0, 1, 2])
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ir.node import replace
from minicc.ops.base import OPERAND, Array, Draw, Example, Operand, ints, number, operator, type_of
from minicc.ops.generate import filled
from minicc.ops.order import Order, Permuted
from minicc.ops.shape import axes_of
from minicc.ops.view import View, at_least, at_most
from minicc.tensor.expr import Expr, all_of, const, minimum, select
from minicc.types import TensorType

MODES = "constant", "reflect", "edge", "wrap"
TVM_MODES = dict(zip(MODES, ("constant", "reflect", "replicate", "circular"), strict=True))  # others are zeros to TVM


@operator
class Pad(View):
    """`pads` holds what to put before each of `axes`, then what to put after each.

    What is put there is `value` (constant), the mirror image without the edge (reflect), the edge
    itself (edge), or the tensor again (wrap). A negative pad crops, before anything is put.
    """

    gathering = True
    operands = ("pads", "value", "axes")
    onnx_fields: ClassVar[dict[str, str]] = {"constant_value": "value"}

    pads: tuple[int, ...] | Operand = OPERAND
    value: float | Operand = 0
    axes: tuple[int, ...] | Operand | None = None
    mode: str = "constant"

    def widths(self, x: TensorType) -> list[tuple[int, int]]:
        """What is put before and after each axis."""
        pads = ints(self.pads)
        axes = tuple(range(x.rank)) if self.axes is None else axes_of(self, self.axes, x, x.rank)
        if len(pads) != 2 * len(axes):
            hint = "first a number before each axis, then one behind each: [0, 0, 1, 1] for two axes"
            raise self.error(f"expected {2 * len(axes)} pads for {len(axes)} axes, got {len(pads)}", x, hint=hint)
        found = [(0, 0)] * x.rank
        for n, axis in enumerate(axes):
            found[axis] = pads[n], pads[n + len(axes)]
        return found

    def infer(self, x: TensorType) -> TensorType:
        if self.mode not in MODES:
            raise self.error(f"no mode {self.mode!r}", x, hint=f"one of {', '.join(MODES)}")
        shape = []
        for dim, (before, after) in zip(x.shape, self.widths(x), strict=True):
            if before == after == 0:  # of a symbol, too
                shape.append(dim)
                continue
            shape.append(dim + before + after)
            if shape[-1] < 0 or (self.mode != "constant" and 0 >= _kept(dim, before, after) < shape[-1]):
                problem = f"pads {before}, {after} leave nothing of an axis of {dim}"
                raise self.error(problem, x, hint="cut less: negative pads take elements away")
        return TensorType(x.dtype, tuple(shape))

    def numpy(self, x: Array) -> Any:
        result, widths = self.infer(type_of(x)), self.widths(type_of(x))
        if self.mode != "constant":
            for axis, (before, after) in enumerate(widths):
                x = np.take(x, np.arange(max(-before, 0), x.shape[axis] - max(-after, 0)), axis)
            around = np.array([(max(b, 0), max(a, 0)) for b, a in widths], np.int64).reshape(-1, 2)
            return np.pad(x, around, self.mode) if x.ndim else x  # type: ignore[call-overload] # the mode is a literal there
        padded = np.full(result.shape, np.asarray(number(self.value)).astype(x.dtype))
        places = [np.arange(extent) - before for extent, (before, _) in zip(result.shape, widths, strict=True)]
        inside = [(place >= 0) & (place < dim) for place, dim in zip(places, x.shape, strict=True)]
        padded[np.ix_(*inside)] = x[np.ix_(*[place[here] for place, here in zip(places, inside, strict=True)])]
        return padded

    def compute(self, x: Any) -> Any:
        result, widths = self.infer(type_of(x)), self.widths(type_of(x))
        value = number(self.value)
        if 0 in result.shape or 0 in x.shape:
            return filled(result.shape, value, x.dtype, "pad")
        return padded_with(x, widths, value) if self.mode == "constant" else View.compute(self, x)

    def place(self, i: tuple[Any, ...], x: Any) -> list[Expr]:
        return [_source(self.mode, *axis) for axis in zip(i, x.shape, self.widths(type_of(x)), strict=True)]

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        widths = self.widths(x)
        pads = [widths[axis][end] for end in (0, 1) for axis in order]
        return Permuted.first(replace(self, pads=tuple(pads), axes=None), [x], order)

    def tvm(self, R: Any, x: Any) -> Any:
        widths = self.widths(x.type)
        axes = [a for a, width in enumerate(widths) if min(width) < 0]
        if axes:  # TVM's pads do not crop
            ends = [x.shape[a] + min(widths[a][1], 0) for a in axes]
            x = R.strided_slice(x, axes, [max(-widths[a][0], 0) for a in axes], ends)
        around = [max(side, 0) for width in widths for side in width]
        value = np.asarray(number(self.value)).astype(x.dtype.numpy).item() if self.mode == "constant" else 0
        if value == value and float(value) != value:
            raise R.refuse(self, f"TVM holds the value of a pad as a float64, which {value} does not fit")
        return R.nn.pad(x, around, TVM_MODES[self.mode], float(value)) if any(around) else x

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        mode = draw.choice(MODES)
        x = draw.type(("float", "int"), rank=(0, 4), low=0 if mode == "constant" else 1)
        axes = [a for a in range(x.rank) if draw.boolean()]
        crops = [draw.integer(0, max((x.shape[a] - 1) // 2, 0)) if draw.boolean() else None for a in axes * 2]
        pads = tuple(draw.integer(0, 5) if crop is None else -crop for crop in crops)
        return cls(pads, draw.integer(-2, 2), tuple(a - draw.choice([0, x.rank]) for a in axes), mode), (x,)


def padded_with(x: Any, widths: list[tuple[int, int]], value: Any) -> Any:
    """The `te` tensor "pad": `x` with `widths` of a constant around it. Evaluates no load outside of `x`."""
    shape = tuple(dim + before + after for dim, (before, after) in zip(x.shape, widths, strict=True))

    def element(*index: Expr) -> Expr:
        place = [i - before for i, (before, _) in zip(index, widths, strict=True)]
        inside = [p >= 0 for p, (before, _) in zip(place, widths, strict=True) if before > 0]
        inside += [p < dim for p, dim, (_, after) in zip(place, x.shape, widths, strict=True) if after > 0]
        return select(all_of(*inside), x[tuple(place)], const(value, x.dtype))

    return te.compute(shape, element, name="pad")


def _kept(dim: int, before: int, after: int) -> int:
    """The extent that is left after cropping."""
    return dim + min(before, 0) + min(after, 0)


def _source(mode: str, index: Any, dim: int, width: tuple[int, int]) -> Any:
    """Where along an axis of extent `dim` element `index` of the padded axis comes from."""
    before, after = width
    extent, crop = _kept(dim, before, after), max(-before, 0)
    place = index - max(before, 0)
    if before <= 0 and after <= 0:
        return place + crop
    if mode == "edge" or extent == 1:
        return at_most(at_least(place, 0), extent - 1) + crop
    if mode == "wrap":
        return place % extent + crop
    # forth and back again; the outer bound only tells interval analysis what holds anyway
    period = 2 * (extent - 1)
    place = place % period
    mirrored = minimum(place, period - place) if isinstance(place, Expr) else np.minimum(place, period - place)
    return at_most(mirrored, extent - 1) + crop
