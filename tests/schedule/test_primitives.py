"""Each primitive: what it makes, and what it refuses, with the message."""

import numpy as np
import pytest

from minicc import te
from minicc.errors import ScheduleError
from minicc.loop.ir import Alloc, Buffer, For, If, Store, Update, seq
from minicc.loop.lower import lower
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.schedule import Schedule, Trace
from minicc.loop.dependence import dependences
from minicc.schedule.step import loops_text
from minicc.tensor.expr import Var, const, maximum
from minicc.types import float32, int64

i, j, k, t = Var("i"), Var("j"), Var("k"), Var("t")
ZERO = const(0.0, float32)


def lowered(*tensors):
    return Schedule(lower([tensors[-1]], list(tensors), "f").program)


def matmul(n=8, m=8, depth=6):
    A, B = te.placeholder((n, depth), name="A"), te.placeholder((depth, m), name="B")
    r = te.reduce_axis((0, depth), name="k")
    return lowered(A, B, te.compute((n, m), lambda i, j: te.sum(A[i, r] * B[r, j], axis=r), name="C"))


def chain(n=10):
    """A -> T -> D, elementwise."""
    A = te.placeholder((n,), name="A")
    T = te.compute((n,), lambda i: A[i] * 2.0, name="T")
    return lowered(A, te.compute((n,), lambda i: T[i] + 1.0, name="D"))


def argmax():
    """A reduction of pairs."""
    A = te.placeholder((3, 7), name="A")
    r = te.reduce_axis((0, 7), name="k")
    best = te.comm_reducer(
        lambda x, y: (te.if_then_else(x[1] >= y[1], x[0], y[0]), maximum(x[1], y[1])),
        lambda a, b: (const(-1, a), const(-1e30, b)),
        name="argmax",
    )
    where, value = te.compute((3,), lambda i: best((r, A[i, r]), axis=r), name="M")
    return Schedule(lower([where, value], [A, where, value], "f").program)


def recurrence():
    """S[t, i] needs S[t-1, i]."""
    S, A = Buffer("S", float32, (6, 4)), Buffer("A", float32, (6, 4))
    step = Store(S, (t + 1, i), S[t, i] + A[t, i])
    start = For(j, 4, Store(S, (const(0), j), ZERO))
    return Schedule(Program("f", (A,), (S,), seq(start, For(t, 5, For(i, 4, step)))))


def run(program, seed=0):
    rng = np.random.default_rng(seed)
    inputs = [rng.integers(-4, 5, b.shape).astype(b.dtype.numpy) for b in program.params]
    outputs = [np.zeros(b.shape, b.dtype.numpy) for b in program.outputs]
    run_python(program, *inputs, *outputs)
    return outputs


def unchanged(s, steps):
    before = run(s.program)
    steps(s)
    verify(s.program)
    for got, want in zip(run(s.program), before, strict=True):
        np.testing.assert_array_equal(got, want)
    return loops_text(s.program)


def refused(action, problem, hint=""):
    with pytest.raises(ScheduleError) as error:
        action()
    assert problem in error.value.problem, error.value.problem
    assert error.value.where
    assert hint in error.value.hint


# ---- split


def test_split_that_divides_has_no_guard():
    s = matmul()
    assert s.split("j", factor=4) == ("j_o", "j_i")
    assert "if j_o" not in loops_text(s.program) and s.loops_of("C") == ("i", "j_o", "j_i", "k")


def test_split_guards_a_ragged_tile():
    text = unchanged(chain(), lambda s: s.split("i", factor=4))
    assert "if i_o*4 + i_i < 10:" in text


def test_split_into_parts():
    assert "range(4)" in unchanged(chain(), lambda s: s.split("i", nparts=4))
    assert "if" not in unchanged(chain(), lambda s: s.split("i", nparts=5))
    unchanged(chain(6), lambda s: s.split("i", nparts=4))


def test_peel_gives_the_tail_a_nest():
    text = unchanged(chain(), lambda s: s.split("i", factor=4, tail="peel"))
    assert "if" not in text and "for i_tail in range(2):" in text and "T[i_tail + 8]" in text


def test_peel_of_a_reduction_starts_once():
    text = unchanged(matmul(), lambda s: s.split("k", factor=4, tail="peel"))
    assert text.count("first(") == 1 and "k_tail" in text
    unchanged(matmul(), lambda s: s.split("i", factor=3, tail="peel"))
    unchanged(argmax(), lambda s: s.split("k", factor=4))


def test_names_are_unique():
    s = matmul()
    s.split("j", factor=4)
    assert s.split("j_i", factor=2) == ("j_i_o", "j_i_i")
    assert s.fuse("j_i_o", "j_i_i") == "j_i_o_j_i_i_f"
    assert s.cache_write("C") == "C_local"
    assert s.cache_write("C_local") == "C_local_local"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({}, "expected one of factor and nparts"),
        ({"factor": 2, "nparts": 2}, "expected one of factor and nparts"),
        ({"factor": 0}, "expected a positive number, got 0"),
        ({"factor": 4, "tail": "drop"}, "expected tail to be one of guard, mask, peel, overlap, got 'drop'"),
        ({"factor": 16, "tail": "peel"}, "constant extent of at least 16, got 8"),
    ],
)
def test_split_refuses(arguments, problem):
    refused(lambda: matmul().split("i", **arguments), problem)


def test_split_refuses_other_kinds_symbols_and_pairs():
    s = matmul()
    s.unroll("i")
    refused(lambda: s.split("i", factor=2), "expected a serial loop, got one of kind unroll", "before")
    n = te.var("n")
    A = te.placeholder((n,), name="A")
    symbolic = lowered(A, te.compute((n,), lambda i: A[i], name="B"))
    refused(lambda: symbolic.split("i", nparts=2), "nparts needs a constant extent, got n")
    refused(lambda: symbolic.vectorize("i"), "must be constant, got n", "split")
    refused(lambda: symbolic.unroll("i"), "must be constant, got n", "split")
    symbolic.split("i", factor=8)
    assert "for i_o in range((n + 7)//8)" in str(symbolic.program) and "if i_o*8 + i_i < n:" in str(symbolic.program)
    refused(lambda: argmax().split("k", factor=4, tail="peel"), "over several buffers cannot be peeled", "guard")


def test_the_error_has_four_parts():
    with pytest.raises(ScheduleError) as error:
        matmul().split("q", factor=4)
    assert str(error.value).startswith("ScheduleError: split(\"q\", factor=4): no loop is called 'q'\n    for i")
    assert str(error.value).endswith("hint: the loops are i, j, k")
    with pytest.raises(ScheduleError) as error:
        matmul().parallel("k")
    lines = str(error.value).splitlines()
    assert lines[0] == 'ScheduleError: parallel("k"): C is reduced over loop k'
    assert lines[3:5] == ["            for k in range(6):", "                ^ here"]
    assert lines[-1] == 'hint: choose a loop over an axis of the result, or s.rfactor("C", "k") first'


# ---- reorder


def test_reduction_loops_go_anywhere():
    text = unchanged(matmul(), lambda s: s.reorder("k", "j", "i"))
    assert text.splitlines()[0] == "for k in range(6):"


def test_loops_between_stay():
    s = matmul()
    s.reorder("k", "i")
    assert s.loops_of("C") == ("k", "j", "i") and s.reduce_loops_of("C") == ("k",)


def test_guards_move_in_no_further_than_needed():
    def steps(s):
        s.split("i", factor=3)
        s.split("j", factor=3)
        s.reorder("i_o", "j_o", "i_i", "j_i", "k")
        s.reorder("i_i", "k", "j_i")

    text = unchanged(matmul(), steps)
    lines = [line.strip() for line in text.splitlines()]
    assert lines[3] == "if i_o*3 + i_i < 8:" and lines[6] == "if j_o*3 + j_i < 8:"


def test_time_keeps_its_place_and_space_is_free():
    s = recurrence()
    unchanged(s, lambda s: s.reorder("i", "t"))
    S = Buffer("S", float32, (6, 6))
    skew = Store(S, (t + 1, i), S[t, i + 1])
    start = For(j, 6, For(k, 6, Store(S, (j, k), ZERO)))
    s = Schedule(Program("f", (), (S,), seq(start, For(t, 5, For(i, 5, skew)))))
    refused(lambda: s.reorder("i", "t"), "the order of t, i matters: S[t + 1, i] is written and S[t, i + 1] is read")


def test_reorder_refuses():
    s = matmul()
    refused(lambda: s.reorder("i"), "expected at least two different loops, got i")
    refused(lambda: s.reorder("i", "i"), "expected at least two different loops")
    refused(lambda: chain().reorder("i", "i_1"), "does not enclose loop i")
    s.vectorize("j")
    refused(lambda: s.reorder("j", "i"), "loop j is vectorized", "before")
    A, B, C = (Buffer(n, float32, (4, 4)) for n in "ABC")
    two = seq(Store(B, (i, const(0)), ZERO), For(j, 4, Store(C, (i, j), A[i, j])))
    refused(lambda: Schedule(Program("f", (A,), (B, C), For(i, 4, two))).reorder("j", "i"), "not perfectly nested")
    triangle = For(i, 4, For(j, i, Store(B, (i, j), A[i, j])))
    refused(lambda: Schedule(Program("f", (A,), (B,), triangle)).reorder("j", "i"), "depends on another of the loops")
    reads_itself = For(i, 4, If(B[i, 0] < 1.0, For(j, 4, Store(B, (i, j), A[i, j]))))
    refused(lambda: Schedule(Program("f", (A,), (B,), reads_itself)).reorder("j", "i"), "reads what its body writes")


def test_a_private_buffer_moves_in_when_nothing_flows_through_it():
    A, B, T = Buffer("A", float32, (4, 4)), Buffer("B", float32, (4, 4)), Buffer("T", float32, (4,))
    body = seq(Store(T, (j,), A[i, j]), Store(B, (i, j), T[j]))
    s = Schedule(Program("f", (A,), (B,), For(i, 4, Alloc(T, For(j, 4, body)))))
    refused(lambda: s.reorder("j", "i"), "T is allocated between the loops, and carries values")
    both = Buffer("T", float32, (4, 4))
    body = seq(Store(both, (i, j), A[i, j]), Store(B, (i, j), both[i, j]))
    s = Schedule(Program("f", (A,), (B,), For(i, 4, Alloc(both, For(j, 4, body)))))
    unchanged(s, lambda s: s.reorder("j", "i"))


# ---- fuse


def test_fuse_and_split_again():
    def steps(s):
        f = s.fuse("i", "j")
        s.split(f, factor=8)

    assert "C[i_j_f_o, i_j_f_i]" in unchanged(matmul(), steps)


def test_fuse_refuses():
    s = matmul()
    refused(lambda: s.fuse("i", "k"), "loop k must be all that loop i contains", "reorder")
    refused(lambda: s.fuse("j", "k"), "C is reduced over k but not over j")
    s.unroll("i")
    refused(lambda: s.fuse("i", "j"), "expected serial loops, got i of kind unroll")
    n = te.var("n")
    A = te.placeholder((4, n), name="A")
    symbolic = lowered(A, te.compute((4, n), lambda i, j: A[i, j], name="B"))
    refused(lambda: symbolic.fuse("i", "j"), "must be constant, got n")


# ---- parallel, vectorize, unroll


def test_independent_loops():
    s = matmul()
    s.parallel("i")
    s.split("j", factor=4)
    s.reorder("k", "j_i")
    s.vectorize("j_i")
    s.unroll("j_o")
    verify(s.program)


def test_parallel_and_vectorize_refuse():
    s = matmul()
    refused(lambda: s.parallel("k"), "C is reduced over loop k", "axis of the result")
    refused(lambda: s.vectorize("k"), "C is reduced over loop k")
    refused(lambda: recurrence().parallel("t"), "the iterations of loop t depend on each other: S[t + 1, i] is written")
    s.parallel("i")
    refused(lambda: s.parallel("i"), "expected a serial loop, got one of kind parallel")
    refused(lambda: s.parallel("j"), "loop i around it is of kind parallel", "fuse")
    s = matmul()
    s.vectorize("j")
    refused(lambda: s.vectorize("i"), "loop j inside it is of kind vectorize")
    s.undo()
    s.parallel("j")
    refused(lambda: s.vectorize("i"), "loop j inside it is of kind parallel")
    s.undo()
    s.vectorize("i")
    refused(lambda: s.parallel("j"), "loop i around it is of kind vectorize")


def test_indirect_writes_are_not_independent():
    A, index, B = Buffer("A", float32, (8,)), Buffer("I", int64, (8,)), Buffer("B", float32, (8,))
    s = Schedule(Program("f", (A, index), (B,), For(i, 8, Store(B, (index[i],), A[i]))))
    refused(lambda: s.parallel("i"), "B[I[i]] is written")


@pytest.mark.parametrize(
    ("write", "read", "loose"),
    [
        ((i, j), (i, j), ""),
        ((i,), (i,), "j"),
        ((i * 4 + j,), (i * 4 + j,), ""),
        ((i * 3 + j,), (i * 3 + j,), "ij"),
        ((i * 8 + j * 2,), (i * 8 + j * 2 + 1,), ""),  # even and odd never meet, but writes do not either
        ((i * 4 + j,), (i * 4 + j + 16,), ""),
        (((i * 4 + j) // 3, (i * 4 + j) % 3), ((i * 4 + j) // 3, (i * 4 + j) % 3), ""),
        ((i // 2, i % 2 * 4 + j), (i // 2, i % 2 * 4 + j), ""),
        ((i // 4, i // 2 % 2, i % 2, j), (i // 4, i // 2 % 2, i % 2, j), ""),
        (((i * 6 + j) // 4, (i * 3 + j // 2) % 2, j % 2), ((i * 6 + j) // 4, (i * 3 + j // 2) % 2, j % 2), ""),
        ((i // 2, j), (i // 2, j), "i"),
    ],
    ids=str,
)
def test_dependences(write, read, loose):
    shape = (64,) * len(write)
    B = Buffer("B", float32, shape)
    found = dependences(Store(B, write, B[read] + 1.0), [i, j], {i: (0, 3), j: (0, 3)})
    assert "".join(sorted({v.name for d in found for v in d.along})) == loose


# ---- compute_inline


def test_inline():
    text = unchanged(chain(), lambda s: s.compute_inline("T"))
    assert text == "for i_1 in range(10):\n    D[i_1] = A[i_1]*2.0 + 1.0"


def program(body, *inside, inputs="A", outputs="D"):
    """A program over buffers of 4 by name."""
    for buffer in inside:
        body = Alloc(buffer, body)
    return Schedule(Program("f", tuple(map(buffer4, inputs)), tuple(map(buffer4, outputs)), body))


def buffer4(name):
    return Buffer(name, float32, (4,))


def test_inline_of_axes_of_one_element():
    A = te.placeholder((1, 4), name="A")
    T = te.compute((1, 4), lambda i, j: A[i, j] * 2.0, name="T")
    text = unchanged(lowered(A, te.compute((4,), lambda j: T[0, j] + 1.0, name="D")), lambda s: s.compute_inline("T"))
    assert "D[j_1] = A[0, j_1]*2.0 + 1.0" in text
    T1, D1 = Buffer("T", float32, (4,)), Buffer("D", float32, (4,))
    A1 = Buffer("A", float32, (4,))
    body = seq(For(i, 4, For(k, 1, Store(T1, (i,), A1[i + k]))), For(j, 4, Store(D1, (j,), T1[j])))
    unchanged(Schedule(Program("f", (A1,), (D1,), Alloc(T1, body))), lambda s: s.compute_inline("T"))


def test_inline_refuses():
    s = matmul()
    refused(lambda: s.compute_inline("C"), "C is an output")
    refused(lambda: s.compute_inline("Q"), "no buffer called 'Q'", "the buffers are C")
    s.cache_write("C")
    refused(lambda: s.compute_inline("C_local"), "a reduction fills it", "compute_at")
    s = chain()
    s.split("i", factor=5)
    refused(lambda: s.compute_inline("T"), "is stored at i_o*5 + i_i", "before splitting")
    s = chain()
    s.split("i", factor=4, tail="peel")
    refused(lambda: s.compute_inline("T"), "2 statements write it")
    A, T, U, D = map(buffer4, "ATUD")
    use = For(j, 4, Store(D, (j,), T[j]))
    refused(
        lambda: program(seq(For(i, 4, Store(T, (i,), T[i] + 1.0)), use), T).compute_inline("T"),
        "computed from one another",
    )
    refused(
        lambda: program(seq(For(i, 4, If(i < 3, Store(T, (i,), A[i]))), use), T).compute_inline("T"), "under a guard"
    )
    again = For(k, 2, For(i, 4, Store(T, (i,), A[i])))
    refused(lambda: program(seq(again, use), T).compute_inline("T"), "stored again in each iteration of loop k")
    changed = seq(
        For(t, 4, Store(U, (t,), A[t])), For(i, 4, Store(T, (i,), U[i])), For(k, 4, Store(U, (k,), ZERO)), use
    )
    refused(lambda: program(changed, T, U).compute_inline("T"), "reads U, which is written later again")
    shared = seq(For(i, 4, seq(Store(U, (const(0),), A[i]), Store(T, (i,), U[0]))), use)
    refused(lambda: program(shared, T, U).compute_inline("T"), "reads U, which is written later again")
    inner = Alloc(U, seq(For(t, 4, Store(U, (t,), A[t])), For(i, 4, Store(T, (i,), U[i]))))
    longer = program(seq(inner, use), T)
    longer.compute_inline("T")
    assert "D[j] = U[j]" in str(longer.program)
    hidden = seq(For(k, 1, inner), use)
    refused(lambda: program(hidden, T).compute_inline("T"), "reads U, which does not live where it is read")


# ---- compute_at and cache_write


def conv(size=8, channels=4):
    A, W = te.placeholder((2, size, size), name="A"), te.placeholder((channels, 2, 3, 3), name="W")
    pad = te.compute(
        (2, size + 2, size + 2),
        lambda c, y, x: te.if_then_else(te.all(y >= 1, y <= size, x >= 1, x <= size), A[c, y - 1, x - 1], 0.0),
        name="pad",
    )
    ic, ky, kx = (te.reduce_axis((0, e), name=n) for e, n in ((2, "ic"), (3, "ky"), (3, "kx")))
    C = te.compute(
        (channels, size, size),
        lambda o, y, x: te.sum(pad[ic, y + ky, x + kx] * W[o, ic, ky, kx], axis=[ic, ky, kx]),
        name="conv",
    )
    return lowered(A, W, te.compute(C.shape, lambda o, y, x: maximum(C[o, y, x], 0.0), name="D"))


def test_accumulate_in_registers():
    def steps(s):
        local = s.cache_write("C")
        i, j = s.loops_of("C")
        i_o, i_i = s.split(i, factor=4)
        j_o, j_i = s.split(j, factor=4)
        s.reorder(i_o, j_o, i_i, j_i)
        s.compute_at(local, j_o)
        inner = s.loops_of(local)[2:]
        s.reorder(inner[2], inner[0], inner[1])

    text = unchanged(matmul(), steps)
    assert (
        "C_local = empty((4, 4), float32)  # local" in text
        and "C_local[i, j] = C_local[i, j] + A[i_copy_o*4 + i, k]" in text
    )


def test_chained_compute_at_takes_the_halo():
    def steps(s):
        o, y, _ = s.loops_of("D")
        y_o, y_i = s.split(y, factor=4)
        s.reorder(y_o, o, y_i)
        s.compute_at("conv", o)
        s.compute_at("pad", y_o)

    text = unchanged(conv(), steps)
    assert "pad = empty((2, 6, 10), float32)" in text and "conv = empty((1, 4, 8), float32)" in text


def test_ragged_tiles_are_clamped_not_guarded():
    def steps(s):
        s.split("i_1", factor=4)
        s.compute_at("T", "i_1_o")

    text = unchanged(chain(), steps)
    assert "A[minimum(i_1_o*4 + i, 9)]" in text and text.count("if") == 1


def test_guards_of_the_loop_itself_hold_for_the_producer():
    A = te.placeholder((10, 4), name="A")
    T = te.compute((10, 4), lambda i, j: A[i, j] * 2.0, name="T")
    s = lowered(A, te.compute((10, 4), lambda i, j: T[i, j] + 1.0, name="D"))

    def steps(s):
        s.split("i_1", factor=4)
        s.compute_at("T", "i_1_i")

    text = unchanged(s, steps)
    assert "minimum" not in text and "T = empty((1, 4)" in text


def test_scope_follows_the_size():
    s = chain(5000)
    s.compute_at("T", s.split("i_1", factor=2500)[0])
    assert "# local" not in str(s.program)
    s.undo()
    s.compute_at("T", "i_1_i", scope="global")
    assert "# local" not in str(s.program)
    s = chain(5000)
    s.compute_at("T", s.split("i_1", factor=25)[0])
    assert "# local" in str(s.program)


def test_the_whole_buffer_just_moves():
    A = te.placeholder((3, 4), name="A")
    T = te.compute((4,), lambda j: A[0, j], name="T")
    D = te.compute((3, 4), lambda i, j: T[3 - j] + A[i, j], name="D")
    text = unchanged(lowered(A, D), lambda s: s.compute_at("T", "i"))
    assert text.startswith("for i in range(3):\n    T = empty((4,), float32)")


def test_symbolic_sizes():
    n, m = te.var("n"), te.var("m")
    A = te.placeholder((n, m), name="A")
    T = te.compute((n, m), lambda i, j: A[i, j] * 2.0, name="T")
    s = lowered(A, te.compute((n, m), lambda i, j: T[i, j] + 1.0, name="D"))
    i_o, i_i = s.split("i_1", factor=4)
    j_o, j_i = s.split("j_1", factor=8)
    s.reorder(i_o, j_o, i_i, j_i)
    s.compute_at("T", j_o)
    s.vectorize(j_i)
    s.parallel(i_o)
    verify(s.program)
    assert "A[minimum(i_1_o*4 + i, n - 1), minimum(j_1_o*8 + j, m - 1)]" in str(s.program)
    a = np.arange(70.0, dtype=np.float32).reshape(7, 10)
    out = np.zeros_like(a)
    run_python(s.program, a, out)
    np.testing.assert_array_equal(out, a * 2 + 1)


def test_compute_at_refuses():
    s = chain()
    refused(lambda: s.compute_at("D", "i"), "D is an output")
    refused(lambda: s.compute_at("T", "q"), "no loop is called 'q'")
    refused(lambda: s.compute_at("T", "i"), "loop i is around the nest of T itself", "reader")
    refused(lambda: s.compute_at("T", "i_1", scope="far"), "expected a scope, got 'far'")
    s.vectorize("i_1")
    refused(lambda: s.compute_at("T", "i_1"), "loop i_1 is vectorized")
    s = chain()
    s.split("i", factor=5)
    refused(lambda: s.compute_at("T", "i_1"), "is stored at i_o*5 + i_i", "before splitting")
    s = chain()
    s.split("i", factor=4, tail="peel")
    refused(lambda: s.compute_at("T", "i_1"), "2 statements write it")
    s = conv()
    refused(lambda: s.compute_at("conv", "c"), "loop c comes before the nest of conv")
    A, T, U, D = map(buffer4, "ATUD")
    fill, use = For(i, 4, Store(T, (i,), A[i])), For(j, 4, Store(D, (j,), T[j]))
    refused(lambda: program(fill, T).compute_at("T", "i"), "around the nest of T itself")
    refused(lambda: program(seq(fill, For(j, 4, Store(D, (j,), A[j]))), T).compute_at("T", "j"), "T is never read")
    refused(
        lambda: program(seq(fill, use, For(k, 4, Store(U, (k,), T[k]))), T, U).compute_at("T", "j"),
        "T is read outside of loop j",
    )
    inside = seq(Alloc(T, seq(fill, use)), For(k, 4, Store(U, (k,), A[k])))
    refused(lambda: program(inside, U).compute_at("T", "k"), "loop k is not where T lives")
    itself = For(i, 4, Store(T, (i,), T[i] + 1.0))
    refused(lambda: program(seq(itself, use), T).compute_at("T", "j"), "computed from one another")
    both = For(i, 4, seq(Store(T, (i,), A[i]), Store(U, (i,), A[i])))
    refused(lambda: program(seq(both, use), T, U).compute_at("T", "j"), "its nest also fills U")
    changed = seq(
        For(t, 4, Store(U, (t,), A[t])), For(i, 4, Store(T, (i,), U[i])), For(k, 4, Store(U, (k,), ZERO)), use
    )
    refused(lambda: program(changed, T, U).compute_at("T", "j"), "it reads U, which is written later again")
    pair = Update((T, U), (i,), (T[i] + A[i], U[i] + A[i]), (ZERO, ZERO), (k,))
    refused(lambda: program(seq(For(i, 4, For(k, 4, pair)), use), T, U).compute_at("T", "j"), "fills other buffers too")


def test_cache_write_of_an_inner_buffer_and_a_scalar():
    text = unchanged(conv(), lambda s: s.cache_write("conv", scope="global"))
    assert "conv_global" in text
    A = te.placeholder((4,), name="A")
    r = te.reduce_axis((0, 4), name="k")
    text = unchanged(lowered(A, te.compute((), lambda: te.sum(A[r], axis=r), name="S")), lambda s: s.cache_write("S"))
    assert text.endswith("S[()] = S_local[()]")


def test_cache_write_refuses():
    refused(lambda: recurrence().cache_write("S"), "one nest must fill S, but 2 statements in several nests do")
    refused(lambda: chain().cache_write("D", scope="far"), "expected a scope, got 'far'")
    refused(lambda: chain().cache_write("A"), "no buffer called 'A' is written here")


# ---- schedules and traces


def test_a_refused_step_changes_nothing():
    s = matmul()
    before = s.program
    refused(lambda: s.parallel("k"), "reduced")
    assert s.program is before and len(s.trace) == 0


def test_schedule_errors():
    with pytest.raises(ScheduleError, match="expected at least one step, got an empty trace"):
        matmul().undo()
    with pytest.raises(ScheduleError, match="no such buffer"):
        matmul().loops_of("Q")
    for text in ("{", "[1]", '[{"step": "melt"}]', '[{"step": "split", "q": 1}]', "[{}]", "[" * 100_000):
        with pytest.raises(ScheduleError, match="expected a list of steps"):
            Trace.from_json(text)


def test_moves_are_legal_and_named():
    s = matmul()
    moves = s.moves()
    assert {move.name for move in moves} >= {"split", "reorder", "vectorize", "unroll", "parallel", "cache_write"}
    for move in moves:
        move.check(s.program)
    assert not any(str(move) == 's.parallel("k")' for move in moves)


def test_a_trace_is_python():
    s = matmul()
    s.split("i", factor=3, tail="peel")
    s.split("j", nparts=2)
    assert str(s.trace) == str(s) == 's.split("i", factor=3, tail="peel")\ns.split("j", nparts=2)'
