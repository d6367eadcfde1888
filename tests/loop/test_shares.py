"""How a parallel loop is shared among threads."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc import compile, ops, te
from minicc.loop.lower import lower
from minicc.loop.shares import idle, partition, shares
from minicc.schedule import Schedule
from minicc.target import Target
from minicc.testing.draws import graph_of


@given(st.integers(0, 10**9), st.integers(1, 300))
def test_chunks_cover_every_trip_once_and_differ_by_one_at_most(extent, threads):
    chunks = partition(extent, threads)
    assert chunks[0].start == 0 and chunks[-1].stop == extent
    assert all(a.stop == b.start for a, b in itertools.pairwise(chunks))
    sizes = [len(chunk) for chunk in chunks]
    assert max(sizes) - min(sizes) <= 1 and 1 <= len(chunks) <= threads
    assert 0 <= idle(extent, threads) < 1


def parallel_program(extent):
    x = te.placeholder((extent, 8), name="x")
    y = te.compute((extent, 8), lambda i, j: x[i, j] + 1.0, name="y", names=["i", "j"])
    s = Schedule(lower([y], [x, y], "add").program)
    s.parallel("i")
    return s.program


@pytest.mark.parametrize("extent, threads, told", [
    (12, 1, "12 trips"),
    (12, 3, "12 trips; 2 threads take 6 each; 3 threads take 4 each"),
    (3, 4, "3 trips; 2 threads take 1 to 2 each, idle 25.0%; of 4 threads 3 take 1, idle 25.0%"),
    (1, 2, "1 trip; of 2 threads 1 takes 1, idle 50.0%"),
])  # fmt: skip
def test_shares_are_told_up_to_the_threads_of_the_target(extent, threads, told):
    assert shares(parallel_program(extent), threads) == f"# parallel i: {told}"


def test_a_schedule_ends_with_the_shares_of_its_parallel_loops():
    x = np.zeros((64, 4096), np.float32)
    made = compile(graph_of(ops.Exp(), [x]).graph, Target.native().with_threads(2))
    assert "2 threads take" in made.kernels[0].stages["schedule"].splitlines()[-1]
