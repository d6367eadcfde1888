"""`i == j` in a tensor expression compares values, wherever it stands; asking Python for its truth is an error."""

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.errors import TeError


def run(C, *inputs):
    """The value of `C` by machine code, on arrays for its placeholders in order."""
    s = te.create_schedule(C.op)
    result = np.zeros(C.shape, dtype=C.dtype)
    minicc.build(s, [*[t for t, _ in inputs], C])(*[a for _, a in inputs], result)
    return result


def test_the_identity_matrix():
    assert np.array_equal(run(te.compute((4, 4), lambda i, j: te.if_then_else(i == j, 1.0, 0.0))), np.eye(4))
    assert np.array_equal(run(te.compute((4, 4), lambda i, j: te.if_then_else(i != j, 1.0, 0.0))), 1 - np.eye(4))


def test_every_second_element():
    A = te.placeholder((6,), name="A")
    a = np.float32([1, 2, 3, 4, 5, 6])
    C = te.compute((6,), lambda i: te.if_then_else(i % 2 == 0, A[i], -A[i]))
    assert run(C, (A, a)).tolist() == [1, -2, 3, -4, 5, -6]
    D = te.compute((6,), lambda i: te.if_then_else(te.any(A[i] == 2, A[i] == 5.0), 1, 0))
    assert run(D, (A, a)).tolist() == [0, 1, 0, 0, 1, 0]


def test_an_axis_that_is_reduced_over():
    A = te.placeholder((4, 4), name="A")
    k = te.reduce_axis((0, 4))
    a = np.arange(16, dtype=np.float32).reshape(4, 4)
    trace = te.compute((4,), lambda i: te.sum(te.if_then_else(k == i, A[i, k], 0), axis=k))
    assert run(trace, (A, a)).tolist() == [0, 5, 10, 15]


def test_the_truth_of_a_comparison_is_an_error():
    A = te.placeholder((4,), name="A")
    i, k = te.var("i"), te.reduce_axis((0, 4))
    for ask in (
        lambda: 1 if i == 0 else 2,
        lambda: not A[i] <= 0,
        lambda: A[i] == 0 or A[0] == 0,
        lambda: 0 < A[i] < 1,
        lambda: 1 if k != 3 else 2,
        lambda: A[i] in (1, 2),
        lambda: min(A[i], A[0]),
        lambda: A == A,
    ):
        with pytest.raises(TeError, match="expected a"):
            ask()


def test_nodes_are_still_found_in_containers():
    A = te.placeholder((4,), name="A")
    i, j = te.var("i"), te.var("j")
    elements = [A[i], A[j], A[i + j], A[i] * A[j]]
    assert {e: n for n, e in enumerate(elements)}[A[i] * A[j]] == 3 and A[i + j] in set(elements) and A[i] in elements
    assert list(dict.fromkeys([*elements, *elements])) == elements and elements.index(A[i]) == 0
    assert (A[i] == None) is False and (A[i] == "A") is False and A[i] is A[i]  # noqa: E711 - what no number is equal to
