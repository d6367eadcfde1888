"""Folding, dead code, common sub-expressions and composites, one graph each; all on random graphs."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from graph_cases import assert_same, f32, graph_of, graphs
from hypothesis import given

from minicc import ops
from minicc.graph import Graph, Kernel, Span, constant, eliminate_dead_code, expand_composites, fold_constants, input
from minicc.graph import make, merge_common_subexpressions, verify
from minicc.ir.node import node
from minicc.ops.base import OPERAND, Operator
from minicc.types import Symbol, TensorType

PASSES = [eliminate_dead_code, expand_composites, fold_constants, merge_common_subexpressions]

x, y = input("x", f32(2, 3)), input("y", f32(2, 3))


@pytest.mark.parametrize("change", PASSES, ids=lambda change: change.__name__)
@given(graph=graphs())
def test_random_graphs_keep_their_value_and_settle(change: Callable[[Graph], Graph], graph: Graph) -> None:
    after = change(graph)
    assert_same(graph, after)
    assert change(after) is after


def names(graph: Graph) -> list[str]:
    return [n.op.name for n in graph.nodes]


def test_fold_through_several_operators() -> None:
    weights = ops.Transpose()(ops.Add()(constant(np.float32([[1, 2]])), constant(np.float32(1))))
    after = fold_constants(graph_of(ops.MatMul()(weights, input("a", f32(1, 2)))))
    assert names(after) == ["Input", "Constant", "MatMul"]
    np.testing.assert_array_equal(after.nodes[1].op.data.array, [[2], [3]])


def test_a_small_constant_is_not_blown_up() -> None:
    grown = ops.Expand((1 << 20, 4))(constant(np.float32(1)))
    graph = graph_of(ops.Relu()(grown))
    assert fold_constants(graph) is graph
    kept = ops.Neg()(constant(np.zeros(1 << 19, np.float32)))  # larger than always, but as large as its input
    assert names(fold_constants(graph_of(kept))) == ["Constant"]


def test_a_large_value_on_the_way_to_a_small_one_is_no_obstacle() -> None:
    grown = ops.Reshape((1, 800, 800))(ops.Expand((800, 800))(constant(np.float32(2))))
    few = ops.Gather(2)(ops.Gather(1)(grown, constant(np.array([3, 7]))), constant(np.array([5])))
    made = fold_constants(graph_of(ops.Add()(few, input("x", f32(1, 2, 1)))))
    assert names(made) == ["Input", "Constant", "Add"]
    np.testing.assert_array_equal(made.nodes[1].array, np.full((1, 2, 1), 2, np.float32))
    both = fold_constants(graph_of(ops.Add()(few, input("x", f32(1, 2, 1))), ops.Relu()(grown)))
    assert names(both).count("Expand") == 1 and names(both).count("Gather") == 0


def test_an_operator_without_inputs_is_folded() -> None:
    assert names(fold_constants(graph_of(make(ops.Range(0, 3, 1), ())))) == ["Constant"]


@node
class Failing(Operator):
    def infer(self, x: TensorType) -> TensorType:
        return x

    def numpy(self, x: Any) -> Any:
        raise ValueError


def test_what_cannot_be_computed_is_left_alone() -> None:
    graph = graph_of(Failing()(constant(np.zeros(2, np.float32))))
    assert fold_constants(graph) is graph


def test_what_is_not_bound_is_left_alone() -> None:
    symbolic = input("s", f32(Symbol("n"), 1, 2, 2))
    shape = input("shape", TensorType(ops.Shape()(symbolic).dtype, (2,)))
    graph = graph_of(ops.Reshape(OPERAND)(symbolic, shape), ops.DepthToSpace(1)(ops.Reshape(OPERAND)(symbolic, shape)))
    for change in PASSES:
        assert change(graph) is graph


def test_merge_commuted() -> None:
    graph = graph_of(ops.Sub()(ops.Mul()(ops.Add()(x, y), x), ops.Mul()(x, ops.Add()(y, x))))
    assert names(merge_common_subexpressions(graph)) == ["Input", "Input", "Add", "Mul", "Sub"]
    graph = graph_of(ops.Add()(ops.Sub()(x, y), ops.Sub()(y, x)))
    assert merge_common_subexpressions(graph) is graph


def test_equal_constants_are_one_node() -> None:
    assert constant(np.float32([1, 2])) is constant(np.float32([1, 2]))
    assert constant(np.float32([0.0])) is not constant(np.float32([-0.0]))
    assert constant(np.float32([0])) is not constant(np.int32([0]))


def test_unread_inputs_of_kernels_go_and_those_of_the_graph_stay() -> None:
    p, q = input("p0", f32(2, 3)), input("p1", f32(2, 3))
    kernel = Kernel("relu", Graph("relu", (p, q), (ops.Relu()(q),), ("out",)))
    graph = Graph("main", (x, y), (kernel(ops.Exp()(x), ops.Neg()(y)),), ("out",))
    after = eliminate_dead_code(graph)
    assert names(after) == ["Input", "Input", "Neg", "Kernel"]
    assert_same(graph, after)


@pytest.mark.parametrize("graph", [
    graph_of(ops.Gemm(0.5, 2.0, True, True)(input("a", f32(3, 2)), input("b", f32(4, 3)), input("c", f32(4)))),
    graph_of(ops.DepthToSpace(2)(input("a", f32(1, 4, 2, 3)))),
    graph_of(ops.SpaceToDepth(2)(input("a", f32(1, 1, 4, 6)))),
])  # fmt: skip
def test_composites(graph: Graph) -> None:
    after = expand_composites(graph)
    assert not any(n.op.composite for n in after.nodes)
    assert_same(graph, after, exact=False)


def test_definitions_keep_the_span() -> None:
    made = make(ops.DepthToSpace(2), (input("a", f32(1, 4, 5, 3)),))
    after = expand_composites(graph_of(made).located({made: Span("m.onnx", "shuffle")}))
    assert {after.spans[n].name for n in after.nodes[1:]} == {"shuffle"}


def test_graphs_do_not_grow_inputs() -> None:
    graph = Graph("main", (x, y), (ops.Exp()(x),), ("out",))
    for change in PASSES:
        assert change(graph).inputs == (x, y)
        verify(change(graph))
