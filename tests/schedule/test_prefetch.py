"""prefetch: hints for later iterations."""

import numpy as np
from schedule_cases import chain, copied, every_move_keeps_the_meaning, gather, matmul, message, the_example_holds
from schedule_cases import unchanged, windows

import minicc
from minicc.schedule.prefetch import PrefetchStep


def test_the_example_of_the_docstring():
    the_example_holds("prefetch")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(PrefetchStep) > 10


def test_each_place_has_a_hint():
    text = unchanged(windows(), lambda s: s.prefetch("T", "i_1", offset=4))
    assert "prefetch(T, i_1 + 4)" in text and "prefetch(T, i_1 + 6)" in text


def test_hints_leave_with_their_buffer():
    for steps in (
        lambda s: (s.prefetch("T", "i_1", 2), s.compute_inline("T")),
        lambda s: (s.split("i_1", factor=2), s.prefetch("T", "i_1_o", 2), s.compute_at("T", "i_1_i")),
    ):
        assert "prefetch" not in unchanged(chain(), steps)


def test_in_machine_code():
    s = copied(64, 64)
    s.prefetch("A", "i", 4)
    s.prefetch("A", "j", 70)
    A = np.arange(64 * 64, dtype="float32").reshape(64, 64)
    np.testing.assert_array_equal(minicc.compile(s).run({"A": A})["B"], A.T * 2)


def test_nothing_moves_with_the_loop():
    s = matmul()
    assert (
        message(lambda: s.prefetch("B", "i"))
        == """\
ScheduleError: prefetch("B", "i"): no read of B moves with loop i
    for i in range(6):
        ^ here
        for j in range(4):
            for k in range(8):
                if first(k):
                    C[i, j] = 0.0
                C[i, j] = C[i, j] + A[i, k]*B[k, j]
hint: choose another loop"""
    )


def test_an_offset_of_nothing():
    s = matmul()
    assert (
        message(lambda: s.prefetch("B", "k", 0))
        == """\
ScheduleError: prefetch("B", "k", offset=0): expected an offset of at least 1, got 0
    for i in range(6):
        for j in range(4):
            for k in range(8):
                ^ here
                if first(k):
                    C[i, j] = 0.0
                C[i, j] = C[i, j] + A[i, k]*B[k, j]
hint: 1 asks for what the next iteration reads"""
    )


def test_a_place_that_is_read():
    s = gather()
    assert (
        message(lambda: s.prefetch("A", "i"))
        == """\
ScheduleError: prefetch("A", "i"): the place of A[minimum(maximum(index[i], 0), 5), j] is read from memory itself
    for i in range(5):
        ^ here
        for j in range(4):
            D[i, j] = A[minimum(maximum(index[i], 0), 5), j]
hint: prefetch index, which says where, or a buffer whose place the loops tell"""
    )


def test_a_vectorized_loop():
    s = copied()
    s.vectorize("i")
    assert (
        message(lambda: s.prefetch("A", "j"))
        == """\
ScheduleError: prefetch("A", "j"): loop i is vectorized
    for i in vectorize(6):
        for j in range(5):
            ^ here
            B[i, j] = A[j, i]*2.0
hint: choose a loop around it"""
    )


def test_a_buffer_of_the_iteration():
    s = chain()
    s.compute_at("T", "i_1")
    assert (
        message(lambda: s.prefetch("T", "i_1"))
        == """\
ScheduleError: prefetch("T", "i_1"): T is allocated in loop i_1
    for i_1 in range(10):
        T = empty((1,), float32)  # local
        ^ here
        for i in range(1):
            T[0] = A[i_1]*2.0
        D[i_1] = T[0] + 1.0
hint: choose a loop inside of its scope"""
    )
