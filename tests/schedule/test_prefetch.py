"""prefetch: hints for later iterations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schedule_cases import chain, copied, every_move_keeps_the_meaning, gather, lowered, matmul, message, run
from schedule_cases import the_example_holds, unchanged, windows

import minicc
from minicc import te
from minicc.loop import prelude
from minicc.schedule.prefetch import LINE, PrefetchStep
from minicc.schedule.step import loops_text


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


# ---- all of what a later iteration reads -----------------------------------------------------------


def panels(m, n, depth, width):
    """C[m, n] = A B, where B comes in panels of so many columns."""
    A, B = te.placeholder((m, depth), name="A"), te.placeholder((n // width, depth, width), name="B")
    k = te.reduce_axis((0, depth), name="k")
    C = te.compute((m, n), lambda i, j: te.sum(A[i, k] * B[j // width, k, j % width], axis=k), name="C")
    return lowered(A, B, C)


@given(
    st.integers(1, 9),
    st.integers(2, 4),
    st.integers(1, 40),
    st.sampled_from((2, 8, 16, 40)),
    st.integers(1, 3),
    st.booleans(),
)
def test_every_line_of_later_panels_is_asked_for(tiles, count, depth, width, rows, innermost):
    s = panels(tiles * rows, count * width, depth, width)
    panel, lane = s.split("j", factor=width)
    row, within = s.split("i", factor=rows)
    s.reorder(panel, row, within, "k", lane)
    before = loops_text(s.program)
    s.prefetch("B", panel, spread="k" if innermost else row)
    assert [line for line in loops_text(s.program).splitlines() if "prefetch" not in line] == before.splitlines()
    asked = set()

    def prefetch(buffer, *at):
        asked.add(int(np.dot(at, buffer.strides)) // LINE)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prelude, "prefetch", prefetch)
        run(s.program)
    panel_bytes = depth * width * 4
    wanted = {place // LINE for place in range(panel_bytes, count * panel_bytes)}
    assert wanted <= asked
    trips = count * tiles * (rows * depth if innermost else 1)
    assert len(asked) <= len(wanted) + trips + 2 * panel_bytes // LINE + 2


def test_the_hints_of_a_block_in_machine_code():
    s = panels(20, 64, 100, 16)
    panel, lane = s.split("j", factor=16)
    s.reorder(panel, "i", "k", lane)
    s.prefetch("B", panel, spread="k")
    A, B = np.ones((20, 100), np.float32), np.ones((4, 100, 16), np.float32)
    np.testing.assert_array_equal(minicc.compile(s).run({"A": A, "B": B})["C"], np.full((20, 64), 100, np.float32))


def test_a_loop_that_is_not_inside():
    s = matmul()
    assert "loop i is not inside of loop j" in message(lambda: s.prefetch("B", "j", spread="i"))
    s = panels(4, 32, 8, 16)
    assert "loop j is not inside of loop j" in message(lambda: s.prefetch("B", "j", spread="j"))


def test_columns_have_no_rows_of_their_own():
    s = matmul()
    s.reorder("j", "i", "k")
    told = message(lambda: s.prefetch("B", "j", spread="k"))
    assert "the rows of B that an iteration of loop j reads are those of the others" in told
    assert told.endswith("hint: leave out spread, or let it read rows of its own")


def test_half_a_panel_asks_for_whole_rows():
    s = panels(4, 64, 16, 32)
    half, lane = s.split("j", factor=16)
    s.reorder(half, "i", "k", lane)
    s.prefetch("B", half, spread="k")
    assert "prefetch(B, (j_o + 1)//2, 0, i*128 + k*8)" in str(s.program)


def test_a_loop_that_runs_once_asks_for_nothing():
    s = panels(4, 16, 16, 16)
    panel, lane = s.split("j", factor=16)
    s.reorder(panel, "i", "k", lane)
    before = str(s.program)
    s.prefetch("B", panel, spread="k")
    assert str(s.program) == before


def test_sizes_that_a_call_decides():
    n = te.var("n")
    A = te.placeholder((n, n), name="A")
    s = lowered(A, te.compute((n, n), lambda i, j: A[i, j] * 2.0, name="B"))
    assert "the extents are not known" in message(lambda: s.prefetch("A", "i", spread="j"))
    s.prefetch("A", "i", 2)


def test_rows_of_a_size_that_a_call_decides():
    n = te.var("n")
    A = te.placeholder((2, 8, n), name="A")
    s = lowered(A, te.compute((2, 8), lambda i, j: A[i, j, 0] * 2.0, name="B"))
    assert "the extents are not known" in message(lambda: s.prefetch("A", "i", spread="j"))


def test_a_loop_that_never_runs_asks_for_nothing():
    A = te.placeholder((8, 4), name="A")
    s = lowered(A, te.compute((8, 0), lambda i, j: A[i, j] * 2.0, name="B"))
    s.prefetch("A", "i", spread="j")
    assert "prefetch(A" not in str(s.program)


def test_a_stage_spreads_its_hints():
    A = te.placeholder((64, 32), name="A")
    B = te.compute((64, 32), lambda i, j: A[i, j] * 2.0, name="B")
    s = te.create_schedule(B.op)
    i, j = s[B].op.axis
    s[B].prefetch(A, i, 2, spread=j)
    assert "prefetch(A, i + 2, j)" in str(s.program)
