"""The oracle accepts what rounding explains and nothing else, on every stage and through random graphs."""

import numpy as np
import pytest
from hypothesis import given

from minicc.graph import ir
from minicc.ops import Add, ArgMax, Cast, Exp, Floor, MatMul, ReduceMax, ReduceSum, Relu, Transpose
from minicc.testing import oracle
from minicc.testing.oracle import Disagreement, agree, assert_close
from minicc.testing.strategies import graphs
from minicc.types import TensorType, bfloat16, float16, float32, float64, int32

RANDOM = np.random.default_rng(0)


def graph_of(f, *arrays):
    inputs = tuple(ir.input(f"x{k}", TensorType.of(a)) for k, a in enumerate(arrays))
    return ir.Graph("main", inputs, (f(*inputs),), ("y",)), {f"x{k}": a for k, a in enumerate(arrays)}


def check_with_error(monkeypatch, f, change, *arrays):
    """`agree` on a stage that gives the right answer, changed."""
    graph, inputs = graph_of(f, *arrays)
    right = oracle.evaluate(graph, inputs)["y"]
    monkeypatch.setitem(oracle.STAGES, "changed", lambda *_: {"y": np.asarray(change(right.copy()))})
    agree(graph, inputs, ("changed",))


def floats(*shape, dtype=float32):
    return RANDOM.standard_normal(shape).astype(dtype.numpy)


@pytest.mark.parametrize("dtype, error", [(float16, 2e-2), (bfloat16, 2e-1), (float32, 1e-5), (float64, 1e-13)], ids=str)
@pytest.mark.parametrize("f", [lambda x, y: Exp()(x), lambda x, y: MatMul()(x, y), lambda x, y: Add()(Exp()(x), y)],
                         ids=["exp", "matmul", "chain"])  # fmt: skip
def test_an_error_beyond_rounding_is_found(monkeypatch, f, dtype, error):
    x, y = floats(5, 5, dtype=dtype), floats(5, 5, dtype=dtype)
    check_with_error(monkeypatch, f, lambda a: a, x, y)
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, f, lambda a: (a.astype(np.float64) * (1 + error) + error).astype(a.dtype), x, y)


@pytest.mark.parametrize("f", [Relu(), Transpose(), ReduceMax(axes=(0,)), Floor()], ids=str)
def test_operators_that_do_not_round_are_exact(monkeypatch, f):
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, f, lambda a: a + np.spacing(a) * (4 if f is Floor() else 1), 100 * floats(4, 4))


def test_cancellation_is_not_an_error(monkeypatch):
    x = np.float32([1e4, 1.0000001, -1e4])
    check_with_error(monkeypatch, ReduceSum(axes=(0,), keepdims=False), lambda a: a + np.float32(1e-3), x)
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, ReduceSum(axes=(0,), keepdims=False), lambda a: a + np.float32(1e-1), x)


def test_overflow_that_depends_on_the_order_is_passed_over(monkeypatch):
    most, total = np.float32(3.4e38), ReduceSum(axes=(0,), keepdims=False)
    check_with_error(monkeypatch, total, lambda a: a * np.float32(np.nan), np.float32([most, most, -most]))
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, total, lambda a: a * np.float32(np.nan), np.float32([np.inf, 1]))


def test_integers_are_exact(monkeypatch):
    x = np.arange(6, dtype=np.int32)
    with pytest.raises(Disagreement, match="within 0, got"):
        check_with_error(monkeypatch, lambda x: Add()(x, x), lambda a: a + np.int32(1), x)


def test_a_number_that_rounding_decides_is_passed_over(monkeypatch):
    x = np.log(np.float64([3, 3.5])).astype(np.float32)
    check_with_error(monkeypatch, lambda x: Floor()(Exp()(x)), lambda a: np.float32([5 - a[0], 3]), x)
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, lambda x: Floor()(Exp()(x)), lambda a: a - np.float32([0, 1]), x)


def test_ties_are_decided(monkeypatch):
    x = np.float32([1, 2, 2])
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, ArgMax(keepdims=False), lambda a: a + 1, x)


@pytest.mark.parametrize("value", [0, np.inf, -np.inf])
def test_nan_and_infinities_must_stand_where_they_stand(monkeypatch, value):
    x = np.float32([np.nan, 1])
    with pytest.raises(Disagreement, match=r"y\[0\] must be .*nan"):
        check_with_error(monkeypatch, Exp(), lambda a: np.float32([value, a[1]]), x)
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, Exp(), lambda a: np.float32([np.nan, a[1]]), np.float32([100, 1]))


def test_dtype_and_shape_are_part_of_the_answer(monkeypatch):
    with pytest.raises(Disagreement, match=r"must be float32\[2\], got float64\[2\]"):
        check_with_error(monkeypatch, Relu(), lambda a: a.astype(np.float64), floats(2))
    with pytest.raises(Disagreement, match=r"must be float32\[2\], got float32\[2,1\]"):
        check_with_error(monkeypatch, Relu(), lambda a: a[:, None], floats(2))


def test_a_disagreement_names_everything():
    graph, inputs = graph_of(Cast(int32), np.float32([1, 2]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(oracle.STAGES, "broken", lambda *_: {"y": np.int32([1, 3])})
        with pytest.raises(Disagreement) as caught:
            agree(graph, inputs, ("numpy", "loop", "broken"))
    assert str(caught.value).splitlines() == [
        "Disagreement: agree(main), stage broken: y[1] must be np.int32(2) within 0, got np.int32(3)",
        *[f"    {line}" for line in str(graph).splitlines()],
        "hint: 1 of 2 elements are wrong",
    ]


def test_assert_close_grows_with_the_reduction():
    expected = np.float32([1, 2])
    assert_close(expected + np.float32(2e-6), expected, float32, 100)
    with pytest.raises(Disagreement):
        assert_close(expected + np.float32(2e-6), expected)
    with pytest.raises(Disagreement):
        assert_close(np.int32([1]), np.int32([2]))


@given(graphs())
def test_random_graphs_agree(example):
    agree(example.graph, example.inputs, ("numpy", "loop"))
