"""Tensorize: a small nest is replaced by an intrinsic that is declared to mean the same.

A matrix is multiplied with a vector in tiles of 4 by 4, and each tile is one call of a
matrix-vector intrinsic. The intrinsic has a meaning, which the tile must equal, and an
implementation, which takes its place.
"""

import numpy as np
import pytest
from lesson_cases import random

import minicc
from minicc import te
from minicc.errors import ScheduleError
from minicc.loop.verify import verify

GEMV = "gemv_4x4_float32"


def tiled(rows=8, columns=12):
    W, x = te.placeholder((rows, columns), name="W"), te.placeholder((columns,), name="x")
    k = te.reduce_axis((0, columns), name="k")
    y = te.compute((rows,), lambda i: te.sum(W[i, k] * x[k], axis=k), name="y")
    s = te.create_schedule(y.op)
    row, row_inner = s[y].split(y.op.axis[0], factor=4)
    column, column_inner = s[y].split(y.op.reduce_axis[0], factor=4)
    s[y].reorder(row, column, row_inner, column_inner)
    return s, [W, x, y], row_inner, column_inner


def test_a_tile_becomes_an_intrinsic():
    s, args, row_inner, _ = tiled()
    s[args[-1]].tensorize(row_inner, GEMV)
    program = minicc.lower(s, args)
    verify(program)
    assert "vectorize(4)" in str(program)
    w, x = random(8, 12), random(12)
    y = np.empty(8, np.float32)
    minicc.build(s, args)(w, x, y)
    np.testing.assert_allclose(y, w @ x, rtol=1e-5)


def test_a_nest_that_means_something_else_is_refused():
    s, args, _, column_inner = tiled()
    with pytest.raises(ScheduleError, match="tensorize"):
        s[args[-1]].tensorize(column_inner, GEMV)
