"""bind: loops become blocks and threads."""

import numpy as np
from schedule_cases import chain, copied, every_move_keeps_the_meaning, matmul, message, the_example_holds, unchanged

import minicc
from minicc.schedule.bind import Bind


def test_the_example_of_the_docstring():
    the_example_holds("bind")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(Bind) > 10


def test_blocks_and_threads():
    def steps(s):
        block, thread = s.split("i", factor=4)
        s.bind(block, "blockIdx.x")
        s.bind(thread, "threadIdx.x")
        s.bind("j", "threadIdx.y")

    text = unchanged(copied(), steps)
    assert "for i_o in blockIdx.x(2):" in text and "for i_i in threadIdx.x(4):" in text


def test_virtual_threads_may_repeat():
    text = unchanged(copied(), lambda s: (s.bind("i", "vthread"), s.bind("j", "vthread")))
    assert text.count("vthread") == 2


def test_nests_one_after_the_other_share_axes():
    unchanged(chain(), lambda s: (s.bind("i", "threadIdx.x"), s.bind("i_1", "threadIdx.x")))


def test_the_machine_runs_thread_axes_as_loops():
    s = copied()
    s.bind("i", "blockIdx.x")
    s.bind("j", "threadIdx.x")
    A = np.arange(30, dtype="float32").reshape(5, 6)
    np.testing.assert_array_equal(minicc.compile(s).run({"A": A})["B"], A.T * 2)


def test_a_reduction_is_no_axis():
    s = matmul()
    assert message(lambda: s.bind("k", "threadIdx.x")) == """\
ScheduleError: bind("k", "threadIdx.x"): C is reduced over loop k
    for i in range(6):
        for j in range(4):
            for k in range(8):
                ^ here
                if first(k):
                    C[i, j] = 0.0
                C[i, j] = C[i, j] + A[i, k]*B[k, j]
hint: choose a loop over an axis of the result"""


def test_an_unknown_axis():
    s = copied()
    assert message(lambda: s.bind("i", "warp")) == """\
ScheduleError: bind("i", "warp"): expected a thread axis, got 'warp'
    for i in range(6):
        ^ here
        for j in range(5):
            B[i, j] = A[j, i]*2.0
hint: one of blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, vthread"""


def test_an_axis_twice():
    s = copied()
    s.bind("i", "threadIdx.x")
    assert message(lambda: s.bind("j", "threadIdx.x")) == """\
ScheduleError: bind("j", "threadIdx.x"): loop i around it is bound to threadIdx.x
    for i in threadIdx.x(6):
        for j in range(5):
            ^ here
            B[i, j] = A[j, i]*2.0
hint: choose another axis, or fuse the loops"""


def test_blocks_inside_threads():
    s = copied()
    s.bind("i", "threadIdx.x")
    assert message(lambda: s.bind("j", "blockIdx.x")) == """\
ScheduleError: bind("j", "blockIdx.x"): loop i around it is bound to threadIdx.x
    for i in threadIdx.x(6):
        for j in range(5):
            ^ here
            B[i, j] = A[j, i]*2.0
hint: blocks are around threads"""


def test_threads_around_blocks():
    s = copied()
    s.bind("j", "blockIdx.x")
    assert message(lambda: s.bind("i", "threadIdx.x")) == """\
ScheduleError: bind("i", "threadIdx.x"): loop j inside it is bound to blockIdx.x
    for i in range(6):
        ^ here
        for j in blockIdx.x(5):
            B[i, j] = A[j, i]*2.0
hint: blocks are around threads"""


def test_inside_a_parallel_loop():
    s = copied()
    s.parallel("i")
    assert message(lambda: s.bind("j", "threadIdx.x")) == """\
ScheduleError: bind("j", "threadIdx.x"): loop i around it is of kind parallel
    for i in parallel(6):
        for j in range(5):
            ^ here
            B[i, j] = A[j, i]*2.0
hint: bind j instead of it"""
