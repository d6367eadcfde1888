"""Normalisations: a tensor of floats shifted and scaled to mean 0 and variance 1, over some axes.

In: x, and for most a scale and a bias per channel. Out: the type of x. The variance is the mean
of squared distances from the mean, in a second sweep: E[x*x] - E[x]*E[x] would cancel. float16
and bfloat16 are computed in float32 and rounded once.

Each has a `definition`, which serves arrays, the points of a tensor expression, and TVM. Where TVM has
an operator of the same meaning, that is its form.

>>> import numpy as np
>>> LayerNormalization()(np.array([[1.0, 3.0]]), np.ones(2)).round(3)
array([[-1.,  1.]])
"""

from __future__ import annotations

import math
import operator as python
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ir.node import node
from minicc.ops.arithmetic import Pow
from minicc.ops.base import FLOAT, Array, Draw, Example, Kind, axis_of, dtype_of, like, operator, same_dim, type_of
from minicc.ops.comparison import Equal, Where
from minicc.ops.elementwise import Sqrt, Widening, at
from minicc.ops.movement import Slice
from minicc.ops.order import Order, Permuted
from minicc.ops.padding import Pad
from minicc.ops.reduction import Place, ReduceL1, ReduceL2, ReduceMean, reduce
from minicc.ops.scalar import accumulator
from minicc.ops.shape import Reshape
from minicc.tensor.expr import Expr, call, cast, const, select
from minicc.types import DType, TensorType, broadcast, float64

Axes = tuple[int, ...]

# ---- a third kind of value, beside arrays and TVM's -------------------------------------------------


class Points:
    """A tensor under construction, `place` its element at a point of `shape`; operators act on elements.

    One that is a stage, a tensor of its own, has extent 1 there along `axes`.
    """

    def __init__(self, shape: Sequence[Any], dtype: DType, place: Place, stage: Any = None, axes: Axes = ()) -> None:
        self.shape, self.dtype, self.place, self.stage, self.axes = tuple(shape), dtype, place, stage, axes

    def apply(self, op: Any, values: Sequence[Any]) -> Points:
        return self.mapped(op.scalar, *values)

    def constant(self, array: Array) -> Expr:
        return const(array.item(), self.dtype)

    def mapped(self, function: Callable[..., Any], *values: Any) -> Points:
        """`function` of these values at every point; some may be numbers."""

        def place(point: Sequence[Any]) -> Expr:
            result: Expr = function(*[v.place(point) if isinstance(v, Points) else v for v in values])
            return result

        return Points(self.shape, self.dtype, place)

    def moved(self, shape: Sequence[Any], source: Callable[[Sequence[Any]], Sequence[Any]]) -> Points:
        """The tensor of `shape` whose element at a point is that at the `source` of the point."""
        return Points(shape, self.dtype, lambda p: self.place(source(p)))

    def reduced(self, axes: Axes, name: str) -> Points:
        """The sum over `axes`, as a stage."""
        return self._held(reduce(te.sum, self.shape, axes, self.place, name), axes)

    def staged(self, function: Callable[[Expr], Expr], name: str) -> Points:
        """`function` of each element of a stage, as the next one."""
        return self._held(te.compute(self.stage.shape, lambda *i: function(self.stage[i]), name=name), self.axes)

    def _held(self, stage: te.Tensor, axes: Axes) -> Points:
        def place(point: Sequence[Any]) -> Expr:
            return stage[tuple(0 if d in axes else i for d, i in enumerate(point))]

        return Points(self.shape, self.dtype, place, stage, axes)

    def __add__(self, other: Any) -> Points:
        return self.mapped(python.add, self, other)

    def __sub__(self, other: Any) -> Points:
        return self.mapped(python.sub, self, other)

    def __mul__(self, other: Any) -> Points:
        return self.mapped(python.mul, self, other)

    def __truediv__(self, other: Any) -> Points:
        return self.mapped(python.truediv, self, other)


def _mean(x: Any, axes: Axes, name: str) -> Any:
    """The mean over `axes`, which stay."""
    if not isinstance(x, Points):
        return ReduceMean(axes, noop_with_empty_axes=True)(x)
    count = math.prod(x.shape[d] for d in axes)
    return x.reduced(axes, f"{name}_sum").staged(lambda total: total / const(count, total.dtype), name)


def _moments(x: Any, axes: Axes) -> tuple[Any, Any]:
    """x less its mean, and its variance."""
    centered = x - _mean(x, axes, "mean")
    return centered, _mean(centered * centered, axes, "variance")


def _over_root(x: Any, square: Any, epsilon: float) -> Any:
    """x divided by the root of `square + epsilon`; in a tensor expression, times a factor for each square."""
    if not isinstance(x, Points):
        return x / Sqrt()(square + epsilon)
    return x * square.staged(lambda e: 1.0 / call("sqrt", e + epsilon), "factor")


def _standard(x: Any, axes: Axes, epsilon: float) -> Any:
    """x less its mean over `axes`, divided by the root of its variance plus epsilon."""
    centered, variance = _moments(x, axes)
    return _over_root(centered, variance, epsilon)


def _space(x: Any) -> Axes:
    return tuple(range(2, len(x.shape)))


def _images(draw: Draw) -> TensorType:
    return TensorType(draw.dtype(FLOAT), draw.shape((2, 4), low=1))


def _epsilon(draw: Draw) -> float:
    """The usual one, or one that no result can hide."""
    chosen: float = draw.choice((1e-5, 1e-3, 0.5))
    return chosen


class Normalization(Widening):
    """Base: floats in, the type of the first input out."""

    __slots__ = ()
    kind = Kind.REDUCTION
    accepts = FLOAT
    vectors: ClassVar[int] = 2  # at most, beside x

    def standard(self, x: Any) -> Any:
        """What is scaled, on arrays, on points or on values of TVM, all of the dtype to compute in."""
        raise NotImplementedError(self.name)

    def definition(self, x: Any, *vectors: Any) -> Any:
        """The result, on the same: what is standard, times scale, plus bias if there is one."""
        scaled = self.standard(x) * vectors[0]
        return scaled + vectors[1] if len(vectors) > 1 else scaled

    def own(self, R: Any, *values: Any, **_: Any) -> Any:
        """The result by TVM's operator of this name, None where that means something else."""
        return None

    def spread(self, vector: Any, x: Any) -> Any:
        """An array or a value of TVM beside x, in a shape that broadcasts with it."""
        return vector

    def element(self, vector: te.Tensor, x: te.Tensor, point: Sequence[Any]) -> Expr:
        """The element of a tensor beside x at a point of x."""
        return at(vector, point, x.shape)

    def check(self, *types: Any, **_: Any) -> None:
        """Raise TypeInferenceError unless the shapes fit."""

    def has_channels(self, *types: TensorType, least_rank: int = 2) -> None:
        """Raise unless x has channels."""
        if types[0].rank < least_rank:
            problem = f"x must have shape (batch, channels, ...), got {types[0].shape}"
            raise self.error(problem, *types, hint="add axes before: Unsqueeze")

    def infer(self, *types: TensorType) -> TensorType:
        self.accept(*types, expected="floats")
        self.check(*types)
        return types[0]

    def numpy(self, *arrays: Any, **_: Any) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self._defined(_wide(arrays))).astype(arrays[0].dtype, copy=False)

    def compute(self, *tensors: te.Tensor) -> te.Tensor:
        x, wide = tensors[0], accumulator(tensors[0].dtype)

        def points(place: Place) -> Points:
            return Points(x.shape, wide, lambda p: cast(place(p), wide))

        beside = [points(partial(self.element, vector, x)) for vector in tensors[1:]]
        made = self.definition(points(lambda p: x[tuple(p)]), *beside)
        return te.compute(x.shape, lambda *i: cast(made.place(i), x.dtype), name=self.name.lower())

    def tvm(self, R: Any, *values: Any, **_: Any) -> Any:
        wide = _wide(values)
        made = self.own(R, *wide)
        return (self._defined(wide) if made is None else made).astype(values[0].dtype)

    def _defined(self, values: Sequence[Any]) -> Any:
        return self.definition(values[0], *[self.spread(vector, values[0]) for vector in values[1:]])


def _wide(values: Sequence[Any]) -> list[Any]:
    """Arrays or values of TVM in the dtype in which the first is computed."""
    return [value.astype(accumulator(dtype_of(values[0])).numpy) for value in values]


@node
class LastAxes(Normalization):
    """Base of what normalizes over the axes from `axis` on, where the scale has one number for each element."""

    axis: int = -1
    epsilon: float = 1e-5

    def axes(self, x: Any) -> Axes:
        return tuple(range(axis_of(self, self.axis, type_of(x)), len(x.shape)))

    def permuted(self, at: int, order: Order, x: TensorType, *vectors: TensorType) -> Permuted | None:
        axes = self.axes(x)
        stays = order[-len(axes) :] == axes and all(vector.rank <= len(axes) for vector in vectors)
        return Permuted.first(self, (x, *vectors), order) if at == 0 and stays else None

    def fit(self, what: str, number: str, x: TensorType, *vectors: TensorType) -> None:
        """Raise unless the vectors broadcast to x."""
        self.axes(x)
        for vector in vectors:
            if broadcast(str(self), x.shape, vector.shape) != x.shape:
                hint = f"give one {number} for each element of the normalized axes"
                raise self.error(f"{what} must broadcast to {x.shape}, got {vector.shape}", x, *vectors, hint=hint)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = TensorType(draw.dtype(FLOAT), draw.shape((1, 4), low=1))
        axis = draw.integer(-x.rank, x.rank - 1)
        vector = TensorType(x.dtype, x.shape[axis % x.rank :])
        op = cls(axis, _epsilon(draw))
        return op, [x, *[vector] * (2 if cls.vectors == 2 and draw.boolean() else 1)]


@operator
class LayerNormalization(LastAxes):
    """x (scale, bias optional): standardised over the axes from `axis` on, times scale, plus bias."""

    def check(self, x: TensorType, *vectors: TensorType) -> None:
        if not 1 <= len(vectors) <= 2:
            problem = f"expected a scale and perhaps a bias, got {len(vectors)} inputs beside x"
            raise self.error(problem, x, *vectors, hint="give x, scale and at most one bias")
        self.fit("scale and bias", "number", x, *vectors)

    def standard(self, x: Any) -> Any:
        return _standard(x, self.axes(x), self.epsilon)

    def own(self, R: Any, x: Any, *vectors: Any) -> Any:
        axes = self.axes(x)
        scale, bias = vectors if len(vectors) > 1 else (*vectors, like(x, 0))
        if x.dtype is float64 or max(scale.type.rank, bias.type.rank) > len(axes):
            return None
        given = [R.broadcast_to(v, [x.shape[d] for d in axes]) for v in (scale, bias)]
        return R.nn.layer_norm(x, *given, list(axes), self.epsilon)


@operator
class RMSNormalization(LastAxes):
    """x divided by the root of its mean square over the axes from `axis` on, times scale."""

    vectors = 1

    def check(self, x: TensorType, scale: TensorType) -> None:
        self.fit("scale", "scale", x, scale)

    def standard(self, x: Any) -> Any:
        return _over_root(x, _mean(x * x, self.axes(x), "square"), self.epsilon)

    def own(self, R: Any, x: Any, scale: Any) -> Any:
        axes = self.axes(x)
        if x.dtype is float64 or scale.type.rank > len(axes) or len(axes) == x.type.rank:
            return None
        return R.nn.rms_norm(x, R.broadcast_to(scale, [x.shape[d] for d in axes]), list(axes), self.epsilon)


class OfChannels(Normalization):
    """Base of what has one scale and one bias for each channel, axis 1 of x."""

    __slots__ = ()
    least_rank: ClassVar[int] = 2

    def check(self, x: TensorType, *vectors: TensorType) -> None:
        """All other inputs are vectors of as many numbers as x has channels."""
        self.has_channels(x, *vectors, least_rank=self.least_rank)
        channels = x.shape[1] if x.rank > 1 else 1
        for vector in vectors:
            if vector.rank != 1 or not same_dim(vector.shape[0], channels):
                problem = f"expected vectors of {channels} channels, got shape {vector.shape}"
                raise self.error(problem, x, *vectors, hint="give one number for each channel")

    def spread(self, vector: Any, x: Any) -> Any:
        return Reshape((-1, *(1,) * (len(x.shape) - 2)))(vector)

    def element(self, vector: te.Tensor, x: te.Tensor, point: Sequence[Any]) -> Expr:
        return vector[point[1] if len(point) > 1 else 0]

    @classmethod
    def beside(cls, x: TensorType) -> list[Any]:
        """The types of all inputs."""
        return [x, *[TensorType(x.dtype, (x.shape[1],))] * cls.vectors]


@operator
class BatchNormalization(OfChannels):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, with given statistics per channel."""

    kind = Kind.BROADCAST
    least_rank, vectors = 1, 4

    epsilon: float = 1e-5

    def definition(self, x: Any, *vectors: Any) -> Any:
        scale, bias, mean, variance = vectors
        return (x - mean) * (scale / Sqrt()(variance + self.epsilon)) + bias

    def own(self, R: Any, x: Any, *vectors: Any) -> Any:
        table = x if x.type.rank > 1 else R.reshape(x, (*x.shape, 1))
        result = R.nn.batch_norm(table, *vectors, axis=1, epsilon=self.epsilon, training=False)[0]
        return R.reshape(result, x.shape)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        *inputs, variance = cls.beside(_images(draw))
        inputs.append(draw.array(variance, 0.25, 4.0))
        return cls(_epsilon(draw)), inputs


@operator
class InstanceNormalization(OfChannels):
    """Standardised over space, each channel of each image for itself; times scale, plus bias."""

    epsilon: float = 1e-5

    def standard(self, x: Any) -> Any:
        return _standard(x, _space(x), self.epsilon)

    def own(self, R: Any, x: Any, scale: Any, bias: Any) -> Any:
        if x.dtype is float64 or x.type.rank == 2:
            return None
        return R.nn.instance_norm(x, scale, bias, 1, list(_space(x)), self.epsilon)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(_epsilon(draw)), cls.beside(_images(draw))


@operator
class GroupNormalization(OfChannels):
    """Standardised over each group of neighbouring channels and space; scale and bias per channel."""

    num_groups: int
    epsilon: float = 1e-5

    def check(self, x: TensorType, *vectors: TensorType) -> None:
        OfChannels.check(self, x, *vectors)
        if self.num_groups < 1 or x.shape[1] % self.num_groups:
            problem = f"num_groups must divide {x.shape[1]} channels, got {self.num_groups}"
            raise self.error(problem, x, *vectors, hint="choose a divisor of the channels")

    def standard(self, x: Any) -> Any:
        batch, channels, *space = x.shape
        size = channels // self.num_groups
        shape, flat = (batch, self.num_groups, size, *space), tuple(x.shape)
        if not isinstance(x, Points):
            grouped = Reshape(shape, True)(x)
            return Reshape(flat, True)(_standard(grouped, _space(grouped), self.epsilon))
        grouped = x.moved(shape, lambda p: (p[0], p[1] * size + p[2], *p[3:]))
        standard = _standard(grouped, _space(grouped), self.epsilon)
        return standard.moved(flat, lambda p: (p[0], p[1] // size, p[1] % size, *p[2:]))

    def own(self, R: Any, x: Any, scale: Any, bias: Any) -> Any:
        if x.dtype is float64:
            return None
        return R.nn.group_norm(x, scale, bias, self.num_groups, 1, list(_space(x)), self.epsilon)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = _images(draw)
        groups = draw.choice([g for g in range(1, x.shape[1] + 1) if x.shape[1] % g == 0])
        return cls(groups, _epsilon(draw)), cls.beside(x)


@operator
class MeanVarianceNormalization(Normalization):
    """(x - mean) / (standard deviation + 1e-9) over `axes`."""

    axes: tuple[int, ...] = (0, 2, 3)

    def _axes(self, x: Any) -> Axes:
        axes = tuple(sorted(axis_of(self, axis, type_of(x)) for axis in self.axes))
        if len(set(axes)) < len(axes):
            hint = "name each axis once, counted from 0 or from -1"
            raise self.error(f"axes must be distinct, got {self.axes}", x, hint=hint)
        return axes

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        axes = tuple(order.index(axis) for axis in self._axes(x))
        return Permuted.first(MeanVarianceNormalization(axes), [x], order)

    def check(self, x: TensorType) -> None:
        self._axes(x)

    def definition(self, x: Any) -> Any:
        centered, variance = _moments(x, self._axes(x))
        return centered / (Sqrt()(variance) + 1e-9)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = TensorType(draw.dtype(FLOAT), draw.shape((1, 4), low=2))
        return cls(tuple(d for d in range(x.rank) if draw.boolean())), [x]


@operator
class LpNormalization(Normalization):
    """x divided by its norm of order `p` (1 or 2) along `axis`; 0 where the norm is 0."""

    axis: int = -1
    p: int = 2

    def check(self, x: TensorType) -> None:
        axis_of(self, self.axis, x)
        if self.p not in (1, 2):
            hint = "p=1 sums absolute values, p=2 is the Euclidean length"
            raise self.error(f"p must be 1 or 2, got {self.p}", x, hint=hint)

    def permuted(self, at: int, order: Order, x: TensorType) -> Permuted:
        return Permuted.first(LpNormalization(order.index(axis_of(self, self.axis, x)), self.p), [x], order)

    def definition(self, x: Any) -> Any:
        axes = (axis_of(self, self.axis, type_of(x)),) if len(x.shape) else ()
        if isinstance(x, Points):
            powers = x.mapped(abs, x) if self.p == 1 else x * x
            norm = powers.reduced(axes, "sum").staged(lambda e: e if self.p == 1 else call("sqrt", e), "norm")
        else:
            norm = (ReduceL1 if self.p == 1 else ReduceL2)(axes)(x)
        return Where()(Equal()(norm, like(x, 0)), like(x, 0), x / norm)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = TensorType(draw.dtype(FLOAT), draw.shape((1, 4)))
        return cls(draw.integer(-x.rank, x.rank - 1), draw.choice((1, 2))), [x]


@operator
class LRN(Normalization):
    """x / (bias + alpha / size * the sum of squares over `size` neighbouring channels) ** beta."""

    kind = Kind.ANCHOR  # a window: each input element is used `size` times

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def check(self, x: TensorType) -> None:
        self.has_channels(x)
        if self.size < 1:
            raise self.error(f"size must be at least 1, got {self.size}", x, hint="size=5, for example")

    def definition(self, x: Any) -> Any:
        channels, reach = x.shape[1], (self.size - 1) // 2
        before, after = (min(n, max(channels - 1, 0)) for n in (reach, self.size - 1 - reach))
        scale = self.alpha / self.size
        if isinstance(x, Points):
            total = self._window(x, before, before + 1 + after)
            return x.mapped(lambda e, t: e / call("pow", self.bias + scale * t, const(self.beta, t.dtype)), x, total)
        rest, total = (0,) * (len(x.shape) - 2), like(x, 0)
        squares = Pad((0, before, *rest, 0, after, *rest))(x * x)
        for offset in range(before + 1 + after):
            total = Slice((offset,), (offset + channels,), (1,))(squares) + total
        return x / Pow()(total * scale + self.bias, like(x, self.beta))

    @staticmethod
    def _window(x: Points, before: int, size: int) -> Points:
        """The sum of squares of `size` channels from `before` ones before on, as a stage."""
        k = te.reduce_axis((0, size), name="k")

        def window(*indices: Expr) -> Expr:
            channel = indices[1] + k.var - before
            value = x.place((indices[0], channel, *indices[2:]))
            return te.sum(select(te.all(channel >= 0, channel < x.shape[1]), value * value, 0.0), axis=k)

        total = te.compute(x.shape, window, name="square_sum")
        return Points(x.shape, x.dtype, lambda p: total[tuple(p)])

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        op = cls(draw.integer(1, 5), draw.number(0.0, 0.1), draw.number(0.25, 1.0), draw.number(0.5, 2.5))
        return op, [_images(draw)]
