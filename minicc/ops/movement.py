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

import itertools
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ir.node import node, replace
from minicc.ops.base import OPERAND, Array, Draw, Example, Kind, Operand, Operator, axis_of, ints, number, operator
from minicc.ops.base import same_dim, type_of
from minicc.ops.elementwise import Identity
from minicc.ops.generate import filled
from minicc.ops.order import Order, Permuted, between
from minicc.ops.shape import Reshape, axes_of
from minicc.ops.view import View
from minicc.tensor.expr import Expr, const, select
from minicc.types import TensorType


@operator
class Transpose(View):
    """Axis `perm[n]` of the input is axis n of the result; the axes reversed when `perm` is empty."""

    perm: tuple[int, ...] = ()

    def axes(self, rank: int) -> tuple[int, ...]:
        """The permutation in full."""
        return self.perm or tuple(reversed(range(rank)))

    def infer(self, x: TensorType) -> TensorType:
        perm = self.axes(x.rank)
        if sorted(perm) != list(range(x.rank)):
            problem = f"perm must be a permutation of 0..{x.rank - 1}, got {perm}"
            raise self.error(problem, x, hint="name each axis once")
        return TensorType(x.dtype, tuple(x.shape[a] for a in perm))

    def numpy(self, x: Array) -> Array:
        return np.transpose(x, self.axes(x.ndim))

    def place(self, i: tuple[Any, ...], x: Any) -> list[Any]:
        perm = self.axes(len(i))
        return [i[perm.index(a)] for a in range(len(i))]

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        """Nothing moves: its result is its operand, which only lies in another order now."""
        return Permuted(Identity(), (order,), between(self.axes(x.rank), order))

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

    kind = Kind.INJECTIVE
    gathering = True

    axis: int

    def infer(self, *xs: TensorType) -> TensorType:
        if not xs or any(x.rank == 0 for x in xs):
            problem = "expected one or more tensors of rank 1 or more"
            raise self.error(problem, *xs, hint="add an axis before: Unsqueeze")
        first = xs[0]
        axis = axis_of(self, self.axis, first)
        for x in xs[1:]:
            others = [(d, e) for a, (d, e) in enumerate(zip(first.shape, x.shape, strict=False)) if a != axis]
            if x.dtype is not first.dtype or x.rank != first.rank or not all(same_dim(d, e) for d, e in others):
                problem = f"inputs may differ only along axis {axis}, got {first} and {x}"
                raise self.error(problem, *xs, hint="choose another axis, or make the other extents equal")
        extent = first.shape[axis] if len(xs) == 1 else sum(x.shape[axis] for x in xs)
        return TensorType(first.dtype, (*first.shape[:axis], extent, *first.shape[axis + 1 :]))

    def numpy(self, *xs: Array) -> Array:
        return np.concatenate(xs, self.axis)

    def compute(self, *xs: Any) -> Any:
        result = self.infer(*map(type_of, xs))
        if 0 in result.shape:
            return filled(result.shape, 0, result.dtype, "concat")
        axis = self.axis % result.rank
        xs = tuple(x for x in xs if x.shape[axis])
        starts = [0, *itertools.accumulate(x.shape[axis] for x in xs)]

        def pick(i: tuple[Expr, ...], low: int, high: int) -> Any:
            # a balanced tree of selects, as a model may concatenate hundreds of tensors
            if high - low == 1:
                return xs[low][(*i[:axis], i[axis] - starts[low], *i[axis + 1 :])]
            half = (low + high) // 2
            return select(i[axis] < starts[half], pick(i, low, half), pick(i, half, high))

        return te.compute(result.shape, lambda *i: pick(i, 0, len(xs)), name="concat")

    def permuted(self, at: int, order: Order, *xs: TensorType) -> Permuted:
        return Permuted(Concat(order.index(self.axis % xs[0].rank)), (order,) * len(xs), order)

    def tvm(self, R: Any, *xs: Any) -> Any:
        return R.concat(list(xs), self.axis)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"), rank=(1, 4))
        axis = draw.integer(0, x.rank - 1)
        extents = [draw.integer(0, 3) for _ in range(draw.integer(0, 3))]
        others = [TensorType(x.dtype, (*x.shape[:axis], extent, *x.shape[axis + 1 :])) for extent in extents]
        return cls(axis - draw.choice([0, x.rank])), (x, *others)


_END = 2**63 - 1  # what ONNX writes for "to the end"


def _taken(start: int, end: int, step: int, extent: int) -> range:
    """The indices of an axis from `start` to `end`."""
    start, end = (bound + extent if bound < 0 else bound for bound in (start, end))
    low, high = (0, extent) if step > 0 else (-1, extent - 1)
    return range(min(max(start, 0), high), min(max(end, low), high), step)


@operator
class Slice(View):
    """`x[start:end:step]` along each of `axes`; negative bounds count from the end, then all are clamped.

    It differs from Python in one place: a start before the first element is clamped to it for a
    negative step, too.
    """

    operands = ("starts", "ends", "axes", "steps")

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
            problem = "starts, ends, axes and steps must have one length"
            raise self.error(problem, x, hint="give a number for each of the axes in every list")
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

    def numpy(self, x: Array) -> Any:
        for axis, taken in enumerate(self.ranges(type_of(x))):
            x = x if taken is None else np.take(x, np.arange(taken.start, taken.stop, taken.step), axis)
        return x

    def place(self, i: tuple[Any, ...], x: Any) -> list[Any]:
        return [i[a] if r is None else i[a] * r.step + r.start for a, r in enumerate(self.ranges(type_of(x)))]

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        axes = range(len(ints(self.starts))) if self.axes is None else axes_of(self, self.axes, x, x.rank)
        return Permuted.first(replace(self, axes=tuple(order.index(axis) for axis in axes)), [x], order)

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

    kind = Kind.INJECTIVE
    operands = ("sizes",)
    onnx_fields: ClassVar[dict[str, str]] = {"split": "sizes"}

    axis: int = 0
    sizes: tuple[int, ...] | Operand | None = None
    parts: int = 1
    index: int = 0

    def extents(self, x: TensorType) -> tuple[int, ...]:
        """The extent of each part."""
        axis, parts = axis_of(self, self.axis, x), self.parts
        if not 0 <= self.index < parts or x.rank == 0:
            problem = f"expected a tensor to split, and part {self.index} in [0, {parts - 1}]"
            raise self.error(problem, x, hint="choose an index of a part, and add an axis to a scalar")
        extent = x.shape[axis]
        if self.sizes is None:
            chunk, most = -(-extent // parts), max(MOST_PARTS, extent + 1)
            if parts > most:
                problem = f"expected at most {most} parts of an axis of {extent}, got {parts}"
                raise self.error(problem, x, hint="choose fewer parts")
            sizes = (*[chunk] * (parts - 1), extent - chunk * (parts - 1))
        else:
            sizes = ints(self.sizes)
        if len(sizes) != parts or min(sizes) < 0 or not same_dim(sum(sizes), extent):
            problem = f"expected {parts} sizes >= 0 that add up to {extent}, got {sizes}"
            raise self.error(problem, x, hint="give sizes that add up to the extent, or leave them out for equal parts")
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

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        return Permuted.first(replace(self, axis=order.index(self.axis % x.rank)), [x], order)

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
class Tile(View):
    """`repeats[a]` copies along each axis a."""

    operands = ("repeats",)

    repeats: tuple[int, ...] | Operand = OPERAND

    def infer(self, x: TensorType) -> TensorType:
        repeats = ints(self.repeats)
        if len(repeats) != x.rank or min(repeats, default=0) < 0:
            problem = f"expected {x.rank} repeats >= 0, got {repeats}"
            raise self.error(problem, x, hint="give one number for each axis, 1 where nothing is repeated")
        return TensorType(x.dtype, tuple(d if r == 1 else d * r for d, r in zip(x.shape, repeats, strict=True)))

    def numpy(self, x: Array) -> Any:
        result = self.infer(type_of(x))  # NumPy multiplies axis by axis
        return np.tile(x, ints(self.repeats)) if result.size else np.zeros(result.shape, x.dtype)

    def place(self, i: tuple[Any, ...], x: Any) -> list[Any]:
        return [i[a] if r == 1 else i[a] % x.shape[a] for a, r in enumerate(ints(self.repeats))]

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        repeats = ints(self.repeats)
        return Permuted.first(Tile(tuple(repeats[axis] for axis in order)), [x], order)

    def tvm(self, R: Any, x: Any) -> Any:
        return R.tile(x, list(ints(self.repeats)))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"))
        return cls(tuple(draw.integer(0, 3) for _ in x.shape)), (x,)


@node
class Blocks(Operator):
    """Base of what moves blocks of pixels to channels or back; `mode` is DCR (depth first) or CRD (column first)."""

    kind = Kind.INJECTIVE
    composite = True

    blocksize: int
    mode: str = "DCR"

    def check(self, x: TensorType, fits: bool, problem: str, hint: str) -> None:
        """Raise unless `x` fits, and the mode is known."""
        if not fits or self.mode not in ("DCR", "CRD"):
            raise self.error(f"expected [N,C,H,W] with {problem}, and mode DCR or CRD", x, hint=hint)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        block = draw.integer(1, 3)
        n, c, h, w = draw.shape(4, 0, 3)
        deep = n, c * block * block, h, w
        x = TensorType(draw.dtype(), deep if cls is DepthToSpace else (n, c, h * block, w * block))
        return cls(block, draw.choice(["DCR", "CRD"])), (x,)


@operator
class DepthToSpace(Blocks):
    """Blocks of channels become blocks of pixels; `mode` is DCR (depth first) or CRD (column first)."""

    def infer(self, x: TensorType) -> TensorType:
        block, square = self.blocksize, self.blocksize**2
        fits = x.rank == 4 and block >= 1 and x.shape[1] % square == 0
        self.check(x, fits, f"C a multiple of {square}", "choose a blocksize whose square divides the channels")
        n, c, h, w = x.shape
        return TensorType(x.dtype, (n, c // square, h * block, w * block))

    def expand(self, x: Any) -> Any:
        n, c, height, width = self.infer(type_of(x)).shape
        block = self.blocksize
        h, w = height // block, width // block
        if self.mode == "DCR":
            split, perm = (n, block, block, c, h, w), (0, 3, 4, 1, 5, 2)
        else:
            split, perm = (n, c, block, block, h, w), (0, 1, 4, 2, 5, 3)
        return Reshape((n, c, height, width), True)(Transpose(perm)(Reshape(split, True)(x)))


@operator
class SpaceToDepth(Blocks):
    """Blocks of pixels become channels, the place in the block outermost."""

    def infer(self, x: TensorType) -> TensorType:
        block = self.blocksize
        fits = x.rank == 4 and block >= 1 and x.shape[2] % block == 0 and x.shape[3] % block == 0
        self.check(x, fits, f"H and W multiples of {block}", "choose a blocksize that divides height and width, or pad")
        n, c, h, w = x.shape
        return TensorType(x.dtype, (n, c * block * block, h // block, w // block))

    def expand(self, x: Any) -> Any:
        n, c, h, w = self.infer(type_of(x)).shape
        block = self.blocksize
        perm = (0, 3, 5, 1, 2, 4) if self.mode == "DCR" else (0, 1, 3, 5, 2, 4)
        blocks = Reshape((n, c // (block * block), h, block, w, block), True)(x)
        return Reshape((n, c, h, w), True)(Transpose(perm)(blocks))


@operator
class Trilu(Operator):
    """The upper or lower triangle of the last two axes, from diagonal `k`; 0 elsewhere."""

    kind = Kind.ELEMENTWISE
    operands = ("k",)

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
