"""Attention and RotaryEmbedding against ONNX's reference, whatever their inputs and attributes; how they compile."""

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

import minicc
from minicc.compile import optimize
from minicc.errors import TypeInferenceError
from minicc.frontend import load
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Graph, input
from minicc.ops import Attention, RotaryEmbedding
from minicc.testing.draws import drawn
from minicc.types import DType, TensorType, bfloat16, float32, int64

TYPES = {"float32": 1, "float64": 11}


def onnx_model(op, arrays, outputs):
    fields = {key: getattr(op, key) for key in op.__match_args__ if key not in ("given", "output")}
    fields = {
        key: int(v) if isinstance(v, bool) else TYPES[v.name] if isinstance(v, DType) else v
        for key, v in fields.items()
    }
    if len(arrays[0].shape) == 4:  # of rank 3 alone
        fields |= dict.fromkeys({"q_num_heads", "kv_num_heads"} & set(fields))
    names = [name if name in op.given else "" for name in op.inputs]
    node = helper.make_node(op.name, names, outputs, **{key: v for key, v in fields.items() if v is not None})
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
             for n, a in zip(op.given, arrays, strict=True)]  # fmt: skip
    graph = helper.make_graph([node], "net", infos, [onnx.ValueInfoProto(name=name) for name in outputs if name])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 25)])


def results(op):
    """Those that the reference gives: it cannot leave out one before another."""
    return ["Y"] if op.name == "RotaryEmbedding" else ["Y", "present_key", "present_value", "qk_matmul_output"]


@pytest.mark.parametrize("name", ["Attention", "RotaryEmbedding"])
def test_random_nodes_give_what_the_reference_gives(name):
    for case in range(80):
        op, arrays = drawn(name, case, extremes=False)
        arrays = [np.clip(a, -4, 4) if a.dtype.kind == "f" else a for a in arrays]
        if any(a.dtype.kind == "f" and not np.isfinite(a).all() for a in arrays) or bfloat16.numpy == arrays[0].dtype:
            continue
        proto, given = onnx_model(op, arrays, results(op)), dict(zip(op.given, arrays, strict=True))
        wide = dict(given)
        if "attn_mask" in given:  # of which the reference wants all rows
            rows = arrays[0].shape[-2]
            lead = np.broadcast_shapes(given["attn_mask"].shape[:-1], (rows,))
            wide["attn_mask"] = np.broadcast_to(given["attn_mask"], (*lead, given["attn_mask"].shape[-1]))
        with np.errstate(all="ignore"):
            expected = ReferenceEvaluator(proto).run(None, wide)
        got = evaluate(load(proto), given)
        near = 2e-3 if arrays[0].dtype.itemsize == 2 else 1e-5
        for result, want in zip(results(op), expected, strict=True):
            if result == "qk_matmul_output" and op.softcap and op.qk_matmul_output_mode == 0:
                continue  # the reference gives that of mode 1, against the text and the definition by other operators
            np.testing.assert_allclose(
                got[result], want, rtol=near, atol=near, err_msg=f"{result} of {op}, case {case}"
            )


Q = TensorType(float32, (1, 4, 8, 16))
KV = TensorType(float32, (1, 2, 8, 16))


def kinds(op, *types):
    inputs = tuple(input(name, t) for name, t in zip(op.given, types, strict=True))
    graph = optimize(Graph("main", inputs, (op(*inputs),), ("y",)))
    return [m.op.name for n in graph.nodes for m in getattr(n.op, "body", [n])]


@pytest.mark.parametrize("kv", [Q, KV])
def test_causal_attention_is_one_operator(kv):
    assert "ScaledAttention" in kinds(Attention(is_causal=True), Q, kv, kv)


def test_shared_heads_are_not_repeated():
    found = kinds(Attention(), Q, KV, KV)
    assert "Expand" not in found and "Concat" not in found


def test_a_compiled_step_with_past_keys():
    past = TensorType(float32, (1, 2, 5, 16))
    op = Attention(("Q", "K", "V", "past_key", "past_value"), is_causal=True)
    inputs = tuple(input(name, t) for name, t in zip(op.given, (Q, KV, KV, past, past), strict=True))
    outputs = tuple(minicc.ops.Attention(op.given, output=o, is_causal=True)(*inputs) for o in ("Y", "present_key"))
    graph = Graph("main", inputs, outputs, ("y", "present"))
    arrays = [np.random.default_rng(0).standard_normal(n.shape, np.float32) for n in inputs]
    got = minicc.compile(graph)(*arrays)
    for ours, want in zip(got, evaluate(graph, dict(zip(op.given, arrays, strict=True))).values(), strict=True):
        np.testing.assert_allclose(ours, want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "types", "problem"),
    [
        (Attention(), (Q, KV, Q), "rows and heads of V as of K"),
        (Attention(), (KV, Q, Q), "heads of Q a multiple"),
        (Attention(), (TensorType(float32, (1, 8, 16)),) * 3, "3 with a number of heads"),
        (Attention(q_num_heads=3), (Q, Q, Q), "3 with a number of heads"),
        (Attention(qk_matmul_output_mode=4), (Q, Q, Q), "qk_matmul_output_mode 0 to 3"),
        (Attention(left_window_size=-2), (Q, Q, Q), "size >= 0, or -1"),
        (Attention(softmax_precision=int64), (Q, Q, Q), "softmax_precision must be a float"),
        (Attention(("Q", "K", "V", "past_key")), (Q, Q, Q, Q), "come together"),
        (Attention(("Q", "K", "V", "attn_mask")), (Q, Q, Q, TensorType(float32, (9,))), "attn_mask must broadcast"),
        (Attention(("Q", "K", "V", "attn_mask")), (Q, Q, Q, TensorType(int64, (8, 8))), "attn_mask must be bool"),
        (Attention(("Q", "K", "V", "nonpad_kv_seqlen")), (Q, Q, Q, TensorType(int64, (2,))), "does not fit"),
        (Attention(("Q", "V", "K")), (Q, Q, Q), "expected an input for each"),
        (Attention(output="Z"), (Q, Q, Q), "no result 'Z'"),
        (RotaryEmbedding(), (TensorType(float32, (1, 8, 16)), KV, KV), "3 with num_heads"),
        (RotaryEmbedding(), (Q, KV, KV), r"caches of shape \(1, 8, 8\)"),
        (RotaryEmbedding(rotary_embedding_dim=3), (Q, KV, KV), "an even number"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(op, types, problem):
    with pytest.raises(TypeInferenceError, match=problem):
        op.infer(*types)
