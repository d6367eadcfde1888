"""The sixth lesson: calling what is no tensor expression, a Python function or one of C.

An extern stage calls a function on whole arrays. The stages around it are scheduled as ever.
"""

import ctypes

import numpy as np
import pytest
from lesson_cases import check, random

import minicc
from minicc import te
from minicc.errors import RunError


def sort_rows(x, out):
    out[...] = np.sort(x, axis=1)


def test_a_python_function_between_two_stages():
    n = te.var("n")
    A = te.placeholder((n, 8), name="A")
    T = te.compute((n, 8), lambda i, j: A[i, j] * 2.0, name="T")
    S = te.extern((n, 8), [T], sort_rows, name="S")
    B = te.compute((n, 8), lambda i, j: S[i, j] + 1.0, name="B")
    s = te.create_schedule(B.op)
    s[T].vectorize(T.op.axis[1])
    s[B].parallel(B.op.axis[0])
    assert "extern.sort_rows(T, S)" in str(s.program)
    a = random(5, 8)
    check(s, [A, B], [a], [np.sort(a * 2, axis=1) + 1])
    check(s, [A, B], [a[:0]], [a[:0]])


def test_a_registered_function():
    @te.register_extern("lesson_outer")
    def outer(x, y, out):
        np.multiply.outer(x, y, out=out)

    A, B = te.placeholder((3,), name="A"), te.placeholder((4,), name="B")
    C = te.extern((3, 4), [A, B], "lesson_outer", name="C")
    a, b = random(3), random(4)
    check(te.create_schedule(C), [A, B, C], [a, b], [np.outer(a, b)])


def test_a_c_function():
    """`void f(const float *x, float *out, const int64_t *extents)`; here a callback takes the place of a library."""
    kind = ctypes.CFUNCTYPE(
        None, ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_int64)
    )

    @kind
    def reverse(x, out, extents):
        assert extents[0] == extents[1]
        for i in range(extents[0]):
            out[i] = x[extents[0] - 1 - i]

    n = te.var("n")
    A = te.placeholder((n,), name="A")
    B = te.extern((n,), A, reverse, name="B")
    a = random(7)
    check(te.create_schedule(B), [A, B], [a], [a[::-1].copy()])


def test_what_it_raises_comes_out_of_the_call():
    def fails(x, out):
        raise ValueError("not today")

    A = te.placeholder((2,), name="A")
    B = te.extern((2,), A, fails, name="B")
    f = minicc.build(te.create_schedule(B), [A, B])
    with pytest.raises(RunError, match="raised ValueError: not today") as caught:
        f(random(2), random(2))
    assert isinstance(caught.value.__cause__, ValueError)


def test_inputs_are_read_only():
    def writes_its_input(x, out):
        x[0] = 1

    A = te.placeholder((2,), name="A")
    B = te.extern((2,), A, writes_its_input, name="B")
    with pytest.raises(RunError, match="read-only"):
        minicc.build(te.create_schedule(B), [A, B])(random(2), random(2))
