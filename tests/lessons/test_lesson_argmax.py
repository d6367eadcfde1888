"""The fourth lesson: argmax, a reduction of pairs.

The greatest value and its place are found together: what is reduced is a tuple, and so is the
result. The combiner takes the pair with the greater value, the first of equals.
"""

import pytest
from lesson_cases import RANDOM, check

from minicc import te


def argmax():
    n = te.var("n")
    A = te.placeholder((n, 48), name="A")
    k = te.reduce_axis((0, 48), name="k")

    def greater(x, y):
        first = te.any(x[1] > y[1], te.all(x[1].equal(y[1]), x[0] < y[0]))
        return te.if_then_else(first, x[0], y[0]), te.if_then_else(first, x[1], y[1])

    reduce = te.comm_reducer(greater, lambda place, value: (te.max_value(place), te.min_value(value)), name="argmax")
    return A, te.compute((n,), lambda i: reduce((k.var, A[i, k]), axis=k), name="T")


def data():
    a = RANDOM.integers(0, 20, (7, 48)).astype("float32")  # with ties
    return a, a.argmax(1), a.max(1)


def test_both_components():
    A, (place, value) = argmax()
    a, index, most = data()
    check(te.create_schedule([place, value]), [A, place, value], [a], [index, most])


@pytest.mark.parametrize("which", [0, 1])
def test_one_component(which):
    A, T = argmax()
    a, index, most = data()
    s = te.create_schedule(T[which].op)  # the operation has both; what is no argument is internal
    check(s, [A, T[which]], [a], [(index, most)[which]])


def test_scheduled_and_factored():
    A, (place, value) = argmax()
    s = te.create_schedule(place.op)
    _, ki = s[place].split(place.op.reduce_axis[0], factor=8)
    partial = s.rfactor(place, ki)
    assert s["T_v1_rf"].op.axis == partial.op.axis
    s[place].parallel(s[place].op.axis[0])
    a, index, most = data()
    check(s, [A, place, value], [a], [index, most])
