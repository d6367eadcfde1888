"""storage_align: strides of buffers."""

import itertools

from schedule_cases import every_move_keeps_the_meaning, lowered, message, rows, the_example_holds, unchanged

from minicc import te
from minicc.errors import ScheduleError
from minicc.loop.ir import Alloc, walk
from minicc.schedule.storage_align import StorageAlignStep


def test_the_example_of_the_docstring():
    the_example_holds("storage_align")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(StorageAlignStep) > 2


def test_strides():
    assert "T = empty((4, 16), float32)" in unchanged(rows(), lambda s: s.storage_align("T", 0, 16))
    assert "T = empty((4, 9), float32)" in unchanged(rows(), lambda s: s.storage_align("T", 0, 8, 1))
    assert "T = empty((4, 6), float32)" in unchanged(rows(), lambda s: s.storage_align("T", 0, 3))


def test_after_compute_at():
    def steps(s):
        s.compute_at("T", "i_1")
        s.storage_align("T", 0, 16)

    assert "T = empty((1, 16), float32)" in unchanged(rows(), steps)


def test_the_stride_is_the_least_that_does_however_large_the_factor():
    def least(extent, inner, factor, offset):
        return next((n for n in range(extent, extent + factor) if n * inner % factor == offset), None)

    def aligned(extent, inner, factor, offset):
        x = te.placeholder((2, extent, inner), name="x")
        T = te.compute(x.shape, lambda *i: x[i] + 1.0, name="T")
        y = te.compute(x.shape, lambda *i: T[i] * 2.0, name="y")
        s = lowered(x, y)
        try:
            s.storage_align("T", 0, factor, offset)
        except ScheduleError:
            return None
        return next(a.buffer.shape[1] for a in walk(s.program.body) if isinstance(a, Alloc))

    for extent, inner, factor, offset in itertools.product((1, 5), (1, 4, 6), (1, 2, 4, 9, 12), (0, 1, 3)):
        if offset < factor:
            assert aligned(extent, inner, factor, offset) == least(extent, inner, factor, offset)
    assert aligned(5, 6, 6 * 10**12, 18) == 10**12 + 3
    assert aligned(5, 6, 6 * 10**12, 19) is None


def test_the_last_axis():
    s = rows()
    assert (
        message(lambda: s.storage_align("T", 1, 16))
        == """\
ScheduleError: storage_align("T", axis=1, factor=16): expected an axis before the last of 2, got 1
    T = empty((4, 6), float32)
    ^ here
    for i in range(4):
        for j in range(6):
            T[i, j] = A[i, j]*A[i, j]
    for i_1 in range(4):
        for k in range(6):
            if first(k):
                S[i_1] = 0.0
            S[i_1] = S[i_1] + T[i_1, k]
hint: the last axis has stride 1"""
    )


def test_an_offset_beyond_the_factor():
    s = rows()
    assert (
        message(lambda: s.storage_align("T", 0, 4, 4))
        == """\
ScheduleError: storage_align("T", axis=0, factor=4, offset=4): expected 0 <= offset < factor, got offset 4 and factor 4
    T = empty((4, 6), float32)
    ^ here
    for i in range(4):
        for j in range(6):
            T[i, j] = A[i, j]*A[i, j]
    for i_1 in range(4):
        for k in range(6):
            if first(k):
                S[i_1] = 0.0
            S[i_1] = S[i_1] + T[i_1, k]
hint: factor=32, offset=1 makes the stride 1 modulo 32"""
    )


def test_an_impossible_stride():
    A = te.placeholder((2, 3, 4), name="A")
    T = te.compute((2, 3, 4), lambda i, j, k: A[i, j, k] + 1.0, name="T")
    s = lowered(A, te.compute((2, 3, 4), lambda i, j, k: T[i, j, k] * 2.0, name="D"))
    assert (
        message(lambda: s.storage_align("T", 0, 16, 1))
        == """\
ScheduleError: storage_align("T", axis=0, factor=16, offset=1): no stride that is a multiple of 4 is 1 modulo 16
    T = empty((2, 3, 4), float32)
    ^ here
    for i in range(2):
        for j in range(3):
            for k in range(4):
                T[i, j, k] = A[i, j, k] + 1.0
    for i_1 in range(2):
        for j_1 in range(3):
            for k_1 in range(4):
                D[i_1, j_1, k_1] = T[i_1, j_1, k_1]*2.0
hint: align an axis further back"""
    )


def test_a_symbolic_stride():
    n = te.var("n")
    A = te.placeholder((4, n), name="A")
    T = te.compute((4, n), lambda i, j: A[i, j] + 1.0, name="T")
    s = lowered(A, te.compute((4, n), lambda i, j: T[i, j] * 2.0, name="D"))
    assert (
        message(lambda: s.storage_align("T", 0, 16))
        == """\
ScheduleError: storage_align("T", axis=0, factor=16): the extents after axis 0 must be constant, got (n,)
    n = A.shape[1]
    T = empty((4, n), float32)
    ^ here
    for i in range(4):
        for j in range(n):
            T[i, j] = A[i, j] + 1.0
    for i_1 in range(4):
        for j_1 in range(n):
            D[i_1, j_1] = T[i_1, j_1]*2.0
hint: first compute_at("T", loop), in a loop that needs a part of constant size"""
    )
