"""Images written by hand, of CUDA sources that need no TVM."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np

from minicc.package.write import write_to
from minicc.runtime.image import DeviceBuffer, Image, KernelInfo, KernelLaunch, Port
from minicc.target import Target
from minicc.types import TensorType, float32

ADD = """
extern "C" __global__ void __launch_bounds__(32) add_kernel(float* __restrict__ a, float* __restrict__ b, float* __restrict__ c) {
  int i = blockIdx.x * 32 + threadIdx.x;
  if (i < 100) c[i] = a[i] + b[i];
}
"""
LENGTH = TensorType(float32, (100,))
IMPOSSIBLE = {  # launches that CUDA refuses, and what is said of them
    "no threads": ({"block": (0, 1, 1)}, "block", r"three positive integers of at most \(1024, 1024, 64\), got \(0, 1, 1\)"),
    "a product that is 0 in 32 bits": ({"block": (65536, 65536, 1)}, "block", r"three positive integers of at most \(1024, 1024, 64\), got \(65536, 65536, 1\)"),
    "threads along z": ({"block": (1, 1, 65)}, "block", r"three positive integers of at most \(1024, 1024, 64\), got \(1, 1, 65\)"),
    "negative threads": ({"block": (32, -1, 1)}, "block", "three positive integers"),
    "a block of two": ({"block": (32, 1)}, "block", "three positive integers"),
    "too many threads": ({"block": (32, 33, 1)}, "block", "at most 1024 threads, got 1056"),
    "no blocks": ({"grid": (4, 0, 1)}, "grid", "three positive integers"),
    "blocks along x": ({"grid": (1 << 31, 1, 1)}, "grid", r"three positive integers of at most \(2147483647, 65535, 65535\), got \(2147483648, 1, 1\)"),
    "blocks along y": ({"grid": (1, 65536, 1)}, "grid", r"three positive integers of at most \(2147483647, 65535, 65535\)"),
    "blocks along z": ({"grid": (1, 1, 65536)}, "grid", r"three positive integers of at most \(2147483647, 65535, 65535\)"),
    "negative shared memory": ({"shared_bytes": -1}, "shared_bytes", "at most 227 KiB of shared memory, got -1 bytes"),
    "much shared memory": ({"shared_bytes": (227 << 10) + 1}, "shared_bytes", "at most 227 KiB of shared memory, got 232449 bytes"),
}  # fmt: skip
WEIGHT = np.arange(100, dtype=np.float32)


def buffers(*sizes, constants=()):
    """Device buffers one behind the other; `constants` are pairs of a buffer's number and a constant's."""
    places = [sum(sizes[:k]) for k in range(len(sizes))]
    return tuple(DeviceBuffer(p, s, dict(constants).get(k)) for k, (p, s) in enumerate(zip(places, sizes, strict=True)))


def device_image(name, inputs, outputs, memory, launches, source, constants=(), label=None, **sections):
    """An image for CUDA devices; a launch each is a kernel, and `sections` are cubins and PTX, as sm_90 and compute_75."""
    code = {"kernels.cu": source.encode(errors="surrogateescape")}
    code |= {f"kernels.{arch}.{'cubin' if arch[0] == 's' else 'ptx'}": content for arch, content in sections.items()}
    kernels = tuple(KernelInfo(label or k.kernel, launches=(k,)) for k in launches)
    arena = sum(b.size for b in memory)
    return Image(name, inputs, outputs, Target.of("cuda"), code, kernels, constants, arena, memory)


def add_image(grid=(4, 1, 1), block=(32, 1, 1), arguments=(0, 1, 2), shared_bytes=0, source=ADD, size=400, **sections):
    """`y = x + weight` as an image."""
    launch = KernelLaunch("add_kernel", grid, block, shared_bytes, arguments)
    memory, ports = buffers(400, 400, size, constants=[(1, 0)]), ((Port("x", LENGTH, 0),), (Port("y", LENGTH, 2),))
    return device_image("add", *ports, memory, [launch], source, (WEIGHT,), "add", **sections)


def saved(image):
    """The bytes of the package of an image."""
    held = io.BytesIO()
    write_to(image, held)
    return held.getvalue()


def members_of(content):
    """The members of a tar by name."""
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return {m.name: tar.extractfile(m).read() for m in tar}


def tar_of(members):
    """A tar of (name, content) pairs; a content that is a TarInfo is added as it is."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


def with_manifest(content, change):
    """The package with a manifest that `change` has been at: it gets it as a dictionary."""
    members = members_of(content)
    manifest = json.loads(members["manifest.json"])
    change(manifest)
    return tar_of([*(members | {"manifest.json": json.dumps(manifest).encode()}).items()])
