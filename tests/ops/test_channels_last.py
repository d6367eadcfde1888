"""Operators over `[N, spatial..., C]` are those over `[N, C, spatial...]`, moved: against NumPy by loops, in every room."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_cases import assert_agree, run_loops

from minicc import te
from minicc.errors import TypeInferenceError
from minicc.graph.text import parse
from minicc.ops import AveragePool, DepthwiseConv, LpPool, MaxPool, MaxPoolIndices
from minicc.types import DType, TensorType


def windows_of(x, op, kernel):
    """Every window of `x[N, spatial..., C]`: where it is, and the elements `[N, taps, C]` under it, None in the padding."""
    found = op.windows(x.shape[1:-1], kernel)
    for o in itertools.product(*[range(w.count) for w in found]):
        places = [[w.place(i, k) for k in range(w.kernel)] for w, i in zip(found, o, strict=True)]
        yield o, [_element(x, place) for place in itertools.product(*places)]


def _element(x, place):
    inside = all(0 <= p < extent for p, extent in zip(place, x.shape[1:], strict=False))
    return x[(slice(None), *place)] if inside else None


@st.composite
def cases(draw):
    rank = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    size = tuple(draw(st.integers(2 * k, 2 * k + 3)) for k in kernel)
    fields = {
        "strides": tuple(draw(st.integers(1, 3)) for _ in range(rank)),
        "padding": tuple(draw(st.integers(0, k - 1)) for k in kernel * 2),
        "dilation": tuple(draw(st.integers(1, 2)) for _ in range(rank)),
    }
    x = np.random.default_rng(draw(st.integers(0, 99))).standard_normal(
        (draw(st.integers(1, 2)), *size, draw(st.integers(1, 3)))
    )
    return x, kernel, fields


@settings(max_examples=25, deadline=None)
@given(cases())
def test_depthwise_convolution_is_a_sum_over_each_window(case):
    x, kernel, fields = case
    w = np.random.default_rng(1).standard_normal((*kernel, x.shape[-1]))
    op = DepthwiseConv(**fields)
    got = op(x, w)
    assert TensorType.of(got) == op.infer(TensorType.of(x), TensorType.of(w))
    for o, taps in windows_of(x, op, kernel):
        total = sum(t * v for t, v in zip(taps, w.reshape(-1, w.shape[-1]), strict=True) if t is not None)
        np.testing.assert_allclose(got[(slice(None), *o)], np.zeros((x.shape[0], x.shape[-1])) + total, atol=1e-9)
    tensors = [te.placeholder(a.shape, a.dtype, name) for a, name in ((x, "x"), (w, "w"))]
    assert_agree(run_loops(op(*tensors), tensors, [x, w]), got, DType.of(x.dtype), str(op))


@settings(max_examples=25, deadline=None)
@given(cases(), st.booleans())
def test_pools_reduce_each_window(case, ceil_mode):
    x, kernel, fields = case
    fields |= {"kernel": kernel, "ceil_mode": ceil_mode, "channels_last": True}
    pools = (
        (MaxPool(**fields), max),
        (LpPool(**fields, p=1), lambda taps: sum(map(abs, taps))),
        (AveragePool(**fields), None),
    )
    for op, reduce in pools:
        got = op(x)
        for o, taps in windows_of(x, op, kernel):
            if here := [t for t in taps if t is not None]:
                expected = reduce([np.asarray(t) for t in here]) if reduce not in (max, None) else None
                expected = (
                    np.max(here, axis=0) if reduce is max else np.mean(here, axis=0) if reduce is None else expected
                )
                np.testing.assert_allclose(got[(slice(None), *o)], expected, atol=1e-9)
        tensor = te.placeholder(x.shape, x.dtype, "x")
        assert_agree(run_loops(op(tensor), [tensor], [x]), got, DType.of(x.dtype), str(op))


def test_the_text_form_knows_them():
    text = """graph both(x: float32[1,4,4,3], w: float32[3,3,3]) {
  %0 = DepthwiseConv(strides=(), padding=(1, 1, 1, 1), dilation=(), auto_pad='NOTSET')(x, w) : float32[1,4,4,3]
  %1 = MaxPool(kernel=(2, 2), strides=(), padding=(), dilation=(), ceil_mode=False, auto_pad='NOTSET', channels_last=True)(%0) : float32[1,3,3,3]
  return y=%1
}"""
    assert str(parse(text)) == text


def test_what_does_not_fit_is_refused():
    f = lambda *shape: TensorType(DType.of("float32"), shape)  # noqa: E731
    with pytest.raises(TypeInferenceError, match="expected channels as axis 1"):
        MaxPoolIndices(kernel=(2,), channels_last=True).infer(f(1, 4, 3))
    with pytest.raises(TypeInferenceError, match=r"expected \[N, spatial..., C\] and \[kernel..., C\]"):
        DepthwiseConv().infer(f(1, 4, 3), f(3, 2))
    with pytest.raises(TypeInferenceError, match="is larger than the padded data"):
        DepthwiseConv().infer(f(1, 4, 3), f(5, 3))
