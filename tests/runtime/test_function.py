"""Built functions: arguments are bound and checked, symbolic sizes work at every stage."""

import threading

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.errors import CodegenError, RunError, ScheduleError
from minicc.loop.ir import Alloc, Buffer, For, Store, seq
from minicc.loop.program import Program
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.tensor.expr import Var, const
from minicc.types import float32

RANDOM = np.random.default_rng(0)


def zeros(*shape, dtype="float32"):
    return np.zeros(shape, dtype)


@pytest.fixture(scope="module")
def add_rows():
    """C[n, m] = A[n, m] + B[m]."""
    n, m = te.var("n"), te.var("m")
    A, B = te.placeholder((n, m), name="A"), te.placeholder((m,), name="B")
    C = te.compute((n, m), lambda i, j: A[i, j] + B[j], name="C")
    return minicc.build(te.create_schedule(C), [A, B, C], name="add_rows")


def test_sizes_come_from_the_arrays(add_rows):
    for n, m in ((3, 5), (0, 4), (4, 0), (17, 33)):
        a, b, c = RANDOM.random((n, m), "float32"), RANDOM.random(m, "float32"), zeros(n, m)
        add_rows(a, b, c)
        np.testing.assert_array_equal(c, a + b)


def test_it_runs_by_name_as_an_executable_does(add_rows):
    a, b = RANDOM.random((3, 5), "float32"), RANDOM.random(5, "float32")
    (c,) = add_rows.run({"B": b, "A": a}).values()
    np.testing.assert_array_equal(c, a + b)
    assert [x.name for x in add_rows.inputs] == ["A", "B"] and [x.name for x in add_rows.outputs] == ["C"]
    assert list(add_rows.stages) == ["loop", "final", "llvm", "asm"]
    for feeds, said in (({"A": a}, "missing: 'B'"), ({"A": a, "B": b[:4]}, r"B.shape\[0\] must be m, got 4"),
                        ({"A": a, "b": b}, "did you mean 'B' by 'b'")):  # fmt: skip
        with pytest.raises(RunError, match=said) as caught:
            add_rows.run(feeds)
        assert caught.value.where and caught.value.hint


def test_an_extent_of_an_output_that_no_input_tells():
    n = te.var("n")
    C = te.compute((n,), lambda i: te.const(2.0, "float32"), name="C")
    f = minicc.build(te.create_schedule(C), [C])
    with pytest.raises(RunError, match="expected inputs that tell n, an extent of an output") as caught:
        f.run({})
    assert caught.value.where and caught.value.hint
    f(c := zeros(3))
    assert c.tolist() == [2, 2, 2]


def test_inputs_that_are_not_contiguous_are_copied(add_rows):
    a, b, c = RANDOM.random((5, 6), "float32").T, RANDOM.random(10, "float32")[::2], zeros(6, 5)
    add_rows(a, b, c)
    np.testing.assert_array_equal(c, a + b)
    assert "add_rows(A: float32[n,m]" in repr(add_rows)


@pytest.mark.parametrize(("arrays", "match"), [
    (lambda: (zeros(3, 5), zeros(5)), "expected 3 arrays, got 2"),
    (lambda: (zeros(3, 5), [0.0] * 5, zeros(3, 5)), "B must be a NumPy array, got list"),
    (lambda: (zeros(3, 5, dtype="float64"), zeros(5), zeros(3, 5)), "A must be of float32, got float64"),
    (lambda: (zeros(3, 5), zeros(5).astype(">f4"), zeros(3, 5)), "B must be of float32, got >f4"),
    (lambda: (zeros(3, 5), zeros(5, 1), zeros(3, 5)), "B must have 1 dimensions, got 2"),
    (lambda: (zeros(3, 5), zeros(4), zeros(3, 5)), r"B.shape\[0\] must be m, got 4, but n is 3, by A.shape\[0\], m is 5, by A"),
    (lambda: (zeros(3, 5), zeros(5), zeros(4, 5)), r"C.shape\[0\] must be n, got 4"),
    (lambda: (zeros(3, 5), zeros(5), zeros(5, 3).T), "C is an output and must be C-contiguous"),
    (lambda: (zeros(3, 5), zeros(5), np.broadcast_to(zeros(1), (3, 5))), "C is an output and must be writable"),
])  # fmt: skip
def test_arguments_that_do_not_fit(add_rows, arrays, match):
    with pytest.raises(RunError, match=match) as caught:
        add_rows(*arrays())
    assert "add_rows(A: float32[n,m], B: float32[m], C: float32[n,m])" in caught.value.where and caught.value.hint


def test_outputs_do_not_overlap(add_rows):
    memory = zeros(60)
    a, b, c = memory[:15].reshape(3, 5), zeros(5), memory[10:25].reshape(3, 5)
    with pytest.raises(RunError, match="output C must not overlap A"):
        add_rows(a, b, c)
    add_rows(a, memory[20:25], memory[40:55].reshape(3, 5))  # side by side is no overlap
    add_rows(a[:0], b, memory[:0].reshape(0, 5))


def test_constant_extents_are_checked():
    A = te.placeholder((4,), name="A")
    B = te.compute((4,), lambda i: A[i] * 2.0, name="B")
    f = minicc.build(te.create_schedule(B), [A, B])
    with pytest.raises(RunError, match=r"A.shape\[0\] must be 4, got 5 *\n"):
        f(zeros(5), zeros(4))


def test_extents_that_are_computed():
    n = te.var("n")
    A = te.placeholder((n,), name="A")
    B = te.compute(
        (n + 2,),
        lambda i: te.if_then_else(te.all(i >= 1, i < n + 1), A[te.maximum(te.minimum(i - 1, n - 1), 0)], 0.0),
        name="B",
    )
    f = minicc.build(te.create_schedule(B), [A, B])
    a, b = RANDOM.random(7, "float32"), zeros(9)
    f(a, b)
    np.testing.assert_array_equal(b, np.pad(a, 1))
    with pytest.raises(RunError, match=r"B.shape\[0\] must be n \+ 2, got 8, but n is 7"):
        f(a, zeros(8))


def test_a_size_that_is_no_extent():
    n = te.var("n")
    A, B = te.placeholder((n * 2,), name="A"), te.placeholder((n * 2,), name="B")
    C = te.compute((n * 2,), lambda i: A[i] + B[i], name="C")
    with pytest.raises(CodegenError, match="expected an array with n as an extent"):
        minicc.build(te.create_schedule(C), [A, B, C])


@pytest.mark.parametrize("parallel", [False, True])
def test_workspace_of_symbolic_size(parallel):
    """Two rows of scratch memory per thread, whose size is known only when the function is called."""
    n, m = Var("n"), Var("m")
    a, c = Buffer("A", float32, (n, m)), Buffer("C", float32, (n, m))
    t, u = Buffer("T", float32, (m,)), Buffer("U", float32, (m + 1,))
    i, j, k, x = Var("i"), Var("j"), Var("k"), Var("x")
    body = Alloc(t, Alloc(u, seq(
        For(j, m, Store(t, (j,), a[i, j] * 2.0)),
        For(k, m, Store(u, (k + 1,), t[m - 1 - k])),
        For(x, m, Store(c, (i, x), u[x + 1] + t[x])),
    )))  # fmt: skip
    program = Program("flip", (a,), (c,), For(i, n, body, "parallel" if parallel else "serial"))
    verify(program)
    f = minicc.build(program)
    for shape in ((5, 7), (1, 1), (40, 130)):
        data, got, interpreted = RANDOM.random(shape, "float32"), zeros(*shape), zeros(*shape)
        f(data, got)
        run_python(program, data, interpreted)
        np.testing.assert_array_equal(got, data * 2 + data[:, ::-1] * 2)
        np.testing.assert_array_equal(interpreted, got)


def test_strided_vectors_of_symbolic_rows():
    n, m = te.var("n"), te.var("m")
    A = te.placeholder((n, m), name="A")
    B = te.compute((m, n), lambda i, j: A[j, i], name="B")
    s = te.create_schedule(B)
    _, inner = s[B].split(B.op.axis[1], factor=8)
    s[B].vectorize(inner)
    s[B].parallel(B.op.axis[0])
    f = minicc.build(s, [A, B])
    a, b = RANDOM.random((13, 9), "float32"), zeros(9, 13)
    f(a, b)
    np.testing.assert_array_equal(b, a.T)


def test_a_guard_stays_when_another_loop_says_that_the_size_is_positive():
    """X[0] exists only where n > 0; that a later loop runs for n - 1 > 0 trips proves nothing before it."""
    n = te.var("n")
    X, state = te.placeholder((n,), name="X"), te.placeholder((n,), name="state")
    init = te.compute((1,), lambda t: X[t], name="init")
    S = te.scan(init, te.compute((n,), lambda t: state[t - 1] + X[t], name="update"), state, name="S")
    s = te.create_schedule(S)
    s[S].split(s[S].op.axis[0], factor=4)
    verify(s.program)
    f = minicc.build(s, [X, S])
    f(zeros(0), zeros(0))
    x, out = RANDOM.random(11, "float32"), zeros(11)
    f(x, out)
    np.testing.assert_allclose(out, x.cumsum(), rtol=1e-6)


def test_threads_may_share_a_function(add_rows):
    results = [zeros(50, 40) for _ in range(4)]
    a, b = RANDOM.random((50, 40), "float32"), RANDOM.random(40, "float32")
    workers = [threading.Thread(target=lambda c=c: [add_rows(a, b, c) for _ in range(20)]) for c in results]
    [w.start() for w in workers]
    [w.join() for w in workers]
    assert all(np.array_equal(c, a + b) for c in results)


def test_sources(add_rows):
    assert add_rows.source("loop") == str(add_rows.program) and "for i in range(n):" in add_rows.source("final")
    assert "define void @add_rows(" in add_rows.source("llvm") and "add_rows:" in add_rows.source("asm")
    with pytest.raises(RunError, match="expected a stage, got 'ptx'"):
        add_rows.source("ptx")


def test_timing(add_rows):
    timing = add_rows.time_evaluator(number=2, repeat=2)(zeros(3, 5), zeros(5), zeros(3, 5))
    assert timing.min <= timing.mean <= timing.max
    with pytest.raises(RunError, match="positive numbers"):
        add_rows.time_evaluator(number=0)


def test_what_can_be_built():
    a, c = Buffer("A", float32, (4,)), Buffer("C", float32, (4,))
    program = Program("fill", (a,), (c,), For(Var("i"), 4, Store(c, (Var("i"),), const(1.0, float32))))
    out = zeros(4)
    minicc.build(program)(zeros(4), out)
    assert out.tolist() == [1] * 4
    A = te.placeholder((4,), name="A")
    B = te.compute((4,), lambda i: A[i], name="B")
    s = te.create_schedule(B)
    minicc.build(s)(out, z := zeros(4))  # without args: placeholders, then outputs
    minicc.build(s.schedule)(out, zeros(4))
    assert z.tolist() == [1] * 4
    with pytest.raises(ScheduleError, match="has its arguments already"):
        minicc.lower(s.schedule, [A, B])


def test_a_program_with_functions_from_outside_is_no_model():
    A = te.placeholder((4,), name="A")
    s = te.create_schedule(te.extern((4,), A, lambda x, out: None, name="B"))
    with pytest.raises(CodegenError, match="without functions from outside"):
        minicc.compile(s.schedule)
