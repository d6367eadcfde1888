"""Whether Winograd's algorithm pays for a convolution, and with which tile: an estimate from its sizes and the target alone.

In: the sizes of a 3x3 convolution of stride 1, and a target. Out: the tile, or 0 where a direct sum is faster. The unit of
time is that of one multiply-add of a vector. A direct sum takes as many as it has terms. Winograd takes t * t for each
tile, channel and vector of output channels, and transforms each vector of a tile's data and of its result. Beside that
work the weights come from memory, four times as many (tile 4) or less than twice (tile 2): a layer of many channels and
few tiles waits for them.

>>> machine = Target.of("skylake-avx512")
>>> [winograd_tile(1, (size, size), channels, channels, machine) for size, channels in ((56, 64), (7, 512), (56, 4))]
[4, 2, 0]
"""

from __future__ import annotations

from minicc.graph.ir import Constant, Node
from minicc.ops.conv import Conv
from minicc.ops.winograd import WinogradConv, WinogradWeights
from minicc.target import Target
from minicc.types import DType, float32

TRANSFORMS = {2: (90, 70), 4: (330, 230)}  # units for a vector of a tile's data, and of its result; measured
SPILLS = 1.5  # times as long where less than 32 registers hold a tile
PEAK = 56e9  # multiply-adds of float32 a second by a core at its peak
MEMORY = 20e9  # bytes a second from memory, of a core that computes
EDGE = 0.95  # of the time of a direct sum: what is nearly as fast is not worth the error


def winograd_tile(
    batch: int, spatial: tuple[int, int], inputs: int, channels: int, target: Target, dtype: DType = float32
) -> int:
    """The tile for a result of `spatial` extents; 0 for none."""
    lanes = target.lanes(dtype)
    vectors = -(-channels // lanes)
    threads, unit = target.threads, lanes * dtype.bytes / 4 / PEAK

    def seconds(work: float, taps: int) -> float:
        busy, waiting = work * unit / threads, taps * inputs * vectors * lanes * dtype.bytes / MEMORY
        return max(busy, waiting) + min(busy, waiting) / 4

    best, limit = 0, EDGE * seconds(9 * batch * spatial[0] * spatial[1] * inputs * vectors, 9)
    for tile, (data, result) in TRANSFORMS.items():
        tiles, taps = batch * -(-spatial[0] // tile) * -(-spatial[1] // tile), (tile + 2) ** 2
        moved = (data * -(-inputs // lanes) + result * vectors) * (SPILLS if target.registers < 32 else 1)
        work = tiles * (taps * inputs * vectors + moved)
        if (took := seconds(work, taps)) < limit:
            best, limit = tile, took
    return best


def winograd_block(tiles: int, channels: int, target: Target, dtype: DType = float32) -> int:
    """Output channels that are computed together: two vectors, or four where few tiles leave registers free."""
    lanes = target.lanes(dtype)
    most = 4 if tiles < 8 and target.registers >= 32 else 2
    return lanes * max(1, min(most, channels // lanes))


def as_winograd(x: Node, w: Node, op: Conv, target: Target) -> Node | None:
    """The convolution of `x[N, H, W, C]` with constant weights `[O, C, 3, 3]` by Winograd's algorithm, if that pays."""
    if (
        target.exact
        or len(x.shape) != 4
        or w.shape[2:] != (3, 3)
        or not isinstance(w.op, Constant)
        or w.dtype is not float32
    ):
        return None
    batch, high, wide, inputs = x.shape
    windows = op.windows((high, wide), (3, 3))
    if op.groups != 1 or any(v.stride != 1 or v.dilation != 1 or v.far for v in windows):
        return None
    counts = windows[0].count, windows[1].count
    tile = winograd_tile(batch, counts, inputs, w.shape[0], target)
    if not tile or 0 in (batch, inputs, *counts):
        return None
    tiles = batch * -(-counts[0] // tile) * -(-counts[1] // tile)
    padding = tuple(v.begin for v in windows) + tuple(v.end for v in windows)
    weights = WinogradWeights(tile, winograd_block(tiles, w.shape[0], target))(w)
    made: Node = WinogradConv(w.shape[0], tile, padding)(x, weights)
    return made


__all__ = ["as_winograd", "winograd_block", "winograd_tile"]
