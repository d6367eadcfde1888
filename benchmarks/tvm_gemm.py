"""The matrix product of `minicc.recipes.gemm` in TVM: the same tensors, the same steps, its code generator.

Long sums are not cut, and nothing is prefetched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tvm
from tvm import te

from minicc.recipes.gemm import VECTORS, panels_of_block, rows_of_tile
from minicc.target import Target
from minicc.types import float32


def tvm_gemm(m: int, n: int, k: int, target: Target) -> Callable[..., Any]:
    """A function of three NumPy arrays that gives a call of TVM's machine code on them, and its result."""
    width, rows = VECTORS * target.lanes(float32), rows_of_tile(m, target)
    a, b = te.placeholder((m, k), name="A"), te.placeholder((k, n), name="B")
    axis = te.reduce_axis((0, k), name="k")
    grid = -(-m // rows), -(-n // width)
    panels = te.compute(
        (grid[1], k, width), lambda p, d, w: te.if_then_else(p * width + w < n, b[d, p * width + w], 0.0), name="panels"
    )
    sums = te.compute(
        (*grid, rows, width),
        lambda t, p, y, x: te.sum(a[te.min(t * rows + y, m - 1), axis] * panels[p, axis, x], axis=axis),
        name="sums",
    )
    c = te.compute((m, n), lambda i, j: sums[i // rows, j // width, i % rows, j % width], name="C")
    s = tvm.s_tir.Schedule(te.create_prim_func([a, b, c]).with_attr("global_symbol", "main"))
    result, product, packing = (s.get_sblock(name) for name in ("C", "sums", "panels"))
    i, j = s.get_loops(result)
    i_outer, row = s.split(i, [None, rows])
    panel, column = s.split(j, [None, width])
    block, panel = s.split(panel, [None, panels_of_block(grid[1], 4 * k * width, target)])
    s.reorder(block, i_outer, panel, row, column)
    s.compute_at(product, panel)
    s.compute_at(packing, block)
    *_, y, x, depth = s.get_loops(product)
    s.reorder(depth, y, x)
    s.unroll(y)
    s.vectorize(x)
    s.vectorize(s.get_loops(packing)[-1])
    s.unroll(row)
    s.vectorize(column)
    if target.threads > 1:
        s.parallel(block)
    s.decompose_reduction(product, depth)
    machine = tvm.target.Target({"kind": "llvm", "mcpu": target.cpu, "num-cores": target.threads})
    code = tvm.compile(s.mod, target=machine)

    def bind(x: np.ndarray, y: np.ndarray) -> tuple[Callable[[], None], Callable[[], np.ndarray]]:
        arrays = [tvm.runtime.tensor(v) for v in (x, y, np.zeros((m, n), np.float32))]
        run = code["main"]
        return (lambda: run(*arrays)), arrays[2].numpy

    return bind
