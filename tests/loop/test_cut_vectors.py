"""Vectors of any length compute what single numbers do, and keep their sums in registers."""

import numpy as np
import pytest

import minicc
from minicc import te
from minicc.loop.cut_vectors import cut_vectors
from minicc.loop.ir import VECTORIZE, loops
from minicc.loop.python import run_python


def tile(lanes, rows=2, depth=16):
    """A product whose result is gathered in `rows` vectors of so many lanes."""
    A, B = te.placeholder((rows, depth), name="A"), te.placeholder((depth, 2 * lanes), name="B")
    k = te.reduce_axis((0, depth), name="k")
    C = te.compute((rows, 2 * lanes), lambda i, j: te.sum(A[i, k] * B[k, j], axis=k), name="C")
    s = te.create_schedule(C.op)
    local = s.cache_write(C, "local")
    row, column = C.op.axis
    outer, inner = s[C].split(column, factor=lanes)
    s[C].reorder(outer, row, inner)
    s[local].compute_at(s[C], outer)
    i, j = local.op.axis
    s[local].reorder(local.op.reduce_axis[0], i, j)
    s[local].unroll(i)
    s[local].vectorize(j)
    s[C].unroll(row)
    s[C].vectorize(inner)
    return s, [A, B, C]


def vectors(program):
    return [s.extent for s in loops(program.body).values() if s.kind == VECTORIZE]


@pytest.mark.parametrize("lanes", [1, 3, 6, 7, 8, 9, 12, 15, 24, 31, 40])
def test_the_answer_is_that_of_numpy(lanes):
    s, args = tile(lanes)
    made = cut_vectors(minicc.lower(s, args))
    assert all(n < 8 or n & n - 1 == 0 for n in vectors(made))
    random = np.random.default_rng(lanes)
    a, b = (
        random.integers(-4, 5, (2, 16)).astype(np.float32),
        random.integers(-4, 5, (16, 2 * lanes)).astype(np.float32),
    )
    python, machine = np.empty((2, 2 * lanes), np.float32), np.empty((2, 2 * lanes), np.float32)
    run_python(made, a, b, python)
    minicc.build(s, args)(a, b, machine)
    np.testing.assert_array_equal(python, a @ b)
    np.testing.assert_array_equal(machine, a @ b)


@pytest.mark.parametrize(("target", "lanes"), [("haswell", 24), ("haswell", 40), ("skylake-avx512", 48)])
def test_sums_stay_in_registers(target, lanes):
    s, args = tile(lanes)
    text = minicc.build(s, args, target=target).stages["asm"]
    assert "(%rsp" not in text
    assert text.count("vfmadd") == 2 * lanes // {"haswell": 8, "skylake-avx512": 16}[target]


def test_vectors_of_powers_of_two_are_left_alone():
    s, args = tile(16)
    program = minicc.lower(s, args)
    assert cut_vectors(program) is program
