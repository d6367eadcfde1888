"""bind: loops become blocks and threads."""

import numpy as np
from schedule_cases import chain, copied, every_move_keeps_the_meaning, matmul, message, the_example_holds, unchanged

import minicc
from minicc import te
from minicc.loop import run_python
from minicc.loop.verify import verify
from minicc.schedule.bind import BindStep


def test_the_example_of_the_docstring():
    the_example_holds("bind")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(BindStep) > 10


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
    assert (
        message(lambda: s.bind("k", "threadIdx.x"))
        == """\
ScheduleError: bind("k", "threadIdx.x"): C is reduced over loop k
    for i in range(6):
        for j in range(4):
            for k in range(8):
                ^ here
                if first(k):
                    C[i, j] = 0.0
                C[i, j] = C[i, j] + A[i, k]*B[k, j]
hint: choose a loop over an axis of the result, or s.rfactor("C", "k") first"""
    )


def test_an_unknown_axis():
    s = copied()
    assert (
        message(lambda: s.bind("i", "warp"))
        == """\
ScheduleError: bind("i", "warp"): expected a thread axis, got 'warp'
    for i in range(6):
        ^ here
        for j in range(5):
            B[i, j] = A[j, i]*2.0
hint: one of blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z, vthread"""
    )


def test_an_axis_twice():
    s = copied()
    s.bind("i", "threadIdx.x")
    assert (
        message(lambda: s.bind("j", "threadIdx.x"))
        == """\
ScheduleError: bind("j", "threadIdx.x"): loop i around it is bound to threadIdx.x
    for i in threadIdx.x(6):
        for j in range(5):
            ^ here
            B[i, j] = A[j, i]*2.0
hint: choose another axis, or fuse the loops"""
    )


def test_blocks_inside_threads():
    s = copied()
    s.bind("i", "threadIdx.x")
    assert (
        message(lambda: s.bind("j", "blockIdx.x"))
        == """\
ScheduleError: bind("j", "blockIdx.x"): loop i around it is bound to threadIdx.x
    for i in threadIdx.x(6):
        for j in range(5):
            ^ here
            B[i, j] = A[j, i]*2.0
hint: blocks are around threads"""
    )


def test_threads_around_blocks():
    s = copied()
    s.bind("j", "blockIdx.x")
    assert (
        message(lambda: s.bind("i", "threadIdx.x"))
        == """\
ScheduleError: bind("i", "threadIdx.x"): loop j inside it is bound to blockIdx.x
    for i in range(6):
        ^ here
        for j in blockIdx.x(5):
            B[i, j] = A[j, i]*2.0
hint: blocks are around threads"""
    )


def test_inside_a_parallel_loop():
    s = copied()
    s.parallel("i")
    assert (
        message(lambda: s.bind("j", "threadIdx.x"))
        == """\
ScheduleError: bind("j", "threadIdx.x"): loop i around it is of kind parallel
    for i in parallel(6):
        for j in range(5):
            ^ here
            B[i, j] = A[j, i]*2.0
hint: bind j instead of it"""
    )


def tiles_in_shared_memory():
    """B = A transposed by blocks of 4 by 4, through a copy in shared memory that a thread fills alone so far."""
    A = te.placeholder((8, 8), name="A")
    B = te.compute((8, 8), lambda i, j: A[j, i] * 2.0, name="B")
    s = te.create_schedule(B.op)
    shared = s.cache_read(A, "shared", [B])
    loops = s[B].tile(*s[B].op.axis, 4, 4)
    for loop, axis in zip(loops, ("blockIdx.y", "blockIdx.x", "threadIdx.y", "threadIdx.x"), strict=True):
        s[B].bind(loop, te.thread_axis(axis))
    s[shared].compute_at(s[B], loops[3])
    return s, shared


def test_threads_fill_a_shared_buffer_together():
    s, shared = tiles_in_shared_memory()
    rows, columns = s[shared].op.axis
    s[shared].bind(rows, te.thread_axis("threadIdx.y"))
    s[shared].bind(columns, te.thread_axis("threadIdx.x"))
    verify(s.program)
    A, B = np.arange(64, dtype="float32").reshape(8, 8), np.zeros((8, 8), "float32")
    run_python(s.program, A, B)
    np.testing.assert_array_equal(B, A.T * 2)
    assert (
        str(s.program).partition("-> B: float32[8,8]\n")[2]
        == """\
    for i_o in blockIdx.y(2):
        for j_o in blockIdx.x(2):
            for i_i in threadIdx.y(4):
                for j_i in threadIdx.x(4):
                    A_shared = empty((4, 4), float32)  # shared
                    for A_shared_0 in threadIdx.y(4):
                        for A_shared_1 in threadIdx.x(4):
                            A_shared[A_shared_0, A_shared_1] = A[j_o*4 + A_shared_0, i_o*4 + A_shared_1]
                    B[i_o*4 + i_i, j_o*4 + j_i] = A_shared[j_i, i_i]*2.0
"""
    )


def test_what_a_thread_keeps_for_itself_is_not_filled_together():
    s = tiles_in_shared_memory()[0].schedule
    s.set_scope("A_shared", "local")
    assert "loop i_i around it is bound to threadIdx.y" in message(lambda: s.bind("A_shared_0", "threadIdx.y"))


def test_a_block_axis_does_not_repeat():
    s = tiles_in_shared_memory()[0].schedule
    assert "loop i_o around it is bound to blockIdx.y" in message(lambda: s.bind("A_shared_0", "blockIdx.y"))


def test_a_shared_buffer_under_a_guard_of_threads_is_clamped():
    """Threads outside of the result fill their part for the others: the guard does not hold for the box."""
    A = te.placeholder((7,), name="A")
    B = te.compute((7,), lambda i: A[6 - i] + A[i], name="B")
    s = te.create_schedule(B.op)
    shared = s.cache_read(A, "shared", [B])
    block, thread = s[B].split(B.op.axis[0], factor=4)
    s[B].bind(block, te.thread_axis("blockIdx.x"))
    s[B].bind(thread, te.thread_axis("threadIdx.x"))
    s[shared].compute_at(s[B], thread)
    verify(s.program)
    x, y = np.arange(7, dtype="float32"), np.zeros(7, "float32")
    run_python(s.program, x, y)
    np.testing.assert_array_equal(y, x[::-1] + x)
