"""Every field of every operator with absurd values: the result that its type says, or an error in four parts.

0, -1, 2**31, 2**63 - 1, NaN, empty lists and lists of another length are put into the field of a drawn
operator, one at a time.
"""

import dataclasses
import math

import numpy as np
import pytest

from minicc.errors import MiniccError, TypeInferenceError
from minicc.ir.node import replace
from minicc.ops import LRN, AveragePool, ConstantOfShape, Conv, Expand, MaxPoolIndices, MeanVarianceNormalization, Range
from minicc.ops import Resize, Split, Tile
from minicc.ops.base import REGISTRY
from minicc.testing.draws import drawn, graph_of
from minicc.testing.oracle import STAGES
from minicc.types import TensorType, float32, int8

INTEGERS = (0, -1, 1, 2, 2**31, 2**63 - 1, -(2**63))
NUMBERS = (0.0, -1.0, math.nan, math.inf)
LARGEST = 10**5  # elements of a result that is computed here


def absurd(value):
    """What to put in place of a field's value."""
    if isinstance(value, bool):
        return []
    if isinstance(value, (int, float)):
        return INTEGERS if isinstance(value, int) else NUMBERS
    if isinstance(value, str):
        return ["", "bogus"]
    if not isinstance(value, tuple):
        return []
    first = value[0] if value else 0
    lists = [(), (*value, first), value[:-1]]
    if isinstance(first, (int, float)):
        lists += [
            (*value[:i], n, *value[i + 1 :])
            for i in range(len(value))
            for n in (INTEGERS if isinstance(first, int) else NUMBERS)
        ]
    return lists


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_an_absurd_field_is_computed_or_refused(name):
    for case in range(4):
        op, arrays = drawn(name, case, extremes=False)
        types = [TensorType.of(array) for array in arrays]
        for field in dataclasses.fields(op):
            for value in absurd(getattr(op, field.name)):
                changed = replace(op, **{field.name: value})
                try:
                    expected = changed.infer(*types)
                except MiniccError as error:
                    assert error.call and error.problem and error.hint
                    continue
                if math.prod(dim for dim in expected.shape if dim) > LARGEST:
                    continue  # it is compared with the memory before it is computed
                with np.errstate(all="ignore"):
                    got = np.asarray(changed.numpy(*arrays))
                assert TensorType.of(got) == expected, f"{changed} of {types}"


@pytest.mark.parametrize(("op", "types", "problem"), [
    (MaxPoolIndices((2,), storage_order=2), [TensorType(float32, (1, 1, 4))], "storage_order must be 0"),
    (MeanVarianceNormalization((0, -2)), [TensorType(float32, (2, 3))], "axes must be distinct"),
    (Split(0, None, 2**31, 0), [TensorType(float32, (4,))], "at most 65536 parts"),
    (ConstantOfShape((2,), 300, int8), [], "a value from -128 to 127"),
    (Range(1e308, -1e308, 0.25), [], "elements that is finite"),
    (Expand((1, -1)), [TensorType(float32, (3, 1))], "must not be negative"),
])  # fmt: skip
def test_it_says_what_was_expected(op, types, problem):
    with pytest.raises(TypeInferenceError, match=problem):
        op.infer(*types)


def test_a_window_of_channels_is_no_longer_than_the_channels():
    x = np.random.default_rng(0).standard_normal((1, 3, 2)).astype(np.float32)
    for size in (7, 2**31, 2**63 - 1):
        made = graph_of(LRN(size, 2.0, 0.5, 1.0), [x])
        expected = x / np.sqrt(1 + 2 / size * (x.astype(np.float64) ** 2).sum(1, keepdims=True))
        for stage in ("numpy", "loop", "llvm"):
            np.testing.assert_allclose(STAGES[stage](made.graph, made.inputs)["y"], expected, rtol=1e-5)


def test_what_is_empty_costs_nothing():
    assert Tile((2**31, 0))(np.zeros((3, 5))).shape == (3 * 2**31, 0)
    assert Conv(dilation=(2**31, 2), auto_pad="SAME_LOWER")(np.zeros((0, 2, 4, 5)), np.zeros((4, 2, 2, 1))).shape == (
        0,
        4,
        4,
        5,
    )
    assert AveragePool((2,), padding=(1, 1))(np.zeros((0, 2, 4), np.float32)).shape == (0, 2, 5)


def test_a_region_that_nothing_reads_may_be_any():
    x = np.arange(3, dtype=np.float32)
    np.testing.assert_array_equal(Resize(sizes=(6,), roi=(0.5,))(x), Resize(sizes=(6,))(x))


@pytest.mark.parametrize(("op", "size", "problem"), [
    (Resize(sizes=(2**24 + 1,)), 4, "at most 16,777,216 elements read along an axis"),
    (Resize(scales=(1e-7,), mode="linear", antialias=True), 10**7, "got 1 samples of 20,000,000 elements each along axis 0"),
])  # fmt: skip
def test_tables_that_would_fill_memory_are_refused(op, size, problem):
    with pytest.raises(TypeInferenceError, match=problem):
        op(np.zeros(size, np.float32))
