"""The default recipe: legal everywhere, and it never makes work."""

from __future__ import annotations

import pytest

from minicc import te
from minicc.loop.lower import lower
from minicc.loop.verify import verify
from minicc.ops import Conv, LayerNormalization, LogSoftmax, MatMul, ReduceMean, Softmax
from minicc.recipes import default
from minicc.recipes.structure import nests
from minicc.target import Caches, Target

AVX2 = Target("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", 256, 16, Caches())
KERNELS = {
    "softmax": (Softmax(axis=-1), [(1, 6, 197, 197)]),
    "columns": (Softmax(axis=0), [(64, 40)]),
    "log softmax": (LogSoftmax(axis=-1), [(8, 100)]),
    "layer norm": (LayerNormalization(axis=-1), [(1, 128, 768), (768,), (768,)]),
    "mean": (ReduceMean(axes=(1,)), [(5, 999)]),
    "matmul": (MatMul(), [(33, 50), (50, 48)]),
    "conv": (Conv(padding=(1, 1, 1, 1)), [(1, 8, 14, 14), (16, 8, 3, 3)]),
    "depthwise of stride 2": (Conv((2, 2), (1, 1, 1, 1), groups=8), [(1, 8, 112, 112), (8, 1, 3, 3)]),
    "depthwise": (Conv(padding=(1, 1, 1, 1), groups=32), [(1, 32, 14, 14), (32, 1, 3, 3)]),
}


@pytest.mark.parametrize("name", KERNELS)
def test_nothing_is_computed_over_and_over(name):
    """Scheduling recomputes nothing but the ragged ends of tiles; what it adds is copies and combinations."""
    op, shapes = KERNELS[name]
    inputs = [te.placeholder(shape, name=f"x{n}") for n, shape in enumerate(shapes)]
    out = op.compute(*inputs)
    naive = lower([out], [*inputs, out], "kernel").program
    scheduled = default.schedule(naive, AVX2).program
    verify(scheduled)
    before, after = (sum(nest.iterations for nest in nests(p)) for p in (naive, scheduled))
    assert after <= 1.4 * before


def test_small_loops_are_not_worth_threads():
    x = te.placeholder((4, 4), name="x")
    y = te.compute((4, 4), lambda i, j: x[i, j] + 1.0, name="y")
    assert "parallel" not in str(default.schedule(lower([y], [x, y], "kernel").program, AVX2).trace)
