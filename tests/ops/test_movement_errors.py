"""Every error of the operators of windows, movement, indexing and resizing, from its own cause."""

from __future__ import annotations

import math

import pytest

from minicc.errors import TypeInferenceError
from minicc.ops import AveragePool, Concat, ConstantOfShape, Conv, ConvTranspose, DepthToSpace, Flatten, Gather
from minicc.ops import GatherElements, GatherND, GlobalAveragePool, GlobalMaxPool, MaxPool, MaxPoolIndices, OneHot, Pad
from minicc.ops import Range, Reshape, Resize, ScatterElements, ScatterND, Slice, SpaceToDepth, Split, Squeeze, Tile
from minicc.ops import TopK, TopKIndices, Transpose, Trilu, Unsqueeze
from minicc.types import TensorType, boolean, float32, float64, int64


def f(*shape):
    return TensorType(float32, shape)


def i(*shape):
    return TensorType(int64, shape)


IMAGE, WEIGHTS = f(1, 4, 5, 5), f(6, 4, 3, 3)

CASES = [
    (Conv(), (f(1, 4), f(6, 4)), "1 to 3 spatial axes, got 0"),
    (Conv(), (IMAGE, f(6, 4, 3)), "of one rank"),
    (Conv(), (IMAGE, TensorType(float64, WEIGHTS.shape)), "weights of float32"),
    (Conv(groups=2), (IMAGE, WEIGHTS), "8 input channels"),
    (Conv(groups=4), (IMAGE, f(6, 1, 3, 3)), "4 groups divide"),
    (Conv(), (IMAGE, f(6, 4, 3, 7)), "larger than the padded data"),
    (Conv(), (IMAGE, f(6, 4, 3, 0)), "2 extents >= 1"),
    (Conv(strides=(1,)), (IMAGE, WEIGHTS), "2 strides >= 1"),
    (Conv(strides=(1, 0)), (IMAGE, WEIGHTS), "2 strides >= 1"),
    (Conv(dilation=(0, 1)), (IMAGE, WEIGHTS), "2 dilation >= 1"),
    (Conv(padding=(1, 1)), (IMAGE, WEIGHTS), "4 padding >= 0"),
    (Conv(padding=(1, 1, 1, -1)), (IMAGE, WEIGHTS), "4 padding >= 0"),
    (Conv(auto_pad="SAME"), (IMAGE, WEIGHTS), "no auto_pad 'SAME'"),
    (ConvTranspose(), (IMAGE, f(5, 2, 3, 3)), "5 input channels"),
    (ConvTranspose(output_padding=(1,)), (IMAGE, f(4, 2, 3, 3)), "2 of output_padding"),
    (ConvTranspose(output_shape=(1, 2, 3)), (IMAGE, f(4, 2, 3, 3)), "2 of output_padding and of output_shape"),
    (ConvTranspose(padding=(5, 0, 5, 0)), (IMAGE, f(4, 2, 3, 3)), "the padding leaves nothing: (-3, 7)"),
    (MaxPool((2,)), (IMAGE,), "a kernel of 2 extents"),
    (MaxPool((2, 2)), (TensorType(boolean, IMAGE.shape),), "expected numbers, got bool"),
    (MaxPoolIndices((2, 2), auto_pad="x"), (IMAGE,), "no auto_pad 'x'"),
    (AveragePool((2, 2)), (i(1, 4, 5, 5),), "expected floats, got int64"),
    (GlobalAveragePool(), (f(1, 4),), "spatial axes after N and C"),
    (GlobalMaxPool(), (f(4),), "got rank 1"),
    (Reshape((2, -1, -1)), (f(2, 3),), "at most one -1"),
    (Reshape((2, -2)), (f(2, 3),), "at most one -1"),
    (Reshape((0, -1), allow_zero=True), (f(0, 3),), "at most one -1"),
    (Reshape((6, 1, 0)), (f(2, 3),), "0 copies a dimension that the input does not have"),
    (Reshape((4, -1)), (f(2, 3),), "6 elements do not fill (4, -1)"),
    (Reshape((5,)), (f(2, 3),), "a shape of 6 elements"),
    (Flatten(3), (f(2, 3),), "axis must be in [-2, 2], got 3"),
    (Squeeze((0,)), (f(2, 3),), "must have extent 1, got (2,)"),
    (Squeeze((2,)), (f(2, 1),), "axis must be in [-2, 1], got 2"),
    (Unsqueeze((0, -3)), (f(2),), "axes must be distinct"),
    (Transpose((0, 0)), (f(2, 3),), "a permutation of 0..1"),
    (Concat(0), (), "one or more tensors"),
    (Concat(0), (f(),), "of rank 1 or more"),
    (Concat(0), (f(2, 3), f(2, 4)), "may differ only along axis 0"),
    (Concat(0), (f(2), i(2)), "may differ only along axis 0"),
    (Slice((0,), (1, 2)), (f(4),), "must have one length"),
    (Slice((0,), (1,), (0,), (0,)), (f(4),), "a step must not be 0"),
    (Split(0, None, 2, 2), (f(4),), "part 2 in [0, 1]"),
    (Split(0, (1, 2), 2, 0), (f(4),), "that add up to 4"),
    (Split(0, None, 4, 0), (f(5),), "that add up to 5"),
    (Tile((2,)), (f(2, 3),), "expected 2 repeats"),
    (DepthToSpace(2), (f(1, 3, 2, 2),), "C a multiple of 4"),
    (DepthToSpace(2, "RCD"), (f(1, 4, 2, 2),), "DCR or CRD"),
    (SpaceToDepth(2), (f(1, 3, 2, 3),), "multiples of 2"),
    (Trilu(), (f(3),), "a rank of 2 or more"),
    (Range(0, 5, 0), (), "a delta that is not 0"),
    (Range(0.0, math.inf, 1.0), (), "finite numbers"),
    (ConstantOfShape((2, -1)), (), "must not be negative"),
    (Gather(), (f(3), f(2)), "indices must be integers, got float32"),
    (Gather(), (f(), i(2)), "rank 1 or more"),
    (Gather(), (f(0), i(2)), "from an empty axis"),
    (GatherElements(), (f(3), i(3, 1)), "of one rank"),
    (GatherElements(), (f(3, 2), i(3, 4)), "not be longer than the data"),
    (GatherND(1), (f(3, 2), i(4, 1)), "1 equal leading dimensions"),
    (GatherND(), (f(3), i(4, 2)), "1 to 1 entries here, got 2"),
    (OneHot(depth=3), (i(2), f(3)), "expected two values"),
    (ScatterElements(0, "sub"), (f(3), i(2), f(2)), "no reduction 'sub'"),
    (
        ScatterElements(0, "add"),
        (TensorType(boolean, (3,)), i(2), TensorType(boolean, (2,))),
        "no reduction 'add' on bool",
    ),
    (ScatterElements(), (f(3), i(2), i(2)), "updates must be float32"),
    (ScatterElements(), (f(3), i(2), f(3)), "updates of the shape of the indices"),
    (ScatterND(), (f(3), i(2, 2), f(2)), "1 to 1 entries here, got 2"),
    (ScatterND(), (f(3, 4), i(2, 1), f(2)), "updates must have the shape (2, 4)"),
    (Pad((1, 1), mode="mirror"), (f(3),), "no mode 'mirror'"),
    (Pad((1, 1, 1)), (f(3),), "expected 2 pads for 1 axes, got 3"),
    (Pad((-2, -2)), (f(3),), "leave nothing of an axis of 3"),
    (Pad((1, 0), mode="edge"), (f(0),), "leave nothing of an axis of 0"),
    (TopKIndices(1), (f(),), "rank 1 or more"),
    (TopK(4), (f(3),), "k must be in [0, 3], got 4"),
    (Resize((2.0,), mode="area"), (f(3),), "no mode 'area'"),
    (Resize((2.0,), mode="linear"), (TensorType(boolean, (3,)),), "bool has no linear"),
    (Resize(), (f(3),), "1 scales or 1 sizes"),
    (Resize((2.0,), (6,)), (f(3),), "1 scales or 1 sizes"),
    (Resize((0.0,)), (f(3),), "positive and finite"),
    (Resize((2.0,), coordinate_transformation_mode="tf_crop_and_resize"), (f(3),), "a roi of 2 numbers"),
    (Resize(None, (3,)), (f(0),), "axis 0 is empty and cannot become 3"),
]


@pytest.mark.parametrize(("op", "types", "problem"), CASES, ids=[f"{c[0].name}-{n}" for n, c in enumerate(CASES)])
def test_error_says_what_is_wrong(op, types, problem) -> None:
    with pytest.raises(TypeInferenceError) as caught:
        op.infer(*types)
    assert problem in str(caught.value)
    assert op.name in caught.value.call
