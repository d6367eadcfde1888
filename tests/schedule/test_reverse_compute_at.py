"""reverse_compute_at: consumers move into the loops of producers."""

from schedule_cases import chain, every_move_keeps_the_meaning, lowered, message, relu_of_matmul, rows
from schedule_cases import the_example_holds, unchanged, windows

from minicc import te
from minicc.loop.ir import Alloc, Buffer, For, If, Store, loops, seq
from minicc.loop.program import Program
from minicc.schedule import Schedule
from minicc.schedule.reverse_compute_at import ReverseComputeAtStep
from minicc.tensor.expr import Var
from minicc.types import float32


def test_the_example_of_the_docstring():
    the_example_holds("reverse_compute_at")


def test_every_move_keeps_the_meaning():
    assert every_move_keeps_the_meaning(ReverseComputeAtStep, split_the_first_loop) > 3


def split_the_first_loop(s):
    s.split(next(iter(loops(s.program.body))), factor=3)


def test_an_epilogue_joins_its_tile():
    def steps(s):
        s.tile("i", "j", 2, 4)
        s.reorder("k", "i_i", "j_i")
        s.reverse_compute_at("D", "j_o")

    text = unchanged(relu_of_matmul(), steps)
    assert (
        "C = empty((2, 4), float32)  # local" in text
        and "D[i_o*2 + i_1, j_1] = maximum(C[i_1, j_1], bias[j_1])" in text
    )


def test_a_ragged_tile_is_guarded():
    def steps(s):
        s.split("i", factor=4)
        s.reverse_compute_at("D", "i_o")

    assert "if i_o*4 + i_1 < 10:" in unchanged(chain(), steps)


def test_whole_rows_are_reduced():
    unchanged(rows(), lambda s: s.reverse_compute_at("S", "i"))


def test_an_output_stays_whole():
    A = te.placeholder((6,), name="A")
    C = te.compute((6,), lambda i: A[i] + 1.0, name="C")
    s = lowered(A, C, te.compute((6,), lambda i: C[i] * 2.0, name="D"), outputs=2)
    text = unchanged(s, lambda s: (s.parallel("i"), s.reverse_compute_at("D", "i")))
    assert "empty" not in text


def test_a_loop_that_comes_later():
    s = chain()
    assert (
        message(lambda: s.reverse_compute_at("T", "i_1"))
        == """\
ScheduleError: reverse_compute_at("T", "i_1"): loop i_1 does not come before the nest of T
    T = empty((10,), float32)
    for i in range(10):
        T[i] = A[i]*2.0
    for i_1 in range(10):
        ^ here
        D[i_1] = T[i_1] + 1.0
hint: choose a loop that fills what T reads; compute_at moves a buffer to its readers"""
    )


def test_a_part_of_a_reduction():
    s = rows()
    assert (
        message(lambda: s.reverse_compute_at("S", "j"))
        == """\
ScheduleError: reverse_compute_at("S", "j"): S is reduced over k, and a tile has only a part of it
    T = empty((4, 6), float32)
    for i in range(4):
        for j in range(6):
            T[i, j] = A[i, j]*A[i, j]
    for i_1 in range(4):
        for k in range(6):
            if first(k):
                S[i_1] = 0.0
                ^ here
            S[i_1] = S[i_1] + T[i_1, k]
hint: choose a loop in which all of k is computed, outside of the loops over it"""
    )


def test_what_is_not_complete():
    s = relu_of_matmul()
    assert (
        message(lambda: s.reverse_compute_at("D", "k"))
        == """\
ScheduleError: reverse_compute_at("D", "k"): C is not complete in an iteration of k: it is reduced over k
    C = empty((6, 4), float32)
    for i in range(6):
        for j in range(4):
            for k in range(5):
                ^ here
                if first(k):
                    C[i, j] = 0.0
                C[i, j] = C[i, j] + A[i, k]*B[k, j]
    for i_1 in range(6):
        for j_1 in range(4):
            D[i_1, j_1] = maximum(C[i_1, j_1], bias[j_1])
hint: choose a loop around the reduction"""
    )


def test_several_places():
    s = windows()
    assert (
        message(lambda: s.reverse_compute_at("D", "i"))
        == """\
ScheduleError: reverse_compute_at("D", "i"): T is read at 2 places
    T = empty((9,), float32)
    for i in range(9):
        T[i] = A[i]*3.0
    for i_1 in range(7):
        D[i_1] = T[i_1] + T[i_1 + 2]
        ^ here
hint: move the producer to its reader: s.compute_at("T", loop)"""
    )


def test_its_own_loop():
    s = chain()
    assert (
        message(lambda: s.reverse_compute_at("D", "i_1"))
        == """\
ScheduleError: reverse_compute_at("D", "i_1"): D is computed in loop i_1 already
    T = empty((10,), float32)
    for i in range(10):
        T[i] = A[i]*2.0
    for i_1 in range(10):
        ^ here
        D[i_1] = T[i_1] + 1.0
hint: choose a loop of another nest: one that fills what it reads"""
    )


def test_a_vectorized_loop():
    s = chain()
    s.vectorize("i")
    assert (
        message(lambda: s.reverse_compute_at("D", "i"))
        == """\
ScheduleError: reverse_compute_at("D", "i"): loop i is vectorized
    T = empty((10,), float32)
    for i in vectorize(10):
        ^ here
        T[i] = A[i]*2.0
    for i_1 in range(10):
        D[i_1] = T[i_1] + 1.0
hint: choose a loop around it"""
    )


def test_an_input_that_comes_later():
    A = te.placeholder((6,), name="A")
    T = te.compute((6,), lambda i: A[i] + 1.0, name="T")
    U = te.compute((6,), lambda i: A[i] * 2.0, name="U")
    s = lowered(A, te.compute((6,), lambda i: T[i] + U[i], name="D"))
    assert (
        message(lambda: s.reverse_compute_at("D", "i"))
        == """\
ScheduleError: reverse_compute_at("D", "i"): it reads U, which is not complete before loop i
    T = empty((6,), float32)
    U = empty((6,), float32)
    for i in range(6):
        T[i] = A[i] + 1.0
    for i_1 in range(6):
        U[i_1] = A[i_1]*2.0
    for i_2 in range(6):
        D[i_2] = T[i_2] + U[i_2]
        ^ here
hint: inline U first, if it can be, or use compute_at("T", loop) at a loop of D"""
    )


def test_nothing_of_the_loop():
    A = te.placeholder((6,), name="A")
    T = te.compute((6,), lambda i: A[i] + 1.0, name="T")
    s = lowered(A, T, te.compute((6,), lambda i: A[i] * 2.0, name="D"), outputs=2)
    assert (
        message(lambda: s.reverse_compute_at("D", "i"))
        == """\
ScheduleError: reverse_compute_at("D", "i"): D must read one buffer that loop i produces, but reads nothing
    for i in range(6):
        ^ here
        T[i] = A[i] + 1.0
    for i_1 in range(6):
        D[i_1] = A[i_1]*2.0
hint: choose a loop that fills what it reads: nothing here"""
    )


A, B, C, T = (Buffer(name, float32, (4,)) for name in "ABCT")
i, j, k = Var("i"), Var("j"), Var("k")


def program(body, *inside, outputs=(B,)):
    """A program that reads A."""
    for buffer in inside:
        body = Alloc(buffer, body)
    return Schedule(Program("f", (A,), outputs, body))


def consumer(value, index=j):
    """B, filled after loop i has filled T."""
    return For(j, 4, Store(B, (index,), value))


def refused(s, problem, loop="i"):
    assert problem in message(lambda: s.reverse_compute_at("B", loop))


def test_other_refusals():
    fill = For(i, 4, Store(T, (i,), A[i] * 2.0))
    refused(program(seq(fill, consumer(T[3 - j])), T), "T must be read at loops of its own, but is read as T[3 - j]")
    refused(program(seq(fill, For(j, 4, seq(Store(B, (j,), T[j]), Store(B, (j,), A[j])))), T), "but 2 write it")
    refused(
        program(seq(fill, For(j, 4, seq(Store(B, (j,), T[j]), Store(C, (j,), T[j])))), T, C), "its nest also fills C"
    )
    refused(program(seq(fill, For(k, 4, Store(B, (k,), A[k])), consumer(T[j])), T), "but 2 write it")
    refused(
        program(seq(fill, Alloc(B, seq(consumer(T[j]), For(k, 4, Store(C, (k,), B[k]))))), T, outputs=(C,)),
        "its nest also fills C",
    )
    refused(program(seq(fill, consumer(T[j] + B[0])), T), "its elements are computed from one another")
    twice = For(i, 4, seq(Store(T, (i,), A[i]), Store(T, (i,), A[i] * 2.0)))
    refused(program(seq(twice, consumer(T[j])), T), "T must be filled by one statement of its own")
    used = For(i, 4, seq(Store(T, (i,), A[i]), Store(C, (i,), T[i])))
    refused(program(seq(used, consumer(T[j])), T, outputs=(B, C)), "T is read in loop i itself")
    guarded = For(i, 1, For(k, 4, If(A[k] < 3.0, Store(T, (k,), A[k]))))
    refused(program(seq(guarded, consumer(T[j])), T), "T is filled under the guard A[k] < 3.0")
    wide = For(i, 2, For(k, 2, Store(T, (k * 2 + i,), A[k])))
    refused(program(seq(wide, consumer(T[j])), T), "the loops inside of i do not fill a box: k*2 + i")
    halves = For(i, 2, For(k, 4, Store(T, ((i * 4 + k) // 2,), A[k])))
    refused(program(seq(halves, consumer(T[j])), T), "do not fill a box: (i*4 + k)//2")
