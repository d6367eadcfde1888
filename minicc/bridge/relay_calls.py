"""What each operator of Relay is in minicc: a table from its name to a function, most of them by way of Relax.

In: a `TvmCall` with Relay's name, arguments and attributes. Out: a node, or a tuple of nodes, as from the table of
`tvm_layers`, which takes the calls of Relax: where Relay means the same, an entry here says what Relax calls it.

Where a shape is an attribute or an argument in Relay (`reshape`, `broadcast_to`), the type that TVM inferred has it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minicc import ops
from minicc.bridge.relay_forms import ELEMENTWISE
from minicc.bridge.tvm_calls import END, TvmCall, Unsupported, like, numbers, on_axis
from minicc.bridge.tvm_layers import SPATIAL, TRANSLATIONS, accumulated, adaptive_pool, axes_of, laid_out, transposed
from minicc.graph.ir import Constant, Node, constant
from minicc.ops.base import Operator
from minicc.types import boolean

Translation = Callable[[TvmCall], Any]


def relax(call: TvmCall, name: str, args: Sequence[Any] | None = None, **attributes: Any) -> Any:
    """What Relax's operator `name` is, on other arguments and with other attributes if need be."""
    held = call.attributes | attributes
    return TRANSLATIONS[name](replace(call, name=name, args=call.args if args is None else args, attributes=held))


def _called(name: str, **attributes: str) -> Translation:
    """Relax's operator `name`; some of its attributes have other names in Relay."""
    return lambda call: relax(call, name, **{wanted: call[own] for wanted, own in attributes.items()})


def _shaped(name: str) -> Translation:
    """Relax's operator `name`, which takes the shape of the result."""
    return lambda call: relax(call, name, [call.x, call.result.shape])


def number(value: Node, what: str) -> Any:
    """The number that a node is. Raises Unsupported where it is computed."""
    if not isinstance(value.op, Constant) or value.type.size != 1:
        raise Unsupported(f"with {what} that is computed")
    return value.op.data.array.item()


# ---- element by element -------------------------------------------------------------------------


def _round(call: TvmCall) -> Any:
    """To the nearest; of two, to the one farther from 0."""
    x = call.x
    whole: Node = relax(call, "trunc")
    is_far = ops.GreaterOrEqual()(ops.Abs()(ops.Sub()(x, whole)), like(x, 0.5))
    return ops.Where()(is_far, ops.Add()(whole, ops.Sign()(x)), whole)


def _where(call: TvmCall) -> Node:
    chosen = call.x if call.x.dtype is boolean else ops.Cast(boolean)(call.x)
    return ops.Where()(chosen, *call.args[1:])


# ---- movement and indexing ----------------------------------------------------------------------


def _expand_dims(call: TvmCall) -> Node:
    axis = int(call["axis"]) % (call.x.type.rank + 1)
    return ops.Unsqueeze(tuple(range(axis, axis + int(call["num_newaxis"]))))(call.x)


def _strided_slice(call: TvmCall) -> Any:
    begin = numbers(call["begin"], "bounds")
    axes = call["axes"] or tuple(range(len(begin)))
    end, steps = (numbers(call[name], "bounds") for name in ("end", "strides"))
    if call["slice_mode"] == "size":
        end = tuple(END if size < 0 else start + size for start, size in zip(begin, end, strict=True))
        steps = ()
    steps += (1,) * (len(begin) - len(steps))
    return relax(call, "strided_slice", [call.x, axes, begin, end, steps])


def _slice_like(call: TvmCall) -> Node:
    rank = call.x.type.rank
    return ops.Slice((0,) * rank, call.result.shape, tuple(range(rank)))(call.x)


def _take(call: TvmCall) -> Any:
    if call["batch_dims"]:
        raise Unsupported(f"with batch_dims={call['batch_dims']}")
    return relax(call, "take")


def _index_last(call: TvmCall, name: str, **attributes: Any) -> Any:
    """A call whose indices hold their coordinates along the first axis: for Relax, along the last."""
    x, indices, *rest = call.args
    turned = transposed(indices, (*range(1, indices.type.rank), 0))
    return relax(call, name, [x, turned, *rest], **attributes)


def _pad(call: TvmCall) -> Any:
    value, mode = number(call.args[1], "a pad_value"), {"edge": "replicate"}.get(call["pad_mode"], call["pad_mode"])
    return relax(call, "nn.pad", pad_width=sum(call["pad_width"], ()), pad_value=value, pad_mode=mode)


def _mirror_pad(call: TvmCall) -> Any:
    if call["mode"] != "REFLECT":
        raise Unsupported(f'with mode="{call["mode"]}"')
    return relax(call, "nn.pad", pad_width=sum(call["pad_width"], ()), pad_value=0, pad_mode="reflect")


def _dilate(call: TvmCall) -> Node:
    """A value between neighbours: each element gets some behind it, and the last ones are cut off."""
    x, shape = call.x, list(call.x.shape)
    for axis, stride in enumerate(numbers(call["strides"], "strides")):
        wide = ops.Pad((0, stride - 1), float(call["dilation_value"]), (axis + 1,))(ops.Unsqueeze((axis + 1,))(x))
        shape[axis] = (shape[axis] - 1) * stride + 1
        flat = ops.Reshape((*shape[:axis], shape[axis] + stride - 1, *shape[axis + 1 :]), True)(wide)
        x = ops.Slice((0,), (shape[axis],), (axis,))(flat) if stride > 1 else x
    return x


def _one_hot(call: TvmCall) -> Any:
    indices, *values = call.args
    return relax(call, "one_hot", [indices, *[number(v, "a value") for v in values]])


def _trilu(call: TvmCall) -> Any:
    return relax(call, "triu" if call["upper"] else "tril", [call.x, number(call.args[1], "a diagonal")])


def _descending(name: str, attribute: str) -> Translation:
    """An order of Relax's, which says where the largest is; Relay says where the smallest is."""
    return lambda call: relax(call, name, None, **{attribute: not call["is_ascend"]})


# ---- contractions and windows -------------------------------------------------------------------


def _product(call: TvmCall, turns_a: bool, turns_b: bool) -> Node:
    """A matrix product; the last two axes of an operand may be swapped before."""
    operands = []
    for x, turns in zip(accumulated(call), (turns_a, turns_b), strict=True):
        rank = x.type.rank
        operands.append(ops.Transpose((*range(rank - 2), rank - 1, rank - 2))(x) if turns else x)
    return ops.MatMul()(*operands)


def _windowed(name: str) -> Translation:
    """Relax's operator, whose padding always names both ends of every axis."""

    def window(call: TvmCall) -> Any:
        padding, rank = tuple(call["padding"]), call.x.type.rank - 2
        return relax(call, name, padding=padding * (2 * rank // len(padding)))

    return window


def _global_pool(op: Operator) -> Translation:
    return lambda call: laid_out(call, call["layout"], call["out_layout"], call.x.type.rank - 2, op)


def _blocks(make: Callable[..., Operator], *mode: str) -> Translation:
    def move(call: TvmCall) -> Node:
        op = make(int(call["block_size"]), *({"DCR": "DCR", "CDR": "CRD"}[call[name]] for name in mode))
        return laid_out(call, call["layout"], "", 2, op)

    return move


# ---- reductions and normalisations --------------------------------------------------------------


def _axes(call: TvmCall) -> tuple[int, ...] | None:
    """The axes that are reduced; None for all of them, which Relay also writes as an empty list."""
    rank = call.x.type.rank
    axes = [a % max(rank, 1) for a in call["axis"] or ()]
    if not axes:
        return None
    return tuple(a for a in range(rank) if (a in axes) != bool(call.attributes.get("exclude")))


def _reduced(name: str) -> Translation:
    return lambda call: relax(call, name, axis=_axes(call))


def _extreme(make: Callable[..., Operator]) -> Translation:
    """Where the largest or smallest is, along one axis or in all."""

    def place(call: TvmCall) -> Node:
        x, axes = call.x, _axes(call)
        if axes is not None and len(axes) != 1:
            raise Unsupported(f"over the axes {axes}")
        row = x if axes else ops.Reshape((-1,))(x)
        found = make(axes[0] if axes else 0, True, bool(call["select_last_index"]))(row)
        return ops.Cast(call.result.dtype)(ops.Reshape(call.result.shape, True)(found))

    return place


def _variance(call: TvmCall) -> Node:
    """The mean of squared distances from a mean that is the second argument."""
    x, axes = call.x, _axes(call)
    centred: Node = ops.Sub()(x, call.args[1])
    squares = ops.ReduceSum(axes, bool(call["keepdims"]), axes is not None)(ops.Mul()(centred, centred))
    count = math.prod(x.shape[a] for a in (range(x.type.rank) if axes is None else axes)) - bool(call["unbiased"])
    return ops.Div()(squares, like(x, count))


def _l2_normalize(call: TvmCall) -> Node:
    squares = ops.ReduceSumSquare(_axes(call), True, True)(call.x)
    return ops.Div()(call.x, ops.Sqrt()(ops.Max()(squares, like(call.x, call["eps"]))))


def _lrn(call: TvmCall) -> Node:
    if call.axis() != 1:
        raise Unsupported(f"along the axis {call['axis']}")
    return ops.LRN(int(call["size"]), float(call["alpha"]), float(call["beta"]), float(call["bias"]))(call.x)


def _spatial_norm(name: str) -> Translation:
    """A normalisation over all axes behind the channels."""

    def norm(call: TvmCall) -> Any:
        return relax(call, name, channel_axis=call["axis"], axes=tuple(range(2, call.x.type.rank)))

    return norm


def _resize(call: TvmCall, sizes: Sequence[int], method: str, where: str) -> Any:
    """Relax's operator for any rank; which of two nearest places is meant is a matter of the coordinates, if nothing says it."""
    rounding = call.attributes.get("rounding_method") or ("round" if where == "align_corners" else "floor")
    return relax(call, "image.resize2d", [call.x, sizes], method=method, coordinate_transformation_mode=where,
                 rounding_method=rounding)  # fmt: skip


def _upsampling(call: TvmCall) -> Any:
    sizes = [call.result.shape[call["layout"].index(letter)] for letter in "HW"]
    method = {"bilinear": "linear", "bicubic": "cubic"}.get(call["method"], call["method"])
    fixed = replace(call, attributes={**call.attributes, "cubic_alpha": -0.5, "cubic_exclude": False})
    return _resize(fixed, sizes, method, "align_corners" if call["align_corners"] else "asymmetric")


SAME = (  # in both dialects, attribute for attribute
    *ELEMENTWISE,
    "floor_divide", "full_like", "isfinite", "nn.adaptive_avg_pool1d", "nn.adaptive_avg_pool2d",
    "nn.adaptive_avg_pool3d", "nn.batch_flatten", "nn.log_softmax", "nn.prelu", "nn.softmax", "ones", "ones_like",
    "repeat", "rsqrt", "scatter_elements", "split", "squeeze", "stack", "trunc", "zeros", "zeros_like",
)  # fmt: skip
RELAY: dict[str, Translation] = {
    **{name: TRANSLATIONS[name] for name in SAME},
    "all": _reduced("min"),
    "any": _reduced("max"),
    "arange": lambda c: relax(c, "arange", [number(bound, "a bound") for bound in c.args]),
    "argmax": _extreme(ops.ArgMax),
    "argmin": _extreme(ops.ArgMin),
    "argsort": _descending("argsort", "descending"),
    "broadcast_to": _shaped("broadcast_to"),
    "broadcast_to_like": _shaped("broadcast_to"),
    "cast": _called("astype"),
    "cast_like": lambda c: ops.Cast(c.result.dtype, False)(c.x),
    "clip": lambda c: relax(c, "clip", [c.x, c["a_min"], c["a_max"]]),
    "concatenate": _called("concat"),
    "copy": lambda c: c.x,
    "cumsum": lambda c: relax(c, "cumsum", dtype=c["dtype"] or None),
    "einsum": _called("einsum", subscripts="equation"),
    "expand_dims": _expand_dims,
    "full": lambda c: relax(c, "full", [None, c.x]),
    "gather": _called("gather_elements"),
    "gather_nd": lambda c: _index_last(c, "gather_nd"),
    "layout_transform": lambda c: transposed(c.x, axes_of(c["src_layout"], c["dst_layout"])),
    "max": _reduced("max"),
    "mean": _reduced("mean"),
    "min": _reduced("min"),
    "ndarray_size": lambda c: constant(np.asarray(math.prod(c.x.shape), c.result.dtype.numpy)),
    "nn.batch_matmul": lambda c: _product(c, c["transpose_a"], c["transpose_b"]),
    "nn.batch_norm": lambda c: relax(c, "nn.batch_norm", training=False),
    "nn.bias_add": lambda c: ops.Add()(c.x, on_axis(c.args[1], c.axis(), c.x.type.rank)),
    "nn.dense": lambda c: _product(c, False, True),
    "nn.depth_to_space": _blocks(ops.DepthToSpace, "mode"),
    "nn.dilate": _dilate,
    "nn.dropout": lambda c: (c.x,),  # the mask, which it gives in training, is left out
    "nn.global_avg_pool2d": _global_pool(ops.GlobalAveragePool()),
    "nn.global_max_pool2d": _global_pool(ops.GlobalMaxPool()),
    "nn.group_norm": _spatial_norm("nn.group_norm"),
    "nn.instance_norm": _spatial_norm("nn.instance_norm"),
    "nn.l2_normalize": _l2_normalize,
    "nn.layer_norm": lambda c: relax(c, "nn.layer_norm", axes=(c["axis"],)),
    "nn.leaky_relu": _called("nn.leakyrelu"),
    "nn.lrn": _lrn,
    "nn.matmul": lambda c: _product(c, c["transpose_a"], c["transpose_b"]),
    "nn.mirror_pad": _mirror_pad,
    "nn.pad": _pad,
    "nn.space_to_depth": _blocks(ops.SpaceToDepth),
    "nn.upsampling": _upsampling,
    "one_hot": _one_hot,
    "prod": _reduced("prod"),
    "reshape": _shaped("reshape"),
    "reshape_like": _shaped("reshape"),
    "reverse": _called("flip"),
    "reverse_sequence": lambda c: ops.ReverseSequence(c.axis("batch_axis"), c.axis("seq_axis"))(*c.args),
    "round": _round,
    "scatter_nd": lambda c: _index_last(c, "scatter_nd", reduction=c["mode"]),
    "shape_of": lambda c: constant(np.asarray(c.x.shape, c.result.dtype.numpy)),
    "slice_like": _slice_like,
    "sort": _descending("sort", "descending"),
    "strided_slice": _strided_slice,
    "sum": _reduced("sum"),
    "take": _take,
    "tile": _called("tile", repeats="reps"),
    "topk": _descending("topk", "largest"),
    "transpose": _called("permute_dims"),
    "trilu": _trilu,
    "variance": _variance,
    "where": _where,
}
for _rank in SPATIAL:
    RELAY[f"image.resize{_rank}d"] = lambda c: _resize(c, c["size"], c["method"], c["coordinate_transformation_mode"])
    _names = (f"nn.conv{_rank}d", f"nn.conv{_rank}d_transpose", f"nn.max_pool{_rank}d", f"nn.avg_pool{_rank}d")
    RELAY |= {name: _windowed(name) for name in _names} | {f"nn.adaptive_max_pool{_rank}d": adaptive_pool}
