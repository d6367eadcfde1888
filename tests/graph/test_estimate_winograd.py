"""When a convolution goes Winograd's way, and what it becomes then."""

from __future__ import annotations

import numpy as np
import pytest

from minicc import ops
from minicc.graph import ir
from minicc.graph.estimate_winograd import as_winograd, winograd_block, winograd_tile
from minicc.graph.fold_constants import fold_constants
from minicc.target import Target
from minicc.types import TensorType, float32

WIDE = Target.of("skylake-avx512")


@pytest.mark.parametrize(("size", "inputs", "channels", "batch", "tile"), [
    (56, 64, 64, 1, 4), (28, 128, 128, 1, 4), (14, 256, 256, 1, 4), (7, 512, 512, 1, 2), (7, 512, 512, 16, 4), (1, 512, 512, 1, 0),
    (224, 3, 64, 1, 0), (224, 64, 64, 1, 4), (13, 512, 1024, 1, 4),
])  # fmt: skip
def test_tile(size, inputs, channels, batch, tile) -> None:
    assert winograd_tile(batch, (size, size), inputs, channels, WIDE) == tile
    assert bool(winograd_tile(batch, (size, size), inputs, channels, Target.of("haswell"))) == bool(tile)


def test_what_it_becomes_is_the_convolution() -> None:
    rng = np.random.default_rng(0)
    x, w = (
        rng.standard_normal((1, 12, 12, 32)).astype(np.float32),
        rng.standard_normal((40, 32, 3, 3)).astype(np.float32),
    )
    conv = ops.Conv(padding=(1, 1, 1, 1))
    made = as_winograd(ir.input("x", TensorType.of(x)), ir.constant(w), conv, WIDE)
    assert made is not None and made.op == ops.WinogradConv(40, 4, (1, 1, 1, 1))
    graph = fold_constants(ir.Graph("main", (made.inputs[0],), (made,), ("y",)))
    assert [n.op.name for n in graph.nodes].count("Constant") == 1
    expected = conv(x.transpose(0, 3, 1, 2), w).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(made.op(x, graph.outputs[0].inputs[1].op.data.array), expected, atol=2e-3)


@pytest.mark.parametrize("conv", [ops.Conv(strides=(2, 2)), ops.Conv(dilation=(2, 2)), ops.Conv(groups=2)])
def test_others_stay(conv) -> None:
    x, w = (
        ir.input("x", TensorType(float32, (1, 56, 56, 64))),
        ir.constant(np.zeros((64, 64 // conv.groups, 3, 3), np.float32)),
    )
    assert as_winograd(x, w, conv, WIDE) is None
    assert as_winograd(x, ir.input("w", w.type), ops.Conv(), WIDE) is None


def test_few_tiles_take_wide_blocks() -> None:
    assert [winograd_block(tiles, channels, WIDE) for tiles, channels in ((4, 512), (49, 512), (49, 20), (49, 3))] == [
        64,
        32,
        16,
        16,
    ]
