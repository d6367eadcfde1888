"""The fifth lesson: recurrences, where each step reads the step before.

`te.scan` takes the first steps, the update of a step, and a placeholder that stands for the
steps so far. Time runs in order; all other axes can be scheduled.
"""

import numpy as np
import pytest
from lesson_cases import check, random

from minicc import te


def cumulative_sum():
    m, n = te.var("m"), te.var("n")
    X, state = te.placeholder((m, n), name="X"), te.placeholder((m, n), name="state")
    init = te.compute((1, n), lambda _, i: X[0, i], name="init")
    update = te.compute((m, n), lambda t, i: state[t - 1, i] + X[t, i], name="update")
    return X, init, update, te.scan(init, update, state, name="S")


@pytest.mark.parametrize("shape", [(10, 21), (1, 8), (0, 3), (4, 0)])
def test_cumulative_sum(shape):
    X, init, update, S = cumulative_sum()
    s = te.create_schedule(S.op)
    s[init].split(init.op.axis[1], factor=8)
    _, xi = s[update].split(update.op.axis[1], factor=8)
    s[update].vectorize(xi)
    x = random(*shape)
    check(s, [X, S], [x], [np.cumsum(x, 0, dtype="float32")])


def test_a_step_of_several_stages():
    X, state = te.placeholder((6, 5), name="X"), te.placeholder((6, 5), name="state")
    init = te.compute((1, 5), lambda _, i: X[0, i], name="init")
    decay = te.compute((6, 5), lambda t, i: state[t - 1, i] * 0.5, name="decay")
    update = te.compute((6, 5), lambda t, i: decay[t, i] + X[t, i], name="update")
    S = te.scan(init, update, state, name="S")
    x = random(6, 5)
    expected = [x[0]]
    for row in x[1:]:
        expected.append(expected[-1] * np.float32(0.5) + row)
    s = te.create_schedule(S.op)
    s[decay].unroll(decay.op.axis[1])
    check(s, [X, S], [x], [np.stack(expected)])


def test_two_steps_back():
    n = te.var("n")
    state = te.placeholder((n,), "int64", name="state")
    seed = te.placeholder((2,), "int64", name="seed")
    init = te.compute((2,), lambda i: seed[i], name="init")
    update = te.compute((n,), lambda t: state[t - 1] + state[t - 2], name="update")
    F = te.scan(init, update, state, name="F")
    check(te.create_schedule(F.op), [seed, F], [np.int64([0, 1])], [np.int64([0, 1, 1, 2, 3, 5, 8, 13, 21])])
