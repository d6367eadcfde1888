"""Sums of many numbers near each other were wrong in their second or third digit, if over several axes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

import minicc
from minicc import ops, te
from minicc.frontend import load
from minicc.loop.lower import lower
from minicc.recipes import cascade, contraction
from minicc.recipes.registry import DEFAULT
from minicc.recipes.structure import nests
from minicc.target import Caches, Target
from minicc.testing.oracle import epsilon, reference
from minicc.types import float32

AVX2 = Target("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", 256, 16, Caches())
random = np.random.default_rng(0)


def near(offset, *shape):
    """Numbers from `offset` to `offset` + 1."""
    return (offset + random.random(shape)).astype(np.float32)


def model(op, inputs, constants=(), **attributes):
    """A file of one node."""
    names = [f"x{n}" for n in range(len(inputs))]
    kept = [onnx.numpy_helper.from_array(np.asarray(c), f"c{n}") for n, c in enumerate(constants)]
    kinds = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in zip(names, inputs, strict=True)
    ]
    result = helper.make_tensor_value_info("y", kinds[0].type.tensor_type.elem_type, None)
    node = helper.make_node(op, [*names, *[k.name for k in kept]], ["y"], **attributes)
    graph = helper.make_graph([node], "sum", kinds, [result], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(proto, inputs):
    (result,) = minicc.compile(load(proto)).run({f"x{n}": x for n, x in enumerate(inputs)}).values()
    return result


# ---- what was seen -------------------------------------------------------------------------------


def standardised(x, axes):
    wide = x.astype(np.float64)
    return (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + 1e-5)


def test_instance_normalization_of_a_bright_image():
    x = near(100, 1, 1, 512, 512)
    inputs = [x, np.ones(1, np.float32), np.zeros(1, np.float32)]
    np.testing.assert_allclose(run(model("InstanceNormalization", inputs), inputs), standardised(x, (2, 3)), atol=2e-4)


def test_layer_normalization_over_three_axes():
    x = near(100, 16, 256, 256)
    inputs = [x, np.ones(x.shape, np.float32)]
    np.testing.assert_allclose(
        run(model("LayerNormalization", inputs, axis=0), inputs), standardised(x, (0, 1, 2)), atol=2e-4
    )


@pytest.mark.parametrize("shape", [(2, 10, 1000, 100), (1999993,)])
def test_the_mean_of_two_million_tenths_is_a_tenth(shape):
    x = np.full(shape, 0.1, np.float32)
    np.testing.assert_allclose(run(model("ReduceMean", [x]), [x]).ravel(), np.float32(0.1), rtol=3e-6)


@pytest.mark.parametrize("dtype, tolerance", [(np.float64, 1e-14), (np.float16, 5e-4)])
def test_the_other_floats(dtype, tolerance):
    x = np.full((20, 100, 1003), 0.1, dtype)
    got = run(model("ReduceMean", [x], keepdims=0), [x])
    np.testing.assert_allclose(got.astype(np.float64), float(dtype(0.1)), rtol=tolerance)


def test_integers_are_summed_as_before():
    x = np.full((300, 1000), 2**28 + 1, np.int32)
    assert run(model("ReduceSum", [x], keepdims=0), [x]) == np.int32((300_000 * (2**28 + 1) + 2**31) % 2**32 - 2**31)


def test_infinities_and_nans_stay_what_they_are():
    x = np.zeros((500, 3), np.float32)
    x[400] = np.inf, -np.inf, np.nan
    np.testing.assert_array_equal(run(model("ReduceSum", [x], [np.array([0])], keepdims=0), [x]), x[400])


# ---- no accumulator adds up many terms -----------------------------------------------------------


def terms(op, *shapes, dtype=float32):
    """The most terms that an accumulator of floats adds up one by one, for the kernel of an operator."""
    inputs = [te.placeholder(shape, dtype, f"x{n}") for n, shape in enumerate(shapes)]
    out = op.compute(*inputs)
    scheduled = DEFAULT.apply(lower([out], [*inputs, out], "kernel").program, AVX2).program
    sums = [nest for nest in nests(scheduled) if cascade.is_long_sum(nest, 0)]
    return max(math.prod(f.extent for f in nest.reductions) for nest in sums)


AXES = [axes for rank in range(1, 5) for n in range(1, rank + 1) for axes in itertools.combinations(range(rank), n)]
TILE = 2 * contraction.TILE_TERMS
FEW = 2 * cascade.MOST


@pytest.mark.parametrize("axes", AXES, ids=str)
def test_whatever_the_axes(axes):
    for shape in ((307, 2, 211, 50)[: max(axes) + 1], (3, 100003, 1, 64)[: max(axes) + 1]):
        assert terms(ops.ReduceSum(axes), shape) <= FEW


@pytest.mark.parametrize("op, shapes, most", [
    (ops.LayerNormalization(0), [(16, 256, 256), (256,)], FEW),
    (ops.InstanceNormalization(), [(2, 3, 130, 70), (3,), (3,)], FEW),
    (ops.GroupNormalization(4), [(1, 64, 31, 33), (64,), (64,)], FEW),
    (ops.MeanVarianceNormalization(), [(9, 3, 40, 40)], FEW),
    (ops.LpNormalization(0, 1), [(5000, 7)], FEW),
    (ops.Softmax(0), [(5000, 7)], FEW),
    (ops.LogSoftmax(-1), [(7, 5003)], FEW),
    (ops.ReduceLogSumExp((0, 1)), [(100, 100, 3)], FEW),
    (ops.AveragePool((200, 200)), [(1, 2, 200, 200)], FEW),
    (ops.Einsum("abc,abd->cd"), [(50, 60, 4), (50, 60, 5)], TILE),
    (ops.Einsum("ab,ab->"), [(999, 70), (999, 70)], FEW),
    (ops.MatMul(), [(5, 100003), (100003,)], FEW),
    (ops.MatMul(), [(33, 4099), (4099, 48)], TILE),
    (ops.Conv(padding=(1, 1, 1, 1)), [(1, 512, 14, 14), (16, 512, 3, 3)], TILE),
    (ops.Conv((2, 2), (1, 1, 1, 1)), [(2, 512, 9, 9), (1, 512, 3, 3)], FEW),
], ids=lambda x: getattr(x, "name", ""))  # fmt: skip
def test_whatever_the_operator(op, shapes, most):
    assert terms(op, *shapes) <= most


# ---- beside onnxruntime --------------------------------------------------------------------------


def judge(proto, inputs):
    """The error is a quarter of the oracle's bound, or twice that of onnxruntime, at most."""
    named = {f"x{n}": x for n, x in enumerate(inputs)}
    graph = load(proto)
    (expected,), (bound,) = reference(graph, named)
    exact = expected.astype(np.float64)
    (peer,) = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(
        None, named
    )
    ours, theirs = (np.abs(y.astype(np.float64) - exact) for y in (run(proto, inputs), peer))
    last = epsilon(float32) * np.abs(exact)  # `expected` itself is rounded
    assert np.all((ours <= bound / 4) | (ours <= 2 * theirs.max() + last)), (ours / bound).max()


REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSum", "ReduceLogSumExp")


def reduction(op, shape, axes, offset, keepdims):
    x = near(offset, *shape)
    judge(model(op, [x], [np.array(axes)], keepdims=int(keepdims)), [x])


@pytest.mark.parametrize("op, shape, axes, offset", [
    ("ReduceSum", (100000, 2), (0,), 1e4),
    ("ReduceMean", (3, 7, 100, 97), (0, 2, 3), 100),
    ("ReduceL2", (50, 3, 700), (0, 2), 1),
    ("ReduceLogSumExp", (1000, 5, 20), (0, 2), 10),
    ("ReduceSumSquare", (40, 41, 42), (0, 1), 1e4),
])  # fmt: skip
def test_sums_are_as_exact_as_those_of_onnxruntime(op, shape, axes, offset):
    reduction(op, shape, axes, offset, False)


@pytest.mark.parametrize("op, inputs, attributes", [
    ("MatMul", [near(0, 3, 5003), near(0, 5003, 20)], {}),
    ("Conv", [near(0, 1, 300, 5, 5), near(0, 17, 300, 3, 3)], {"pads": [1, 1, 1, 1]}),
    ("GlobalAveragePool", [near(1e4, 1, 3, 140, 141)], {}),
    ("AveragePool", [near(1e4, 1, 2, 150, 151)], {"kernel_shape": [150, 151]}),
    ("Softmax", [near(0, 10007, 3)], {"axis": 0}),
    ("CumSum", [near(1, 4000)], {}),
], ids=lambda x: x if isinstance(x, str) else "")  # fmt: skip
def test_so_are_the_sums_of_other_operators(op, inputs, attributes):
    judge(model(op, inputs, [np.array(0)] if op == "CumSum" else [], **attributes), inputs)


@pytest.mark.slow
@given(st.data())
def test_every_set_of_axes_and_size_and_offset(data):
    """HYPOTHESIS_PROFILE says how many; up to a million elements each."""
    rank = data.draw(st.integers(1, 4))
    axes = data.draw(st.sets(st.integers(0, rank - 1), min_size=1))
    shape, room = [1] * rank, 10 ** data.draw(st.integers(1, 6))
    for d in data.draw(st.permutations(range(rank))):
        shape[d] = data.draw(st.integers(1, room))
        room //= shape[d]
    reduction(
        data.draw(st.sampled_from(REDUCTIONS)),
        shape,
        sorted(axes),
        data.draw(st.sampled_from((0, 1, 100, 1e4))),
        data.draw(st.booleans()),
    )
