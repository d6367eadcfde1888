"""Fusion side by side: what is the same is found to be, and every difference has a reason from the rules."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from minicc import ops
from minicc.bridge.groups import operators
from minicc.compile import pipeline
from minicc.errors import BridgeError
from minicc.explain import fusion
from minicc.explain.fusion import MARKS, before_fusion, compare_fusion
from minicc.graph import Graph, constant, fuse, input
from minicc.graph.fuse import MOST_NODES
from minicc.graph.ir import Kernel
from minicc.testing.draws import drawn_graph
from minicc.testing.strategies import graphs
from minicc.types import TensorType, float16, float32, int64

x, y = (input(name, TensorType(float32, (4, 6))) for name in "xy")
w = input("w", TensorType(float32, (6, 6)))
half = input("half", TensorType(float16, (4, 6)))
image = input("image", TensorType(float32, (1, 8, 12, 12)))
KERNEL, OTHER = (constant(np.linspace(a, 1, 8 * 8 * 9, dtype=np.float32).reshape(8, 8, 3, 3)) for a in (-1, -2))
relu, exp, neg, add, mul, matmul = ops.Relu(), ops.Exp(), ops.Neg(), ops.Add(), ops.Mul(), ops.MatMul()
conv, pool, total = ops.Conv(padding=(1, 1, 1, 1)), ops.MaxPool((2, 2), (2, 2)), ops.ReduceSum((1,))


def graph_of(*outputs):
    inputs = [n for n in Graph("main", (), outputs, ("",) * len(outputs)).nodes if n.op.name == "Input"]
    return Graph("main", tuple(inputs), outputs, tuple(f"out{k}" for k in range(len(outputs))))


def chain(count, value):
    for _ in range(count):
        value = relu(neg(value))
    return value


SAME = {
    "conv, relu": relu(conv(image, KERNEL)), "diamond": add(exp(relu(x)), neg(relu(x))), "exp, sum": total(exp(x)),
    "relu, pool": pool(relu(image)), "transpose, add": add(ops.Transpose()(x), y.apply(ops.Transpose(), [y])),
    "concat": ops.Concat(1)(relu(x), exp(y)),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_what_is_the_same_has_no_differences(name):
    made = compare_fusion(graph_of(SAME[name]))
    assert {m for r in made.regions for m in r.marks} == {"same"} and not made.differences
    assert "Where they differ" not in str(made)


DIFFERENT = {  # mark; what is said of the first edge that differs
    "sum, exp": (exp(total(x)), "split", "minicc fuses them: Exp is in the epilogue of ReduceSum",
                 "Relax does not: nothing follows ReduceSum in its group, as its pattern is comm-reduce."),
    "relu, softmax": (ops.Softmax()(relu(x)), "split", "minicc fuses them: Softmax is a reduction, which computes what it reads",
                      "the pattern of Softmax (softmax) is out-elementwise-fusable: it takes what follows, never what comes before."),
    "take, relu": (relu(ops.Gather(0)(x, np.array([2, 0]))), "split", "minicc fuses them: Gather is injective",
                   "the pattern of Gather (take) is opaque: it stands alone."),
    "transpose, sum": (total(ops.Transpose()(w)), "split", "minicc fuses them: ReduceSum is a reduction",
                       "Transpose is injective, and the group of ReduceSum has ReduceSum (comm-reduce), which only elementwise and"),
    "argmax, neg": (neg(ops.ArgMax(1)(x)), "merged", "Relax fuses them: ArgMax is out-elementwise-fusable, and Neg is elementwise.",
                    "minicc does not: ArgMax is of the kind opaque, and stands alone."),
    "reshape, relu": (relu(ops.Reshape((24,))(matmul(x, w))), "merged", "Relax fuses them: Reshape (reshape) is injective",
                      "minicc does not: a Reshape at the edge of a kernel moves nothing, and leaves it."),
    "two convs meet": (add(conv(image, KERNEL), conv(image, OTHER)), "regrouped", "Relax fuses them: Conv is out-elementwise-fusable",
                       "the kernels of Conv and Conv meet in Add: it runs with the later of the two in order."),
    "sum of halves": (total(exp(half)), "split", "minicc fuses them", "ReduceSum is 3 steps, of which sum (comm-reduce) runs with Exp"),
    "identity": (relu(ops.Identity()(x)), "same", "minicc fuses them", "Relax does not: Identity is no step at all"),
    "long chain": (chain(MOST_NODES, x), "merged", "Relax fuses them: ", f"together they would be more than {MOST_NODES} operators"),
    "repeats": (ops.Concat(0)(exp(x), ops.Expand((4, 6))(exp(input("r", TensorType(float32, (1, 6)))))), "merged",
                "Relax fuses them: Exp", "minicc does not: Expand needs elements of Exp more than once"),
    "read by a product": (add(neg(exp(x)), matmul(exp(x), w)), "same", "", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", DIFFERENT)
def test_a_difference_says_why(name):
    output, mark, first, second = DIFFERENT[name]
    made = compare_fusion(graph_of(output))
    assert (mark,) in {r.marks for r in made.regions}
    if first:
        why = made.differences[0].why()
        assert first in why and second in why


OURS = {
    "an output of the graph": lambda: graph_of(exp(relu(x)), relu(x)),
    "read outside of the kernel": lambda: graph_of(add(neg(relu(x)), x), matmul(relu(x), w)),
    "which no data movement joins": lambda: graph_of(
        add(matmul(x, w), ops.Transpose()(input("t", TensorType(float32, (6, 4)))))
    ),
    "keeps its shape": lambda: graph_of(add(ops.ReduceSum((0,))(x), y)),
}


@pytest.mark.parametrize("reason", OURS)
def test_reasons_of_minicc(reason):
    made = compare_fusion(OURS[reason]())
    edges = [
        fusion.Edge(i, n, made.partition, made.groupings)
        for n in operators(made.graph)
        for i in n.inputs
        if i in made.partition.of
    ]
    assert any(reason in e.why() for e in edges if not e.in_minicc), [e.why() for e in edges]


AT = [input(name, TensorType(int64, (2, 6))) for name in "ij"]
IN_PARTS = {
    "gather elements": ops.GatherElements(0)(x, AT[0]),
    "the same step twice": ops.GatherElements(0)(ops.GatherElements(0)(x, AT[0]), AT[1]),
}


@pytest.mark.parametrize("name", IN_PARTS)
def test_an_operator_that_tvm_computes_in_several_groups_is_split(name):
    made = compare_fusion(graph_of(IN_PARTS[name]))
    assert {r.marks for r in made.regions} == {("split",)}
    assert {e.producer for e in made.differences if e.is_within} == set(operators(made.graph))
    assert (
        "minicc keeps it whole: GatherElements is one operator, and in one kernel. Relax does not: it computes GatherElements in "
        "6 steps that it does not fuse into one group: less to minimum (elementwise), gather (opaque)."
    ) in made.reasons


def test_the_text_shows_groups_that_end_no_operator():
    text = str(compare_fusion(graph_of(IN_PARTS["gather elements"])))
    assert text.startswith("1 operator: 1 kernel of minicc, 2 groups of Relax (1 split)")
    assert "\n  1. n2 GatherElements\n" in text and "less, add, where, maximum, minimum of n2" in " ".join(text.split())


def test_without_operators_the_summary_ends_after_the_counts():
    made = compare_fusion(graph_of(x))
    assert made.summary == "0 operators: 0 kernels of minicc, 0 groups of Relax" and not made.regions


@pytest.mark.parametrize("wanted", [6, pytest.param(24, marks=pytest.mark.slow)])
def test_every_group_is_in_one_region(wanted):
    """On random graphs, of which many have operators that TVM computes in several groups."""
    several = seen = 0
    for seed in range(48):
        try:
            made = compare_fusion(before_fusion(drawn_graph(seed, 14).graph))
        except BridgeError:  # it has an operator that TVM has not
            continue
        seen += 1
        regions = made.as_json()["regions"]
        found = [g for r in regions for g in r["relax"]["groups"]]
        assert sorted(found) == list(range(len(made.groupings[0].groups)))
        kernels = [k for r in regions for k in r["kernels"]]
        assert sorted(kernels) == list(range(len(made.kernels)))
        assert {m for r in made.regions for m in r.marks} <= {"same", "absent"} or made.differences
        several += any(e.is_within for e in made.differences)
        if seen == wanted:
            break
    assert several > wanted // 4 and seen == wanted


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    graphs(
        max_nodes=8,
        names=[
            "Relu",
            "Exp",
            "Add",
            "Mul",
            "Transpose",
            "Reshape",
            "ReduceSum",
            "ReduceMax",
            "Softmax",
            "MatMul",
            "Concat",
            "Slice",
            "Expand",
        ],
    )
)
def test_both_partitions_cover_every_operator_once_and_every_difference_has_a_reason(example):
    graph = before_fusion(example.graph)
    made = compare_fusion(graph)
    wanted = {made.index[n] for n in operators(graph)}
    ours = [made.index[n] for k in made.kernels for n in k.nodes]
    theirs = [made.index[n] for g in made.groupings[0].groups for n in made.groupings[0].nodes(g)]
    assert sorted(ours) == sorted(wanted) == sorted([*theirs, *(made.index[n] for n in made.groupings[0].absent)])
    assert all(edge.why() and "no rule" not in edge.why() for edge in made.differences)
    assert all(m in MARKS for r in made.regions for m in r.marks)
    assert {m for r in made.regions for m in r.marks} <= {"same", "absent"} or made.differences
    json.dumps(made.as_json())


def test_the_kernels_are_those_of_the_pipeline():
    graph = before_fusion(graph_of(relu(conv(image, KERNEL)), pool(exp(image))))
    made = compare_fusion(graph)
    assert [k.label for k in made.kernels] == [n.op.label for n in fuse(graph).nodes if isinstance(n.op, Kernel)]
    assert set(fusion.LEFT_OUT) < {p.name for p in pipeline().graph}
    assert [n.op.name for n in operators(graph)].count("PackedConv") == 0


def test_the_text_has_both_columns_and_the_reasons():
    text = str(compare_fusion(graph_of(exp(total(relu(x))), ops.Reshape((36,))(w))))
    assert (
        text
        == """\
4 operators: 1 kernel and 1 view of minicc, 3 groups of Relax (1 same, 1 split)

minicc                                                           Relax
relu_reduce_sum_exp                                   split      fused_relu_sum
  n2 Relu, n3 ReduceSum, n4 Exp                                    n2 Relu, n3 ReduceSum
                                                                 tir_exp
                                                                   n4 Exp
(a view)                                              same       reshape
  n5 Reshape                                                       n5 Reshape

Where they differ:
  1. n3 ReduceSum -> n4 Exp
     minicc fuses them: Exp is in the epilogue of ReduceSum, which is elementwise or broadcast and keeps the shape.
     Relax does not: nothing follows ReduceSum in its group, as its pattern is comm-reduce."""
    )


BOTH = ("relay", "relax")
THREE = relu(ops.ReduceMean((1,))(exp(x))), relu(ops.Gather(0)(x, np.array([2, 0])))


@pytest.mark.relay
def test_three_columns():
    assert (
        str(compare_fusion(graph_of(*THREE), BOTH))
        == """\
5 operators: 2 kernels of minicc, 3 groups of Relay (1 same, 1 split), 4 groups of Relax (2 split)

minicc                                     Relay                                      Relax
exp_reduce_mean_relu            split      fused_exp_mean                  split      tir_exp
  n1 Exp, n2 ReduceMean, n3                  n1 Exp, n2 ReduceMean                      n1 Exp
  Relu
                                           fused_nn_relu                              fused_mean_relu
                                             n3 Relu                                    n2 ReduceMean, n3 Relu
gather_relu                     same       fused_take_nn_relu              split      take
  n5 Gather, n6 Relu                         n5 Gather, n6 Relu                         n5 Gather
                                                                                      relu1
                                                                                        n6 Relu

Where they differ:
  1. n1 Exp -> n2 ReduceMean
     minicc fuses them: ReduceMean is a reduction, which computes what it reads on the way. Relay fuses them: ReduceMean
     is comm-reduce, and takes elementwise and broadcast producers. Relax does not: the pattern of ReduceMean (mean) is
     out-elementwise-fusable: it takes what follows, never what comes before.
  2. n2 ReduceMean -> n3 Relu
     minicc fuses them: Relu is in the epilogue of ReduceMean, which is elementwise or broadcast and keeps the shape.
     Relax fuses them: ReduceMean is out-elementwise-fusable, and Relu is elementwise. Relay does not: nothing follows
     ReduceMean in its group, as its pattern is comm-reduce.
  3. n5 Gather -> n6 Relu
     minicc fuses them: Gather is injective, and runs with all that reads it. Relay fuses them: Gather (take) is
     injective, and runs with what reads it. Relax does not: the pattern of Gather (take) is opaque: it stands alone."""
    )


@pytest.mark.relay
def test_json_of_three():
    found = compare_fusion(graph_of(*THREE), BOTH).as_json()
    assert [[g["nodes"] for g in found["groups"][name]] for name in BOTH] == [
        [[1, 2], [3], [5, 6]],
        [[1], [2, 3], [5], [6]],
    ]
    assert found["regions"][1] == {
        "kernels": [1], "relay": {"mark": "same", "groups": [2]}, "relax": {"mark": "split", "groups": [2, 3]}
    }  # fmt: skip
    assert [(d["minicc"], d["relay"], d["relax"]) for d in found["differences"]] == [(1, 1, 0), (1, 0, 1), (1, 1, 0)]


@pytest.mark.relay
def test_an_operator_that_relay_alone_computes_in_several_groups_has_a_reason():
    made = compare_fusion(graph_of(matmul(x, w)), BOTH)
    assert [r.marks for r in made.regions] == [("split", "same")]
    assert list(made.reasons) == [
        "minicc keeps it whole: MatMul is one operator, and in one kernel. Relax keeps it whole: MatMul is one step. Relay does "
        "not: it computes MatMul in 2 steps that it does not fuse into one group: transpose (injective), nn.dense "
        "(out-elementwise-fusable)."
    ]


@pytest.mark.relay
@pytest.mark.parametrize("count", [2, pytest.param(5, marks=pytest.mark.slow)])
def test_every_difference_of_three_has_a_reason(count):
    """On random graphs, and a mark says `same` of all of a region or an edge differs."""
    for seed in range(count):
        made = compare_fusion(before_fusion(drawn_graph(seed, 14).graph), BOTH)
        assert all("no rule" not in why for why in made.reasons)
        assert {m for r in made.regions for m in r.marks} <= {"same", "absent"} or made.differences
        for k, name in enumerate(BOTH):
            found = [g for r in made.as_json()["regions"] for g in r[name]["groups"]]
            assert sorted(found) == list(range(len(made.groupings[k].groups)))


def test_an_operator_that_all_treat_alike_is_explained_too():
    made = compare_fusion(graph_of(relu(exp(x)), relu(ops.Identity()(x))))
    explained = {
        e.producer.op.name: e.why()
        for e in [fusion.Edge(n, n, made.partition, made.groupings) for n in operators(made.graph)]
    }
    assert (
        explained["Exp"]
        == "minicc keeps it whole: Exp is one operator, and in one kernel. Relax keeps it whole: Exp is one step."
    )
    assert explained["Identity"].endswith("Relax keeps it whole: Identity is no step at all.")


def test_the_rules_name_what_relax_makes_of_each_operator():
    rows = compare_fusion(graph_of(exp(total(x)), ops.Identity()(x), ops.GatherElements(0)(x, AT[0]))).patterns()
    assert rows == [["Exp", "elementwise", "tir_exp (elementwise)"], ["GatherElements", "injective", "less to gather (opaque)"],
                    ["Identity", "elementwise", "no step"], ["ReduceSum", "reduction", "sum (comm-reduce)"]]  # fmt: skip


def test_regions_that_are_alike_stand_once_unless_all_are_asked_for():
    made = compare_fusion(graph_of(*[exp(total(ops.LeakyRelu(k / 8)(x))) for k in range(6)]))
    assert (
        made.text().count("leaky_relu_reduce_sum_exp") == 1
        and "\n6 x leaky" in made.text()
        and "and 2 more" in made.text()
    )
    assert made.text(all_regions=True).count("leaky_relu_reduce_sum_exp") == 6 and "more" not in made.text(
        all_regions=True
    )


def test_json_has_every_node_and_every_reason():
    made = compare_fusion(graph_of(exp(total(x))))
    found = made.as_json()
    assert [n["operator"] for n in found["nodes"]] == ["ReduceSum", "Exp"]
    assert found["kernels"] == [{"name": "reduce_sum_exp", "nodes": [1, 2]}]
    assert [g["nodes"] for g in found["groups"]["relax"]] == [[1], [2]]
    assert found["groups"]["relax"][0]["steps"] == [{"node": 1, "name": "sum", "pattern": "comm-reduce"}]
    assert found["regions"] == [{"kernels": [0], "relax": {"mark": "split", "groups": [0, 1]}}]
    (edge,) = found["differences"]
    assert (edge["from"], edge["to"], edge["minicc"], edge["relax"]) == (1, 2, True, False) and edge["why"]
