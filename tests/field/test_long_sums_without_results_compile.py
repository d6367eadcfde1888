"""`ReduceSum` of float32[7,6,0] along its first axes: "sum_rf must be stored over loops that are its axes, but is stored at 0"."""

import numpy as np
import pytest

from minicc import ops
from minicc.testing.draws import graph_of
from minicc.testing.oracle import agree

LONG, SHORT = 300, 3
SHAPES = [(0, LONG), (LONG, 0), (7, 6, 0), (0, 7, 6), (1, LONG, 0), (SHORT, 0, LONG)]
REDUCTIONS = [ops.ReduceSum, ops.ReduceMean, ops.ReduceLogSumExp, ops.ReduceL2, ops.ReduceProd, ops.ReduceMax]


def zeros(*shape):
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize("op", REDUCTIONS, ids=lambda op: op.__name__)
def test_reductions(op):
    for shape in SHAPES:
        kept = shape.index(0)
        axes = tuple(axis for axis in range(len(shape)) if axis != kept)
        example = graph_of(op(axes=axes, keepdims=True), [zeros(*shape)])
        agree(example.graph, example.inputs, ("numpy", "loop", "llvm"))


@pytest.mark.parametrize("op, arrays", [
    (ops.Softmax(axis=0), [zeros(LONG, 0)]),
    (ops.LogSoftmax(axis=1), [zeros(0, LONG)]),
    (ops.MatMul(), [zeros(0, LONG), zeros(LONG, SHORT)]),
    (ops.MatMul(), [zeros(SHORT, LONG), zeros(LONG, 0)]),
    (ops.Conv(), [zeros(0, LONG, 5), zeros(SHORT, LONG, 2)]),
    (ops.LayerNormalization(axis=-1), [zeros(0, LONG), zeros(LONG), zeros(LONG)]),
    (ops.InstanceNormalization(), [zeros(0, SHORT, LONG), zeros(SHORT), zeros(SHORT)]),
    (ops.GlobalAveragePool(), [zeros(SHORT, 0, LONG)]),
], ids=lambda value: value.name if isinstance(value, ops.Operator) else "")  # fmt: skip
def test_operators_that_add_up(op, arrays):
    example = graph_of(op, arrays)
    agree(example.graph, example.inputs, ("numpy", "loop", "llvm"))
