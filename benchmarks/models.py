"""Real architectures with random, non-degenerate weights, as ONNX models.

`MODELS[name](glue=False)` builds one. With `glue=True` the graph is as exporters leave it:
BatchNorm kept, shapes computed by Shape/Gather/Concat, constants as nodes, Cast and Expand.
Weights are drawn so that activations keep their variance from layer to layer, hence outputs are
neither saturated nor zero.

>>> resnet18 = MODELS["resnet18"]()
>>> len(resnet18.graph.node)
49
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]


class Builder:
    """Emits nodes and weights; every method returns the name of its result."""

    def __init__(self, name: str, glue: bool, seed: int = 0) -> None:
        self.name, self.glue = name, glue
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[int], dtype: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, dtype, list(shape)))
        return name

    def emit(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        names = [f"{op.lower()}_{len(self.nodes)}" + (f"_{k}" if k else "") for k in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=names[0], **attributes))
        return names[0]

    def weight(self, array: Array) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def normal(self, *shape: int, std: float = 1.0, mean: float = 0.0) -> str:
        return self.weight((self.random.standard_normal(shape) * std + mean).astype(np.float32))

    def const(self, value: Any, dtype: str = "int64") -> str:
        """A constant: an initializer, or with glue a Constant node."""
        array = np.asarray(value, dtype)
        if not self.glue:
            return self.weight(array)
        return self.emit("Constant", value=numpy_helper.from_array(array))

    def conv(self, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1,
             norm: bool = True, gain: float = 2.0, pad: int | None = None) -> str:  # fmt: skip
        """Convolution, and BatchNorm when `norm` (folded into the weights without glue)."""
        fan_in = inputs // groups * kernel * kernel
        w = self.random.standard_normal((outputs, inputs // groups, kernel, kernel)) * np.sqrt(gain / fan_in)
        b = self.random.standard_normal(outputs) * 0.1
        attributes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "group": groups,
                      "pads": [kernel // 2 if pad is None else pad] * 4}  # fmt: skip
        if norm and self.glue:
            y = self.emit("Conv", x, self.weight(w.astype(np.float32)), **attributes)
            near_one = [self.normal(outputs, std=0.1, mean=m) for m in (1.0, 0.0, 0.0)]
            variance = self.weight((self.random.random(outputs) * 0.4 + 0.8).astype(np.float32))
            return self.emit("BatchNormalization", y, *near_one, variance)
        return self.emit("Conv", x, self.weight(w.astype(np.float32)), self.weight(b.astype(np.float32)), **attributes)

    def linear(self, x: str, inputs: int, outputs: int, gain: float = 1.0) -> str:
        """`x @ w + b` on the last axis."""
        y = self.emit("MatMul", x, self.normal(inputs, outputs, std=float(np.sqrt(gain / inputs))))
        return self.emit("Add", y, self.normal(outputs, std=0.1))

    def reshape(self, x: str, shape: Sequence[int], keep: int = 0) -> str:
        """Reshape; with glue the first `keep` dimensions are read off `x` at run time."""
        if not (self.glue and keep):
            return self.emit("Reshape", x, self.const(shape))
        dims = self.emit("Shape", x)
        parts = [self.emit("Unsqueeze", self.emit("Gather", dims, self.const(k), axis=0), self.const([0]))
                 for k in range(keep)]  # fmt: skip
        return self.emit("Reshape", x, self.emit("Concat", *parts, self.const(shape[keep:]), axis=0))

    def layer_norm(self, x: str, width: int, epsilon: float = 1e-5) -> str:
        """LayerNormalization; with glue its decomposition."""
        scale, shift = self.normal(width, std=0.1, mean=1.0), self.normal(width, std=0.1)
        if not self.glue:
            return self.emit("LayerNormalization", x, scale, shift, axis=-1, epsilon=epsilon)
        centered = self.emit("Sub", x, self.emit("ReduceMean", x, axes=[-1], keepdims=1))
        squared = self.emit("Pow", centered, self.const(2.0, "float32"))
        variance = self.emit("ReduceMean", squared, axes=[-1], keepdims=1)
        deviation = self.emit("Sqrt", self.emit("Add", variance, self.const(epsilon, "float32")))
        return self.emit("Add", self.emit("Mul", self.emit("Div", centered, deviation), scale), shift)

    def gelu(self, x: str) -> str:
        """The exact GELU, as exporters decompose it."""
        inner = self.emit("Erf", self.emit("Div", x, self.const(np.sqrt(2.0), "float32")))
        one_more = self.emit("Add", inner, self.const(1.0, "float32"))
        return self.emit("Mul", self.emit("Mul", x, one_more), self.const(0.5, "float32"))

    def attention(self, x: str, length: int, width: int, heads: int, mask: str = "") -> str:
        """Multi-head self-attention of a `[1, length, width]` sequence."""
        head = width // heads

        def split(perm: list[int]) -> str:
            y = self.reshape(self.linear(x, width, width), [1, length, heads, head], keep=2)
            return self.emit("Transpose", y, perm=perm)

        query, key, value = split([0, 2, 1, 3]), split([0, 2, 3, 1]), split([0, 2, 1, 3])
        scores = self.emit("Div", self.emit("MatMul", query, key), self.const(np.sqrt(head), "float32"))
        if mask:
            scores = self.emit("Add", scores, mask)
        mixed = self.emit("MatMul", self.emit("Softmax", scores, axis=-1), value)
        joined = self.reshape(self.emit("Transpose", mixed, perm=[0, 2, 1, 3]), [1, length, width], keep=2)
        return self.linear(joined, width, width)

    def penalty(self, mask: str, length: int) -> str:
        """What BERT adds to the scores: -10000 where the `[1, length]` mask is 0."""
        wide = self.emit("Cast", self.emit("Unsqueeze", mask, self.const([1, 2])), to=TensorProto.FLOAT)
        if self.glue:
            wide = self.emit("Expand", wide, self.const([1, 1, length, length]))
        return self.emit("Mul", self.emit("Sub", self.const(1.0, "float32"), wide), self.const(-10000.0, "float32"))

    def encoder_layer(self, x: str, length: int, width: int, penalty: str) -> str:
        """A layer of BERT: 12 heads of attention, then a hidden layer four times as wide; a norm after each."""
        x = self.layer_norm(self.emit("Add", x, self.attention(x, length, width, 12, penalty)), width, 1e-12)
        hidden = self.gelu(self.linear(x, width, 4 * width, gain=2.0))
        return self.layer_norm(self.emit("Add", x, self.linear(hidden, 4 * width, width)), width, 1e-12)

    def finish(self, *outputs: str, opset: int = 17) -> onnx.ModelProto:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, self.name, self.inputs, values, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
        return onnx.shape_inference.infer_shapes(model)


def resnet18(glue: bool = False) -> onnx.ModelProto:
    """He et al. 2015, basic blocks."""
    m = Builder("resnet18", glue)
    x = m.emit("Relu", m.conv(m.input("x", (1, 3, 224, 224)), 3, 64, 7, 2))
    x = m.emit("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for stage, channels in enumerate((64, 128, 256, 512)):
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = m.emit("Relu", m.conv(x, width, channels, 3, stride))
            y = m.conv(y, channels, channels, 3, gain=1.0)
            short = x if stride == 1 and width == channels else m.conv(x, width, channels, 1, stride, gain=1.0)
            x, width = m.emit("Relu", m.emit("Add", y, short)), channels
    return _classifier(m, x, 512)


def resnet50(glue: bool = False) -> onnx.ModelProto:
    """He et al. 2015, bottleneck blocks, stride in the 3x3 convolution."""
    m = Builder("resnet50", glue)
    x = m.emit("Relu", m.conv(m.input("x", (1, 3, 224, 224)), 3, 64, 7, 2))
    x = m.emit("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for stage, (channels, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = m.emit("Relu", m.conv(x, width, channels, 1))
            y = m.emit("Relu", m.conv(y, channels, channels, 3, stride))
            y = m.conv(y, channels, channels * 4, 1, gain=0.5)
            short = x if block else m.conv(x, width, channels * 4, 1, stride, gain=0.5)
            x, width = m.emit("Relu", m.emit("Add", y, short)), channels * 4
    return _classifier(m, x, 2048)


def _classifier(m: Builder, x: str, width: int) -> onnx.ModelProto:
    pooled = m.reshape(m.emit("GlobalAveragePool", x), [1, width], keep=1)
    return m.finish(m.emit("Gemm", pooled, m.normal(1000, width, std=width**-0.5), m.normal(1000), transB=1))


def mobilenet_v2(glue: bool = False) -> onnx.ModelProto:
    """Sandler et al. 2018: inverted residuals with depthwise convolutions."""
    m = Builder("mobilenet_v2", glue)

    def relu6(x: str) -> str:
        return m.emit("Clip", x, m.const(0.0, "float32"), m.const(6.0, "float32"))

    x = relu6(m.conv(m.input("x", (1, 3, 224, 224)), 3, 32, 3, 2))
    width = 32
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
    for expand, channels, blocks, first_stride in rows:
        for block in range(blocks):
            stride, hidden = (first_stride if block == 0 else 1), width * expand
            y = relu6(m.conv(x, width, hidden, 1)) if expand > 1 else x
            y = relu6(m.conv(y, hidden, hidden, 3, stride, groups=hidden))
            y = m.conv(y, hidden, channels, 1, gain=1.0)
            x = m.emit("Add", x, y) if stride == 1 and width == channels else y
            width = channels
    return _classifier(m, relu6(m.conv(x, width, 1280, 1)), 1280)


def efficientnet_b0(glue: bool = False) -> onnx.ModelProto:
    """Tan and Le 2019: inverted residuals with squeeze-and-excitation and SiLU."""
    m = Builder("efficientnet_b0", glue)

    def silu(x: str) -> str:
        return m.emit("Mul", x, m.emit("Sigmoid", x))

    x = silu(m.conv(m.input("x", (1, 3, 224, 224)), 3, 32, 3, 2, gain=2.2))
    width = 32
    rows = ((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5),
            (6, 192, 4, 2, 5), (6, 320, 1, 1, 3))  # fmt: skip
    for expand, channels, blocks, first_stride, kernel in rows:
        for block in range(blocks):
            stride, hidden = (first_stride if block == 0 else 1), width * expand
            y = silu(m.conv(x, width, hidden, 1, gain=2.2)) if expand > 1 else x
            y = silu(m.conv(y, hidden, hidden, kernel, stride, groups=hidden, gain=2.2))
            squeezed = silu(m.conv(m.emit("GlobalAveragePool", y), hidden, width // 4, 1, norm=False))
            gate = m.emit("Sigmoid", m.conv(squeezed, width // 4, hidden, 1, norm=False))
            y = m.conv(m.emit("Mul", y, gate), hidden, channels, 1, gain=3.0)
            x = m.emit("Add", x, y) if stride == 1 and width == channels else y
            width = channels
    return _classifier(m, silu(m.conv(x, width, 1280, 1, gain=2.2)), 1280)


def convnext_tiny(glue: bool = False) -> onnx.ModelProto:
    """Liu et al. 2022: 7x7 depthwise convolutions, LayerNorm over channels, GELU."""
    m = Builder("convnext_tiny", glue)

    def channels_norm(x: str, width: int) -> str:
        last = m.layer_norm(m.emit("Transpose", x, perm=[0, 2, 3, 1]), width)
        return m.emit("Transpose", last, perm=[0, 3, 1, 2])

    x = channels_norm(m.conv(m.input("x", (1, 3, 224, 224)), 3, 96, 4, 4, norm=False, pad=0), 96)
    width = 96
    for stage, (channels, blocks) in enumerate(((96, 3), (192, 3), (384, 9), (768, 3))):
        if stage:
            x, width = m.conv(channels_norm(x, width), width, channels, 2, 2, norm=False, pad=0), channels
        for _ in range(blocks):
            y = m.emit("Transpose", m.conv(x, width, width, 7, groups=width, norm=False), perm=[0, 2, 3, 1])
            y = m.gelu(m.linear(m.layer_norm(y, width), width, 4 * width, gain=2.0))
            y = m.emit("Mul", m.linear(y, 4 * width, width), m.normal(width, std=0.1, mean=0.3))
            x = m.emit("Add", x, m.emit("Transpose", y, perm=[0, 3, 1, 2]))
    pooled = m.reshape(m.emit("GlobalAveragePool", x), [1, 768], keep=1)
    return m.finish(m.linear(m.layer_norm(pooled, 768), 768, 1000))


def vit_small(glue: bool = False) -> onnx.ModelProto:
    """Dosovitskiy et al. 2020, ViT-S/16: 12 layers of width 384 with 6 heads."""
    m = Builder("vit_small", glue)
    width, length = 384, 197
    patches = m.conv(m.input("x", (1, 3, 224, 224)), 3, width, 16, 16, norm=False, pad=0)
    tokens = m.emit("Transpose", m.reshape(patches, [1, width, 196], keep=2), perm=[0, 2, 1])
    token = m.normal(1, 1, width)
    if glue:
        token = m.emit("Expand", token, m.const([1, 1, 1]))
    x = m.emit("Add", m.emit("Concat", token, tokens, axis=1), m.normal(1, length, width, std=0.1))
    for _ in range(12):
        x = m.emit("Add", x, m.attention(m.layer_norm(x, width), length, width, 6))
        hidden = m.gelu(m.linear(m.layer_norm(x, width), width, 4 * width, gain=2.0))
        x = m.emit("Add", x, m.linear(hidden, 4 * width, width))
    first = m.emit("Gather", m.layer_norm(x, width), m.const(0), axis=1)
    return m.finish(m.linear(first, width, 1000))


def bert_base(glue: bool = False, length: int = 128, layers: int = 12) -> onnx.ModelProto:
    """Devlin et al. 2018, BERT-base: layers of width 768 with 12 heads, with its mask."""
    m = Builder("bert_base", glue)
    width = 768
    ids = m.input("input_ids", (1, length), TensorProto.INT64)
    mask = m.input("attention_mask", (1, length), TensorProto.INT64)
    words = m.emit("Gather", m.normal(30522, width), ids, axis=0)
    x = m.layer_norm(m.emit("Add", words, m.normal(1, length, width, std=0.5)), width, 1e-12)
    penalty = m.penalty(mask, length)
    for _ in range(layers):
        x = m.encoder_layer(x, length, width, penalty)
    return m.finish(x)


def bert_layer(glue: bool = False, length: int = 128, width: int = 768) -> onnx.ModelProto:
    """One layer of BERT-base with its mask, on hidden states."""
    m = Builder("bert_layer", glue)
    x, mask = m.input("x", (1, length, width)), m.input("attention_mask", (1, length), TensorProto.INT64)
    return m.finish(m.encoder_layer(x, length, width, m.penalty(mask, length)))


def yolov3_tiny(glue: bool = False) -> onnx.ModelProto:
    """Redmon and Farhadi 2018, YOLOv3-tiny at 416x416: two detection heads."""
    m = Builder("yolov3_tiny", glue)

    def block(x: str, inputs: int, outputs: int, kernel: int = 3) -> str:
        return m.emit("LeakyRelu", m.conv(x, inputs, outputs, kernel), alpha=0.1)

    x, width = m.input("x", (1, 3, 416, 416)), 3
    route = ""
    for channels in (16, 32, 64, 128, 256):
        route = block(x, width, channels)
        x, width = m.emit("MaxPool", route, kernel_shape=[2, 2], strides=[2, 2]), channels
    x = m.emit("MaxPool", block(x, 256, 512), kernel_shape=[2, 2], strides=[1, 1], auto_pad="SAME_UPPER")
    x = block(block(x, 512, 1024), 1024, 256, 1)
    large = m.conv(block(x, 256, 512), 512, 255, 1, norm=False)
    up = m.emit("Resize", block(x, 256, 128, 1), "", m.const([1.0, 1.0, 2.0, 2.0], "float32"), mode="nearest",
                coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip
    merged = m.emit("Concat", up, route, axis=1)
    return m.finish(large, m.conv(block(merged, 384, 256), 256, 255, 1, norm=False))


MODELS: dict[str, Callable[..., onnx.ModelProto]] = {
    f.__name__: f
    for f in (resnet18, resnet50, mobilenet_v2, convnext_tiny, efficientnet_b0, vit_small, bert_base, bert_layer, yolov3_tiny)
}  # fmt: skip


def sample_inputs(model: onnx.ModelProto, seed: int = 0) -> dict[str, Array]:
    """Random inputs of a model: standard normal floats, token ids, and a mask with some zeros."""
    random = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for value in model.graph.input:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            found[value.name] = random.standard_normal(shape).astype(np.float32)
        elif "mask" in value.name:
            found[value.name] = (np.arange(shape[-1]) < shape[-1] * 3 // 4).astype(np.int64)[None]
        else:
            found[value.name] = random.integers(0, 30522, shape)
    return found
