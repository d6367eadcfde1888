"""Kernels, strides, dilations and padding of any size: the right answer, by the work that the data asks for.

The right values come from a direct formula over each window: the elements that its taps meet, by the
arithmetic of ranges.
"""

import itertools
import random

import numpy as np
import pytest

from minicc import te
from minicc.errors import TypeInferenceError
from minicc.loop.lower import lower
from minicc.ops import AveragePool, Conv, ConvTranspose, MaxPool, MaxPoolIndices
from minicc.testing.draws import graph_of
from minicc.testing.oracle import STAGES
from minicc.types import TensorType, float32

HUGE = 2**63 - 1
KERNELS, STRIDES, DILATIONS = (1, 2, 3, 1280, 10**6, 10**12, HUGE), (1, 2, 10**9, HUGE), (1, 2, 10**9, HUGE)


def met(size, kernel, stride, dilation, begin, window):
    """The elements under the taps of a window, and the taps."""
    start = window * stride - begin
    taps = range(max(0, -(start // dilation)), min(kernel - 1, (size - 1 - start) // dilation) + 1)
    return [(start + k * dilation, k) for k in taps]


def axes(shape, kernel, strides, padding, dilation, counts):
    """For each window its elements and taps along every axis."""
    rank = len(shape)
    for window in np.ndindex(*counts):
        yield window, [met(shape[a], kernel[a], strides[a], dilation[a], padding[a], window[a]) for a in range(rank)]


def pooled(op, x, counts):
    """The maximum, where it is, and the mean of each window."""
    most, mean = np.full(counts, -np.inf), np.full(counts, np.nan)
    index = np.full(counts, -1)
    rank = x.ndim
    for window, along in axes(x.shape, op.kernel, op.strides, op.padding, op.dilation, counts):
        places = [tuple(place for place, _ in hit) for hit in itertools.product(*along)]
        values = [float(x[place]) for place in places]
        if values:
            most[window] = max(values)
            index[window] = np.ravel_multi_index(places[int(np.argmax(values))], x.shape)
        counted = 1.0
        for a in range(rank):
            begin, end = op.padding[a], op.padding[a + rank]
            low, high = (-begin, x.shape[a] + end) if getattr(op, "count_include_pad", False) else (0, x.shape[a])
            start = window[a] * op.strides[a] - begin
            below = [min(max(-((start - bound) // op.dilation[a]), 0), op.kernel[a]) for bound in (low, high)]
            counted *= below[1] - below[0]
        mean[window] = sum(values) / counted if counted else np.nan
    return most, index, mean


def attributes(source, rank, padding):
    return {"kernel": tuple(source.choice(KERNELS) for _ in range(rank)), "strides": tuple(source.choice(STRIDES) for _ in range(rank)),
            "padding": tuple(source.choice(padding) for _ in range(2 * rank)),
            "dilation": tuple(source.choice(DILATIONS) for _ in range(rank)), "ceil_mode": source.random() < 0.5}  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_pools_of_extreme_attributes_agree_with_their_formula(seed):
    source, compared = random.Random(seed), 0
    for number in range(80):
        rank = source.randint(1, 2)
        shape = tuple(source.choice([1, 3, 7]) for _ in range(rank))
        fields = attributes(source, rank, source.choice([(0,), (0, 1), (0, 1, 5), (10**9,), (10**6, 0, 2)]))
        x = np.random.default_rng(number).permutation(int(np.prod(shape))).reshape(1, 1, *shape).astype(np.float32)
        counts = MaxPool(**fields).infer(TensorType(float32, x.shape)).shape[2:]
        if not 0 < np.prod(counts) < 200:
            continue
        for op in (
            MaxPool(**fields),
            MaxPoolIndices(**fields),
            AveragePool(**fields, count_include_pad=source.random() < 0.5),
        ):
            expected = pooled(op, x[0, 0], counts)[{MaxPool: 0, MaxPoolIndices: 1, AveragePool: 2}[type(op)]]
            made = graph_of(op, [x])
            for stage in ("numpy", "loop", "llvm") if number % 10 == 0 else ("numpy", "loop"):
                with np.errstate(all="ignore"):
                    got = STAGES[stage](made.graph, made.inputs)["y"][0, 0]
                np.testing.assert_allclose(got, expected, rtol=1e-5, err_msg=f"{op} of {shape} by {stage}")
        compared += 1
    assert compared > 15


def convolved(op, x, w, counts):
    result = np.zeros((w.shape[0], *counts))
    for window, along in axes(x.shape[1:], w.shape[2:], op.strides, op.padding, op.dilation, counts):
        for hit in itertools.product(*along):
            places, taps = zip(*hit, strict=True)
            result[(slice(None), *window)] += w[(slice(None), slice(None), *taps)] @ x[(slice(None), *places)]
    return result


@pytest.mark.parametrize("seed", range(2))
def test_convolutions_of_extreme_attributes_agree_with_their_formula(seed):
    source, compared = random.Random(seed), 0
    for number in range(100):
        rank = source.randint(1, 2)
        shape = tuple(source.choice([1, 3, 7]) for _ in range(rank))
        taps = tuple(source.choice([1, 2, 3, 9, 30]) for _ in range(rank))
        op = Conv(tuple(source.choice(STRIDES) for _ in range(rank)),
                  tuple(source.choice([0, 1, 5, 10**9, 10**9 + 3]) for _ in range(2 * rank)),
                  tuple(source.choice([1, 2, 10**9, 10**9 - 2]) for _ in range(rank)))  # fmt: skip
        random_numbers = np.random.default_rng(number)
        x, w = random_numbers.standard_normal((1, 2, *shape)), random_numbers.standard_normal((3, 2, *taps))
        try:
            counts = op.infer(TensorType.of(x), TensorType.of(w)).shape[2:]
        except TypeInferenceError as error:
            assert "larger than the padded data" in str(error)
            continue
        if np.prod(counts) > 200:
            continue
        made = graph_of(op, [x, w])
        expected = convolved(op, x[0], w, counts)
        for stage in ("numpy", "loop", "llvm") if number % 10 == 0 else ("numpy", "loop"):
            np.testing.assert_allclose(
                STAGES[stage](made.graph, made.inputs)["y"][0],
                expected,
                rtol=1e-9,
                atol=1e-9,
                err_msg=f"{op} by {stage}",
            )
        compared += 1
    assert compared > 8


@pytest.mark.parametrize(
    ("op", "size", "taps", "expected"),
    [
        (ConvTranspose((10**9,), (10**9, 0)), 2, 1, [2]),
        (ConvTranspose((HUGE,), (0, 0)), 1, 3, [1, 1, 1]),
        (ConvTranspose((1,), (10**9 - 1, 0), (10**9,)), 2, 2, [0, 1, 2]),
        (ConvTranspose((1,), (0, 0), (HUGE,)), 2, 1, [1, 2]),
        (ConvTranspose((10**9,), (10**9 - 2, 10**9)), 3, 1, [0, 0, 2]),
    ],
)
def test_a_transposed_convolution_stores_nothing_that_it_crops(op, size, taps, expected):
    x, w = np.arange(1, size + 1, dtype=np.float64).reshape(1, 1, size), np.ones((1, 1, taps))
    made = graph_of(op, [x, w])
    for stage in ("numpy", "loop", "llvm"):
        np.testing.assert_array_equal(STAGES[stage](made.graph, made.inputs)["y"][0, 0], expected)


def test_the_pool_of_an_exported_efficientnet():
    """Adaptive pooling as torch exports it: 1280 x 1280 in ceil mode, on 7 x 7."""
    x = np.random.default_rng(0).standard_normal((1, 8, 7, 7)).astype(np.float32)
    for kernel in (1280, 10**12):
        made = graph_of(AveragePool((kernel, kernel), (kernel, kernel), ceil_mode=True), [x])
        np.testing.assert_allclose(
            STAGES["llvm"](made.graph, made.inputs)["y"], x.mean((2, 3), keepdims=True), rtol=1e-5, atol=1e-6
        )


def test_the_loops_of_a_kernel_are_those_of_the_data():
    """The extents of the program, not its time: 13 taps of 511 meet 7 elements, and 7 of 1,000 at most in one window."""
    for op, axis, extent in ((MaxPool((511,), padding=(255, 255)), "kw", 13), (MaxPool((1000,), padding=(999, 999)), "kw", 7),
                             (Conv(padding=(255, 255)), "kw", 13), (MaxPool((10**12,)), "kw", 7)):  # fmt: skip
        tensors = [
            te.placeholder(shape, "float32", name=name) for name, shape in (("x", (1, 1, 7)), ("w", (1, 1, 511)))
        ]
        tensors = tensors[: 2 if op.name == "Conv" else 1]
        output = op.compute(*tensors)
        assert f"for {axis} in range({extent}):" in str(lower([output], [*tensors, output]).program)


@pytest.mark.parametrize("op", [
    AveragePool((2,), padding=(HUGE, HUGE)), MaxPool((HUGE,), auto_pad="SAME_UPPER"), Conv(padding=(2**49, 0)),
    ConvTranspose(dilation=(2**50,)), ConvTranspose(padding=(0, 0), output_padding=(-1,)),
    ConvTranspose(output_padding=(1,)), ConvTranspose(strides=(2,), output_padding=(2,)), ConvTranspose(output_shape=(2, 1, 5)),
])  # fmt: skip
def test_what_cannot_be_computed_is_refused(op):
    weights = [TensorType(float32, (1, 1, 3))] if "Conv" in op.name else []
    with pytest.raises(TypeInferenceError, match=r"more than 2\*\*48|output_padding must be|output_shape must begin"):
        op.infer(TensorType(float32, (1, 1, 5)), *weights)
