"""Bundles written by hand, of CUDA sources that need no TVM."""

from __future__ import annotations

import io
import json
import tarfile

import numpy as np

from minicc.bridge.bundle import Buffer, Bundle, KernelLaunch, Port, Step
from minicc.types import TensorType, float32

ADD = """
extern "C" __global__ void __launch_bounds__(32) add_kernel(float* __restrict__ a, float* __restrict__ b, float* __restrict__ c) {
  int i = blockIdx.x * 32 + threadIdx.x;
  if (i < 100) c[i] = a[i] + b[i];
}
"""
LENGTH = TensorType(float32, (100,))
WEIGHT = np.arange(100, dtype=np.float32)


def add_bundle(grid=(4, 1, 1), block=(32, 1, 1), arguments=(0, 1, 2), shared_bytes=0, source=ADD, size=400, **rest):
    """`y = x + weight` as a bundle."""
    step = Step("add", (KernelLaunch("add_kernel", grid, block, shared_bytes, arguments),))
    buffers = (Buffer(400), Buffer(400, 0), Buffer(size))
    return Bundle("add", (Port("x", LENGTH, 0),), (Port("y", LENGTH, 2),), buffers, (step,), source, (WEIGHT,), **rest)


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


def with_plan(content, change):
    """The bundle with a plan that `change` has been at: it gets the plan as a dictionary."""
    members = members_of(content)
    plan = json.loads(members["plan.json"])
    change(plan)
    return tar_of([*(members | {"plan.json": json.dumps(plan).encode()}).items()])
