"""partition_loop: steady parts without guards, every move, and what it refuses."""

import numpy as np
import schedule_cases as cases

import minicc
from minicc import te
from minicc.loop.ir import Buffer, For, Store, loops
from minicc.loop.program import Program
from minicc.loop.verify import verify
from minicc.schedule import Schedule
from minicc.schedule.partition_loop import PartitionLoopStep
from minicc.tensor.expr import Var, maximum, minimum, select
from minicc.types import float32

i = Var("i")


def conv(size=9, channels=2, kernel=3, stride=1):
    """A convolution that reads zeros around its image, by selects."""
    A = te.placeholder((channels, size, size), name="A")
    W = te.placeholder((channels, kernel, kernel), name="W")
    edge, out = kernel // 2, (size - 1) // stride + 1
    c, ky, kx = (te.reduce_axis((0, e), name=n) for n, e in (("c", channels), ("ky", kernel), ("kx", kernel)))

    def padded(y, x):
        inside = te.all(y >= edge, y < size + edge, x >= edge, x < size + edge)
        return select(inside, A[c, y - edge, x - edge], 0.0)

    C = te.compute(
        (out, out),
        lambda y, x: te.sum(padded(y * stride + ky, x * stride + kx) * W[c, ky, kx], axis=[c, ky, kx]),
        name="C",
    )
    return cases.lowered(A, W, C)


def test_the_example_holds():
    cases.the_example_holds("partition_loop")


def test_the_middle_of_an_image_has_no_selects():
    def steps(s):
        s.partition_loop("y")
        s.partition_loop("x")

    s = conv()
    text = cases.unchanged(s, steps)
    start, rest = text.index("for y in range(7):"), text.index("for y_tail in range(1):")
    middle = text[start:rest]
    steady = middle[middle.index("for x in range(7):") : middle.index("for x_tail")]
    assert "C[y + 1, x + 1] + A[c, ky + y, kx + x]*W[c, ky, kx]" in steady and " if " not in steady.replace(
        " if first", ""
    )
    assert next(iter(loops(s.program.body))) == "y_head" and text.count(" if 1 <=") >= 2


def test_strides_and_large_kernels():
    for s in (conv(8, 1, 5), conv(9, 1, 3, 2), conv(10, 2, 3, 3), conv(3, 1, 5)):

        def steps(s):
            for name in ("y", "x"):
                if PartitionLoopStep(name).is_legal(s.program):
                    s.partition_loop(name)

        cases.unchanged(s, steps)


def test_loops_of_the_kernel_are_partitioned_as_well():
    cases.unchanged(conv(5), lambda s: (s.reorder("ky", "y"), s.partition_loop("y")))


def test_ragged_tiles_leave_the_middle():
    def steps(s):
        s.split("i", factor=4)
        s.partition_loop("i_o")

    assert (
        cases.unchanged(cases.chain(10), steps)
        == """\
T = empty((10,), float32)
for i_o in range(2):
    for i_i in range(4):
        T[i_o*4 + i_i] = A[i_o*4 + i_i]*2.0
for i_o_tail in range(1):
    for i_i_tail in range(4):
        if i_i_tail < 2:
            T[i_i_tail + 8] = A[i_i_tail + 8]*2.0
for i_1 in range(10):
    D[i_1] = T[i_1] + 1.0"""
    )


def test_parts_that_do_nothing_go():
    def steps(s):
        s.split("i", nparts=6)
        s.partition_loop("i_o")

    text = cases.unchanged(cases.chain(10), steps)
    assert "if" not in text and "i_o_tail" not in text and "for i_o in range(5):" in text


def test_a_reduction_starts_once():
    def steps(s):
        s.split("k", factor=3)
        s.partition_loop("k_o")

    text = cases.unchanged(cases.matmul(depth=8), steps)
    assert text.count("first(") == 1 and "if k_i_tail < 2:" in text
    cases.unchanged(
        cases.matmul(depth=8), lambda s: (s.split("k", factor=3), s.reorder("k_o", "i"), s.partition_loop("k_o"))
    )


def test_clamped_indices_are_free_in_the_middle():
    A, B = Buffer("A", float32, (9,)), Buffer("B", float32, (12,))
    body = For(i, 12, Store(B, (i,), A[minimum(maximum(i - 2, 0), 8)]))
    s = Schedule(Program("f", (A,), (B,), body))
    assert (
        cases.unchanged(s, lambda s: s.partition_loop("i"))
        == """\
for i_head in range(3):
    B[i_head] = A[0]
for i in range(8):
    B[i + 3] = A[i + 1]
for i_tail in range(1):
    B[11] = A[8]"""
    )


def test_either_side_of_a_select_may_be_the_steady_one():
    A, B = Buffer("A", float32, (12,)), Buffer("B", float32, (12,))
    body = For(i, 12, Store(B, (i,), select(i < 3, 0.0, A[i - 3])))
    s = Schedule(Program("f", (A,), (B,), body))
    text = cases.unchanged(s, lambda s: s.partition_loop("i"))
    assert "for i in range(9):\n    B[i + 3] = A[i]" in text
    point = For(i, 12, Store(B, (i,), select(i.equal(4), 0.0, A[i])))
    text = cases.unchanged(Schedule(Program("f", (A,), (B,), point)), lambda s: s.partition_loop("i"))
    assert "for i in range(7):\n    B[i + 5] = A[i + 5]" in text and "B[i_head] = float32(0.0) if i_head == 4" in text


def test_symbolic_extents():
    n = te.var("n")
    A = te.placeholder((n,), name="A")
    s = cases.lowered(A, te.compute((n,), lambda i: A[i] * 2.0, name="B"))
    s.split("i", factor=8)
    s.partition_loop("i_o")
    verify(s.program)
    text = cases.loops_text(s.program)
    assert text.startswith(
        "n = A.shape[0]\n"
        "for i_o in range(n//8):\n    for i_i in range(8):\n        B[i_o*8 + i_i] = A[i_o*8 + i_i]*2.0\nfor i_o_tail"
    )
    for size in (0, 3, 8, 29):
        a, b = np.arange(size, dtype=np.float32), np.zeros(size, np.float32)
        cases.run_python(s.program, a, b)
        np.testing.assert_array_equal(b, a * 2)
    cases.round_trips(s)


def test_machine_code_of_a_partitioned_convolution():
    size = 12
    A, W = te.placeholder((size, size), name="A"), te.placeholder((3, 3), name="W")
    ky, kx = te.reduce_axis((0, 3), name="ky"), te.reduce_axis((0, 3), name="kx")

    def padded(y, x):
        return select(te.all(y >= 1, y < size + 1, x >= 1, x < size + 1), A[y - 1, x - 1], 0.0)

    C = te.compute((size, size), lambda y, x: te.sum(padded(y + ky, x + kx) * W[ky, kx], axis=[ky, kx]), name="C")
    s = te.create_schedule(C.op)
    s.schedule.partition_loop("y")
    s.schedule.partition_loop("x")
    s.schedule.reorder("ky", "kx", "x")
    s.schedule.vectorize("x")
    rng = np.random.default_rng(0)
    a, w, c = (
        rng.standard_normal((size, size), np.float32),
        rng.standard_normal((3, 3), np.float32),
        np.zeros((size, size), np.float32),
    )
    minicc.build(s, [A, W, C], name="f")(a, w, c)
    around = np.pad(a, 1)
    want = sum(around[y : y + size, x : x + size] * w[y, x] for y in range(3) for x in range(3))
    np.testing.assert_allclose(c, want, rtol=1e-5, atol=1e-5)


def test_every_move_keeps_the_meaning():
    def prepare(s):
        first = next(iter(loops(s.program.body)))
        s.split(first, factor=4)

    assert cases.every_move_keeps_the_meaning(PartitionLoopStep, prepare) >= 5
    for s in (conv(6), conv(7, 1, 3, 2)):
        for step in PartitionLoopStep.moves(s.program):
            cases.unchanged(s, lambda s, step=step: s.apply(step))
            s.undo()


def test_the_whole_message():
    s = cases.chain(4)
    assert (
        cases.message(lambda: s.partition_loop("i"))
        == """\
ScheduleError: partition_loop("i"): no condition inside changes at a point of loop i that the other loops leave fixed
    T = empty((4,), float32)
    for i in range(4):
        ^ here
        T[i] = A[i]*2.0
    for i_1 in range(4):
        D[i_1] = T[i_1] + 1.0
hint: partition a loop with a guard or a select that is linear in it"""
    )
    s.unroll("i")
    assert (
        cases.message(lambda: s.partition_loop("i"))
        == """\
ScheduleError: partition_loop("i"): expected a serial loop, got one of kind unroll
    T = empty((4,), float32)
    for i in unroll(4):
        ^ here
        T[i] = A[i]*2.0
    for i_1 in range(4):
        D[i_1] = T[i_1] + 1.0
hint: a loop has one kind: undo that step, or split i before it and take the other part"""
    )


def test_it_refuses_reductions_that_cannot_go_on():
    s = cases.argmax(m=10)
    s.split("k", factor=4)
    assert "M_v0, M_v1 are reduced together over loop k_o" in cases.message(lambda: s.partition_loop("k_o"))
    n = te.var("n")
    A, k = te.placeholder((n,), name="A"), te.reduce_axis((0, n), name="k")
    s = cases.lowered(A, te.compute((1,), lambda i: te.sum(A[k], axis=k), name="S"))
    assert "no condition inside" in cases.message(lambda: s.partition_loop("k"))
    s.split("k", factor=4)
    assert "S is reduced over loop k_o, of symbolic extent" in cases.message(lambda: s.partition_loop("k_o"))
