"""Normalisations: a tensor of floats shifted and scaled to mean 0 and variance 1, over some axes.

In: x, and for most a scale and a bias per channel. Out: the type of x. The variance is the mean
of squared distances from the mean, in a second sweep: E[x*x] - E[x]*E[x] would cancel. float16
and bfloat16 are computed in float32 and rounded once.

>>> import numpy as np
>>> LayerNormalization()(np.array([[1.0, 3.0]]), np.ones(2)).round(3)
array([[-1.,  1.]])
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from minicc import tensor as te
from minicc.ops.base import Array, Draw, Example, Kind, Operator, axis_of, like, operator, same_dim, type_of
from minicc.ops.elementwise import Widening, at
from minicc.ops.reduction import Place, ReduceL1, ReduceL2, ReduceMean, reduce
from minicc.ops.scalar import accumulator, widened
from minicc.tensor.expr import Expr, call, cast, const, select
from minicc.types import TensorType, broadcast, float64

Axes = tuple[int, ...]


class Normalization(Widening):
    """Base: floats in, the type of the first input out."""

    __slots__ = ()
    kind: ClassVar[Kind] = Kind.REDUCTION

    def reference(self, *arrays: Any, **_: Any) -> Any:
        """The result on arrays, none of them a 16-bit float."""
        raise NotImplementedError(self.name)

    def point(self, *tensors: Any, **_: Any) -> Place:
        """The function that gives the result's element at a point, not yet cast to its dtype."""
        raise NotImplementedError(self.name)

    def check(self, *types: Any, **_: Any) -> None:
        """Raise TypeInferenceError unless the shapes fit."""

    def infer(self, *types: TensorType) -> TensorType:
        for t in types:
            if not t.dtype.is_float:
                raise self.error(f"expected floats, got {t.dtype}", *types, hint="insert a Cast")
        self.check(*types)
        return types[0]

    def numpy(self, *arrays: Any, **_: Any) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(self.reference(*map(widened, arrays))).astype(arrays[0].dtype, copy=False)

    def compute(self, *tensors: te.Tensor) -> te.Tensor:
        x, place = tensors[0], self.point(*tensors)
        return te.compute(x.shape, lambda *i: cast(place(i), x.dtype), name=self.name.lower())

    def tvm(self, R: Any, *values: Any, **_: Any) -> Any:
        wide = accumulator(values[0].dtype)
        return self.form(R, *[v.astype(wide) for v in values]).astype(values[0].dtype)

    def _channels(self, *types: TensorType, least_rank: int = 2) -> None:
        """Raise unless x has channels and all other inputs are vectors of their number."""
        x, *vectors = types
        if x.rank < least_rank:
            raise self.error(
                f"x must have shape (batch, channels, ...), got {x.shape}", *types, hint="add axes before: Unsqueeze"
            )
        channels = x.shape[1] if x.rank > 1 else 1
        for vector in vectors:
            if vector.rank != 1 or not same_dim(vector.shape[0], channels):
                raise self.error(
                    f"expected vectors of {channels} channels, got shape {vector.shape}",
                    *types,
                    hint="give one number for each channel",
                )


def _wide(tensor: te.Tensor, x: te.Tensor) -> Callable[..., Expr]:
    """The elements of `tensor` in the dtype in which `x` is computed."""
    return lambda *indices: cast(tensor[indices], accumulator(x.dtype))


def _flat(point: Sequence[Any], axes: Axes) -> tuple[Any, ...]:
    """The point of a reduction over `axes` that belongs to `point`."""
    return tuple(0 if d in axes else i for d, i in enumerate(point))


def _mean(shape: Sequence[Any], axes: Axes, value: Place, name: str) -> te.Tensor:
    """The mean over `axes`, which stay with extent 1."""
    total = reduce(te.sum, shape, axes, value, f"{name}_sum")
    count = const(math.prod(shape[d] for d in axes), total.dtype)
    return te.compute(total.shape, lambda *i: total[i] / count, name=name)


def _standard(shape: Sequence[Any], axes: Axes, value: Place, epsilon: float) -> Place:
    """`value` less its mean over `axes`, divided by the root of its variance plus epsilon."""
    mean = _mean(shape, axes, value, "mean")

    def centered(point: Sequence[Any]) -> Expr:
        return value(point) - mean[_flat(point, axes)]

    variance = _mean(shape, axes, lambda p: centered(p) * centered(p), "variance")
    factor = te.compute(variance.shape, lambda *i: 1.0 / call("sqrt", variance[i] + epsilon), name="factor")
    return lambda point: centered(point) * factor[_flat(point, axes)]


def _standard_reference(x: Array, axes: Axes, epsilon: float) -> Any:
    centered = x - np.mean(x, axis=axes, keepdims=True)
    return centered / np.sqrt(np.mean(centered * centered, axis=axes, keepdims=True) + x.dtype.type(epsilon))


def _standard_tvm(R: Any, x: Any, axes: Sequence[int], epsilon: float) -> Any:
    """The same in TVM, whose own operators know neither float64 nor any scale that broadcasts."""
    mean = ReduceMean(tuple(axes), noop_with_empty_axes=True)
    centered = x - mean(x)
    return centered / R.sqrt(mean(centered * centered) + epsilon)


def _columns_tvm(R: Any, vector: Any, x: Any) -> Any:
    """A vector of channels, shaped to broadcast with `x`."""
    return R.reshape(vector, (-1, *(1,) * (x.type.rank - 2)))


def _columns(vector: Array, x: Array) -> Array:
    """A vector of channels, shaped to broadcast with `x`."""
    return vector.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 2))


def _channel_types(draw: Draw, x: TensorType, count: int) -> list[Any]:
    return [x, *[TensorType(x.dtype, (x.shape[1],)) for _ in range(count)]]


def _draw_images(draw: Draw) -> TensorType:
    return TensorType(draw.dtype(("float",)), draw.shape((2, 4), low=1))


def _draw_epsilon(draw: Draw) -> float:
    """The usual one, or one that no result can hide."""
    chosen: float = draw.choice((1e-5, 1e-3, 0.5))
    return chosen


def _last_axes(op: Operator, axis: int, x: TensorType) -> Axes:
    return tuple(range(axis_of(op, axis, x), x.rank))


@operator
class LayerNormalization(Normalization):
    """x (scale, bias optional): standardised over the axes from `axis` on, times scale, plus bias."""

    axis: int = -1
    epsilon: float = 1e-5

    def check(self, x: TensorType, *vectors: TensorType) -> None:
        axis_of(self, self.axis, x)
        if not 1 <= len(vectors) <= 2:
            raise self.error(
                f"expected a scale and perhaps a bias, got {len(vectors)} inputs beside x",
                x,
                *vectors,
                hint="give x, scale and at most one bias",
            )
        for vector in vectors:
            if broadcast(str(self), x.shape, vector.shape) != x.shape:
                raise self.error(
                    f"scale and bias must broadcast to {x.shape}, got {vector.shape}",
                    x,
                    *vectors,
                    hint="give one number for each element of the normalized axes",
                )

    def reference(self, x: Array, scale: Array, bias: Array | None = None) -> Any:
        result = _standard_reference(x, _last_axes(self, self.axis, type_of(x)), self.epsilon) * scale
        return result if bias is None else result + bias

    def point(self, x: te.Tensor, scale: te.Tensor, bias: te.Tensor | None = None) -> Place:
        standard = _standard(x.shape, _last_axes(self, self.axis, type_of(x)), lambda p: _wide(x, x)(*p), self.epsilon)

        def element(point: Sequence[Any]) -> Expr:
            scaled = standard(point) * cast(at(scale, point, x.shape), accumulator(x.dtype))
            return scaled if bias is None else scaled + cast(at(bias, point, x.shape), accumulator(x.dtype))

        return element

    def form(self, R: Any, x: Any, *vectors: Any) -> Any:
        axes = _last_axes(self, self.axis, x.type)
        shape = [x.shape[d] for d in axes]
        scale, bias = vectors if len(vectors) > 1 else (*vectors, like(x, 0))
        if x.dtype is float64 or max(scale.type.rank, bias.type.rank) > len(axes):
            return _standard_tvm(R, x, axes, self.epsilon) * scale + bias
        given = [R.broadcast_to(v, shape) for v in (scale, bias)]
        return R.nn.layer_norm(x, *given, list(axes), self.epsilon)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = TensorType(draw.dtype(("float",)), draw.shape((1, 4), low=1))
        axis = draw.integer(-x.rank, x.rank - 1)
        vector = TensorType(x.dtype, x.shape[axis % x.rank :])
        return cls(axis, _draw_epsilon(draw)), [x, vector, vector] if draw.boolean() else [x, vector]


@operator
class RMSNormalization(Normalization):
    """x divided by the root of its mean square over the axes from `axis` on, times scale."""

    axis: int = -1
    epsilon: float = 1e-5

    def check(self, x: TensorType, scale: TensorType) -> None:
        axis_of(self, self.axis, x)
        if broadcast(str(self), x.shape, scale.shape) != x.shape:
            problem = f"scale must broadcast to {x.shape}, got {scale.shape}"
            raise self.error(problem, x, scale, hint="give one scale for each element of the normalized axes")

    def reference(self, x: Array, scale: Array) -> Any:
        axes = _last_axes(self, self.axis, type_of(x))
        return x / np.sqrt(np.mean(x * x, axis=axes, keepdims=True) + x.dtype.type(self.epsilon)) * scale

    def point(self, x: te.Tensor, scale: te.Tensor) -> Place:
        axes = _last_axes(self, self.axis, type_of(x))
        load = _wide(x, x)
        square = _mean(x.shape, axes, lambda p: load(*p) * load(*p), "square")
        factor = te.compute(square.shape, lambda *i: 1.0 / call("sqrt", square[i] + self.epsilon), name="factor")
        wide = accumulator(x.dtype)
        return lambda p: load(*p) * factor[_flat(p, axes)] * cast(at(scale, p, x.shape), wide)

    def form(self, R: Any, x: Any, scale: Any) -> Any:
        axes = _last_axes(self, self.axis, x.type)
        shape = [x.shape[d] for d in axes]
        if x.dtype is float64 or scale.type.rank > len(axes) or len(axes) == x.type.rank:
            return x / R.sqrt(ReduceMean(axes)(x * x) + self.epsilon) * scale
        return R.nn.rms_norm(x, R.broadcast_to(scale, shape), list(axes), self.epsilon)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = TensorType(draw.dtype(("float",)), draw.shape((1, 4), low=1))
        axis = draw.integer(-x.rank, x.rank - 1)
        return cls(axis, _draw_epsilon(draw)), [x, TensorType(x.dtype, x.shape[axis % x.rank :])]


@operator
class BatchNormalization(Normalization):
    """(x - mean) / sqrt(variance + epsilon) * scale + bias, with given statistics per channel."""

    kind: ClassVar[Kind] = Kind.BROADCAST

    epsilon: float = 1e-5

    def check(self, x: TensorType, scale: TensorType, bias: TensorType, mean: TensorType, variance: TensorType) -> None:
        self._channels(x, scale, bias, mean, variance, least_rank=1)

    def reference(self, x: Array, scale: Array, bias: Array, mean: Array, variance: Array) -> Any:
        scale, bias, mean, variance = (_columns(v, x) for v in (scale, bias, mean, variance))
        return (x - mean) * (scale / np.sqrt(variance + x.dtype.type(self.epsilon))) + bias

    def point(self, x: te.Tensor, *vectors: te.Tensor) -> Place:
        def element(point: Sequence[Any]) -> Expr:
            channel = point[1] if len(point) > 1 else 0
            scale, bias, mean, variance = (_wide(v, x)(channel) for v in vectors)
            return (_wide(x, x)(*point) - mean) * (scale / call("sqrt", variance + self.epsilon)) + bias

        return element

    def form(self, R: Any, x: Any, *vectors: Any) -> Any:
        table = x if x.type.rank > 1 else R.reshape(x, (*x.shape, 1))
        result = R.nn.batch_norm(table, *vectors, axis=1, epsilon=self.epsilon, training=False)[0]
        return R.reshape(result, x.shape)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        inputs = _channel_types(draw, _draw_images(draw), 4)
        inputs[4] = draw.array(inputs[4], 0.25, 4.0)
        return cls(_draw_epsilon(draw)), inputs


@operator
class InstanceNormalization(Normalization):
    """Standardised over space, each channel of each image for itself; times scale, plus bias."""

    epsilon: float = 1e-5

    def check(self, x: TensorType, scale: TensorType, bias: TensorType) -> None:
        self._channels(x, scale, bias)

    def reference(self, x: Array, scale: Array, bias: Array) -> Any:
        return _standard_reference(x, tuple(range(2, x.ndim)), self.epsilon) * _columns(scale, x) + _columns(bias, x)

    def point(self, x: te.Tensor, scale: te.Tensor, bias: te.Tensor) -> Place:
        standard = _standard(x.shape, tuple(range(2, x.rank)), lambda p: _wide(x, x)(*p), self.epsilon)
        return lambda p: standard(p) * _wide(scale, x)(p[1]) + _wide(bias, x)(p[1])

    def form(self, R: Any, x: Any, scale: Any, bias: Any) -> Any:
        if x.dtype is float64 or x.type.rank == 2:
            return _standard_tvm(R, x, range(2, x.type.rank), self.epsilon) * _columns_tvm(R, scale, x) + _columns_tvm(
                R, bias, x
            )
        return R.nn.instance_norm(x, scale, bias, 1, list(range(2, x.type.rank)), self.epsilon)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(_draw_epsilon(draw)), _channel_types(draw, _draw_images(draw), 2)


@operator
class GroupNormalization(Normalization):
    """Standardised over each group of neighbouring channels and space; scale and bias per channel."""

    num_groups: int
    epsilon: float = 1e-5

    def check(self, x: TensorType, scale: TensorType, bias: TensorType) -> None:
        self._channels(x, scale, bias)
        if self.num_groups < 1 or x.shape[1] % self.num_groups:
            problem = f"num_groups must divide {x.shape[1]} channels, got {self.num_groups}"
            raise self.error(problem, x, scale, bias, hint="choose a divisor of the channels")

    def reference(self, x: Array, scale: Array, bias: Array) -> Any:
        batch, channels, *space = x.shape
        grouped = x.reshape(batch, self.num_groups, channels // self.num_groups, *space)
        standard = _standard_reference(grouped, tuple(range(2, grouped.ndim)), self.epsilon)
        return standard.reshape(x.shape) * _columns(scale, x) + _columns(bias, x)

    def point(self, x: te.Tensor, scale: te.Tensor, bias: te.Tensor) -> Place:
        batch, channels, *space = x.shape
        size = channels // self.num_groups
        grouped = (batch, self.num_groups, size, *space)

        def load(point: Sequence[Any]) -> Expr:
            image, group, channel, *at_space = point
            return _wide(x, x)(image, group * size + channel, *at_space)

        standard = _standard(grouped, tuple(range(2, len(grouped))), load, self.epsilon)

        def element(point: Sequence[Any]) -> Expr:
            image, channel, *at_space = point
            value = standard((image, channel // size, channel % size, *at_space))
            return value * _wide(scale, x)(channel) + _wide(bias, x)(channel)

        return element

    def form(self, R: Any, x: Any, scale: Any, bias: Any) -> Any:
        if x.dtype is float64:
            batch, channels, *space = x.shape
            grouped = R.reshape(x, (batch, self.num_groups, channels // self.num_groups, *space))
            standard = R.reshape(_standard_tvm(R, grouped, range(2, grouped.type.rank), self.epsilon), x.shape)
            return standard * _columns_tvm(R, scale, x) + _columns_tvm(R, bias, x)
        return R.nn.group_norm(x, scale, bias, self.num_groups, 1, list(range(2, x.type.rank)), self.epsilon)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = _draw_images(draw)
        groups = draw.choice([g for g in range(1, x.shape[1] + 1) if x.shape[1] % g == 0])
        return cls(groups, _draw_epsilon(draw)), _channel_types(draw, x, 2)


@operator
class MeanVarianceNormalization(Normalization):
    """(x - mean) / (standard deviation + 1e-9) over `axes`."""

    axes: tuple[int, ...] = (0, 2, 3)

    def _axes(self, x: TensorType) -> Axes:
        axes = tuple(sorted(axis_of(self, axis, x) for axis in self.axes))
        if len(set(axes)) < len(axes):
            raise self.error(
                f"axes must be distinct, got {self.axes}", x, hint="name each axis once, counted from 0 or from -1"
            )
        return axes

    def check(self, x: TensorType) -> None:
        self._axes(x)

    def reference(self, x: Array) -> Any:
        axes = self._axes(type_of(x))
        centered = x - np.mean(x, axis=axes, keepdims=True)
        return centered / (np.sqrt(np.mean(centered * centered, axis=axes, keepdims=True)) + x.dtype.type(1e-9))

    def point(self, x: te.Tensor) -> Place:
        axes, load = self._axes(type_of(x)), _wide(x, x)
        mean = _mean(x.shape, axes, lambda p: load(*p), "mean")

        def centered(point: Sequence[Any]) -> Expr:
            return load(*point) - mean[_flat(point, axes)]

        variance = _mean(x.shape, axes, lambda p: centered(p) * centered(p), "variance")
        return lambda p: centered(p) / (call("sqrt", variance[_flat(p, axes)]) + 1e-9)

    def form(self, R: Any, x: Any) -> Any:
        axes = self._axes(x.type)
        centered = x - ReduceMean(axes, noop_with_empty_axes=True)(x)
        return centered / (R.sqrt(ReduceMean(axes, noop_with_empty_axes=True)(centered * centered)) + 1e-9)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = TensorType(draw.dtype(("float",)), draw.shape((1, 4), low=2))
        return cls(tuple(d for d in range(x.rank) if draw.boolean())), [x]


@operator
class LpNormalization(Normalization):
    """x divided by its norm of order `p` (1 or 2) along `axis`; 0 where the norm is 0."""

    axis: int = -1
    p: int = 2

    def check(self, x: TensorType) -> None:
        axis_of(self, self.axis, x)
        if self.p not in (1, 2):
            raise self.error(
                f"p must be 1 or 2, got {self.p}", x, hint="p=1 sums absolute values, p=2 is the Euclidean length"
            )

    def reference(self, x: Array) -> Any:
        powers = np.absolute(x) if self.p == 1 else x * x
        norm = np.sum(powers, axis=axis_of(self, self.axis, type_of(x)), keepdims=True) if x.ndim else powers
        norm = norm if self.p == 1 else np.sqrt(norm)
        return np.where(norm == 0, 0, x / norm)

    def point(self, x: te.Tensor) -> Place:
        axes = (axis_of(self, self.axis, type_of(x)),) if x.rank else ()
        load = _wide(x, x)
        total = reduce(te.sum, x.shape, axes, lambda p: abs(load(*p)) if self.p == 1 else load(*p) * load(*p), "sum")

        def norm(*indices: Expr) -> Expr:
            return total[indices] if self.p == 1 else call("sqrt", total[indices])

        norms = te.compute(total.shape, norm, name="norm")

        def element(point: Sequence[Any]) -> Expr:
            divisor = norms[_flat(point, axes)]
            return select(divisor.equal(0.0), 0.0, load(*point) / divisor)

        return element

    def form(self, R: Any, x: Any) -> Any:
        norms = ReduceL1 if self.p == 1 else ReduceL2
        norm = norms((axis_of(self, self.axis, x.type),))(x)
        return R.where(R.equal(norm, like(x, 0)), like(x, 0), x / norm)

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        x = TensorType(draw.dtype(("float",)), draw.shape((1, 4)))
        return cls(draw.integer(-x.rank, x.rank - 1), draw.choice((1, 2))), [x]


@operator
class LRN(Normalization):
    """x / (bias + alpha / size * the sum of squares over `size` neighbouring channels) ** beta."""

    kind: ClassVar[Kind] = Kind.ANCHOR  # a window: each input element is used `size` times

    size: int
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0

    def check(self, x: TensorType) -> None:
        self._channels(x)
        if self.size < 1:
            raise self.error(f"size must be at least 1, got {self.size}", x, hint="size=5, for example")

    def _reach(self, channels: int) -> tuple[int, int]:
        """How many neighbours before and after a channel there can be in its window."""
        before = (self.size - 1) // 2
        return min(before, max(channels - 1, 0)), min(self.size - 1 - before, max(channels - 1, 0))

    def reference(self, x: Array) -> Any:
        (before, after), channels = self._reach(x.shape[1]), x.shape[1]
        padding = [(0, 0)] * x.ndim
        padding[1] = (before, after)
        squares = np.pad(x * x, padding)
        total = sum(squares[:, offset : offset + channels] for offset in range(before + 1 + after))
        return x / (self.bias + self.alpha / self.size * total) ** self.beta

    def point(self, x: te.Tensor) -> Place:
        (before, after), channels = self._reach(x.shape[1]), x.shape[1]
        k = te.reduce_axis((0, before + 1 + after), name="k")
        load = _wide(x, x)

        def window(*indices: Expr) -> Expr:
            channel = indices[1] + k.var - before
            value = load(indices[0], channel, *indices[2:])
            return te.sum(select(te.all(channel >= 0, channel < channels), value * value, 0.0), axis=k)

        total = te.compute(x.shape, window, name="square_sum")
        return lambda p: (
            load(*p) / call("pow", self.bias + self.alpha / self.size * total[tuple(p)], const(self.beta, total.dtype))
        )

    def form(self, R: Any, x: Any) -> Any:
        """TVM has the operator in its tensor expressions only."""
        (before, after), channels = self._reach(x.shape[1]), x.shape[1]
        widths = [0, 0, before, after, *[0] * (2 * x.type.rank - 4)]
        squares = R.nn.pad(x * x, widths)
        total = like(x, 0)
        for offset in range(before + 1 + after):
            total = R.add(total, R.strided_slice(squares, [1], [offset], [offset + channels]))
        return x / R.power(total * (self.alpha / self.size) + self.bias, like(x, self.beta))

    @classmethod
    def draw(cls, draw: Draw) -> Example:
        return cls(draw.integer(1, 5), draw.number(0.0, 0.1), draw.number(0.25, 1.0), draw.number(0.5, 2.5)), [
            _draw_images(draw)
        ]
