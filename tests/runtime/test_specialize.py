"""An executable that compiles itself for the values of its inputs looks at all of them."""

from __future__ import annotations

import numpy as np

import minicc
from minicc import ops
from minicc.graph.ir import Graph, input
from minicc.ops.base import OPERAND
from minicc.runtime.specialize import SpecializingExecutable
from minicc.types import TensorType, float32, int64


def test_every_value_that_decides_a_shape_makes_its_own_code():
    x, shape, repeats = (
        input("x", TensorType(float32, (6,))),
        input("shape", TensorType(int64, (2,))),
        input("repeats", TensorType(int64, (2,))),
    )
    tiled = ops.Tile(OPERAND)(ops.Reshape(OPERAND)(x, shape), repeats)
    exe = minicc.compile(Graph("g", (x, shape, repeats), (tiled,), ("y",)))
    assert isinstance(exe, SpecializingExecutable) and exe.waiting == ("shape", "repeats")
    data = np.arange(6, dtype=np.float32)
    for _ in range(2):  # the second time all of them are there
        for rows, columns in ((2, 3), (3, 2), (6, 1)):
            for times in ((1, 1), (2, 1), (1, 2)):
                (got,) = exe(data, np.array([rows, columns]), np.array(times))
                np.testing.assert_array_equal(got, np.tile(data.reshape(rows, columns), times))
