"""Matrix products by recipe: any size, any register file, checked against NumPy."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.loop.lower import lower
from minicc.loop.verify import verify
from minicc.ops.packed import PackedMatMul
from minicc.recipes.contraction import TILE_TERMS
from minicc.recipes.gemm import gemm, panels_of_block, rows_of_tile
from minicc.recipes.registry import GEMM
from minicc.recipes.structure import nests
from minicc.schedule import Trace
from minicc.target import Caches, Target

SMALL = replace(Target.native(), caches=Caches(l2=8 << 10), threads=1)  # so that a small product has blocks


def check(m: int, n: int, k: int, target: Target) -> None:
    schedule = gemm(m, n, k, target)
    verify(schedule.program)
    a, b = (
        np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
        for seed, shape in enumerate([(m, k), (k, n)])
    )
    c = np.full((m, n), np.nan, np.float32)
    minicc.build(schedule, target=target, name="gemm")(a, b, c)
    np.testing.assert_allclose(c, a.astype(np.float64) @ b.astype(np.float64), rtol=1e-4, atol=1e-4 * k**0.5)


@pytest.mark.parametrize(
    "m, n, k, threads",
    [
        (12, 32, 16, 1),
        (49, 100, 64, 2),
        (6, 16, 1, 2),
        (5, 1, 7, 1),
        (1, 64, 64, 2),
        (3, 41, 24, 2),
        (7, 20, 2048, 1),
        (5, 16, 1031, 1),
    ],
)
def test_is_numpys_product(m: int, n: int, k: int, threads: int) -> None:
    check(m, n, k, SMALL.with_threads(threads))


@settings(max_examples=8)
@given(st.integers(1, 40), st.integers(1, 80), st.integers(1, 40))
def test_any_size(m: int, n: int, k: int) -> None:
    check(m, n, k, SMALL)


@pytest.mark.parametrize("m", range(1, 14))
@pytest.mark.parametrize("n", [31, 32, 33])
def test_every_remainder_of_a_tile(m: int, n: int) -> None:
    check(m, n, 5, replace(SMALL, registers=16, vector_bits=128))


def test_wide_registers() -> None:
    """The schedule for 32 registers of 16 lanes is legal and equal, whatever this machine has."""
    wide = replace(SMALL, registers=32, vector_bits=512)
    verify(gemm(31, 70, 9, wide).program)
    assert rows_of_tile(1400, wide) == 14
    check(31, 70, 9, SMALL)


def test_trace_is_short_and_replays() -> None:
    schedule = gemm(1000, 777, 512, SMALL.with_threads(2))
    assert len(str(schedule.trace).splitlines()) < 25
    assert Trace.from_json(schedule.trace.to_json()).replay(schedule.start).program is schedule.program


def test_blocks_share_out_evenly() -> None:
    target = replace(SMALL, caches=Caches(l2=1 << 20), threads=2)
    panels = panels_of_block(49, 50 << 10, target)
    assert panels * (50 << 10) <= 256 << 10
    assert -(-49 // panels) % 2 == 0


def test_tiles_leave_little_over() -> None:
    assert rows_of_tile(49, replace(SMALL, registers=16)) == 5
    assert rows_of_tile(1024, replace(SMALL, registers=16)) == 6


def test_rows_that_meet_in_the_first_cache_are_few() -> None:
    target = replace(SMALL, registers=32, vector_bits=512, caches=Caches(l1=32 << 10, l2=1 << 20))
    s = gemm(512, 64, 2048, target)
    assert (s.choices["rows"], s.choices["depth"]) == (5, 2048)
    assert gemm(512, 64, 2000, target).choices["rows"] > 10


@pytest.mark.parametrize("panels", [17, 31, 32])
def test_sums_in_memory_are_whole_blocks(panels: int) -> None:
    """Of panels that come packed; one that sticks out would have guards around each vector."""
    target = replace(SMALL, registers=32, vector_bits=512, caches=Caches(l2=1 << 20))
    x, w = te.placeholder((128, 8192), name="x"), te.placeholder((panels, 8192, 32), name="w")
    y = PackedMatMul(columns=panels * 32).compute(x, w)
    s = GEMM.apply(lower([y], [x, w, y], "packed").program, target)
    assert s.choices["depth"] < 8192 and panels % s.choices["panels"] == 0


@pytest.mark.parametrize("k", [1024, 2048, 1031, 3000, 100_000])
@pytest.mark.parametrize("terms", [TILE_TERMS, 2 * TILE_TERMS])
def test_long_sums_are_cut(k: int, terms: int) -> None:
    """No accumulator adds up more than twice as many terms, and no term is lost."""
    sums = [nest for nest in nests(gemm(12, 32, k, SMALL, terms).program) if nest.reductions]
    trips = [math.prod(f.extent for f in nest.reductions) for nest in sums]
    assert max(trips) <= 2 * terms and k <= math.prod(trips) < 1.1 * k
    assert len(trips) > 1 or k <= 2 * terms
