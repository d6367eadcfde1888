"""Networks as TensorFlow Lite files, with random weights, of floats or quantised to 8 bits, for tests and campaigns.

In: whether it is quantised, a source of random numbers, and sizes. Out: the bytes of a file.

>>> len(mobilenet(np.random.default_rng(0), quantised=True)) > 1000
True
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from flatbuffers import flexbuffers

from minicc.testing.tflite_models import TfliteModel

Random = np.random.Generator
SCALE, ZERO = 0.05, 3  # of quantised values between layers
FLOAT: dict[str, Any] = {"dtype": "float32"}


class Layers:
    """The layers of networks; each takes the number of a tensor and gives that of its result."""

    def __init__(self, random: Random, quantised: bool) -> None:
        self.net, self.random, self.quantised = TfliteModel(), random, quantised
        self.channels: dict[int, int] = {}

    def input(self, shape: Sequence[int], **rest: Any) -> int:
        """An image, or rows of numbers, the channels last."""
        q = {"dtype": "int8", "scale": [SCALE], "zero": [ZERO]} if self.quantised else FLOAT
        return self._with(self.net.tensor(shape, **q, **rest), shape[-1])

    def _with(self, x: int, channels: int) -> int:
        self.channels[x] = channels
        return x

    def weights(self, shape: Sequence[int], depth: int, axis: int = 0) -> int:
        """Weights for sums of `depth` products, that keep the size of what they multiply; a scale for each part of `axis`."""
        values = self.random.normal(0, (2 / max(depth, 1)) ** 0.5, shape).astype(np.float32)
        if not self.quantised:
            return self.net.constant(values)
        most = np.abs(values).max(axis=tuple(a for a in range(len(shape)) if a != axis), keepdims=True)
        scale = np.maximum(most, 1e-3) / 127
        whole = np.rint(values / scale).astype(np.int8)
        return self.net.constant(whole, "int8", scale=scale.reshape(-1), zero=np.zeros(scale.size), axis=axis)

    def bias(self, count: int, x: int, w: int) -> int:
        """One number per channel, in steps of the products."""
        values = self.random.normal(0, 0.1, count)
        if not self.quantised:
            return self.net.constant(values)
        scale = np.float32(self.net.tensors[x].scale[0]) * np.asarray(self.net.tensors[w].scale, np.float32)
        return self.net.constant(np.rint(values / scale), "int32", scale=scale, zero=np.zeros(count))

    def op(self, kind: str, inputs: Sequence[int], options: str = "", channels: int = 0, scale: float = SCALE,
           zero: int = ZERO, results: int = 1, **fields: Any) -> Any:  # fmt: skip
        """An operator; of a quantised network its result has a scale of its own."""
        q = {"dtype": "int8", "scale": [scale], "zero": [zero]} if self.quantised else FLOAT
        made = self.net.op(kind, inputs, options, results, result=q, **fields)
        if results == 1:
            self._with(made, channels or self.channels.get(inputs[0], 0))
        return made

    def conv(self, x: int, channels: int, kernel: int = 1, stride: int = 1, activation: int = 3) -> int:
        """A convolution; activation 3 is RELU6, 1 RELU, 0 none."""
        depth = self.channels[x]
        w = self.weights((channels, kernel, kernel, depth), depth * kernel * kernel)
        fields = {"StrideH": stride, "StrideW": stride, "Padding": 0, "FusedActivationFunction": activation}
        return int(self.op("CONV_2D", [x, w, self.bias(channels, x, w)], "Conv2DOptions", channels, **fields))

    def depthwise(self, x: int, kernel: int = 3, stride: int = 1, activation: int = 3, dilation: int = 1) -> int:
        """A convolution of each channel with a kernel of its own."""
        channels = self.channels[x]
        w = self.weights((1, kernel, kernel, channels), kernel * kernel, axis=3)
        fields = {"StrideH": stride, "StrideW": stride, "DepthMultiplier": 1, "FusedActivationFunction": activation}
        fields |= {"DilationHFactor": dilation, "DilationWFactor": dilation}
        return int(self.op("DEPTHWISE_CONV_2D", [x, w, self.bias(channels, x, w)], "DepthwiseConv2DOptions", **fields))

    def add(self, x: int, y: int) -> int:
        """The sum of two."""
        return int(self.op("ADD", [x, y], "AddOptions"))

    def ints(self, values: Any) -> int:
        """A constant of integers, as operators have for axes and sizes."""
        return self.net.constant(values, "int32")

    def dense(self, x: int, channels: int, **fields: Any) -> int:
        """A product with a matrix, and a bias."""
        w = self.weights((channels, self.channels[x]), self.channels[x])
        return int(
            self.op("FULLY_CONNECTED", [x, w, self.bias(channels, x, w)], "FullyConnectedOptions", channels, **fields)
        )

    def inverted(self, x: int, channels: int, stride: int = 1, expand: int = 4) -> int:
        """The block of MobileNetV2 (Sandler et al. 2018)."""
        wide = self.depthwise(self.conv(x, self.channels[x] * expand), stride=stride)
        y = self.conv(wide, channels, activation=0)
        return self.add(x, y) if stride == 1 and channels == self.channels[x] else y

    def mean(self, x: int) -> int:
        """Over height and width."""
        return int(self.op("MEAN", [x, self.ints([1, 2])], "ReducerOptions", KeepDims=False))


def mobilenet(random: Random, quantised: bool = False, size: int = 32, width: int = 8, dynamic: bool = False) -> bytes:
    """Like MobileNetV2 with the squeezed, hard-swished blocks of V3; the batch may be open."""
    layers = Layers(random, quantised)
    shape = (1, size, size, 3)
    x = layers.input(shape, name="image", **({"signature": (-1, *shape[1:])} if dynamic else {}))
    y = layers.conv(x, width, 3, 2)
    for channels, stride in ((width, 1), (2 * width, 2), (2 * width, 1), (4 * width, 2)):
        y = layers.inverted(y, channels, stride)
    y = layers.op("HARD_SWISH", [layers.conv(y, 8 * width, activation=0)])
    y = layers.dense(layers.mean(y), 10)
    q: dict[str, Any] = {"scale": 1 / 256, "zero": -128} if quantised else {}
    y = layers.op("SOFTMAX", [y], "SoftmaxOptions", Beta=1.0, **q)
    return layers.net.write([x], [y], ([["image"], ["probabilities"]]))


def detector(random: Random, quantised: bool = False, size: int = 32, width: int = 8, classes: int = 4) -> bytes:
    """Like EfficientDet-Lite: two levels of features, merged by resizing, heads, and the custom operator that decodes."""
    layers = Layers(random, quantised)
    net, x = layers.net, layers.input((1, size, size, 3), name="image")
    fine = layers.inverted(layers.conv(x, width, 3, 2), width, 2)
    coarse = layers.inverted(fine, width, 2)
    sides, anchors = (size // 4, size // 8), 3
    up = layers.op("RESIZE_NEAREST_NEIGHBOR", [coarse, layers.ints([sides[0]] * 2)], "ResizeNearestNeighborOptions")
    merged = layers.add(fine, up)
    pooled = {"FilterHeight": 3, "FilterWidth": 3, "StrideH": 2, "StrideW": 2, "Padding": 0}
    down = layers.add(coarse, layers.op("MAX_POOL_2D", [merged], "Pool2DOptions", **pooled))
    heads: list[tuple[int, list[int]]] = [(4, []), (classes, [])]
    for level in (merged, down):
        for count, parts in heads:
            y = layers.conv(layers.depthwise(level), anchors * count, activation=0)
            parts.append(
                layers.op("RESHAPE", [y, layers.ints([1, -1, count])], "ReshapeOptions", NewShape=[1, -1, count])
            )
    ends = [layers.op("CONCATENATION", parts, "ConcatenationOptions", Axis=1) for _, parts in heads]
    q: dict[str, Any] = {"scale": 1 / 256, "zero": -128} if quantised else {}
    ends[1] = layers.op("LOGISTIC", [ends[1]], **q)
    if quantised:
        ends = [net.op("DEQUANTIZE", [end], result=FLOAT) for end in ends]
    places = [((np.indices((side, side)).reshape(2, -1).T + 0.5) / side).repeat(anchors, 0) for side in sides]
    boxes = np.concatenate([np.concatenate([p, np.full_like(p, 0.4)], 1) for p in places])
    options = {"max_detections": 5, "max_classes_per_detection": 1, "num_classes": classes, "nms_score_threshold": 0.1,
               "nms_iou_threshold": 0.5, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}  # fmt: skip
    held = net.constant(boxes)
    custom = bytes(flexbuffers.Dumps(options))
    found = net.op("custom:TFLite_Detection_PostProcess", [*ends, held], results=4, custom=custom, result=FLOAT)
    return net.write([x], found)


def segmenter(random: Random, quantised: bool = False, size: int = 32, width: int = 8) -> bytes:
    """Like DeepLab: dilated convolutions, a pooled branch, resizing, and the best class of each pixel."""
    layers = Layers(random, quantised)
    x = layers.input((1, size, size, 3), name="image")
    y = layers.inverted(layers.conv(x, width, 3, 2), width, 2)
    y = layers.depthwise(y, dilation=2)
    side = size // 4
    pooled = {"FilterHeight": side, "FilterWidth": side, "StrideH": 1, "StrideW": 1, "Padding": 1}
    whole = layers.conv(layers.op("AVERAGE_POOL_2D", [y], "Pool2DOptions", **pooled), width)
    bilinear = "ResizeBilinearOptions"
    whole = layers.op("RESIZE_BILINEAR", [whole, layers.ints([side, side])], bilinear, AlignCorners=True)
    y = layers.op("CONCATENATION", [layers.conv(y, width), whole], "ConcatenationOptions", 2 * width, Axis=3)
    y = layers.conv(y, 5, activation=0)
    y = layers.op("RESIZE_BILINEAR", [y, layers.ints([size, size])], bilinear, HalfPixelCenters=True)
    best = layers.net.op("ARG_MAX", [y, layers.ints(3)], "ArgMaxOptions", result={"dtype": "int32"}, OutputType=2)
    return layers.net.write([x], [best, y])


def transformer(random: Random, size: int = 6, width: int = 16, heads: int = 2) -> bytes:
    """A block of attention and one of a dense network, with norms written out, as the converter writes them."""
    layers = Layers(random, False)
    net, op = layers.net, layers.op
    x = layers.input((1, size, width), name="tokens")

    def norm(y: int) -> int:
        axes = layers.ints([2])
        apart = op("SUB", [y, op("MEAN", [y, axes], "ReducerOptions", KeepDims=True)], "SubOptions")
        spread = op("MEAN", [op("SQUARE", [apart]), axes], "ReducerOptions", KeepDims=True)
        inverse = op("RSQRT", [op("ADD", [spread, net.constant(1e-3)], "AddOptions")])
        return layers._with(op("MUL", [apart, inverse], "MulOptions"), width)

    def split(y: int) -> int:
        parted = op("RESHAPE", [y, layers.ints([1, size, heads, width // heads])], "ReshapeOptions")
        return int(op("TRANSPOSE", [parted, layers.ints([0, 2, 1, 3])]))

    y = norm(x)
    q, k, v = (split(layers.dense(y, width, KeepNumDims=True)) for _ in range(3))
    scores = op("BATCH_MATMUL", [q, k], "BatchMatMulOptions", AdjY=True)
    scores = op("MUL", [scores, net.constant((width / heads) ** -0.5)], "MulOptions")
    seen = op("BATCH_MATMUL", [op("SOFTMAX", [scores], "SoftmaxOptions", Beta=1.0), v], "BatchMatMulOptions")
    together = op("TRANSPOSE", [seen, layers.ints([0, 2, 1, 3])])
    joined = layers._with(op("RESHAPE", [together, layers.ints([1, size, width])], "ReshapeOptions"), width)
    x2 = layers.add(x, layers.dense(joined, width, KeepNumDims=True))
    wide = op("GELU", [layers.dense(norm(x2), 2 * width, KeepNumDims=True)], "GeluOptions", Approximate=True)
    layers._with(wide, 2 * width)
    y = layers.add(x2, layers.dense(wide, width, KeepNumDims=True))
    return net.write([x], [y])
