"""`minicc doctor`: what minicc sees of this machine."""

from __future__ import annotations

import platform
from importlib import metadata

from minicc.cli.options import megabytes
from minicc.config import cache_dir
from minicc.errors import printable
from minicc.runtime.roofline import measure_bandwidth, measure_peak
from minicc.runtime.threads import openmp_library
from minicc.target import LLVM_VERSION, Target

PACKAGES = ("minicc", "numpy", "llvmlite", "networkx", "onnx", "typer", "rich")
EXTRAS = ("apache-tvm", "apache-tvm-ffi", "torch", "onnxruntime", "transformers", "hypothesis", "pytest")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def doctor_command() -> None:
    """Versions, target, features, threads, OpenMP runtime, caches and the measured roofline.

    Example:

        minicc doctor
    """
    target = Target.native()
    rows = {
        "python": platform.python_version(),
        "llvm": LLVM_VERSION,
        **{name: _version(name) for name in PACKAGES},
        **{f"{name} (extra)": _version(name) for name in EXTRAS},
        "triple": target.triple,
        "cpu": target.cpu,
        "vectors": f"{target.registers} registers of {target.vector_bits} bits",
        "features": " ".join(sorted(f[1:] for f in target.features.split(",") if f.startswith("+"))),
        "caches": f"{target.caches.l1 >> 10} kB, {target.caches.l2 >> 10} kB, {target.caches.l3 >> 10} kB",
        "threads": str(target.threads),
        "openmp": openmp_library() or "none found: parallel loops run serially",
        "kernel cache": str(cache_dir()),
        "peak float32": f"{measure_peak(target) / 1e9:.0f} GFLOP/s on one core",
        "memory": f"{megabytes(measure_bandwidth(target.with_threads(1)))}/s on one core",
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {printable(value)}")
