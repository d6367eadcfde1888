"""The third lesson: sums along an axis, and how to split one sum among threads.

A reduction is one statement over its axis. `rfactor` makes the partial sums of a loop a tensor of
their own: their loop is an ordinary axis, which threads and vectors can share, and what remains
to be summed afterwards is short.
"""

from lesson_cases import check, random

from minicc import te


def rows():
    n, m = te.var("n"), 128
    A = te.placeholder((n, m), name="A")
    k = te.reduce_axis((0, m), name="k")
    return A, te.compute((n,), lambda i: te.sum(A[i, k], axis=k), name="B")


def test_split_of_both_axes():
    A, B = rows()
    s = te.create_schedule(B.op)
    ko, ki = s[B].split(B.op.reduce_axis[0], factor=16)
    xo, xi = s[B].split(B.op.axis[0], factor=32)
    s[B].reorder(xo, ko, xi, ki)
    s[B].parallel(xo)
    a = random(70, 128)
    check(s, [A, B], [a], [a.sum(1)])


def test_rfactor():
    A, B = rows()
    s = te.create_schedule(B.op)
    _, ki = s[B].split(B.op.reduce_axis[0], factor=16)
    BF = s.rfactor(B, ki)
    assert BF.name == "B_rf" and BF.op.axis == ("k_i", "i") and BF.op.reduce_axis == ("k_o",)
    assert s[B].op.axis == B.op.axis and s[B].op.reduce_axis == ("k_i_combine",)
    xo, xi = s[B].split(s[B].op.axis[0], factor=32)
    s[B].bind(xo, te.thread_axis("blockIdx.x"))
    s[B].bind(xi, te.thread_axis("threadIdx.x"))
    a = random(70, 128)
    check(s, [A, B], [a], [a.sum(1)])
    s.undo(), s.undo(), s.undo(), s.undo()
    assert s[B].op.reduce_axis == B.op.reduce_axis  # as before the rfactor


def test_partial_sums_in_vector_lanes():
    A, B = rows()
    s = te.create_schedule(B.op)
    ko, ki = s[B].split(B.op.reduce_axis[0], factor=16)
    BF = s.rfactor(B, ki)
    s[BF.op].reorder("i", ko, ki)
    s[BF].vectorize(ki)
    a = random(9, 128)
    check(s, [A, B], [a], [a.sum(1)])


def test_convolution_is_a_reduction_over_a_window():
    n = te.var("n")
    A, W = te.placeholder((n, n), name="A"), te.placeholder((3, 3), name="W")
    y, x = te.reduce_axis((0, 3), name="y"), te.reduce_axis((0, 3), name="x")
    B = te.compute((n - 2, n - 2), lambda i, j: te.sum(A[i + y, j + x] * W[y, x], axis=[y, x]), name="B")
    a, w = random(12, 12), random(3, 3)
    expected = sum(a[p : p + 10, q : q + 10] * w[p, q] for p in range(3) for q in range(3))
    check(te.create_schedule(B.op), [A, W, B], [a, w], [expected])


def test_a_reduction_of_our_own():
    n = te.var("n")
    A = te.placeholder((n, 6), name="A")
    k = te.reduce_axis((0, 6), name="k")
    product = te.comm_reducer(lambda x, y: x * y, lambda t: te.const(1, t), name="product")
    B = te.compute((n,), lambda i: product(A[i, k], axis=k), name="B")
    a = random(5, 6)
    check(te.create_schedule(B.op), [A, B], [a], [a.prod(1)])
