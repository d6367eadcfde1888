"""The first lesson: adding vectors of any length, by blocks and threads.

The length `n` is a variable, so one function serves every length. The loop is split into blocks
of 64, and as 64 need not divide `n`, a guard keeps the last block within. Blocks and threads are
those of a GPU; bound loops mean the same on a CPU, where they run as ordinary loops.
"""

import numpy as np
import pytest
from lesson_cases import check, random

import minicc
from minicc import te


def vectors():
    n = te.var("n")
    A, B = te.placeholder((n,), name="A"), te.placeholder((n,), name="B")
    return A, B, te.compute(A.shape, lambda i: A[i] + B[i], name="C")


@pytest.mark.parametrize("length", [0, 1, 63, 64, 1000])
def test_bound_to_blocks_and_threads(length):
    A, B, C = vectors()
    s = te.create_schedule(C.op)
    block, thread = s[C].split(C.op.axis[0], factor=64)
    s[C].bind(block, te.thread_axis("blockIdx.x"))
    s[C].bind(thread, te.thread_axis("threadIdx.x"))
    a, b = random(length), random(length)
    check(s, [A, B, C], [a, b], [a + b])


def test_what_is_printed():
    A, B, C = vectors()
    s = te.create_schedule(C.op)
    s[C].split(C.op.axis[0], factor=64)
    assert str(minicc.lower(s, [A, B, C], name="vecadd")) == (
        "def vecadd(A, B, C):\n"
        "    # A: float32[n], B: float32[n] -> C: float32[n]\n"
        "    n = A.shape[0]\n"
        "    for i_o in range((n + 63)//64):\n"
        "        for i_i in range(64):\n"
        "            if i_o*64 + i_i < n:\n"
        "                C[i_o*64 + i_i] = A[i_o*64 + i_i] + B[i_o*64 + i_i]\n"
    )


def test_vectors_and_cores():
    A, B, C = vectors()
    s = te.create_schedule(C.op)
    outer, inner = s[C].split(C.op.axis[0], factor=16)
    s[C].parallel(outer)
    s[C].vectorize(inner)
    a, b = random(1003), random(1003)
    f = check(s, [A, B, C], [a, b], [a + b])
    c = np.zeros(5, "float32")
    f(a[:5].copy(), b[:5].copy(), c)  # the same function at another length
    np.testing.assert_array_equal(c, a[:5] + b[:5])
    timing = f.time_evaluator(number=2, repeat=3)(a, b, np.empty_like(a))
    assert len(timing.results) == 3 and timing.min <= timing.median <= timing.max and timing.mean > 0
    assert "us" in str(timing)


def test_the_schedule_can_be_looked_at():
    _, _, C = vectors()
    s = te.create_schedule(C.op)
    outer, _ = s[C].split(C.op.axis[0], factor=64)
    assert str(s) == str(s.trace) == 's.split("i", factor=64)'
    assert f's.parallel("{outer}")' in [str(move) for move in s.moves()]
    s.apply(s.moves()[0])
    assert len(s.trace) == 2
    s.undo(), s.undo()
    assert len(s.trace) == 0 and s.program is s.schedule.start
