"""Every registered operator: what it infers, its reference and its tensor expression agree.

An operator is enrolled by being registered; its `draw` gives the examples.
"""

import numpy as np
import pytest
from hypothesis import given, settings

import minicc.ops  # registers every operator
from minicc.graph import ir
from minicc.ops.base import REGISTRY
from minicc.testing.oracle import agree
from minicc.testing.strategies import operators
from minicc.types import TensorType

assert minicc.ops
EXAMPLES = max(8, settings().max_examples // 3)


def as_graph(op, arrays):
    """The graph of one operator, and its inputs."""
    inputs = tuple(ir.input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays))
    return ir.Graph("main", inputs, (ir.make(op, inputs),), ("y",)), {f"x{k}": a for k, a in enumerate(arrays)}


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if op.composite else n
                                  for n, op in sorted(REGISTRY.items())])  # fmt: skip
def test_reference_and_tensor_expression_agree(name):
    @settings(max_examples=EXAMPLES)
    @given(operators(name))
    def check(example):
        op, arrays = example
        inferred = op.infer(*map(TensorType.of, arrays))
        with np.errstate(all="ignore"):
            got = np.asarray(op(*arrays)) if arrays else np.asarray(op.numpy())
        assert TensorType.of(got) == inferred
        agree(*as_graph(op, arrays), stages=("numpy", "loop"))

    check()
