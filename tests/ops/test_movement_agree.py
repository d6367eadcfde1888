"""Every operator of windows, movement, indexing and resizing: type, reference and loop program agree.

Instances come from `draw`. The loop program runs as Python. Resize has tables, so it exists in the
graph room only: its nodes are evaluated instead.
"""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import assert_agree, reference

from minicc import te
from minicc.graph.ir import Constant, constant
from minicc.loop.lower import lower
from minicc.loop.python import run_python
from minicc.ops import conv, generate, indexing, movement, padding, pool, resize, shape, sorting
from minicc.ops.base import REGISTRY
from minicc.testing.draws import drawn
from minicc.types import TensorType

MODULES = (conv, generate, indexing, movement, padding, pool, resize, shape, sorting)
OPERATORS = sorted(name for name, op in REGISTRY.items() if op.__module__ in {m.__name__ for m in MODULES})


def evaluated(node):
    """The value of a graph node whose leaves are constants."""
    return node.op.data.array if isinstance(node.op, Constant) else node.op.numpy(*map(evaluated, node.inputs))


def by_loops(op, arrays, result):
    tensors = [te.placeholder(a.shape, str(a.dtype), name=f"A{n}") for n, a in enumerate(arrays)]
    output = op.compute(*tensors)
    assert TensorType(output.dtype, output.shape) == result
    computed = np.zeros(result.shape, result.dtype.numpy)
    run_python(lower([output], [*tensors, output]).program, *arrays, computed)
    return computed


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", OPERATORS)
def test_type_reference_and_loops_agree(name: str) -> None:
    for case in range(12):
        op, arrays = drawn(name, case, extremes=False)
        types = [TensorType.of(a) for a in arrays]
        what = f"{op}({', '.join(map(str, types))}), case {case}"
        result = op.infer(*types)
        got = op.numpy(*arrays)
        assert isinstance(got, np.ndarray) and TensorType.of(got) == result, what
        expected = reference(op, arrays, result.dtype)
        assert_agree(got, expected, result.dtype, what)
        if op.composite:
            node = op.expand(*map(constant, arrays))
            assert node.type == result, what
            assert_agree(evaluated(node), expected, result.dtype, what)
        if not isinstance(op, resize.Resize):
            assert_agree(by_loops(op, arrays, result), expected, result.dtype, what)
