"""Softmax and normalisations over rows of any length, on several targets, against float64."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.graph.ir import Graph, input
from minicc.loop.lower import lower
from minicc.ops import Add, InstanceNormalization, LayerNormalization, LogSoftmax, MatMul, ReduceSum, Relu, Softmax
from minicc.recipes import reduced_rows
from minicc.recipes.registry import REDUCED_ROWS
from minicc.target import Target
from minicc.types import TensorType, float32, float64

TARGETS = ("native", "haswell", "skylake-avx512")
SPECIAL = np.array([-np.inf, np.inf, np.nan, 0.0, -0.0, 1e38, -1e38])


def compiled(op, types, target="native", threads=1):
    inputs = tuple(input(f"x{n}", t) for n, t in enumerate(types))
    return minicc.compile(Graph("rows", inputs, (op(*inputs),), ("y",)), Target.of(target).with_threads(threads))


def exact(op, arrays):
    return op.numpy(*[a.astype(np.float64) for a in arrays])


def reason(op, *shapes):
    tensors = [te.placeholder(shape, name=f"x{n}") for n, shape in enumerate(shapes)]
    y = op.compute(*tensors)
    return REDUCED_ROWS.reason(lower([y], [*tensors, y], "rows").program, Target.of("haswell"))


def can_run(target):
    return target == "native" or all(f in Target.of("native").features for f in Target.of(target).features)


LENGTHS = (7, 16, 33, 64, 77, 1000, 5000)
CASES = [(t, n) for t in TARGETS if can_run(t) for n in LENGTHS]


@pytest.mark.parametrize(("target", "length"), [
    case if case[0] == "native" or case[1] == 77 else pytest.param(*case, marks=pytest.mark.slow) for case in CASES])  # fmt: skip
@pytest.mark.parametrize("op", [Softmax(), LogSoftmax(), LayerNormalization()], ids=lambda op: op.name)
def test_every_length(op, length, target):
    x = np.random.default_rng(length).standard_normal((6, length)).astype(np.float32)
    arrays = [x, *[x[n] for n in (0, 1) if isinstance(op, LayerNormalization)]]
    made = compiled(op, [TensorType(float32, a.shape) for a in arrays], target)
    np.testing.assert_allclose(made(*arrays)[0], exact(op, arrays), rtol=2e-6, atol=2e-6)


@pytest.mark.slow
@given(st.data())
def test_any_shape_on_any_target(data):
    draw = data.draw
    shape = draw(st.lists(st.integers(1, 20), min_size=2, max_size=4))
    axis = draw(st.integers(1, len(shape) - 1))
    dtype, threads = draw(st.sampled_from((float32, float64))), draw(st.sampled_from((1, 2)))
    target = draw(st.sampled_from([t for t in TARGETS if can_run(t)]))
    rng = np.random.default_rng(sum(shape))
    x = rng.standard_normal(shape).astype(dtype.numpy)
    op = draw(st.sampled_from((Softmax(), LogSoftmax(-1), LayerNormalization(axis), InstanceNormalization())))
    scale = {"LayerNormalization": shape[axis:], "InstanceNormalization": shape[1:2]}.get(op.name)
    arrays = [x] if scale is None else [x, *[rng.standard_normal(scale).astype(dtype.numpy) for _ in range(2)]]
    made = compiled(op, [TensorType(dtype, a.shape) for a in arrays], target, threads)
    np.testing.assert_allclose(made(*arrays)[0], exact(op, arrays), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("op", [Softmax(), LogSoftmax()], ids=lambda op: op.name)
@pytest.mark.parametrize("length", [5, 16, 40])
def test_infinities_and_nan_are_where_numpy_has_them(op, length):
    x = np.random.default_rng(1).choice(np.append(SPECIAL, [1.0, 2.0] * 20), (200, length)).astype(np.float32)
    got, expected = compiled(op, [TensorType(float32, x.shape)])(x)[0], op.numpy(x)
    assert (np.isnan(got) == np.isnan(expected)).all()
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_a_residual_addition_is_in_the_kernel():
    x, y = (input(name, TensorType(float32, (64, 96))) for name in "xy")
    scale = np.ones(96, np.float32)
    graph = Graph("rows", (x, y), (LayerNormalization()(Add()(x, y), scale, scale),), ("z",))
    made = minicc.compile(graph)
    assert [kernel.label for kernel in made.kernels] == ["add_layer_normalization"]
    assert "recipe reduced_rows" in made.kernels[0].stages["schedule"]
    a, b = np.random.default_rng(2).standard_normal((2, 64, 96)).astype(np.float32)
    expected = exact(LayerNormalization(), [a + b, scale, scale])
    np.testing.assert_allclose(made(a, b)[0], expected, rtol=1e-5, atol=1e-5)


def test_what_it_matches():
    assert reason(Softmax(), (10, 33)) == "10 rows of 33: 2 reductions over each, which is then written"
    assert reason(LayerNormalization(1), (2, 8, 9), (8, 9), (8, 9)).startswith("2 rows of 72: 2 reductions")
    for op, *shapes in ((Softmax(0), (10, 33)), (Softmax(), (10, 3)), (ReduceSum((1,)), (10, 33)), (Relu(), (8, 8))):
        assert reason(op, *shapes) is None
    assert reason(MatMul(), (8, 8), (8, 8)) is None


def test_choices_are_recorded():
    x = te.placeholder((8, 256), name="x")
    y = Softmax().compute(x)
    program = lower([y], [x, y], "softmax").program
    target = Target.of("haswell")
    assert REDUCED_ROWS.apply(program, target).choices == {"lanes": 32, "lanes_1": 32, "width": 32, "width_1": 32}
    assert REDUCED_ROWS.apply(program, target, {"lanes": 8}).choices["lanes"] == 8
    assert reduced_rows.rows_of(program) == 1


@pytest.mark.parametrize("target", ["haswell", "skylake-avx512"])
def test_what_a_row_of_a_few_vectors_takes_is_one_loop(target):
    """Halves that are added are no loops: a branch for each costs more than the addition."""
    row = 2 * Target.of(target).lanes(float32)
    types = [TensorType(float32, shape) for shape in ((100, row), (row,), (row,))]
    text = compiled(LayerNormalization(), types, target).kernels[0].stages["loop"]
    assert "range(2)" not in text
