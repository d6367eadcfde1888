"""Kernels: what joins, what must not, and that nothing changes its value."""

import numpy as np
import pytest
from graph_cases import arrays_for, assert_same, f32, graph_of, graphs
from hypothesis import given

from minicc import ops
from minicc.errors import GraphError
from minicc.graph import Graph, Kernel, Node, Span, constant, evaluate, fuse, input, make
from minicc.graph.fuse import MOST_INPUTS, MOST_NODES, _snake
from minicc.graph.ir import Constant
from minicc.ops.base import Kind
from minicc.types import Symbol, TensorType, boolean, float64

x, y = input("x", f32(2, 3)), input("y", f32(2, 3))
IMAGE = input("image", f32(1, 3, 8, 8))
WEIGHTS = np.linspace(-1, 1, 81, dtype=np.float32).reshape(3, 3, 3, 3)


def conv(image: Node, weights: np.ndarray = WEIGHTS) -> Node:
    return ops.Conv(padding=(1, 1, 1, 1))(image, weights)


def bias(n: Node) -> Node:
    return ops.Add()(n, np.linspace(0, 1, n.shape[1], dtype=np.float32).reshape(-1, 1, 1))


def kernels(*outputs: Node) -> list[str]:
    """The labels of the kernels, in order, and `Reshape` for one that is alone. The value must stay."""
    graph = graph_of(*outputs)
    fused = fuse(graph)
    assert_same(graph, fused)
    check(fused)
    return [
        n.op.label if isinstance(n.op, Kernel) else n.op.name
        for n in fused.nodes
        if n.op.name not in ("Input", "Constant")
    ]


def check(fused: Graph) -> None:
    """What `fuse` ensures."""
    for n in fused.nodes:
        assert n.op.name in ("Input", "Constant", "Kernel", "Reshape")
        if not isinstance(n.op, Kernel):
            continue
        body = [b for b in n.op.body.nodes if b.op.name not in ("Input", "Constant")]
        assert 1 <= len(body) <= MOST_NODES
        assert len(body) == 1 or len(n.inputs) <= MOST_INPUTS
        assert sum(b.op.kind is Kind.ANCHOR for b in body) <= 1
        assert n.op.body.input_names == tuple(f"p{k}" for k in range(len(n.inputs)))
        assert all(b.type.rank == 0 for b in n.op.body.nodes if isinstance(b.op, Constant))
        if any(b.op.kind is Kind.OPAQUE for b in body):
            assert len(body) == 1


@given(graphs(most=20))
def test_random_graphs_keep_their_value(graph: Graph) -> None:
    fused = fuse(graph)
    check(fused)
    assert_same(graph, fused)
    assert fuse(fused).same_as(fused)


def test_chains_and_diamonds_merge() -> None:
    assert kernels(ops.Exp()(ops.Neg()(x))) == ["neg_exp"]
    a = ops.Exp()(x)
    assert kernels(ops.Add()(ops.Neg()(a), ops.Relu()(a))) == ["exp_neg_relu_add"]
    assert kernels(ops.Add()(ops.Neg()(x), ops.Relu()(y))) == ["neg_relu_add"]


def test_an_output_ends_its_kernel() -> None:
    a = ops.Exp()(x)
    assert kernels(a, ops.Neg()(a)) == ["exp", "neg"]


def test_an_anchor_takes_its_epilogue() -> None:
    assert kernels(ops.Relu()(bias(conv(IMAGE)))) == ["conv_add_relu"]
    assert kernels(ops.Relu()(ops.MatMul()(x, np.ones((3, 4), np.float32)))) == ["matmul_relu"]


def test_an_epilogue_with_two_paths() -> None:
    a = conv(IMAGE)
    assert kernels(ops.Mul()(a, ops.Sigmoid()(a))) == ["conv_sigmoid_mul"]


def test_two_anchors_never_share_a_kernel() -> None:
    assert kernels(conv(ops.Relu()(conv(IMAGE)))) == ["conv_relu", "conv"]


def test_a_residual_addition_joins_the_later_convolution() -> None:
    first = ops.Relu()(conv(IMAGE))
    block = ops.Relu()(ops.Add()(conv(ops.Relu()(bias(conv(first)))), first))
    assert kernels(block) == ["conv_relu", "conv_add_relu", "conv_add_relu"]
    left, right = conv(IMAGE), conv(ops.Exp()(IMAGE), WEIGHTS + 1)
    assert kernels(ops.Add()(left, right)) == ["exp", "conv", "conv_add"]


def test_nothing_is_computed_in_the_input_of_an_anchor() -> None:
    assert kernels(conv(ops.Exp()(IMAGE))) == ["exp", "conv"]
    assert kernels(ops.MatMul()(ops.Transpose()(x), y)) == ["transpose", "matmul"]


def test_an_epilogue_keeps_the_shape() -> None:
    wide = ops.Add()(ops.MatMul()(x, np.ones((3, 4), np.float32)), np.ones((5, 2, 4), np.float32))
    assert kernels(wide) == ["matmul", "add"]
    assert kernels(ops.Transpose()(ops.MatMul()(x, np.ones((3, 4), np.float32)))) == ["matmul", "transpose"]


def test_the_other_operand_of_an_epilogue() -> None:
    product = ops.MatMul()(x, np.ones((3, 3), np.float32))
    assert kernels(ops.Add()(product, ops.Exp()(y))) == ["matmul_exp_add"]
    row = ops.Exp()(input("row", f32(1, 3)))  # would be computed once per row of the product
    assert kernels(ops.Add()(product, row)) == ["exp", "matmul_add"]


def test_reductions_take_prologue_and_epilogue() -> None:
    assert kernels(ops.Sqrt()(ops.ReduceSum((1,))(ops.Mul()(x, x)))) == ["mul_reduce_sum_sqrt"]
    assert kernels(ops.ReduceSum((1,))(ops.ReduceSum((0,))(x))) == ["reduce_sum", "reduce_sum"]
    assert kernels(ops.ReduceSum((1,))(ops.Transpose()(x))) == ["transpose_reduce_sum"]


def test_a_normalization_by_hand() -> None:
    mean = ops.ReduceMean((1,))(x)
    centered = ops.Sub()(x, mean)
    variance = ops.ReduceMean((1,))(ops.Mul()(centered, centered))
    deviation = ops.Sqrt()(ops.Add()(variance, np.float32(1e-5)))
    assert kernels(ops.Div()(centered, deviation)) == ["reduce_mean", "sub", "mul_reduce_mean_add_sqrt", "div"]


def test_nothing_is_computed_twice() -> None:
    gate = ops.Sigmoid()(input("gate", f32(1, 3, 1, 1)))
    assert kernels(ops.Mul()(IMAGE, gate)) == ["sigmoid", "mul"]
    assert kernels(ops.Expand((4, 2, 3))(ops.Exp()(x))) == ["exp", "expand"]
    assert kernels(ops.Concat(0)(ops.Exp()(x), y)) == ["exp_concat"]


def test_a_value_read_by_two_kernels_is_its_own() -> None:
    a = ops.Exp()(IMAGE)
    assert kernels(conv(a), ops.Neg()(a)) == ["exp", "conv", "neg"]


def test_a_reshape_is_free_at_the_edge_and_inside() -> None:
    assert kernels(ops.Reshape((6,))(x)) == ["Reshape"]
    assert kernels(ops.Reshape((6,))(ops.Exp()(x))) == ["exp", "Reshape"]
    assert kernels(ops.Exp()(ops.Reshape((6,))(x))) == ["Reshape", "exp"]
    assert kernels(ops.Neg()(ops.Reshape((6,))(ops.Exp()(x)))) == ["exp_reshape_neg"]
    assert kernels(ops.ReduceSum((0,))(ops.Reshape((6,))(x))) == ["Reshape", "reduce_sum"]
    a = ops.Reshape((6,))(x)
    assert kernels(ops.Add()(ops.Exp()(a), ops.Neg()(a))) == ["Reshape", "exp_neg_add"]


def test_opaque_stands_alone() -> None:
    opaque = ops.CumSum(0)
    assert opaque.kind is Kind.OPAQUE
    assert kernels(ops.Relu()(opaque(ops.Exp()(x)))) == ["exp", "cum_sum", "relu"]


def test_identical_kernels_are_one() -> None:
    value = input("image", f32(1, 3, 8, 8))
    for _ in range(3):
        value = ops.Relu()(bias(conv(value)))
    fused = fuse(graph_of(value))
    assert len({n.op for n in fused.nodes if isinstance(n.op, Kernel)}) == 1


def test_scalars_are_in_the_body_and_arrays_are_inputs() -> None:
    fused = fuse(graph_of(ops.Add()(ops.Mul()(x, np.full((1, 1), 2, np.float32)), np.ones(3, np.float32))))
    kernel = fused.outputs[0]
    assert len(kernel.inputs) == 2
    (scalar,) = [n for n in kernel.op.body.nodes if isinstance(n.op, Constant)]
    assert scalar.shape == ()
    high = ops.Mul()(input("v", f32(3)), np.full((1, 1), 2, np.float32))  # 0-d it would not give rank 2
    assert len(fuse(graph_of(high)).outputs[0].inputs) == 2
    pair = ops.Add()(constant(np.ones((1, 1), np.float32)), np.ones(1, np.float32))
    assert kernels(pair) == ["add"]
    assert kernels(ops.Concat(0)(input("v", f32(3)), np.ones(1, np.float32))) == ["concat"]


def test_kernels_are_bounded() -> None:
    value = x
    for _ in range(100):
        value = ops.Tanh()(value)
    assert len(kernels(value)) == 4
    many: Node = input("v0", f32(2))
    for k in range(1, 30):
        many = ops.Add()(many, input(f"v{k}", f32(2)))
    assert 3 <= len(kernels(many)) <= 4
    wide = ops.Concat(0)(*[ops.Exp()(input(f"v{k}", f32(2))) for k in range(20)])
    assert kernels(wide) == ["exp"] * 20 + ["concat"]


def test_labels() -> None:
    assert kernels(ops.LeakyRelu()(ops.Where()(input("c", TensorType(boolean, (2, 3))), x, y))) == ["where_leaky_relu"]
    value = x
    for _ in range(20):
        value = ops.HardSigmoid()(value)
    (label,) = kernels(value)
    assert label == "hard_sigmoid_hard_sigmoid_hard_sigmoid_and_17_more"


@pytest.mark.parametrize(("name", "label"), [
    ("MatMul", "matmul"), ("PackedMatMul", "packed_matmul"), ("IsNaN", "is_nan"), ("GatherND", "gather_nd"),
    ("ReduceL1", "reduce_l1"), ("LRN", "lrn"), ("PRelu", "prelu"), ("TopK", "top_k"),
])  # fmt: skip
def test_spelling(name: str, label: str) -> None:
    assert _snake(name) == label


def test_a_vector_of_one_stays_a_vector_where_the_operator_insists() -> None:
    one = input("v", f32(1))
    value = ops.BatchNormalization()(input("w", f32(2, 1)), one, one, one, np.ones(1, np.float32))
    assert kernels(value) == ["batch_normalization"]


def test_a_kernel_has_the_span_of_its_heart() -> None:
    anchor = make(ops.MatMul(), (x, constant(np.full((3, 2), 7, np.float32))))
    fused = fuse(graph_of(ops.Relu()(anchor)).located({anchor: Span("m.onnx", "fc")}))
    assert fused.spans == {fused.outputs[0]: Span("m.onnx", "fc")}
    assert not fused.outputs[0].op.body.spans


def test_an_unbound_graph_is_refused() -> None:
    with pytest.raises(GraphError, match="not known before every symbol"):
        fuse(graph_of(ops.Relu()(ops.Add()(input("s", f32(Symbol("n"))), input("t", f32(Symbol("m")))))))


def test_evaluates_in_other_dtypes() -> None:
    z = input("z", TensorType(float64, (3,)))
    graph = graph_of(ops.Cast(f32(1).dtype)(ops.Exp()(z)))
    assert evaluate(fuse(graph), arrays_for(graph))["out0"].dtype == np.float32
