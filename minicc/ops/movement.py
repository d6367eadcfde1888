"""Operators that move elements without computing on them: Transpose, Concat, Slice and their kin.

In: tensors. Out: a tensor whose every element is one element of an input (or, of Trilu, 0). All
are index arithmetic and fuse into their neighbours.

>>> import numpy as np
>>> Slice(starts=(4,), ends=(0,), axes=(0,), steps=(-2,))(np.arange(6))
array([4, 2])
>>> Concat(axis=0)(np.arange(2), np.arange(3))
array([0, 1, 0, 1, 2])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import (
    OPERAND,
    Array,
    Draw,
    Example,
    Kind,
    Operand,
    Operator,
    axis_of,
    ints,
    number,
    operator,
    same_dim,
    type_of,
)  # fmt: skip
from minicc.ops.generate import filled
from minicc.ops.shape import Reshape, axes_of
from minicc.tensor.expr import Expr, const, select
from minicc.types import TensorType


@operator
class Transpose(Operator):
    """Axis `perm[n]` of the input is axis n of the result; the axes reversed when `perm` is empty."""

    kind: ClassVar[Kind] = Kind.INJECTIVE

    perm: tuple[int, ...] = ()

    def axes(self, rank: int) -> tuple[int, ...]:
        """The permutation in full."""
        return self.perm or tuple(reversed(range(rank)))

    def infer(self, x: TensorType) -> TensorType:
        perm = self.axes(x.rank)
        if sorted(perm) != list(range(x.rank)):
            raise self.error(
                f"perm must be a permutation of 0..{x.rank - 1}, got {perm}", x, hint="name each axis once"
            )
        return TensorType(x.dtype, tuple(x.shape[a] for a in perm))

    def numpy(self, x: Array) -> Array:
        return np.transpose(x, self.axes(x.ndim))

    def compute(self, x: Any) -> Any:
        perm = self.axes(len(x.shape))
        return te.compute(
            self.infer(type_of(x)).shape,
            lambda *i: x[tuple(i[perm.index(a)] for a in range(len(perm)))],
            name="transpose",
        )

    def tvm(self, R: Any, x: Any) -> Any:
        return R.permute_dims(x, list(self.axes(len(x.shape))))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"))
        left = list(range(x.rank))
        return cls(tuple(left.pop(draw.integer(0, len(left) - 1)) for _ in range(x.rank))), (x,)


@operator
class Concat(Operator):
    """The inputs one after the other along `axis`."""

    kind: ClassVar[Kind] = Kind.INJECTIVE
    gathering = True

    axis: int

    def infer(self, *xs: TensorType) -> TensorType:
        if not xs or any(x.rank == 0 for x in xs):
            raise self.error(
                "expected one or more tensors of rank 1 or more", *xs, hint="add an axis before: Unsqueeze"
            )
        first = xs[0]
        axis = axis_of(self, self.axis, first)
        for x in xs[1:]:
            alike = x.rank == first.rank and all(
                same_dim(d, e) for a, (d, e) in enumerate(zip(first.shape, x.shape, strict=True)) if a != axis
            )
            if x.dtype is not first.dtype or not alike:
                raise self.error(
                    f"inputs may differ only along axis {axis}, got {first} and {x}",
                    *xs,
                    hint="choose another axis, or make the other extents equal",
                )
        extent = xs[0].shape[axis] if len(xs) == 1 else sum(x.shape[axis] for x in xs)
        return TensorType(first.dtype, (*first.shape[:axis], extent, *first.shape[axis + 1 :]))

    def numpy(self, *xs: Array) -> Array:
        return np.concatenate(xs, self.axis)

    def compute(self, *xs: Any) -> Any:
        result = self.infer(*map(type_of, xs))
        if 0 in result.shape:
            return filled(result.shape, 0, result.dtype, "concat")
        axis = self.axis % result.rank
        parts, start = [], 0
        for x in xs:
            if x.shape[axis]:
                parts.append((start, x))
                start += x.shape[axis]

        def element(*index: Expr) -> Expr:
            def pick(parts: Sequence[tuple[int, Any]]) -> Expr:
                # a balanced tree of selects, as a model may concatenate hundreds of tensors
                if len(parts) == 1:
                    begin, x = parts[0]
                    return x[(*index[:axis], index[axis] - begin, *index[axis + 1 :])]  # type: ignore[no-any-return]
                half = len(parts) // 2
                return select(index[axis] < parts[half][0], pick(parts[:half]), pick(parts[half:]))

            return pick(parts)

        return te.compute(result.shape, element, name="concat")

    def tvm(self, R: Any, *xs: Any) -> Any:
        return R.concat(list(xs), self.axis)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 4))
        axis = draw.integer(0, x.rank - 1)
        others = [
            TensorType(x.dtype, (*x.shape[:axis], draw.integer(0, 3), *x.shape[axis + 1 :]))
            for _ in range(draw.integer(0, 3))
        ]
        return cls(axis - draw.choice([0, x.rank])), (x, *others)


_END = 2**63 - 1  # what ONNX writes for "to the end"


def _taken(start: int, end: int, step: int, extent: int) -> range:
    """The indices of an axis from `start` to `end`."""
    start, end = (bound + extent if bound < 0 else bound for bound in (start, end))
    low, high = (0, extent) if step > 0 else (-1, extent - 1)
    return range(min(max(start, 0), high), min(max(end, low), high), step)


@operator
class Slice(Operator):
    """`x[start:end:step]` along each of `axes`; negative bounds count from the end, then all are clamped.

    It differs from Python in one place: a start before the first element is clamped to it for a
    negative step, too.
    """

    kind: ClassVar[Kind] = Kind.INJECTIVE
    operands: ClassVar[tuple[str, ...]] = ("starts", "ends", "axes", "steps")

    starts: tuple[int, ...] | Operand = OPERAND
    ends: tuple[int, ...] | Operand = OPERAND
    axes: tuple[int, ...] | Operand | None = None
    steps: tuple[int, ...] | Operand | None = None

    def ranges(self, x: TensorType) -> list[Any]:
        """Along each axis the `range` of indices taken, or None for all of them."""
        starts, ends = ints(self.starts), ints(self.ends)
        axes = tuple(range(len(starts))) if self.axes is None else ints(self.axes)
        steps = (1,) * len(starts) if self.steps is None else ints(self.steps)
        if not len(starts) == len(ends) == len(axes) == len(steps):
            raise self.error(
                "starts, ends, axes and steps must have one length",
                x,
                hint="give a number for each of the axes in every list",
            )
        if 0 in steps:
            raise self.error("a step must not be 0", x, hint="use 1 for every element, -1 for the reverse order")
        found: list[Any] = [None] * x.rank
        for axis, start, end, step in zip(axes_of(self, axes, x, x.rank), starts, ends, steps, strict=True):
            if start != 0 or end < 2**31 - 1 or step != 1:  # else all, of a symbolic extent too
                found[axis] = _taken(start, end, step, x.shape[axis])
        return found

    def infer(self, x: TensorType) -> TensorType:
        taken = self.ranges(x)
        return TensorType(x.dtype, tuple(d if r is None else len(r) for d, r in zip(x.shape, taken, strict=True)))

    def numpy(self, x: Array) -> Array:
        taken = self.ranges(type_of(x))
        index = [slice(None) if r is None else np.arange(r.start, r.stop, r.step) for r in taken]
        for axis, where in enumerate(index):
            x = x[(slice(None),) * axis + (where,)]
        return x

    def compute(self, x: Any) -> Any:
        taken = self.ranges(type_of(x))
        shape = self.infer(type_of(x)).shape
        if 0 in shape:
            return filled(shape, 0, x.dtype, "slice")
        return te.compute(
            shape,
            lambda *i: x[tuple(i[a] if r is None else i[a] * r.step + r.start for a, r in enumerate(taken))],
            name="slice",
        )

    def tvm(self, R: Any, x: Any) -> Any:
        taken = [(a, r) for a, r in enumerate(self.ranges(x.type)) if r is not None]
        if not taken:
            return x
        # TVM counts a negative end from the end, too: what ends before the first element ends far before it
        ends = [r.stop if r.stop >= 0 else -x.shape[a] - 1 for a, r in taken]
        return R.strided_slice(x, [a for a, _ in taken], [r.start for _, r in taken], ends, [r.step for _, r in taken])

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"))
        axes = [a for a in range(x.rank) if draw.boolean()]
        far = [-_END - 1, _END]
        starts = tuple(draw.choice([*far, *range(-8, 9)]) for _ in axes)
        ends = tuple(draw.choice([*far, *range(-8, 9)]) for _ in axes)
        steps = tuple(draw.choice([1, 2, 3, -1, -2]) for _ in axes)
        return cls(starts, ends, tuple(a - draw.choice([0, x.rank]) for a in axes), steps), (x,)


MOST_PARTS = 2**16  # a part is an output of a node, and its size an entry of a list


@operator
class Split(Operator):
    """Part `index` of `parts` along `axis`: of the `sizes`, or equal with the last one smaller."""

    kind: ClassVar[Kind] = Kind.INJECTIVE
    operands: ClassVar[tuple[str, ...]] = ("sizes",)
    onnx_fields: ClassVar[dict[str, str]] = {"split": "sizes"}

    axis: int = 0
    sizes: tuple[int, ...] | Operand | None = None
    parts: int = 1
    index: int = 0

    def extents(self, x: TensorType) -> tuple[int, ...]:
        """The extent of each part."""
        axis = axis_of(self, self.axis, x)
        if not 0 <= self.index < self.parts or x.rank == 0:
            raise self.error(
                f"expected a tensor to split, and part {self.index} in [0, {self.parts - 1}]",
                x,
                hint="choose an index of a part, and add an axis to a scalar",
            )
        extent = x.shape[axis]
        if self.sizes is None:
            chunk = -(-extent // self.parts)
            if self.parts > max(MOST_PARTS, extent + 1):
                raise self.error(
                    f"expected at most {max(MOST_PARTS, extent + 1)} parts of an axis of {extent}, got {self.parts}",
                    x,
                    hint="choose fewer parts",
                )
            sizes = (*[chunk] * (self.parts - 1), extent - chunk * (self.parts - 1))
        else:
            sizes = ints(self.sizes)
        if len(sizes) != self.parts or min(sizes) < 0 or not same_dim(sum(sizes), extent):
            raise self.error(
                f"expected {self.parts} sizes >= 0 that add up to {extent}, got {sizes}",
                x,
                hint="give sizes that add up to the extent, or leave them out for equal parts",
            )
        return sizes

    def slice(self, x: TensorType) -> Slice:
        """The Slice that this is."""
        sizes = self.extents(x)
        start = sum(sizes[: self.index])
        return Slice((start,), (start + sizes[self.index],), (axis_of(self, self.axis, x),))

    def infer(self, x: TensorType) -> TensorType:
        return self.slice(x).infer(x)

    def expand(self, x: Any) -> Any:
        return self.slice(type_of(x))(x)

    def tvm(self, R: Any, x: Any) -> Any:
        sizes = self.extents(x.type)
        if self.parts == 1 or 0 in sizes:  # TVM splits off no part without elements
            return self.expand(x)
        return R.split(x, [sum(sizes[:n]) for n in range(1, self.parts)], self.axis)[self.index]

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 4))
        axis = draw.integer(0, x.rank - 1)
        sizes, left = [], x.shape[axis]
        for _ in range(draw.integer(0, 2)):
            sizes.append(draw.integer(0, left))
            left -= sizes[-1]
        sizes.append(left)
        if x.shape[axis] and draw.boolean():
            parts = draw.choice([n for n in (1, 2, 3) if (n - 1) * -(-x.shape[axis] // n) <= x.shape[axis]])
            return cls(axis, None, parts, draw.integer(0, parts - 1)), (x,)
        return cls(axis - draw.choice([0, x.rank]), tuple(sizes), len(sizes), draw.integer(0, len(sizes) - 1)), (x,)


@operator
class Tile(Operator):
    """`repeats[a]` copies along each axis a."""

    kind: ClassVar[Kind] = Kind.INJECTIVE
    operands: ClassVar[tuple[str, ...]] = ("repeats",)

    repeats: tuple[int, ...] | Operand = OPERAND

    def infer(self, x: TensorType) -> TensorType:
        repeats = ints(self.repeats)
        if len(repeats) != x.rank or min(repeats, default=0) < 0:
            raise self.error(
                f"expected {x.rank} repeats >= 0, got {repeats}",
                x,
                hint="give one number for each axis, 1 where nothing is repeated",
            )
        return TensorType(x.dtype, tuple(d if r == 1 else d * r for d, r in zip(x.shape, repeats, strict=True)))

    def numpy(self, x: Array) -> Array:
        result = self.infer(type_of(x))
        return (
            np.tile(x, ints(self.repeats)) if result.size else np.zeros(result.shape, x.dtype)
        )  # NumPy multiplies axis by axis

    def compute(self, x: Any) -> Any:
        shape = self.infer(type_of(x)).shape
        if 0 in shape:
            return filled(shape, 0, x.dtype, "tile")
        return te.compute(
            shape, lambda *i: x[tuple(i[a] if d == shape[a] else i[a] % d for a, d in enumerate(x.shape))], name="tile"
        )

    def tvm(self, R: Any, x: Any) -> Any:
        return R.tile(x, list(ints(self.repeats)))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"))
        return cls(tuple(draw.integer(0, 3) for _ in x.shape)), (x,)


@operator
class DepthToSpace(Operator):
    """Blocks of channels become blocks of pixels; `mode` is DCR (depth first) or CRD (column first)."""

    kind: ClassVar[Kind] = Kind.INJECTIVE
    composite: ClassVar[bool] = True

    blocksize: int
    mode: str = "DCR"

    def infer(self, x: TensorType) -> TensorType:
        block = self.blocksize
        if x.rank != 4 or block < 1 or x.shape[1] % (block * block) or self.mode not in ("DCR", "CRD"):
            raise self.error(
                f"expected [N,C,H,W] with C a multiple of {block * block}, and mode DCR or CRD",
                x,
                hint="choose a blocksize whose square divides the channels",
            )
        n, c, h, w = x.shape
        return TensorType(x.dtype, (n, c // (block * block), h * block, w * block))

    def expand(self, x: Any) -> Any:
        n, c, h, w = self.infer(type_of(x)).shape
        block = self.blocksize
        h, w = h // block, w // block
        if self.mode == "DCR":
            split, perm = (n, block, block, c, h, w), (0, 3, 4, 1, 5, 2)
        else:
            split, perm = (n, c, block, block, h, w), (0, 1, 4, 2, 5, 3)
        parts = Transpose(perm)(Reshape(split, True)(x))
        return Reshape((n, c, h * block, w * block), True)(parts)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        block = draw.integer(1, 3)
        n, c, h, w = draw.shape(4, 0, 3)
        x = TensorType(draw.dtype(), (n, c * block * block, h, w))
        return cls(block, draw.choice(["DCR", "CRD"])), (x,)


@operator
class SpaceToDepth(Operator):
    """Blocks of pixels become channels, the place in the block outermost."""

    kind: ClassVar[Kind] = Kind.INJECTIVE
    composite: ClassVar[bool] = True

    blocksize: int
    mode: str = "DCR"

    def infer(self, x: TensorType) -> TensorType:
        block = self.blocksize
        divides = x.rank == 4 and block >= 1 and x.shape[2] % block == 0 and x.shape[3] % block == 0
        if not divides or self.mode not in ("DCR", "CRD"):
            raise self.error(
                f"expected [N,C,H,W] with H and W multiples of {block}, and mode DCR or CRD",
                x,
                hint="choose a blocksize that divides height and width, or pad",
            )
        n, c, h, w = x.shape
        return TensorType(x.dtype, (n, c * block * block, h // block, w // block))

    def expand(self, x: Any) -> Any:
        n, c, h, w = self.infer(type_of(x)).shape
        block = self.blocksize
        perm = (0, 3, 5, 1, 2, 4) if self.mode == "DCR" else (0, 1, 3, 5, 2, 4)
        blocks = Reshape((n, c // (block * block), h, block, w, block), True)(x)
        return Reshape((n, c, h, w), True)(Transpose(perm)(blocks))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        block = draw.integer(1, 3)
        n, c, h, w = draw.shape(4, 0, 3)
        x = TensorType(draw.dtype(), (n, c, h * block, w * block))
        return cls(block, draw.choice(["DCR", "CRD"])), (x,)


@operator
class Trilu(Operator):
    """The upper or lower triangle of the last two axes, from diagonal `k`; 0 elsewhere."""

    kind: ClassVar[Kind] = Kind.ELEMENTWISE
    operands: ClassVar[tuple[str, ...]] = ("k",)

    k: int | Operand = 0
    upper: bool = True

    def infer(self, x: TensorType) -> TensorType:
        if x.rank < 2:
            raise self.error(f"expected a rank of 2 or more, got {x.rank}", x, hint="add axes before: Unsqueeze")
        return x

    def numpy(self, x: Array) -> Array:
        above = np.arange(x.shape[-1]) - np.arange(x.shape[-2])[:, None]
        kept = above >= number(self.k) if self.upper else above <= number(self.k)
        return np.where(kept, x, np.zeros((), x.dtype))

    def compute(self, x: Any) -> Any:
        k = number(self.k)

        def element(*i: Expr) -> Expr:
            above = i[-1] - i[-2]
            return select(above >= k if self.upper else above <= k, x[i], const(0, x.dtype))

        return te.compute(self.infer(type_of(x)).shape, element, name="trilu")

    def tvm(self, R: Any, x: Any) -> Any:
        return R.triu(x, int(number(self.k))) if self.upper else R.tril(x, int(number(self.k)))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(draw.integer(-6, 6), draw.boolean()), (draw.type(("float", "int"), rank=(2, 4)),)


__all__ = ["Concat", "DepthToSpace", "Slice", "SpaceToDepth", "Split", "Tile", "Transpose", "Trilu"]
