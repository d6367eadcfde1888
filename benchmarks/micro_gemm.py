"""What codegen makes of a perfect schedule: a packed matrix product by hand, beside the measured peak.

    python -m benchmarks.micro_gemm

The register tile (6 x 16 on AVX2, 14 x 32 on AVX-512) accumulates in a local buffer, whose loops are
unrolled and vectorized; the reduction is the only loop inside. Both operands are packed in tiles.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from minicc.loop.ir import PARALLEL, UNROLL, VECTORIZE, Alloc, Buffer, For, Stmt, Store, seq
from minicc.loop.place_buffers import place_buffers
from minicc.loop.program import Program
from minicc.runtime.assemble import KernelCall, Values, assemble
from minicc.runtime.executable import load
from minicc.runtime.image import Port
from minicc.runtime.roofline import measure_peak
from minicc.target import Target
from minicc.tensor.expr import Expr, Var, const
from minicc.types import float32

BLOCKS, DEPTH = 64, 256


def gemm(rows: int, vectors: int, lanes: int) -> Program:
    """C = A @ B in tiles of `rows` x (`vectors` * `lanes`)."""
    wide = vectors * lanes
    a, b = Buffer("A", float32, (BLOCKS, DEPTH, rows)), Buffer("B", float32, (BLOCKS, DEPTH, wide))
    c, acc = Buffer("C", float32, (BLOCKS * rows, BLOCKS * wide)), Buffer("acc", float32, (rows, wide), "local")
    i, j, k = Var("i"), Var("j"), Var("k")

    def tile(suffix: str, store: Callable[[Expr, Expr], Store]) -> Stmt:
        y, x, lane = Var(f"y{suffix}"), Var(f"x{suffix}"), Var(f"lane{suffix}")
        vector = For(lane, lanes, store(y, x * lanes + lane), VECTORIZE)
        return For(y, rows, For(x, vectors, vector, UNROLL), UNROLL)

    body = Alloc(
        acc,
        seq(
            tile("_init", lambda y, x: Store(acc, (y, x), const(0.0, float32))),
            For(k, DEPTH, tile("", lambda y, x: Store(acc, (y, x), acc[y, x] + a[i, k, y] * b[j, k, x]))),
            tile("_out", lambda y, x: Store(c, (i * rows + y, j * wide + x), acc[y, x])),
        ),
    )
    return Program("gemm", (a, b), (c,), For(i, BLOCKS, For(j, BLOCKS, body), PARALLEL))


def main() -> None:
    target = Target.native()
    rows, vectors = (14, 2) if target.registers == 32 else (6, 2)
    program = gemm(rows, vectors, target.lanes(float32))
    ports = {b.name: Port(b.name, b.type) for b in (*program.params, *program.outputs)}
    peak = measure_peak(target)
    for threads in sorted({1, target.threads}):
        started = time.perf_counter()
        call, values = (
            KernelCall(place_buffers(program), "gemm", tuple(ports)),
            Values({n: ports[n] for n in "AB"}, [("C", ports["C"])], {}),
        )
        made = load(assemble("gemm", [call], values, target.with_threads(threads)))
        compiled = time.perf_counter() - started
        rng = np.random.default_rng(0)
        arrays = [rng.random(b.shape, np.float32) for b in program.params]
        seconds = min(made.profile(*arrays)[0] for _ in range(20))  # whatever else runs only adds
        rate = 2 * program.outputs[0].type.size * DEPTH / seconds
        print(
            f"{threads} thread(s): {rate / 1e9:.1f} GFLOP/s, {rate / peak / threads:.0%} of the measured peak, "
            f"compiled in {compiled * 1e3:.0f} ms"
        )


if __name__ == "__main__":
    main()
