"""Every operator of TensorFlow Lite that is translated, against LiteRT: attributes and shapes drawn, float and int8."""

import numpy as np
import pytest
from flatbuffers import flexbuffers
from hypothesis import given
from hypothesis import strategies as st

from minicc.frontend import load
from minicc.frontend.tflite.load import TRANSLATIONS
from minicc.graph.interpret import evaluate
from minicc.testing.tflite_models import TfliteModel
from tests.frontend.litert import litert

pytestmark = pytest.mark.jobs
pytest.importorskip("ai_edge_litert")

CASES = {}  # operator: a function that draws (model, inputs, outputs, arrays)


class Case:
    """Draws one operator: inputs, constants, and arrays for the inputs."""

    def __init__(self, draw, quantised=False):
        self.draw, self.net, self.inputs, self.arrays = draw, TfliteModel(), [], []
        self.quantised, self.each = quantised, 0
        self.rng = np.random.default_rng(draw(st.integers(0, 2**31)))

    def integer(self, low, high):
        return self.draw(st.integers(low, high))

    def choice(self, *options):
        return self.draw(st.sampled_from(options))

    def shape(self, low=1, high=4, most=5):
        return tuple(self.draw(st.lists(st.integers(1, most), min_size=low, max_size=high)))

    def input(self, shape, dtype="float32", low=-2.0, high=2.0):
        """An input with values between the bounds, quantised where the case is."""
        if dtype == "float32" and self.quantised:
            scale, zero = float(np.float32((high - low) / 255)), round(-128 - low / ((high - low) / 255))
            index = self.net.tensor(shape, "int8", scale=[scale], zero=[zero])
            array = self.rng.integers(-128, 128, shape).astype(np.int8)
        else:
            index = self.net.tensor(shape, dtype)
            if dtype == "bool":
                array = self.rng.random(shape) < 0.5
            elif dtype.startswith(("int", "uint")):
                array = self.rng.integers(int(low), int(high) + 1, shape).astype(dtype)
            else:
                array = self.rng.uniform(low, high, shape).astype(dtype)
        self.inputs.append(index)
        self.arrays.append(array)
        return index

    def weights(self, shape, axis=0):
        """Constant weights, with a scale for each part of `axis` where the case is quantised."""
        values = self.rng.uniform(-1, 1, shape).astype(np.float32)
        if not self.quantised:
            return self.net.constant(values)
        scales = self.rng.uniform(0.004, 0.01, shape[axis]).astype(np.float32)
        ints = self.rng.integers(-127, 128, shape).astype(np.int8)
        return self.net.constant(ints, "int8", scale=scales, zero=np.zeros(shape[axis]), axis=axis)

    def bias(self, count, x, w):
        if not self.quantised:
            return self.net.constant(self.rng.uniform(-1, 1, count))
        scales = np.float32(self.net.tensors[x].scale[0]) * np.asarray(self.net.tensors[w].scale, np.float32)
        ints = self.rng.integers(-2000, 2000, count)
        return self.net.constant(ints, "int32", scale=scales, zero=np.zeros(len(scales)))

    def op(self, kind, inputs, options="", scale=0.05, zero=3, like=None, **rest):
        """The operator, its result with a quantisation of its own or that of `like`."""
        result = self.net.op(kind, inputs, options, like=like, **rest)
        if self.quantised and like is None:
            for index in np.atleast_1d(result):
                tensor = self.net.tensors[index]
                if tensor.dtype == "int8":
                    tensor.scale, tensor.zero = [scale], [zero]
        return result


def case(*kinds, quantised=True):
    def register(draw):
        for kind in kinds:
            CASES[kind] = draw, quantised
        return draw

    return register


def agree(case, outputs, steps=1):
    model = case.net.write(case.inputs, outputs)
    graph = load(model)
    expected = litert(model, case.arrays)
    got = evaluate(graph, dict(zip(graph.input_names, case.arrays, strict=True)))
    if case.each:  # what is behind the results that are there is anything in LiteRT, and 0 here
        there = int(expected[-1][0]) * case.each
        assert not any(np.any(v[:, there:]) for v in list(got.values())[:-1])
        got = {k: v if v.shape == (1,) else v[:, :there] for k, v in got.items()}
        expected = [v if v.shape == (1,) else v[:, :there] for v in expected]
    for ours, theirs in zip(got.values() if isinstance(got, dict) else got, expected, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        if ours.dtype == np.int8:
            assert np.abs(ours.astype(int) - theirs.astype(int)).max(initial=0) <= steps
        elif ours.dtype.kind in "iub":
            np.testing.assert_array_equal(ours, theirs)
        else:
            np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=2e-5)


ACTIVATIONS = (0, 1, 2, 3)


@case("CONV_2D")
def conv(c, kind):
    n, h, w, groups = c.integer(1, 2), c.integer(3, 8), c.integer(3, 8), c.choice(1, 1, 1, 2) if not c.quantised else 1
    each, o = c.integer(1, 4), c.integer(1, 3) * groups
    x, k = c.input((n, h, w, each * groups)), c.weights((o, c.integer(1, 3), c.integer(1, 3), each))
    dilation, stride = c.choice((1, 1), (2, 1)), c.integer(1, 2)
    padding = 0 if dilation != (1, 1) else c.integer(0, 1)
    fields = {
        "DilationHFactor": dilation[0],
        "DilationWFactor": dilation[1],
        "StrideH": stride,
        "StrideW": c.integer(1, 3),
    }
    inputs = [x, k, c.bias(o, x, k)]
    return c.op(
        kind, inputs, "Conv2DOptions", Padding=padding, FusedActivationFunction=c.choice(*ACTIVATIONS), **fields
    )


@case("DEPTHWISE_CONV_2D")
def depthwise(c, kind):
    channels, multiplier = c.integer(1, 4), c.integer(1, 3)
    x = c.input((c.integer(1, 2), c.integer(3, 8), c.integer(3, 8), channels))
    k = c.weights((1, c.integer(1, 3), c.integer(1, 3), channels * multiplier), axis=3)
    fields = {
        "DepthMultiplier": multiplier,
        "StrideH": (s := c.integer(1, 2)),
        "StrideW": s,
        "Padding": c.integer(0, 1),
    }
    inputs = [x, k, c.bias(channels * multiplier, x, k)]
    fused = c.choice(*ACTIVATIONS)
    return c.op(kind, inputs, "DepthwiseConv2DOptions", FusedActivationFunction=fused, **fields)


@case("TRANSPOSE_CONV")
def transpose_conv(c, kind):
    n, h, w, i, o = 1, c.integer(1, 5), c.integer(1, 5), c.integer(1, 3), c.integer(1, 3)
    stride, same = c.integer(1, 3), c.integer(0, 1)
    kernel = [c.integer(1, 4) for _ in range(2)]
    sizes = [
        size * stride - (c.integer(0, stride - 1) if size > 1 else 0)
        if same == 0
        else (size - 1) * stride + k + c.integer(0, stride - 1)
        for size, k in zip((h, w), kernel, strict=True)
    ]
    x, k = c.input((n, h, w, i)), c.weights((o, *kernel, i))
    shape = c.net.constant([n, *sizes, o], "int32")
    inputs = [shape, k, x] + ([c.bias(o, x, k)] if c.choice(True, False) else [])
    dtype = "int8" if c.quantised else "float32"
    return c.op(
        kind, inputs, "TransposeConvOptions", Padding=same, StrideH=stride, StrideW=stride, result={"dtype": dtype}
    )


@case("AVERAGE_POOL_2D", "MAX_POOL_2D")
def pool(c, kind):
    x = c.input((c.integer(1, 2), c.integer(3, 8), c.integer(3, 8), c.integer(1, 3)))
    fields = {"FilterHeight": c.integer(1, 3), "FilterWidth": c.integer(1, 3), "StrideH": c.integer(1, 2),
              "StrideW": c.integer(1, 2), "Padding": c.integer(0, 1), "FusedActivationFunction": c.choice(*ACTIVATIONS)}  # fmt: skip
    return c.op(kind, [x], "Pool2DOptions", like=x, **fields)


@case("L2_POOL_2D", quantised=False)
def l2_pool(c, kind):
    x = c.input((c.integer(1, 2), c.integer(3, 8), c.integer(3, 8), c.integer(1, 3)))
    return c.op(
        kind,
        [x],
        "Pool2DOptions",
        FilterHeight=2,
        FilterWidth=c.integer(1, 3),
        StrideH=2,
        StrideW=1,
        Padding=c.integer(0, 1),
    )


@case("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR")
def resize(c, kind):
    x = c.input((c.integer(1, 2), c.integer(1, 6), c.integer(1, 6), c.integer(1, 3)))
    align, half = c.choice((0, 0), (1, 0), (0, 1))
    size = c.net.constant([c.integer(1, 9), c.integer(1, 9)], "int32")
    options = "ResizeBilinearOptions" if kind == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    return c.op(kind, [x, size], options, like=x, AlignCorners=align, HalfPixelCenters=half)


@case("LOCAL_RESPONSE_NORMALIZATION", quantised=False)
def lrn(c, kind):
    x = c.input((1, 2, 3, c.integer(1, 7)))
    return c.op(kind, [x], "LocalResponseNormalizationOptions", Radius=c.integer(0, 3), Bias=1.5, Alpha=0.3, Beta=0.7)


@case("DEPTH_TO_SPACE", "SPACE_TO_DEPTH")
def blocks(c, kind):
    block, h, w, d = 2, c.integer(1, 3), c.integer(1, 3), c.integer(1, 3)
    x = c.input((1, h, w, 4 * d) if kind == "DEPTH_TO_SPACE" else (1, 2 * h, 2 * w, d))
    options = "DepthToSpaceOptions" if kind == "DEPTH_TO_SPACE" else "SpaceToDepthOptions"
    return c.op(kind, [x], options, like=x, BlockSize=block)


@case("SPACE_TO_BATCH_ND")
def space_to_batch(c, kind):
    block, (h, w) = [c.integer(1, 3), 2], (c.integer(1, 4), c.integer(1, 4))
    pads = [[(b := c.integer(0, 2)), -(h + b) % block[0]], [(b := c.integer(0, 2)), -(w + b) % block[1]]]
    x = c.input((c.integer(1, 2), h, w, c.integer(1, 3)))
    return c.op(kind, [x, c.net.constant(block, "int32"), c.net.constant(pads, "int32")], like=x)


@case("BATCH_TO_SPACE_ND")
def batch_to_space(c, kind):
    block = [c.integer(1, 3), 2]
    x = c.input((block[0] * 2 * c.integer(1, 2), c.integer(2, 4), c.integer(2, 4), c.integer(1, 3)))
    crops = c.net.constant([[c.integer(0, 1), 0], [0, c.integer(0, 2)]], "int32")
    return c.op(kind, [x, c.net.constant(block, "int32"), crops], like=x)


@case("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE")
def binary(c, kind):
    shape = c.shape(1, 4)
    other = tuple(1 if c.choice(True, False, False) else d for d in shape)[c.integer(0, 1) :]
    if c.quantised and kind == "DIV":
        kind = "MUL"
    a = c.input(shape)
    b = c.input(other, low=0.5, high=2.0) if kind == "DIV" else c.input(other)
    sides = [a, b] if c.choice(True, False) or kind == "DIV" else [b, a]
    same = kind in ("MAXIMUM", "MINIMUM")
    if kind in ("ADD", "SUB", "MUL", "DIV"):
        name = f"{kind.title()}Options"
        return c.op(kind, sides, name, FusedActivationFunction=c.choice(*ACTIVATIONS))
    return c.op(kind, sides, like=a if same else None)


@case("POW", quantised=False)
def power(c, kind):
    x = c.input(shape := c.shape(1, 3), low=0.1)
    return c.op(kind, [x, c.input(shape)])


@case("FLOOR_DIV", "FLOOR_MOD", quantised=False)
def floor(c, kind):
    dtype, shape = c.choice("float32", "int32"), c.shape(1, 3)
    a, b = c.input(shape, dtype, -9, 9), c.input(shape, dtype, *c.choice((1, 5), (-5, -1)))
    return c.op(kind, [a, b])


@case("ADD_N", quantised=False)
def add_n(c, kind):
    shape = c.shape()
    return c.op(kind, [c.input(shape) for _ in range(c.integer(2, 4))])


@case("EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL")
def comparison(c, kind):
    dtype, shape = "float32" if c.quantised else c.choice("float32", "int32"), c.shape()
    a = c.input(shape, dtype)
    b = c.input(shape, dtype)
    if c.quantised:
        c.net.tensors[b].scale, c.net.tensors[b].zero = c.net.tensors[a].scale, c.net.tensors[a].zero
    return c.op(kind, [a, b], result={"dtype": "bool"})


@case("LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT", quantised=False)
def logical(c, kind):
    shape = c.shape()
    return c.op(kind, [c.input(shape, "bool") for _ in range(1 if kind == "LOGICAL_NOT" else 2)])


@case("ABS", "CEIL", "COS", "EXP", "FLOOR", "NEG", "ROUND", "SIGN", "SIN", "SQUARE", "ELU", quantised=False)
def unary(c, kind):
    return c.op(kind, [c.input(c.shape(), low=-3, high=3)])


@case("LOG", "SQRT", "RSQRT", quantised=False)
def positive(c, kind):
    return c.op(kind, [c.input(c.shape(), low=0.1, high=5)])


@case("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "HARD_SWISH")
def activation(c, kind):
    if c.quantised and kind == "RELU_0_TO_1":
        kind = "RELU"
    return c.op(kind, [c.input(c.shape(), low=-8, high=8)])


@case("LOGISTIC", "TANH")
def squashed(c, kind):
    scale, zero = (1 / 256, -128) if kind == "LOGISTIC" else (1 / 128, 0)
    return c.op(kind, [c.input(c.shape(), low=-6, high=6)], scale=scale, zero=zero)


@case("GELU", quantised=False)
def gelu(c, kind):
    return c.op(kind, [c.input(c.shape())], "GeluOptions", Approximate=c.choice(True, False))


@case("LEAKY_RELU")
def leaky(c, kind):
    return c.op(kind, [c.input(c.shape())], "LeakyReluOptions", Alpha=c.choice(0.1, 0.3))


@case("PRELU")
def prelu(c, kind):
    x = c.input((1, c.integer(1, 4), c.integer(1, 4), d := c.integer(1, 5)))
    w = c.weights((1, 1, d))
    c.net.tensors[w].scale, c.net.tensors[w].zero = ([0.01], [0]) if c.quantised else (None, 0)
    return c.op(kind, [x, w])


@case("SOFTMAX", "LOG_SOFTMAX")
def softmax(c, kind):
    scale, zero = (1 / 256, -128) if kind == "SOFTMAX" else (16 / 256, 127)
    x = c.input(c.shape(1, 3, 9), low=-4, high=4)
    options, fields = (
        ("SoftmaxOptions", {"Beta": 1.0 if c.quantised else c.choice(1.0, 0.5)})
        if kind == "SOFTMAX"
        else ("LogSoftmaxOptions", {})
    )
    return c.op(kind, [x], options, scale=scale, zero=zero, **fields)


@case("L2_NORMALIZATION")
def l2(c, kind):
    return c.op(kind, [c.input(c.shape(2, 4, 6))], "L2NormOptions", scale=1 / 128, zero=0)


def axes(c, rank):
    return c.net.constant(sorted(c.draw(st.sets(st.integers(0, rank - 1), min_size=1))), "int32")


@case("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN")
def reduction(c, kind):
    x = c.input(shape := c.shape(2, 4, 6))
    like = x if kind.startswith("REDUCE") else None
    return c.op(kind, [x, axes(c, len(shape))], "ReducerOptions", like=like, KeepDims=c.choice(True, False))


@case("REDUCE_PROD", quantised=False)
def product(c, kind):
    x = c.input(shape := c.shape(2, 3))
    return c.op(kind, [x, axes(c, len(shape))], "ReducerOptions", KeepDims=c.choice(True, False))


@case("REDUCE_ALL", "REDUCE_ANY", quantised=False)
def reduction_of_bools(c, kind):
    x = c.input(shape := c.shape(2, 4, 3), "bool")
    return c.op(kind, [x, axes(c, len(shape))], "ReducerOptions", KeepDims=c.choice(True, False))


@case("ARG_MAX", "ARG_MIN")
def arg(c, kind):
    x = c.input(shape := c.shape(1, 4, 6))
    axis = c.net.constant(c.integer(-len(shape), len(shape) - 1), "int32")
    name = "ArgMaxOptions" if kind == "ARG_MAX" else "ArgMinOptions"
    dtype, code = c.choice(("int32", 2), ("int64", 4))
    return c.op(kind, [x, axis], name, result={"dtype": dtype}, OutputType=code)


@case("TOPK_V2", quantised=False)
def top_k(c, kind):
    x = c.input(shape := c.shape(1, 3, 6))
    both = c.op(kind, [x, c.net.constant(c.integer(1, shape[-1]), "int32")], results=2)
    c.net.tensors[both[1]].dtype = "int32"
    return both


@case("CUMSUM", quantised=False)
def cumsum(c, kind):
    x = c.input(shape := c.shape(1, 3, 6))
    axis = c.net.constant(c.integer(0, len(shape) - 1), "int32")
    return c.op(kind, [x, axis], "CumsumOptions", Exclusive=c.choice(True, False), Reverse=c.choice(True, False))


@case("FULLY_CONNECTED")
def fully_connected(c, kind):
    x = c.input((*c.shape(1, 2, 4), depth := c.integer(1, 9)))
    w = c.weights((o := c.integer(1, 6), depth))
    inputs = [x, w] + ([c.bias(o, x, w)] if c.choice(True, False) else [])
    keep = c.choice(True, False)
    return c.op(kind, inputs, "FullyConnectedOptions", KeepNumDims=keep, FusedActivationFunction=c.choice(*ACTIVATIONS))


@case("BATCH_MATMUL")
def batch_matmul(c, kind):
    batch, m, k, n = c.shape(1, 2, 3), c.integer(1, 5), c.integer(1, 5), c.integer(1, 5)
    left, right = c.choice(True, False), c.choice(True, False)
    a = c.input((*batch, *((k, m) if left else (m, k))))
    b = c.input((*batch, *((n, k) if right else (k, n))))
    return c.op(kind, [a, b], "BatchMatMulOptions", AdjX=left, AdjY=right)


@case("RESHAPE")
def reshape(c, kind):
    x = c.input(shape := c.shape(1, 4))
    new = [int(np.prod(shape[1:])), -1] if c.choice(True, False) else [*shape, 1]
    return c.op(kind, [x, c.net.constant(new, "int32")], "ReshapeOptions", like=x, NewShape=new)


@case("SQUEEZE")
def squeeze(c, kind):
    x = c.input((1, c.integer(1, 3), 1, c.integer(2, 3)))
    return c.op(kind, [x], "SqueezeOptions", like=x, SqueezeDims=list(c.choice((0,), (2,), (0, 2), (-2,), ())))


@case("EXPAND_DIMS")
def expand_dims(c, kind):
    x = c.input(shape := c.shape(1, 3))
    return c.op(kind, [x, c.net.constant(c.integer(-1, len(shape)), "int32")], like=x)


@case("CONCATENATION")
def concatenation(c, kind):
    shape = list(c.shape(1, 4))
    axis, parts = c.integer(0, len(shape) - 1), []
    for _ in range(c.integer(1, 4)):
        shape[axis] = c.integer(1, 4)
        parts.append(c.input(tuple(shape)))
    return c.op(kind, parts, "ConcatenationOptions", like=parts[0], Axis=c.choice(axis, axis - len(shape)))


@case("SPLIT")
def split(c, kind):
    shape, parts = list(c.shape(1, 3)), c.integer(1, 3)
    axis = c.integer(0, len(shape) - 1)
    shape[axis] *= parts
    x = c.input(tuple(shape))
    at = c.net.constant(c.choice(axis, axis - len(shape)), "int32")
    return c.op(
        kind, [at, x], "SplitOptions", results=parts, like=x, result={"dtype": c.net.tensors[x].dtype}, NumSplits=parts
    )


@case("SPLIT_V")
def split_v(c, kind):
    sizes, shape = [c.integer(1, 3) for _ in range(c.integer(1, 3))], list(c.shape(1, 3))
    axis = c.integer(0, len(shape) - 1)
    shape[axis] = sum(sizes)
    x = c.input(tuple(shape))
    if c.choice(True, False):
        sizes[c.integer(0, len(sizes) - 1)] = -1
    inputs = [x, c.net.constant(sizes, "int32"), c.net.constant(axis, "int32")]
    return c.op(kind, inputs, "SplitVOptions", results=len(sizes), like=x, NumSplits=len(sizes))


@case("SLICE")
def slice_(c, kind):
    x = c.input(shape := c.shape(1, 4))
    begin = [c.integer(0, d - 1) for d in shape]
    size = [c.choice(-1, c.integer(1, d - b)) for d, b in zip(shape, begin, strict=True)]
    return c.op(kind, [x, c.net.constant(begin, "int32"), c.net.constant(size, "int32")], like=x)


@case("STRIDED_SLICE")
def strided_slice(c, kind):
    shape = c.shape(1, 4)
    x = c.input(shape)
    masks, rows, axis = (
        dict.fromkeys(("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask"), 0),
        [],
        0,
    )
    bit, ellipsis = 0, False
    while axis < len(shape) and c.integer(0, 5):
        what = c.choice("cut", "cut", "cut", "shrink", "new", "ellipsis")
        row = (0, 1, 1)
        if what == "new":
            masks["NewAxisMask"] |= 1 << bit
        elif what == "ellipsis" and not ellipsis and axis < len(shape):
            masks["EllipsisMask"] |= 1 << bit
            ellipsis = True
            axis += c.integer(1, len(shape) - axis)  # LiteRT takes one that stands for no axis for one
            remaining = len(shape) - axis
            rows.append(row)
            bit += 1
            for _ in range(remaining):
                rows.append((0, shape[axis], 1))
                axis, bit = axis + 1, bit + 1
            break
        else:
            d = shape[axis]
            begin = c.integer(-d, d - 1)
            if what == "shrink":
                masks["ShrinkAxisMask"] |= 1 << bit
                row = (begin, begin + 1, 1)
            else:
                first = begin % d
                step = c.choice(1, 1, 2, -1)
                end = (
                    c.integer(first + 1, d) if step > 0 else c.integer(0, max(first - 1, 0)) - (d if first == 0 else 0)
                )
                if step < 0 and first == 0:
                    masks["EndMask"] |= 1 << bit
                masks["BeginMask"] |= c.integer(0, 1) << bit if step > 0 else 0
                masks["EndMask"] |= c.integer(0, 1) << bit
                row = (begin, end, step)
            axis += 1
        rows.append(row)
        bit += 1
    if not rows:
        rows = [(0, shape[0], 1)]
    parts = [c.net.constant([row[k] for row in rows], "int32") for k in range(3)]
    return c.op(kind, [x, *parts], "StridedSliceOptions", like=x, **masks)


@case("GATHER")
def gather(c, kind):
    x = c.input(shape := c.shape(2, 4))
    batch = c.integer(0, 1)
    axis = batch if batch else c.integer(0, len(shape) - 1)
    places = c.rng.integers(0, shape[axis], (shape[0], 3) if batch else c.shape(1, 2))
    return c.op(kind, [x, c.net.constant(places, "int32")], "GatherOptions", like=x, Axis=axis, BatchDims=batch)


@case("GATHER_ND")
def gather_nd(c, kind):
    x = c.input(shape := c.shape(1, 4))
    depth = c.integer(1, len(shape))
    places = np.stack([c.rng.integers(0, d, 3) for d in shape[:depth]], -1)
    return c.op(kind, [x, c.net.constant(places, "int32")], like=x)


@case("EMBEDDING_LOOKUP", quantised=False)
def embedding(c, kind):
    ids = c.input((c.integer(1, 5),), "int32", 0, 3)
    return c.op(kind, [ids, c.weights((4, c.integer(1, 5)))], result={"dtype": "float32"})


@case("PACK")
def pack(c, kind):
    shape, count = c.shape(1, 3), c.integer(1, 3)
    parts = [c.input(shape) for _ in range(count)]
    return c.op(
        kind, parts, "PackOptions", like=parts[0], Axis=c.integer(-len(shape) - 1, len(shape)), ValuesCount=count
    )


@case("UNPACK")
def unpack(c, kind):
    x = c.input(shape := c.shape(1, 4))
    axis = c.integer(0, len(shape) - 1)
    return c.op(kind, [x], "UnpackOptions", results=shape[axis], like=x, Axis=axis, Num=shape[axis])


@case("PAD", "PADV2")
def pad(c, kind):
    x = c.input(shape := c.shape(1, 4))
    pads = c.net.constant([[c.integer(0, 2), c.integer(0, 2)] for _ in shape], "int32")
    if kind == "PAD":
        return c.op(kind, [x, pads], like=x)
    source = c.net.tensors[x]
    value = c.net.constant([5], source.dtype, scale=source.scale, zero=source.zero)
    return c.op(kind, [x, pads, value], like=x)


@case("MIRROR_PAD")
def mirror_pad(c, kind):
    mode = c.integer(0, 1)
    x = c.input(shape := c.shape(1, 4))
    pads = [[c.integer(0, d - (not mode)), c.integer(0, d - (not mode))] for d in shape]
    return c.op(kind, [x, c.net.constant(pads, "int32")], "MirrorPadOptions", like=x, Mode=mode)


@case("REVERSE_V2", quantised=False)
def reverse(c, kind):
    x = c.input(shape := c.shape(1, 4))
    return c.op(kind, [x, c.net.constant([c.integer(0, len(shape) - 1)], "int32")])


@case("REVERSE_SEQUENCE", quantised=False)
def reverse_sequence(c, kind):
    x = c.input((n := c.integer(1, 3), t := c.integer(1, 5), 2))
    lengths = c.input((n,), "int32", 1, t)
    return c.op(kind, [x, lengths], "ReverseSequenceOptions", SeqDim=1, BatchDim=0)


@case("SHAPE", "RANK", quantised=False)
def shape_of(c, kind):
    x = c.input(c.shape())
    return c.op(
        kind,
        [x],
        *(["ShapeOptions"] if kind == "SHAPE" else []),
        result={"dtype": "int32"},
        **({"OutType": 2} if kind == "SHAPE" else {}),
    )


@case("ZEROS_LIKE", quantised=False)
def zeros_like(c, kind):
    return c.op(kind, [c.input(c.shape())])


@case("FILL", quantised=False)
def fill(c, kind):
    dims = c.net.constant(c.shape(), "int32")
    return c.op(kind, [dims, c.input(())], result={"dtype": "float32"})


@case("RANGE", quantised=False)
def range_(c, kind):
    return c.op(kind, [c.net.constant(n, "int32") for n in (c.integer(-3, 3), c.integer(4, 9), c.integer(1, 3))])


@case("BROADCAST_TO", quantised=False)
def broadcast_to(c, kind):
    shape = c.shape(1, 3)
    x = c.input(tuple(1 if c.choice(True, False) else d for d in shape))
    return c.op(kind, [x, c.net.constant([2, *shape], "int32")])


@case("TILE", quantised=False)
def tile(c, kind):
    x = c.input(shape := c.shape(1, 3))
    return c.op(kind, [x, c.net.constant([c.integer(1, 3) for _ in shape], "int32")])


@case("TRANSPOSE")
def transpose(c, kind):
    x = c.input(shape := c.shape(2, 4))
    return c.op(kind, [x, c.net.constant(c.draw(st.permutations(range(len(shape)))), "int32")], like=x)


@case("SELECT", "SELECT_V2", quantised=False)
def select(c, kind):
    shape = c.shape(1, 3)
    condition = c.input(shape[:1] if kind == "SELECT" and c.choice(True, False) else shape, "bool")
    return c.op(kind, [condition, c.input(shape), c.input(shape)], result={"dtype": "float32", "shape": shape})


@case("SCATTER_ND", quantised=False)
def scatter_nd(c, kind):
    places = c.net.constant(c.rng.integers(0, 4, (5, 1)), "int32")
    inputs = [places, c.input((5, d := c.integer(1, 3))), c.net.constant([4, d], "int32")]
    return c.op(kind, inputs, result={"dtype": "float32"})


@case("ONE_HOT", quantised=False)
def one_hot(c, kind):
    x = c.input(shape := c.shape(1, 2), "int32", -1, 4)
    inputs = [x, c.net.constant(4, "int32"), c.net.constant(2.0), c.net.constant(-1.0)]
    return c.op(kind, inputs, "OneHotOptions", result={"dtype": "float32"}, Axis=c.integer(-1, len(shape)))


@case("CAST", quantised=False)
def cast(c, kind):
    x = c.input(c.shape(), c.choice("float32", "int32", "bool"), -5, 5)
    return c.op(kind, [x], result={"dtype": c.choice("float32", "int32", "int64", "bool")})


@case("QUANTIZE", quantised=False)
def quantize(c, kind):
    x = c.input(c.shape())
    result = c.op(kind, [x], result={"dtype": "int8"})
    c.net.tensors[result].scale, c.net.tensors[result].zero = [0.013], [-7]
    return result


@case("DEQUANTIZE", quantised=False)
def dequantize(c, kind):
    if c.choice(True, False):
        return c.op(kind, [c.net.constant(c.rng.random(c.shape()), "float16")], result={"dtype": "float32"})
    c.quantised = True
    return c.net.op(kind, [c.input(c.shape())], result={"dtype": "float32"})


@case("DENSIFY", quantised=False)
def densify(c, kind):
    rows = [[0], *(sorted(c.draw(st.sets(st.integers(0, 3)))) for _ in range(c.integer(1, 3)))]
    ends, places = np.cumsum([0, *map(len, rows)]), [k for row in rows for k in row]
    if c.choice(True, False):  # blocks of two columns
        sparsity = ([0, 1, 2], [1], [len(rows), (ends, places), 2])
        shape, count = (len(rows), 8), 2 * len(places)
    else:
        sparsity, shape, count = ([0, 1], [], [len(rows), (ends, places)]), (len(rows), 4), len(places)
    values = c.rng.uniform(1, 2, count).astype(np.float32)
    w = c.net.tensor(shape, "float32", values, sparsity=sparsity)
    dense = c.op(kind, [w], result={"shape": shape})
    return c.op("ADD", [c.input(shape), dense], "AddOptions")


@case("TFLite_Detection_PostProcess", quantised=False)
def detection(c, kind):
    count, classes, background = c.integer(1, 12), c.integer(1, 4), c.integer(0, 1)
    regular = c.choice(True, False)
    c.each = several = 1 if regular else c.integer(1, classes)
    fields = {"max_detections": c.integer(1, 6), "max_classes_per_detection": several, "detections_per_class": c.integer(1, 5),
              "use_regular_nms": regular, "nms_score_threshold": c.choice(0.05, 0.4), "nms_iou_threshold": c.choice(0.3, 0.5),
              "num_classes": classes, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0, "w_scale": 5.0}  # fmt: skip
    offsets, scores = c.input((1, count, 4), low=-2, high=2), c.input((1, count, classes + background), low=0, high=1)
    anchors = c.net.constant(c.rng.uniform(0.2, 0.6, (count, 4)))
    custom = bytes(flexbuffers.Dumps(fields))
    return c.op(f"custom:{kind}", [offsets, scores, anchors], results=4, custom=custom, result={"dtype": "float32"})


@case("NON_MAX_SUPPRESSION_V4", "NON_MAX_SUPPRESSION_V5", quantised=False)
def suppression(c, kind):
    count = c.integer(1, 12)
    boxes, scores = c.input((count, 4), low=0, high=4), c.input((count,), low=0, high=1)
    numbers = [
        c.net.constant(c.integer(1, count), "int32"),
        c.net.constant(c.choice(0.2, 0.5)),
        c.net.constant(c.choice(0.0, 0.3)),
    ]
    soft = [c.net.constant(0.0)] if kind.endswith("V5") else []
    results = c.op(kind, [boxes, scores, *numbers, *soft], results=2 + len(soft), result={"dtype": "int32"})
    if soft:
        c.net.tensors[results[1]].dtype = "float32"
    return results


def test_every_operator_has_a_case():
    assert set(TRANSLATIONS) == set(CASES)


@pytest.mark.parametrize("kind", sorted(CASES))
@given(data=st.data())
def test_an_operator_means_what_litert_says(kind, data):
    draw, quantised = CASES[kind]
    c = Case(data.draw, quantised and data.draw(st.booleans()))
    outputs = draw(c, kind)
    agree(c, list(np.atleast_1d(outputs)))
