"""Windows over channels-last data: right for every shape and processor, and made in registers."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minicc
from minicc import ops, te
from minicc.loop.lower import lower
from minicc.loop.verify import verify
from minicc.recipes import default
from minicc.recipes.registry import DEPTHWISE
from minicc.target import Target

TARGETS = [Target.native(), Target.of("haswell")]


@pytest.fixture(autouse=True, scope="module")
def parallel_from_the_first_iteration():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(default, "PARALLEL_WORK", 1)
        yield


def program(op, arrays, then=()):
    tensors = [te.placeholder(a.shape, a.dtype, f"a{n}") for n, a in enumerate(arrays)]
    y = op(*tensors)
    for step in then:
        y = step(y)
    return lower([y], [*tensors, y], "kernel").program, y


def check(op, arrays, target=TARGETS[0], then=(), recipe=DEPTHWISE):
    """The kernel of `op` and what follows computes what it does on float64; gives its schedule."""
    naive, y = program(op, arrays, then)
    if recipe.matches(naive, target) is None:
        return None
    made = recipe.apply(naive, target)
    verify(made.program)
    got = np.full(y.shape, -7, y.dtype.numpy)
    minicc.build(made, target=target, name="kernel")(*arrays, got)
    expected = op(*[a.astype(np.float64) if a.dtype == np.float32 else a for a in arrays])
    for step in then:
        expected = step(expected)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)
    return made


@st.composite
def windows(draw, most=5):
    rank = draw(st.sampled_from([1, 2, 2, 2, 3]))
    most = {1: 7, 2: most, 3: 3}[rank]
    kernel = tuple(draw(st.integers(1, most)) for _ in range(rank))
    dilation = tuple(draw(st.sampled_from([1, 1, 2])) for _ in range(rank))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = [draw(st.integers(r, {1: 50, 2: 30, 3: 9}[rank])) for r in reach]
    fields = {
        "strides": tuple(draw(st.sampled_from([1, 1, 2, 3])) for _ in range(rank)),
        "padding": tuple(draw(st.integers(0, k - 1)) for k in kernel * 2),
        "dilation": dilation,
    }
    channels = draw(st.sampled_from([2, 3, 7, 8, 16, 17, 24, 28, 40, 64]))
    return (draw(st.sampled_from([1, 1, 3])), *size, channels), kernel, fields


def values(shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@given(windows(), st.sampled_from(TARGETS), st.integers(1, 2), st.booleans())
@example(((1, 7, 7, 24), (3, 3), {"padding": (1, 1, 1, 1)}), TARGETS[0], 2, True)
@example(((1, 75, 75, 28), (3, 3), {"padding": (0, 0, 1, 1), "strides": (2, 2)}), TARGETS[0], 2, False)
@example(((2, 14, 30, 17), (7, 7), {"padding": (3, 3, 3, 3)}), TARGETS[1], 1, True)
def test_depthwise_convolution(case, target, threads, clipped):
    shape, kernel, fields = case
    arrays = [values(shape), values((*kernel, shape[-1]), 1)]
    then = [ops.Relu()] if clipped else []
    check(ops.DepthwiseConv(**fields), arrays, target.with_threads(threads), then)


@pytest.mark.slow
@settings(max_examples=max(12, settings().max_examples // 2))
@given(windows(), st.sampled_from(TARGETS), st.sampled_from(["float32", "float64", "int32", "int8"]), st.booleans())
def test_pools(case, target, dtype, flag):
    shape, kernel, fields = case
    x = (values(shape) * 50).astype(dtype)
    fields |= {"kernel": kernel, "ceil_mode": flag, "channels_last": True}
    check(ops.MaxPool(**fields), [x], target)
    if x.dtype.kind == "f":
        check(ops.AveragePool(**fields, count_include_pad=flag), [x], target)
        check(ops.LpPool(**fields), [x], target)


def test_nan_wins_every_maximum():
    x = values((1, 9, 9, 20))
    x[0, 4, 4, 3] = np.nan
    x[0, 2, 2, 5] = np.inf
    made = check(ops.MaxPool(kernel=(3, 3), strides=(2, 2), padding=(1, 1, 1, 1), channels_last=True), [x])
    assert made is not None


def test_an_infinite_weight_meets_the_padding():
    w = values((3, 3, 16))
    w[0, 0, 4] = np.inf
    check(ops.DepthwiseConv(padding=(1, 1, 1, 1)), [values((1, 8, 8, 16)), w])  # 0 * inf is NaN, as in Conv


@pytest.mark.parametrize("target", ["haswell", "skylake-avx512"])
def test_sums_and_weights_stay_in_registers(target):
    naive, _ = program(ops.DepthwiseConv(padding=(1, 1, 1, 1)), [values((1, 20, 40, 64)), values((3, 3, 64))])
    made = DEPTHWISE.apply(naive, Target.of(target))
    asm = minicc.build(made, target=target, name="kernel").stages["asm"]
    assert not re.search(r"\bv?gather|\bvfmadd\w+ss\b|\bvmulss\b", asm)
    fmas = len(re.findall(r"vfmadd\w+ps", asm))
    spilled = len(re.findall(r"v\w+ps.*\(%rsp\)", asm))
    assert fmas > 50 and spilled < fmas / 4


def test_what_is_no_window_is_left_to_others():
    a, b = values((8, 16)), values((16, 8))
    assert DEPTHWISE.matches(program(ops.MatMul(), [a, b])[0], TARGETS[0]) is None
    pool = ops.MaxPool(kernel=(3, 3))
    assert DEPTHWISE.matches(program(pool, [values((1, 4, 16, 16))])[0], TARGETS[0]) is None
