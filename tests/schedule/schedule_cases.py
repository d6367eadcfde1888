"""Programs for the tests of single primitives, and what every primitive must hold on them."""

import doctest
import importlib

import numpy as np
import pytest

from minicc import te
from minicc.errors import ScheduleError
from minicc.loop.lower import lower
from minicc.loop.python import run_python
from minicc.loop.verify import verify
from minicc.schedule import Schedule, Trace
from minicc.schedule.step import loops_text
from minicc.tensor.expr import const, maximum
from minicc.types import int64


def lowered(*tensors, outputs=1):
    return Schedule(lower(list(tensors[-outputs:]), list(tensors), "f").program)


def copied(n=6, m=5):
    """B is A transposed and doubled."""
    A = te.placeholder((m, n), name="A")
    return lowered(A, te.compute((n, m), lambda i, j: A[j, i] * 2.0, name="B"))


def chain(n=10):
    """A -> T -> D, elementwise."""
    A = te.placeholder((n,), name="A")
    T = te.compute((n,), lambda i: A[i] * 2.0, name="T")
    return lowered(A, te.compute((n,), lambda i: T[i] + 1.0, name="D"))


def total(n=5, m=12):
    """Sums of rows."""
    A = te.placeholder((n, m), name="A")
    k = te.reduce_axis((0, m), name="k")
    return lowered(A, te.compute((n,), lambda i: te.sum(A[i, k], axis=k), name="C"))


def matmul(n=6, m=4, depth=8):
    A, B = te.placeholder((n, depth), name="A"), te.placeholder((depth, m), name="B")
    k = te.reduce_axis((0, depth), name="k")
    return lowered(A, B, te.compute((n, m), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C"))


def relu_of_matmul(n=6, m=4, depth=5):
    """C = A B, inside of the program, and D = max(C, bias)."""
    A, B = te.placeholder((n, depth), name="A"), te.placeholder((depth, m), name="B")
    bias = te.placeholder((m,), name="bias")
    k = te.reduce_axis((0, depth), name="k")
    C = te.compute((n, m), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    return lowered(A, B, bias, te.compute((n, m), lambda i, j: maximum(C[i, j], bias[j]), name="D"))


def rows():
    """Row sums of a product that is kept in T."""
    A = te.placeholder((4, 6), name="A")
    T = te.compute((4, 6), lambda i, j: A[i, j] * A[i, j], name="T")
    k = te.reduce_axis((0, 6), name="k")
    return lowered(A, te.compute((4,), lambda i: te.sum(T[i, k], axis=k), name="S"))


def windows(n=7):
    A = te.placeholder((n + 2,), name="A")
    T = te.compute((n + 2,), lambda i: A[i] * 3.0, name="T")
    return lowered(A, te.compute((n,), lambda i: T[i] + T[i + 2], name="D"))


def argmax(n=3, m=12):
    """A reduction of pairs: where the largest of each row is, and how large."""
    A = te.placeholder((n, m), name="A")
    k = te.reduce_axis((0, m), name="k")
    best = te.comm_reducer(
        lambda x, y: (te.if_then_else(x[1] >= y[1], x[0], y[0]), maximum(x[1], y[1])),
        lambda a, b: (const(-1, a), const(-1e30, b)),
        name="argmax",
    )
    where, value = te.compute((n,), lambda i: best((k, A[i, k]), axis=k), name="M")
    return lowered(A, where, value, outputs=2)


def gather():
    A, index = te.placeholder((6, 4), name="A"), te.placeholder((5,), int64, name="index")
    return lowered(A, index, te.compute((5, 4), lambda i, j: A[te.minimum(maximum(index[i], 0), 5), j], name="D"))


CASES = [copied, chain, total, matmul, relu_of_matmul, rows, windows, argmax, gather]


def run(program, seed=0):
    rng = np.random.default_rng(seed)
    inputs = [rng.integers(-4, 5, b.shape).astype(b.dtype.numpy) for b in program.params]
    outputs = [np.zeros(b.shape, b.dtype.numpy) for b in program.outputs]
    run_python(program, *inputs, *outputs)
    return outputs


def unchanged(s, steps):
    """Take `steps` on the schedule `s`: after each the program verifies, and computes what it did. Gives its text."""
    before, start = run(s.program), len(s.trace)
    steps(s)
    taken = s.trace.steps
    again = Schedule(s.start)
    for count, step in enumerate(taken, 1):
        again.apply(step)
        if count > start:
            verify(again.program)
    for got, want in zip(run(s.program), before, strict=True):
        np.testing.assert_array_equal(got, want)
    round_trips(s)
    return loops_text(s.program)


def round_trips(s):
    """The trace of `s` as JSON and as Python makes the same program again."""
    assert Trace.from_json(s.trace.to_json()) == s.trace
    names = {"s": Schedule(s.start)}
    exec(str(s.trace), names)
    assert names["s"].trace == s.trace
    assert names["s"].program is s.program


def every_move_keeps_the_meaning(kind, prepare=lambda s: None, most=40):
    """All moves of the primitive on all cases apply, verify, and keep the meaning. Gives how many there were."""
    count = 0
    for make in CASES:
        s = make()
        prepare(s)
        expected = run(s.program)
        for step in kind.moves(s.program)[:most]:
            s.apply(step)
            verify(s.program)
            for got, want in zip(run(s.program), expected, strict=True):
                np.testing.assert_array_equal(got, want, err_msg=f"{make.__name__} {step}")
            round_trips(s)
            s.undo()
            count += 1
    return count


def message(action):
    """The text of the ScheduleError that `action` raises."""
    with pytest.raises(ScheduleError) as error:
        action()
    return str(error.value)


def the_example_holds(module):
    found = doctest.testmod(importlib.import_module(f"minicc.schedule.{module}"))
    assert found.attempted > 0 and found.failed == 0


def split_reductions(s):
    """Split the innermost loop of each reduction that has one."""
    for buffer in [b.name for b in s.program.outputs]:
        if names := s.reduce_loops_of(buffer):
            s.split(names[-1], factor=4)
            return
