"""Vectors are whole registers, whatever the extents of the loops are: read in the assembly for named targets, and run."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.codegen.llvm import emit
from minicc.kernels.lower import finish
from minicc.loop.lower import lower
from minicc.ops import Add, MatMul, ReduceMax, ReduceSum
from minicc.recipes.registry import scheduled
from minicc.recipes.vectors import width_of, widths_of
from minicc.runtime.jit import new_module
from minicc.target import Target

TARGETS = ("skylake-avx512", "haswell", "x86-64-v2")
KERNELS = {
    "elementwise": (Add(), lambda n: [(3, n), (3, n)]),
    "broadcast": (Add(), lambda n: [(3, n), (n,)]),
    "contraction": (MatMul(), lambda n: [(9, 40), (40, n)]),
    "columns": (ReduceMax(axes=(0,)), lambda n: [(50, n)]),
    "rows": (ReduceSum(axes=(1,)), lambda n: [(5, n)]),
}
LANE_BY_LANE = re.compile(r"\b(v?insertps|v?pinsr[bwdq]|v?extractps|v?pextr[bwdq]|v?gather\w+)\b")


def kernel(op, shapes, target, dtype="float32"):
    inputs = [te.placeholder(shape, name=f"x{n}", dtype=dtype) for n, shape in enumerate(shapes)]
    out = op.compute(*inputs)
    return scheduled(lower([out], [*inputs, out], "kernel").program, Target.of(target))


def ragged(text: str) -> set[str]:
    """The vector types that LLVM takes apart: of a number of lanes that is no power of two."""
    return {f"<{n} x {kind}>" for n, kind in re.findall(r"<(\d+) x (\w+)>", text) if int(n) & (int(n) - 1)}


SOME = (1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 65)  # extents about those of registers


@pytest.mark.parametrize("extents", [SOME, pytest.param(range(1, 71), marks=pytest.mark.slow)], ids=["some", "all"])
@pytest.mark.parametrize("cpu", TARGETS)
@pytest.mark.parametrize("name", KERNELS)
def test_vectors_of_every_extent_are_whole(name: str, cpu: str, extents: Sequence[int]) -> None:
    """What is emitted has no vector type that is taken apart, for any extent; and some are looked at as assembly."""
    (op, shapes), target = KERNELS[name], Target.of(cpu)
    for n in extents:
        schedule = kernel(op, shapes(n), cpu).schedule
        module = new_module("kernel", target)
        emit(module, finish(schedule.program), target)
        assert not ragged(str(module)), n
        if n in (7, 17, 24, 28, 31, 48, 56) and cpu != "x86-64-v2" and name != "rows":
            made = minicc.compile(schedule, target=cpu)
            assert not ragged(made.stages["llvm"]), n
            text = made.stages["asm"]
            kernel_text = text[text.index("kernel:") : text.index("minicc_main:")]
            assert not LANE_BY_LANE.search(kernel_text), (n, LANE_BY_LANE.search(kernel_text))


def test_widths():
    for extent in range(1, 200):
        for lanes in (4, 8, 16, 64):
            for most in (1, 2, 4):
                width = width_of(extent, lanes, most)
                assert width & (width - 1) == 0 and width <= most * lanes
                assert width == most * lanes or extent <= width < 2 * extent
                assert widths_of(extent, lanes, most)[-1] == width


DTYPES = st.sampled_from(["float32", "float64", "float16", "int8", "uint8", "int32", "int64", "bool"])


@settings(deadline=None)
@given(
    shape=st.lists(st.sampled_from([1, 2, 3, 7, 8, 16, 17, 24, 33, 70]), min_size=1, max_size=3),
    alone=st.lists(st.booleans(), min_size=3, max_size=3),
    dtype=DTYPES,
    cpu=st.sampled_from(["native", "llvm -mcpu=haswell", "llvm -mcpu=x86-64-v2"]),
)
def test_sums_of_any_shape_and_type_are_right(shape, alone, dtype, cpu):
    """Elementwise with broadcasting: rows, columns and whole tensors, flat or not."""
    other = [1 if one else n for n, one in zip(shape, alone, strict=False)]
    rng = np.random.default_rng(len(shape))
    a, b = (rng.integers(0, 2 if dtype == "bool" else 50, s).astype(dtype) for s in (shape, other))
    x, y = te.placeholder(shape, name="x", dtype=dtype), te.placeholder(other, name="y", dtype=dtype)
    at = lambda i: tuple(0 if n == 1 else v for n, v in zip(other, i, strict=True))  # noqa: E731
    z = te.compute(shape, lambda *i: te.maximum(x[i], y[at(i)]) if dtype != "bool" else x[i] | y[at(i)], name="z")
    program = lower([z], [x, y, z], "kernel").program
    made = minicc.compile(scheduled(program, Target.of(cpu)).schedule, target=cpu)
    (got,) = made(a, b)
    np.testing.assert_array_equal(got, np.maximum(a, b))


@settings(deadline=None)
@given(repeats=st.lists(st.integers(1, 3), min_size=3, max_size=3), row=st.sampled_from([1, 7, 16, 17, 50]))
def test_what_is_repeated_is_right(repeats, row):
    x = np.arange(6 * row, dtype="float32").reshape(2, 3, row)
    a = te.placeholder(x.shape, name="a")
    shape = [n * times for n, times in zip(x.shape, repeats, strict=True)]
    b = te.compute(shape, lambda i, j, k: a[i % 2, j % 3, k % row], name="b")
    made = minicc.compile(scheduled(lower([b], [a, b], "kernel").program, Target.native()).schedule)
    np.testing.assert_array_equal(made(x)[0], np.tile(x, repeats))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int16", "int32", "uint32", "int64"])
@pytest.mark.parametrize("source", ["float32", "float64", "float16"])
@pytest.mark.parametrize("cpu", ["native", "llvm -mcpu=haswell", "llvm -mcpu=x86-64-v2"])
def test_lanes_are_converted_as_single_numbers_are(source, kind, cpu):
    edges = [0.0, -0.0, 0.5, -0.5, 1.5, -1.5, 127.0, 128.0, 255.0, 3e4, np.nan, np.inf, -np.inf]
    edges += [2.0**31, -(2.0**31), 2.0**31 - 128, 2.0**63, -(2.0**63), 2.0**40] if source != "float16" else [6e4]
    x = np.array(edges, source)

    def converted(count: int):
        a = te.placeholder((count,), name="a", dtype=source)
        b = te.compute((count,), lambda i: a[i].astype(kind), name="b")
        return minicc.compile(scheduled(lower([b], [a, b], "kernel").program, Target.of(cpu)).schedule, target=cpu)

    one, all_of_them = converted(1), converted(len(x))
    np.testing.assert_array_equal(all_of_them(x)[0], [one(x[n : n + 1])[0][0] for n in range(len(x))])
