"""`minicc doctor`: what minicc sees of this machine."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from minicc.bridge.environment import OLD_TVM, SECONDS, VERSION, make_relay, python_of_relay
from minicc.cli.options import megabytes, messages
from minicc.config import cache_dir
from minicc.errors import BridgeError, printable
from minicc.runtime.roofline import measure_bandwidth, measure_peak
from minicc.runtime.threads import openmp_library
from minicc.target import LLVM_VERSION, Target

PACKAGES = ("minicc", "numpy", "llvmlite", "networkx", "onnx", "typer", "rich")
EXTRAS = (
    "apache-tvm",
    "apache-tvm-ffi",
    "torch",
    "tflite",
    "pillow",
    "onnxruntime",
    "transformers",
    "hypothesis",
    "pytest",
)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _relay() -> str:
    try:
        return f"TVM {VERSION} of {OLD_TVM}, by {python_of_relay()}"
    except BridgeError as error:
        return f"not installed: {error.hint}"


def _setup_relay() -> None:
    columns = (TextColumn("{task.description:21}"), BarColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as progress:
        task = progress.add_task("", total=SECONDS, left="")

        def report(step: str, left: float) -> None:
            progress.update(task, description=step, completed=SECONDS - left, left=f"eta {left:.0f} s")
            if not messages.is_terminal:
                messages.print(f"{step}; {left:.0f} s left")

        made = make_relay(report)
    print(f"relay: {'made' if made else 'already there'}: {printable(_relay())}")


def doctor_command(
    setup_relay: Annotated[
        bool, typer.Option("--setup-relay", help=f"Make the environment of TVM {VERSION}, which has Relay; a minute.")
    ] = False,
) -> None:
    """Versions, target, features, threads, OpenMP runtime, caches and the measured roofline.

    Examples:

        minicc doctor

        minicc doctor --setup-relay
    """
    if setup_relay:
        _setup_relay()
        return
    target = Target.native()
    rows = {
        "python": platform.python_version(),
        "llvm": LLVM_VERSION,
        **{name: _version(name) for name in PACKAGES},
        **{f"{name} (extra)": _version(name) for name in EXTRAS},
        "relay (extra)": _relay(),
        "triple": target.triple,
        "cpu": target.cpu,
        "vectors": f"{target.registers} registers of {target.vector_bits} bits",
        "features": " ".join(sorted(f[1:] for f in target.features.split(",") if f.startswith("+"))),
        "caches": f"{target.caches.l1 >> 10} kB, {target.caches.l2 >> 10} kB, {target.caches.l3 >> 10} kB",
        "threads": str(target.threads),
        "openmp": openmp_library() or "none found: parallel loops run serially",
        "kernel cache": str(cache_dir()),
        "peak float32": f"{measure_peak(target.with_threads(1)) / 1e9:.0f} GFLOP/s on one core",
        "memory": f"{megabytes(measure_bandwidth(target.with_threads(1)))}/s on one core",
    }
    width = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{width}}  {printable(value)}")
