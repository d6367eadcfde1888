"""The same graph through every stage gives the same answer: references, loop programs, machine code."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc.ops
from minicc.graph import ir
from minicc.ops.base import REGISTRY
from minicc.testing.oracle import agree
from minicc.testing.strategies import graphs, operators
from minicc.types import TensorType

assert minicc.ops  # registers every operator
NAMES = sorted(REGISTRY)


@pytest.mark.slow
@given(graphs(max_nodes=8))
def test_random_graphs(example):
    agree(example.graph, example.inputs)


@given(st.sampled_from(NAMES).flatmap(operators))
def test_any_operator_as_machine_code(example):
    check(*example)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_operator_as_machine_code(name):
    settings(max_examples=30)(given(operators(name))(lambda example: check(*example)))()


def check(op, arrays):
    inputs = tuple(ir.input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays))
    graph = ir.Graph("main", inputs, (ir.make(op, inputs),), ("y",))
    agree(graph, dict(zip(graph.input_names, arrays, strict=True)), ("llvm",))
