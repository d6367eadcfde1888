"""Matrix products of many shapes, as a model has them, beside onnxruntime's.

    python -m benchmarks.products                          every shape of the table, one thread
    python -m benchmarks.products --shapes 128x768x3072 1x4096x4096 --threads 2
    python -m benchmarks.products --form gelu --dtype float16

A shape is `rows x depth x columns`, or `batch x rows x depth x columns`. `--form` says what the product is: `weights`
(constant right operand), `computed` (both are inputs), `transposed` (the right input as [columns, depth]), or weights with
an epilogue: `bias`, `gelu`, `tanh`, `silu`, `relu`, `residual`. Every answer is compared with onnxruntime's.
`minicc` and `ort` are the best of all calls, `kernels` the median without the call around them; `of limit` is the share of the greater of operations at the peak and bytes at `--bandwidth`.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto

import minicc
from benchmarks.models import Builder

ROWS = (1, 2, 3, 7, 32, 49, 64, 77, 128, 130, 196, 197, 784, 1500, 3136)
SIDES = ((16, 256), (31, 256), (64, 64), (96, 384), (255, 255), (256, 1024), (512, 512), (768, 768), (1000, 512),
         (2304, 768), (3072, 768), (768, 3072), (4096, 1536))  # fmt: skip
EPILOGUES = ("bias", "gelu", "tanh", "silu", "relu", "residual", "scale")
TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}
Array = np.ndarray[Any, np.dtype[Any]]


def model(shape: tuple[int, ...], form: str, dtype: str) -> tuple[Any, list[Array]]:
    """The ONNX model of a product, and its inputs."""
    *batch, m, k, n = shape
    b, kind = Builder(form, False), TYPES[dtype]
    inputs = [b.random.standard_normal((*batch, m, k)).astype(dtype)]
    x = b.input("x", inputs[0].shape, kind)
    weights = (b.random.standard_normal((k, n)) / k**0.5).astype(dtype)
    if form in ("computed", "transposed"):
        right = (b.random.standard_normal((*batch, k, n)) / k**0.5).astype(dtype)
        inputs.append(np.ascontiguousarray(np.swapaxes(right, -1, -2)) if form == "transposed" else right)
        w = b.input("w", inputs[1].shape, kind)
        if form == "transposed":
            w = b.emit("Transpose", w, perm=[*range(len(batch)), len(batch) + 1, len(batch)])
        y = b.emit("MatMul", x, w)
    else:
        y = b.emit("MatMul", x, b.weight(weights))
    if form in EPILOGUES:
        y = b.emit("Add", y, b.weight(b.random.standard_normal(n).astype(dtype)))
        y = epilogue(b, y, form, dtype)
    if form == "residual":
        inputs.append(b.random.standard_normal((*batch, m, n)).astype(dtype))
        y = b.emit("Add", y, b.input("r", inputs[-1].shape, kind))
    made = onnx.helper.make_graph(
        b.nodes, form, b.inputs, [onnx.helper.make_tensor_value_info(y, kind, None)], b.weights
    )
    return onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 20)], ir_version=9), inputs


def epilogue(b: Builder, y: str, form: str, dtype: str) -> str:
    """What stands behind the bias."""
    if form in ("gelu", "tanh"):
        return b.emit("Gelu", y, approximate="none" if form == "gelu" else "tanh")
    if form == "silu":
        return b.emit("Mul", y, b.emit("Sigmoid", y))
    if form == "scale":
        return b.emit("Mul", y, b.weight(np.asarray(0.125, dtype)))
    return b.emit("Relu", y) if form == "relu" else y


@contextlib.contextmanager
def quiet(lock: str | None, threads: int) -> Iterator[None]:
    """Alone on the machine with others that take the same lock, at real-time priority where that is allowed."""
    if lock is None:
        yield
        return
    cpus = sorted(os.sched_getaffinity(0))
    with Path(lock).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        os.sched_setaffinity(0, cpus[-threads:])
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
        try:
            yield
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
            os.sched_setaffinity(0, cpus)


def best(calls: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """The best seconds of each call; they take turns."""
    found = dict.fromkeys(calls, float("inf"))
    for call in calls.values():
        call()
    until, rounds = time.perf_counter() + seconds, 0
    while rounds < 5 or (time.perf_counter() < until and rounds < 500):
        rounds += 1
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            found[name] = min(found[name], time.perf_counter() - start)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="*", default=[f"{m}x{k}x{n}" for n, k in SIDES for m in ROWS])
    parser.add_argument("--form", default="weights")
    parser.add_argument("--dtype", default="float32", choices=TYPES)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak", type=float, default=116.0, help="GFLOP/s of one thread")
    parser.add_argument("--bandwidth", type=float, default=60.0, help="GB/s of the cache that holds the operands")
    parser.add_argument("--seconds", type=float, default=0.1, help="for each shape")
    parser.add_argument("--lock", help="a file that everybody who measures here locks")
    parser.add_argument("--target", default="native")
    options = parser.parse_args()
    print(f"{options.form}, {options.dtype}, {options.threads} thread(s); us")
    print(
        f"{'shape':>20} {'minicc':>8} {'kernels':>8} {'ort':>8} {'ratio':>6} {'GFLOP/s':>8} {'of limit':>8} {'compile':>8}"
    )
    for text in options.shapes:
        row(text, options)


def row(text: str, options: Any) -> None:
    shape = tuple(map(int, text.split("x")))
    made, inputs = model(shape, options.form, options.dtype)
    exe = minicc.compile(made, target=options.target, threads=options.threads)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(made.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    feeds = {i.name: array for i, array in zip(session.get_inputs(), inputs, strict=True)}
    (theirs,), (ours,) = session.run(None, feeds), exe(*inputs)
    tolerance = 1e-4 if options.dtype == "float32" else 2e-2
    apart = float(np.max(np.abs(ours.astype(np.float64) - theirs)) / max(1.0, np.max(np.abs(theirs))))
    wrong = "" if apart < tolerance else f"  APART {apart:.1e}"
    with quiet(options.lock, options.threads):
        found = best({"minicc": lambda: exe(*inputs), "ort": lambda: session.run(None, feeds)}, options.seconds)
        kernels = sum(exe.profile(*inputs))
    *batch, m, k, n = shape
    operations, count = 2 * int(np.prod(shape)), int(np.prod(batch))
    weights = k * n * (count if options.form in ("computed", "transposed") else 1)
    touched = (count * m * (k + n) + weights) * np.dtype(options.dtype).itemsize
    limit = max(operations / options.peak, touched / options.bandwidth) / options.threads / 1e9
    print(
        f"{text:>20} {found['minicc'] * 1e6:8.0f} {kernels * 1e6:8.0f} {found['ort'] * 1e6:8.0f} "
        f"{found['ort'] / found['minicc']:6.2f} {operations / kernels / 1e9:8.1f} {limit / kernels:8.0%} "
        f"{exe.compile_seconds:8.2f}{wrong}",
        flush=True,
    )


if __name__ == "__main__":
    main()
