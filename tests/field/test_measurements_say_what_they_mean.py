"""A profile timed one cold run, shares of the roofline went above 100 %, and other work on the machine went unsaid."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minicc import compile, ops, te
from minicc.cli.options import print_profile
from minicc.compile import lower_kernel, optimize
from minicc.graph import Kernel, bind
from minicc.loop.cost import operations, touched
from minicc.loop.lower import lower
from minicc.ops.base import REGISTRY
from minicc.runtime import load, roofline
from minicc.runtime.profile import KernelRow, Profile
from minicc.runtime.roofline import LEAST, Roofline
from minicc.target import Target
from minicc.testing.draws import drawn, graph_of
from minicc.types import TensorType, float32

ONE = Target.native().with_threads(1)


# ---- profiles ------------------------------------------------------------------------------------


def test_a_profile_is_the_median_of_warm_runs(monkeypatch):
    made = compile(graph_of(ops.Exp(), [np.zeros(4, np.float32)]).graph)
    stamps = iter([[0, 9], [0, 3], [0, 5000], [0, 4], [0, 5]])
    cold = []

    def run(arrays, times=None):
        if times is None:
            cold.append(arrays)
        else:
            times[:] = next(stamps)

    monkeypatch.setattr(made, "_run", run)
    monkeypatch.setattr("minicc.runtime.stamps.MOST_RUNS", 5)
    assert made.profile(np.zeros(4, np.float32)) == (5e-9,) and len(cold) == 1


# ---- what a kernel needs at least ----------------------------------------------------------------


def needs(op, *types):
    """The operations and bytes of an operator's kernel."""
    inputs = [te.placeholder(shape, dtype, f"x{n}") for n, (shape, dtype) in enumerate(types)]
    out = op.compute(*inputs)
    program = lower([out], [*inputs, out], "kernel").program
    return operations(program), touched(program)


@pytest.mark.parametrize("op, shapes, flops, size", [
    (ops.MatMul(), [(5, 7), (7, 11)], 2 * 5 * 7 * 11, 4 * (35 + 77 + 55)),
    (ops.Conv(strides=(2, 2)), [(1, 3, 9, 9), (8, 3, 1, 1)], 2 * 25 * 3 * 8, 4 * (3 * 25 + 24 + 8 * 25)),  # every other row and column
    (ops.Slice((10,), (20,), (0,)), [(1000, 3)], 0, 4 * (30 + 30)),
    (ops.Concat(0), [(10, 3), (20, 3)], 0, 4 * (90 + 90)),
    (ops.ReduceSum((0,), keepdims=False), [(1000, 3)], 3000, 4 * 3003),
    (ops.BatchNormalization(), [(1, 4, 50, 50), *[(4,)] * 4], 3 * 10000 + 3 * 4, 4 * (20000 + 16)),  # the root once a channel
    (ops.Where(), [(8,), (8,), (8,)], 0, None),
], ids=lambda x: getattr(x, "name", ""))  # fmt: skip
def test_what_a_kernel_needs_is_counted(op, shapes, flops, size):
    dtypes = ["bool", "float32", "float32"] if op.name == "Where" else ["float32"] * len(shapes)
    found = needs(op, *zip(shapes, dtypes, strict=True))
    assert found[0] == flops and size in (None, found[1])


def test_what_nobody_reads_and_rows_that_a_loop_picks_are_not_counted_twice():
    x = te.placeholder((3, 100), name="x")
    y = te.compute((3, 100), lambda i, j: te.if_then_else(i.equal(0), x[0, j] + 1.0, x[i, j] * 2.0 + 1.0), name="y")
    z = te.compute((3, 10), lambda i, j: y[i, j * 2] + 1.0, name="z")  # elements 0 to 18 of 100
    assert operations(lower([z], [x, z], "rows").program) == 19 + 2 * 2 * 19 + 3 * 10


@pytest.mark.parametrize("side", [7, 8, 56])
def test_winograd_counts_what_it_executes_and_knows_what_it_stands_for(side):
    tile, channels, outputs = 4, 64, 32
    op, tiles = ops.WinogradConv(outputs, tile, (1, 1, 1, 1)), (-(-side // tile)) ** 2
    types = [(1, side, side, channels), (1, tile + 2, tile + 2, channels, outputs)]
    products = 2 * tiles * (tile + 2) ** 2 * channels * outputs
    executed, _ = needs(op, *[(shape, "float32") for shape in types])
    assert 1.03 * products < executed < 1.3 * products  # the rest are the transforms
    effective = op.effective(*[TensorType(float32, shape) for shape in types])
    assert effective == 2 * 9 * channels * outputs * side**2


def test_a_profile_tells_effective_operations_where_they_are_others(capsys, monkeypatch):
    rows = [KernelRow("winograd", 1, 10**6, 10, 1e-3, 3 * 10**6, 0.5), KernelRow("relu", 1, 10**6, 10, 1e-3, 0, 0.5)]
    print_profile(Profile("net", "cpu", 1, rows, roofline=machine(monkeypatch, [1e9], [1e9, 1e9])))
    head, winograd, relu, *_ = capsys.readouterr().out.splitlines()
    assert head.endswith("effective GFLOP/s") and winograd.endswith(" 3.0") and relu.endswith("50%")
    print_profile(Profile("net", "cpu", 1, rows[1:], roofline=machine(monkeypatch, [1e9], [1e9, 1e9])))
    assert "effective" not in capsys.readouterr().out
    print_profile(Profile("device", "cuda", 1, rows))
    assert capsys.readouterr().out.splitlines()[0].split() == ["kernel", "calls", "us", "share"]


def test_a_table_that_is_looked_up_is_not_read_as_a_whole():
    _, size = needs(ops.Gather(0), ((30000, 64), "float32"), ((8,), "int64"))
    assert size <= 4 * 2 * 8 * 64 + 8 * 8


@given(st.sampled_from(sorted(REGISTRY)), st.integers(0, 1000))
def test_no_kernel_needs_more_bytes_than_it_has(name, seed):
    for n in optimize(bind(graph_of(*drawn(name, seed)).graph), ONE).nodes:
        if isinstance(n.op, Kernel):
            program = lower_kernel(n.op, ONE).naive
            assert 0 <= touched(program) <= sum(b.type.bytes for b in (*program.params, *program.outputs))
            assert operations(program) >= 0


# ---- the roofline --------------------------------------------------------------------------------


def machine(monkeypatch, peaks, bandwidths):
    """Measurements that give these numbers, one after the other."""
    peaks, bandwidths = iter(peaks), iter(bandwidths)
    monkeypatch.setattr(roofline, "measure_peak", lambda target: next(peaks))
    monkeypatch.setattr(roofline, "measure_bandwidth", lambda target, size: next(bandwidths))
    return Roofline(ONE, [100])


def test_a_share_is_that_of_the_nearer_limit(monkeypatch):
    limits = machine(monkeypatch, [100e9], [10e9, 10e9])
    assert limits.share(1000, 10, 20e-9) == pytest.approx(0.5)
    assert limits.share(10, 1000, 200e-9) == pytest.approx(0.5)


def test_no_share_is_above_all_of_it(monkeypatch):
    limits = machine(monkeypatch, [100e9, 100e9], [10e9] * 4)
    kernels = [(5000, 10, 20e-9), (10, 3000, 100e-9), (1, 1, 0.0)]
    note = limits.settle(kernels)
    assert max(limits.share(*k) for k in kernels) == pytest.approx(1.0)
    assert (
        note
        == "note: the machine's limits changed by 200% between two measurements, so shares of the roofline are rough"
    )


@pytest.mark.parametrize("peaks, told", [((100e9, 104e9), False), ((100e9, 50e9), True), ((50e9, 100e9), True)])
def test_limits_that_change_are_told_and_the_better_counts(monkeypatch, peaks, told):
    limits = machine(monkeypatch, peaks, [10e9] * 4)
    assert bool(limits.settle([])) == told and limits.peak == max(peaks)


def test_the_bandwidth_is_that_of_what_a_kernel_works_on(monkeypatch):
    asked = []
    monkeypatch.setattr(roofline, "measure_peak", lambda target: 1e9)
    monkeypatch.setattr(roofline, "measure_bandwidth", lambda target, size: asked.append(size) or 1e9)
    Roofline(ONE, [1, 20_000, 70_000, 1 << 40])
    assert sorted(asked) == [LEAST, 4 * LEAST, roofline.MOST, roofline.MEMORY]


@pytest.mark.parametrize("count", [1, 2])
def test_the_measuring_programs_run(monkeypatch, count):
    monkeypatch.setattr(roofline, "STEPS", 1000)
    monkeypatch.setattr(roofline, "READ", 1 << 16)
    monkeypatch.setattr(roofline, "MEMORY", 1 << 18)
    roofline._made.cache_clear()
    limits = Roofline(Target.native().with_threads(count), [1, 1 << 16])
    limits.settle([])
    assert limits.peak > 0 and 0 < limits.share(10, 10, 1.0) < 1
    roofline._made.cache_clear()


# ---- other work ----------------------------------------------------------------------------------

STAT = """cpu  20 0 5 100 0 0 0 0 0 0
cpu0 10 1 2 50 7 3 4 5 0 0
cpu1 10 0 3 50 0 0 0 0 0 0
cpu12 1000 0 3 50 0 0 0 0 0 0
intr 5 0 0
"""


def test_processors_that_are_ours_are_read():
    assert load.busy_seconds(STAT, {0, 1}) == pytest.approx(0.25 + 0.13)
    assert load.busy_seconds("", {0, 1}) == 0


@pytest.mark.parametrize(
    "busy, own, told", [(2.0, 1.0, "1.0 of 2"), (1.02, 1.0, None), (0.04, 0.0, None), (0.4, 0.1, "0.3 of 2")]
)
def test_other_work_is_told(monkeypatch, busy, own, told):
    moments = iter([(0.0, 0.0, 0.0), (1.0, busy, own)])
    monkeypatch.setattr(load.Watch, "_now", lambda self: next(moments))
    watch = load.Watch()
    watch._processors = {0, 1}
    note = watch.note()
    assert (
        note is None
        if told is None
        else note
        == (f"note: other work took {told} processors meanwhile, so times are longer than on a machine at rest")
    )


def test_work_of_descendants_is_our_own():
    work = "import time\nwhile time.process_time() < 0.5: pass"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {work!r}])"
    start = load.tree_seconds(load.PROC, os.getpid())
    alive = subprocess.Popen([sys.executable, "-c", f"{work}\nprint('done', flush=True)\ninput()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip
    with alive:
        alive.stdout.readline()
        subprocess.run([sys.executable, "-c", nested], check=True)
        assert load.tree_seconds(load.PROC, os.getpid()) - start > 0.95
        alive.communicate(b"\n")
    assert load.tree_seconds(load.PROC, os.getpid()) - start > 0.95


def test_a_system_that_does_not_tell(monkeypatch, tmp_path):
    monkeypatch.setattr(load, "PROC", tmp_path / "none")
    assert load.Watch().note() is None
