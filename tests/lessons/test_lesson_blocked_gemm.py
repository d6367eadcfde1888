"""The last lesson: a fast matrix product, one step at a time, each computing the same.

Blocks keep what is used again in cache; the order of loops makes memory contiguous; a vector
computes several columns at once; packing lays a block of the right matrix out in the order it is
read; a write cache gathers a block of results before they are stored; and cores share the blocks.
"""

import numpy as np
import pytest
from lesson_cases import random

import minicc
from minicc import te
from minicc.loop.verify import verify

SIZE, BLOCK = 96, 32


def check(s, args):
    """The product is right; left to machine code, as an interpreter would take its time."""
    verify(minicc.lower(s, args))
    a, b = random(SIZE, SIZE), random(SIZE, SIZE)
    c = np.empty_like(a)
    minicc.build(s, args)(a, b, c)
    np.testing.assert_allclose(c, a @ b, rtol=1e-4)


def product():
    A, B = te.placeholder((SIZE, SIZE), name="A"), te.placeholder((SIZE, SIZE), name="B")
    k = te.reduce_axis((0, SIZE), name="k")
    return A, B, te.compute((SIZE, SIZE), lambda m, n: te.sum(A[m, k] * B[k, n], axis=k), name="C")


def blocked(s, C, vectors=False):
    mo, no, mi, ni = s[C].tile(C.op.axis[0], C.op.axis[1], BLOCK, BLOCK)
    ko, ki = s[C].split(C.op.reduce_axis[0], factor=4)
    if not vectors:
        s[C].reorder(mo, no, ko, ki, mi, ni)
    else:
        s[C].reorder(mo, no, ko, mi, ki, ni)
        s[C].vectorize(ni)
    return mo


def write_cache(s, C):
    CC = s.cache_write(C, "global")
    mo, no, _, _ = s[C].tile(C.op.axis[0], C.op.axis[1], BLOCK, BLOCK)
    s[CC].compute_at(s[C], no)
    mc, nc = s[CC].op.axis
    (k,) = s[CC].op.reduce_axis
    ko, ki = s[CC].split(k, factor=4)
    s[CC].reorder(ko, mc, ki, nc)
    s[CC].vectorize(nc)
    s[CC].unroll(ki)
    return mo


STEPS = {
    "naive": lambda s, C: None,
    "blocking": blocked,
    "vectors": lambda s, C: blocked(s, C, vectors=True),
    "write cache": write_cache,
    "parallel": lambda s, C: s[C].parallel(write_cache(s, C)),
}


@pytest.mark.parametrize("step", STEPS)
def test_step(step):
    A, B, C = product()
    s = te.create_schedule(C.op)
    STEPS[step](s, C)
    check(s, [A, B, C])


def test_packing():
    A, B = te.placeholder((SIZE, SIZE), name="A"), te.placeholder((SIZE, SIZE), name="B")
    k = te.reduce_axis((0, SIZE), name="k")
    packed = te.compute((SIZE // BLOCK, SIZE, BLOCK), lambda no, k, ni: B[k, no * BLOCK + ni], name="packed")
    C = te.compute((SIZE, SIZE), lambda m, n: te.sum(A[m, k] * packed[n // BLOCK, k, n % BLOCK], axis=k), name="C")
    s = te.create_schedule(C.op)
    s[C].parallel(blocked(s, C, vectors=True))
    s[packed].vectorize(packed.op.axis[2])
    s[packed].parallel(packed.op.axis[0])
    assert "packed[n_o, k_1_o*4 + k_1_i, n_i]" in str(s.program)  # contiguous in the vector
    check(s, [A, B, C])


def test_packing_by_a_read_cache():
    A, B, C = product()
    s = te.create_schedule(C.op)
    near = s.cache_read(B, "global", [C])
    _, no, mi, ni = s[C].tile(C.op.axis[0], C.op.axis[1], BLOCK, BLOCK)
    s[near].compute_at(s[C], no)
    s[C].reorder(mi, C.op.reduce_axis[0], ni)
    s[C].vectorize(ni)
    check(s, [A, B, C])
