"""The NumPy reference of every operator against ONNX's own reference evaluator.

Where the two must differ, the reason stands beside the operator.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from op_cases import OPERATORS

from minicc.ops.base import Operator
from minicc.testing.draws import drawn

RENAMED = {"trans_a": "transA", "trans_b": "transB", "dtype": "to"}


def node_of(op: Operator, arrays: list[Any]) -> tuple[onnx.NodeProto, dict[str, Any]]:
    """The ONNX node of `op`, and what to feed it."""
    feeds = {f"x{n}": a for n, a in enumerate(arrays)}
    attributes: dict[str, Any] = {}
    for field in op.__match_args__:
        value = getattr(op, field)
        if field in op.operands:
            if value is not None:
                feeds[field] = np.array(value, np.int64)
        elif field == "dtype":
            attributes["to"] = helper.np_dtype_to_tensor_dtype(value.numpy)
        elif isinstance(value, tuple) and not value:
            continue
        else:
            attributes[RENAMED.get(field, field)] = int(value) if isinstance(value, bool) else value
    return helper.make_node(op.name, list(feeds), ["y"], **attributes), feeds


def by_onnx(op: Operator, arrays: list[Any], opset: int) -> Any:
    node, feeds = node_of(op, arrays)
    types = {name: helper.np_dtype_to_tensor_dtype(a.dtype) for name, a in feeds.items()}
    inputs = [helper.make_tensor_value_info(name, types[name], list(a.shape)) for name, a in feeds.items()]
    output = helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)
    model = helper.make_model(
        helper.make_graph([node], "g", inputs, [output]), opset_imports=[helper.make_opsetid("", opset)]
    )
    return ReferenceEvaluator(model).run(None, feeds)[0]


DIFFERENT = {  # checked on their own in the other files
    "LRN": "ONNX's evaluator takes the window's bounds from the batch axis, and only four axes",
    "LpNormalization": "ONNX's evaluator takes no absolute value for p=1",
    "MeanVarianceNormalization": "ONNX's formula E[x*x] - E[x]*E[x] cancels",
}
FLOATS_ONLY = {"Gemm", "ReduceMean", "ReduceSumSquare"}  # ONNX's evaluator computes integers in a wider dtype
UNSUPPORTED = (TypeError, np.exceptions.AxisError)  # scalars, in some operators
TOLERANCE = {2: 2e-2, 4: 5e-6, 8: 2e-6}  # by bytes; ONNX's function bodies hold float32 constants


@pytest.mark.parametrize("name", [name for name in OPERATORS if name not in DIFFERENT])
def test_reference_is_that_of_onnx(name: str) -> None:
    compared = 0
    for case in range(20):
        op, arrays = drawn(name, case, extremes=False)
        got = op.numpy(*arrays)
        if got.dtype.kind in "iu" and name in FLOATS_ONLY:
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                expected = np.asarray(by_onnx(op, arrays, opset=23))
            except UNSUPPORTED:
                continue
        compared += 1
        what = f"{op}, case {case}"
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape), what
        if got.dtype.kind in "iub":
            np.testing.assert_array_equal(got, expected, err_msg=what)
        else:
            bound = TOLERANCE[got.dtype.itemsize]
            np.testing.assert_allclose(got.astype(float), expected.astype(float), rtol=bound, atol=bound, err_msg=what)
    assert compared
