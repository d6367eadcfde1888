"""The default recipe: legal everywhere, and it never makes work."""

from __future__ import annotations

import math

import pytest

from minicc import te
from minicc.loop.lower import lower
from minicc.loop.verify import verify
from minicc.ops import Conv, LayerNormalization, LogSoftmax, MatMul, PackedMatMul, ReduceMean, Softmax
from minicc.recipes import cascade, contraction
from minicc.recipes.cascade import nest_of
from minicc.recipes.registry import DEFAULT, scheduled
from minicc.recipes.structure import nests
from minicc.schedule import Schedule
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
    scheduled = DEFAULT.apply(naive, AVX2).program
    verify(scheduled)
    before, after = (sum(nest.iterations for nest in nests(p)) for p in (naive, scheduled))
    assert after <= 1.4 * before


def test_small_loops_are_not_worth_threads():
    x = te.placeholder((4, 4), name="x")
    y = te.compute((4, 4), lambda i, j: x[i, j] + 1.0, name="y")
    assert "parallel" not in str(DEFAULT.apply(lower([y], [x, y], "kernel").program, AVX2).trace)


def test_sums_over_two_loops_of_any_length_are_cut_into_levels():
    for outer in (1, 2, 3, 8, 19, 23, 37):
        for inner in (1, 2, 5, 13, 32, 37):
            x = te.placeholder((outer, inner), name="x")
            a, b = te.reduce_axis((0, outer), name="a"), te.reduce_axis((0, inner), name="b")
            y = te.compute((1,), lambda i, x=x, a=a, b=b: te.sum(x[a, b], axis=(a, b)), name="y")
            s = Schedule(lower([y], [x, y], "total").program)
            if cascade.is_long_sum(nest_of(s, "y")):
                levels = cascade.factor_sum(s, "y")
                trips = [math.prod(f.extent for f in nest_of(s, name).reductions) for name in ("y", *levels)]
                assert levels and max(trips) <= 2 * (math.isqrt(outer * inner) + 1), (outer, inner, trips)


@pytest.mark.parametrize("size, most", [(2, 12), (3, 12), (7, 14), (33, 66), (64, 128), (128, 256)])
def test_a_loop_of_any_length_is_cut_into_fewer_parts(size, most):
    for extent in [*range(size + 1, 2000), 99991, 10**6 + 3, 10**9 + 7]:
        parts = cascade._parts(extent, size, most)
        assert -(-extent // size) <= parts < extent and -(-extent // parts) <= size


@pytest.mark.parametrize("registers", [16, 32])
@pytest.mark.parametrize("vectors", [1, 2, 3, 4])
@pytest.mark.parametrize("extent", [1, 5, 7, 14, 49, 56, 197, 1000])
def test_rows_of_a_tile_cost_the_fewest_issue_slots(extent: int, vectors: int, registers: int) -> None:
    """By the cost model of its docstring, over all numbers of rows that fit into the registers."""
    rows = contraction.row_tile(extent, vectors, registers)
    assert 1 <= rows <= extent and rows * vectors + vectors + 1 <= max(registers, 2 * vectors + 1)
    cost = {
        r: -(-extent // r) * max(r * vectors / 2, 4, (r + vectors) / 2)
        for r in range(1, min(extent, max(1, (registers - vectors - 1) // vectors)) + 1)
    }
    assert cost[rows] == min(cost.values())


def test_a_loop_of_one_iteration_around_a_partitioned_one_does_not_keep_it_from_threads():
    x, w = te.placeholder((1, 1280), name="x"), te.placeholder((32, 1280, 32), name="w")
    out = PackedMatMul(1000)(x, w)
    s = scheduled(lower([out], [x, w, out], "row").program, Target.of("skylake-avx512").with_threads(2)).schedule
    assert str(s.trace).splitlines()[-1] == 's.parallel("j_1_o")'
