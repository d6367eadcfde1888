"""The machine's measured limits: what no kernel can exceed.

Peak arithmetic is measured with a loop of independent vector multiply-adds that stay in
registers; bandwidth with a copy between two arrays far larger than the last-level cache. A kernel
of `flops` and `bytes` cannot be faster than `max(flops / peak, bytes / bandwidth)` (Williams,
Waterman and Patterson 2009, the roofline model).
"""

from __future__ import annotations

import ctypes
import functools
import time

import llvmlite.binding as llvm
import llvmlite.ir as ir
import numpy as np

from minicc.target import Target
from minicc.types import float32

CHAINS = 10  # more than latency x issue width (4 x 2), fewer than the smallest register file
STEPS = 2_000_000
CHANGE = 256 << 20  # bytes per array of the copy


def _fma_loop(lanes: int, target: Target) -> str:
    """LLVM IR of `float peak(i64 n)`: n times CHAINS independent vector multiply-adds."""
    module = ir.Module()
    module.triple = target.triple
    vector, index = ir.VectorType(ir.FloatType(), lanes), ir.IntType(64)
    function = ir.Function(module, ir.FunctionType(ir.FloatType(), [index]), "peak")
    function.attributes.add(f'"target-cpu"="{target.cpu}"')
    function.attributes.add(f'"target-features"="{target.features}"')
    entry, body, done = (function.append_basic_block(name) for name in ("entry", "body", "done"))
    builder = ir.IRBuilder(entry)
    builder.branch(body)
    builder.position_at_end(body)
    step = builder.phi(index)
    step.add_incoming(index(0), entry)
    factor = ir.Constant(vector, [0.999] * lanes)
    sums = [builder.phi(vector) for _ in range(CHAINS)]
    fma = module.declare_intrinsic("llvm.fma", [vector])
    for k, total in enumerate(sums):
        total.add_incoming(ir.Constant(vector, [float(k)] * lanes), entry)
        total.add_incoming(builder.call(fma, [total, factor, factor]), body)
    after = builder.add(step, index(1))
    step.add_incoming(after, body)
    builder.cbranch(builder.icmp_unsigned("<", after, function.args[0]), body, done)
    builder.position_at_end(done)
    result = functools.reduce(builder.fadd, [total.incomings[1][0] for total in sums])
    builder.ret(builder.extract_element(result, ir.IntType(32)(0)))
    return str(module)


@functools.cache
def measure_peak(target: Target) -> float:
    """float32 FLOP/s of one core, the best of a few short runs."""
    lanes = target.lanes(float32)
    machine = target.machine()
    module = llvm.parse_assembly(_fma_loop(lanes, target))
    with llvm.create_mcjit_compiler(module, machine) as engine:
        engine.finalize_object()
        run = ctypes.CFUNCTYPE(ctypes.c_float, ctypes.c_int64)(engine.get_function_address("peak"))
        best = 0.0
        for _ in range(5):
            start = time.perf_counter()
            run(STEPS)
            best = max(best, 2 * lanes * CHAINS * STEPS / (time.perf_counter() - start))
    return best


@functools.cache
def measure_bandwidth() -> float:
    """Bytes read and written per second by one core, the best of a few copies."""
    source, destination = np.ones(CHANGE, np.uint8), np.zeros(CHANGE, np.uint8)
    best = 0.0
    for _ in range(4):
        start = time.perf_counter()
        np.copyto(destination, source)
        best = max(best, 2 * CHANGE / (time.perf_counter() - start))
    return best
