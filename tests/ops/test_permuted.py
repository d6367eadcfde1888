"""What `permuted` gives is the same value: of every operator that has it, on operands in any order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc.ops  # registers every operator
from minicc.ops import Pad, Reshape, Transpose
from minicc.ops.base import REGISTRY, Operator
from minicc.ops.order import between, channels_last, lifted, moves_only_ones, without
from minicc.testing.strategies import operators
from minicc.types import TensorType, float32

assert minicc.ops
EXAMPLES = max(12, settings().max_examples // 3)
PERMUTED = sorted(name for name, op in REGISTRY.items() if op.permuted is not Operator.permuted)


def lying(array: np.ndarray, order: tuple[int, ...]) -> np.ndarray:
    """The array as it lies in `order`: of leading axes of 1 more where the order has more axes."""
    if array.size == 1 or not order:
        return array
    return array.reshape((1,) * (len(order) - array.ndim) + array.shape).transpose(order)


@pytest.mark.parametrize("name", PERMUTED)
def test_an_operator_on_operands_in_another_order_gives_its_value(name: str) -> None:
    @settings(max_examples=EXAMPLES)
    @given(operators(name), st.data())
    def check(example: tuple[Operator, list[np.ndarray]], data: st.DataObject) -> None:
        op, arrays = example
        at = data.draw(st.integers(0, len(arrays) - 1))
        order = tuple(data.draw(st.permutations(range(arrays[at].ndim))))
        if not order:
            return  # a scalar lies in no order
        found = op.permuted(at, order, *map(TensorType.of, arrays))
        if found is None:
            return
        with np.errstate(all="ignore"):
            expected = np.asarray(op(*arrays))
            got = np.asarray(found.op(*[lying(a, o) for a, o in zip(arrays, found.operands, strict=True)]))
        assert sorted(found.result) == list(range(expected.ndim))
        np.testing.assert_allclose(got, expected.transpose(found.result), rtol=1e-3, atol=1e-3)

    check()


def test_operators_that_networks_have_follow_channels_last() -> None:
    assert {"Add", "Clip", "Concat", "Gather", "Pad", "PRelu", "ReduceMean", "Reshape", "Slice", "Softmax", "Split",
            "Transpose", "Where"} <= set(PERMUTED)  # fmt: skip


def test_a_view_that_splits_channels_follows() -> None:
    x = TensorType(float32, (1, 255, 13, 13))
    found = Reshape((1, 3, 85, 13, 13)).permuted(0, channels_last(4), x)
    assert found is not None and found.operands == ((0, 2, 3, 1),)
    assert found.op == Reshape((1, 13, 13, 3, 85)) and found.result == (0, 3, 4, 1, 2)


def test_a_view_that_joins_axes_says_in_which_order_it_wants_them() -> None:
    x = TensorType(float32, (2, 3, 4, 5, 6))
    found = Reshape((2, 12, 30)).permuted(0, (0, 3, 1, 4, 2), x)  # rows, groups, columns, channels
    assert found is not None and found.operands == ((0, 3, 4, 1, 2),)
    assert found.op == Reshape((2, 30, 12)) and found.result == (0, 2, 1)


def test_orders() -> None:
    assert channels_last(5) == (0, 2, 3, 4, 1) and lifted((1, 0), 4) == (0, 1, 3, 2)
    assert without((0, 2, 3, 1), [2, 3]) == (0, 1) and without((0, 2, 3, 1), [1]) == (0, 1, 2)
    assert between((0, 2, 3, 1), (0, 1, 2, 3)) == (0, 3, 1, 2)
    assert moves_only_ones((0, 2, 3, 1), (1, 7, 1, 1)) and not moves_only_ones((1, 0), (2, 2))
    assert Transpose((0, 3, 1, 2)).permuted(0, (0, 3, 1, 2), TensorType(float32, (1, 2, 3, 4))).result == (0, 1, 2, 3)
    assert Pad((0, 0, 1, 2, 0, 0, 3, 4)).permuted(0, channels_last(4), TensorType(float32, (1, 2, 3, 4))).op == Pad(
        (0, 1, 2, 0, 0, 3, 4, 0)
    )
