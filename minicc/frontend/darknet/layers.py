"""The layers of Darknet: what each makes of which outputs, with which parameters, and how it is said in operators.

In: a section of the `.cfg`, and the shapes of the layers above. Out: a `Layer`: its shape and those of its
parameters, all known before a byte of the weights is read, and a function that makes its node. Meanings are those of
Darknet's source (Redmon, "Darknet: Open Source Neural Networks in C"; the fork of Bochkovskiy, which runs the same
files), oddities included: Reorg reads memory of one shape as that of another, a Shortcut adds the corner that two
shapes share.

A shape is (channels, height, width); the batch is 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from minicc.frontend.darknet.config import Section
from minicc.graph.ir import Node
from minicc.ops import (Add, BatchNormalization, Clip, Concat, Conv, Elu, Expand, Gelu, Gemm, GlobalAveragePool,
                        LeakyRelu, MaxPool, Mish, Mul, Pad, Relu, Reshape, Selu, Sigmoid, Slice, Softmax,
                        SpaceToDepth, Sub, Tanh)  # fmt: skip

Shape = tuple[int, int, int]
EPSILON = 1e-5  # what Bochkovskiy's Darknet adds to a variance; Redmon's adds 1e-6 to the root
MOST_CLASSES = 100_000


@dataclass(frozen=True)
class Head:
    """What decodes the output of a detection layer, `[1, anchors * (4 + 1 + classes), height, width]`.

    `anchors` are widths and heights as fractions of the network's picture. Of each anchor the channels are x and y in
    their cell, then the logarithms of width and height over the anchor's (`squared`: half the root of these ratios),
    the confidence that a thing is there, and that of each class.
    """

    output: str
    classes: int
    anchors: tuple[tuple[float, float], ...]
    squared: bool = False


@dataclass(frozen=True)
class Layer:
    """A layer before its weights are known: `build` makes its node of the outputs of the layers `reads` (-1: the
    picture) and arrays of the `parameters`."""

    section: Section
    shape: Shape
    build: Callable[[Sequence[Node], Sequence[Any]], Node]
    reads: tuple[int, ...]
    parameters: tuple[tuple[int, ...], ...] = ()
    head: Head | None = None


class Above:
    """The layers above one: their shapes, and how the `.cfg` counts them."""

    def __init__(self, section: Section, layers: Sequence[Layer], picture: Shape) -> None:
        self.section, self.layers, self.picture, self.index = section, layers, picture, len(layers)
        self.shape = self.of(self.index - 1)

    def of(self, index: int) -> Shape:
        return self.layers[index].shape if index >= 0 else self.picture

    def indices(self, key: str) -> tuple[int, ...]:
        """The layers that an option lists: from 0 on as they stand in the file, or back from here, -1 being the
        last."""
        given = self.section.integers(key)
        found = [k if k >= 0 else self.index + k for k in given]
        if not given or not all(0 <= k < self.index for k in found):
            problem = f"{key} must list layers above this one, number {self.index}: "
            problem += f"0 to {self.index - 1}, or -1 to {-self.index}"
            hint = "layers are counted from 0, without [net]"
            raise self.section.error(f"{problem}; got {self.section.text(key)[:60] or 'none'!r}", hint, key)
        return tuple(found)


def const(value: float) -> Any:
    return np.float32(value)


# ---- activations, by their names ----------------------------------------------------------------------------------


def _hard_mish(x: Node) -> Node:
    """x above 0, x * x / 2 + x from -2 on, else 0."""
    low = Clip()(x, const(-2), const(0))
    return Add()(Relu()(x), Add()(Mul()(Mul()(low, low), const(0.5)), low))


ACTIVATIONS: dict[str, Callable[[Node], Node]] = {
    "linear": lambda x: x,
    "relu": lambda x: Relu()(x),
    "relu6": lambda x: Clip()(x, const(0), const(6)),
    "leaky": lambda x: LeakyRelu(alpha=0.1)(x),
    "relie": lambda x: LeakyRelu(alpha=0.01)(x),
    "ramp": lambda x: Add()(Relu()(x), Mul()(x, const(0.1))),
    "logistic": lambda x: Sigmoid()(x),
    "loggy": lambda x: Sub()(Mul()(Sigmoid()(x), const(2)), const(1)),
    "tanh": lambda x: Tanh()(x),
    "hardtan": lambda x: Clip()(x, const(-1), const(1)),
    "elu": lambda x: Elu()(x),
    "selu": lambda x: Selu(alpha=1.6732, gamma=1.0507)(x),
    "gelu": lambda x: Gelu(approximate="tanh")(x),
    "swish": lambda x: Mul()(x, Sigmoid()(x)),
    "mish": lambda x: Mish()(x),
    "hard_mish": _hard_mish,
}


def _activation(section: Section, default: str) -> Callable[[Node], Node]:
    return ACTIVATIONS[section.text("activation", default)]


# ---- layers with weights ------------------------------------------------------------------------------------------


def _normalized(x: Node, arrays: Sequence[Any]) -> Node:
    """Of `biases`, or `biases, scales, means, variances`, as they stand in the file."""
    if len(arrays) == 1:
        return Add()(x, Reshape((-1, *(1,) * (len(x.shape) - 2)))(arrays[0]))
    biases, scales, means, variances = arrays
    return BatchNormalization(epsilon=EPSILON)(x, scales, biases, means, variances)


def _vectors(section: Section, count: int) -> tuple[tuple[int, ...], ...]:
    return ((count,),) * (4 if section.integer("batch_normalize", 0, 0) else 1)


def convolutional(s: Section, above: Above) -> Layer:
    """pad=1 is half of the window on each side, padding= so much."""
    channels, height, width = above.shape
    filters, size, groups = s.integer("filters"), s.integer("size", 1), s.integer("groups", 1)
    stride, dilation = s.integer("stride", 1), s.integer("dilation", 1) if size > 1 else 1
    strides = s.integer("stride_y", stride), s.integer("stride_x", stride)
    pad = (size // 2 if s.integer("pad", 0, 0) else s.integer("padding", 0, 0)) * dilation
    if channels % groups or filters % groups:
        problem = f"groups must divide {channels} channels and {filters} filters, got {groups}"
        raise s.error(problem, "groups=1, or as many as channels", "groups")
    counts = [(n + 2 * pad - (size - 1) * dilation - 1) // k + 1 for n, k in zip((height, width), strides, strict=True)]
    op = Conv(strides=strides, padding=(pad,) * 4, dilation=(dilation,) * 2, groups=groups)
    parameters = (*_vectors(s, filters), (filters, channels // groups, size, size))
    activation = _activation(s, "logistic")

    def build(inputs: Sequence[Node], arrays: Sequence[Any]) -> Node:
        return activation(_normalized(op(inputs[0], arrays[-1]), arrays[:-1]))

    return Layer(s, (filters, counts[0], counts[1]), build, (above.index - 1,), parameters)


def connected(s: Section, above: Above) -> Layer:
    """The weights are a row for each output; they come before what normalises."""
    inputs, outputs = math.prod(above.shape), s.integer("output")
    bias, *rest = _vectors(s, outputs)
    activation = _activation(s, "logistic")

    def build(nodes: Sequence[Node], arrays: Sequence[Any]) -> Node:
        flat = Reshape((1, inputs))(nodes[0])
        made = _normalized(Gemm(trans_b=True)(flat, arrays[1]), [arrays[0], *arrays[2:]])
        return Reshape((1, outputs, 1, 1))(activation(made))

    return Layer(s, (outputs, 1, 1), build, (above.index - 1,), (bias, (outputs, inputs), *rest))


# ---- layers without ------------------------------------------------------------------------------------------------


def maxpool(s: Section, above: Above) -> Layer:
    """Padding is for both sides together, by default one less than the window; an odd one puts more behind."""
    channels, *sides = above.shape
    stride = s.integer("stride", 1)
    size = s.integer("size", stride)
    strides = s.integer("stride_y", stride), s.integer("stride_x", stride)
    both = s.integer("padding", size - 1, 0)
    before, after = both // 2, both - both // 2
    counts = [(n + both - size) // k + 1 for n, k in zip(sides, strides, strict=True)]
    op = MaxPool(kernel=(size, size), strides=strides, padding=(before, before, after, after))
    if before >= size or after >= size:
        raise s.error(f"padding must leave each window an element, got {both}", f"padding={size - 1}", "padding")
    return Layer(s, (channels, counts[0], counts[1]), lambda x, _: op(x[0]), (above.index - 1,))


def avgpool(s: Section, above: Above) -> Layer:
    return Layer(s, (above.shape[0], 1, 1), lambda x, _: GlobalAveragePool()(x[0]), (above.index - 1,))


def shortcut(s: Section, above: Above) -> Layer:
    """The last output plus others; of one whose shape differs every k-th element of what both have."""
    others, activation = above.indices("from"), _activation(s, "linear")
    parts = [_part(s, above.of(k), above.shape) for k in others]

    def build(inputs: Sequence[Node], _: Sequence[Any]) -> Node:
        total = inputs[0]
        for other, part in zip(inputs[1:], parts, strict=True):
            total = Add()(total, part(other))
        return activation(total)

    return Layer(s, above.shape, build, (above.index - 1, *others))


def _part(s: Section, shape: Shape, wanted: Shape) -> Callable[[Node], Node]:
    """What a shortcut adds of an output of another shape: spread by a whole stride, cut, and zeros where it has
    nothing."""
    stride = max(shape[2] // wanted[2], 1)
    if shape[1] // wanted[1] != shape[2] // wanted[2] or wanted[2] // shape[2] > 1 or wanted[1] // shape[1] > 1:
        problem = f"expected heights and widths of one whole ratio, got {list(shape)} to add to {list(wanted)}"
        raise s.error(problem, "let from= name a layer of the same size, or larger", "from")
    if shape == wanted:
        return lambda x: x
    kept = [min(a, b) for a, b in zip(shape, wanted, strict=True)]
    ends = kept[0], (kept[1] - 1) * stride + 1, (kept[2] - 1) * stride + 1
    cut = Slice((0, 0, 0), ends, (1, 2, 3), (1, stride, stride))
    grow = Pad((0, 0, 0, *(b - a for a, b in zip(kept, wanted, strict=True))), 0.0, (1, 2, 3))
    return lambda x: grow(cut(x))


def route(s: Section, above: Above) -> Layer:
    """Outputs one after the other, along channels; of `groups` parts of each the one numbered `group_id`."""
    chosen = above.indices("layers")
    groups = s.integer("groups", 1)
    part = s.integer("group_id", 0, 0, groups - 1)
    shapes = [above.of(k) for k in chosen]
    if len({shape[1:] for shape in shapes}) > 1 or any(shape[0] % groups for shape in shapes):
        got = ", ".join(f"layer {k} {list(shape)}" for k, shape in zip(chosen[:8], shapes, strict=False))
        problem = f"expected outputs of one height and width, whose channels {groups} groups divide; got {got}"
        raise s.error(problem, "name other layers", "layers")
    counts = [shape[0] // groups for shape in shapes]

    def build(inputs: Sequence[Node], _: Sequence[Any]) -> Node:
        cuts = [Slice((part * n,), ((part + 1) * n,), (1,)) for n in counts]
        parts = inputs if groups == 1 else [cut(x) for cut, x in zip(cuts, inputs, strict=True)]
        return parts[0] if len(parts) == 1 else Concat(1)(*parts)

    return Layer(s, (sum(counts), *shapes[0][1:]), build, chosen)


def upsample(s: Section, above: Above) -> Layer:
    """Each element `stride` times, down and across."""
    (channels, height, width), stride, scale = above.shape, s.integer("stride", 2), s.number("scale", 1.0)
    shape = channels, height * stride, width * stride

    def build(inputs: Sequence[Node], _: Sequence[Any]) -> Node:
        cells = Reshape((1, channels, height, 1, width, 1))(inputs[0])
        made = Reshape((1, *shape))(Expand((1, channels, height, stride, width, stride))(cells))
        return made if scale == 1 else Mul()(made, const(scale))

    return Layer(s, shape, build, (above.index - 1,))


def reorg(s: Section, above: Above) -> Layer:
    """Pixels become channels, after memory is read as if it had fewer channels and larger sides, and before it is
    read back."""
    (channels, height, width), stride = above.shape, s.integer("stride", 1)
    area = stride * stride
    if channels % area or height % stride or width % stride:
        problem = (
            f"stride must divide height and width, and its square the channels of {list(above.shape)}, got {stride}"
        )
        raise s.error(problem, "stride=2, after a layer whose channels are a multiple of 4", "stride")
    shape = channels * area, height // stride, width // stride
    larger = Reshape((1, channels // area, height * stride, width * stride))

    def build(inputs: Sequence[Node], _: Sequence[Any]) -> Node:
        return Reshape((1, *shape))(SpaceToDepth(stride, "DCR")(larger(inputs[0])))

    return Layer(s, shape, build, (above.index - 1,))


def softmax(s: Section, above: Above) -> Layer:
    """Over all elements, or over each of `groups` equal parts of them."""
    count, groups, temperature = math.prod(above.shape), s.integer("groups", 1), s.number("temperature", 1.0)
    if count % groups or temperature <= 0:
        problem = f"groups must divide {count} elements and temperature be positive, got {groups} and {temperature}"
        raise s.error(problem, "groups=1", "groups")

    def build(inputs: Sequence[Node], _: Sequence[Any]) -> Node:
        rows = Reshape((groups, count // groups))(inputs[0])
        made = Softmax(axis=1)(rows if temperature == 1 else Mul()(rows, const(1 / temperature)))
        return Reshape((1, count, 1, 1))(made)

    return Layer(s, (count, 1, 1), build, (above.index - 1,))


def same(s: Section, above: Above) -> Layer:
    """What works in training only."""
    return Layer(s, above.shape, lambda x, _: x[0], (above.index - 1,))


# ---- detection -----------------------------------------------------------------------------------------------------


def yolo(s: Section, above: Above) -> Layer:
    """Of the anchors that `mask` names, which are in pixels of the network's picture."""
    count = s.integer("num", 1, high=MOST_CLASSES)
    mask = s.integers("mask", 0, count - 1) or list(range(count))
    sizes = (above.picture[2], above.picture[1])
    anchors = _anchors(s, count, sizes)
    new = bool(s.integer("new_coords", 0, 0))
    head = Head(f"yolo_{above.index}", s.integer("classes", 20, 1, MOST_CLASSES), tuple(anchors[k] for k in mask), new)
    return _detection(s, above, head, 4, s.number("scale_x_y", 1.0), softmax=False)


def region(s: Section, above: Above) -> Layer:
    """Of all anchors, which are in cells; of each place one class, where `softmax` says so."""
    count = s.integer("num", 1, high=MOST_CLASSES)
    anchors = _anchors(s, count, (above.shape[2], above.shape[1]))
    head = Head(f"region_{above.index}", s.integer("classes", 20, 1, MOST_CLASSES), tuple(anchors))
    return _detection(s, above, head, s.integer("coords", 4), 1.0, softmax=bool(s.integer("softmax", 0, 0)))


def _anchors(s: Section, count: int, sizes: tuple[int, int]) -> list[tuple[float, float]]:
    """Width and height of `count` anchors, as fractions of what measures `sizes` in their unit."""
    found = s.numbers("anchors")
    if len(found) < 2 * count or min(found, default=0) <= 0:
        problem = f"anchors must be {2 * count} positive numbers, two for each of num={count}, got {len(found)}"
        raise s.error(problem, "width, height, width, height, ...", "anchors")
    return [(found[2 * k] / sizes[0], found[2 * k + 1] / sizes[1]) for k in range(count)]


def _detection(s: Section, above: Above, head: Head, coords: int, scale: float, softmax: bool) -> Layer:
    (channels, height, width), count, classes = above.shape, len(head.anchors), head.classes
    if coords != 4 or channels != count * (5 + classes):
        wanted = f"{count} * (4 + 1 + {classes}) = {count * (5 + classes)}"
        problem = f"expected {wanted} channels of {count} anchors, got {channels}"
        raise s.error(problem, "set filters= of the layer above, or classes= and the anchors here", "classes")

    def build(inputs: Sequence[Node], _: Sequence[Any]) -> Node:
        cells = Reshape((1, count, 5 + classes, height, width))(inputs[0])
        place, size, sure, kinds = (
            Slice((a,), (b,), (2,))(cells) for a, b in ((0, 2), (2, 4), (4, 5), (5, 5 + classes))
        )
        if not head.squared:  # else the convolution above has done so
            place, sure = Sigmoid()(place), Sigmoid()(sure)
            kinds = Softmax(axis=2)(kinds) if softmax else Sigmoid()(kinds)
        if scale != 1:  # so that a cell's centre may reach its edges
            place = Sub()(Mul()(place, const(scale)), const((scale - 1) / 2))
        return Reshape((1, channels, height, width))(Concat(2)(place, size, sure, kinds))

    return Layer(s, above.shape, build, (above.index - 1,), head=head)


LAYERS: dict[str, Callable[[Section, Above], Layer]] = {
    "convolutional": convolutional, "conv": convolutional, "connected": connected, "conn": connected,
    "maxpool": maxpool, "max": maxpool, "avgpool": avgpool, "avg": avgpool, "shortcut": shortcut, "route": route,
    "upsample": upsample, "reorg": reorg, "softmax": softmax, "soft": softmax, "dropout": same, "cost": same,
    "yolo": yolo, "region": region,
}  # fmt: skip
REFUSED: dict[str, tuple[str, ...]] = {  # options of layers that change the answer in ways that are not here
    "convolutional": ("binary", "xnor", "flipped", "antialiasing", "assisted_excitation", "share_index", "sway",
                      "rotate", "stretch", "stretch_sway"),
    "maxpool": ("maxpool_depth", "antialiasing"),
    "shortcut": ("weights_type",),
    "route": ("stream",),
    "reorg": ("reverse", "flatten", "extra"),
    "softmax": ("tree", "spatial"),
    "region": ("tree", "map", "background"),
}  # fmt: skip


def lacking(section: Section) -> list[str]:
    """What of a section is not supported: its kind, its activation, or an option."""
    if section.kind not in LAYERS:
        return [f"[{section.kind}]"]
    name = LAYERS[section.kind].__name__
    found = [
        f"[{section.kind}] with {key}={text[:40]}"
        for key in REFUSED.get(name, ())
        if (text := section.text(key, "0")) not in ("0", "none", "")
    ]
    activation = section.text("activation", "linear")
    return found if activation in ACTIVATIONS else [*found, f"activation={activation[:40]}"]
