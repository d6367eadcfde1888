"""Windows, movement, indexing and resizing: cases by hand, each with the rule that it shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from test_movement_agree import by_loops, evaluated

from minicc import te
from minicc.graph.ir import constant
from minicc.ops import AveragePool, ConstantOfShape, Conv, ConvTranspose, Gather, GatherElements, GatherND, MaxPool
from minicc.ops import MaxPoolIndices, OneHot, Pad, Range, Reshape, Resize, ScatterElements, ScatterND, Shape, Size
from minicc.ops import Slice, Split, Squeeze, TopK, TopKIndices, Transpose, Unsqueeze
from minicc.ops.base import OPERAND, infer, type_of
from minicc.types import Symbol, TensorType, Unbound, float16, float32, int64

X = np.array([[[1, 5, 2, 4, 3]]], np.float32)
NAN = math.nan


def check(op, arrays, expected):
    """The reference and the loop program give `expected`."""
    arrays = [np.asarray(a) for a in arrays]
    expected = np.asarray(expected)
    got = op.numpy(*arrays)
    assert_allclose(got, expected, rtol=1e-6)
    assert_allclose(by_loops(op, arrays, op.infer(*map(type_of, arrays))), expected.astype(got.dtype), rtol=1e-6)


@pytest.mark.parametrize(("op", "expected"), [
    (MaxPool((2,), (2,)), [5, 4]),
    (MaxPool((2,), (2,), ceil_mode=True), [5, 4, 3]),
    (MaxPool((2,), (3,), padding=(0, 1), ceil_mode=True), [5, 4]),
    (MaxPool((1,), (2,), padding=(0, 1), ceil_mode=True), [1, 2, 3]),  # the last would start in the padding
    (MaxPool((7,)), [5]),  # clipped
    (MaxPool((2,), dilation=(3,)), [4, 5]),
    (MaxPool((2,), (2,), auto_pad="SAME_UPPER"), [5, 4, 3]),
    (MaxPool((2,), (2,), auto_pad="SAME_LOWER"), [1, 5, 4]),
    (AveragePool((2,), (2,), ceil_mode=True), [3, 3, 3]),
    (AveragePool((2,), (2,), (1, 0)), [1, 3.5, 3.5]),
    (AveragePool((2,), (2,), (1, 0), count_include_pad=True), [0.5, 3.5, 3.5]),
    (AveragePool((4,), (2,), (0, 0), ceil_mode=True, count_include_pad=True), [3, 3]),  # what ceil_mode adds never counts
    (AveragePool((4,), (2,), (0, 1), ceil_mode=True, count_include_pad=True), [3, 2.25]),
    (AveragePool((3,), dilation=(2,), padding=(2, 2)), [1.5, 4.5, 2, 4.5, 2.5]),
    (MaxPoolIndices((2,), (2,), ceil_mode=True), [1, 3, 4]),
])  # fmt: skip
def test_pool(op, expected) -> None:
    check(op, [X], np.array([[expected]]))


def test_pool_takes_nan_as_greatest_and_the_first_of_equals() -> None:
    x = np.array([[[2, 2, NAN, NAN, -np.inf, -np.inf]]], np.float32)
    check(MaxPool((2,), (2,)), [x], [[[2, NAN, -np.inf]]])
    check(MaxPoolIndices((2,), (2,)), [x], [[[0, 2, 4]]])


def test_pool_indices_by_columns() -> None:
    x = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    check(MaxPoolIndices((2, 2)), [x], [[[[5, 6, 7], [9, 10, 11]]]])
    check(MaxPoolIndices((2, 2), storage_order=1), [x], [[[[4, 7, 10], [5, 8, 11]]]])


def test_max_pool_of_integers() -> None:
    check(MaxPool((2,), padding=(1, 0)), [np.array([[[-3, -7]]], np.int8)], [[[-3, -3]]])


def test_float16_convolution_is_summed_in_float32() -> None:
    x, w = np.full((1, 1, 4096), 1, np.float16), np.full((1, 1, 4096), 1, np.float16)
    w[0, 0, 2048:] = 0.5
    op = Conv()
    assert op.numpy(x, w).item() == 3072
    output = by_loops(op, [x, w], TensorType(float16, (1, 1, 1)))
    assert output.item() == 3072


def test_convolution_names_its_stages() -> None:
    x, w = te.placeholder((1, 2, 5, 5), name="x"), te.placeholder((3, 2, 3, 3), name="w")
    assert [Conv().compute(x, w).name, Conv(padding=(1, 1, 1, 1)).compute(x, w).op.axes[1].var.name] == ["conv", "oc"]
    padded = Conv(padding=(1, 1, 1, 1)).compute(x, w)
    assert [axis.var.name for axis in padded.op.reduce_axis] == ["ic", "kh", "kw"]
    assert "pad[" in str(padded.op) and "pad[" not in str(Conv().compute(x, w).op)


@pytest.mark.parametrize(("op", "expected"), [
    (ConvTranspose(strides=(2,)), [1, 1, 6, 5, 7, 2, 6, 4, 7, 3, 3]),
    (ConvTranspose(strides=(2,), output_padding=(1,)), [1, 1, 6, 5, 7, 2, 6, 4, 7, 3, 3, 0]),
    (ConvTranspose(strides=(2,), output_shape=(10,)), [1, 6, 5, 7, 2, 6, 4, 7, 3, 3]),
    (ConvTranspose(strides=(2,), output_shape=(10,), auto_pad="SAME_UPPER"), [1, 1, 6, 5, 7, 2, 6, 4, 7, 3]),
    (ConvTranspose(strides=(2,), output_shape=(1, 1, 13)), [1, 1, 6, 5, 7, 2, 6, 4, 7, 3, 3, 0, 0]),
    (ConvTranspose(strides=(2,), auto_pad="SAME_LOWER"), [1, 6, 5, 7, 2, 6, 4, 7, 3, 3]),
    (ConvTranspose(strides=(2,), auto_pad="VALID", padding=(1, 1)), [1, 1, 6, 5, 7, 2, 6, 4, 7, 3, 3]),
    (ConvTranspose(padding=(1, 1), dilation=(2,)), [5, 3, 9, 6, 9, 5, 4]),
])  # fmt: skip
def test_conv_transpose(op, expected) -> None:
    check(op, [X, np.ones((1, 1, 3), np.float32)], np.array([[expected]]))


@pytest.mark.parametrize(("op", "expected"), [
    (Pad((2, 3)), [0, 0, 1, 2, 3, 0, 0, 0]),
    (Pad((-1, 2), value=9), [2, 3, 9, 9]),
    (Pad((-4, 6), value=9), [9, 9, 9, 9, 9]),
    (Pad((3, 3), mode="reflect"), [2, 3, 2, 1, 2, 3, 2, 1, 2]),
    (Pad((2, 1), mode="edge"), [1, 1, 1, 2, 3, 3]),
    (Pad((4, 1), mode="wrap"), [3, 1, 2, 3, 1, 2, 3, 1]),
    (Pad((-1, 2), mode="reflect"), [2, 3, 2, 3]),  # what is cropped is not mirrored
    (Pad((1, 2), (7,), (-1,)), [7, 1, 2, 3, 7, 7]),
])  # fmt: skip
def test_pad(op, expected) -> None:
    check(op, [np.array([1, 2, 3], np.int64)], expected)


@pytest.mark.parametrize(("op", "expected"), [
    (Slice((1,), (2**63 - 1,)), [1, 2, 3, 4]),
    (Slice((-1,), (-(2**63),), (0,), (-1,)), [4, 3, 2, 1, 0]),
    (Slice((-9,), (-10,), (0,), (-1,)), [0]),  # unlike Python
    (Slice((9,), (0,), (-1,), (-3,)), [4, 1]),
    (Slice((3,), (1,)), []),
])  # fmt: skip
def test_slice(op, expected) -> None:
    check(op, [np.arange(5)], np.array(expected, np.int64))


def test_indices_out_of_range_are_clamped_or_passed_over() -> None:
    x, far = np.array([10, 20, 30]), np.array([-9, -1, 3, 2**40])
    check(Gather(), [x, far], [10, 30, 30, 30])
    check(GatherElements(), [x, far], [10, 30, 30, 30])
    check(GatherND(), [x, far[:, None]], [10, 30, 30, 30])
    check(ScatterElements(), [x, far, np.array([1, 2, 3, 4])], [10, 20, 2])
    check(ScatterND(), [x, far[:, None], np.array([1, 2, 3, 4])], [10, 20, 2])
    check(OneHot(depth=3), [np.array([-4, -1, 3]), np.array([0, 5])], [[0, 0, 0], [0, 0, 5], [0, 0, 0]])


def test_scatter_takes_updates_in_order() -> None:
    x, twice, updates = np.zeros(2, np.float32), np.array([1, 1, 1]), np.array([3, 4, 2], np.float32)
    for reduction, expected in {"none": 2, "add": 9, "max": 4, "min": 0}.items():
        check(ScatterElements(reduction=reduction), [x, twice, updates], [0, expected])
        check(ScatterND(reduction), [x, twice[:, None], updates], [0, expected])


def test_top_k_orders_ties_and_nan() -> None:
    x = np.array([1, NAN, 3, 3, -0.0, 0.0, NAN, np.inf], np.float32)
    check(TopKIndices(8), [x], [1, 6, 7, 2, 3, 0, 4, 5])
    check(TopKIndices(8, largest=False), [x], [4, 5, 0, 2, 3, 7, 1, 6])
    check(TopK(3), [x], [NAN, NAN, np.inf])
    check(TopKIndices(2), [np.array([7, 2**64 - 1], np.uint64)], [1, 0])


def test_range_counts_exactly() -> None:
    assert_array_equal(Range(2**62, 2**62 + 3)(), [2**62, 2**62 + 1, 2**62 + 2])
    check(Range(10, 6, -3), [], [10, 7])
    check(Range(1, 1), [], np.zeros(0, np.int64))
    bound = Range().bind([np.array(1, np.int32), np.array(4, np.int32)])
    assert bound.infer() == TensorType(bound.dtype, (3,)) and bound.numpy().dtype == np.int32
    assert Range(OPERAND, 2.0, OPERAND).bind([np.float64(0), np.float64(1)]).numpy().dtype == np.float64


def test_operands_may_be_written_as_a_scalar_or_a_list_of_one() -> None:
    x = np.zeros((1, 2), np.float32)
    assert Squeeze(OPERAND).bind([np.array(0)]).numpy(x).shape == (2,)
    assert Unsqueeze().bind([np.array([2])]).numpy(x).shape == (1, 2, 1)
    assert TopK().bind([np.array([1])]).numpy(x).shape == (1, 1)
    assert Pad(OPERAND, OPERAND).bind([np.array([0, 1, 0, 0]), np.array([5.0])]).numpy(x).tolist() == [[5, 0, 0]]


@pytest.mark.parametrize(("op", "dtype", "expected"), [
    (Resize((2.0,), mode="linear"), np.uint8, [0, 62, 188, 250]),  # 62.5 and 187.5: ties to even
    (Resize((3.0,), mode="cubic"), np.uint8, [0, 0, 75, 175, 255, 255]),  # saturated
    (Resize((2.0,)), np.bool_, [False, False, True, True]),
    (Resize(None, (4,), mode="linear"), np.float16, [0, 62.5, 187.5, 250]),
    (Resize((2.0,), coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="floor"), np.int64, [0, 0, 250, 250]),
    (Resize((0.4,)), np.float32, []),
])  # fmt: skip
def test_resize_of_dtypes(op, dtype, expected) -> None:
    x = np.array([0, 250], dtype)
    if op.mode == "cubic":
        wide = np.array([0, 250], np.float64)
        expected = np.clip(np.rint(op.numpy(wide)), 0, 255)
        assert (op.numpy(wide) > 255).any()
    assert_array_equal(op.numpy(x), np.array(expected, dtype))
    assert_array_equal(evaluated(op.expand(constant(x))), np.array(expected, dtype))


def test_resize_of_an_identity_is_its_input() -> None:
    x = constant(np.arange(3.0))
    assert Resize((1.0,), mode="cubic").expand(x) is x


def test_huge_dimensions_are_inferred_without_memory() -> None:
    big = 2**40
    assert ConstantOfShape((big, big)).infer().size == big**2
    assert Range(0, big).infer().shape == (big,)
    x = TensorType(float32, (1, 3, big, big))
    assert Conv(padding=(1,) * 4).infer(x, TensorType(float32, (8, 3, 3, 3))).shape == (1, 8, big, big)
    assert Resize((1.0, 1.0, 2.0, 2.0)).infer(x).shape == (1, 3, 2 * big, 2 * big)
    assert Reshape((-1,)).infer(x).shape == (3 * big * big,)


N = Symbol("n")


@pytest.mark.parametrize(("op", "types", "expected"), [
    (Reshape((0, -1)), [TensorType(float32, (N, 3, 4))], (N, 12)),
    (Reshape((0, 2, 6)), [TensorType(float32, (N, 3, 4))], (N, 2, 6)),
    (Reshape((2, -1)), [TensorType(float32, (N, 3))], None),
    (Conv(), [TensorType(float32, (N, 3, 8, 8)), TensorType(float32, (4, 3, 3, 3))], (N, 4, 6, 6)),
    (Conv(), [TensorType(float32, (1, 3, N, 8)), TensorType(float32, (4, 3, 3, 3))], None),
    (MaxPool((2, 2), (2, 2)), [TensorType(float32, (N, 3, 8, 8))], (N, 3, 4, 4)),
    (Transpose((1, 0)), [TensorType(float32, (N, 3))], (3, N)),
    (Squeeze(), [TensorType(float32, (N, 1))], None),
    (Squeeze((1,)), [TensorType(float32, (N, 1))], (N,)),
    (Slice((1,), (2,), (1,)), [TensorType(float32, (N, 3))], (N, 1)),
    (Slice((0,), (2**63 - 1,), (0,)), [TensorType(float32, (N, 3))], (N, 3)),
    (Slice((1,), (2,), (0,)), [TensorType(float32, (N, 3))], None),
    (Split(1, None, 3, 1), [TensorType(float32, (N, 3))], (N, 1)),
    (Gather(1), [TensorType(float32, (N, 3)), TensorType(int64, ())], (N,)),
    (Pad((0, 1, 0, 1)), [TensorType(float32, (N, 3))], (N, 5)),
    (Resize((1.0, 2.0)), [TensorType(float32, (N, 3))], (N, 6)),
    (Resize(None, (2, 2)), [TensorType(float32, (N, 3))], None),
    (TopKIndices(1, 0), [TensorType(float32, (N, 3))], None),
    (Shape(), [TensorType(float32, (N, 3))], (2,)),
])  # fmt: skip
def test_symbols_pass_through_where_they_can(op, types, expected) -> None:
    result = infer(op, types)
    assert (result.shape if result else None) == expected
    if expected is None:
        with pytest.raises(Unbound):
            op.infer(*types)


def test_shape_and_size_fold_as_far_as_the_type_is_known() -> None:
    x = TensorType(float32, (N, 3, 4))
    assert Shape().fold(x) is None and Size().fold(x) is None
    assert_array_equal(Shape(start=-2).fold(x), [3, 4])
    assert Size().fold(TensorType(float32, (2, 3))) == 6
