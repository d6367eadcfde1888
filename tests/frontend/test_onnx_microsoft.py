"""The operators of com.microsoft, against onnxruntime, which declares them."""

import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from minicc.errors import LoadError
from minicc.frontend import load
from minicc.graph.bind import bind
from minicc.graph.interpret import evaluate

random = np.random.default_rng(0)


def model(op, arrays, outputs, domain="com.microsoft", dims=None, **attributes):
    """A model of one node; an array that is None is an absent input."""
    names = [f"x{k}" if array is not None else "" for k, array in enumerate(arrays)]
    given = {name: array for name, array in zip(names, arrays, strict=True) if name}
    node = helper.make_node(op, names, list(outputs), domain=domain, **attributes)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(a.dtype), (dims or {}).get(name, a.shape))
        for name, a in given.items()
    ]
    graph = helper.make_graph([node], "net", infos, [onnx.ValueInfoProto(name=name) for name in outputs if name])
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8), given


def agree(op, arrays, outputs="y", near=1e-5, **options):
    """What minicc computes is what onnxruntime computes."""
    names = outputs.split(",")
    proto, given = model(op, arrays, names, **options)
    quiet = onnxruntime.SessionOptions()
    quiet.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    expected = onnxruntime.InferenceSession(proto.SerializeToString(), quiet).run(None, given)
    graph = load(proto)
    got = evaluate(bind(graph, shapes={name: a.shape for name, a in given.items()}), given)
    for name, want in zip(filter(None, names), expected, strict=True):
        assert (got[name].dtype, got[name].shape) == (want.dtype, want.shape), name
        np.testing.assert_allclose(got[name], want, rtol=near, atol=near, err_msg=name)


def floats(*shape):
    return random.standard_normal(shape, np.float32)


def test_gelus():
    x, bias = floats(2, 3, 8), floats(8)
    agree("Gelu", [x])
    agree("BiasGelu", [x, bias])
    agree("FastGelu", [x])
    agree("FastGelu", [x, bias])
    agree("QuickGelu", [x])
    agree("QuickGelu", [x], alpha=1.0)


@pytest.mark.parametrize(
    "attributes",
    [{"activation": "Relu"}, {"activation": "Tanh"}, {"activation": "Sigmoid"},
     {"activation": "LeakyRelu", "activation_params": [0.1]}, {"activation": "Clip", "activation_params": [-0.5, 1.5]},
     {"activation": "HardSigmoid", "activation_params": [0.2, 0.4]}],
)  # fmt: skip
def test_fused_convolutions(attributes):
    x, w, b = floats(1, 4, 6, 7), floats(8, 2, 3, 3), floats(8)
    agree("FusedConv", [x, w, b], group=2, pads=[1, 1, 1, 1], near=1e-4, **attributes)
    if attributes["activation"] == "Relu":
        agree("FusedConv", [x, w, b, floats(1, 8, 6, 7)], group=2, pads=[1, 1, 1, 1], near=1e-4, **attributes)


def test_fused_gemm():
    a, b, c = floats(3, 4), floats(5, 4), floats(5)
    agree("FusedGemm", [a, b, c], transB=1, alpha=0.5, activation="Relu")
    agree("FusedGemm", [a, b], transB=1, activation="LeakyRelu", activation_alpha=0.25)


@pytest.mark.parametrize(("trans", "batch"), list(itertools.product((0, 1), repeat=2)))
def test_fused_products(trans, batch):
    a, b = floats(2, 3, 4, 5), floats(2, 3, 5, 6)
    order = (2, 0, 1, 3) if batch else (0, 1, 2, 3)
    put = a.transpose(order) if not trans else a.swapaxes(2, 3).transpose(order) if batch else a.swapaxes(2, 3)
    if trans and batch:  # columns stand first, and rows last
        put = a.transpose(3, 0, 1, 2)
    agree("FusedMatMul", [np.ascontiguousarray(put), b], transA=trans, transBatchA=batch, alpha=0.5)
    agree("FusedMatMul", [a, np.ascontiguousarray(b.swapaxes(2, 3))], transB=1)


def test_layer_normalizations():
    x, skip, gamma, beta, bias = floats(2, 3, 8), floats(2, 3, 8), floats(8), floats(8), floats(8)
    agree("SkipLayerNormalization", [x, skip, gamma, beta, bias], "y,,,sum", epsilon=1e-5)
    agree("SkipLayerNormalization", [x, skip, gamma])
    agree("SkipLayerNormalization", [x, skip[0], gamma, beta])
    agree("SkipSimplifiedLayerNormalization", [x, skip, gamma, bias], "y,,,sum")
    agree("SimplifiedLayerNormalization", [x, gamma], domain="")


def test_embeddings():
    ids = random.integers(0, 9, (2, 5)).astype(np.int32)
    tables = floats(9, 8), floats(7, 8), floats(2, 8)
    vectors, segments = (floats(8), floats(8)), (ids % 2).astype(np.int32)
    mask = np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    agree("EmbedLayerNormalization", [ids, segments, *tables, *vectors, mask], "y,index")
    agree("EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, *vectors], "y,index,sum")
    places = np.int32([[4, 3, 2, 1, 0]])
    agree("EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, *vectors, None, places], "y,index")
    dims = {"x0": ("batch", "rows")}
    agree("EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, *vectors], "y,index", dims=dims)


def test_rotary_embeddings():
    cos, sin, places = floats(9, 4), floats(9, 4), random.integers(0, 9, (2, 3))
    for interleaved in (0, 1):
        agree("RotaryEmbedding", [floats(2, 3, 16), places, cos, sin], interleaved=interleaved)
        agree("RotaryEmbedding", [floats(2, 2, 3, 8), places, cos, sin], interleaved=interleaved)
    agree("RotaryEmbedding", [floats(2, 3, 16), np.int64([5]), cos, sin])
    agree("RotaryEmbedding", [floats(2, 3, 32), places, cos, sin], num_heads=2, rotary_embedding_dim=8)


def test_multi_head_attention():
    q, k, v, bias = floats(2, 3, 8), floats(2, 5, 8), floats(2, 5, 8), floats(24)
    mask, added = np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]), floats(1, 2, 3, 5)
    agree("MultiHeadAttention", [q, k, v], num_heads=2)
    agree("MultiHeadAttention", [q, k, v, bias, mask, added], num_heads=2, scale=0.25)
    agree("MultiHeadAttention", [q, k, v, None, None, added], num_heads=2)
    agree("MultiHeadAttention", [k, k, v], num_heads=2, unidirectional=1)
    agree("MultiHeadAttention", [q, floats(2, 2, 5, 4), floats(2, 2, 5, 4)], num_heads=2)
    past = [floats(2, 2, 4, 4), floats(2, 2, 4, 4)]
    agree("MultiHeadAttention", [q, q, q, bias, None, None, *past], "y,keys,values", num_heads=2)
    dims = {"x0": ("batch", "rows", 8), "x1": ("batch", "more", 8), "x2": ("batch", "more", 8)}
    agree("MultiHeadAttention", [q, k, v, bias], num_heads=2, dims=dims)


def test_packed_operands_are_those_apart():
    packed = floats(2, 5, 2, 3, 4)
    apart = [packed[:, :, :, at].reshape(2, 5, 8) for at in range(3)]
    results = []
    for arrays in (
        [packed],
        [apart[0], np.ascontiguousarray(packed[:, :, :, 1:])],
        apart,
    ):  # onnxruntime has the last one
        proto, given = model("MultiHeadAttention", arrays, ["y"], num_heads=2)
        results.append(evaluate(load(proto), given)["y"])
    np.testing.assert_allclose(results[0], results[2], rtol=1e-6)
    np.testing.assert_allclose(results[1], results[2], rtol=1e-6)


def test_attention():
    x, weights, bias = floats(2, 5, 6), floats(6, 24), floats(24)
    mask = np.int32([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    agree("Attention", [x, weights, bias], num_heads=2)
    agree("Attention", [x, weights, bias, mask], num_heads=2, near=1e-4)
    agree("Attention", [x, weights, bias, None, None, floats(2, 2, 5, 5)], num_heads=2)
    agree("Attention", [x, weights, bias], num_heads=2, unidirectional=1)
    agree("Attention", [x, floats(6, 20), floats(20)], num_heads=2, qkv_hidden_sizes=[8, 8, 4])
    agree("Attention", [x, weights, bias, None, floats(2, 2, 2, 3, 4)], "y,present", num_heads=2)
    rows = np.tile(mask[:, None], (1, 5, 1))
    agree("Attention", [x, weights, bias, rows], num_heads=2, near=1e-4)


def test_group_query_attention():
    def step(rows, past, lengths, names="y,keys,values", packed=False, **attributes):
        """One call: `past` keys are there already, and with those of this call each sequence has `lengths`."""
        q, k, v = floats(2, rows, 64), floats(2, rows, 32), floats(2, rows, 32)
        states = [floats(2, 2, past, 16), floats(2, 2, past, 16)]  # onnxruntime wants all that it gives
        caches = [floats(64, 8), floats(64, 8)] if attributes.get("do_rotary") else [None, None]
        operands = [np.concatenate([q, k, v], 2), None, None] if packed else [q, k, v]
        arrays = [*operands, *states, np.int32(lengths) - 1, np.array(max(lengths), np.int32), *caches]
        agree("GroupQueryAttention", arrays, names, num_heads=4, kv_num_heads=2, **attributes)

    step(5, 0, [5, 5])
    step(5, 0, [5, 5], do_rotary=1)
    step(1, 6, [7, 7])
    step(1, 6, [7, 7], do_rotary=1, packed=True)
    step(1, 6, [7, 7], local_window_size=3, scale=0.3)
    step(5, 0, [5, 5], local_window_size=2, do_rotary=1, rotary_interleaved=1)
    step(1, 6, [7, 7], softcap=2.0)


@pytest.mark.parametrize(("bits", "block"), [(4, 16), (4, 32), (8, 32), (2, 16)])
def test_products_with_weights_of_few_bits(bits, block):
    rows, columns = 6, 48
    count = -(-columns // block)
    packed = random.integers(0, 256, (rows, count, block * bits // 8)).astype(np.uint8)
    scales = random.uniform(0.1, 0.5, (rows, count)).astype(np.float32)
    zeros = random.integers(0, 256, (rows, -(-count * bits // 8))).astype(np.uint8)
    sizes = {"N": rows, "K": columns, "block_size": block, "bits": bits}
    a = floats(2, 3, columns)
    agree("MatMulNBits", [a, packed, scales], near=1e-4, **sizes)
    agree("MatMulNBits", [a, packed, scales, zeros], near=1e-4, **sizes)
    agree("MatMulNBits", [a, packed, scales, None, None, floats(rows)], near=1e-4, **sizes)


Q = floats(1, 2, 8)


@pytest.mark.parametrize(
    ("op", "arrays", "attributes", "problem"),
    [
        ("FusedConv", [floats(1, 1, 3, 3), floats(1, 1, 3, 3)], {"activation": "Swish"}, "expected an activation"),
        ("MatMulNBits", [Q, np.zeros((4, 1, 8), np.uint8), floats(4, 1)], {"N": 4, "K": 8, "block_size": 17}, "blocks of 16"),
        ("MultiHeadAttention", [Q], {"num_heads": 2}, "query, key and value"),
        ("MultiHeadAttention", [Q, Q, Q], {"num_heads": 0}, "num_heads must be positive"),
        ("MultiHeadAttention", [Q, Q, Q, None, np.int32([2])], {"num_heads": 2}, "masks by lengths"),
        ("Attention", [Q, floats(8, 24)], {"num_heads": 2, "do_rotary": 1}, "rotated rows"),
        ("Attention", [Q, floats(8, 24)], {"num_heads": 2, "qkv_hidden_sizes": [8, 8, 4]}, "add up to 24"),
        ("RotaryEmbedding", [Q, np.int64([0]), floats(4, 4), floats(4, 4)], {"scale": 2.0}, "a scale are not supported"),
    ],
)  # fmt: skip
def test_what_is_not_meant_for_inference_is_refused(op, arrays, attributes, problem):
    with pytest.raises(LoadError, match=problem):
        load(model(op, arrays, ["y"], **attributes)[0])
