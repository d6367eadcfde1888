"""Quantised networks compute on integers, and give what the reference of ONNX gives.

Scales that are powers of two make every sum and quotient exact, ties included, so that nothing but equality will do;
of other scales a result may be one step off where it lies between two.
"""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import minicc
from minicc.compile import optimize
from minicc.frontend import load
from minicc.graph.interpret import evaluate
from minicc.graph.ir import Graph, Kernel, constant, input
from minicc.graph.quantize_products import quantize_products
from minicc.graph.requantize import requantize
from minicc.ops import Add, AveragePool, Cast, Conv, ConvInteger, DequantizeLinear, MatMul, MatMulInteger, MaxPool
from minicc.ops import QuantizeLinear, ReduceMean, Relu, Reshape, Sub
from minicc.types import TensorType, float32, int8, int16, int32, uint8

EXAMPLES = max(10, settings().max_examples // 3)


class Chain:
    """A quantised network as tools write it: every value is quantised and dequantised again."""

    def __init__(self, draw, exact=True):
        self.draw, self.exact, self.nodes, self.held = draw, exact, [], {}
        self.random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def name(self):
        return f"v{len(self.nodes) + len(self.held)}"

    def constant(self, value):
        name = self.name()
        self.held[name] = np.asarray(value)
        return name

    def add(self, op, *inputs, **attributes):
        name = self.name()
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def scale(self, shape=()):
        power = self.random.integers(-6, 1, shape).astype(np.float32)
        return np.float32(2) ** power if self.exact else self.random.uniform(0.01, 1, shape).astype(np.float32)

    def grid(self):
        """A scale and a zero point."""
        dtype = self.draw(st.sampled_from([np.uint8, np.int8]))
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        zero = self.draw(st.sampled_from([low, 0, high // 2]))
        return self.constant(self.scale()), self.constant(dtype(zero))

    def rounded(self, x):
        """A value through its grid."""
        grid = self.grid()
        return self.add("DequantizeLinear", self.add("QuantizeLinear", x, *grid), *grid)

    def weights(self, shape, axis, scale):
        """Dequantised weights with one scale, or one for each output channel, with or without zero points."""
        dtype = self.draw(st.sampled_from([np.int8, np.int8, np.uint8]))
        info = np.iinfo(dtype)
        values = self.random.integers(info.min, info.max + 1, shape).astype(dtype)
        zero = np.zeros(scale.shape, dtype) if self.draw(st.booleans()) else np.full(scale.shape, 3, dtype)
        return self.add("DequantizeLinear", *map(self.constant, (values, scale, zero)), axis=axis)

    def bias(self, scale):
        """A bias in int32, of the scale of the product."""
        values = self.random.integers(-5000, 5000, scale.shape).astype(np.int32)
        return self.add("DequantizeLinear", self.constant(values), self.constant(scale), axis=0)

    def layer(self, x, shape):
        """One more layer on a dequantised value, and the shape of the result."""
        kind = self.draw(
            st.sampled_from(["Conv", "Conv", "Conv", "Relu", "MaxPool", "AveragePool", "Add", "Transpose", "Concat"])
        )
        channels = shape[1]
        if kind == "Conv":
            return self.conv(x, shape)
        if kind == "MaxPool" and min(shape[2:]) > 1:
            return self.add(kind, x, kernel_shape=[2, 2]), (*shape[:2], shape[2] - 1, shape[3] - 1)
        if kind == "AveragePool" and min(shape[2:]) > 1:  # of 1, 2 or 4 elements, so that nothing is rounded
            pads = [self.draw(st.integers(0, 1)) for _ in range(4)]
            counted = self.draw(st.integers(0, 1))
            y = self.add(kind, x, kernel_shape=[2, 2], pads=pads, count_include_pad=counted)
            return y, (*shape[:2], *[d + pads[a] + pads[a + 2] - 1 for a, d in enumerate(shape[2:])])
        if kind == "Transpose":
            return self.add(kind, x, perm=[0, 1, 3, 2]), (*shape[:2], shape[3], shape[2])
        if kind == "Concat" and channels < 8:
            return self.add(kind, x, x, axis=1), (shape[0], 2 * channels, *shape[2:])
        if kind == "Add":
            return self.add(kind, x, self.rounded(self.add("Relu", x))), shape
        return self.add("Relu", x), shape

    def conv(self, x, shape):
        groups = self.draw(st.sampled_from([1, shape[1]]))
        outputs, taps = groups * self.draw(st.integers(1, 3)), self.draw(st.integers(1, min(3, *shape[2:])))
        pads = [self.draw(st.integers(0, 1)) for _ in range(4)]
        scale = self.scale((outputs,))
        w = self.weights((outputs, shape[1] // groups, taps, taps), 0, scale)
        data = self.nodes[[n.output[0] for n in self.nodes].index(x)].input[1] if x in self.dequantized() else None
        bias = [self.bias(scale * self.held[data])] if data and self.draw(st.booleans()) else []
        made = self.add("Conv", x, w, *bias, group=groups, pads=pads)
        return made, (shape[0], outputs, *[d + pads[a] + pads[a + 2] - taps + 1 for a, d in enumerate(shape[2:])])

    def dequantized(self):
        return {n.output[0] for n in self.nodes if n.op_type == "DequantizeLinear"}

    def model(self, depth):
        """The model, and an input for it."""
        shape = (self.draw(st.integers(1, 2)), self.draw(st.integers(1, 4)), 5, 6)
        given = 4 * self.random.standard_normal(shape).astype(np.float32)
        info = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
        y = self.rounded("x")
        for _ in range(depth):
            y, shape = self.layer(y, shape)
            y = self.rounded(y)
        last = self.nodes.pop().input[0]
        held = [numpy_helper.from_array(value, name) for name, value in self.held.items()]
        graph = helper.make_graph(self.nodes, "net", [info], [onnx.ValueInfoProto(name=last)], held)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), given


@st.composite
def chains(draw, exact=True):
    return Chain(draw, exact).model(draw(st.integers(1, 4)) if exact else 1)


def reference(model, x):
    with np.errstate(all="ignore"):
        (expected,) = ReferenceEvaluator(model).run(None, {"x": x})
    return expected


@settings(max_examples=EXAMPLES)
@given(chains())
def test_a_chain_gives_what_onnx_says(example):
    model, x = example
    expected = reference(model, x)
    graph = load(model)
    for ready in (graph, optimize(graph)):
        (got,) = evaluate(ready, {"x": x}).values()
        assert got.dtype == expected.dtype
        np.testing.assert_array_equal(got, expected)


@pytest.mark.slow
@settings(max_examples=max(5, EXAMPLES // 10))
@given(chains())
def test_a_chain_is_compiled(example):
    model, x = example
    for exact in (False, True):
        (got,) = minicc.compile(model, exact=exact).run({"x": x}).values()
        np.testing.assert_array_equal(got, reference(model, x))


@settings(max_examples=EXAMPLES)
@given(chains(exact=False))
def test_a_layer_of_any_scale_is_at_most_a_step_off(example):
    model, x = example
    (got,) = evaluate(optimize(load(model)), {"x": x}).values()
    expected = reference(model, x).astype(int)
    assert np.abs(got.astype(int) - expected).max(initial=0) <= 1 and (got != expected).mean() <= 0.1


# ---- one rule after another -------------------------------------------------------------------------------------


def names(graph):
    return [n.op.name for n in graph.nodes if n.inputs]


def test_a_constant_is_no_narrower_than_what_is_around_it():
    w = input("w", TensorType(int16, (1, 1, 3)))
    conv = ConvInteger(padding=(1, 1), fill=300)(constant(np.array([[[1, 2, 3]]], np.int16)), w)
    weights = np.array([[[1, 1, 1]]], np.int16)
    (y,) = minicc.compile(Graph("main", (w,), (conv,), ("y",)))(weights)
    np.testing.assert_array_equal(y, [[[303, 6, 305]]])


def test_images_are_stored_as_bytes():
    """Of a network as tools write it, kernels store integers alone."""
    random, step = np.random.default_rng(0), np.float32(0.125)

    def rounded(y):
        return DequantizeLinear()(QuantizeLinear()(y, step, np.uint8(3)), step, np.uint8(3))

    def weights(*shape):
        return DequantizeLinear()(constant(random.integers(-9, 9, shape).astype(np.int8)), step)

    x = input("x", TensorType(float32, (1, 4, 8, 8)))
    first = rounded(Relu()(Conv(padding=(1, 1, 1, 1))(rounded(x), weights(4, 4, 3, 3))))
    aside = rounded(Conv()(rounded(x), weights(4, 4, 1, 1)))
    second = rounded(Add()(rounded(Conv()(first, weights(4, 4, 1, 1))), aside))
    pooled = rounded(MaxPool(kernel=(2, 2), strides=(2, 2))(second))
    value = QuantizeLinear()(MatMul()(Reshape((1, 64))(pooled), weights(64, 5)), step, np.uint8(3))
    graph = graph_of(value, x)
    ready = optimize(graph)
    images = [n for n in ready.nodes if isinstance(n.op, Kernel)]
    assert len(images) >= 6 and {n.dtype for n in images} <= {uint8, int8}
    data = {"x": random.standard_normal((1, 4, 8, 8)).astype(np.float32)}
    np.testing.assert_array_equal(evaluate(ready, data)["y"], evaluate(graph, data)["y"])


def graph_of(value, *inputs):
    return Graph("main", inputs, (value,), ("y",))


def test_zero_points_become_terms():
    x, w = input("x", TensorType(uint8, (1, 2, 4, 4))), constant(np.ones((3, 2, 3, 3), np.int16))
    value = ConvInteger(padding=(1, 1, 1, 1))(Sub()(Cast(int16)(x), np.int16(7)), w)
    ready = requantize(graph_of(value, x))
    conv = next(n for n in ready.nodes if isinstance(n.op, ConvInteger))
    assert conv.op.fill == 7 and conv.inputs[0] is x and conv.inputs[1].dtype is int8
    data = {"x": np.arange(32, dtype=np.uint8).reshape(1, 2, 4, 4)}
    np.testing.assert_array_equal(evaluate(ready, data)["y"], evaluate(graph_of(value, x), data)["y"])


@pytest.mark.parametrize("padding", [(), (1, 0, 2, 1)])
def test_the_zero_point_of_an_image_that_a_call_brings(padding):
    x, zero = input("x", TensorType(uint8, (1, 2, 4, 4))), input("z", TensorType(uint8, ()))
    w = constant(np.arange(-18, 18).reshape(2, 2, 3, 3).astype(np.int8))
    graph = graph_of(ConvInteger(padding=padding)(Sub()(Cast(int16)(x), Cast(int16)(zero)), w), x, zero)
    ready = requantize(graph)
    assert {n.inputs[0].dtype for n in ready.nodes if isinstance(n.op, ConvInteger)} == {uint8}
    data = {"x": np.arange(32, dtype=np.uint8).reshape(1, 2, 4, 4), "z": np.uint8(200)}
    np.testing.assert_array_equal(evaluate(ready, data)["y"], evaluate(graph, data)["y"])


@pytest.mark.parametrize("shapes", [((2, 5), (5, 3)), ((4, 2, 5), (5, 3)), ((4, 2, 5), (4, 5, 3))])
def test_zero_points_that_a_call_brings(shapes):
    random = np.random.default_rng(0)
    types = [TensorType(uint8, shape) for shape in shapes] + [TensorType(uint8, ())] * 2
    a, b, left, right = nodes = [input(name, t) for name, t in zip("abcd", types, strict=True)]
    value = MatMulInteger()(*[Sub()(Cast(int16)(x), Cast(int16)(z)) for x, z in ((a, left), (b, right))])
    graph, ready = graph_of(value, *nodes), requantize(graph_of(value, *nodes))
    product = next(n for n in ready.nodes if isinstance(n.op, MatMulInteger))
    assert product.inputs == (a, b)
    data = {name: random.integers(0, 256, t.shape).astype(np.uint8) for name, t in zip("abcd", types, strict=True)}
    np.testing.assert_array_equal(evaluate(ready, data)["y"], evaluate(graph, data)["y"])


def test_weights_that_bytes_do_not_hold_stay():
    x, w = input("x", TensorType(uint8, (2, 2))), constant(np.int16([[200, -3], [1, 1]]))
    ready = requantize(graph_of(MatMulInteger()(x, w), x))
    assert ready.outputs[0].inputs[1].dtype is int16


def test_a_sum_that_int32_may_not_hold_stays_real():
    def made(depth):
        x, w = input("x", TensorType(uint8, (1, depth))), constant(np.ones((depth, 1), np.int8))
        value = MatMul()(*[DequantizeLinear()(v, np.float32(1)) for v in (x, w)])
        return names(quantize_products(graph_of(value, x)))

    assert "MatMulInteger" in made(33_000) and "MatMulInteger" not in made(34_000)


def test_exact_multiplies_real_numbers():
    x, w = input("x", TensorType(uint8, (2, 2))), constant(np.int8([[1, 2], [3, 4]]))
    value = QuantizeLinear()(MatMul()(*[DequantizeLinear()(v, np.float32(0.3)) for v in (x, w)]), np.float32(0.7))
    assert "MatMulInteger" in names(quantize_products(graph_of(value, x)))
    assert names(quantize_products(graph_of(value, x), exact=True))[-3:] == ["MatMul", "Div", "Quantize"]


def test_a_relu_that_saturation_does_is_left_out():
    x, s = input("x", TensorType(int32, (4,))), np.float32(0.5)
    real = Relu()(DequantizeLinear()(x, s))
    for zero, expected in ((0, ["Cast", "Mul", "Quantize"]), (3, ["Cast", "Mul", "Relu", "Quantize"])):
        assert names(quantize_products(graph_of(QuantizeLinear()(real, s, np.uint8(zero)), x))) == expected


def test_the_way_back_to_the_same_grid_is_no_way():
    x, grid = input("x", TensorType(uint8, (4,))), (constant(np.float32(0.1)), constant(np.uint8(3)))
    back = QuantizeLinear()(DequantizeLinear()(x, *grid), *grid)
    assert quantize_products(graph_of(back, x)).outputs == (x,)
    other = QuantizeLinear()(DequantizeLinear()(x, *grid), np.float32(0.2), np.uint8(3))
    assert quantize_products(graph_of(other, x)).outputs != (x,)


def test_what_has_no_integers_is_left_alone():
    x = input("x", TensorType(float32, (2, 2)))
    graph = graph_of(Relu()(x), x)
    assert quantize_products(graph) is graph


def test_a_mean_takes_bytes_as_they_lie():
    """Channels are last for the convolutions, and stay so for what follows them."""
    random, step = np.random.default_rng(0), np.float32(0.1)
    x, grid = input("x", TensorType(uint8, (1, 64, 8, 8))), (step, np.uint8(3))
    w = DequantizeLinear()(constant(random.integers(-9, 9, (64, 64, 1, 1)).astype(np.int8)), step)
    first = DequantizeLinear()(QuantizeLinear()(Conv()(DequantizeLinear()(x, *grid), w), *grid), *grid)
    second = DequantizeLinear()(QuantizeLinear()(Conv()(first, w), *grid), *grid)
    value = ReduceMean((2, 3))(DequantizeLinear()(QuantizeLinear()(Add()(first, second), *grid), *grid))
    kernels = [n.op for n in optimize(graph_of(value, x)).nodes if isinstance(n.op, Kernel)]
    assert sum("transpose" in k.label for k in kernels) == 1 and kernels[-1].label == "cast_add_mul_reduce_mean"


@pytest.mark.parametrize("groups", [1, 8], ids=["full", "depthwise"])
@pytest.mark.parametrize("size, kernel", [(2, 5), (1, 3), (3, 7), (1, 40)])
def test_taps_that_meet_no_data_meet_the_zero_point(size, kernel, groups):
    """A kernel larger than its image: its outer taps lie in the padding for every result, and are of the sum all the same."""
    rng = np.random.default_rng(0)
    x = input("x", TensorType(int8, (1, 8, size, size)))
    w = rng.integers(-127, 128, (8, 8 // groups, kernel, kernel)).astype(np.int8)
    scales = rng.uniform(0.01, 0.02, 8).astype(np.float32)
    data = DequantizeLinear()(x, np.float32(0.033), np.int8(-120))
    y = Conv(auto_pad="SAME_UPPER", groups=groups)(data, DequantizeLinear(axis=0)(constant(w), scales))
    graph = Graph("main", (x,), (y,), ("y",))
    assert any(n.op.name == "ConvInteger" for n in quantize_products(graph).nodes)
    given = {"x": rng.integers(-128, 128, x.shape).astype(np.int8)}
    expected = evaluate(graph, given)["y"]
    for found in (evaluate(quantize_products(graph), given)["y"], minicc.compile(graph, threads=1).run(given)["y"]):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("counted", [False, True])
def test_means_are_sums_of_integers(counted):
    x, step = input("x", TensorType(uint8, (1, 4, 6, 7))), np.float32(0.1)
    real = DequantizeLinear()(x, step, np.uint8(9))
    pool = AveragePool(kernel=(3, 2), strides=(2, 1), padding=(1, 1, 1, 0), count_include_pad=counted, ceil_mode=True)
    graph = graph_of(pool(real), x)
    ready = quantize_products(graph)
    assert "ConvInteger" in names(ready) and "AveragePool" not in names(ready)
    data = {"x": np.random.default_rng(0).integers(0, 256, x.shape).astype(np.uint8)}
    np.testing.assert_allclose(evaluate(ready, data)["y"], evaluate(graph, data)["y"], rtol=1e-5, atol=1e-5)
    assert "AveragePool" in names(quantize_products(graph, exact=True))
