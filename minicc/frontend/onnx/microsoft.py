"""What the operators of onnxruntime's own domain, com.microsoft, mean in `ops`: fused forms of operators of ONNX.

Exporters for onnxruntime, and its own optimizer, write them. Those of quantised models are in `quantized`. What serves
only to share buffers between calls, or to search by beams, is refused.

>>> sorted(name for name in TRANSLATIONS if "Gelu" in name)
['com.microsoft::BiasGelu', 'com.microsoft::FastGelu', 'com.microsoft::Gelu', 'com.microsoft::QuickGelu']
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minicc import ops
from minicc.frontend.onnx import quantized
from minicc.frontend.onnx.call import OnnxCall, Result, Translation
from minicc.frontend.onnx.ops import conv
from minicc.graph.ir import Node
from minicc.ops.base import Operator
from minicc.types import DType, boolean, int64

# ---- activations ------------------------------------------------------------------------------------------------

SIMPLE: dict[str, type[Operator]] = {
    "Relu": ops.Relu,
    "Sigmoid": ops.Sigmoid,
    "Softplus": ops.Softplus,
    "Softsign": ops.Softsign,
    "Tanh": ops.Tanh,
}


def activated(call: OnnxCall, y: Node, numbers: Sequence[float]) -> Node:
    """`y` through the function that `activation` names, of which `numbers` are alpha and beta."""
    name = call["activation"] or ""
    if not name:
        return y
    if name in SIMPLE:
        return call(SIMPLE[name], y)
    if name == "LeakyRelu" and len(numbers) > 0:
        return call(ops.LeakyRelu, y, alpha=numbers[0])
    if name == "HardSigmoid" and len(numbers) > 1:
        return call(ops.HardSigmoid, y, alpha=numbers[0], beta=numbers[1])
    if name == "Clip" and len(numbers) > 1:
        return call(ops.Clip, y, call.like(numbers[0], y), call.like(numbers[1], y))
    known = f"{', '.join(SIMPLE)}, LeakyRelu, HardSigmoid or Clip, with its numbers"
    raise call.error(f"expected an activation, got {name!r} with {list(numbers)}", f"use {known}")


def bias_gelu(call: OnnxCall) -> Node:
    """Gelu of a sum."""
    return call(ops.Gelu, call(ops.Add, call[0], call[1]))


def fast_gelu(call: OnnxCall) -> Node:
    """Gelu by its formula with tanh, perhaps of a sum."""
    x, bias = call[0], call.input(1)
    return call(ops.Gelu, x if bias is None else call(ops.Add, x, bias), approximate="tanh")


def quick_gelu(call: OnnxCall) -> Node:
    """x * sigmoid(alpha * x)."""
    x: Node = call[0]
    return call(ops.Mul, x, call(ops.Sigmoid, call(ops.Mul, x, call.like(call["alpha"], x))))


# ---- products ---------------------------------------------------------------------------------------------------


def fused_conv(call: OnnxCall) -> Node:
    """A convolution, perhaps another image added, and an activation."""
    y, other = conv(ops.Conv, call), call.input(3)
    return activated(call, y if other is None else call(ops.Add, y, other), call["activation_params"] or ())


def fused_gemm(call: OnnxCall) -> Node:
    """A Gemm and an activation."""
    numbers = [call[f"activation_{name}"] for name in ("alpha", "beta", "gamma")]
    return activated(call, call.direct(ops.Gemm), [number for number in numbers if number is not None])


def fused_matmul(call: OnnxCall) -> Node:
    """`transBatchA`: the rows stand before the axes of the batch; `transA`: columns before rows, after that."""
    a, b = (
        _turned(call, call[at], bool(call[f"trans{x}"]), bool(call[f"transBatch{x}"])) for at, x in ((0, "A"), (1, "B"))
    )
    y, alpha = call(ops.MatMul, a, b), call["alpha"]
    return y if alpha == 1 else call(ops.Mul, y, call.like(alpha, y))


def _turned(call: OnnxCall, x: Node, matrix: bool, batch: bool) -> Node:
    if not matrix and not batch:
        return x
    rank = call.type(x, "a transposed operand").rank
    if rank < 2:
        return x
    axes = [*range(1, rank - 1), 0, rank - 1] if batch else list(range(rank))
    if matrix:
        axes[-2:] = axes[:-3:-1]
    return call(ops.Transpose, x, perm=tuple(axes))


def matmul_nbits(call: OnnxCall) -> Node:
    """Weights of 2, 4 or 8 bits in blocks along their columns, the first number of a byte in its lowest bits."""
    rows, columns, block, bits = (call[name] for name in ("N", "K", "block_size", "bits"))
    if bits not in (2, 4, 8) or block < 16 or block & (block - 1) or min(rows, columns) < 1:
        problem = f"expected 2, 4 or 8 bits in blocks of 16, 32, ... and positive N and K, got {bits}, {block}, {rows}, {columns}"
        raise call.error(problem, "quantise the weights again")
    if call.input(4) is not None or call["weight_prepacked"]:
        raise call.error("g_idx and weights that are packed for a device are not supported", "export without them")
    _, a, count = call["accuracy_level"], call[0], -(-columns // block)
    zeros = call.input(3)
    if zeros is None:
        zeros = call.constant(1 << (bits - 1), "uint8")
    else:
        if call.type(zeros, "zero points").dtype.is_integer:
            zeros = _part(call, _unpacked(call, zeros, bits, rows), 0, count)
        zeros = call(ops.Reshape, zeros, shape=(rows, count, 1))
    weights = call(ops.Reshape, _unpacked(call, call[1], bits, rows), shape=(rows, count, block))
    weights = call(ops.Sub, call(ops.CastLike, weights, a), call(ops.CastLike, zeros, a))
    weights = call(ops.Mul, weights, call(ops.Reshape, call[2], shape=(rows, count, 1)))
    weights = _part(call, call(ops.Reshape, weights, shape=(rows, count * block)), 0, columns)
    y, bias = call(ops.MatMul, a, call(ops.Transpose, weights, perm=(1, 0))), call.input(5)
    return y if bias is None else call(ops.Add, y, bias)


def _unpacked(call: OnnxCall, x: Node, bits: int, rows: int) -> Node:
    """The numbers in the bytes of each row."""
    if bits == 8:
        return call(ops.Reshape, x, shape=(rows, -1))
    shifts = call.constant(np.arange(0, 8, bits), "uint8")
    apart = call(ops.BitShift, call(ops.Reshape, x, shape=(rows, -1, 1)), shifts, direction="RIGHT")
    return call(ops.Reshape, call(ops.BitwiseAnd, apart, call.constant((1 << bits) - 1, "uint8")), shape=(rows, -1))


# ---- normalization ----------------------------------------------------------------------------------------------


def simplified_layer_normalization(call: OnnxCall) -> Node:
    return call(ops.RMSNormalization, call[0], call[1], axis=call["axis"], epsilon=call["epsilon"])


def skip_layer_normalization(call: OnnxCall) -> Result:
    """The sum is a result, too; the statistics are for training."""
    simple = call.proto.op_type == "SkipSimplifiedLayerNormalization"
    bias = call.input(3 if simple else 4)
    total = call(ops.Add, call[0], call[1])
    total = total if bias is None else call(ops.Add, total, bias)
    if simple:
        return call(ops.RMSNormalization, total, call[2], epsilon=call["epsilon"]), None, None, total
    return _layer_norm(call, total, 2), None, None, total


def _layer_norm(call: OnnxCall, x: Node, at: int) -> Node:
    """`x` normalized, with the scale at input `at`, and after it perhaps a bias."""
    vectors = [v for v in (call[at], call.input(at + 1)) if v is not None]
    return call(ops.LayerNormalization, x, *vectors, epsilon=call["epsilon"])


def embed_layer_normalization(call: OnnxCall) -> Result:
    """Rows of tables for words, places and segments, added and normalized; and how many words a mask keeps."""
    words, mask, kind = call[0], call.input(7), call["mask_index_type"]
    places = call.input(8)
    if places is None:
        count = call(ops.Slice, call.shape(words), starts=(1,), ends=(2,), axes=(0,))
        rows = call(ops.Slice, call[3], starts=(0,), ends=count, axes=(0,))
    else:
        rows = call(ops.Gather, call[3], places)
    total = call(ops.Add, call(ops.Gather, call[2], words), rows)
    if (segments := call.input(1)) is not None:
        total = call(ops.Add, total, call(ops.Gather, call[4], segments))
    found = None
    if len(call.asked) > 1 and call.asked[1]:
        if kind not in (None, 1) and mask is not None:
            raise call.error(f"mask_index_type must be 1, got {kind}", "export the model with mask_index_type=1")
        kept = mask if mask is not None else call(ops.Mul, words, call.like(0, words))
        found = call(ops.ReduceSum, call(ops.Cast, kept, dtype=DType.of("int32")), axes=(1,), keepdims=False)
    return _layer_norm(call, total, 5), found, total


# ---- attention --------------------------------------------------------------------------------------------------


def rotary_embedding(call: OnnxCall) -> Node:
    """Positions are those of all rows, or that of the first one."""
    x, positions, cos, sin = call.data
    heads, size = call["num_heads"] or 0, call["rotary_embedding_dim"] or 0
    if call["is_packed_batching"] or call["scale"] not in (None, 1.0):
        raise call.error("packed batches and a scale are not supported", "export the model without them")
    t = call.type(x, "RotaryEmbedding")
    if t.rank == 3 and not heads:
        heads = t.shape[2] // (2 * call.type(cos, "the size of a head").shape[1])
    if call.type(positions, "RotaryEmbedding").rank == 1:
        shape = call.shape(x)
        batch, rows = (call(ops.Slice, shape, starts=(at,), ends=(at + 1,), axes=(0,)) for at in (0, t.rank - 2))
        steps = call(ops.Range, start=0, limit=call(ops.Reshape, rows, shape=()), delta=1, dtype=DType.of("int64"))
        positions = call(ops.Add, call(ops.Cast, positions, dtype=DType.of("int64")), steps)
        positions = call(ops.Expand, positions, shape=call(ops.Concat, batch, rows, axis=0))
    fields = {
        "interleaved": call["interleaved"],
        "num_heads": heads if t.rank == 3 else 0,
        "rotary_embedding_dim": size,
    }
    return call(ops.RotaryEmbedding, x, cos, sin, positions, given=ops.RotaryEmbedding.inputs, **fields)


def multi_head_attention(call: OnnxCall) -> Result:
    """Query, key and value by rows, or packed by heads; or the keys and values of another model's rows, by heads."""
    heads = call["num_heads"]
    parts = [call.input(at) for at in range(3)]
    if call.input(8) is not None or call.input(9) is not None:
        raise call.error("buffers that calls share, and beams, are not supported", "export the model without them")
    if (bias := call.input(3)) is not None:
        width = _width(call, parts[0])
        limits = [(0, width), (width, 2 * width), (2 * width, 2**31 - 1)]
        biases = [_part(call, bias, *limit) for limit in limits]
        parts = [
            x if x is None or _rank(call, x) != 3 else call(ops.Add, x, b) for x, b in zip(parts, biases, strict=True)
        ]
    q, k, v = _operands(call, parts, heads)
    return _attention(call, {"Q": q, "K": k, "V": v}, _masks(call, 4, 5, q), (6, 7))


def attention(call: OnnxCall) -> Result:
    """The product with the weights of query, key and value at once; `past` and `present` hold keys, then values."""
    if call["do_rotary"] or call["past_present_share_buffer"] or call.input(6) is not None:
        raise call.error("rotated rows and buffers that calls share are not supported", "export the model without them")
    x = call(ops.MatMul, call[0], call[1])
    x = x if call.input(2) is None else call(ops.Add, x, call[2])
    return projected(call, x, call["qkv_hidden_sizes"], _masks(call, 3, 5, x), call.input(4))


def quantized_attention(call: OnnxCall) -> Result:
    """The same, the product by integers."""
    if call["do_rotary"] or call["past_present_share_buffer"]:
        raise call.error("rotated rows and buffers that calls share are not supported", "export the model without them")
    total = quantized.multiplied(call, 0, 1, (6, 7))
    x = call(ops.Add, quantized.scaled(call, total, quantized.scale(call, 3), quantized.scale(call, 4)), call[2])
    return projected(call, x, None, _masks(call, 5, None, x), call.input(8))


def projected(
    call: OnnxCall, x: Node, sizes: tuple[int, ...] | None, mask: Node | None, past: Node | None
) -> Sequence[Node | None]:
    """Attention of rows of query, key and value side by side; `sizes` are their widths, a third each if None."""
    width = _width(call, x)
    sizes = sizes or (width // 3,) * 3
    if len(sizes) != 3 or min(sizes) < 1 or sum(sizes) != width:
        raise call.error(f"qkv_hidden_sizes must be 3 that add up to {width}, got {sizes}", "export the model again")
    parts = [call(ops.Split, x, axis=-1, sizes=tuple(sizes), parts=3, index=at) for at in range(3)]
    named = dict(zip("QKV", _operands(call, parts, call["num_heads"]), strict=True))
    y, keys, values, _ = _attention(call, named, mask, past)
    if keys is None or values is None:
        return y, None
    return y, call(ops.Concat, *[call(ops.Unsqueeze, state, axes=(0,)) for state in (keys, values)], axis=0)


def group_query_attention(call: OnnxCall) -> Result:
    """New keys and values stand in the past ones from where those of a sequence end; heads share them in groups."""
    heads, shared, size = call["num_heads"], call["kv_num_heads"], call["local_window_size"]
    odd = {
        "kv_cache_bit_width": 0,
        "sliding_window_cache": 0,
        "qk_output": 0,
        "k_quant_type": "NONE",
        "v_quant_type": "NONE",
    }
    others = [name for name, usual in odd.items() if call[name] not in (None, usual)] + ["smooth_softmax"] * (
        call["smooth_softmax"] > 0
    )
    if others or any(call.input(at) is not None for at in range(11, 16)):
        problem = f"packed caches, sinks and norms of heads are not supported: {', '.join(others) or 'inputs 11 to 15'}"
        raise call.error(problem, "export the model without them")
    if min(heads, shared) < 1 or heads % shared:
        raise call.error(
            f"expected kv_num_heads that divides num_heads, got {shared} and {heads}", "export the model again"
        )
    parts, epsilon = [x for x in map(call.input, range(3)) if x is not None], call["qk_norm_epsilon"]
    if len(parts) == 1:
        depth, rest = divmod(_width(call, parts[0]), heads + 2 * shared)
        if rest:
            raise call.error("the last axis of query must be that of all heads", "export the model again")
        sizes = (heads * depth, shared * depth, shared * depth)
        parts = [call(ops.Split, parts[0], axis=-1, sizes=sizes, parts=3, index=at) for at in range(3)]
    rows = call(ops.Slice, call.shape(parts[0]), starts=(1,), ends=(2,), axes=(0,))
    length = call(ops.Add, call(ops.Cast, call[5], dtype=int64), call.constant(1, int64))
    before = call(ops.Max, call(ops.Sub, length, rows), call.constant(0, int64))  # a first prompt may be padded
    q, k, v = (_operands(call, [x] * 3, n)[0] for x, n in zip(parts, (heads, shared, shared), strict=True))
    if call["do_rotary"]:
        q, k = (_rotated(call, x, before, rows) for x in (q, k))
    states = [v if past is None else call(ops.TensorScatter, call(ops.Concat, past, v, axis=2), v, before,
                                          given=ops.TensorScatter.inputs, axis=2)
              for past, v in ((call.input(3), k), (call.input(4), v))]  # fmt: skip
    causal = call["causal"] != 0
    named = {"Q": q, "K": states[0], "V": states[1]}
    if (bias := call.input(10)) is not None:
        named["attn_mask"] = bias
    named["nonpad_kv_seqlen"] = call(ops.Add, before, rows) if causal else length
    y = call(ops.Attention, *named.values(), given=tuple(named), scale=call["scale"] or None, is_causal=causal,
             softcap=call["softcap"] or 0.0, left_window_size=size - 1 if size > 0 else -1)  # fmt: skip
    assert epsilon is not None
    return call(ops.Reshape, call(ops.Transpose, y, perm=(0, 2, 1, 3)), shape=(0, 0, -1)), *states


def _rotated(call: OnnxCall, x: Node, before: Node, rows: Node) -> Node:
    """Heads of new rows, turned by where they are in their sequence."""
    positions, cos, sin = call.input(9), call.input(7), call.input(8)
    if cos is None or sin is None:
        raise call.error("do_rotary needs cos_cache and sin_cache", "export the model again")
    if positions is None:
        steps = call(ops.Range, start=0, limit=call(ops.Reshape, rows, shape=()), delta=1, dtype=int64)
        positions = call(ops.Add, call(ops.Unsqueeze, before, axes=(1,)), steps)
    pairs = _width(call, cos)
    fields = {"interleaved": call["rotary_interleaved"], "rotary_embedding_dim": 2 * pairs}
    return call(ops.RotaryEmbedding, x, cos, sin, positions, given=ops.RotaryEmbedding.inputs, **fields)


def _rank(call: OnnxCall, x: Node) -> int:
    return call.type(x, "attention").rank


def _width(call: OnnxCall, x: Node | None) -> int:
    """The extent of the last axis, by which weights and biases are split."""
    shape = () if x is None else call.type(x, "attention").shape
    if not shape or not isinstance(shape[-1], int):
        raise call.error("the last axis must have a known extent", "export the model with a fixed hidden size")
    return int(shape[-1])


def _part(call: OnnxCall, x: Node, start: int, end: int) -> Node:
    return call(ops.Slice, x, starts=(start,), ends=(end,), axes=(-1,))


def _operands(call: OnnxCall, parts: Sequence[Node | None], heads: int) -> list[Node]:
    """Query, key and value `[batch, heads, rows, depth]`."""
    if heads < 1:
        raise call.error(f"num_heads must be positive, got {heads}", "export the model again")
    found: list[Node] = []
    for x in parts:
        if x is None:
            continue
        if (rank := _rank(call, x)) == 4:
            found.append(x)
        elif rank == 3:
            by_heads = call(ops.Reshape, x, shape=(0, 0, heads, -1))
            found.append(call(ops.Transpose, by_heads, perm=(0, 2, 1, 3)))
        elif rank == 5:  # [batch, rows, heads, 2 or 3, depth]
            axes = call(ops.Transpose, x, perm=(0, 2, 1, 3, 4))
            packed = [
                call(ops.Slice, axes, starts=(at,), ends=(at + 1,), axes=(3,)) for at in range(4 - len(found) - 1)
            ]
            found += [call(ops.Squeeze, part, axes=(3,)) for part in packed]
    if len(found) != 3:
        raise call.error("expected query, key and value, packed or apart", "export the model again")
    return found


def _masks(call: OnnxCall, at: int, bias_at: int | None, like: Node) -> Node | None:
    """What is added to the scores: the filter value where a mask has zeros or ends, and a bias."""
    mask, bias, low = call.input(at), None if bias_at is None else call.input(bias_at), call["mask_filter_value"]
    if mask is None:
        return bias
    t, low = call.type(mask, "a mask"), -10000.0 if low is None else low
    if t.rank == 1:
        raise call.error("masks by lengths are not supported", "export the model with a mask of rank 2")
    if t.rank not in (2, 3):
        raise call.error(f"a mask has rank 2 or 3, got {t}", "export the model with a mask of rank 2")
    kept = call(ops.Cast, mask, dtype=boolean)
    shaped = call(ops.Unsqueeze, kept, axes=(1, 2) if t.rank == 2 else (1,))
    added = call(ops.Where, shaped, *[call(ops.CastLike, call.constant(v), like) for v in (0.0, low)])
    return added if bias is None else call(ops.Add, added, bias)


def _attention(
    call: OnnxCall, named: dict[str, Node], mask: Node | None, past: tuple[int, int] | Node | None
) -> list[Node | None]:
    """The result by rows, the keys and the values of all steps, where they are asked for."""
    if mask is not None:
        named["attn_mask"] = mask
    if isinstance(past, Node):
        halves = [call(ops.Slice, past, starts=(at,), ends=(at + 1,), axes=(0,)) for at in (0, 1)]
        named |= {n: call(ops.Squeeze, x, axes=(0,)) for n, x in zip(("past_key", "past_value"), halves, strict=True)}
    elif past is not None:
        given = zip(("past_key", "past_value"), map(call.input, past), strict=True)
        named |= {name: x for name, x in given if x is not None}
    fields = {"given": tuple(named), "scale": call["scale"] or None, "is_causal": call["unidirectional"]}
    y = call(ops.Attention, *named.values(), output="Y", **fields)
    rows = call(ops.Reshape, call(ops.Transpose, y, perm=(0, 2, 1, 3)), shape=(0, 0, -1))
    states = [call(ops.Attention, *named.values(), output=f"present_{name}", **fields) for name in ("key", "value")]
    return [rows, *[state if any(call.asked[1:]) else None for state in states], None]


TRANSLATIONS: dict[str, Translation] = {
    "SimplifiedLayerNormalization": simplified_layer_normalization,
    **{
        f"com.microsoft::{name}": translation
        for name, translation in {
            "Attention": attention,
            "BiasGelu": bias_gelu,
            "EmbedLayerNormalization": embed_layer_normalization,
            "FastGelu": fast_gelu,
            "FusedConv": fused_conv,
            "FusedGemm": fused_gemm,
            "FusedMatMul": fused_matmul,
            "GroupQueryAttention": group_query_attention,
            "Gelu": lambda call: call(ops.Gelu, call[0]),
            "MatMulNBits": matmul_nbits,
            "MultiHeadAttention": multi_head_attention,
            "QAttention": quantized_attention,
            "QuickGelu": quick_gelu,
            "RotaryEmbedding": rotary_embedding,
            "SkipLayerNormalization": skip_layer_normalization,
            "SkipSimplifiedLayerNormalization": skip_layer_normalization,
            "TransposeMatMul": fused_matmul,
        }.items()
    },
}
