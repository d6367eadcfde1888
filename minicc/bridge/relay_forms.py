"""How Relay writes the operators of Relax: a table from Relax's name to a function that gives Relay's text.

In: the room and the arguments of a call by Relax's signature, which is that of the function: what stands before the slash are
the arguments of the call, what stands behind are its attributes. Out: the text of a Relay expression, whose type is that of
the Relax call; or, where Relay has no single operator of this meaning, a value that is composed of other calls.

    FORMS["permute_dims"](R, x, axes=[1, 0])  # "relay.transpose(n0_, axes=[1, 0])"
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minicc.ops.activation import Gelu, LeakyRelu, Selu
from minicc.ops.base import like
from minicc.ops.conv import Conv, ConvTranspose
from minicc.ops.scalar import by_tvm
from minicc.types import DType, TensorType, bfloat16, float32, float64, int32, int64

Form = Callable[..., Any]

# ---- element by element, and reductions ---------------------------------------------------------

ELEMENTWISE = (
    "abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atanh", "bitwise_and", "bitwise_not", "bitwise_or",
    "bitwise_xor", "ceil", "cos", "cosh", "divide", "equal", "erf", "exp", "floor", "floor_mod", "greater",
    "greater_equal", "isinf", "isnan", "left_shift", "less", "less_equal", "log", "logical_and", "logical_not",
    "logical_or", "logical_xor", "maximum", "minimum", "mod", "multiply", "negative", "nn.relu", "not_equal", "power",
    "right_shift", "round", "sigmoid", "sign", "sin", "sinh", "sqrt", "subtract", "tan", "tanh", "trunc", "where",
)  # fmt: skip


def _elementwise(name: str) -> Form:
    return lambda R, *values: f"relay.{name}({listed(values)})"


def quoted(value: str) -> str:
    """A string of a model as a literal: whatever is in it, it is no code."""
    return json.dumps(value)


def listed(values: Sequence[Any]) -> str:
    """Values side by side, as arguments."""
    return ", ".join(map(str, values))


def _abs(R: Any, x: Any, /) -> Any:
    """Relay's has no bfloat16."""
    return f"relay.abs({x})" if x.dtype is not bfloat16 else R.abs(x.astype(float32)).astype(bfloat16)


def _round(R: Any, x: Any, /) -> Any:
    """Relay's rounds halves away from zero; to the even number next to one is twice the round of the half."""
    nearest, of_half = (R.emit(f"relay.round({value})", x.type) for value in (x, x * 0.5))
    is_half = R.equal(R.abs(x - R.trunc(x)), like(x, 0.5))
    return R["where"](is_half, of_half * 2, nearest)


def _leaky_relu(R: Any, x: Any, /, alpha: float) -> Any:
    """Relay's parser takes no slope below 0, and none that is infinite."""
    own = 0 <= alpha < math.inf
    return f"relay.nn.leaky_relu({x}, alpha={alpha})" if own else by_tvm(R, LeakyRelu(alpha).scalar, [x])


def _astype(R: Any, x: Any, /, dtype: str) -> str:
    """From float64 to float16 by way of float32: the function of this TVM's runtime for it gives its result where LLVM does not look."""
    if (x.dtype, dtype) == (float64, "float16"):
        x = x.astype(float32)
    return f'relay.cast({x}, "{dtype}")'


def _reduction(name: str) -> Form:
    return lambda R, x, /, axis=None, keepdims=False: f"relay.{name}({x}, axis={axis}, keepdims={keepdims})"


def _place(name: str) -> Form:
    """Relay's indices are int32."""

    def form(R: Any, x: Any, /, axis: int, keepdims: bool = False) -> Any:
        axis %= x.type.rank
        shape = (*x.shape[:axis], *(1,) * keepdims, *x.shape[axis + 1 :])
        return R.emit(f"relay.{name}({x}, axis={axis}, keepdims={keepdims})", TensorType(int32, shape)).astype(int64)

    return form


# ---- contractions and pools ---------------------------------------------------------------------


def _each(value: int | Sequence[int], count: int) -> tuple[int, ...]:
    """A number for each axis, or for each side of each; of all begins only, the ends are equal."""
    given = (value,) if isinstance(value, int) else tuple(value)
    return given * (count // len(given))


def _conv(name: str) -> Form:
    def form(
        R: Any, data: Any, weight: Any, strides: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Any:
        rank = data.type.rank - 2
        op = Conv(_each(strides, rank), _each(padding, 2 * rank), _each(dilation, rank), groups)
        window = f"strides={op.strides}, padding={op.padding}, dilation={op.dilation}, groups={groups}"
        kernel = f"channels={weight.shape[0]}, kernel_size={tuple(weight.shape[2:])}"
        return R.emit(f"relay.{name}({data}, {weight}, {window}, {kernel})", op.infer(data.type, weight.type))

    return form


def _conv_transpose(name: str) -> Form:
    """Relay's has no dilation: the kernel is dilated before."""

    def form(R: Any, data: Any, weight: Any, strides: Any = 1, *, dilation: Any = 1, groups: int = 1) -> Any:
        rank = data.type.rank - 2
        op = ConvTranspose(_each(strides, rank), dilation=_each(dilation, rank), groups=groups)
        result = op.infer(data.type, weight.type)
        if max(op.dilation) > 1:
            spatial = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], op.dilation, strict=True)]
            wide = TensorType(weight.dtype, (*weight.shape[:2], *spatial))
            weight = R.emit(f"relay.nn.dilate({weight}, strides={(1, 1, *op.dilation)})", wide)
        kernel = f"channels={weight.shape[1] * groups}, kernel_size={tuple(weight.shape[2:])}"
        return R.emit(f"relay.{name}({data}, {weight}, strides={op.strides}, groups={groups}, {kernel})", result)

    return form


def _pool(name: str) -> Form:
    """With `ceil_mode`, Relay keeps a last window that starts in the padding behind; who calls it cuts that off."""

    def form(R: Any, x: Any, pool_size: Any = 1, strides: Any = 1, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False,
             **counted: bool) -> Any:  # fmt: skip
        rank = x.type.rank - 2
        size, step, apart = (_each(value, rank) for value in (pool_size, strides, dilation))
        around = _each(padding, 2 * rank)
        window = f"pool_size={size}, strides={step}, padding={around}, dilation={apart}, ceil_mode={ceil_mode}"
        options = "".join(f", {option}={value}" for option, value in counted.items())
        spare = [d + sum(around[axis::rank]) - (size[axis] - 1) * apart[axis] - 1 for axis, d in enumerate(x.shape[2:])]
        extents = [(left + (s - 1) * ceil_mode) // s + 1 for left, s in zip(spare, step, strict=True)]
        return R.emit(f"relay.{name}({x}, {window}{options})", TensorType(x.dtype, (*x.shape[:2], *extents)))

    return form


def _matmul(R: Any, a: Any, b: Any, /) -> Any:
    """One product of matrices, or a batch; the second is transposed first, as Relay's schedules want it."""
    if a.type.rank == 1:
        return R.squeeze(R.matmul(R.expand_dims(a, [0]), b), [-1 - (b.type.rank > 1)])
    if b.type.rank == 1:
        return R.squeeze(R.matmul(a, R.expand_dims(b, [1])), [-1])
    (rows, inner), columns = a.shape[-2:], b.shape[-1]
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    count = math.prod(batch)
    if inner == 0:  # of which Relay makes no product
        return R.zeros((*batch, rows, columns), a.dtype)
    if b.type.rank == 2:
        flat = R.reshape(a, (count * rows, inner))
        text = f"relay.nn.dense({flat}, {R.permute_dims(b, [1, 0])})"
    else:
        left, right = (R.reshape(R.broadcast_to(x, (*batch, *x.shape[-2:])), (count, *x.shape[-2:])) for x in (a, b))
        text = f"relay.nn.batch_matmul({left}, {R.permute_dims(right, [0, 2, 1])})"
    shape = (count * rows, columns) if b.type.rank == 2 else (count, rows, columns)
    return R.reshape(R.emit(text, TensorType(a.dtype, shape)), (*batch, rows, columns))


# ---- movement and indexing ----------------------------------------------------------------------


def _pad(R: Any, data: Any, /, pad_width: Sequence[int], pad_mode: str = "constant", pad_value: float = 0.0) -> Any:
    """Relay pairs the widths, and has no circular padding: that is a gather."""
    if pad_mode == "circular":
        for axis, extent in enumerate(data.shape):
            places = np.arange(-pad_width[2 * axis], extent + pad_width[2 * axis + 1]) % extent
            data = R.take(data, places, axis, "clip") if len(places) > extent else data
        return data
    widths = list(zip(pad_width[0::2], pad_width[1::2], strict=True))
    mode = "edge" if pad_mode == "replicate" else pad_mode
    fill = R.constant(np.asarray(pad_value).astype(data.dtype.numpy))
    return f"relay.nn.pad({data}, {widths}, {fill}, pad_mode={quoted(mode)})"


def _arange(R: Any, start: int, end: int, step: int, /, dtype: str) -> str:
    """The bounds are literals: the type depends on them, also in a text whose constants are parameters."""
    bounds = [f'relay.const({bound}, "{dtype}")' for bound in (start, end, step)]
    return f'relay.arange({listed(bounds)}, dtype="{dtype}")'


def _shaped(name: str) -> Form:
    """To the shape that it has, nothing is to be done: Relay would change layouts there and back for it."""
    return lambda R, x, shape, /: x if x.shape == tuple(shape) else f"relay.{name}({x}, {tuple(shape)})"


def _strided_slice(R: Any, x: Any, axes: Any, begin: Any, end: Any, strides: Any = None, /) -> str:
    return f"relay.strided_slice({x}, {begin}, {end}, strides={strides or [1] * len(axes)}, axes={axes})"


def _expand_dims(R: Any, x: Any, /, axis: int | Sequence[int]) -> Any:
    """Relay's inserts axes in one place."""
    axes = [axis] if isinstance(axis, int) else axis
    rank = x.type.rank + len(axes)
    for place in sorted(a % rank for a in axes):
        shape = (*x.shape[:place], 1, *x.shape[place:])
        x = R.emit(f"relay.expand_dims({x}, axis={place})", TensorType(x.dtype, shape))
    return x


def _columns_first(R: Any, indices: Any) -> Any:
    """Relay's last axis of indices, along which the columns of a place are, is the first."""
    rank = indices.type.rank
    return R.permute_dims(indices, [rank - 1, *range(rank - 1)])


def _gather_nd(R: Any, data: Any, indices: Any, /, batch_dims: int = 0) -> str:
    return f"relay.gather_nd({data}, {_columns_first(R, indices)}, batch_dims={batch_dims})"


def _scatter_nd(R: Any, data: Any, indices: Any, updates: Any, /, reduction: str = "update") -> str:
    return f"relay.scatter_nd({data}, {_columns_first(R, indices)}, {updates}, mode={quoted(reduction)})"


def _one_hot(R: Any, indices: Any, on: int, off: int, /, depth: int, axis: int) -> Any:
    values = listed([R.constant(np.int64(value)) for value in (on, off)])
    shape = (*indices.shape[:axis], depth, *indices.shape[axis:])
    text = f'relay.one_hot({indices}, {values}, depth={depth}, axis={axis}, dtype="int64")'
    return R.emit(text, TensorType(int64, shape))


def _topk(R: Any, data: Any, /, k: int, axis: int, ret_type: str, largest: bool, dtype: str = "int32") -> str:
    options = f'ret_type="{ret_type}", is_ascend={not largest}, dtype="{dtype}"'
    return f"relay.topk({data}, k={k}, axis={axis}, {options})"


# ---- normalisations and images ------------------------------------------------------------------


def _layer_norm(R: Any, x: Any, gamma: Any, beta: Any, /, axes: Sequence[int], epsilon: float) -> Any:
    """Relay's is over one axis: the last ones become one."""
    if len(axes) == 1:
        return R.emit(f"relay.nn.layer_norm({x}, {gamma}, {beta}, axis={axes[0]}, epsilon={epsilon})", x.type)
    size = math.prod(gamma.shape)
    vectors = [R.reshape(vector, (size,)) for vector in (gamma, beta)]
    flat = R.reshape(x, (*x.shape[: -len(axes)], size))
    return R.reshape(R.nn.layer_norm(flat, *vectors, [flat.type.rank - 1], epsilon), x.shape)


def _rms_norm(R: Any, x: Any, weight: Any, /, axes: Sequence[int], epsilon: float) -> Any:
    root = R.sqrt(R.mean(x * x, axes, True) + epsilon)
    return x / root * weight


def _batch_norm(
    R: Any, x: Any, gamma: Any, beta: Any, mean: Any, var: Any, /, axis: int, epsilon: float, training: bool
) -> Any:
    if x.dtype is float64:  # as which Relay does not take an epsilon
        var, epsilon = var + epsilon, 0.0
    text = f"relay.nn.batch_norm({listed((x, gamma, beta, mean, var))}, axis={axis}, epsilon={epsilon})"
    return R.emit(text, (x.type, mean.type, var.type))


def _spatial_norm(name: str) -> Form:
    def form(R: Any, x: Any, gamma: Any, beta: Any, *options: Any) -> Any:
        *groups, axis, _, epsilon = options
        return R.emit(f"relay.{name}({listed((x, gamma, beta, *groups))}, axis={axis}, epsilon={epsilon})", x.type)

    return form


def _resize2d(R: Any, data: Any, size: Any, roi: None, layout: str, method: str, coordinates: str, rounding: str,
              **cubic: Any) -> Any:  # fmt: skip
    where = f"coordinate_transformation_mode={quoted(coordinates)}, rounding_method={quoted(rounding)}"
    options = ", ".join(f"{name}={value}" for name, value in cubic.items())
    text = f'relay.image.resize2d({data}, size={tuple(size)}, layout="{layout}", method={quoted(method)}, {where}, {options})'
    return R.emit(text, TensorType(data.dtype, (*data.shape[:2], *size)))


FORMS: dict[str, Form] = {
    **{name: _elementwise(name) for name in ELEMENTWISE},
    **{name: _reduction(name) for name in ("max", "mean", "min", "prod", "sum")},
    "abs": _abs,
    "arange": _arange,
    "argmax": _place("argmax"),
    "argmin": _place("argmin"),
    "astype": _astype,
    "broadcast_to": _shaped("broadcast_to"),
    "concat": lambda R, tensors, /, axis=0: f"relay.concatenate([{listed(tensors)}], axis={axis})",
    "cumsum": lambda R, x, /, axis, dtype, exclusive=False: (
        f'relay.cumsum({x}, axis={axis}, dtype="{dtype}", exclusive={exclusive})'
    ),
    "einsum": lambda R, operands, /, subscripts: f"relay.einsum([{listed(operands)}], {quoted(subscripts)})",
    "expand_dims": _expand_dims,
    "flip": lambda R, x, /, axis: f"relay.reverse({x}, axis={axis})",
    "gather_elements": lambda R, x, indices, /, axis=0: f"relay.gather({x}, {axis}, {indices})",
    "gather_nd": _gather_nd,
    "image.resize2d": _resize2d,
    "matmul": _matmul,
    "nn.batch_norm": _batch_norm,
    "nn.gelu": lambda R, x, /: by_tvm(R, Gelu().scalar, [x]),
    "nn.gelu_tanh": lambda R, x, /: by_tvm(R, Gelu("tanh").scalar, [x]),
    "nn.group_norm": _spatial_norm("nn.group_norm"),
    "nn.instance_norm": _spatial_norm("nn.instance_norm"),
    "nn.layer_norm": _layer_norm,
    "nn.leakyrelu": _leaky_relu,
    "nn.log_softmax": lambda R, x, /, axis: f"relay.nn.log_softmax({x}, axis={axis})",
    "nn.pad": _pad,
    "nn.prelu": lambda R, x, slope, /, axis: f"relay.nn.prelu({x}, {slope}, axis={axis})",
    "nn.rms_norm": _rms_norm,
    "nn.selu": lambda R, x, /: by_tvm(R, Selu().scalar, [x]),
    "nn.softmax": lambda R, x, /, axis: f"relay.nn.softmax({x}, axis={axis})",
    "nn.softplus": lambda R, x, /, threshold: R.log(R.exp(R.negative(R.abs(x))) + 1) + R.nn.relu(x),
    "one_hot": _one_hot,
    "permute_dims": lambda R, x, /, axes=None: f"relay.transpose({x}, axes={axes})",
    "reshape": _shaped("reshape"),
    "round": _round,
    "scatter_elements": lambda R, x, indices, updates, /, axis, reduction: (
        f"relay.scatter_elements({x}, {indices}, {updates}, axis={axis}, reduction={quoted(reduction)})"
    ),
    "scatter_nd": _scatter_nd,
    "split": lambda R, x, /, indices_or_sections, axis=0: f"relay.split({x}, {indices_or_sections}, axis={axis})",
    "squeeze": lambda R, x, /, axis=None: f"relay.squeeze({x}, axis={axis})",
    "strided_slice": _strided_slice,
    "take": lambda R, x, indices, /, axis, mode: f'relay.take({x}, {indices}, axis={axis}, mode="{mode}")',
    "tile": lambda R, x, /, repeats: f"relay.tile({x}, {repeats})",
    "topk": _topk,
    "tril": lambda R, x, k=0, /: f"relay.trilu({x}, {R.constant(np.int64(k))}, upper=False)",
    "triu": lambda R, x, k=0, /: f"relay.trilu({x}, {R.constant(np.int64(k))}, upper=True)",
    "zeros": lambda R, shape, dtype, /: R.emit(f'relay.zeros({shape}, "{dtype}")', TensorType(DType.of(dtype), shape)),
}
for _rank in (1, 2, 3):
    FORMS |= {f"nn.conv{_rank}d": _conv(f"nn.conv{_rank}d")}
    FORMS |= {f"nn.conv{_rank}d_transpose": _conv_transpose(f"nn.conv{_rank}d_transpose")}
    FORMS |= {f"nn.{kind}_pool{_rank}d": _pool(f"nn.{kind}_pool{_rank}d") for kind in ("avg", "max")}
