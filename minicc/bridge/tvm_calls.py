"""What each operator of TVM's graph IR is in minicc: a table from its name to a function that calls `ops.*`.

In: a `TvmCall`, which is one call of a Relax operator, or of another dialect's in the words of Relax, whose arguments are
graph nodes, tuples of them, shapes or numbers already. Out: a node, or a tuple of nodes. What minicc cannot express raises
`Unsupported` with the reason; `from_relax` collects these.

Layouts other than NCHW and OIHW become a Transpose before and one after. An integer argument that TVM leaves unchecked
(an index out of range) means here what it means in ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc import ops
from minicc.graph.ir import Constant, Node, constant
from minicc.ops.base import REGISTRY, Operator
from minicc.types import DType, Symbol, TensorType

END = 2**63 - 1  # of a Slice: all that is left


class Unsupported(Exception):
    """A call has no form in minicc, for the reason that is its text."""


@dataclass(frozen=True)
class TvmCall:
    """One call of an operator, named as in Relax. `type` is TVM's type of the result; None of a tuple."""

    name: str
    args: Sequence[Any]  # Node, tuple, int, float, Symbol
    attributes: Any  # TVM's object, or a mapping
    type: TensorType | None

    def __getitem__(self, name: str) -> Any:
        """An attribute as Python writes it; None where TVM says so."""
        held = self.attributes
        return plain(held[name] if isinstance(held, Mapping) else getattr(held, name))

    @property
    def x(self) -> Node:
        """The first argument."""
        first: Node = self.args[0]
        return first

    @property
    def result(self) -> TensorType:
        """The type of the result, all dimensions numbers."""
        if self.type is None or not self.type.is_bound:
            raise Unsupported("of a shape that is not known")
        return self.type

    @property
    def dtype(self) -> DType:
        """The attribute of this name."""
        return DType.of(str(self["dtype"]))

    def axis(self, name: str = "axis", of: Node | None = None) -> int:
        """An axis, counted from the front."""
        return int(self[name]) % max((of or self.x).type.rank, 1)

    def along(self) -> tuple[Node, int]:
        """The first argument and the axis; where it names none, all elements in a row."""
        return (self.x, self.axis()) if self["axis"] is not None else (flat(self.x), 0)


def plain(value: Any) -> Any:
    """An attribute of TVM as Python numbers, strings and tuples."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "value"):
        return value.value
    if hasattr(value, "__iter__"):
        return tuple(plain(v) for v in value)
    raise Unsupported(f"with an attribute that is no number: {value}")


def numbers(values: Any, what: str) -> tuple[int, ...]:
    """A shape or a tuple of numbers that must be known."""
    if any(not isinstance(v, (int, np.integer)) for v in values):
        raise Unsupported(f"with {what} that are not known: {', '.join(map(str, values))}")
    return tuple(map(int, values))


def like(x: Node, value: Any) -> Node:
    """A scalar constant of the dtype of `x`."""
    return constant(np.asarray(value).astype(x.dtype.numpy))


def filled(type: TensorType, value: Any) -> Node:
    """A tensor of one value."""
    scalar = constant(np.asarray(value).astype(type.dtype.numpy))
    return ops.Expand(type.shape)(scalar) if type.shape else scalar


def on_axis(vector: Node, axis: int, rank: int) -> Node:
    """A vector that broadcasts along an axis of a tensor of `rank`."""
    return ops.Reshape((-1, *[1] * (rank - 1 - axis)))(vector) if axis < rank - 1 else vector


# ---- element by element -------------------------------------------------------------------------


def plainly(op: Operator) -> Callable[[TvmCall], Node]:
    """The operator on the arguments as they are."""
    return lambda call: op(*call.args)


def _floor_divide(call: TvmCall) -> Node:
    a, b = call.x, call.args[1]
    if a.dtype.is_float:
        return ops.Floor()(ops.Div()(a, b))
    return ops.Div()(ops.Sub()(a, ops.Mod()(a, b)), b)


def _floor_mod(call: TvmCall) -> Node:
    a, b = call.x, call.args[1]
    if not a.dtype.is_float:
        return ops.Mod()(a, b)
    return ops.Sub()(a, ops.Mul()(ops.Floor()(ops.Div()(a, b)), b))


def _clip(call: TvmCall) -> Node:
    x, low, high = call.x, *call.args[1:]
    least, most = x.dtype.range
    return ops.Clip()(x, like(x, max(low, least)), like(x, min(high, most)))


def _softplus(call: TvmCall) -> Node:
    if call["beta"] != 1:
        scaled = ops.Mul()(call.x, like(call.x, call["beta"]))
        return ops.Div()(ops.Softplus()(scaled), like(call.x, call["beta"]))
    return ops.Softplus()(call.x)


def _prelu(call: TvmCall) -> Node:
    x, slope = call.x, call.args[1]
    return ops.PRelu()(x, on_axis(slope, call.axis(), x.type.rank) if slope.type.rank == 1 else slope)


ELEMENTWISE: dict[str, Operator] = {
    **{operator.tvm_name: operator() for operator in REGISTRY.values() if operator.tvm_name},
    "left_shift": ops.BitShift("LEFT"),
    "right_shift": ops.BitShift("RIGHT"),
    "mod": ops.Mod(fmod=True),
    "nn.gelu_tanh": ops.Gelu("tanh"),
}
COMPOSED: dict[str, Callable[[TvmCall], Any]] = {  # of more than one operator
    "clip": _clip,
    "einsum": lambda c: ops.Einsum(str(c["subscripts"]))(*c.args[0]),
    "floor_divide": _floor_divide,
    "floor_mod": _floor_mod,
    "isfinite": lambda c: ops.Not()(ops.Or()(ops.IsInf()(c.x), ops.IsNaN()(c.x))),
    "nn.leakyrelu": lambda c: ops.LeakyRelu(float(c["alpha"]))(c.x),
    "nn.prelu": _prelu,
    "nn.silu": lambda c: ops.Mul()(c.x, ops.Sigmoid()(c.x)),
    "nn.softplus": _softplus,
    "not_equal": lambda c: ops.Not()(ops.Equal()(*c.args)),
    "rsqrt": lambda c: ops.Reciprocal()(ops.Sqrt()(c.x)),
    "square": lambda c: ops.Mul()(c.x, c.x),
    "trunc": lambda c: ops.Where()(ops.Less()(c.x, like(c.x, 0)), ops.Ceil()(c.x), ops.Floor()(c.x)),
}


# ---- movement -----------------------------------------------------------------------------------


def reshaped(x: Node, shape: Sequence[Any]) -> Node:
    """`x` in another shape; a symbol in it must stay where it is, or be the only one."""
    wanted: list[int] = []
    for axis, dim in enumerate(shape):
        if isinstance(dim, (int, np.integer)):
            wanted.append(int(dim))
        else:
            wanted.append(0 if axis < x.type.rank and x.shape[axis] == dim else -1)
    known = all(isinstance(dim, (int, np.integer)) for dim in shape)
    if wanted.count(-1) > 1 or (not known and 0 in [d for d in shape if isinstance(d, int)]):
        raise Unsupported(f"to a shape that is not known: {', '.join(map(str, shape))}")
    return ops.Reshape(tuple(wanted), allow_zero=known)(x)


def flat(x: Node) -> Node:
    return ops.Reshape((-1,))(x) if x.type.rank != 1 else x


def _broadcast_to(call: TvmCall) -> Node:
    x, shape = call.x, call.args[1]
    kept = len(shape) - x.type.rank
    # an Expand broadcasts both ways, so a symbol that the input has need not be known
    wanted = [1 if isinstance(d, Symbol) and a >= kept and x.shape[a - kept] == d else d for a, d in enumerate(shape)]
    return ops.Expand(numbers(wanted, "dimensions"))(x)


def _split(call: TvmCall) -> tuple[Node, ...]:
    cuts, axis = call["indices_or_sections"], call.axis()
    if isinstance(cuts, int):
        return tuple(ops.Split(axis, None, cuts, k)(call.x) for k in range(cuts))
    ends = zip((0, *cuts), (*cuts, END), strict=True)
    return tuple(ops.Slice((start,), (max(start, end),), (axis,))(call.x) for start, end in ends)


def _stack(call: TvmCall) -> Node:
    parts: Sequence[Node] = call.args[0]
    axis = int(call["axis"] or 0) % (parts[0].type.rank + 1)
    return ops.Concat(axis)(*[ops.Unsqueeze((axis,))(part) for part in parts])


def _tile(call: TvmCall) -> Node:
    repeats, x = numbers(call["repeats"], "repeats"), call.x
    repeats = (1,) * (x.type.rank - len(repeats)) + repeats
    if len(repeats) > x.type.rank:
        x = ops.Unsqueeze(tuple(range(len(repeats) - x.type.rank)))(x)
    return ops.Tile(repeats)(x)


def _repeat(call: TvmCall) -> Node:
    (x, axis), count = call.along(), int(call["repeats"])
    shape = numbers(x.shape, "dimensions")
    wide = ops.Expand((*shape[: axis + 1], count, *shape[axis + 1 :]))(ops.Unsqueeze((axis + 1,))(x))
    return ops.Reshape((*shape[:axis], shape[axis] * count, *shape[axis + 1 :]), True)(wide)


def _pad(call: TvmCall) -> Node:
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if call["pad_mode"] not in modes:
        raise Unsupported(f'with pad_mode="{call["pad_mode"]}", which TVM takes for zero padding')
    widths = numbers(call["pad_width"], "widths")
    return ops.Pad(widths[0::2] + widths[1::2], float(call["pad_value"]), None, modes[call["pad_mode"]])(call.x)


def _strided_slice(call: TvmCall) -> Node:
    axes, begin, end = (numbers(v, "bounds") for v in call.args[1:4])
    steps = numbers(call.args[4], "steps") if len(call.args) > 4 else (1,) * len(axes)
    if any(s < 0 and b < -dim for s, b, dim in zip(steps, begin, [call.x.shape[a] for a in axes], strict=True)):
        raise Unsupported("that starts before the first element and goes backwards")
    return ops.Slice(begin, end, axes, steps)(call.x)


def _arange(call: TvmCall) -> Node:
    bounds = [v for v in call.args if not isinstance(v, Symbol)]
    if len(bounds) < 3:
        raise Unsupported("with bounds that are not known")
    return constant(np.arange(*bounds).astype(call.dtype.numpy))


def _full(call: TvmCall) -> Node:
    value: Node = call.args[1]
    if value.dtype is not call.result.dtype:
        value = ops.Cast(call.result.dtype, False)(value)
    return ops.Expand(call.result.shape)(value)


def _tensor_to_shape(call: TvmCall) -> tuple[int, ...]:
    if not isinstance(call.x.op, Constant):
        raise Unsupported("of a tensor that is computed")
    return tuple(map(int, call.x.op.data.array))


MOVEMENT: dict[str, Callable[[TvmCall], Any]] = {
    "astype": lambda c: ops.Cast(c.dtype, False)(c.x),
    "arange": _arange,
    "broadcast_to": _broadcast_to,
    "concat": lambda c: ops.Concat(c.axis(of=c.args[0][0]) if c["axis"] is not None else 0)(*c.args[0]),
    "expand_dims": lambda c: ops.Unsqueeze(c["axis"])(c.x),
    "flatten": lambda c: ops.Reshape((-1,))(c.x),
    "nn.batch_flatten": lambda c: ops.Flatten(1)(c.x),
    "flip": lambda c: ops.Slice((END,), (-END,), (c.axis(),), (-1,))(c.x),
    "full": _full,
    "full_like": _full,
    "nn.pad": _pad,
    "nn.pixel_shuffle": lambda c: ops.DepthToSpace(int(c["upscale_factor"]), "CRD")(c.x),
    "ones": lambda c: filled(c.result, 1),
    "ones_like": lambda c: filled(c.result, 1),
    "permute_dims": lambda c: ops.Transpose(tuple(a % c.x.type.rank for a in c["axes"] or ()))(c.x),
    "repeat": _repeat,
    "reshape": lambda c: reshaped(c.x, c.args[1]),
    "shape_of": lambda c: tuple(c.x.shape),
    "shape_to_tensor": lambda c: constant(np.asarray(numbers(c.args[0], "dimensions"), np.int64)),
    "split": _split,
    "squeeze": lambda c: ops.Squeeze(c["axis"])(c.x),
    "stack": _stack,
    "strided_slice": _strided_slice,
    "tensor_to_shape": _tensor_to_shape,
    "tile": _tile,
    "tril": lambda c: ops.Trilu(int(c.args[1]), False)(c.x),
    "triu": lambda c: ops.Trilu(int(c.args[1]), True)(c.x),
    "zeros": lambda c: filled(c.result, 0),
    "zeros_like": lambda c: filled(c.result, 0),
}


# ---- indexing -----------------------------------------------------------------------------------


def _take(call: TvmCall) -> Node:
    x, axis = call.along()
    return ops.Gather(axis)(x, _in_range(call.args[1], x.shape[axis], call["mode"]))


def _in_range(indices: Node, extent: Any, mode: str) -> Node:
    """Indices after what TVM does to those out of range; "fast" leaves that open."""
    if mode == "fast":
        return indices
    if mode not in ("clip", "wrap"):
        raise Unsupported(f'with mode="{mode}"')
    if isinstance(extent, Symbol):
        raise Unsupported(f'with mode="{mode}" along an axis that is not known')
    if mode == "clip":
        return ops.Clip()(indices, like(indices, 0), like(indices, extent - 1))
    return ops.Mod()(indices, like(indices, extent))


def _scatter(call: TvmCall) -> Any:
    reduction = {"update": "none"}.get(call["reduction"], call["reduction"])
    if reduction not in ("none", "add", "mul", "min", "max"):
        raise Unsupported(f'with reduction="{reduction}"')
    nd = call.name == "scatter_nd"
    return (ops.ScatterND(reduction) if nd else ops.ScatterElements(call.axis(), reduction))(*call.args)


def _one_hot(call: TvmCall) -> Node:
    indices, on, off = call.x, *call.args[1:]
    if indices.dtype.kind == "int":  # a negative index is out of range for TVM, one from the end for minicc
        indices = ops.Where()(ops.Less()(indices, like(indices, 0)), like(indices, call["depth"]), indices)
    values = constant(np.asarray([off, on], call.result.dtype.numpy))
    return ops.OneHot(int(call["axis"]), int(call["depth"]))(indices, values)


def _cumsum(call: TvmCall) -> Node:
    x, axis = call.along()
    if call["dtype"] is not None:
        x = ops.Cast(call.dtype, False)(x)
    return ops.CumSum(axis, bool(call["exclusive"]))(x)


def _top(call: TvmCall, k: int, largest: str, kind: str, dtype: DType) -> Any:
    x, axis, largest_first = call.x, call.axis(), bool(call[largest])
    extent = x.shape[axis]
    if isinstance(extent, Symbol):
        raise Unsupported("along an axis that is not known")
    k = extent if k < 1 else min(k, extent)
    values = ops.TopK(k, axis, largest_first)(x)
    indices = ops.Cast(dtype)(ops.TopKIndices(k, axis, largest_first)(x))
    return {"both": (values, indices), "values": values, "indices": indices}[kind]


INDEXING: dict[str, Callable[[TvmCall], Any]] = {
    "argsort": lambda c: _top(c, 0, "descending", "indices", c.result.dtype),
    "cumsum": _cumsum,
    "gather_elements": lambda c: ops.GatherElements(c.axis())(*c.args),
    "gather_nd": lambda c: ops.GatherND(int(c["batch_dims"]))(*c.args),
    "one_hot": _one_hot,
    "scatter_elements": _scatter,
    "scatter_nd": _scatter,
    "sort": lambda c: _top(c, 0, "descending", "values", DType.of("int64")),
    "take": _take,
    "topk": lambda c: _top(c, int(c["k"]), "largest", c["ret_type"], c.dtype),
}

CALLS = {name: plainly(op) for name, op in ELEMENTWISE.items()} | COMPOSED | MOVEMENT | INDEXING  # what is no layer
