"""tensorize: nests done by declared intrinsics, every move, and what it refuses."""

import numpy as np
import pytest
import schedule_cases as cases

import minicc
from minicc import te
from minicc.errors import ScheduleError
from minicc.loop.ir import UNROLL, Buffer, For, If, Store, Update, seq
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.schedule import Schedule
from minicc.schedule.tensor_intrinsic import TENSOR_INTRINSICS, declare_intrinsic
from minicc.schedule.tensorize import TensorizeStep
from minicc.tensor.expr import Var, const, maximum
from minicc.types import float32

GEMV, DOT = "gemv_4x4_float32", "dot_16_float32"
i, j, k = Var("i"), Var("j"), Var("k")


@pytest.fixture(autouse=True)
def _as_before():
    """Declarations of one test are not seen by the next."""
    before = dict(TENSOR_INTRINSICS)
    yield
    TENSOR_INTRINSICS.clear()
    TENSOR_INTRINSICS.update(before)


def gemv(n=8, m=12):
    W, x = te.placeholder((n, m), name="W"), te.placeholder((m,), name="x")
    r = te.reduce_axis((0, m), name="k")
    return cases.lowered(W, x, te.compute((n,), lambda i: te.sum(W[i, r] * x[r], axis=r), name="y"))


def tiled(s):
    s.split("i", factor=4)
    s.split("k", factor=4)
    s.reorder("i_o", "k_o", "i_i", "k_i")


def program_of(*tensors, name="f"):
    return lower([tensors[-1]], list(tensors), name).program


def doubled(n=4, value=2.0, kind="serial"):
    a, b = Buffer("a", float32, (n,)), Buffer("b", float32, (n,))
    return Program("doubled", (a,), (b,), For(i, n, Store(b, (i,), a[i] * value), kind))


def test_the_examples_hold():
    cases.the_example_holds("tensorize")
    cases.the_example_holds("tensor_intrinsic")


@pytest.mark.parametrize("name", list(TENSOR_INTRINSICS))
def test_those_that_are_there_do_what_they_mean(name):
    there = TENSOR_INTRINSICS.pop(name)
    assert declare_intrinsic(name, there.meaning, there.implementation) == there
    assert there.accumulates


def test_a_tiled_product_by_a_vector():
    def steps(s):
        tiled(s)
        s.tensorize("i_i", GEMV)

    text = cases.unchanged(gemv(), steps)
    assert "for k_gemv_4x4_float32 in unroll(4):" in text and "for i_gemv_4x4_float32 in vectorize(4):" in text
    assert "if first(k_o, k_gemv_4x4_float32):" in text and "i_i" not in text


def test_the_whole_of_a_nest():
    text = cases.unchanged(gemv(4, 4), lambda s: s.tensorize("i", GEMV))
    assert "if first(k_gemv_4x4_float32):" in text


def test_dots_of_a_matmul_with_operands_either_way():
    W, V = te.placeholder((6, 32), name="W"), te.placeholder((3, 32), name="V")
    r = te.reduce_axis((0, 32), name="k")
    s = cases.lowered(W, V, te.compute((6, 3), lambda i, j: te.sum(V[j, r] * W[i, r], axis=r), name="y"))

    def steps(s):
        s.split("k", factor=16)
        s.tensorize("k_i", DOT)

    text = cases.unchanged(s, steps)
    assert "products_dot_16_float32 = empty((16,), float32)  # local" in text and "if first(k_o):" in text


def test_two_intrinsics_in_one_program():
    A = te.placeholder((8, 8), name="A")
    r, q = te.reduce_axis((0, 8), name="k"), te.reduce_axis((0, 8), name="q")
    x = te.placeholder((8,), name="x")
    y = te.compute((8,), lambda i: te.sum(A[i, r] * x[r], axis=r), name="y")
    z = te.compute((8,), lambda j: te.sum(A[j, q] * y[q], axis=q), name="z")
    s = cases.lowered(A, x, z)

    def both(s):
        tiled(s)
        s.tensorize("i_i", GEMV)
        s.split("j", factor=4)
        s.split("q", factor=4)
        s.reorder("q_o", "j_o", "j_i", "q_i")
        s.tensorize("j_i", GEMV)

    text = cases.unchanged(s, both)
    assert "i_gemv_4x4_float32_1" in text


def test_a_reduction_that_was_started_goes_on():
    def steps(s):
        tiled(s)
        s.decompose_reduction("y", "k_o")
        s.tensorize("i_i", GEMV)

    text = cases.unchanged(gemv(), steps)
    assert "first" not in text and "for i_gemv_4x4_float32 in vectorize(4):" in text


def test_an_intrinsic_of_ones_own():
    made = declare_intrinsic("twice", doubled(), doubled(kind=UNROLL))
    s = cases.copied(8, 8)

    def steps(s):
        s.reorder("j", "i")
        s.split("i", factor=4)
        s.tensorize("i_i", made)

    text = cases.unchanged(s, steps)
    assert "for i_twice in unroll(4):\n            B[i_o*4 + i_twice, j] = A[j, i_o*4 + i_twice]*2.0" in text
    assert declare_intrinsic("twice", doubled(), doubled(kind=UNROLL)) == made


def test_guards_around_the_nest_stay():
    declare_intrinsic("twice", doubled(), doubled(kind=UNROLL))
    A, B = Buffer("A", float32, (10,)), Buffer("B", float32, (10,))
    whole = For(j, 3, If(j < 2, For(i, 4, Store(B, (j * 4 + i,), A[j * 4 + i] * 2.0))))
    rest = For(k, 2, Store(B, (k + 8,), A[k + 8]))
    s = Schedule(Program("f", (A,), (B,), seq(whole, rest)))
    assert "if j < 2:\n        for i_twice" in cases.unchanged(s, lambda s: s.tensorize("i", "twice"))


def test_machine_code_of_a_tensorized_product():
    n, m = 32, 48
    W, x = te.placeholder((n, m), name="W"), te.placeholder((m,), name="x")
    r = te.reduce_axis((0, m), name="k")
    y = te.compute((n,), lambda i: te.sum(W[i, r] * x[r], axis=r), name="y")
    for intrinsic in (GEMV, DOT):
        s = te.create_schedule(y.op)
        if intrinsic is GEMV:
            tiled(s.schedule)
        else:
            s.schedule.split("k", factor=16)
        s[y].tensorize("i_i" if intrinsic is GEMV else "k_i", intrinsic)
        rng = np.random.default_rng(0)
        w, v, out = rng.standard_normal((n, m), np.float32), rng.standard_normal(m, np.float32), np.zeros(n, np.float32)
        minicc.build(s, [W, x, y], name="f")(w, v, out)
        np.testing.assert_allclose(out, w @ v, rtol=1e-4, atol=1e-4)


def test_every_move_keeps_the_meaning():
    declare_intrinsic("twice", doubled(), doubled(kind=UNROLL))
    count = 0
    for s, prepare in (
        (gemv(), tiled),
        (gemv(4, 4), lambda s: None),
        (cases.chain(4), lambda s: None),
        (gemv(3, 16), lambda s: None),
    ):
        prepare(s)
        moves = TensorizeStep.moves(s.program)
        count += len(moves)
        for step in moves:
            cases.unchanged(s, lambda s, step=step: s.apply(step))
            s.undo()
    assert count == 6
    assert cases.every_move_keeps_the_meaning(TensorizeStep, cases.split_reductions) >= 1


# ---- refused


def test_the_message_shows_both():
    s = gemv(4, 8)
    assert (
        cases.message(lambda: s.tensorize("i", GEMV))
        == """\
ScheduleError: tensorize("i", "gemv_4x4_float32"): loop i does not compute what gemv_4x4_float32 means: \
expected for k in range(4), got for k in range(8)
    for i in range(4):
        ^ here
        for k in range(8):
            if first(k):
                y[i] = 0.0
            y[i] = y[i] + W[i, k]*x[k]
    gemv_4x4_float32 means
    for i in range(4):
        for k in range(4):
            if first(k):
                y[i] = 0.0
            y[i] = y[i] + w[i, k]*x[k]
hint: the loops and the statement must be those of the meaning, over any buffers"""
    )


def test_the_message_of_an_unknown_name():
    assert (
        cases.message(lambda: gemv(2, 2).tensorize("i", "gemm"))
        == """\
ScheduleError: tensorize("i", "gemm"): no intrinsic is called 'gemm'
    for i in range(2):
        ^ here
        for k in range(2):
            if first(k):
                y[i] = 0.0
            y[i] = y[i] + W[i, k]*x[k]
hint: the intrinsics are gemv_4x4_float32, dot_4_float32, dot_16_float32; declare_intrinsic makes more"""
    )


def test_other_places_values_and_starts():
    strided = cases.lowered(A := te.placeholder((8,), name="A"), te.compute((4,), lambda i: A[i * 2] * 2.0, name="B"))
    declare_intrinsic("twice", doubled(), doubled(kind=UNROLL))
    assert "no part of A is read or written at [i*2] as a is at [i]" in cases.message(
        lambda: strided.tensorize("i", "twice")
    )
    thrice = cases.lowered(A, te.compute((4,), lambda i: A[i] * 3.0, name="B"))
    assert "expected b[i] = a[i]*2.0, got B[i] = A[i]*3.0" in cases.message(lambda: thrice.tensorize("i", "twice"))
    r = te.reduce_axis((0, 4), name="k")
    M, x = te.placeholder((4, 4), name="M"), te.placeholder((4,), name="x")
    largest = cases.lowered(M, x, te.compute((4,), lambda i: te.max(M[i, r] * x[r], axis=r), name="y"))
    assert "got y[i] = maximum(y[i], M[i, k]*x[k])" in cases.message(lambda: largest.tensorize("i", GEMV))
    Y = Buffer("y", float32, (4,))
    m, v = Buffer("M", float32, (4, 4)), Buffer("v", float32, (4,))
    from_one = Update((Y,), (i,), (Y[i] + m[i, k] * v[k],), (const(1.0, float32),), (k,))
    s = Schedule(Program("f", (m, v), (Y,), For(i, 4, For(k, 4, from_one))))
    assert "does not compute what gemv_4x4_float32 means" in cases.message(lambda: s.tensorize("i", GEMV))


def test_two_starts_in_one_buffer_are_no_part():
    a, b = Buffer("a", float32, (4,)), Buffer("b", float32, (4,))
    square = Program("square", (a,), (b,), For(i, 4, Store(b, (i,), a[i] * a[i])))
    declare_intrinsic("square", square, square)
    A, B = Buffer("A", float32, (8,)), Buffer("B", float32, (4,))
    s = Schedule(Program("f", (A,), (B,), For(j, 4, Store(B, (j,), A[j] * A[j + 4]))))
    assert "no part of A" in cases.message(lambda: s.tensorize("j", "square"))


def test_parts_lie_inside_of_their_buffers():
    a, b = Buffer("a", float32, (8,)), Buffer("b", float32, (4,))
    even = Program("even", (a,), (b,), For(i, 4, Store(b, (i,), a[i])))
    declare_intrinsic("even", even, even)
    A, B = Buffer("A", float32, (10,)), Buffer("B", float32, (8,))
    s = Schedule(Program("f", (A,), (B,), For(j, 2, For(i, 4, Store(B, (j * 4 + i,), A[j * 4 + i])))))
    assert "8 elements from j*4 on may not lie in axis 0 of A: float32[10]" in cases.message(
        lambda: s.tensorize("i", "even")
    )


def test_what_is_written_is_not_read():
    declare_intrinsic("twice", doubled(), doubled(kind=UNROLL))
    B = Buffer("B", float32, (8,))
    body = seq(For(j, 4, Store(B, (j,), const(1.0, float32))), For(i, 4, Store(B, (i + 4,), B[i] * 2.0)))
    s = Schedule(Program("f", (), (B,), body))
    assert "B is read and written, but twice works on distinct buffers" in cases.message(
        lambda: s.tensorize("i", "twice")
    )


def test_a_reduction_around_needs_an_implementation_that_adds():
    there = TENSOR_INTRINSICS[GEMV]
    w, x = there.meaning.params
    (y,) = there.meaning.outputs
    total = const(0.0, float32)
    for n in range(4):
        total = total + w[i, const(n)] * x[const(n)]
    stores = Program("stores", (w, x), (y,), For(i, 4, Store(y, (i,), total)))
    made = declare_intrinsic("stores", there.meaning, stores)
    assert not made.accumulates
    cases.unchanged(gemv(4, 4), lambda s: s.tensorize("i", "stores"))
    s = gemv()
    tiled(s)
    assert "the reduction goes around, over k_o, but stores does not add to its output" in cases.message(
        lambda: s.tensorize("i_i", "stores")
    )
    s.decompose_reduction("y", "k_o")
    assert "the reduction goes on, but stores does not add" in cases.message(lambda: s.tensorize("i_i", "stores"))


def test_vectors_do_not_nest():
    A, B = Buffer("A", float32, (4, 8)), Buffer("B", float32, (4, 8))
    s = Schedule(Program("f", (A,), (B,), For(i, 4, For(j, 8, Store(B, (i, j), A[i, j] * 2.0)))))
    declare_intrinsic("twice_at_once", doubled(8), doubled(8, kind="vectorize"))
    s.vectorize("i")
    assert "loop i around it is vectorized" in cases.message(lambda: s.tensorize("j", "twice_at_once"))


def test_two_reductions_that_go_on_in_different_ways():
    a, b, c = Buffer("a", float32, (4,)), Buffer("b", float32, ()), Buffer("c", float32, ())
    zero = (const(0.0, float32),)
    steps = [Update((t,), (), (t[()] + a[i],), zero, (i,)) for t in (b, c)]
    meaning = Program("sums", (a,), (b, c), For(i, 4, seq(*steps)))
    declare_intrinsic("sums", meaning, meaning)
    A, B, C = Buffer("A", float32, (3, 4)), Buffer("B", float32, ()), Buffer("C", float32, (3,))
    one = Update((B,), (), (B[()] + A[j, i],), zero, (j, i))
    other = Update((C,), (j,), (C[j] + A[j, i],), zero, (i,))
    s = Schedule(Program("f", (A,), (B, C), For(j, 3, For(i, 4, seq(one, other)))))
    assert "does not compute what sums means" in cases.message(lambda: s.tensorize("i", "sums"))
    started = Store(C, (j,), C[j] + A[j, i])
    s = Schedule(Program("f", (A,), (B, C), For(j, 3, For(i, 4, seq(one, started)))))
    assert "got C[j] = C[j] + A[j, i]" in cases.message(lambda: s.tensorize("i", "sums"))


# ---- declarations that are refused


def declared(name, meaning, implementation):
    with pytest.raises(ScheduleError) as error:
        declare_intrinsic(name, meaning, implementation)
    return str(error.value)


def test_the_message_of_an_implementation_that_does_something_else():
    assert (
        declared("twice", doubled(), doubled(value=3.0))
        == """\
ScheduleError: declare_intrinsic('twice', ...): expected the implementation to compute b as its meaning does, \
[8. 6. 4. 2.]..., got [12.  9.  6.  3.]...
    def doubled(a, b):
        # a: float32[4] -> b: float32[4]
        for i in range(4):
            b[i] = a[i]*3.0
hint: run both with minicc.loop.python.run_python on small arrays"""
    )


def test_declarations_that_are_refused():
    declare_intrinsic("twice", doubled(), doubled())
    assert "expected a name that is not taken" in declared("twice", doubled(8), doubled(8))
    assert "expected a name made of letters" in declared("a b", doubled(), doubled())
    assert "expected an implementation over buffers like those of its meaning, got a: float32[8]" in declared(
        "t", doubled(), doubled(8)
    )
    a, b, unused = Buffer("a", float32, (4,)), Buffer("b", float32, (4,)), Buffer("u", float32, (4,))
    pair = Program("f", (a,), (b,), seq(For(i, 4, Store(b, (i,), a[i])), For(j, 4, Store(b, (j,), a[j]))))
    assert "expected one loop nest as its meaning" in declared("t", pair, doubled())
    lazy = Program("f", (a, unused), (b,), For(i, 4, Store(b, (i,), a[i])))
    assert "expected a meaning that reads all of its inputs, got none of u" in declared("t", lazy, lazy)
    beyond = Program("f", (a,), (b,), For(i, 4, Store(b, (i,), a[i + 1])))
    assert "expected an index in [0, 4) of a[i + 1]" in declared("t", doubled(), beyond)
    n = te.var("n")
    A = te.placeholder((n,), name="A")
    symbolic = program_of(A, te.compute((n,), lambda i: maximum(A[i], 0.0), name="B"))
    assert "expected constant shapes, got A: float32[n]" in declared("t", symbolic, symbolic)
