"""The second lesson: what each primitive does to the loops, one at a time."""

import numpy as np
from lesson_cases import check, random

import minicc
from minicc import te


def loops(s):
    """The lines of the program that open a loop."""
    return [line.strip() for line in str(s.program).splitlines() if line.strip().startswith("for ")]


def product():
    A, B = te.placeholder((10, 12), name="A"), te.placeholder((10, 12), name="B")
    return A, B, te.compute((10, 12), lambda i, j: A[i, j] * B[i, j], name="C")


def one_stage(steps, expected):
    """`steps` on the stage of an elementwise product give these loops, and the same result."""
    A, B, C = product()
    s = te.create_schedule(C.op)
    steps(s[C], *C.op.axis)
    assert loops(s) == expected
    a, b = random(10, 12), random(10, 12)
    check(s, [A, B, C], [a, b], [a * b])


def test_split_by_factor():
    one_stage(
        lambda c, i, j: c.split(j, factor=4), ["for i in range(10):", "for j_o in range(3):", "for j_i in range(4):"]
    )


def test_split_by_parts():
    one_stage(
        lambda c, i, j: c.split(j, nparts=2), ["for i in range(10):", "for j_o in range(2):", "for j_i in range(6):"]
    )


def test_fuse():
    one_stage(lambda c, i, j: c.fuse(i, j), ["for i_j_f in range(120):"])


def test_fuse_of_one_axis_is_that_axis():
    def steps(c, i, j):
        assert c.fuse(j) == "j"

    one_stage(steps, ["for i in range(10):", "for j in range(12):"])


def test_reorder():
    one_stage(lambda c, i, j: c.reorder(j, i), ["for j in range(12):", "for i in range(10):"])


def test_tile():
    one_stage(
        lambda c, i, j: c.tile(i, j, x_factor=5, y_factor=4),
        ["for i_o in range(2):", "for j_o in range(3):", "for i_i in range(5):", "for j_i in range(4):"],
    )


def test_kinds_of_loops():
    def steps(c, i, j):
        outer, inner = c.split(j, factor=4)
        c.parallel(i)
        c.unroll(outer)
        c.vectorize(inner)

    one_stage(steps, ["for i in parallel(10):", "for j_o in unroll(3):", "for j_i in vectorize(4):"])


def test_bind():
    def steps(c, i, j):
        c.bind(i, te.thread_axis((0, 10), "blockIdx.x"))
        c.bind(j, te.thread_axis("threadIdx.x"))

    one_stage(steps, ["for i in blockIdx.x(10):", "for j in threadIdx.x(12):"])


def test_pragma_and_prefetch():
    A, B, C = product()
    s = te.create_schedule(C.op)
    s[C].pragma(C.op.axis[0], "unroll", 4)
    s[C].prefetch(A, C.op.axis[0], 1)
    assert "for i in range(10):  # unroll=4\n        prefetch(A, i + 1, 0)\n" in str(s.program)
    a, b = random(10, 12), random(10, 12)
    check(s, [A, B, C], [a, b], [a * b])


def two_stages():
    A = te.placeholder((64,), name="A")
    B = te.compute((64,), lambda i: A[i] + 1.0, name="B")
    return A, B, te.compute((64,), lambda j: B[j] * 2.0, name="C")


def test_compute_at():
    A, B, C = two_stages()
    s = te.create_schedule(C.op)
    outer, _ = s[C].split(C.op.axis[0], factor=8)
    s[B].compute_at(s[C], outer)
    assert loops(s) == ["for j_o in range(8):", "for i in range(8):", "for j_i in range(8):"]
    a = random(64)
    check(s, [A, C], [a], [(a + 1) * 2])


def test_compute_inline():
    A, B, C = two_stages()
    s = te.create_schedule(C.op)
    s[B].compute_inline()
    assert loops(s) == ["for j in range(64):"] and "(A[j] + 1.0)*2.0" in str(s.program)
    a = random(64)
    check(s, [A, C], [a], [(a + 1) * 2])


def test_scopes_and_caches():
    A, B, C = two_stages()
    s = te.create_schedule(C.op)
    near = s.cache_read(A, "local", [B])
    outer, _ = s[B].split(B.op.axis[0], factor=16)
    s[near].compute_at(s[B], outer)
    s[B].set_scope("shared")
    text = str(s.program)
    assert "A_local = empty((16,), float32)  # local" in text and "B = empty((64,), float32)  # shared" in text
    a = random(64)
    check(s, [A, C], [a], [(a + 1) * 2])


def test_storage_align():
    A = te.placeholder((8, 16), name="A")
    T = te.compute((8, 16), lambda i, j: A[i, j] + 1.0, name="T")
    C = te.compute((16, 8), lambda i, j: T[j, i], name="C")
    s = te.create_schedule(C.op)
    s[T].storage_align(T.op.axis[0], 16, 1)
    assert "T = empty((8, 17), float32)" in str(s.program)
    a = random(8, 16)
    check(s, [A, C], [a], [np.ascontiguousarray(a.T + 1)])


def test_double_buffer():
    A, B, C = two_stages()
    s = te.create_schedule(C.op)
    outer, _ = s[C].split(C.op.axis[0], factor=8)
    s[B].compute_at(s[C], outer)
    s[B].double_buffer()
    assert "j_o%2" in str(s.program)
    a = random(64)
    check(s, [A, C], [a], [(a + 1) * 2])


def test_an_intermediate_tensor_among_the_arguments_is_given_out():
    A, B, C = two_stages()
    s = te.create_schedule(C.op)
    a = random(64)
    check(s, [A, B, C], [a], [a + 1, (a + 1) * 2])
    c, b = np.empty_like(a), np.empty_like(a)
    minicc.build(s, [C, A, B])(c, a, b)  # in the order of the arguments
    np.testing.assert_allclose(c, b * 2)


def test_scalar_functions():
    A = te.placeholder((50,), name="A")
    functions = {
        "exp": (te.exp, np.exp), "tanh": (te.tanh, np.tanh), "sqrt": (te.sqrt, np.sqrt), "floor": (te.floor, np.floor),
        "sigmoid": (te.sigmoid, lambda x: 1 / (1 + np.exp(-x))), "power": (lambda x: te.power(x, 3), lambda x: x**3),
        "clip": (lambda x: te.maximum(te.minimum(x, 0.8), 0.2), lambda x: np.clip(x, 0.2, 0.8)),
        "rsqrt": (te.rsqrt, lambda x: 1 / np.sqrt(x)), "abs": (lambda x: te.abs(-x), np.abs),
        "fmod": (lambda x: te.fmod(x, 0.3), lambda x: np.fmod(x, np.float32(0.3))),
        "between": (lambda x: te.if_then_else(te.all(x > 0.2, x < 0.8), x, 0.0), lambda x: np.where((x > 0.2) & (x < 0.8), x, 0)),
        "outside": (lambda x: te.if_then_else(te.any(x < 0.2, x > 0.8), x, 0.0), lambda x: np.where((x < 0.2) | (x > 0.8), x, 0)),
    }  # fmt: skip
    a = random(50)
    for name, (ours, theirs) in functions.items():
        B = te.compute((50,), lambda i, ours=ours: ours(A[i]), name=name)
        check(te.create_schedule(B), [A, B], [a], [theirs(a).astype("float32")])
