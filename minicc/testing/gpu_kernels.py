"""Four kernels scheduled for a GPU by hand, of the kinds that GPU programming is taught with.

In: extents. Out: a scheduled program, whose loops are bound to blocks and threads. On a CPU each runs
as it stands, with the threads one after the other; `bridge.tir.cuda_source` makes CUDA C++ of it.

>>> program = tiled_matmul(128, 128, 64)
>>> [line.strip() for line in str(program).splitlines() if "Idx" in line and "shared" not in line][1:]
['for i_copy_o in blockIdx.y(2):', 'for j_copy_o in blockIdx.x(2):', 'for i_copy_i_o in threadIdx.y(16):', 'for j_copy_i_o in threadIdx.x(16):']
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minicc import te
from minicc.errors import ScheduleError
from minicc.loop.program import Program
from minicc.schedule.bind import thread_axis
from minicc.schedule.te_schedule import Stage, TeSchedule, create_schedule
from minicc.tensor.expr import maximum

BLOCK_X, BLOCK_Y, BLOCK_Z = (thread_axis(f"blockIdx.{axis}") for axis in "xyz")
THREAD_X, THREAD_Y = (thread_axis(f"threadIdx.{axis}") for axis in "xy")


def vector_add(n: int | None = None, threads: int = 256) -> Program:
    """`C = A + B` of n elements, or of a number that is known at the call only: one thread per element, guarded."""
    if n is not None:
        _check("vector_add", n)
    size = te.var("n") if n is None else n
    A, B = te.placeholder((size,), name="A"), te.placeholder((size,), name="B")
    C = te.compute((size,), lambda i: A[i] + B[i], name="C")
    s = create_schedule(C)
    block, thread = s[C].split(s[C].op.axis[0], factor=threads)
    s[C].bind(block, BLOCK_X)
    s[C].bind(thread, THREAD_X)
    return s.arrange([A, B, C], "vector_add")


def tiled_matmul(m: int, n: int, k: int, tile: int = 64, depth: int = 16, threads: int = 16) -> Program:
    """`C[m, n] = A[m, k] @ B[k, n]`, for any extents from 1; an axis of one element has one thread.

    A block computes a tile of `tile` by `tile` elements with `threads` by `threads` threads. Step by step
    of `depth` along k, they copy tiles of A and B to shared memory together; each then multiplies its
    own part of them, in registers. After Volkov and Demmel, "Benchmarking GPUs to tune dense linear
    algebra", SC 2008.
    """
    _check("tiled_matmul", m, n, k)
    A, B = te.placeholder((m, k), name="A"), te.placeholder((k, n), name="B")
    kk = te.reduce_axis((0, k), "k")
    C = te.compute((m, n), lambda i, j: te.sum(A[i, kk] * B[kk, j], axis=kk), name="C")
    s = create_schedule(C)
    sums = s.cache_write(C, "local")
    tiles = [s.cache_read(X, "shared", [sums]) for X in (A, B)]
    i, j = s[C].op.axis
    rows, columns = alone(m, threads), alone(n, threads)
    block_i, i = s[C].split(i, factor=alone(m, tile))
    block_j, j = s[C].split(j, factor=alone(n, tile))
    thread_i, i = s[C].split(i, nparts=rows)
    thread_j, j = s[C].split(j, nparts=columns)
    s[C].reorder(block_i, block_j, thread_i, thread_j, i, j)
    for loop, axis in ((block_i, BLOCK_Y), (block_j, BLOCK_X), (thread_i, THREAD_Y), (thread_j, THREAD_X)):
        s[C].bind(loop, axis)
    s[sums].compute_at(s[C], thread_j)
    i, j = s[sums].op.axis
    step, k_in = s[sums].split(s[sums].op.reduce_axis[0], factor=depth)
    s[sums].reorder(step, k_in, i, j)
    for shared in tiles:
        s[shared].compute_at(s[sums], step)
        fill_together(s, s[shared], rows, columns)
    return s.arrange([A, B, C], "tiled_matmul")


def alone(extent: int, count: int) -> int:
    """`count` threads or elements, or 1 along an axis of one element: the index of that is 0, so that further threads would write it, too."""
    return count if extent > 1 else 1


def fill_together(s: TeSchedule, stage: Stage, rows: int, columns: int) -> None:
    """The threads of a block, `rows` by `columns` of them, fill a shared buffer: neighbours neighbouring elements."""
    loop = stage.fuse(*stage.op.axis)
    _, loop = stage.split(loop, factor=rows * columns)
    row, column = stage.split(loop, factor=columns)
    stage.bind(row, THREAD_Y)
    stage.bind(column, THREAD_X)


def _check(name: str, *extents: int) -> None:
    if min(extents) < 1:
        call = f"{name}({', '.join(map(str, extents))})"
        problem = f"expected extents of at least 1, got {min(extents)}"
        raise ScheduleError(call, problem, hint="a result without elements needs no kernel")


def softmax(rows: int, columns: int, threads: int = 128) -> Program:
    """Softmax of each row: a block per row. Each thread reduces every `threads`-th element, then all combine the parts."""
    _check("softmax", rows, columns)
    threads = alone(columns, threads)
    A = te.placeholder((rows, columns), name="A")
    k, r = te.reduce_axis((0, columns), "k"), te.reduce_axis((0, columns), "r")
    top = te.compute((rows,), lambda i: te.max(A[i, k], axis=k), name="top")
    power = te.compute((rows, columns), lambda i, j: te.exp(A[i, j] - top[i]), name="power")
    total = te.compute((rows,), lambda i: te.sum(power[i, r], axis=r), name="total")
    out = te.compute((rows, columns), lambda i, j: power[i, j] / total[i], name="out")
    s = create_schedule(out)
    s[power].compute_inline()
    row, column = s[out].op.axis
    s[out].bind(row, BLOCK_X)
    s[out].bind(s[out].split(column, factor=threads)[1], THREAD_X)
    for tensor in (total, top):  # the one that reads the other first
        _, own = s[tensor].split(s[tensor].op.reduce_axis[0], factor=threads)
        parts = s.rfactor(tensor, own)  # a part of the result for each thread
        s[parts].set_scope("shared")
        s[parts].compute_at(s[tensor], s[tensor].op.axis[0])
        thread, step = s[parts].op.axis[0], s[parts].op.reduce_axis[0]
        s[parts].reorder(thread, step)
        s[parts].bind(thread, THREAD_X)
        s[tensor].compute_at(s[out], row)
    return s.arrange([A, out], "softmax")


def conv2d_relu(batch: int, channels: int, height: int, width: int, filters: int, size: int = 3) -> Program:
    """`relu(conv2d(x, w))` of NCHW, stride 1, as large as its input: a block per patch of 8 by 16 and 4 filters.

    Channel by channel the threads copy the patch and its border to shared memory together. An axis of one element has one thread.
    """
    _check("conv2d_relu", batch, channels, height, width, filters, size)
    border, rows, columns, group = size // 2, alone(height, 8), alone(width, 16), 4
    x = te.placeholder((batch, channels, height, width), name="x")
    w = te.placeholder((filters, channels, size, size), name="w")

    def padded(b: Any, c: Any, i: Any, j: Any) -> Any:
        inside = te.all(te.const(border) <= i, i < height + border, te.const(border) <= j, j < width + border)
        return te.if_then_else(inside, x[b, c, i - border, j - border], 0.0)

    pad = te.compute((batch, channels, height + 2 * border, width + 2 * border), padded, name="pad")
    c, di, dj = te.reduce_axis((0, channels), "c"), te.reduce_axis((0, size), "di"), te.reduce_axis((0, size), "dj")

    def product(b: Any, f: Any, i: Any, j: Any) -> Any:
        return te.sum(pad[b, c, i + di.var, j + dj.var] * w[f, c, di, dj], axis=(c, di, dj))

    conv = te.compute((batch, filters, height, width), product, name="conv")
    relu = te.compute(conv.shape, lambda b, f, i, j: maximum(conv[b, f, i, j], 0.0), name="relu")
    s = create_schedule(relu)
    b, f, i, j = s[relu].op.axis
    f_out, f = s[relu].split(f, factor=group)
    i_out, i = s[relu].split(i, factor=rows)
    j_out, j = s[relu].split(j, factor=columns)
    s[relu].reorder(b, f_out, i_out, j_out, i, j, f)
    loops = (s[relu].fuse(b, f_out), i_out, j_out, i, j)
    for loop, axis in zip(loops, (BLOCK_Z, BLOCK_Y, BLOCK_X, THREAD_Y, THREAD_X), strict=True):
        s[relu].bind(loop, axis)
    s[conv].compute_at(s[relu], j, scope="local")
    s[conv].reorder(*s[conv].op.reduce_axis, *s[conv].op.axis)
    s[pad].set_scope("shared")
    s[pad].compute_at(s[conv], s[conv].op.reduce_axis[0])
    fill_together(s, s[pad], rows, columns)
    return s.arrange([x, w, relu], "conv2d_relu")


KERNELS: dict[str, Callable[..., Program]] = {f.__name__: f for f in (vector_add, tiled_matmul, softmax, conv2d_relu)}
