"""A chain of 5,000 nodes goes through every pass: nothing recurses, nothing is quadratic."""

from collections.abc import Callable

import numpy as np
import pytest
from graph_cases import assert_same, f32, graph_of

from minicc import ops
from minicc.graph import Graph, bind, constant, eliminate_dead_code, expand_composites, fold_constants, fuse, input
from minicc.graph import merge_common_subexpressions, parse, runtime_operands, simplify_graph
from minicc.types import Symbol

LENGTH = 5000


def chain(dim: int | Symbol = 2) -> Graph:
    """A chain with skips: every tenth value is also read by the addition ten steps later."""
    value = skipped = input("x", f32(dim, 2))
    for k in range(LENGTH):
        value = ops.Tanh()(value) if k % 10 else ops.Add()(value, skipped)
        skipped = skipped if k % 10 else value
    return graph_of(value)


def folding() -> Graph:
    value = constant(np.float32([1]))
    for _ in range(LENGTH):
        value = ops.Tanh()(value)
    return graph_of(value)


PASSES: list[Callable[[Graph], object]] = [
    eliminate_dead_code, expand_composites, fold_constants, merge_common_subexpressions, simplify_graph, runtime_operands,
    lambda graph: assert_same(graph, fuse(graph)),
    lambda graph: parse(str(graph)).same_as(graph) or pytest.fail(),
    lambda graph: parse(str(fuse(graph))),
]  # fmt: skip


@pytest.mark.parametrize("change", PASSES)
def test_a_long_chain(change: Callable[[Graph], object]) -> None:
    change(chain())


def test_a_long_chain_is_bound() -> None:
    assert bind(chain(Symbol("n")), {"n": 3}).outputs[0].type == f32(3, 2)


def test_a_long_chain_of_constants_folds() -> None:
    assert len(fold_constants(folding()).nodes) <= 2


def test_a_long_chain_of_matches_simplifies() -> None:
    value = input("x", f32(2, 3))
    for _ in range(LENGTH // 2):
        value = ops.Mul()(ops.Transpose()(value), np.float32(1.0001))
    assert len(simplify_graph(graph_of(value)).nodes) > LENGTH // 2
    value = input("x", f32(2, 3))
    for _ in range(LENGTH):
        value = ops.Identity()(ops.Transpose()(value))
    assert simplify_graph(graph_of(value)).outputs[0] is graph_of(value).inputs[0]
