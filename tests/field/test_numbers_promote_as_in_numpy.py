"""A number beside an expression keeps its value: operands meet in the dtype that NumPy takes, or are refused."""

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.errors import MiniccError, TeError

x = {
    dtype: np.array([0, 1, 2, 3, 5, 7], dtype)
    for dtype in ("int8", "uint8", "int32", "int64", "float16", "float32", "float64")
}


def run(f, *arrays):
    """`f` of the elements of arrays, by machine code."""
    inputs = [te.placeholder(a.shape, str(a.dtype)) for a in arrays]
    C = te.compute(arrays[0].shape, lambda i: f(*[t[i] for t in inputs]))
    result = np.zeros(C.shape, dtype=C.dtype)
    minicc.build(te.create_schedule(C.op), [*inputs, C])(*arrays, result)
    return result


CASES = [
    ("int32", lambda v: v * 0.5), ("int32", lambda v: v >= 2.5), ("int64", lambda v: 1.5 - v), ("int8", lambda v: v / 2),
    ("uint8", lambda v: v + 200), ("uint8", lambda v: v < 300), ("uint8", lambda v: v >= -1), ("int32", lambda v: v == 2.5),
    ("float16", lambda v: v * 0.1), ("float32", lambda v: v + np.float64(0.1)), ("int32", lambda v: v * np.float32(0.5)),
    ("int32", lambda v: v + np.int64(2**40)), ("int8", lambda v: (v > 2) + np.int8(1)), ("int32", lambda v: v**3),
    ("float32", lambda v: v // 2), ("int32", lambda v: v << 3), ("int8", lambda v: (v ^ 5) | 8), ("uint8", lambda v: 7 & ~v),
]  # fmt: skip


@pytest.mark.parametrize(("dtype", "f"), CASES)
def test_a_number_beside_an_element(dtype, f):
    expected = f(x[dtype])
    got = run(f, x[dtype])
    assert got.dtype == expected.dtype and np.array_equal(got, expected)


def test_elements_of_two_dtypes():
    for one, two in (
        ("int8", "uint8"),
        ("int32", "int64"),
        ("float16", "float32"),
        ("int32", "float32"),
        ("float32", "int64"),
    ):
        got = run(lambda a, b: a * b + a, x[one], x[two])
        expected = x[one] * x[two] + x[one]
        assert got.dtype == expected.dtype and np.array_equal(got, expected), (one, two)


def test_a_function_of_an_unsigned_integer_is_one_of_its_value():
    assert np.allclose(run(te.sigmoid, x["uint8"]).astype(float), 1 / (1 + np.exp(-x["float64"])), rtol=2e-3)


def test_branches_meet_too():
    assert run(lambda a: te.if_then_else(a > 2, 1, 0.5), x["int32"]).tolist() == [0.5, 0.5, 0.5, 1, 1, 1]
    assert run(lambda a: te.if_then_else(a > 2, a, 0.5), x["int32"]).dtype == "float64"


def test_what_has_no_meaning_is_refused():
    U, J, B = (te.placeholder((4,), d, n) for d, n in (("uint8", "U"), ("int32", "J"), ("bool", "B")))
    W, L = te.placeholder((4,), "uint64", "W"), te.placeholder((4,), "int64", "L")
    for ask in (
        lambda: U[0] + 300,
        lambda: U[0] * -1,
        lambda: J[0] << 0.5,
        lambda: J[0] & 1.0,
        lambda: B[0] + B[1],
        lambda: -B[0],
        lambda: W[0] + L[0],
        lambda: te.const(4.5, "int32"),
        lambda: te.const(300, "uint8"),
        lambda: te.const(float("nan"), "int8"),
        lambda: te.placeholder((4.5,)),
        lambda: te.placeholder((-1,)),
        lambda: te.reduce_axis((0, 2.5)),
        lambda: te.reduce_axis(8),
        lambda: te.if_then_else(J[0], 1, 0),
        lambda: J[0] + 1j,
        lambda: J[0] + "1",
        lambda: J[0] + np.arange(3),
        lambda: J[0] ** -1,
    ):
        with pytest.raises(MiniccError) as caught:
            ask()
        assert caught.value.call and caught.value.problem and caught.value.where and caught.value.hint, caught.value


def test_a_constant_is_what_was_written():
    assert str(te.const(0.5)) == "0.5" and te.const(0.5).dtype == "float32" and te.const(2.0, "int32").dtype == "int32"
    with pytest.raises(TeError, match="expected an integer from 0 to 255, got 300"):
        te.const(300, "uint8")
