"""What the layers of a network are in minicc: contractions, pools, normalisations, reductions, resizing.

The second half of the table of `tvm_calls`; see there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from minicc import ops
from minicc.bridge.tvm_calls import CALLS, TvmCall, Unsupported, flat, like, numbers
from minicc.graph.ir import Node
from minicc.ops.base import Operator
from minicc.types import DType, Symbol

# ---- layouts ------------------------------------------------------------------------------------

SPATIAL = {1: "W", 2: "HW", 3: "DHW"}


def axes_of(layout: str, wanted: str) -> tuple[int, ...]:
    """The axes of `layout` in the order of `wanted`."""
    if sorted(layout) != sorted(wanted):
        raise Unsupported(f'with the layout "{layout}"')
    return tuple(layout.index(letter) for letter in wanted)


def transposed(x: Node, order: tuple[int, ...]) -> Node:
    """`x` with its axes in this order."""
    return x if order == tuple(range(len(order))) else ops.Transpose(order)(x)


def laid_out(call: TvmCall, layout: str, out_layout: str, rank: int, work: Callable[[Node], Node]) -> Node:
    """`work` on the first argument in NCHW; its result in `out_layout`."""
    canonical = "NC" + SPATIAL[rank]
    made = work(transposed(call.x, axes_of(layout, canonical)))
    return transposed(made, axes_of(canonical, out_layout or layout))


def accumulated(call: TvmCall) -> list[Node]:
    """The arguments in the dtype that the result asks for."""
    dtype = DType.of(str(call["out_dtype"])) if call["out_dtype"] not in (None, "", "void") else call.x.dtype
    return [a if a.dtype is dtype else ops.Cast(dtype, False)(a) for a in call.args]


def _windowed(call: TvmCall) -> dict[str, Any]:
    """Strides, padding and dilation; both write padding as begins, then ends."""
    return {"strides": tuple(call["strides"]), "padding": tuple(call["padding"]), "dilation": tuple(call["dilation"])}


def _conv(call: TvmCall) -> Node:
    x, w = accumulated(call)
    rank, is_transposed = x.type.rank - 2, call.name.endswith("transpose")
    fields = {**_windowed(call), "groups": int(call["groups"])}
    op: Operator = ops.Conv(**fields)
    if is_transposed:
        op = ops.ConvTranspose(**fields, output_padding=tuple(call["output_padding"]))
    w = transposed(w, axes_of(call["kernel_layout"], ("IO" if is_transposed else "OI") + SPATIAL[rank]))
    return laid_out(replace(call, args=(x, w)), call["data_layout"], call["out_layout"], rank, lambda x: op(x, w))


# ---- pools --------------------------------------------------------------------------------------


def _pool(call: TvmCall) -> Node:
    fields = {"kernel": tuple(call["pool_size"]), "ceil_mode": bool(call["ceil_mode"]), **_windowed(call)}
    op: Operator = ops.MaxPool(**fields)
    if call.name.startswith("nn.avg"):
        op = ops.AveragePool(**fields, count_include_pad=bool(call["count_include_pad"]))
    made = laid_out(call, call["layout"], call["out_layout"], call.x.type.rank - 2, op)
    if not (fields["ceil_mode"] and call.type and call.type.is_bound):
        return made
    extra = [wanted - own for wanted, own in zip(call.type.shape, made.type.shape, strict=True)]
    if not any(extra):
        return made
    # TVM keeps windows that start in the padding at the end; of no data, the mean is 0 there, the maximum the least number
    nothing = call.x.dtype.range[0] if isinstance(op, ops.MaxPool) else 0
    return ops.Pad((*[0] * len(extra), *extra), float(nothing))(made)


def adaptive_pool(call: TvmCall) -> Node:
    """As many windows as the size that is asked for; those of unequal size are not supported."""
    rank = call.x.type.rank - 2
    reduce, pool = (ops.ReduceMax, ops.MaxPool) if "max" in call.name else (ops.ReduceMean, ops.AveragePool)

    def work(x: Node) -> Node:
        spatial = x.shape[2:]
        wanted = tuple(call["output_size"] or spatial)
        if wanted == (1,) * rank:
            return reduce(tuple(range(2, rank + 2)))(x)
        if any(isinstance(d, Symbol) or d % o for d, o in zip(spatial, wanted, strict=True)):
            raise Unsupported(f"from {spatial} to {wanted}: windows of unequal size")
        kernel = tuple(d // o for d, o in zip(spatial, wanted, strict=True))
        return pool(kernel, kernel)(x)

    return laid_out(call, call["layout"], call["out_layout"], rank, work)


# ---- reductions ---------------------------------------------------------------------------------


def _reduction(make: Callable[..., Operator]) -> Callable[[TvmCall], Node]:
    def reduce(call: TvmCall) -> Node:
        axes = call["axis"]  # None: all; empty: none
        return make(axes, bool(call["keepdims"]), axes is not None)(call.x)

    return reduce


def _spread(call: TvmCall) -> Node:
    """The mean of squared distances from the mean, or its root."""
    x, axes = call.x, call["axis"]
    centred = ops.Sub()(x, ops.ReduceMean(axes, True, axes is not None)(x))
    variance = ops.ReduceMean(axes, bool(call["keepdims"]), axes is not None)(ops.Mul()(centred, centred))
    return ops.Sqrt()(variance) if call.name == "std" else variance


def _extreme(make: Callable[..., Operator]) -> Callable[[TvmCall], Node]:
    def place(call: TvmCall) -> Node:
        if call["axis"] is not None:
            return make(call.axis(), bool(call["keepdims"]))(call.x)
        found = make(0, False)(flat(call.x))
        return ops.Reshape((1,) * call.x.type.rank)(found) if call["keepdims"] else found

    return place


# ---- normalisations -----------------------------------------------------------------------------


def _vectors(call: TvmCall) -> list[Node]:
    """Scale and bias; 1 and 0 where the call says that they take no part."""
    x, scale, bias = call.args[:3]
    if not call["scale"]:
        scale = ops.Expand(numbers(scale.shape, "dimensions"))(like(x, 1))
    if not call["center"]:
        bias = ops.Expand(numbers(bias.shape, "dimensions"))(like(x, 0))
    return [scale, bias]


def _batch_norm(call: TvmCall) -> tuple[Node, Node, Node]:
    """The result, and the statistics as they were."""
    if call["training"]:
        raise Unsupported("in training (training=True is TVM's default)")
    x, _, _, mean, variance = call.args
    rank, axis = x.type.rank, call.axis()
    order = (0, axis, *[a for a in range(1, rank) if a != axis]) if axis else (*range(1, rank), 0)
    if axis == 0:
        raise Unsupported("along the first axis")
    back = tuple(order.index(a) for a in range(rank))
    made = ops.BatchNormalization(float(call["epsilon"]))(transposed(x, order), *_vectors(call), mean, variance)
    return transposed(made, back), mean, variance


def _trailing(call: TvmCall) -> int:
    """The first of the axes, which must be the last ones in order."""
    rank = call.x.type.rank
    axes = sorted(a % rank for a in call["axes"])
    if axes != list(range(rank - len(axes), rank)):
        raise Unsupported(f"over the axes {tuple(axes)} of {rank}, which are not the last ones")
    return int(axes[0]) - rank


def _spatial_norm(call: TvmCall) -> Node:
    rank = call.x.type.rank
    if call.axis("channel_axis") != 1 or sorted(a % rank for a in call["axes"]) != list(range(2, rank)):
        raise Unsupported("with channels elsewhere than on axis 1, or over other axes than the spatial ones")
    epsilon = float(call["epsilon"])
    groups = call.name == "nn.group_norm"
    op = ops.GroupNormalization(int(call["num_groups"]), epsilon) if groups else ops.InstanceNormalization(epsilon)
    return op(call.x, *_vectors(call))


# ---- resizing -----------------------------------------------------------------------------------

METHODS = {"nearest_neighbor": "nearest", "linear": "linear", "cubic": "cubic"}
ROUNDINGS = {"round": "round_prefer_ceil", "round_prefer_floor": "round_prefer_floor", "round_prefer_ceil": "round_prefer_ceil",
             "floor": "floor", "ceil": "ceil"}  # fmt: skip
COORDINATES = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "tf_half_pixel_for_nn")


def _resize(call: TvmCall) -> Node:
    method, where, rounding = call["method"], call["coordinate_transformation_mode"], call["rounding_method"]
    if method not in METHODS or where not in COORDINATES or rounding not in ("", *ROUNDINGS):
        raise Unsupported(f'with method="{method}", coordinates "{where}", rounding "{rounding}"')
    op = ops.Resize(sizes=numbers(call.args[1], "sizes"), mode=METHODS[method], coordinate_transformation_mode=where,
                    nearest_mode=ROUNDINGS.get(rounding, "round_prefer_ceil"), cubic_coeff_a=float(call["cubic_alpha"]),
                    exclude_outside=bool(call["cubic_exclude"]), axes=tuple(range(2, call.x.type.rank)))  # fmt: skip
    return laid_out(call, call["layout"], "", call.x.type.rank - 2, op)


LAYERS: dict[str, Callable[[TvmCall], Any]] = {
    "argmax": _extreme(ops.ArgMax),
    "argmin": _extreme(ops.ArgMin),
    "image.resize2d": _resize,
    "matmul": lambda c: ops.MatMul()(*accumulated(c)),
    "max": _reduction(ops.ReduceMax),
    "mean": _reduction(ops.ReduceMean),
    "min": _reduction(ops.ReduceMin),
    "nn.batch_norm": _batch_norm,
    "nn.group_norm": _spatial_norm,
    "nn.instance_norm": _spatial_norm,
    "nn.layer_norm": lambda c: ops.LayerNormalization(_trailing(c), float(c["epsilon"]))(c.x, *_vectors(c)),
    "nn.log_softmax": lambda c: ops.LogSoftmax(int(c["axis"]))(c.x),
    "nn.rms_norm": lambda c: ops.RMSNormalization(_trailing(c), float(c["epsilon"]))(*c.args),
    "nn.softmax": lambda c: ops.Softmax(int(c["axis"]))(c.x),
    "prod": _reduction(ops.ReduceProd),
    "std": _spread,
    "sum": _reduction(ops.ReduceSum),
    "variance": _spread,
}
for _rank in SPATIAL:
    LAYERS |= {f"nn.conv{_rank}d": _conv, f"nn.conv{_rank}d_transpose": _conv, f"nn.max_pool{_rank}d": _pool}
    LAYERS |= {f"nn.avg_pool{_rank}d": _pool, f"nn.adaptive_avg_pool{_rank}d": adaptive_pool}

TRANSLATIONS = CALLS | LAYERS
