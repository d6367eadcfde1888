"""Small things that a NumPy user writes first: dtypes as words, int32 indices, an argument that is not read."""

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.errors import MiniccError


def build(C, *inputs):
    return minicc.build(te.create_schedule(C.op), [*inputs, C])


def test_a_table_is_indexed_by_any_integer():
    for dtype in ("int8", "uint8", "int32", "uint32", "int64"):
        T, J = te.placeholder((5, 3), name="T"), te.placeholder((4,), dtype, name="J")
        C = te.compute((4, 3), lambda i, j, T=T, J=J: T[J[i], j], name="C")
        t, index, c = (
            np.arange(15, dtype=np.float32).reshape(5, 3),
            np.array([4, 0, 2, 2], dtype),
            np.zeros((4, 3), np.float32),
        )
        build(C, T, J)(t, index, c)
        assert np.array_equal(c, t[index])


def test_what_is_no_index_is_refused():
    A, B = te.placeholder((5, 3), name="A"), te.placeholder((5,), "bool", name="B")
    i = te.var("i")
    for ask in (
        lambda: A[0.5, i],
        lambda: A[i / 2, i],
        lambda: A[B[i], i],
        lambda: A[True, i],
        lambda: A[1:2, i],
        lambda: A[i],
        lambda: A[..., i],
        lambda: A[None, i],
        lambda: A["x", i],
        lambda: A[i, i, i],
    ):
        with pytest.raises(MiniccError) as caught:
            ask()
        assert caught.value.where and caught.value.hint, caught.value


def test_a_dtype_is_a_word_and_numpys():
    A = te.placeholder((4,), "float32", name="A")
    assert A.dtype == "float32" and A.dtype != "int8" and A.dtype == np.float32 and np.dtype("float32") == A.dtype
    assert {"float32": 1}[A.dtype] == 1 and A.dtype in ("float16", "float32") and A.dtype is not None
    assert np.zeros(3, dtype=A.dtype).dtype == np.float32 and np.arange(3).astype(A.dtype).dtype == np.float32


def test_an_argument_that_nothing_reads():
    n, m = te.var(), te.var()
    A, B, D = te.placeholder((n,), name="A"), te.placeholder((n,), name="A"), te.placeholder((m, 2))
    C = te.compute((n,), lambda i: A[i] * 2.0)
    a, c = np.float32([1, 2, 3]), np.zeros(3, np.float32)
    build(C, A, B, D)(a, a, np.zeros((7, 2), np.float32), c)
    assert c.tolist() == [2, 4, 6]


def test_the_greater_of_two_values():
    A = te.placeholder((4,), name="A")
    for ask in (
        lambda: te.max(A[0], 0.0),
        lambda: te.min(A[0], A[1]),
        lambda: te.sum(A[0], axis=te.var("k")),
        lambda: te.sum(A, te.reduce_axis((0, 4))),
    ):
        with pytest.raises(MiniccError) as caught:
            ask()
        assert caught.value.where and caught.value.hint
    with pytest.raises(MiniccError, match=r"te\.maximum"):
        te.max(A[0], 0.0)


def test_a_reduce_axis_is_a_number_in_an_expression():
    k, j = te.reduce_axis((0, 4)), te.reduce_axis((0, 3))
    C = te.compute((2,), lambda i: te.sum(k * 2 + 10 * j - i, axis=[k, j]))
    c = np.zeros(2, C.dtype)
    build(C)(c)
    assert c.tolist() == [sum(k * 2 + 10 * j - i for k in range(4) for j in range(3)) for i in range(2)]


def test_two_unnamed_placeholders_are_two():
    A, B = te.placeholder((3,)), te.placeholder((3,))
    assert (
        A is not B and te.var() is not te.var() and te.placeholder((3,), name="A") is not te.placeholder((3,), name="A")
    )
    C = te.compute((3,), lambda i: A[i] - B[i])
    c = np.zeros(3, np.float32)
    build(C, A, B)(np.float32([5, 6, 7]), np.float32([1, 2, 3]), c)
    assert c.tolist() == [4, 4, 4] and str(C.op) == "compute[i in range(3)] = placeholder[i] - placeholder_1[i]"


def test_two_unnamed_sizes_are_two():
    n, m = te.var(), te.var()
    A = te.placeholder((n, m), name="A")
    k = te.reduce_axis((0, m))
    C = te.compute((n,), lambda i: te.sum(A[i, k], axis=k), name="C")
    c = np.zeros(2, np.float32)
    build(C, A)(np.float32([[1, 2, 3], [4, 5, 6]]), c)
    assert c.tolist() == [6, 15]
    assert repr(A.op) == "A: float32[n,n_1]" and str(C.op) == "C[i in range(n)] = sum(A[i, k] for k in range(n_1))"


def test_a_recurrence_with_two_unnamed_inputs():
    X, S = te.placeholder((4,)), te.placeholder((4,))
    init = te.compute((1,), lambda _: X[0])
    total = te.scan(init, te.compute((4,), lambda t: S[t - 1] + X[t]), S)
    c = np.zeros(4, np.float32)
    build(total, X)(np.float32([1, 2, 3, 4]), c)
    assert c.tolist() == [1, 3, 6, 10]


def test_a_first_state_that_reads_the_state_is_refused():
    X, S = te.placeholder((4,)), te.placeholder((4,))
    update = te.compute((4,), lambda t: S[t - 1] + X[t])
    for init in (te.compute((1,), lambda _: S[0]), S):
        with pytest.raises(MiniccError, match="must not read the state") as caught:
            te.scan(init, update, S)
        assert caught.value.where and caught.value.hint
