"""cache_read: readers read a copy."""

from schedule_cases import chain, copied, every_move_keeps_the_meaning, lowered, matmul, message, the_example_holds
from schedule_cases import unchanged, windows

from minicc import te
from minicc.schedule.cache_read import CacheReadStep


def test_the_example_of_the_docstring():
    the_example_holds("cache_read")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(CacheReadStep) > 10


def test_a_tile_is_packed():
    def steps(s):
        s.tile("i", "j", 2, 2)
        name = s.cache_read("B", "shared")
        s.compute_at(name, "j_o")

    text = unchanged(matmul(), steps)
    assert (
        "B_shared = empty((8, 2), float32)  # shared" in text
        and "B_shared[B_shared_0, B_shared_1] = B[B_shared_0, " in text
    )


def test_only_some_readers():
    A = te.placeholder((6,), name="A")
    T = te.compute((6,), lambda i: A[i] * 2.0, name="T")
    s = lowered(A, te.compute((6,), lambda i: T[i] + A[i], name="D"))
    text = unchanged(s, lambda s: s.cache_read("A", readers=["D"]))
    assert "T[i] = A[i]*2.0" in text and "T[i_1] + A_local[i_1]" in text
    assert text.index("A_local =") > text.index("T[i] =")


def test_of_a_buffer_inside_and_twice():
    def steps(s):
        assert s.cache_read("T") == "T_local"
        assert s.cache_read("T_local") == "T_local_local"
        s.compute_at("T_local_local", "i_1")

    unchanged(windows(), steps)


def test_nothing_reads_it():
    s = chain()
    assert (
        message(lambda: s.cache_read("D"))
        == """\
ScheduleError: cache_read("D", "local"): nothing reads D
    T = empty((10,), float32)
    for i in range(10):
        T[i] = A[i]*2.0
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
        ^ here
hint: what is read: A, T"""
    )


def test_the_readers_do_not():
    s = chain()
    assert (
        message(lambda: s.cache_read("A", readers=["D"]))
        == """\
ScheduleError: cache_read("A", "local", readers=["D"]): the nests of D do not read A
    T = empty((10,), float32)
    for i in range(10):
        T[i] = A[i]*2.0
               ^ here
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
hint: what is read: A, T; readers are buffers that are computed from A"""
    )


def test_an_unknown_scope():
    s = chain()
    assert (
        message(lambda: s.cache_read("A", "far"))
        == """\
ScheduleError: cache_read("A", "far"): expected a scope, got 'far'
    T = empty((10,), float32)
    for i in range(10):
        T[i] = A[i]*2.0
               ^ here
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
hint: one of local, shared, global"""
    )


def test_one_nest_writes_and_reads_it():
    A = te.placeholder((6,), name="A")
    C = te.compute((6,), lambda i: A[i] + 1.0, name="C")
    s = lowered(A, C, te.compute((6,), lambda i: C[i] * 2.0, name="D"), outputs=2)
    s.reverse_compute_at("D", "i")
    assert (
        message(lambda: s.cache_read("C"))
        == """\
ScheduleError: cache_read("C", "local"): C is not complete before it is read: one nest writes and reads it
    for i in range(6):
        C[i] = A[i] + 1.0
        ^ here
        for i_1 in range(1):
            D[i] = C[i]*2.0
hint: give it a cache where it is written: s.cache_write("C")"""
    )


def test_tile_is_three_steps_or_none():
    s = copied()
    assert s.tile("i", "j", 2, 3) == ("i_o", "j_o", "i_i", "j_i")
    assert len(s.trace) == 3
    s = copied()
    assert 'split("q", factor=3): no loop is called' in message(lambda: s.tile("i", "q", 2, 3))
    assert len(s.trace) == 0
