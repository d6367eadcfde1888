"""Winograd's convolution beside the direct one: time, error, and what the estimate picks.

    python -m benchmarks.winograd                 the usual 3x3 layers, 1 thread
    python -m benchmarks.winograd --threads 2 --target haswell

Every layer is compiled as a kernel of its own three times: direct, F(2x2) and F(4x4). Caches are filled with other data
before each call, as by the other layers of a model; times are medians. The error is the largest one of standard normal
data and weights of variance 1 / terms, against float64, beside that of the direct sum. `loss` is the time of the pick by
the best of the three, `effective` counts the operations of a direct sum.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import minicc
from minicc.graph import ir
from minicc.graph.choose_layouts import packed
from minicc.graph.estimate_winograd import winograd_block, winograd_tile
from minicc.ops import Conv, Relu
from minicc.ops.winograd import WinogradConv, WinogradWeights
from minicc.runtime.executable import Executable
from minicc.target import Target
from minicc.types import TensorType, float32

LAYERS = (  # batch, height and width, input and output channels
    (1, 56, 64, 64), (1, 28, 128, 128), (1, 14, 256, 256), (1, 7, 512, 512), (4, 7, 512, 512), (1, 224, 64, 64),
    (1, 112, 128, 128), (1, 28, 512, 512), (1, 13, 512, 1024), (1, 26, 256, 512), (1, 52, 128, 256), (1, 104, 64, 128),
    (1, 208, 32, 64), (1, 104, 16, 32), (1, 56, 24, 24), (1, 28, 17, 40), (1, 112, 8, 16), (1, 224, 3, 64), (16, 14, 64, 64),
)  # fmt: skip
PADDING = (1, 1, 1, 1)


def kernel(x: np.ndarray, w: np.ndarray, tile: int, target: Target) -> Executable:
    """The layer and a Relu; tile 0 is the direct sum."""
    data, weights = ir.input("x", TensorType(float32, x.shape)), ir.constant(w)
    if tile:
        tiles = x.shape[0] * (-(-x.shape[1] // tile)) ** 2
        u = WinogradWeights(tile, winograd_block(tiles, len(w), target))(weights)
        made = WinogradConv(len(w), tile, PADDING)(data, u)
    else:
        made = packed(Conv(padding=PADDING), data, weights, target)
    return minicc.compile(ir.Graph("layer", (data,), (Relu()(made),), ("y",)), target)


def exact(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """In float64."""
    wide, (_, high, across, _) = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0))), x.shape
    taps = [(i, j) for i in range(3) for j in range(3)]
    return np.maximum(
        sum(wide[:, i : i + high, j : j + across] @ w[:, :, i, j].T.astype(np.float64) for i, j in taps), 0
    )


def milliseconds(made: Executable, x: np.ndarray, runs: int, other: np.ndarray) -> float:
    """The median of so many calls."""
    found = []
    for _ in range(runs + 2):
        other += 1
        start = time.perf_counter()
        made.run({"x": x})
        found.append((time.perf_counter() - start) * 1e3)
    return float(np.median(found[2:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--target", default="native")
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    target, other = Target.of(args.target).with_threads(args.threads), np.zeros(12 << 20, np.float64)
    print(target)
    print(
        "batch size  in -> out   direct   F(2x2)   F(4x4) ms  pick loss  effective GFLOP/s   error: direct   F(2x2)   F(4x4)"
    )
    for batch, size, inputs, outputs in LAYERS:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((batch, size, size, inputs)).astype(np.float32)
        w = (rng.standard_normal((outputs, inputs, 3, 3)) / (9 * inputs) ** 0.5).astype(np.float32)
        wanted, times, errors = exact(x, w), {}, []
        for tile in (0, 2, 4):
            made = kernel(x, w, tile, target)
            times[tile] = milliseconds(made, x, args.runs, other)
            errors.append(np.abs(made.run({"x": x})["y"] - wanted).max())
        pick = winograd_tile(batch, (size, size), inputs, outputs, target)
        effective = 18e-6 * batch * size * size * inputs * outputs / times[pick]
        print(f"{batch:5} {size:4} {inputs:4} -> {outputs:4} {times[0]:8.3f} {times[2]:8.3f} {times[4]:8.3f}    {pick:4}"
              f" {times[pick] / min(times.values()):5.2f} {effective:18.0f} {errors[0]:16.1e} {errors[1]:8.1e} {errors[2]:8.1e}",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
