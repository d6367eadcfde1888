"""Winograd by recipe: any image, any channels, what reads the result, checked against a direct sum in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minicc
from minicc import te
from minicc.loop.lower import lower
from minicc.loop.verify import verify
from minicc.ops.winograd import WinogradConv, WinogradWeights
from minicc.recipes.registry import Scheduled, scheduled
from minicc.recipes.winograd import Extents, seconds, tilings
from minicc.target import Caches, Target

NATIVE = replace(Target.native(), threads=1)
HASWELL = replace(Target.of("haswell"), triple=NATIVE.triple)
TARGETS = [NATIVE, *([] if HASWELL.lacking() else [HASWELL])]


def direct(x: np.ndarray, w: np.ndarray, padding: tuple[int, ...]) -> np.ndarray:
    """The convolution of `x[N, H, W, C]` with `w[O, C, 3, 3]` in float64."""
    top, left, bottom, right = padding or (0,) * 4
    wide = np.pad(x.astype(np.float64), ((0, 0), (top, bottom), (left, right), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (3, 3), axis=(1, 2))
    return np.einsum("nhwcij,ocij->nhwo", windows, w.astype(np.float64), optimize=True)


def program(op: WinogradConv, shape: tuple[int, ...], blocks: int, block: int, after: str) -> Scheduled:
    """A naive kernel: the convolution, and what reads it."""
    x = te.placeholder(shape, name="x")
    u = te.placeholder((blocks, op.size, op.size, shape[3], block), name="u")
    result = op.compute(x, u)
    args = [x, u]
    if after == "residual":
        args.append(te.placeholder(result.shape, name="r"))
        added = te.compute(result.shape, lambda *i: result[i] + args[2][i], name="added")
        result = te.compute(result.shape, lambda *i: te.maximum(added[i], 0.0), name="out")
    elif after == "transposed":
        n, h, w, c = result.shape
        result = te.compute((n, c, h, w), lambda n, c, h, w, y=result: y[n, h, w, c] * 0.5, name="out")
    elif after == "summed":
        n, h, w, c = result.shape
        k, m = te.reduce_axis((0, h), name="rh"), te.reduce_axis((0, w), name="rw")
        result = te.compute((n, c), lambda n, c, y=result: te.sum(y[n, k.var, m.var, c], axis=[k, m]), name="out")
    return lower([result], [*args, result], "kernel").program


def check(shape, channels, padding, tile, block, target, after="", choices=None) -> Scheduled:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape).astype(np.float32)
    w = rng.standard_normal((channels, shape[3], 3, 3)).astype(np.float32) / np.float32(3 * shape[3] ** 0.5)
    u = np.ascontiguousarray(WinogradWeights(tile, block)(w))
    op = WinogradConv(channels, tile, padding)
    made = scheduled(program(op, shape, len(u), block, after), target, choices)
    assert made.recipe == "winograd" or 1 in (channels, shape[3])  # of one channel there are no vectors
    verify(made.schedule.program)
    expected, arrays = direct(x, w, padding), [x, u]
    if after == "residual":
        arrays.append(rng.standard_normal(expected.shape).astype(np.float32))
        expected = np.maximum(expected + arrays[2], 0)
    elif after == "transposed":
        expected = expected.transpose(0, 3, 1, 2) * 0.5
    elif after == "summed":
        expected = expected.sum((1, 2))
    y = np.full(expected.shape, np.nan, np.float32)
    minicc.build(made.schedule, target=target, name="kernel")(*arrays, y)
    np.testing.assert_allclose(y, expected, atol=2e-5 * max(1, np.abs(expected).max()), rtol=0)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.cpu)
@settings(max_examples=max(5, settings().max_examples // 5))
@given(threads=st.integers(1, 2), data=st.data())
def test_any_size(target, threads, data) -> None:
    batch, channels = (
        data.draw(st.sampled_from([1, 1, 3])),
        data.draw(st.sampled_from([1, 3, 7, 16, 17, 24, 28, 32, 40])),
    )
    inputs = data.draw(st.sampled_from([1, 3, 8, 16, 17, 24, 32, 48]))
    high, wide = data.draw(st.integers(3, 19)), data.draw(st.integers(3, 19))
    padding = data.draw(st.sampled_from([(), (1, 1, 1, 1), (0, 2, 1, 0)]))
    after = data.draw(st.sampled_from(["", "residual", "transposed", "summed"]))
    block = data.draw(st.sampled_from([1, 2, 4])) * target.lanes("float32")
    shape = (batch, high, wide, inputs)
    check(shape, channels, padding, data.draw(st.sampled_from([2, 4])), block, target.with_threads(threads), after)


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.cpu)
def test_many_groups_of_tiles_stick_out(target) -> None:
    made = check(
        (3, 11, 13, 24), 40, (1, 1, 1, 1), 4, 2 * target.lanes("float32"), target, "residual", {"rows": 5, "panels": 1}
    )
    assert made.schedule.choices == {"rows": 5, "panels": 1}  # 36 tiles in 8 groups


@pytest.mark.slow
def test_threads_share_groups_or_channels() -> None:
    two = NATIVE.with_threads(2)
    few, many = (
        check((1, size, size, 16), 64, (1, 1, 1, 1), 4, 16, two, choices={"rows": 4, "panels": 1}) for size in (11, 32)
    )
    assert str(few.schedule.trace).count("s.parallel") == 2 and str(many.schedule.trace).count("s.parallel") == 1


def test_a_group_is_as_large_as_the_caches_allow() -> None:
    wide = replace(NATIVE, registers=32, vector_bits=512, caches=Caches(l1=32 << 10, l2=1 << 20, l3=32 << 20))
    size = Extents(tiles=49, depth=512, channels=512, t=6, block=32, bytes=4)
    rows, panels = min(tilings(size, wide), key=lambda option: seconds(size, *option, wide))
    assert rows * panels == 49  # 38 MB of weights are read once
    size = size._replace(tiles=12544, depth=64, channels=64)
    assert min(tilings(size, wide), key=lambda option: seconds(size, *option, wide)) == (14, 1)


def test_wide_registers_as_text() -> None:
    for target in (Target.of("skylake-avx512"), Target.of("llvm -mtriple=aarch64-linux-gnu"), Target.of("portable")):
        made = scheduled(program(WinogradConv(40, 4, (1, 1, 1, 1)), (1, 14, 14, 24), 3, 16, "residual"), target)
        verify(made.schedule.program)
        assert made.recipe == "winograd"
