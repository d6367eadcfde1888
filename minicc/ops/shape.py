"""Operators that keep the elements and their order, and change the shape: Reshape and its kin.

In: a tensor. Out: the same elements in another shape (Expand repeats them), or, of Shape and
Size, what the shape is. All are index arithmetic and fuse into their neighbours.

>>> import numpy as np
>>> Reshape(shape=(0, -1))(np.zeros((2, 3, 4))).shape
(2, 12)
>>> Shape()(np.zeros((2, 3)))
array([2, 3])
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import OPERAND, Array, Draw, Example, Kind, Operand, Operator, axis_of, ints, operator, type_of
from minicc.ops.generate import filled
from minicc.ops.order import Order, Permuted, lifted
from minicc.ops.view import View
from minicc.tensor.expr import Expr, const, select
from minicc.types import Symbol, TensorType, Unbound, broadcast, int64


def axes_of(call: Operator, axes: int | tuple[int, ...] | Operand, type: TensorType, rank: int) -> tuple[int, ...]:
    """Axes counted from the front, in the order given; raises when out of range or named twice."""
    found = tuple(axis_of(call, axis, type, rank) for axis in ints(axes))
    if len(set(found)) < len(found):
        hint = "name each axis once, counted from 0 or from -1"
        raise call.error(f"axes must be distinct, got {ints(axes)}", type, hint=hint)
    return found


def _groups(old: Sequence[int], new: Sequence[int]) -> list[tuple[range, range]]:
    """Split two shapes of one non-zero size into the shortest runs of axes with equal products."""
    found: list[tuple[range, range]] = []
    i = j = 0
    while i < len(old) or j < len(new):
        first_i, first_j = i, j
        left = right = 1
        while left != right or (i, j) == (first_i, first_j):
            if j == len(new) or (i < len(old) and left <= right):
                left, i = left * old[i], i + 1
            else:
                right, j = right * new[j], j + 1
        found.append((range(first_i, i), range(first_j, j)))
    return found


def _runs(old: Sequence[int], new: Sequence[int]) -> list[tuple[list[int], list[int]]]:
    """Which axes of one shape become which of another, an axis of 1 with a neighbour or alone."""
    wide = [[axis for axis, dim in enumerate(shape) if dim != 1] for shape in (old, new)]
    groups = _groups([old[axis] for axis in wide[0]], [new[axis] for axis in wide[1]])
    found = [([wide[0][i] for i in left], [wide[1][j] for j in right]) for left, right in groups]
    run_of = {axis: right for _, right in found for axis in right}
    before: list[int] = []  # the axes of 1 before all others
    current = before
    for axis, dim in enumerate(new):
        if dim == 1:
            current.append(axis)
        current = run_of.get(axis, current)
    ones: list[tuple[list[int], list[int]]] = [([axis], []) for axis, dim in enumerate(old) if dim == 1]
    return [([], sorted(before)), *[(left, sorted(right)) for left, right in found], *ones]


class Reshaping(View):
    """Base of what keeps the elements in row-major order: `infer` says all."""

    __slots__ = ()

    def numpy(self, x: Array) -> Array:
        return np.reshape(x, self.infer(type_of(x)).shape)

    def place(self, i: tuple[Any, ...], x: Any) -> list[Expr]:
        shape = self.infer(type_of(x)).shape
        source: list[Expr] = []
        for old, new in _groups(x.shape, shape):
            flat: Expr = const(0)
            for axis in new:
                flat = flat * shape[axis] + i[axis]
            part: list[Expr] = []
            for axis in reversed(old):
                first = axis == old.start or all(x.shape[a] == 1 for a in old if a < axis)
                part.append(const(0) if x.shape[axis] == 1 else flat if first else flat % x.shape[axis])
                flat = flat if x.shape[axis] == 1 else flat // x.shape[axis]
            source.extend(reversed(part))
        return source

    def tvm(self, R: Any, x: Any) -> Any:
        return R.reshape(x, self.infer(x.type).shape)


@operator
class Reshape(Reshaping):
    """The elements in row-major order; 0 copies a dimension unless `allow_zero`, -1 is what remains."""

    view = True
    operands = ("shape",)
    onnx_fields: ClassVar[dict[str, str]] = {"allowzero": "allow_zero"}

    shape: tuple[int, ...] | Operand = OPERAND
    allow_zero: bool = False

    def infer(self, x: TensorType) -> TensorType:
        wanted = ints(self.shape)
        if min(wanted, default=0) < -1 or wanted.count(-1) > 1 or (self.allow_zero and -1 in wanted and 0 in wanted):
            problem = f"a shape has dimensions >= 0 and at most one -1, got {wanted}"
            raise self.error(problem, x, hint="write -1 once, for the dimension that the others decide")
        if not self.allow_zero and any(dim == 0 and axis >= x.rank for axis, dim in enumerate(wanted)):
            raise self.error(f"0 copies a dimension that the input does not have: {wanted}", x, hint="allow_zero=True")
        kept = set() if self.allow_zero else {a for a, dim in enumerate(wanted) if dim == 0}
        shape = [x.shape[a] if a in kept else dim for a, dim in enumerate(wanted)]
        # what is copied is on both sides, so it need not be known
        given = math.prod(dim for a, dim in enumerate(shape) if a not in kept and dim != -1)
        size = math.prod(dim for a, dim in enumerate(x.shape) if a not in kept)
        if -1 in wanted:
            if given == 0 or size % given:
                hint = "choose dimensions whose product divides the elements"
                raise self.error(f"{size} elements do not fill {wanted}", x, hint=hint)
            shape[wanted.index(-1)] = size // given
        elif given != size:
            problem = f"expected a shape of {size} elements beside those copied, got {tuple(shape)}"
            hint = "choose dimensions whose product is the number of elements, or write -1 for one of them"
            raise self.error(problem, x, hint=hint)
        return TensorType(x.dtype, tuple(shape))

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted | None:
        """Axes that become others together must lie together, in their order; so they do where they lie in the order
        that is wanted, which differs from the one given where they do not."""
        shape = self.infer(x).shape
        if x.size == 0:
            return None
        runs = _runs(x.shape, shape)
        place = {axis: n for n, axis in enumerate(order)}
        runs.sort(key=lambda run: min((place[axis] for axis in run[0]), default=-1))
        wanted = tuple(axis for old, _ in runs for axis in old)
        result = tuple(axis for _, new in runs for axis in new)
        return Permuted(Reshape(tuple(shape[axis] for axis in result)), (wanted,), result)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "int"))
        dims = list(x.shape)
        while len(dims) > 1 and draw.boolean():
            at = draw.integer(0, len(dims) - 2)
            dims[at : at + 2] = [dims[at] * dims[at + 1]]
        if draw.boolean():
            dims.insert(draw.integer(0, len(dims)), 1)
        if dims and 0 not in dims and draw.boolean():
            dims[draw.integer(0, len(dims) - 1)] = -1
        return cls(tuple(dims), allow_zero=0 in dims), (x,)


@operator
class Flatten(Reshaping):
    """A matrix: the axes before `axis` are its rows, the others its columns."""

    axis: int = 1

    def infer(self, x: TensorType) -> TensorType:
        if not -x.rank <= self.axis <= x.rank:
            problem = f"axis must be in [{-x.rank}, {x.rank}], got {self.axis}"
            raise self.error(problem, x, hint="axes count from 0, or back from -1, the last one")
        axis = self.axis + x.rank if self.axis < 0 else self.axis
        return TensorType(x.dtype, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type()
        return cls(draw.integer(-x.rank, x.rank)), (x,)


@operator
class Squeeze(Reshaping):
    """Without the axes named, all of extent 1; without every such axis when None."""

    operands = ("axes",)

    axes: tuple[int, ...] | Operand | None = None

    def infer(self, x: TensorType) -> TensorType:
        if self.axes is None:
            if any(isinstance(dim, Symbol) for dim in x.shape):
                raise Unbound(str(x))  # a symbol may stand for 1
            return TensorType(x.dtype, tuple(dim for dim in x.shape if dim != 1))
        gone = axes_of(self, self.axes, x, x.rank)
        if any(isinstance(x.shape[a], int) and x.shape[a] != 1 for a in gone):
            problem = f"axes must have extent 1, got {tuple(x.shape[a] for a in gone)}"
            raise self.error(problem, x, hint="name axes of extent 1, or leave the axes out for all of them")
        return TensorType(x.dtype, tuple(dim for a, dim in enumerate(x.shape) if a not in gone))

    def tvm(self, R: Any, x: Any) -> Any:
        return R.squeeze(x, None if self.axes is None else list(axes_of(self, self.axes, x.type, len(x.shape))))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type()
        ones = [a for a, dim in enumerate(x.shape) if dim == 1]
        if not ones or draw.boolean():
            return cls(), (x,)
        return cls((draw.choice(ones) - draw.choice([0, x.rank]),)), (x,)


@operator
class Unsqueeze(Reshaping):
    """With axes of extent 1 put in, at the places that `axes` names in the result."""

    operands = ("axes",)

    axes: tuple[int, ...] | Operand = OPERAND

    def infer(self, x: TensorType) -> TensorType:
        rank = x.rank + len(ints(self.axes))
        new = axes_of(self, self.axes, x, rank)
        old = iter(x.shape)
        return TensorType(x.dtype, tuple(1 if a in new else next(old) for a in range(rank)))

    def tvm(self, R: Any, x: Any) -> Any:
        return R.expand_dims(x, list(axes_of(self, self.axes, x.type, len(x.shape) + len(ints(self.axes)))))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type()
        rank = x.rank + draw.integer(0, 2)
        free = list(range(rank))
        axes = [free.pop(draw.integer(0, len(free) - 1)) for _ in range(rank - x.rank)]
        return cls(tuple(a - draw.choice([0, rank]) for a in axes)), (x,)


@operator
class Expand(View):
    """Broadcast to the shape that `shape` and the input's shape broadcast to."""

    kind = Kind.BROADCAST
    operands = ("shape",)

    shape: tuple[int, ...] | Operand = OPERAND

    def infer(self, x: TensorType) -> TensorType:
        shape = ints(self.shape)
        if any(dim < 0 for dim in shape):
            raise self.error(f"dimensions must not be negative, got {shape}", x, hint="1 keeps a dimension as it is")
        return TensorType(x.dtype, broadcast(f"{self}({x})", x.shape, shape))

    def numpy(self, x: Array) -> Array:
        return np.broadcast_to(x, self.infer(type_of(x)).shape)

    def place(self, i: tuple[Any, ...], x: Any) -> list[Any]:
        return [const(0) if dim == 1 else i[a - len(x.shape)] for a, dim in enumerate(x.shape)]

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        shape = self.infer(x).shape
        order = lifted(order, len(shape))
        return Permuted(Expand(tuple(shape[axis] for axis in order)), (order,), order)

    def tvm(self, R: Any, x: Any) -> Any:
        return R.broadcast_to(x, self.infer(x.type).shape)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = draw.type(("float", "bool"))
        shape = tuple(draw.integer(0, 4) if dim == 1 else draw.choice([1, dim]) for dim in x.shape)
        return cls(draw.shape((0, 2), 1, 3) + shape), (x,)


class OfShape(Operator):
    """Base of what the shape of a tensor decides."""

    __slots__ = ()
    kind = Kind.INJECTIVE

    def numpy(self, x: Array) -> Any:
        return self.fold(type_of(x))

    def tvm(self, R: Any, x: Any) -> Any:
        known = self.fold(x.type)
        if known is None:
            raise R.refuse(self, f"the shape of {x.type} is not known before it runs", hint="compile with fixed shapes")
        return R.constant(known)


@operator
class Shape(OfShape):
    """The dimensions from `start` to `end` as an int64 vector."""

    start: int = 0
    end: int | None = None

    def infer(self, x: TensorType) -> TensorType:
        return TensorType(int64, (len(x.shape[self.start : self.end]),))

    def fold(self, x: TensorType) -> Array | None:
        dims = x.shape[self.start : self.end]
        return np.array(dims, np.int64) if all(isinstance(dim, int) for dim in dims) else None

    def compute(self, x: Any) -> Any:
        dims = x.shape[self.start : self.end]

        def dim(i: Expr) -> Expr:
            value: Expr = const(dims[-1] if dims else 0)
            for n, extent in enumerate(dims[:-1]):
                value = select(i.equal(n), const(extent), value)
            return value

        return te.compute((len(dims),), dim, name="shape")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(draw.integer(-3, 3), draw.choice([None, -2, -1, 0, 1, 3])), (draw.type(),)


@operator
class Size(OfShape):
    """The number of elements, an int64 scalar."""

    def infer(self, x: TensorType) -> TensorType:
        return TensorType(int64, ())

    def fold(self, x: TensorType) -> Array | None:
        return np.array(x.size, np.int64) if x.is_bound else None

    def compute(self, x: Any) -> Any:
        return filled((), math.prod(x.shape), int64, "size")

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(), (draw.type(),)
