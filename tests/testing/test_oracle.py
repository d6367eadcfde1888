"""The oracle accepts what rounding explains and nothing else, on every stage and through random graphs."""

import pickle

import numpy as np
import pytest
from hypothesis import given

from minicc.graph import ir
from minicc.ops import Abs, Add, ArgMax, Atan, Cast, Div, Equal, Exp, Floor, Gelu, Gemm, Hardmax, MatMul, Max, MaxPool
from minicc.ops import MeanVarianceNormalization, Mul, ReduceMax, ReduceSum, Relu, Sign, Slice, Sqrt, Transpose
from minicc.testing import oracle
from minicc.testing.oracle import Disagreement, TvmFailure, agree, assert_close, excuses
from minicc.testing.strategies import graphs
from minicc.testing.worker import Finding
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


@pytest.mark.parametrize(
    "dtype, error", [(float16, 2e-2), (bfloat16, 2e-1), (float32, 1e-5), (float64, 1e-13)], ids=str
)
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


def test_an_overflow_before_a_scale_of_0_is_passed_over(monkeypatch):
    """0 times an infinite sum is NaN; a compiler may scale the terms first."""
    x, y = np.float64([[1e200, 1]]), np.float64([[1e200, 0], [1, 1]])
    check_with_error(monkeypatch, Gemm(alpha=0.0), lambda a: np.float64([[0, 0]]), x, y)
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, Gemm(alpha=0.0), lambda a: np.float64([[np.nan, 1]]), x, y)


def test_no_overflow_makes_minus_infinity_of_a_maximum(monkeypatch):
    pool = MaxPool(kernel=(1,), padding=(1, 0))
    with pytest.raises(Disagreement, match=r"must be .*-inf"):
        check_with_error(monkeypatch, pool, lambda a: np.maximum(a, np.float32(-3.4e38)), np.float32([[[5]]]))


def test_integers_are_exact(monkeypatch):
    x = np.arange(6, dtype=np.int32)
    with pytest.raises(Disagreement, match="within 0, got"):
        check_with_error(monkeypatch, lambda x: Add()(x, x), lambda a: a + np.int32(1), x)


def test_a_number_that_rounding_decides_is_passed_over(monkeypatch):
    x = np.log(np.float64([3, 3.5])).astype(np.float32)
    check_with_error(monkeypatch, lambda x: Floor()(Exp()(x)), lambda a: np.float32([5 - a[0], 3]), x)
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, lambda x: Floor()(Exp()(x)), lambda a: a - np.float32([0, 1]), x)


def test_a_function_that_is_nearly_the_identity_rounds(monkeypatch):
    """The tangent of a small number is the number, to the digits of bfloat16; a compiler may keep more of them."""
    x = np.array([-0.0393066], bfloat16.numpy)
    check_with_error(monkeypatch, lambda x: Equal()(Atan()(x), x), lambda a: ~a, x)
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, lambda x: Equal()(Relu()(x), x), lambda a: ~a, x)


def test_an_exact_node_passes_on_what_it_is_given(monkeypatch):
    """1 + tanh(x) cancels, whatever is done with the result; a Slice that leaves small results only is as sure as the Gelu."""
    x = np.linspace(-3, 3, 13, dtype=np.float32)
    for last in (Abs(), Slice(starts=(0,), ends=(3,), axes=(0,), steps=(1,))):
        check_with_error(monkeypatch, lambda x, last=last: last(Gelu("tanh")(x)), lambda a: a + np.float32(3e-7), x)
        with pytest.raises(Disagreement):
            check_with_error(monkeypatch, lambda x, last=last: last(Gelu("tanh")(x)), lambda a: a + np.float32(3e-6), x)


def test_ties_are_decided(monkeypatch):
    x = np.float32([1, 2, 2])
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, ArgMax(keepdims=False), lambda a: a + 1, x)


def test_a_tie_that_rounding_makes_is_not_decided(monkeypatch):
    """Both products are 3 as bfloat16, and are not where they are not rounded in between."""
    x, y = np.array([1.0078125, 1, 0], bfloat16.numpy), np.array([2.984375, 3, 0], bfloat16.numpy)
    first, second, _ = x.astype(np.float64) * y.astype(np.float64)
    assert first > second and (x * y)[0] == (x * y)[1]
    for choice in ([1, 0, 0], [0, 1, 0]):
        check_with_error(
            monkeypatch, lambda x, y: Hardmax(axis=0)(Mul()(x, y)), lambda a, c=choice: np.array(c, a.dtype), x, y
        )
    with pytest.raises(Disagreement):
        check_with_error(
            monkeypatch, lambda x, y: Hardmax(axis=0)(Mul()(x, y)), lambda a: np.array([0, 0, 1], a.dtype), x, y
        )


def test_noise_comes_in_opposite_pairs():
    np.testing.assert_array_equal(oracle._either(3)((4, 5)), -oracle._either(3, -1.0)((4, 5)))


def test_a_sign_that_rounding_decides_is_passed_over(monkeypatch):
    """1 + tanh(x) may be 0 or a little more."""
    x = np.float32([-40, 2])
    check_with_error(monkeypatch, lambda x: Sign()(Gelu("tanh")(x)), lambda a: np.float32([0, 1]), x)
    check_with_error(monkeypatch, lambda x: Sqrt()(Gelu("tanh")(x)), lambda a: np.float32([np.nan, a[1]]), x)
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, lambda x: Sign()(Gelu("tanh")(x)), lambda a: np.float32([0, 0]), x)


def test_two_numbers_standardised_round(monkeypatch):
    """They are 1 and -1 whatever they are, but not exactly."""
    x = floats(3, 2)
    check_with_error(monkeypatch, MeanVarianceNormalization(axes=(1,)), lambda a: np.nextafter(a, np.float32(2)), x)
    with pytest.raises(Disagreement):
        check_with_error(monkeypatch, MeanVarianceNormalization(axes=(1,)), lambda a: a + np.float32(1e-5), x)


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


# ---- the judges ---------------------------------------------------------------------------------


@pytest.mark.parametrize("judge", ["relax", pytest.param("relay", marks=pytest.mark.relay)])
def test_a_judge_agrees(judge):
    agree(*graph_of(lambda x, y: MatMul()(Exp()(x), y), floats(3, 5), floats(5, 2)), ("numpy", "loop", "llvm", judge))


def test_a_wrong_answer_of_tvm_is_a_disagreement(monkeypatch):
    graph, inputs = graph_of(lambda x: Abs()(x), floats(3))
    monkeypatch.setattr(oracle, "shared_worker", lambda engine: fake({"y": inputs["x0"]}))
    with pytest.raises(Disagreement, match="stage relax"):
        agree(graph, {"x0": -np.abs(inputs["x0"])}, ("relax",))


def fake(outcome):
    """A worker with this outcome, or one that must not be called."""

    class Fake:
        def run(self, jobs):
            assert outcome is not None, "TVM is run"
            return [outcome]

    return Fake()


@pytest.mark.parametrize("kind", ["crash", "timeout", "error", "unsupported"])
def test_a_failure_of_tvm_is_no_disagreement(monkeypatch, kind):
    graph, inputs = graph_of(lambda x: Abs()(x), floats(3))
    finding = Finding(kind, "SIGSEGV", graph, inputs)
    monkeypatch.setattr(oracle, "shared_worker", lambda engine: fake(finding))
    said = f"stage relax: relax gave no answer: {kind}: SIGSEGV\n    graph main"
    with pytest.raises(TvmFailure, match=said) as caught:
        agree(graph, inputs, ("numpy", "relax"))
    assert caught.value.finding is finding and not isinstance(caught.value, Disagreement)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_known_difference_excuses_what_depends_on_it_and_nothing_else():
    """The maximum of NaN is another one in TVM, and so is what is computed from it; the rest is compared."""
    x, y = ir.input("x", TensorType(float32, (2,))), ir.input("y", TensorType(float32, (2,)))
    top = Max()(x, y)
    graph = ir.Graph("main", (x, y), (Abs()(top), Add()(y, y), top), ("a", "b", "c"))
    nan, fine = (
        {"x": np.float32([np.nan, 1]), "y": np.float32([1, 2])},
        {"x": np.float32([3, 1]), "y": np.float32([1, 2])},
    )
    assert excuses(graph, nan, "relax").of == {"a": ("maximum of NaN",), "b": (), "c": ("maximum of NaN",)}
    assert excuses(graph, nan, "relax").names == ("maximum of NaN",)
    assert excuses(graph, fine, "relax").names == ()
    agree(graph, nan, ("relax",))
    agree(graph, fine, ("relax",))
    known = oracle.reference(graph, nan)
    assert (
        oracle.compare(graph, oracle.run_judge("relax", graph, nan), known, "relax", excuses(graph, nan, "relax")) == 1
    )
    with pytest.raises(Disagreement, match=r"stage relax: a\[0\] must be .*nan"):
        oracle.compare(graph, oracle.run_judge("relax", graph, nan), known, "relax")


def test_excuses_reach_into_kernels_and_out_of_them():
    x = ir.input("x", TensorType(float32, (2,)))
    p = ir.input("p", TensorType(float32, (2,)))
    body = ir.Graph("k", (p,), (Abs()(Max()(p, p)),), ("out",))
    graph = ir.Graph("main", (x,), (Exp()(ir.make(ir.Kernel("k", body), [x])),), ("y",))
    assert excuses(graph, {"x": np.float32([np.nan, 1])}, "relax").names == ("maximum of NaN",)
    assert excuses(graph, {"x": np.float32([0, 1])}, "relax").names == ()


def test_tvm_is_not_run_where_it_would_die(monkeypatch):
    monkeypatch.setattr(oracle, "shared_worker", lambda engine: fake(None))
    by_zero = graph_of(lambda x, y: Div()(x, y), np.int32([1]), np.int32([0]))
    assert excuses(*by_zero, "relax").kills == ("integer division by zero",)
    agree(*by_zero, ("numpy", "relax"))
    divisor = Cast(int32)(ir.constant(np.float32([1])))
    assert excuses(*graph_of(lambda x: Div()(x, divisor), np.int32([1])), "relax").kills == ()
    unknown = graph_of(lambda x, y: Div()(y, Cast(int32)(Max()(x, x))), np.float32([np.nan]), np.int32([1]))
    assert "integer division by zero" in excuses(*unknown, "relax").kills, "what TVM divides by is not known"
