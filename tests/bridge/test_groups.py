"""What FuseOps makes of small graphs, in Relax and in Relay: facts about TVM, in terms of our nodes."""

import numpy as np
import pytest

from minicc import ops
from minicc.bridge import relax_groups as module
from minicc.bridge.groups import MAX_DEPTH, Pattern, operators
from minicc.bridge.relax_groups import relax_groups
from minicc.bridge.relay_groups import relay_groups
from minicc.errors import BridgeError
from minicc.graph import Graph, constant, input
from minicc.testing.draws import drawn_graph
from minicc.types import TensorType, float16, float32

CHANNELS = constant(np.linspace(-1, 1, 8, dtype=np.float32).reshape(1, 8, 1, 1))
KERNEL = constant(np.linspace(-1, 1, 8 * 8 * 9, dtype=np.float32).reshape(8, 8, 3, 3))
OTHER = constant(np.linspace(-2, 1, 8 * 8 * 9, dtype=np.float32).reshape(8, 8, 3, 3))
VECTOR = constant(np.linspace(-1, 1, 6, dtype=np.float32))
x, y = (input(name, TensorType(float32, (4, 6))) for name in "xy")
w = input("w", TensorType(float32, (6, 6)))
image = input("image", TensorType(float32, (1, 8, 12, 12)))
relu, exp, neg, add, matmul = ops.Relu(), ops.Exp(), ops.Neg(), ops.Add(), ops.MatMul()
conv, pool = ops.Conv(padding=(1, 1, 1, 1)), ops.MaxPool((2, 2), (2, 2))


def rows(op):
    return op(axes=(1,), keepdims=True)


def chain(count, value):
    for _ in range(count):
        value = relu(neg(value))
    return value


PARTITIONS = {  # a graph's output -> the operators of each group
    "conv, bias, relu": (relu(add(conv(image, KERNEL), CHANNELS)), ["Add Conv Relu"]),
    "two convs meet": (add(conv(image, KERNEL), conv(image, OTHER)), ["Add Conv", "Conv"]),
    "diamond": (add(exp(relu(x)), neg(relu(x))), ["Add Exp Neg Relu"]),
    "exp, sum": (rows(ops.ReduceSum)(exp(x)), ["Exp ReduceSum"]),
    "sum, exp": (exp(rows(ops.ReduceSum)(x)), ["Exp", "ReduceSum"]),
    "mean, relu": (relu(rows(ops.ReduceMean)(x)), ["ReduceMean Relu"]),
    "transpose, add": (add(ops.Transpose()(x), ops.Transpose()(y)), ["Add Transpose Transpose"]),
    "relu, matmul": (matmul(relu(x), w), ["MatMul", "Relu"]),
    "matmul, softmax, relu": (relu(ops.Softmax()(matmul(x, w))), ["MatMul", "Relu Softmax"]),
    "matmul, reshape, relu": (relu(ops.Reshape((6, 4))(matmul(x, w))), ["MatMul", "Relu Reshape"]),
    "layer norm, relu": (relu(ops.LayerNormalization()(x, VECTOR, VECTOR)), ["LayerNormalization Relu"]),
    "pool, relu": (relu(pool(image)), ["MaxPool Relu"]),
    "relu, pool": (pool(relu(image)), ["MaxPool", "Relu"]),
    "relu and exp, concat": (ops.Concat(1)(relu(x), exp(y)), ["Concat Exp Relu"]),
    "exp, argmax": (ops.ArgMax(1)(exp(x)), ["ArgMax", "Exp"]),
    "take, relu": (relu(ops.Gather(0)(x, np.array([2, 0]))), ["Gather", "Relu"]),
    "slice, relu": (relu(ops.Slice((0,), (2,), (0,))(x)), ["Relu Slice"]),
    "pad, conv": (ops.Conv()(ops.Pad((0, 0, 1, 1, 0, 0, 1, 1))(image), KERNEL), ["Conv", "Pad"]),
}


def graph_of(*outputs):
    inputs = [n for n in Graph("main", (), outputs, ("",) * len(outputs)).nodes if n.op.name == "Input"]
    return Graph("main", tuple(inputs), outputs, tuple(f"out{k}" for k in range(len(outputs))))


def partition_of(grouping):
    """The operators of each group, as words; what has no step stands alone in brackets."""
    found = [" ".join(sorted(n.op.name for n in grouping.nodes(g))) for g in grouping.groups]
    return sorted([*filter(None, found), *(f"({n.op.name})" for n in grouping.absent)])


IN_RELAY = {"mean, relu": ["ReduceMean", "Relu"], "take, relu": ["Gather Relu"]}  # those that differ


@pytest.mark.parametrize("name", PARTITIONS)
def test_relax_groups(name):
    output, expected = PARTITIONS[name]
    assert partition_of(relax_groups(graph_of(output))) == expected


@pytest.mark.relay
@pytest.mark.parametrize("name", PARTITIONS)
def test_relay_groups(name):
    output, expected = PARTITIONS[name]
    assert partition_of(relay_groups(graph_of(output))) == IN_RELAY.get(name, expected)


@pytest.mark.relay
def test_every_operator_of_a_random_graph_is_in_one_group_of_relay_or_folded():
    """And every group keeps the rules of its patterns."""
    seen = 0
    for seed in range(12):
        graph = drawn_graph(seed, 14).graph
        try:
            grouping = relay_groups(graph)
        except BridgeError:  # it has an operator that TVM has not
            continue
        seen += 1
        assert_is_partition(grouping, graph)
        for patterns in ([s.pattern for s in g.steps] for g in grouping.groups):
            assert Pattern.OPAQUE not in patterns or len(patterns) == 1
            assert Pattern.COMM_REDUCE not in patterns[:-1]
            assert sum(p in (Pattern.COMM_REDUCE, Pattern.OUT_ELEMENTWISE_FUSABLE) for p in patterns) <= 1
    assert seen >= 6


def assert_is_partition(grouping, graph):
    made = [n for g in grouping.groups for n in grouping.nodes(g)]
    assert sorted(map(id, [*made, *grouping.absent])) == sorted(map(id, operators(graph)))


@pytest.mark.parametrize("name", PARTITIONS)
def test_every_operator_is_in_one_group(name):
    graph = graph_of(PARTITIONS[name][0])
    grouping = relax_groups(graph)
    assert_is_partition(grouping, graph)
    assert not grouping.absent


PATTERNS = {
    relu(x): Pattern.ELEMENTWISE, add(x, x): Pattern.ELEMENTWISE, ops.Transpose()(x): Pattern.INJECTIVE,
    rows(ops.ReduceSum)(x): Pattern.COMM_REDUCE, rows(ops.ReduceMean)(x): Pattern.OUT_ELEMENTWISE_FUSABLE,
    matmul(x, w): Pattern.OUT_ELEMENTWISE_FUSABLE, ops.Softmax()(x): Pattern.OUT_ELEMENTWISE_FUSABLE,
    pool(image): Pattern.OUT_ELEMENTWISE_FUSABLE, ops.Gather(0)(x, np.array([1])): Pattern.OPAQUE,
    ops.TopK(2)(x): Pattern.LIBRARY,
}  # fmt: skip


@pytest.mark.parametrize("node", PATTERNS, ids=lambda n: n.op.name)
def test_patterns(node):
    (step,) = relax_groups(graph_of(node)).steps[node]
    assert step.pattern is PATTERNS[node]


RELAY_PATTERNS = {
    add(x, x): {"add": Pattern.BROADCAST}, rows(ops.ReduceMean)(x): {"mean": Pattern.COMM_REDUCE},
    ops.Softmax()(x): {"nn.softmax": Pattern.OUT_ELEMENTWISE_FUSABLE}, ops.TopK(2)(x): {"topk": Pattern.OPAQUE},
    ops.Gather(0)(x, np.array([1])): {"take": Pattern.INJECTIVE},
    matmul(x, w): {"transpose": Pattern.INJECTIVE, "nn.dense": Pattern.OUT_ELEMENTWISE_FUSABLE},
}  # fmt: skip


@pytest.mark.relay
@pytest.mark.parametrize("node", RELAY_PATTERNS, ids=lambda n: n.op.name)
def test_patterns_of_relay(node):
    assert {s.name: s.pattern for s in relay_groups(graph_of(node)).steps[node]} == RELAY_PATTERNS[node]


@pytest.mark.relay
def test_the_parts_of_a_normalization_belong_to_it():
    """SimplifyInference drops the spans of a layer_norm; the mean that follows it is another's."""
    norm = ops.LayerNormalization()(x, VECTOR, VECTOR)
    mean = rows(ops.ReduceMean)(norm)
    batch = ops.BatchNormalization()(image, *[constant(np.full(8, k, np.float32)) for k in (2, 3, 4, 5)])
    grouping = relay_groups(graph_of(relu(mean), relu(batch)))
    assert [s.name for s in grouping.steps[norm]][:2] == ["mean", "variance"] and len(grouping.parts[norm]) == 3
    assert [s.name for s in grouping.steps[mean]] == ["mean"] and grouping.home[mean] is grouping.home[norm]
    assert [s.name for s in grouping.steps[batch]] == ["multiply", "add"], "the rest is folded"


@pytest.mark.relay
def test_what_relay_folds_is_absent():
    grouping = relay_groups(graph_of(relu(ops.Identity()(exp(VECTOR)))))
    assert [n.op.name for n in grouping.absent] == ["Exp", "Identity", "Relu"] and not grouping.groups


def test_patterns_print_as_tvm_writes_them():
    assert [str(p) for p in Pattern][3:5] == ["comm-reduce", "out-elementwise-fusable"]


def test_a_group_has_at_most_256_steps():
    grouping = relax_groups(graph_of(chain(150, x)))
    assert [len(g.steps) for g in grouping.groups] == [MAX_DEPTH, 300 - MAX_DEPTH]


@pytest.mark.relay
def test_a_group_of_relay_has_as_many():
    grouping = relay_groups(graph_of(chain(150, x)))
    assert [len(g.steps) for g in grouping.groups] == [MAX_DEPTH, 300 - MAX_DEPTH]


def test_the_same_function_on_other_values_is_told_apart():
    """Both branches call the same TIR functions, on other weights: each group has the nodes of one branch."""
    branches = [relu(conv(image, KERNEL)), relu(conv(image, OTHER))]
    grouping = relax_groups(graph_of(*branches, ops.Concat(1)(*map(pool, branches))))
    for branch in branches:
        assert grouping.home[branch] is grouping.home[branch.inputs[0]]
    assert grouping.home[branches[0]] is not grouping.home[branches[1]]


def test_what_has_no_step_is_absent():
    grouping = relax_groups(graph_of(relu(ops.Identity()(exp(x)))))
    assert [n.op.name for n in grouping.absent] == ["Identity"]
    assert relax_groups(graph_of(VECTOR)).groups == ()


def test_an_operator_may_be_cut_in_two():
    """Sums of half floats are made in single precision: nothing follows a reduction, so the cast back is alone."""
    half = input("half", TensorType(float16, (4, 6)))
    output = rows(ops.ReduceSum)(exp(half))
    grouping = relax_groups(graph_of(output))
    first, last = grouping.groups[0], grouping.home[output]
    assert {s.node.op.name for s in first.steps} == {"Exp", "ReduceSum"} and grouping.nodes(first) == output.inputs
    assert [s.pattern for s in last.steps] == [Pattern.ELEMENTWISE] and len(grouping.steps[output]) == 3


def test_a_failure_of_tvm_is_an_error(monkeypatch):
    graph = graph_of(relu(x))
    function = module.to_relax(graph)["main"]
    monkeypatch.setattr(module, "to_relax", lambda _: function)  # which is no module
    with pytest.raises(BridgeError, match="TVM fails"):
        relax_groups(graph)
