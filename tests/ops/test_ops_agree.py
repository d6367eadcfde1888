"""Every operator of arithmetic, reduction and contraction: type, reference and loop program agree.

The loop program runs as Python; floats are compared with the reference on float64.
"""

from __future__ import annotations

import numpy as np
import pytest
from op_cases import OPERATORS, assert_agree, reference, run_loops

from minicc import te
from minicc.testing.draws import drawn
from minicc.types import TensorType


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

        tensors = [te.placeholder(t.shape, t.dtype, name=f"A{n}") for n, t in enumerate(types)]
        output = op.compute(*tensors)
        assert TensorType(output.dtype, output.shape) == result, what
        assert_agree(run_loops(output, tensors, arrays), expected, result.dtype, what)
