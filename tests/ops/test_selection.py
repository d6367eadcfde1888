"""Operators of which data decide how much they find, against onnxruntime on random data; and what is refused."""

import numpy as np
import pytest
from onnx import ValueInfoProto, helper

from minicc.errors import LoadError, TypeInferenceError
from minicc.frontend import load
from minicc.graph import evaluate
from minicc.ops import Compress, NonMaxSuppression, Unique
from minicc.types import TensorType, float32


def agree(kind, arrays, outputs=("y",), **attributes):
    """All results of a node are those of onnxruntime."""
    names = [f"x{k}" for k in range(len(arrays))]
    infos = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
             for n, a in zip(names, arrays, strict=True)]  # fmt: skip
    made = helper.make_node(kind, names, outputs, **attributes)
    graph = helper.make_graph([made], "net", infos, [ValueInfoProto(name=name) for name in outputs])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    feeds = dict(zip(names, arrays, strict=True))
    session = pytest.importorskip("onnxruntime").InferenceSession(model.SerializeToString())
    for got, right in zip(evaluate(load(model), feeds).values(), session.run(None, feeds), strict=True):
        assert got.dtype == right.dtype
        np.testing.assert_array_equal(got, right)


@pytest.mark.parametrize("shape", [(0,), (7,), (3, 4), (2, 0, 3), (2, 3, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_non_zero(shape, dtype):
    agree("NonZero", [np.random.default_rng(1).integers(0, 2, shape).astype(dtype)])


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("length", [0, 1, 3])
def test_compress(axis, length):
    random = np.random.default_rng(length)
    given = {} if axis is None else {"axis": axis}
    agree("Compress", [random.standard_normal((3, 4)).astype(np.float32), random.integers(0, 2, length) > 0], **given)


@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("ordered", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_unique(axis, ordered, dtype):
    random, given = np.random.default_rng(3), {} if axis is None else {"axis": axis}
    array = random.integers(-1, 2, (6, 2)).astype(dtype)
    agree("Unique", [array], ("y", "at", "inverse", "counts"), sorted=ordered, **given)


@pytest.mark.parametrize("case", range(12))
def test_non_max_suppression(case):
    """Boxes on a coarse grid, so that overlaps and scores meet the thresholds and each other."""
    random = np.random.default_rng(case)
    batch, classes, n = random.integers(1, 3), random.integers(1, 3), random.integers(1, 20)
    boxes = random.integers(0, 5, (batch, n, 4)).astype(np.float32)
    scores = (random.integers(0, 6, (batch, classes, n)) / 8).astype(np.float32)
    limits = [np.array([random.integers(0, 6)]), np.float32([random.choice([0, 0.25, 0.5, 1])])]
    limits += [np.float32([random.choice([0, 0.25, 0.5])])] if case % 2 else []
    agree("NonMaxSuppression", [boxes, scores, *limits], center_point_box=int(case % 3 == 0))


def test_what_does_not_fit_is_refused():
    for op, types in (
        (Compress(axis=5), [TensorType(float32, (2, 3)), None]),
        (Compress(), [None, TensorType(float32, (2, 3))]),
        (Unique(axis=2), [TensorType(float32, (2, 3))]),
        (NonMaxSuppression(), [TensorType(float32, (2, 3)), None]),
    ):
        with pytest.raises(TypeInferenceError):
            op.infer(*types)
    with pytest.raises(TypeInferenceError, match="beyond the axis of 2, got place 2"):
        Compress(axis=0)(np.zeros(2), np.array([False, True, True]))
    with pytest.raises((TypeInferenceError, LoadError)):
        agree("Compress", [np.zeros((2, 2), np.float32), np.zeros((2, 2), bool)])
