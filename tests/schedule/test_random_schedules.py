"""Random legal steps on random programs never change what they compute."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicc import te
from minicc.loop.lower import lower
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.schedule import STEPS, Schedule, Trace
from minicc.tensor.expr import call, maximum
from minicc.tensor.expr import select as if_then_else
from minicc.types import int64


def elementwise(n, m):
    A, B = te.placeholder((n, m), name="A"), te.placeholder((m,), name="B")
    C = te.compute((n, m), lambda i, j: A[i, j] + B[j], name="C")
    D = te.compute((m, n), lambda i, j: maximum(C[j, i], 0.0), name="D")
    return [A, B], D


def matmul(n, m, depth=5):
    A, B = te.placeholder((n, depth), name="A"), te.placeholder((depth, m), name="B")
    k = te.reduce_axis((0, depth), name="k")
    C = te.compute((n, m), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    D = te.compute((n, m), lambda i, j: C[i, j] * 2.0 + 1.0, name="D")
    return [A, B], D


def conv(size, channels, stride=1):
    A = te.placeholder((2, size, size), name="A")
    W = te.placeholder((channels, 2, 3, 3), name="W")
    out = (size + 2 - 3) // stride + 1
    pad = te.compute(
        (2, size + 2, size + 2),
        lambda c, y, x: if_then_else((y >= 1) & (y < size + 1) & (x >= 1) & (x < size + 1), A[c, y - 1, x - 1], 0.0),
        name="pad",
    )
    ic, ky, kx = (te.reduce_axis((0, e), name=n) for e, n in ((2, "ic"), (3, "ky"), (3, "kx")))
    C = te.compute(
        (channels, out, out),
        lambda oc, y, x: te.sum(pad[ic, y * stride + ky, x * stride + kx] * W[oc, ic, ky, kx], axis=[ic, ky, kx]),
        name="conv",
    )
    D = te.compute((channels, out, out), lambda oc, y, x: maximum(C[oc, y, x], 0.0), name="D")
    return [A, W], D


def softmax(n, m):
    A = te.placeholder((n, m), name="A")
    k, k2 = te.reduce_axis((0, m), name="k"), te.reduce_axis((0, m), name="k")
    M = te.compute((n,), lambda i: te.max(A[i, k], axis=k), name="M")
    E = te.compute((n, m), lambda i, j: call("exp", A[i, j] - M[i]), name="E")
    S = te.compute((n,), lambda i: te.sum(E[i, k2], axis=k2), name="S")
    return [A], te.compute((n, m), lambda i, j: E[i, j] / S[i], name="D")


def windows(n, m):
    A = te.placeholder((n + 2, m), name="A")
    T = te.compute((n + 2, m), lambda i, j: A[i, j] * 3.0, name="T")
    U = te.compute((n + 1, m), lambda i, j: T[i, j] + T[i + 1, m - 1 - j], name="U")
    return [A], te.compute((n, m), lambda i, j: U[i, j] + U[i + 1, j] - T[i + 2, j // 2], name="D")


def resize(n, m):
    A = te.placeholder((n, m), name="A")
    T = te.compute((n, m), lambda i, j: A[i, j] + 1.0, name="T")
    return [A], te.compute((2 * n, 3 * m), lambda i, j: T[i // 2, j // 3] + T[i % n, (i + j) % m], name="D")


def recurrence(n, m):
    A = te.placeholder((n, m), name="A")
    state = te.placeholder((n, m), name="state")
    init = te.compute((1, m), lambda i, j: A[0, j], name="init")
    update = te.compute((n, m), lambda t, j: state[t - 1, j] + A[t, j], name="update")
    S = te.scan(init, update, state, name="S")
    return [A], te.compute((n, m), lambda i, j: S[i, j] * 2.0, name="D")


def gather(n, m):
    A, index = te.placeholder((n, m), name="A"), te.placeholder((m,), int64, name="index")
    T = te.compute((n, m), lambda i, j: A[i, j] * 2.0, name="T")
    picked = te.compute((m, m), lambda i, j: T[te.minimum(maximum(index[i], 0), n - 1), j], name="picked")
    return [A, index], te.compute((m, m), lambda i, j: picked[i, j] + 1.0, name="D")


MAKERS = [elementwise, matmul, conv, softmax, windows, resize, recurrence, gather]


def arrays(program, seed):
    rng = np.random.default_rng(seed)
    made = [
        rng.integers(-2, 9, b.shape) if b.dtype is int64 else rng.integers(-8, 8, b.shape).astype(b.dtype.numpy)
        for b in program.params
    ]
    return made, [np.full(b.shape, np.nan, b.dtype.numpy) for b in program.outputs]


def result(program, seed=0):
    inputs, outputs = arrays(program, seed)
    run_python(program, *inputs, *outputs)
    return outputs


def assert_same(program, expected, note):
    for got, want in zip(result(program), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5, err_msg=str(note))


@given(st.sampled_from(MAKERS), st.integers(2, 7), st.integers(2, 7), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=40)
def test_random_steps_keep_the_meaning(make, n, m, rng):
    inputs, output = make(n, m)
    naive = lower([output], [*inputs, output], "f").program
    expected = result(naive)
    s = Schedule(naive)
    for _ in range(6):
        kinds = list(STEPS.values())
        rng.shuffle(kinds)
        for kind in kinds:
            if moves := kind.moves(s.program):
                s.apply(rng.choice(moves))
                break
        verify(s.program)
        assert_same(s.program, expected, s.trace)
    replayed = Trace.from_json(s.trace.to_json()).replay(naive)
    assert replayed.program is s.program
    again = {"s": Schedule(naive)}
    exec(str(s.trace), again)
    assert again["s"].program is s.program and again["s"].trace == s.trace


@pytest.mark.parametrize("make", MAKERS, ids=lambda f: f.__name__)
def test_every_first_move_keeps_the_meaning(make):
    inputs, output = make(5, 6)
    naive = lower([output], [*inputs, output], "f").program
    expected = result(naive)
    moves = Schedule(naive).moves()
    rng = random.Random(0)
    for step in rng.sample(moves, min(25, len(moves))):
        program = step.apply(naive)
        verify(program)
        assert_same(program, expected, step)
        assert type(step).from_json({k: v for k, v in step.to_json().items() if k != "step"}) == step


def test_undo_gives_back_every_program():
    inputs, output = conv(4, 2)
    s = Schedule(lower([output], [*inputs, output], "f").program)
    programs = [s.program]
    for step in (lambda: s.compute_inline("pad"), lambda: s.split("oc", factor=2), lambda: s.cache_write("D")):
        step()
        programs.append(s.program)
    while programs:
        assert s.program is programs.pop()
        if programs:
            s.undo()
    assert len(s.trace) == 0
