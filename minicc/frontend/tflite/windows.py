"""What slides over images: convolutions, pools, resizing.

Images of TensorFlow Lite have their channels last. Convolutions and pools are written with channels first, between two
Transposes; that is where kernels have their channels last in the end, and the Transposes cancel.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minicc import ops
from minicc.frontend.tflite.call import Meaning, TfliteCall
from minicc.graph.ir import Node
from minicc.ops.base import Operator

PADDINGS = {0: "SAME_UPPER", 1: "VALID"}  # by the number of the schema; the odd element of SAME is at the end


def activated(call: TfliteCall, y: Node) -> Node:
    """`y` after the activation that is fused with an operator."""
    match call["FusedActivationFunction"]:
        case 0:
            return y
        case 1:
            return call(ops.Relu, y)
        case 2:
            return clipped(call, y, -1, 1)
        case 3:
            return clipped(call, y, 0, 6)
        case 4:
            return call(ops.Tanh, y)
        case code:
            problem = f"expected a fused activation NONE, RELU, RELU_N1_TO_1, RELU6 or TANH, got number {code}"
            raise call.error(problem)


def clipped(call: TfliteCall, x: Node, least: float, most: float) -> Node:
    """The input between two bounds of its dtype."""
    return call(ops.Clip, x, call.like(least, x), call.like(most, x))


def padding(call: TfliteCall) -> str:
    """What the option Padding says, as convolutions and pools have it."""
    if (code := call["Padding"]) not in PADDINGS:
        raise call.error(f"expected a padding SAME or VALID, got number {code}")
    return PADDINGS[code]


def strides(call: TfliteCall) -> tuple[int, int]:
    """Along height and width."""
    return call["StrideH"], call["StrideW"]


def finished(call: TfliteCall, y: Node, bias: int) -> Node:
    """An image after its bias, the input at that position if it is there, and its activation; channels last again."""
    if call.given(bias):
        call.rank(bias, 1)
        y = call(ops.Add, y, call(ops.Reshape, call[bias], shape=(1, -1, 1, 1)))
    return call.channels_last(activated(call, y))


def conv_2d(call: TfliteCall) -> Node:
    """Weights are [O, H, W, I]. Where an image has more channels than these, both are in groups."""
    x, w = call.channels_first(), call.moved(1, (0, 3, 1, 2))
    channels, each = call.extent(x, 1), call.extent(w, 1)
    if not each or channels % each:
        raise call.error(f"expected channels that the {each} of its weights divide, got {channels}")
    return convolved(call, x, w, channels // each)


def depthwise_conv_2d(call: TfliteCall) -> Node:
    """Weights are [1, H, W, O], so many for each channel in turn as O / channels says."""
    x, w = call.channels_first(), call.moved(1, (3, 0, 1, 2))
    return convolved(call, x, w, call.extent(x, 1))


def convolved(call: TfliteCall, x: Node, w: Node, groups: int) -> Node:
    """A convolution by the options of an operator, its bias and its activation."""
    dilation = (call["DilationHFactor"], call["DilationWFactor"])
    fields: dict[str, Any] = {
        "strides": strides(call),
        "dilation": dilation,
        "groups": groups,
        "auto_pad": padding(call),
    }
    return finished(call, call(ops.Conv, x, w, **fields), bias=2)


def transpose_conv(call: TfliteCall) -> Node:
    """Inputs are the shape of the result, weights [O, H, W, I], the image, and perhaps a bias.

    What is cropped is the padding that the convolution would need that this transposes. Where the shape is computed of
    what is not known, the one that the file says of the result has its height and width.
    """
    x, w = call.channels_first(2), call.moved(1, (3, 0, 1, 2))
    declared = call.outputs[0].type.shape
    wanted = call.dims(0)
    height, width = declared[1:3] if wanted is None else wanted.reshape(-1).tolist()[1:3]
    before, after, extra = [], [], []
    for axis, (size, stride) in enumerate(zip((height, width), strides(call), strict=True), 2):
        if not isinstance(size, int) or stride < 1:
            raise call.error(f"expected a known height and width, and strides of at least 1, got {size} and {stride}")
        kernel = call.extent(w, axis)
        same = padding(call) == "SAME_UPPER"
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0) if same else 0
        rest = (call.extent(x, axis) - 1) * stride + kernel - total // 2 - size
        before.append(total // 2)
        after.append(max(rest, 0))
        extra.append(max(-rest, 0))
    fields: dict[str, Any] = {"padding": (*before, *after), "output_padding": tuple(extra), "strides": strides(call)}
    return finished(call, call(ops.ConvTranspose, x, w, **fields), bias=3)


def pool(operator: type[Operator], call: TfliteCall) -> Node:
    """The padding of a mean does not count."""
    kernel = call["FilterHeight"], call["FilterWidth"]
    y = call(operator, call.channels_first(), kernel=kernel, strides=strides(call), auto_pad=padding(call))
    return finished(call, y, bias=1)


def l2_pool(call: TfliteCall) -> Node:
    """The root of the mean square."""
    x, kernel = call.channels_first(), (call["FilterHeight"], call["FilterWidth"])
    square = call(ops.Mul, x, x)
    mean = call(ops.AveragePool, square, kernel=kernel, strides=strides(call), auto_pad=padding(call))
    return finished(call, call(ops.Sqrt, mean), bias=1)


def resize(call: TfliteCall, mode: str, centred: str, nearest: str) -> Node:
    """To a height and a width. Without options samples lie at whole multiples of the scale."""
    align, half = call["AlignCorners"], call["HalfPixelCenters"]
    call.rank(0, 4)
    where = "align_corners" if align else centred if half else "asymmetric"
    fields: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": where, "axes": (1, 2)}
    return call(ops.Resize, call[0], sizes=call.numbers(1, 2), nearest_mode=nearest if align else "floor", **fields)


def local_response_normalization(call: TfliteCall) -> Node:
    """Alpha counts for each element, where `LRN` divides it by their number."""
    size = 2 * call["Radius"] + 1
    fields = {"size": size, "alpha": call["Alpha"] * size, "beta": call["Beta"], "bias": call["Bias"]}
    return call.channels_last(call(ops.LRN, call.channels_first(), **fields))


def blocks(operator: type[Operator], call: TfliteCall) -> Node:
    """Between channels and blocks of height and width."""
    return call.channels_last(call(operator, call.channels_first(), blocksize=call["BlockSize"]))


WINDOWS: dict[str, Meaning] = {
    "AVERAGE_POOL_2D": Meaning(partial(pool, ops.AveragePool), "Pool2DOptions"),
    "CONV_2D": Meaning(conv_2d, "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": Meaning(depthwise_conv_2d, "DepthwiseConv2DOptions"),
    "DEPTH_TO_SPACE": Meaning(partial(blocks, ops.DepthToSpace), "DepthToSpaceOptions", moves=True),
    "L2_POOL_2D": Meaning(l2_pool, "Pool2DOptions"),
    "LOCAL_RESPONSE_NORMALIZATION": Meaning(local_response_normalization, "LocalResponseNormalizationOptions"),
    "MAX_POOL_2D": Meaning(partial(pool, ops.MaxPool), "Pool2DOptions", moves=True),
    "RESIZE_BILINEAR": Meaning(
        partial(resize, mode="linear", centred="half_pixel", nearest="floor"), "ResizeBilinearOptions"
    ),
    "RESIZE_NEAREST_NEIGHBOR": Meaning(
        partial(resize, mode="nearest", centred="tf_half_pixel_for_nn", nearest="round_prefer_ceil"),
        "ResizeNearestNeighborOptions",
        moves=True,
    ),
    "SPACE_TO_DEPTH": Meaning(partial(blocks, ops.SpaceToDepth), "SpaceToDepthOptions", moves=True),
    "TRANSPOSE_CONV": Meaning(transpose_conv, "TransposeConvOptions"),
}  # fmt: skip
