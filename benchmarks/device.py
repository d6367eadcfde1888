"""CUDA devices: models as packages agree with the CPU, and their times beside those of PyTorch.

    python -m benchmarks.device                       prepare in a temporary folder, then run
    python -m benchmarks.device --prepare FOLDER      where TVM and nvcc are: write packages, inputs and answers
    python -m benchmarks.device --run FOLDER          where the device is: needs neither of them

A vector addition, the digits of the demo, ResNet-18 and MobileNetV2 (random weights) are compiled for devices, and for
the CPU, whose answers count. Without a device the smaller ones run on the CPU in its place, for what they give and not
for how fast. A run takes less than five minutes. Where files have to be few, `--only NAME` and `--arch sm_90` choose.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

import minicc
from minicc.device.driver import CudaDevice
from minicc.device.emulated import Emulated
from minicc.device.session import Device, DeviceExecutable
from minicc.errors import BridgeError
from minicc.package import read, write
from minicc.runtime.image import Image

Arrays = Mapping[str, np.ndarray[Any, Any]]
CASES = ("vector_add", "digits", "mobilenet_v2", "resnet18")
EMULATED = ("vector_add", "digits")  # those that do not take minutes one thread after the other
LENGTH = 1 << 20  # of the vectors
ARCHITECTURES = ("sm_80", "sm_90")
RUNS, WARM_UPS = 30, 5
TOLERANCE = 1e-3  # of the largest answer: sums of some thousand float32 terms in another order


# ---- where TVM and nvcc are ---------------------------------------------------------------------


def vectors() -> Arrays:
    """The inputs of the addition, which need no file."""
    a, b = np.random.default_rng(0).standard_normal((2, LENGTH), np.float32)
    return {"A": a, "B": b}


def vector_add(architectures: Sequence[str]) -> tuple[Image, Arrays, Arrays]:
    """The sum of two vectors, scheduled here by hand."""
    from minicc.bridge.cuda import image_of_program
    from minicc.testing import gpu_kernels

    return image_of_program(gpu_kernels.vector_add(LENGTH), architectures), {}, {}


def model(source: Any, inputs: Arrays, architectures: Sequence[str]) -> tuple[Image, Arrays, Arrays]:
    """A model for devices, and what the CPU makes of the inputs."""
    shapes = {name: array.shape for name, array in inputs.items()}
    device = minicc.compile(source, f"cuda -arch={','.join(architectures)}", shapes)
    return device.image, inputs, minicc.compile(source, input_shapes=shapes).run(inputs)


def case(name: str, architectures: Sequence[str]) -> tuple[Image, Arrays, Arrays]:
    """Image, inputs and answers of one of CASES."""
    from benchmarks.models import MODELS, sample_inputs

    if name == "vector_add":
        return vector_add(architectures)
    if name == "digits":
        with resources.as_file(resources.files("minicc.cli") / "digits") as folder:
            with np.load(folder / "heldout.npz") as held_out:
                images = (held_out["images"][:64] / np.float32(16)).astype(np.float32)
            return model(folder / "digits.onnx", {"image": images}, architectures)
    made = MODELS[name]()
    return model(made, sample_inputs(made), architectures)


def prepare(folder: Path, names: Sequence[str], architectures: Sequence[str]) -> None:
    """Write a package, inputs and answers for each case."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        started = time.perf_counter()
        image, inputs, answers = case(name, architectures)
        write(image, folder / f"{name}.tar")
        np.savez(folder / f"{name}.in.npz", **inputs)
        np.savez(folder / f"{name}.out.npz", **answers)
        size = (folder / f"{name}.tar").stat().st_size
        print(
            f"{name:14} prepared in {time.perf_counter() - started:.1f} s, package of {size / 1e6:.1f} MB", flush=True
        )


# ---- where the device is ------------------------------------------------------------------------


def arrays(path: Path) -> dict[str, Any]:
    """The arrays of a file."""
    with np.load(path) as file:
        return dict(file)


def difference(got: Arrays, wanted: Arrays) -> float:
    """The largest error, as a share of the largest answer; infinite where one of them is no number."""
    worst = 0.0
    for name, answer in wanted.items():
        error = np.abs(got[name].astype(np.float64) - answer).max(initial=0)
        worst = max(worst, float(error / max(np.abs(answer).max(initial=0), 1e-30)))
    return worst if np.isfinite(worst) else float("inf")


def measured(work: Callable[[], float]) -> float:
    """The median of some runs, after others that warm up."""
    return statistics.median([work() for _ in range(WARM_UPS + RUNS)][WARM_UPS:])


def torch_seconds(name: str, inputs: Arrays) -> float | None:
    """What PyTorch takes for the same, in float32 by the device's clock; None without it."""
    try:
        import torch
        import torchvision.models
    except ImportError:
        return None
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    given = [torch.from_numpy(a).cuda() for a in inputs.values()]
    call = torch.add if name == "vector_add" else getattr(torchvision.models, name)().eval().cuda()

    def once() -> float:
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call(*given)
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3

    with torch.inference_mode():
        return measured(once)


def run_on(device: Device, folder: Path, name: str) -> bool:
    """Run a case, print a line, and say whether it agrees."""
    inputs, wanted = arrays(folder / f"{name}.in.npz"), arrays(folder / f"{name}.out.npz")
    if name == "vector_add":
        inputs = vectors()
        wanted = {"C": inputs["A"] + inputs["B"]}
    started = time.perf_counter()
    with DeviceExecutable(read(folder / f"{name}.tar"), device) as exe:
        got = exe.run(inputs)
        first, error = time.perf_counter() - started, difference(got, wanted)
        line = f"{name:14} {'agrees' if error <= TOLERANCE else 'WRONG':7} largest error {error:8.1e}   first result {first:6.2f} s"
        if isinstance(device, CudaDevice):
            ours, theirs = measured(exe.seconds), None if name == "digits" else torch_seconds(name, inputs)
            beside = (
                "no PyTorch for it" if theirs is None else f"PyTorch {theirs * 1e3:8.3f} ms, ratio {ours / theirs:6.2f}"
            )
            line += f"   kernels {ours * 1e3:8.3f} ms   {beside}"
        print(line, flush=True)
    return error <= TOLERANCE


def device_here() -> Device:
    """A CUDA device, or the CPU in its place, which says why."""
    try:
        device = CudaDevice()
    except BridgeError as error:
        print(f"no device here ({error.problem}): on the CPU in its place", flush=True)
        return Emulated()
    print("on a CUDA device of compute capability {}.{}".format(*device.capability), flush=True)
    return device


def run(device: Device, folder: Path, names: Sequence[str]) -> bool:
    """Run what the folder holds. Whether all agree."""
    able = [name for name in names if isinstance(device, CudaDevice) or name in EMULATED]
    results = [run_on(device, folder, name) for name in able if (folder / f"{name}.tar").exists()]
    print(f"{sum(results)} of {len(results)} agree")
    return bool(results) and all(results)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepare", type=Path, metavar="FOLDER")
    parser.add_argument("--run", type=Path, metavar="FOLDER")
    parser.add_argument("--only", action="append", choices=CASES, metavar="NAME")
    parser.add_argument("--arch", action="append", metavar="sm_90", help="that packages are for")
    options = parser.parse_args()
    names, archs = tuple(options.only or CASES), options.arch or ARCHITECTURES
    if options.prepare:
        prepare(options.prepare, names, archs)
    if options.run:
        sys.exit(not run(device_here(), options.run, names))
    if not options.prepare:
        device = device_here()
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), tuple(n for n in names if isinstance(device, CudaDevice) or n in EMULATED), archs)
            sys.exit(not run(device, Path(folder), names))


if __name__ == "__main__":
    main()
